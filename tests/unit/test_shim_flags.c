/* SPDX-License-Identifier: Apache-2.0 */
/* Command lines as containerd 1.6 to 2.4 write them. */
#include "unit.h"

#include "shim/command/flags.h"

static int parse(const char *const *argv, struct shim_flags *ret, struct err *e)
{
    int n = 0;

    while (argv[n])
        n++;
    return shim_flags_parse(n, (char **)(uintptr_t)argv, ret, e);
}

#define PARSE(ret, e, ...) parse((const char *const[]){"shim", __VA_ARGS__, NULL}, ret, e)

static void a_start_of_containerd_is_understood(void **state)
{
    struct shim_flags f;
    struct err e = ERR_INIT;

    (void)state;
    assert_ok(PARSE(&f, &e, "-namespace", "k8s.io", "-address", "/run/containerd/containerd.sock",
                    "-publish-binary", "/usr/bin/containerd", "-id", "c1", "-debug", "start"));
    assert_int_equal(f.action, SHIM_START);
    assert_string_equal(f.namespace, "k8s.io");
    assert_string_equal(f.address, "/run/containerd/containerd.sock");
    assert_string_equal(f.publish_binary, "/usr/bin/containerd");
    assert_string_equal(f.id, "c1");
    assert_true(f.is_debug);
    assert_null(f.bundle);
}

static void a_delete_of_containerd_is_understood(void **state)
{
    struct shim_flags f;
    struct err e = ERR_INIT;

    (void)state;
    assert_ok(PARSE(&f, &e, "-namespace", "default", "-address", "/a", "-publish-binary", "", "-id",
                    "c1", "-bundle", "/b", "delete"));
    assert_int_equal(f.action, SHIM_DELETE);
    assert_string_equal(f.bundle, "/b");
    assert_string_equal(f.publish_binary, "");
    assert_false(f.is_debug);
}

static void flags_have_one_dash_or_two_and_an_equals_sign_or_none(void **state)
{
    struct shim_flags f;
    struct err e = ERR_INIT;

    (void)state;
    assert_ok(PARSE(&f, &e, "--namespace=a=b", "-id", "-x", "--debug=false", "--", "start"));
    assert_string_equal(f.namespace, "a=b");
    assert_string_equal(f.id, "-x");
    assert_false(f.is_debug);
}

static void what_stands_alone_needs_no_id(void **state)
{
    struct shim_flags f;
    struct err e = ERR_INIT;

    (void)state;
    assert_ok(PARSE(&f, &e, "-v"));
    assert_int_equal(f.action, SHIM_VERSION);
    assert_ok(PARSE(&f, &e, "-info"));
    assert_int_equal(f.action, SHIM_INFO);
    assert_ok(PARSE(&f, &e, "--help"));
    assert_int_equal(f.action, SHIM_HELP);
    assert_contains(shim_usage, "-publish-binary PATH");
}

static void what_is_wrong_is_named_and_changes_nothing(void **state)
{
    struct shim_flags f = {.action = SHIM_INFO};
    struct err e = ERR_INIT;

    (void)state;
    assert_fails(PARSE(&f, &e, "-nosuch", "start"), -EINVAL, "BadUsage");
    assert_contains(e.msg, "-nosuch");
    assert_fails(PARSE(&f, &e, "-id"), -EINVAL, "BadUsage");
    assert_contains(e.msg, "-id wants a value");
    assert_fails(PARSE(&f, &e, "-id", "c", "start"), -EINVAL, "BadUsage");
    assert_fails(PARSE(&f, &e, "-id=", "-namespace", "n", "start"), -EINVAL, "BadUsage");
    assert_contains(e.msg, "start wants -namespace and -id");
    assert_fails(PARSE(&f, &e, "-id", "c", "-namespace", "n", "run"), -EINVAL, "BadUsage");
    assert_contains(e.msg, "'run'");
    assert_fails(PARSE(&f, &e, "-id", "c", "-namespace", "n"), -EINVAL, "BadUsage");
    assert_fails(PARSE(&f, &e, "-id", "c", "-namespace", "n", "--"), -EINVAL, "BadUsage");
    assert_int_equal(f.action, SHIM_INFO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_start_of_containerd_is_understood),
        cmocka_unit_test(a_delete_of_containerd_is_understood),
        cmocka_unit_test(flags_have_one_dash_or_two_and_an_equals_sign_or_none),
        cmocka_unit_test(what_stands_alone_needs_no_id),
        cmocka_unit_test(what_is_wrong_is_named_and_changes_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
