/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/exec_session.h"

#include <poll.h>
#include <signal.h>

#include "cli/input_pump.h"
#include "cli/terminal.h"
#include "wire/http.h"

enum {
    MESSAGE_LIMIT_BYTES = 1 << 20,
    QUEUE_LIMIT_BYTES = 1 << 20,
};

struct run {
    const struct exec_session *x;
    struct loop *loop;
    struct websocket *websocket;
    struct input_pump *pump;
    struct loop_signal *resized; /* NULL: no terminal, or not opened yet */
    bool can_close;
    bool is_input_waiting; /* a piece that is on its way; the next is read when it is out */
    bool is_over;
    struct buf status;
    struct err *e; /* why it ended; code 0: with a status */
};

static void finish(struct run *r)
{
    r->is_over = true;
    loop_stop(r->loop);
}

/* ---- Input ---- */

/* When sending fails the connection is at its end, and `closed` says so. */
static void on_input(void *ctx, const void *data, size_t len)
{
    struct run *r = ctx;
    const char close[] = {(char)CHANNEL_CLOSE, CHANNEL_STDIN};
    autobuf message = BUF_INIT;
    struct err ignored = ERR_INIT;
    int sent;

    if (!len) {
        if (r->can_close)
            websocket_send(r->websocket, WEBSOCKET_BINARY, close, sizeof(close), &ignored);
        return;
    }
    buf_addc(&message, CHANNEL_STDIN);
    buf_add(&message, data, len);
    sent = websocket_send(r->websocket, WEBSOCKET_BINARY, message.data, message.len, &ignored);
    r->is_input_waiting = sent > 0;
    if (sent == 0)
        input_pump_next(r->pump);
}

static void on_drained(void *ctx)
{
    struct run *r = ctx;

    if (r->is_input_waiting) {
        r->is_input_waiting = false;
        input_pump_next(r->pump);
    }
}

/* ---- Output ---- */

static int write_all(int fd, const char *data, size_t len)
{
    while (len) {
        ssize_t n = write(fd, data, len);
        struct pollfd p = {.fd = fd, .events = POLLOUT};

        if (n >= 0)
            data += n, len -= (size_t)n;
        else if (errno == EAGAIN)
            poll(&p, 1, -1); /* somebody else made it non-blocking */
        else if (errno != EINTR)
            return -errno;
    }
    return 0;
}

static void output(struct run *r, int fd, struct text data)
{
    int code = write_all(fd, data.data, data.len);

    if (code >= 0 || r->is_over)
        return;
    err_errno(r->e, code, code == -EPIPE ? "OutputClosed" : "WriteFailed",
              "cannot write what the command says");
    finish(r);
}

static void on_message(void *ctx, enum websocket_kind kind, const void *data, size_t len)
{
    struct run *r = ctx;
    struct channel_message m;

    (void)kind;
    if (r->is_over)
        return;
    if (channel_message_parse(data, len, r->can_close, &m, r->e) < 0) {
        finish(r);
        return;
    }
    if (m.channel == CHANNEL_STDOUT)
        output(r, r->x->out_fd, m.data);
    else if (m.channel == CHANNEL_STDERR)
        output(r, r->x->err_fd, m.data);
    else if (m.channel == CHANNEL_STATUS && r->status.len + m.data.len <= CHANNEL_STATUS_LIMIT)
        buf_add(&r->status, m.data.data, m.data.len);
}

/* ---- The terminal ---- */

static void size_send(void *ctx)
{
    struct run *r = ctx;
    autobuf message = BUF_INIT;
    struct channel_size size;
    struct err ignored = ERR_INIT;

    if (!terminal_size(r->x->in_fd, &size))
        return;
    buf_addc(&message, CHANNEL_RESIZE);
    channel_size_add(size, &message);
    websocket_send(r->websocket, WEBSOCKET_BINARY, message.data, message.len, &ignored);
}

/* Not before there is somebody who takes the keys: until then Ctrl-C ends this process. The size
 * may have changed since the request was made. */
static int terminal_begin(struct run *r)
{
    TRY(loop_signal_new(r->loop, SIGWINCH, size_send, r, &r->resized, r->e));
    size_send(r);
    return terminal_raw(r->x->in_fd, r->e);
}

/* ---- Life ---- */

static void on_opened(void *ctx, const char *protocol)
{
    struct run *r = ctx;

    r->can_close = channel_can_close(protocol);
    if (r->x->is_tty && terminal_begin(r) < 0) {
        finish(r);
        return;
    }
    if (r->x->in_fd >= 0 && input_pump_start(r->loop, r->x->in_fd, on_input, r, &r->pump, r->e) < 0)
        finish(r);
}

static void on_closed(void *ctx, unsigned code, const char *reason, const struct err *e)
{
    struct run *r = ctx;

    (void)code;
    if (r->is_over)
        return;
    if (e->code && str_eq(e->reason, "BadHandshake"))
        *r->e = *e;
    else if (!r->status.len)
        err_set(r->e, -ECONNRESET, "ConnectionLost",
                "the agent has gone before the command ended: %s", e->code ? e->msg : reason);
    finish(r);
}

static void target_format(const struct exec_session *x, struct buf *out)
{
    struct channel_size size;

    agent_target_add(out, x->space, "pods", x->pod);
    buf_addf(out, "/exec?stdout=true%s%s", x->in_fd >= 0 ? "&stdin=true" : "",
             x->is_tty ? "&tty=true" : "&stderr=true");
    if (x->is_tty && terminal_size(x->in_fd, &size)) {
        autobuf text = BUF_INIT;

        channel_size_add(size, &text);
        buf_addstr(out, "&size=");
        http_query_add(out, text.data);
    }
    if (x->container) {
        buf_addstr(out, "&container=");
        http_query_add(out, x->container);
    }
    if (x->program) {
        buf_addstr(out, "&program=");
        http_query_add(out, x->program);
    }
    for (const char *const *word = x->command; *word; word++) {
        buf_addstr(out, "&command=");
        http_query_add(out, *word);
    }
}

static int run_connected(struct agent_client *c, struct run *r, const char *target, struct err *e)
{
    struct websocket_options o = {
        .loop = r->loop,
        .protocols = channel_exec_protocols,
        .message_limit = MESSAGE_LIMIT_BYTES,
        .queue_limit = QUEUE_LIMIT_BYTES,
        .opened = on_opened,
        .message = on_message,
        .drained = on_drained,
        .closed = on_closed,
        .ctx = r,
    };

    TRY(agent_client_websocket(c, target, &o, &r->websocket, e));
    while (!r->is_over)
        loop_run(r->loop);
    return e->code;
}

int exec_session_run(struct agent_client *c, const struct exec_session *x,
                     struct channel_status *ret, struct err *e)
{
    struct run r = {.x = x, .e = e};
    struct agent_request again = {0};
    autobuf target = BUF_INIT, answer = BUF_INIT;
    struct err why = ERR_INIT;
    int code;

    TRY(loop_open(&r.loop, e));
    target_format(x, &target);
    code = run_connected(c, &r, target.data, e);
    terminal_restore();
    input_pump_free(r.pump);
    loop_signal_free(r.resized);
    websocket_free(r.websocket);
    loop_free(r.loop);
    if (code >= 0)
        code = channel_status_parse((struct text){r.status.data, r.status.len}, ret, e);
    buf_done(&r.status);
    again.target = target.data;
    if (code < 0 && str_eq(e->reason, "BadHandshake") &&
        agent_client_ask(c, &again, &answer, NULL, &why) < 0) {
        *e = why;
        code = why.code;
    }
    return code;
}
