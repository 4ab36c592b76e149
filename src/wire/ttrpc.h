/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/err.h"
#include "base/util.h"
#include "loop/loop.h"
#include "wire/protobuf.h"
#include "wire/rpc.h"

/*
 * ttrpc on the loop: containerd's calls over a unix socket, of which many may be open on one
 * connection and are answered in any order. Only unary calls; who opens a stream is told that
 * there is none. Source: the ttrpc project's PROTOCOL.md; docs/internals/ttrpc.md.
 *
 * A payload is a packed message (wire/protobuf.h), at most TTRPC_PAYLOAD_LIMIT with what goes
 * around it.
 */

/* ---- Server ---- */

struct ttrpc_server;
struct ttrpc_call;

struct ttrpc_method {
    const char *name;
    /* The payload is valid during the call. Answers `call` exactly once, now or later, also when
     * timeout_ns (0: none), which the other side watches itself, has passed. May free the server.
     */
    void (*handle)(void *ctx, struct ttrpc_call *call, const void *payload, size_t len,
                   uint64_t timeout_ns);
};

struct ttrpc_service {
    const char *name; /* as "containerd.task.v2.Task" */
    const struct ttrpc_method *methods;
    size_t n_methods;
};

/* For each limit 0 is the default, which the comment says. */
struct ttrpc_server_options {
    int listen_fd;                        /* a listening unix socket; taken, also on failure */
    const struct ttrpc_service *services; /* stay valid */
    size_t n_services;
    void *ctx;               /* of the handlers */
    size_t connection_limit; /* 64; who comes after them waits to be accepted */
    size_t call_limit;       /* 1024 open on one connection; the next are refused */
    size_t lost_limit;       /* 4096 open whose connection has gone; then no call is taken at all */
    size_t queue_limit;      /* 8 MiB of answers that wait on a connection, else it is ended */
    /* Called each time that there was no connection for so long; NULL: never. May free the server.
     */
    void (*idle)(void *ctx);
    uint64_t idle_ms;
};

/* "LoopFailed" */
int ttrpc_server_new(struct loop *l, const struct ttrpc_server_options *o,
                     struct ttrpc_server **ret, struct err *e);
/* Ends all connections. Calls that are open still have to be answered, if only to free them. */
void ttrpc_server_free(struct ttrpc_server *s);
DEFINE_AUTO(ttrpc_server);

/* Whether `idle` was called and nobody has come since. */
bool ttrpc_server_is_idle(const struct ttrpc_server *s);

/* Each of these ends the call. What the connection cannot take any more is dropped; nothing is
 * called from here. */
void ttrpc_call_answer(struct ttrpc_call *call, const void *payload, size_t len);
void ttrpc_call_answer_message(struct ttrpc_call *call, const ProtobufCMessage *m);
void ttrpc_call_fail(struct ttrpc_call *call, enum ttrpc_code code, const char *message);
void ttrpc_call_fail_err(struct ttrpc_call *call, const struct err *e); /* by ttrpc_code_of() */

/* Whether nobody waits for the answer any more: a handler that keeps calls for long ends those from
 * time to time, at the latest when it adds another. */
bool ttrpc_call_is_lost(const struct ttrpc_call *call);

/* ---- Client ---- */

struct ttrpc_client;

struct ttrpc_client_options {
    const char *path;
    size_t call_limit;  /* that are open; 0: 256 */
    size_t queue_limit; /* bytes of requests that wait; 0: 8 MiB */
};

/* "ConnectFailed": nobody listens there (-ENOENT, -ECONNREFUSED), or is too busy (-EAGAIN). */
int ttrpc_client_new(struct loop *l, const struct ttrpc_client_options *o,
                     struct ttrpc_client **ret, struct err *e);
/* The `done` of calls that are open are not called. */
void ttrpc_client_free(struct ttrpc_client *c);
DEFINE_AUTO(ttrpc_client);

struct ttrpc_request {
    const char *service, *method;
    const void *payload;
    size_t len;
    uint64_t timeout_ms; /* 0: none */
};

/*
 * Sends at once; the requests of one client arrive in order. `done` is called once and not from
 * here: e is NULL and the payload valid during the call, or e says what went wrong: a reason of
 * ttrpc_status_err(); "ConnectionLost", now or before: the client is of no use any more; "TimedOut"
 * (-ETIMEDOUT), though the other side may still do it; "MessageTooLarge" (-EFBIG); "QueueFull"
 * (-ENOBUFS); "TooManyCalls" (-EBUSY); "BadResponse" (-EBADMSG). It may free the client.
 */
void ttrpc_client_call(struct ttrpc_client *c, const struct ttrpc_request *r,
                       void (*done)(void *ctx, const struct err *e, const void *payload,
                                    size_t len),
                       void *ctx);
bool ttrpc_client_is_lost(const struct ttrpc_client *c);
