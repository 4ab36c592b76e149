/* SPDX-License-Identifier: Apache-2.0 */
#include "sockets.h"

#include <netinet/in.h>

#include "base/strv.h"
#include "wire/websocket.h"
#include "wire/websocket_handshake.h"

enum { MESSAGE_LIMIT = 300000, QUEUE_LIMIT = 400000 };

/* One side, and what it was told. */
struct side {
    struct websocket *w;
    struct buf messages; /* "t:text;" and "b:bytes;" */
    size_t n_messages, n_bytes, n_opened, n_closed, n_drained;
    char *protocol, *reason;
    unsigned code;
    struct err e;
    bool is_echo, is_freed_by_message;
};

static struct side server_side, client_side;
static struct http_server *server;
static struct sockaddr_in address;
static const char *const both_protocols[] = {"v5.channel.k8s.io", "v4.channel.k8s.io", NULL};
static const char *const *server_protocols;
static void (*handler)(void *ctx, struct http_exchange *x);

static void on_opened(void *ctx, const char *protocol)
{
    struct side *s = ctx;

    s->n_opened++;
    s->protocol = xstrdup(protocol ? protocol : "(none)");
    loop_stop(loop);
}

static void on_message(void *ctx, enum websocket_kind kind, const void *data, size_t len)
{
    struct side *s = ctx;

    s->n_messages++;
    s->n_bytes += len;
    if (len < 1000)
        buf_addf(&s->messages, "%c:%.*s;", kind == WEBSOCKET_TEXT ? 't' : 'b', (int)len,
                 (const char *)data);
    if (s->is_echo)
        assert_true(websocket_send(s->w, kind, data, len, &s->e) >= 0);
    if (s->is_freed_by_message)
        websocket_free(take_ptr(s->w));
    loop_stop(loop);
}

static void on_drained(void *ctx)
{
    ((struct side *)ctx)->n_drained++;
    loop_stop(loop);
}

static void on_closed(void *ctx, unsigned code, const char *reason, const struct err *e)
{
    struct side *s = ctx;

    s->n_closed++;
    s->code = code;
    s->reason = xstrdup(reason);
    s->e = *e;
    websocket_free(take_ptr(s->w));
    loop_stop(loop);
}

static struct websocket_options options(struct side *s, const char *const *protocols)
{
    return (struct websocket_options){
        .loop = loop,
        .protocols = protocols,
        .message_limit = MESSAGE_LIMIT,
        .queue_limit = QUEUE_LIMIT,
        .opened = on_opened,
        .message = on_message,
        .drained = on_drained,
        .closed = on_closed,
        .ctx = s,
    };
}

static void on_request(void *ctx, struct http_exchange *x)
{
    struct websocket_options o = options(&server_side, server_protocols);
    struct err e = ERR_INIT;

    (void)ctx;
    if (websocket_accept(x, &o, &server_side.w, &e) < 0)
        assert_string_equal(e.reason, "BadHandshake");
}

static void on_any_request(void *ctx, struct http_exchange *x)
{
    handler(ctx, x);
}

static int set_up(void **state)
{
    struct http_server_options o = {
        .body_limit = 1000,
        .connections = 10,
        .idle_ms = 10000,
        .queue_limit = 10000,
        .request = on_any_request,
    };
    struct err e = ERR_INIT;

    (void)state;
    server_side = client_side = (struct side){0};
    server_protocols = NULL;
    handler = on_request;
    assert_ok(loop_open(&loop, &e));
    o.loop = loop;
    assert_ok(http_server_new(&o, &server, &e));
    assert_ok(http_server_listen(server, listen_tcp(&address), &e));
    return 0;
}

static void side_done(struct side *s)
{
    websocket_free(s->w);
    buf_done(&s->messages);
    free(s->protocol);
    free(s->reason);
}

static int tear_down(void **state)
{
    (void)state;
    side_done(&server_side);
    side_done(&client_side);
    http_server_free(take_ptr(server));
    loop_free(take_ptr(loop));
    return 0;
}

static void connect_client(const char *const *protocols)
{
    struct websocket_request q = {.host = "localhost", .target = "/exec?command=ls"};
    struct websocket_options o = options(&client_side, protocols);
    struct err e = ERR_INIT;

    strv_add(&q.headers, "Authorization: Bearer x");
    assert_ok(websocket_connect(connect_tcp(&address), &q, &o, &client_side.w, &e));
    strv_done(&q.headers);
}

static void open_both(const char *const *protocols)
{
    connect_client(protocols);
    run_until(server_side.n_opened && client_side.n_opened);
}

/* A client of plain bytes; its handshake is done. */
static int open_raw(void)
{
    autobuf b = BUF_INIT;
    int fd = connect_tcp(&address);

    say(fd, "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
    expect(fd, &b, "\r\n\r\n");
    assert_contains(b.data, "HTTP/1.1 101 ");
    assert_contains(b.data, "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n");
    run_until(server_side.n_opened);
    return fd;
}

static int send_ok(struct side *s, enum websocket_kind kind, const void *data, size_t len)
{
    struct err e = ERR_INIT;
    int r = websocket_send(s->w, kind, data, len, &e);

    if (r < 0)
        fail_msg("%s", e.msg);
    return r;
}

static void messages_go_both_ways(void **state)
{
    static char large[250000];

    (void)state;
    open_both(NULL);
    assert_string_equal(client_side.protocol, "(none)");
    send_ok(&client_side, WEBSOCKET_TEXT, "gr\xc3\xbc\xc3\x9f", 6);
    send_ok(&client_side, WEBSOCKET_BINARY, "\0\1", 1);
    send_ok(&client_side, WEBSOCKET_BINARY, "", 0);
    run_until(server_side.n_messages == 3);
    assert_contains(server_side.messages.data, "t:gr\xc3\xbc\xc3\x9f;b:");
    server_side.is_echo = true;
    memset(large, 'l', sizeof(large));
    for (int i = 0; i < 10; i++) {
        send_ok(&client_side, WEBSOCKET_BINARY, large, sizeof(large));
        run_until(client_side.n_bytes == (size_t)(i + 1) * sizeof(large));
    }
    send_ok(&client_side, WEBSOCKET_TEXT, "end", 3);
    run_until(client_side.n_messages == 11);
    assert_string_equal(client_side.messages.data, "t:end;");
}

static void the_servers_preference_chooses_the_protocol(void **state)
{
    static const char *const reversed[] = {"v4.channel.k8s.io", "other", "v5.channel.k8s.io", NULL};

    (void)state;
    server_protocols = both_protocols;
    open_both(reversed);
    assert_string_equal(client_side.protocol, "v5.channel.k8s.io");
    assert_string_equal(server_side.protocol, "v5.channel.k8s.io");
}

static void without_a_common_protocol_there_is_no_websocket(void **state)
{
    static const char *const others[] = {"v3.channel.k8s.io", NULL};
    static const char *const or_none[] = {"v5.channel.k8s.io", "", NULL};

    (void)state;
    server_protocols = both_protocols;
    connect_client(others);
    run_until(client_side.n_closed);
    assert_string_equal(client_side.e.reason, "BadHandshake");
    assert_contains(client_side.e.msg, "400 Bad Request");
    assert_int_equal(client_side.n_opened, 0);
    server_protocols = or_none;
    side_done(&client_side);
    client_side = (struct side){0};
    open_both(NULL);
    assert_string_equal(server_side.protocol, "(none)");
}

static void a_closing_handshake_tells_both_why(void **state)
{
    struct err e = ERR_INIT;

    (void)state;
    open_both(NULL);
    send_ok(&client_side, WEBSOCKET_TEXT, "last", 4);
    websocket_close(client_side.w, WEBSOCKET_NORMAL, "done");
    websocket_close(client_side.w, WEBSOCKET_INTERNAL_ERROR, "again");
    assert_fails(websocket_send(client_side.w, WEBSOCKET_TEXT, "x", 1, &e), -ENOTCONN, "NotOpen");
    run_until(server_side.n_closed && client_side.n_closed);
    assert_string_equal(server_side.messages.data, "t:last;");
    assert_int_equal(server_side.code, 1000);
    assert_string_equal(server_side.reason, "done");
    assert_int_equal(server_side.e.code, 0);
    assert_int_equal(client_side.code, 1000);
    assert_int_equal(client_side.e.code, 0);
}

static void a_long_reason_is_cut_between_characters(void **state)
{
    char reason[200];

    (void)state;
    open_both(NULL);
    for (size_t i = 0; i < 198; i += 2)
        memcpy(reason + i, "\xc3\xa4", 3);
    websocket_close(server_side.w, WEBSOCKET_INTERNAL_ERROR, reason);
    run_until(server_side.n_closed && client_side.n_closed);
    assert_int_equal(client_side.code, 1011);
    assert_int_equal(strlen(client_side.reason), 122);
    assert_int_equal(client_side.e.code, 0);
}

static void a_full_queue_refuses_whole_messages_and_drains(void **state)
{
    static char block[50000];
    struct err e = ERR_INIT;
    size_t sent = 0;

    (void)state;
    open_both(NULL);
    websocket_pause(server_side.w);
    while (sent < 100000 &&
           websocket_send(client_side.w, WEBSOCKET_BINARY, block, 50000, &e) >= 0) {
        sent++;
        if (sent % 8 == 0)
            run_for(1);
    }
    assert_int_equal(e.code, -ENOBUFS);
    assert_string_equal(e.reason, "QueueFull");
    client_side.n_drained = 0;
    websocket_resume(server_side.w);
    run_until(server_side.n_messages == sent && client_side.n_drained);
    assert_int_equal(server_side.n_bytes, sent * 50000);
    send_ok(&client_side, WEBSOCKET_TEXT, "after", 5);
    run_until(server_side.n_messages == sent + 1);
    assert_string_equal(server_side.messages.data, "t:after;");
}

static void a_message_beyond_the_limit_ends_it(void **state)
{
    static char large[MESSAGE_LIMIT + 1];

    (void)state;
    open_both(NULL);
    send_ok(&client_side, WEBSOCKET_BINARY, large, sizeof(large));
    run_until(server_side.n_closed && client_side.n_closed);
    assert_int_equal(server_side.n_messages, 0);
    assert_int_equal(client_side.code, WEBSOCKET_TOO_LARGE);
}

static void pings_are_answered(void **state)
{
    autofd fd = open_raw();
    autobuf b = BUF_INIT;

    (void)state;
    /* "hi", masked with zeros. */
    assert_int_equal(send(fd, "\x89\x82\0\0\0\0hi", 8, 0), 8);
    expect(fd, &b, "\x8a\x02hi");
    assert_int_equal(server_side.n_messages, 0);
}

static void frames_may_come_in_any_pieces(void **state)
{
    /* A text in two fragments with a ping between them. */
    static const char frames[] = "\x01\x82\0\0\0\0he\x89\x80\0\0\0\0\x80\x83\0\0\0\0llo";
    autofd fd = open_raw();

    (void)state;
    for (size_t i = 0; i < sizeof(frames) - 1; i++) {
        assert_int_equal(send(fd, frames + i, 1, 0), 1);
        run_for(2);
    }
    run_until(server_side.n_messages == 1);
    assert_string_equal(server_side.messages.data, "t:hello;");
}

struct fault {
    const char *bytes;
    size_t len;
    unsigned code;
};
#define FAULT(bytes, code)                                                                         \
    {                                                                                              \
        bytes, sizeof(bytes) - 1, code                                                             \
    }

static void what_breaks_the_protocol_is_answered_with_its_code(void **state)
{
    static const struct fault faults[] = {
        FAULT("\x81\x02hi", 1002),                       /* not masked */
        FAULT("\xc1\x82\0\0\0\0hi", 1002),               /* a reserved bit */
        FAULT("\x83\x80\0\0\0\0", 1002),                 /* an opcode that is none */
        FAULT("\x80\x80\0\0\0\0", 1002),                 /* goes on with nothing */
        FAULT("\x01\x80\0\0\0\0\x81\x80\0\0\0\0", 1002), /* begins in the middle of another */
        FAULT("\x09\x80\0\0\0\0", 1002),                 /* control in fragments */
        FAULT("\x89\xfe\0\x7e\0\0\0\0", 1002),           /* control of more than 125 bytes */
        FAULT("\x82\xfe\0\x01\0\0\0\0x", 1002),          /* a length written too long */
        FAULT("\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\0", 1002), /* a negative length */
        FAULT("\x82\xff\0\0\x7f\xff\xff\xff\xff\xff\0\0\0\0x", 1009),
        FAULT("\x81\x82\0\0\0\0\xff\xfe", 1007),         /* no UTF-8 */
        FAULT("\x88\x81\0\0\0\0\x03", 1002),             /* half a code */
        FAULT("\x88\x82\0\0\0\0\x03\xed", 1002),         /* 1005 must not be sent */
        FAULT("\x88\x84\0\0\0\0\x03\xe8\xff\xff", 1007), /* a reason that is no UTF-8 */
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(faults); i++) {
        int fd = open_raw();
        autobuf b = BUF_INIT;

        assert_int_equal(send(fd, faults[i].bytes, faults[i].len, 0), (ssize_t)faults[i].len);
        expect_end(fd, &b);
        assert_true(b.len >= 4);
        assert_int_equal((unsigned char)b.data[0], 0x88);
        if (((unsigned char)b.data[2] << 8 | (unsigned char)b.data[3]) != (int)faults[i].code)
            fail_msg("fault %zu was answered with %d", i,
                     (unsigned char)b.data[2] << 8 | (unsigned char)b.data[3]);
        close(fd);
        run_until(server_side.n_closed);
        assert_int_equal(server_side.n_messages, 0);
        assert_int_equal(server_side.code, faults[i].code);
        assert_string_equal(server_side.e.reason, "ProtocolError");
        side_done(&server_side);
        server_side = (struct side){0};
    }
}

static void a_connection_that_breaks_ends_it_once(void **state)
{
    int fd = open_raw();

    (void)state;
    assert_int_equal(send(fd, "\x81\x85\0\0\0\0he", 8, 0), 8);
    close(fd);
    run_until(server_side.n_closed);
    assert_int_equal(server_side.code, WEBSOCKET_ABNORMAL);
    assert_string_equal(server_side.e.reason, "ConnectionLost");
    run_for(20);
    assert_int_equal(server_side.n_closed, 1);
    assert_int_equal(server_side.n_messages, 0);
}

static void a_peer_that_does_not_close_is_left_after_a_while(void **state)
{
    autofd fd = open_raw();
    uint64_t begin = clock_monotonic_ns();

    (void)state;
    (void)fd;
    websocket_close(server_side.w, WEBSOCKET_GOING_AWAY, "");
    while (!server_side.n_closed && clock_monotonic_ns() - begin < 10000000000ULL)
        run_for(1000);
    assert_int_equal(server_side.n_closed, 1);
    assert_int_equal(server_side.code, WEBSOCKET_ABNORMAL);
    assert_string_equal(server_side.e.reason, "Stalled");
    assert_in_range((clock_monotonic_ns() - begin) / 1000000, 4500, 7000);
}

static void it_may_be_freed_in_the_middle_of_messages(void **state)
{
    autofd fd = open_raw();
    autobuf b = BUF_INIT;

    (void)state;
    server_side.is_freed_by_message = true;
    assert_int_equal(send(fd, "\x81\x81\0\0\0\0a\x81\x81\0\0\0\0b", 14, 0), 14);
    expect_end(fd, &b);
    assert_int_equal(server_side.n_messages, 1);
    assert_int_equal(server_side.n_closed, 0);
}

static void a_client_may_be_freed_before_it_is_open(void **state)
{
    (void)state;
    connect_client(NULL);
    websocket_free(take_ptr(client_side.w));
    run_until(server_side.n_closed);
    assert_int_equal(server_side.code, WEBSOCKET_ABNORMAL);
}

static void on_request_freed(void *ctx, struct http_exchange *x)
{
    on_request(ctx, x);
    websocket_free(take_ptr(server_side.w));
}

static void a_server_may_be_freed_before_it_is_open(void **state)
{
    (void)state;
    handler = on_request_freed;
    connect_client(NULL);
    run_until(client_side.n_closed);
    assert_string_equal(client_side.e.reason, "ConnectionLost");
    assert_int_equal(server_side.n_opened + server_side.n_closed, 0);
}

static void other_requests_are_refused(void **state)
{
    static const char *const requests[][2] = {
        {"GET / HTTP/1.1\r\nHost: x\r\n\r\n",                                                         "HTTP/1.1 426 "},
        {"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
         "Sec-WebSocket-Version: 8\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",  "HTTP/1.1 426 "},
        {"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
         "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25j\r\n\r\n",     "HTTP/1.1 400 "},
        {"POST / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
         "Content-Length: 0\r\n"
         "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", "HTTP/1.1 400 "},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(requests); i++) {
        autofd fd = connect_tcp(&address);
        autobuf b = BUF_INIT;

        say(fd, requests[i][0]);
        expect(fd, &b, requests[i][1]);
    }
    assert_null(server_side.w);
}

#define ANSWER  "HTTP/1.1 101 Switching Protocols\r\n"
#define ACCEPT  "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
#define UPGRADE "Upgrade: websocket\r\nConnection: Upgrade\r\n"

static void an_answer_that_does_not_fit_is_no_handshake(void **state)
{
    static const char *const good[] = {
        ANSWER UPGRADE ACCEPT "\r\n",
        "HTTP/1.1 101\r\nconnection: x , upgrade\r\nupgrade:WebSocket\r\n" ACCEPT
        "Sec-WebSocket-Protocol: v4.channel.k8s.io\r\n\r\n",
    };
    static const char *const bad[] = {
        "",
        "HTTP/1.1 200 OK\r\n" UPGRADE ACCEPT "\r\n",
        "HTTP/1.1 403 Forbidden\r\n\r\n",
        ANSWER ACCEPT "\r\n",
        ANSWER UPGRADE "\r\n",
        ANSWER UPGRADE "Sec-WebSocket-Accept: c3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
        ANSWER UPGRADE ACCEPT "Sec-WebSocket-Protocol: other\r\n\r\n",
        ANSWER UPGRADE ACCEPT "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n",
        ANSWER UPGRADE ACCEPT "nonsense\r\n\r\n",
    };
    const char *protocol = NULL;
    struct err e = ERR_INIT;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(good); i++)
        assert_ok(websocket_answer_check(
            text_of(good[i]), "dGhlIHNhbXBsZSBub25jZQ==", both_protocols, &protocol, &e));
    assert_string_equal(protocol, "v4.channel.k8s.io");
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_fails(websocket_answer_check(text_of(bad[i]), "dGhlIHNhbXBsZSBub25jZQ==",
                                            both_protocols, &protocol, &e),
                     -EPROTO, "BadHandshake");
}

static void a_server_that_never_ends_its_head_is_left(void **state)
{
    struct sockaddr_in to;
    autofd listening = listen_tcp(&to);
    autofd peer = -EBADF;
    static char junk[20000];

    (void)state;
    address = to;
    connect_client(NULL);
    peer = accept4(listening, NULL, NULL, SOCK_CLOEXEC);
    memset(junk, 'j', sizeof(junk));
    assert_int_equal(send(peer, junk, sizeof(junk), 0), sizeof(junk));
    run_until(client_side.n_closed);
    assert_string_equal(client_side.e.reason, "BadHandshake");
}

#define promise(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        promise(messages_go_both_ways),
        promise(the_servers_preference_chooses_the_protocol),
        promise(without_a_common_protocol_there_is_no_websocket),
        promise(a_closing_handshake_tells_both_why),
        promise(a_long_reason_is_cut_between_characters),
        promise(a_full_queue_refuses_whole_messages_and_drains),
        promise(a_message_beyond_the_limit_ends_it),
        promise(pings_are_answered),
        promise(frames_may_come_in_any_pieces),
        promise(what_breaks_the_protocol_is_answered_with_its_code),
        promise(a_connection_that_breaks_ends_it_once),
        promise(a_peer_that_does_not_close_is_left_after_a_while),
        promise(it_may_be_freed_in_the_middle_of_messages),
        promise(a_client_may_be_freed_before_it_is_open),
        promise(a_server_may_be_freed_before_it_is_open),
        promise(other_requests_are_refused),
        promise(an_answer_that_does_not_fit_is_no_handshake),
        promise(a_server_that_never_ends_its_head_is_left),
    };
    return cmocka_run_group_tests_name("websocket", tests, NULL, NULL);
}
