/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "wire/channels.h"

static void a_message_names_its_channel(void **state)
{
    struct channel_message m;
    struct err e = ERR_INIT;

    (void)state;
    assert_ok(channel_message_parse("\1hello", 6, false, &m, &e));
    assert_int_equal(m.channel, CHANNEL_STDOUT);
    assert_false(m.is_close);
    assert_true(text_eq(m.data, "hello"));
    assert_ok(channel_message_parse("\2", 1, true, &m, &e));
    assert_int_equal(m.channel, CHANNEL_STDERR);
    assert_int_equal(m.data.len, 0);
    assert_fails(channel_message_parse("", 0, true, &m, &e), -EPROTO, "BadMessage");
}

static void v4_closes_no_channels(void **state)
{
    struct channel_message m;
    struct err e = ERR_INIT;

    (void)state;
    assert_true(channel_can_close("v5.channel.k8s.io"));
    assert_true(channel_can_close(CHANNEL_PROTOCOL_FORWARD));
    assert_false(channel_can_close("v4.channel.k8s.io"));
    assert_false(channel_can_close(NULL));
    assert_ok(channel_message_parse("\xff\0", 2, true, &m, &e));
    assert_true(m.is_close);
    assert_int_equal(m.channel, CHANNEL_STDIN);
    assert_fails(channel_message_parse("\xff\0", 2, false, &m, &e), -EPROTO, "BadMessage");
    assert_fails(channel_message_parse("\xff", 1, true, &m, &e), -EPROTO, "BadMessage");
    assert_fails(channel_message_parse("\xff\0\0", 3, true, &m, &e), -EPROTO, "BadMessage");
}

#define autostatus __attribute__((cleanup(channel_status_done))) struct channel_status

static void statuses_are_written_as_a_kubelet_writes_them(void **state)
{
    autobuf out = BUF_INIT;
    struct channel_status s = {.is_exit = true};

    (void)state;
    channel_status_add(&s, &out);
    assert_string_equal(out.data, "{\"metadata\":{},\"status\":\"Success\"}");
    buf_clear(&out);
    s.exit_code = 42;
    channel_status_add(&s, &out);
    assert_string_equal(out.data,
                        "{\"metadata\":{},\"status\":\"Failure\",\"message\":\"command terminated "
                        "with exit code 42\",\"reason\":\"NonZeroExitCode\",\"details\":{"
                        "\"causes\":[{\"reason\":\"ExitCode\",\"message\":\"42\"}]}}");
    buf_clear(&out);
    s = (struct channel_status){.reason = (char *)"NotFound", .message = (char *)"no \xff here"};
    channel_status_add(&s, &out);
    assert_string_equal(out.data, "{\"metadata\":{},\"status\":\"Failure\",\"message\":\"no "
                                  "\xef\xbf\xbd here\",\"reason\":\"NotFound\",\"code\":500}");
}

static void a_status_is_read_back(void **state)
{
    static const struct channel_status all[] = {
        {.is_exit = true  },
        {      .is_exit = true, .exit_code = 255},
        {      .is_exit = true,
         .exit_code = 134,
         .reason = (char *)"Trap",
         .message = (char *)"unreachable"},
        { .reason = (char *)"NotRunning",                 .message = (char *)"it has ended"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
        autobuf text = BUF_INIT;
        autostatus s = {0};
        struct err e = ERR_INIT;

        channel_status_add(&all[i], &text);
        assert_ok(channel_status_parse((struct text){text.data, text.len}, &s, &e));
        assert_int_equal(s.is_exit, all[i].is_exit);
        assert_int_equal(s.exit_code, all[i].exit_code);
        if (all[i].reason)
            assert_string_equal(s.reason, all[i].reason);
        if (all[i].message)
            assert_string_equal(s.message, all[i].message);
    }
}

static void what_is_no_status_is_refused(void **state)
{
    static const char *const bad[] = {
        "",
        "[]",
        "{}",
        "{\"status\":3}",
        "{\"status\":\"Failure\",\"reason\":\"NonZeroExitCode\"}",
        "{\"status\":\"Failure\",\"reason\":\"NonZeroExitCode\",\"details\":{\"causes\":["
        "{\"reason\":\"ExitCode\",\"message\":\"256\"}]}}",
        "{\"status\":\"Failure\",\"reason\":\"NonZeroExitCode\",\"details\":{\"causes\":["
        "{\"reason\":\"ExitCode\",\"message\":\"-1\"},{}]}}",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct channel_status s = {0};
        struct err e = ERR_INIT;

        assert_fails(channel_status_parse(text_of(bad[i]), &s, &e), -EPROTO, "BadStatus");
        assert_null(s.message);
    }
}

static void ports_are_listed(void **state)
{
    static const char *const bad[] = {"", "0", "65536", "http", "1,", ",1", "-1", "1 ", "1,2,3"};
    struct err e = ERR_INIT;
    uint16_t ports[4];
    size_t n = 0;

    (void)state;
    assert_ok(channel_ports_parse("80", ports, 4, &n, &e));
    assert_ok(channel_ports_parse("8080,65535", ports, 4, &n, &e));
    assert_int_equal(n, 3);
    assert_int_equal(ports[0], 80);
    assert_int_equal(ports[2], 65535);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        e = ERR_INIT;
        assert_fails(channel_ports_parse(bad[i], ports, 4, &n, &e), -EINVAL, "BadPort");
        assert_int_equal(n, 3);
    }
}

static void sizes_are_read_and_written(void **state)
{
    struct channel_size size = {0};
    autobuf text = BUF_INIT;
    struct err e = ERR_INIT;

    (void)state;
    /* As kubectl sends it, with a newline. */
    assert_ok(channel_size_parse((struct text)TEXT("{\"Width\":97,\"Height\":31}\n"), &size, &e));
    assert_int_equal(size.width, 97);
    assert_int_equal(size.height, 31);
    channel_size_add(size, &text);
    assert_string_equal(text.data, "{\"Width\":97,\"Height\":31}");
    assert_fails(channel_size_parse((struct text)TEXT("{\"Width\":97}"), &size, &e), -EPROTO,
                 "BadSize");
    assert_fails(channel_size_parse((struct text)TEXT("{\"Width\":65536,\"Height\":1}"), &size, &e),
                 -EPROTO, "BadSize");
    assert_fails(channel_size_parse((struct text)TEXT("{\"Width\":0,\"Height\":1}"), &size, &e),
                 -EPROTO, "BadSize");
    assert_fails(channel_size_parse((struct text){0}, &size, &e), -EPROTO, "BadSize");
    assert_int_equal(size.width, 97);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_names_its_channel),
        cmocka_unit_test(v4_closes_no_channels),
        cmocka_unit_test(statuses_are_written_as_a_kubelet_writes_them),
        cmocka_unit_test(a_status_is_read_back),
        cmocka_unit_test(what_is_no_status_is_refused),
        cmocka_unit_test(ports_are_listed),
        cmocka_unit_test(sizes_are_read_and_written),
    };
    return cmocka_run_group_tests_name("channels", tests, NULL, NULL);
}
