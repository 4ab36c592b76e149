/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <sys/socket.h>

#include "base/log.h"
#include "cli/agent_client.h"
#include "cli/cli.h"
#include "cli/pods.h"
#include "cli/sockets.h"
#include "loop/stream.h"
#include "wire/channels.h"

enum {
    CONNECTIONS_LIMIT = 64, /* what the agent has sessions for */
    PORTS_LIMIT = 16,
    MESSAGE_LIMIT_BYTES = 1 << 20,
    QUEUE_LIMIT_BYTES = 1 << 21,
    CHANNEL_DATA = 0,
    CHANNEL_ERROR = 1,
};

struct forwarding {
    struct agent_client *client;
    struct loop *loop;
    char *target; /* without the port */
    struct port *ports;
    size_t n_ports, n_connections;
};

struct port {
    struct forwarding *f;
    uint16_t remote;
    int fd;
    struct loop_watch *watch;
};

/* One of a local client, with a WebSocket of its own. */
struct connection {
    struct port *port;
    struct websocket *websocket;
    struct stream *local; /* from `opened` on */
    int fd;               /* until then */
    bool can_close;
    bool is_local_over, is_remote_over;
    bool is_waiting;  /* some of what the local client is to get waits */
    bool has_head[2]; /* the port, which each channel begins with */
};

static void ports_watch(struct forwarding *f)
{
    for (size_t i = 0; i < f->n_ports; i++)
        loop_watch_set(f->ports[i].watch, f->n_connections < CONNECTIONS_LIMIT ? LOOP_READABLE : 0);
}

static void connection_free(struct connection *c)
{
    struct forwarding *f = c->port->f;

    websocket_free(c->websocket);
    stream_free(c->local);
    close_cleanup_(&c->fd);
    free(c);
    f->n_connections--;
    ports_watch(f);
}

static char *target_of(const struct port *p)
{
    return xasprintf("%s/portforward?ports=%u", p->f->target, p->remote);
}

/* ---- The local side ---- */

static void send_remote(struct connection *c, uint8_t channel, const void *data, size_t len)
{
    autobuf message = BUF_INIT;
    struct err ignored = ERR_INIT; /* `closed` tells */

    if (!c->websocket)
        return;
    buf_addc(&message, (char)channel);
    buf_add(&message, data, len);
    if (websocket_send(c->websocket, WEBSOCKET_BINARY, message.data, message.len, &ignored) > 0)
        stream_pause(c->local);
}

static void on_local_data(void *ctx, const void *data, size_t len)
{
    send_remote(ctx, CHANNEL_DATA, data, len);
}

static void on_local_ended(void *ctx, const struct err *e)
{
    static const uint8_t channel = CHANNEL_DATA;
    struct connection *c = ctx;

    c->is_local_over = true;
    if (e->code)
        c->is_waiting = false; /* `drained` does not come */
    if (!c->websocket && !c->is_waiting)
        connection_free(c);
    else if (!c->websocket)
        return;
    else if (e->code || !c->can_close || c->is_remote_over)
        websocket_close(c->websocket, WEBSOCKET_NORMAL, "");
    else
        send_remote(c, CHANNEL_CLOSE, &channel, 1);
}

static void on_local_drained(void *ctx)
{
    struct connection *c = ctx;

    c->is_waiting = false;
    if (c->websocket)
        websocket_resume(c->websocket);
    else
        connection_free(c);
}

/* ---- The agent's side ---- */

static void on_opened(void *ctx, const char *protocol)
{
    struct connection *c = ctx;
    struct stream_options o = {
        .fd = take_fd(&c->fd),
        .queue_limit = QUEUE_LIMIT_BYTES,
        .data = on_local_data,
        .ended = on_local_ended,
        .drained = on_local_drained,
        .ctx = c,
    };
    struct err e = ERR_INIT;

    c->can_close = channel_can_close(protocol);
    if (stream_new(c->port->f->loop, &o, &c->local, &e) < 0) {
        log_error("port-forward: %s", e.msg);
        connection_free(c);
    }
}

static void write_local(struct connection *c, struct text data)
{
    struct err e = ERR_INIT;
    int r = stream_write(c->local, data.data, data.len, &e);

    c->is_waiting |= r > 0;
    if (r > 0)
        websocket_pause(c->websocket);
    else if (r < 0)
        websocket_close(c->websocket, WEBSOCKET_NORMAL, "");
}

static void on_message(void *ctx, enum websocket_kind kind, const void *data, size_t len)
{
    struct connection *c = ctx;
    struct channel_message m;
    struct err e = ERR_INIT;

    (void)kind;
    if (channel_message_parse(data, len, c->can_close, &m, &e) < 0 || m.channel > CHANNEL_ERROR) {
        websocket_close(c->websocket, WEBSOCKET_PROTOCOL_ERROR, "");
        return;
    }
    if (m.is_close) {
        c->is_remote_over = true;
        stream_shut(c->local);
        if (c->is_local_over)
            websocket_close(c->websocket, WEBSOCKET_NORMAL, "");
        return;
    }
    if (!c->has_head[m.channel] && m.data.len >= sizeof(uint16_t)) {
        c->has_head[m.channel] = true;
        m.data.data += sizeof(uint16_t);
        m.data.len -= sizeof(uint16_t);
    }
    if (m.data.len && m.channel == CHANNEL_ERROR)
        log_error("port-forward: %.*s", (int)m.data.len, m.data.data);
    else if (m.data.len)
        write_local(c, m.data);
}

static void on_drained(void *ctx)
{
    struct connection *c = ctx;

    stream_resume(c->local);
}

/* The handshake's refusal says only a number: asking again, without a WebSocket, says why. */
static void refusal_log(const struct port *p, const struct err *refusal)
{
    autofree char *target = target_of(p);
    struct agent_request q = {.target = target};
    autobuf answer = BUF_INIT;
    struct err e = ERR_INIT;

    if (agent_client_ask(p->f->client, &q, &answer, NULL, &e) >= 0)
        e = *refusal;
    log_error("port-forward: %s", e.msg);
}

static void on_closed(void *ctx, unsigned code, const char *reason, const struct err *e)
{
    struct connection *c = ctx;

    (void)code;
    (void)reason;
    websocket_free(take_ptr(c->websocket));
    if (e->code && str_eq(e->reason, "BadHandshake"))
        refusal_log(c->port, e);
    /* What waits for the local client still gets there. */
    if (!c->local || !c->is_waiting)
        connection_free(c);
    else
        stream_shut(c->local);
}

/* ---- Listening ---- */

static void on_client(void *ctx, unsigned events)
{
    struct port *p = ctx;
    struct forwarding *f = p->f;
    autofree char *target = target_of(p);
    int fd = accept4(p->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    struct connection *c;
    struct err e = ERR_INIT;
    struct websocket_options o = {
        .loop = f->loop,
        .protocols = channel_forward_protocols,
        .message_limit = MESSAGE_LIMIT_BYTES,
        .queue_limit = QUEUE_LIMIT_BYTES,
        .opened = on_opened,
        .message = on_message,
        .drained = on_drained,
        .closed = on_closed,
    };

    (void)events;
    if (fd < 0)
        return;
    c = xcalloc(1, sizeof(*c));
    c->port = p;
    c->fd = fd;
    o.ctx = c;
    f->n_connections++;
    if (agent_client_websocket(f->client, target, &o, &c->websocket, &e) < 0) {
        log_error("port-forward: %s", e.msg);
        connection_free(c);
        return;
    }
    ports_watch(f);
}

/* "LOCAL:REMOTE", "PORT" for both, ":REMOTE" for any local port; LOCAL may have an address. */
static int port_open(struct forwarding *f, const char *text, struct port *p, struct err *e)
{
    const char *colon = strrchr(text, ':'), *remote = colon ? colon + 1 : text;
    autofree char *local = colon ? xstrndup(text, (size_t)(colon - text)) : xstrdup(text);
    struct listen_address address;
    autofree char *name = NULL;
    size_t n = 0;

    p->f = f;
    if (channel_ports_parse(remote, &p->remote, 1, &n, e) < 0)
        return err_prefix(e, "'%s'", text);
    TRY(listen_address_parse("the local port", *local ? local : "0", &address, e));
    TRY(sockets_listen(&address, 1, &p->fd, e));
    TRY(loop_watch_new(f->loop, p->fd, on_client, p, &p->watch, e));
    TRY(sockets_name(p->fd, &name, e));
    printf("Forwarding from %s -> %u\n", name, p->remote);
    return 0;
}

/* Returns only when it cannot begin; it is ended by a signal. */
static int forward(const struct forward_options *o, const struct strv *operands, struct err *e)
{
    struct port ports[PORTS_LIMIT] = {0};
    struct forwarding f = {.ports = ports};
    struct agent_request q = {0};
    autobuf target = BUF_INIT, answer = BUF_INIT;

    if (operands->n - 1 > PORTS_LIMIT)
        return err_set(e, -EINVAL, "BadUsage", "more than %d ports at a time", PORTS_LIMIT);
    TRY(agent_client_open(o->common.socket, &f.client, e));
    agent_target_add(&target, agent_space(o->common.space), "pods", pods_name(operands->v[0]));
    f.target = target.data;
    q.target = f.target;
    TRY(agent_client_ask(f.client, &q, &answer, NULL, e));
    TRY(loop_open(&f.loop, e));
    for (; f.n_ports < operands->n - 1; f.n_ports++)
        TRY(port_open(&f, operands->v[f.n_ports + 1], &ports[f.n_ports], e));
    fflush(stdout);
    ports_watch(&f);
    loop_run(f.loop);
    return err_set(e, -EIO, "LoopFailed", "it ended without a reason");
}

int pods_port_forward(int argc, char *const *argv)
{
    struct forward_options o = {0};
    autostrv operands = STRV_INIT;
    struct err e = ERR_INIT;
    int status = cli_parse(&command_port_forward, argc, argv, &o, &operands);

    if (status >= 0)
        return status;
    forward(&o, &operands, &e);
    options_done(&command_port_forward, &o);
    return cli_fail("port-forward", &e, GUEST_EXIT_WHERRY);
}
