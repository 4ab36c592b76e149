/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <sys/stat.h>

#include "base/fds.h"
#include "base/pty.h"
#include "loop/stream.h"
#include "shim/stdio/stdio_parts.h"

/* What may wait on each side: what a stream reads at once, for it reads only when nothing waits. */
#define QUEUE_LIMIT 65536

/* A write to a file, which may take its time, in the pool. */
struct file_write {
    struct terminal *terminal; /* NULL: it was freed meanwhile */
    int fd;                    /* its own */
    struct buf data;
    int code;
};

struct terminal {
    struct loop *loop;
    int master_fd; /* the stream's; -EBADF while it is not known */
    int in_fd;     /* -EBADF once it is in the stream */
    /* The slave, held so that the terminal does not end while the process has it closed for a
     * moment; until terminal_end(). */
    int slave;
    int out_file;               /* -EBADF: none, or it takes nothing any more */
    struct stream *master;      /* NULL: not known yet */
    struct stream *in;          /* NULL: none, or ended */
    struct stream *out;         /* NULL: none, or nobody reads it any more */
    struct file_write *writing; /* the master is paused */
    bool is_over;               /* `finished` is due or was told */
    struct loop_timer *finish;  /* to leave the caller's stack */
    void (*finished)(void *ctx);
    void *ctx;
};

static void finish(struct terminal *t)
{
    if (t->is_over)
        return;
    t->is_over = true;
    loop_timer_set(t->finish, 0);
}

/* ---- Output: from the master ---- */

static void file_write_work(void *ctx)
{
    struct file_write *w = ctx;
    struct err e = ERR_INIT;
    w->code = fd_write_all(w->fd, w->data.data, w->data.len, &e);
}

static void file_write_done(void *ctx)
{
    struct file_write *w = ctx;
    struct terminal *t = w->terminal;
    close(w->fd);
    buf_done(&w->data);
    if (t) {
        t->writing = NULL;
        if (w->code < 0) {
            close_cleanup_(&t->out_file);
            t->out_file = -EBADF;
        }
        stream_resume(t->master);
    }
    free(w);
}

static void file_add(struct terminal *t, const void *data, size_t len)
{
    int fd = fcntl(t->out_file, F_DUPFD_CLOEXEC, 3);
    if (fd < 0)
        return;
    struct file_write *w = xcalloc(1, sizeof *w);
    *w = (struct file_write){.terminal = t, .fd = fd};
    buf_add(&w->data, data, len);
    t->writing = w;
    stream_pause(t->master);
    loop_work(t->loop, file_write_work, file_write_done, w);
}

static void on_output(void *ctx, const void *data, size_t len)
{
    struct terminal *t = ctx;
    struct err ignored = ERR_INIT;
    if (t->out_file >= 0) {
        file_add(t, data, len);
    } else if (t->out) {
        int r = stream_write(t->out, data, len, &ignored);
        if (r > 0)
            stream_pause(t->master);
        else if (r < 0)
            stream_free(take_ptr(t->out));
    }
}

/* Nothing waits to go out then: reading is paused as long as something does. */
static void on_master_ended(void *ctx, const struct err *e)
{
    (void)e;
    struct terminal *t = ctx;
    stream_free(take_ptr(t->in));
    finish(t);
}

static void on_out_drained(void *ctx)
{
    struct terminal *t = ctx;
    stream_resume(t->master);
}

static void on_out_ended(void *ctx, const struct err *e)
{
    (void)e;
    struct terminal *t = ctx;
    stream_free(take_ptr(t->out));
    if (t->master)
        stream_resume(t->master);
}

/* ---- Input: to the master ---- */

static void on_input(void *ctx, const void *data, size_t len)
{
    struct terminal *t = ctx;
    struct err ignored = ERR_INIT;
    int r = stream_write(t->master, data, len, &ignored);
    if (r > 0)
        stream_pause(t->in);
    else if (r < 0)
        stream_free(take_ptr(t->in));
}

static void on_master_drained(void *ctx)
{
    struct terminal *t = ctx;
    if (t->in)
        stream_resume(t->in);
}

static void on_input_ended(void *ctx, const struct err *e)
{
    (void)e;
    struct terminal *t = ctx;
    stream_free(take_ptr(t->in));
}

/* ---- Life ---- */

static void on_finish(void *ctx)
{
    struct terminal *t = ctx;
    t->finished(t->ctx);
}

static int out_set(struct terminal *t, int out, struct err *e)
{
    struct stat st;
    struct stream_options o = {.fd = out,
                               .queue_limit = QUEUE_LIMIT,
                               .ended = on_out_ended,
                               .drained = on_out_drained,
                               .ctx = t};
    if (out < 0)
        return 0;
    if (fstat(out, &st) == 0 && S_ISREG(st.st_mode)) {
        t->out_file = out;
        return 0;
    }
    return stream_new(t->loop, &o, &t->out, e);
}

int terminal_new(struct loop *l, int in, int out, void (*finished)(void *ctx), void *ctx,
                 struct terminal **ret, struct err *e)
{
    AUTO(terminal) t = xcalloc(1, sizeof *t);
    *t = (struct terminal){.loop = l,
                           .master_fd = -EBADF,
                           .in_fd = in,
                           .slave = -EBADF,
                           .out_file = -EBADF,
                           .finish = loop_timer_new(l, on_finish, t),
                           .finished = finished,
                           .ctx = ctx};
    TRY(out_set(t, out, e));
    *ret = take_ptr(t);
    return 0;
}

int terminal_master_set(struct terminal *t, int master, struct err *e)
{
    struct stream_options to_master = {.fd = master,
                                       .queue_limit = QUEUE_LIMIT,
                                       .data = on_output,
                                       .ended = on_master_ended,
                                       .drained = on_master_drained,
                                       .ctx = t};
    struct stream_options from_client = {
        .queue_limit = QUEUE_LIMIT, .data = on_input, .ended = on_input_ended, .ctx = t};
    BUG_ON(t->master);
    TRY(stream_new(t->loop, &to_master, &t->master, e));
    t->master_fd = master;
    /* Where it cannot be had, the terminal may end early. */
    t->slave = pty_slave(master, O_NONBLOCK);
    if (t->in_fd < 0)
        return 0;
    from_client.fd = take_fd(&t->in_fd);
    return stream_new(t->loop, &from_client, &t->in, e);
}

void terminal_size_set(struct terminal *t, uint16_t width, uint16_t height)
{
    if (t->master_fd >= 0)
        pty_resize(t->master_fd, width, height);
}

void terminal_end(struct terminal *t)
{
    stream_free(take_ptr(t->in));
    close_cleanup_(&t->slave);
    t->slave = -EBADF;
    if (!t->master)
        finish(t);
}

void terminal_free(struct terminal *t)
{
    if (!t)
        return;
    if (t->writing)
        t->writing->terminal = NULL;
    stream_free(t->master);
    stream_free(t->in);
    stream_free(t->out);
    close_cleanup_(&t->in_fd);
    close_cleanup_(&t->out_file);
    close_cleanup_(&t->slave);
    loop_timer_free(t->finish);
    free(t);
}
