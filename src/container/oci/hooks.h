/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "container/oci/oci_config.h"
#include "loop/loop.h"

/*
 * The hooks of one moment in a container's life (OCI runtime specification, config.md,
 * POSIX-platform Hooks): programs, one after the other, that get the container's state document on
 * standard input (a sealed file in memory, so that who does not read it holds nobody up).
 *
 * A hook has the arguments (its path, when it has none) and exactly the variables of its entry, no
 * descriptor but 0 to 2, the default action of every signal, and a session of its own. What it
 * writes to 1 and 2 is read while it runs and the last line of it shown when it fails. A process
 * that it leaves behind lives on, but has nobody that reads what it writes.
 *
 * A hook without a timeout has none, as with runc; hooks_cancel() is for who has to end earlier.
 */
struct hooks;

struct hooks_options {
    struct loop *loop;
    const struct oci_hook_list *list; /* lives until the end */
    const char *moment;               /* "createRuntime", for messages; static storage */
    const char *state;                /* of oci_state_encode(); lives until the end */
    const char *cwd;                  /* the bundle, as with runc; NULL: this process's. Lives until
                                       * the end; of no use with a mount namespace */
    /* Namespaces that each hook enters first, in this order, for the moments that belong to the
     * container: path and arguments are looked up in there. The caller's, open until the end. */
    const int *ns_fds;
    size_t n_ns_fds;
    /* Instead of these, for a hook that has no more rights than the container (startContainer): in
     * the child, which may make system calls only. Begins a session; 0, or a negative errno.
     * NULL: none. Its context lives until the end. */
    int (*enter)(const void *enter_ctx);
    const void *enter_ctx;
    bool goes_on; /* a failure does not keep the next hooks from running (poststop); the first of
                   * them is told at the end */
    /* Never from within hooks_run(). NULL: all have succeeded. Otherwise "HookFailed": it ended
     * with another status than 0 or by a signal, took longer than its timeout (then its session's
     * processes have been killed), or could not be started. */
    void (*done)(void *ctx, const struct err *e);
    void *ctx;
};

/* The handle is gone when `done` is called. An empty list succeeds. */
struct hooks *hooks_run(const struct hooks_options *o);
/* Kills the hook that runs, with its process group, and starts no other; `done` is not called, and
 * what the options point to is not needed any more. The handle ends when the loop, which has to run
 * for it, has reaped the process. */
void hooks_cancel(struct hooks *h);
