/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/name_index.h"
#include "container/list.h"
#include "pod/probe.h"
#include "pod/runtime/compile.h"
#include "pod/runtime/image.h"
#include "pod/runtime/launch.h"
#include "pod/runtime/pods.h"

/*
 * What the files of the runtime share (docs/internals/pods.md); nobody else includes it.
 *
 * Whatever the machine orders goes into the pod's queue and is carried out in a round of its own,
 * so no callback of the caller's is called from within a call of his, and answers may be fed from
 * anywhere.
 */

/* ---- Work ---- */

/*
 * Something that waits for the disk: `work` in the pool, where it touches what the chore holds and
 * what never changes (specs, folders); `done` on the loop's thread, where it is freed. `done` may
 * also come without `work` or for a pod that is closed (chore_is_void()): then it frees, and
 * nothing else.
 */
struct chore {
    struct link link;
    struct pod *pod;
    struct lane *lane;
    bool has_run;
    void (*work)(struct chore *c);
    void (*done)(struct chore *c);
};

/* Chores one after another. Records have a lane of their own: they do not wait for a volume on a
 * slow disk. */
struct lane {
    struct link queue;
    bool is_busy;
};

void lane_add(struct lane *l, struct pod *p, struct chore *c);
/* Of a pod that is closed: what has not begun is dropped. */
void lane_clear(struct lane *l);
bool chore_is_void(const struct chore *c);

/* ---- The set ---- */

struct pods {
    struct pods_options o; /* strings and fields are ours */
    struct volumes_places places;
    struct launch_places launches;
    struct strv host_ips, pod_ips;
    struct pod_fields node;
    char *toolbox;
    unsigned refs; /* itself until it is closed, and each pod */
    bool is_closed;
    bool is_restored;
    struct link pods, due, changed;
    struct name_index uids; /* of pods */
    size_t n_pods;
    struct loop_timer *round; /* due at once when there is something in `due` or `changed` */
    struct image_finder *images;
    struct compiles *compiles;
    struct cpu_limits *cpu;
    uint64_t n_execs;
    struct link orphans; /* execs that nobody holds any more, until they have ended */
};

void pods_unref(struct pods *s);
void pods_round_soon(struct pods *s);
/* restore.c: what pods_restore() does, until pods_restored(). */
void restore_start(struct pods *s);
void pods_restored(struct pods *s);

/* ---- One container ---- */

struct pod_run {
    struct pod *pod;
    size_t index;
    struct image_request *request; /* while it is resolved */
    char *image;                   /* the name in full that it was resolved to; NULL: a file */
    char *image_id;                /* the digest of that; NULL: a file */
    unsigned prepare;              /* which preparation is the latest */
    struct launch *early;          /* for PREPARE: done when the image was looked up */
    struct launch *prepared;       /* for START */
    struct compile *compile;       /* while its program is compiled before that */
    int64_t attempt;               /* which `container` is */
    struct container *container;
    int stdin_fd; /* our end; -1: none */
    struct prober *prober;
    struct action_run *hook;
};

void run_init(struct pod_run *r, struct pod *p, size_t index);
void run_done(struct pod_run *r);
const struct pod_container *run_spec(const struct pod_run *r);
/* What launch_gather() makes of it, `notes` as there. NULL with an error. */
struct launch *run_launch(struct pod_run *r, struct strv *notes, struct err *e);

void run_resolve(struct pod_run *r);
void run_prepare(struct pod_run *r);
void run_start(struct pod_run *r, int64_t attempt);
void run_claim(struct pod_run *r, int64_t attempt);
void run_tell(struct pod_run *r);
void run_interrupt(struct pod_run *r);
void run_forget(struct pod_run *r, int64_t attempt);
/* Ends what its state does not want any more. */
void run_check(struct pod_run *r);

/* checks.c */
void run_probe(struct pod_run *r);
void run_unprobe(struct pod_run *r);
void run_hook(struct pod_run *r, const struct pod_action *a, bool is_pre_stop);
void run_hook_cancel(struct pod_run *r);

/* ending.c: the status with the termination message is fed to the machine. */
void run_ended(struct pod_run *r, int64_t attempt, const struct guest_status *status);

/* ---- One pod ---- */

struct pod {
    struct pods *set;
    struct link in_set, in_due, in_changed;
    struct name_link by_uid;
    unsigned refs; /* itself until it is closed, and each chore that runs */
    bool is_closed;
    struct pod_spec *spec;
    struct pod_fields fields;
    struct pod_machine *m;
    void *user;
    bool has_begun;
    bool is_delete_wanted; /* before that */
    int64_t delete_grace_ms;

    /* Orders from `head` on; `taken` before those were carried out. */
    struct pod_orders orders;
    size_t head;
    uint64_t taken;
    uint64_t recorded; /* the records that were ordered before this one are in their place */
    bool is_recording;
    unsigned record_failures;
    struct loop_timer *record_timer, *timer, *usage_timer;

    struct lane records, volumes;
    bool is_set_up;
    struct link execs, measures;
    struct pod_run *runs; /* one for each container */
};

struct pod *pod_new(struct pods *s, struct pod_spec *spec);
void pod_close(struct pod *p); /* frees it, now or when its chores have ended */
void pod_unref(struct pod *p);
/* With the machine that it has, new or decoded. */
void pod_begin(struct pod *p);
void pod_claim(struct pod *p);
/* Carries out what is ordered. */
void pod_round(struct pod *p);
/* After the machine was called: orders may have come, and the timer be another. */
void pod_moved(struct pod *p);
struct pod_now pod_now(void);
void pod_feed(struct pod *p, const struct pod_input *in);
void pod_fail(struct pod *p, const char *reason, const char *message);
void pod_event(struct pod *p, const char *container, bool is_warning, const char *reason,
               const char *fmt, ...) __attribute__((format(printf, 5, 6)));
/* LOGS/SPACE_NAME_UID, without LOGS. A name that would make it longer than a file's name may be is
 * cut; the UID tells pods apart. Heap. */
char *pod_log_folder(const struct pod_spec *s);
char *pod_log_file(const struct pods *set, const struct pod_spec *s, const char *container,
                   int64_t number);

/* orders.c */
void pod_carry_out(struct pod *p, const struct pod_order *o);
void pod_record(struct pod *p);
void pod_volumes_update(struct pod *p);

/* usage.c */
void usage_start(struct pod *p);

/* exec.c: ends those of a container; SIZE_MAX: of all. Those of a closed pod's actions go. */
void execs_end(struct pod *p, size_t container);
void orphans_free(struct pods *s);
/* As actions_options.exec; `ctx` is the run. */
void exec_action(void *ctx, const struct pod_words *command, uint64_t timeout_ms,
                 void (*done)(void *done_ctx, int exit_code, const char *output), void *done_ctx);

/* measure.c: a container's handle goes away. */
void measures_drop(struct pod *p, const struct container *c);
void measures_free(struct pod *p);
