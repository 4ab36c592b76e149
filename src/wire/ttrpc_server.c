/* SPDX-License-Identifier: Apache-2.0 */
#include <sys/queue.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "loop/stream.h"
#include "wire/ttrpc.h"
#include "wire/ttrpc.pb-c.h"
#include "wire/ttrpc_frame.h"

#define CONNECTION_LIMIT 64
#define CALL_LIMIT       1024
#define LOST_LIMIT       4096
#define QUEUE_LIMIT      (8u << 20)
/* What a Response has around its payload. */
#define ANSWER_OVERHEAD 16
/* Before others have their turn. */
#define ACCEPTS_AT_ONCE 16
/* When there is no descriptor or memory for another connection. */
#define ACCEPT_PAUSE_NS 1000000000u
#define NS_PER_MS       1000000u

struct ttrpc_call {
    LIST_ENTRY(ttrpc_call) in_list; /* of the connection, or of the server's lost ones */
    struct connection *connection;  /* NULL: it has gone */
    struct ttrpc_server *server;    /* NULL: it has gone too */
    uint32_t stream_id;
};

LIST_HEAD(calls, ttrpc_call);

struct connection {
    LIST_ENTRY(connection) in_server;
    struct ttrpc_server *server;
    struct stream *stream;
    struct ttrpc_reader reader;
    struct calls calls;
    size_t n_calls;
    bool is_reading; /* frames are being handled, any of which may close it: then it is freed */
    bool is_closed;  /* by data() */
};

struct ttrpc_server {
    struct loop *loop;
    struct ttrpc_server_options options;
    struct loop_watch *watch; /* of options.listen_fd */
    struct loop_timer *pause; /* set while nothing is accepted */
    struct loop_timer *idle;  /* set while there is no connection */
    bool is_idle;
    LIST_HEAD(connections, connection) connections;
    size_t n_connections;
    struct calls lost;
    size_t n_lost;
};

/* ---- Connections ---- */

static void accept_update(struct ttrpc_server *s)
{
    bool can = s->n_connections < s->options.connection_limit && !loop_timer_is_set(s->pause);
    loop_watch_set(s->watch, can ? LOOP_READABLE : 0);
}

static void idle_begin(struct ttrpc_server *s)
{
    if (s->options.idle && !s->n_connections)
        loop_timer_set(s->idle, clock_monotonic_ns() + s->options.idle_ms * NS_PER_MS);
}

static void idle_over(void *ctx)
{
    struct ttrpc_server *s = ctx;
    s->is_idle = true;
    s->options.idle(s->options.ctx);
}

bool ttrpc_server_is_idle(const struct ttrpc_server *s)
{
    return s->is_idle;
}

static void calls_lose(struct connection *c)
{
    struct ttrpc_call *call;
    while ((call = LIST_FIRST(&c->calls))) {
        LIST_REMOVE(call, in_list);
        call->connection = NULL;
        LIST_INSERT_HEAD(&c->server->lost, call, in_list);
        c->server->n_lost++;
    }
}

static void connection_close(struct connection *c)
{
    calls_lose(c);
    LIST_REMOVE(c, in_server);
    c->server->n_connections--;
    accept_update(c->server);
    idle_begin(c->server);
    stream_free(take_ptr(c->stream));
    c->is_closed = true;
    if (!c->is_reading) {
        ttrpc_reader_done(&c->reader);
        free(c);
    }
}

/* ---- Answers ---- */

static void connection_send(struct connection *c, uint32_t stream_id, const Ttrpc__Response *r)
{
    autobuf frame = BUF_INIT;
    struct err e = ERR_INIT;
    size_t begin = ttrpc_frame_begin(&frame);
    protobuf_add(&r->base, &frame);
    ttrpc_frame_end(&frame, begin, stream_id, TTRPC_RESPONSE, 0);
    int waits = stream_write(c->stream, frame.data, frame.len, &e);
    if (waits < 0)
        connection_close(c);
    else if (waits)
        stream_pause(c->stream); /* no further requests until the answers have been taken */
}

static void connection_refuse(struct connection *c, uint32_t stream_id, enum ttrpc_code code,
                              const char *message)
{
    autobuf text = BUF_INIT;
    Ttrpc__Response r = TTRPC__RESPONSE__INIT;
    Ttrpc__Status status = TTRPC__STATUS__INIT;
    /* Go refuses a response whose text is no UTF-8. */
    text_lossy_add(text_of(message), &text);
    status.code = (int32_t)code;
    status.message = (char *)buf_str(&text);
    r.status = &status;
    connection_send(c, stream_id, &r);
}

/* Takes the call out of its list and returns its connection, NULL when that has gone. */
static struct connection *call_end(struct ttrpc_call *call, uint32_t *ret_stream_id)
{
    struct connection *c = call->connection;
    if (call->server)
        LIST_REMOVE(call, in_list);
    if (c)
        c->n_calls--;
    else if (call->server)
        call->server->n_lost--;
    *ret_stream_id = call->stream_id;
    free(call);
    return c;
}

void ttrpc_call_answer(struct ttrpc_call *call, const void *payload, size_t len)
{
    uint32_t stream_id;
    if (len > TTRPC_PAYLOAD_LIMIT - ANSWER_OVERHEAD) {
        ttrpc_call_fail(call, TTRPC_RESOURCE_EXHAUSTED, "the answer is larger than 4 MiB");
        return;
    }
    struct connection *c = call_end(call, &stream_id);
    if (!c)
        return;
    Ttrpc__Response r = TTRPC__RESPONSE__INIT;
    r.payload = (ProtobufCBinaryData){len, (uint8_t *)payload}; /* packing only reads */
    connection_send(c, stream_id, &r);
}

void ttrpc_call_answer_message(struct ttrpc_call *call, const ProtobufCMessage *m)
{
    autobuf payload = BUF_INIT;
    protobuf_add(m, &payload);
    ttrpc_call_answer(call, payload.data, payload.len);
}

void ttrpc_call_fail(struct ttrpc_call *call, enum ttrpc_code code, const char *message)
{
    uint32_t stream_id;
    struct connection *c = call_end(call, &stream_id);
    if (c)
        connection_refuse(c, stream_id, code, message);
}

void ttrpc_call_fail_err(struct ttrpc_call *call, const struct err *e)
{
    ttrpc_call_fail(call, ttrpc_code_of(e->code), e->msg);
}

bool ttrpc_call_is_lost(const struct ttrpc_call *call)
{
    return !call->connection;
}

/* ---- Requests ---- */

static const struct ttrpc_service *service_find(const struct ttrpc_server *s, const char *name)
{
    for (size_t i = 0; i < s->options.n_services; i++)
        if (str_eq(s->options.services[i].name, name))
            return &s->options.services[i];
    return NULL;
}

static const struct ttrpc_method *method_find(const struct ttrpc_service *service, const char *name)
{
    for (size_t i = 0; i < service->n_methods; i++)
        if (str_eq(service->methods[i].name, name))
            return &service->methods[i];
    return NULL;
}

static bool is_open(const struct connection *c, uint32_t stream_id)
{
    const struct ttrpc_call *call = LIST_FIRST(&c->calls);
    while (call && call->stream_id != stream_id)
        call = LIST_NEXT(call, in_list);
    return call;
}

/* Whether another call can be taken under this id; it is refused otherwise. */
static bool has_room(struct connection *c, uint32_t stream_id)
{
    const struct ttrpc_server_options *o = &c->server->options;
    if (stream_id % 2 == 0)
        connection_refuse(c, stream_id, TTRPC_INVALID_ARGUMENT,
                          "the stream id of a client must be odd");
    else if (is_open(c, stream_id))
        connection_refuse(c, stream_id, TTRPC_INVALID_ARGUMENT,
                          "a call with this stream id is open");
    else if (c->n_calls >= o->call_limit)
        connection_refuse(c, stream_id, TTRPC_RESOURCE_EXHAUSTED,
                          "too many calls are open on this connection");
    else if (c->server->n_lost >= o->lost_limit)
        connection_refuse(c, stream_id, TTRPC_RESOURCE_EXHAUSTED,
                          "too many calls of connections that have gone are open");
    else
        return true;
    return false;
}

static void request_call(struct connection *c, uint32_t stream_id, const Ttrpc__Request *r)
{
    struct ttrpc_server *s = c->server;
    const struct ttrpc_service *service = service_find(s, r->service);
    const struct ttrpc_method *method = service ? method_find(service, r->method) : NULL;
    if (!method) {
        autofree char *message =
            service ? xasprintf("the service %s has no method '%.200s'", service->name, r->method)
                    : xasprintf("there is no service '%.200s'", r->service);
        connection_refuse(c, stream_id, TTRPC_UNIMPLEMENTED, message);
        return;
    }
    struct ttrpc_call *call = xcalloc(1, sizeof(*call));
    call->connection = c;
    call->server = s;
    call->stream_id = stream_id;
    LIST_INSERT_HEAD(&c->calls, call, in_list);
    c->n_calls++;
    method->handle(s->options.ctx, call, r->payload.data, r->payload.len,
                   r->timeout_nano > 0 ? (uint64_t)r->timeout_nano : 0);
}

static void request(struct connection *c, const struct ttrpc_frame *f)
{
    AUTO(arena) a = arena_new();
    struct err e = ERR_INIT;
    Ttrpc__Request *r = NULL;
    if (!has_room(c, f->stream_id))
        return;
    if (protobuf_unpack(&ttrpc__request__descriptor, f->payload, a, &r, &e) < 0)
        connection_refuse(c, f->stream_id, ttrpc_code_of(e.code), e.msg);
    else if (f->flags & TTRPC_REMOTE_OPEN)
        connection_refuse(c, f->stream_id, TTRPC_UNIMPLEMENTED, "there are no streams here");
    else
        request_call(c, f->stream_id, r);
}

static void frame_take(struct connection *c, const struct ttrpc_frame *f)
{
    if (f->type != TTRPC_REQUEST)
        return; /* data of a stream that was refused, or what a later version has */
    if (f->is_too_large) {
        autofree char *message =
            xasprintf("the request has %u bytes, and the limit is %u", f->len, TTRPC_PAYLOAD_LIMIT);
        connection_refuse(c, f->stream_id, TTRPC_RESOURCE_EXHAUSTED, message);
        return;
    }
    request(c, f);
}

static void data(void *ctx, const void *bytes, size_t len)
{
    struct connection *c = ctx;
    struct text in = {bytes, len};
    struct ttrpc_frame f;
    c->is_reading = true;
    while (!c->is_closed && ttrpc_reader_next(&c->reader, &in, &f))
        frame_take(c, &f);
    c->is_reading = false;
    if (c->is_closed) {
        ttrpc_reader_done(&c->reader);
        free(c);
    }
}

static void ended(void *ctx, const struct err *e)
{
    (void)e;
    connection_close(ctx);
}

static void hung_up(void *ctx)
{
    connection_close(ctx);
}

static void drained(void *ctx)
{
    struct connection *c = ctx;
    stream_resume(c->stream);
}

/* ---- The listening socket ---- */

static void connection_new(struct ttrpc_server *s, int fd)
{
    struct err e = ERR_INIT;
    struct connection *c = xcalloc(1, sizeof(*c));
    LIST_INIT(&c->calls);
    struct stream_options o = {.fd = fd,
                               .queue_limit = s->options.queue_limit,
                               .data = data,
                               .ended = ended,
                               .hung_up = hung_up,
                               .drained = drained,
                               .ctx = c};
    if (stream_new(s->loop, &o, &c->stream, &e) < 0) {
        free(c); /* its other side sees that it was closed */
        return;
    }
    c->server = s;
    LIST_INSERT_HEAD(&s->connections, c, in_server);
    s->n_connections++;
    s->is_idle = false;
    loop_timer_clear(s->idle);
}

static void accept_some(void *ctx, unsigned events)
{
    struct ttrpc_server *s = ctx;
    (void)events;
    for (int i = 0; i < ACCEPTS_AT_ONCE && s->n_connections < s->options.connection_limit; i++) {
        int fd = accept4(s->options.listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0) {
            connection_new(s, fd);
        } else if (errno != EINTR && errno != ECONNABORTED) {
            /* Who waits would be told again and again. */
            if (errno != EAGAIN)
                loop_timer_set(s->pause, clock_monotonic_ns() + ACCEPT_PAUSE_NS);
            break;
        }
    }
    accept_update(s);
}

static void pause_over(void *ctx)
{
    accept_update(ctx);
}

static size_t limit_of(size_t given, size_t standard)
{
    return given ? given : standard;
}

int ttrpc_server_new(struct loop *l, const struct ttrpc_server_options *o,
                     struct ttrpc_server **ret, struct err *e)
{
    autofd fd = o->listen_fd;
    struct ttrpc_server *s = xcalloc(1, sizeof(*s));
    s->loop = l;
    s->options = *o;
    s->options.connection_limit = limit_of(o->connection_limit, CONNECTION_LIMIT);
    s->options.call_limit = limit_of(o->call_limit, CALL_LIMIT);
    s->options.lost_limit = limit_of(o->lost_limit, LOST_LIMIT);
    s->options.queue_limit = limit_of(o->queue_limit, QUEUE_LIMIT);
    LIST_INIT(&s->connections);
    LIST_INIT(&s->lost);
    int r = loop_watch_new(l, fd, accept_some, s, &s->watch, e);
    if (r < 0) {
        free(s);
        return r;
    }
    s->pause = loop_timer_new(l, pause_over, s);
    s->idle = loop_timer_new(l, idle_over, s);
    s->options.listen_fd = take_fd(&fd);
    accept_update(s);
    idle_begin(s);
    *ret = s;
    return 0;
}

void ttrpc_server_free(struct ttrpc_server *s)
{
    if (!s)
        return;
    while (!LIST_EMPTY(&s->connections))
        connection_close(LIST_FIRST(&s->connections));
    struct ttrpc_call *call;
    while ((call = LIST_FIRST(&s->lost))) {
        LIST_REMOVE(call, in_list);
        call->server = NULL;
    }
    loop_watch_free(s->watch);
    loop_timer_free(s->pause);
    loop_timer_free(s->idle);
    close_cleanup_(&s->options.listen_fd);
    free(s);
}
