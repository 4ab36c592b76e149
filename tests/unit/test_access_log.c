/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "base/json.h"
#include "worker/http/access_log.h"

static struct access_record record(void)
{
    return (struct access_record){
        .realtime_ns = 1795690344123456789ULL,
        .peer = text_of("192.0.2.1"),
        .method = text_of("GET"),
        .path = text_of("/a?b=c"),
        .protocol = text_of("HTTP/1.1"),
        .host = text_of("example.com:8080"),
        .user_agent = text_of("curl/8.5.0"),
        .request_id = text_of("0011223344556677"),
        .trace_id = text_of("4bf92f3577b34da6a3ce929d0e0e4736"),
        .service = text_of("shop"),
        .status = 200,
        .body_in_bytes = 7,
        .body_out_bytes = 512,
        .duration_us = 1234,
        .cpu_us = 567,
    };
}

static void test_text(void **state)
{
    struct access_record r = record();
    autobuf out = BUF_INIT;

    (void)state;
    access_log_text(&r, &out);
    assert_string_equal(out.data, "192.0.2.1 - - [26/Nov/2026:10:52:24 +0000] \"GET /a?b=c "
                                  "HTTP/1.1\" 200 512 \"-\" \"curl/8.5.0\" "
                                  "request_id=0011223344556677 duration_us=1234 cpu_us=567 "
                                  "reason=-\n");
    buf_clear(&out);
    r.realtime_ns += 1000000000ULL;
    r.referer = text_of("http://x/");
    r.reason = text_of("DeadlineExceeded");
    r.status = 504;
    access_log_text(&r, &out);
    assert_contains(out.data, "[26/Nov/2026:10:52:25 +0000]");
    assert_contains(out.data, " 504 512 \"http://x/\" ");
    assert_contains(out.data, " reason=DeadlineExceeded\n");
}

static void test_text_of_an_unreadable_request(void **state)
{
    struct access_record r = {.status = 400, .reason = text_of("BadRequest")};
    autobuf out = BUF_INIT;

    (void)state;
    access_log_text(&r, &out);
    assert_string_equal(out.data, "- - - [01/Jan/1970:00:00:00 +0000] \"-\" 400 0 \"-\" \"-\" "
                                  "request_id=- duration_us=0 cpu_us=0 reason=BadRequest\n");
}

/* Nothing in a request can end a line or a field. */
static void test_text_is_escaped(void **state)
{
    static const char agent[] = "a\"b\\c\nd\x7f\xc3\xbc\0e f";
    struct access_record r = record();
    autobuf out = BUF_INIT;

    (void)state;
    r.user_agent = (struct text){agent, sizeof(agent) - 1};
    r.path = text_of("/x\" 200 0\r\n10.0.0.1");
    r.request_id = text_of("a reason=Fake");
    access_log_text(&r, &out);
    assert_contains(out.data, "\"a\\x22b\\x5Cc\\x0Ad\\x7F\\xC3\\xBC\\x00e f\"");
    assert_contains(out.data, "\"GET /x\\x22 200 0\\x0D\\x0A10.0.0.1 HTTP/1.1\"");
    assert_contains(out.data, " request_id=a\\x20reason=Fake duration_us=");
    assert_ptr_equal(strchr(out.data, '\n'), out.data + out.len - 1);
}

struct line {
    char *time, *path, *user_agent, *referer, *reason;
    int64_t status, body_in_bytes, body_out_bytes, duration_us, cpu_us;
};

static const struct json_field line_fields[] = {
    JSON_REQUIRED("time", FIELD_STRING, struct line, time),
    JSON_FIELD("path", FIELD_STRING, struct line, path),
    JSON_FIELD("user_agent", FIELD_STRING, struct line, user_agent),
    JSON_FIELD("referer", FIELD_STRING, struct line, referer),
    JSON_FIELD("reason", FIELD_STRING, struct line, reason),
    JSON_REQUIRED("status", FIELD_INT64, struct line, status),
    JSON_REQUIRED("body_in_bytes", FIELD_INT64, struct line, body_in_bytes),
    JSON_REQUIRED("body_out_bytes", FIELD_INT64, struct line, body_out_bytes),
    JSON_REQUIRED("duration_us", FIELD_INT64, struct line, duration_us),
    JSON_REQUIRED("cpu_us", FIELD_INT64, struct line, cpu_us),
    {0},
};

static void test_json(void **state)
{
    struct access_record r = record();
    autobuf out = BUF_INIT;

    (void)state;
    access_log_json(&r, &out);
    assert_string_equal(
        out.data,
        "{\"time\":\"2026-11-26T10:52:24.123456789Z\",\"peer\":\"192.0.2.1\",\"method\":\"GET\","
        "\"path\":\"/a?b=c\",\"protocol\":\"HTTP/1.1\",\"host\":\"example.com:8080\","
        "\"user_agent\":\"curl/8.5.0\",\"request_id\":\"0011223344556677\","
        "\"trace_id\":\"4bf92f3577b34da6a3ce929d0e0e4736\",\"service\":\"shop\",\"status\":200,"
        "\"body_in_bytes\":7,\"body_out_bytes\":512,\"duration_us\":1234,\"cpu_us\":567}\n");
}

static void test_json_of_any_bytes(void **state)
{
    const struct json_limits limits = {65536, 4};
    static const char path[] = "/\xff\"\n\x01\xc3\xbc";
    struct access_record r = record();
    struct line line = {0};
    struct err e = ERR_INIT;
    autobuf out = BUF_INIT;

    (void)state;
    r.path = text_of(path);
    r.user_agent = text_of("");
    r.reason = text_of("Trap");
    access_log_json(&r, &out);
    assert_ptr_equal(strchr(out.data, '\n'), out.data + out.len - 1);
    assert_ok(json_decode(out.data, out.len, limits, line_fields, 0, &line, &e));
    assert_string_equal(line.path, "/\xef\xbf\xbd\"\n\x01\xc3\xbc");
    /* Absent and empty differ. */
    assert_string_equal(line.user_agent, "");
    assert_null(line.referer);
    assert_string_equal(line.reason, "Trap");
    assert_int_equal(line.body_out_bytes, 512);
    json_fields_done(line_fields, &line);
}

static void test_lines_follow_each_other(void **state)
{
    struct access_record r = record();
    autobuf out = BUF_INIT;
    size_t first;

    (void)state;
    access_log_json(&r, &out);
    first = out.len;
    access_log_json(&r, &out);
    assert_int_equal(out.len, 2 * first);
    assert_memory_equal(out.data, out.data + first, first);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_text_of_an_unreadable_request),
        cmocka_unit_test(test_text_is_escaped),
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_json_of_any_bytes),
        cmocka_unit_test(test_lines_follow_each_other),
    };
    return cmocka_run_group_tests_name("access_log", tests, NULL, NULL);
}
