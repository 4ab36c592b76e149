/* SPDX-License-Identifier: Apache-2.0 */
/* A guest and its states; whoever holds it is told from containers.c. */
#include "base/clock.h"
#include "container/folder.h"
#include "container/worker.h"

const char *container_id(const struct container *c)
{
    return c->id;
}

bool container_is_active(const struct container *c)
{
    return c->state <= CONTAINER_RUNNING;
}

struct container *container_find(const struct worker *w, const char *id)
{
    struct name_link *l = name_index_find(&w->ids, id);

    return l ? LINK_OF(struct container, by_id, l) : NULL;
}

static struct container *container_new(struct containers *s, const char *id,
                                       enum container_state state)
{
    struct container *c = xcalloc(1, sizeof(*c));

    *c = (struct container){.set = s, .id = xstrdup(id), .state = state};
    link_init(&c->in_worker);
    link_init(&c->in_starts);
    link_init(&c->in_due);
    return c;
}

static void worker_join(struct container *c, struct worker *w)
{
    c->worker = w;
    link_append(&w->containers, &c->in_worker);
    name_index_add(&w->ids, &c->by_id, c->id);
    if (container_is_active(c))
        w->n_active++;
}

struct container *container_known(struct worker *w, const char *id, enum container_state state)
{
    struct container *c = container_new(w->set, id, state);

    worker_join(c, w);
    return c;
}

/* The descriptors and the message of a START: the kernel has them, or nobody will. */
static void start_done(struct container *c)
{
    for (size_t i = 0; i < c->n_fds; i++)
        close(c->fds[i]);
    free(take_ptr(c->fds));
    c->n_fds = 0;
    buf_done(&c->body);
    c->body = BUF_INIT;
    link_remove(&c->in_starts);
}

static void state_set(struct container *c, enum container_state state)
{
    bool was_active = container_is_active(c);

    c->state = state;
    if (c->worker && was_active && !container_is_active(c))
        c->worker->n_active--;
}

void container_destroy(struct container *c)
{
    BUG_ON(c->is_claimed);
    c->is_dropped = true;
    if (c->is_telling)
        return;
    start_done(c);
    state_set(c, CONTAINER_REFUSED);
    link_remove(&c->in_worker);
    if (c->worker)
        name_index_remove(&c->worker->ids, &c->by_id);
    link_remove(&c->in_due);
    guest_status_done(&c->status);
    free(c->measures);
    free(c->id);
    containers_check(c->set);
    free(c);
}

/* ---- What becomes of it ---- */

void container_set_sent(struct container *c)
{
    start_done(c);
    state_set(c, CONTAINER_SENT);
}

void container_set_running(struct container *c)
{
    state_set(c, CONTAINER_RUNNING);
    c->started_ns = clock_realtime_ns();
    c->is_start_due = c->is_claimed;
    containers_due(c);
}

/* The record goes first, so that a death in between forgets as well. */
static void forget(struct container *c)
{
    record_remove(c->worker->dir_fd, c->id);
    c->is_unrecorded = false;
    if (c->is_in_worker) {
        worker_ask(c->worker, MESSAGE_FORGET, c->id);
        c->is_in_worker = false;
    }
}

void container_set_ended(struct container *c, struct guest_status *status)
{
    state_set(c, CONTAINER_ENDED);
    c->status = *status;
    *status = (struct guest_status){0};
    c->is_end_due = c->is_claimed;
    containers_due(c);
    if (c->is_orphan) {
        forget(c);
        container_destroy(c);
    }
}

void container_set_refused(struct container *c, const struct err *e)
{
    start_done(c);
    state_set(c, CONTAINER_REFUSED);
    c->refusal = *e;
    c->is_end_due = c->is_claimed;
    containers_due(c);
    if (!c->is_claimed)
        container_destroy(c);
}

void container_settle(struct container *c, const char *why)
{
    struct guest_status status;
    struct err e = ERR_INIT;
    int r;

    r = record_read(c->worker->dir_fd, c->id, &status, &e);
    if (r < 0) {
        record_lost(c->id, why, c->started_ns, &status);
        c->is_unrecorded = r != -ENOENT || record_write(c->worker->dir_fd, &status, &e) < 0;
    }
    container_set_ended(c, &status);
}

void container_measured(struct container *c, const struct message_figures *f)
{
    if (!c->n_measures || c->is_measure_due)
        return;
    c->is_measure_due = true;
    c->has_figures = f != NULL;
    if (f)
        c->figures = *f;
    containers_due(c);
}

void container_disown(struct container *c)
{
    if (c->is_claimed || c->is_orphan)
        return;
    c->is_orphan = true;
    if (c->state == CONTAINER_ENDED) {
        forget(c);
        container_destroy(c);
    } else {
        c->is_stopping = true;
        c->grace_ms = 0;
        worker_ask_stop(c->worker, c->id, 0);
    }
}

/* ---- Telling ---- */

bool container_is_due(const struct container *c)
{
    return c->is_start_due || c->is_measure_due || c->is_end_due;
}

static void measures_tell(struct container *c)
{
    struct measure *m = take_ptr(c->measures);
    size_t n = c->n_measures;
    bool has_figures = c->has_figures;
    struct message_figures f = c->figures;

    c->n_measures = 0;
    c->is_measure_due = false;
    /* A callback may free the container: then no other is called. */
    c->n_telling = n;
    c->is_telling = true;
    for (size_t i = 0; i < c->n_telling; i++)
        m[i].measured(m[i].ctx, has_figures ? &f : NULL);
    c->is_telling = false;
    free(m);
    if (c->is_dropped)
        container_destroy(c);
}

void container_tell(struct container *c)
{
    if (c->is_start_due) {
        c->is_start_due = false;
        c->events->started(c->ctx);
    } else if (c->is_measure_due) {
        measures_tell(c);
    } else if (c->is_end_due && c->state == CONTAINER_REFUSED) {
        struct err e = c->refusal;

        c->is_end_due = false;
        c->events->refused(c->ctx, &e);
    } else if (c->is_end_due) {
        /* The status is lent to the callback, which may free the container. */
        c->is_end_due = false;
        c->is_telling = true;
        c->events->exited(c->ctx, &c->status);
        c->is_telling = false;
        if (c->is_dropped)
            container_destroy(c);
    }
}

/* ---- Starting ---- */

struct descriptors {
    int *fds;
    size_t n;
    bool is_bad; /* one is named twice */
};

static void descriptor_take(void *ctx, int64_t *fd)
{
    struct descriptors *d = ctx;

    for (size_t i = 0; i < d->n; i++)
        if (d->fds[i] == *fd) {
            d->is_bad = true;
            return;
        }
    d->fds[d->n] = (int)*fd;
    *fd = (int64_t)d->n++;
}

/* What the worker would find wrong with the message it would answer by closing the connection, to
 * which others' guests are connected too. */
static int body_check(const struct container *c, const struct guest_spec *s,
                      const struct descriptors *d, struct err *e)
{
    if (!folder_name_is_valid(c->id))
        return err_set(e, -EINVAL, "BadSpec",
                       "the id '%.60s' is not of 1 to %d characters of A-Za-z0-9._-", c->id,
                       FOLDER_NAME_LIMIT);
    if (d->is_bad)
        return err_set(e, -EINVAL, "BadSpec", "the guest '%.100s' names a descriptor twice", c->id);
    if (d->n > MESSAGE_FD_LIMIT || c->body.len > GUEST_SPEC_LIMIT_BYTES)
        return err_set(e, -EFBIG, "TooLarge", "the guest '%.100s' is described by too much", c->id);
    if (s->module_fd < 0)
        return err_set(e, -EINVAL, "BadSpec", "the guest '%.100s' has no program", c->id);
    return guest_spec_check(s, e);
}

static void descriptor_count(void *ctx, int64_t *fd)
{
    (void)fd;
    ++*(size_t *)ctx;
}

/* Encodes the START, with places for descriptors, and takes those. */
static int start_encode(struct container *c, const struct guest_spec *spec, struct err *e)
{
    struct guest_spec placed = *spec;
    autofree struct guest_dir *dirs = xcalloc(spec->n_dirs + 1, sizeof(*dirs));
    autofree struct guest_listener *listeners = xcalloc(spec->n_listeners + 1, sizeof(*listeners));
    struct message m = {.type = MESSAGE_START, .has_spec = true};
    struct descriptors d = {0};
    size_t n = 0;

    /* The places are written into copies: the spec is the caller's. */
    if (spec->n_dirs)
        memcpy(dirs, spec->dirs, spec->n_dirs * sizeof(*dirs));
    if (spec->n_listeners)
        memcpy(listeners, spec->listeners, spec->n_listeners * sizeof(*listeners));
    placed.dirs = dirs;
    placed.listeners = listeners;
    guest_spec_fds(&placed, descriptor_count, &n);
    d.fds = xcalloc(n + 1, sizeof(int));
    guest_spec_fds(&placed, descriptor_take, &d);
    c->fds = d.fds;
    c->n_fds = d.n;
    m.spec = placed; /* lent: the message is only written */
    message_encode(&m, &c->body);
    return body_check(c, &placed, &d, e);
}

/* NULL with an error. */
static struct worker *worker_choose(struct containers *s, const char *tenant, struct err *e)
{
    struct worker *w = NULL;

    if (s->is_shutting_down)
        err_set(e, -ESHUTDOWN, CONTAINER_REASON_SHUT_DOWN, "the workers are being shut down");
    else if (!folder_name_is_valid(tenant))
        err_set(e, -EINVAL, "BadSpec",
                "the tenant '%.60s' is not of 1 to %d characters of A-Za-z0-9._-", tenant,
                FOLDER_NAME_LIMIT);
    else if (!(w = worker_find(s, tenant)) && worker_new(s, tenant, &w, e) < 0)
        return NULL;
    return w;
}

struct container *container_start(struct containers *s, const char *tenant,
                                  const struct guest_spec *spec,
                                  const struct container_events *events, void *ctx)
{
    struct container *c = container_new(s, spec->id ? spec->id : "", CONTAINER_WAITING);
    struct worker *w;
    struct err e = ERR_INIT;

    BUG_ON(!s->is_adopted);
    c->events = events;
    c->ctx = ctx;
    c->is_claimed = true;
    s->n_claimed++;
    w = start_encode(c, spec, &e) < 0 ? NULL : worker_choose(s, tenant, &e);
    if (!w) {
        container_set_refused(c, &e);
        return c;
    }
    if (container_find(w, c->id)) {
        err_set(&e, -EEXIST, "AlreadyExists", "there is a guest '%.200s' of '%.200s' already",
                c->id, tenant);
        container_set_refused(c, &e);
        return c;
    }
    worker_join(c, w);
    link_append(&w->starts, &c->in_starts);
    worker_kick(w);
    return c;
}

/* ---- Claiming ---- */

/* Nobody knows what became of it, so it counts as run. Written down, since a worker that is started
 * here later would make it look like one that never was. */
static void loss_note(struct containers *s, const char *tenant, const char *id)
{
    struct guest_status status;
    struct err e = ERR_INIT;
    autofd dir_fd = -EBADF;

    record_lost(id, "its worker is gone and has left no record of it", 0, &status);
    if (folder_open(s->o.run_dir, tenant, &dir_fd, &e) < 0 ||
        record_write(dir_fd, &status, &e) < 0) {
        containers_unsettle(s);
        err_prefix(&e, "cannot note that '%.100s' was lost", id);
        if (s->o.told)
            s->o.told(s->o.ctx, tenant, e.msg);
    }
    guest_status_done(&status);
}

struct container *container_claim(struct containers *s, const char *tenant, const char *id,
                                  const struct container_events *events, void *ctx,
                                  bool *ret_is_lost)
{
    struct worker *w = worker_find(s, tenant);
    struct container *c = w ? container_find(w, id) : NULL;

    bool is_possible = folder_name_is_valid(tenant) && folder_name_is_valid(id);
    struct err e = ERR_INIT;

    BUG_ON(!s->is_adopted || (c && c->is_claimed));
    if (w && !c && is_possible && worker_record_know(w, id, &c, &e) < 0 && e.code != -ENOENT) {
        /* There may be a record, which is not to be replaced. */
        *ret_is_lost = true;
        return NULL;
    }
    if (!c) {
        bool is_alive = w && w->state != WORKER_NONE && w->state != WORKER_KILLED;

        *ret_is_lost = is_possible && !is_alive && containers_had_worker(s, tenant);
        if (*ret_is_lost)
            loss_note(s, tenant, id);
        return NULL;
    }
    c->events = events;
    c->ctx = ctx;
    c->is_claimed = true;
    c->is_orphan = false;
    s->n_claimed++;
    c->is_start_due = c->state == CONTAINER_RUNNING;
    c->is_end_due = c->state == CONTAINER_ENDED;
    containers_due(c);
    *ret_is_lost = false;
    return c;
}

void containers_forget_lost(struct containers *s, const char *tenant, const char *id)
{
    struct worker *w = worker_find(s, tenant);
    struct err e = ERR_INIT;

    if (!folder_name_is_valid(tenant) || !folder_name_is_valid(id) || (w && container_find(w, id)))
        return;
    /* One without a process, so that its folder goes when nothing else is in it. */
    if (!w && worker_new(s, tenant, &w, &e) < 0)
        return;
    record_remove(w->dir_fd, id);
    containers_check(s);
}

/* ---- What is done with it ---- */

void container_drain(struct container *c, int64_t grace_ms)
{
    struct err e = ERR_INIT;

    if ((c->is_stopping && grace_ms >= c->grace_ms) || !container_is_active(c))
        return;
    c->is_stopping = true;
    c->grace_ms = grace_ms;
    if (c->state == CONTAINER_WAITING) {
        err_set(&e, -ECANCELED, "Stopped", "'%.200s' was stopped before it was started", c->id);
        container_set_refused(c, &e);
    } else {
        worker_ask_stop(c->worker, c->id, grace_ms);
    }
    worker_kick(c->worker);
}

void container_stop(struct container *c)
{
    container_drain(c, 0);
}

void container_measure(struct container *c,
                       void (*measured)(void *ctx, const struct message_figures *f), void *ctx)
{
    bool is_under_way = c->n_measures && !c->is_measure_due;

    c->measures = xrealloc(c->measures, c->n_measures + 1, sizeof(*c->measures));
    c->measures[c->n_measures++] = (struct measure){.measured = measured, .ctx = ctx};
    if (c->state != CONTAINER_RUNNING) {
        container_measured(c, NULL);
    } else if (!is_under_way && !c->is_measure_due) {
        worker_ask(c->worker, MESSAGE_MEASURE, c->id);
        worker_kick(c->worker);
    }
}

void container_forget(struct container *c)
{
    if (c->state != CONTAINER_ENDED || c->is_forgotten)
        return;
    c->is_forgotten = true;
    forget(c);
    worker_kick(c->worker);
}

void container_free(struct container *c)
{
    struct worker *w;

    if (!c)
        return;
    w = c->worker;
    BUG_ON(!c->is_claimed);
    c->is_claimed = false;
    c->set->n_claimed--;
    c->is_start_due = c->is_measure_due = c->is_end_due = false;
    c->n_measures = c->n_telling = 0;
    link_remove(&c->in_due);
    /* What runs, and the end that was not noted, can be claimed again. */
    if (c->state == CONTAINER_WAITING || c->state == CONTAINER_REFUSED || c->is_forgotten)
        container_destroy(c);
    if (w)
        worker_kick(w);
}
