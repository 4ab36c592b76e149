/* SPDX-License-Identifier: Apache-2.0 */
/* The life of a worker: which state it is in, and what its end means for its guests. */
#include "container/worker.h"

#include <poll.h>
#include <stdio.h>

#include "base/clock.h"
#include "container/folder.h"

#define NS_PER_MS UINT64_C(1000000)

#define LEAVE_WAIT_MS  10000u
#define BROKEN_WAIT_MS 1000u
/* After which a connection that always breaks is no connection. */
#define FRUITLESS_LIMIT 3u
/* Reads of what a dead worker has left, of 64 KiB each: far more than the socket holds. */
#define LAST_WORDS_LIMIT 64u

struct worker *worker_find(const struct containers *s, const char *tenant)
{
    struct worker *w;

    LINK_EACH(w, &s->workers, struct worker, in_set)
    if (str_eq(w->tenant, tenant))
        return w;
    return NULL;
}

void worker_tell(const struct worker *w, const char *fmt, ...)
{
    autobuf text = BUF_INIT;
    va_list ap;

    if (!w->set->o.told)
        return;
    va_start(ap, fmt);
    buf_vaddf(&text, fmt, ap);
    va_end(ap);
    w->set->o.told(w->set->o.ctx, w->tenant, buf_str(&text));
}

static void deadline_set(struct worker *w, uint64_t ms)
{
    loop_timer_set(w->timer, clock_monotonic_ns() + ms * NS_PER_MS);
}

void worker_greet(struct worker *w, uint64_t wait_ms)
{
    w->state = WORKER_GREETING;
    deadline_set(w, wait_ms);
}

static void connection_close(struct worker *w)
{
    loop_watch_free(take_ptr(w->watch));
    channel_done(&w->channel);
    w->n_unanswered = 0;
    w->is_full = false;
}

/* The process has not followed its connection: once more, unless that never helps. */
static void reconnect(struct worker *w)
{
    struct err e = ERR_INIT;

    if (!w->was_ready || ++w->fruitless > FRUITLESS_LIMIT || worker_connect(w, &e) < 0)
        worker_kill(w, "its connection broke");
    else
        worker_greet(w, CONTAINER_HELLO_WAIT_MS);
}

void worker_broken(struct worker *w, const struct err *e)
{
    struct container *c;

    if (w->state == WORKER_NONE)
        return;
    connection_close(w);
    LINK_EACH(c, &w->containers, struct container, in_worker)
    container_measured(c, NULL);
    if (w->state == WORKER_KILLED || w->state == WORKER_LEAVING)
        return;
    if (e && !str_eq(e->reason, CONTAINER_REASON_CONNECTION)) {
        worker_kill(w, "it sent what is no message");
        return;
    }
    /* A process that ends closes its sockets a moment before its end can be seen. */
    w->state = WORKER_BROKEN;
    deadline_set(w, BROKEN_WAIT_MS);
}

static void timer_fired(void *ctx)
{
    struct worker *w = ctx;

    switch (w->state) {
    case WORKER_GREETING:
    case WORKER_LISTING:
        worker_kill(w, "it did not answer in time");
        break;
    case WORKER_READY:
        worker_leave(w);
        break;
    case WORKER_BROKEN:
        reconnect(w);
        break;
    case WORKER_LEAVING:
        worker_kill(w, "it did not shut down in time");
        break;
    case WORKER_NONE:
    case WORKER_KILLED:
        break;
    }
}

int worker_new(struct containers *s, const char *tenant, struct worker **ret, struct err *e)
{
    struct worker *w;
    int dir_fd;

    TRY(folder_open(s->o.run_dir, tenant, &dir_fd, e));
    w = xcalloc(1, sizeof(*w));
    *w = (struct worker){.set = s,
                         .tenant = xstrdup(tenant),
                         .dir_fd = dir_fd,
                         .pid_fd = -EBADF,
                         .log_fd = -EBADF,
                         .timer = loop_timer_new(s->o.loop, timer_fired, w)};
    channel_init(&w->channel, -EBADF);
    link_init(&w->in_set);
    link_init(&w->containers);
    link_init(&w->starts);
    link_init(&w->requests);
    link_append(&s->workers, &w->in_set);
    *ret = w;
    return 0;
}

static void requests_drop(struct worker *w)
{
    struct request *r;

    while ((r = LINK_FIRST(&w->requests, struct request, link))) {
        link_remove(&r->link);
        free(r->id);
        free(r);
    }
}

/* What belongs to the process goes. */
static void process_done(struct worker *w)
{
    connection_close(w);
    requests_drop(w);
    loop_timer_clear(w->timer);
    loop_watch_free(take_ptr(w->pid_watch));
    loop_child_free(take_ptr(w->child));
    if (w->pid_fd >= 0)
        close(take_fd(&w->pid_fd));
    if (w->log_fd >= 0)
        close(take_fd(&w->log_fd));
    w->state = WORKER_NONE;
    w->pid = 0;
    w->was_ready = false;
    w->fruitless = 0;
    w->kill_reason = NULL;
}

void worker_free(struct worker *w)
{
    struct container *c;

    while ((c = LINK_FIRST(&w->containers, struct container, in_worker)))
        container_destroy(c);
    name_index_done(&w->ids);
    process_done(w);
    loop_timer_free(w->timer);
    link_remove(&w->in_set);
    close(w->dir_fd);
    free(w->tenant);
    free(w);
}

/* ---- The end ---- */

/* What it said before it died is still in the socket, which another process may hold and write to
 * for ever. */
static void last_words_read(struct worker *w)
{
    struct err e = ERR_INIT;
    struct pollfd p = {.events = POLLIN};
    unsigned n = 0;

    do
        p.fd = w->channel.fd;
    while (p.fd >= 0 && n++ < LAST_WORDS_LIMIT && poll(&p, 1, 0) > 0 && worker_read(w, &e) == 0);
}

/* Guests that may have run end: by their records, or as lost. */
static void guests_settle(struct worker *w, const char *why)
{
    struct container *c;

    LINK_EACH(c, &w->containers, struct container, in_worker)
    {
        container_measured(c, NULL);
        c->is_in_worker = false;
        if (c->state == CONTAINER_SENT || c->state == CONTAINER_RUNNING)
            container_settle(c, why);
    }
}

static void starts_refuse(struct worker *w, const struct err *e)
{
    struct container *c;

    while ((c = LINK_FIRST(&w->starts, struct container, in_starts)))
        container_set_refused(c, e);
}

/* A worker that never came up will not do so for the next start that waits either. */
static void start_failed(struct worker *w, const char *why)
{
    char said[256];
    struct err e = ERR_INIT;

    folder_log_tail(w->dir_fd, w->log_from, said, sizeof(said));
    err_set(&e, -ECHILD, CONTAINER_REASON_WORKER, "%s before it was ready%s%s", why,
            said[0] ? "; it said: " : "", said);
    starts_refuse(w, &e);
}

void worker_died(struct worker *w, const char *how)
{
    /* Before its last words: one that says hello and dies is not started again and again. */
    bool was_adopting, was_ready = w->was_ready;
    autofree char *why = NULL;

    last_words_read(w);
    if (w->state == WORKER_NONE)
        return;
    was_adopting = w->is_adopting;
    why = w->kill_reason
              ? xasprintf("the worker of '%s' was killed because %s", w->tenant, w->kill_reason)
              : xasprintf("the worker of '%s' %s", w->tenant, how);
    worker_tell(w, "%s (process %d)", why, (int)w->pid);
    guests_settle(w, why);
    if (!was_ready && !was_adopting)
        start_failed(w, why);
    process_done(w);
    if (was_adopting) {
        w->is_adopting = false;
        worker_records_read(w);
    }
    worker_kick(w);
    containers_check(w->set);
}

void worker_kill(struct worker *w, const char *why)
{
    struct err e = ERR_INIT;

    if (w->state == WORKER_KILLED)
        return;
    if (w->pid_fd < 0)
        w->pid_fd = process_find(w->set->run_fd, w->tenant, w->dir_fd, &w->pid);
    w->kill_reason = why;
    w->state = WORKER_KILLED;
    loop_timer_clear(w->timer);
    if (w->watch)
        loop_watch_set(w->watch, 0);
    if (w->pid_fd >= 0)
        process_kill(w->pid_fd);
    if (w->child || w->pid_watch || (w->pid_fd >= 0 && worker_watch_process(w, &e) == 0))
        return;
    /* Its end cannot be seen; its successor is not started before it is there no more. */
    w->is_unseen = true;
    worker_died(w, "cannot be watched");
}

void worker_leave(struct worker *w)
{
    struct err e = ERR_INIT;

    if (w->state == WORKER_NONE || w->state == WORKER_KILLED || w->state == WORKER_LEAVING)
        return;
    worker_ask(w, MESSAGE_SHUTDOWN, NULL);
    w->state = WORKER_LEAVING;
    deadline_set(w, LEAVE_WAIT_MS);
    if (w->channel.fd < 0)
        worker_kill(w, "its connection broke");
    else if (worker_send(w, &e) < 0)
        worker_broken(w, &e);
}

/* ---- What is wanted of it ---- */

static void ask(struct worker *w, enum message_type type, const char *id, int64_t grace_ms)
{
    struct request *r = xcalloc(1, sizeof(*r));

    *r = (struct request){.type = type, .id = id ? xstrdup(id) : NULL, .grace_ms = grace_ms};
    link_init(&r->link);
    link_append(&w->requests, &r->link);
}

void worker_ask(struct worker *w, enum message_type type, const char *id)
{
    ask(w, type, id, 0);
}

void worker_ask_stop(struct worker *w, const char *id, int64_t grace_ms)
{
    ask(w, MESSAGE_STOP, id, grace_ms);
}

static void idleness_mind(struct worker *w)
{
    if (w->n_active || w->set->o.idle_ms == UINT64_MAX)
        loop_timer_clear(w->timer);
    else if (!loop_timer_is_set(w->timer))
        deadline_set(w, w->set->o.idle_ms);
}

void worker_kick(struct worker *w)
{
    struct err e = ERR_INIT;

    if (w->state == WORKER_NONE && !link_is_empty(&w->starts) && worker_launch(w, &e) < 0) {
        worker_tell(w, "%s", e.msg);
        starts_refuse(w, &e);
    }
    if (w->channel.fd >= 0 && w->state != WORKER_GREETING && w->state != WORKER_KILLED &&
        worker_send(w, &e) < 0)
        worker_broken(w, &e);
    if (w->state == WORKER_READY)
        idleness_mind(w);
}
