/* SPDX-License-Identifier: Apache-2.0 */
/* The forms of names. */
#include "unit.h"

#include "base/util.h"
#include "manifest/names.h"

#define A63 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

/* Words with blanks between, each of which is a name, or none of them. A leading blank makes
 * the empty text the first of them. */
static void assert_names(bool (*is_name)(const char *), bool is_expected, const char *words)
{
    char text[512];

    snprintf(text, sizeof(text), "%s", words);
    for (char *rest = text, *word; (word = strsep(&rest, " "));)
        if (is_name(word) != is_expected)
            fail_msg("'%s' is %s", word, is_expected ? "refused" : "accepted");
}

static void names_follow_the_rules_of_kubernetes(void **state)
{
    (void)state;
    assert_names(name_is_label, true, "a 0 a-b x1 " A63);
    assert_names(name_is_label, false, " -a a- A a.b a_b " A63 "a");
    assert_names(name_is_subdomain, true, "a a.b-c.d 0.1 " A63 "a");
    assert_names(name_is_subdomain, false, " . .a a. a..b a.-b a-.b A -");
    assert_names(name_is_port, true, "http a1 web-9");
    assert_names(name_is_port, false, " 80 -a a- a--b Http aaaaaaaaaaaaaaaa");
    assert_names(name_is_qualified, true, "a A_b.c-9 x.io/name a.b/C");
    assert_names(name_is_qualified, false, " /a a/ a/b/c -a X/y " A63 "a");
    assert_names(name_is_label_value, true, " 1.0 a_b");
    assert_names(name_is_label_value, false, "- a/ -a " A63 "a");
    assert_names(name_is_key, true, "a .env a.b_c-D");
    assert_names(name_is_key, false, " . .. ..a a/b a*");
    assert_names(name_is_variable, true, "A a.b-c _ 1");
    assert_names(name_is_variable, false, " a=b a\n \xc3\xa4");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_follow_the_rules_of_kubernetes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
