/* SPDX-License-Identifier: Apache-2.0 */
/* What containerd names a stream by. */
#include "unit.h"

#include <limits.h>

#include "shim/stdio/stdio_uri.h"

static struct stdio_uri parsed(const char *text)
{
    struct err e = ERR_INIT;
    struct stdio_uri u;
    assert_ok(stdio_uri_parse(text, &u, &e));
    return u;
}

static void assert_path(const char *text, enum stdio_kind kind, const char *path)
{
    struct stdio_uri u = parsed(text);
    assert_int_equal(u.kind, kind);
    assert_string_equal(u.path, path);
    stdio_uri_done(&u);
}

static void no_text_is_no_stream(void **state)
{
    (void)state;
    assert_int_equal(parsed(NULL).kind, STDIO_NULL);
    assert_int_equal(parsed("").kind, STDIO_NULL);
}

static void the_forms_of_containerd_are_known(void **state)
{
    (void)state;
    assert_path("/run/a%20b?c", STDIO_FIFO, "/run/a%20b?c"); /* a path is no URI */
    assert_path("fifo:///run/a%20b", STDIO_FIFO, "/run/a b");
    assert_path("file:///var/log/x", STDIO_FILE, "/var/log/x");
    assert_path("binary:///bin/logger", STDIO_LOGGER, "/bin/logger");
    assert_path("binary:///bin/logger?", STDIO_LOGGER, "/bin/logger");
}

static void a_query_is_the_arguments_of_a_logger(void **state)
{
    (void)state;
    struct stdio_uri u = parsed("binary:///l?--to=%2Fa+b&flag&x=1&x=2&&env.A=b%3Dc&env.A=d"
                                "&env.CONTAINER_ID=mine&e=");
    const char *const args[] = {"--to", "/a b", "flag", "", "x", "1", "e", ""};
    assert_int_equal(u.args.n, ARRAY_SIZE(args));
    for (size_t i = 0; i < ARRAY_SIZE(args); i++)
        assert_string_equal(u.args.v[i], args[i]);
    assert_int_equal(u.env.n, 1);
    assert_string_equal(u.env.v[0], "A=b=c");
    stdio_uri_done(&u);
}

static void anything_else_is_refused_by_its_name(void **state)
{
    (void)state;
    static const char *const texts[] = {"relative",
                                        "streaming+unix:///run/x",
                                        "file://host/x",
                                        "file://",
                                        "file:///a?b",
                                        "file:///a#b",
                                        "binary://",
                                        "binary:///a?b#c",
                                        "binary:///a%0",
                                        "binary:///a%00b",
                                        "binary:///a?%zz",
                                        "binary:///a?b=%",
                                        "npipe:////./pipe",
                                        "binary:///a?env.=b",
                                        "attachablebinary:///a",
                                        "fifo:///%",
                                        "binary:///a?env.b%3d=c"};
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        struct err e = ERR_INIT;
        struct stdio_uri u;
        assert_fails(stdio_uri_parse(texts[i], &u, &e), -EINVAL, "BadStdio");
        assert_contains(e.msg, texts[i]);
    }
}

static void what_is_too_long_is_refused(void **state)
{
    (void)state;
    char text[STDIO_URI_LIMIT_BYTES + 2];
    struct stdio_uri u;
    struct err e = ERR_INIT;
    memset(text, '/', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    assert_fails(stdio_uri_parse(text, &u, &e), -EINVAL, "BadStdio");
    text[PATH_MAX] = '\0';
    assert_fails(stdio_uri_parse(text, &u, &e), -EINVAL, "BadStdio");
    text[PATH_MAX - 1] = '\0';
    assert_ok(stdio_uri_parse(text, &u, &e));
    stdio_uri_done(&u);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_text_is_no_stream),
        cmocka_unit_test(the_forms_of_containerd_are_known),
        cmocka_unit_test(a_query_is_the_arguments_of_a_logger),
        cmocka_unit_test(anything_else_is_refused_by_its_name),
        cmocka_unit_test(what_is_too_long_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
