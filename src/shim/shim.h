/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "container/guest/program.h"
#include "container/list.h"
#include "loop/loop.h"
#include "shim/command/bootstrap.h"
#include "shim/command/flags.h"
#include "shim/command/start.h"
#include "shim/events/events.h"
#include "shim/pod/pod.h"

/*
 * The daemon: one for the containers of a pod, or for one container. It answers containerd's calls
 * (docs/internals/shim.md), and ends when it is told to shut down and has no task.
 */
struct shim {
    struct loop *loop;
    struct loop_timer *tidy;
    struct ttrpc_server *server;
    struct events *events;
    struct programs *programs;
    const struct shim_flags *flags;
    const struct bootstrap *bootstrap;
    const char *socket; /* its path */
    char *cache_dir;    /* of compiled code and of programs that were layers */
    char *worker;       /* the path of wherry-worker */
    struct link tasks;  /* struct task */
    struct shim_pod pod;
    struct sandbox *sandbox; /* of the sandbox API; NULL: none */
    bool is_leaving;
    bool is_end_due; /* it was told to end while the creates of its only tasks were failing */
};

/* Runs the daemon until it is told to end, or has had neither a task nor a connection for a minute:
 * containerd was killed between its start and its first call. Tells the `start` that has made it
 * when it can serve, or why it cannot. */
int shim_run(const struct shim_flags *f, const struct bootstrap *b, struct shim_daemon *d,
             struct err *e);

/* Ends the daemon when what was published has gone out, unless it has tasks. */
void shim_shut_down(struct shim *s);
/* After a create has failed, or a task was deleted. */
void shim_task_gone(struct shim *s);
/* Gives memory that is not used any more back to the system, once things are quiet. */
void shim_tidy_soon(struct shim *s);
