/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/agent_client.h"

#include <limits.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/json.h"
#include "base/paths.h"
#include "wire/http.h"

enum {
    ASK_STALL_MS = 60000,
    STATUS_LIMIT_BYTES = 1 << 20,
    STATUS_DEPTH = 16,
};

struct agent_client {
    char *socket;
    struct http *http, *endless; /* each is made when it is first used */
};

/* ---- Where it is ---- */

static int socket_path(const char *given, char **ret, struct err *e)
{
    const char *variable = getenv("WHERRY_SOCKET");
    autofree char *dir = NULL;

    if (!given && variable && *variable)
        given = variable;
    if (given) {
        *ret = xstrdup(given);
        return 0;
    }
    TRY(paths_run_dir(&dir, e));
    *ret = path_join(dir, "wherry.sock");
    return 0;
}

int agent_client_open(const char *socket, struct agent_client **ret, struct err *e)
{
    autofree char *path = NULL;

    TRY(socket_path(socket, &path, e));
    if (strlen(path) >= sizeof(((struct sockaddr_un *)NULL)->sun_path))
        return err_set(e, -ENAMETOOLONG, "BadSocket",
                       "the path of the agent's socket is longer than a socket's path can be: "
                       "'%.200s'",
                       path);
    *ret = xcalloc(1, sizeof(**ret));
    (*ret)->socket = take_ptr(path);
    return 0;
}

void agent_client_free(struct agent_client *c)
{
    if (!c)
        return;
    if (c->http)
        http_free(c->http);
    if (c->endless)
        http_free(c->endless);
    free(c->socket);
    free(c);
}

const char *agent_client_socket(const struct agent_client *c)
{
    return c->socket;
}

int agent_client_connect(const struct agent_client *c, int *ret_fd, struct err *e)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    autofd fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return err_errno(e, -errno, "AgentUnreachable", "cannot make a socket");
    memcpy(to.sun_path, c->socket, strlen(c->socket));
    if (connect(fd, (const struct sockaddr *)&to, sizeof(to)) == 0) {
        *ret_fd = take_fd(&fd);
        return 0;
    }
    if (errno == EACCES || errno == EPERM)
        return err_set(e, -errno, "AgentUnreachable",
                       "the agent's socket %.200s may not be used by you (%s): be root or in the "
                       "socket's group (wherry), or name your own agent's by --socket or "
                       "WHERRY_SOCKET",
                       c->socket, err_text(errno));
    return err_set(e, -errno, "AgentUnreachable",
                   "no agent answers at %.200s (%s); is the agent running? Start it with 'wherry "
                   "agent' or 'wherry up -f app.yaml'",
                   c->socket, err_text(errno));
}

/* ---- What it says ---- */

static const struct status_reason {
    const char *reason;
    unsigned status; /* of HTTP, when the answer names no reason that is known */
    int code;
} status_reasons[] = {
    {"NotFound",        404, -ENOENT},
    {"AlreadyExists",   0,   -EEXIST},
    {"Conflict",        409, -EBUSY },
    {"Invalid",         422, -EINVAL},
    {"BadRequest",      400, -EINVAL},
    {"Forbidden",       403, -EACCES},
    {"Unauthorized",    401, -EACCES},
    {"Expired",         410, -ESTALE},
    {"TooManyRequests", 429, -EAGAIN},
    {"AgentFailed",     0,   -EIO   },
};

static const struct status_reason *reason_find(const char *reason, long status)
{
    const size_t n = ARRAY_SIZE(status_reasons) - 1;

    for (size_t i = 0; reason && i < n; i++)
        if (str_eq(status_reasons[i].reason, reason))
            return &status_reasons[i];
    for (size_t i = 0; i < n; i++)
        if (status_reasons[i].status && status_reasons[i].status == (unsigned long)status)
            return &status_reasons[i];
    return &status_reasons[n];
}

struct status {
    char *message, *reason;
};

static const struct json_field status_fields[] = {
    JSON_FIELD("message", FIELD_STRING, struct status, message),
    JSON_FIELD("reason", FIELD_STRING, struct status, reason),
    {0},
};

static int answer_check(const struct http_response *r, struct err *e)
{
    struct json_limits limits = {.bytes = STATUS_LIMIT_BYTES, .depth = STATUS_DEPTH};
    const struct status_reason *reason;
    struct status s = {0};
    struct err ignored = ERR_INIT;

    if (r->status / 100 == 2)
        return 0;
    if (json_decode(buf_str(&r->text), r->text.len, limits, status_fields, 0, &s, &ignored) < 0)
        s = (struct status){0};
    reason = reason_find(s.reason, r->status);
    if (s.message && *s.message)
        err_set(e, reason->code, reason->reason, "%s", s.message);
    else
        err_set(e, reason->code, reason->reason, "the agent answers %ld: %.*s", r->status,
                (int)strcspn(buf_str(&r->text), "\r\n"), buf_str(&r->text));
    json_fields_done(status_fields, &s);
    return e->code;
}

/* ---- Requests ---- */

static struct http *http_for(const struct agent_client *c, unsigned stall_ms, struct http **http)
{
    struct http_options o = {.unix_socket = c->socket, .stall_ms = stall_ms};

    if (!*http)
        *http = http_new(&o);
    return *http;
}

/* As http_perform(), with what is wrong with the socket in place of what curl says of it. */
static int perform(const struct agent_client *c, struct http *h, const struct http_request *q,
                   struct http_response *r, struct err *e)
{
    autofd fd = -EBADF;
    int code = http_perform(h, q, r, e);

    if (code >= 0)
        return answer_check(r, e);
    if (str_eq(e->reason, "Unreachable"))
        return agent_client_connect(c, &fd, e) < 0 ? e->code : code;
    return str_eq(e->reason, "CutOff") ? err_prefix(e, "the agent has ended") : code;
}

int agent_client_ask(struct agent_client *c, const struct agent_request *q, struct buf *ret,
                     long *ret_status, struct err *e)
{
    struct http_request request = HTTP_REQUEST_INIT;
    autohttp_response r = {0};
    autofree char *url = xasprintf("http://localhost%s", q->target);
    autostrv headers = STRV_INIT;

    if (q->body)
        strv_addf(&headers, "Content-Type: %s",
                  q->content_type ? q->content_type : "application/json");
    request.method = q->method ? q->method : "GET";
    request.url = url;
    request.headers = headers;
    request.body = q->body;
    request.body_len = q->body_len;
    request.text_limit = AGENT_ANSWER_LIMIT;
    TRY(perform(c, http_for(c, ASK_STALL_MS, &c->http), &request, &r, e));
    buf_done(ret);
    *ret = r.text;
    r.text = BUF_INIT;
    if (ret_status)
        *ret_status = r.status;
    return 0;
}

struct follow {
    int (*sink)(void *ctx, const void *data, size_t len, struct err *e);
    void *ctx;
};

static int on_piece(void *ctx, const struct http_response *r, const void *data, size_t len,
                    struct err *e)
{
    const struct follow *f = ctx;

    (void)r;
    return f->sink(f->ctx, data, len, e);
}

int agent_client_follow(struct agent_client *c, const char *target,
                        int (*sink)(void *ctx, const void *data, size_t len, struct err *e),
                        void *ctx, struct err *e)
{
    struct follow f = {sink, ctx};
    struct http_request request = HTTP_REQUEST_INIT;
    autohttp_response r = {0};
    autofree char *url = xasprintf("http://localhost%s", target);

    request.url = url;
    request.text_limit = STATUS_LIMIT_BYTES;
    request.sink = on_piece;
    request.ctx = &f;
    return perform(c, http_for(c, UINT_MAX, &c->endless), &request, &r, e);
}

int agent_client_websocket(const struct agent_client *c, const char *target,
                           const struct websocket_options *o, struct websocket **ret, struct err *e)
{
    struct websocket_request q = {.host = "localhost", .target = target};
    int fd = -EBADF;

    TRY(agent_client_connect(c, &fd, e));
    return websocket_connect(fd, &q, o, ret, e);
}

const char *agent_space(const char *given)
{
    const char *variable = getenv("WHERRY_NAMESPACE");

    if (given)
        return given;
    return variable && *variable ? variable : "default";
}

void agent_target_add(struct buf *target, const char *space, const char *resource, const char *name)
{
    buf_addstr(target, "/api/v1/namespaces/");
    http_query_add(target, space);
    buf_addf(target, "/%s", resource);
    if (name) {
        buf_addc(target, '/');
        http_query_add(target, name);
    }
}
