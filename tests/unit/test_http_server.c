/* SPDX-License-Identifier: Apache-2.0 */
#include "sockets.h"

#include <netinet/in.h>
#include <sys/resource.h>

#include "base/fds.h"
#include "base/strv.h"
#include "wire/http_server.h"

enum { BODY_LIMIT = 1000, CONNECTIONS = 300, QUEUE_LIMIT = 200000 };

static struct http_server *server;
static struct sockaddr_in address;
static struct http_exchange *held;
static size_t n_requests, n_closed, n_drained, n_taken;
static int taken_fd;
static struct buf taken_rest;

static void on_closed(void *ctx)
{
    if (held == ctx)
        held = NULL;
    n_closed++;
    loop_stop(loop);
}

static void on_drained(void *ctx)
{
    (void)ctx;
    n_drained++;
    loop_stop(loop);
}

static void on_taken(void *ctx, int fd, const void *rest, size_t len)
{
    (void)ctx;
    taken_fd = fd;
    buf_clear(&taken_rest);
    if (len)
        buf_add(&taken_rest, rest, len);
    n_taken++;
    loop_stop(loop);
}

static void add_value(void *ctx, const char *value)
{
    buf_addf(ctx, "[%s]", value);
}

static void answer_echo(struct http_exchange *x)
{
    struct text body = http_exchange_body(x);
    const char *one = http_exchange_query(x, "one");
    autobuf b = BUF_INIT;

    buf_addf(&b, "%s %s one=%s ", http_exchange_method(x), http_exchange_path(x),
             one ? one : "none");
    http_exchange_query_each(x, "all", add_value, &b);
    http_exchange_header_each(x, "x-list", add_value, &b);
    buf_addf(&b, " body=%zu:%.*s;", body.len, (int)body.len, body.data);
    http_exchange_add_header(x, "X-Answer", "yes");
    http_exchange_respond(x, 200, "text/plain", b.data, b.len);
}

static void answer_peer(struct http_exchange *x)
{
    autobuf b = BUF_INIT;
    uid_t uid = 0;
    gid_t gid = 0;
    pid_t pid = 0;

    if (http_exchange_peer(x, &uid, &gid, &pid))
        buf_addf(&b, "uid %u pid %d;", uid, pid);
    else
        buf_addstr(&b, "no peer;");
    http_exchange_respond(x, 200, NULL, b.data, b.len);
}

static void on_request(void *ctx, struct http_exchange *x)
{
    const char *path = http_exchange_path(x);

    (void)ctx;
    n_requests++;
    http_exchange_on_close(x, on_closed, x);
    if (str_starts(path, "/echo")) {
        answer_echo(x);
    } else if (str_eq(path, "/peer")) {
        answer_peer(x);
    } else if (str_eq(path, "/empty")) {
        http_exchange_respond(x, 204, NULL, NULL, 0);
    } else if (str_eq(path, "/later")) {
        held = x;
    } else if (str_eq(path, "/stream")) {
        http_exchange_begin(x, 200, "application/json", on_drained, NULL);
        held = x;
    } else if (str_eq(path, "/answer-held")) {
        http_exchange_respond(take_ptr(held), 200, NULL, "late;", 5);
        http_exchange_respond(x, 200, NULL, "now;", 4);
    } else if (str_eq(path, "/pieces")) {
        http_exchange_begin(x, 200, NULL, NULL, NULL);
        for (int i = 0; i < 3; i++)
            assert_true(http_exchange_send(x, "piece", 5) >= 0);
        http_exchange_end(x);
    } else if (str_eq(path, "/up")) {
        http_exchange_add_header(x, "Upgrade", "test");
        http_exchange_add_header(x, "Connection", "Upgrade");
        http_exchange_upgrade(x, on_taken, NULL);
    } else if (str_eq(path, "/free")) {
        http_server_free(take_ptr(server));
    } else {
        http_exchange_respond(x, 404, "text/plain", "none\n", 5);
    }
    if (held == x)
        loop_stop(loop);
}

static int open_server(unsigned connections, unsigned idle_ms)
{
    struct http_server_options o = {
        .loop = loop,
        .body_limit = BODY_LIMIT,
        .connections = connections,
        .idle_ms = idle_ms,
        .queue_limit = QUEUE_LIMIT,
        .request = on_request,
    };
    struct err e = ERR_INIT;

    held = NULL;
    n_requests = n_closed = n_drained = n_taken = 0;
    assert_ok(http_server_new(&o, &server, &e));
    assert_ok(http_server_listen(server, listen_tcp(&address), &e));
    return 0;
}

static int set_up(void **state)
{
    struct err e = ERR_INIT;

    (void)state;
    assert_ok(loop_open(&loop, &e));
    return open_server(CONNECTIONS, 60000);
}

static int tear_down(void **state)
{
    (void)state;
    http_server_free(take_ptr(server));
    loop_free(take_ptr(loop));
    buf_done(&taken_rest);
    return 0;
}

static int ask(const char *request)
{
    int fd = connect_tcp(&address);

    say(fd, request);
    return fd;
}

#define GET(path) "GET " path " HTTP/1.1\r\nHost: x\r\n\r\n"

static void requests_on_one_connection_are_answered_in_order(void **state)
{
    autobuf b = BUF_INIT;
    autofd fd =
        ask(GET("/echo/a%20b?one=1+1&all=x&all=%79")
                GET("/nowhere") "POST /echo HTTP/1.1\r\nHost: x\r\nX-List: a\r\nx-list: b\r\n"
                                "Content-Length: 5\r\n\r\nhello" GET("/empty") GET("/peer"));

    (void)state;
    expect(fd, &b, "GET /echo/a b one=1 1 [x][y] body=0:;");
    assert_contains(b.data, "X-Answer: yes\r\n");
    expect(fd, &b, "404 Not Found");
    expect(fd, &b, "POST /echo one=none [a][b] body=5:hello;");
    expect(fd, &b, "204 No Content");
    expect(fd, &b, "no peer;");
    assert_int_equal(n_closed, 0);
}

/* Lets the server listen at a path below `dir` too. */
static struct sockaddr_un listen_unix(const char *dir)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct err e = ERR_INIT;

    snprintf(un.sun_path, sizeof(un.sun_path), "%s/s", dir);
    assert_int_equal(bind(fd, (struct sockaddr *)&un, sizeof(un)), 0);
    assert_int_equal(listen(fd, 8), 0);
    assert_ok(http_server_listen(server, fd, &e));
    return un;
}

static void on_child(void *ctx, int status)
{
    (void)ctx;
    assert_int_equal(status, 0);
    loop_stop(loop);
}

/* What the program writes while it is served. */
static void run_shell(const char *command, struct buf *out)
{
    const char *const argv[] = {"sh", "-c", command, NULL};
    int pipe_fds[2];
    struct loop_child_fd fd;
    struct loop_child_options o = {
        .argv = argv, .fds = &fd, .n_fds = 1, .ended = on_child, .ctx = NULL};
    struct loop_child *child = NULL;
    struct err e = ERR_INIT;

    assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
    fd = (struct loop_child_fd){pipe_fds[1], 1};
    assert_ok(loop_child_start(loop, &o, &child, &e));
    close(pipe_fds[1]);
    assert_true(run_for(10000));
    loop_child_free(child);
    assert_ok(fd_read_all(pipe_fds[0], 65536, out, &e));
    close(pipe_fds[0]);
}

static void curl_and_several_listening_sockets_are_served(void **state)
{
    char *dir = unit_temp_dir();
    struct sockaddr_un un = listen_unix(dir);
    autofree char *command = NULL;
    autobuf b = BUF_INIT, expected = BUF_INIT;

    (void)state;
    command = xasprintf("curl -s --unix-socket %s http://x/peer http://x/pieces & "
                        "curl -s -d 12345 'http://127.0.0.1:%u/echo?one=%%C3%%A4'; "
                        "curl -s -0 http://127.0.0.1:%u/pieces; wait",
                        un.sun_path, ntohs(address.sin_port), ntohs(address.sin_port));
    run_shell(command, &b);
    buf_addf(&expected, "uid %u pid ", getuid());
    assert_contains(b.data, expected.data);
    assert_contains(b.data, "POST /echo one=\xc3\xa4  body=5:12345;");
    assert_contains(b.data, "piecepiecepiece");
    unit_remove(dir);
}

static void an_answer_may_come_later(void **state)
{
    autobuf b = BUF_INIT;
    autofd fd = ask(GET("/later"));

    (void)state;
    run_until(held);
    http_exchange_respond(take_ptr(held), 200, NULL, "late;", 5);
    expect(fd, &b, "late;");
    say(fd, GET("/echo"));
    expect(fd, &b, "GET /echo");
    assert_int_equal(n_closed, 0);
}

static void a_handler_may_answer_another_request(void **state)
{
    autobuf b = BUF_INIT, other = BUF_INIT;
    autofd fd = ask(GET("/later")), second = -EBADF;

    (void)state;
    run_until(held);
    second = ask(GET("/answer-held"));
    expect(fd, &b, "late;");
    expect(second, &other, "now;");
}

static void a_stream_arrives_piece_by_piece(void **state)
{
    autobuf b = BUF_INIT;
    autofd fd = ask(GET("/stream"));

    (void)state;
    expect(fd, &b, "Transfer-Encoding: chunked");
    for (int i = 0; i < 20; i++) {
        char piece[32];
        int len = snprintf(piece, sizeof(piece), "{\"n\":%d}\n", i);

        assert_int_equal(http_exchange_send(held, piece, (size_t)len), 1);
        expect(fd, &b, piece);
        run_until(n_drained == (size_t)i + 1);
    }
    http_exchange_end(take_ptr(held));
    expect(fd, &b, "\r\n0\r\n\r\n");
    say(fd, GET("/echo"));
    expect(fd, &b, "GET /echo");
}

static void a_client_that_does_not_read_fills_the_queue_and_nothing_else(void **state)
{
    static char block[10000];
    autobuf b = BUF_INIT;
    autofd fd = ask(GET("/stream"));
    size_t sent = 0, got;
    int r;

    (void)state;
    memset(block, 'x', sizeof(block));
    run_until(held);
    while ((r = http_exchange_send(held, block, sizeof(block))) != -ENOBUFS) {
        assert_int_equal(r, 1);
        sent += sizeof(block);
        run_for(1);
        assert_true(sent < 100 << 20);
    }
    n_drained = 0;
    http_exchange_end(take_ptr(held));
    expect(fd, &b, "\r\n0\r\n\r\n");
    got = 0;
    for (size_t i = 0; i < b.len; i++)
        got += b.data[i] == 'x';
    assert_int_equal(got, sent);
    assert_int_equal(n_drained, 0);
}

static void who_waits_learns_that_the_client_has_gone(void **state)
{
    static const char *const paths[] = {GET("/later"), GET("/stream")};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        int fd = ask(paths[i]);

        n_closed = 0;
        run_until(held);
        run_for(20);
        close(fd);
        run_until(n_closed == 1);
        assert_null(held);
    }
}

static void a_client_that_goes_in_the_middle_of_sending_is_noticed(void **state)
{
    int fd = ask(GET("/stream"));
    static char block[150000];

    (void)state;
    run_until(held);
    assert_int_equal(http_exchange_send(held, block, sizeof(block)), 1);
    run_for(20);
    assert_int_equal(http_exchange_send(held, block, 1000), 1);
    close(fd);
    run_until(n_closed == 1);
}

static void head_gets_no_body_and_its_stream_goes_nowhere(void **state)
{
    autobuf b = BUF_INIT;
    autofd fd = ask("HEAD /stream HTTP/1.1\r\nHost: x\r\n\r\n");
    struct http_exchange *x;

    (void)state;
    expect(fd, &b, "200 OK");
    x = held;
    say(fd, GET("/echo"));
    expect(fd, &b, "GET /echo");
    for (int i = 0; i < 100; i++)
        assert_int_equal(http_exchange_send(x, "0123456789", 10), 0);
    http_exchange_end(x);
    assert_null(strstr(b.data, "0123456789"));
    assert_int_equal(n_closed, 0);
    say(fd, "HEAD /stream HTTP/1.1\r\nHost: x\r\n\r\n");
    held = NULL;
    run_until(held);
    run_for(20);
}

static void refused(const char *request, const char *status)
{
    autobuf b = BUF_INIT;
    autofd fd = ask(request);

    expect(fd, &b, status);
}

static void what_is_too_large_or_malformed_is_refused(void **state)
{
    autobuf chunked = BUF_INIT, head = BUF_INIT, b = BUF_INIT;
    int fd;

    (void)state;
    refused("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1001\r\n\r\n", "HTTP/1.1 413 ");
    refused("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1001\r\n"
            "Expect: 100-continue\r\n\r\n",
            "HTTP/1.1 413 ");
    buf_addstr(&chunked, "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
                         "3e9\r\n");
    for (int i = 0; i < 1001; i++)
        buf_addc(&chunked, 'x');
    buf_addstr(&chunked, "\r\n0\r\n\r\n");
    refused(chunked.data, "HTTP/1.1 413 ");
    refused("GET /a%00b HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 400 ");
    refused("GET /a%zz HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 400 ");
    refused("GET /a HTTP/1.1\r\n\r\n", "HTTP/1.1 400 ");
    buf_addstr(&head, "GET /echo HTTP/1.1\r\nHost: x\r\nX: ");
    for (int i = 0; i < 40000; i++)
        buf_addc(&head, 'x');
    refused(head.data, "HTTP/1.1 431 ");
    assert_int_equal(n_requests, 0);

    /* Without an end it is cut off. */
    fd = ask("POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffff\r\n");
    for (int i = 0; i < 80; i++)
        if (send(fd, chunked.data + 100, 1000, MSG_NOSIGNAL) < 0)
            break;
    expect_end(fd, &b);
    close(fd);
    assert_int_equal(n_requests, 0);
}

static void the_connection_can_be_taken_over(void **state)
{
    autobuf b = BUF_INIT;
    autofd fd = ask("GET /up HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: test\r\n\r\n"
                    "early");

    (void)state;
    run_until(n_taken == 1);
    assert_true(taken_fd >= 0);
    expect(fd, &b, "HTTP/1.1 101 Switching Protocols");
    expect(fd, &b, "\r\n\r\n");
    assert_contains(b.data, "Upgrade: test");
    assert_contains(b.data, "Connection: Upgrade\r\n");
    run_for(20);
    if (!taken_rest.len)
        receive(taken_fd, &taken_rest);
    assert_string_equal(buf_str(&taken_rest), "early");
    /* The server has nothing to do with it any more. */
    http_server_free(take_ptr(server));
    say(taken_fd, "ours;");
    expect(fd, &b, "ours;");
    say(fd, "yours;");
    expect(taken_fd, &taken_rest, "yours;");
    assert_int_equal(fcntl(taken_fd, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
    close(taken_fd);
    expect_end(fd, &b);
    assert_int_equal(n_taken, 1);
    assert_int_equal(n_closed, 0);
}

static void who_took_a_connection_over_can_shut_it(void **state)
{
    autobuf b = BUF_INIT;
    autofd fd = ask("GET /up HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: test\r\n\r\n");

    (void)state;
    run_until(n_taken == 1);
    close(taken_fd);
    expect_end(fd, &b);
    assert_contains(b.data, " 101 ");
}

static void a_takeover_that_is_not_possible_hands_out_nothing(void **state)
{
    autofd fd = ask("GET /up HTTP/1.0\r\nHost: x\r\n\r\n");

    (void)state;
    (void)fd;
    run_until(n_taken == 1);
    assert_int_equal(taken_fd, -1);
}

static void more_connections_than_allowed_wait(void **state)
{
    autobuf first = BUF_INIT, third = BUF_INIT;
    int fds[3];

    (void)state;
    http_server_free(take_ptr(server));
    open_server(2, 60000);
    for (int i = 0; i < 3; i++)
        fds[i] = ask(GET("/echo"));
    expect(fds[0], &first, "GET /echo");
    assert_false(wait_for(fds[2], LOOP_READABLE, 50));
    assert_int_equal(n_requests, 2);
    close(fds[0]);
    expect(fds[2], &third, "GET /echo");
    close(fds[1]);
    close(fds[2]);
}

static void an_idle_connection_is_shut_in_time(void **state)
{
    autobuf b = BUF_INIT;
    uint64_t begin = clock_monotonic_ns();
    autofd idle = -EBADF, half = -EBADF;

    (void)state;
    http_server_free(take_ptr(server));
    open_server(10, 1000);
    idle = ask(GET("/echo"));
    half = ask("GET /ec");
    expect_end(idle, &b);
    expect_end(half, &b);
    assert_in_range((clock_monotonic_ns() - begin) / 1000000, 900, 3500);
}

static void an_idle_server_with_open_streams_does_not_wake_up(void **state)
{
    autobuf b = BUF_INIT;
    struct rusage before, after;
    int fds[200];

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
        fds[i] = ask(GET("/stream"));
        buf_clear(&b);
        expect(fds[i], &b, "chunked");
        /* What comes while a stream is open waits, and wakes nobody. */
        say(fds[i], GET("/echo"));
    }
    run_for(50);
    getrusage(RUSAGE_THREAD, &before);
    run_for(400);
    getrusage(RUSAGE_THREAD, &after);
    assert_true(after.ru_nvcsw - before.ru_nvcsw <= 2);
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
        close(fds[i]);
    run_until(n_closed == ARRAY_SIZE(fds));
}

static void thousands_of_short_connections_are_served(void **state)
{
    autobuf b = BUF_INIT;

    (void)state;
    for (int i = 0; i < 3000; i++) {
        int fd = ask(GET("/echo"));

        buf_clear(&b);
        expect(fd, &b, "GET /echo");
        close(fd);
    }
    assert_int_equal(n_requests, 3000);
}

static void whoever_is_served_when_the_server_is_freed_is_told(void **state)
{
    autobuf b = BUF_INIT, other = BUF_INIT;
    autofd waiting = ask(GET("/later")), stream = -EBADF, asking = -EBADF;

    (void)state;
    run_until(held);
    stream = ask(GET("/stream"));
    expect(stream, &b, "chunked");
    /* In the middle of a handler. */
    asking = ask(GET("/free"));
    run_until(!server);
    assert_int_equal(n_closed, 3);
    expect_end(waiting, &other);
    expect_end(stream, &b);
    expect_end(asking, &other);
}

static void a_client_of_a_unix_socket_may_shut_its_side_and_wait(void **state)
{
    char *dir = unit_temp_dir();
    struct sockaddr_un un = listen_unix(dir);
    autofd client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    autobuf b = BUF_INIT;

    (void)state;
    assert_int_equal(connect(client, (struct sockaddr *)&un, sizeof(un)), 0);
    say(client, GET("/later"));
    shutdown(client, SHUT_WR);
    run_until(held);
    run_for(20);
    assert_int_equal(n_closed, 0);
    http_exchange_respond(take_ptr(held), 200, NULL, "late;", 5);
    expect(client, &b, "late;");
    unit_remove(dir);
}

#define promise(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        promise(requests_on_one_connection_are_answered_in_order),
        promise(curl_and_several_listening_sockets_are_served),
        promise(an_answer_may_come_later),
        promise(a_handler_may_answer_another_request),
        promise(a_stream_arrives_piece_by_piece),
        promise(a_client_that_does_not_read_fills_the_queue_and_nothing_else),
        promise(who_waits_learns_that_the_client_has_gone),
        promise(a_client_that_goes_in_the_middle_of_sending_is_noticed),
        promise(head_gets_no_body_and_its_stream_goes_nowhere),
        promise(what_is_too_large_or_malformed_is_refused),
        promise(the_connection_can_be_taken_over),
        promise(who_took_a_connection_over_can_shut_it),
        promise(a_takeover_that_is_not_possible_hands_out_nothing),
        promise(more_connections_than_allowed_wait),
        promise(an_idle_connection_is_shut_in_time),
        promise(an_idle_server_with_open_streams_does_not_wake_up),
        promise(thousands_of_short_connections_are_served),
        promise(whoever_is_served_when_the_server_is_freed_is_told),
        promise(a_client_of_a_unix_socket_may_shut_its_side_and_wait),
    };
    return cmocka_run_group_tests_name("http_server", tests, NULL, NULL);
}
