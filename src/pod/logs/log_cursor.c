/* SPDX-License-Identifier: Apache-2.0 */
#include "pod/logs/log_cursor.h"

#include <stdatomic.h>

#include "base/clock.h"
#include "pod/logs/log_files.h"
#include "pod/logs/log_line.h"
#include "pod/logs/log_tail.h"

#define BLOCK_SIZE (64u << 10) /* any record that the worker writes fits */
#define OUT_SIZE   (64u << 10) /* nothing is added to so much */
#define STEP_SIZE  (4u << 20)  /* bytes read in a step; other readers want the thread too */

/* A file's time is the kernel's of the last tick, that of a line is exact. */
#define TICK_NS 2000000000

struct log_cursor {
    char *path;
    struct log_query q;
    atomic_bool is_cancelled;
    int fd;               /* -EBADF until there is a file */
    off_t at;             /* where the next record begins, or goes on */
    int64_t n_delivered;  /* bytes */
    bool is_in_record;    /* it is longer than a block and goes on at `at` */
    bool is_part_partial; /* that record is a P */
    bool is_in_line;      /* the line goes on in the next record */
    bool is_skipped;      /* the line is older than what is asked for */
    bool is_done;
    /* Where a query that is not followed ends, so that it does with a container that writes quicker
     * than its log is read. */
    struct stat end;
    bool is_end_file; /* fd is that file */
};

struct log_cursor *log_cursor_new(const char *path, const struct log_query *q)
{
    struct log_cursor *c = xcalloc(1, sizeof *c);

    c->path = xstrdup(path);
    c->q = *q;
    c->fd = -EBADF;
    return c;
}

void log_cursor_free(struct log_cursor *c)
{
    if (!c)
        return;
    if (c->fd >= 0)
        close(c->fd);
    free(c->path);
    free(c);
}

void log_cursor_cancel(struct log_cursor *c)
{
    atomic_store(&c->is_cancelled, true);
}

/* ---- Records ---- */

/* A record, or what a block holds of one, without its newline (is_whole says that it ends here). */
static void record_take(struct log_cursor *c, const char *data, size_t len, bool is_whole,
                        struct buf *out)
{
    struct log_line line = {
        .text = {data, len},
          .is_partial = c->is_part_partial
    };

    if (!c->is_in_record) {
        bool is_parsed = log_line_parse(data, len, &line);

        if (!is_parsed)
            line.is_partial = false;
        else if (!c->is_in_line)
            c->is_skipped = c->q.since_ns && line.time_ns < c->q.since_ns;
        if (is_parsed && !c->is_skipped && !c->is_in_line && c->q.has_timestamps) {
            buf_add(out, line.time.data, line.time.len);
            buf_addc(out, ' ');
        }
    }
    if (!c->is_skipped) {
        buf_add(out, line.text.data, line.text.len);
        if (is_whole && !line.is_partial)
            buf_addc(out, '\n');
    }
    c->is_in_record = !is_whole;
    c->is_part_partial = line.is_partial;
    c->is_in_line = !is_whole || line.is_partial;
}

static bool is_full(struct log_cursor *c, struct buf *out, size_t before)
{
    int64_t added = (int64_t)(out->len - before);

    if (!c->q.limit_bytes || c->n_delivered + added < c->q.limit_bytes)
        return false;
    out->len = before + (size_t)(c->q.limit_bytes - c->n_delivered);
    buf_terminate(out);
    return true;
}

/* Takes whole records, and what is longer than a block. Returns how many bytes those are. */
static size_t records_take(struct log_cursor *c, const char *data, size_t len, struct buf *out)
{
    size_t before = out->len, pos = 0;

    while (pos < len && !c->is_done && out->len < OUT_SIZE) {
        const char *record = data + pos, *newline = memchr(record, '\n', len - pos);
        size_t n = newline ? (size_t)(newline - record) : len - pos;

        if (c->is_end_file && !c->is_in_record && c->at + (off_t)pos >= c->end.st_size) {
            c->is_done = true;
            break;
        }
        if (!newline && n < BLOCK_SIZE)
            break;
        record_take(c, record, n, newline, out);
        pos += n + (newline != NULL);
        c->is_done = is_full(c, out, before);
    }
    c->n_delivered += (int64_t)(out->len - before);
    return pos;
}

/* The end of a file that will not become longer, without a newline: its writer was killed. It gets
 * one when another file follows. */
static void rest_take(struct log_cursor *c, const char *data, size_t len, bool has_next,
                      struct buf *out)
{
    size_t before = out->len;

    if (len || (has_next && c->is_in_record))
        record_take(c, data, len, has_next, out);
    c->is_done = is_full(c, out, before);
    c->n_delivered += (int64_t)(out->len - before);
}

/* ---- Files ---- */

static int failed(const struct log_cursor *c, struct err *e)
{
    return err_errno(e, -errno, "LogFailed", "cannot read the log '%s'", c->path);
}

static int file_set(struct log_cursor *c, int fd, off_t at, struct err *e)
{
    struct stat st;

    if (c->fd >= 0)
        close(c->fd);
    c->fd = fd;
    c->at = at;
    c->is_in_record = false;
    if (fstat(fd, &st) < 0)
        return failed(c, e);
    c->is_end_file = !c->q.is_followed && st.st_ino == c->end.st_ino && st.st_dev == c->end.st_dev;
    return 0;
}

/* Finds where to begin. LOG_MORE, or what to do without a file. */
static int start(struct log_cursor *c, bool is_final, struct err *e)
{
    struct log_files f = {.n = 0};
    struct log_place place;
    int r = 0, fd;

    TRY(log_files_open(c->path, &f, e));
    if (!f.n && c->q.is_followed) {
        /* What is written later is all new. */
        c->q.tail_lines = -1;
        return is_final ? LOG_END : LOG_WAIT;
    }
    if (!f.n)
        return err_set(e, -ENOENT, "NotFound",
                       "there is no log '%s': the container has not started yet, or its log was "
                       "removed with it",
                       c->path);
    c->end = f.parts[0].st;
    place = (struct log_place){.part = f.n - 1, .at = 0};
    while (c->q.since_ns && place.part &&
           clock_timespec_ns(f.parts[place.part].st.st_mtim) < c->q.since_ns - TICK_NS)
        place.part--;
    if (c->q.tail_lines >= 0)
        r = log_tail_find(&f, c->q.tail_lines, &c->is_cancelled, &place);
    fd = take_fd(&f.parts[place.part].fd);
    for (size_t i = 0; i < f.n; i++)
        if (f.parts[i].fd >= 0)
            close(f.parts[i].fd);
    TRY(file_set(c, fd, place.at, e));
    if (r < 0)
        return err_errno(e, r, "LogFailed", "cannot read the log '%s'", c->path);
    return c->q.tail_lines == 0 && !c->q.is_followed ? LOG_END : LOG_MORE;
}

/* The file has no whole record at the place: a rest of `len` bytes. LOG_MORE when the place was
 * moved, or more has come. */
static int file_end(struct log_cursor *c, const char *rest, size_t len, bool is_final,
                    struct buf *out, struct err *e)
{
    /* In this order: what is in a file that was rotated before its size was asked is all. */
    bool is_rotated = log_file_is_rotated(c->path, c->fd);
    int next = -EBADF;
    struct stat st;

    if (fstat(c->fd, &st) < 0)
        return failed(c, e);
    if (st.st_size < c->at) {
        /* Cut: it begins anew. */
        c->at = 0;
        c->is_in_record = c->is_in_line = false;
        return c->q.is_followed ? LOG_MORE : LOG_END;
    }
    if (st.st_size > c->at + (off_t)len)
        return LOG_MORE;
    if (is_rotated && !c->is_end_file)
        TRY(log_files_next(c->path, c->fd, &next, e));
    if (next < 0 && c->q.is_followed && !is_final)
        return LOG_WAIT;
    rest_take(c, rest, len, next >= 0, out);
    if (next < 0)
        return LOG_END;
    TRY(file_set(c, next, 0, e));
    return c->is_done ? LOG_END : LOG_MORE;
}

static int steps(struct log_cursor *c, char *block, bool is_final, struct buf *out, struct err *e)
{
    for (size_t n_read = 0;;) {
        ssize_t len;
        size_t used;
        int r;

        if (atomic_load(&c->is_cancelled))
            return LOG_END;
        len = pread(c->fd, block, BLOCK_SIZE, c->at);
        if (len < 0 && errno == EINTR)
            continue;
        if (len < 0)
            return failed(c, e);
        used = records_take(c, block, (size_t)len, out);
        c->at += (off_t)used;
        if (c->is_done)
            return LOG_END;
        n_read += (size_t)len;
        if (out->len >= OUT_SIZE || n_read >= STEP_SIZE)
            return LOG_MORE;
        if (used)
            continue;
        r = file_end(c, block, (size_t)len, is_final, out, e);
        if (r != LOG_MORE)
            return r;
    }
}

int log_cursor_step(struct log_cursor *c, bool is_final, struct buf *out, struct err *e)
{
    autofree char *block = NULL;

    if (c->fd < 0) {
        int r = start(c, is_final, e);

        if (r != LOG_MORE)
            return r;
    }
    block = xcalloc(1, BLOCK_SIZE);
    return steps(c, block, is_final, out, e);
}
