/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/log_file.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/fds.h"

struct log_stream {
    struct log_file *file;
    const char *tag;
    struct buf partial; /* text of the guest's unfinished line */
};

struct log_file {
    int dirfd, fd;
    char *name;
    uint64_t limit_bytes, size, lost_bytes;
    unsigned files;
    struct log_stream streams[2];
};

static int file_open(struct log_file *l)
{
    struct stat st;

    l->fd = openat(l->dirfd, l->name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0640);
    if (l->fd < 0 || fstat(l->fd, &st) < 0)
        return -errno;
    l->size = (uint64_t)st.st_size;
    return 0;
}

int log_file_open(int dirfd, const char *name, uint64_t limit_bytes, unsigned files,
                  struct log_file **ret, struct err *e)
{
    struct log_file *l = xcalloc(1, sizeof(*l));
    int r;

    *l = (struct log_file){
        .dirfd = dirfd,
        .fd = -EBADF,
        .name = xstrdup(name),
        .limit_bytes = limit_bytes,
        .files = files ? files : 1,
        .streams = {{l, "stdout", BUF_INIT}, {l, "stderr", BUF_INIT}}
    };
    r = file_open(l);
    if (r < 0) {
        log_file_close(l);
        return err_errno(e, r, "LogFailed", "cannot open the log file '%s'", name);
    }
    *ret = l;
    return 0;
}

static char *file_name(const struct log_file *l, unsigned age)
{
    return age ? xasprintf("%s.%u", l->name, age) : xstrdup(l->name);
}

/* The oldest goes before another takes its name: a file that replaces one is written to the disk at
 * once by ext4 (auto_da_alloc), and one that goes soon never. */
static void rotate(struct log_file *l)
{
    autofree char *to = file_name(l, l->files - 1);

    close(l->fd);
    unlinkat(l->dirfd, to, 0);
    for (unsigned age = l->files - 1; age >= 1; age--) {
        char *from = file_name(l, age - 1);

        renameat(l->dirfd, from, l->dirfd, to);
        free(to);
        to = from;
    }
    file_open(l);
}

static void line_write(struct log_stream *s, const char *text, size_t len, char flag)
{
    struct log_file *l = s->file;
    char time[CLOCK_RFC3339NANO_SIZE];
    autobuf line = BUF_INIT;
    struct err e = ERR_INIT;

    clock_rfc3339nano_format(clock_realtime_ns(), time);
    buf_addf(&line, "%s %s %c ", time, s->tag, flag);
    buf_add(&line, text, len);
    buf_addc(&line, '\n');
    if (l->size && l->size + line.len > l->limit_bytes)
        rotate(l);
    if (l->fd < 0)
        file_open(l);
    if (l->fd >= 0 && fd_write_all(l->fd, line.data, line.len, &e) >= 0) {
        l->size += line.len;
        return;
    }
    l->lost_bytes += len;
    /* Half a line on a full disk would run into the next one. */
    if (l->fd >= 0 && ftruncate(l->fd, (off_t)l->size) < 0) {
        close(l->fd);
        l->fd = -EBADF;
    }
}

static ssize_t log_transfer(void *ctx, void *data, size_t len)
{
    struct log_stream *s = ctx;
    const char *text = data;
    size_t left = len;

    while (left) {
        const char *newline = memchr(text, '\n', left);
        size_t n = newline ? (size_t)(newline - text) : left;
        size_t room = LOG_LINE_LIMIT - s->partial.len;
        bool is_cut = n > room;

        if (is_cut)
            n = room;
        buf_add(&s->partial, text, n);
        if (is_cut || newline) {
            line_write(s, buf_str(&s->partial), s->partial.len, is_cut ? 'P' : 'F');
            buf_clear(&s->partial);
        }
        n += newline && !is_cut;
        text += n;
        left -= n;
    }
    return (ssize_t)len;
}

struct engine_stream log_file_stream(struct log_file *l, int which)
{
    return (struct engine_stream){
        .ctx = &l->streams[which - 1], .transfer = log_transfer, .wait_fd = -1};
}

uint64_t log_file_lost_bytes(const struct log_file *l)
{
    return l->lost_bytes;
}

void log_file_close(struct log_file *l)
{
    if (!l)
        return;
    for (size_t i = 0; i < ARRAY_SIZE(l->streams); i++) {
        struct log_stream *s = &l->streams[i];

        if (s->partial.len && l->fd >= 0)
            line_write(s, buf_str(&s->partial), s->partial.len, 'F');
        buf_done(&s->partial);
    }
    if (l->fd >= 0)
        close(l->fd);
    free(l->name);
    free(l);
}
