/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "agent/api/admission.h"
#include "agent/api/events.h"
#include "agent/api/watch.h"
#include "agent/store/store.h"
#include "pod/runtime/pods.h"

/*
 * The objects of this machine: kept by the object store, carried out by the pods' runtime, and
 * shown by feeds. Here the three are joined.
 *
 * What is shown has versions of its own, since a pod's status changes without its object. They
 * are START << 40 | NUMBER: the number of starts on this state folder, which is on the disk before
 * anything is shown, and the changes since. So they never go backwards, and a version of an earlier
 * start is told from one that is still remembered.
 *
 * A pod that does not fit is kept and has failed (admission.h). That it was refused is part of the
 * object, in the annotation WORKLOAD_REFUSED, since a pod that has failed must never run later,
 * when there is room again. Nobody else can set it.
 *
 * Deleting a pod puts a time of deletion into its object, so that it goes on after a restart; the
 * object goes when the pod has ended. A claim goes when no pod has it any more.
 */
#define WORKLOAD_REFUSED "agent.wherry.dev/refused"
/* Where the number of starts is, below the state folder. */
#define WORKLOADS_STARTS "starts"

struct workloads;

struct workloads_options {
    /* `objects` and the callbacks are not read. state_dir is also the object store's. */
    struct pods_options pods;
    struct node_capacity capacity;
    const char *node_name;
    /* A pod's status may be another; a pod is about to be freed. */
    void (*pod_changed)(void *ctx, struct pod *p);
    void (*pod_gone)(void *ctx, struct pod *p);
    void *ctx;
};

/* Adds what the store has and restores it. "StateLocked" and what store and runtime say. */
int workloads_open(const struct workloads_options *o, struct workloads **ret, struct err *e);
/* Leaves guests running. Calls that are under way get "ShuttingDown". */
void workloads_close(struct workloads *s);

enum workloads_resource {
    WORKLOADS_PODS = OBJECT_POD,
    WORKLOADS_CONFIGS = OBJECT_CONFIG,
    WORKLOADS_SECRETS = OBJECT_SECRET,
    WORKLOADS_CLAIMS = OBJECT_CLAIM,
    WORKLOADS_EVENTS = OBJECT_KINDS,
};
#define WORKLOADS_RESOURCES (OBJECT_KINDS + 1)

struct watch_feed *workloads_feed(const struct workloads *s, enum workloads_resource r);
/* The fields that objects are selected by, NULL-terminated. */
const char *const *workloads_fields(enum workloads_resource r);

/* NULL: none of that name, or one that never ran. */
struct pod *workloads_pod(const struct workloads *s, const char *space, const char *name);
struct pod *workloads_pod_of_uid(const struct workloads *s, const char *uid);
void workloads_each_pod(const struct workloads *s, const char *space,
                        void (*each)(void *ctx, struct pod *p), void *ctx);

enum workloads_mode {
    WORKLOADS_CREATE,  /* "AlreadyExists" */
    WORKLOADS_REPLACE, /* or created; a pod's spec stays: "Invalid" */
    WORKLOADS_APPLY,   /* or created; a pod of another spec is ended and made anew */
};

enum workloads_outcome { WORKLOADS_CREATED, WORKLOADS_CHANGED, WORKLOADS_SAME, WORKLOADS_ERROR };

/* `item` is valid during the call; NULL with an error. */
typedef void workloads_done(void *ctx, enum workloads_outcome outcome,
                            const struct watch_item *item, const struct err *failed);

/*
 * Takes the reference, the only one. `done` once, maybe before this returns, when it is on the
 * disk; for a pod that is made anew when the old one has ended. What another call is changing is
 * waited for. "Conflict" when it is not at `version` (0: whatever it is).
 */
void workloads_put(struct workloads *s, struct object *o, enum workloads_mode mode,
                   uint64_t version, workloads_done *done, void *ctx);
/* Below 0: the pod's own grace. `done` likewise, with what it was. "NotFound" */
void workloads_delete(struct workloads *s, enum object_kind kind, const char *space,
                      const char *name, int64_t grace_ms, workloads_done *done, void *ctx);

/* A call is changing the object, or making it. */
bool workloads_is_busy(const struct workloads *s, enum object_kind kind, const char *space,
                       const char *name);

/* The names are those that were given. */
typedef void workloads_then(void *ctx, const char *space, const char *name,
                            const struct err *failed);

/* Of an object that is busy: `then` once, when the change is on the disk or has failed; with an
 * error when the agent is being stopped. */
void workloads_wait(struct workloads *s, enum object_kind kind, const char *space, const char *name,
                    workloads_then *then, void *ctx);
