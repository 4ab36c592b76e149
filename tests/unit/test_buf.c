/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "base/buf.h"
#include "base/strv.h"

static void test_grows_and_terminates(void **state)
{
    autobuf b = BUF_INIT;

    (void)state;
    assert_string_equal(buf_str(&b), "");
    for (int i = 0; i < 1000; i++)
        buf_addf(&b, "%d,", i);
    assert_int_equal(b.len, 10 * 2 + 90 * 3 + 900 * 4);
    assert_int_equal(strlen(b.data), b.len);
    assert_memory_equal(b.data, "0,1,2,", 6);
}

static void test_consume_and_take(void **state)
{
    autobuf b = BUF_INIT;
    char *text;

    (void)state;
    buf_addstr(&b, "hello world");
    buf_consume(&b, 6);
    assert_string_equal(b.data, "world");
    buf_consume(&b, 100);
    assert_int_equal(b.len, 0);
    buf_addc(&b, 'x');
    text = buf_take(&b);
    assert_string_equal(text, "x");
    assert_null(b.data);
    free(text);
    text = buf_take(&b);
    assert_string_equal(text, "");
    free(text);
}

static void test_reserve(void **state)
{
    autobuf b = BUF_INIT;

    (void)state;
    memcpy(buf_reserve(&b, 5), "abcde", 5);
    b.len += 5;
    buf_terminate(&b);
    assert_string_equal(b.data, "abcde");
}

static void test_strv(void **state)
{
    autostrv s = STRV_INIT;
    struct strv moved;

    (void)state;
    for (int i = 0; i < 100; i++) {
        strv_addf(&s, "%d", i);
        assert_null(s.v[s.n]);
    }
    strv_addn(&s, "abcdef", 3);
    assert_int_equal(s.n, 101);
    assert_string_equal(s.v[99], "99");
    assert_true(strv_contains(&s, "abc"));
    assert_false(strv_contains(&s, "abcdef"));
    moved = strv_take(&s);
    assert_int_equal(s.n, 0);
    assert_null(s.v);
    strv_addv(&s, moved.v);
    assert_int_equal(s.n, 101);
    strv_done(&moved);
    strv_addv(&s, NULL);
    assert_int_equal(s.n, 101);
}

static void test_variables(void **state)
{
    autostrv s = STRV_INIT;

    (void)state;
    strv_add(&s, "A=1");
    strv_add(&s, "AB=2");
    assert_null(strv_variable_find(&s, "B"));
    assert_ptr_equal(strv_variable_find(&s, "AB=x=y"), &s.v[1]);
    strv_variable_put(&s, xstrdup("AB="));
    strv_variable_put(&s, xstrdup("B=3"));
    assert_int_equal(s.n, 3);
    assert_string_equal(s.v[0], "A=1");
    assert_string_equal(s.v[1], "AB=");
    assert_string_equal(s.v[2], "B=3");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_grows_and_terminates),
        cmocka_unit_test(test_consume_and_take),
        cmocka_unit_test(test_reserve),
        cmocka_unit_test(test_strv),
        cmocka_unit_test(test_variables),
    };
    return cmocka_run_group_tests_name("buf", tests, NULL, NULL);
}
