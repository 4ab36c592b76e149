/* SPDX-License-Identifier: Apache-2.0 */
/* Amounts of CPU, memory and storage. */
#include "unit.h"

#include "base/util.h"
#include "manifest/quantity.h"

static void amounts_are_what_kubernetes_means(void **state)
{
    static const struct {
        const char *text;
        int64_t scale, value;
    } rows[] = {
        {"0",         1,    0                  },
        {"100m",      1000, 100                },
        {"1.5",       1000, 1500               },
        {".5",        1000, 500                },
        {"2.",        1000, 2000               },
        {"+2",        1000, 2000               },
        {"64Mi",      1,    64 << 20           },
        {"1.5Gi",     1,    (3ll << 30) / 2    },
        {"1e3",       1,    1000               },
        {"1E3",       1,    1000               },
        {"1E",        1,    1000000000000000000},
        {"128974848", 1,    128974848          },
        {"129e6",     1,    129000000          },
        {"129M",      1,    129000000          },
        {"1k",        1,    1000               },
        {"12e-1",     1000, 1200               },
 /* What is less than a unit is rounded up, so that it is never none. */
        {"1m",        1,    1                  },
        {"1n",        1000, 1                  },
        {"1001m",     1,    2                  },
        {"7Ei",       1,    7ll << 60          },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct err e = ERR_INIT;
        int64_t value = -1;

        assert_ok(quantity_parse(rows[i].text, rows[i].scale, &value, &e));
        assert_int_equal(value, rows[i].value);
    }
}

static void what_is_no_amount_is_refused_and_sets_nothing(void **state)
{
    static const struct {
        const char *text;
        int code;
    } rows[] = {
        {"",                       -EINVAL},
        {"Mi",                     -EINVAL},
        {"64mi",                   -EINVAL},
        {"64MB",                   -EINVAL},
        {"1 Gi",                   -EINVAL},
        {" 1",                     -EINVAL},
        {"1.2.3",                  -EINVAL},
        {".",                      -EINVAL},
        {"1e",                     -EINVAL},
        {"1e 3",                   -EINVAL},
        {"1e99",                   -EINVAL},
        {"0x10",                   -EINVAL},
        {"-1",                     -ERANGE},
        {"8Ei",                    -ERANGE},
        {"10E",                    -ERANGE},
        {"9223372036854775808",    -ERANGE},
        {"123456789012345678901",  -EINVAL},
        {"99999999999999999999Ei", -ERANGE},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct err e = ERR_INIT;
        int64_t value = -7;

        assert_fails(quantity_parse(rows[i].text, 1, &value, &e), rows[i].code, "BadQuantity");
        assert_int_equal(value, -7);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(amounts_are_what_kubernetes_means),
        cmocka_unit_test(what_is_no_amount_is_refused_and_sets_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
