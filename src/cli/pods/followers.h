/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "base/util.h"

/*
 * Answers of the agent that go on (logs that are followed, watches), several at a time, and with a
 * deadline: agent_client_follow() blocks for one of them, so each has a child process, whose
 * bytes come through a pipe. Children end with this process.
 *
 * The process must have one thread only when a follower is added.
 */
struct followers;
struct follower;

int followers_open(struct followers **ret, struct err *e);
void followers_free(struct followers *f); /* ends all */
DEFINE_AUTO(followers);

/* SIGINT and SIGTERM are from now on told by followers_run() instead of ending the process. */
int followers_signals_catch(struct followers *f, struct err *e);

struct follower_options {
    const char *target; /* of the API, with query, encoded */
    void (*data)(void *ctx, const void *data, size_t len);
    /* Once: the answer has ended (e->code is 0), or why it failed. The follower is gone after it.
     * NULL: not told. */
    void (*ended)(void *ctx, const struct err *e);
    void *ctx;
};
int followers_add(struct followers *f, const struct follower_options *o, struct follower **ret,
                  struct err *e);
/* Ends one that has not ended; its callbacks are not called any more. */
void follower_free(struct followers *f, struct follower *w);

/* `tick` is called by followers_run() whenever it is about to wait, and tells when it has to be
 * called again at the latest: a moment of clock_monotonic_ns(), or 0 for none. It may do what the
 * callbacks of followers may. */
void followers_tick_set(struct followers *f, uint64_t (*tick)(void *ctx), void *ctx);

enum followers_result {
    FOLLOWERS_STOPPED,
    FOLLOWERS_ALL_ENDED,
    FOLLOWERS_TIMEOUT,
    FOLLOWERS_SIGNAL
};

/* Until followers_stop() from a callback, all have ended, clock_monotonic_ns() is `deadline_ns` (0:
 * never), or a signal that is caught. Less than 0 when waiting itself fails. */
int followers_run(struct followers *f, uint64_t deadline_ns, struct err *e);
void followers_stop(struct followers *f);

/* ---- Lines ---- */

#define FOLLOWED_LINE_LIMIT (8u << 20) /* an object of a watch, or a line of a log */

/* Cuts what comes in pieces into lines. */
struct followed_lines {
    struct buf rest;
    /* Without the newline, which is a NUL that `len` does not count. */
    void (*line)(void *ctx, char *text, size_t len);
    void *ctx;
};
/* A line longer than the limit is told in parts. */
void followed_lines_add(struct followed_lines *l, const void *data, size_t len);
void followed_lines_end(struct followed_lines *l); /* what is left is a line */
