/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "container/guest/confinement.h"
#include "container/guest/guest_mounts.h"
#include "guest/contract.h"
#include "guest/job.h"
#include "guest/status.h"
#include "loop/loop.h"

/*
 * A WebAssembly container, or an exec in one, as one process: a child that is confined, waits, and
 * when it is started becomes wherry-worker with a guest. Its pid is the container's, its exit
 * status the guest's, and signals go to it as they are.
 *
 *   new -> create (forked, confined, waits) -> start (executes the worker) -> `ended`
 *
 * A process that was created and not started ends with this one; one that was started is left to
 * itself. Between the two it holds no descriptor that is not its own.
 *
 * Each callback comes from the loop and never from within a call.
 */
struct guest_process;

struct guest_process_options {
    struct loop *loop;
    const char *worker; /* the path of wherry-worker */
    const char *id;     /* as guest/spec.h wants it */
    const struct oci_config *config;
    const struct oci_process *process; /* NULL: the config's */
    const struct guest_mounts *mounts; /* its files */
    /* Standard streams; -1: empty, or dropped. With process->terminal all three are the slave of
     * one. Without close-on-exec taken into account: they are given to the child as 0, 1 and 2. */
    int stdin_fd, stdout_fd, stderr_fd;
    int program_fd;                  /* the program */
    const char *program;             /* its name for people */
    int code_fd;                     /* its machine code: guest/spec.h; -1: none */
    enum contract contract;          /* what the program is */
    const char *function;            /* that is called, args[0] being FILE#FUNCTION; NULL: none */
    bool is_tool;                    /* args[0] names a tool of the program, which finds it behind
                                      * its own name */
    unsigned http_port;              /* where an HTTP program listens; 0: GUEST_PROCESS_HTTP_PORT */
    const struct cgroup_fds *cgroup; /* NULL: none */
    const struct sock_fprog *seccomp; /* NULL: none */
    unsigned seccomp_flags;
    struct guest_process *of; /* an exec in this one, whose namespaces it enters; NULL: none */
    int verbosity;            /* of the worker's log */
    /* As of waitpid(2); once, when it was created, whether it was started or not. */
    void (*ended)(void *ctx, int status);
    void *ctx;
};

#define GUEST_PROCESS_HTTP_PORT 8080 /* as runwasi's wasmtime shim */

/* Everything that the options name is read before this returns, but descriptors, mounts and
 * seccomp, which stay the caller's and must be kept until `created`. "BadConfig",
 * "NamespaceFailed", "Unsupported", "BadSpec", "TooLarge". */
int guest_process_new(const struct guest_process_options *o, struct guest_process **ret,
                      struct err *e);
/* A process that was created must have `ended` (BUG), and no callback be awaited (BUG). NULL is
 * fine. */
void guest_process_free(struct guest_process *p);
DEFINE_AUTO(guest_process);

/* "ConfinementFailed", "ProcessFailed": nothing is left, and `ended` is not called. Once. */
void guest_process_create(struct guest_process *p,
                          void (*created)(void *ctx, const struct err *e, pid_t pid), void *ctx);
/* "ExecFailed", "ProcessFailed": the process ends, and `ended` follows. Once. */
void guest_process_start(struct guest_process *p, void (*started)(void *ctx, const struct err *e),
                         void *ctx);

pid_t guest_process_pid(const struct guest_process *p); /* 0: there is none, or no more */
/* It was created with a higher score for the out-of-memory killer than was asked for, as this
 * process has no right to lower it (CAP_SYS_RESOURCE). */
bool guest_process_is_score_kept(const struct guest_process *p);
/* -ESRCH (without a message) when it has ended or was not created. */
int guest_process_kill(struct guest_process *p, int number);

/* What the worker has written about the guest's end: valid after `ended`. -ENOENT ("NoStatus") when
 * it has not, for a signal ended it or it never was started. */
int guest_process_status(const struct guest_process *p, struct guest_status *ret, struct err *e);

/* The bytes of memory that a guest may have in a group with this limit: see the docs. */
int64_t guest_process_memory(int64_t group_limit);
