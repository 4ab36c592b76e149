/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "engine/engine.h"
#include "guest/message.h"
#include "guest/spec.h"
#include "guest/status.h"
#include "store/cache.h"

/*
 * One guest on one thread, from its spec to its status. The thread does everything that may block:
 * reading, compiling, running. A loop on another thread learns of progress through an eventfd and
 * then asks for the state; it may stop the guest at any time. A guest that answers requests and has
 * no connection has no thread either: the loop watches its sockets for it, and wakes it.
 */

/* What all guests of the process share. */
struct guest_host {
    struct cache *cache;               /* NULL: nothing is kept */
    struct http_engines *http_engines; /* NULL: guests cannot answer requests */
    bool is_interruptible;
    bool has_progress;
    int listeners_fd; /* epoll(7): the data of an event is a guest to be woken; -1: they wait on
                         their threads */
    int event_fd;     /* eventfd, counted up when a guest changed its state; -1: nobody is told */
    bool is_leaving;  /* the process exits after its one guest, which need not be taken apart */
};

enum guest_state {
    GUEST_STARTING, /* read and compiled */
    GUEST_RUNNING,
    GUEST_ENDED, /* the status is final; the thread is about to end */
};

enum guest_stop {
    GUEST_STOP_NONE,
    GUEST_STOP_REQUEST,
    GUEST_STOP_DEADLINE,
    GUEST_STOP_SIGINT,
    GUEST_STOP_SIGTERM,
};

struct guest;

/*
 * Makes a guest, which does nothing yet. Takes the content of *spec and its descriptors (closed
 * when the guest is freed, but for 0 to 2). `host` must outlive the guest.
 */
int guest_new(const struct guest_host *host, struct guest_spec *spec, struct guest **ret,
              struct err *e);

/* Lets it run on a thread of its own. On failure the guest is still to be freed. */
int guest_start(struct guest *g, struct err *e);

/* Lets it run on the calling thread, until it has ended. */
void guest_run(struct guest *g);

/* Somebody connects to it. Starts its thread again, unless it has one. */
void guest_wake(struct guest *g);

/* Whether any guest has given up its thread since the last call, and with it memory. */
bool guests_were_parked(void);

const char *guest_id(const struct guest *g);
enum guest_state guest_state(const struct guest *g);

/* When its time is up, in clock_monotonic_ns(); 0 while it does not run or without a limit. */
uint64_t guest_deadline_ns(const struct guest *g);

/* The first cause counts. Returns at once; the guest ends by and by. */
void guest_stop(struct guest *g, enum guest_stop cause);

/* A guest that answers requests takes no more of them, and ends once it has answered those that it
 * has; for others nothing. Whether it was told. */
bool guest_drain(struct guest *g);

void guest_figures(struct guest *g, struct message_figures *ret);

/* The final status of an ended guest; owned by the guest. */
const struct guest_status *guest_status(const struct guest *g);

/*
 * The status as if the guest ended now by `cause`: for a process that is about to exit around its
 * one guest. Released by guest_status_done().
 */
void guest_status_now(struct guest *g, enum guest_stop cause, struct guest_status *ret);

/* Waits for the thread of an ended guest and frees all. Also for one that never ran. */
void guest_free(struct guest *g);

/* Frees the engines that the guests of a host shared. */
void guest_engine_close(void);

/* Blocks SIGINT, SIGTERM and one more (0: none), also for threads that are started later, and
 * returns the signalfd that reads them; negative with errno on failure. */
int guest_signals_open(int more);
