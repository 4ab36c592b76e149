/* SPDX-License-Identifier: Apache-2.0 */
#include "pod/logs/log_tail.h"

#include "pod/logs/log_line.h"

#define BLOCK_SIZE (64 << 10)

/* A part of a file in memory, and behind it as much as shows what a record is that begins in it. */
struct window {
    int fd;
    off_t size; /* of the file */
    off_t at;
    size_t len;
    char data[BLOCK_SIZE + LOG_LINE_HEAD_LIMIT];
};

/* Loads what ends at `end`. */
static int window_load(struct window *w, off_t end)
{
    off_t at = end > BLOCK_SIZE ? end - BLOCK_SIZE : 0;
    off_t left = w->size - at;
    size_t len = left < (off_t)sizeof w->data ? (size_t)left : sizeof w->data, got = 0;

    while (got < len) {
        ssize_t n = pread(w->fd, w->data + got, len - got, at + (off_t)got);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        /* It was cut meanwhile; its reader notices. */
        if (n == 0)
            return -ENODATA;
        got += (size_t)n;
    }
    w->at = at;
    w->len = len;
    return 0;
}

/* Where the record begins whose last byte is before `end`. */
static int record_find(struct window *w, off_t end, const atomic_bool *is_cancelled, off_t *ret)
{
    off_t before = end - 1; /* its own newline is no begin */

    for (;;) {
        const char *newline = memrchr(w->data, '\n', (size_t)(before - w->at));

        if (newline || !w->at) {
            *ret = newline ? w->at + (newline - w->data) + 1 : 0;
            return 0;
        }
        if (atomic_load(is_cancelled))
            return -ECANCELED;
        before = w->at;
        TRY(window_load(w, before));
    }
}

static bool ends_line(const struct window *w, off_t begin, off_t end)
{
    const char *data = w->data + (begin - w->at);
    size_t len = w->len - (size_t)(begin - w->at);
    struct log_line line;

    if (end - begin < (off_t)len)
        len = (size_t)(end - begin);
    if (data[len - 1] == '\n')
        len--;
    return !log_line_parse(data, len, &line) || !line.is_partial;
}

/* Counts the ends of lines backwards; 1 when `*left` of them were passed, after the byte *ret. The
 * last record of all ends no line that is not asked for. */
static int file_find(struct window *w, int64_t *left, bool *is_last,
                     const atomic_bool *is_cancelled, off_t *ret)
{
    off_t end = w->size;

    TRY(window_load(w, end));
    while (end > 0) {
        off_t begin;

        TRY(record_find(w, end, is_cancelled, &begin));
        if (!*is_last && ends_line(w, begin, end) && --*left == 0) {
            *ret = end;
            return 1;
        }
        *is_last = false;
        end = begin;
    }
    return 0;
}

/* What follows the last newline. */
static int newest_find(struct window *w, const atomic_bool *is_cancelled, off_t *ret)
{
    *ret = w->size;
    if (!w->size)
        return 0;
    TRY(window_load(w, w->size));
    return w->data[w->len - 1] == '\n' ? 0 : record_find(w, w->size, is_cancelled, ret);
}

int log_tail_find(const struct log_files *f, int64_t lines, const atomic_bool *is_cancelled,
                  struct log_place *place)
{
    autofree struct window *w = xcalloc(1, sizeof *w);
    bool is_last = true;
    int64_t left = lines;

    for (size_t i = 0; i <= place->part; i++) {
        off_t at = 0;
        int r;

        w->fd = f->parts[i].fd;
        w->size = f->parts[i].st.st_size;
        r = lines ? file_find(w, &left, &is_last, is_cancelled, &at)
                  : newest_find(w, is_cancelled, &at);
        if (r == -ENODATA)
            r = 1;
        if (r < 0)
            return r;
        if (r || !lines) {
            *place = (struct log_place){i, at};
            return 0;
        }
    }
    return 0;
}
