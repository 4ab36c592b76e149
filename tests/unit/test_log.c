/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "base/buf.h"
#include "base/fds.h"
#include "base/log.h"

/* What log_error() and log_info() write to standard error for `text`. */
static char *logged(const char *text)
{
    struct buf b = BUF_INIT;
    struct err e = ERR_INIT;
    int fds[2], saved = dup(STDERR_FILENO);

    assert_int_equal(pipe(fds), 0);
    dup2(fds[1], STDERR_FILENO);
    log_error("%s", text);
    log_info("not shown");
    dup2(saved, STDERR_FILENO);
    close(saved);
    close(fds[1]);
    assert_ok(fd_read_all(fds[0], 65536, &b, &e));
    close(fds[0]);
    return buf_take(&b);
}

static void test_line(void **state)
{
    autofree char *line = logged("cannot open 'x'");

    (void)state;
    assert_string_equal(line, "wherry: cannot open 'x'\n");
}

/* Names come from strangers: they must not drive the terminal. */
static void test_control_characters(void **state)
{
    autofree char *line = logged("a\033[2Jb\rc");

    (void)state;
    assert_string_equal(line, "wherry: a\\x1b[2Jb\\x0dc\n");
}

static void test_colour(void **state)
{
    (void)state;
    setenv("NO_COLOR", "1", 1);
    assert_false(log_has_colour(STDERR_FILENO));
    unsetenv("NO_COLOR");
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    assert_false(log_has_colour(fds[1]));
    close(fds[0]);
    close(fds[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_line),
        cmocka_unit_test(test_control_characters),
        cmocka_unit_test(test_colour),
    };
    return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
