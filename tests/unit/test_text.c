/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "base/json.h"
#include "base/text.h"

static void test_none_is_not_empty(void **state)
{
    (void)state;
    assert_null(text_of(NULL).data);
    assert_non_null(text_of("").data);
    assert_true(text_eq(text_of(NULL), ""));
    assert_true(text_eq(text_of("ab"), "ab"));
    assert_false(text_eq(text_of("ab"), "abc"));
}

static void test_names_ignore_case(void **state)
{
    (void)state;
    assert_true(text_same_name(text_of("Content-Type"), text_of("cONTENT-tYPE")));
    assert_false(text_same_name(text_of("Content-Type"), text_of("Content-Typ")));
    /* Only letters have a case: '[' and '{', '@' and '`' differ by the same bit. */
    assert_false(text_same_name(text_of("["), text_of("{")));
    assert_false(text_same_name(text_of("@"), text_of("`")));
}

static void test_bad_utf8_is_replaced(void **state)
{
    static const struct {
        const char *in, *out;
    } cases[] = {
        {"",                     ""                                    },
        {"plain",                "plain"                               },
        {"gr\xc3\xbc\xc3\x9f",   "gr\xc3\xbc\xc3\x9f"                  },
        {"a\xff"
         "b",           "a\xef\xbf\xbd"
         "b"                                     },
        {"\xe2\x82",             "\xef\xbf\xbd\xef\xbf\xbd"            },
        {"\xf0\x9f\x98\x80\x80", "\xf0\x9f\x98\x80\xef\xbf\xbd"        },
        {"\xed\xa0\x80",         "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
        {"\xc0\xaf",             "\xef\xbf\xbd\xef\xbf\xbd"            },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        autobuf out = BUF_INIT;

        text_lossy_add(text_of(cases[i].in), &out);
        assert_string_equal(buf_str(&out), cases[i].out);
        assert_true(utf8_is_valid(buf_str(&out), out.len));
    }
}

static void test_mute(void **state)
{
    char line[] = "a\x1b[2J\x7f\n\xc3\xa9\xc2\x9b\xc2\xa0\xc2", lines[] = "a\r\nb";

    (void)state;
    text_mute(line, strlen(line), false);
    assert_string_equal(line, "a?[2J??\xc3\xa9??\xc2\xa0\xc2");
    text_mute(lines, strlen(lines), true);
    assert_string_equal(lines, "a?\nb");
}

static void test_numbers(void **state)
{
    autobuf out = BUF_INIT;

    (void)state;
    text_uint_add(0, &out);
    buf_addc(&out, ' ');
    text_uint_add(1234567890, &out);
    buf_addc(&out, ' ');
    text_uint_add(UINT64_MAX, &out);
    assert_string_equal(out.data, "0 1234567890 18446744073709551615");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_none_is_not_empty),
        cmocka_unit_test(test_names_ignore_case),
        cmocka_unit_test(test_bad_utf8_is_replaced),
        cmocka_unit_test(test_mute),
        cmocka_unit_test(test_numbers),
    };
    return cmocka_run_group_tests_name("text", tests, NULL, NULL);
}
