/* SPDX-License-Identifier: Apache-2.0 */
/* What a worker says and is told. */
#include "container/folder.h"
#include "container/worker.h"

/* STARTs that may be under way at once. Those beyond it are certainly nowhere when the worker dies,
 * and their descriptors do not count as in flight (unix(7), ETOOMANYREFS). */
#define UNANSWERED_LIMIT 32

/* ---- From it ---- */

/* An error's reason outlives the message that brings it. */
static const char *reason_known(const char *reason)
{
    static const char *const known[] = {"AlreadyExists", "TooManyGuests", "ShuttingDown",
                                        "StartFailed",   "StillRunning",  "BadSpec",
                                        "BadMessage",    "NotFound",      "DescriptorLimit"};

    for (size_t i = 0; reason && i < ARRAY_SIZE(known); i++)
        if (str_eq(known[i], reason))
            return known[i];
    return "StartFailed";
}

/* The answer to a START, however it came. */
static void answered(struct worker *w, struct container *c)
{
    if (c->state == CONTAINER_SENT && w->n_unanswered)
        w->n_unanswered--;
}

/* Of one that was found by its socket only. What it says of itself is not simply believed: another
 * process could be killed for it. */
static int process_learn(struct worker *w, int64_t pid, struct err *e)
{
    int fd = pid > 1 && pid <= INT32_MAX ? process_of_folder((pid_t)pid, w->dir_fd) : -ESRCH;

    if (fd < 0)
        return err_errno(e, fd, "RunFolder", "cannot find the worker's process");
    w->pid = (pid_t)pid;
    w->pid_fd = fd;
    return worker_watch_process(w, e);
}

static void hello(struct worker *w, const struct message *m)
{
    struct container *c;
    struct err e = ERR_INIT;

    if (w->state != WORKER_GREETING)
        return;
    if (m->protocol != MESSAGE_PROTOCOL && m->protocol != MESSAGE_PROTOCOL - 1) {
        worker_kill(w, "it speaks another version of the protocol");
        return;
    }
    if (w->child && !w->was_ready) {
        w->state = WORKER_READY;
        w->was_ready = true;
        loop_timer_clear(w->timer);
        return;
    }
    /* That it answers LIST after this shows that the process was it, and no later one. */
    if (w->pid_fd < 0 && process_learn(w, m->pid, &e) < 0) {
        worker_kill(w, "its process cannot be watched");
        return;
    }
    LINK_EACH(c, &w->containers, struct container, in_worker)
    c->is_seen = false;
    w->state = WORKER_LISTING;
    worker_ask(w, MESSAGE_LIST, NULL);
}

/* While a worker is adopted its guests are new to us. NULL: one of no concern. */
static struct container *guest_know(struct worker *w, const char *id)
{
    struct container *c = container_find(w, id);

    if (c || !w->is_adopting || !folder_name_is_valid(id))
        return c;
    if (w->ids.n >= WORKER_GUEST_LIMIT) {
        worker_kill(w, "it tells of more guests than it can have");
        return NULL;
    }
    return container_known(w, id, CONTAINER_RUNNING);
}

static void started(struct worker *w, const char *id)
{
    struct container *c = guest_know(w, id);

    if (!c)
        return;
    answered(w, c);
    if (c->state == CONTAINER_SENT)
        container_set_running(c);
    c->is_in_worker = c->is_seen = true;
}

static void refused(struct worker *w, const struct message *m)
{
    struct container *c = m->id ? container_find(w, m->id) : NULL;
    struct err e = ERR_INIT;

    if (!c)
        return;
    if (c->state == CONTAINER_SENT) {
        answered(w, c);
        err_set(&e, -ECANCELED, reason_known(m->reason), "%s",
                m->text ? m->text : "no reason given");
        container_set_refused(c, &e);
    } else {
        container_measured(c, NULL);
    }
}

static void exited(struct worker *w, struct message *m)
{
    struct container *c = guest_know(w, m->id);

    if (!c) {
        /* It was forgotten, and the connection that should have said so broke. */
        if (w->state == WORKER_LISTING)
            worker_ask(w, MESSAGE_FORGET, m->id);
        return;
    }
    answered(w, c);
    c->is_in_worker = c->is_seen = true;
    container_measured(c, NULL);
    if (c->state == CONTAINER_SENT || c->state == CONTAINER_RUNNING) {
        m->has_status = false;
        container_set_ended(c, &m->status);
    }
    if (w->log_fd >= 0)
        folder_log_cut(w->log_fd);
}

/* What was sent over the last connection and is not there never was: the worker, which had closed
 * that connection, will not read it any more. */
static void listed(struct worker *w)
{
    struct container *c;
    struct err e = ERR_INIT;

    if (w->state != WORKER_LISTING)
        return;
    err_set(&e, -ECONNRESET, CONTAINER_REASON_CONNECTION,
            "the worker of '%.100s' closed the connection and did not start it", w->tenant);
    LINK_EACH(c, &w->containers, struct container, in_worker)
    {
        if (c->state == CONTAINER_SENT && !c->is_seen)
            container_set_refused(c, &e);
        else if (c->state == CONTAINER_RUNNING && !c->is_seen)
            container_settle(c, "the worker does not know it any more");
        else if (c->state == CONTAINER_RUNNING && c->is_stopping)
            worker_ask_stop(w, c->id, c->grace_ms);
    }
    w->state = WORKER_READY;
    w->was_ready = true;
    loop_timer_clear(w->timer);
    if (!w->is_adopting)
        return;
    w->is_adopting = false;
    worker_records_read(w);
    worker_tell(w, "a worker was adopted (process %d)", (int)w->pid);
    containers_check(w->set);
}

static void message(struct worker *w, struct message *m)
{
    struct container *c;

    if (w->state == WORKER_READY)
        w->fruitless = 0;
    switch (m->type) {
    case MESSAGE_HELLO:
        hello(w, m);
        break;
    case MESSAGE_STARTED:
        started(w, m->id);
        break;
    case MESSAGE_REFUSED:
        refused(w, m);
        break;
    case MESSAGE_EXITED:
        exited(w, m);
        break;
    case MESSAGE_FIGURES:
        c = container_find(w, m->id);
        if (c)
            container_measured(c, &m->figures);
        break;
    case MESSAGE_LISTED:
        listed(w);
        break;
    case MESSAGE_START: /* no worker says these */
    case MESSAGE_STOP:
    case MESSAGE_MEASURE:
    case MESSAGE_LIST:
    case MESSAGE_FORGET:
    case MESSAGE_SHUTDOWN:
    case MESSAGE_TYPES:
        break;
    }
}

int worker_read(struct worker *w, struct err *e)
{
    int is_closed = channel_read(&w->channel, e), r;
    int fds[MESSAGE_FD_LIMIT];
    size_t n_fds;
    struct message m;

    if (is_closed < 0)
        return is_closed;
    while ((r = channel_next(&w->channel, &m, fds, &n_fds, e)) > 0) {
        for (size_t i = 0; i < n_fds; i++)
            close(fds[i]);
        message(w, &m);
        message_done(&m);
    }
    return r < 0 ? r : is_closed;
}

/* ---- To it ---- */

/* As channel_try_send(). */
static int request_send(struct worker *w, const struct request *r, struct err *e)
{
    autobuf body = BUF_INIT;
    struct message m;

    message_init(&m, r->type, r->id);
    m.grace_ms = r->grace_ms;
    message_encode(&m, &body);
    message_done(&m);
    return channel_try_send(&w->channel, &body, NULL, 0, e);
}

static int requests_send(struct worker *w, struct err *e)
{
    struct request *r;

    while ((r = LINK_FIRST(&w->requests, struct request, link))) {
        int sent = request_send(w, r, e);

        if (sent)
            return sent;
        link_remove(&r->link);
        free(r->id);
        free(r);
    }
    return 0;
}

static int starts_send(struct worker *w, struct err *e)
{
    struct container *c;

    while (w->n_unanswered < UNANSWERED_LIMIT &&
           (c = LINK_FIRST(&w->starts, struct container, in_starts))) {
        int r = channel_try_send(&w->channel, &c->body, c->fds, c->n_fds, e);

        if (r == -ETOOMANYREFS) {
            /* Each answer makes room; without one to come nothing would. */
            if (w->n_unanswered)
                return 0;
            container_set_refused(c, e);
            continue;
        }
        if (r)
            return r;
        container_set_sent(c);
        w->n_unanswered++;
    }
    return 0;
}

int worker_send(struct worker *w, struct err *e)
{
    int r;

    for (;;) {
        bool is_rest;

        r = requests_send(w, e);
        if (r == 0 && w->state == WORKER_READY)
            r = starts_send(w, e);
        is_rest = r > 0 && w->channel.out.len;
        if (r >= 0 && w->channel.out.len)
            r = channel_flush(&w->channel, e);
        /* Room came in between, so nobody would be told of room any more: the rest goes now. */
        if (r || !is_rest)
            break;
    }
    if (r < 0)
        return r;
    if (w->is_full != r) {
        w->is_full = r;
        loop_watch_set(w->watch, LOOP_READABLE | (r ? LOOP_WRITABLE : 0));
    }
    return 0;
}
