/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "base/json.h"

struct grant {
    char *guest;
    bool is_read_only;
};

struct nested {
    int64_t depth;
    char *word;
};

struct spec {
    char *name;
    bool is_on;
    bool has_memory;
    int64_t memory;
    struct strv args;
    struct nested nested;
    struct grant *dirs;
    size_t n_dirs;
    char *raw;
    int kind;
};

static int kind_parse(const char *text, void *field, struct err *e)
{
    if (strcmp(text, "a") != 0)
        return err_set(e, -EINVAL, "BadKind", "'%s' is no kind", text);
    *(int *)field = 7;
    return 0;
}

static const struct json_field grant_fields[] = {
    JSON_REQUIRED("guest", FIELD_STRING, struct grant, guest),
    JSON_FIELD("readOnly", FIELD_BOOL, struct grant, is_read_only),
    {0},
};
static const struct json_field nested_fields[] = {
    {.name = "depth",                   .type = FIELD_INT64, .offset = offsetof(struct nested, depth), .max = 10},
    {.name = "word", .type = FIELD_STRING, .offset = offsetof(struct nested, word), .limit = 5},
    {0                       },
};
static const struct json_field spec_fields[] = {
    JSON_REQUIRED("name", FIELD_STRING, struct spec, name),
    JSON_FIELD("on", FIELD_BOOL, struct spec, is_on),
    JSON_OPTIONAL("memory", FIELD_INT64, struct spec, memory),
    {.name = "args",                  .type = FIELD_STRINGS, .offset = offsetof(struct spec, args), .limit = 3},
    {.name = "nested",
                                                  .type = FIELD_OBJECT,
                                                  .offset = offsetof(struct spec, nested),
                                                  .fields = nested_fields},
    {.name = "dirs",
                                                  .type = FIELD_OBJECTS,
                                                  .offset = offsetof(struct spec, dirs),
                                                  .count_offset = offsetof(struct spec, n_dirs),
                                                  .elem_size = sizeof(struct grant),
                                                  .fields = grant_fields},
    JSON_FIELD("raw", FIELD_RAW, struct spec, raw),
    {.name = "kind",
                                                  .type = FIELD_CUSTOM,
                                                  .offset = offsetof(struct spec, kind),
                                                  .parse = kind_parse},
    {0 },
};

static const struct json_limits limits = {.bytes = 1000, .depth = 5};

static int decode(const char *text, int flags, struct spec *s, struct err *e)
{
    memset(s, 0, sizeof(*s));
    return json_decode(text, strlen(text), limits, spec_fields, flags, s, e);
}

static void test_decodes_everything(void **state)
{
    struct err e = ERR_INIT;
    struct spec s;

    (void)state;
    assert_ok(decode("{\"name\":\"n\",\"on\":true,\"memory\":0,\"args\":[\"a\",\"b\"],"
                     "\"nested\":{\"depth\":3,\"word\":\"w\"},\"extra\":1,"
                     "\"dirs\":[{\"guest\":\"/a\"},{\"guest\":\"/b\",\"readOnly\":true}],"
                     "\"raw\":{\"x\":[1,2]},\"kind\":\"a\"}",
                     0, &s, &e));
    assert_string_equal(s.name, "n");
    assert_true(s.is_on);
    assert_true(s.has_memory);
    assert_int_equal(s.memory, 0);
    assert_int_equal(s.args.n, 2);
    assert_int_equal(s.nested.depth, 3);
    assert_string_equal(s.nested.word, "w");
    assert_int_equal(s.n_dirs, 2);
    assert_string_equal(s.dirs[1].guest, "/b");
    assert_true(s.dirs[1].is_read_only);
    assert_string_equal(s.raw, "{\"x\":[1,2]}");
    assert_int_equal(s.kind, 7);
    json_fields_done(spec_fields, &s);
    assert_null(s.dirs);
}

static void test_absent_and_null(void **state)
{
    struct err e = ERR_INIT;
    struct spec s;

    (void)state;
    assert_ok(decode("{\"name\":\"n\"}", 0, &s, &e));
    assert_false(s.has_memory);
    json_fields_done(spec_fields, &s);
    assert_ok(decode("{\"name\":\"n\",\"memory\":null}", 0, &s, &e));
    assert_false(s.has_memory);
    json_fields_done(spec_fields, &s);
}

static void test_errors_name_the_place(void **state)
{
    static const struct {
        const char *text, *place;
        int code;
    } rows[] = {
        {"{}",                                                          "$.name: is missing",                         -EINVAL},
        {"[]",                                                          "$: expected an object",                      -EINVAL},
        {"{\"name\":1}",                                                "$.name: expected a string",                  -EINVAL},
        {"{\"name\":\"n\",\"dirs\":[{\"guest\":\"/\"},{\"guest\":5}]}",
         "$.dirs[1].guest: expected a string",                                                                        -EINVAL},
        {"{\"name\":\"n\",\"dirs\":[1]}",                               "$.dirs[0]: expected an object",              -EINVAL},
        {"{\"name\":\"n\",\"memory\":1.5}",                             "$.memory: expected a whole number",          -EINVAL},
        {"{\"name\":\"n\",\"nested\":{\"depth\":11}}",                  "$.nested.depth: 11 is not between 0 and 10",
         -ERANGE                                                                                                             },
        {"{\"name\":\"n\",\"nested\":{\"word\":\"longer\"}}",           "$.nested.word: longer than 5",
         -EFBIG                                                                                                              },
        {"{\"name\":\"n\",\"args\":[\"1\",\"2\",\"3\",\"4\"]}",         "$.args: more than 3",                        -EFBIG },
        {"{\"name\":\"n\",\"args\":[\"1\",2]}",                         "$.args[1]: expected a string",               -EINVAL},
        {"{\"name\":\"n\",\"kind\":\"b\"}",                             "$.kind: 'b' is no kind",                     -EINVAL},
        {"{\"name\":\"n\",\n\"on\":}",                                  "line 2",                                     -EINVAL},
        {"{\"name\":\"n\",\"name\":\"m\"}",                             "duplicate",                                  -EINVAL},
        {"{\"name\":\"\\u0000\"}",                                      "line 1",                                     -EINVAL},
        {"{\"name\":\"\xff\"}",                                         "line 1",                                     -EINVAL},
        {"[[[[[[]]]]]]",                                                "nested deeper than 5",                       -EINVAL},
        {"",                                                            "line 1",                                     -EINVAL},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct err e = ERR_INIT;
        struct spec s;

        assert_int_equal(decode(rows[i].text, 0, &s, &e), rows[i].code);
        assert_contains(e.msg, rows[i].place);
        /* Nothing is left to free. */
        assert_null(s.name);
        assert_null(s.dirs);
        assert_null(s.args.v);
    }
}

static void test_limits_and_unknown(void **state)
{
    struct err e = ERR_INIT;
    struct spec s;
    char text[1100];

    (void)state;
    assert_int_equal(decode("{\"name\":\"n\",\"extra\":1}", JSON_REFUSE_UNKNOWN, &s, &e), -EINVAL);
    assert_string_equal(e.msg, "$.extra: unknown field");
    assert_int_equal(decode("{\"nmae\":\"n\"}", JSON_REFUSE_UNKNOWN, &s, &e), -EINVAL);
    assert_string_equal(e.msg, "$.nmae: unknown field; did you mean 'name'?");
    memset(text, ' ', sizeof(text));
    assert_fails(json_decode(text, sizeof(text), limits, spec_fields, 0, &s, &e), -EFBIG,
                 "TooLarge");
}

struct loose {
    struct json_pairs texts, amounts;
};

static const struct json_field loose_fields[] = {
    JSON_FIELD("texts", FIELD_PAIRS, struct loose, texts),
    {.name = "amounts",
                                                 .type = FIELD_PAIRS,
                                                 .offset = offsetof(struct loose, amounts),
                                                 .limit = 2,
                                                 .takes_numbers = true},
    {.name = "anything", .type = FIELD_IGNORED, .why = "nobody needs it"},
    {.name = "ltexts",                      .type = FIELD_REFUSED, .why = "write texts"},
    {0                              },
};

static int loose_decode(const char *text, struct loose *ret, struct err *e)
{
    memset(ret, 0, sizeof(*ret));
    return json_decode(text, strlen(text), limits, loose_fields, JSON_REFUSE_UNKNOWN, ret, e);
}

static void pairs_keep_their_order_and_may_have_numbers(void **state)
{
    struct err e = ERR_INIT;
    struct loose l;

    (void)state;
    assert_ok(
        loose_decode("{\"texts\":{\"b\":\"1\",\"a\":\"\"},\"amounts\":{\"x\":1.5,\"y\":\"2m\"},"
                     "\"anything\":[{}]}",
                     &l, &e));
    assert_int_equal(l.texts.n, 2);
    assert_string_equal(l.texts.v[0].name, "b");
    assert_string_equal(l.texts.v[1].value, "");
    assert_string_equal(l.amounts.v[0].value, "1.5");
    assert_string_equal(l.amounts.v[1].value, "2m");
    json_fields_done(loose_fields, &l);
    assert_null(l.texts.v);

    assert_int_equal(loose_decode("{\"texts\":{\"b\":\"x\",\"a\":1}}", &l, &e), -EINVAL);
    assert_string_equal(e.msg, "$.texts.a: expected a string");
    assert_null(l.texts.v);
    assert_int_equal(loose_decode("{\"texts\":[]}", &l, &e), -EINVAL);
    assert_string_equal(e.msg, "$.texts: expected an object of strings");
    assert_int_equal(loose_decode("{\"amounts\":{\"a\":true}}", &l, &e), -EINVAL);
    assert_string_equal(e.msg, "$.amounts.a: expected a string or a number");
    assert_int_equal(loose_decode("{\"amounts\":{\"a\":1,\"b\":1,\"c\":1}}", &l, &e), -EFBIG);
}

static void a_refused_field_says_why_and_is_never_suggested(void **state)
{
    struct err e = ERR_INIT;
    struct loose l;

    (void)state;
    assert_int_equal(loose_decode("{\"ltexts\":1}", &l, &e), -ENOTSUP);
    assert_string_equal(e.msg, "$.ltexts: not supported: write texts");
    assert_int_equal(loose_decode("{\"ltextss\":1}", &l, &e), -EINVAL);
    assert_string_equal(e.msg, "$.ltextss: unknown field; did you mean 'texts'?");
}

struct numbers {
    uint64_t wide;
    int64_t narrow;
    int64_t *list;
    size_t n_list;
    char *raw;
};

static const struct json_field numbers_fields[] = {
    JSON_FIELD("wide", FIELD_UINT64, struct numbers, wide),
    {.name = "narrow",
                                                  .type = FIELD_INT64,
                                                  .offset = offsetof(struct numbers, narrow),
                                                  .min = -1,
                                                  .max = INT64_MAX},
    {.name = "list",
                                                  .type = FIELD_INT64S,
                                                  .offset = offsetof(struct numbers, list),
                                                  .count_offset = offsetof(struct numbers, n_list),
                                                  .limit = 3,
                                                  .min = 0,
                                                  .max = 9},
    JSON_FIELD("raw", FIELD_RAW, struct numbers, raw),
    {0                        },
};

static int numbers_decode(const char *text, int flags, struct numbers *ret, struct err *e)
{
    memset(ret, 0, sizeof(*ret));
    return json_decode(text, strlen(text), limits, numbers_fields, flags, ret, e);
}

static void wide_numbers_are_taken_where_they_are_asked_for(void **state)
{
    struct err e = ERR_INIT;
    struct numbers n;

    (void)state;
    assert_ok(numbers_decode("{\"wide\":18446744073709551615}", JSON_WRAP_UINT64, &n, &e));
    assert_true(n.wide == UINT64_MAX);
    assert_ok(numbers_decode("{\"wide\" : 9223372036854775808 }", JSON_WRAP_UINT64, &n, &e));
    assert_true(n.wide == 1ULL << 63);
    assert_ok(numbers_decode("{\"wide\":9223372036854775807}", 0, &n, &e));
    assert_true(n.wide == INT64_MAX);
    /* Text, fractions and exponents stay what they are. */
    assert_ok(numbers_decode("{\"raw\":[\"18446744073709551615 \\\" 18446744073709551615\","
                             "18446744073709551615.5,18446744073709551615e1],\"narrow\":-1}",
                             JSON_WRAP_UINT64, &n, &e));
    assert_int_equal(n.narrow, -1);
    assert_contains(n.raw, "18446744073709551615 \\\" 18446744073709551615");
    json_fields_done(numbers_fields, &n);

    assert_int_equal(numbers_decode("{\"wide\":18446744073709551615}", 0, &n, &e), -EINVAL);
    assert_int_equal(numbers_decode("{\"wide\":-1}", 0, &n, &e), -ERANGE);
    assert_string_equal(e.msg, "$.wide: -1 is negative");
    assert_int_equal(numbers_decode("{\"wide\":18446744073709551616}", JSON_WRAP_UINT64, &n, &e),
                     -EINVAL);
    assert_int_equal(numbers_decode("{\"narrow\":9223372036854775808}", JSON_WRAP_UINT64, &n, &e),
                     -ERANGE);
    assert_int_equal(numbers_decode("18446744073709551615", JSON_WRAP_UINT64, &n, &e), -EINVAL);
    assert_int_equal(numbers_decode("{\"a\\", JSON_WRAP_UINT64, &n, &e), -EINVAL);
}

static void a_list_of_numbers_has_their_range_and_its_limit(void **state)
{
    struct err e = ERR_INIT;
    struct numbers n;

    (void)state;
    assert_ok(numbers_decode("{\"list\":[3,0,9]}", 0, &n, &e));
    assert_int_equal(n.n_list, 3);
    assert_int_equal(n.list[2], 9);
    assert_ok(json_fields_check(numbers_fields, &n, &e));
    n.list[1] = 10;
    assert_int_equal(json_fields_check(numbers_fields, &n, &e), -ERANGE);
    json_fields_done(numbers_fields, &n);
    assert_null(n.list);
    assert_int_equal(n.n_list, 0);
    assert_int_equal(numbers_decode("{\"list\":[3,10]}", 0, &n, &e), -ERANGE);
    assert_string_equal(e.msg, "$.list[1]: 10 is not between 0 and 9");
    assert_null(n.list);
    assert_int_equal(numbers_decode("{\"list\":[1,1,1,1]}", 0, &n, &e), -EFBIG);
    assert_int_equal(numbers_decode("{\"list\":[\"1\"]}", 0, &n, &e), -EINVAL);
}

static int members(const char *text, struct json_members *m, struct err *e)
{
    return json_members_decode(text, strlen(text), limits, m, e);
}

static void test_members_are_the_bytes_of_the_text(void **state)
{
    static const struct {
        const char *key, *value;
    } rows[] = {
        {"a b",      "1.10"                },
        {"q\"\\",    "\"}\\\"]{\\u00e9\""  },
        {"\xc3\xa9", "{ \"x\" : [1,\t{}] }"},
        {"",         "[]"                  },
        {"true",     "true"                },
        {"null",     "null"                },
        {"s",        "\"\""                },
    };
    struct json_members m = {0};
    struct err e = ERR_INIT;

    (void)state;
    assert_ok(members(" {\"a b\":1.10 ,\n\"q\\\"\\\\\" :\"\\u007d\"}", &m, &e));
    assert_int_equal(m.n, 2);
    assert_string_equal(m.v[1].key, "q\"\\");
    json_members_done(&m);
    assert_null(m.v);

    assert_ok(members("{\"a b\":1.10,\"q\\\"\\\\\":\"}\\\"]{\\u00e9\",\r\n"
                      "\"\\u00e9\":{ \"x\" : [1,\t{}] }\t,\"\":[], \"true\":true,\"null\" : null ,"
                      "\"s\":\"\"\n}\n",
                      &m, &e));
    assert_int_equal(m.n, ARRAY_SIZE(rows));
    for (size_t i = 0; i < m.n; i++) {
        assert_string_equal(m.v[i].key, rows[i].key);
        assert_int_equal(m.v[i].len, strlen(rows[i].value));
        assert_memory_equal(m.v[i].value, rows[i].value, m.v[i].len);
        assert_ptr_equal(json_member_find(&m, rows[i].key), &m.v[i]);
    }
    assert_null(json_member_find(&m, "none"));
    json_members_done(&m);
    assert_ok(members("{ }", &m, &e));
    assert_int_equal(m.n, 0);
    json_members_done(&m);
}

static void test_members_keep_the_order_of_many(void **state)
{
    const struct json_limits many = {.bytes = 1 << 16, .depth = 2};
    struct json_members m = {0};
    struct err e = ERR_INIT;
    autobuf text = BUF_INIT;

    (void)state;
    for (int i = 0; i < 500; i++)
        buf_addf(&text, "%s\"key%d\":%d", i ? "," : "{", i * 7919 % 500, i);
    buf_addc(&text, '}');
    assert_ok(json_members_decode(text.data, text.len, many, &m, &e));
    assert_int_equal(m.n, 500);
    for (size_t i = 0; i < m.n; i++) {
        assert_int_equal(strtol(m.v[i].key + 3, NULL, 10), (int)i * 7919 % 500);
        assert_int_equal(strtol(m.v[i].value, NULL, 10), (int)i);
    }
    json_members_done(&m);
}

static void test_members_errors_quote_nothing(void **state)
{
    static const struct {
        const char *text, *place;
    } rows[] = {
        {"[]",                             "$: expected an object"},
        {"{\"secret\":\"secret\" secret}", "line 1, column"       },
        {"{\"secret\":1,\"secret\":2}",    "duplicate"            },
        {"{\"a\":\"secret",                "line 1, column"       },
        {"",                               "line 1"               },
        {"{} secret",                      "line 1"               },
        {"[[[[[[1]]]]]]",                  "deeper than 5"        },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct json_members m = {0};
        struct err e = ERR_INIT;

        assert_fails(members(rows[i].text, &m, &e), -EINVAL, "BadJson");
        assert_contains(e.msg, rows[i].place);
        assert_null(strstr(e.msg, "secret"));
        assert_null(m.v);
    }
}

static void test_writer(void **state)
{
    autobuf b = BUF_INIT;
    autostrv list = STRV_INIT;
    struct json_writer w;
    struct err e = ERR_INIT;

    (void)state;
    strv_add(&list, "x");
    strv_add(&list, "y");
    json_writer_init(&w, &b, false);
    json_begin_object(&w);
    json_key_str(&w, "a\"b", "line\nend \\ \x01 \xc3\xa9");
    json_key_str(&w, "none", NULL);
    json_key_int(&w, "i", INT64_MIN);
    json_key_uint(&w, "u", UINT64_MAX);
    json_key_bool(&w, "t", true);
    json_key_strings(&w, "l", &list);
    json_key(&w, "o");
    json_begin_array(&w);
    json_begin_object(&w);
    json_end_object(&w);
    json_double(&w, 1.5);
    json_raw(&w, "[]", 2);
    json_end_array(&w);
    json_end_object(&w);
    assert_ok(json_writer_finish(&w, &e));
    assert_string_equal(b.data, "{\"a\\\"b\":\"line\\nend \\\\ \\u0001 \xc3\xa9\",\"none\":null,"
                                "\"i\":-9223372036854775808,\"u\":18446744073709551615,\"t\":true,"
                                "\"l\":[\"x\",\"y\"],\"o\":[{},1.5,[]]}");
}

static void test_pretty(void **state)
{
    autobuf b = BUF_INIT;
    struct json_writer w;
    struct err e = ERR_INIT;

    (void)state;
    json_writer_init(&w, &b, true);
    json_begin_object(&w);
    json_key_int(&w, "a", 1);
    json_key(&w, "b");
    json_begin_array(&w);
    json_int(&w, 2);
    json_end_array(&w);
    json_key(&w, "c");
    json_begin_array(&w);
    json_end_array(&w);
    json_end_object(&w);
    assert_ok(json_writer_finish(&w, &e));
    assert_string_equal(b.data, "{\n  \"a\": 1,\n  \"b\": [\n    2\n  ],\n  \"c\": []\n}\n");
}

static void test_not_utf8(void **state)
{
    static const struct {
        const char *text;
        bool is_valid;
    } rows[] = {
        {"plain",            true },
        {"\xc3\xa9",         true },
        {"\xf0\x9f\x98\x80", true },
        {"\xff",             false},
        {"\xc3",             false},
        {"\xc0\x80",         false},
        {"\xed\xa0\x80",     false},
        {"\xf4\x90\x80\x80", false},
        {"\xe0\x80\x80",     false},
        {"a\x80",            false},
        {"\xef\xbf\xbf",     true },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        autobuf b = BUF_INIT;
        struct json_writer w;
        struct err e = ERR_INIT;

        assert_int_equal(utf8_is_valid(rows[i].text, strlen(rows[i].text)), rows[i].is_valid);
        json_writer_init(&w, &b, false);
        json_str(&w, rows[i].text);
        if (rows[i].is_valid)
            assert_ok(json_writer_finish(&w, &e));
        else
            assert_fails(json_writer_finish(&w, &e), -EILSEQ, "BadText");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decodes_everything),
        cmocka_unit_test(test_absent_and_null),
        cmocka_unit_test(test_errors_name_the_place),
        cmocka_unit_test(test_limits_and_unknown),
        cmocka_unit_test(pairs_keep_their_order_and_may_have_numbers),
        cmocka_unit_test(a_refused_field_says_why_and_is_never_suggested),
        cmocka_unit_test(test_members_are_the_bytes_of_the_text),
        cmocka_unit_test(test_members_keep_the_order_of_many),
        cmocka_unit_test(test_members_errors_quote_nothing),
        cmocka_unit_test(wide_numbers_are_taken_where_they_are_asked_for),
        cmocka_unit_test(a_list_of_numbers_has_their_range_and_its_limit),
        cmocka_unit_test(test_writer),
        cmocka_unit_test(test_pretty),
        cmocka_unit_test(test_not_utf8),
    };
    return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
