/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "cli/agent_client.h"
#include "wire/channels.h"

/*
 * A command in a pod, from its start to its end, with the streams of this process or others: what
 * `wherry exec` and `wherry cp` do. Runs a loop of its own and returns when all is done.
 */
struct exec_session {
    const char *space, *pod;
    const char *container;      /* NULL: the pod's first */
    const char *program;        /* absolute path of a module; NULL: the tools that a pod has */
    const char *const *command; /* argv, NULL-terminated */
    /* in_fd is a terminal, which is raw meanwhile, and the command gets one of its size. */
    bool is_tty;
    int in_fd;          /* -1: the command has no input */
    int out_fd, err_fd; /* written by blocking: who reads them slowly makes the command wait */
};

/*
 * *ret gets how it ended; it is given back with channel_status_done(). As of agent_client.h, and
 * "ConnectionLost": the agent has gone before the end; "OutputClosed" (-EPIPE): nobody reads out_fd
 * or err_fd any more; the command is stopped then; "WriteFailed".
 */
int exec_session_run(struct agent_client *c, const struct exec_session *x,
                     struct channel_status *ret, struct err *e);
