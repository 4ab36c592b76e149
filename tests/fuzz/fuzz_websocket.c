/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What either side of a WebSocket reads, over real sockets. The first byte chooses: frames to the
 * server, frames to the client, or the server's answer. Text is UTF-8, nothing is beyond the limit,
 * and it ends exactly once.
 */
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/err.h"
#include "base/text.h"
#include "base/util.h"
#include "wire/websocket.h"
#include "wire/websocket_handshake.h"

enum { MESSAGE_LIMIT = 4096 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct loop *loop;
static struct http_server *server;
static struct sockaddr_un address;
static socklen_t address_len;
static struct websocket *websocket;
static unsigned n_closed;

static void on_opened(void *ctx, const char *protocol)
{
    (void)ctx;
    (void)protocol;
}

static void on_message(void *ctx, enum websocket_kind kind, const void *data, size_t len)
{
    autobuf text = BUF_INIT;

    (void)ctx;
    BUG_ON(len > MESSAGE_LIMIT || n_closed);
    if (kind == WEBSOCKET_TEXT)
        text_lossy_add((struct text){data, len}, &text);
    BUG_ON(kind == WEBSOCKET_TEXT && (text.len != len || memcmp(buf_str(&text), data, len) != 0));
}

static void on_closed(void *ctx, unsigned code, const char *reason, const struct err *e)
{
    (void)ctx;
    BUG_ON(n_closed || !code || !reason || (e->code && !*e->msg));
    n_closed++;
    websocket_free(take_ptr(websocket));
    loop_stop(loop);
}

static struct websocket_options options(void)
{
    return (struct websocket_options){
        .loop = loop,
        .message_limit = MESSAGE_LIMIT,
        .queue_limit = 65536,
        .opened = on_opened,
        .message = on_message,
        .closed = on_closed,
    };
}

static void on_request(void *ctx, struct http_exchange *x)
{
    struct websocket_options o = options();
    struct err e = ERR_INIT;

    (void)ctx;
    BUG_ON(websocket_accept(x, &o, &websocket, &e) < 0);
}

static void set_up(void)
{
    struct http_server_options o = {
        .body_limit = 1000,
        .connections = 10,
        .idle_ms = 10000,
        .queue_limit = 10000,
        .request = on_request,
    };
    struct err e = ERR_INIT;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    address.sun_family = AF_UNIX;
    BUG_ON(bind(fd, (struct sockaddr *)&address, sizeof(sa_family_t)) < 0 || listen(fd, 8) < 0);
    address_len = sizeof(address);
    getsockname(fd, (struct sockaddr *)&address, &address_len);
    BUG_ON(loop_open(&loop, &e) < 0);
    o.loop = loop;
    BUG_ON(http_server_new(&o, &server, &e) < 0 || http_server_listen(server, fd, &e) < 0);
}

static int server_side(void)
{
    static const char request[] = "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
                                  "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                                  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    BUG_ON(connect(fd, (struct sockaddr *)&address, address_len) < 0);
    BUG_ON(write(fd, request, sizeof(request) - 1) != sizeof(request) - 1);
    return fd;
}

static int client_side(bool has_answer)
{
    struct websocket_request q = {.host = "x", .target = "/", .headers = STRV_INIT};
    struct websocket_options o = options();
    char request[1024], answer[256], accept[WEBSOCKET_ACCEPT_SIZE], *key;
    struct err e = ERR_INIT;
    int fds[2], len;
    ssize_t n;

    BUG_ON(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0);
    BUG_ON(websocket_connect(fds[0], &q, &o, &websocket, &e) < 0);
    n = read(fds[1], request, sizeof(request) - 1);
    BUG_ON(n <= 0);
    request[n] = 0;
    key = strstr(request, "Sec-WebSocket-Key: ") + strlen("Sec-WebSocket-Key: ");
    key[WEBSOCKET_KEY_SIZE - 1] = 0;
    websocket_accept_value(key, accept);
    len = snprintf(answer, sizeof(answer),
                   "HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: upgrade\r\n"
                   "Sec-WebSocket-Accept: %s\r\n\r\n",
                   accept);
    BUG_ON(has_answer && write(fds[1], answer, (size_t)len) != len);
    return fds[1];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int fd;

    if (!size || size > 60000)
        return 0;
    if (!loop)
        set_up();
    n_closed = 0;
    fd = data[0] % 3 == 0 ? server_side() : client_side(data[0] % 3 == 1);
    BUG_ON(size > 1 && write(fd, data + 1, size - 1) != (ssize_t)size - 1);
    shutdown(fd, SHUT_WR);
    while (!n_closed)
        loop_run(loop);
    close(fd);
    return 0;
}
