/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "guest/spec.h"
#include "guest/status.h"

/*
 * The worker protocol: messages between a supervisor and a worker on a unix stream socket.
 *
 * Frame: uint32 little endian length of the body, uint32 little endian number of descriptors, body.
 * The body is one JSON object; the descriptors travel as SCM_RIGHTS with the frame's first byte.
 * A worker speaks first (hello). A version is added only for what an older side could not ignore;
 * otherwise fields are added. docs/internals/worker-protocol.md has the table of messages.
 */

#define MESSAGE_PROTOCOL    1
#define MESSAGE_LIMIT_BYTES (GUEST_SPEC_LIMIT_BYTES + 65536u)
#define MESSAGE_FD_LIMIT    200 /* of one message; Linux passes at most 253 */

enum message_type {
    /* worker to supervisor */
    MESSAGE_HELLO,   /* protocol, version, pid */
    MESSAGE_STARTED, /* id: the guest is accepted and will end with EXITED; also part of LIST */
    MESSAGE_REFUSED, /* id, reason, text: the request failed and changed nothing */
    MESSAGE_EXITED,  /* id, status */
    MESSAGE_FIGURES, /* id, figures */
    MESSAGE_LISTED,  /* every guest was told by STARTED or EXITED */
    /* supervisor to worker */
    MESSAGE_START,    /* spec with descriptors: a new guest */
    MESSAGE_STOP,     /* id, grace_ms: end the guest */
    MESSAGE_MEASURE,  /* id: answer FIGURES */
    MESSAGE_LIST,     /* tell all guests */
    MESSAGE_FORGET,   /* id: the exit was noted; drop the record */
    MESSAGE_SHUTDOWN, /* stop all guests and exit */
    MESSAGE_TYPES,
};

struct message_figures {
    int64_t cpu_ns;
    int64_t memory_bytes;
    int64_t memory_peak_bytes;
    int64_t calls;
};

struct message {
    enum message_type type;
    char *id;
    char *reason, *text;
    int64_t grace_ms; /* for the requests that a guest is answering; others end at once */
    int64_t protocol, pid;
    char *version;
    struct message_figures figures;
    struct guest_spec spec;
    bool has_spec;
    struct guest_status status;
    bool has_status;
};

/* A message of this type for this guest (NULL: none), released by message_done(). */
void message_init(struct message *m, enum message_type type, const char *id);
void message_done(struct message *m);

const char *message_type_name(enum message_type t);

/* The body alone: what fuzzing and tests feed. "BadMessage" for an unknown type or a missing
 * field, "BadJson", "BadSpec". */
void message_encode(const struct message *m, struct buf *ret);
int message_decode(const char *json, size_t len, struct message *ret, struct err *e);

/* ---- One side of a connection ---- */

struct channel {
    int fd;
    struct buf in, out;
    int fds[MESSAGE_FD_LIMIT]; /* received, not yet claimed by a message */
    size_t n_fds;
};

void channel_init(struct channel *c, int fd); /* takes the socket */
void channel_done(struct channel *c);         /* closes it, and descriptors never claimed */

/*
 * Reads what is there. Returns 1 when the other side has closed, 0 otherwise; with a blocking
 * socket it waits for something. "ConnectionLost" for a broken connection.
 */
int channel_read(struct channel *c, struct err *e);

/*
 * Takes the next whole message: 1 with a message, 0 when more must be read first. A START's
 * descriptors are attached to its spec (guest_spec_attach()) and also listed in ret_fds
 * (MESSAGE_FD_LIMIT places), whose closing is the caller's business. "BadMessage" and "TooLarge"
 * mean that the connection is to be closed.
 */
int channel_next(struct channel *c, struct message *ret, int *ret_fds, size_t *ret_n_fds,
                 struct err *e);

/* Queues a message without descriptors; channel_flush() writes it. */
void channel_queue(struct channel *c, const struct message *m);

/* Writes queued bytes: 1 when some are left because the socket is full. "ConnectionLost". */
int channel_flush(struct channel *c, struct err *e);

/* Sends a message with descriptors and waits until it is written (after what was queued). The
 * descriptors stay the caller's; a START's spec is sent with places in `fds`. */
int channel_send(struct channel *c, const struct message *m, const int *fds, size_t n_fds,
                 struct err *e);

/*
 * The same for who must not wait. `body` is what message_encode() wrote, within MESSAGE_LIMIT_BYTES
 * (BUG). 0: the descriptors are with the kernel, so the caller may close its own, and what did not
 * fit is queued for channel_flush(). 1: earlier bytes are still queued or the socket is full, and
 * nothing of this message was sent. "TooManyInFlight" (-ETOOMANYREFS): nothing of it was sent,
 * since this user has too many descriptors under way that nobody received; the connection is sound.
 * "ConnectionLost".
 */
int channel_try_send(struct channel *c, const struct buf *body, const int *fds, size_t n_fds,
                     struct err *e);
