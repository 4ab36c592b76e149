/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/http_exchange.h"

#include <fcntl.h>
#include <stdio.h>
#include <strings.h>
#include <sys/socket.h>

#include "base/fds.h"

enum {
    PIECE_BYTES = 4096, /* for clients of HTTP/1.0; the others' pieces lie in their pool */
    EXCESS_BYTES = 65536,
};

/* ---- The request ---- */

const char *http_exchange_method(const struct http_exchange *x)
{
    return x->method;
}

const char *http_exchange_path(const struct http_exchange *x)
{
    return x->target.path;
}

const char *http_exchange_query(const struct http_exchange *x, const char *key)
{
    for (size_t i = 0; i < x->target.n_query; i++)
        if (str_eq(x->target.query[i].key, key))
            return x->target.query[i].value;
    return NULL;
}

void http_exchange_query_each(const struct http_exchange *x, const char *key,
                              void (*each)(void *ctx, const char *value), void *ctx)
{
    for (size_t i = 0; i < x->target.n_query; i++)
        if (str_eq(x->target.query[i].key, key))
            each(ctx, x->target.query[i].value);
}

const char *http_exchange_header(const struct http_exchange *x, const char *name)
{
    return x->c ? MHD_lookup_connection_value(x->c->mhd, MHD_HEADER_KIND, name) : NULL;
}

struct header_search {
    const char *name;
    void (*each)(void *ctx, const char *value);
    void *ctx;
};

static enum MHD_Result on_header(void *ctx, enum MHD_ValueKind kind, const char *name,
                                 const char *value)
{
    const struct header_search *search = ctx;

    (void)kind;
    if (value && strcasecmp(name, search->name) == 0)
        search->each(search->ctx, value);
    return MHD_YES;
}

void http_exchange_header_each(const struct http_exchange *x, const char *name,
                               void (*each)(void *ctx, const char *value), void *ctx)
{
    struct header_search search = {name, each, ctx};

    if (x->c)
        MHD_get_connection_values(x->c->mhd, MHD_HEADER_KIND, on_header, &search);
}

struct text http_exchange_body(const struct http_exchange *x)
{
    return (struct text){buf_str(&x->body), x->body.len};
}

int http_exchange_socket(const struct http_exchange *x)
{
    return x->c ? x->c->fd : -EBADF;
}

bool http_exchange_peer(const struct http_exchange *x, uid_t *ret_uid, gid_t *ret_gid,
                        pid_t *ret_pid)
{
    int fd = http_exchange_socket(x), domain = 0;
    socklen_t len = sizeof(domain);
    struct ucred peer;

    if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) < 0 || domain != AF_UNIX)
        return false;
    len = sizeof(peer);
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
        return false;
    *ret_uid = peer.uid;
    *ret_gid = peer.gid;
    *ret_pid = peer.pid;
    return true;
}

/* ---- The response ---- */

void http_exchange_on_close(struct http_exchange *x, void (*closed)(void *ctx), void *ctx)
{
    x->closed = closed;
    x->closed_ctx = ctx;
}

void http_exchange_add_header(struct http_exchange *x, const char *name, const char *value)
{
    strv_add(&x->headers, name);
    strv_add(&x->headers, value);
}

static void wake(struct http_exchange *x)
{
    if (x->c)
        http_connection_resume(x->c);
}

static void response_set(struct http_exchange *x, unsigned status, const char *content_type,
                         struct MHD_Response *response)
{
    BUG_ON(!response || x->response || x->is_begun);
    if (content_type)
        MHD_add_response_header(response, "Content-Type", content_type);
    for (size_t i = 0; i + 1 < x->headers.n; i += 2) {
        /* The library gives an upgrade's own, and would list the token twice. */
        if (x->taken && strcasecmp(x->headers.v[i], "Connection") == 0)
            continue;
        MHD_add_response_header(response, x->headers.v[i], x->headers.v[i + 1]);
    }
    x->response = response;
    x->status = status;
    wake(x);
}

void http_exchange_respond(struct http_exchange *x, unsigned status, const char *content_type,
                           const void *body, size_t len)
{
    x->is_held = false;
    response_set(x, status, content_type,
                 MHD_create_response_from_buffer(len, len ? (void *)(uintptr_t)body : "",
                                                 MHD_RESPMEM_MUST_COPY));
}

static bool has_no_body(const struct http_exchange *x, unsigned status)
{
    return str_eq(x->method, MHD_HTTP_METHOD_HEAD) || status == MHD_HTTP_NO_CONTENT ||
           status == MHD_HTTP_NOT_MODIFIED;
}

/* Fills the library's buffer, or suspends the connection until there is something. */
static ssize_t on_more(void *ctx, uint64_t at, char *out, size_t max)
{
    struct http_exchange *x = ctx;
    size_t n;

    (void)at;
    if (x->c->is_gone || http_server_is_closing(x->server))
        return MHD_CONTENT_READER_END_WITH_ERROR;
    if (x->is_told && x->queue_at == x->queue.len && x->is_held) {
        x->is_told = false;
        if (x->drained)
            x->drained(x->drained_ctx);
        if (http_server_is_closing(x->server))
            return MHD_CONTENT_READER_END_WITH_ERROR;
    }
    n = x->queue.len - x->queue_at;
    if (n) {
        n = n < max ? n : max;
        memcpy(out, x->queue.data + x->queue_at, n);
        x->queue_at += n;
        if (x->queue_at == x->queue.len)
            buf_clear(&x->queue), x->queue_at = 0;
        return (ssize_t)n;
    }
    if (x->is_ended)
        return MHD_CONTENT_READER_END_OF_STREAM;
    /* An idle stream keeps no memory for what it once had to say. */
    buf_done(&x->queue);
    http_connection_suspend(x->c);
    return 0;
}

void http_exchange_begin(struct http_exchange *x, unsigned status, const char *content_type,
                         void (*drained)(void *ctx), void *ctx)
{
    x->drained = drained;
    x->drained_ctx = ctx;
    response_set(
        x, status, content_type,
        has_no_body(x, status)
            ? MHD_create_response_from_buffer(0, "", MHD_RESPMEM_PERSISTENT)
            : MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, PIECE_BYTES, on_more, x, NULL));
    x->is_begun = true;
}

int http_exchange_send(struct http_exchange *x, const void *data, size_t len)
{
    BUG_ON(!x->is_begun || x->is_ended);
    if (!x->c || has_no_body(x, x->status))
        return 0;
    if (len > http_server_options(x->server)->queue_limit - (x->queue.len - x->queue_at))
        return -ENOBUFS;
    if (!len)
        return x->is_told;
    /* What was sent is dropped when it is most of the buffer, so that bytes move rarely. */
    if (x->queue_at > x->queue.len / 2) {
        buf_consume(&x->queue, x->queue_at);
        x->queue_at = 0;
    }
    buf_add(&x->queue, data, len);
    x->is_told = true;
    wake(x);
    return 1;
}

void http_exchange_end(struct http_exchange *x)
{
    BUG_ON(!x->is_begun || x->is_ended);
    x->is_ended = true;
    x->is_held = false;
    if (x->c)
        wake(x);
    else
        http_exchange_free(x);
}

/* ---- Taking over ---- */

/* The library shuts its own descriptor when it is told to, and does not shut the connection down:
 * a second descriptor of the same is the caller's at once. */
static void on_upgraded(void *ctx, struct MHD_Connection *mhd, void *pos, const char *rest,
                        size_t len, MHD_socket fd, struct MHD_UpgradeResponseHandle *handle)
{
    struct http_exchange *x = ctx;
    int own = fcntl(fd, F_DUPFD_CLOEXEC, 0);

    (void)mhd;
    (void)pos;
    if (own >= 0 && fd_nonblock_set(own) < 0)
        close(own), own = -1;
    http_connection_release(x->c);
    http_server_hand_over(x->server, x, own < 0 ? -1 : own, rest, len);
    MHD_upgrade_action(handle, MHD_UPGRADE_ACTION_CLOSE);
}

void http_exchange_upgrade(struct http_exchange *x,
                           void (*taken)(void *ctx, int fd, const void *rest, size_t len),
                           void *ctx)
{
    x->is_held = false;
    x->taken = taken;
    x->taken_ctx = ctx;
    response_set(x, MHD_HTTP_SWITCHING_PROTOCOLS, NULL,
                 MHD_create_response_for_upgrade(on_upgraded, x));
}

/* ---- What the library calls ---- */

void *http_exchange_on_target(void *ctx, const char *target, struct MHD_Connection *mhd)
{
    struct http_server *s = ctx;
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    struct http_exchange *x = xcalloc(1, sizeof(*x));
    struct err e = ERR_INIT;

    x->server = s;
    x->c = info->socket_context;
    x->c->x = x;
    x->arena = arena_new();
    if (http_target_parse(target, x->arena, &x->target, &e) < 0)
        x->refusal = MHD_HTTP_BAD_REQUEST;
    http_server_add_exchange(s, x);
    return x;
}

void http_exchange_free(struct http_exchange *x)
{
    http_server_remove_exchange(x->server, x);
    if (x->response)
        MHD_destroy_response(x->response);
    arena_free(x->arena);
    buf_done(&x->body);
    buf_done(&x->queue);
    strv_done(&x->headers);
    free(x);
}

void http_exchange_lose(struct http_exchange *x)
{
    if (!x->is_held)
        return;
    x->is_held = false;
    if (x->closed)
        x->closed(x->closed_ctx);
}

void http_exchange_on_completed(void *ctx, struct MHD_Connection *mhd, void **pos,
                                enum MHD_RequestTerminationCode how)
{
    struct http_exchange *x = *pos;

    (void)ctx;
    (void)mhd;
    if (!x)
        return;
    *pos = NULL;
    x->c->x = NULL;
    x->c = NULL;
    if (x->taken)
        http_server_hand_over(x->server, x, -1, NULL, 0);
    /* A response without a body is complete before the caller has ended it. */
    if (x->is_held && x->is_begun && how == MHD_REQUEST_TERMINATED_COMPLETED_OK)
        return;
    http_exchange_lose(x);
    http_exchange_free(x);
}

static void refuse(struct http_exchange *x, unsigned status)
{
    char text[64];
    int len = snprintf(text, sizeof(text), "%s\n", MHD_get_reason_phrase_for(status));

    http_exchange_respond(x, status, "text/plain", text, (size_t)len);
}

/* Queues the response if there is one, or leaves the connection be until there is. */
static enum MHD_Result go_on(struct http_exchange *x)
{
    struct MHD_Response *response = take_ptr(x->response);
    enum MHD_Result r;

    if (!response && x->c->is_gone) {
        http_exchange_lose(x);
        return MHD_NO;
    }
    if (!response) {
        http_connection_suspend(x->c);
        return MHD_YES;
    }
    r = MHD_queue_response(x->c->mhd, x->status, response);
    MHD_destroy_response(response);
    return r;
}

/* The head is there. A body that is announced too long is refused before it comes. */
static enum MHD_Result begin_request(struct http_exchange *x, const char *method)
{
    const char *length =
        MHD_lookup_connection_value(x->c->mhd, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_LENGTH);

    x->is_started = true;
    x->method = arena_strdup(x->arena, method);
    if (!x->refusal && length &&
        strtoull(length, NULL, 10) > http_server_options(x->server)->body_limit)
        x->refusal = MHD_HTTP_CONTENT_TOO_LARGE;
    if (!x->refusal)
        return MHD_YES;
    refuse(x, x->refusal);
    return go_on(x);
}

/* A body in chunks shows its length late; then the library can answer only after its end. It may
 * go on as long again and a bit, and is cut off after that. */
static enum MHD_Result add_body(struct http_exchange *x, const char *data, size_t len)
{
    size_t limit = http_server_options(x->server)->body_limit;

    if (x->body.len + len <= limit && !x->refusal) {
        buf_add(&x->body, data, len);
        return MHD_YES;
    }
    if (!x->refusal) {
        x->refusal = MHD_HTTP_CONTENT_TOO_LARGE;
        buf_done(&x->body);
    }
    x->excess += len;
    return x->excess <= limit + EXCESS_BYTES ? MHD_YES : MHD_NO;
}

enum MHD_Result http_exchange_on_request(void *ctx, struct MHD_Connection *mhd, const char *url,
                                         const char *method, const char *version,
                                         const char *upload, size_t *upload_len, void **pos)
{
    struct http_server *s = ctx;
    struct http_exchange *x = *pos;

    (void)mhd;
    (void)url;
    (void)version;
    if (http_server_is_closing(s))
        return MHD_NO;
    if (!x->is_started)
        return begin_request(x, method);
    if (*upload_len) {
        size_t len = *upload_len;

        *upload_len = 0;
        return add_body(x, upload, len);
    }
    if (!x->is_asked) {
        x->is_asked = true;
        if (x->refusal) {
            refuse(x, x->refusal);
        } else {
            x->is_held = true;
            http_server_options(s)->request(http_server_options(s)->ctx, x);
        }
    }
    return http_server_is_closing(s) ? MHD_NO : go_on(x);
}
