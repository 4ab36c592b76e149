/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "guest/message.h"
#include "guest/spec.h"
#include "guest/status.h"
#include "loop/loop.h"

/*
 * Containers as a supervisor has them: started, adopted, watched, measured and stopped. This header
 * is about guests, which run in workers, one worker process for each tenant; natives come beside
 * it. Everything belongs to the loop's thread, and nothing here blocks it.
 *
 * A worker outlives its supervisor. It is started with a listening socket in a folder of its own
 * (docs/internals/worker-protocol.md), in a session of its own, and is found again there:
 *
 *   RUN/TENANT/socket, worker.json, worker.log, ID.exit; RUN/.TENANT.process
 *
 * Invariants. An id is started once: a supervisor gives each attempt a new one. Whatever was
 * accepted ends with exactly one `exited`: told by the worker, found in its records, or, when the
 * worker died without one, made here with the reason "WorkerLost" (a failed run). A worker that
 * died is replaced when the next guest of its tenant is started; one without guests is shut down
 * after a while. Why that holds: docs/internals/containers.md.
 *
 * Tenants and ids are 1 to 200 characters of A-Za-z0-9._- and begin with no dot.
 */
#define CONTAINER_REASON_LOST "WorkerLost"
/* Refusals that no worker has decided: it did not come up, was lost, or no more are asked. */
#define CONTAINER_REASON_WORKER     "WorkerFailed"
#define CONTAINER_REASON_CONNECTION "ConnectionLost"
#define CONTAINER_REASON_SHUT_DOWN  "ShuttingDown"
/* As of a process that SIGKILL ended. */
#define CONTAINER_EXIT_LOST 137

struct containers;

struct containers_options {
    struct loop *loop;
    const char *run_dir;   /* absolute; made when missing (0700) */
    const char *worker;    /* the path of wherry-worker */
    const char *cache_dir; /* of compiled code; NULL: none */
    uint64_t idle_ms;      /* how long a worker without guests stays; UINT64_MAX: for ever */
    /* For the log of who decides: a worker was started, adopted, or died. `what` is a sentence. */
    void (*told)(void *ctx, const char *tenant, const char *what);
    void *ctx;
};

/* Starts nothing yet, and keeps the run folder for itself until it is closed or the process ends.
 * "RunFolder", also when another supervisor has it. */
int containers_open(const struct containers_options *o, struct containers **ret, struct err *e);
/* Leaves workers and their guests running. Every container must have been freed (BUG). Not from
 * within a callback of this header. */
void containers_close(struct containers *s);

/*
 * Connects to every worker that the run folder has and asks what it hosts; then, from the loop,
 * `done`. Until then container_start() and container_claim() must not be called (BUG). A worker
 * that does not answer within five seconds is killed: it cannot be supervised, and what it ran is
 * lost.
 *
 * `failed` is NULL, or says why it is not known what runs ("RunFolder"): for want of descriptors or
 * memory, or since the run folder cannot be read. A guest might then be run twice, so nothing can
 * be started or claimed, and all that is left is containers_close(), later, from the loop.
 */
void containers_adopt(struct containers *s, void (*done)(void *ctx, const struct err *failed),
                      void *ctx);

/* After that, and once containers_claim() was called for everything that is wanted: ends and
 * forgets every guest that nobody claimed. How many there were. */
size_t containers_end_unclaimed(struct containers *s);

/* Asks every worker to end its guests and itself, and kills those that take longer than ten
 * seconds; `done` when none is left and all ends were told. From then on starts are refused
 * ("ShuttingDown"). Once. */
void containers_shut_down(struct containers *s, void (*done)(void *ctx), void *ctx);

/* ---- One container ---- */

struct container;

struct container_events {
    /* It will end with `exited`. */
    void (*started)(void *ctx);
    /* Instead of `started`: it never was there. The worker's reasons ("TooManyGuests",
     * "AlreadyExists", ...), "WorkerFailed", "Stopped", "ShuttingDown", "ConnectionLost",
     * "BadSpec". */
    void (*refused)(void *ctx, const struct err *e);
    /* Once; without `started` before it when the worker died and had not answered. The status is
     * valid during the call. container_forget() is due when it was noted. */
    void (*exited)(void *ctx, const struct guest_status *status);
};

/*
 * Starts a guest of this tenant, with its worker if there is none. The descriptors that the spec
 * names (numbers of this process) are taken and closed, also on failure, which `refused` tells from
 * the loop and never from within this call. `tenant` is of the characters of a guest's id.
 */
struct container *container_start(struct containers *s, const char *tenant,
                                  const struct guest_spec *spec,
                                  const struct container_events *events, void *ctx);

/*
 * Takes over what an earlier supervisor started: `started` and in the end `exited` follow from the
 * loop, or `exited` alone when it has ended. NULL when there is none of that name: it was never
 * accepted, or its worker is gone without a record; ret_is_lost tells those two apart. Without a
 * worker that lives nobody knows whether it was accepted, and then it is lost, unless it is
 * certain that there was no worker. A loss is written down: who claims it again after a restart
 * gets a container that has `exited` as lost.
 */
struct container *container_claim(struct containers *s, const char *tenant, const char *id,
                                  const struct container_events *events, void *ctx,
                                  bool *ret_is_lost);

/* After the loss that container_claim() told was noted: what it wrote down is dropped. */
void containers_forget_lost(struct containers *s, const char *tenant, const char *id);

const char *container_id(const struct container *c);
/* Ends it by and by; again has no effect. What still waits for the worker is refused: "Stopped". */
void container_stop(struct container *c);
/* The same, but a guest that answers requests takes no more of them, and has so long to answer
 * those that it has. Again: only a shorter time counts. */
void container_drain(struct container *c, int64_t grace_ms);
/* Asks the worker; `measured` once with figures, or with NULL when it has gone meanwhile. */
void container_measure(struct container *c,
                       void (*measured)(void *ctx, const struct message_figures *f), void *ctx);
/* After `exited` was noted by the caller: the record is dropped. */
void container_forget(struct container *c);
/* No event of it is told any more. A guest that runs goes on, and an end that was not forgotten
 * stays: both can be claimed again. One that has not been sent to the worker is never started. */
void container_free(struct container *c);
DEFINE_AUTO(container);

/* How many workers run, and their processes: for figures. */
size_t containers_workers(const struct containers *s);
void containers_each_worker(const struct containers *s,
                            void (*each)(void *ctx, const char *tenant, pid_t pid, size_t guests),
                            void *ctx);
