/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "container/oci/oci_config.h"
#include "shim/bundle/record.h"
#include "shim/bundle/rootfs.h"
#include "shim/shim.h"

/*
 * A task is a container that containerd has created: its first process, which is known by an
 * exec_id of NULL, and those that Exec has added. There are three kinds (enum record_kind): a guest
 * and a native container, which differ in who starts, signals and limits them, and the sandbox of a
 * pod, which has no process: the shim itself is in its namespaces, and gives its own pid.
 *
 * Order. What is published about a process comes in the order created, started, exited, deleted: an
 * end that is seen before the start was answered waits for that.
 *
 * Everything belongs to the loop's thread. A `done` gets NULL or the error, once; it may be called
 * from within the call that it was given to. Of one process one operation is under way at a time;
 * another is refused ("Busy"); only signals are sent at any time. Operations that do not fit the
 * state of the process are refused with -EPERM ("WrongState"), or -ESRCH ("NotRunning") for a
 * signal to one that has ended.
 */
enum process_state {
    PROCESS_NEW, /* being created; an exec: added, and not started */
    PROCESS_CREATED,
    PROCESS_STARTING,
    PROCESS_RUNNING,
    PROCESS_STOPPED,
};

typedef void task_done(void *ctx, const struct err *e);

struct task;
struct process;

/* The streams of a process, as containerd names them. Heap. */
struct process_streams {
    char *in, *out, *err;
    bool has_terminal;
};

void process_streams_done(struct process_streams *s);

/* What the runtime's options say (containerd.runc.v1.Options and its like in TOML). */
struct task_options {
    bool has_systemd_cgroup, no_pivot_root, no_new_keyring;
    char *runtime; /* of native containers: a path or a name; NULL: what is installed */
    char *runtime_root;
};

/* What Create was asked for. */
struct task_request {
    char *id, *bundle;
    struct process_streams streams;
    struct rootfs_mount *rootfs;
    size_t n_rootfs;
    struct task_options options;
};

void task_request_done(struct task_request *r);

/* Takes what is in the request. "AlreadyExists", "ShuttingDown", and what goes wrong: then nothing
 * of it is left. */
void task_create(struct shim *s, struct task_request *r, task_done *done, void *ctx);

/* Ends what a create that is under way waits for, if it is somebody else's program: then it fails.
 * False: it is created. */
bool task_create_cancel(struct task *t);
/* Whether its create is on its way to fail. */
bool task_is_create_failing(const struct task *t);

struct task *task_find(const struct shim *s, const char *id);      /* NULL */
struct process *task_process(struct task *t, const char *exec_id); /* NULL or "": the first */

/* Adds a process that process_start() starts. `spec` is the JSON of an OCI process; the streams are
 * taken. "AlreadyExists", "BadConfig" */
int task_exec(struct task *t, const char *exec_id, struct process_streams *streams,
              const void *spec, size_t len, struct err *e);
void task_pause(struct task *t, bool is_paused, task_done *done, void *ctx);
/* `json` is linux.resources of the OCI runtime specification. */
void task_update(struct task *t, const char *json, size_t len, task_done *done, void *ctx);

void process_start(struct process *p, task_done *done, void *ctx);
void process_signal(struct process *p, int number, bool is_all, task_done *done, void *ctx);
/* When `done` gets no error, it sees the process for the last time; with its first process the task
 * goes. */
void process_delete(struct process *p, task_done *done, void *ctx);
void process_resize(struct process *p, uint16_t width, uint16_t height);
void process_close_stdin(struct process *p);

/* Who waits for the end of a process; removed before `ended` is called, which is at once when it
 * has ended. */
struct process_wait {
    struct link link;
    void (*ended)(struct process_wait *w, const struct process *p);
};

void process_wait(struct process *p, struct process_wait *w);
