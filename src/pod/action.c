/* SPDX-License-Identifier: Apache-2.0 */
#include "pod/probe.h"

#include "base/clock.h"
#include "base/text.h"
#include "base/version.h"
#include "wire/grpc_health.h"
#include "wire/http_async.h"

/* Of a response's body and of a command's output, as a kubelet has it. */
#define SHOWN_LIMIT_BYTES 10240

/*
 * Each action over a network has a client, and so a connection, of its own: between actions nothing
 * is left of them.
 */
struct action_run {
    const struct pod_action *action;
    const char *host;
    void (*done)(void *ctx, const char *failure);
    void *ctx;
    struct loop_timer *timer; /* of a sleep, or to leave the caller's stack */
    struct http_async *http;
    struct buf failure;
    bool is_ok;
    bool is_command_running;
    bool is_cancelled; /* only a command's end is waited for */
};

static void run_free(struct action_run *r)
{
    loop_timer_free(r->timer);
    http_async_free(r->http);
    buf_done(&r->failure);
    free(r);
}

static void run_end(struct action_run *r)
{
    struct action_run gone = *r;

    r->failure = BUF_INIT;
    run_free(r);
    gone.done(gone.ctx, gone.is_ok ? NULL : buf_str(&gone.failure));
    buf_done(&gone.failure);
}

static void on_timer(void *ctx)
{
    run_end(ctx);
}

void action_cancel(struct action_run *r)
{
    if (r->is_command_running)
        r->is_cancelled = true;
    else
        run_free(r);
}

/* ---- Text that a stranger wrote, for people ---- */

static void shown_add(struct buf *out, struct text t)
{
    size_t start;

    while (t.len && strchr(" \r\n\t", t.data[t.len - 1]))
        t.len--;
    if (!t.len)
        return;
    if (t.len > SHOWN_LIMIT_BYTES)
        t.len = SHOWN_LIMIT_BYTES;
    buf_addstr(out, ": ");
    start = out->len;
    text_lossy_add(t, out);
    text_mute(out->data + start, out->len - start, true);
}

/* ---- HTTP ---- */

static void on_http(void *ctx, const struct http_async_response *response, const struct err *e)
{
    struct action_run *r = ctx;

    if (!response) {
        buf_addstr(&r->failure, e->msg);
    } else if (response->status >= 200 && response->status < 400) {
        r->is_ok = true;
    } else {
        buf_addf(&r->failure, "HTTP probe failed with statuscode: %ld", response->status);
        shown_add(&r->failure, (struct text){response->body.data, response->body.len});
    }
    run_end(r);
}

static void url_begin(struct buf *url, const struct action_run *r)
{
    bool is_v6 = strchr(r->host, ':') && r->host[0] != '[';

    buf_addf(url, "%s://%s%s%s:%lld", r->action->is_https ? "https" : "http", is_v6 ? "[" : "",
             r->host, is_v6 ? "]" : "", (long long)r->action->port);
}

/* As it stands, with escapes for what no URL may have (RFC 3986, 2); escapes are left alone. */
static void path_add(struct buf *url, const char *path)
{
    if (!path || *path != '/')
        buf_addc(url, '/');
    for (const char *s = path ? path : ""; *s; s++)
        if ((unsigned char)*s > ' ' && (unsigned char)*s < 0x7f && !strchr("\"<>\\^`{|}", *s))
            buf_addc(url, *s);
        else
            buf_addf(url, "%%%02X", (unsigned char)*s);
}

static const char *header_find(const struct pod_pairs *headers, const char *name)
{
    for (size_t i = 0; i < headers->n; i++)
        if (!strcasecmp(headers->v[i].name, name))
            return headers->v[i].value;
    return NULL;
}

/* A User-Agent or Accept that is said to be empty is not sent. */
static void http_headers_add(struct strv *out, const struct pod_pairs *headers)
{
    for (size_t i = 0; i < headers->n; i++) {
        const struct pod_pair *h = &headers->v[i];

        if (*h->value || (strcasecmp(h->name, "User-Agent") && strcasecmp(h->name, "Accept")))
            strv_addf(out, "%s: %s", h->name, h->value);
    }
    if (!header_find(headers, "User-Agent"))
        strv_addf(out, "User-Agent: wherry-probe/%s", wherry_version);
    if (!header_find(headers, "Accept"))
        strv_add(out, "Accept: */*");
    strv_add(out, "Connection: close");
}

static void http_start(struct action_run *r, uint64_t timeout_ms)
{
    autobuf url = BUF_INIT, label = BUF_INIT;
    autostrv headers = STRV_INIT;

    url_begin(&url, r);
    path_add(&url, r->action->path);
    buf_addf(&label, "Get \"%s\"", url.data);
    http_headers_add(&headers, &r->action->headers);
    http_async_start(r->http,
                     &(struct http_async_request){
                         .url = url.data,
                         .label = label.data,
                         .headers = headers,
                         .timeout_ms = timeout_ms,
                         .body_limit = SHOWN_LIMIT_BYTES,
                         .flags = HTTP_ASYNC_INSECURE | HTTP_ASYNC_ONCE | HTTP_ASYNC_FOLLOW,
                     },
                     on_http, r);
}

/* ---- TCP ---- */

static void on_connected(void *ctx, const struct http_async_response *response, const struct err *e)
{
    struct action_run *r = ctx;

    if (response)
        r->is_ok = true;
    else
        buf_addstr(&r->failure, e->msg);
    run_end(r);
}

static void tcp_start(struct action_run *r, uint64_t timeout_ms)
{
    autobuf url = BUF_INIT;
    autofree char *label = NULL;

    url_begin(&url, r);
    label = xasprintf("dial tcp %s", strstr(url.data, "://") + 3);
    http_async_start(r->http,
                     &(struct http_async_request){.url = url.data,
                                                  .label = label,
                                                  .timeout_ms = timeout_ms,
                                                  .flags = HTTP_ASYNC_ONCE | HTTP_ASYNC_CONNECT},
                     on_connected, r);
}

/* ---- gRPC ---- */

/* From the trailers, or of a response without a body from the headers. */
static const char *grpc_field(const struct http_async_response *response, const char *name)
{
    const char *value = http_async_header(&response->trailers, name);

    return value ? value : http_async_header(&response->headers, name);
}

static void on_grpc(void *ctx, const struct http_async_response *response, const struct err *cause)
{
    struct action_run *r = ctx;
    struct err e = ERR_INIT;

    if (!response) {
        buf_addstr(&r->failure, cause->msg);
    } else {
        struct grpc_health_response health = {
            .http_status = response->status,
            .grpc_status = grpc_field(response, "grpc-status"),
            .grpc_message = grpc_field(response, "grpc-message"),
            .body = {response->body.data, response->body.len},
        };

        r->is_ok = grpc_health_check(&health, &e) == 0;
        if (!r->is_ok)
            buf_addstr(&r->failure, e.msg);
    }
    run_end(r);
}

static void grpc_start(struct action_run *r, uint64_t timeout_ms)
{
    const char *service = r->action->service ? r->action->service : "";
    autobuf url = BUF_INIT, message = BUF_INIT;
    autostrv headers = STRV_INIT;
    autofree char *label = NULL;

    url_begin(&url, r);
    label = xasprintf("health rpc to %s", strstr(url.data, "://") + 3);
    buf_addstr(&url, GRPC_HEALTH_PATH);
    grpc_health_request_add(service, &message);
    strv_add(&headers, "Content-Type: application/grpc");
    strv_add(&headers, "TE: trailers");
    strv_addf(&headers, "User-Agent: wherry-probe/%s", wherry_version);
    http_async_start(r->http,
                     &(struct http_async_request){
                         .method = "POST",
                         .url = url.data,
                         .label = label,
                         .headers = headers,
                         .body = message.data,
                         .body_len = message.len,
                         .timeout_ms = timeout_ms,
                         .body_limit = GRPC_HEALTH_LIMIT,
                         .flags = HTTP_ASYNC_HTTP2 | HTTP_ASYNC_ONCE,
                     },
                     on_grpc, r);
}

/* ---- Commands ---- */

static void on_command(void *ctx, int exit_code, const char *output)
{
    struct action_run *r = ctx;
    struct text said = text_of(output);

    r->is_command_running = false;
    if (r->is_cancelled) {
        run_free(r);
        return;
    }
    r->is_ok = exit_code == 0;
    if (exit_code > 0)
        buf_addf(&r->failure, "command exited with status %d", exit_code);
    else if (exit_code < 0)
        buf_addstr(&r->failure, "command failed");
    if (exit_code)
        shown_add(&r->failure, said);
    loop_timer_set(r->timer, 0);
}

static void exec_start(struct action_run *r, const struct actions_options *o, uint64_t timeout_ms)
{
    r->is_command_running = true;
    o->exec(o->ctx, &r->action->command, timeout_ms, on_command, r);
}

struct action_run *action_start(const struct actions_options *o, const struct pod_action *a,
                                uint64_t timeout_ms, void (*done)(void *ctx, const char *failure),
                                void *ctx)
{
    struct action_run *r = xcalloc(1, sizeof(*r));

    *r = (struct action_run){
        .action = a, .host = a->host && *a->host ? a->host : o->host, .done = done, .ctx = ctx};
    if (a->kind == POD_ACTION_SLEEP || a->kind == POD_ACTION_EXEC)
        r->timer = loop_timer_new(o->loop, on_timer, r);
    else
        r->http = http_async_new(o->loop);
    switch (a->kind) {
    case POD_ACTION_HTTP:
        http_start(r, timeout_ms);
        break;
    case POD_ACTION_TCP:
        tcp_start(r, timeout_ms);
        break;
    case POD_ACTION_GRPC:
        grpc_start(r, timeout_ms);
        break;
    case POD_ACTION_EXEC:
        exec_start(r, o, timeout_ms);
        break;
    case POD_ACTION_SLEEP:
        r->is_ok = true;
        loop_timer_set(r->timer, clock_monotonic_ns() + (uint64_t)a->sleep_ms * 1000000);
        break;
    }
    return r;
}
