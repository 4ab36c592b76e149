/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "base/text.h"
#include "base/util.h"
#include "image/challenge.h"

static int parse(const char *value, struct challenges *list, struct err *e)
{
    return challenges_parse(text_of(value), list, e);
}

/* The list as text: scheme[realm|service|scope|error] with - for what is not there. */
static char *text_from(const struct challenges *list)
{
    autobuf out = BUF_INIT;

    for (size_t i = 0; i < list->n; i++) {
        const struct challenge *c = &list->v[i];

        buf_addf(&out, "%s%s[%s|%s|%s|%s]", i ? " " : "", c->scheme, c->realm ? c->realm : "-",
                 c->service ? c->service : "-", c->scope ? c->scope : "-",
                 c->error ? c->error : "-");
    }
    return buf_take(&out);
}

static void assert_parsed(const char *value, const char *expected)
{
    struct challenges list = {0};
    struct err e = ERR_INIT;
    char *text;

    assert_ok(parse(value, &list, &e));
    text = text_from(&list);
    assert_string_equal(text, expected);
    free(text);
    challenges_done(&list);
    assert_null(list.v);
}

static void test_what_registries_send(void **state)
{
    (void)state;
    assert_parsed("Bearer realm=\"https://auth.docker.io/token\",service=\"registry.docker.io\","
                  "scope=\"repository:library/alpine:pull\"",
                  "Bearer[https://auth.docker.io/token|registry.docker.io|"
                  "repository:library/alpine:pull|-]");
    assert_parsed("Bearer realm=\"https://a/t\",service=\"s\",scope=\"repository:a/b:pull,push\","
                  "error=\"insufficient_scope\",error_description=\"no, \\\"never\\\"\"",
                  "Bearer[https://a/t|s|repository:a/b:pull,push|insufficient_scope]");
    assert_parsed("Basic realm=\"Registry Realm\"", "Basic[Registry Realm|-|-|-]");
}

static void test_several_in_one_value(void **state)
{
    (void)state;
    /* The example of RFC 9110, 11.6.1. */
    assert_parsed("Basic realm=\"simple\", Newauth realm=\"apps\", type=1, "
                  "title=\"Login to \\\"apps\\\"\"",
                  "Basic[simple|-|-|-] Newauth[apps|-|-|-]");
    assert_parsed("Negotiate, NTLM , Basic realm=x",
                  "Negotiate[-|-|-|-] NTLM[-|-|-|-] Basic[x|-|-|-]");
    assert_parsed("Negotiate YWJj==, Basic realm=x", "Negotiate[-|-|-|-] Basic[x|-|-|-]");
    assert_parsed("Negotiate a, b c", "Negotiate[-|-|-|-] b[-|-|-|-]");
    assert_parsed("Negotiate -._~+/a=", "Negotiate[-|-|-|-]");
}

static void test_odd_white_space_and_empty_elements(void **state)
{
    (void)state;
    assert_parsed("", "");
    assert_parsed(" ,\t, ", "");
    assert_parsed("Basic", "Basic[-|-|-|-]");
    assert_parsed("  Basic  ", "Basic[-|-|-|-]");
    assert_parsed(",, Basic \t realm = \t \"x\" ,, service\t=y , ,", "Basic[x|y|-|-]");
    assert_parsed("Basic , realm=x", "Basic[x|-|-|-]");
    assert_parsed("Basic ,, Bearer realm=x", "Basic[-|-|-|-] Bearer[x|-|-|-]");
}

static void test_case_quotes_and_values(void **state)
{
    (void)state;
    assert_parsed("bEaReR REALM=r,Service=s,sCope=c,ERROR=e", "bEaReR[r|s|c|e]");
    assert_parsed("Bearer realm=\"\"", "Bearer[|-|-|-]");
    assert_parsed("Bearer realm=\"a\\\\b\\\"c\\d\"", "Bearer[a\\b\"cd|-|-|-]");
    assert_parsed("Bearer realm=\"\xc3\xa9\t!\"", "Bearer[\xc3\xa9\t!|-|-|-]");
    /* A token68 ends its challenge; what looks like one but goes on is a parameter. */
    assert_parsed("Bearer realm=a", "Bearer[a|-|-|-]");
    assert_parsed("Bearer realm=, Basic", "Bearer[-|-|-|-] Basic[-|-|-|-]");
}

static void test_bad_values_name_the_column(void **state)
{
    static const struct {
        const char *value, *place;
    } rows[] = {
        {"=x",                              "column 1 "                                                  },
        {"\"Basic\"",                       "column 1 "                                                  },
        {"realm=\"x\"",                     "column 6 "                                                  },
        {"Basic realm=\"x",                 "column 13 of WWW-Authenticate: the quoted string has no end"},
        {"Basic realm=\"x\\",               "column 13 "                                                 },
        {"Basic realm=\"x\x01\"",           "column 15 "                                                 },
        {"Basic realm=\"x\\\n\"",           "column 16 "                                                 },
        {"Basic realm=\"x\x7f\"",           "column 15 "                                                 },
        {"Basic realm=\"x\" service=\"y\"", "column 16 of WWW-Authenticate: expected a comma"            },
        {"Basic realm=\"x\"y",              "column 16 "                                                 },
        {"Basic realm=x y",                 "column 14 "                                                 },
        {"Basic realm=\"x\", Realm=y",
         "column 18 of WWW-Authenticate: a parameter that was given already"                             },
        {"Basic type=1, TYPE=2",            "column 15 "                                                 },
        {"Basic realm==x",                  "column 13 "                                                 },
        {"Basic @",                         "column 7 "                                                  },
        {"Negotiate YWJj=, realm=x",        "column 23 "                                                 },
        {"Negotiate YWJj== x",              "column 16 "                                                 },
        {"Basic; realm=x",                  "column 6 "                                                  },
        {"Basic\nrealm=x",                  "column 6 "                                                  },
        {"\xc3\xa9",                        "column 1 "                                                  },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct challenges list = {0};
        struct err e = ERR_INIT;

        if (parse(rows[i].value, &list, &e) >= 0)
            fail_msg("accepted: %s", rows[i].value);
        assert_int_equal(e.code, -EINVAL);
        assert_string_equal(e.reason, "BadChallenge");
        if (!strstr(e.msg, rows[i].place))
            fail_msg("%s: '%s' is not in '%s'", rows[i].value, rows[i].place, e.msg);
        assert_int_equal(list.n, 0);
        challenges_done(&list);
    }
}

static void test_a_nul_is_no_end(void **state)
{
    struct challenges list = {0};
    struct err e = ERR_INIT;

    (void)state;
    assert_fails(challenges_parse((struct text){"Basic\0 realm=x", 14}, &list, &e), -EINVAL,
                 "BadChallenge");
    assert_fails(challenges_parse((struct text){"Basic realm=\"\0\"", 15}, &list, &e), -EINVAL,
                 "BadChallenge");
    challenges_done(&list);
}

static void test_a_bad_value_leaves_the_list(void **state)
{
    struct challenges list = {0};
    struct err e = ERR_INIT;

    (void)state;
    assert_ok(parse("Basic realm=a", &list, &e));
    assert_ok(parse("Bearer realm=b", &list, &e));
    assert_fails(parse("Digest realm=c, X realm=\"", &list, &e), -EINVAL, "BadChallenge");
    assert_int_equal(list.n, 2);
    assert_string_equal(list.v[1].realm, "b");
    challenges_done(&list);
}

static void test_limits(void **state)
{
    struct challenges list = {0};
    struct err e = ERR_INIT;
    autobuf value = BUF_INIT;

    (void)state;
    for (int i = 0; i < CHALLENGE_LIMIT; i++)
        assert_ok(parse("X", &list, &e));
    assert_fails(parse("X", &list, &e), -EINVAL, "BadChallenge");
    assert_contains(e.msg, "too many challenges");
    challenges_done(&list);

    buf_addstr(&value, "X ");
    for (int i = 0; i < CHALLENGE_PARAM_LIMIT; i++)
        buf_addf(&value, "p%d=1,", i);
    assert_ok(parse(value.data, &list, &e));
    buf_addstr(&value, "more=1");
    assert_fails(parse(value.data, &list, &e), -EINVAL, "BadChallenge");
    assert_contains(e.msg, "too many parameters");

    while (value.len <= CHALLENGE_LIMIT_BYTES)
        buf_addc(&value, ' ');
    assert_fails(parse(value.data, &list, &e), -EINVAL, "BadChallenge");
    assert_contains(e.msg, "too long");
    challenges_done(&list);
}

static void test_the_best_is_a_bearer_with_a_realm(void **state)
{
    static const struct {
        const char *value, *realm;
    } rows[] = {
        {"Basic realm=a, bearer realm=b, Bearer realm=c", "b" },
        {"Negotiate, BASIC realm=a, Basic realm=b",       "a" },
        {"Bearer, Basic realm=a",                         "a" },
        {"Bearer realm=\"\", Basic realm=a",              "a" },
        {"Bearer service=x",                              NULL},
        {"Negotiate, Digest realm=a",                     NULL},
        {"",                                              NULL},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct challenges list = {0};
        struct err e = ERR_INIT;
        const struct challenge *best;

        assert_ok(parse(rows[i].value, &list, &e));
        best = challenges_best(&list);
        if (rows[i].realm)
            assert_string_equal(best->realm, rows[i].realm);
        else
            assert_null(best);
        challenges_done(&list);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_registries_send),
        cmocka_unit_test(test_several_in_one_value),
        cmocka_unit_test(test_odd_white_space_and_empty_elements),
        cmocka_unit_test(test_case_quotes_and_values),
        cmocka_unit_test(test_bad_values_name_the_column),
        cmocka_unit_test(test_a_nul_is_no_end),
        cmocka_unit_test(test_a_bad_value_leaves_the_list),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_the_best_is_a_bearer_with_a_realm),
    };

    return cmocka_run_group_tests_name("challenge", tests, NULL, NULL);
}
