/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "base/util.h"
#include "pod/machine/backoff.h"

#define SECOND 1000000000ull

static void
a_failure_waits_ten_seconds_and_each_further_one_twice_as_long_up_to_five_minutes(void **state)
{
    static const uint64_t seconds[] = {10, 20, 40, 80, 160, 300, 300, 300};
    struct backoff b = {0};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(seconds); i++)
        assert_int_equal(backoff_failed(&b), seconds[i] * SECOND);
    backoff_reset(&b);
    assert_int_equal(backoff_failed(&b), 10 * SECOND);
}

static void the_first_end_waits_for_nothing_and_the_second_ten_seconds(void **state)
{
    static const uint64_t seconds[] = {0, 10, 20, 40, 80, 160, 300, 300};
    struct backoff b = {0};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(seconds); i++)
        assert_int_equal(backoff_ended(&b, 599 * SECOND), seconds[i] * SECOND);
}

static void ten_minutes_of_running_forget_what_failed_before(void **state)
{
    struct backoff b = {7};

    (void)state;
    assert_int_equal(backoff_ended(&b, 600 * SECOND), 0);
    assert_int_equal(backoff_ended(&b, 0), 10 * SECOND);
}

static void failures_without_end_stay_in_range(void **state)
{
    struct backoff b = {BACKOFF_COUNT_LIMIT - 1};

    (void)state;
    for (int i = 0; i < 3; i++)
        assert_int_equal(backoff_failed(&b), 300 * SECOND);
    assert_int_equal(b.failures, BACKOFF_COUNT_LIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            a_failure_waits_ten_seconds_and_each_further_one_twice_as_long_up_to_five_minutes),
        cmocka_unit_test(the_first_end_waits_for_nothing_and_the_second_ten_seconds),
        cmocka_unit_test(ten_minutes_of_running_forget_what_failed_before),
        cmocka_unit_test(failures_without_end_stay_in_range),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
