/* SPDX-License-Identifier: Apache-2.0 */
/* The runtime's options of Create, in both forms that containerd has for them. */
#include "unit.h"

#include "shim/service/options.h"

static void done(struct task_options *o)
{
    free(o->runtime);
    free(o->runtime_root);
}

static int table_decode(const char *toml, struct task_options *ret, struct err *e)
{
    Options__Runtime m = OPTIONS__RUNTIME__INIT;
    autobuf packed = BUF_INIT;
    Types__Any any;

    m.config_body.data = (uint8_t *)(uintptr_t)toml;
    m.config_body.len = strlen(toml);
    protobuf_add(&m.base, &packed);
    any = message_any(MESSAGE_RUNTIME_OPTIONS, &packed);
    return task_options_decode(&any, ret, e);
}

static void the_options_of_runc_are_understood(void **state)
{
    Options__Runc m = OPTIONS__RUNC__INIT;
    struct task_options o = {0};
    autobuf packed = BUF_INIT;
    struct err e = ERR_INIT;
    Types__Any any;

    (void)state;
    m.systemd_cgroup = true;
    m.no_pivot_root = true;
    m.no_new_keyring = true;
    m.binary_name = (char *)"crun";
    m.root = (char *)"/run/states";
    protobuf_add(&m.base, &packed);
    any = message_any("type.googleapis.com/" MESSAGE_RUNC_OPTIONS, &packed);
    assert_ok(task_options_decode(&any, &o, &e));
    assert_true(o.has_systemd_cgroup && o.no_pivot_root && o.no_new_keyring);
    assert_string_equal(o.runtime, "crun");
    assert_string_equal(o.runtime_root, "/run/states");
    done(&o);
}

static void a_table_has_the_same_names(void **state)
{
    struct task_options o = {0};
    struct err e = ERR_INIT;

    (void)state;
    assert_ok(table_decode("SystemdCgroup = true\nBinaryName = \"/usr/bin/crun\"\n"
                           "Root = \"/r\"\nNoPivotRoot = true\nNoNewKeyring = true\n",
                           &o, &e));
    assert_true(o.has_systemd_cgroup && o.no_pivot_root && o.no_new_keyring);
    assert_string_equal(o.runtime, "/usr/bin/crun");
    assert_string_equal(o.runtime_root, "/r");
    done(&o);
}

static void what_is_unknown_or_empty_is_as_if_it_was_not_there(void **state)
{
    struct task_options o = {0};
    struct err e = ERR_INIT;

    (void)state;
    assert_ok(table_decode("CriuPath = \"\"\nBinaryName = \"\"\nShimCgroup = \"/x\"\n", &o, &e));
    assert_ok(table_decode("", &o, &e));
    assert_false(o.has_systemd_cgroup);
    assert_null(o.runtime);
}

static void no_options_and_those_of_another_runtime_are_none(void **state)
{
    autobuf packed = BUF_INIT;
    struct task_options o = {0};
    struct err e = ERR_INIT;
    Types__Any any = message_any("containerd.kata.v1.Options", &packed);

    (void)state;
    assert_ok(task_options_decode(NULL, &o, &e));
    assert_ok(task_options_decode(&any, &o, &e));
    assert_null(o.runtime);
}

static void options_that_cannot_be_read_are_an_error(void **state)
{
    struct task_options o = {0};
    autobuf packed = BUF_INIT;
    struct err e = ERR_INIT;
    Types__Any any;

    (void)state;
    assert_true(table_decode("SystemdCgroup = \n", &o, &e) < 0);
    assert_string_equal(e.reason, "BadOptions");
    assert_contains(e.msg, "the runtime's options");
    buf_add(&packed, "\xff\xff", 2);
    any = message_any(MESSAGE_RUNC_OPTIONS, &packed);
    assert_true(task_options_decode(&any, &o, &e) < 0);
    assert_string_equal(e.reason, "BadOptions");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_options_of_runc_are_understood),
        cmocka_unit_test(a_table_has_the_same_names),
        cmocka_unit_test(what_is_unknown_or_empty_is_as_if_it_was_not_there),
        cmocka_unit_test(no_options_and_those_of_another_runtime_are_none),
        cmocka_unit_test(options_that_cannot_be_read_are_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
