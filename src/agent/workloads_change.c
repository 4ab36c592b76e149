/* SPDX-License-Identifier: Apache-2.0 */
/* What is asked for: objects put and deleted. */
#include "agent/api/object_tools.h"
#include "agent/workloads_parts.h"
#include "base/clock.h"
#include "base/log.h"
#include "pod/volumes/volumes.h"

#define RETRY_NS 5000000000ull

static const char *const plurals[OBJECT_KINDS] = {
    [OBJECT_POD] = "pods",
    [OBJECT_CONFIG] = "configmaps",
    [OBJECT_SECRET] = "secrets",
    [OBJECT_CLAIM] = "persistentvolumeclaims",
};

/* ---- Calls ---- */

static struct change_call *call_new(struct workloads *s, enum object_kind kind, const char *space,
                                    const char *name, enum workloads_outcome outcome,
                                    workloads_done *done, void *ctx)
{
    struct change_call *c = xcalloc(1, sizeof(*c));

    *c = (struct change_call){.owner = s,
                              .kind = kind,
                              .space = xstrdup(space),
                              .name = xstrdup(name),
                              .outcome = outcome,
                              .done = done,
                              .ctx = ctx};
    return c;
}

static void call_link(struct change_call *c)
{
    struct workloads *s = c->owner;

    c->next = s->calls;
    if (s->calls)
        s->calls->prev = c;
    s->calls = c;
}

static void call_unlink(struct change_call *c)
{
    *(c->prev ? &c->prev->next : &c->owner->calls) = c->next;
    if (c->next)
        c->next->prev = c->prev;
    c->next = c->prev = NULL;
}

static void change_call_free(struct change_call *c)
{
    object_unref(c->object);
    watch_item_unref(c->item);
    free(c->space);
    free(c->name);
    free(c);
}

static void fail(workloads_done *done, void *ctx, const struct err *e)
{
    if (done)
        done(ctx, WORKLOADS_ERROR, NULL, e);
}

void change_call_abandon(struct change_call *c)
{
    struct err e = ERR_INIT;

    err_set(&e, -ESHUTDOWN, "ShuttingDown", "the agent is being stopped");
    fail(c->done, c->ctx, &e);
    change_call_free(c);
}

void workloads_calls_free(struct workloads *s)
{
    while (s->calls) {
        struct change_call *c = s->calls;

        call_unlink(c);
        /* The work pool still has it. */
        if (!c->is_removed_now)
            change_call_abandon(c);
    }
    while (s->afters) {
        struct change_call *c = s->afters;

        s->afters = c->next;
        change_call_abandon(c);
    }
    workloads_waits_abandon(s);
}

bool workloads_is_busy(const struct workloads *s, enum object_kind kind, const char *space,
                       const char *name)
{
    for (const struct change_call *c = s->calls; c; c = c->next)
        if (c->kind == kind && str_eq(c->name, name) && str_eq(c->space, space))
            return true;
    return false;
}

static void after_fail(struct workload *w, const char *why)
{
    struct change_call *after = take_ptr(w->after);
    struct err e = ERR_INIT;

    if (!after)
        return;
    err_set(&e, -EBUSY, "Conflict", "Operation cannot be fulfilled on pods \"%s\": %s", w->name,
            why);
    fail(after->done, after->ctx, &e);
    change_call_free(after);
}

/* Nobody waits for it; what failed is tried again. */
static void last_failed(struct change_call *c, const struct err *e)
{
    log_error("cannot delete the %s '%s/%s', trying again in 5 s: %s", object_kind_name(c->kind),
              c->space, c->name, e->msg);
    loop_timer_set(c->owner->retry, clock_monotonic_ns() + RETRY_NS);
}

/* Frees it, after it was answered. */
static void call_over(struct change_call *c)
{
    workloads_waits_end(c->owner, c->kind, c->space, c->name);
    change_call_free(c);
}

/* The store has it, or not. */
static void on_stored(void *ctx, const struct err *failed)
{
    struct change_call *c = ctx;
    struct workloads *s = c->owner;

    if (s->is_closing)
        return;
    call_unlink(c);
    if (failed && c->created)
        workload_free(c->created);
    if (failed && c->is_last)
        last_failed(c, failed);
    else if (failed && !c->done)
        after_fail(workload_find(s, c->space, c->name), failed->msg);
    if (failed)
        fail(c->done, c->ctx, failed);
    else if (c->done)
        c->done(c->ctx, c->outcome,
                c->item ? c->item : watch_feed_find(s->feeds[c->kind], c->space, c->name), NULL);
    call_over(c);
}

static void store_put(struct change_call *c, struct object *o)
{
    call_link(c);
    object_store_put(c->owner->store, o, on_stored, c);
}

static void store_delete(struct change_call *c)
{
    struct watch_item *item = watch_feed_find(c->owner->feeds[c->kind], c->space, c->name);

    c->item = item ? watch_item_ref(item) : NULL;
    call_link(c);
    object_store_delete(c->owner->store, c->kind, c->space, c->name, on_stored, c);
}

/* ---- What ends by itself ---- */

void workload_forget(struct workload *w)
{
    struct change_call *c =
        call_new(w->owner, OBJECT_POD, w->space, w->name, WORKLOADS_CHANGED, NULL, NULL);

    w->is_gone = true;
    c->is_last = true;
    store_delete(c);
}

static void claim_work(void *ctx)
{
    struct change_call *c = ctx;
    const struct pods_options *o = &c->owner->options.pods;
    struct volumes_places places = {o->state_dir, o->memory_dir};

    (void)volumes_claim_remove(&places, c->space, c->name, &c->error);
}

static void on_claim_removed(void *ctx)
{
    struct change_call *c = ctx;
    struct workloads *s = c->owner;

    if (s->is_freed) {
        change_call_free(c);
        workloads_return(s);
        return;
    }
    workloads_return(s);
    c->is_removed_now = false;
    call_unlink(c);
    if (!c->error.code) {
        store_delete(c);
        return;
    }
    last_failed(c, &c->error);
    call_over(c);
}

/* First the folder, then the object: a claim of the same name cannot come in between. */
void workloads_claim_forget(struct workloads *s, const struct object *claim)
{
    struct change_call *c =
        call_new(s, OBJECT_CLAIM, claim->space, claim->name, WORKLOADS_CHANGED, NULL, NULL);

    c->is_last = c->is_removed_now = true;
    call_link(c);
    s->deferred++;
    loop_work(s->options.pods.loop, claim_work, on_claim_removed, c);
}

/* ---- Putting ---- */

/* One put of an object. */
struct put {
    struct workloads *s;
    struct object *o;         /* to be put; NULL when it was given away */
    const struct object *old; /* NULL: there is none */
    struct workload *w;       /* of a pod; NULL: likewise */
    enum workloads_mode mode;
    workloads_done *done;
    void *ctx;
};

static int exists(const struct put *p, struct err *e)
{
    return err_set(e, -EEXIST, "AlreadyExists", "%s%s \"%s\" already exists",
                   p->old && p->old->deleted ? "object is being deleted: " : "",
                   plurals[p->o->kind], p->o->name);
}

static int version_check(const struct put *p, uint64_t version, struct err *e)
{
    const struct watch_item *item;

    if (!version)
        return 0;
    item = watch_feed_find(p->s->feeds[p->o->kind], p->o->space, p->o->name);
    if (item && item->version == version)
        return 0;
    return err_set(e, -EBUSY, "Conflict",
                   "Operation cannot be fulfilled on %s \"%s\": the object has been modified; "
                   "please apply your changes to the latest version and try again",
                   plurals[p->o->kind], p->o->name);
}

static int put_check(const struct put *p, uint64_t version, struct err *e)
{
    const struct object *o = p->o, *old = p->old;

    if (p->mode == WORKLOADS_CREATE && old)
        return exists(p, e);
    TRY(version_check(p, version, e));
    if (p->w && p->w->is_gone && p->mode == WORKLOADS_REPLACE)
        return err_set(e, -EBUSY, "Conflict",
                       "Operation cannot be fulfilled on %s \"%s\": the object is being changed by "
                       "another request; try again",
                       plurals[o->kind], o->name);
    if (!old)
        return 0;
    if (o->kind == OBJECT_POD && p->mode == WORKLOADS_REPLACE && !object_spec_is_same(o, old))
        return err_set(e, -EINVAL, "Invalid",
                       "Pod \"%s\" is invalid: spec: Forbidden: a pod's spec cannot be changed; "
                       "apply it, or delete the pod and create it anew",
                       o->name);
    if (old->deleted && o->kind != OBJECT_POD)
        return err_set(e, -EBUSY, "Conflict",
                       "%s \"%s\" is being deleted; it goes when no pod uses it any more",
                       plurals[o->kind], o->name);
    if ((o->kind == OBJECT_CONFIG || o->kind == OBJECT_SECRET) && old->data.is_immutable &&
        !object_spec_is_same(o, old))
        return err_set(e, -EINVAL, "Invalid",
                       "%s \"%s\" is invalid: data: Forbidden: field is immutable when `immutable` "
                       "is set",
                       object_kind_name(o->kind), o->name);
    return 0;
}

static void put_new(struct put *p)
{
    struct change_call *c =
        call_new(p->s, p->o->kind, p->o->space, p->o->name, WORKLOADS_CREATED, p->done, p->ctx);
    char uid[UUID_SIZE], now[CLOCK_RFC3339_SIZE];

    uuid_new(uid);
    clock_rfc3339_format((int64_t)clock_realtime_ns(), now);
    object_stamp(p->o, uid, NULL, now);
    if (p->o->kind == OBJECT_POD)
        c->created = workload_new(p->s, p->o);
    store_put(c, take_ptr(p->o));
}

static void put_again(struct put *p)
{
    const struct object *old = p->old;
    struct change_call *c =
        call_new(p->s, p->o->kind, p->o->space, p->o->name, WORKLOADS_CHANGED, p->done, p->ctx);

    object_stamp(p->o, old->uid, NULL, old->created);
    if (old->deleted)
        object_stamp_deleted(p->o, old->deleted, old->deletion_grace_s);
    if (old->kind == OBJECT_POD)
        object_annotate(p->o, WORKLOAD_REFUSED, pod_pair_find(&old->annotations, WORKLOAD_REFUSED));
    store_put(c, take_ptr(p->o));
}

/* Puts the time of its deletion into a pod that runs. `done` NULL: it makes room for another. */
static void pod_end(struct workload *w, int64_t grace_ms, workloads_done *done, void *ctx)
{
    struct change_call *c;
    struct object *copy = NULL;
    struct err e = ERR_INIT;
    char when[CLOCK_RFC3339_SIZE];

    if (object_copy(w->object, &copy, &e) < 0) {
        fail(done, ctx, &e);
        return;
    }
    if (grace_ms < 0)
        grace_ms = w->spec->grace_ms;
    clock_rfc3339_format((int64_t)clock_realtime_ns() + grace_ms * 1000000, when);
    object_stamp_deleted(copy, when, (grace_ms + 999) / 1000);
    c = call_new(w->owner, OBJECT_POD, w->space, w->name, WORKLOADS_CHANGED, done, ctx);
    store_put(c, copy);
}

/* Another pod takes the place of this one, when it has ended. */
static void pod_make_anew(struct put *p)
{
    struct workload *w = p->w;
    struct change_call *c =
        call_new(p->s, OBJECT_POD, w->space, w->name, WORKLOADS_CREATED, p->done, p->ctx);

    c->object = take_ptr(p->o);
    after_fail(w, "a later request has taken its place");
    w->after = c;
    if (w->is_gone || w->object->deleted)
        return;
    if (w->pod)
        pod_end(w, -1, NULL, NULL);
    else
        workload_forget(w);
}

void workloads_afters_make(struct workloads *s)
{
    while (s->afters) {
        struct change_call *c = s->afters;

        s->afters = c->next;
        workloads_put(s, take_ptr(c->object), WORKLOADS_CREATE, 0, c->done, c->ctx);
        change_call_free(c);
    }
}

/* A put or a deletion that comes after the change that is under way. */
struct later {
    struct workloads *s;
    struct object *object;    /* NULL: a deletion */
    enum object_kind kind;    /* of a deletion, as `grace_ms` */
    enum workloads_mode mode; /* of a put, as `version` */
    uint64_t version;
    int64_t grace_ms;
    workloads_done *done;
    void *ctx;
};

static void later_go(void *ctx, const char *space, const char *name, const struct err *failed)
{
    struct later *l = ctx;

    if (failed) {
        fail(l->done, l->ctx, failed);
        object_unref(l->object);
    } else if (l->object) {
        workloads_put(l->s, l->object, l->mode, l->version, l->done, l->ctx);
    } else {
        workloads_delete(l->s, l->kind, space, name, l->grace_ms, l->done, l->ctx);
    }
    free(l);
}

static void put_later(struct put *p, uint64_t version)
{
    const struct object *o = p->o;
    struct later *l = xcalloc(1, sizeof(*l));

    *l = (struct later){.s = p->s,
                        .object = take_ptr(p->o),
                        .mode = p->mode,
                        .version = version,
                        .done = p->done,
                        .ctx = p->ctx};
    workloads_wait(p->s, o->kind, o->space, o->name, later_go, l);
}

void workloads_put(struct workloads *s, struct object *o, enum workloads_mode mode,
                   uint64_t version, workloads_done *done, void *ctx)
{
    struct put p = {
        .s = s,
        .o = o,
        .old = object_store_find(s->store, o->kind, o->space, o->name),
        .w = o->kind == OBJECT_POD ? workload_find(s, o->space, o->name) : NULL,
        .mode = mode,
        .done = done,
        .ctx = ctx,
    };
    struct err e = ERR_INIT;

    if (workloads_is_busy(s, o->kind, o->space, o->name))
        put_later(&p, version);
    else if (put_check(&p, version, &e) < 0)
        fail(done, ctx, &e);
    else if (!p.old)
        put_new(&p);
    else if (p.w && mode == WORKLOADS_APPLY &&
             (p.w->is_gone || p.old->deleted || !object_spec_is_same(o, p.old)))
        pod_make_anew(&p);
    else if (object_is_same(o, p.old, WORKLOAD_REFUSED))
        done(ctx, WORKLOADS_SAME, watch_feed_find(s->feeds[o->kind], o->space, o->name), NULL);
    else
        put_again(&p);
    object_unref(p.o);
}

/* ---- Deleting ---- */

static void pod_delete_ask(struct workload *w, int64_t grace_ms, workloads_done *done, void *ctx)
{
    struct workloads *s = w->owner;

    after_fail(w, "the pod was deleted meanwhile");
    if (!w->pod && !w->is_gone) {
        struct change_call *c =
            call_new(s, OBJECT_POD, w->space, w->name, WORKLOADS_CHANGED, done, ctx);

        store_delete(c);
    } else if (w->is_gone || w->object->deleted) {
        if (w->pod)
            pod_delete(w->pod, grace_ms);
        done(ctx, WORKLOADS_SAME, watch_feed_find(s->feeds[WORKLOADS_PODS], w->space, w->name),
             NULL);
    } else {
        pod_end(w, grace_ms, done, ctx);
    }
}

/* It goes when no pod has it any more. */
static void claim_delete_ask(struct workloads *s, const struct object *o, workloads_done *done,
                             void *ctx)
{
    struct object *copy = NULL;
    struct err e = ERR_INIT;
    char now[CLOCK_RFC3339_SIZE];

    if (o->deleted) {
        done(ctx, WORKLOADS_SAME, watch_feed_find(s->feeds[o->kind], o->space, o->name), NULL);
        return;
    }
    if (object_copy(o, &copy, &e) < 0) {
        fail(done, ctx, &e);
        return;
    }
    clock_rfc3339_format((int64_t)clock_realtime_ns(), now);
    object_stamp_deleted(copy, now, 0);
    store_put(call_new(s, OBJECT_CLAIM, o->space, o->name, WORKLOADS_CHANGED, done, ctx), copy);
}

static void delete_later(struct workloads *s, enum object_kind kind, const char *space,
                         const char *name, int64_t grace_ms, workloads_done *done, void *ctx)
{
    struct later *l = xcalloc(1, sizeof(*l));

    *l = (struct later){.s = s, .kind = kind, .grace_ms = grace_ms, .done = done, .ctx = ctx};
    workloads_wait(s, kind, space, name, later_go, l);
}

void workloads_delete(struct workloads *s, enum object_kind kind, const char *space,
                      const char *name, int64_t grace_ms, workloads_done *done, void *ctx)
{
    const struct object *o = object_store_find(s->store, kind, space, name);
    struct workload *w = kind == OBJECT_POD ? workload_find(s, space, name) : NULL;
    struct err e = ERR_INIT;

    if (workloads_is_busy(s, kind, space, name) && !(w && w->is_gone)) {
        delete_later(s, kind, space, name, grace_ms, done, ctx);
        return;
    }
    if (!o || !(w || kind != OBJECT_POD)) {
        err_set(&e, -ENOENT, "NotFound", "%s \"%s\" not found", plurals[kind], name);
        fail(done, ctx, &e);
    } else if (w) {
        pod_delete_ask(w, grace_ms, done, ctx);
    } else if (kind == OBJECT_CLAIM) {
        claim_delete_ask(s, o, done, ctx);
    } else {
        store_delete(call_new(s, kind, space, name, WORKLOADS_CHANGED, done, ctx));
    }
}
