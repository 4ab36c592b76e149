/* SPDX-License-Identifier: Apache-2.0 */
#include <sys/queue.h>

#include "base/clock.h"
#include "loop/stream.h"
#include "wire/ttrpc.h"
#include "wire/ttrpc.pb-c.h"
#include "wire/ttrpc_frame.h"

#define CALL_LIMIT  256
#define QUEUE_LIMIT (8u << 20)
#define NS_PER_MS   1000000u

struct client_call {
    TAILQ_ENTRY(client_call) in_client;
    struct ttrpc_client *client;
    uint32_t stream_id; /* 0: not sent */
    void (*done)(void *ctx, const struct err *e, const void *payload, size_t len);
    void *ctx;
    struct loop_timer *timer; /* the deadline, or the moment to tell `failure`; NULL: none */
    struct err failure;       /* of the call itself */
};

struct ttrpc_client {
    struct loop *loop;
    struct stream *stream; /* NULL: the connection was lost */
    struct err lost;       /* why */
    struct ttrpc_reader reader;
    TAILQ_HEAD(client_calls, client_call) calls;
    size_t n_calls, call_limit;
    uint32_t next_id;
    bool is_telling; /* callbacks run, any of which may free it: then the rest is left to who */
    bool is_freed;   /* called them */
};

static void call_drop(struct client_call *call)
{
    TAILQ_REMOVE(&call->client->calls, call, in_client);
    call->client->n_calls--;
    loop_timer_free(call->timer);
    free(call);
}

static void call_tell(struct client_call *call, const struct err *e, struct text payload)
{
    void (*done)(void *ctx, const struct err *e, const void *payload, size_t len) = call->done;
    void *ctx = call->ctx;
    call_drop(call);
    done(ctx, e, payload.data, payload.len);
}

static void telling_end(struct ttrpc_client *c)
{
    c->is_telling = false;
    if (c->is_freed) {
        ttrpc_reader_done(&c->reader);
        free(c);
    }
}

/* ---- Answers ---- */

static void response_take(struct client_call *call, const struct ttrpc_frame *f)
{
    AUTO(arena) a = arena_new();
    struct err e = ERR_INIT;
    Ttrpc__Response *r = NULL;
    if (f->is_too_large) {
        err_set(&e, -EFBIG, "MessageTooLarge", "the answer has %u bytes, and the limit is %u",
                f->len, TTRPC_PAYLOAD_LIMIT);
    } else if (protobuf_unpack(&ttrpc__response__descriptor, f->payload, a, &r, &e) < 0) {
        err_set(&e, -EBADMSG, "BadResponse", "the answer is no response of ttrpc");
    } else if (!r->status || r->status->code == TTRPC_OK) {
        call_tell(call, NULL, (struct text){(const char *)r->payload.data, r->payload.len});
        return;
    } else {
        ttrpc_status_err(r->status->code, r->status->message, &e);
    }
    call_tell(call, &e, (struct text){0});
}

static void frame_take(struct ttrpc_client *c, const struct ttrpc_frame *f)
{
    if (f->type != TTRPC_RESPONSE)
        return;
    struct client_call *call = TAILQ_FIRST(&c->calls);
    while (call && call->stream_id != f->stream_id)
        call = TAILQ_NEXT(call, in_client);
    /* Without a call: it has timed out. */
    if (call && call->stream_id)
        response_take(call, f);
}

static void data(void *ctx, const void *bytes, size_t len)
{
    struct ttrpc_client *c = ctx;
    struct text in = {bytes, len};
    struct ttrpc_frame f;
    c->is_telling = true;
    while (!c->is_freed && ttrpc_reader_next(&c->reader, &in, &f))
        frame_take(c, &f);
    telling_end(c);
}

static void ended(void *ctx, const struct err *e)
{
    struct ttrpc_client *c = ctx;
    stream_free(take_ptr(c->stream));
    err_set(&c->lost, e->code ? e->code : -ECONNRESET, "ConnectionLost",
            "the other side has closed the connection");
    c->is_telling = true;
    struct err lost = c->lost;
    /* Not those that are begun meanwhile: they have a failure of their own. */
    for (size_t n = c->n_calls; n && !c->is_freed; n--)
        call_tell(TAILQ_FIRST(&c->calls), &lost, (struct text){0});
    telling_end(c);
}

static void timer_fired(void *ctx)
{
    struct client_call *call = ctx;
    struct err e = call->failure;
    if (!e.code)
        err_set(&e, -ETIMEDOUT, "TimedOut", "the other side has not answered in time");
    call_tell(call, &e, (struct text){0});
}

/* ---- Calls ---- */

static void timer_set(struct client_call *call, uint64_t due_ns)
{
    if (!call->timer)
        call->timer = loop_timer_new(call->client->loop, timer_fired, call);
    loop_timer_set(call->timer, due_ns);
}

static int request_send(struct ttrpc_client *c, const struct ttrpc_request *r, struct err *e)
{
    autobuf frame = BUF_INIT;
    Ttrpc__Request request = TTRPC__REQUEST__INIT;
    if (!c->stream)
        return err_set(e, c->lost.code, c->lost.reason, "%s", c->lost.msg);
    if (c->n_calls > c->call_limit)
        return err_set(e, -EBUSY, "TooManyCalls", "%zu calls are open", c->call_limit);
    request.service = (char *)r->service; /* packing only reads */
    request.method = (char *)r->method;
    request.payload = (ProtobufCBinaryData){r->len, (uint8_t *)r->payload};
    request.timeout_nano = (int64_t)(r->timeout_ms * NS_PER_MS);
    if (protobuf_c_message_get_packed_size(&request.base) > TTRPC_PAYLOAD_LIMIT)
        return err_set(e, -EFBIG, "MessageTooLarge",
                       "the request for %s/%s is larger than the limit of %u bytes", r->service,
                       r->method, TTRPC_PAYLOAD_LIMIT);
    size_t begin = ttrpc_frame_begin(&frame);
    protobuf_add(&request.base, &frame);
    ttrpc_frame_end(&frame, begin, c->next_id, TTRPC_REQUEST, 0);
    TRY(stream_write(c->stream, frame.data, frame.len, e));
    return 0;
}

void ttrpc_client_call(struct ttrpc_client *c, const struct ttrpc_request *r,
                       void (*done)(void *ctx, const struct err *e, const void *payload,
                                    size_t len),
                       void *ctx)
{
    struct client_call *call = xcalloc(1, sizeof(*call));
    call->client = c;
    call->done = done;
    call->ctx = ctx;
    TAILQ_INSERT_TAIL(&c->calls, call, in_client);
    c->n_calls++;
    if (request_send(c, r, &call->failure) < 0) {
        timer_set(call, clock_monotonic_ns());
        return;
    }
    call->stream_id = c->next_id;
    c->next_id += 2; /* two thousand million calls are more than any client lives for */
    if (r->timeout_ms)
        timer_set(call, clock_monotonic_ns() + r->timeout_ms * NS_PER_MS);
}

bool ttrpc_client_is_lost(const struct ttrpc_client *c)
{
    return !c->stream;
}

/* ---- Life ---- */

int ttrpc_client_new(struct loop *l, const struct ttrpc_client_options *o,
                     struct ttrpc_client **ret, struct err *e)
{
    int fd = -EBADF;
    TRY(rpc_connect(o->path, &fd, e));
    struct ttrpc_client *c = xcalloc(1, sizeof(*c));
    struct stream_options s = {.fd = fd,
                               .queue_limit = o->queue_limit ? o->queue_limit : QUEUE_LIMIT,
                               .data = data,
                               .ended = ended,
                               .ctx = c};
    int r = stream_new(l, &s, &c->stream, e);
    if (r < 0) {
        free(c);
        return r;
    }
    c->loop = l;
    c->call_limit = o->call_limit ? o->call_limit : CALL_LIMIT;
    c->next_id = 1;
    TAILQ_INIT(&c->calls);
    *ret = c;
    return 0;
}

void ttrpc_client_free(struct ttrpc_client *c)
{
    if (!c)
        return;
    struct client_call *call;
    while ((call = TAILQ_FIRST(&c->calls)))
        call_drop(call);
    stream_free(take_ptr(c->stream));
    c->is_freed = true;
    if (!c->is_telling) {
        ttrpc_reader_done(&c->reader);
        free(c);
    }
}
