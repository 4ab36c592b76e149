/* SPDX-License-Identifier: Apache-2.0 */
/* YAML, and with it JSON, as documents that know their lines. */
#include "unit.h"

#include <time.h>

#include "base/buf.h"
#include "manifest/document.h"

/* Every document of the text as JSON, each in a line. */
static int show(struct text text, struct buf *out, struct err *e)
{
    AUTO(document_reader) r = NULL;

    TRY(document_reader_open(text, "f", &r, e));
    for (;;) {
        AUTO(document) d = NULL;

        TRY(document_next(r, &d, e));
        if (!d)
            return 0;
        if (out->len)
            buf_addc(out, '\n');
        document_json_add(d->root, "$", NULL, 0, out);
    }
}

static void assert_shows(const char *text, const char *json)
{
    struct err e = ERR_INIT;
    autobuf out = BUF_INIT;

    assert_ok(show(text_of(text), &out, &e));
    assert_string_equal(buf_str(&out), json);
}

static void assert_bad(const char *text, const char *said)
{
    struct err e = ERR_INIT;
    autobuf out = BUF_INIT;

    assert_fails(show(text_of(text), &out, &e), -EINVAL, "BadYaml");
    assert_string_equal(e.msg, said);
}

static void words_mean_what_they_mean_to_kubectl(void **state)
{
    (void)state;
    assert_shows("a: yes", "{\"a\":true}");
    assert_shows("a: On", "{\"a\":true}");
    assert_shows("a: y", "{\"a\":true}");
    assert_shows("a: off", "{\"a\":false}");
    assert_shows("a: 'yes'", "{\"a\":\"yes\"}");
    assert_shows("a: \"1\"", "{\"a\":\"1\"}");
    assert_shows("a: yEs", "{\"a\":\"yEs\"}");
    assert_shows("a:", "{\"a\":null}");
    assert_shows("a: ~", "{\"a\":null}");
    assert_shows("a: ''", "{\"a\":\"\"}");
    assert_shows("a: 0644", "{\"a\":420}");
    assert_shows("a: 0o644", "{\"a\":420}");
    assert_shows("a: 0x1F", "{\"a\":31}");
    assert_shows("a: 0b101", "{\"a\":5}");
    assert_shows("a: -017", "{\"a\":-15}");
    assert_shows("a: 089", "{\"a\":89}");
    assert_shows("a: +7", "{\"a\":7}");
    assert_shows("a: 1_000", "{\"a\":1000}");
    assert_shows("a: -9223372036854775808", "{\"a\":-9223372036854775808}");
    assert_shows("a: 1.50", "{\"a\":1.5}");
    assert_shows("a: .1", "{\"a\":0.1}");
    assert_shows("a: 1e3", "{\"a\":1000}");
    assert_shows("a: 1.2.3", "{\"a\":\"1.2.3\"}");
    assert_shows("a: 0x", "{\"a\":\"0x\"}");
    assert_shows("a: 0x0x1", "{\"a\":\"0x0x1\"}");
    assert_shows("a: '-'", "{\"a\":\"-\"}");
    assert_shows("a: 10:30", "{\"a\":\"10:30\"}");
    assert_shows("a: 2026-11-27", "{\"a\":\"2026-11-27\"}");
    assert_shows("a: 100m", "{\"a\":\"100m\"}");
    assert_shows("a: !!str 12", "{\"a\":\"12\"}");
    assert_shows("a: ! 12", "{\"a\":\"12\"}");
    assert_shows("a: !!int '12'", "{\"a\":12}");
    assert_shows("a: !!float 12", "{\"a\":12}");
    assert_shows("1: a\nyes: b\n1.5: c", "{\"1\":\"a\",\"true\":\"b\",\"1.5\":\"c\"}");
    assert_shows("a: |\n  x\n  y\nb: >-\n  p\n  q\n", "{\"a\":\"x\\ny\\n\",\"b\":\"p q\"}");
    assert_shows("[a, {b: c}, []]", "[\"a\",{\"b\":\"c\"},[]]");
    assert_shows("plain", "\"plain\"");
    assert_shows("\xef\xbb\xbf"
                 "a: 1",
                 "{\"a\":1}");
    assert_shows("a: \"\\u00e9\\t\\/\"", "{\"a\":\"\xc3\xa9\\t/\"}");
}

static void json_is_read_as_well(void **state)
{
    (void)state;
    assert_shows("{\"a\":\"b\",\"c\":[1,-2.5,true,null],\n\t\"d\":{\"e\":\"\\n\"}}",
                 "{\"a\":\"b\",\"c\":[1,-2.5,true,null],\"d\":{\"e\":\"\\n\"}}");
}

static void documents_come_one_after_the_other_and_empty_ones_do_not(void **state)
{
    (void)state;
    assert_shows("", "");
    assert_shows("# nothing\n---\n---\n~\n", "");
    assert_shows("---\na: 1\n---\n# nothing\n---\nb: 2\n...\n---\n- c\n",
                 "{\"a\":1}\n{\"b\":2}\n[\"c\"]");
}

static void aliases_and_merge_keys_are_written_out(void **state)
{
    (void)state;
    assert_shows("a: &x {p: 1, q: 2}\nb: *x\nc: &s text\nd: *s",
                 "{\"a\":{\"p\":1,\"q\":2},\"b\":{\"p\":1,\"q\":2},\"c\":\"text\",\"d\":\"text\"}");
    /* What a map says itself wins, wherever it says it, then what is merged first. */
    assert_shows("a: &x {p: 1, q: 2}\nb: {q: 3, <<: *x}\nc: {<<: *x, q: 4}",
                 "{\"a\":{\"p\":1,\"q\":2},\"b\":{\"q\":3,\"p\":1},\"c\":{\"q\":4,\"p\":1}}");
    assert_shows("a: &x {p: 1}\nb: &y {p: 2, r: 3}\nc: {<<: [*x, *y]}",
                 "{\"a\":{\"p\":1},\"b\":{\"p\":2,\"r\":3},\"c\":{\"p\":1,\"r\":3}}");
    assert_shows("a: {'<<': 1}", "{\"a\":{\"<<\":1}}");
    /* An anchor that is set again counts from there, and ends with its document. */
    assert_shows("a: &x 1\nb: *x\nc: &x 2\nd: *x", "{\"a\":1,\"b\":1,\"c\":2,\"d\":2}");
}

static void errors_say_where_and_what(void **state)
{
    (void)state;
    assert_bad("a: 1\nb: [1, 2\nc: 3\n",
               "f:3:2: did not find expected ',' or ']' (while parsing a flow sequence)");
    assert_bad(
        "a:\n\t- b\n",
        "f:2:1: found character that cannot start any token (while scanning for the next token)");
    assert_bad("a: b: c", "f:1:5: mapping values are not allowed in this context");
    assert_bad("\"\\e[m\": 1\n\"\\e[m\": 2\n",
               "f:2:1: the key '?[m' is there twice, first in line 1");
    assert_bad("a: 1\nb: 2\na: 3\n", "f:3:1: the key 'a' is there twice, first in line 1");
    assert_bad("x:\n  {p: 1, \"p\": 2}", "f:2:10: the key 'p' is there twice, first in line 2");
    assert_bad("1: a\n'1': b", "f:2:1: the key '1' is there twice, first in line 1");
    assert_bad("{a: 1}: b", "f:1:1: a key has to be a string, not a list or map");
    assert_bad("~: b", "f:1:1: a key has to be a string");
    assert_bad("a: &x [1]\n*x : b", "f:2:1: a key has to be a string");
    assert_bad(
        "a: *x",
        "f:1:4: an alias without an anchor before it; write text that begins with '*' in quotes");
    assert_bad(
        "a: &x 1\n---\nb: *x",
        "f:3:4: an alias without an anchor before it; write text that begins with '*' in quotes");
    assert_bad("a: &x [*x]", "f:1:8: an alias inside of what it stands for");
    assert_bad("a: {<<: 1}", "f:1:9: '<<' wants a map, or a list of maps");
    assert_bad("a: {<<: [{b: 1}, 2]}", "f:1:9: '<<' wants a map, or a list of maps");
    assert_bad("a: .inf", "f:1:4: '.inf' is a number that JSON does not have");
    assert_bad("a: !!int x", "f:1:4: the value is no !!int");
    assert_bad("a: !!int 1.5", "f:1:4: the value is no !!int");
    assert_bad("a: !mine x", "f:1:4: an unknown tag; write text that begins with '!' in quotes");
    assert_bad("a: !!set {}", "f:1:4: an unknown tag; write text that begins with '!' in quotes");
    assert_bad("a: \"\\0\"", "f:1:4: a text with a NUL character");
    assert_bad("ok: 1\nb: \xff\n", "f:2:4: not UTF-8 text, or a character that YAML does not allow "
                                   "(invalid leading UTF-8 octet)");
    assert_bad("ok: 1\nb: \x01\n", "f:2:4: not UTF-8 text, or a character that YAML does not allow "
                                   "(control characters are not allowed)");
}

static double now_s(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void a_document_that_multiplies_itself_is_refused_at_once(void **state)
{
    double before = now_s();
    struct err e = ERR_INIT;
    autobuf text = BUF_INIT;
    autobuf merges = BUF_INIT;
    autobuf out = BUF_INIT;

    (void)state;
    buf_addstr(&text, "a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]\n");
    for (int i = 1; i < 20; i++)
        buf_addf(&text, "a%d: &a%d [*a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d]\n",
                 i, i, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1);
    assert_fails(show((struct text){text.data, text.len}, &out, &e), -EFBIG, "TooLarge");
    assert_string_equal(e.msg,
                        "f:7:15: more than 2000000 values, with those that aliases stand for");
    assert_true(out.len == 0);

    /* A long text many times. */
    buf_clear(&text);
    buf_addstr(&text, "a: &a '");
    for (int i = 0; i < 100000; i++)
        buf_addstr(&text, "0123456789");
    buf_addstr(&text, "'\nb:\n");
    for (int i = 0; i < 100; i++)
        buf_addstr(&text, "- *a\n");
    assert_fails(show((struct text){text.data, text.len}, &out, &e), -EFBIG, "TooLarge");
    assert_contains(e.msg, "f:70:3: more than 64 MiB");

    /* Merge keys within each other. */
    buf_addstr(&merges, "a: &a {");
    for (int i = 0; i < 100000; i++)
        buf_addf(&merges, "k%d: ,", i);
    buf_addstr(&merges, "}\nb:\n");
    for (int i = 0; i < 20; i++)
        buf_addstr(&merges, "- <<: [*a, *a, *a]\n");
    assert_fails(show((struct text){merges.data, merges.len}, &out, &e), -EFBIG, "TooLarge");
    assert_contains(e.msg, "f:6:7: merge keys bring more than");
    assert_true(now_s() - before < 20);
}

static void depth_and_number_of_documents_are_limited(void **state)
{
    struct err e = ERR_INIT;
    autobuf text = BUF_INIT;
    autobuf many = BUF_INIT;
    autobuf aliases = BUF_INIT;
    autobuf out = BUF_INIT;

    (void)state;
    for (int i = 0; i < 31; i++)
        buf_addc(&text, '[');
    assert_fails(show((struct text){text.data, text.len}, &out, &e), -EFBIG, "TooLarge");
    assert_string_equal(e.msg, "f:1:31: nested deeper than 30 levels");

    buf_addstr(&aliases, "a0: &a0 [x]\n");
    for (int i = 1; i < 40; i++)
        buf_addf(&aliases, "a%d: &a%d [*a%d]\n", i, i, i - 1);
    assert_fails(show((struct text){aliases.data, aliases.len}, &out, &e), -EFBIG, "TooLarge");
    assert_string_equal(e.msg, "f:30:6: nested deeper than 30 levels");

    for (int i = 0; i < DOCUMENT_LIMIT; i++)
        buf_addstr(&many, "--- {a: b}\n");
    assert_ok(show((struct text){many.data, many.len}, &out, &e));
    buf_addstr(&many, "--- {a: b}\n");
    assert_fails(show((struct text){many.data, many.len}, &out, &e), -EFBIG, "TooLarge");
    assert_string_equal(e.msg, "f:10001:1: more than 10000 documents");
    assert_fails(show((struct text){many.data, DOCUMENT_LIMIT_BYTES + 1}, &out, &e), -EFBIG,
                 "TooLarge");
}

static void after_an_error_nothing_more_is_read(void **state)
{
    AUTO(document_reader) r = NULL;
    AUTO(document) d = NULL;
    struct err e = ERR_INIT;

    (void)state;
    assert_ok(document_reader_open(text_of("a: *x\n---\nb: 1\n"), "f", &r, &e));
    assert_fails(document_next(r, &d, &e), -EINVAL, "BadYaml");
    assert_ok(document_next(r, &d, &e));
    assert_null(d);
}

static void paths_lead_to_lines(void **state)
{
    static const struct {
        const char *path;
        unsigned line, column;
    } rows[] = {
        {"$",                                  1, 1},
        {"$.metadata.name",                    2, 3},
        {"$.metadata.a.b/c",                   3, 3},
        {"$.metadata.a",                       1, 1},
        {"$.spec.list[1].name: is missing",    7, 5},
        {"$.spec.list[1].value: is bad",       8, 5},
        {"$.spec.list[0].value.deeper",        6, 5},
        {"$.spec.list[9]",                     5, 3},
        {"line 1, column 2: a text of JSON's", 1, 1},
    };
    AUTO(document_reader) r = NULL;
    AUTO(document) d = NULL;
    struct err e = ERR_INIT;

    (void)state;
    assert_ok(document_reader_open(text_of("metadata:\n  name: x\n  a.b/c: y\nspec:\n  list:\n"
                                           "  - value: 1\n  - other: 2\n    value: 3\n"),
                                   "f", &r, &e));
    assert_ok(document_next(r, &d, &e));
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        unsigned line, column;

        document_locate(d->root, rows[i].path, &line, &column);
        if (line != rows[i].line || column != rows[i].column)
            fail_msg("%s is at %u:%u", rows[i].path, line, column);
    }
}

static void edits_replace_add_and_leave_out(void **state)
{
    static const struct document_edit edits[] = {
        {"$.a[1]", "x", "7"  },
        {"$.a[1]", "z", "[8]"},
        {"$",      "b", NULL },
        {"$.a[0]", "y", "9"  },
    };
    AUTO(document_reader) r = NULL;
    AUTO(document) d = NULL;
    struct err e = ERR_INIT;
    autobuf out = BUF_INIT;

    (void)state;
    assert_ok(document_reader_open(text_of("{a: [{x: 1}, {x: 2}], b: 3, c: 4}"), "f", &r, &e));
    assert_ok(document_next(r, &d, &e));
    document_json_add(d->root, "$", edits, ARRAY_SIZE(edits), &out);
    assert_string_equal(buf_str(&out), "{\"a\":[{\"x\":1,\"y\":9},{\"x\":7,\"z\":[8]}],\"c\":4}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_mean_what_they_mean_to_kubectl),
        cmocka_unit_test(json_is_read_as_well),
        cmocka_unit_test(documents_come_one_after_the_other_and_empty_ones_do_not),
        cmocka_unit_test(aliases_and_merge_keys_are_written_out),
        cmocka_unit_test(errors_say_where_and_what),
        cmocka_unit_test(a_document_that_multiplies_itself_is_refused_at_once),
        cmocka_unit_test(depth_and_number_of_documents_are_limited),
        cmocka_unit_test(after_an_error_nothing_more_is_read),
        cmocka_unit_test(paths_lead_to_lines),
        cmocka_unit_test(edits_replace_add_and_leave_out),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
