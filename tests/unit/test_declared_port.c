/* SPDX-License-Identifier: Apache-2.0 */
/* Where a service listens, by what its pod declares. */
#include "unit.h"

#include "base/util.h"
#include "shim/task/declared_port.h"

static unsigned port_of(const char *json)
{
    struct err e = ERR_INIT;
    unsigned port = 1;
    assert_ok(declared_port(json, &port, &e));
    return port;
}

static void the_first_tcp_port_is_taken(void **state)
{
    (void)state;
    assert_int_equal(port_of("[{\"containerPort\":80}]"), 80);
    assert_int_equal(port_of("[{\"name\":\"dns\",\"containerPort\":53,\"protocol\":\"UDP\"},"
                             "{\"name\":\"web\",\"hostPort\":1,\"containerPort\":8081,"
                             "\"protocol\":\"TCP\",\"hostIP\":\"\"},{\"containerPort\":9}]"),
                     8081);
}

static void one_that_is_named_http_goes_before(void **state)
{
    (void)state;
    assert_int_equal(port_of("[{\"name\":\"metrics\",\"containerPort\":9090},"
                             "{\"name\":\"http\",\"containerPort\":8000,\"protocol\":\"TCP\"}]"),
                     8000);
}

static void none_is_none(void **state)
{
    (void)state;
    assert_int_equal(port_of("[]"), 0);
    assert_int_equal(port_of("null"), 0);
    assert_int_equal(port_of("[{\"containerPort\":53,\"protocol\":\"UDP\"}]"), 0);
}

static void anything_else_is_refused_and_says_where(void **state)
{
    (void)state;
    static const char *const texts[] = {"",
                                        "80",
                                        "[80]",
                                        "[{}]",
                                        "[{\"containerPort\":0}]",
                                        "[{\"containerPort\":65536}]",
                                        "[]}{\"",
                                        "{}",
                                        "[",
                                        "[{\"containerPort\":\"80\"}]"};
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        struct err e = ERR_INIT;
        unsigned port = 7;
        assert_int_equal(declared_port(texts[i], &port, &e), -EINVAL);
        assert_string_equal(e.reason, "BadPorts");
        assert_non_null(strstr(e.msg, DECLARED_PORTS_ANNOTATION));
        assert_int_equal(port, 7);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_tcp_port_is_taken),
        cmocka_unit_test(one_that_is_named_http_goes_before),
        cmocka_unit_test(none_is_none),
        cmocka_unit_test(anything_else_is_refused_and_says_where),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
