/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include <signal.h>

#include "base/child.h"

static pid_t child_new(int status)
{
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0)
        _exit(status);
    return pid;
}

static void ends_are_told_as_a_shell_tells_them(void **state)
{
    pid_t pid;

    (void)state;
    assert_int_equal(child_wait_exit(child_new(7)), 7);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        for (;;)
            pause();
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(child_wait_exit(pid), 128 + SIGKILL);
}

static void a_child_that_is_not_there_leaves_the_status(void **state)
{
    int status = 42;
    pid_t pid = child_new(0);

    (void)state;
    assert_int_equal(child_wait(pid, NULL), 0);
    assert_int_equal(child_wait(pid, &status), -ECHILD);
    assert_int_equal(child_wait_exit(pid), -ECHILD);
    assert_int_equal(status, 42);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ends_are_told_as_a_shell_tells_them),
        cmocka_unit_test(a_child_that_is_not_there_leaves_the_status),
    };
    return cmocka_run_group_tests_name("child", tests, NULL, NULL);
}
