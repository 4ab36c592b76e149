/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "container/guest/program.h"
#include "container/list.h"
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
    struct ttrpc_server *server;
    struct events *events;
    struct programs *programs;
    const struct shim_flags *flags;
    const struct bootstrap *bootstrap;
    const char *socket; /* its path */
    char *worker;       /* the path of wherry-worker */
    struct link tasks;  /* struct task */
    bool is_leaving;
    bool is_end_due; /* it was told to end while its only tasks were being created */
};

/* Runs the daemon until it is told to end. `listen_fd` is taken. */
int shim_run(const struct shim_flags *f, const struct bootstrap *b, int listen_fd,
             const char *socket, struct err *e);

/* Ends the daemon when what was published has gone out, unless it has tasks. */
void shim_shut_down(struct shim *s);
/* After a create has failed. */
void shim_task_gone(struct shim *s);

/* The tool box's program, open for reading (close-on-exec). "ProgramMissing" */
int shim_toolbox_open(const struct shim *s, struct err *e);
