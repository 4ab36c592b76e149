/* SPDX-License-Identifier: Apache-2.0 */
/* With the control groups of this machine, of either version: as root, where they may be made. */
#include "unit.h"

#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "container/cgroup/cgroup_parts.h"

#define MIB        (1 << 20)
#define LIMIT_MIB  256 /* a child of an instrumented program takes tens of them */
#define TIMEOUT_MS 20000

static struct oci_resources limits = {
    .memory_limit = LIMIT_MIB * MIB,
    .has_memory_limit = true,
    .cpu_shares = 512,
    .has_cpu_shares = true,
    .cpu_quota_us = 50000,
    .has_cpu_quota_us = true,
    .cpu_period_us = 100000,
    .has_cpu_period_us = true,
    .pids_limit = 17,
    .has_pids_limit = true,
};

static char *parent;

static void group_of(const char *name, struct cgroup **ret)
{
    struct err e = ERR_INIT;
    autofree char *path = xasprintf("%s/%s", parent, name);

    assert_ok(cgroup_open(path, false, "unused", ret, &e));
}

static bool can_make(void)
{
    struct err e = ERR_INIT;
    struct oci_resources none = {0};
    AUTO(cgroup) c = NULL;

    if (geteuid() != 0 || cgroup_open(parent, false, "unused", &c, &e) < 0)
        return false;
    if (cgroup_create(c, &none, &e) < 0) {
        fprintf(stderr, "# %s\n", e.msg);
        return false;
    }
    return true;
}

static void needs_groups(void)
{
    if (!parent)
        skip();
}

static int begin(void **state)
{
    (void)state;
    parent = xasprintf("/wherry-unit-%d", (int)getpid());
    if (!can_make()) {
        free(parent);
        parent = NULL;
    }
    return 0;
}

/* Nothing may be left of what the tests made. */
static int end(void **state)
{
    struct err e = ERR_INIT;
    AUTO(cgroup) c = NULL;

    (void)state;
    if (!parent)
        return 0;
    if (cgroup_open(parent, false, "unused", &c, &e) < 0 || cgroup_delete(c, 1000, &e) < 0)
        fprintf(stderr, "# %s\n", e.msg);
    free(parent);
    return cgroup_exists(c);
}

/* ---- Children ---- */

struct child {
    pid_t pid;
    int go; /* closed: it goes on */
};

/* Enters the group and says so; waits, and then does `work`. */
static void child_start(const struct cgroup *c, void (*work)(void), struct child *ret)
{
    struct err e = ERR_INIT;
    struct cgroup_fds fds = CGROUP_FDS_INIT;
    int in[2], out[2];
    char byte;

    assert_ok(cgroup_fds_open(c, &fds, &e));
    assert_int_equal(pipe(in) | pipe(out), 0);
    ret->pid = fork();
    if (!ret->pid) {
        close(in[1]);
        if (cgroup_enter(&fds) < 0 || write(out[1], "x", 1) != 1)
            _exit(99);
        (void)!read(in[0], &byte, 1);
        work();
        _exit(0);
    }
    close(in[0]);
    close(out[1]);
    cgroup_fds_close(&fds);
    assert_int_equal(read(out[0], &byte, 1), 1);
    close(out[0]);
    ret->go = in[1];
}

static int child_end(struct child *ch)
{
    int status;

    close(ch->go);
    assert_int_equal(waitpid(ch->pid, &status, 0), ch->pid);
    return status;
}

static void nothing(void) {}

static void for_ever(void)
{
    for (;;)
        pause();
}

static void fork_for_ever(void)
{
    for (int i = 0; i < 3; i++)
        if (!fork())
            for_ever();
    for_ever();
}

static void allocate(size_t bytes)
{
    char *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (p != MAP_FAILED)
        memset(p, 1, bytes);
}

static void allocate_too_much(void)
{
    allocate(128 * MIB);
}

static void allocate_and_stay(void)
{
    allocate(8 * MIB);
    raise(SIGSTOP); /* tells the parent */
    for_ever();
}

static void created(const char *name, const struct oci_resources *r, struct cgroup **ret)
{
    struct err e = ERR_INIT;

    group_of(name, ret);
    assert_ok(cgroup_create(*ret, r, &e));
    assert_true(cgroup_exists(*ret));
}

static void deleted(struct cgroup *c)
{
    struct err e = ERR_INIT;

    assert_ok(cgroup_delete(c, 5000, &e));
    assert_false(cgroup_exists(c));
}

static void file_is(const struct cgroup *c, enum cgroup_controller k, const char *name,
                    const char *value)
{
    struct err e = ERR_INIT;
    autobuf text = BUF_INIT;

    assert_ok(cgroup_file_read(cgroup_dir(c, k), name, &text, &e));
    text.data[strcspn(text.data, "\n")] = 0;
    assert_string_equal(text.data, value);
}

/* ---- Limits ---- */

static void the_limits_of_the_document_are_in_force(void **state)
{
    AUTO(cgroup) c = NULL;
    struct cgroup_stats s;
    struct err e = ERR_INIT;

    (void)state;
    needs_groups();
    created("limits", &limits, &c);
    assert_ok(cgroup_stats_read(c, &s, &e));
    assert_int_equal(s.memory.limit_bytes, LIMIT_MIB * MIB);
    assert_int_equal(s.pids.limit, 17);
    if (cgroup_version(c) == 1) {
        file_is(c, CGROUP_CPU, "cpu.shares", "512");
        file_is(c, CGROUP_CPU, "cpu.cfs_quota_us", "50000");
        file_is(c, CGROUP_CPU, "cpu.cfs_period_us", "100000");
    } else {
        file_is(c, CGROUP_CPU, "cpu.max", "50000 100000");
    }
    deleted(c);
}

static void update_raises_and_lowers_memory_with_swap(void **state)
{
    static const int steps[] = {64, 16, 48, -1, 16};
    struct oci_resources r = {.has_memory_limit = true, .has_memory_swap = true};
    AUTO(cgroup) c = NULL;
    struct err e = ERR_INIT;

    (void)state;
    needs_groups();
    created("update", &limits, &c);
    if (!cgroup_limit_exists(c, CGROUP_MEMORY, "memory.memsw.limit_in_bytes") &&
        !cgroup_limit_exists(c, CGROUP_MEMORY, "memory.swap.max"))
        r.has_memory_swap = false;
    for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
        struct cgroup_stats s;

        r.memory_limit = r.memory_swap = steps[i] < 0 ? -1 : (int64_t)steps[i] * MIB;
        assert_ok(cgroup_update(c, &r, &e));
        assert_ok(cgroup_stats_read(c, &s, &e));
        assert_true(s.memory.limit_bytes ==
                    (steps[i] < 0 ? CGROUP_NO_LIMIT : (uint64_t)steps[i] * MIB));
        assert_int_equal(s.pids.limit, 17); /* what was not said stays */
    }
    deleted(c);
}

static void a_smaller_period_is_taken_with_its_quota(void **state)
{
    struct oci_resources r = {.cpu_quota_us = 5000,
                              .has_cpu_quota_us = true,
                              .cpu_period_us = 10000,
                              .has_cpu_period_us = true};
    AUTO(cgroup) c = NULL;
    struct err e = ERR_INIT;

    (void)state;
    needs_groups();
    created("period", &limits, &c);
    assert_ok(cgroup_update(c, &r, &e));
    r.cpu_quota_us = -1;
    assert_ok(cgroup_update(c, &r, &e));
    if (cgroup_version(c) == 1)
        file_is(c, CGROUP_CPU, "cpu.cfs_quota_us", "-1");
    else
        file_is(c, CGROUP_CPU, "cpu.max", "max 10000");
    deleted(c);
}

static void a_limit_that_the_kernel_refuses_leaves_no_group(void **state)
{
    struct oci_resources r = {.cpuset_cpus = "100000"};
    AUTO(cgroup) c = NULL;
    struct err e = ERR_INIT;

    (void)state;
    needs_groups();
    group_of("refused", &c);
    assert_true(cgroup_create(c, &r, &e) < 0);
    assert_string_equal(e.reason, "CgroupFailed");
    assert_contains(e.msg, "cpuset.cpus");
    assert_false(cgroup_exists(c));
}

/* In a mount namespace of its own; what it exits with is whether the message helps. */
static void create_read_only(void)
{
    const struct cgroup_host *h;
    AUTO(cgroup) c = NULL;
    struct err e = ERR_INIT;

    if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        cgroup_host_get(&h, &e) < 0)
        _exit(1);
    for (size_t i = 0; i < h->n; i++)
        if (mount(NULL, h->v[i].mount, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL) < 0)
            _exit(2);
    group_of("read-only", &c);
    if (cgroup_create(c, &limits, &e) != -EROFS)
        _exit(3);
    _exit(strstr(e.msg, "read-only") && strstr(e.msg, "remount") ? 0 : 4);
}

static void a_read_only_mount_is_said_with_what_to_do(void **state)
{
    int status;
    pid_t pid;

    (void)state;
    needs_groups();
    pid = fork();
    if (!pid)
        create_read_only();
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void a_group_with_processes_is_not_taken(void **state)
{
    AUTO(cgroup) c = NULL;
    AUTO(cgroup) other = NULL;
    struct err e = ERR_INIT;
    struct child ch;

    (void)state;
    needs_groups();
    created("taken", &limits, &c);
    child_start(c, nothing, &ch);
    group_of("taken", &other);
    assert_fails(cgroup_create(other, &limits, &e), -EBUSY, "CgroupBusy");
    assert_true(cgroup_exists(c)); /* and it is not removed either */
    assert_int_equal(child_end(&ch), 0);
    deleted(c);
}

/* ---- Processes ---- */

static void a_child_that_enters_is_listed_and_charged(void **state)
{
    AUTO(cgroup) c = NULL;
    AUTO(cgroup) of_child = NULL;
    struct err e = ERR_INIT;
    struct cgroup_stats s;
    autofree pid_t *pids = NULL;
    size_t n = 0;
    struct child ch;

    (void)state;
    needs_groups();
    created("charged", &limits, &c);
    child_start(c, allocate_and_stay, &ch);
    assert_ok(cgroup_pids(c, &pids, &n, &e));
    assert_int_equal(n, 1);
    assert_int_equal(pids[0], ch.pid);
    assert_ok(cgroup_open_pid(ch.pid, &of_child, &e));
    assert_string_equal(cgroup_path(of_child), cgroup_path(c));
    assert_fails(cgroup_delete(of_child, 0, &e), -EPERM, "CgroupFailed");
    close(ch.go);
    assert_int_equal(waitpid(ch.pid, NULL, WUNTRACED), ch.pid);
    assert_ok(cgroup_stats_read(of_child, &s, &e));
    assert_int_equal(s.pids.current, 1);
    assert_true(s.cpu.usage_us > 0);
    assert_true(s.memory.anon_bytes >= 4 * MIB);
    assert_true(s.memory.usage_bytes >= 4 * MIB && s.memory.usage_bytes <= LIMIT_MIB * MIB);
    assert_true(s.memory.inactive_file_bytes <= s.memory.usage_bytes);
    assert_true(s.memory.pgfault > 0);
    assert_ok(cgroup_kill_all(c, &e));
    assert_int_equal(waitpid(ch.pid, NULL, 0), ch.pid);
    deleted(c);
}

static void another_process_is_moved_by_its_id(void **state)
{
    AUTO(cgroup) c = NULL;
    AUTO(cgroup) to = NULL;
    struct err e = ERR_INIT;
    autofree pid_t *pids = NULL;
    size_t n = 0;
    struct child ch;

    (void)state;
    needs_groups();
    created("from", &limits, &c);
    created("to", &limits, &to);
    child_start(c, nothing, &ch);
    assert_ok(cgroup_attach(to, ch.pid, &e));
    assert_ok(cgroup_pids(to, &pids, &n, &e));
    assert_int_equal(n, 1);
    deleted(c);
    assert_int_equal(child_end(&ch), 0);
    deleted(to);
}

static void a_frozen_process_does_nothing_until_it_is_thawed(void **state)
{
    AUTO(cgroup) c = NULL;
    struct err e = ERR_INIT;
    struct child ch;
    int status;

    (void)state;
    needs_groups();
    created("frozen", &limits, &c);
    child_start(c, nothing, &ch);
    assert_ok(cgroup_freeze(c, &e));
    close(ch.go);
    /* It would end at once. */
    for (int i = 0; i < 50; i++)
        assert_int_equal(waitpid(ch.pid, &status, WNOHANG), 0);
    assert_ok(cgroup_thaw(c, &e));
    assert_int_equal(waitpid(ch.pid, &status, 0), ch.pid);
    assert_int_equal(status, 0);
    deleted(c);
}

static void all_are_killed_also_when_frozen_and_in_groups_below(void **state)
{
    AUTO(cgroup) c = NULL;
    AUTO(cgroup) below = NULL;
    struct oci_resources none = {0};
    struct err e = ERR_INIT;
    struct child one, other;
    int status;

    (void)state;
    needs_groups();
    created("killed", &limits, &c);
    if (cgroup_version(c) == 2) /* groups with processes cannot have limited ones below */
        skip();
    created("killed/below", &none, &below);
    child_start(c, fork_for_ever, &one);
    child_start(below, for_ever, &other);
    close(one.go);
    close(other.go);
    assert_ok(cgroup_freeze(c, &e));
    assert_ok(cgroup_kill_all(c, &e));
    assert_int_equal(waitpid(one.pid, &status, 0), one.pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    assert_int_equal(waitpid(other.pid, &status, 0), other.pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    deleted(c);
    assert_false(cgroup_exists(below));
}

static void a_group_whose_process_runs_is_not_deleted(void **state)
{
    AUTO(cgroup) c = NULL;
    struct err e = ERR_INIT;
    struct child ch;

    (void)state;
    needs_groups();
    created("busy", &limits, &c);
    child_start(c, for_ever, &ch);
    assert_fails(cgroup_delete(c, 10, &e), -EBUSY, "CgroupBusy");
    /* What was killed is waited for, reaped or not. */
    kill(ch.pid, SIGKILL);
    deleted(c);
    assert_true(WIFSIGNALED(child_end(&ch)));
    /* There is nothing to do any more, and that is no error. */
    assert_ok(cgroup_kill_all(c, &e));
    deleted(c);
}

/* ---- Out of memory ---- */

static void event_seen(void *ctx)
{
    loop_stop(ctx);
}

static void timed_out(void *ctx)
{
    (void)ctx;
    fail_msg("no event came");
}

static void a_child_over_its_limit_is_killed_told_and_counted(void **state)
{
    struct oci_resources r = {.memory_limit = 16 * MIB, .has_memory_limit = true};
    AUTO(cgroup) c = NULL;
    AUTO(loop) l = NULL;
    struct loop_timer *timer;
    struct cgroup_oom *o = NULL;
    struct err e = ERR_INIT;
    struct child ch;
    int status;

    (void)state;
    needs_groups();
    created("oom", &r, &c);
    assert_int_equal(cgroup_oom_kills(c), 0);
    r.has_memory_swap = true;
    r.memory_swap = r.memory_limit;
    if (cgroup_update(c, &r, &e) < 0) /* without swap there is nothing to limit */
        assert_string_equal(e.reason, "CgroupControllerMissing");
    assert_ok(loop_open(&l, &e));
    assert_ok(cgroup_oom_watch(c, l, event_seen, l, &o, &e));
    timer = loop_timer_new(l, timed_out, NULL);
    loop_timer_set(timer, clock_monotonic_ns() + TIMEOUT_MS * 1000000ull);
    child_start(c, allocate_too_much, &ch);
    close(ch.go);
    loop_run(l);
    assert_int_equal(waitpid(ch.pid, &status, 0), ch.pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    assert_true(cgroup_oom_kills(c) >= 1);
    cgroup_oom_free(o);
    loop_timer_free(timer);
    deleted(c);
}

static void a_group_that_is_removed_under_its_watch_tells_nothing(void **state)
{
    AUTO(cgroup) c = NULL;
    AUTO(loop) l = NULL;
    struct loop_timer *timer;
    struct cgroup_oom *o = NULL;
    struct err e = ERR_INIT;

    (void)state;
    needs_groups();
    created("removed", &limits, &c);
    assert_ok(loop_open(&l, &e));
    assert_ok(cgroup_oom_watch(c, l, timed_out, NULL, &o, &e));
    deleted(c);
    timer = loop_timer_new(l, event_seen, l);
    loop_timer_set(timer, clock_monotonic_ns() + 20 * 1000000ull);
    loop_run(l);
    cgroup_oom_free(o);
    loop_timer_free(timer);
    assert_int_equal(cgroup_oom_kills(c), 0);
}

static void none_is_freed_as_any(void **state)
{
    (void)state;
    cgroup_free(NULL);
}

static void figures_of_a_group_that_is_gone_are_an_error(void **state)
{
    AUTO(cgroup) c = NULL;
    struct cgroup_stats s;
    struct err e = ERR_INIT;

    (void)state;
    needs_groups();
    group_of("gone", &c);
    assert_fails(cgroup_stats_read(c, &s, &e), -ENOENT, "CgroupFailed");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_limits_of_the_document_are_in_force),
        cmocka_unit_test(update_raises_and_lowers_memory_with_swap),
        cmocka_unit_test(a_smaller_period_is_taken_with_its_quota),
        cmocka_unit_test(a_limit_that_the_kernel_refuses_leaves_no_group),
        cmocka_unit_test(a_read_only_mount_is_said_with_what_to_do),
        cmocka_unit_test(a_group_with_processes_is_not_taken),
        cmocka_unit_test(a_child_that_enters_is_listed_and_charged),
        cmocka_unit_test(another_process_is_moved_by_its_id),
        cmocka_unit_test(a_frozen_process_does_nothing_until_it_is_thawed),
        cmocka_unit_test(all_are_killed_also_when_frozen_and_in_groups_below),
        cmocka_unit_test(a_group_whose_process_runs_is_not_deleted),
        cmocka_unit_test(a_child_over_its_limit_is_killed_told_and_counted),
        cmocka_unit_test(a_group_that_is_removed_under_its_watch_tells_nothing),
        cmocka_unit_test(none_is_freed_as_any),
        cmocka_unit_test(figures_of_a_group_that_is_gone_are_an_error),
    };

    return cmocka_run_group_tests(tests, begin, end);
}
