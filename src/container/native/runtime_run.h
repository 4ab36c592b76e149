/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "base/strv.h"
#include "loop/loop.h"

/*
 * One run of an OCI runtime (runc, crun) by its command line, which no specification has: these
 * options are those that both know. What goes through files is in a folder of its own (0700), which
 * is removed with the run.
 *
 * It is bounded: in time, and of what it prints the first RUNTIME_OUTPUT_LIMIT bytes exist at all.
 * It is the leader of a session and killed with all that is in it still.
 */
struct runtime_run;

#define RUNTIME_OUTPUT_LIMIT (64u << 10)

/* Valid during the call. After a failure there may be a pid too, when a process had been made. */
struct runtime_answer {
    pid_t pid;      /* 0: none was said */
    int console_fd; /* to be taken, else it is closed; negative: none */
    const char *output;
};

struct runtime_run_options {
    struct loop *loop;
    const char *runtime, *root, *run_dir;
    bool is_systemd_cgroup;
    uint64_t limit_ms;
    const char *verb, *id; /* of the container */
    const struct strv *options;
    const char *operand;      /* behind the id; NULL and "": none */
    const char *input_option; /* with it the text goes through a file; NULL: none */
    const struct buf *input;
    const int *fds; /* three, its 0 to 2; negative: /dev/null; NULL: what it prints is read */
    bool has_pid, is_terminal; /* of a process that it is to start, whose terminal it sends */
    void (*ended)(void *ctx, const struct err *e, struct runtime_answer *a);
    void *ctx;
};

/* What the options hold is copied, descriptors included. "RuntimeMissing", "StartFailed",
 * "CommandFailed"; then `ended` is not called. It is told "RuntimeFailed", which has the runtime's
 * own words: the last error of its log, or the last line that it printed. */
int runtime_run_start(const struct runtime_run_options *o, struct runtime_run **ret, struct err *e);
void runtime_run_free(struct runtime_run *r); /* kills it when it runs */

/* The runtime's path: as given, or found in PATH or a folder of system programs; `name` NULL: runc,
 * without it crun. "RuntimeMissing" */
int runtime_find(const char *name, char **ret, struct err *e);
