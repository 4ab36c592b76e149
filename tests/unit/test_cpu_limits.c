/* SPDX-License-Identifier: Apache-2.0 */
/* With the control groups of this machine: as root, where they may be made. */
#include "unit.h"

#include <stdlib.h>
#include <sys/wait.h>

#include "base/fds.h"
#include "pod/runtime/cpu_limits.h"

#define ID "1234-app-1"

static char folder[] = "/tmp/wherry-cpu-limits-XXXXXX";
static struct loop *loop;

static struct cpu_limits *limits_open(enum cpu_limit_keeper keeper)
{
    struct cpu_limits *c = NULL;
    struct err e = ERR_INIT;

    if (cpu_limits_open(loop, keeper, folder, &c, &e) < 0) {
        assert_string_equal(e.reason, "NoCpuGroups");
        skip();
    }
    return c;
}

static bool has_group(const struct cpu_limits *c)
{
    autostrv ids = STRV_INIT;

    cpu_limits_list(c, &ids);
    return strv_contains(&ids, ID);
}

static int64_t use(struct cpu_limits *c, int64_t milli, int64_t *ret_milli)
{
    struct guest_spec s;
    struct err e = ERR_INIT;
    int64_t fd;

    guest_spec_init(&s);
    s.cpu_milli = milli;
    assert_ok(cpu_limits_use(c, ID, &s, &e));
    fd = s.cpu_group_fd;
    *ret_milli = s.cpu_milli;
    guest_spec_done(&s);
    return fd;
}

static void without_groups_the_worker_is_told_the_limit(void **state)
{
    struct cpu_limits *c = limits_open(CPU_LIMIT_WORKER);
    int64_t milli;

    (void)state;
    assert_int_equal(use(c, 250, &milli), -1);
    assert_int_equal(milli, 250);
    assert_false(has_group(c));
    cpu_limits_end(c, ID);
    cpu_limits_close(c);
}

static void a_guest_without_a_limit_gets_no_group(void **state)
{
    struct cpu_limits *c = limits_open(CPU_LIMIT_CGROUP);
    int64_t milli;

    (void)state;
    assert_int_equal(use(c, 0, &milli), -1);
    assert_false(has_group(c));
    cpu_limits_close(c);
}

static void the_group_of_a_guest_that_has_ended_is_removed(void **state)
{
    struct cpu_limits *c = limits_open(CPU_LIMIT_CGROUP);
    int64_t milli, fd = use(c, 250, &milli);

    (void)state;
    assert_true(fd >= 0);
    close((int)fd);
    assert_int_equal(milli, 0); /* not by both */
    assert_true(has_group(c));
    cpu_limits_end(c, ID);
    loop_run(loop);
    assert_false(has_group(c));
    cpu_limits_close(c);
}

static void a_group_that_is_used_again_stays(void **state)
{
    struct cpu_limits *c = limits_open(CPU_LIMIT_CGROUP);
    int64_t milli;

    (void)state;
    close((int)use(c, 250, &milli));
    cpu_limits_end(c, ID);
    close((int)use(c, 500, &milli));
    loop_run(loop);
    assert_true(has_group(c));
    cpu_limits_end(c, ID);
    loop_run(loop);
    cpu_limits_close(c);
}

static void a_group_goes_when_its_last_thread_has_left_it(void **state)
{
    struct cpu_limits *c = limits_open(CPU_LIMIT_CGROUP);
    int64_t milli, fd = use(c, 250, &milli);
    int ready[2], status;
    char byte;
    pid_t child;

    (void)state;
    assert_int_equal(pipe(ready), 0);
    child = fork();
    if (!child) {
        if (write((int)fd, "0", 1) != 1 || write(ready[1], "x", 1) != 1)
            _exit(1);
        usleep(100000); /* the first tries come before its end */
        _exit(0);
    }
    close((int)fd);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    cpu_limits_end(c, ID);
    loop_run(loop);
    assert_false(has_group(c));
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    close(ready[0]);
    close(ready[1]);
    cpu_limits_close(c);
}

static void groups_of_another_supervisor_are_not_seen(void **state)
{
    char other[] = "/tmp/wherry-cpu-limits-XXXXXX";
    struct cpu_limits *mine = limits_open(CPU_LIMIT_CGROUP), *others = NULL;
    struct err e = ERR_INIT;
    int64_t milli;

    (void)state;
    assert_non_null(mkdtemp(other));
    assert_ok(cpu_limits_open(loop, CPU_LIMIT_CGROUP, other, &others, &e));
    close((int)use(mine, 250, &milli));
    assert_true(has_group(mine));
    assert_false(has_group(others));
    cpu_limits_end(others, ID);
    loop_run(loop);
    assert_true(has_group(mine));
    cpu_limits_end(mine, ID);
    loop_run(loop);
    cpu_limits_close(others);
    cpu_limits_close(mine);
    rmdir(other);
}

static int prepare(void **state)
{
    struct err e = ERR_INIT;

    (void)state;
    return mkdtemp(folder) && loop_open(&loop, &e) >= 0 ? 0 : -1;
}

static int clean(void **state)
{
    (void)state;
    loop_free(loop);
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_groups_the_worker_is_told_the_limit),
        cmocka_unit_test(a_guest_without_a_limit_gets_no_group),
        cmocka_unit_test(the_group_of_a_guest_that_has_ended_is_removed),
        cmocka_unit_test(a_group_that_is_used_again_stays),
        cmocka_unit_test(a_group_goes_when_its_last_thread_has_left_it),
        cmocka_unit_test(groups_of_another_supervisor_are_not_seen),
    };

    return cmocka_run_group_tests(tests, prepare, clean);
}
