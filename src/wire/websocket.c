/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/websocket.h"

#include <stdio.h>
#include <sys/random.h>
#include <wslay/wslay.h>

#include "base/clock.h"
#include "loop/stream.h"
#include "wire/websocket_handshake.h"

enum {
    CLOSE_MS = 5000,          /* for the other side to do its part of closing */
    HEAD_LIMIT_BYTES = 16384, /* of the answer to a client */
    REASON_LIMIT_BYTES = 123, /* a frame of control has 125 with the code */
};

enum state {
    OPENING, /* no frames yet */
    OPEN,
    ENDING, /* both sides are done, or ours is; only the end of the connection is awaited */
    ENDED,  /* `closed` was called */
};

/* A connection that the HTTP server is about to hand over: it outlives a websocket that is freed
 * meanwhile. */
struct handover {
    struct websocket *w;
};

struct websocket {
    struct websocket_options o;
    enum state state;
    bool is_client;
    char key[WEBSOCKET_KEY_SIZE]; /* the client's */
    const char *protocol;         /* of the caller's, which the options name; owned below */
    struct strv protocols;
    struct handover *handover;
    struct stream *stream;
    struct loop_timer *timer;
    struct wslay_event_context *wslay;
    struct buf head, out;
    const uint8_t *in; /* what the library has not read of what came */
    size_t in_len;
    struct buf reason; /* the other side's, of closing */
    unsigned failure;  /* what the other side was told that it did wrong */
    uint8_t masks[256];
    size_t masks_at;
    unsigned depth;
    bool is_freed;
};

/* ---- Life ---- */

static void destroy(struct websocket *w)
{
    if (w->wslay)
        wslay_event_context_free(w->wslay);
    strv_done(&w->protocols);
    buf_done(&w->head);
    buf_done(&w->out);
    buf_done(&w->reason);
    free(w);
}

static void leave(struct websocket *w)
{
    if (--w->depth == 0 && w->is_freed)
        destroy(w);
}

void websocket_free(struct websocket *w)
{
    if (!w || w->is_freed)
        return;
    w->is_freed = true;
    w->state = ENDED;
    if (w->handover)
        w->handover->w = NULL;
    stream_free(take_ptr(w->stream));
    loop_timer_free(take_ptr(w->timer));
    w->depth++;
    leave(w);
}

/* Tells the caller, once. The connection is closed. */
static void end(struct websocket *w, unsigned code, const struct err *e)
{
    if (w->state == ENDED)
        return;
    w->state = ENDED;
    stream_free(take_ptr(w->stream));
    loop_timer_clear(w->timer);
    w->o.closed(w->o.ctx, code, buf_str(&w->reason), e);
}

/* The connection is at its end, or nothing more is expected of it. */
static void finish(struct websocket *w, struct err *e)
{
    if (w->failure) {
        err_set(e, -EPROTO, "ProtocolError",
                "the other side of the WebSocket broke the protocol or a limit; it was told %u",
                w->failure);
        end(w, w->failure, e);
    } else if (w->wslay && wslay_event_get_close_received(w->wslay)) {
        *e = ERR_INIT;
        end(w, wslay_event_get_status_code_received(w->wslay), e);
    } else {
        end(w, WEBSOCKET_ABNORMAL, e);
    }
}

static void await_end(struct websocket *w)
{
    if (!loop_timer_is_set(w->timer))
        loop_timer_set(w->timer, clock_monotonic_ns() + CLOSE_MS * 1000000ULL);
}

/* ---- Frames out ---- */

static ssize_t on_send(wslay_event_context_ptr wslay, const uint8_t *data, size_t len, int flags,
                       void *ctx)
{
    struct websocket *w = ctx;

    (void)wslay;
    (void)flags;
    buf_add(&w->out, data, len);
    return (ssize_t)len;
}

static int on_genmask(wslay_event_context_ptr wslay, uint8_t *out, size_t len, void *ctx)
{
    struct websocket *w = ctx;

    (void)wslay;
    BUG_ON(len > sizeof(w->masks));
    if (w->masks_at + len > sizeof(w->masks)) {
        BUG_ON(getrandom(w->masks, sizeof(w->masks), 0) != sizeof(w->masks));
        w->masks_at = 0;
    }
    memcpy(out, w->masks + w->masks_at, len);
    w->masks_at += len;
    return 0;
}

/* Writes the frames that are queued: all of them, or none when the stream takes no more. */
static int flush(struct websocket *w, struct err *e)
{
    int r = 0;

    if (wslay_event_want_write(w->wslay) && wslay_event_send(w->wslay) < 0)
        r = err_set(e, -ENOMEM, "ProtocolError", "cannot make WebSocket frames");
    else if (w->out.len)
        r = stream_write(w->stream, w->out.data, w->out.len, e);
    buf_clear(&w->out);
    return r;
}

int websocket_send(struct websocket *w, enum websocket_kind kind, const void *data, size_t len,
                   struct err *e)
{
    struct wslay_event_msg message = {
        .opcode = kind == WEBSOCKET_TEXT ? WSLAY_TEXT_FRAME : WSLAY_BINARY_FRAME,
        .msg = data,
        .msg_length = len,
    };

    if (len > w->o.queue_limit)
        return err_set(e, -ENOBUFS, "QueueFull",
                       "a message of %zu bytes is larger than what may wait (%zu)", len,
                       w->o.queue_limit);
    if (w->state != OPEN || wslay_event_queue_msg(w->wslay, &message) < 0)
        return err_set(e, -ENOTCONN, "NotOpen", "the WebSocket is not open");
    return flush(w, e);
}

void websocket_close(struct websocket *w, enum websocket_code code, const char *reason)
{
    size_t len = strlen(reason);
    struct err e = ERR_INIT;

    if (w->state != OPEN)
        return;
    if (len > REASON_LIMIT_BYTES)
        for (len = REASON_LIMIT_BYTES; len && ((unsigned char)reason[len] & 0xc0) == 0x80;)
            len--; /* not in the middle of a character */
    if (wslay_event_queue_close(w->wslay, (uint16_t)code, (const uint8_t *)reason, len) < 0)
        return;
    /* A frame that could not be queued: the other side does not answer, and time runs out. */
    flush(w, &e);
    stream_resume(w->stream);
    await_end(w);
}

/* ---- Frames in ---- */

static ssize_t on_recv(wslay_event_context_ptr wslay, uint8_t *out, size_t len, int flags,
                       void *ctx)
{
    struct websocket *w = ctx;

    (void)flags;
    if (w->is_freed || !w->in_len) {
        wslay_event_set_error(wslay, WSLAY_ERR_WOULDBLOCK);
        return -1;
    }
    if (len > w->in_len)
        len = w->in_len;
    memcpy(out, w->in, len);
    w->in += len;
    w->in_len -= len;
    return (ssize_t)len;
}

static void on_message(wslay_event_context_ptr wslay, const struct wslay_event_on_msg_recv_arg *a,
                       void *ctx)
{
    struct websocket *w = ctx;
    bool is_text = a->opcode == WSLAY_TEXT_FRAME;

    (void)wslay;
    if (w->state != OPEN)
        return;
    if (a->opcode == WSLAY_CONNECTION_CLOSE && a->msg_length == 1)
        w->failure = WEBSOCKET_PROTOCOL_ERROR; /* half a code, which the library lets pass */
    else if (a->opcode == WSLAY_CONNECTION_CLOSE && a->msg_length > 2)
        buf_add(&w->reason, a->msg + 2, a->msg_length - 2);
    else if (!wslay_is_ctrl_frame(a->opcode))
        w->o.message(w->o.ctx, is_text ? WEBSOCKET_TEXT : WEBSOCKET_BINARY,
                     a->msg_length ? (const void *)a->msg : "", a->msg_length);
}

/* The library gives up on frames that are malformed in themselves and has nothing to say then. */
static int protocol_error_write(struct websocket *w, struct err *e)
{
    uint8_t frame[8] = {0x88, 0x80 | 2};
    const uint8_t code[] = {WEBSOCKET_PROTOCOL_ERROR >> 8, WEBSOCKET_PROTOCOL_ERROR & 0xff};

    w->failure = WEBSOCKET_PROTOCOL_ERROR;
    if (w->is_client) {
        on_genmask(w->wslay, frame + 2, 4, w);
        frame[6] = frame[2] ^ code[0];
        frame[7] = frame[3] ^ code[1];
        return stream_write(w->stream, frame, 8, e);
    }
    frame[1] = 2;
    memcpy(frame + 2, code, sizeof(code));
    return stream_write(w->stream, frame, 4, e);
}

static void frames_read(struct websocket *w, const void *data, size_t len)
{
    struct err e = ERR_INIT;
    int r;

    w->in = data;
    w->in_len = len;
    r = wslay_event_recv(w->wslay);
    if (w->state != OPEN)
        return;
    if (r >= 0 && !w->failure)
        r = flush(w, &e);
    else if (!wslay_event_get_close_sent(w->wslay))
        r = protocol_error_write(w, &e);
    else
        w->failure = WEBSOCKET_PROTOCOL_ERROR;
    if (r < 0 && e.code) {
        finish(w, &e);
        return;
    }
    if (w->failure || !wslay_event_get_read_enabled(w->wslay)) {
        if (!w->failure && !wslay_event_get_close_received(w->wslay))
            w->failure = wslay_event_get_status_code_sent(w->wslay);
        w->state = ENDING;
        await_end(w);
        stream_shut(w->stream);
        stream_resume(w->stream);
    }
}

/* ---- Opening ---- */

static int frames_begin(struct websocket *w, struct err *e)
{
    static const struct wslay_event_callbacks callbacks = {
        .recv_callback = on_recv,
        .send_callback = on_send,
        .genmask_callback = on_genmask,
        .on_msg_recv_callback = on_message,
    };
    int r = w->is_client ? wslay_event_context_client_init(&w->wslay, &callbacks, w)
                         : wslay_event_context_server_init(&w->wslay, &callbacks, w);

    if (r < 0)
        return err_set(e, -ENOMEM, "ConnectionLost", "no memory for a WebSocket");
    wslay_event_config_set_max_recv_msg_length(w->wslay, w->o.message_limit);
    w->masks_at = sizeof(w->masks);
    w->state = OPEN;
    return 0;
}

/* The answer of the server, and maybe first frames behind it. */
static void head_read(struct websocket *w, const void *data, size_t len)
{
    struct err e = ERR_INIT;
    const char *last;
    size_t head_len;

    buf_add(&w->head, data, len);
    last = memmem(w->head.data, w->head.len, "\r\n\r\n", 4);
    head_len = last ? (size_t)(last - w->head.data) + 4 : w->head.len;
    if (!last && head_len <= HEAD_LIMIT_BYTES)
        return;
    if (head_len > HEAD_LIMIT_BYTES) {
        err_set(&e, -EPROTO, "BadHandshake",
                "the server's answer to the WebSocket request is longer than %d bytes",
                HEAD_LIMIT_BYTES);
        end(w, WEBSOCKET_ABNORMAL, &e);
        return;
    }
    if (websocket_answer_check((struct text){w->head.data, head_len}, w->key, w->o.protocols,
                               &w->protocol, &e) < 0 ||
        frames_begin(w, &e) < 0) {
        end(w, WEBSOCKET_ABNORMAL, &e);
        return;
    }
    w->o.opened(w->o.ctx, w->protocol);
    if (w->state == OPEN && w->head.len > head_len)
        frames_read(w, w->head.data + head_len, w->head.len - head_len);
    if (!w->is_freed)
        buf_done(&w->head);
}

static void on_data(void *ctx, const void *data, size_t len)
{
    struct websocket *w = ctx;

    w->depth++;
    if (w->state == OPENING)
        head_read(w, data, len);
    else if (w->state == OPEN)
        frames_read(w, data, len);
    leave(w);
}

static void on_ended(void *ctx, const struct err *e)
{
    struct websocket *w = ctx;
    struct err own = *e;

    if (!own.code)
        err_set(&own, -ECONNRESET, "ConnectionLost",
                "the other side shut the connection without closing the WebSocket");
    w->depth++;
    finish(w, &own);
    leave(w);
}

static void on_hung_up(void *ctx)
{
    const struct err none = ERR_INIT;

    on_ended(ctx, &none);
}

static void on_drained(void *ctx)
{
    struct websocket *w = ctx;

    w->depth++;
    if (w->state == OPEN && w->o.drained)
        w->o.drained(w->o.ctx);
    leave(w);
}

static void on_timer(void *ctx)
{
    struct websocket *w = ctx;
    struct err e = ERR_INIT;

    err_set(&e, -ETIMEDOUT, "Stalled", "the other side did not close the WebSocket in %d s",
            CLOSE_MS / 1000);
    w->depth++;
    finish(w, &e);
    leave(w);
}

static struct websocket *websocket_new(const struct websocket_options *o)
{
    struct websocket *w = xcalloc(1, sizeof(*w));

    w->o = *o;
    for (size_t i = 0; o->protocols && o->protocols[i]; i++)
        strv_add(&w->protocols, o->protocols[i]);
    w->o.protocols = strv_array(&w->protocols);
    w->timer = loop_timer_new(o->loop, on_timer, w);
    return w;
}

static int stream_begin(struct websocket *w, int fd, struct err *e)
{
    struct stream_options s = {
        .fd = fd,
        .queue_limit = w->o.queue_limit + 1024, /* the head of a frame, and a frame of control */
        .data = on_data,
        .ended = on_ended,
        .hung_up = on_hung_up,
        .drained = on_drained,
        .ctx = w,
    };

    return stream_new(w->o.loop, &s, &w->stream, e);
}

/* ---- The server's side ---- */

static void on_taken(void *ctx, int fd, const void *rest, size_t len)
{
    struct handover *h = ctx;
    struct websocket *w = h->w;
    struct err e = ERR_INIT;

    free(h);
    if (!w) {
        if (fd >= 0)
            close(fd);
        return;
    }
    w->handover = NULL;
    w->depth++;
    if (fd < 0)
        err_set(&e, -ECONNRESET, "ConnectionLost", "the client has gone during the handshake");
    if (fd < 0 || stream_begin(w, fd, &e) < 0 || frames_begin(w, &e) < 0) {
        end(w, WEBSOCKET_ABNORMAL, &e);
    } else {
        w->o.opened(w->o.ctx, w->protocol);
        if (w->state == OPEN && len)
            frames_read(w, rest, len);
    }
    leave(w);
}

static int refuse(struct http_exchange *x, unsigned status, const char *text, struct err *e)
{
    char line[256];
    int len = snprintf(line, sizeof(line), "%s\n", text);

    if (status == 426) {
        http_exchange_add_header(x, "Upgrade", "websocket");
        http_exchange_add_header(x, "Sec-WebSocket-Version", "13");
    }
    http_exchange_respond(x, status, "text/plain", line, (size_t)len);
    return err_set(e, -EPROTO, "BadHandshake", "%s", text);
}

static void add_part(void *ctx, const char *value)
{
    struct buf *list = ctx;

    buf_addf(list, "%s%s", list->len ? "," : "", value);
}

static const char *header(struct http_exchange *x, const char *name)
{
    const char *value = http_exchange_header(x, name);

    return value ? value : "";
}

/* Answers and fails when the request is none for a WebSocket of ours. */
static int request_check(struct http_exchange *x, struct websocket *w, struct err *e)
{
    autobuf connection = BUF_INIT, offered = BUF_INIT;
    bool has_protocols = w->protocols.n > 0;

    http_exchange_header_each(x, "Connection", add_part, &connection);
    http_exchange_header_each(x, "Sec-WebSocket-Protocol", add_part, &offered);
    if (!websocket_list_has(text_of(header(x, "Upgrade")), "websocket") ||
        !websocket_list_has(text_of(buf_str(&connection)), "upgrade"))
        return refuse(x, 426, "this address speaks WebSocket only", e);
    if (!str_eq(header(x, "Sec-WebSocket-Version"), "13"))
        return refuse(x, 426, "only version 13 of WebSocket is spoken here", e);
    if (!str_eq(http_exchange_method(x), "GET") ||
        !websocket_key_is_good(header(x, "Sec-WebSocket-Key")))
        return refuse(x, 400, "a WebSocket begins with GET and a Sec-WebSocket-Key of 16 bytes", e);
    if (!has_protocols)
        return 0;
    w->protocol = websocket_protocol_choose(w->o.protocols, buf_str(&offered));
    if (!w->protocol)
        return refuse(x, 400, "none of the offered WebSocket protocols is spoken here", e);
    if (!*w->protocol)
        w->protocol = NULL;
    return 0;
}

int websocket_accept(struct http_exchange *x, const struct websocket_options *o,
                     struct websocket **ret, struct err *e)
{
    AUTO(websocket) w = websocket_new(o);
    char accept[WEBSOCKET_ACCEPT_SIZE];

    TRY(request_check(x, w, e));
    websocket_accept_value(http_exchange_header(x, "Sec-WebSocket-Key"), accept);
    http_exchange_add_header(x, "Upgrade", "websocket");
    http_exchange_add_header(x, "Sec-WebSocket-Accept", accept);
    if (w->protocol)
        http_exchange_add_header(x, "Sec-WebSocket-Protocol", w->protocol);
    w->handover = xcalloc(1, sizeof(*w->handover));
    w->handover->w = w;
    http_exchange_upgrade(x, on_taken, w->handover);
    *ret = take_ptr(w);
    return 0;
}

/* ---- The client's side ---- */

static void request_format(const struct websocket *w, const struct websocket_request *q,
                           struct buf *out)
{
    const char *separator = "Sec-WebSocket-Protocol: ";

    buf_addf(out,
             "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
             "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n",
             q->target, q->host, w->key);
    for (size_t i = 0; i < w->protocols.n; i++) {
        if (!*w->protocols.v[i])
            continue;
        buf_addf(out, "%s%s", separator, w->protocols.v[i]);
        separator = ", ";
    }
    buf_addstr(out, str_eq(separator, ", ") ? "\r\n" : "");
    for (size_t i = 0; i < q->headers.n; i++)
        buf_addf(out, "%s\r\n", q->headers.v[i]);
    buf_addstr(out, "\r\n");
}

int websocket_connect(int fd, const struct websocket_request *q, const struct websocket_options *o,
                      struct websocket **ret, struct err *e)
{
    AUTO(websocket) w = websocket_new(o);
    autobuf request = BUF_INIT;

    w->is_client = true;
    websocket_key_new(w->key);
    request_format(w, q, &request);
    TRY(stream_begin(w, fd, e));
    TRY(stream_write(w->stream, request.data, request.len, e));
    *ret = take_ptr(w);
    return 0;
}

void websocket_pause(struct websocket *w)
{
    if (w->state == OPEN && !loop_timer_is_set(w->timer))
        stream_pause(w->stream);
}

void websocket_resume(struct websocket *w)
{
    if (w->stream)
        stream_resume(w->stream);
}
