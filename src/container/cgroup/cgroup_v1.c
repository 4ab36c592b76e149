/* SPDX-License-Identifier: Apache-2.0 */
/* Limits in version 1 (Linux, admin-guide/cgroup-v1/: memory.rst, cpusets.rst, pids.rst,
 * blkio-controller.rst; scheduler/sched-bwc.rst). */
#include <sys/stat.h>

#include "base/paths.h"
#include "container/cgroup/cgroup_parts.h"

/* A cpuset begins empty, and takes no process before it has processors and memory: as above it. */
static int cpuset_inherit(const char *above, const char *dir, struct err *e)
{
    static const char *const files[] = {"cpuset.cpus", "cpuset.mems"};

    for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
        autobuf own = BUF_INIT, parent = BUF_INIT;

        TRY(cgroup_file_read(dir, files[i], &own, e));
        if (own.len > 1)
            continue;
        TRY(cgroup_file_read(above, files[i], &parent, e));
        TRY(cgroup_file_write(dir, files[i], buf_str(&parent), e));
    }
    return 0;
}

int cgroup_v1_make(const struct cgroup_hierarchy *h, const char *dir, struct err *e)
{
    autofree char *above = xstrdup(h->mount);
    const char *rest = dir + strlen(h->mount);

    while (*(rest += strspn(rest, "/"))) {
        size_t len = strcspn(rest, "/");
        autofree char *name = xstrndup(rest, len), *next = path_join(above, name);

        if (mkdir(next, 0755) < 0 && errno != EEXIST)
            return cgroup_file_error(-errno, "make the control group", next, "", e);
        if (h->has & 1u << CGROUP_CPUSET)
            TRY(cpuset_inherit(above, next, e));
        free(above);
        above = take_ptr(next);
        rest += len;
    }
    return 0;
}

/* ---- Memory ---- */

static int memory_set(const struct cgroup *c, int64_t bytes, struct err *e)
{
    return cgroup_limit_set_int(c, CGROUP_MEMORY, "memory.limit_in_bytes", bytes < 0 ? -1 : bytes,
                                e);
}

static int memsw_set(const struct cgroup *c, int64_t bytes, struct err *e)
{
    /* A kernel that does not count swap limits none. */
    if (bytes < 0 && !cgroup_limit_exists(c, CGROUP_MEMORY, "memory.memsw.limit_in_bytes"))
        return 0;
    return cgroup_limit_set_int(c, CGROUP_MEMORY, "memory.memsw.limit_in_bytes",
                                bytes < 0 ? -1 : bytes, e);
}

/* The limit of memory and swap together is never below that of memory: what is raised is raised in
 * one order, and lowered in the other. */
static int memory_both_set(const struct cgroup *c, int64_t limit, int64_t swap, struct err *e)
{
    const char *dir = cgroup_dir(c, CGROUP_MEMORY);
    uint64_t now = CGROUP_NO_LIMIT;

    if (dir)
        cgroup_file_number(dir, "memory.memsw.limit_in_bytes", &now);
    if (swap < 0 || (limit >= 0 && (uint64_t)limit > now)) {
        TRY(memsw_set(c, swap, e));
        return memory_set(c, limit, e);
    }
    TRY(memory_set(c, limit, e));
    return memsw_set(c, swap, e);
}

static int memory_limit(const struct cgroup *c, const struct oci_resources *r, struct err *e)
{
    bool has_limit = r->has_memory_limit && r->memory_limit;
    bool has_swap = r->has_memory_swap && r->memory_swap;

    if (has_limit && has_swap)
        TRY(memory_both_set(c, r->memory_limit, r->memory_swap, e));
    else if (has_limit && r->memory_limit < 0)
        TRY(memory_both_set(c, -1, -1, e));
    else if (has_limit)
        TRY(memory_set(c, r->memory_limit, e));
    else if (has_swap)
        TRY(memsw_set(c, r->memory_swap, e));
    if (r->has_memory_reservation && r->memory_reservation)
        TRY(cgroup_limit_set_int(c, CGROUP_MEMORY, "memory.soft_limit_in_bytes",
                                 r->memory_reservation < 0 ? -1 : r->memory_reservation, e));
    return 0;
}

/* ---- Processors and the rest ---- */

static int quota_set(const struct cgroup *c, const struct oci_resources *r, struct err *e)
{
    if (!r->has_cpu_quota_us || !r->cpu_quota_us)
        return 0;
    return cgroup_limit_set_int(c, CGROUP_CPU, "cpu.cfs_quota_us",
                                r->cpu_quota_us < 0 ? -1 : r->cpu_quota_us, e);
}

static int cpu_limit(const struct cgroup *c, const struct oci_resources *r, struct err *e)
{
    int result;

    if (r->has_cpu_shares && r->cpu_shares)
        TRY(cgroup_limit_set_int(c, CGROUP_CPU, "cpu.shares", r->cpu_shares, e));
    if (!r->has_cpu_period_us || !r->cpu_period_us)
        return quota_set(c, r, e);
    result = cgroup_limit_set_int(c, CGROUP_CPU, "cpu.cfs_period_us", r->cpu_period_us, e);
    /* The old quota may be more than the new period allows, in this group or above it. */
    if (result == -EINVAL && r->has_cpu_quota_us && r->cpu_quota_us) {
        TRY(quota_set(c, r, e));
        return cgroup_limit_set_int(c, CGROUP_CPU, "cpu.cfs_period_us", r->cpu_period_us, e);
    }
    return result < 0 ? result : quota_set(c, r, e);
}

static int others_limit(const struct cgroup *c, const struct oci_resources *r, struct err *e)
{
    if (r->cpuset_cpus && *r->cpuset_cpus)
        TRY(cgroup_limit_set(c, CGROUP_CPUSET, "cpuset.cpus", r->cpuset_cpus, e));
    if (r->cpuset_mems && *r->cpuset_mems)
        TRY(cgroup_limit_set(c, CGROUP_CPUSET, "cpuset.mems", r->cpuset_mems, e));
    if (r->has_pids_limit && r->pids_limit > 0)
        TRY(cgroup_limit_set_int(c, CGROUP_PIDS, "pids.max", r->pids_limit, e));
    else if (r->has_pids_limit && cgroup_limit_exists(c, CGROUP_PIDS, "pids.max"))
        TRY(cgroup_limit_set(c, CGROUP_PIDS, "pids.max", "max", e));
    if (r->has_blkio_weight && r->blkio_weight) {
        bool is_bfq = cgroup_limit_exists(c, CGROUP_BLKIO, "blkio.bfq.weight");

        TRY(cgroup_limit_set_int(c, CGROUP_BLKIO, is_bfq ? "blkio.bfq.weight" : "blkio.weight",
                                 r->blkio_weight, e));
    }
    return 0;
}

int cgroup_v1_limit(const struct cgroup *c, const struct oci_resources *r, struct err *e)
{
    if (r->unified.n)
        return err_set(e, -EINVAL, "BadResources",
                       "linux.resources.unified names '%s', and this machine has control groups of "
                       "version 1; leave it out, or mount version 2",
                       r->unified.v[0].name);
    TRY(memory_limit(c, r, e));
    TRY(cpu_limit(c, r, e));
    return others_limit(c, r, e);
}
