/* SPDX-License-Identifier: Apache-2.0 */
#include "loop/internal.h"

#include <signal.h>
#include <sys/eventfd.h>

static void wake(void *ctx, unsigned events)
{
    (void)events;
    struct loop *l = ctx;
    eventfd_t count;
    (void)eventfd_read(l->wake_fd, &count);
    posts_take(l);
}

static void signals_prepare(void)
{
    signal(SIGPIPE, SIG_IGN);
    /* Inherited from whoever started us: then no child has an exit status. */
    struct sigaction now;
    if (!sigaction(SIGCHLD, NULL, &now) && now.sa_handler == SIG_IGN)
        signal(SIGCHLD, SIG_DFL);
}

static int wake_open(struct loop *l, struct err *e)
{
    autofd fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fd < 0)
        return err_errno(e, -errno, "LoopFailed", "cannot make the wake-up of an event loop");
    TRY(loop_watch_new(l, fd, wake, l, &l->wake, e));
    loop_watch_set(l->wake, LOOP_READABLE);
    watch_unref(l->wake);
    l->wake_fd = take_fd(&fd);
    return 0;
}

int loop_open(struct loop **ret, struct err *e)
{
    struct loop *l = xcalloc(1, sizeof *l);
    int r = uv_loop_init(&l->uv);
    if (r < 0) {
        free(l);
        return err_errno(e, r, "LoopFailed", "cannot make an event loop");
    }
    r = wake_open(l, e);
    if (r < 0) {
        uv_loop_close(&l->uv);
        free(l->is_watched);
        free(l);
        return r;
    }
    uv_idle_init(&l->uv, &l->idle);
    l->idle.data = l;
    calls_init(l);
    signals_prepare();
    *ret = l;
    return 0;
}

void loop_free(struct loop *l)
{
    if (!l)
        return;
    BUG_ON(l->is_running);
    do {
        l->is_stopping = false;
        posts_take(l);
        calls_run(l);
    } while (l->n_calls);
    loop_signal_free(l->reaper);
    children_drop(l);
    loop_watch_free(l->wake);
    close(l->wake_fd);
    BUG_ON(l->n_handles || l->n_work);
    uv_close((uv_handle_t *)&l->idle, NULL);
    while (uv_run(&l->uv, UV_RUN_NOWAIT))
        ;
    BUG_ON(uv_loop_close(&l->uv));
    free(l->is_watched);
    free(l);
}

void loop_run(struct loop *l)
{
    BUG_ON(l->is_running);
    l->is_running = true;
    /* A post does not keep the loop running, but one that is there is called. */
    while (!l->is_stopping && (uv_run(&l->uv, UV_RUN_DEFAULT) || posts_take(l)))
        ;
    l->is_running = l->is_stopping = false;
}

void loop_drain(struct loop *l)
{
    BUG_ON(l->is_running);
    l->is_running = true;
    while (l->n_work)
        uv_run(&l->uv, UV_RUN_ONCE);
    l->is_running = l->is_stopping = false;
}

void loop_stop(struct loop *l)
{
    l->is_stopping = true;
    uv_stop(&l->uv);
}

static void close_done(uv_handle_t *h)
{
    free(h->data);
}

void handle_close(struct loop *l, uv_handle_t *h)
{
    l->n_handles--;
    uv_close(h, close_done);
}
