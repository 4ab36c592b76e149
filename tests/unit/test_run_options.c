/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include <arpa/inet.h>

#include "base/util.h"
#include "cli/run_options.h"
#include "guest/net_grant.h"

static void test_dirs(void **state)
{
    static const struct {
        const char *text, *host, *guest;
        bool is_read_only;
    } good[] = {
        {"/a",        "/a",   "/a", false},
        {"/a::/b",    "/a",   "/b", false},
        {"/a::/b:ro", "/a",   "/b", true },
        {"/a:ro",     "/a",   "/a", true },
        {".::.",      ".",    ".",  false},
        {"/a:rw",     "/a",   "/a", false},
        {"/a:b::/c",  "/a:b", "/c", false},
    };
    static const char *const bad[] = {"", "::", "::/b", "/a::", ":ro", "/a:::ro", "/\xff"};
    struct err e = ERR_INIT;
    struct dir_grant d;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        assert_ok(dir_grant_parse(good[i].text, &d, &e));
        assert_string_equal(d.host, good[i].host);
        assert_string_equal(d.guest, good[i].guest);
        assert_int_equal(d.is_read_only, good[i].is_read_only);
        dir_grant_done(&d);
    }
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_fails(dir_grant_parse(bad[i], &d, &e), -EINVAL, "BadUsage");
}

static void test_env(void **state)
{
    autostrv env = STRV_INIT;
    struct err e = ERR_INIT;

    (void)state;
    setenv("WHERRY_TEST_HERE", "inherited=1", 1);
    unsetenv("WHERRY_TEST_GONE");
    assert_ok(env_parse("A=1", &env, &e));
    assert_ok(env_parse("EMPTY=", &env, &e));
    assert_ok(env_parse("WHERRY_TEST_HERE", &env, &e));
    assert_ok(env_parse("WHERRY_TEST_GONE", &env, &e));
    assert_ok(env_parse("A=2=3", &env, &e));
    assert_ok(env_parse("AB=4", &env, &e));
    assert_int_equal(env.n, 4);
    assert_string_equal(env.v[0], "A=2=3");
    assert_string_equal(env.v[1], "EMPTY=");
    assert_string_equal(env.v[2], "WHERRY_TEST_HERE=inherited=1");
    assert_fails(env_parse("=x", &env, &e), -EINVAL, "BadUsage");
    assert_fails(env_parse("", &env, &e), -EINVAL, "BadUsage");
    assert_fails(env_parse("A B=x", &env, &e), -EINVAL, "BadUsage");
    assert_fails(env_parse("A=\xff", &env, &e), -EINVAL, "BadUsage");
    assert_int_equal(env.n, 4);
}

static void test_env_file(void **state)
{
    static const char text[] = "\xef\xbb\xbf# comment\n\nA=1\r\n  B= spaced \n"
                               "WHERRY_TEST_HERE\nQ=\"not unquoted\"\nA=2";
    autostrv env = STRV_INIT;
    struct err e = ERR_INIT;

    (void)state;
    setenv("WHERRY_TEST_HERE", "x", 1);
    assert_ok(env_file_parse("f", text, sizeof(text) - 1, &env, &e));
    assert_int_equal(env.n, 4);
    assert_string_equal(env.v[0], "A=2");
    assert_string_equal(env.v[1], "B= spaced ");
    assert_string_equal(env.v[2], "WHERRY_TEST_HERE=x");
    assert_string_equal(env.v[3], "Q=\"not unquoted\"");
}

static void test_env_file_errors(void **state)
{
    autostrv env = STRV_INIT;
    autofree char *large = xcalloc(ENV_FILE_LINE_LIMIT + 10, 1);
    struct err e = ERR_INIT;

    (void)state;
    strv_add(&env, "KEPT=1");
    assert_fails(env_file_parse("my.env", "A=1\nB C=2\n", 10, &env, &e), -EINVAL, "BadUsage");
    assert_contains(e.msg, "my.env:2: ");
    assert_fails(env_file_parse("my.env", "A=1\n\n=2\n", 8, &env, &e), -EINVAL, "BadUsage");
    assert_contains(e.msg, "my.env:3: ");
    assert_fails(env_file_parse("my.env", "A=\0x", 4, &env, &e), -EINVAL, "BadUsage");
    memset(large, 'A', ENV_FILE_LINE_LIMIT + 5);
    assert_fails(env_file_parse("my.env", large, ENV_FILE_LINE_LIMIT + 5, &env, &e), -E2BIG,
                 "BadUsage");
    assert_int_equal(env.n, 1);
    assert_string_equal(env.v[0], "KEPT=1");
}

static void test_env_order(void **state)
{
    autofree char *dir = unit_temp_dir();
    autofree char *path = xasprintf("%s/env", dir);
    autostrv files = STRV_INIT;
    autostrv texts = STRV_INIT;
    autostrv env = STRV_INIT;
    struct err e = ERR_INIT;
    FILE *f = fopen(path, "w");

    (void)state;
    assert_non_null(f);
    fputs("A=file\nB=file\n", f);
    fclose(f);
    strv_add(&files, path);
    strv_add(&texts, "A=option");
    assert_ok(env_collect(&files, &texts, &env, &e));
    assert_string_equal(env.v[0], "A=option");
    assert_string_equal(env.v[1], "B=file");
    unlink(path);
    assert_fails(env_collect(&files, &texts, &env, &e), -ENOENT, "EnvFileFailed");
    assert_contains(e.msg, "--env-file: cannot open");
    rmdir(dir);
}

static void test_net_hosts(void **state)
{
    struct net_grant g;
    struct err e = ERR_INIT;
    unsigned char v6[16];

    (void)state;
    assert_ok(net_grant_parse("Example.COM.:443", &g, &e));
    assert_int_equal(g.host, NET_NAME);
    assert_string_equal(g.name, "example.com");
    assert_int_equal(g.port_from, 443);
    assert_int_equal(g.port_to, 443);

    assert_ok(net_grant_parse("10.0.0.0/8:8000-8999", &g, &e));
    assert_int_equal(g.host, NET_BLOCK);
    assert_int_equal(g.family, AF_INET);
    assert_int_equal(g.prefix_length, 8);
    assert_int_equal(g.address[0], 10);
    assert_int_equal(g.port_from, 8000);
    assert_int_equal(g.port_to, 8999);

    assert_ok(net_grant_parse("127.0.0.1:*", &g, &e));
    assert_int_equal(g.prefix_length, 32);
    assert_int_equal(g.port_from, 0);
    assert_int_equal(g.port_to, 65535);

    assert_ok(net_grant_parse("[fd00::1]:80", &g, &e));
    assert_int_equal(g.family, AF_INET6);
    assert_int_equal(g.prefix_length, 128);
    inet_pton(AF_INET6, "fd00::1", v6);
    assert_memory_equal(g.address, v6, 16);
    assert_ok(net_grant_parse("[fd00::/8]:80", &g, &e));
    assert_int_equal(g.prefix_length, 8);
    assert_ok(net_grant_parse("[fd00::]/8:80", &g, &e));
    assert_int_equal(g.prefix_length, 8);

    assert_ok(net_grant_parse("*:53", &g, &e));
    assert_int_equal(g.host, NET_ANY);
    assert_ok(net_grant_parse("0.0.0.0/0:*", &g, &e));
    assert_int_equal(g.prefix_length, 0);
    assert_ok(net_grant_parse("3com.example:80", &g, &e));
    assert_int_equal(g.host, NET_NAME);
}

static void test_net_refused(void **state)
{
    static const char *const bad[] = {
        "",
        "example.com",
        ":80",
        "example.com:",
        "example.com:x",
        "a:65536",
        "a:9-8",
        "a:1-",
        "a:-1",
        "fd00::1:80",
        "[fd00::1]",
        "[fd00::1:80",
        "[zz]:80",
        "10.0.0.1/33:80",
        "10.0.0.1/8:80",
        "10.0.0:80",
        "256.1.1.1:80",
        "a b:80",
        "a..b:80",
        ".a:80",
        "10.0.0.0/:1",
        "a/8:80",
        "[::1]x:80",
        "*.example.com:80",
        "a:+80",
        "a: 80",
    };
    struct err e = ERR_INIT;
    struct net_grant g;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        if (net_grant_parse(bad[i], &g, &e) != -EINVAL)
            fail_msg("'%s' was accepted", bad[i]);
        assert_string_equal(e.reason, "BadUsage");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dirs),        cmocka_unit_test(test_env),
        cmocka_unit_test(test_env_file),    cmocka_unit_test(test_env_file_errors),
        cmocka_unit_test(test_env_order),   cmocka_unit_test(test_net_hosts),
        cmocka_unit_test(test_net_refused),
    };
    return cmocka_run_group_tests_name("run_options", tests, NULL, NULL);
}
