/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdatomic.h>
#include <uv.h>

#include "loop/loop.h"

/*
 * Inside of loop/. libuv's callbacks call nobody: they queue a `struct call`, and one place, the
 * idle handle's callback, calls what is queued, before the loop sleeps. Only watches call at once,
 * for they are level-triggered: what was not called is told again.
 */

/* A call that waits. Either a part of a handle, or (is_heap) freed before it is made. */
struct call {
    struct call *next, *prev; /* NULL while it is not queued */
    void (*fn)(void *ctx);
    void *ctx;
    bool is_heap;
};

/* A call of another thread, on a stack until the loop's thread takes all of it. */
struct post {
    struct post *next;
    void (*fn)(void *ctx);
    void *ctx;
};

struct loop {
    uv_loop_t uv;
    uv_idle_t idle; /* active while calls wait: the loop does not sleep then */
    /* An eventfd and not a uv_async_t, whose look at whether a wake-up is pending needs the
     * caller's own fence. Its watch does not keep the loop running. */
    int wake_fd;
    struct loop_watch *wake;
    struct call calls; /* the head of a ring */
    size_t n_calls;
    _Atomic(struct post *) posts; /* the youngest first */
    struct loop_child *children;  /* all whose end is not known yet */
    struct loop_signal *reaper;   /* SIGCHLD, for orphans; does not keep the loop running. NULL:
                                   * they are not reaped */
    unsigned n_holds;             /* while there are any, orphans are not reaped */
    size_t n_handles, n_work;
    /* By descriptor: libuv knows only of those that are asked about something now. */
    bool *is_watched;
    size_t n_watched;
    bool is_running, is_stopping;
};

void calls_init(struct loop *l);
/* Behind all others; one that is queued stays where it is. */
void call_queue(struct loop *l, struct call *c);
void call_unqueue(struct loop *l, struct call *c);
static inline bool call_is_queued(const struct call *c)
{
    return c->next;
}
/* Makes the calls that wait now, not those that come meanwhile, until the loop is stopped. */
void calls_run(struct loop *l);
/* Queues what other threads have posted; false when there was nothing. */
bool posts_take(struct loop *l);

/* Closes a handle of libuv whose `data` is the struct around it, which is freed later. */
void handle_close(struct loop *l, uv_handle_t *h);

/* The watch does not keep the loop running any more. */
void watch_unref(struct loop_watch *w);

/* Likewise the signal. */
void signal_unref(struct loop_signal *s);
/* As if the signal had come. */
void signal_tell(struct loop_signal *s);
/* Closes the descriptors of children that were left; there are no others (BUG). */
void children_drop(struct loop *l);
