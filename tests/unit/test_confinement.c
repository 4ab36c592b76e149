/* SPDX-License-Identifier: Apache-2.0 */
/* The plan of a confinement; what a confined process is like: tests/integ/test_guest_process.c */
#include "unit.h"

#include "container/guest/confinement.h"

static struct oci_config config;

static int plan(const char *members, struct confinement **ret, struct err *e)
{
    autofree char *json =
        xasprintf("{\"ociVersion\":\"1.1.0\",\"root\":{\"path\":\"rootfs\"},%s}", members);
    struct confinement_options o = {.config = &config, .process = &config.process};
    int r;

    oci_config_done(&config);
    r = oci_config_decode(json, strlen(json), &config, e);
    if (r < 0)
        fail_msg("%s", e->msg);
    return confinement_new(&o, ret, e);
}

#define PROCESS(members)                                                                           \
    "\"process\":{\"cwd\":\"/\",\"args\":[\"x\"],\"user\":{\"uid\":0,\"gid\":0}" members "}"

static void address_space_is_not_limited_and_the_stack_not_below_the_engines(void **state)
{
    AUTO(confinement) c = NULL;
    struct err e = ERR_INIT;
    struct rlimit l;

    (void)state;
    assert_ok(plan(PROCESS(",\"rlimits\":[{\"type\":\"RLIMIT_AS\",\"soft\":1000,\"hard\":1000},"
                           "{\"type\":\"RLIMIT_STACK\",\"soft\":4096,\"hard\":4096},"
                           "{\"type\":\"RLIMIT_NOFILE\",\"soft\":500,\"hard\":600}]"),
                   &c, &e));
    assert_false(confinement_rlimit(c, RLIMIT_AS, &l));
    assert_true(confinement_rlimit(c, RLIMIT_STACK, &l));
    assert_int_equal(l.rlim_cur, 8 << 20);
    assert_int_equal(l.rlim_max, 8 << 20);
    assert_true(confinement_rlimit(c, RLIMIT_NOFILE, &l));
    assert_int_equal(l.rlim_cur, 500);
    assert_int_equal(l.rlim_max, 600);
}

static void capabilities_have_the_kernels_numbers(void **state)
{
    (void)state;
    assert_int_equal(confinement_capability("CAP_CHOWN"), 0);
    assert_int_equal(confinement_capability("CAP_NET_BIND_SERVICE"), 10);
    assert_int_equal(confinement_capability("CAP_SYS_ADMIN"), 21);
    assert_int_equal(confinement_capability("CAP_CHECKPOINT_RESTORE"), 40);
    assert_int_equal(confinement_capability("CHOWN"), -1);
    assert_int_equal(confinement_capability("CAP_CHOW"), -1);
}

static void what_cannot_be_is_refused_with_its_name(void **state)
{
#define LINUX(members) PROCESS("") ",\"linux\":{" members "}"
    static const struct {
        const char *members;
        int code;
        const char *reason, *part;
    } rows[] = {
        {PROCESS(",\"rlimits\":[{\"type\":\"RLIMIT_X\",\"soft\":1,\"hard\":1}]"),                  -EINVAL,
         "BadConfig",                                                                                                           "RLIMIT_X"            },
        {PROCESS(",\"rlimits\":[{\"type\":\"RLIMIT_CPU\",\"soft\":2,\"hard\":1}]"),                -EINVAL,
         "BadConfig",                                                                                                           "RLIMIT_CPU"          },
        {LINUX("\"namespaces\":[{\"type\":\"network\",\"path\":\"/run/netns/none-here\"}]"),
         -ENOENT,                                                                                            "NamespaceFailed",
         "cannot enter the network namespace '/run/netns/none-here': No such file or directory"                                                       },
        {LINUX("\"namespaces\":[{\"type\":\"user\"}]"),                                            -ENOTSUP, "Unsupported",     "user"                },
        {LINUX("\"sysctl\":{\"net.ipv4.ip_forward\":\"1\"}"),                                      -EINVAL,  "BadConfig",
         "needs the network namespace"                                                                                                                },
        {LINUX("\"sysctl\":{\"vm.overcommit_memory\":\"1\"},\"namespaces\":[{\"type\":\"ipc\"}]"),
         -EINVAL,                                                                                            "BadConfig",       "vm.overcommit_memory"},
        {LINUX("\"sysctl\":{\"net/../kernel/core_pattern\":\"|x\"},\"namespaces\":"
               "[{\"type\":\"network\"}]"),
         -EINVAL,                                                                                            "BadConfig",       "core_pattern"        },
        {PROCESS("") ",\"hostname\":\"h\"",                                                        -EINVAL,  "BadConfig",       "uts namespace"       },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct confinement *c = NULL;
        struct err e = ERR_INIT;

        assert_fails(plan(rows[i].members, &c, &e), rows[i].code, rows[i].reason);
        assert_contains(e.msg, rows[i].part);
        assert_null(c);
    }
}

static int group_teardown(void **state)
{
    (void)state;
    oci_config_done(&config);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(address_space_is_not_limited_and_the_stack_not_below_the_engines),
        cmocka_unit_test(capabilities_have_the_kernels_numbers),
        cmocka_unit_test(what_cannot_be_is_refused_with_its_name),
    };

    return cmocka_run_group_tests(tests, NULL, group_teardown);
}
