/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/err.h"
#include "base/util.h"
#include "loop/loop.h"
#include "wire/protobuf.h"
#include "wire/rpc.h"

/*
 * A client of gRPC on the loop, for containerd's services: over a unix socket, by HTTP/2 without
 * negotiation. Calls with one answer, and such that are answered by a stream of messages; any
 * number may be open on the connection. Messages are not compressed.
 *
 * Source: the gRPC project's PROTOCOL-HTTP2.md; docs/internals/grpc.md.
 */
struct grpc_client;
struct grpc_call;

#define GRPC_MESSAGE_LIMIT (4u << 20) /* what gRPC's own clients take by default */

struct grpc_client_options {
    const char *path;  /* of the socket */
    size_t call_limit; /* that are open; 0: 64 */
};

/* "ConnectFailed" of rpc_connect(). Whether gRPC is spoken there shows with the first call. */
int grpc_client_new(struct loop *l, const struct grpc_client_options *o, struct grpc_client **ret,
                    struct err *e);
/* Ends the calls that are open; nothing more is told of them. May be called from any of their
 * callbacks. */
void grpc_client_free(struct grpc_client *c);
DEFINE_AUTO(grpc_client);

/* Whether it takes no calls any more: the connection was lost, or the other side goes away and ends
 * only what is open. */
bool grpc_client_is_lost(const struct grpc_client *c);

/* Everything is copied by who starts a call. */
struct grpc_request {
    const char *service, *method; /* "containerd.services.content.v1.Content", "Read" */
    const char *containerd_ns;    /* the header containerd-namespace; NULL: none */
    const ProtobufCMessage *message;
    uint64_t timeout_ms;  /* of the whole call, told to the other side as well; 0: none */
    size_t message_limit; /* bytes of an answer; 0: GRPC_MESSAGE_LIMIT */
};

/*
 * Each of these sends at once. What comes is told from the loop and not from within, and `done` is
 * the last of it, once: with e NULL, or with what went wrong:
 *
 *   a reason of ttrpc_status_err()  what the other side says
 *   "TimedOut" (-ETIMEDOUT)         of timeout_ms; "DeadlineExceeded" is the same from there
 *   "ConnectionLost"                now or before: the client is of no use any more
 *   "MessageTooLarge" (-EFBIG), "BadResponse" (-EBADMSG), "TooManyCalls" (-EBUSY)
 */
struct grpc_call *grpc_unary(struct grpc_client *c, const struct grpc_request *r,
                             void (*done)(void *ctx, const struct err *e, struct text answer),
                             void *ctx);

struct grpc_stream_handlers {
    /* The next answer, valid during the call. Then nothing is told until grpc_call_next(), be it
     * called from here or later, and the other side may send no more than the window (1 MiB, and
     * what is open of a message) ahead. */
    void (*message)(void *ctx, struct text answer);
    void (*done)(void *ctx, const struct err *e);
};
struct grpc_call *grpc_stream(struct grpc_client *c, const struct grpc_request *r,
                              const struct grpc_stream_handlers *handlers, void *ctx);
void grpc_call_next(struct grpc_call *call);

/* Ends a call whose `done` has not come: it does not come. The other side is told. NULL is fine. */
void grpc_call_cancel(struct grpc_call *call);
