/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/pods/waiting.h"

#include <strings.h>

#include "base/clock.h"
#include "cli/pods/followers.h"
#include "cli/pods/jsonpath.h"
#include "cli/pods/printers.h"
#include "cli/pods/steady.h"

/* ---- The condition ---- */

static int condition_fill(const char *text, struct waiting_condition *c, struct err *e)
{
    const char *equals;

    if (str_eq(text, "delete")) {
        c->kind = WAITING_GONE;
        return 0;
    }
    if (str_starts(text, "condition=") && text[strlen("condition=")]) {
        text += strlen("condition=");
        equals = strchr(text, '=');
        c->kind = WAITING_CONDITION;
        c->path = equals ? xstrndup(text, (size_t)(equals - text)) : xstrdup(text);
        c->wanted = xstrdup(equals ? equals + 1 : "True");
        return 0;
    }
    if (str_starts(text, "jsonpath=")) {
        text += strlen("jsonpath=");
        equals = *text == '{' ? strstr(text, "}=") : strchr(text, '=');
        if (equals && *text == '{')
            equals++;
        c->kind = WAITING_VALUE;
        c->path = equals ? xstrndup(text, (size_t)(equals - text)) : xstrdup(text);
        c->wanted = equals ? xstrdup(equals + 1) : NULL;
        return jsonpath_check(c->path, e);
    }
    return err_set(e, -EINVAL, "BadUsage",
                   "--for '%.100s' is not understood; write delete, condition=Ready or "
                   "jsonpath='{.status.phase}'=Running",
                   text);
}

int waiting_condition_parse(const char *text, struct waiting_condition *ret, struct err *e)
{
    struct waiting_condition c = {0};
    int r = condition_fill(text, &c, e);

    if (r < 0)
        waiting_condition_done(&c);
    else
        *ret = c;
    return r;
}

void waiting_condition_done(struct waiting_condition *c)
{
    free(c->path);
    free(c->wanted);
    *c = (struct waiting_condition){0};
}

/* The names of conditions are compared without regard to case, as kubectl does. */
static bool has_condition(const struct waiting_condition *c, const struct json_value *object)
{
    const struct json_value *list = json_value_at(object, "status.conditions"), *one;

    for (size_t i = 0; (one = json_value_item(list, i)); i++) {
        const char *type = json_value_str(one, "type"), *status = json_value_str(one, "status");

        if (type && status && !strcasecmp(type, c->path))
            return !strcasecmp(status, c->wanted);
    }
    return false;
}

bool waiting_is_met(const struct waiting_condition *c, const struct json_value *object)
{
    autobuf value = BUF_INIT;

    switch (c->kind) {
    case WAITING_GONE:
        return !object;
    case WAITING_CONDITION:
        return has_condition(c, object);
    case WAITING_VALUE:
        return jsonpath_get(c->path, object, &value) &&
               (!c->wanted || str_eq(buf_str(&value), c->wanted));
    }
    return false;
}

/* ---- What is waited for ---- */

void waiting_targets_add(struct waiting_targets *t, const struct resource *r, const char *space,
                         const char *name, const char *uid)
{
    t->v = xrealloc(t->v, t->n + 1, sizeof(*t->v));
    t->v[t->n++] =
        (struct waiting_target){r, xstrdup(space), xstrdup(name), uid ? xstrdup(uid) : NULL};
}

void waiting_targets_add_found(struct waiting_targets *t, const struct pods_found *f,
                               const char *space)
{
    for (size_t i = 0; i < f->n; i++) {
        const char *own = json_value_str(f->v[i], "metadata.namespace");
        const char *name = json_value_str(f->v[i], "metadata.name");

        if (name)
            waiting_targets_add(t, f->resources[i], own ? own : space, name,
                                json_value_str(f->v[i], "metadata.uid"));
    }
}

void waiting_targets_done(struct waiting_targets *t)
{
    for (size_t i = 0; i < t->n; i++) {
        free(t->v[i].space);
        free(t->v[i].name);
        free(t->v[i].uid);
    }
    free(t->v);
    *t = (struct waiting_targets){0};
}

/* ---- Waiting ---- */

struct waiting;

struct one {
    struct waiting *owner;
    const struct waiting_target *target;
    struct follower *follower;
    struct followed_lines lines;
    bool is_met;
    uint64_t steady_ns; /* met then, if it still is (steady.h); 0: not waited for */
    int64_t restarts;   /* when it was met */
};

struct waiting {
    struct agent_client *client;
    const struct waiting_condition *condition;
    struct followers *followers;
    void (*met)(void *ctx, const struct waiting_target *t);
    void *ctx;
    bool is_once; /* no watch */
    struct one *v;
    size_t n, n_met;
    struct err *e; /* what has failed */
};

static void one_met(struct one *o)
{
    struct waiting *w = o->owner;

    o->is_met = true;
    w->n_met++;
    follower_free(w->followers, take_ptr(o->follower));
    if (w->met)
        w->met(w->ctx, o->target);
    if (w->n_met == w->n)
        followers_stop(w->followers);
}

static int gone(struct one *o, struct err *e)
{
    const struct waiting_target *t = o->target;

    if (o->owner->condition->kind == WAITING_GONE) {
        one_met(o);
        return 0;
    }
    return err_set(e, -ENOENT, "Deleted", "%s/%s was deleted while it was waited for",
                   t->resource->singular, t->name);
}

static bool is_for_readiness(const struct waiting_condition *c)
{
    return c->kind == WAITING_CONDITION && !strcasecmp(c->path, "Ready") &&
           !strcasecmp(c->wanted, "True");
}

/* It is what is waited for, and may be something else in a moment. */
static bool is_unsteady(struct one *o, const struct json_value *object)
{
    struct pod_shown_summary pod;

    if (o->owner->is_once || !is_for_readiness(o->owner->condition) ||
        o->target->resource != resource_of(RESOURCE_POD))
        return false;
    pod_summarize(object, &pod);
    if (!o->steady_ns || o->restarts != pod.restarts)
        o->steady_ns = pod_steady_ns(object);
    o->restarts = pod.restarts;
    return o->steady_ns;
}

static int seen(struct one *o, const struct json_value *object, struct err *e)
{
    const char *uid = json_value_str(object, "metadata.uid");

    if (o->target->uid && uid && !str_eq(uid, o->target->uid))
        return gone(o, e);
    if (!waiting_is_met(o->owner->condition, object))
        o->steady_ns = 0;
    else if (!is_unsteady(o, object))
        one_met(o);
    return 0;
}

static int one_begin(struct one *o, struct err *e);

static void on_line(void *ctx, char *text, size_t len)
{
    struct one *o = ctx;
    AUTO(json_value) v = NULL;
    const struct json_value *object;
    enum pods_change change;
    struct err *e = o->owner->e;
    int r;

    if (o->is_met || e->code || !len)
        return;
    r = pods_change_parse(text, len, &v, &object, &change, e);
    if (r == -ESTALE) {
        *e = ERR_INIT;
        return; /* the watch ends too, and begins anew */
    }
    if (r > 0)
        r = change == PODS_DELETED ? gone(o, e) : seen(o, object, e);
    if (r < 0)
        followers_stop(o->owner->followers);
}

static void on_data(void *ctx, const void *data, size_t len)
{
    struct one *o = ctx;

    followed_lines_add(&o->lines, data, len);
}

static void on_ended(void *ctx, const struct err *e)
{
    struct one *o = ctx;

    o->follower = NULL;
    if (o->is_met || o->owner->e->code)
        return;
    if (e->code)
        *o->owner->e = *e;
    else if (one_begin(o, o->owner->e) >= 0)
        return;
    followers_stop(o->owner->followers);
}

/* How it is now, and a watch from there. */
static int one_begin(struct one *o, struct err *e)
{
    const struct waiting_target *t = o->target;
    AUTO(json_value) list = NULL;
    const struct json_value *object;
    autobuf path = BUF_INIT;

    buf_clear(&o->lines.rest);
    resource_path_add(&path, t->resource, t->space, NULL);
    resource_query_addf(&path, "fieldSelector", "metadata.name=%s", t->name);
    TRY(pods_fetch(o->owner->client, &path, &list, e));
    object = json_value_item(json_value_member(list, "items"), 0);
    if (!object && o->owner->condition->kind != WAITING_GONE)
        return err_set(e, -ENOENT, "NotFound", "there is no %s '%s' in the namespace '%s'",
                       t->resource->singular, t->name, t->space);
    TRY(object ? seen(o, object, e) : gone(o, e));
    if (o->is_met || o->owner->is_once)
        return 0;
    resource_query_add(&path, "watch", "1");
    resource_query_add(&path, "resourceVersion", json_value_str(list, "metadata.resourceVersion"));
    return followers_add(o->owner->followers,
                         &(struct follower_options){buf_str(&path), on_data, on_ended, o},
                         &o->follower, e);
}

static int timed_out(const struct waiting *w, struct err *e)
{
    static const char *const whats[] = {
        [WAITING_GONE] = "is still there",
        [WAITING_CONDITION] = "does not have the condition",
        [WAITING_VALUE] = "does not have the value",
    };
    size_t i = 0;

    while (i + 1 < w->n && w->v[i].is_met)
        i++;
    return err_set(e, -ETIMEDOUT, "Timeout",
                   "%s/%s %s yet%s; see 'wherry describe %s %s -n %s', or wait longer by --timeout",
                   w->v[i].target->resource->singular, w->v[i].target->name,
                   whats[w->condition->kind], w->n - w->n_met > 1 ? ", nor are others ready" : "",
                   w->v[i].target->resource->singular, w->v[i].target->name, w->v[i].target->space);
}

/* Those that have been ready for long enough are met; when the next one may be. */
static uint64_t steady_meet(void *ctx)
{
    struct waiting *w = ctx;
    uint64_t now = clock_monotonic_ns(), due = 0;

    for (size_t i = 0; i < w->n; i++) {
        struct one *o = &w->v[i];

        if (o->is_met || !o->steady_ns)
            continue;
        if (o->steady_ns <= now)
            one_met(o);
        else if (!due || o->steady_ns < due)
            due = o->steady_ns;
    }
    return due;
}

static int all_wait(struct waiting *w, const struct waiting_targets *t, uint64_t deadline_ns,
                    struct err *e)
{
    TRY(followers_open(&w->followers, e));
    followers_tick_set(w->followers, steady_meet, w);
    for (size_t i = 0; i < t->n; i++) {
        w->v[i] = (struct one){.owner = w, .target = &t->v[i]};
        w->v[i].lines = (struct followed_lines){.line = on_line, .ctx = &w->v[i]};
    }
    for (size_t i = 0; i < t->n; i++)
        TRY(one_begin(&w->v[i], e));
    if (w->n_met < w->n && !w->is_once)
        TRY(followers_run(w->followers, deadline_ns, e));
    if (e->code)
        return e->code;
    return w->n_met == w->n ? 0 : timed_out(w, e);
}

int waiting_run(struct agent_client *c, const struct waiting_targets *t,
                const struct waiting_condition *condition, int64_t timeout_ms,
                void (*met)(void *ctx, const struct waiting_target *t), void *ctx, struct err *e)
{
    struct waiting w = {
        .client = c,
        .condition = condition,
        .met = met,
        .ctx = ctx,
        .is_once = timeout_ms == 0,
        .v = xcalloc(t->n + 1, sizeof(struct one)),
        .n = t->n,
        .e = e,
    };
    uint64_t deadline_ns =
        timeout_ms > 0 ? clock_monotonic_ns() + (uint64_t)timeout_ms * 1000000 : 0;
    int r = t->n ? all_wait(&w, t, deadline_ns, e) : 0;

    followers_free(w.followers);
    for (size_t i = 0; i < t->n; i++)
        buf_done(&w.v[i].lines.rest);
    free(w.v);
    return r;
}
