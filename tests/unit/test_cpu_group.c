/* SPDX-License-Identifier: Apache-2.0 */
/* With the control groups of this machine: as root, where they may be made. */
#include "unit.h"

#include <stdio.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/fds.h"
#include "container/cpu_group.h"

static struct cpu_groups *groups;

static int open_groups(void **state)
{
    struct err e = ERR_INIT;

    (void)state;
    if (cpu_groups_open("test", &groups, &e) < 0) {
        assert_string_equal(e.reason, "NoCpuGroups");
        fprintf(stderr, "# %s\n", e.msg);
    }
    return 0;
}

static int close_groups(void **state)
{
    (void)state;
    if (groups)
        cpu_groups_free(groups);
    return 0;
}

static void needs_groups(void)
{
    if (!groups)
        skip();
}

static char *id_make(void)
{
    return xasprintf("test-%d", (int)getpid());
}

static void a_thread_enters_a_group_that_can_be_removed_when_it_has_gone(void **state)
{
    autofree char *id = id_make();
    struct err e = ERR_INIT;
    autostrv list = STRV_INIT;
    int pipe_fds[2], fd, status;
    pid_t child;

    (void)state;
    needs_groups();
    assert_ok(cpu_group_make(groups, id, 250, &fd, &e));
    assert_int_equal(pipe(pipe_fds), 0);
    child = fork();
    if (!child) {
        char c;

        close(pipe_fds[1]);
        _exit(write(fd, "0", 1) == 1 && read(pipe_fds[0], &c, 1) == 0 ? 0 : 1);
    }
    close(pipe_fds[0]);
    close(fd);
    /* Made again while it is used: another limit for the same group. */
    assert_ok(cpu_group_make(groups, id, 500, &fd, &e));
    close(fd);
    assert_ok(cpu_groups_list(groups, &list, &e));
    assert_true(strv_contains(&list, id));
    close(pipe_fds[1]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_ok(cpu_group_remove(groups, id, &e));
    strv_done(&list);
    list = STRV_INIT;
    assert_ok(cpu_groups_list(groups, &list, &e));
    assert_false(strv_contains(&list, id));
}

static void a_group_in_use_is_not_removed(void **state)
{
    autofree char *id = id_make();
    struct err e = ERR_INIT;
    int ready[2], end[2], fd, status;
    char c;
    pid_t child;

    (void)state;
    needs_groups();
    assert_ok(cpu_group_make(groups, id, 1000, &fd, &e));
    assert_int_equal(pipe(ready), 0);
    assert_int_equal(pipe(end), 0);
    child = fork();
    if (!child) {
        close(end[1]);
        if (write(fd, "0", 1) != 1 || write(ready[1], "x", 1) != 1 || read(end[0], &c, 1) != 0)
            _exit(1);
        _exit(0);
    }
    close(fd);
    close(end[0]);
    assert_int_equal(read(ready[0], &c, 1), 1);
    assert_fails(cpu_group_remove(groups, id, &e), -EBUSY, "CpuGroupFailed");
    close(end[1]);
    close(ready[0]);
    close(ready[1]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    e = ERR_INIT;
    assert_ok(cpu_group_remove(groups, id, &e));
}

static void one_that_is_not_there_needs_no_removal(void **state)
{
    struct err e = ERR_INIT;

    (void)state;
    needs_groups();
    assert_ok(cpu_group_remove(groups, "never-made", &e));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_thread_enters_a_group_that_can_be_removed_when_it_has_gone),
        cmocka_unit_test(a_group_in_use_is_not_removed),
        cmocka_unit_test(one_that_is_not_there_needs_no_removal),
    };

    return cmocka_run_group_tests(tests, open_groups, close_groups);
}
