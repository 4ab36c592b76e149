/* SPDX-License-Identifier: Apache-2.0 */
/* Pseudo-terminals: who has which end, and its size. */
#include "unit.h"

#include <fcntl.h>
#include <sys/ioctl.h>

#include "base/pty.h"

static void what_is_written_to_the_slave_comes_out_of_the_master(void **state)
{
    (void)state;
    autofd master = -EBADF, slave = -EBADF;
    char data[8] = "";
    assert_int_equal(pty_open(0, &master, &slave), 0);
    assert_true(isatty(slave));
    assert_int_equal(write(slave, "a\n", 2), 2);
    assert_int_equal(read(master, data, sizeof data), 3);
    assert_string_equal(data, "a\r\n");
}

static void the_slave_can_be_had_once_more_by_the_master(void **state)
{
    (void)state;
    autofd master = -EBADF, slave = -EBADF;
    char data[8] = "";
    assert_int_equal(pty_open(O_NONBLOCK, &master, &slave), 0);
    autofd again = pty_slave(master, 0);
    assert_true(again >= 0);
    assert_true(fcntl(slave, F_GETFL) & O_NONBLOCK);
    assert_false(fcntl(again, F_GETFL) & O_NONBLOCK);
    close(take_fd(&slave));
    assert_int_equal(write(again, "a", 1), 1);
    assert_int_equal(read(master, data, sizeof data), 1);
    close(take_fd(&again));
    assert_int_equal(read(master, data, sizeof data), -1);
    assert_int_equal(errno, EIO);
    assert_true(pty_slave(STDIN_FILENO, 0) < 0);
}

static void the_size_is_seen_by_the_slave(void **state)
{
    (void)state;
    autofd master = -EBADF, slave = -EBADF;
    struct winsize w;
    assert_int_equal(pty_open(0, &master, &slave), 0);
    pty_resize(master, 100, 30);
    assert_int_equal(ioctl(slave, TIOCGWINSZ, &w), 0);
    assert_int_equal(w.ws_col, 100);
    assert_int_equal(w.ws_row, 30);
}

static void nothing_is_inherited_and_no_terminal_controls(void **state)
{
    (void)state;
    autofd master = -EBADF, slave = -EBADF;
    assert_int_equal(pty_open(0, &master, &slave), 0);
    assert_int_equal(fcntl(master, F_GETFD), FD_CLOEXEC);
    assert_int_equal(fcntl(slave, F_GETFD), FD_CLOEXEC);
    assert_int_equal(ioctl(slave, TIOCGSID, &(pid_t){0}), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_to_the_slave_comes_out_of_the_master),
        cmocka_unit_test(the_slave_can_be_had_once_more_by_the_master),
        cmocka_unit_test(the_size_is_seen_by_the_slave),
        cmocka_unit_test(nothing_is_inherited_and_no_terminal_controls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
