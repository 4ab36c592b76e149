/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include <math.h>

#include "base/prometheus.h"

static void test_family_and_samples(void **state)
{
    const struct prometheus_label labels[] = {
        {"app",  "shop"},
        {"status",      "200"},
        {0}
    };
    autobuf out = BUF_INIT;

    (void)state;
    prometheus_family(&out, "wherry_requests_total", PROMETHEUS_COUNTER, "Answered requests.");
    prometheus_uint(&out, "wherry_requests_total", labels, UINT64_MAX);
    prometheus_family(&out, "wherry_queue", PROMETHEUS_GAUGE, "Waiting.");
    prometheus_double(&out, "wherry_queue", NULL, 0.5);
    assert_string_equal(out.data,
                        "# HELP wherry_requests_total Answered requests.\n"
                        "# TYPE wherry_requests_total counter\n"
                        "wherry_requests_total{app=\"shop\",status=\"200\"} 18446744073709551615\n"
                        "# HELP wherry_queue Waiting.\n"
                        "# TYPE wherry_queue gauge\n"
                        "wherry_queue 0.5\n");
}

static void test_texts_are_escaped(void **state)
{
    const struct prometheus_label labels[] = {
        {"a",     "quote\" back\\slash new\nline"},
        {"b",       "\xff"},
        {"c",""},
        {0    }
    };
    autobuf out = BUF_INIT;

    (void)state;
    prometheus_family(&out, "x", PROMETHEUS_GAUGE, "one\\two\n\"three\"");
    prometheus_uint(&out, "x", labels, 1);
    assert_string_equal(
        out.data, "# HELP x one\\\\two\\n\"three\"\n# TYPE x gauge\n"
                  "x{a=\"quote\\\" back\\\\slash new\\nline\",b=\"\xef\xbf\xbd\",c=\"\"} 1\n");
}

static void test_histogram(void **state)
{
    static const double bounds[] = {0.005, 0.1, 2.5};
    static const uint64_t counts[] = {3, 0, 4, 1};
    const struct prometheus_histogram h = {bounds, counts, 3, 17.25};
    const struct prometheus_label labels[] = {
        {"app", "a"},
        {0    }
    };
    autobuf out = BUF_INIT;

    (void)state;
    prometheus_family(&out, "t", PROMETHEUS_HISTOGRAM, "Time.");
    prometheus_histogram(&out, "t", labels, &h);
    assert_string_equal(out.data, "# HELP t Time.\n# TYPE t histogram\n"
                                  "t_bucket{app=\"a\",le=\"0.005\"} 3\n"
                                  "t_bucket{app=\"a\",le=\"0.1\"} 3\n"
                                  "t_bucket{app=\"a\",le=\"2.5\"} 7\n"
                                  "t_bucket{app=\"a\",le=\"+Inf\"} 8\n"
                                  "t_sum{app=\"a\"} 17.25\n"
                                  "t_count{app=\"a\"} 8\n");
}

static void test_histogram_without_labels_or_bounds(void **state)
{
    static const uint64_t counts[] = {2};
    const struct prometheus_histogram h = {NULL, counts, 0, -1};
    autobuf out = BUF_INIT;

    (void)state;
    prometheus_histogram(&out, "t", NULL, &h);
    assert_string_equal(out.data, "t_bucket{le=\"+Inf\"} 2\nt_sum -1\nt_count 2\n");
}

static void test_doubles_read_back(void **state)
{
    static const struct {
        double value;
        const char *text;
    } cases[] = {
        {0,                      "x 0\n"                      },
        {0.1,                    "x 0.1\n"                    },
        {-2.5e-7,                "x -2.5e-07\n"               },
        {1e21,                   "x 1e+21\n"                  },
        {1795480262.123,         "x 1795480262.123\n"         },
        {1.0 / 3,                "x 0.3333333333333333\n"     },
        {0.1 + 0.2,              "x 0.30000000000000004\n"    },
        {9007199254740993.0,     "x 9007199254740992\n"       },
        {1.7976931348623157e308, "x 1.7976931348623157e+308\n"},
        {INFINITY,               "x +Inf\n"                   },
        {-INFINITY,              "x -Inf\n"                   },
        {NAN,                    "x NaN\n"                    },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        autobuf out = BUF_INIT;

        prometheus_double(&out, "x", NULL, cases[i].value);
        assert_string_equal(out.data, cases[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_family_and_samples),
        cmocka_unit_test(test_texts_are_escaped),
        cmocka_unit_test(test_histogram),
        cmocka_unit_test(test_histogram_without_labels_or_bounds),
        cmocka_unit_test(test_doubles_read_back),
    };
    return cmocka_run_group_tests_name("prometheus", tests, NULL, NULL);
}
