/* SPDX-License-Identifier: Apache-2.0 */
/* What is taken of a guest's output as the head of its response. */
#include "unit.h"

#include "worker/http/cgi.h"

static int parse(struct cgi_head *h, const char *text, struct err *e)
{
    memset(h, 0, sizeof(*h));
    return cgi_head_parse(h, text, strlen(text), false, CGI_HEAD_LIMIT_BYTES, e);
}

static void assert_text(struct text t, const char *expected)
{
    assert_non_null(t.data);
    assert_int_equal(t.len, strlen(expected));
    assert_memory_equal(t.data, expected, t.len);
}

static void test_head(void **state)
{
    static const char text[] =
        "Content-Type: text/plain\r\nX-B:  two words\t\r\nx-a:\r\n\r\nbody\n\n";
    struct err e = ERR_INIT;
    struct cgi_head h;

    (void)state;
    assert_int_equal(parse(&h, text, &e), 1);
    assert_int_equal(h.status, 200);
    assert_int_equal(h.reason.len, 0);
    assert_text(h.content_type, "text/plain");
    assert_null(h.location.data);
    assert_int_equal(h.n_headers, 3);
    assert_text(h.headers[0].name, "Content-Type");
    assert_text(h.headers[1].name, "X-B");
    assert_text(h.headers[1].value, "two words");
    assert_text(h.headers[2].name, "x-a");
    assert_text(h.headers[2].value, "");
    assert_string_equal(text + h.len, "body\n\n");
}

static void test_statuses(void **state)
{
    static const struct {
        const char *text;
        unsigned status;
        const char *reason;
    } good[] = {
        {"Status: 404 Not Here\n\n",              404, "Not Here"},
        {"status:204\n\n",                        204, ""        },
        {"Status: 599 \n\n",                      599, ""        },
        {"Location: /b\n\n",                      302, ""        },
        {"Location: https://example.com/\n\n",    302, ""        },
        {"Location: /b\nStatus: 201 Created\n\n", 201, "Created" },
        {"Status: 301\nLocation: /b\n\n",         301, ""        },
        {"X: y\r\n\r\n",                          200, ""        },
    };
    static const char *const bad[] = {"Status:\n\n",
                                      "Status: 20\n\n",
                                      "Status: 2000\n\n",
                                      "Status: abc\n\n",
                                      "Status: 200OK\n\n",
                                      "Status: 100\n\n",
                                      "Status: 101\n\n",
                                      "Status: 600\n\n",
                                      "Status: 099\n\n",
                                      "Status: -20\n\n",
                                      "Status: 200\nStatus: 200\n\n"};
    struct err e = ERR_INIT;
    struct cgi_head h;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        assert_int_equal(parse(&h, good[i].text, &e), 1);
        assert_int_equal(h.status, good[i].status);
        assert_int_equal(h.reason.len, strlen(good[i].reason));
        if (h.reason.len)
            assert_text(h.reason, good[i].reason);
        assert_int_equal(h.len, strlen(good[i].text));
    }
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_fails(parse(&h, bad[i], &e), -EINVAL, "BadCgiHead");
}

static void test_connection_is_not_the_guests(void **state)
{
    struct err e = ERR_INIT;
    struct cgi_head h;

    (void)state;
    assert_int_equal(parse(&h,
                           "CONNECTION: close\nKeep-Alive: 5\nTransfer-Encoding: chunked\n"
                           "Upgrade: h2c\nProxy-Authenticate: x\nTE: x\nTrailer: x\n"
                           "Content-Length: 5\nSet-Cookie: a\nset-cookie: b\n\n",
                           &e),
                     1);
    assert_int_equal(h.n_headers, 2);
    assert_text(h.headers[0].value, "a");
    assert_text(h.headers[1].value, "b");
}

static void test_bad_heads(void **state)
{
    static const char *const bad[] = {
        "\n",
        "\r\n",
        "Hello, world\n",
        ": x\n",
        "A : b\n",
        " A: b\n",
        "A: b\n c: d\n",
        "A\tb: c\n",
        "A\r: b\n",
        "A: b\rc\n",
        "A: b\x01\n",
        "A: b\x7f\n",
        "(A): b\n",
        "A\xc3\xbc: b\n",
        "A: b\nno line\n",
        "HTTP/1.1 200 OK\nA: b\n",
        "A: b\r\r\n",
        "Content-Type: a\nContent-type: a\n\n",
        "Location: /a\nLocation: /b\n\n",
    };
    struct err e = ERR_INIT;
    struct cgi_head h;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        assert_fails(parse(&h, bad[i], &e), -EINVAL, "BadCgiHead");
        assert_contains(e.msg, "the guest's response: ");
    }
    memset(&h, 0, sizeof(h));
    assert_fails(cgi_head_parse(&h, "A: b\0c\n\n", 8, false, CGI_HEAD_LIMIT_BYTES, &e), -EINVAL,
                 "BadCgiHead");
}

static void test_output_that_ends_early(void **state)
{
    static const char *const cut[] = {"", "A", "A: b", "A: b\n", "A: b\r\n\r"};
    struct err e = ERR_INIT;
    struct cgi_head h;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cut); i++) {
        assert_int_equal(parse(&h, cut[i], &e), 0);
        assert_fails(cgi_head_parse(&h, cut[i], strlen(cut[i]), true, CGI_HEAD_LIMIT_BYTES, &e),
                     -EINVAL, "BadCgiHead");
    }
}

/* Byte by byte, each time somewhere else. */
static void test_pieces(void **state)
{
    static const char text[] = "Status: 404 Nope\r\nContent-Type: text/html\nX-A: b\r\n\nbody";
    const size_t head = sizeof(text) - 1 - 4;
    struct cgi_head h = {0};
    struct err e = ERR_INIT;

    (void)state;
    for (size_t len = 0; len < head; len++) {
        autofree char *moved = xcalloc(len + 1, 1);

        memcpy(moved, text, len);
        assert_int_equal(cgi_head_parse(&h, moved, len, false, 4096, &e), 0);
    }
    assert_int_equal(cgi_head_parse(&h, text, head, false, 4096, &e), 1);
    assert_int_equal(h.len, head);
    assert_int_equal(h.status, 404);
    assert_int_equal(h.n_headers, 2);
    assert_text(h.content_type, "text/html");
    assert_text(h.headers[1].value, "b");
}

static void test_limits(void **state)
{
    autobuf text = BUF_INIT;
    struct cgi_head h = {0};
    struct err e = ERR_INIT;

    (void)state;
    /* 16 bytes in all: fits exactly, and is one too much. */
    buf_addstr(&text, "X-A: 12345678\r\n\n more");
    assert_int_equal(cgi_head_parse(&h, text.data, text.len, false, 16, &e), 1);
    h = (struct cgi_head){0};
    assert_fails(cgi_head_parse(&h, text.data, text.len, false, 15, &e), -EFBIG, "BadCgiHead");
    h = (struct cgi_head){0};
    assert_int_equal(cgi_head_parse(&h, text.data, 14, false, 15, &e), 0);
    assert_fails(cgi_head_parse(&h, text.data, 15, false, 15, &e), -EFBIG, "BadCgiHead");

    buf_clear(&text);
    for (int i = 0; i < CGI_HEAD_LIMIT_LINES; i++)
        buf_addf(&text, "X-%d: %d\n", i, i);
    buf_addstr(&text, "\n");
    h = (struct cgi_head){0};
    assert_int_equal(cgi_head_parse(&h, text.data, text.len, false, 65536, &e), 1);
    assert_int_equal(h.n_headers, CGI_HEAD_LIMIT_LINES);
    /* Lines that are left out count, too. */
    text.len--;
    buf_addstr(&text, "TE: x\n\n");
    h = (struct cgi_head){0};
    assert_fails(cgi_head_parse(&h, text.data, text.len, false, 65536, &e), -EFBIG, "BadCgiHead");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_head),
        cmocka_unit_test(test_statuses),
        cmocka_unit_test(test_connection_is_not_the_guests),
        cmocka_unit_test(test_bad_heads),
        cmocka_unit_test(test_output_that_ends_early),
        cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_limits),
    };
    return cmocka_run_group_tests_name("cgi_head", tests, NULL, NULL);
}
