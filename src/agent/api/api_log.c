/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/api_parts.h"
#include "base/clock.h"
#include "pod/logs/logs.h"

struct api_log {
    struct api_log *next, *prev;
    struct api *api;
    struct http_exchange *x;
    struct log_reader *reader;
    const struct pod *pod; /* for comparing only */
    size_t container;
    int64_t attempt; /* whose log is followed; 0: it is not */
    bool is_begun;
};

static void log_free(struct api_log *l)
{
    *(l->prev ? &l->prev->next : &l->api->logs) = l->next;
    if (l->next)
        l->next->prev = l->prev;
    log_reader_free(l->reader);
    free(l);
}

static void on_closed(void *ctx)
{
    log_free(ctx);
}

static void on_drained(void *ctx)
{
    struct api_log *l = ctx;

    log_reader_resume(l->reader);
}

static void log_begin(struct api_log *l)
{
    if (l->is_begun)
        return;
    l->is_begun = true;
    api_count(l->api, 200);
    http_exchange_begin(l->x, 200, "text/plain", on_drained, l);
}

static bool on_data(void *ctx, const void *data, size_t len)
{
    struct api_log *l = ctx;

    log_begin(l);
    /* What is too much cannot come: the reader pauses before. */
    return http_exchange_send(l->x, data, len) == 0;
}

static void on_ended(void *ctx, const struct err *e)
{
    struct api_log *l = ctx;
    struct api_call c = {.api = l->api, .x = l->x};

    /* Without a file the run has said nothing. */
    if (!l->is_begun && e && e->code && !str_eq(e->reason, "NotFound")) {
        api_answer_error(&c, e);
    } else {
        log_begin(l);
        http_exchange_end(l->x);
    }
    log_free(l);
}

/* ---- Following ---- */

static bool is_live(const struct pod_machine *m, size_t container)
{
    enum pod_state s = pod_machine_state(m, container);

    return s >= POD_STATE_STARTING && s <= POD_STATE_INTERRUPTED;
}

void api_logs_pod_changed(struct api *a, const struct pod *p)
{
    const struct pod_machine *m = pod_machine_of(p);
    struct api_log *next;

    for (struct api_log *l = a->logs; l; l = next) {
        next = l->next;
        if (l->pod == p && l->attempt &&
            (!is_live(m, l->container) || pod_machine_attempt(m, l->container) != l->attempt)) {
            l->attempt = 0;
            log_reader_end(l->reader);
        }
    }
}

void api_logs_pod_gone(struct api *a, const struct pod *p)
{
    struct api_log *next;

    for (struct api_log *l = a->logs; l; l = next) {
        next = l->next;
        if (l->pod != p)
            continue;
        l->pod = NULL;
        if (l->attempt)
            log_reader_end(l->reader);
        l->attempt = 0;
    }
}

/* ---- The request ---- */

static int since_read(const struct http_exchange *x, int64_t *ret_ns, struct err *e)
{
    const char *text = http_exchange_query(x, "sinceTime");
    int64_t now_ns = (int64_t)clock_realtime_ns(), seconds;

    TRY(api_query_int(x, "sinceSeconds", -1, 1, &seconds, e));
    *ret_ns = 0;
    if (seconds > 0)
        *ret_ns = seconds > now_ns / 1000000000 ? 1 : now_ns - seconds * 1000000000;
    if (!text || !*text)
        return 0;
    if (!clock_rfc3339_parse(text, strlen(text), ret_ns))
        return err_set(e, -EINVAL, "BadRequest",
                       "'%.60s' of sinceTime is no time such as 2026-11-24T00:31:02Z", text);
    return 0;
}

static int query_read(const struct http_exchange *x, struct log_query *ret, struct err *e)
{
    TRY(api_query_int(x, "tailLines", -1, 0, &ret->tail_lines, e));
    TRY(api_query_int(x, "limitBytes", 0, 1, &ret->limit_bytes, e));
    TRY(since_read(x, &ret->since_ns, e));
    ret->has_timestamps = api_query_bool(x, "timestamps");
    ret->is_followed = api_query_bool(x, "follow");
    return 0;
}

static struct api_log *log_new(struct api_call *c, struct pod *p, size_t container,
                               const struct log_query *q)
{
    struct api *a = c->api;
    struct api_log *l = xcalloc(1, sizeof(*l));

    *l = (struct api_log){
        .next = a->logs, .api = a, .x = take_ptr(c->x), .pod = p, .container = container};
    if (a->logs)
        a->logs->prev = l;
    a->logs = l;
    if (q->is_followed)
        l->attempt = pod_machine_attempt(pod_machine_of(p), container);
    return l;
}

static void log_start(struct api_call *c, struct pod *p, size_t container, const char *path,
                      const struct log_query *q)
{
    struct err e = ERR_INIT;
    struct api_log *l = log_new(c, p, container, q);

    http_exchange_on_close(l->x, on_closed, l);
    if (log_reader_new(c->api->loop, path, q, on_data, on_ended, l, &l->reader, &e) < 0) {
        on_ended(l, &e);
        return;
    }
    if (!q->is_followed)
        return;
    /* The client may be told at once that it is connected. */
    log_begin(l);
    if (!is_live(pod_machine_of(p), container)) {
        l->attempt = 0;
        log_reader_end(l->reader);
    }
}

void api_log_get(struct api_call *c)
{
    struct log_query q = {0};
    struct err e = ERR_INIT;
    autofree char *path = NULL;
    const struct pod_container *container;
    struct pod *p = api_call_pod(c);
    bool is_previous;

    if (!p)
        return;
    container = api_call_container(c, p);
    if (!container)
        return;
    is_previous = api_query_bool(c->x, "previous");
    if (query_read(c->x, &q, &e) < 0) {
        api_answer_error(c, &e);
        return;
    }
    /* A run that has ended gets no more lines. */
    if (is_previous)
        q.is_followed = false;
    if (pod_log_path(p, container->name, is_previous, &path, &e) < 0) {
        api_answer_fail(c, "BadRequest", "%.400s", e.msg);
        return;
    }
    log_start(c, p, (size_t)(container - pod_spec_of(p)->containers), path, &q);
}
