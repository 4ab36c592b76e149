/* SPDX-License-Identifier: Apache-2.0 */
#include "loop/internal.h"

#include "base/clock.h"

/* ---- Timers ---- */

struct loop_timer {
    uv_timer_t uv;
    struct loop *loop;
    struct call call;
};

struct loop_timer *loop_timer_new(struct loop *l, void (*fire)(void *ctx), void *ctx)
{
    struct loop_timer *t = xcalloc(1, sizeof *t);
    t->loop = l;
    t->call = (struct call){.fn = fire, .ctx = ctx};
    uv_timer_init(&l->uv, &t->uv);
    t->uv.data = t;
    l->n_handles++;
    return t;
}

static void timer_due(uv_timer_t *uv)
{
    struct loop_timer *t = uv->data;
    call_queue(t->loop, &t->call);
}

void loop_timer_set(struct loop_timer *t, uint64_t due_ns)
{
    loop_timer_clear(t);
    uint64_t due_ms = due_ns / 1000000 + (due_ns % 1000000 != 0);
    /* libuv's clock is the same one, in whole milliseconds, and may lag: what is reckoned from it
     * is an exact moment nevertheless. */
    uint64_t now_ms = uv_now(&t->loop->uv);
    /* What is due must not wait for the end of the millisecond. libuv would call a timer of 0 in
     * the round that runs now, for ever when it sets itself. */
    if (due_ms <= now_ms || due_ns <= clock_monotonic_ns())
        call_queue(t->loop, &t->call);
    else
        uv_timer_start(&t->uv, timer_due, due_ms - now_ms, 0);
}

void loop_timer_clear(struct loop_timer *t)
{
    uv_timer_stop(&t->uv);
    call_unqueue(t->loop, &t->call);
}

bool loop_timer_is_set(const struct loop_timer *t)
{
    return call_is_queued(&t->call) || uv_is_active((const uv_handle_t *)&t->uv);
}

void loop_timer_free(struct loop_timer *t)
{
    if (!t)
        return;
    loop_timer_clear(t);
    handle_close(t->loop, (uv_handle_t *)&t->uv);
}

/* ---- Descriptors ---- */

struct loop_watch {
    uv_poll_t uv;
    struct loop *loop;
    int fd;
    unsigned events; /* of enum loop_events: what is asked for */
    void (*ready)(void *ctx, unsigned events);
    void *ctx;
};

static bool is_watched(const struct loop *l, int fd)
{
    return fd >= 0 && (size_t)fd < l->n_watched && l->is_watched[fd];
}

static void watched_note(struct loop *l, int fd)
{
    if ((size_t)fd >= l->n_watched) {
        size_t n = 2 * (size_t)fd + 64;
        l->is_watched = xrealloc(l->is_watched, n, sizeof *l->is_watched);
        memset(l->is_watched + l->n_watched, 0, n - l->n_watched);
        l->n_watched = n;
    }
    l->is_watched[fd] = true;
}

int loop_watch_new(struct loop *l, int fd, void (*ready)(void *ctx, unsigned events), void *ctx,
                   struct loop_watch **ret, struct err *e)
{
    if (is_watched(l, fd))
        return err_set(e, -EEXIST, "LoopFailed",
                       "cannot watch the descriptor %d: it has a watch already", fd);
    struct loop_watch *w = xcalloc(1, sizeof *w);
    int r = uv_poll_init(&l->uv, &w->uv, fd);
    if (r < 0) {
        free(w);
        return err_errno(e, r, "LoopFailed", "cannot watch the descriptor %d", fd);
    }
    watched_note(l, fd);
    w->uv.data = w;
    w->loop = l;
    w->fd = fd;
    w->ready = ready;
    w->ctx = ctx;
    l->n_handles++;
    *ret = w;
    return 0;
}

static void watch_ready(uv_poll_t *uv, int status, int events);

static void watch_start(struct loop_watch *w)
{
    int events = (w->events & LOOP_READABLE ? UV_READABLE : 0) |
                 (w->events & LOOP_WRITABLE ? UV_WRITABLE : 0) |
                 (w->events & LOOP_HUNG_UP ? UV_DISCONNECT : 0);
    /* Fails only for a descriptor that another handle of libuv watches. */
    if (events)
        BUG_ON(uv_poll_start(&w->uv, events, watch_ready) < 0);
    else
        uv_poll_stop(&w->uv);
}

static void watch_ready(uv_poll_t *uv, int status, int events)
{
    struct loop_watch *w = uv->data;
    unsigned told = (events & UV_READABLE ? LOOP_READABLE : 0) |
                    (events & UV_WRITABLE ? LOOP_WRITABLE : 0) |
                    (events & UV_DISCONNECT ? LOOP_HUNG_UP : 0);
    /* EPOLLERR, after which libuv has stopped watching; a hang-up can come without any event. Who
     * only writes has to see it too. */
    if (status < 0 || !told)
        told = w->events | LOOP_READABLE;
    if (status < 0)
        watch_start(w);
    if (!w->loop->is_stopping)
        w->ready(w->ctx, told);
}

void loop_watch_set(struct loop_watch *w, unsigned events)
{
    if (w->events == events)
        return;
    w->events = events;
    watch_start(w);
}

void loop_watch_free(struct loop_watch *w)
{
    if (!w)
        return;
    w->loop->is_watched[w->fd] = false;
    handle_close(w->loop, (uv_handle_t *)&w->uv);
}

void watch_unref(struct loop_watch *w)
{
    uv_unref((uv_handle_t *)&w->uv);
}

/* ---- Signals ---- */

struct loop_signal {
    uv_signal_t uv;
    struct loop *loop;
    struct call call;
};

static void signal_caught(uv_signal_t *uv, int number)
{
    (void)number;
    struct loop_signal *s = uv->data;
    call_queue(s->loop, &s->call);
}

int loop_signal_new(struct loop *l, int number, void (*caught)(void *ctx), void *ctx,
                    struct loop_signal **ret, struct err *e)
{
    struct loop_signal *s = xcalloc(1, sizeof *s);
    s->loop = l;
    s->call = (struct call){.fn = caught, .ctx = ctx};
    int r = uv_signal_init(&l->uv, &s->uv);
    if (r < 0) {
        free(s);
        return err_errno(e, r, "LoopFailed", "cannot prepare for signals");
    }
    s->uv.data = s;
    l->n_handles++;
    r = uv_signal_start(&s->uv, signal_caught, number);
    if (r < 0) {
        loop_signal_free(s);
        return err_errno(e, r, "LoopFailed", "cannot catch the signal %d", number);
    }
    *ret = s;
    return 0;
}

void loop_signal_free(struct loop_signal *s)
{
    if (!s)
        return;
    call_unqueue(s->loop, &s->call);
    handle_close(s->loop, (uv_handle_t *)&s->uv);
}

void signal_unref(struct loop_signal *s)
{
    uv_unref((uv_handle_t *)&s->uv);
}

void signal_tell(struct loop_signal *s)
{
    call_queue(s->loop, &s->call);
}
