/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "base/base64.h"

/* RFC 4648, section 10, and what uses the whole alphabet. */
static const struct {
    const char *plain;
    size_t len;
    const char *text;
} rows[] = {
    {"",                         0,  ""                    },
    {"f",                        1,  "Zg=="                },
    {"fo",                       2,  "Zm8="                },
    {"foo",                      3,  "Zm9v"                },
    {"foob",                     4,  "Zm9vYg=="            },
    {"fooba",                    5,  "Zm9vYmE="            },
    {"foobar",                   6,  "Zm9vYmFy"            },
    {"\xfb\xef\xbe\xff\xff\xff", 6,  "++++////"            },
    {"\0\0",                     2,  "AAA="                },
    {"user:pass word",           14, "dXNlcjpwYXNzIHdvcmQ="},
};

static void test_encodes_and_decodes(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct err e = ERR_INIT;
        autobuf text = BUF_INIT;
        autobuf plain = BUF_INIT;

        base64_encode(rows[i].plain, rows[i].len, &text);
        assert_string_equal(buf_str(&text), rows[i].text);
        assert_ok(base64_decode(rows[i].text, strlen(rows[i].text), &plain, &e));
        assert_int_equal(plain.len, rows[i].len);
        assert_memory_equal(buf_str(&plain), rows[i].plain, rows[i].len);
    }
}

static void test_every_byte_survives(void **state)
{
    unsigned char all[256];
    struct err e = ERR_INIT;

    (void)state;
    for (size_t i = 0; i < sizeof(all); i++)
        all[i] = (unsigned char)(255 - i);
    for (size_t len = 0; len <= sizeof(all); len++) {
        autobuf text = BUF_INIT;
        autobuf plain = BUF_INIT;

        base64_encode(all, len, &text);
        assert_ok(base64_decode(buf_str(&text), text.len, &plain, &e));
        assert_int_equal(plain.len, len);
        assert_memory_equal(buf_str(&plain), all, len);
    }
}

static void test_refuses_what_is_not_strict(void **state)
{
    static const struct {
        const char *text, *place;
    } bad[] = {
        {"Z",          "1 characters"},
        {"Zg",         "2 characters"},
        {"Zg=",        "3 characters"},
        {"Zh==",       "character 2" },
        {"Zm9=",       "character 3" },
        {"Z===",       "character 2" },
        {"====",       "character 1" },
        {"Zg==Zg==",   "character 3" },
        {"Zm9vZm=v",   "character 7" },
        {"Zm 9",       "character 3" },
        {"Zm9\n",      "character 4" },
        {"Zm-_",       "character 3" },
        {"\xc3\xa9xx", "character 1" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct err e = ERR_INIT;
        autobuf out = BUF_INIT;

        buf_addstr(&out, "kept");
        assert_fails(base64_decode(bad[i].text, strlen(bad[i].text), &out, &e), -EINVAL,
                     "BadBase64");
        assert_contains(e.msg, bad[i].place);
        assert_string_equal(out.data, "kept");
        assert_int_equal(out.len, 4);
    }
}

static void test_a_nul_is_no_character(void **state)
{
    struct err e = ERR_INIT;
    autobuf out = BUF_INIT;

    (void)state;
    assert_fails(base64_decode("Zm\0v", 4, &out, &e), -EINVAL, "BadBase64");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_encodes_and_decodes),
        cmocka_unit_test(test_every_byte_survives),
        cmocka_unit_test(test_refuses_what_is_not_strict),
        cmocka_unit_test(test_a_nul_is_no_character),
    };

    return cmocka_run_group_tests_name("base64", tests, NULL, NULL);
}
