/* SPDX-License-Identifier: Apache-2.0 */
/* The settings of what is kept. What they do is in tests/e2e/test_store.py. */
#include "unit.h"

#include "store/retain.h"

static void test_nothing_is_set(void **state)
{
    struct retain_options o;
    struct err e = ERR_INIT;

    (void)state;
    assert_ok(retain_parse(NULL, NULL, NULL, NULL, &o, &e));
    assert_int_equal(o.high, 0);
    assert_int_equal(o.max_age_ms, 0);
    assert_int_equal(o.min_age_ms, 120000);
}

static void test_marks(void **state)
{
    struct retain_options o;
    struct err e = ERR_INIT;

    (void)state;
    assert_ok(retain_parse("85%", NULL, "1h", "720h", &o, &e));
    assert_true(o.is_percent);
    assert_int_equal(o.high, 85);
    assert_int_equal(o.low, 80);
    assert_int_equal(o.min_age_ms, 3600000);
    assert_int_equal(o.max_age_ms, INT64_C(720) * 3600000);
    assert_ok(retain_parse("20Gi", NULL, NULL, NULL, &o, &e));
    assert_false(o.is_percent);
    assert_int_equal(o.high, INT64_C(20) << 30);
    assert_int_equal(o.low, INT64_C(18) << 30);
    assert_ok(retain_parse("3%", NULL, NULL, NULL, &o, &e));
    assert_int_equal(o.low, 0);
    assert_ok(retain_parse("100%", "100%", NULL, NULL, &o, &e));
    assert_int_equal(o.low, 100);
}

static void test_what_is_wrong_names_its_variable(void **state)
{
    static const struct {
        const char *high, *low, *min_age, *max_age, *said;
    } rows[] = {
        {"lots", NULL,   NULL, NULL, "WHERRY_GC_HIGH is 'lots'"},
        {"%",    NULL,   NULL, NULL, "WHERRY_GC_HIGH"          },
        {"101%", NULL,   NULL, NULL, "WHERRY_GC_HIGH"          },
        {"8.5%", NULL,   NULL, NULL, "WHERRY_GC_HIGH"          },
        {"-1%",  NULL,   NULL, NULL, "WHERRY_GC_HIGH"          },
        {"80%",  "90%",  NULL, NULL, "WHERRY_GC_LOW"           },
        {"80%",  "10Gi", NULL, NULL, "WHERRY_GC_LOW"           },
        {NULL,   "70%",  NULL, NULL, "WHERRY_GC_LOW"           },
        {NULL,   NULL,   "x",  NULL, "WHERRY_GC_MIN_AGE"       },
        {NULL,   NULL,   NULL, "",   "WHERRY_GC_MAX_AGE"       },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct retain_options o;
        struct err e = ERR_INIT;

        assert_int_equal(
            retain_parse(rows[i].high, rows[i].low, rows[i].min_age, rows[i].max_age, &o, &e),
            -EINVAL);
        assert_string_equal(e.reason, "BadSetting");
        assert_contains(e.msg, rows[i].said);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_is_set),
        cmocka_unit_test(test_marks),
        cmocka_unit_test(test_what_is_wrong_names_its_variable),
    };
    return cmocka_run_group_tests_name("retain", tests, NULL, NULL);
}
