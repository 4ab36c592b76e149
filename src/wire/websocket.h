/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/err.h"
#include "base/strv.h"
#include "base/util.h"
#include "loop/loop.h"
#include "wire/http_server.h"

/*
 * A WebSocket (RFC 6455, version 13, no extensions) on the loop, of either side: messages both ways
 * over one connection, with back-pressure. The library behind it (wslay) does not show.
 *
 * Pings are answered, text is checked to be UTF-8, and what breaks the protocol is answered with
 * the code that the RFC names, without the caller's help. Until `opened` nothing can be sent; after
 * `closed` nothing comes any more. websocket_free() is right at any time, in every callback too.
 */
struct websocket;

enum websocket_kind { WEBSOCKET_TEXT, WEBSOCKET_BINARY };

enum websocket_code { /* RFC 6455, 7.4.1 */
                      WEBSOCKET_NORMAL = 1000,
                      WEBSOCKET_GOING_AWAY = 1001,
                      WEBSOCKET_PROTOCOL_ERROR = 1002,
                      WEBSOCKET_NO_CODE = 1005,  /* only received: the other side gave none */
                      WEBSOCKET_ABNORMAL = 1006, /* only received: there was no closing handshake */
                      WEBSOCKET_BAD_TEXT = 1007,
                      WEBSOCKET_TOO_LARGE = 1009,
                      WEBSOCKET_INTERNAL_ERROR = 1011,
};

struct websocket_options {
    struct loop *loop;
    /* What this side speaks (the server: in order of preference), to NULL; NULL: no protocol has
     * to be agreed on. A server with "" among them also takes a client that offers none. */
    const char *const *protocols;
    size_t message_limit; /* bytes of a message that comes; a larger one ends it with 1009 */
    size_t queue_limit;   /* bytes that may wait to be sent, frames included */
    /* The handshake is done. `protocol` is of `protocols`, or NULL without one. */
    void (*opened)(void *ctx, const char *protocol);
    void (*message)(void *ctx, enum websocket_kind kind, const void *data, size_t len);
    void (*drained)(void *ctx); /* as a stream's; NULL: not told */
    /*
     * Once: it is over. `code` and `reason` are the other side's. e->code is 0 after a closing
     * handshake; else "BadHandshake", "ProtocolError" (`code` is what the other side was told),
     * "ConnectionLost", or "Stalled": the other side did not close in 5 s.
     */
    void (*closed)(void *ctx, unsigned code, const char *reason, const struct err *e);
    void *ctx;
};

/*
 * The server's side, from a request that asks for it. Takes the exchange in any case: a bad request
 * it answers with 400, and with 426 one that asks for no WebSocket or another version
 * ("BadHandshake", -EPROTO).
 */
int websocket_accept(struct http_exchange *x, const struct websocket_options *o,
                     struct websocket **ret, struct err *e);

struct websocket_request {
    const char *host, *target; /* the latter with the query, encoded */
    struct strv headers;       /* further ones: "Name: value" */
};
/* The client's side, over a connected socket (taken, also on failure). "ConnectionLost". */
int websocket_connect(int fd, const struct websocket_request *q, const struct websocket_options *o,
                      struct websocket **ret, struct err *e);

/* As stream_write(): 1 when some of it waits, 0 when nothing does; "QueueFull", "ConnectionLost";
 * "NotOpen" (-ENOTCONN) before `opened` and after a close from either side. Text has to be UTF-8.
 */
int websocket_send(struct websocket *w, enum websocket_kind kind, const void *data, size_t len,
                   struct err *e);
/* Begins the closing handshake behind what is queued; messages may still come until `closed`, and
 * pausing has no effect any more. The reason is UTF-8 and cut after 123 bytes. More than once has
 * no effect. */
void websocket_close(struct websocket *w, enum websocket_code code, const char *reason);
/* Reads no more from the connection; of what has been read messages may still come. Only while it
 * is open. `closed` comes only when the other side shuts the connection, and what it had said
 * before and was not read is lost then: who keeps to the protocol waits for an answer to its close.
 */
void websocket_pause(struct websocket *w);
void websocket_resume(struct websocket *w);
void websocket_free(struct websocket *w); /* without a handshake if it is still open */
DEFINE_AUTO(websocket);
