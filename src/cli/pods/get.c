/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/secret.h"
#include "cli/cli.h"
#include "cli/pods/command.h"
#include "cli/pods/printers.h"
#include "manifest/yaml_write.h"

static struct print_options print_options_of(const struct get_options *o, bool has_kind)
{
    return (struct print_options){
        .is_wide = o->output && str_eq(o->output, "wide"),
        .has_labels = o->has_labels,
        .has_space = o->is_everywhere,
        .has_kind = has_kind,
        .now_ns = (int64_t)clock_realtime_ns(),
    };
}

/* ---- Whole objects ---- */

/* As kubectl does: one that was asked for by name is itself, all else is a List. */
static int objects_print(const struct pods_found *f, const char *format, bool is_one, struct err *e)
{
    autosecretbuf json = BUF_INIT;
    autosecretbuf out = BUF_INIT;
    AUTO(json_value) v = NULL;

    if (is_one) {
        json_value_write(f->v[0], false, &json);
    } else {
        buf_addstr(&json, "{\"apiVersion\":\"v1\",\"items\":[");
        for (size_t i = 0; i < f->n; i++) {
            if (i)
                buf_addc(&json, ',');
            json_value_write(f->v[i], false, &json);
        }
        buf_addstr(&json, "],\"kind\":\"List\",\"metadata\":{\"resourceVersion\":\"\"}}");
    }
    TRY(pods_json_parse(buf_str(&json), json.len, &v, e));
    if (str_eq(format, "yaml")) {
        yaml_write(v, &out);
    } else {
        json_value_write(v, true, &out);
        buf_addc(&out, '\n');
    }
    return pods_print(&out);
}

static int names_print(const struct pods_found *f)
{
    autobuf out = BUF_INIT;

    for (size_t i = 0; i < f->n; i++)
        buf_addf(&out, "%s/%s\n", f->resources[i]->singular,
                 json_value_str(f->v[i], "metadata.name"));
    return pods_print(&out);
}

/* ---- Tables ---- */

/* A table for each kind, with an empty line between. */
static int tables_print(const struct pods_found *f, const struct get_options *o)
{
    bool has_kinds = f->n && f->resources[0] != f->resources[f->n - 1];
    struct print_options p = print_options_of(o, has_kinds);
    autobuf out = BUF_INIT;

    for (size_t i = 0; i < f->n;) {
        const struct resource *r = f->resources[i];
        autotable t = {0};

        if (i)
            buf_addc(&out, '\n');
        print_header(&t, r->kind, &p, !o->is_headless);
        for (; i < f->n && f->resources[i] == r; i++)
            print_row(&t, r->kind, f->v[i], &p);
        table_print(&t, &out);
    }
    return pods_print(&out);
}

static void nothing_tell(const struct pods_context *x, bool is_everywhere)
{
    if (is_everywhere)
        fputs("No resources found\n", stderr);
    else
        fprintf(stderr, "No resources found in %s namespace.\n", x->space);
}

static int found_print(const struct pods_context *x, const struct get_options *o,
                       const struct resource_refs *refs, const struct pods_found *f,
                       size_t n_missing, struct err *e)
{
    if (o->output && (str_eq(o->output, "json") || str_eq(o->output, "yaml")))
        return f->n || !n_missing ? objects_print(f, o->output, refs->n == 1 && refs->v[0].name, e)
                                  : 0;
    if (o->output && str_eq(o->output, "name"))
        return names_print(f);
    if (!f->n && !n_missing)
        nothing_tell(x, o->is_everywhere);
    return tables_print(f, o);
}

/* ---- Watching ---- */

struct watching {
    const struct get_options *options;
    const struct resource *resource;
    struct table table;
    struct buf line; /* what is not complete yet */
    bool is_stopped; /* nobody reads any more */
};

static int object_show(struct watching *w, const struct json_value *object, struct err *e)
{
    struct print_options p = print_options_of(w->options, false);
    struct pods_found one = {.v = &object, .resources = &w->resource, .n = 1};
    const char *format = w->options->output;
    autobuf out = BUF_INIT;

    if (format && (str_eq(format, "json") || str_eq(format, "yaml"))) {
        if (str_eq(format, "yaml") && cli_print(&(struct buf){.data = (char *)"---\n", .len = 4}))
            return -EIO;
        return objects_print(&one, format, true, e) ? -EIO : 0;
    }
    if (format && str_eq(format, "name"))
        return names_print(&one) ? -EIO : 0;
    print_row(&w->table, w->resource->kind, object, &p);
    table_print(&w->table, &out);
    return pods_print(&out) ? -EIO : 0;
}

static int watched_line(struct watching *w, const char *line, size_t len, struct err *e)
{
    AUTO(json_value) v = NULL;
    const struct json_value *object;
    enum pods_change change;
    int r = pods_change_parse(line, len, &v, &object, &change, e);

    return r > 0 ? object_show(w, object, e) : r;
}

static int watched(void *ctx, const void *data, size_t len, struct err *e)
{
    struct watching *w = ctx;
    size_t at = 0;
    char *end;

    if (w->line.len + len > AGENT_ANSWER_LIMIT)
        return err_set(e, -EFBIG, "TooLarge", "the agent's answer has no end");
    buf_add(&w->line, data, len);
    while (at < w->line.len && (end = memchr(w->line.data + at, '\n', w->line.len - at))) {
        const char *line = w->line.data + at;

        at += (size_t)(end - line) + 1;
        if (end > line)
            TRY(watched_line(w, line, (size_t)(end - line), e));
    }
    buf_consume(&w->line, at);
    return 0;
}

/* One list, then what changes; a version that the agent does not remember begins it anew. */
static int watch_once(const struct pods_context *x, const struct pods_query *q, struct watching *w,
                      const char *name, struct err *e)
{
    autobuf path = BUF_INIT, field = BUF_INIT;
    AUTO(json_value) list = NULL;
    const struct json_value *items;
    const char *version;

    buf_addstr(&field, q->field_selector ? q->field_selector : "");
    if (name)
        buf_addf(&field, "%smetadata.name=%s", field.len ? "," : "", name);
    resource_path_add(&path, w->resource, q->space, NULL);
    resource_query_add(&path, "labelSelector", q->selector);
    resource_query_add(&path, "fieldSelector", field.len ? buf_str(&field) : NULL);
    TRY(pods_fetch(x->client, &path, &list, e));
    items = json_value_member(list, "items");
    for (size_t i = 0; i < json_value_count(items); i++)
        TRY(object_show(w, json_value_item(items, i), e));
    version = json_value_str(list, "metadata.resourceVersion");
    resource_query_add(&path, "watch", "1");
    resource_query_add(&path, "resourceVersion", version);
    buf_clear(&w->line);
    return agent_client_follow(x->client, buf_str(&path), watched, w, e);
}

static int watch(const struct pods_context *x, const struct get_options *o,
                 const struct resource_refs *refs, const struct pods_query *q, struct err *e)
{
    struct print_options p = print_options_of(o, false);
    struct watching w = {.options = o};
    bool is_table = !o->output || str_eq(o->output, "wide");
    int r;

    if (refs->n != 1)
        return err_set(e, -EINVAL, "BadUsage",
                       "--watch shows one kind, or one object of it; watch the others in another "
                       "terminal");
    if (q->selector)
        TRY(resource_selector_check(q->selector, e));
    w.resource = refs->v[0].resource;
    print_header(&w.table, w.resource->kind, &p, is_table && !o->is_headless);
    do {
        *e = ERR_INIT;
        r = watch_once(x, q, &w, refs->v[0].name, e);
    } while (r == -ESTALE);
    table_done(&w.table);
    buf_done(&w.line);
    if (r >= 0)
        return err_set(e, -EPIPE, "AgentFailed", "the agent has ended the watch; begin it again");
    return r == -EIO && !e->code ? 0 : r;
}

static int get(const struct pods_context *x, const struct resource *usual, struct err *e)
{
    const struct get_options *o = x->options;
    struct pods_query q = {
        .space = o->is_everywhere ? NULL : x->space,
        .selector = o->selector,
        .field_selector = o->field_selector,
    };
    autorefs refs = {0};
    autofound found = {0};
    size_t n_missing;
    int status;

    TRY(resource_refs_parse(x->operands, usual, &refs, e));
    if (o->is_watch)
        return watch(x, o, &refs, &q, e);
    TRY(pods_find(x, &refs, &q, &found, &n_missing, e));
    TRY(status = found_print(x, o, &refs, &found, n_missing, e));
    return status ? status : n_missing != 0;
}

int pods_get(const struct pods_context *x, struct err *e)
{
    return get(x, NULL, e);
}

int pods_ps(const struct pods_context *x, struct err *e)
{
    return get(x, resource_of(RESOURCE_POD), e);
}
