/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/err.h"
#include "base/json.h"
#include "guest/status.h"
#include "pod/machine/machine_table.h"
#include "pod/spec.h"

/*
 * A pod as a state machine: events go in, orders come out. It has no loop, files or processes;
 * whoever owns those feeds it and carries out what it orders (docs/internals/pod-machine.md). Each
 * call appends orders to the caller's list, and may have changed when the next timer is due.
 *
 * Orders are carried out one after another in the order of the list. What follows a PERSIST waits
 * until the record is in its place, and lists of later calls wait behind it. That makes the record
 * run ahead of the world: an attempt is recorded before its start is sent, and an end before the
 * worker's record of it is dropped. So a supervisor that is killed at any moment finds every
 * attempt that may exist in its record, and asks for each what became of it.
 *
 * Invariants. A container has one attempt at a time, and an attempt's number is used again only
 * when it never was answered: restart_count + 1 is the number of starts that were accepted or
 * refused. A finished
 * container never starts again. The phase never goes backwards, and a terminal phase is reached
 * only when nothing runs. A container is FINISHED before its pod is.
 */

/* The same moment on two clocks: what is waited for, and what is shown and outlives a boot. */
struct pod_now {
    uint64_t monotonic_ns;
    uint64_t realtime_ns;
};

enum pod_phase { POD_PENDING, POD_IS_RUNNING, POD_SUCCEEDED, POD_FAILED };
/* "Pending", ... */
const char *pod_phase_name(enum pod_phase phase);

/* ---- Orders ---- */

enum pod_order_kind {
    POD_ORDER_PERSIST, /* replace the pod's record by pod_machine_encode(), as it is now or later */
    POD_ORDER_SETUP,   /* volumes and network, again if they are there: pod_machine_set_up() */
    POD_ORDER_RESOLVE, /* the container's image: PULLING, then IMAGE_OK or IMAGE_FAILED */
    POD_ORDER_PREPARE, /* its environment and mounts: CONFIG_OK or CONFIG_FAILED */
    POD_ORDER_START,   /* this attempt: STARTED or REFUSED, then EXITED */
    POD_ORDER_POST_START, /* run the hook: POST_START_OK or POST_START_FAILED */
    POD_ORDER_PROBE,      /* the startup probe until STARTUP_OK, then the others; also again */
    POD_ORDER_UNPROBE,    /* no probes and hooks of it any more */
    POD_ORDER_PRE_STOP,   /* run the hook: PRE_STOP_DONE. It is given up at the next TELL */
    POD_ORDER_TELL,       /* ask it to end */
    POD_ORDER_INTERRUPT,  /* make it end: EXITED */
    POD_ORDER_FORGET,     /* this attempt's end was noted: the worker's record may go */
    POD_ORDER_EVENT,      /* for people: reason and text, about a container or the pod */
    POD_ORDER_STATUS,     /* the status may differ from what it was */
    POD_ORDER_TEARDOWN,   /* nothing runs any more: volumes and network may go; also again */
    POD_ORDER_GONE,       /* a deleted pod has ended: forget it, with its record. Last */
};

#define POD_ORDER_OF_POD SIZE_MAX

struct pod_order {
    enum pod_order_kind kind;
    size_t container; /* its place in the spec; POD_ORDER_OF_POD: about the pod */
    int64_t attempt;  /* what it is about, from START to FORGET */
    /* EVENT */
    bool is_warning;
    const char *reason; /* static */
    char *text;
};

struct pod_orders {
    struct pod_order *v;
    size_t n, cap;
};
#define POD_ORDERS_INIT ((struct pod_orders){0})
void pod_orders_clear(struct pod_orders *o); /* keeps the memory */
void pod_orders_done(struct pod_orders *o);

/* ---- The machine ---- */

struct pod_machine;

/* Keeps a reference of the spec. Every container waits until pod_machine_begin(). */
struct pod_machine *pod_machine_new(struct pod_spec *spec, struct pod_now now);
void pod_machine_free(struct pod_machine *m);
DEFINE_AUTO(pod_machine);

/*
 * The first call, for a new machine and for one that was decoded. Of a decoded one every container
 * that pod_machine_is_unclaimed() tells has an attempt that may exist; the caller finds out and
 * feeds STARTED (it still runs; what was ordered for its state is ordered again), EXITED, NEVER or
 * LOST for each. Nothing else happens to it before.
 */
void pod_machine_begin(struct pod_machine *m, struct pod_now now, struct pod_orders *orders);
bool pod_machine_is_unclaimed(const struct pod_machine *m, size_t container);

/* The answer to SETUP: NULL when all is there, else why not ("FailedMount"): tried again later. */
void pod_machine_set_up(struct pod_machine *m, struct pod_now now, const struct err *failed,
                        struct pod_orders *orders);

/* What happened to a container. Pointers are read during the call only. */
struct pod_input {
    enum pod_event event;
    size_t container;
    /* Of the run that this is about; another than the container's present one is ignored. 0: of no
     * run (images, configurations, what a person asked for). */
    int64_t attempt;
    const char *image_id;              /* IMAGE_OK; NULL: none */
    const struct err *error;           /* *_FAILED, REFUSED; its reason is shown for images and
                                        * configurations when it is one of Kubernetes' */
    const struct guest_status *status; /* EXITED */
    const char *message;               /* LOST, UNREADY, PRE_STOP_DONE; for people, or NULL */
};
void pod_machine_feed(struct pod_machine *m, struct pod_now now, const struct pod_input *in,
                      struct pod_orders *orders);

/* Objects that the pod refers to came or changed: whatever waits for that tries again now. */
void pod_machine_retry(struct pod_machine *m, struct pod_now now, struct pod_orders *orders);

/* Ends everything and then orders GONE. Again: only a shorter grace counts. Below 0: the spec's. */
void pod_machine_delete(struct pod_machine *m, struct pod_now now, int64_t grace_ms,
                        struct pod_orders *orders);

/* Ends everything; the phase becomes Failed with this reason ("Evicted"). Ignored when it ends. */
void pod_machine_fail(struct pod_machine *m, struct pod_now now, const char *reason,
                      const char *message, struct pod_orders *orders);

/* When pod_machine_timer() is due on the monotonic clock; UINT64_MAX: not at all. Earlier calls of
 * it do no harm. */
uint64_t pod_machine_timer_ns(const struct pod_machine *m);
void pod_machine_timer(struct pod_machine *m, struct pod_now now, struct pod_orders *orders);

/* ---- What it knows ---- */

struct pod_spec *pod_machine_spec(const struct pod_machine *m);
enum pod_phase pod_machine_phase(const struct pod_machine *m);
enum pod_state pod_machine_state(const struct pod_machine *m, size_t container);
/* Of the start that is recorded or was last; 0: none yet. */
int64_t pod_machine_attempt(const struct pod_machine *m, size_t container);
int64_t pod_machine_restart_count(const struct pod_machine *m, size_t container);
/* It takes requests. */
bool pod_machine_is_ready(const struct pod_machine *m, size_t container);
/* Its present run is past postStart and the startup probe. */
bool pod_machine_is_started(const struct pod_machine *m, size_t container);
bool pod_machine_is_ending(const struct pod_machine *m);
/* Nothing of it runs or ever will. */
bool pod_machine_is_over(const struct pod_machine *m);

/* The id of a run for its worker, "UID-CONTAINER-ATTEMPT"; its length is limited by those of the
 * parts. Heap. */
char *pod_attempt_id(const struct pod_spec *spec, size_t container, int64_t attempt);

/* ---- Record ---- */

/* More than every text of every container at its longest. */
#define POD_RECORD_LIMIT_BYTES (16u << 20)

/* What is looked up and prepared is not recorded: after a restart that is done again. */
void pod_machine_encode(const struct pod_machine *m, struct pod_now now, struct json_writer *w);

/* "BadRecord", "BadJson", "TooLarge". Waits go on from where they are; a clock that was set back
 * makes none of them longer than it was when it was recorded. */
int pod_machine_decode(struct pod_spec *spec, struct pod_now now, const char *json, size_t len,
                       struct pod_machine **ret, struct err *e);
