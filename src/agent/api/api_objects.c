/* SPDX-License-Identifier: Apache-2.0 */
/* Objects: list, get, create, replace, apply, delete. */
#include "agent/api/api_parts.h"
#include "agent/api/selector.h"
#include "base/secret.h"
#include "manifest/document.h"
#include "manifest/names.h"

/* ---- Reading ---- */

static int version_compare(const void *a, const void *b)
{
    const struct watch_item *x = *(struct watch_item *const *)a,
                            *y = *(struct watch_item *const *)b;

    return x->version < y->version ? -1 : x->version > y->version;
}

/* Those of the feed that are selected. Heap. */
static struct watch_item **items_select(struct api_call *c, const struct selector *labels,
                                        const struct selector *fields, size_t *ret_n)
{
    const struct watch_feed *f = workloads_feed(c->api->workloads, c->resource->resource);
    struct watch_item **v = xcalloc(watch_feed_count(f) + 1, sizeof(struct watch_item *));

    *ret_n = 0;
    for (size_t i = 0; i < watch_feed_count(f); i++) {
        struct watch_item *item = watch_feed_at(f, i);

        if ((!c->space || str_eq(item->space, c->space)) &&
            selector_is_met(labels, &item->labels) && selector_is_met(fields, &item->fields))
            v[(*ret_n)++] = item;
    }
    /* Events in the order in which they happened. */
    if (c->resource->resource == WORKLOADS_EVENTS)
        qsort(v, *ret_n, sizeof(struct watch_item *), version_compare);
    return v;
}

static void list_answer(struct api_call *c, const struct selector *labels,
                        const struct selector *fields)
{
    autosecretbuf body = BUF_INIT;
    size_t n, room = 256;
    autofree struct watch_item **v = items_select(c, labels, fields, &n);

    for (size_t i = 0; i < n; i++)
        room += v[i]->len + 1;
    buf_reserve(&body, room);
    buf_addf(&body,
             "{\"kind\":\"%sList\",\"apiVersion\":\"v1\",\"metadata\":{\"resourceVersion\":"
             "\"%llu\"},\"items\":[",
             c->resource->kind,
             (unsigned long long)watch_feed_version(
                 workloads_feed(c->api->workloads, c->resource->resource)));
    for (size_t i = 0; i < n; i++) {
        if (i)
            buf_addc(&body, ',');
        buf_add(&body, v[i]->json, v[i]->len);
    }
    buf_addstr(&body, "]}");
    api_answer(c, 200, API_JSON, body.data, body.len);
}

void api_list(struct api_call *c)
{
    AUTO(selector) labels = NULL;
    AUTO(selector) fields = NULL;
    struct err e = ERR_INIT;

    if (selector_labels_parse(http_exchange_query(c->x, "labelSelector"), &labels, &e) < 0 ||
        selector_fields_parse(http_exchange_query(c->x, "fieldSelector"),
                              workloads_fields(c->resource->resource), &fields, &e) < 0)
        api_answer_error(c, &e);
    else if (api_query_bool(c->x, "watch"))
        api_watch_begin(c, take_ptr(labels), take_ptr(fields));
    else
        list_answer(c, labels, fields);
}

/* A read of an object whose creation is under way: who knows of that waits for it to be there. */
struct late_get {
    struct api *api;
    struct http_exchange *x; /* NULL: the client has gone */
    const struct api_resource *resource;
};

static void on_late_closed(void *ctx)
{
    struct late_get *l = ctx;

    l->x = NULL;
}

static const struct watch_item *item_find(const struct api_call *c)
{
    return watch_feed_find(workloads_feed(c->api->workloads, c->resource->resource), c->space,
                           c->name);
}

static void get_answer(struct api_call *c, const struct watch_item *i)
{
    if (i)
        api_answer(c, 200, API_JSON, i->json, i->len);
    else
        api_answer_fail(c, "NotFound", "%s \"%.253s\" not found", c->resource->plural, c->name);
}

static void late_go(void *ctx, const char *space, const char *name, const struct err *failed)
{
    struct late_get *l = ctx;
    struct api_call c = {l->api, l->x, l->resource, space, name};

    if (c.x && failed)
        api_answer_error(&c, failed);
    else if (c.x)
        get_answer(&c, item_find(&c));
    free(l);
}

void api_get(struct api_call *c)
{
    struct workloads *s = c->api->workloads;
    enum workloads_resource resource = c->resource->resource;
    const struct watch_item *item = item_find(c);
    struct late_get *l;

    if (item || resource == WORKLOADS_EVENTS ||
        !workloads_is_busy(s, (enum object_kind)resource, c->space, c->name)) {
        get_answer(c, item);
        return;
    }
    l = xcalloc(1, sizeof(*l));
    *l = (struct late_get){c->api, take_ptr(c->x), c->resource};
    http_exchange_on_close(l->x, on_late_closed, l);
    workloads_wait(s, (enum object_kind)resource, c->space, c->name, late_go, l);
}

/* ---- Changing ---- */

/* A change whose answer comes later. */
struct pending {
    struct api *api;
    struct http_exchange *x; /* NULL: the client has gone */
};

static void on_pending_closed(void *ctx)
{
    struct pending *p = ctx;

    p->x = NULL;
}

static struct pending *pending_new(struct api_call *c)
{
    struct pending *p = xcalloc(1, sizeof(*p));

    *p = (struct pending){c->api, take_ptr(c->x)};
    http_exchange_on_close(p->x, on_pending_closed, p);
    return p;
}

static void on_done(void *ctx, enum workloads_outcome outcome, const struct watch_item *item,
                    const struct err *failed)
{
    struct pending *p = ctx;
    struct api_call c = {.api = p->api, .x = p->x};

    free(p);
    if (!c.x)
        return;
    if (failed)
        api_answer_error(&c, failed);
    else if (item)
        api_answer(&c, outcome == WORKLOADS_CREATED ? 201 : 200, API_JSON, item->json, item->len);
    else
        api_answer_success(&c);
}

static bool type_is(const char *type, const char *wanted)
{
    return type && !strncasecmp(type, wanted, strlen(wanted)) &&
           strchr("; \t", type[strlen(wanted)]);
}

static int body_check(struct api_call *c, struct err *e)
{
    const char *type = http_exchange_header(c->x, "Content-Type");
    bool is_patch = str_eq(http_exchange_method(c->x), "PATCH");

    if (is_patch
            ? !type_is(type, "application/apply-patch+yaml")
            : type && !type_is(type, "application/json") && !type_is(type, "application/yaml") &&
                  !type_is(type, "text/yaml") && !type_is(type, "application/x-yaml"))
        return err_set(e, -EINVAL, "UnsupportedMediaType",
                       "the body of the request is of the type '%.100s'; send %s", type ? type : "",
                       is_patch ? "application/apply-patch+yaml"
                                : "application/json or application/yaml");
    if (!name_is_label(c->space))
        return err_set(e, -EINVAL, "BadRequest", "'%.100s' is no name of a namespace: %s", c->space,
                       NAME_LABEL_RULE);
    return 0;
}

/* The one object of the body, alone. */
static int object_read(struct api_call *c, struct object **ret, struct err *e)
{
    struct objects_options options = {.file = "request", .space = c->space};
    autoobjects all = {0};
    struct object *o;

    TRY(body_check(c, e));
    TRY(objects_parse(http_exchange_body(c->x), &options, &all, e));
    if (all.n != 1)
        return err_set(e, -EINVAL, "BadRequest", "the request has %zu objects; send one at a time",
                       all.n);
    o = all.v[0];
    if (o->kind != (enum object_kind)c->resource->resource)
        return err_set(e, -EINVAL, "BadRequest", "the request has a %s, which is none of the %s",
                       object_kind_name(o->kind), c->resource->plural);
    if (!str_eq(o->space, c->space))
        return err_set(e, -EINVAL, "BadRequest",
                       "the namespace of the provided object does not match the namespace sent on "
                       "the request: '%.63s' and '%.63s'",
                       o->space, c->space);
    if (c->name && !str_eq(o->name, c->name))
        return err_set(e, -EINVAL, "BadRequest",
                       "the name of the object (%.253s) does not match the name on the URL "
                       "(%.100s)",
                       o->name, c->name);
    *ret = o;
    all.n = 0;
    return 0;
}

int api_version_parse(const char *text, uint64_t *ret, struct err *e)
{
    unsigned long long n;
    char *end;

    errno = 0;
    n = strtoull(text, &end, 10);
    if (*end || errno || *text == '-')
        return err_set(e, -EINVAL, "BadRequest", "'%.60s' is no resourceVersion", text);
    *ret = n;
    return 0;
}

/* What the body says that it was made from; objects_parse() does not heed it. 0: nothing. */
static int version_read(struct api_call *c, uint64_t *ret, struct err *e)
{
    AUTO(document_reader) reader = NULL;
    AUTO(document) d = NULL;
    const struct document_node *meta, *version;

    *ret = 0;
    TRY(document_reader_open(http_exchange_body(c->x), "request", &reader, e));
    TRY(document_next(reader, &d, e));
    meta = d ? document_find(d->root, "metadata") : NULL;
    version = meta ? document_find(meta, "resourceVersion") : NULL;
    return version && version->text && *version->text ? api_version_parse(version->text, ret, e)
                                                      : 0;
}

static void put(struct api_call *c, enum workloads_mode mode)
{
    struct object *o = NULL;
    struct err e = ERR_INIT;
    uint64_t version = 0;

    if (object_read(c, &o, &e) < 0 ||
        (mode != WORKLOADS_CREATE && version_read(c, &version, &e) < 0)) {
        object_unref(o);
        api_answer_error(c, &e);
        return;
    }
    workloads_put(c->api->workloads, o, mode, version, on_done, pending_new(c));
}

void api_create(struct api_call *c)
{
    put(c, WORKLOADS_CREATE);
}

void api_replace(struct api_call *c)
{
    put(c, WORKLOADS_REPLACE);
}

void api_apply(struct api_call *c)
{
    put(c, WORKLOADS_APPLY);
}

void api_delete(struct api_call *c)
{
    /* Ten years are not told from more. */
    const int64_t longest_s = 315360000;
    struct err e = ERR_INIT;
    int64_t grace_s;

    if (api_query_int(c->x, "gracePeriodSeconds", -1, 0, &grace_s, &e) < 0) {
        api_answer_error(c, &e);
        return;
    }
    if (grace_s > longest_s)
        grace_s = longest_s;
    workloads_delete(c->api->workloads, (enum object_kind)c->resource->resource, c->space, c->name,
                     grace_s < 0 ? -1 : grace_s * 1000, on_done, pending_new(c));
}
