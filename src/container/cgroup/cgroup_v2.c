/* SPDX-License-Identifier: Apache-2.0 */
/* Limits in version 2 (Linux, admin-guide/cgroup-v2.rst), translated from the words of version 1
 * that the OCI documents use. */
#include <math.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/paths.h"
#include "container/cgroup/cgroup_parts.h"

/* ---- Making ---- */

static bool has_word(const char *list, const char *word)
{
    size_t n = strlen(word);

    while (*(list += strspn(list, " \n"))) {
        size_t len = strcspn(list, " \n");

        if (len == n && !memcmp(list, word, n))
            return true;
        list += len;
    }
    return false;
}

/* For the groups below `dir`. What cannot be enabled is an error only for a limit that needs it,
 * which is told then. */
static int controllers_enable(const char *dir, struct err *e)
{
    static const char *const wanted[] = {"+cpu", "+cpuset", "+memory", "+pids", "+io"};
    autobuf there = BUF_INIT, enabled = BUF_INIT;
    struct err unused = ERR_INIT;

    TRY(cgroup_file_read(dir, "cgroup.controllers", &there, e));
    TRY(cgroup_file_read(dir, "cgroup.subtree_control", &enabled, e));
    for (size_t i = 0; i < ARRAY_SIZE(wanted); i++)
        if (has_word(buf_str(&there), wanted[i] + 1) && !has_word(buf_str(&enabled), wanted[i] + 1))
            (void)cgroup_file_write(dir, "cgroup.subtree_control", wanted[i], &unused);
    return 0;
}

int cgroup_v2_make(const struct cgroup_hierarchy *h, const char *dir, struct err *e)
{
    autofree char *above = xstrdup(h->mount);
    const char *rest = dir + strlen(h->mount);

    while (*(rest += strspn(rest, "/"))) {
        size_t len = strcspn(rest, "/");
        autofree char *name = xstrndup(rest, len), *next = path_join(above, name);

        TRY(controllers_enable(above, e));
        if (mkdir(next, 0755) < 0 && errno != EEXIST)
            return cgroup_file_error(-errno, "make the control group", next, "", e);
        free(above);
        above = take_ptr(next);
        rest += len;
    }
    return 0;
}

/* ---- Limits ---- */

/* A number of bytes or processes; none for what is below 0. */
static int amount_set(const struct cgroup *c, enum cgroup_controller k, const char *file,
                      int64_t value, struct err *e)
{
    return value < 0 ? cgroup_limit_set(c, k, file, "max", e)
                     : cgroup_limit_set_int(c, k, file, value, e);
}

/* The OCI's limit of swap is of memory and swap together. */
static int swap_set(const struct cgroup *c, const struct oci_resources *r, struct err *e)
{
    int64_t limit = r->has_memory_limit ? r->memory_limit : 0, swap = r->memory_swap;

    if (!r->has_memory_swap || !swap) {
        if (limit >= 0)
            return 0;
        swap = -1;
    }
    if (swap >= 0 && (limit <= 0 || swap < limit))
        return err_set(
            e, -EINVAL, "BadResources",
            "linux.resources.memory.swap is %lld, of memory and swap together, and needs "
            "a memory limit that is not larger",
            (long long)swap);
    swap = swap < 0 ? -1 : swap - limit;
    /* Without swap in the kernel, none is used and all that there is may be used. */
    if (swap <= 0 && !cgroup_limit_exists(c, CGROUP_MEMORY, "memory.swap.max"))
        return 0;
    return amount_set(c, CGROUP_MEMORY, "memory.swap.max", swap, e);
}

static int memory_limit(const struct cgroup *c, const struct oci_resources *r, struct err *e)
{
    TRY(swap_set(c, r, e));
    if (r->has_memory_limit && r->memory_limit)
        TRY(amount_set(c, CGROUP_MEMORY, "memory.max", r->memory_limit, e));
    if (r->has_memory_reservation && r->memory_reservation)
        TRY(amount_set(c, CGROUP_MEMORY, "memory.low", r->memory_reservation, e));
    return 0;
}

/* The curve of runc 1.4 and crun 1.23 through (2, 1), (1024, 100) and (262144, 10000), so that the
 * default of one is the default of the other. */
unsigned cgroup_v2_weight(int64_t shares)
{
    double l, weight;

    if (shares <= 2)
        return 1;
    if (shares >= 262144)
        return 10000;
    l = log2((double)shares);
    weight = ceil(pow(10, (l * l + 125 * l) / 612.0 - 7.0 / 34.0));
    return (unsigned)weight;
}

/* Quota and period share a file; what is not said stays as it is there. */
static int quota_set(const struct cgroup *c, const struct oci_resources *r, struct err *e)
{
    bool has_quota = r->has_cpu_quota_us && r->cpu_quota_us;
    bool has_period = r->has_cpu_period_us && r->cpu_period_us;
    const char *dir = cgroup_dir(c, CGROUP_CPU);
    char quota[24] = "max", text[64];
    long long period = 100000;

    if (!has_quota && !has_period)
        return 0;
    if (cgroup_limit_exists(c, CGROUP_CPU, "cpu.max")) {
        autobuf now = BUF_INIT;

        const char *space;

        TRY(cgroup_file_read(dir, "cpu.max", &now, e));
        space = strchr(buf_str(&now), ' '); /* "20000 100000", "max 100000" */
        if (space && (size_t)(space - now.data) < sizeof(quota)) {
            snprintf(quota, sizeof(quota), "%.*s", (int)(space - now.data), now.data);
            period = strtoll(space + 1, NULL, 10);
        }
    }
    if (has_quota && r->cpu_quota_us > 0)
        snprintf(quota, sizeof(quota), "%lld", (long long)r->cpu_quota_us);
    else if (has_quota)
        snprintf(quota, sizeof(quota), "max");
    if (has_period)
        period = (long long)r->cpu_period_us;
    snprintf(text, sizeof(text), "%s %lld", quota, period);
    return cgroup_limit_set(c, CGROUP_CPU, "cpu.max", text, e);
}

static int cpu_limit(const struct cgroup *c, const struct oci_resources *r, struct err *e)
{
    if (r->has_cpu_shares && r->cpu_shares)
        TRY(cgroup_limit_set_int(c, CGROUP_CPU, "cpu.weight", cgroup_v2_weight(r->cpu_shares), e));
    TRY(quota_set(c, r, e));
    if (r->cpuset_cpus && *r->cpuset_cpus)
        TRY(cgroup_limit_set(c, CGROUP_CPUSET, "cpuset.cpus", r->cpuset_cpus, e));
    if (r->cpuset_mems && *r->cpuset_mems)
        TRY(cgroup_limit_set(c, CGROUP_CPUSET, "cpuset.mems", r->cpuset_mems, e));
    return 0;
}

static int others_limit(const struct cgroup *c, const struct oci_resources *r, struct err *e)
{
    if (r->has_pids_limit && r->pids_limit > 0)
        TRY(cgroup_limit_set_int(c, CGROUP_PIDS, "pids.max", r->pids_limit, e));
    else if (r->has_pids_limit && cgroup_limit_exists(c, CGROUP_PIDS, "pids.max"))
        TRY(cgroup_limit_set(c, CGROUP_PIDS, "pids.max", "max", e));
    if (!r->has_blkio_weight || !r->blkio_weight)
        return 0;
    if (cgroup_limit_exists(c, CGROUP_BLKIO, "io.bfq.weight"))
        return cgroup_limit_set_int(c, CGROUP_BLKIO, "io.bfq.weight", r->blkio_weight, e);
    /* 10 to 1,000 there, 1 to 10,000 here. */
    return cgroup_limit_set_int(c, CGROUP_BLKIO, "io.weight",
                                1 + (r->blkio_weight - 10) * 9999 / 990, e);
}

/* ---- linux.resources.unified ---- */

static bool name_is_good(const char *name)
{
    const char *dot = strchr(name, '.');

    return dot && dot != name && dot[1] && !strchr(name, '/') && !strstr(name, "..");
}

static int unified_set(const struct cgroup *c, const struct json_pair *p, struct err *e)
{
    const char *dir = cgroup_dir(c, CGROUP_MEMORY), *rest = p->value;

    if (!name_is_good(p->name) || str_starts(p->name, "cgroup."))
        return err_set(e, -EINVAL, "BadResources",
                       "linux.resources.unified names '%s', which is no file of a controller; name "
                       "one such as 'memory.high'",
                       p->name);
    if (!cgroup_file_exists(dir, p->name))
        return err_set(e, -ENOENT, "CgroupControllerMissing",
                       "linux.resources.unified names '%s', which the control group '%s' does not "
                       "have; enable its controller in cgroup.subtree_control of the groups above",
                       p->name, c->path);
    /* Some files take a line for each device, and one line at a time. */
    do {
        size_t len = strcspn(rest, "\n");
        autofree char *line = xstrndup(rest, len);

        TRY(cgroup_file_write(dir, p->name, line, e));
        rest += len + (rest[len] == '\n');
    } while (*rest);
    return 0;
}

int cgroup_v2_limit(const struct cgroup *c, const struct oci_resources *r, struct err *e)
{
    TRY(memory_limit(c, r, e));
    TRY(cpu_limit(c, r, e));
    TRY(others_limit(c, r, e));
    for (size_t i = 0; i < r->unified.n; i++)
        TRY(unified_set(c, &r->unified.v[i], e));
    return 0;
}
