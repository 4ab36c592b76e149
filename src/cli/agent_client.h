/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "wire/websocket.h"

/*
 * The agent, as the commands that need it see it: requests to its local API
 * (docs/internals/local-api.md) over its unix socket.
 *
 * Every function fails with "AgentUnreachable" (with what to type) when nobody answers at the
 * socket or it may not be used. An answer that is a Status of a failure becomes an error with its
 * message: "NotFound" (-ENOENT), "AlreadyExists" (-EEXIST), "Conflict" (-EBUSY), "Invalid" and
 * "BadRequest" (-EINVAL), "Forbidden" and "Unauthorized" (-EACCES), "Expired" (-ESTALE),
 * "TooManyRequests" (-EAGAIN), else "AgentFailed" (-EIO).
 */
struct agent_client;

/* Of --socket. NULL: $WHERRY_SOCKET; without it wherry.sock in the run folder (base/paths.h).
 * Nothing is connected yet. "NoHome", "BadSocket" (a path that is too long). */
int agent_client_open(const char *socket, struct agent_client **ret, struct err *e);
void agent_client_free(struct agent_client *c);
DEFINE_AUTO(agent_client);

/* The path of the socket. */
const char *agent_client_socket(const struct agent_client *c);

#define AGENT_ANSWER_LIMIT (64u << 20)

struct agent_request {
    const char *method;       /* NULL: GET */
    const char *target;       /* "/api/v1/pods?labelSelector=a%3Db": with query, encoded; a query's
                               * words by http_query_add() (wire/http.h) */
    const char *content_type; /* of the body; NULL: application/json */
    const void *body;         /* NULL: none */
    size_t body_len;
};

/* Asks once. *ret gets the text of a 2xx answer, at most AGENT_ANSWER_LIMIT bytes. `ret_status`
 * (200, 201) may be NULL. */
int agent_client_ask(struct agent_client *c, const struct agent_request *q, struct buf *ret,
                     long *ret_status, struct err *e);

/* GETs what may go on for as long as it likes: a log that is followed, a watch. `sink` gets it
 * piece by piece; less than 0 (with *e filled) ends it, and is what is returned. */
int agent_client_follow(struct agent_client *c, const char *target,
                        int (*sink)(void *ctx, const void *data, size_t len, struct err *e),
                        void *ctx, struct err *e);

/* A connected socket. */
int agent_client_connect(const struct agent_client *c, int *ret_fd, struct err *e);

/* A WebSocket to `target` by the options, which are those of websocket_connect(). Blocks for
 * connecting only. When `closed` then tells "BadHandshake", agent_client_ask() of the same target
 * tells why. */
int agent_client_websocket(const struct agent_client *c, const char *target,
                           const struct websocket_options *o, struct websocket **ret,
                           struct err *e);

/* The namespace: `given` (of --namespace) unless it is NULL, WHERRY_NAMESPACE, or "default". */
const char *agent_space(const char *given);

/* Adds "/api/v1/namespaces/SPACE/RESOURCE/NAME", encoded; `name` NULL: without it. */
void agent_target_add(struct buf *target, const char *space, const char *resource,
                      const char *name);
