/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/json.h"
#include "container/container.h"
#include "pod/fields.h"
#include "pod/machine/machine.h"
#include "pod/objects.h"
#include "pod/runtime/cpu_limits.h"
#include "pod/volumes/volumes.h"

/*
 * All pods of a supervisor, whoever asked for them: carries out what their machines order, on the
 * loop's thread, with what waits for the disk in the work pool.
 *
 * Kept below the state folder, for each pod:
 *   STATE/pods/UID/record.json   its machine's record, renamed into place (synced when the pod is
 * over) STATE/pods/UID/volumes/...   volumes/volumes.h and its logs, as collectors expect them
 * (Kubernetes: container logs of the CRI): LOGS/SPACE_NAME_UID/CONTAINER/RESTART.log
 *
 * The caller keeps the specs. After a restart it adds each again, and pods_restore() finds what
 * became of them.
 */
struct pods;
struct pod;

struct pods_options {
    struct loop *loop;
    struct containers *containers; /* has adopted */
    const char *state_dir;         /* absolute, exists */
    const char *logs_dir;          /* likewise */
    const char *memory_dir;        /* for volumes in memory without mount(2); NULL: none */
    const char *image_program;     /* the path of wherry-image, which fetches images */
    const char *store_dir;         /* of images; as wherry-image has it */
    const char
        *worker; /* the path of wherry-worker, which compiles programs before their first start */
    const char *cache_dir; /* of compiled code; NULL: none, and the start compiles */
    enum cpu_limit_keeper cpu_limit;
    const struct pod_fields *node; /* addresses and capacity: a pod's fields but its spec */
    struct pod_objects objects;
    /* A pod's status may be another. Told from the loop, never from within a call of the caller's.
     */
    void (*changed)(void *ctx, struct pod *p);
    /* What happened, for people. */
    void (*event)(void *ctx, struct pod *p, const char *container, bool is_warning,
                  const char *reason, const char *text);
    /* It was deleted and has ended; its folder is gone. It is freed after the call. */
    void (*gone)(void *ctx, struct pod *p);
    void *ctx;
};

int pods_open(const struct pods_options *o, struct pods **ret, struct err *e);
/* Leaves guests running. Pods are freed; no call follows. */
void pods_close(struct pods *s);

/* Takes a reference of the spec, whose uid no other pod has (BUG), and starts it: now, or when it
 * is restored by pods_restore(). With a record of it that cannot be read it is not started: its
 * phase is Failed ("BadRecord"). */
struct pod *pods_add(struct pods *s, struct pod_spec *spec);
/* Once, after the pods that an earlier supervisor had were added: claims their containers and goes
 * on with them; guests that belong to no pod are ended, and folders of no pod removed. */
void pods_restore(struct pods *s);

struct pod *pods_find(const struct pods *s, const char *uid);
size_t pods_count(const struct pods *s);

const struct pod_spec *pod_spec_of(const struct pod *p);
const struct pod_machine *pod_machine_of(const struct pod *p);
/* The caller's own. */
void pod_user_set(struct pod *p, void *user);
void *pod_user(const struct pod *p);

/* As a Kubernetes v1 PodStatus. */
void pod_status_write(const struct pod *p, struct json_writer *w);

/* Ends it; `gone` follows. Again: only a shorter grace counts. Below 0: the spec's. */
void pod_delete(struct pod *p, int64_t grace_ms);
/* Ends the container's run, which begins again without a wait. NULL: of every main. "NotFound". */
int pod_restart(struct pod *p, const char *container, struct err *e);
/* An object that pods may refer to has come, changed or gone: volumes are renewed, and what waits
 * for it is tried again. */
void pods_object_changed(struct pods *s, enum pod_object_kind kind, const char *space,
                         const char *name);

/* ---- One more guest in a running container's place: exec ---- */

struct pod_exec_options {
    const char *container;
    const char *program;                /* path of a module; NULL: the tool box */
    const char *const *args;            /* argv, NULL-terminated */
    const char *const *env;             /* NAME=VALUE, NULL-terminated: where the container has none
                                         * of that name; NULL: no more */
    int stdin_fd, stdout_fd, stderr_fd; /* taken, also on failure; -1: none */
    void (*ended)(void *ctx, const struct guest_status *status); /* once */
    void *ctx;
};
struct pod_exec;
/* A guest with the container's volumes, environment and network. "NotFound", "NotRunning". */
int pod_exec_start(struct pod *p, const struct pod_exec_options *o, struct pod_exec **ret,
                   struct err *e);
void pod_exec_stop(struct pod_exec *x);
void pod_exec_free(struct pod_exec *x); /* stops it too; `ended` is not called any more */

/* Where the container's present run, or the one before, is logged: the path of its file. "NotFound"
 * when there is none (yet). Heap. */
int pod_log_path(const struct pod *p, const char *container, bool is_previous, char **ret,
                 struct err *e);

/* CPU and memory of each container that runs; `measured` for each, then once with NULL. One whose
 * worker does not answer within 2 s is left out. */
void pod_measure(struct pod *p,
                 void (*measured)(void *ctx, const char *container,
                                  const struct message_figures *f),
                 void *ctx);
