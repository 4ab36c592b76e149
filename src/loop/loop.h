/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/util.h"

/*
 * The event loop of a supervisor: one thread owns all state and sleeps here. The library behind it
 * (libuv) does not show, and no other folder knows it.
 *
 * Handles. `_new` makes one and `_free` ends it: after `_free` has returned, its callback is not
 * called any more, also not from the round that runs now; so a callback may free any handle, its
 * own too. Callbacks run on the loop's thread, one at a time. All functions but loop_post() belong
 * to that thread.
 *
 * An idle loop does not wake up: nothing polls.
 *
 * With the first loop the process ignores SIGPIPE; children do not inherit that.
 */
struct loop;

/* "LoopFailed". */
int loop_open(struct loop **ret, struct err *e);
/* Every handle must have been freed, and no work be under way (BUG). What was posted or deferred
 * and has not been called is called first, so that nothing is lost with it. */
void loop_free(struct loop *l);
DEFINE_AUTO(loop);

/* Runs until loop_stop(), or until no handle is left that could call. */
void loop_run(struct loop *l);
/* Runs until nothing is under way in the work pool, whether it was stopped or not. */
void loop_drain(struct loop *l);
void loop_stop(struct loop *l); /* lets loop_run() return after the current callback */

/* ---- Timers ---- */

struct loop_timer;
struct loop_timer *loop_timer_new(struct loop *l, void (*fire)(void *ctx), void *ctx);
/* Calls once when clock_monotonic_ns() has reached `due_ns` (rounded up to a millisecond); a moment
 * that has passed is the next round. Replaces what was set. */
void loop_timer_set(struct loop_timer *t, uint64_t due_ns);
void loop_timer_clear(struct loop_timer *t);
bool loop_timer_is_set(const struct loop_timer *t);
void loop_timer_free(struct loop_timer *t); /* NULL is fine, as for all of them */
DEFINE_AUTO(loop_timer);

/* ---- Descriptors ---- */

enum loop_events {
    LOOP_READABLE = 1 << 0, /* also at the end of input and after an error */
    LOOP_WRITABLE = 1 << 1,
    LOOP_HUNG_UP = 1 << 2, /* of a socket: the other side has shut its end, be it read or not; comes
                            * again and again as long as it is asked for */
};

/* Level-triggered readiness of a socket, pipe, eventfd, pidfd or epoll descriptor, which stays the
 * caller's, must outlive the watch, and is non-blocking from now on. An error is told as
 * LOOP_READABLE also to who asks for LOOP_WRITABLE only, a hang-up as what was asked for. */
struct loop_watch;
/* "LoopFailed": a regular file (-EPERM), a descriptor that has a watch in this loop (-EEXIST). */
int loop_watch_new(struct loop *l, int fd, void (*ready)(void *ctx, unsigned events), void *ctx,
                   struct loop_watch **ret, struct err *e);
void loop_watch_set(struct loop_watch *w, unsigned events); /* 0: nothing for now; so it begins */
void loop_watch_free(struct loop_watch *w);
DEFINE_AUTO(loop_watch);

/* ---- Signals ---- */

/* Signals that arrive together may be told once. */
struct loop_signal;
/* "LoopFailed" */
int loop_signal_new(struct loop *l, int number, void (*caught)(void *ctx), void *ctx,
                    struct loop_signal **ret, struct err *e);
void loop_signal_free(struct loop_signal *s); /* the default action is in force again */
DEFINE_AUTO(loop_signal);

/* ---- Processes ---- */

/* A descriptor of this process under the number that the child sees it by. */
struct loop_child_fd {
    int fd, child_fd;
};

struct loop_child_options {
    const char *program; /* its path, a relative one from cwd; without a '/' it is
                          * searched in this process's PATH; NULL: argv[0] */
    const char *const *argv;
    const char *const *env;          /* NULL: this process's */
    const char *cwd;                 /* NULL: this process's */
    const struct loop_child_fd *fds; /* what else than these: 0 to 2 are /dev/null, the rest shut */
    size_t n_fds;
    bool is_detached; /* in a session of its own: it outlives this process and its terminal */
    void (*ended)(void *ctx, int status); /* as of waitpid(2) */
    void *ctx;
};

/* With the default action of every signal and none blocked. Needs Linux 5.4 (P_PIDFD of waitid(2)).
 * Nobody else in the process may wait for it. */
struct loop_child;
/* "StartFailed", with the path. */
int loop_child_start(struct loop *l, const struct loop_child_options *o, struct loop_child **ret,
                     struct err *e);
pid_t loop_child_pid(const struct loop_child *c);
void loop_child_kill(struct loop_child *c, int number); /* nothing when it has ended */
/* Leaves a child that runs to itself; it is still reaped while the loop runs, which it does not
 * keep running. */
void loop_child_free(struct loop_child *c);
DEFINE_AUTO(loop_child);

/*
 * Watches a process that loop_child_start() has not started and that is not watched yet: a child
 * that was forked, a descendant that has become a child of this process when its parent ended, or a
 * stranger, such as what an earlier run of this process has left. One that has ended and that
 * nobody has reaped is fine: it is told by the loop like any other. `status` is as of waitpid(2),
 * or LOOP_STATUS_UNKNOWN of what was no child of this process at its end.
 * "NoSuchProcess" (-ESRCH).
 */
int loop_child_adopt(struct loop *l, pid_t pid, void (*ended)(void *ctx, int status), void *ctx,
                     struct loop_child **ret, struct err *e);
#define LOOP_STATUS_UNKNOWN (-1) /* no status of waitpid(2) is negative */

/*
 * From now on this process is the parent of all orphans among its descendants
 * (PR_SET_CHILD_SUBREAPER), and the loop reaps every child that has ended and that it has not as a
 * loop_child. So nobody in the process may wait for a child any more, also not by a watch of its
 * pidfd, but by this loop or while orphans are held back. Does not keep the loop running, and ends
 * with it. "LoopFailed"
 */
int loop_reap_orphans(struct loop *l, struct err *e);

/*
 * Who waits for a process whose pid it does not know yet holds the orphans back: those that end are
 * left unreaped, which keeps both status and number for loop_child_adopt(), until as many releases
 * have come as holds. A child that is forked and adopted by the same callback needs none of this.
 */
void loop_orphans_hold(struct loop *l);
void loop_orphans_release(struct loop *l);

/* ---- Work and other threads ---- */

/*
 * Lets `work` run on a thread of the pool (4 for all loops of the process, or UV_THREADPOOL_SIZE;
 * the rest waits in order), then `done` on the loop's thread. `work` must not touch what the loop
 * owns. It cannot be cancelled: who goes away before it is done leaves ctx to `done`.
 */
void loop_work(struct loop *l, void (*work)(void *ctx), void (*done)(void *ctx), void *ctx);

/* From any thread: calls on the loop's thread, in the order of the posts. Threads that could post
 * do not keep the loop running, and it must not be freed before they have returned from here. */
void loop_post(struct loop *l, void (*call)(void *ctx), void *ctx);

/* Calls in the next round, before the loop sleeps again: to leave the caller's stack first. */
void loop_defer(struct loop *l, void (*call)(void *ctx), void *ctx);
