/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "loop/loop.h"

/*
 * Bytes both ways over a stream socket, a pipe (one way) or a pseudo-terminal on the loop, with
 * back-pressure: what cannot be written yet waits in a queue with a limit, and reading can be
 * paused. Every callback may free the stream.
 *
 * The two directions end on their own. When writing fails, what waited is lost and stream_write()
 * says so, but what the other side had sent before it went is still read, up to its end.
 */
struct stream;

struct stream_options {
    int fd;             /* non-blocking from now on; taken, also on failure */
    size_t queue_limit; /* bytes that may wait to be written; not 0 */
    /* What came, at most 64 KiB; the bytes are valid during the call. NULL: this side only writes;
     * what comes is dropped, and only the end of the other side is noticed. */
    void (*data)(void *ctx, const void *data, size_t len);
    /* Once, and no `data` after it: the other side has shut its end (e->code is 0), also a
     * terminal that nobody has open any more; writing may go on then. Or the connection broke
     * ("ConnectionLost"), and nothing is called any more. Not told while reading is paused. */
    void (*ended)(void *ctx, const struct err *e);
    /* While reading is paused, once: the other side of a socket has shut its end; what it had said
     * before may not have been read. NULL: not told. */
    void (*hung_up)(void *ctx);
    /* The queue has gone empty after stream_write() said that it was not, be it written or, which
     * the next stream_write() says, lost. NULL: not told. */
    void (*drained)(void *ctx);
    void *ctx;
};

/* It reads at once. "LoopFailed" for what cannot be watched, as in loop_watch_new(). */
int stream_new(struct loop *l, const struct stream_options *o, struct stream **ret, struct err *e);
void stream_free(struct stream *s); /* closes; what is queued is lost */
DEFINE_AUTO(stream);

/* Writes or queues all: 1 when some of it waits (then `drained` comes), 0 when nothing does.
 * "QueueFull" (-ENOBUFS) when it and what waits are more than the limit, whatever would go out at
 * once; "ConnectionLost", also after stream_shut(). Nothing of it was written then. No callback is
 * called from here. */
int stream_write(struct stream *s, const void *data, size_t len, struct err *e);
/* Shuts the writing side after what is queued. A pipe is closed with it, and nothing is told after
 * that; a terminal has no such thing and stays as it is. */
void stream_shut(struct stream *s);
void stream_pause(struct stream *s); /* no `data` until resumed */
void stream_resume(struct stream *s);
