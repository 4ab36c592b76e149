/* SPDX-License-Identifier: Apache-2.0 */
#include "loop/internal.h"

#include "base/fds.h"

void calls_init(struct loop *l)
{
    l->calls.next = l->calls.prev = &l->calls;
}

static void idle_run(uv_idle_t *idle)
{
    struct loop *l = idle->data;
    calls_run(l);
    /* The calls took their time, and libuv computes from its own clock how long it sleeps. */
    uv_update_time(&l->uv);
}

void call_queue(struct loop *l, struct call *c)
{
    if (call_is_queued(c))
        return;
    c->prev = l->calls.prev;
    c->next = &l->calls;
    c->prev->next = c;
    l->calls.prev = c;
    if (!l->n_calls++)
        uv_idle_start(&l->idle, idle_run);
}

void call_unqueue(struct loop *l, struct call *c)
{
    if (!call_is_queued(c))
        return;
    c->prev->next = c->next;
    c->next->prev = c->prev;
    c->next = c->prev = NULL;
    if (!--l->n_calls)
        uv_idle_stop(&l->idle);
}

void calls_run(struct loop *l)
{
    for (size_t n = l->n_calls; n && l->n_calls && !l->is_stopping; n--) {
        struct call *c = l->calls.next;
        call_unqueue(l, c);
        void (*fn)(void *) = c->fn;
        void *ctx = c->ctx;
        if (c->is_heap)
            free(c);
        fn(ctx);
    }
}

void loop_defer(struct loop *l, void (*call)(void *ctx), void *ctx)
{
    struct call *c = xcalloc(1, sizeof *c);
    *c = (struct call){.fn = call, .ctx = ctx, .is_heap = true};
    call_queue(l, c);
}

/* ---- Other threads ---- */

void loop_post(struct loop *l, void (*call)(void *ctx), void *ctx)
{
    struct post *p = xcalloc(1, sizeof *p);
    *p = (struct post){.fn = call, .ctx = ctx};
    int wake_fd = l->wake_fd;
    struct post *before = atomic_load_explicit(&l->posts, memory_order_relaxed);
    do
        p->next = before;
    while (!atomic_compare_exchange_weak_explicit(&l->posts, &before, p, memory_order_release,
                                                  memory_order_relaxed));
    /* Whoever finds none before wakes the loop for all that come until it takes them. */
    if (!before)
        fd_event(wake_fd);
}

bool posts_take(struct loop *l)
{
    struct post *youngest = atomic_exchange_explicit(&l->posts, NULL, memory_order_acquire);
    struct post *oldest = NULL;
    while (youngest) {
        struct post *next = youngest->next;
        youngest->next = oldest;
        oldest = youngest;
        youngest = next;
    }
    bool is_any = oldest;
    while (oldest) {
        struct post *p = oldest;
        oldest = p->next;
        loop_defer(l, p->fn, p->ctx);
        free(p);
    }
    return is_any;
}

/* ---- Work ---- */

struct work {
    uv_work_t request;
    struct loop *loop;
    void (*work)(void *ctx);
    void (*done)(void *ctx);
    void *ctx;
};

static void work_run(uv_work_t *request)
{
    struct work *w = request->data;
    w->work(w->ctx);
}

static void work_done(uv_work_t *request, int status)
{
    (void)status; /* nothing is cancelled */
    struct work *w = request->data;
    w->loop->n_work--;
    loop_defer(w->loop, w->done, w->ctx);
    free(w);
}

void loop_work(struct loop *l, void (*work)(void *ctx), void (*done)(void *ctx), void *ctx)
{
    struct work *w = xcalloc(1, sizeof *w);
    *w = (struct work){.loop = l, .work = work, .done = done, .ctx = ctx};
    w->request.data = w;
    l->n_work++;
    BUG_ON(uv_queue_work(&l->uv, &w->request, work_run, work_done));
}
