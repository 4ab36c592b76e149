/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "agent/api/selector.h"

static struct pod_pair pairs[] = {
    {"app",   "web"},
    {"env",   "dev"},
    {"n",     "5"  },
    {"empty", ""   }
};
static struct pod_pairs labels = {pairs, 4};
static const char *const known[] = {"metadata.name", "status.phase", NULL};

static bool selects(const char *text)
{
    AUTO(selector) s = NULL;
    struct err e = ERR_INIT;

    assert_ok(selector_labels_parse(text, &s, &e));
    return selector_is_met(s, &labels);
}

static void labels_are_selected_as_kubectl_writes_it(void **state)
{
    static const struct {
        const char *text;
        bool is_met;
    } rows[] = {
        {"",                            true },
        {"app=web",                     true },
        {"app==web",                    true },
        {"app = web , env = dev",       true },
        {"app=db",                      false},
        {"app!=db",                     true },
        {"app!=web",                    false},
        {"none!=x",                     true },
        {"app",                         true },
        {"none",                        false},
        {"!none",                       true },
        {"! app",                       false},
        {"env in (dev,test)",           true },
        {"env in ( prod , test )",      false},
        {"env notin (prod)",            true },
        {"none notin (prod)",           true },
        {"env notin (dev),app",         false},
        {"n>4,n<6",                     true },
        {"n>5",                         false},
        {"app>1",                       false},
        {"empty=",                      true },
        {"empty",                       true },
        {"app=",                        false},
        {"app in (,web)",               true },
        {"in=x",                        false},
        {"app=web,!old,env in (dev),n", true },
    };

    (void)state;
    assert_true(selects(NULL));
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (selects(rows[i].text) != rows[i].is_met)
            fail_msg("'%s' is %s", rows[i].text, rows[i].is_met ? "not met" : "met");
}

static void what_is_no_selector_of_labels_is_refused(void **state)
{
    static const char *const rows[] = {"=a",          "app=web,,env=dev", "app web", "env in dev",
                                       "env in (dev", "app=a b",          "n>x",     "!app=web",
                                       ",",           "a/b/c=d",          "app=(x)", "app=-x"};

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct selector *s = NULL;
        struct err e = ERR_INIT;

        if (selector_labels_parse(rows[i], &s, &e) >= 0)
            fail_msg("'%s' was taken", rows[i]);
        assert_string_equal(e.reason, "BadSelector");
        assert_null(s);
    }
}

static void fields_are_selected_by_their_whole_value(void **state)
{
    AUTO(selector) s = NULL;
    struct pod_pair v[] = {
        {"metadata.name", "a b"    },
        {"status.phase",  "Running"}
    };
    struct pod_pairs fields = {v, 2};
    struct err e = ERR_INIT;

    (void)state;
    assert_ok(selector_fields_parse("metadata.name=a b,status.phase!=Failed", known, &s, &e));
    assert_true(selector_is_met(s, &fields));
    v[1].value = "Failed";
    assert_false(selector_is_met(s, &fields));
}

static void a_field_that_the_kind_has_not_is_an_error_with_a_suggestion(void **state)
{
    struct selector *s = NULL;
    struct err e = ERR_INIT;

    (void)state;
    assert_fails(selector_fields_parse("status.phse=x", known, &s, &e), -EINVAL, "BadSelector");
    assert_contains(e.msg, "did you mean 'status.phase'?");
    assert_fails(selector_fields_parse("metadata.name", known, &s, &e), -EINVAL, "BadSelector");
}

static void a_selector_that_is_too_long_is_refused(void **state)
{
    char text[10000], *at = text;
    struct selector *s = NULL;
    struct err e = ERR_INIT;

    (void)state;
    memset(text, 'a', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    assert_fails(selector_labels_parse(text, &s, &e), -EINVAL, "BadSelector");
    for (int i = 0; i < 65; i++)
        at += sprintf(at, "a%d,", i);
    at[-1] = '\0';
    assert_fails(selector_labels_parse(text, &s, &e), -EINVAL, "BadSelector");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(labels_are_selected_as_kubectl_writes_it),
        cmocka_unit_test(what_is_no_selector_of_labels_is_refused),
        cmocka_unit_test(fields_are_selected_by_their_whole_value),
        cmocka_unit_test(a_field_that_the_kind_has_not_is_an_error_with_a_suggestion),
        cmocka_unit_test(a_selector_that_is_too_long_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
