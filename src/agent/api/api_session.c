/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/api_session.h"

#include "agent/api/api_status.h"
#include "base/log.h"

struct api_streams {
    struct loop *loop;
    struct session *first;
    size_t n;
};

/* ---- The set ---- */

struct api_streams *api_streams_new(struct loop *l)
{
    struct api_streams *set = xcalloc(1, sizeof(*set));

    set->loop = l;
    return set;
}

/* Of its own accord or with the set: nothing is called any more. */
static void session_end(struct session *s)
{
    if (s->prev)
        s->prev->next = s->next;
    else
        s->set->first = s->next;
    if (s->next)
        s->next->prev = s->prev;
    s->set->n--;
    websocket_free(take_ptr(s->websocket));
    for (size_t i = 0; i < s->n_lanes; i++)
        lane_close(&s->lanes[i]);
    s->kind->destroy(s);
}

void api_streams_free(struct api_streams *set)
{
    if (!set)
        return;
    while (set->first)
        session_end(set->first);
    free(set);
}

void api_streams_pod_gone(struct api_streams *set, const struct pod *p)
{
    for (struct session *s = set->first, *next; s; s = next) {
        next = s->next;
        if (s->pod == p)
            session_end(s);
    }
}

struct loop *session_loop(const struct session *s)
{
    return s->set->loop;
}

/* ---- To the client ---- */

static void lanes_set_paused(struct session *s, bool is_paused)
{
    for (size_t i = 0; i < s->n_lanes; i++) {
        if (!s->lanes[i].stream || s->lanes[i].is_in_over)
            continue;
        if (is_paused)
            stream_pause(s->lanes[i].stream);
        else
            stream_resume(s->lanes[i].stream);
    }
}

void session_send(struct session *s, uint8_t channel, const void *data, size_t len)
{
    autobuf message = BUF_INIT;
    struct err e = ERR_INIT;
    int r;

    buf_addc(&message, (char)channel);
    buf_add(&message, data, len);
    r = websocket_send(s->websocket, WEBSOCKET_BINARY, message.data, message.len, &e);
    if (r > 0) {
        s->is_waiting = true;
        lanes_set_paused(s, true);
    } else if (r == -ENOBUFS) {
        log_error("a session of the local API: %s", e.msg);
        websocket_close(s->websocket, WEBSOCKET_INTERNAL_ERROR, e.msg);
    } else if (r < 0) {
        /* `closed` is told when it is read. */
        websocket_resume(s->websocket);
    }
}

void session_finish(struct session *s)
{
    s->is_finishing = true;
    if (!s->is_waiting)
        websocket_close(s->websocket, WEBSOCKET_NORMAL, "");
}

static void on_drained(void *ctx)
{
    struct session *s = ctx;

    s->is_waiting = false;
    if (s->is_finishing)
        websocket_close(s->websocket, WEBSOCKET_NORMAL, "");
    else
        lanes_set_paused(s, false);
}

/* ---- Lanes ---- */

static void on_lane_data(void *ctx, const void *data, size_t len)
{
    struct lane *l = ctx;

    session_send(l->session, l->channel, data, len);
}

static void lane_waits_no_more(struct lane *l)
{
    struct session *s = l->session;
    bool is_any_waiting = false;

    if (!l->is_waiting)
        return;
    l->is_waiting = false;
    for (size_t i = 0; i < s->n_lanes; i++)
        is_any_waiting |= s->lanes[i].is_waiting;
    if (!is_any_waiting && s->websocket)
        websocket_resume(s->websocket);
}

static void on_lane_ended(void *ctx, const struct err *e)
{
    struct lane *l = ctx;

    l->is_in_over = true;
    if (e->code)
        lane_waits_no_more(l); /* `drained` does not come */
    l->session->kind->lane_over(l->session, l, e);
}

static void on_lane_drained(void *ctx)
{
    struct lane *l = ctx;

    lane_waits_no_more(l);
    if (l->session->kind->lane_drained)
        l->session->kind->lane_drained(l->session, l);
}

int lane_open(struct lane *l, int fd, struct err *e)
{
    struct stream_options o = {
        .fd = fd,
        .queue_limit = SESSION_QUEUE_LIMIT,
        .data = on_lane_data,
        .ended = on_lane_ended,
        .drained = on_lane_drained,
        .ctx = l,
    };

    TRY(stream_new(l->session->set->loop, &o, &l->stream, e));
    if (l->session->is_waiting)
        stream_pause(l->stream);
    return 0;
}

void lane_write(struct lane *l, struct text data)
{
    struct err e = ERR_INIT;
    int r;

    if (!l->stream || !data.len)
        return;
    r = stream_write(l->stream, data.data, data.len, &e);
    if (r > 0) {
        l->is_waiting = true;
        websocket_pause(l->session->websocket);
    } else if (r == -ENOBUFS) {
        log_error("a session of the local API: %s", e.msg);
        websocket_close(l->session->websocket, WEBSOCKET_INTERNAL_ERROR, e.msg);
    }
}

void lane_shut(struct lane *l)
{
    if (l->stream)
        stream_shut(l->stream);
}

void lane_close(struct lane *l)
{
    stream_free(take_ptr(l->stream));
    l->is_in_over = true;
    lane_waits_no_more(l);
}

/* ---- The WebSocket ---- */

static void on_opened(void *ctx, const char *protocol)
{
    struct session *s = ctx;

    s->can_close = channel_can_close(protocol);
    s->kind->opened(s);
}

static void on_message(void *ctx, enum websocket_kind kind, const void *data, size_t len)
{
    struct session *s = ctx;
    struct channel_message m;
    struct err e = ERR_INIT;

    (void)kind;
    if (channel_message_parse(data, len, s->can_close, &m, &e) < 0)
        websocket_close(s->websocket, WEBSOCKET_PROTOCOL_ERROR, e.msg);
    else
        s->kind->message(s, &m);
}

static void on_closed(void *ctx, unsigned code, const char *reason, const struct err *e)
{
    (void)code;
    (void)reason;
    (void)e;
    session_end(ctx);
}

/* ---- Beginning ---- */

int session_refuse(struct http_exchange *x, unsigned status, const struct err *e)
{
    autobuf body = BUF_INIT;

    api_status_failure(e->msg, e->reason, status, &body);
    http_exchange_respond(x, status, "application/json", body.data, body.len);
    return e->code;
}

int session_begin(struct api_streams *set, struct session *s, struct http_exchange *x,
                  struct err *e)
{
    struct websocket_options o = {
        .loop = set->loop,
        .protocols = s->kind->protocols,
        .message_limit = SESSION_MESSAGE_LIMIT,
        .queue_limit = SESSION_QUEUE_LIMIT,
        .opened = on_opened,
        .message = on_message,
        .drained = on_drained,
        .closed = on_closed,
        .ctx = s,
    };
    int r;

    if (set->n >= API_STREAMS_LIMIT) {
        s->kind->destroy(s);
        err_set(e, -EAGAIN, "TooManyRequests",
                "%d sessions of exec and port-forward are open, which is the limit; end one",
                API_STREAMS_LIMIT);
        return session_refuse(x, 429, e);
    }
    r = websocket_accept(x, &o, &s->websocket, e);
    if (r < 0) {
        s->kind->destroy(s);
        return r;
    }
    s->set = set;
    s->next = set->first;
    if (s->next)
        s->next->prev = s;
    set->first = s;
    set->n++;
    return 0;
}
