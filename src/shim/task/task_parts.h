/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "container/cgroup/cgroup.h"
#include "container/guest/guest_process.h"
#include "container/native/native.h"
#include "container/oci/entrypoint.h"
#include "container/oci/hooks.h"
#include "container/oci/seccomp_cache.h"
#include "shim/image/image.h"
#include "shim/stdio/task_stdio.h"
#include "shim/task/task.h"

/*
 * What the files that make up tasks know of each other: task.c, process.c, and one for each kind.
 */
struct process {
    struct task *task;
    struct link in_task;
    char *exec_id; /* NULL: the task's first */
    enum process_state state;
    bool is_ended; /* seen; it is PROCESS_STOPPED when that was told */
    bool is_deleting;
    bool is_clean_due; /* its end is waited for, and then clean() comes again */
    pid_t pid;
    uint32_t exit_status;
    uint64_t exited_at_ns; /* clock_realtime_ns() */
    struct process_streams streams;
    uint16_t width, height; /* of its terminal, when they were said; else 0 */
    struct stdio *stdio;    /* NULL before, and when its streams have ended */
    bool is_streams_ending;
    struct link waits; /* struct process_wait */

    /* The operation that is under way; NULL: none. */
    task_done *done;
    void *done_ctx;

    /* Of a guest. */
    struct guest_process *guest;
    struct entrypoint entry;
    struct program_request *preparing;
    int code_fd;

    /* Of an exec. */
    struct oci_process spec;
    struct buf spec_json;
};

struct task_ops {
    /* From PROCESS_NEW, with streams: then process_created(). */
    void (*create)(struct task *t);
    /* The first process, or an exec, which has no streams yet: process_started(). */
    void (*start)(struct process *p);
    void (*signal)(struct process *p, int number, bool is_all, task_done *done, void *ctx);
    /* The process has ended, or was never there: what is held for it goes; process_cleaned(). May
     * come again after that has failed. */
    void (*clean)(struct process *p);
    void (*pause)(struct task *t, bool is_paused, task_done *done, void *ctx);
    void (*update)(struct task *t, const char *json, size_t len, task_done *done, void *ctx);
};

extern const struct task_ops task_guest_ops, task_native_ops, task_sandbox_ops;

struct task {
    struct shim *shim;
    struct link in_shim;
    char *id, *bundle;
    int bundle_fd;
    struct oci_config config;
    struct task_options options;
    enum record_kind kind;
    const struct task_ops *ops; /* NULL until its kind is known */
    struct process init;
    struct link execs; /* struct process */
    bool is_paused;
    bool is_pausing;        /* or resuming: under way */
    unsigned n_chores;      /* under way beside the operations of its processes */
    bool is_delete_waiting; /* for chores and for what is done with execs */

    bool is_cancelled; /* its create is to fail */

    /* After a create that failed, while it is taken apart. */
    bool is_dead;
    bool keeps_record; /* something is left, for `delete` */
    struct err failed;

    struct err chore_failed;     /* of the work pool */
    struct rootfs_mount *rootfs; /* until it is created */
    size_t n_rootfs;
    bool is_mounted;
    int root_fd; /* the root file system; while it is prepared */

    struct cgroup *cgroup;
    struct cgroup_oom *oom;
    uint64_t n_oom; /* told */

    /* Of a guest. */
    struct cgroup_fds cgroup_fds;
    bool is_guest_killed; /* by SIGKILL: a pause that is under way must not keep it */
    struct guest_mounts *mounts;
    struct seccomp_program seccomp;
    struct image_request *finding; /* what only the image says */
    bool has_image;                /* it was asked */
    char *program_digest;          /* of a program that is a layer; else NULL */
    enum contract contract;        /* of its program, once that is known */
    unsigned image_port;           /* that the image declares; 0: none */
    size_t n_hooked;               /* moments of its create that have begun */
    bool is_poststopped;

    struct native *native;
    int native_status; /* of its first process, while what is left of it is killed */

    struct task_hooks *hooks; /* that run; NULL: none */
};

/* ---- process.c ---- */

const char *process_name(const struct process *p);
void process_init(struct process *p, struct task *t, struct process_streams *streams);
void process_done(struct process *p);
/* False when another operation is under way, which `done` was told. */
bool process_begin(struct process *p, task_done *done, void *ctx);
void process_finish(struct process *p, const struct err *e);

void process_started(struct process *p, const struct err *e, pid_t pid);
/* `status` is as of waitpid(2). */
void process_ended(struct process *p, int status);
void process_end_tell(struct process *p);
void process_waits_tell(struct process *p);
void process_delete_go_on(struct process *p);
void process_cleaned(struct process *p, const struct err *e);

/* ---- task.c ---- */

void process_created(struct process *p, const struct err *e, pid_t pid);
void task_cleaned(struct task *t, const struct err *e);
/* Around what uses the task beside the operations of its processes: it is deleted after that. */
void task_chore_begin(struct task *t);
void task_chore_end(struct task *t);
/* Whether nothing is under way that a deletion has to wait for, and what to call when that may have
 * become so. */
bool task_is_quiet(struct task *t);
void task_settle(struct task *t);
/* Asks containerd what the container's image has: `done` gets the task. */
void task_image_find(struct task *t, bool wants_program,
                     void (*done)(void *ctx, const struct err *e, struct image_program *p));
void task_stdio_open(struct process *p, void (*done)(void *ctx, const struct err *e), void *ctx);

/* ---- task_hooks.c ---- */

/* Hooks of a guest: when they run (config.md, POSIX-platform Hooks). */
struct task_moment {
    const struct oci_hook_list *list;
    const char *name;   /* "createRuntime" */
    const char *status; /* of the container: "creating", ... */
    bool is_inside;     /* in the namespaces of the guest */
    bool is_confined;   /* in its mounts too, with its rights: a program of the container */
    bool goes_on;       /* a failure does not keep the others from running */
};

void task_hooks_run(struct task *t, const struct task_moment *m, task_done *done, void *ctx);
/* Ends those that run: their operation fails with -ECANCELED ("Cancelled"). */
void task_hooks_cancel(struct task *t);

/* ---- task_pid.c ---- */

/* Of a native container, before the runtime reads its bundle: where the document names the shim's
 * own PID namespace it is made to name the pod's. "Unsupported", "NamespaceFailed", "BadConfig" */
int task_pid_prepare(struct task *t, struct err *e);
/* Whether all processes of the container end with its first one. */
bool task_pid_is_private(const struct task *t);

/* ---- task_guest.c ---- */

/* Whether it has no process, or no more. */
bool task_guest_is_gone(const struct process *p);

/* In the work pool: names its control group, in which nobody is to be. "BadCgroupPath",
 * "CgroupBusy" */
int task_guest_claim(struct task *t, struct err *e);
/* In the work pool: what a guest needs besides its code. */
int task_guest_prepare(struct task *t, struct err *e);
