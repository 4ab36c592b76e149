/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "base/util.h"

static int fails(struct err *e)
{
    TRY(err_set(e, -EFBIG, "TooLarge", "%s is %d bytes", "x", 7));
    return 0;
}

static void test_set_and_prefix(void **state)
{
    struct err e = ERR_INIT;

    (void)state;
    assert_fails(fails(&e), -EFBIG, "TooLarge");
    assert_string_equal(e.msg, "x is 7 bytes");
    assert_int_equal(err_prefix(&e, "'%s'", "file"), -EFBIG);
    assert_string_equal(e.msg, "'file': x is 7 bytes");
}

static void test_errno_text(void **state)
{
    struct err e = ERR_INIT;

    (void)state;
    err_errno(&e, -ENOENT, "NotFound", "cannot open '%s'", "f");
    assert_string_equal(e.msg, "cannot open 'f': No such file or directory");
    err_errno(&e, -123456, "Odd", "x");
    assert_string_equal(e.msg, "x: error 123456");
}

static void test_long_messages_are_cut(void **state)
{
    struct err e = ERR_INIT;
    char text[1000];

    (void)state;
    memset(text, 'a', sizeof(text) - 1);
    text[sizeof(text) - 1] = 0;
    err_errno(&e, -EIO, "Long", "%s", text);
    assert_int_equal(strlen(e.msg), sizeof(e.msg) - 1);
    err_prefix(&e, "p");
    assert_int_equal(strlen(e.msg), sizeof(e.msg) - 1);
    assert_memory_equal(e.msg, "p: aaa", 6);
    err_prefix(&e, "%s", text);
    assert_int_equal(strlen(e.msg), sizeof(e.msg) - 1);
}

static void test_what_several_said(void **state)
{
    struct err e = ERR_INIT, one = ERR_INIT, other = ERR_INIT;

    (void)state;
    err_set(&one, -EIO, "One", "one");
    err_set(&other, -EINVAL, "Other", "other");
    assert_int_equal(err_join(&e, &one), -EIO);
    assert_string_equal(e.msg, "one");
    assert_int_equal(err_join(&e, &other), -EIO);
    assert_string_equal(e.reason, "One");
    assert_string_equal(e.msg, "one; other");
    /* Something of each. */
    memset(one.msg, 'a', sizeof(one.msg) - 1);
    memset(other.msg, 'b', sizeof(other.msg) - 1);
    e = ERR_INIT;
    err_join(&e, &one);
    err_join(&e, &other);
    assert_int_equal(strlen(e.msg), sizeof(e.msg) - 1);
    assert_contains(e.msg, "aaa; bbb");
}

static int closed_fd(void)
{
    autofd fd = dup(STDERR_FILENO);

    assert_true(fd >= 0);
    return fd;
}

static void test_ownership(void **state)
{
    autofree char *text = xstrdup("a");
    autofree char *moved = take_ptr(text);
    int fd = closed_fd();

    (void)state;
    assert_null(text);
    assert_string_equal(moved, "a");
    assert_int_equal(write(fd, "", 0), -1);
    assert_int_equal(errno, EBADF);
    fd = 5;
    assert_int_equal(take_fd(&fd), 5);
    assert_true(fd < 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_set_and_prefix),
        cmocka_unit_test(test_errno_text),
        cmocka_unit_test(test_long_messages_are_cut),
        cmocka_unit_test(test_what_several_said),
        cmocka_unit_test(test_ownership),
    };
    return cmocka_run_group_tests_name("err", tests, NULL, NULL);
}
