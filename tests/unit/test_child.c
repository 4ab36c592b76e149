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

/* `out` stays open until the grandchild has ended. */
static _Noreturn void child_with_grandchild(int out)
{
    pid_t self = getpid(), pid = fork();

    if (pid == 0) {
        bool is_bound = child_end_with(self, SIGKILL);

        if (write(out, &is_bound, sizeof(is_bound)) == sizeof(is_bound))
            for (;;)
                pause();
    }
    pause(); /* to be killed */
    _exit(1);
}

static void a_child_ends_with_its_parent(void **state)
{
    bool is_bound = false;
    int fds[2];
    pid_t pid;

    (void)state;
    assert_int_equal(pipe(fds), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        close(fds[0]);
        child_with_grandchild(fds[1]);
    }
    close(fds[1]);
    assert_int_equal(read(fds[0], &is_bound, sizeof(is_bound)), sizeof(is_bound));
    assert_true(is_bound);
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(child_wait(pid, NULL), 0);
    assert_int_equal(read(fds[0], &is_bound, 1), 0); /* the grandchild has gone too */
    close(fds[0]);
}

static void a_child_of_another_is_told(void **state)
{
    pid_t other = getppid(), pid = fork();

    (void)state;
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(child_end_with(other, SIGKILL));
    assert_int_equal(child_wait_exit(pid), false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ends_are_told_as_a_shell_tells_them),
        cmocka_unit_test(a_child_that_is_not_there_leaves_the_status),
        cmocka_unit_test(a_child_ends_with_its_parent),
        cmocka_unit_test(a_child_of_another_is_told),
    };
    return cmocka_run_group_tests_name("child", tests, NULL, NULL);
}
