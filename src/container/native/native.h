/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/util.h"
#include "loop/loop.h"

/*
 * A native container: one of the Linux programs that share a pod with guests. An installed OCI
 * runtime (runc, crun) makes and changes it by its command line, with the container manager's
 * bundle as it is; its processes are children of this one, which is their subreaper
 * (loop_reap_orphans(), before the first of these): how they end is told by `ended`.
 *
 * The commands for one container are carried out one after the other, in the order of the calls; a
 * kill overtakes all others and runs beside them. Each is bounded in time and in what is read of
 * its output. `done` is called once for each, from the loop and never from within the call; with
 * native_free() it is dropped. Both `done` and `ended` may free the container.
 *
 * Errors that `done` is told:
 *   "RuntimeMissing"  no runtime is installed, or it has been removed
 *   "RuntimeFailed"   it said no, with its own words, or (-ETIMEDOUT) took too long and was killed
 *   "NotRunning"      of a kill (-ESRCH): there is no such process any more
 *   "AlreadyExists"   (-EEXIST) the root has a container, or this one a process, of that name
 *   "BadSignal"       (-EINVAL)
 *   "TooManyCommands" (-EAGAIN) NATIVE_QUEUE_LIMIT wait already
 * and "StartFailed", "CommandFailed" for what this process lacks to run it, such as descriptors.
 *
 * The command line: docs/internals/native-containers.md.
 */
struct native;

#define NATIVE_QUEUE_LIMIT 256
#define NATIVE_LIMIT_MS    120000

struct native_options {
    struct loop *loop;
    const char *runtime; /* its path, or a name that is searched in PATH, then in the folders for
                          * system programs; NULL: runc, without it crun */
    const char *root;    /* the folder of its states; NULL: `runtime` in run_dir */
    const char *run_dir; /* for a folder of each command's files; NULL: paths_run_dir() */
    bool is_systemd_cgroup, no_pivot_root, no_new_keyring;
    uint64_t limit_ms; /* how long a command may take; 0: NATIVE_LIMIT_MS */
    /* A process of the container has ended: its init when exec_id is NULL. `status` is as of
     * waitpid(2). Only for those whose pid was told, and after that. */
    void (*ended)(void *ctx, const char *exec_id, int status);
    void *ctx;
};

/* What a process reads and writes. With a terminal the runtime makes one in the container, and the
 * descriptors are not used; whoever asks for it has to ask for what the bundle or the process says
 * ("terminal"). Else they become its 0, 1 and 2 themselves, where runc also writes the reason why
 * it could not start it; a negative one is /dev/null. They stay the caller's and may be closed when
 * the call has returned. */
struct native_stdio {
    int fds[3];
    bool is_terminal;
};

typedef void native_done(void *ctx, const struct err *e); /* e->code is 0 on success */
/* The console is the terminal's other side, now the callee's to close; negative without one. On
 * failure there is no pid. */
typedef void native_started(void *ctx, const struct err *e, pid_t pid, int console_fd);

/* Runs nothing. `id` and `bundle` (a path) are copied, as are the options. "RuntimeMissing", which
 * says what to install; "BadName" for an id that no runtime takes. */
int native_new(const struct native_options *o, const char *id, const char *bundle,
               struct native **ret, struct err *e);
/* Kills the commands that run, and forgets those that wait. The container stays as it is, and its
 * processes are still reaped. */
void native_free(struct native *n);
DEFINE_AUTO(native);

/* The path of the runtime, and 0 or the pid of the container's init while it runs. */
const char *native_runtime(const struct native *n);
pid_t native_pid(const struct native *n);

/* Makes the container, whose init then waits for native_start(). When either fails, nothing of the
 * container is left; the end of the init is told after a failed start. */
void native_create(struct native *n, const struct native_stdio *io, native_started *done,
                   void *ctx);
void native_start(struct native *n, native_done *done, void *ctx);

/* Removes what the runtime knows of a container that has ended; forced, whatever its state, also
 * when there is none. */
void native_delete(struct native *n, bool is_forced, native_done *done, void *ctx);

/* Another process, as `process` says (the JSON text of an OCI process, config.md). exec_id is any
 * text that no running one has. */
void native_exec(struct native *n, const char *exec_id, const char *process, size_t len,
                 const struct native_stdio *io, native_started *done, void *ctx);

/* To the init, or to all processes of the container, paused ones too. */
void native_kill(struct native *n, int signal, bool is_all, native_done *done, void *ctx);
/* To an exec's process, at once. "NotRunning" */
int native_exec_kill(struct native *n, const char *exec_id, int signal, struct err *e);

void native_pause(struct native *n, native_done *done, void *ctx);
void native_resume(struct native *n, native_done *done, void *ctx);

/* With the JSON text of linux.resources (config-linux.md); what is not there stays. */
void native_update(struct native *n, const char *resources, size_t len, native_done *done,
                   void *ctx);

/* What the runtime knows: `status` is "created", "running", "paused" or "stopped", the pid is 0 for
 * the last. Both are only valid with e->code 0, and during the call. */
typedef void native_state_told(void *ctx, const struct err *e, const char *status, pid_t pid);
void native_state(struct native *n, native_state_told *done, void *ctx);
