/* SPDX-License-Identifier: Apache-2.0 */
#include "sockets.h"

#include "base/strv.h"
#include "base/text.h"
#include "wire/http_async.h"
#include "wire/http_server.h"

/* The client on one loop with the project's own server, and with plain sockets that do wrong. */

enum { BODY_LIMIT = 1000, HUGE_LEN = 300000 };

static struct http_server *server;
static struct sockaddr_in address;
static struct http_async *client;
static int n_requests, n_closed;

/* What `done` was called with. */
static struct answer {
    int n_done;
    bool is_response, is_cut;
    long status;
    struct buf body, headers, trailers;
    int code;
    const char *reason;
    char msg[488];
} answers[2];

static void answer_clear(struct answer *a)
{
    buf_done(&a->body);
    buf_done(&a->headers);
    buf_done(&a->trailers);
    *a = (struct answer){0};
}

static void lines_add(struct buf *out, const struct strv *lines)
{
    for (size_t i = 0; i < lines->n; i++)
        buf_addf(out, "[%s]", lines->v[i]);
}

static void on_done(void *ctx, const struct http_async_response *r, const struct err *e)
{
    struct answer *a = ctx;

    a->n_done++;
    a->is_response = r;
    if (r) {
        a->status = r->status;
        a->is_cut = r->is_cut;
        buf_addstr(&a->body, buf_str(&r->body));
        lines_add(&a->headers, &r->headers);
        lines_add(&a->trailers, &r->trailers);
    } else {
        a->code = e->code;
        a->reason = e->reason;
        snprintf(a->msg, sizeof(a->msg), "%s", e->msg);
    }
    loop_stop(loop);
}

static void add_header(void *ctx, const char *value)
{
    buf_addf(ctx, "[%s]", value);
}

static void answer_echo(struct http_exchange *x)
{
    static const char *const names[] = {"host",   "x-one",      "x-empty",      "accept",
                                        "expect", "user-agent", "content-type", "connection"};
    struct text body = http_exchange_body(x);
    autobuf b = BUF_INIT;

    buf_addf(&b, "%s %s", http_exchange_method(x), http_exchange_path(x));
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        buf_addf(&b, " %s=", names[i]);
        http_exchange_header_each(x, names[i], add_header, &b);
    }
    buf_addf(&b, " body=%.*s", (int)body.len, body.data ? body.data : "");
    http_exchange_add_header(x, "X-Answer", "yes");
    http_exchange_respond(x, 200, "text/plain", b.data, b.len);
}

static void answer_redirect(struct http_exchange *x, const char *path)
{
    autofree char *away = NULL;

    if (str_eq(path, "/to-echo"))
        http_exchange_add_header(x, "Location", "/echo");
    else if (str_eq(path, "/to-itself"))
        http_exchange_add_header(x, "Location", "to-itself");
    else if (str_eq(path, "/to-nowhere"))
        http_exchange_add_header(x, "Location", "");
    else {
        away = xasprintf("http://localhost:%u/echo", ntohs(address.sin_port));
        http_exchange_add_header(x, "Location", away);
    }
    http_exchange_respond(x, 302, "text/plain", "moved", 5);
}

static void on_closed(void *ctx)
{
    (void)ctx;
    n_closed++;
    loop_stop(loop);
}

static void on_request(void *ctx, struct http_exchange *x)
{
    const char *path = http_exchange_path(x);

    (void)ctx;
    n_requests++;
    if (str_starts(path, "/echo")) {
        answer_echo(x);
    } else if (str_starts(path, "/to-")) {
        answer_redirect(x, path);
    } else if (str_eq(path, "/huge")) {
        autofree char *huge = xcalloc(1, HUGE_LEN);

        memset(huge, 'x', HUGE_LEN);
        http_exchange_respond(x, 200, "text/plain", huge, HUGE_LEN);
    } else if (str_eq(path, "/never")) {
        http_exchange_on_close(x, on_closed, NULL);
        loop_stop(loop);
    } else {
        http_exchange_respond(x, 503, "text/plain", "not now", 7);
    }
}

static int set_up(void **state)
{
    struct http_server_options o = {.body_limit = 100000,
                                    .connections = 100,
                                    .idle_ms = 60000,
                                    .queue_limit = 1u << 20,
                                    .request = on_request};
    struct err e = ERR_INIT;

    (void)state;
    n_requests = n_closed = 0;
    assert_ok(loop_open(&loop, &e));
    o.loop = loop;
    assert_ok(http_server_new(&o, &server, &e));
    assert_ok(http_server_listen(server, listen_tcp(&address), &e));
    client = http_async_new(loop);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    http_async_free(take_ptr(client));
    http_server_free(take_ptr(server));
    loop_free(take_ptr(loop)); /* which ends the process when a handle was left */
    answer_clear(&answers[0]);
    answer_clear(&answers[1]);
    return 0;
}

/* ---- Asking ---- */

static char *url_to(const struct sockaddr_in *to, const char *path)
{
    return xasprintf("http://127.0.0.1:%u%s", ntohs(to->sin_port), path);
}

/* Starts the request, to the server unless it names a URL. */
static struct http_async_call *start(struct http_async_request q, const char *path,
                                     struct answer *a)
{
    autofree char *url = url_to(&address, path);

    if (!q.url)
        q.url = url;
    if (!q.timeout_ms)
        q.timeout_ms = 5000;
    if (!q.body_limit)
        q.body_limit = BODY_LIMIT;
    answer_clear(a);
    return http_async_start(client, &q, on_done, a);
}

static struct answer *ask(struct http_async_request q, const char *path)
{
    start(q, path, &answers[0]);
    assert_int_equal(answers[0].n_done, 0);
    run_until(answers[0].n_done);
    return &answers[0];
}

#define PLAIN ((struct http_async_request){0})

static void assert_failed(const struct answer *a, int code, const char *reason, const char *part)
{
    assert_int_equal(a->n_done, 1);
    assert_false(a->is_response);
    assert_string_equal(a->reason, reason);
    assert_int_equal(a->code, code);
    assert_contains(a->msg, part);
}

static void a_response_has_its_status_headers_and_body(void **state)
{
    struct answer *a = ask(PLAIN, "/echo/x");

    (void)state;
    assert_true(a->is_response);
    assert_int_equal(a->status, 200);
    assert_contains(buf_str(&a->headers), "[X-Answer: yes]");
    assert_contains(buf_str(&a->body), "GET /echo/x host=[127.0.0.1:");
    assert_contains(buf_str(&a->body), "accept= expect= user-agent= content-type= connection=");
    assert_false(a->is_cut);
    a = ask(PLAIN, "/other");
    assert_int_equal(a->status, 503);
    assert_string_equal(buf_str(&a->body), "not now");
}

static void headers_and_the_body_arrive_as_they_were_given(void **state)
{
    autostrv headers = STRV_INIT;

    (void)state;
    strv_add(&headers, "Host: pod.test");
    strv_add(&headers, "X-One: a");
    strv_add(&headers, "X-One: b c");
    strv_add(&headers, "X-Empty:");

    struct answer *a = ask(
        (struct http_async_request){
            .method = "PUT", .headers = headers, .body = "he\0lo", .body_len = 5},
        "/echo");

    assert_contains(buf_str(&a->body),
                    "PUT /echo host=[pod.test] x-one=[a][b c] x-empty=[] accept=");
    assert_contains(buf_str(&a->body), "body=he");
    a = ask((struct http_async_request){.method = "HEAD"}, "/echo");
    assert_int_equal(a->status, 200);
    assert_string_equal(buf_str(&a->body), "");
}

static void what_cannot_be_sent_is_told_later_as_all_else(void **state)
{
    static const char *const bad[] = {"X: a\r\nY: b", "no colon", ": no name", "X y: z"};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        autostrv headers = STRV_INIT;

        strv_add(&headers, bad[i]);
        assert_failed(ask((struct http_async_request){.headers = headers}, "/echo"), -EINVAL,
                      "BadRequest", "the header 1 (of 1) cannot be sent");
    }
    assert_failed(ask((struct http_async_request){.url = "ftp://127.0.0.1/"}, NULL), -EINVAL,
                  "BadRequest", "GET ftp://127.0.0.1/: this is no URL of HTTP");
    assert_failed(ask((struct http_async_request){.url = "http://127.0.0.1:port/"}, NULL), -EINVAL,
                  "BadRequest", "no URL");
    assert_int_equal(n_requests, 0);
}

static void a_body_is_cut_at_the_limit_and_not_waited_for(void **state)
{
    struct answer *a = ask(PLAIN, "/huge");

    (void)state;
    assert_int_equal(a->status, 200);
    assert_true(a->is_cut);
    assert_int_equal(a->body.len, BODY_LIMIT);
    assert_contains(buf_str(&a->headers), "[Content-Type: text/plain]");
}

static void redirections_are_followed_to_the_same_host_only(void **state)
{
    struct http_async_request q = {.flags = HTTP_ASYNC_FOLLOW};
    struct answer *a = ask(PLAIN, "/to-echo");

    (void)state;
    assert_int_equal(a->status, 302);
    assert_string_equal(buf_str(&a->body), "moved");
    a = ask(q, "/to-echo");
    assert_int_equal(a->status, 200);
    assert_true(str_starts(buf_str(&a->body), "GET /echo "));
    a = ask(q, "/to-elsewhere");
    assert_int_equal(a->status, 302);
    assert_contains(buf_str(&a->headers), "[Location: http://localhost:");
    n_requests = 0;
    assert_failed(ask(q, "/to-itself"), -ELOOP, "RedirectLoop", "more than 10 times");
    assert_int_equal(n_requests, 11);
    assert_int_equal(ask(q, "/to-nowhere")->status, 302);
}

static void a_request_can_go_to_another_address_than_its_host_has(void **state)
{
    autofree char *url = xasprintf("http://no-such-host.invalid:%u/echo", ntohs(address.sin_port));
    struct answer *a = ask((struct http_async_request){.url = url, .address = "127.0.0.1"}, NULL);

    (void)state;
    assert_int_equal(a->status, 200);
    assert_contains(buf_str(&a->body), "host=[no-such-host.invalid:");
}

static void a_server_that_never_answers_is_given_up_in_time(void **state)
{
    struct answer *a = ask((struct http_async_request){.timeout_ms = 50}, "/never");

    (void)state;
    assert_failed(a, -ETIMEDOUT, "TimedOut", "/never: no answer within 50ms");
    run_until(n_closed == 1);
}

static void a_cancelled_request_is_not_told_and_shuts_its_connection(void **state)
{
    struct http_async_call *c = start(PLAIN, "/never", &answers[0]);

    (void)state;
    run_until(n_requests == 1);
    http_async_cancel(c);
    run_until(n_closed == 1);
    http_async_cancel(start(PLAIN, "/echo", &answers[0])); /* before anything happened */
    assert_int_equal(ask(PLAIN, "/echo")->status, 200);
    assert_int_equal(answers[0].n_done, 1);
}

static void cancel_other(void *ctx, const struct http_async_response *r, const struct err *e)
{
    struct http_async_call **other = ctx;

    (void)r;
    (void)e;
    if (*other)
        http_async_cancel(take_ptr(*other));
    loop_stop(loop);
}

static void one_request_can_cancel_another_that_has_ended_too(void **state)
{
    struct http_async_request q = {.url = "http://127.0.0.1/", .timeout_ms = 1000};
    struct http_async_call *other = NULL;

    (void)state;
    strv_add(&q.headers, "bad");
    http_async_start(client, &q, cancel_other, &other);
    other = start(q, NULL, &answers[0]);
    run_until(!other);
    assert_int_equal(ask(PLAIN, "/echo")->status, 200);
    strv_done(&q.headers);
}

static void free_client(void *ctx, const struct http_async_response *r, const struct err *e)
{
    (void)ctx;
    (void)e;
    assert_non_null(r);
    http_async_free(take_ptr(client));
    loop_stop(loop);
}

static void the_client_may_be_freed_by_whom_it_tells(void **state)
{
    autofree char *url = url_to(&address, "/echo");

    (void)state;
    start(PLAIN, "/never", &answers[0]);
    http_async_start(client,
                     &(struct http_async_request){.url = url, .timeout_ms = 5000, .body_limit = 10},
                     free_client, NULL);
    run_until(!client);
    assert_int_equal(answers[0].n_done, 0);
}

static void a_client_that_is_freed_tells_nothing(void **state)
{
    (void)state;
    start(PLAIN, "/never", &answers[0]);
    run_until(n_requests == 1);
    http_async_free(take_ptr(client));
    run_until(n_closed == 1);
    assert_int_equal(answers[0].n_done, 0);
}

/* ---- Servers that do wrong ---- */

static int accept_one(int listener)
{
    assert_true(wait_for(listener, LOOP_READABLE, 5000));
    return accept4(listener, NULL, NULL, SOCK_CLOEXEC);
}

static void nobody_there_is_told_with_its_cause(void **state)
{
    struct sockaddr_in to;
    autofree char *url = NULL;

    (void)state;
    close(listen_tcp(&to));
    url = url_to(&to, "/");
    assert_failed(ask((struct http_async_request){.url = url}, NULL), -ECONNREFUSED, "Unreachable",
                  ": connect: connection refused");
    assert_failed(
        ask((struct http_async_request){.url = url, .label = "it", .flags = HTTP_ASYNC_CONNECT},
            NULL),
        -ECONNREFUSED, "Unreachable", "it: connect: connection refused");
    assert_failed(ask((struct http_async_request){.url = "http://no-such-host.invalid/"}, NULL),
                  -EHOSTUNREACH, "UnknownHost", "no-such-host.invalid");
}

static void connecting_can_be_all_that_is_asked(void **state)
{
    struct sockaddr_in to;
    autofd listener = listen_tcp(&to);
    autofree char *url = url_to(&to, "/");
    autobuf b = BUF_INIT;
    struct answer *a =
        ask((struct http_async_request){.url = url, .flags = HTTP_ASYNC_CONNECT}, NULL);

    (void)state;
    assert_true(a->is_response);
    assert_int_equal(a->status, 0);

    autofd fd = accept_one(listener);

    expect_end(fd, &b); /* nothing was sent, and the connection is shut */
    assert_int_equal(b.len, 0);
}

/* What a server answers, and then it shuts the connection; or resets it. */
static struct answer *ask_raw(const char *answer, bool is_reset, unsigned flags)
{
    struct linger at_once = {.l_onoff = 1};
    struct sockaddr_in to;
    autofd listener = listen_tcp(&to);
    autofree char *url = url_to(&to, "/");
    autobuf b = BUF_INIT;

    start((struct http_async_request){.url = url, .flags = flags}, NULL, &answers[0]);

    int fd = accept_one(listener);

    receive(fd, &b);
    say(fd, answer);
    if (is_reset)
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    close(fd);
    run_until(answers[0].n_done);
    return &answers[0];
}

static void responses_that_end_early_or_are_none_are_told_as_such(void **state)
{
    (void)state;
    assert_failed(ask_raw("", false, 0), -ECONNRESET, "CutOff", ": ");
    assert_failed(ask_raw("", true, 0), -ECONNRESET, "CutOff", "reset");
    assert_failed(ask_raw("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", false, 0),
                  -ECONNRESET, "CutOff", ": ");
    assert_failed(ask_raw("SSH-2.0-OpenSSH\r\n", false, 0), -EBADMSG, "BadResponse",
                  "speaks no HTTP");
    assert_failed(ask_raw("HTTP/1.1 200 OK\r\n\r\n", false, HTTP_ASYNC_HTTP2), -ECONNRESET,
                  "CutOff", ": ");
    assert_int_equal(ask_raw("HTTP/1.1 200 OK\r\n\r\nto the end", false, 0)->status, 200);
    assert_string_equal(buf_str(&answers[0].body), "to the end");
}

static void trailers_are_kept_apart_from_headers(void **state)
{
    struct answer *a = ask_raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-A: 1\r\n\r\n"
                               "2\r\nab\r\n0\r\nX-B: 2\r\n\r\n",
                               false, 0);

    (void)state;
    assert_string_equal(buf_str(&a->body), "ab");
    assert_string_equal(buf_str(&a->headers), "[Transfer-Encoding: chunked][X-A: 1]");
    assert_string_equal(buf_str(&a->trailers), "[X-B: 2]");
}

static void headers_without_end_are_refused(void **state)
{
    autobuf b = BUF_INIT;

    (void)state;
    buf_addstr(&b, "HTTP/1.1 200 OK\r\n");
    for (int i = 0; i < 4000; i++)
        buf_addf(&b, "X-Header-%d: value\r\n", i);
    assert_failed(ask_raw(b.data, false, 0), -EFBIG, "TooLarge", "more than 64 KiB of headers");
}

static void a_slow_answer_counts_from_the_start(void **state)
{
    struct sockaddr_in to;
    autofd listener = listen_tcp(&to);
    autofree char *url = url_to(&to, "/");
    autobuf b = BUF_INIT;
    autofd fd = -EBADF;

    (void)state;
    start((struct http_async_request){.url = url, .timeout_ms = 100}, NULL, &answers[0]);
    fd = accept_one(listener);
    receive(fd, &b);
    say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n");
    while (!answers[0].n_done) {
        send(fd, "x", 1, MSG_NOSIGNAL);
        run_for(10);
    }
    assert_failed(&answers[0], -ETIMEDOUT, "TimedOut", "no answer within 100ms");
}

/* ---- Connections ---- */

/* How many connections two requests in a row take. */
static int connections_of(unsigned flags)
{
    struct sockaddr_in to;
    autofd listener = listen_tcp(&to);
    autofree char *url = url_to(&to, "/");
    int fds[2] = {-1, -1}, n = 0;

    for (int i = 0; i < 2; i++) {
        autobuf b = BUF_INIT;

        start((struct http_async_request){.url = url, .flags = flags}, NULL, &answers[i]);
        if (i == 0 || flags)
            fds[n++] = accept_one(listener);
        expect(fds[n - 1], &b, "\r\n\r\n");
        say(fds[n - 1], "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        run_until(answers[i].n_done);
        assert_int_equal(answers[i].status, 200);
        if (flags)
            expect_end(fds[n - 1], &b);
    }
    for (int i = 0; i < n; i++)
        close(fds[i]);
    return n;
}

static void connections_are_kept_unless_asked_for_once(void **state)
{
    (void)state;
    assert_int_equal(connections_of(0), 1);
    assert_int_equal(connections_of(HTTP_ASYNC_ONCE), 2);
}

static void an_idle_client_does_not_wake_up(void **state)
{
    (void)state;
    ask(PLAIN, "/echo");
    http_server_free(take_ptr(server));
    loop_run(loop); /* returns at once, since nothing of the client's is left that could call */
    assert_int_equal(answers[0].n_done, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_response_has_its_status_headers_and_body),
        TEST(headers_and_the_body_arrive_as_they_were_given),
        TEST(what_cannot_be_sent_is_told_later_as_all_else),
        TEST(a_body_is_cut_at_the_limit_and_not_waited_for),
        TEST(redirections_are_followed_to_the_same_host_only),
        TEST(a_request_can_go_to_another_address_than_its_host_has),
        TEST(a_server_that_never_answers_is_given_up_in_time),
        TEST(a_cancelled_request_is_not_told_and_shuts_its_connection),
        TEST(one_request_can_cancel_another_that_has_ended_too),
        TEST(the_client_may_be_freed_by_whom_it_tells),
        TEST(a_client_that_is_freed_tells_nothing),
        TEST(nobody_there_is_told_with_its_cause),
        TEST(connecting_can_be_all_that_is_asked),
        TEST(responses_that_end_early_or_are_none_are_told_as_such),
        TEST(trailers_are_kept_apart_from_headers),
        TEST(headers_without_end_are_refused),
        TEST(a_slow_answer_counts_from_the_start),
        TEST(connections_are_kept_unless_asked_for_once),
        TEST(an_idle_client_does_not_wake_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
