/* SPDX-License-Identifier: Apache-2.0 */
/* The config of a container's image: how its program is started. */
#include "unit.h"

#include "store/container_config.h"

static int decode(const char *json, struct container_config *ret, struct err *e)
{
    autobuf text = BUF_INIT;

    buf_addstr(&text, json);
    return container_config_decode(&text, ret, e);
}

static void words_show(struct buf *out, const char *name, const struct strv *s)
{
    buf_addf(out, "%s", name);
    for (size_t i = 0; i < s->n; i++)
        buf_addf(out, " %s", s->v[i]);
    buf_addc(out, '\n');
}

/* `config` is the member of that name. */
static void assert_command(const char *config, const char *file, const char *wanted)
{
    autofree char *json = xasprintf("{\"config\":%s}", config), *found = NULL;
    struct guest_command command = {0};
    struct container_config c = {0};
    autobuf shown = BUF_INIT;
    struct err e = ERR_INIT;

    assert_ok(decode(json, &c, &e));
    container_command(&c, &command);
    words_show(&shown, "entrypoint", &command.entrypoint);
    words_show(&shown, "cmd", &command.cmd);
    words_show(&shown, "env", &command.env);
    buf_addf(&shown, "function %s", command.function ? command.function : "-");
    assert_string_equal(buf_str(&shown), wanted);
    found = container_program_file(&c);
    assert_string_equal(found, file);
    strv_done(&command.entrypoint);
    strv_done(&command.cmd);
    strv_done(&command.env);
    free(command.function);
    container_config_done(&c);
}

static void test_words(void **state)
{
    (void)state;
    assert_command("{\"Entrypoint\":[\"/a\",\"-v\"],\"Cmd\":[\"b\"]}", "/a",
                   "entrypoint /a -v\ncmd b\nenv\nfunction -");
    /* The program stays when somebody gives arguments. */
    assert_command("{\"Entrypoint\":null,\"Cmd\":[\"/a\",\"b\",\"c\"]}", "/a",
                   "entrypoint /a\ncmd b c\nenv\nfunction -");
    assert_command("{\"Cmd\":[\"/a\"]}", "/a", "entrypoint /a\ncmd\nenv\nfunction -");
    assert_command("{}", "", "entrypoint\ncmd\nenv\nfunction -");
}

static void test_variables(void **state)
{
    (void)state;
    assert_command("{\"Cmd\":[\"a\"],\"Env\":[\"A=1\",\"B\",\"\",\"=c\",\"D=\",\"A=2=3\",\"AB=\"]}",
                   "a", "entrypoint a\ncmd\nenv A=2=3 D= AB=\nfunction -");
}

static void test_functions(void **state)
{
    (void)state;
    assert_command("{\"Entrypoint\":[\"/a.wasm#f\"],\"Cmd\":[\"1\"]}", "/a.wasm",
                   "entrypoint /a.wasm#f\ncmd 1\nenv\nfunction f");
    assert_command("{\"Cmd\":[\"a#f#g\",\"1\"]}", "a",
                   "entrypoint a#f#g\ncmd 1\nenv\nfunction f#g");
    assert_command("{\"Entrypoint\":[\"/a#_start\"]}", "/a",
                   "entrypoint /a#_start\ncmd\nenv\nfunction -");
    assert_command("{\"Entrypoint\":[\"/a#\"]}", "/a", "entrypoint /a#\ncmd\nenv\nfunction -");
    assert_command("{\"Entrypoint\":[\"#init\"]}", "", "entrypoint #init\ncmd\nenv\nfunction init");
}

/* {"config":{"<list>":[<n times text>]}} */
static char *list_of(const char *list, size_t n, const char *text)
{
    autobuf out = BUF_INIT;

    buf_addf(&out, "{\"config\":{\"%s\":[", list);
    for (size_t i = 0; i < n; i++)
        buf_addf(&out, "%s\"%s\"", i ? "," : "", text);
    buf_addstr(&out, "]}}");
    return buf_take(&out);
}

static void assert_refused(const char *json, const char *why)
{
    struct container_config c = {0};
    struct err e = ERR_INIT;

    assert_fails(decode(json, &c, &e), -EINVAL, "BadImage");
    assert_contains(e.msg, "the image's config: ");
    assert_contains(e.msg, why);
    assert_null(c.entrypoint.v);
    assert_null(c.env.v);
}

static void test_limits(void **state)
{
    static const char *const lists[] = {"Entrypoint", "Cmd", "Env"};
    autofree char *long_text = xcalloc(GUEST_COMMAND_BYTES_LIMIT + 1, 1);
    struct container_config c = {0};
    struct err e = ERR_INIT;

    (void)state;
    memset(long_text, 'x', GUEST_COMMAND_BYTES_LIMIT);
    for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
        autofree char *most = list_of(lists[i], GUEST_COMMAND_LIST_LIMIT, "A=");
        autofree char *many = list_of(lists[i], GUEST_COMMAND_LIST_LIMIT + 1, "A=");
        autofree char *too_long = list_of(lists[i], 1, long_text);
        autofree char *longest = list_of(lists[i], 1, long_text + 1);

        assert_ok(decode(most, &c, &e));
        container_config_done(&c);
        if (str_eq(lists[i], "Env")) {
            assert_ok(decode(longest, &c, &e));
            container_config_done(&c);
        } else {
            assert_refused(longest, "the path of its entry point is too long");
        }
        assert_refused(many, lists[i]);
        assert_refused(too_long, "have 262145 bytes, more than 262144");
    }
    assert_refused("{\"config\":{\"Env\":[\"A=\\u0000\"]}}", "");
    assert_refused("{\"config\":{\"Cmd\":[\"\xff\"]}}", "");
    assert_refused("{\"config\":{\"Cmd\":\"/bin/sh\"}}", "$.config.Cmd");
    assert_refused("{\"config\":{\"Entrypoint\":[1]}}", "$.config.Entrypoint");
    assert_refused("[]", "");
}

/* `ports` is the member ExposedPorts. */
static unsigned port_of(const char *ports)
{
    autofree char *json = xasprintf("{\"config\":{\"ExposedPorts\":%s}}", ports);
    struct container_config c = {0};
    struct err e = ERR_INIT;

    assert_ok(decode(json, &c, &e));
    unsigned port = container_tcp_port(&c);
    container_config_done(&c);
    return port;
}

static void the_lowest_tcp_port_is_the_one(void **state)
{
    (void)state;
    assert_int_equal(port_of("{\"8080/tcp\":{}}"), 8080);
    assert_int_equal(port_of("{\"8080\":{}}"), 8080);
    assert_int_equal(port_of("{\"10000/tcp\":{},\"8080/tcp\":{},\"53/udp\":{}}"), 8080);
    assert_int_equal(port_of("{\"8000-8010/tcp\":{}}"), 8000);
    assert_int_equal(port_of("{\"65535/tcp\":{}}"), 65535);
}

static void what_is_no_tcp_port_is_none(void **state)
{
    static const char *const others[] = {
        "{}",
        "null",
        "[]",
        "7",
        "\"8080/tcp\"",
        "{\"53/udp\":{}}",
        "{\"0/tcp\":{}}",
        "{\"65536/tcp\":{}}",
        "{\"99999999999999999999/tcp\":{}}",
        "{\"/tcp\":{}}",
        "{\"-1/tcp\":{}}",
        "{\"80/tcpx\":{}}",
        "{\"80 \":{}}",
        "{\"\":{}}",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(others); i++)
        assert_int_equal(port_of(others[i]), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_variables),
        cmocka_unit_test(test_functions),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(the_lowest_tcp_port_is_the_one),
        cmocka_unit_test(what_is_no_tcp_port_is_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
