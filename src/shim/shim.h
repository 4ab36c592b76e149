/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "container/list.h"
#include "container/program.h"
#include "loop/loop.h"
#include "shim/bootstrap.h"
#include "shim/events.h"
#include "shim/flags.h"

/*
 * The daemon: one for the containers of a pod, or for one container. It answers containerd's calls
 * (docs/internals/shim.md), and ends when it is told to shut down and has no task.
 */
struct shim {
    struct loop *loop;
    struct events *events;
    struct programs *programs;
    const struct shim_flags *flags;
    const struct bootstrap *bootstrap;
    char *worker;      /* the path of wherry-worker */
    char *toolbox;     /* of the tool box's program; NULL: it is not installed */
    struct link tasks; /* struct task */
    struct link connections;
    bool is_leaving;
};

/* Ends the daemon, unless there are tasks, when everything that was published has gone out. */
void shim_shut_down(struct shim *s);

/* Runs until then. `listen_fd` is taken. */
int shim_run(const struct shim_flags *f, const struct bootstrap *b, int listen_fd,
             const char *socket, struct err *e);
