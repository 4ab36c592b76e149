/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/grpc.h"

#include <nghttp2/nghttp2.h>
#include <sys/queue.h>

#include "base/clock.h"
#include "loop/stream.h"
#include "wire/grpc_message.h"

#define CALL_LIMIT        64
#define QUEUE_LIMIT       (8u << 20)
#define WINDOW            (1u << 20) /* of a call; containerd sends files in pieces of this size */
#define CONNECTION_WINDOW (2 * WINDOW) /* never what a call waits for: it is freed at once */
#define TIMEOUT_MAX_MS    99999999u    /* eight digits are allowed */
#define NS_PER_MS         1000000u

struct grpc_call {
    TAILQ_ENTRY(grpc_call) in_client, in_due;
    struct grpc_client *client;
    int32_t stream_id; /* 0: not open on the connection (any more) */
    struct buf request;
    size_t request_sent;

    struct buf in;
    size_t unconsumed; /* bytes that the window has not been opened for again */
    size_t taken;      /* of `in`, by the message that was handed out last */
    size_t limit;
    struct grpc_status status;
    uint32_t http2_code;
    struct err failure; /* code 0: none */

    bool is_due;    /* in the client's list of those that there may be something to tell of */
    bool is_held;   /* until grpc_call_next() */
    bool is_closed; /* by the other side */
    bool is_dead;   /* cancelled by its own callback */
    struct loop_timer *deadline;

    void (*done)(void *ctx, const struct err *e, struct text answer); /* NULL: it is a stream */
    struct grpc_stream_handlers handlers;
    void *ctx;
};

struct grpc_client {
    struct loop *loop;
    struct stream *stream; /* NULL: the connection was lost */
    nghttp2_session *session;
    struct err lost; /* why no calls are taken any more; code 0: they are */
    TAILQ_HEAD(grpc_calls, grpc_call) calls, due;
    size_t n_calls, call_limit;
    struct loop_timer *kick; /* to tell what came up within a call of the owner */
    struct grpc_call *current;
    bool is_blocked; /* the stream's queue has to go empty first */
    bool is_telling; /* callbacks run, any of which may free it: then the rest is left to who */
    bool is_freed;   /* called them */
};

/* ---- Calls' lives ---- */

static void due_add(struct grpc_call *call)
{
    if (!call->is_due)
        TAILQ_INSERT_TAIL(&call->client->due, call, in_due);
    call->is_due = true;
}

static void call_free(struct grpc_call *call)
{
    buf_done(&call->request);
    buf_done(&call->in);
    grpc_status_done(&call->status);
    free(call);
}

/* Has the other side stop. */
static void call_reset(struct grpc_call *call)
{
    struct grpc_client *c = call->client;
    if (call->stream_id && c->stream) {
        (void)nghttp2_session_set_stream_user_data(c->session, call->stream_id, NULL);
        (void)nghttp2_submit_rst_stream(c->session, NGHTTP2_FLAG_NONE, call->stream_id,
                                        NGHTTP2_CANCEL);
    }
    call->stream_id = 0;
}

static void call_drop(struct grpc_call *call)
{
    struct grpc_client *c = call->client;
    call_reset(call);
    TAILQ_REMOVE(&c->calls, call, in_client);
    if (call->is_due)
        TAILQ_REMOVE(&c->due, call, in_due);
    c->n_calls--;
    loop_timer_free(take_ptr(call->deadline));
    if (c->current == call)
        call->is_dead = true;
    else
        call_free(call);
}

static void call_finish(struct grpc_call *call, const struct err *e, struct text answer)
{
    void (*done)(void *, const struct err *, struct text) = call->done;
    void (*stream_done)(void *, const struct err *) = call->handlers.done;
    void *ctx = call->ctx;
    struct buf in = call->in; /* `answer` points there */
    call->in = BUF_INIT;
    call_drop(call);
    if (done)
        done(ctx, e, answer);
    else
        stream_done(ctx, e);
    buf_done(&in);
}

/* ---- Telling ---- */

/* Lets the other side send as much as has come. */
static void window_open(struct grpc_call *call)
{
    if (call->stream_id && call->client->stream && call->unconsumed)
        (void)nghttp2_session_consume_stream(call->client->session, call->stream_id,
                                             call->unconsumed);
    call->unconsumed = 0;
}

static void message_tell(struct grpc_call *call, struct text message)
{
    struct grpc_client *c = call->client;
    call->is_held = true;
    c->current = call;
    call->handlers.message(call->ctx, message);
    c->current = NULL;
    if (call->is_dead)
        call_free(call);
}

/* What there is to tell of a call, when all has come that `in` is going to have. */
static void call_end(struct grpc_call *call, bool has_answer, struct text answer)
{
    struct err e = ERR_INIT;
    bool is_short = call->done ? !has_answer : call->in.len != 0;
    if (grpc_status_err(&call->status, call->http2_code, &e) >= 0 && is_short)
        err_set(&e, -EBADMSG, "BadResponse",
                "the other side says that all is well and has sent no whole answer");
    call_finish(call, e.code ? &e : NULL, answer);
}

static void call_advance(struct grpc_call *call)
{
    struct text message = {0};
    struct err e = call->failure;
    size_t taken = 0;
    if (call->is_held)
        return;
    buf_consume(&call->in, call->taken);
    call->taken = 0;
    int r = e.code ? e.code
                   : grpc_message_next((struct text){call->in.data, call->in.len}, call->limit,
                                       &message, &taken, &e);
    if (r > 0 && call->done && taken < call->in.len)
        r = err_set(&e, -EBADMSG, "BadResponse", "the other side sends more than one answer");
    if (r < 0) {
        call_finish(call, &e, (struct text){0});
    } else if (r > 0 && !call->done) {
        call->taken = taken;
        message_tell(call, message);
    } else if (call->is_closed) {
        call_end(call, r > 0, message);
    } else {
        window_open(call);
    }
}

static void client_lose(struct grpc_client *c, int code, const char *why)
{
    struct grpc_call *call;
    stream_free(take_ptr(c->stream));
    if (!c->lost.code)
        err_set(&c->lost, code, "ConnectionLost", "%s", why);
    for (call = TAILQ_FIRST(&c->calls); call; call = TAILQ_NEXT(call, in_client)) {
        call->stream_id = 0;
        if (!call->is_closed && !call->failure.code)
            call->failure = c->lost;
        due_add(call);
    }
}

/* Sends what HTTP/2 has to say, as far as the stream takes it. */
static void client_flush(struct grpc_client *c)
{
    const uint8_t *data;
    struct err e = ERR_INIT;
    while (c->stream && !c->is_blocked) {
        ssize_t n = nghttp2_session_mem_send(c->session, &data);
        if (n <= 0)
            break;
        int r = stream_write(c->stream, data, (size_t)n, &e);
        c->is_blocked = r != 0;
        /* What it had said before it went is still read: the end of the stream ends the calls. */
        if (r < 0)
            c->lost = e;
    }
    /* The library has told the other side why, or that has gone away and has answered all. */
    if (c->stream && !nghttp2_session_want_read(c->session) &&
        !nghttp2_session_want_write(c->session)) {
        client_lose(c, -EPROTO, "what the other side sends is no HTTP/2");
        loop_timer_set(c->kick, 0);
    }
}

static void client_destroy(struct grpc_client *c)
{
    nghttp2_session_del(c->session);
    free(c);
}

static void client_tell(struct grpc_client *c)
{
    struct grpc_call *call;
    c->is_telling = true;
    while (!c->is_freed && (call = TAILQ_FIRST(&c->due))) {
        TAILQ_REMOVE(&c->due, call, in_due);
        call->is_due = false;
        call_advance(call);
    }
    c->is_telling = false;
    if (c->is_freed)
        client_destroy(c);
    else
        client_flush(c);
}

/* After something that the owner did: nothing is told from within. */
static void client_touch(struct grpc_client *c)
{
    if (c->is_telling)
        return;
    client_flush(c);
    if (!TAILQ_EMPTY(&c->due))
        loop_timer_set(c->kick, 0);
}

static void kicked(void *ctx)
{
    client_tell(ctx);
}

/* ---- What HTTP/2 tells ---- */

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *ctx)
{
    struct grpc_call *call = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    (void)flags, (void)ctx;
    if (call)
        grpc_status_field(&call->status, (struct text){(const char *)name, name_len},
                          (struct text){(const char *)value, value_len});
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t stream_id, const uint8_t *data,
                   size_t len, void *ctx)
{
    struct grpc_call *call = nghttp2_session_get_stream_user_data(session, stream_id);
    (void)flags, (void)ctx;
    (void)nghttp2_session_consume_connection(session, len);
    if (!call)
        return 0;
    /* The window limits it. */
    buf_add(&call->in, data, len);
    call->unconsumed += len;
    due_add(call);
    return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *ctx)
{
    struct grpc_client *c = ctx;
    (void)session;
    if (frame->hd.type == NGHTTP2_GOAWAY && !c->lost.code)
        err_set(&c->lost, -ECONNRESET, "ConnectionLost",
                "the other side is about to close the connection");
    return 0;
}

static int on_close(nghttp2_session *session, int32_t stream_id, uint32_t code, void *ctx)
{
    struct grpc_call *call = nghttp2_session_get_stream_user_data(session, stream_id);
    (void)ctx;
    if (!call)
        return 0;
    call->stream_id = 0;
    call->is_closed = true;
    call->http2_code = code;
    due_add(call);
    return 0;
}

static ssize_t on_read(nghttp2_session *session, int32_t stream_id, uint8_t *out, size_t len,
                       uint32_t *flags, nghttp2_data_source *source, void *ctx)
{
    struct grpc_call *call = nghttp2_session_get_stream_user_data(session, stream_id);
    (void)source, (void)ctx;
    if (!call)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    size_t left = call->request.len - call->request_sent;
    if (len > left)
        len = left;
    memcpy(out, call->request.data + call->request_sent, len);
    call->request_sent += len;
    if (len == left)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)len;
}

/* ---- The connection ---- */

static void data(void *ctx, const void *bytes, size_t len)
{
    struct grpc_client *c = ctx;
    ssize_t n = nghttp2_session_mem_recv(c->session, bytes, len);
    if (n < 0) {
        autofree char *why =
            xasprintf("what the other side sends is no HTTP/2: %s", nghttp2_strerror((int)n));
        client_lose(c, -EPROTO, why);
    }
    client_tell(c);
}

static void ended(void *ctx, const struct err *e)
{
    client_lose(ctx, e->code ? e->code : -ECONNRESET, "the other side has closed the connection");
    client_tell(ctx);
}

static void drained(void *ctx)
{
    struct grpc_client *c = ctx;
    c->is_blocked = false;
    client_flush(c);
}

static int session_new(struct grpc_client *c)
{
    nghttp2_session_callbacks *callbacks = NULL;
    nghttp2_option *option = NULL;
    nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_ENABLE_PUSH,         0     },
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, WINDOW}
    };
    int r = nghttp2_session_callbacks_new(&callbacks);
    if (!r)
        r = nghttp2_option_new(&option);
    if (!r) {
        nghttp2_option_set_no_auto_window_update(option, 1);
        nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
        nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
        nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
        nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
        r = nghttp2_session_client_new2(&c->session, callbacks, c, option);
    }
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);
    if (!r)
        r = nghttp2_submit_settings(c->session, NGHTTP2_FLAG_NONE, settings, ARRAY_SIZE(settings));
    if (!r)
        r = nghttp2_session_set_local_window_size(c->session, NGHTTP2_FLAG_NONE, 0,
                                                  CONNECTION_WINDOW);
    return r;
}

int grpc_client_new(struct loop *l, const struct grpc_client_options *o, struct grpc_client **ret,
                    struct err *e)
{
    int fd = -EBADF;
    TRY(rpc_connect(o->path, &fd, e));
    struct grpc_client *c = xcalloc(1, sizeof(*c));
    struct stream_options s = {.fd = fd,
                               .queue_limit = QUEUE_LIMIT,
                               .data = data,
                               .ended = ended,
                               .drained = drained,
                               .ctx = c};
    int r = stream_new(l, &s, &c->stream, e);
    if (r < 0) {
        free(c);
        return r;
    }
    c->loop = l;
    c->call_limit = o->call_limit ? o->call_limit : CALL_LIMIT;
    TAILQ_INIT(&c->calls);
    TAILQ_INIT(&c->due);
    c->kick = loop_timer_new(l, kicked, c);
    /* Nothing can fail there but for want of memory, which ends the process elsewhere as well. */
    BUG_ON(session_new(c));
    client_flush(c);
    *ret = c;
    return 0;
}

void grpc_client_free(struct grpc_client *c)
{
    struct grpc_call *call;
    if (!c)
        return;
    stream_free(take_ptr(c->stream));
    while ((call = TAILQ_FIRST(&c->calls)))
        call_drop(call);
    loop_timer_free(take_ptr(c->kick));
    c->is_freed = true;
    if (!c->is_telling)
        client_destroy(c);
}

bool grpc_client_is_lost(const struct grpc_client *c)
{
    return c->lost.code;
}

/* ---- Calls ---- */

static void deadline_passed(void *ctx)
{
    struct grpc_call *call = ctx;
    if (!call->failure.code && !call->is_closed)
        err_set(&call->failure, -ETIMEDOUT, "TimedOut", "the other side has not answered in time");
    call_reset(call);
    due_add(call);
    client_tell(call->client);
}

static nghttp2_nv field(const char *name, const char *value)
{
    return (nghttp2_nv){(uint8_t *)name, (uint8_t *)value, strlen(name), strlen(value),
                        NGHTTP2_NV_FLAG_NONE};
}

static int request_send(struct grpc_call *call, const struct grpc_request *r, struct err *e)
{
    struct grpc_client *c = call->client;
    uint64_t timeout_ms = r->timeout_ms < TIMEOUT_MAX_MS ? r->timeout_ms : TIMEOUT_MAX_MS;
    autofree char *path = xasprintf("/%s/%s", r->service, r->method);
    autofree char *timeout = xasprintf("%um", (unsigned)timeout_ms);
    nghttp2_nv fields[9] = {
        field(":method", "POST"),      field(":scheme", "http"),
        field(":path", path),          field(":authority", "localhost"),
        field("te", "trailers"),       field("content-type", "application/grpc"),
        field("user-agent", "wherry"),
    };
    size_t n = 7;
    if (c->lost.code)
        return err_set(e, c->lost.code, c->lost.reason, "%s", c->lost.msg);
    if (c->n_calls > c->call_limit)
        return err_set(e, -EBUSY, "TooManyCalls", "%zu calls are open", c->call_limit);
    if (r->timeout_ms)
        fields[n++] = field("grpc-timeout", timeout);
    if (r->containerd_ns)
        fields[n++] = field("containerd-namespace", r->containerd_ns);
    grpc_prefix_add(protobuf_c_message_get_packed_size(r->message), &call->request);
    protobuf_add(r->message, &call->request);
    nghttp2_data_provider body = {.read_callback = on_read};
    int32_t id = nghttp2_submit_request(c->session, NULL, fields, n, &body, call);
    if (id < 0)
        return err_set(e, -ECONNRESET, "ConnectionLost", "no call can be begun any more: %s",
                       nghttp2_strerror(id));
    call->stream_id = id;
    return 0;
}

static void call_start(struct grpc_call *call, struct grpc_client *c, const struct grpc_request *r)
{
    call->client = c;
    call->limit = r->message_limit ? r->message_limit : GRPC_MESSAGE_LIMIT;
    TAILQ_INSERT_TAIL(&c->calls, call, in_client);
    c->n_calls++;
    if (request_send(call, r, &call->failure) < 0) {
        due_add(call);
    } else if (r->timeout_ms) {
        call->deadline = loop_timer_new(c->loop, deadline_passed, call);
        loop_timer_set(call->deadline, clock_monotonic_ns() + r->timeout_ms * NS_PER_MS);
    }
    client_touch(c);
}

struct grpc_call *grpc_unary(struct grpc_client *c, const struct grpc_request *r,
                             void (*done)(void *ctx, const struct err *e, struct text answer),
                             void *ctx)
{
    struct grpc_call *call = xcalloc(1, sizeof(*call));
    call->done = done;
    call->ctx = ctx;
    call_start(call, c, r);
    return call;
}

struct grpc_call *grpc_stream(struct grpc_client *c, const struct grpc_request *r,
                              const struct grpc_stream_handlers *handlers, void *ctx)
{
    struct grpc_call *call = xcalloc(1, sizeof(*call));
    call->handlers = *handlers;
    call->ctx = ctx;
    call_start(call, c, r);
    return call;
}

void grpc_call_next(struct grpc_call *call)
{
    call->is_held = false;
    due_add(call);
    client_touch(call->client);
}

void grpc_call_cancel(struct grpc_call *call)
{
    if (!call)
        return;
    struct grpc_client *c = call->client;
    call_drop(call);
    client_touch(c);
}
