/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>
#include <sys/types.h>

/*
 * The process of a hook (hooks.h), from fork() to execve(): what posix_spawn(3) cannot do is to
 * enter namespaces. The child of a process with threads, it makes system calls only.
 *
 * In a PID namespace it takes a second fork(), for a process does not change its own; the first
 * child waits there and ends as the second one does.
 */
enum hook_step {
    HOOK_STEP_DESCRIPTORS,
    HOOK_STEP_FOLDER,
    HOOK_STEP_NAMESPACE,
    HOOK_STEP_FORK,
    HOOK_STEP_ENTER,
    HOOK_STEP_PROGRAM,
};

/* What comes through `report` when the program was not reached, and nothing otherwise. */
struct hook_report {
    enum hook_step step;
    int code; /* errno */
};

/* For messages: "cannot enter a namespace". */
const char *hook_step_text(enum hook_step step);

struct hook_child {
    const char *path;
    const char *const *argv, *const *env;
    const char *cwd; /* NULL: stays */
    const int *ns_fds;
    size_t n_ns_fds;
    int (*enter)(const void *enter_ctx); /* as in hooks.h */
    const void *enter_ctx;
    int input, output, report; /* all close-on-exec and above 2 */
};

/* It is the leader of its session and group. Returns a negative errno, without a message. */
int hook_child_start(const struct hook_child *c, pid_t *ret_pid);
