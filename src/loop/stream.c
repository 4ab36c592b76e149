/* SPDX-License-Identifier: Apache-2.0 */
#include "loop/stream.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/buf.h"

/* The most that is read before others have their turn. */
#define CHUNK_BYTES 65536

enum stream_kind { KIND_SOCKET, KIND_PIPE, KIND_OTHER };

struct stream {
    int fd;                   /* -EBADF and no watch: a pipe that was shut */
    struct loop_watch *watch; /* of fd */
    struct stream_options options;
    enum stream_kind kind;
    bool can_read;    /* false for the writing end of a pipe */
    bool is_paused;   /* by the owner */
    bool has_ended;   /* and was told */
    bool has_hung_up; /* likewise */
    bool is_shutting; /* stream_shut() was called */
    bool is_drain_due;
    int write_code;   /* negative errno once writing has failed */
    struct buf queue; /* what waits, behind `queue_start` bytes that have been written */
    size_t queue_start;
    bool is_telling; /* callbacks run, one of which may free the stream: then the rest is left to */
    bool is_freed;   /* who called them */
};

static size_t queued(const struct stream *s)
{
    return s->queue.len - s->queue_start;
}

/* Has the watch wait for what can go on now. */
static void update(struct stream *s)
{
    if (!s->watch)
        return;
    unsigned events = 0;
    if (!s->is_paused && !s->has_ended)
        events |= LOOP_READABLE;
    else if (s->options.hung_up && !s->has_ended && !s->has_hung_up)
        events |= LOOP_HUNG_UP;
    if (queued(s))
        events |= LOOP_WRITABLE;
    loop_watch_set(s->watch, events);
}

static void shut_now(struct stream *s)
{
    if (s->kind == KIND_SOCKET) {
        (void)shutdown(s->fd, SHUT_WR);
    } else if (s->kind == KIND_PIPE && !s->can_read) {
        loop_watch_free(take_ptr(s->watch));
        close(take_fd(&s->fd));
    }
}

/* Drops what waits: it has been written, or never will be. */
static void queue_end(struct stream *s)
{
    buf_done(&s->queue);
    s->queue_start = 0;
    if (s->is_shutting)
        shut_now(s);
}

/* ---- Reading ---- */

static void end(struct stream *s, int code)
{
    struct err e = ERR_INIT;
    s->has_ended = true;
    if (code) {
        err_errno(&e, code, "ConnectionLost", "the connection to the other side broke");
        s->write_code = code;
        s->is_drain_due = false;
        queue_end(s);
    }
    s->options.ended(s->options.ctx, &e);
}

static void read_some(struct stream *s)
{
    char data[CHUNK_BYTES];
    ssize_t n;
    if (!s->can_read) {
        /* Readable is how an error is told: nobody has the other end of the pipe any more. */
        end(s, s->write_code ? s->write_code : -EPIPE);
        return;
    }
    do
        n = read(s->fd, data, sizeof data);
    while (n < 0 && errno == EINTR);
    if (n > 0) {
        if (s->options.data)
            s->options.data(s->options.ctx, data, (size_t)n);
    } else if (n == 0 || (errno == EIO && s->kind == KIND_OTHER)) {
        /* A terminal's master has EIO for an end. After a failed write it is no orderly end. */
        end(s, s->write_code);
    } else if (errno != EAGAIN) {
        end(s, -errno);
    }
}

/* ---- Writing ---- */

/* What was written, less than len when no more goes now; or a negative errno. */
static ssize_t write_some(int fd, const char *data, size_t len)
{
    size_t done = 0;
    while (done < len) {
        ssize_t n = write(fd, data + done, len - done);
        if (n >= 0)
            done += (size_t)n;
        else if (errno == EAGAIN)
            break;
        else if (errno != EINTR)
            return -errno;
    }
    return (ssize_t)done;
}

static void flush(struct stream *s)
{
    ssize_t n = write_some(s->fd, s->queue.data + s->queue_start, queued(s));
    if (n < 0)
        s->write_code = (int)n;
    else
        s->queue_start += (size_t)n;
    if (n < 0 || !queued(s)) {
        queue_end(s);
    } else if (s->queue_start > s->queue.len / 2) {
        buf_consume(&s->queue, s->queue_start);
        s->queue_start = 0;
    }
}

static void tell(struct stream *s, unsigned events)
{
    /* First, so that a write that failed is known when the end is read. */
    if (events & LOOP_WRITABLE && queued(s))
        flush(s);
    if (events & LOOP_READABLE && s->watch && !s->is_paused && !s->has_ended)
        read_some(s);
    if (!s->is_freed && events & LOOP_HUNG_UP && s->is_paused && !s->has_hung_up) {
        s->has_hung_up = true;
        s->options.hung_up(s->options.ctx);
    }
    if (!s->is_freed && s->is_drain_due && !queued(s)) {
        s->is_drain_due = false;
        if (s->options.drained)
            s->options.drained(s->options.ctx);
    }
}

static void ready(void *ctx, unsigned events)
{
    struct stream *s = ctx;
    s->is_telling = true;
    tell(s, events);
    s->is_telling = false;
    if (s->is_freed)
        free(s);
    else
        update(s);
}

static int lost(const struct stream *s, struct err *e)
{
    if (s->write_code)
        return err_errno(e, s->write_code, "ConnectionLost",
                         "the other side does not take what is written any more");
    return err_set(e, -EPIPE, "ConnectionLost", "the stream was shut for writing");
}

int stream_write(struct stream *s, const void *data, size_t len, struct err *e)
{
    if (s->write_code || s->is_shutting)
        return lost(s, e);
    size_t waiting = queued(s);
    if (len > s->options.queue_limit - waiting)
        return err_set(e, -ENOBUFS, "QueueFull",
                       "%zu bytes wait for the other side to read, and %zu more exceed the limit "
                       "of %zu",
                       waiting, len, s->options.queue_limit);
    size_t done = 0;
    if (!waiting) {
        ssize_t n = write_some(s->fd, data, len);
        if (n < 0) {
            s->write_code = (int)n;
            return lost(s, e);
        }
        done = (size_t)n;
    }
    if (done == len && !waiting)
        return 0;
    buf_add(&s->queue, (const char *)data + done, len - done);
    s->is_drain_due = true;
    update(s);
    return 1;
}

void stream_shut(struct stream *s)
{
    if (s->is_shutting)
        return;
    s->is_shutting = true;
    if (!queued(s))
        shut_now(s);
}

/* ---- Life ---- */

int stream_new(struct loop *l, const struct stream_options *o, struct stream **ret, struct err *e)
{
    autofd fd = o->fd;
    BUG_ON(!o->queue_limit);
    struct stat st;
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fstat(fd, &st) < 0)
        return err_errno(e, -errno, "LoopFailed", "cannot use the descriptor %d", fd);
    struct stream *s = xcalloc(1, sizeof *s);
    s->options = *o;
    s->kind = S_ISSOCK(st.st_mode) ? KIND_SOCKET : S_ISFIFO(st.st_mode) ? KIND_PIPE : KIND_OTHER;
    s->can_read = (flags & O_ACCMODE) != O_WRONLY;
    int r = loop_watch_new(l, fd, ready, s, &s->watch, e);
    if (r < 0) {
        free(s);
        return r;
    }
    s->fd = take_fd(&fd);
    update(s);
    *ret = s;
    return 0;
}

void stream_free(struct stream *s)
{
    if (!s)
        return;
    loop_watch_free(s->watch);
    close_cleanup_(&s->fd);
    buf_done(&s->queue);
    s->is_freed = true;
    if (!s->is_telling)
        free(s);
}

void stream_pause(struct stream *s)
{
    s->is_paused = true;
    update(s);
}

void stream_resume(struct stream *s)
{
    s->is_paused = false;
    update(s);
}
