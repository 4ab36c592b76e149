/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "guest/spec.h"
#include "loop/loop.h"

/*
 * Who keeps the CPU limits of containers (docs/internals/limits.md): the kernel, with a control
 * group for each attempt (container/cpu_group.h), or else the worker itself (guest_spec.cpu_milli).
 * Groups are removed when their guest has ended; what threads are still in is tried again, after a
 * restart too, as groups are found by their names.
 */
enum cpu_limit_keeper {
    CPU_LIMIT_AUTO, /* the kernel where it can */
    CPU_LIMIT_CGROUP,
    CPU_LIMIT_WORKER,
};

struct cpu_limits;

/* `state_dir` tells supervisors apart, and exists. With CPU_LIMIT_CGROUP "NoCpuGroups". */
int cpu_limits_open(struct loop *l, enum cpu_limit_keeper keeper, const char *state_dir,
                    struct cpu_limits **ret, struct err *e);
void cpu_limits_close(struct cpu_limits *c); /* the groups stay */

/* To a spec with a limit in cpu_milli, of the container whose attempt is `id`: puts a descriptor of
 * the attempt's group instead, which is made when it is not there. Without groups, and when with
 * CPU_LIMIT_AUTO it cannot be made, the spec stays. "CpuGroupFailed" */
int cpu_limits_use(struct cpu_limits *c, const char *id, struct guest_spec *spec, struct err *e);
/* The attempt has ended: its group goes when the last thread has left it. One that has none is
 * fine. */
void cpu_limits_end(struct cpu_limits *c, const char *id);
/* The attempts that have groups. From any thread. */
void cpu_limits_list(const struct cpu_limits *c, struct strv *ret);
