/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdint.h>

#include "base/err.h"

/*
 * The daemon that keeps pods: one loop, the objects that were asked for, their pods, and the local
 * API. It ends on SIGTERM and SIGINT and leaves guests running in their workers; the next one
 * adopts them (docs/internals/agent.md).
 */
struct agent_options {
    /* Absolute. Made when they are missing: the first two for this user only. */
    const char *state_dir;           /* what must survive a boot */
    const char *run_dir;             /* of workers */
    const char *logs_dir;            /* of containers */
    const char *socket;              /* of the local API, unless a service manager hands one over */
    const char *group;               /* whose members may use it; NULL or not there: nobody's */
    const char *node_name, *node_ip; /* NULL: this machine's */
    const char *cache_dir;           /* of compiled code; NULL: none */
    const char *store_dir;           /* of images */
    const char *worker, *image_program; /* paths of the programs */
    const char *cpu_limit;              /* who keeps CPU limits: auto, cgroup, worker */
    uint64_t idle_worker_ms;            /* how long a worker without guests stays */
    const char *config_json;            /* what /configz answers: an object; NULL: {} */
};

/* Until it is told to end. What keeps it from starting, or going on, is an error. */
int agent_run(const struct agent_options *o, struct err *e);
