/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/api_parts.h"
#include "agent/api/selector.h"
#include "base/clock.h"
#include "base/secret.h"

/* As often as an API server tells how far it is. */
#define BOOKMARK_NS 60000000000ull

struct api_watch {
    struct api_watch *next, *prev;
    struct api *api;
    struct http_exchange *x;
    const struct api_resource *resource;
    struct watch_feed *feed;
    struct watcher *watcher;
    struct selector *labels, *fields;
    char *space;               /* NULL: all */
    struct watch_item **first; /* what was there at the beginning; references */
    size_t n_first, next_first;
    uint64_t version; /* what the client has seen, or what was not for it */
    uint64_t told;    /* the last version that was sent */
    bool is_full;     /* the client does not read; `drained` follows */
    bool has_bookmarks;
    bool is_initial_due; /* the bookmark at the end of `first` */
    struct loop_timer *bookmark, *end;
};

static void watch_free(struct api_watch *w)
{
    *(w->prev ? &w->prev->next : &w->api->watches) = w->next;
    if (w->next)
        w->next->prev = w->prev;
    for (size_t i = w->next_first; i < w->n_first; i++)
        watch_item_unref(w->first[i]);
    free(w->first);
    watcher_free(w->watcher);
    selector_free(w->labels);
    selector_free(w->fields);
    loop_timer_free(w->bookmark);
    loop_timer_free(w->end);
    free(w->space);
    free(w);
}

static void watch_end(struct api_watch *w)
{
    http_exchange_end(w->x);
    watch_free(w);
}

void api_watches_free(struct api *a)
{
    while (a->watches)
        watch_free(a->watches);
}

/* ---- Sending ---- */

/* False when the watch is no more. */
static bool line_send(struct api_watch *w, const char *type, const char *json, size_t len)
{
    autosecretbuf line = BUF_INIT;
    int r;

    buf_reserve(&line, len + 64);
    buf_addf(&line, "{\"type\":\"%s\",\"object\":", type);
    buf_add(&line, json, len);
    buf_addstr(&line, "}\n");
    r = http_exchange_send(w->x, line.data, line.len);
    if (r < 0) {
        watch_end(w);
        return false;
    }
    w->is_full = r > 0;
    return true;
}

static bool item_send(struct api_watch *w, const char *type, const struct watch_item *i)
{
    w->told = i->version;
    return line_send(w, type, i->json, i->len);
}

static bool bookmark_send(struct api_watch *w, bool is_initial)
{
    autobuf json = BUF_INIT;

    buf_addf(
        &json,
        "{\"kind\":\"%s\",\"apiVersion\":\"v1\",\"metadata\":{\"resourceVersion\":\"%llu\"%s}}",
        w->resource->kind, (unsigned long long)w->version,
        is_initial ? ",\"annotations\":{\"k8s.io/initial-events-end\":\"true\"}" : "");
    w->told = w->version;
    return line_send(w, "BOOKMARK", json.data, json.len);
}

static void expired_send(struct api_watch *w)
{
    autobuf json = BUF_INIT;
    struct err e = ERR_INIT;

    err_set(&e, -ESTALE, "Expired",
            "The resourceVersion for the provided watch is too old: list again, and watch from the "
            "list's version");
    api_status_write(&e, &json);
    if (line_send(w, "ERROR", json.data, json.len))
        watch_end(w);
}

static bool is_selected(const struct api_watch *w, const struct watch_item *i)
{
    return (!w->space || str_eq(i->space, w->space)) && selector_is_met(w->labels, &i->labels) &&
           selector_is_met(w->fields, &i->fields);
}

/* What the change is to somebody who sees only what is selected; NULL: nothing. */
static const char *change_type(const struct api_watch *w, const struct watch_change *c)
{
    bool was = c->before && is_selected(w, c->before);
    bool is = !c->is_removal && is_selected(w, c->now);

    return was && is ? "MODIFIED" : was ? "DELETED" : is ? "ADDED" : NULL;
}

static bool first_pump(struct api_watch *w)
{
    while (w->next_first < w->n_first && !w->is_full) {
        struct watch_item *i = w->first[w->next_first++];
        bool is_open = item_send(w, "ADDED", i);

        watch_item_unref(i);
        if (!is_open)
            return false;
    }
    if (w->next_first < w->n_first || w->is_full || !w->is_initial_due)
        return true;
    w->is_initial_due = false;
    return bookmark_send(w, true);
}

/* Sends until the client does not read or there is nothing more. */
static void watch_pump(struct api_watch *w)
{
    struct watch_change change;
    int r = 0;

    if (w->is_full || !first_pump(w))
        return;
    while (w->next_first == w->n_first && !w->is_full &&
           (r = watcher_next(w->watcher, &change)) > 0) {
        const char *type = change_type(w, &change);

        w->version = change.now->version;
        if (type && !item_send(w, type, change.now))
            return;
    }
    if (r < 0) {
        expired_send(w);
        return;
    }
    /* Nobody wakes for a watcher that has seen all. */
    if (w->has_bookmarks && w->told < w->version && !loop_timer_is_set(w->bookmark))
        loop_timer_set(w->bookmark, clock_monotonic_ns() + BOOKMARK_NS);
}

/* ---- Being told ---- */

static void on_pump(void *ctx)
{
    struct api *a = ctx;
    struct api_watch *next;

    a->is_pump_due = false;
    for (struct api_watch *w = a->watches; w; w = next) {
        next = w->next;
        watch_pump(w);
    }
    api_release(a);
}

/* Once for all changes of a round of the loop. */
static void on_woken(void *ctx)
{
    struct api_watch *w = ctx;

    if (w->api->is_pump_due)
        return;
    w->api->is_pump_due = true;
    api_hold(w->api);
    loop_defer(w->api->loop, on_pump, w->api);
}

static void on_drained(void *ctx)
{
    struct api_watch *w = ctx;

    w->is_full = false;
    watch_pump(w);
}

static void on_bookmark(void *ctx)
{
    struct api_watch *w = ctx;

    if (!w->is_full && w->told < w->version)
        (void)bookmark_send(w, false);
}

static void on_end(void *ctx)
{
    watch_end(ctx);
}

static void on_closed(void *ctx)
{
    watch_free(ctx);
}

/* ---- Beginning ---- */

/* Everything that is selected, to be told as ADDED. */
static void first_take(struct api_watch *w)
{
    size_t n = watch_feed_count(w->feed);

    w->first = xcalloc(n + 1, sizeof(struct watch_item *));
    for (size_t i = 0; i < n; i++) {
        struct watch_item *item = watch_feed_at(w->feed, i);

        if (is_selected(w, item))
            w->first[w->n_first++] = watch_item_ref(item);
    }
}

static struct api_watch *watch_new(struct api_call *c, struct selector *labels,
                                   struct selector *fields)
{
    struct api *a = c->api;
    struct api_watch *w = xcalloc(1, sizeof(*w));

    *w = (struct api_watch){.next = a->watches,
                            .api = a,
                            .x = take_ptr(c->x),
                            .resource = c->resource,
                            .feed = workloads_feed(a->workloads, c->resource->resource),
                            .labels = labels,
                            .fields = fields,
                            .space = c->space ? xstrdup(c->space) : NULL};
    if (a->watches)
        a->watches->prev = w;
    a->watches = w;
    w->has_bookmarks = api_query_bool(w->x, "allowWatchBookmarks");
    w->bookmark = loop_timer_new(a->loop, on_bookmark, w);
    w->end = loop_timer_new(a->loop, on_end, w);
    return w;
}

void api_watch_begin(struct api_call *c, struct selector *labels, struct selector *fields)
{
    const char *text = http_exchange_query(c->x, "resourceVersion");
    struct err e = ERR_INIT;
    uint64_t version = 0;
    int64_t timeout_s = 0;
    struct api_watch *w;

    if ((text && api_version_parse(text, &version, &e) < 0) ||
        api_query_int(c->x, "timeoutSeconds", 0, 0, &timeout_s, &e) < 0) {
        selector_free(labels);
        selector_free(fields);
        api_answer_error(c, &e);
        return;
    }
    w = watch_new(c, labels, fields);
    if (!version) {
        version = watch_feed_version(w->feed);
        first_take(w);
        w->is_initial_due = w->has_bookmarks;
    }
    w->version = w->told = version;
    api_count(w->api, 200);
    http_exchange_on_close(w->x, on_closed, w);
    http_exchange_begin(w->x, 200, API_JSON, on_drained, w);
    if (watcher_new(w->feed, version, on_woken, w, &w->watcher) < 0) {
        expired_send(w);
        return;
    }
    if (timeout_s > 0 && timeout_s < 1000000)
        loop_timer_set(w->end, clock_monotonic_ns() + (uint64_t)timeout_s * 1000000000);
    watch_pump(w);
}
