/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "wire/http_target.h"

static struct http_target parse(struct arena *a, const char *text)
{
    struct http_target t = {0};
    struct err e = ERR_INIT;

    assert_ok(http_target_parse(text, a, &t, &e));
    return t;
}

static void path_and_query_are_decoded(void **state)
{
    AUTO(arena) a = arena_new();
    struct http_target t = parse(a, "/a%20b/%c3%a4+c?command=ls&command=-l+x&%6bey&x=1=2&&=e");

    (void)state;
    assert_string_equal(t.path, "/a b/\xc3\xa4+c");
    assert_int_equal(t.n_query, 5);
    assert_string_equal(t.query[0].key, "command");
    assert_string_equal(t.query[1].value, "-l x");
    assert_string_equal(t.query[2].key, "key");
    assert_string_equal(t.query[2].value, "");
    assert_string_equal(t.query[3].value, "1=2");
    assert_string_equal(t.query[4].key, "");
}

static void a_whole_url_and_an_asterisk_are_targets_too(void **state)
{
    AUTO(arena) a = arena_new();

    (void)state;
    assert_string_equal(parse(a, "http://host:80/x?y").path, "/x");
    assert_string_equal(parse(a, "HTTP://host").path, "/");
    assert_string_equal(parse(a, "http://host?y").path, "/");
    assert_string_equal(parse(a, "*").path, "*");
    assert_int_equal(parse(a, "/?").n_query, 0);
}

static void bad_escapes_and_nul_are_refused_everywhere(void **state)
{
    static const char *const bad[] = {"/%",      "/%4",     "/%zz",    "/a%00b", "/?%",  "/?a=%0",
                                      "/?a=%00", "/?%g0=1", "nowhere", "",       "/%4%", "*x"};
    AUTO(arena) a = arena_new();
    struct http_target t = {0};
    struct err e = ERR_INIT;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        assert_fails(http_target_parse(bad[i], a, &t, &e), -EINVAL, "BadTarget");
        assert_null(t.path);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(path_and_query_are_decoded),
        cmocka_unit_test(a_whole_url_and_an_asterisk_are_targets_too),
        cmocka_unit_test(bad_escapes_and_nul_are_refused_everywhere),
    };
    return cmocka_run_group_tests_name("http_target", tests, NULL, NULL);
}
