/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "loop/loop.h"

/*
 * Bytes both ways over a socket or pipe on the loop, with back-pressure: what cannot be written yet
 * waits in a queue with a limit, and reading can be paused.
 */
struct stream;

struct stream_options {
    int fd;             /* non-blocking from now on; taken, also on failure */
    size_t queue_limit; /* bytes that may wait to be written; not 0 */
    /* What came; the bytes are valid during the call. NULL: this side only writes, and only the
     * end of the other side is noticed. */
    void (*data)(void *ctx, const void *data, size_t len);
    /* Once, and nothing after it: the other side has shut its end (e->code is 0) or the
     * connection broke ("ConnectionLost"). Writing may go on after the former. */
    void (*ended)(void *ctx, const struct err *e);
    /* The queue has gone empty after stream_write() said that it was not. NULL: not told. */
    void (*drained)(void *ctx);
    void *ctx;
};

/* It reads at once. */
int stream_new(struct loop *l, const struct stream_options *o, struct stream **ret, struct err *e);
void stream_free(struct stream *s); /* closes; what is queued is lost */
DEFINE_AUTO(stream);

/* Writes or queues all: 1 when some of it waits (then `drained` comes), 0 when nothing does.
 * "QueueFull" (-ENOBUFS) beyond the limit, "ConnectionLost"; nothing of it was written then. */
int stream_write(struct stream *s, const void *data, size_t len, struct err *e);
/* Shuts the writing side after what is queued. */
void stream_shut(struct stream *s);
void stream_pause(struct stream *s); /* no `data` until resumed */
void stream_resume(struct stream *s);
