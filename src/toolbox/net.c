/* SPDX-License-Identifier: Apache-2.0 */
#include "toolbox/net.h"

#include <limits.h>
#include <string.h>

#include "base/util.h"

#define POLLABLES_MAX 4

static const char *code_text(uint8_t code)
{
    static const char *const texts[] = {
        [WASI_ACCESS_DENIED] = "not granted (see --allow-net, and wherry.dev/allow-net of pods)",
        [WASI_TIMEOUT] = "no answer in time",
        [WASI_REMOTE_UNREACHABLE] = "the address cannot be reached",
        [WASI_CONNECTION_REFUSED] = "connection refused",
        [WASI_CONNECTION_RESET] = "connection reset",
        [WASI_CONNECTION_ABORTED] = "connection aborted",
        [WASI_NAME_UNRESOLVABLE] = "no such name",
        [WASI_TEMPORARY_RESOLVER_FAILURE] = "the name server does not answer",
        [WASI_PERMANENT_RESOLVER_FAILURE] = "names cannot be looked up here",
    };

    return code < ARRAY_SIZE(texts) && texts[code] ? texts[code] : "it failed";
}

bool net_wait(const wasi_handle *pollables, size_t n, uint64_t timeout_ns, bool *ret_ready)
{
    wasi_handle all[POLLABLES_MAX + 1];
    struct wasi_indexes ready;
    bool is_any = false;
    size_t n_all = n;

    memcpy(all, pollables, n * sizeof(*all));
    if (timeout_ns)
        all[n_all++] = wasi_after_ns(timeout_ns);
    memset(ret_ready, 0, n * sizeof(*ret_ready));
    wasi_poll(all, n_all, &ready);
    for (size_t i = 0; i < ready.n; i++) {
        if (ready.v[i] < n) {
            ret_ready[ready.v[i]] = true;
            is_any = true;
        }
    }
    free(ready.v);
    if (timeout_ns)
        wasi_pollable_drop(all[n]);
    return is_any;
}

/* Drops the pollable. */
static bool wait_once(wasi_handle pollable, uint64_t timeout_ns)
{
    bool is_ready;

    net_wait(&pollable, 1, timeout_ns, &is_ready);
    wasi_pollable_drop(pollable);
    return is_ready;
}

static void start_connect(wasi_handle socket, wasi_handle network, const struct wasi_address *a,
                          uint16_t port, struct wasi_done *ret)
{
    const uint16_t *w = a->ipv6;

    if (a->is_ipv6)
        wasi_tcp_start_connect(socket, network, 1, port, 0, w[0], w[1], w[2], w[3], w[4], w[5],
                               w[6], w[7], 0, ret);
    else
        wasi_tcp_start_connect(socket, network, 0, port, a->ipv4[0], a->ipv4[1], a->ipv4[2],
                               a->ipv4[3], 0, 0, 0, 0, 0, 0, ret);
}

/* The error code, or -1. */
static int socket_connect(wasi_handle socket, wasi_handle network, const struct wasi_address *a,
                          uint16_t port, uint64_t timeout_ns, struct wasi_streams *ret)
{
    struct wasi_done done;

    start_connect(socket, network, a, port, &done);
    if (done.is_error)
        return done.code;
    if (!wait_once(wasi_tcp_subscribe(socket), timeout_ns))
        return WASI_TIMEOUT;
    wasi_tcp_finish_connect(socket, ret);
    return ret->is_error ? ret->code : -1;
}

static int address_connect(wasi_handle network, const struct wasi_address *a, uint16_t port,
                           uint64_t timeout_ns, struct net_connection *ret)
{
    struct wasi_streams streams;
    struct wasi_made socket;
    int code;

    wasi_tcp_new(a->is_ipv6, &socket);
    if (socket.is_error)
        return socket.code;
    code = socket_connect(socket.handle, network, a, port, timeout_ns, &streams);
    if (code >= 0) {
        wasi_tcp_drop(socket.handle);
        return code;
    }
    *ret = (struct net_connection){
        .socket = socket.handle,
        .input = streams.input,
        .output = streams.output,
        .input_ready = wasi_input_subscribe(streams.input),
        .output_ready = wasi_output_subscribe(streams.output),
    };
    return -1;
}

/* The error code of the last address, or -1. */
static int addresses_connect(wasi_handle network, wasi_handle addresses, uint16_t port,
                             uint64_t timeout_ns, struct net_connection *ret)
{
    int code = WASI_NAME_UNRESOLVABLE;

    for (;;) {
        struct wasi_next_address next;

        wasi_resolve_next(addresses, &next);
        if (next.is_error && next.code == WASI_WOULD_BLOCK) {
            if (!wait_once(wasi_resolve_subscribe(addresses), timeout_ns))
                return WASI_TIMEOUT;
            continue;
        }
        if (next.is_error)
            return next.code;
        if (!next.is_some)
            return code;
        code = address_connect(network, &next.address, port, timeout_ns, ret);
        if (code < 0)
            return code;
    }
}

bool net_connect(const char *host, uint16_t port, uint64_t timeout_ns, struct net_connection *ret,
                 const char **ret_why)
{
    wasi_handle network = wasi_network();
    struct wasi_made addresses;
    int code;

    /* Of an address the list is itself. */
    wasi_resolve(network, host, strlen(host), &addresses);
    if (addresses.is_error) {
        code = addresses.code;
    } else {
        code = addresses_connect(network, addresses.handle, port, timeout_ns, ret);
        wasi_resolve_drop(addresses.handle);
    }
    wasi_network_drop(network);
    if (code >= 0)
        *ret_why = code_text((uint8_t)code);
    return code < 0;
}

void net_close(struct net_connection *c)
{
    wasi_pollable_drop(c->input_ready);
    wasi_pollable_drop(c->output_ready);
    wasi_input_drop(c->input);
    wasi_output_drop(c->output);
    wasi_tcp_drop(c->socket);
}

#define BLOCK_BYTES 16384

static void error_forget(const struct wasi_stream_error *e)
{
    if (!e->is_closed)
        wasi_error_drop(e->error);
}

ssize_t net_take(struct net_connection *c, struct buf *into)
{
    struct wasi_read got;

    wasi_read(c->input, BLOCK_BYTES, &got);
    if (got.is_error) {
        error_forget(&got.error);
        return got.error.is_closed ? 0 : -ECONNRESET;
    }
    if (got.len == 0)
        return -EAGAIN;
    buf_add(into, got.data, got.len);
    free(got.data);
    return (ssize_t)got.len;
}

ssize_t net_receive(struct net_connection *c, uint64_t timeout_ns, struct buf *into)
{
    ssize_t n;
    bool is_ready;

    while ((n = net_take(c, into)) == -EAGAIN)
        if (!net_wait(&c->input_ready, 1, timeout_ns, &is_ready))
            return -ETIMEDOUT;
    return n;
}

/* How many bytes are taken at once; -EPIPE. */
static ssize_t room_get(struct net_connection *c)
{
    struct wasi_room room;

    wasi_room(c->output, &room);
    if (!room.is_error)
        return room.bytes < SSIZE_MAX ? (ssize_t)room.bytes : SSIZE_MAX;
    error_forget(&room.error);
    return -EPIPE;
}

bool net_has_sent(struct net_connection *c)
{
    return room_get(c) != 0;
}

ssize_t net_send(struct net_connection *c, const char *data, size_t len)
{
    struct wasi_written written = {0};
    ssize_t room = room_get(c);

    if (room <= 0)
        return room;
    if ((size_t)room < len)
        len = (size_t)room;
    wasi_write(c->output, data, len, &written);
    if (!written.is_error)
        return (ssize_t)len;
    error_forget(&written.error);
    return -EPIPE;
}
