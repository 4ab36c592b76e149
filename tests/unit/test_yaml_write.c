/* SPDX-License-Identifier: Apache-2.0 */
/* JSON to YAML, and back by the manifests' own reader. */
#include "unit.h"

#include "manifest/document.h"
#include "manifest/yaml_write.h"

static const struct json_limits limits = {1 << 20, 30};

static void write_yaml(const char *json, struct buf *out)
{
    AUTO(json_value) v = NULL;
    struct err e = ERR_INIT;

    assert_ok(json_value_parse(json, strlen(json), limits, &v, &e));
    yaml_write(v, out);
}

static void assert_yaml(const char *json, const char *yaml)
{
    autobuf out = BUF_INIT;

    write_yaml(json, &out);
    assert_string_equal(buf_str(&out), yaml);
}

static void assert_round_trip(const char *json)
{
    AUTO(document_reader) reader = NULL;
    AUTO(document) doc = NULL;
    autobuf yaml = BUF_INIT, back = BUF_INIT;
    struct err e = ERR_INIT;

    write_yaml(json, &yaml);
    assert_ok(document_reader_open((struct text){yaml.data, yaml.len}, "y", &reader, &e));
    assert_ok(document_next(reader, &doc, &e));
    assert_non_null(doc);
    document_json_add(doc->root, "$", NULL, 0, &back);
    assert_string_equal(buf_str(&back), json);
}

static void objects_look_as_kubectl_writes_them(void **state)
{
    (void)state;
    assert_yaml("{\"kind\":\"Pod\",\"metadata\":{\"name\":\"web\",\"labels\":{\"n\":\"1\"},"
                "\"creationTimestamp\":\"2026-11-27T04:05:37Z\"},"
                "\"spec\":{\"containers\":[{\"name\":\"a\",\"args\":[\"-x\",\"a b\"]},"
                "{\"name\":\"b\",\"args\":[]}],\"ok\":true,\"n\":3,\"none\":null,\"m\":{}}}",
                "kind: Pod\n"
                "metadata:\n"
                "  name: web\n"
                "  labels:\n"
                "    \"n\": \"1\"\n"
                "  creationTimestamp: \"2026-11-27T04:05:37Z\"\n"
                "spec:\n"
                "  containers:\n"
                "  - name: a\n"
                "    args:\n"
                "    - -x\n"
                "    - a b\n"
                "  - name: b\n"
                "    args: []\n"
                "  ok: true\n"
                "  \"n\": 3\n"
                "  none: null\n"
                "  m: {}\n");
    assert_yaml("{\"a.conf\":\"one\\ntwo\\n\"}", "a.conf: |\n  one\n  two\n");
}

static void what_is_written_reads_back_to_the_same(void **state)
{
    (void)state;
    assert_round_trip("{\"a\":[\"yes\",\"no\",\"~\",\"null\",\"\",\"0644\",\"0x1f\",\"1e3\",\".5\","
                      "\".inf\",\"1:30\",\"2026-01-01\",\"<<\",\"=\",\"true\",\"y\",\"-\",\"- a\","
                      "\"a: b\",\"# c\",\" d \",\"*x\",\"&x\",\"!x\",\"%x\",\"@x\",\"`x\",\"[\"]}");
    assert_round_trip("{\"a\":\"one\\n  two\\n\\n\",\"b\":\"\\n lead\",\"c\":\"tail \\n\","
                      "\"d\":\"tab\\there\",\"e\":\"quote \\\" and \\\\ and '\"}");
    assert_round_trip("{\"yes\":1,\"on\":-2,\"1\":[[],{},[1,[2]]],\"a: b\":null,\"\":true}");
    assert_round_trip("[\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\"]");
    assert_round_trip("{\"two\\nlines\":\"x\"}");
}

static void control_characters_are_escaped(void **state)
{
    autobuf out = BUF_INIT;

    (void)state;
    write_yaml("[\"\\u001b[31m\", \"\\u0007\\nx\"]", &out);
    assert_null(strchr(buf_str(&out), 0x1b));
    assert_null(strchr(buf_str(&out), 7));
    assert_contains(buf_str(&out), "\\e[31m");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(objects_look_as_kubectl_writes_them),
        cmocka_unit_test(what_is_written_reads_back_to_the_same),
        cmocka_unit_test(control_characters_are_escaped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
