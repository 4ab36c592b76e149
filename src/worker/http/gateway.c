/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/http/gateway.h"

#include <pthread.h>

#include "base/clock.h"
#include "base/log.h"
#include "worker/http/access_log.h"
#include "worker/http/cgi.h"
#include "worker/http/figures.h"
#include "worker/http/line_writer.h"
#include "worker/http/routes.h"
#include "worker/http/trace_context.h"

/* Of the access log that its reader has not taken yet. */
#define LOG_LIMIT_BYTES (4u << 20)
/* Failures of requests that are logged in one second; a client can make any number of them. */
#define FAILURES_PER_SECOND 20

struct gateway {
    const struct guest_job *job;
    struct apps *apps;
    struct routes *routes;
    struct figures *figures;
    const char **names; /* of the apps */
    const struct engine_server *server;
    struct line_writer *log; /* NULL: no access log */
    bool is_json;

    pthread_mutex_t lock; /* guards what follows */
    uint64_t second, n_logged, n_hidden;
};

static const struct engine_answer answers[ENGINE_REQUEST_ENDS] = {
    [ENGINE_REQUEST_TRAPPED] = {500, "Trap",             false},
    [ENGINE_OUT_OF_MEMORY] = {503, "OOMKilled",        false},
    [ENGINE_TIMED_OUT] = {504, "DeadlineExceeded", false},
    [ENGINE_CPU_EXCEEDED] = {504, "CPULimitExceeded", false},
    [ENGINE_NOT_ANSWERED] = {500, "NoResponse",       false},
    [ENGINE_GUEST_ERROR] = {500, "ErrorCode",        false},
    [ENGINE_BAD_ANSWER] = {502, "BadCgiResponse",   false},
    [ENGINE_BODY_TOO_LARGE] = {413, "BodyTooLarge",     false},
    [ENGINE_OVERLOADED] = {503, "Overloaded",       true },
    [ENGINE_CLIENT_GONE] = {499, "ClientGone",       false},
    [ENGINE_BAD_REQUEST] = {400, "BadRequest",       false},
    [ENGINE_HEAD_TOO_LARGE] = {431, "HeadersTooLarge",  false},
};

/* What is kept of a request's head for the record of its end. One block with its texts. */
struct note {
    size_t app;
    struct access_record record;
    char trace_id[TRACE_ID_LENGTH];
    char texts[];
};

/* ---- Failures in the log ---- */

/* Counts those that are not logged because there are too many; says so once they can be. */
static bool may_log(struct gateway *g, uint64_t *ret_hidden)
{
    uint64_t second = clock_monotonic_ns() / 1000000000u;
    bool is_allowed;

    pthread_mutex_lock(&g->lock);
    if (second != g->second) {
        g->second = second;
        g->n_logged = 0;
    }
    is_allowed = g->n_logged < FAILURES_PER_SECOND;
    *ret_hidden = 0;
    if (is_allowed) {
        g->n_logged++;
        *ret_hidden = g->n_hidden;
        g->n_hidden = 0;
    } else {
        g->n_hidden++;
    }
    pthread_mutex_unlock(&g->lock);
    return is_allowed;
}

/* One line, the backtrace's lines too. */
static void failure_log(struct gateway *g, const char *name, const char *id, const char *reason,
                        const char *trap, const char *detail)
{
    autobuf line = BUF_INIT;
    uint64_t n_hidden;

    if (!may_log(g, &n_hidden))
        return;
    for (const char *c = detail; *c; c++)
        if (*c == '\n')
            buf_addstr(&line, ";");
        else if (*c != ' ' || !line.len || line.data[line.len - 1] != ' ')
            buf_addc(&line, *c);
    if (n_hidden)
        log_warn("serve: %llu more failed requests were not logged", (unsigned long long)n_hidden);
    log_error("serve: %s: request %s: %s%s%s%s%s", name, id, reason, trap[0] ? ": " : "", trap,
              line.len ? ": " : "", buf_str(&line));
}

/* ---- The beginning ---- */

static struct text copy(struct text from, char **at)
{
    struct text t = {from.data ? *at : NULL, from.len};

    if (from.len)
        memcpy(*at, from.data, from.len);
    *at += from.len;
    return t;
}

/* What the access log will want; without a log only the app is kept. */
static struct note *note_new(const struct gateway *g, size_t app, const struct engine_request *r,
                             const struct engine_dispatch *d)
{
    struct text agent = {0}, referer = {0};
    struct note *n;
    char *at;

    if (!g->log) {
        n = xcalloc(1, sizeof(*n));
        n->app = app;
        return n;
    }
    agent = engine_request_header(r, "user-agent");
    referer = engine_request_header(r, "referer");
    n = xcalloc(1, sizeof(*n) + r->peer.len + r->method.len + r->path.len + r->protocol.len +
                       r->authority.len + agent.len + referer.len);
    n->app = app;
    at = n->texts;
    n->record = (struct access_record){
        .peer = copy(r->peer, &at),
        .method = copy(r->method, &at),
        .path = copy(r->path, &at),
        .protocol = copy(r->protocol, &at),
        .host = copy(r->authority, &at),
        .user_agent = copy(agent, &at),
        .referer = copy(referer, &at),
    };
    if (d->traceparent[0]) {
        memcpy(n->trace_id, d->traceparent + TRACE_ID_OFFSET, TRACE_ID_LENGTH);
        n->record.trace_id = (struct text){n->trace_id, TRACE_ID_LENGTH};
    }
    return n;
}

/* The client's own id where it is harmless, so that a request can be followed through proxies. */
static void request_id_fill(const struct engine_request *r, char ret[static ENGINE_REQUEST_ID_SIZE])
{
    struct text id = engine_request_header(r, "x-request-id");

    if (id.data && id.len < ENGINE_REQUEST_ID_SIZE && request_id_is_sane(id.data, id.len)) {
        memcpy(ret, id.data, id.len);
        ret[id.len] = 0;
        return;
    }
    request_id_make(ret);
}

/* A trace that came in is continued: the guest is a child of whoever asked. */
static void traceparent_fill(const struct engine_request *r,
                             char ret[static ENGINE_TRACEPARENT_SIZE])
{
    struct text text = engine_request_header(r, "traceparent");
    struct trace_context parent, own;

    if (!text.data || !trace_context_parse(text.data, text.len, &parent))
        return;
    trace_context_child(&parent, &own);
    trace_context_format(&own, ret);
}

static struct text path_of(const struct engine_request *r)
{
    const char *query = memchr(r->path.data, '?', r->path.len);

    return (struct text){r->path.data, query ? (size_t)(query - r->path.data) : r->path.len};
}

static void dispatch(void *ctx, unsigned thread, const struct engine_request *r,
                     struct engine_dispatch *ret)
{
    struct gateway *g = ctx;
    size_t app = g->job->serve.n_apps;
    struct err e = ERR_INIT;

    (void)thread;
    request_id_fill(r, ret->request_id);
    traceparent_fill(r, ret->traceparent);
    if (text_eq(r->method, "CONNECT")) {
        ret->status = 501;
        ret->reason = "NotImplemented";
    } else {
        ssize_t found = routes_find(g->routes, r->authority, path_of(r));

        if (found >= 0) {
            app = (size_t)found;
            ret->route_len = strlen(g->job->serve.apps[app].route);
            if (apps_service(g->apps, app, &ret->service, &e) < 0) {
                ret->status = 500;
                ret->reason = e.reason;
                failure_log(g, g->names[app], ret->request_id, e.reason, "", e.msg);
            }
        } else {
            ret->status = 404;
            ret->reason = "NoRoute";
        }
    }
    ret->user = note_new(g, app, r, ret);
}

/* ---- The end ---- */

/* What the operator should know of; the client's faults are in the access log. */
static bool is_guests_fault(enum engine_request_end end)
{
    switch (end) {
    case ENGINE_REQUEST_TRAPPED:
    case ENGINE_OUT_OF_MEMORY:
    case ENGINE_TIMED_OUT:
    case ENGINE_CPU_EXCEEDED:
    case ENGINE_NOT_ANSWERED:
    case ENGINE_GUEST_ERROR:
    case ENGINE_BAD_ANSWER:
        return true;
    case ENGINE_ANSWERED:
    case ENGINE_DISPATCHED:
    case ENGINE_BODY_TOO_LARGE:
    case ENGINE_OVERLOADED:
    case ENGINE_CLIENT_GONE:
    case ENGINE_BAD_REQUEST:
    case ENGINE_HEAD_TOO_LARGE:
    case ENGINE_REQUEST_ENDS:
        break;
    }
    return false;
}

static void access_log(struct gateway *g, struct note *n, const char *name, const char *request_id,
                       const struct engine_record *r)
{
    autobuf line = BUF_INIT;
    struct access_record *a = &n->record;

    a->realtime_ns = clock_realtime_ns();
    a->request_id = text_of(request_id);
    a->reason = text_of(r->reason);
    a->service = text_of(name);
    a->status = r->status;
    a->body_in_bytes = r->request_bytes;
    a->body_out_bytes = r->response_bytes;
    a->duration_us = r->duration_ns / 1000;
    a->cpu_us = r->busy_ns / 1000;
    if (g->is_json)
        access_log_json(a, &line);
    else
        access_log_text(a, &line);
    line_writer_add(g->log, &line);
}

static void ended(void *ctx, unsigned thread, void *user, const char *request_id,
                  const struct engine_record *r)
{
    struct gateway *g = ctx;
    struct note *n = user;
    const char *name = n->app < g->job->serve.n_apps ? g->names[n->app] : "-";

    figures_add(g->figures, thread, n->app, r);
    if (is_guests_fault(r->end))
        failure_log(g, name, request_id, r->reason ? r->reason : "Failed", r->trap, r->detail);
    if (g->log)
        access_log(g, n, name, request_id, r);
    free(n);
}

static void refused(void *ctx, unsigned thread, struct text peer, const struct engine_record *r)
{
    struct gateway *g = ctx;
    struct note n = {.app = g->job->serve.n_apps, .record = {.peer = peer}};

    figures_add(g->figures, thread, n.app, r);
    if (g->log)
        access_log(g, &n, "-", NULL, r);
}

static void failed(void *ctx, const char *what)
{
    failure_log(ctx, "server", "-", "Failed", "", what);
}

static void metrics(void *ctx, void (*add)(void *page, const char *text, size_t len), void *page)
{
    const struct gateway *g = ctx;
    struct engine_server_figures server = {0};
    autobuf text = BUF_INIT;

    engine_server_figures(g->server, &server);
    figures_page(g->figures, g->names, &server, g->log ? line_writer_lost(g->log) : 0, &text);
    add(page, text.data, text.len);
}

/* ---- CGI ---- */

struct headers {
    struct cgi_header *v;
    size_t n;
};

static void header_collect(void *ctx, struct text name, struct text value)
{
    struct headers *h = ctx;

    h->v = xrealloc(h->v, h->n + 1, sizeof(*h->v));
    h->v[h->n++] = (struct cgi_header){name, value};
}

static unsigned port_of(struct text host, struct text scheme)
{
    const char *colon = host.len ? memrchr(host.data, ':', host.len) : NULL;
    unsigned port = 0;

    if (colon && !memchr(colon, ']', host.len - (size_t)(colon - host.data)))
        for (const char *c = colon + 1; c < host.data + host.len && port < 65536; c++)
            port = *c >= '0' && *c <= '9' ? port * 10 + (unsigned)(*c - '0') : 65536;
    return port && port < 65536 ? port : text_eq(scheme, "https") ? 443 : 80;
}

/* "192.0.2.1:1234" without the port; a unix socket's client has no address. */
static struct text address_of(struct text peer)
{
    const char *colon = memrchr(peer.data, ':', peer.len);
    struct text t = {peer.data, colon ? (size_t)(colon - peer.data) : peer.len};

    if (text_eq(peer, "unix:"))
        return (struct text)TEXT("");
    if (t.len > 2 && t.data[0] == '[')
        t = (struct text){t.data + 1, t.len - 2};
    return t;
}

static int environment(void *ctx, const struct engine_request *r, size_t route_len,
                       void (*add)(void *env, const char *variable), void *env, struct err *e)
{
    struct text path = path_of(r), whole = r->path;
    struct headers headers = {0};
    struct cgi_request c = {
        .method = r->method,
        .path = path,
        .query = {whole.data + path.len, whole.len - path.len         },
        .host = r->authority,
        .protocol = r->protocol,
        .scheme = r->scheme,
        .remote_addr = address_of(r->peer),
        .content_type = engine_request_header(r, "content-type"),
        .script_name = {path.data,             route_len > 1 ? route_len : 0},
        .server_port = port_of(r->authority, r->scheme),
        .content_length = r->body_bytes > INT64_MAX ? -1 : (int64_t)r->body_bytes,
    };
    autostrv list = STRV_INIT;
    int n;

    (void)ctx;
    if (c.query.len) /* without the '?' */
        c.query = (struct text){c.query.data + 1, c.query.len - 1};
    engine_request_headers(r, header_collect, &headers);
    c.headers = headers.v;
    c.n_headers = headers.n;
    n = cgi_environment(&c, &list, e);
    free(headers.v);
    for (size_t i = 0; n >= 0 && i < list.n; i++)
        add(env, list.v[i]);
    return n;
}

static ssize_t head(void *ctx, const char *data, size_t len, struct engine_cgi_head *ret,
                    struct err *e)
{
    struct cgi_head h = {0};
    int r = cgi_head_parse(&h, data, len, false, CGI_HEAD_LIMIT_BYTES, e);

    (void)ctx;
    if (r <= 0)
        return r;
    engine_cgi_status(ret, h.status);
    for (size_t i = 0; i < h.n_headers; i++)
        engine_cgi_header(ret, h.headers[i].name, h.headers[i].value);
    return (ssize_t)h.len;
}

/* ---- The whole ---- */

struct engine_server_limits serve_limits_engine(const struct serve_limits *l)
{
    return (struct engine_server_limits){.header_bytes = (uint64_t)l->header_bytes,
                                         .headers = (uint64_t)l->headers,
                                         .body_bytes = (uint64_t)l->body_bytes,
                                         .requests = (uint64_t)l->requests,
                                         .queue = (uint64_t)l->queue,
                                         .connections = (uint64_t)l->connections,
                                         .idle_ms = (uint64_t)l->idle_ms,
                                         .read_ms = (uint64_t)l->read_ms,
                                         .write_ms = (uint64_t)l->write_ms,
                                         .request_ms = (uint64_t)l->request_ms};
}

uint64_t gateway_requests(const struct gateway *g)
{
    return figures_requests(g->figures);
}

int gateway_new(const struct guest_job *j, struct apps *apps, struct gateway **ret, struct err *e)
{
    AUTO(gateway) g = xcalloc(1, sizeof(*g));
    const struct serve_spec *s = &j->serve;

    g->job = j;
    g->apps = apps;
    pthread_mutex_init(&g->lock, NULL);
    g->names = xcalloc(s->n_apps + 1, sizeof(*g->names));
    for (size_t i = 0; i < s->n_apps; i++)
        g->names[i] = s->apps[i].name;
    g->figures = figures_new((unsigned)s->threads, s->n_apps);
    TRY(routes_new(s->apps, s->n_apps, &g->routes, e));
    if (s->access_log) {
        g->is_json = str_eq(s->access_log, "json");
        TRY(line_writer_new(STDOUT_FILENO, LOG_LIMIT_BYTES, &g->log, e));
    }
    *ret = take_ptr(g);
    return 0;
}

void gateway_free(struct gateway *g)
{
    if (g->log)
        line_writer_free(g->log);
    if (g->routes)
        routes_free(g->routes);
    figures_free(g->figures);
    free(g->names);
    pthread_mutex_destroy(&g->lock);
    free(g);
}

void gateway_attach(struct gateway *g, struct engine_server_options *o)
{
    o->callbacks = (struct engine_server_callbacks){.ctx = g,
                                                    .dispatch = dispatch,
                                                    .ended = ended,
                                                    .refused = refused,
                                                    .metrics = metrics,
                                                    .cgi_environment = environment,
                                                    .cgi_head = head,
                                                    .failed = failed};
    memcpy(o->answers, answers, sizeof(answers));
}

void gateway_server_set(struct gateway *g, const struct engine_server *s)
{
    g->server = s;
}
