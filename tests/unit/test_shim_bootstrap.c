/* SPDX-License-Identifier: Apache-2.0 */
/* What each version of containerd gives to `start`, and how it wants to be answered. */
#include "unit.h"

#include "base/buf.h"
#include "shim/command/bootstrap.h"
#include "shim/messages/messages.h"

static const struct shim_flags flags = {
    .action = SHIM_START, .namespace = "k8s.io", .id = "c1", .address = "/run/c.sock"};

static int before(void **state)
{
    (void)state;
    unsetenv("TTRPC_ADDRESS");
    unsetenv("GRPC_ADDRESS");
    return 0;
}

/* The runtime's options, as 1.6 to 2.2 write them: an Any on its own. */
static void any_add(struct buf *out, const char *type, const char *value)
{
    Types__Any any = TYPES__ANY__INIT;

    any.type_url = (char *)type;
    any.value.data = (uint8_t *)(uintptr_t)value;
    any.value.len = strlen(value);
    protobuf_add(&any.base, out);
}

static void expect_answer(const struct bootstrap *b, const char *text)
{
    autobuf answer = BUF_INIT;

    bootstrap_answer(b, "/run/s/1", &answer);
    assert_string_equal(buf_str(&answer), text);
}

static void containerd_1_6_gets_the_bare_address(void **state)
{
    struct bootstrap b;
    struct err e = ERR_INIT;

    (void)state;
    setenv("TTRPC_ADDRESS", "/run/c.sock.ttrpc", 1);
    assert_ok(bootstrap_parse(&flags, "", 0, &b, &e));
    assert_string_equal(b.ttrpc_address, "/run/c.sock.ttrpc");
    assert_string_equal(b.grpc_address, "/run/c.sock");
    assert_string_equal(b.socket_dir, "/run/containerd/s");
    assert_int_equal(b.version, 2);
    expect_answer(&b, "unix:///run/s/1");
    bootstrap_done(&b);
}

static void containerd_1_7_to_2_2_get_version_2_as_json(void **state)
{
    autobuf input = BUF_INIT;
    struct bootstrap b;
    struct err e = ERR_INIT;

    (void)state;
    setenv("TTRPC_ADDRESS", "/t", 1);
    setenv("GRPC_ADDRESS", "/g", 1);
    any_add(&input, "runtimeoptions.v1.Options", "x");
    assert_ok(bootstrap_parse(&flags, input.data, input.len, &b, &e));
    assert_string_equal(b.grpc_address, "/g");
    expect_answer(&b, "{\"version\":2,\"address\":\"unix:///run/s/1\",\"protocol\":\"ttrpc\"}");
    bootstrap_done(&b);
}

/* Its type's name is where an id is in the parameters. */
static void options_are_not_taken_for_parameters(void **state)
{
    autobuf input = BUF_INIT;
    struct bootstrap b;
    struct err e = ERR_INIT;

    (void)state;
    any_add(&input, "c1", "other");
    assert_ok(bootstrap_parse(&flags, input.data, input.len, &b, &e));
    assert_true(b.is_plain);
    assert_int_equal(b.version, 2);
    bootstrap_done(&b);
}

static void the_parameters_of_2_3_count_more_than_the_environment(void **state)
{
    Bootstrap__Params p = BOOTSTRAP__PARAMS__INIT;
    autobuf input = BUF_INIT;
    struct bootstrap b;
    struct err e = ERR_INIT;

    (void)state;
    setenv("TTRPC_ADDRESS", "/t", 1);
    p.instance_id = (char *)"c1";
    p.namespace_ = (char *)"k8s.io";
    p.ttrpc_address = (char *)"/new/t";
    p.grpc_address = (char *)"/new/g";
    p.socket_dir = (char *)"/new/s";
    protobuf_add(&p.base, &input);
    assert_ok(bootstrap_parse(&flags, input.data, input.len, &b, &e));
    assert_string_equal(b.ttrpc_address, "/new/t");
    assert_string_equal(b.grpc_address, "/new/g");
    assert_string_equal(b.socket_dir, "/new/s");
    expect_answer(&b, "{\"version\":3,\"address\":\"unix:///run/s/1\",\"protocol\":\"ttrpc\"}");
    bootstrap_done(&b);
}

static void parameters_without_addresses_leave_those_of_the_environment(void **state)
{
    Bootstrap__Params p = BOOTSTRAP__PARAMS__INIT;
    autobuf input = BUF_INIT;
    struct bootstrap b;
    struct err e = ERR_INIT;

    (void)state;
    setenv("TTRPC_ADDRESS", "/t", 1);
    p.instance_id = (char *)"c1";
    p.namespace_ = (char *)"k8s.io";
    protobuf_add(&p.base, &input);
    assert_ok(bootstrap_parse(&flags, input.data, input.len, &b, &e));
    assert_string_equal(b.ttrpc_address, "/t");
    assert_string_equal(b.socket_dir, "/run/containerd/s");
    assert_int_equal(b.version, 3);
    bootstrap_done(&b);
}

static void what_cannot_be_read_is_as_nothing(void **state)
{
    struct bootstrap b;
    struct err e = ERR_INIT;

    (void)state;
    assert_ok(bootstrap_parse(&flags, "\xff\xff\xff", 3, &b, &e));
    assert_true(b.is_plain);
    assert_null(b.ttrpc_address);
    bootstrap_done(&b);
}

static void an_input_without_end_is_refused(void **state)
{
    struct bootstrap b = {.version = 7};
    struct err e = ERR_INIT;

    (void)state;
    assert_fails(bootstrap_parse(&flags, "", BOOTSTRAP_LIMIT_BYTES + 1, &b, &e), -EFBIG,
                 "BadBootstrap");
    assert_int_equal(b.version, 7);
}

#define TEST(name) cmocka_unit_test_setup(name, before)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(containerd_1_6_gets_the_bare_address),
        TEST(containerd_1_7_to_2_2_get_version_2_as_json),
        TEST(options_are_not_taken_for_parameters),
        TEST(the_parameters_of_2_3_count_more_than_the_environment),
        TEST(parameters_without_addresses_leave_those_of_the_environment),
        TEST(what_cannot_be_read_is_as_nothing),
        TEST(an_input_without_end_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
