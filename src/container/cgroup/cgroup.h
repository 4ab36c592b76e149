/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/util.h"
#include "loop/loop.h"

/*
 * The control group of a container: one folder in each hierarchy of version 1 (Linux,
 * admin-guide/cgroup-v1/), or one in the hierarchy of version 2 (admin-guide/cgroup-v2.rst). A
 * machine that has controllers in version 1 is version 1, whatever else is mounted. What is mounted
 * is looked up once per process.
 *
 * A group is only named here: it is made by cgroup_create(), lives as long as its folders, and is
 * found again by the same name after a restart. It belongs to one container: a group in which
 * processes are is not taken, since the end of the container kills what is in it.
 *
 * The `devices` controller stays out of it: a WebAssembly guest opens no devices, so the rules of a
 * container have nobody to hold for.
 *
 * Functions marked "waits" may take as long as they say and belong into loop_work(); all others
 * only read and write small files of the kernel. One group may be used by several threads at once,
 * but for create, update, delete and free.
 *
 * Errors, with the file that it was: "CgroupFailed" (any errno), "CgroupControllerMissing"
 * (-ENOENT: a limit needs a controller that is not there), "NoCgroups" (-ENOENT: none are mounted),
 * "SystemdFailed", "CgroupBusy" (-EBUSY) and "TooLarge", as each says.
 */
struct cgroup;
struct oci_resources;

/*
 * Names the group of linux.cgroupsPath (config-linux.md, Cgroups Path). Nothing is made or looked
 * for yet.
 *
 *   cgroupfs: "/k8s.io/ID" is below the root of each hierarchy (as this process sees it), a
 *             relative path below the group of this process (version 2: beside it, as a group with
 *             processes cannot have others below it that are limited). NULL is the relative ID.
 *   systemd:  "slice:prefix:name" is the unit prefix-name.scope in the slice, "system.slice" when
 *             that is empty. NULL is ":wherry:ID".
 *
 * "BadCgroupPath" (-EINVAL): "..", the root itself, a wrong form, longer than 1,024 bytes. */
int cgroup_open(const char *cgroups_path, bool is_systemd, const char *id, struct cgroup **ret,
                struct err *e);

/* The group that the process is in, to ask about what another runtime has made: everything but
 * create, update, kill_all and delete, which are refused (-EPERM). "CgroupFailed" */
int cgroup_open_pid(pid_t pid, struct cgroup **ret, struct err *e);

/* "CgroupBusy" when there are processes in it. */
int cgroup_empty_check(const struct cgroup *c, struct err *e);

void cgroup_free(struct cgroup *c); /* what it named stays; NULL is fine */
DEFINE_AUTO(cgroup);

int cgroup_version(const struct cgroup *c);      /* 1 or 2 */
const char *cgroup_path(const struct cgroup *c); /* below the mount points: "/k8s.io/ID" */
bool cgroup_exists(const struct cgroup *c);      /* in at least one hierarchy */

/*
 * Makes the group and limits it. On failure nothing of it is left. Waits with systemd, for its
 * answer (at most 30 s): a scope cannot be empty, so a small process stays in it until
 * cgroup_free() or cgroup_settle(). "BadResources" (-EINVAL), "CgroupBusy": there are processes in
 * it already.
 */
int cgroup_create(struct cgroup *c, const struct oci_resources *r, struct err *e);

/* The container's own process is in: nothing else needs to hold the group. */
void cgroup_settle(struct cgroup *c);

/* Limits it anew; what the resources do not say stays. Values out of range ("BadResources") change
 * nothing; after another failure a part may have changed. -EBUSY when more memory is used than the
 * new limit (version 1). Waits with systemd, for a child: orphans are to be held back meanwhile
 * (loop_orphans_hold()), or its status may be lost and be taken for a failure. */
int cgroup_update(struct cgroup *c, const struct oci_resources *r, struct err *e);

/* ---- Entering ---- */

#define CGROUP_FDS_MAX 12

/* The files by which a process of one thread enters, one for each hierarchy; close-on-exec. In
 * version 1 they are those for threads: when a thread moves itself, the kernel need not stop all
 * forks and exits of the machine, for which it waits 5 to 20 ms (cgroup_attach_lock()). */
struct cgroup_fds {
    int v[CGROUP_FDS_MAX];
    size_t n;
};

#define CGROUP_FDS_INIT ((struct cgroup_fds){0})

int cgroup_fds_open(const struct cgroup *c, struct cgroup_fds *ret, struct err *e);
void cgroup_fds_close(struct cgroup_fds *f);

/* In a forked child: the calling process, which has one thread, enters. Makes system calls only.
 * Returns a negative errno, without a message. */
int cgroup_enter(const struct cgroup_fds *f);

/* Moves another process, with all of its threads. */
int cgroup_attach(const struct cgroup *c, pid_t pid, struct err *e);

/* ---- Processes ---- */

/* Those in the group and in groups below it, in no order; a heap array. At most 131,072
 * ("TooLarge"). */
int cgroup_pids(const struct cgroup *c, pid_t **ret, size_t *ret_n, struct err *e);

/* Stops all of them where they are, and lets them go on. Waits, at most 2 s: "CgroupBusy" when some
 * process cannot be stopped; all run on then. */
int cgroup_freeze(struct cgroup *c, struct err *e);
int cgroup_thaw(struct cgroup *c, struct err *e);

/* Sends SIGKILL to all, also to frozen ones and to those that are being started meanwhile. A group
 * that is not there has none. Waits, at most 2 s, but not for them to be gone. */
int cgroup_kill_all(struct cgroup *c, struct err *e);

/* Removes it with the groups below it, not those above; one that is not there is fine. Waits, at
 * most `timeout_ms`, for its processes to be gone, which somebody has to have killed: else
 * "CgroupBusy", and what is left can be deleted later. */
int cgroup_delete(struct cgroup *c, int timeout_ms, struct err *e);

/* ---- Figures ---- */

#define CGROUP_NO_LIMIT UINT64_MAX
#define CGROUP_IO_MAX   64

struct cgroup_io {
    uint64_t major, minor; /* of the block device */
    uint64_t read_bytes, written_bytes, reads, writes;
};

/*
 * As the message io.containerd.cgroups.v2.Metrics has them; what version 1 has is translated, what
 * a kernel does not count is 0. The working set, which Kubernetes evicts by, is memory.usage_bytes
 * less memory.inactive_file_bytes. Members without a unit are counts.
 */
struct cgroup_stats {
    struct {
        bool is_there;
        uint64_t current, limit;
    } pids;
    struct {
        bool is_there;
        uint64_t usage_us, user_us, system_us;
        uint64_t n_periods, n_throttled, throttled_us, n_bursts, bursts_us;
    } cpu;
    struct {
        bool is_there;
        uint64_t anon_bytes, file_bytes, kernel_stack_bytes, slab_bytes, sock_bytes, shmem_bytes,
            file_mapped_bytes, file_dirty_bytes, file_writeback_bytes, anon_thp_bytes,
            inactive_anon_bytes, active_anon_bytes, inactive_file_bytes, active_file_bytes,
            unevictable_bytes, slab_reclaimable_bytes, slab_unreclaimable_bytes;
        uint64_t pgfault, pgmajfault, workingset_refault, workingset_activate,
            workingset_nodereclaim, pgrefill, pgscan, pgsteal, pgactivate, pgdeactivate, pglazyfree,
            pglazyfreed, thp_fault_alloc, thp_collapse_alloc;
        uint64_t usage_bytes, limit_bytes, swap_usage_bytes, swap_limit_bytes, max_usage_bytes,
            swap_max_usage_bytes;
    } memory;
    struct {
        uint64_t low, high, max, oom, oom_kill;
    } memory_events;
    struct cgroup_io io[CGROUP_IO_MAX]; /* devices beyond are left out */
    size_t n_io;
};

/* Fails only when the group is not there (-ENOENT) or a file of it cannot be read. */
int cgroup_stats_read(const struct cgroup *c, struct cgroup_stats *ret, struct err *e);

/* ---- Out of memory ---- */

/* How many of its processes the kernel has killed because memory ran out, since it was made. To be
 * asked when a process has ended: the kernel counts before the process is gone, but the event of a
 * watch may come later. 0 where nobody counts. */
uint64_t cgroup_oom_kills(const struct cgroup *c);

/* Calls each time that the group has run out of memory (version 1), or that a process was killed
 * for it (version 2); several at once may be told once. To be freed before the group is deleted. */
struct cgroup_oom;
int cgroup_oom_watch(const struct cgroup *c, struct loop *l, void (*fired)(void *ctx), void *ctx,
                     struct cgroup_oom **ret, struct err *e);
void cgroup_oom_free(struct cgroup_oom *o);
DEFINE_AUTO(cgroup_oom);
