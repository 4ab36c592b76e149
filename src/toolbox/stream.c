/* SPDX-License-Identifier: Apache-2.0 */
#include "toolbox/stream.h"

#include <stdio.h>

#define BLOCK_BYTES 16384

static struct stream *stream_new(int fd)
{
    struct stream *s = xcalloc(1, sizeof(*s));

    s->fd = fd;
    s->refs = 1;
    return s;
}

struct stream *stream_new_fd(int fd, bool is_owned)
{
    struct stream *s = stream_new(fd);

    s->is_owned = is_owned;
    s->is_terminal = isatty(fd);
    return s;
}

struct stream *stream_new_memory(size_t limit_bytes)
{
    struct stream *s = stream_new(-1);

    s->limit_bytes = limit_bytes;
    return s;
}

struct stream *stream_new_null(void)
{
    struct stream *s = stream_new(-1);

    s->is_null = true;
    return s;
}

struct stream *stream_ref(struct stream *s)
{
    if (s)
        s->refs++;
    return s;
}

void stream_unref(struct stream *s)
{
    if (!s || --s->refs > 0)
        return;
    stream_flush(s);
    if (s->is_owned && s->fd >= 0)
        close(s->fd);
    buf_done(&s->in);
    buf_done(&s->out);
    free(s);
}

/* Reads ahead; the number of bytes that wait. */
static ssize_t fill(struct stream *s)
{
    ssize_t n;

    if (s->in_pos < s->in.len)
        return (ssize_t)(s->in.len - s->in_pos);
    if (s->fd < 0)
        return 0;
    buf_clear(&s->in);
    s->in_pos = 0;
    do {
        n = read(s->fd, buf_reserve(&s->in, BLOCK_BYTES), BLOCK_BYTES);
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        return -errno;
    s->in.len = (size_t)n;
    buf_terminate(&s->in);
    return n;
}

ssize_t stream_read(struct stream *s, void *data, size_t len)
{
    ssize_t n;

    if (!s)
        return -EBADF;
    n = fill(s);
    if (n <= 0)
        return n;
    if ((size_t)n < len)
        len = (size_t)n;
    memcpy(data, s->in.data + s->in_pos, len);
    s->in_pos += len;
    return (ssize_t)len;
}

bool stream_may_wait(const struct stream *s)
{
    return s && s->fd == STDIN_FILENO && s->in_pos == s->in.len;
}

int stream_getc(struct stream *s)
{
    if (!s || fill(s) <= 0)
        return -1;
    return (unsigned char)s->in.data[s->in_pos++];
}

bool stream_line(struct stream *s, char delimiter, struct buf *line, bool *ret_is_whole)
{
    int c = 0;

    buf_clear(line);
    while (line->len < STREAM_LINE_MAX && (c = stream_getc(s)) >= 0 &&
           c != (unsigned char)delimiter)
        buf_addc(line, (char)c);
    if (ret_is_whole)
        *ret_is_whole = c == (unsigned char)delimiter;
    return line->len > 0 || c == (unsigned char)delimiter;
}

int stream_flush(struct stream *s)
{
    size_t done = 0;

    if (!s || s->fd < 0)
        return 0;
    while (done < s->out.len && !s->is_broken) {
        ssize_t n = write(s->fd, s->out.data + done, s->out.len - done);

        if (n > 0)
            done += (size_t)n;
        else if (n == 0 || errno != EINTR)
            s->is_broken = true;
    }
    buf_clear(&s->out);
    return s->is_broken ? -EPIPE : 0;
}

static int memory_write(struct stream *s, const void *data, size_t len)
{
    if (s->in_pos == s->in.len) {
        buf_clear(&s->in);
        s->in_pos = 0;
    }
    if (len > s->limit_bytes - s->in.len) {
        s->is_broken = true;
        return -EPIPE;
    }
    buf_add(&s->in, data, len);
    return 0;
}

int stream_write(struct stream *s, const void *data, size_t len)
{
    if (!s)
        return -EBADF;
    if (s->is_broken)
        return -EPIPE;
    if (s->is_null)
        return 0;
    if (s->fd < 0)
        return memory_write(s, data, len);
    buf_add(&s->out, data, len);
    if (s->out.len >= BLOCK_BYTES || (s->is_terminal && memchr(data, '\n', len)))
        return stream_flush(s);
    return 0;
}

int stream_puts(struct stream *s, const char *text)
{
    return stream_write(s, text, strlen(text));
}

int stream_printf(struct stream *s, const char *fmt, ...)
{
    autobuf text = BUF_INIT;
    va_list ap;

    va_start(ap, fmt);
    buf_vaddf(&text, fmt, ap);
    va_end(ap);
    return stream_write(s, text.data, text.len);
}
