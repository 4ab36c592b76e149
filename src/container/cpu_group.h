/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdint.h>

#include "base/err.h"
#include "base/strv.h"
#include "base/util.h"

/*
 * CPU limits by the kernel: a control group for each container that has one, which the threads of
 * its guest enter by themselves (guest/spec.h, cpu_group_fd). Groups lie below the one that this
 * process is in, as wherry/OWNER.ID, so that a service manager's own limits hold for all of them,
 * and supervisors beside each other do not take theirs for leftovers.
 *
 * Version 1: a group of the controller `cpu`, whose file `tasks` takes single threads (Linux,
 * admin-guide/cgroup-v1/cgroups.rst, scheduler/sched-bwc.rst). Version 2: a threaded group, whose
 * file is `cgroup.threads` (admin-guide/cgroup-v2.rst, "Threads"); that needs the right to change
 * this process's group (systemd: Delegate=yes).
 *
 * Nothing is remembered: what is there is found again after a restart.
 */
struct cpu_groups;

/* Finds what this machine has. `owner` is the supervisor's, the same after each of its restarts: up
 * to 40 characters without dot or slash. "NoCpuGroups": there is neither, or it may not be used;
 * says why. */
int cpu_groups_open(const char *owner, struct cpu_groups **ret, struct err *e);
void cpu_groups_free(struct cpu_groups *g); /* the groups stay */
DEFINE_AUTO(cpu_groups);

int cpu_groups_version(const struct cpu_groups *g); /* 1 or 2 */

/* Makes the group, or takes the one that is there, with this limit in thousandths of a processor
 * (at least 1), and opens the file that a thread enters it by. `id` is a guest's (guest/spec.h).
 * "CpuGroupFailed" */
int cpu_group_make(const struct cpu_groups *g, const char *id, int64_t milli, int *ret_fd,
                   struct err *e);

/* Removes an empty group; one that is not there is fine. -EBUSY while threads are in it.
 * "CpuGroupFailed" */
int cpu_group_remove(const struct cpu_groups *g, const char *id, struct err *e);

/* The ids of the owner's groups that are there: of containers, or left by one that was killed. */
int cpu_groups_list(const struct cpu_groups *g, struct strv *ret, struct err *e);
