/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "agent/api/api_exec.h"
#include "loop/stream.h"
#include "wire/channels.h"
#include "wire/websocket.h"

/*
 * What exec and port-forward share, for no one else: a WebSocket whose channels are lanes, each
 * with a local stream behind it.
 *
 * Back-pressure: while some of what the client is to get waits for it, no lane is read; while some
 * of what a lane is to get waits, the WebSocket is not read. Before it is paused at most what had
 * been read with it comes, so a lane's queue is never full but by a contradiction.
 *
 * A session ends by its WebSocket only, in one place (`closed`), or with the set.
 */
enum {
    SESSION_MESSAGE_LIMIT = 1 << 18,
    SESSION_QUEUE_LIMIT = 1 << 20, /* towards the client, and of each lane */
};

struct session;

/* One stream behind the WebSocket. */
struct lane {
    struct session *session;
    struct stream *stream; /* NULL: not yet, or over */
    uint8_t channel;       /* that what is read goes to */
    bool is_in_over;       /* nothing will be read from it any more */
    bool is_waiting;       /* some of what was written waits */
};

struct session_kind {
    const char *const *protocols;
    void (*opened)(struct session *s);
    void (*message)(struct session *s, const struct channel_message *m);
    /* The lane's stream has no more to read. */
    void (*lane_over)(struct session *s, struct lane *l, const struct err *e);
    void (*lane_drained)(struct session *s, struct lane *l); /* nothing waits; may be NULL */
    /* Frees the session with what is the kind's own; WebSocket and lanes are freed already. */
    void (*destroy)(struct session *s);
};

struct session {
    const struct session_kind *kind;
    struct api_streams *set;
    struct session *next, *prev;
    struct pod *pod;
    struct websocket *websocket;
    bool can_close;    /* by the protocol that was agreed on */
    bool is_waiting;   /* some of what was sent to the client waits */
    bool is_finishing; /* session_finish() was called */
    struct lane *lanes;
    size_t n_lanes;
};

struct loop *session_loop(const struct session *s);

/* Answers the request with a Status of what *e says; returns e->code. */
int session_refuse(struct http_exchange *x, unsigned status, const struct err *e);

/*
 * Enters it into the set and takes the exchange over; a failure is answered, and the session
 * destroyed. kind, pod, lanes and n_lanes are set.
 */
int session_begin(struct api_streams *set, struct session *s, struct http_exchange *x,
                  struct err *e);

/* Begins to read what comes on `fd` (taken, also on failure) into the lane's channel, and lets
 * lane_write() write there. */
int lane_open(struct lane *l, int fd, struct err *e);
/* Of what the client said; dropped when the stream is over. */
void lane_write(struct lane *l, struct text data);
/* The client says no more to it. */
void lane_shut(struct lane *l);
void lane_close(struct lane *l);

/* A message to the client; dropped when the connection is broken, of which `closed` tells. */
void session_send(struct session *s, uint8_t channel, const void *data, size_t len);
/* Nothing follows: closes when all has been sent. */
void session_finish(struct session *s);
