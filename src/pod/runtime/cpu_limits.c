/* SPDX-License-Identifier: Apache-2.0 */
#include "pod/runtime/cpu_limits.h"

#include <sys/stat.h>

#include "base/clock.h"
#include "base/log.h"
#include "container/cpu_group.h"

/* A guest's thread leaves its group moments after its end was told; one that cannot be stopped
 * stays as long as its worker. */
#define RETRY_NS    UINT64_C(10000000)
#define RETRY_LIMIT 12 /* doublings: 41 s */

struct cpu_limits {
    struct loop *loop;
    struct cpu_groups *groups; /* NULL: the workers keep limits */
    bool is_cgroup_wanted;
    struct strv ended;        /* attempts whose groups are to go */
    struct removal *removal;  /* that runs; it frees all of this when it was closed meanwhile */
    struct loop_timer *timer; /* NULL: it is closed */
    unsigned retries;
};

struct removal {
    struct cpu_limits *limits;
    struct strv ids, left; /* left: threads are in it, or it cannot be removed */
};

static int groups_open(const char *state_dir, struct cpu_groups **ret, struct err *e)
{
    autofree char *owner = NULL;
    struct stat st;

    if (stat(state_dir, &st) < 0)
        return err_errno(e, -errno, "BadPath", "cannot look at the folder '%s'", state_dir);
    owner = xasprintf("%jx-%jx", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
    return cpu_groups_open(owner, ret, e);
}

static void limits_free(struct cpu_limits *c)
{
    if (c->groups)
        cpu_groups_free(c->groups);
    strv_done(&c->ended);
    free(c);
}

/* ---- Removal ---- */

static void removal_work(void *ctx)
{
    struct removal *r = ctx;

    for (size_t i = 0; i < r->ids.n; i++) {
        struct err ignored = ERR_INIT;

        if (cpu_group_remove(r->limits->groups, r->ids.v[i], &ignored) < 0)
            strv_add(&r->left, r->ids.v[i]);
    }
}

static void removal_done(void *ctx)
{
    struct removal *r = ctx;
    struct cpu_limits *c = r->limits;
    bool is_new = c->ended.n > 0; /* since this was begun */

    c->removal = NULL;
    strv_addv(&c->ended, r->left.v);
    strv_done(&r->ids);
    strv_done(&r->left);
    free(r);
    if (!c->timer) {
        limits_free(c);
    } else if (c->ended.n) {
        loop_timer_set(c->timer, clock_monotonic_ns() + (is_new ? 0 : RETRY_NS << c->retries));
        c->retries += c->retries < RETRY_LIMIT;
    }
}

static void removal_due(void *ctx)
{
    struct cpu_limits *c = ctx;

    if (c->removal)
        return;
    c->removal = xcalloc(1, sizeof(*c->removal));
    *c->removal = (struct removal){.limits = c, .ids = strv_take(&c->ended)};
    loop_work(c->loop, removal_work, removal_done, c->removal);
}

void cpu_limits_end(struct cpu_limits *c, const char *id)
{
    if (!c->groups)
        return;
    strv_add(&c->ended, id);
    c->retries = 0;
    loop_timer_set(c->timer, clock_monotonic_ns());
}

/* ---- Use ---- */

int cpu_limits_open(struct loop *l, enum cpu_limit_keeper keeper, const char *state_dir,
                    struct cpu_limits **ret, struct err *e)
{
    struct cpu_groups *groups = NULL;
    struct err why = ERR_INIT;
    struct cpu_limits *c;
    int r = keeper == CPU_LIMIT_WORKER ? 0 : groups_open(state_dir, &groups, &why);

    if (r < 0 && keeper == CPU_LIMIT_CGROUP) {
        *e = why;
        return r;
    }
    if (r < 0)
        log_info("workers keep the CPU limits of containers themselves: %s", why.msg);
    c = xcalloc(1, sizeof(*c));
    *c = (struct cpu_limits){
        .loop = l, .groups = groups, .is_cgroup_wanted = keeper == CPU_LIMIT_CGROUP};
    c->timer = loop_timer_new(l, removal_due, c);
    *ret = c;
    return 0;
}

void cpu_limits_close(struct cpu_limits *c)
{
    loop_timer_free(take_ptr(c->timer));
    if (!c->removal)
        limits_free(c);
}

/* The attempt that was refused, or never sent, may have its number again. */
static int end_cancel(struct cpu_limits *c, const char *id, struct err *e)
{
    autostrv ended = strv_take(&c->ended);

    for (size_t i = 0; i < ended.n; i++)
        if (!str_eq(ended.v[i], id))
            strv_add(&c->ended, ended.v[i]);
    if (c->removal && strv_contains(&c->removal->ids, id))
        return err_set(e, -EBUSY, "CpuGroupFailed",
                       "the control group of '%s' is just being removed", id);
    return 0;
}

int cpu_limits_use(struct cpu_limits *c, const char *id, struct guest_spec *spec, struct err *e)
{
    struct err why = ERR_INIT;
    int fd, r;

    if (!c->groups || !spec->cpu_milli)
        return 0;
    r = end_cancel(c, id, &why);
    if (r >= 0)
        r = cpu_group_make(c->groups, id, spec->cpu_milli, &fd, &why);
    if (r < 0) {
        cpu_limits_end(c, id); /* what was made of it */
        if (c->is_cgroup_wanted) {
            *e = why;
            return r;
        }
        log_warn("a worker keeps the CPU limit of a container itself: %s", why.msg);
        return 0;
    }
    spec->cpu_group_fd = fd;
    spec->cpu_milli = 0;
    return 0;
}

void cpu_limits_list(const struct cpu_limits *c, struct strv *ret)
{
    struct err ignored = ERR_INIT;

    if (c->groups)
        cpu_groups_list(c->groups, ret, &ignored);
}
