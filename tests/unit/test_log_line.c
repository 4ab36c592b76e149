/* SPDX-License-Identifier: Apache-2.0 */
/* Records of the CRI's log format. */
#include "unit.h"

#include "pod/logs/log_line.h"

static bool parse(const char *s, struct log_line *ret)
{
    return log_line_parse(s, strlen(s), ret);
}

static void a_record_is_taken_apart(void **state)
{
    struct log_line l;

    (void)state;
    assert_true(parse("2026-11-24T00:31:02.123456789Z stderr P  two  blanks ", &l));
    assert_true(text_eq(l.time, "2026-11-24T00:31:02.123456789Z"));
    assert_int_equal(l.time_ns, 1795480262123456789);
    assert_int_equal(l.stream, 2);
    assert_true(l.is_partial);
    assert_true(text_eq(l.text, " two  blanks "));
    assert_true(parse("2026-11-24T00:31:02Z stdout F ", &l));
    assert_int_equal(l.stream, 1);
    assert_false(l.is_partial);
    assert_int_equal(l.text.len, 0);
}

static void tags_after_the_first_are_passed_over(void **state)
{
    struct log_line l;

    (void)state;
    assert_true(parse("2026-11-24T00:31:02Z stdout P:x:y text", &l));
    assert_true(l.is_partial && text_eq(l.text, "text"));
}

#define TEN "xxxxxxxxxx"

static void what_is_no_record_is_refused(void **state)
{
    static const char *const bad[] = {
        "",
        " ",
        "\n",
        "text",
        "2026-11-24T00:31:02Z",
        "2026-11-24T00:31:02Z stdout",
        "2026-11-24T00:31:02Z stdout F",
        "2026-11-24T00:31:02Z stdout  text",
        "2026-11-24T00:31:02Z stdout X text",
        "2026-11-24T00:31:02Z stdout FP text",
        "2026-11-24T00:31:02Z stdin F text",
        "2026-11-24T00:31:02Z  F text",
        " 2026-11-24T00:31:02Z stdout F text",
        "2026-11-24 stdout F text",
        "2026-11-24T00:31:02Z stdout F:" TEN TEN TEN TEN TEN TEN " text",
    };
    struct log_line l = {.stream = 7};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        if (parse(bad[i], &l))
            fail_msg("'%s' is taken for a record", bad[i]);
    assert_int_equal(l.stream, 7);
}

static void bytes_of_any_kind_are_text(void **state)
{
    static const char record[] = "2026-11-24T00:31:02Z stdout F a\0b\xff\xfe\r";
    struct log_line l;

    (void)state;
    assert_true(log_line_parse(record, sizeof record - 1, &l));
    assert_int_equal(l.text.len, 6);
    assert_memory_equal(l.text.data, "a\0b\xff\xfe\r", 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_record_is_taken_apart),
        cmocka_unit_test(tags_after_the_first_are_passed_over),
        cmocka_unit_test(what_is_no_record_is_refused),
        cmocka_unit_test(bytes_of_any_kind_are_text),
    };
    return cmocka_run_group_tests_name("log_line", tests, NULL, NULL);
}
