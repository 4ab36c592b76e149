/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "agent/workloads.h"
#include "base/name_index.h"

/* What workloads.c (what is there and shown), workloads_change.c (what is asked for) and
 * workloads_lookup.c (what pods refer to) share; nobody else includes it. */

/* A pod that is stored or about to be. */
struct workload {
    struct workload *next, *prev; /* in the order of creation */
    struct workloads *owner;
    char *space, *name, *uid;
    char *key; /* SPACE/NAME */
    struct name_link by_key;
    /* Until it is stored it is the object's, which the store has; then a reference. */
    struct pod_spec *spec;
    struct object *object;                     /* NULL until it is stored; a reference */
    struct pod *pod;                           /* NULL: not yet, refused, or gone */
    char *refused;                             /* "OutOfcpu: text"; heap, or NULL */
    bool is_gone;                              /* it has ended and its object is being deleted */
    struct workload *next_dirty, **dirty_back; /* NULL: it is not dirty */
    uint64_t shown_hash;                       /* of the status that is shown */
    struct change_call *after;                 /* to be made when it is gone; NULL: nothing */
};

/* A call that is not answered yet. */
struct change_call {
    struct change_call *next, *prev;
    struct workloads *owner;
    enum object_kind kind;
    char *space, *name;
    struct workload *created; /* the workload that was made for it; NULL: none */
    struct object *object;    /* of one that waits for a pod to end: to be created then */
    struct watch_item *item;  /* of a deletion: what it was; a reference */
    enum workloads_outcome outcome;
    workloads_done *done; /* NULL: nobody waits */
    void *ctx;
    bool is_last;        /* deletes a pod that has ended, or a claim: tried again when it fails */
    bool is_removed_now; /* the work pool has it: a claim's folder is removed */
    struct err error;    /* of that */
};

struct workloads {
    struct workloads_options options; /* its texts are the three below */
    char *state_dir, *memory_dir, *node_name;
    struct object_store *store;
    struct pods *pods;
    struct events *events;
    struct watch_feed *feeds[WORKLOADS_RESOURCES];
    uint64_t version;
    struct workload *first, *last;
    struct name_index keys;     /* of those */
    struct workload *dirty;     /* whose status may be another than what is shown */
    struct change_call *calls;  /* what the store or the work pool has */
    struct change_call *afters; /* whose pods are gone */
    struct change_wait *waits;  /* for some of `calls`, in the order in which they came */
    struct loop_timer *retry;   /* what could not be deleted is tried again */
    bool is_flush_due, is_claims_check_due, is_closing;
    struct arena *lookups; /* what was looked up in this round of the loop */
    bool is_lookup_end_due;
    size_t deferred; /* calls that come yet */
    bool is_freed;   /* by workloads_close(); the last of them frees it */
};

/* ---- workloads.c ---- */
/* One of `deferred` has come. */
void workloads_return(struct workloads *s);
uint64_t workloads_version_next(void *ctx);
struct workload *workload_find(const struct workloads *s, const char *space, const char *name);
/* Decides whether it fits; what does not is annotated. Of an object that is not stored yet. */
struct workload *workload_new(struct workloads *s, struct object *o);
void workload_free(struct workload *w);
/* Before the loop sleeps again: shows what has changed, makes calls that waited for the end of a
 * pod and, if asked for, removes claims that nobody has any more. */
void workloads_flush_later(struct workloads *s, bool is_for_claims);

/* ---- workloads_change.c ---- */
/* Of a pod that has ended. */
void workload_forget(struct workload *w);
void workloads_claim_forget(struct workloads *s, const struct object *claim);
/* The pods are no more: what waited for that goes on. */
void workloads_afters_make(struct workloads *s);
void workloads_calls_free(struct workloads *s);
/* It is answered that it cannot be done any more. */
void change_call_abandon(struct change_call *c);

/* ---- workloads_waits.c ---- */
/* No call changes the object any more: who waits for that goes on. */
void workloads_waits_end(struct workloads *s, enum object_kind kind, const char *space,
                         const char *name);
void workloads_waits_abandon(struct workloads *s);

/* ---- workloads_lookup.c ---- */
int workloads_lookup(void *ctx, enum pod_object_kind kind, const char *space, const char *name,
                     const struct pod_object **ret, struct err *e);
