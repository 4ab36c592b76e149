/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/pods/logs.h"

#include <stdio.h>

#include "base/clock.h"
#include "cli/cli.h"
#include "cli/pods/ages.h"
#include "cli/pods/command.h"
#include "cli/pods/followers.h"

#define SELECTED_TAIL 10 /* as kubectl: of several pods only the last lines */

/* A container whose log is printed. */
struct source {
    char *pod, *container; /* NULL: the pod's first */
    struct log_printer printer;
    struct followed_lines lines;
    struct printing *owner;
};

struct printing {
    const struct pods_context *x;
    struct source *v;
    size_t n;
    bool is_closed; /* standard output takes no more */
    struct followers *followers;
    int status;
};

static void on_line(void *ctx, char *text, size_t len)
{
    struct source *s = ctx;

    if (!s->owner->is_closed && log_printer_line(&s->printer, text, len) < 0)
        s->owner->is_closed = true;
    if (s->owner->is_closed && s->owner->followers)
        followers_stop(s->owner->followers);
}

static void source_add(struct printing *p, const char *pod, const char *container)
{
    struct source *s;

    p->v = xrealloc(p->v, p->n + 1, sizeof(*p->v));
    s = &p->v[p->n++];
    *s = (struct source){.pod = xstrdup(pod), .container = container ? xstrdup(container) : NULL};
}

/* The sources do not move any more. */
static void sources_settle(struct printing *p, bool has_prefix)
{
    for (size_t i = 0; i < p->n; i++) {
        struct source *s = &p->v[i];
        autofree char *prefix = xasprintf("[pod/%s/%s] ", s->pod, s->container ? s->container : "");

        s->owner = p;
        s->lines = (struct followed_lines){.line = on_line, .ctx = s};
        log_printer_init(&s->printer, has_prefix ? prefix : NULL);
    }
}

static void printing_done(struct printing *p)
{
    followers_free(p->followers);
    for (size_t i = 0; i < p->n; i++) {
        free(p->v[i].pod);
        free(p->v[i].container);
        buf_done(&p->v[i].lines.rest);
        log_printer_done(&p->v[i].printer);
    }
    free(p->v);
}

/* ---- Which ---- */

static void pod_add(struct printing *p, const struct json_value *pod)
{
    const struct logs_options *o = p->x->options;
    const char *name = json_value_str(pod, "metadata.name");
    autostrv names = STRV_INIT;

    log_containers_add(pod, o->is_all, &names);
    for (size_t i = 0; name && i < names.n; i++)
        if (o->container ? str_eq(names.v[i], o->container) : o->is_all || i == 0)
            source_add(p, name, names.v[i]);
}

static int selected_find(struct printing *p, struct err *e)
{
    const struct logs_options *o = p->x->options;
    struct pods_query q = {.space = p->x->space, .selector = o->selector};
    struct resource_ref all = {resource_of(RESOURCE_POD), NULL};
    struct resource_refs refs = {&all, 1};
    autofound found = {0};
    size_t n_missing;

    if (p->x->operands->n)
        return err_set(e, -EINVAL, "BadUsage", "'%.60s' and --selector: leave one of them out",
                       p->x->operands->v[0]);
    TRY(pods_find(p->x, &refs, &q, &found, &n_missing, e));
    for (size_t i = 0; i < found.n; i++)
        pod_add(p, found.v[i]);
    if (!p->n)
        fprintf(stderr, "No resources found in %s namespace.\n", p->x->space);
    return 0;
}

static int named_find(struct printing *p, struct err *e)
{
    const struct logs_options *o = p->x->options;
    const struct strv *words = p->x->operands;
    const char *word = words->n ? words->v[0] : "", *slash = strchr(word, '/');
    const char *name = slash ? slash + 1 : word;
    const char *container = words->n > 1 ? words->v[1] : o->container;
    autobuf path = BUF_INIT;
    AUTO(json_value) pod = NULL;
    const struct resource *r = resource_of(RESOURCE_POD);

    if (!*name)
        return err_set(e, -EINVAL, "BadUsage", "say of which pod: wherry logs POD");
    if (words->n > 1 && o->container)
        return err_set(e, -EINVAL, "BadUsage", "'%.60s' and --container: leave one of them out",
                       container);
    if (slash) {
        autofree char *kind = xstrndup(word, (size_t)(slash - word));

        TRY(resource_find(kind, &r, e));
    }
    if (r->kind != RESOURCE_POD)
        return err_set(e, -EINVAL, "BadUsage", "only pods have logs, not a %s", r->singular);
    resource_path_add(&path, r, p->x->space, name);
    TRY(pods_fetch(p->x->client, &path, &pod, e));
    if (container && !o->is_all)
        source_add(p, name, container);
    else
        pod_add(p, pod);
    return 0;
}

/* ---- What of them ---- */

static int target_make(const struct pods_context *x, const struct source *s, struct buf *path,
                       struct err *e)
{
    const struct logs_options *o = x->options;
    int64_t tail = o->tail.is_set ? o->tail.value : o->selector ? SELECTED_TAIL : -1, ns;

    resource_path_add(path, resource_of(RESOURCE_POD), x->space, s->pod);
    buf_addstr(path, "/log");
    resource_query_add(path, "container", s->container);
    if (o->is_follow)
        resource_query_add(path, "follow", "true");
    if (o->is_previous)
        resource_query_add(path, "previous", "true");
    if (o->has_timestamps)
        resource_query_add(path, "timestamps", "true");
    if (tail >= 0)
        resource_query_addf(path, "tailLines", "%lld", (long long)tail);
    if (o->since_ms.is_set)
        resource_query_addf(path, "sinceSeconds", "%lld",
                            (long long)((o->since_ms.value + 999) / 1000));
    if (o->since_time) {
        TRY(age_time_parse(o->since_time, &ns, e));
        resource_query_add(path, "sinceTime", o->since_time);
    }
    if (o->limit_bytes.is_set)
        resource_query_addf(path, "limitBytes", "%lld", (long long)o->limit_bytes.value);
    return 0;
}

/* ---- One after the other, or together ---- */

static int on_piece(void *ctx, const void *data, size_t len, struct err *e)
{
    struct source *s = ctx;

    (void)e;
    followed_lines_add(&s->lines, data, len);
    return s->owner->is_closed ? -EPIPE : 0;
}

static int in_turn(struct printing *p, struct err *e)
{
    for (size_t i = 0; i < p->n && !p->is_closed; i++) {
        struct source *s = &p->v[i];
        autobuf path = BUF_INIT;
        int r;

        TRY(target_make(p->x, s, &path, e));
        r = agent_client_follow(p->x->client, buf_str(&path), on_piece, s, e);
        followed_lines_end(&s->lines);
        if (p->is_closed)
            return 0;
        if (r < 0 && p->n == 1)
            return r;
        if (r < 0)
            p->status = cli_fail("logs", e, 1);
        *e = ERR_INIT;
    }
    return p->status;
}

static void on_data(void *ctx, const void *data, size_t len)
{
    struct source *s = ctx;

    followed_lines_add(&s->lines, data, len);
}

static void on_ended(void *ctx, const struct err *e)
{
    struct source *s = ctx;

    followed_lines_end(&s->lines);
    if (e->code)
        s->owner->status = cli_fail("logs", e, 1);
}

static int together(struct printing *p, struct err *e)
{
    TRY(followers_open(&p->followers, e));
    for (size_t i = 0; i < p->n; i++) {
        autobuf path = BUF_INIT;

        TRY(target_make(p->x, &p->v[i], &path, e));
        TRY(followers_add(p->followers,
                          &(struct follower_options){buf_str(&path), on_data, on_ended, &p->v[i]},
                          NULL, e));
    }
    TRY(followers_run(p->followers, 0, e));
    return p->status;
}

int pods_logs(const struct pods_context *x, struct err *e)
{
    const struct logs_options *o = x->options;
    struct printing p = {.x = x};
    int r;

    if (o->since_ms.is_set && o->since_time)
        return err_set(e, -EINVAL, "BadUsage", "--since and --since-time: leave one of them out");
    r = o->selector ? selected_find(&p, e) : named_find(&p, e);
    sources_settle(&p, o->has_prefix);
    if (r >= 0)
        r = o->is_follow && p.n > 1 ? together(&p, e) : in_turn(&p, e);
    printing_done(&p);
    return r;
}
