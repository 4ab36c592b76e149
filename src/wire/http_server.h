/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/err.h"
#include "base/text.h"
#include "base/util.h"
#include "loop/loop.h"

/*
 * An HTTP/1.1 server (RFC 9112) on the loop, for local APIs, metrics and what a kubelet answers:
 * not for the traffic of guests. The library behind it (libmicrohttpd) does not show.
 *
 * An exchange is one request and its response. The handler gets it when the request is complete,
 * with its body, and answers it now or later: as a whole, piece by piece, or by taking over the
 * connection. All of it happens on the loop's thread; nothing blocks, and an idle server does not
 * wake up.
 *
 * The server itself answers 400 to a target that is no path or has a bad escape or a NUL, 413 to
 * a long body and 431 or 414 to more than 32 KiB of head. A TCP client that shuts its writing side
 * while it waits counts as gone, since it cannot be told from one that is; on a unix socket it can.
 * Every callback may call any function of this header, http_server_free() too.
 */
struct http_server;
struct http_exchange;

struct http_server_options {
    struct loop *loop;
    size_t body_limit;    /* bytes; a longer one is answered 413 */
    unsigned connections; /* open at a time; more wait in the kernel */
    unsigned idle_ms;     /* of a connection between requests, or in the middle of one; rounded up
                           * to seconds. Not while the handler has not answered or sent */
    size_t queue_limit;   /* bytes of a response that wait for the client */
    void (*request)(void *ctx, struct http_exchange *x);
    void *ctx;
};

/* "ServerFailed". */
int http_server_new(const struct http_server_options *o, struct http_server **ret, struct err *e);
/* Accepts from a listening TCP or unix socket too; taken, also on failure. */
int http_server_listen(struct http_server *s, int fd, struct err *e);
/* Shuts all; exchanges that are open get `closed`, before this returns. */
void http_server_free(struct http_server *s);
DEFINE_AUTO(http_server);

/* ---- The request: valid as long as the exchange ---- */

const char *http_exchange_method(const struct http_exchange *x);
const char *http_exchange_path(const struct http_exchange *x); /* decoded, without the query */
/* The decoded value of a query's first key of that name; NULL without it, "" without a value. */
const char *http_exchange_query(const struct http_exchange *x, const char *key);
/* Calls `each` for every key of that name: command=ls&command=-l. */
void http_exchange_query_each(const struct http_exchange *x, const char *key,
                              void (*each)(void *ctx, const char *value), void *ctx);
const char *http_exchange_header(const struct http_exchange *x, const char *name); /* any case */
/* Calls `each` for every header of that name: a list may come in several. */
void http_exchange_header_each(const struct http_exchange *x, const char *name,
                               void (*each)(void *ctx, const char *value), void *ctx);
struct text http_exchange_body(const struct http_exchange *x);
/* Who is at the other end of a unix socket; false for TCP. */
bool http_exchange_peer(const struct http_exchange *x, uid_t *ret_uid, gid_t *ret_gid,
                        pid_t *ret_pid);
/* A descriptor of that socket, for getsockopt() alone. */
int http_exchange_socket(const struct http_exchange *x);

/* ---- The response ---- */

/* Calls once when the connection is gone before the response was complete; then the exchange is
 * not to be used any more. May be set anew as long as it is open. */
void http_exchange_on_close(struct http_exchange *x, void (*closed)(void *ctx), void *ctx);

/* Before the response has begun; `name` and `value` are copied. */
void http_exchange_add_header(struct http_exchange *x, const char *name, const char *value);

/* Each of these ends the exchange for the caller. */
void http_exchange_respond(struct http_exchange *x, unsigned status, const char *content_type,
                           const void *body, size_t len);

/* Piece by piece: begin, any number of sends, end. send: 1 when some waits (then `drained` comes,
 * unless NULL), 0 when none does, -ENOBUFS beyond the queue's limit: the caller is to end. A
 * response without a body (to HEAD, or 204, 304) drops what is sent. */
void http_exchange_begin(struct http_exchange *x, unsigned status, const char *content_type,
                         void (*drained)(void *ctx), void *ctx);
int http_exchange_send(struct http_exchange *x, const void *data, size_t len);
void http_exchange_end(struct http_exchange *x);

/*
 * Takes over the connection: answers 101 with the headers that were added (Upgrade among them;
 * Connection adds itself) and hands the socket to `taken`, from the loop, with what the client has
 * sent after its head. The descriptor is the caller's then, non-blocking, and counts no more as a
 * connection. `taken` is called exactly once: with -1 when the client or the server has gone, or
 * when the request was not of HTTP/1.1.
 */
void http_exchange_upgrade(struct http_exchange *x,
                           void (*taken)(void *ctx, int fd, const void *rest, size_t len),
                           void *ctx);
