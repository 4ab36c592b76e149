/* SPDX-License-Identifier: Apache-2.0 */
/* Records of the CRI's log format. */
#include "unit.h"

#include <time.h>

#include "base/clock.h"
#include "base/util.h"
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

static int64_t time_of(const char *s)
{
    int64_t ns = -1;

    return log_time_parse(s, strlen(s), &ns) ? ns : -1;
}

static void times_are_read_in_any_zone(void **state)
{
    (void)state;
    assert_int_equal(time_of("1970-01-01T00:00:00Z"), 0);
    assert_int_equal(time_of("1970-01-01T01:00:00+01:00"), 0);
    assert_int_equal(time_of("1969-12-31T23:00:00-01:00"), -1);
    assert_int_equal(time_of("1970-01-01T00:00:00.5-00:30"), 1800500000000);
    assert_int_equal(time_of("2000-02-29T12:00:00.000000001Z"), 951825600000000001);
    assert_int_equal(time_of("2100-03-01T00:00:00Z"), 4107542400000000000);
}

static void what_is_no_time_is_refused(void **state)
{
    static const char *const bad[] = {
        "",
        "2026-11-24T00:31:02",
        "2026-11-24t00:31:02Z",
        "2026-11-24T00:31:02.Z",
        "2026-11-24T00:31:02.1234567890Z",
        "2026-13-24T00:31:02Z",
        "2026-00-24T00:31:02Z",
        "2026-11-00T00:31:02Z",
        "2026-11-31T00:31:02Z",
        "2026-11-24T24:31:02Z",
        "2026-11-24T00:60:02Z",
        "2026-11-24T00:31:61Z",
        "2026-11-24T00:31:02z",
        "2026-11-24T00:31:02+1:00",
        "2026-11-24T00:31:02+24:00",
        "2026-11-24T00:31:02+01:00x",
        "9999-11-24T00:31:02Z",
        "+026-11-24T00:31:02Z",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        if (time_of(bad[i]) != -1)
            fail_msg("'%s' is taken for a time", bad[i]);
}

/* Against the C library, over 230 years in steps that meet every hour. */
static void every_day_is_where_the_calendar_has_it(void **state)
{
    (void)state;
    for (int64_t s = 0; s < 7258118400; s += 86400 - 3600 + 61) {
        char text[32];
        struct tm tm;
        time_t t = s;

        gmtime_r(&t, &tm);
        strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm);
        assert_int_equal(time_of(text), s * 1000000000);
    }
}

static void a_time_that_was_written_is_read_the_same(void **state)
{
    char text[CLOCK_RFC3339NANO_SIZE];
    int64_t now_ns = (int64_t)clock_realtime_ns();

    (void)state;
    clock_rfc3339nano_format((uint64_t)now_ns, text);
    assert_int_equal(time_of(text), now_ns);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_record_is_taken_apart),
        cmocka_unit_test(tags_after_the_first_are_passed_over),
        cmocka_unit_test(what_is_no_record_is_refused),
        cmocka_unit_test(bytes_of_any_kind_are_text),
        cmocka_unit_test(times_are_read_in_any_zone),
        cmocka_unit_test(what_is_no_time_is_refused),
        cmocka_unit_test(every_day_is_where_the_calendar_has_it),
        cmocka_unit_test(a_time_that_was_written_is_read_the_same),
    };
    return cmocka_run_group_tests_name("log_line", tests, NULL, NULL);
}
