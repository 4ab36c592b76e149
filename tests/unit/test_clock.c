/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "base/clock.h"
#include "base/util.h"

static void test_rfc3339(void **state)
{
    char text[CLOCK_RFC3339NANO_SIZE];

    (void)state;
    clock_rfc3339nano_format(1795480262123456789ULL, text);
    assert_string_equal(text, "2026-11-24T00:31:02.123456789Z");
    clock_rfc3339nano_format(1795480262000000007ULL, text);
    assert_string_equal(text, "2026-11-24T00:31:02.000000007Z");
    clock_rfc3339nano_format(0, text);
    assert_string_equal(text, "1970-01-01T00:00:00.000000000Z");
}

static void test_durations(void **state)
{
    static const struct {
        const char *text;
        int64_t ms;
    } good[] = {
        {"90",          90000  },
        {"0",           0      },
        {"1.5s",        1500   },
        {"250ms",       250    },
        {"2m",          120000 },
        {"1h30m",       5400000},
        {"1h0m1s500ms", 3601500},
        {"0.5",         500    },
        {"100us",       1      },
        {"1ns",         1      },
        {".5s",         500    },
        {"0.0001s",     1      },
        {"1500us",      1      },
    };
    static const char *const bad[] = {"",    "s",   "-1",  "1x",    "1h30", "1m1h", "1s1s",
                                      "1 s", "1s ", "abc", "1.2.3", "+1",   " 1",   "1e3"};
    struct err e = ERR_INIT;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        int64_t ms = -1;

        assert_ok(duration_ms_parse(good[i].text, &ms, &e));
        assert_int_equal(ms, good[i].ms);
    }
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        int64_t ms = -7;

        assert_fails(duration_ms_parse(bad[i], &ms, &e), -EINVAL, "BadDuration");
        assert_int_equal(ms, -7);
    }
    int64_t ms;
    assert_fails(duration_ms_parse("99999999999999999999h", &ms, &e), -ERANGE, "BadDuration");
    assert_fails(duration_ms_parse("9999999999999999h", &ms, &e), -ERANGE, "BadDuration");
}

static void test_duration_round_trip(void **state)
{
    static const int64_t values[] = {0,     1,     999,     1000,    1001,    1500,    59999,
                                     60000, 61000, 3600000, 3661001, 5400000, 86400000};
    struct err e = ERR_INIT;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
        char text[DURATION_SIZE];
        int64_t back = -1;

        duration_ms_format(values[i], text);
        assert_ok(duration_ms_parse(text, &back, &e));
        assert_int_equal(back, values[i]);
    }
}

static void test_sizes(void **state)
{
    static const struct {
        const char *text;
        int64_t bytes;
    } good[] = {
        {"65536",               65536     },
        {"64M",                 64000000  },
        {"64Mi",                64 << 20  },
        {"64m",                 64 << 20  },
        {"1G",                  1000000000},
        {"1g",                  1 << 30   },
        {"1.5Gi",               3 << 29   },
        {"0",                   0         },
        {"10kb",                10240     },
        {"1b",                  1         },
        {"1K",                  1000      },
        {"4Gi",                 1LL << 32 },
        {"7Ei",                 7LL << 60 },
        {"64MiB",               64 << 20  },
        {"0.5k",                512       },
        {"9223372036854775807", INT64_MAX },
    };
    static const char *const bad[] = {"", "M", "-1", "1X", "1 M", "0.3", "1.5", "Mi", "1MM", "1e3"};
    struct err e = ERR_INIT;
    int64_t bytes = -7;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        assert_fails(size_bytes_parse(bad[i], &bytes, &e), -EINVAL, "BadSize");
        assert_int_equal(bytes, -7);
    }
    assert_fails(size_bytes_parse("8Ei", &bytes, &e), -ERANGE, "BadSize");
    assert_fails(size_bytes_parse("99999999999999999999", &bytes, &e), -ERANGE, "BadSize");
    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        assert_ok(size_bytes_parse(good[i].text, &bytes, &e));
        assert_int_equal(bytes, good[i].bytes);
    }
}

static void test_size_text(void **state)
{
    char text[SIZE_TEXT_SIZE];

    (void)state;
    size_bytes_format(100, text);
    assert_string_equal(text, "100 B");
    size_bytes_format(3ULL << 29, text);
    assert_string_equal(text, "1.5 GiB");
    size_bytes_format(64 << 20, text);
    assert_string_equal(text, "64 MiB");
    size_bytes_format(UINT64_MAX, text);
    assert_string_equal(text, "15.9 EiB");
}

static void test_file_times(void **state)
{
    (void)state;
    assert_int_equal(clock_timespec_ns((struct timespec){2, 5}), 2000000005);
    assert_int_equal(clock_timespec_ns((struct timespec){-1, 5}), -999999995);
    assert_int_equal(clock_timespec_ns((struct timespec){INT64_C(11019109252), 5}), INT64_MAX);
    assert_int_equal(clock_timespec_ns((struct timespec){INT64_C(-11019109252), 5}), INT64_MIN);
    assert_int_equal(clock_timespec_ns((struct timespec){INT64_MAX / 1000000000, 999999999}),
                     INT64_MAX);
}

static int64_t time_of(const char *s)
{
    int64_t ns = -1;

    return clock_rfc3339_parse(s, strlen(s), &ns) ? ns : -1;
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
        cmocka_unit_test(test_rfc3339),
        cmocka_unit_test(times_are_read_in_any_zone),
        cmocka_unit_test(what_is_no_time_is_refused),
        cmocka_unit_test(every_day_is_where_the_calendar_has_it),
        cmocka_unit_test(a_time_that_was_written_is_read_the_same),
        cmocka_unit_test(test_durations),
        cmocka_unit_test(test_duration_round_trip),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_size_text),
        cmocka_unit_test(test_file_times),
    };
    return cmocka_run_group_tests_name("clock", tests, NULL, NULL);
}
