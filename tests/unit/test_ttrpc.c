/* SPDX-License-Identifier: Apache-2.0 */
/* Server and client over real sockets: against each other, and each against a peer of bytes. */
#include "sockets.h"

#include "wire/ttrpc.h"
#include "wire/ttrpc.pb-c.h"
#include "wire/ttrpc_frame.h"

#define MANY 200

/* ---- The service ---- */

static struct {
    struct ttrpc_call *kept[MANY * 2];
    size_t n_kept;
    uint64_t timeout_ns;
    size_t wanted; /* the loop stops when so many are kept */
    int n_idle;
} service;

static struct ttrpc_server *server;
static char *folder, *path;

static void echo(void *ctx, struct ttrpc_call *call, const void *payload, size_t len,
                 uint64_t timeout_ns)
{
    assert_ptr_equal(ctx, &service);
    service.timeout_ns = timeout_ns;
    ttrpc_call_answer(call, payload, len);
}

static void refuse(void *ctx, struct ttrpc_call *call, const void *payload, size_t len,
                   uint64_t timeout_ns)
{
    struct err e = ERR_INIT;
    (void)ctx, (void)timeout_ns;
    err_set(&e, -ENOENT, "NoContainer", "no container '%.*s'", (int)len, (const char *)payload);
    ttrpc_call_fail_err(call, &e);
}

static void keep(void *ctx, struct ttrpc_call *call, const void *payload, size_t len,
                 uint64_t timeout_ns)
{
    (void)ctx, (void)payload, (void)len, (void)timeout_ns;
    service.kept[service.n_kept++] = call;
    if (service.n_kept == service.wanted)
        loop_stop(loop);
}

static void huge(void *ctx, struct ttrpc_call *call, const void *payload, size_t len,
                 uint64_t timeout_ns)
{
    (void)ctx, (void)payload, (void)len, (void)timeout_ns;
    autofree char *answer = xcalloc(1, TTRPC_PAYLOAD_LIMIT + 1);
    ttrpc_call_answer(call, answer, TTRPC_PAYLOAD_LIMIT + 1);
}

static void quit(void *ctx, struct ttrpc_call *call, const void *payload, size_t len,
                 uint64_t timeout_ns)
{
    (void)ctx, (void)payload, (void)len, (void)timeout_ns;
    ttrpc_server_free(take_ptr(server));
    ttrpc_call_answer(call, "late", 4);
}

static const struct ttrpc_method methods[] = {
    {"Echo", echo  },
    {"Fail", refuse},
    {"Keep", keep  },
    {"Huge", huge  },
    {"Quit", quit  }
};
static const struct ttrpc_service services[] = {
    {"test.v1.T", methods, ARRAY_SIZE(methods)},
    {"test.v2.T", methods, ARRAY_SIZE(methods)}
};

static int listen_unix(void)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    unlink(path);
    memcpy(a.sun_path, path, strlen(path));
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    assert_int_equal(listen(fd, 16), 0);
    return fd;
}

static void serve(struct ttrpc_server_options o)
{
    struct err e = ERR_INIT;
    o.listen_fd = listen_unix();
    o.services = services;
    o.n_services = ARRAY_SIZE(services);
    o.ctx = &service;
    assert_ok(ttrpc_server_new(loop, &o, &server, &e));
}

static int before(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    memset(&service, 0, sizeof(service));
    assert_ok(loop_open(&loop, &e));
    folder = unit_temp_dir();
    path = xasprintf("%s/s", folder);
    return 0;
}

static int after(void **state)
{
    (void)state;
    ttrpc_server_free(take_ptr(server));
    for (size_t i = 0; i < service.n_kept; i++)
        ttrpc_call_answer(service.kept[i], NULL, 0);
    loop_free(loop);
    unit_remove(folder);
    free(path);
    return 0;
}

/* ---- Calls of our client ---- */

struct outcome {
    int n;
    struct err e;
    struct buf payload;
    int *order; /* counts */
    int place;
    struct ttrpc_client **frees;
};

static void done(void *ctx, const struct err *e, const void *payload, size_t len)
{
    struct outcome *o = ctx;
    o->n++;
    if (e)
        o->e = *e;
    else
        buf_add(&o->payload, payload, len);
    if (o->order)
        o->place = (*o->order)++;
    if (o->frees)
        ttrpc_client_free(take_ptr(*o->frees));
    loop_stop(loop);
}

static struct ttrpc_client *connect_client(size_t call_limit)
{
    struct err e = ERR_INIT;
    struct ttrpc_client *c = NULL;
    struct ttrpc_client_options o = {.path = path, .call_limit = call_limit};
    assert_ok(ttrpc_client_new(loop, &o, &c, &e));
    return c;
}

static void begin(struct ttrpc_client *c, const char *method, const char *payload,
                  unsigned timeout_ms, struct outcome *o)
{
    struct ttrpc_request r = {"test.v1.T", method, payload, strlen(payload), timeout_ms};
    ttrpc_client_call(c, &r, done, o);
    assert_int_equal(o->n, 0);
}

static void a_call_is_answered_with_what_the_handler_says(void **state)
{
    (void)state;
    serve((struct ttrpc_server_options){0});
    AUTO(ttrpc_client) c = connect_client(0);
    struct outcome o = {0};
    begin(c, "Echo", "hello", 1500, &o);
    run_until(o.n);
    assert_int_equal(o.e.code, 0);
    assert_string_equal(buf_str(&o.payload), "hello");
    assert_int_equal(service.timeout_ns, 1500000000u);
    buf_done(&o.payload);
}

static void an_error_keeps_its_kind_and_its_sentence(void **state)
{
    (void)state;
    serve((struct ttrpc_server_options){0});
    AUTO(ttrpc_client) c = connect_client(0);
    struct outcome o = {0};
    begin(c, "Fail", "web", 0, &o);
    run_until(o.n);
    assert_int_equal(o.e.code, -ENOENT);
    assert_string_equal(o.e.reason, "NotFound");
    assert_string_equal(o.e.msg, "no container 'web'");
}

static void every_code_that_is_sent_arrives_as_itself(void **state)
{
    (void)state;
    for (int code = TTRPC_CANCELED; code <= TTRPC_UNAUTHENTICATED; code++) {
        struct err e = ERR_INIT;
        assert_int_equal(ttrpc_code_of(ttrpc_status_err(code, "", &e)), code);
        assert_true(e.msg[0]);
    }
    struct err e = ERR_INIT;
    assert_fails(ttrpc_status_err(99, "what", &e), -EREMOTEIO, "Unknown");
    assert_int_equal(ttrpc_code_of(-EXDEV), TTRPC_UNKNOWN);
}

static void an_unknown_service_or_method_is_unimplemented_and_the_connection_kept(void **state)
{
    (void)state;
    serve((struct ttrpc_server_options){0});
    AUTO(ttrpc_client) c = connect_client(0);
    struct outcome o[3] = {0};
    struct ttrpc_request r = {"test.v9.T", "Echo", NULL, 0, 0};
    ttrpc_client_call(c, &r, done, &o[0]);
    begin(c, "Fly", "", 0, &o[1]);
    begin(c, "Echo", "still", 0, &o[2]);
    run_until(o[2].n);
    assert_string_equal(o[0].e.reason, "Unimplemented");
    assert_contains(o[0].e.msg, "test.v9.T");
    assert_string_equal(o[1].e.reason, "Unimplemented");
    assert_contains(o[1].e.msg, "Fly");
    assert_string_equal(buf_str(&o[2].payload), "still");
    buf_done(&o[2].payload);
}

static void calls_may_be_answered_in_reverse_order(void **state)
{
    (void)state;
    serve((struct ttrpc_server_options){0});
    AUTO(ttrpc_client) c = connect_client(0);
    struct outcome o[MANY] = {0};
    int order = 0;
    service.wanted = MANY;
    for (int i = 0; i < MANY; i++) {
        o[i].order = &order;
        begin(c, "Keep", "", 0, &o[i]);
    }
    run_until(service.n_kept == MANY);
    while (service.n_kept) {
        autofree char *text = xasprintf("%zu", service.n_kept - 1);
        ttrpc_call_answer(service.kept[--service.n_kept], text, strlen(text));
    }
    run_until(order == MANY);
    for (int i = 0; i < MANY; i++) {
        autofree char *text = xasprintf("%d", i);
        assert_string_equal(buf_str(&o[i].payload), text);
        assert_int_equal(o[i].place, MANY - 1 - i);
        buf_done(&o[i].payload);
    }
}

static void a_call_that_is_not_answered_in_time_is_given_up(void **state)
{
    (void)state;
    serve((struct ttrpc_server_options){0});
    AUTO(ttrpc_client) c = connect_client(0);
    struct outcome late = {0}, next = {0};
    begin(c, "Keep", "", 20, &late);
    run_until(late.n);
    assert_string_equal(late.e.reason, "TimedOut");
    /* Its answer, which comes after all, disturbs nobody. */
    ttrpc_call_answer(service.kept[--service.n_kept], "late", 4);
    begin(c, "Echo", "next", 0, &next);
    run_until(next.n);
    assert_string_equal(buf_str(&next.payload), "next");
    assert_int_equal(late.n, 1);
    buf_done(&next.payload);
}

static void calls_fail_when_the_connection_is_lost_and_so_do_later_ones(void **state)
{
    (void)state;
    serve((struct ttrpc_server_options){0});
    AUTO(ttrpc_client) c = connect_client(0);
    struct outcome o[3] = {0};
    service.wanted = 2;
    begin(c, "Keep", "", 60000, &o[0]);
    begin(c, "Keep", "", 0, &o[1]);
    run_until(service.n_kept == 2);
    assert_false(ttrpc_client_is_lost(c));
    ttrpc_server_free(take_ptr(server));
    assert_true(ttrpc_call_is_lost(service.kept[0]));
    run_until(o[1].n);
    assert_true(ttrpc_client_is_lost(c));
    begin(c, "Echo", "", 0, &o[2]);
    run_until(o[2].n);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(o[i].n, 1);
        assert_string_equal(o[i].e.reason, "ConnectionLost");
    }
}

static void a_call_whose_connection_has_gone_can_still_be_answered(void **state)
{
    (void)state;
    serve((struct ttrpc_server_options){0});
    struct ttrpc_client *c = connect_client(0);
    struct outcome o = {0}, other = {0};
    service.wanted = 1;
    begin(c, "Keep", "", 0, &o);
    run_until(service.n_kept);
    ttrpc_client_free(c);
    AUTO(ttrpc_client) again = connect_client(0);
    begin(again, "Echo", "", 0, &other);
    run_until(other.n);
    assert_true(ttrpc_call_is_lost(service.kept[0]));
    ttrpc_call_answer(service.kept[--service.n_kept], "x", 1);
    assert_int_equal(o.n, 0);
}

static void a_handler_may_free_the_server_and_answer_afterwards(void **state)
{
    (void)state;
    serve((struct ttrpc_server_options){0});
    AUTO(ttrpc_client) c = connect_client(0);
    struct outcome o[2] = {0};
    begin(c, "Quit", "", 0, &o[0]);
    begin(c, "Echo", "", 0, &o[1]);
    run_until(o[1].n);
    assert_string_equal(o[0].e.reason, "ConnectionLost");
    assert_string_equal(o[1].e.reason, "ConnectionLost");
}

static void a_client_may_be_freed_by_an_answer(void **state)
{
    (void)state;
    serve((struct ttrpc_server_options){0});
    struct ttrpc_client *c = connect_client(0);
    struct outcome first = {.frees = &c}, second = {0};
    begin(c, "Echo", "", 0, &first);
    begin(c, "Echo", "", 0, &second);
    run_until(first.n);
    assert_null(c);
    run_for(10);
    assert_int_equal(second.n, 0);
}

static void an_answer_that_is_too_large_becomes_an_error(void **state)
{
    (void)state;
    serve((struct ttrpc_server_options){0});
    AUTO(ttrpc_client) c = connect_client(0);
    struct outcome o = {0};
    begin(c, "Huge", "", 0, &o);
    run_until(o.n);
    assert_string_equal(o.e.reason, "ResourceExhausted");
}

static void a_request_that_is_too_large_is_not_sent(void **state)
{
    (void)state;
    serve((struct ttrpc_server_options){0});
    AUTO(ttrpc_client) c = connect_client(0);
    struct outcome o = {0}, next = {0};
    autofree char *payload = xcalloc(1, TTRPC_PAYLOAD_LIMIT);
    struct ttrpc_request r = {"test.v1.T", "Echo", payload, TTRPC_PAYLOAD_LIMIT, 0};
    ttrpc_client_call(c, &r, done, &o);
    run_until(o.n);
    assert_string_equal(o.e.reason, "MessageTooLarge");
    begin(c, "Echo", "", 0, &next);
    run_until(next.n);
    assert_int_equal(next.e.code, 0);
}

static void large_payloads_pass_both_ways(void **state)
{
    (void)state;
    serve((struct ttrpc_server_options){0});
    AUTO(ttrpc_client) c = connect_client(0);
    struct outcome o = {0};
    size_t len = TTRPC_PAYLOAD_LIMIT - 100;
    autofree char *payload = xcalloc(1, len);
    payload[len - 1] = 'z';
    struct ttrpc_request r = {"test.v1.T", "Echo", payload, len, 0};
    ttrpc_client_call(c, &r, done, &o);
    run_until(o.n);
    assert_int_equal(o.payload.len, len);
    assert_int_equal(o.payload.data[len - 1], 'z');
    buf_done(&o.payload);
}

static void more_calls_than_a_client_may_have_open_fail(void **state)
{
    (void)state;
    serve((struct ttrpc_server_options){0});
    AUTO(ttrpc_client) c = connect_client(1);
    struct outcome o[2] = {0};
    begin(c, "Keep", "", 0, &o[0]);
    begin(c, "Echo", "", 0, &o[1]);
    run_until(o[1].n);
    assert_string_equal(o[1].e.reason, "TooManyCalls");
    assert_int_equal(o[0].n, 0);
}

static void nobody_listening_is_said_with_the_path(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    struct ttrpc_client *c = NULL;
    struct ttrpc_client_options o = {.path = path};
    assert_fails(ttrpc_client_new(loop, &o, &c, &e), -ENOENT, "ConnectFailed");
    assert_contains(e.msg, path);
    close(listen_unix());
    assert_fails(ttrpc_client_new(loop, &o, &c, &e), -ECONNREFUSED, "ConnectFailed");
    autofree char *long_path = xasprintf("/%0200d", 0);
    o.path = long_path;
    assert_fails(ttrpc_client_new(loop, &o, &c, &e), -ENAMETOOLONG, "ConnectFailed");
    assert_null(c);
}

/* ---- A peer of bytes against the server ---- */

static int connect_raw(void)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    memcpy(a.sun_path, path, strlen(path));
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    return fd;
}

static void request_add(struct buf *out, uint32_t id, unsigned flags, const char *method)
{
    Ttrpc__Request r = TTRPC__REQUEST__INIT;
    r.service = (char *)"test.v2.T";
    r.method = (char *)method;
    size_t at = ttrpc_frame_begin(out);
    protobuf_add(&r.base, out);
    ttrpc_frame_end(out, at, id, TTRPC_REQUEST, flags);
}

static void frame_add(struct buf *out, uint32_t id, unsigned type, const char *payload)
{
    size_t at = ttrpc_frame_begin(out);
    buf_addstr(out, payload);
    ttrpc_frame_end(out, at, id, (enum ttrpc_type)type, 0);
}

static void send_all(int fd, const struct buf *b)
{
    assert_int_equal(send(fd, b->data, b->len, MSG_NOSIGNAL), (ssize_t)b->len);
}

struct peer {
    struct ttrpc_reader reader;
    struct buf in;
    struct text left;
};

/* The next answer is to this stream and has this code. */
static void expect_code(int fd, struct peer *p, uint32_t id, int code)
{
    struct ttrpc_frame f;
    struct err e = ERR_INIT;
    AUTO(arena) a = arena_new();
    Ttrpc__Response *r = NULL;
    while (!ttrpc_reader_next(&p->reader, &p->left, &f)) {
        buf_clear(&p->in);
        assert_true(receive(fd, &p->in));
        p->left = (struct text){p->in.data, p->in.len};
    }
    assert_int_equal(f.type, TTRPC_RESPONSE);
    assert_int_equal(f.flags, 0);
    assert_int_equal(f.stream_id, id);
    assert_ok(protobuf_unpack(&ttrpc__response__descriptor, f.payload, a, &r, &e));
    assert_int_equal(r->status ? r->status->code : 0, code);
}

static void peer_done(struct peer *p)
{
    ttrpc_reader_done(&p->reader);
    buf_done(&p->in);
}

static void streams_are_unimplemented_and_their_data_is_ignored(void **state)
{
    (void)state;
    serve((struct ttrpc_server_options){0});
    autofd fd = connect_raw();
    autobuf out = BUF_INIT;
    struct peer p = {0};
    request_add(&out, 1, TTRPC_REMOTE_OPEN, "Echo");
    frame_add(&out, 1, TTRPC_DATA, "data");
    frame_add(&out, 77, TTRPC_DATA, "");
    frame_add(&out, 3, TTRPC_RESPONSE, "an answer that nobody asked for");
    frame_add(&out, 3, 200, "of a later version");
    request_add(&out, 3, TTRPC_REMOTE_CLOSED, "Echo");
    send_all(fd, &out);
    expect_code(fd, &p, 1, TTRPC_UNIMPLEMENTED);
    expect_code(fd, &p, 3, TTRPC_OK);
    peer_done(&p);
}

static void what_is_no_request_is_refused_and_the_connection_kept(void **state)
{
    (void)state;
    serve((struct ttrpc_server_options){0});
    autofd fd = connect_raw();
    autobuf out = BUF_INIT;
    struct peer p = {0};
    frame_add(&out, 1, TTRPC_REQUEST, "\xff\xff");
    request_add(&out, 2, 0, "Echo");
    frame_add(&out, 5, TTRPC_REQUEST, ""); /* a request of nothing */
    request_add(&out, 7, 0, "Keep");
    request_add(&out, 7, 0, "Echo");
    request_add(&out, 9, 0, "Echo");
    send_all(fd, &out);
    expect_code(fd, &p, 1, TTRPC_INVALID_ARGUMENT);
    expect_code(fd, &p, 2, TTRPC_INVALID_ARGUMENT);
    expect_code(fd, &p, 5, TTRPC_UNIMPLEMENTED);
    expect_code(fd, &p, 7, TTRPC_INVALID_ARGUMENT);
    expect_code(fd, &p, 9, TTRPC_OK);
    peer_done(&p);
}

static void an_oversized_request_is_refused_and_skipped(void **state)
{
    (void)state;
    serve((struct ttrpc_server_options){0});
    autofd fd = connect_raw();
    autobuf out = BUF_INIT;
    struct peer p = {0};
    buf_add(&out, "\0\x50\0\0\0\0\0\1\1\0", TTRPC_HEADER_SIZE); /* 5 MiB */
    send_all(fd, &out);
    expect_code(fd, &p, 1, TTRPC_RESOURCE_EXHAUSTED);
    autofree char *zeros = xcalloc(1, 1 << 20);
    for (size_t left = 5 << 20; left;) {
        assert_true(wait_for(fd, LOOP_WRITABLE, 5000));
        ssize_t n = send(fd, zeros, left < 1 << 20 ? left : 1 << 20, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n > 0)
            left -= (size_t)n;
    }
    buf_clear(&out);
    request_add(&out, 3, 0, "Echo");
    send_all(fd, &out);
    expect_code(fd, &p, 3, TTRPC_OK);
    peer_done(&p);
}

static void calls_beyond_the_limit_of_a_connection_are_refused(void **state)
{
    (void)state;
    serve((struct ttrpc_server_options){.call_limit = 2});
    autofd fd = connect_raw();
    autobuf out = BUF_INIT;
    struct peer p = {0};
    for (uint32_t id = 1; id <= 5; id += 2)
        request_add(&out, id, 0, "Keep");
    send_all(fd, &out);
    expect_code(fd, &p, 5, TTRPC_RESOURCE_EXHAUSTED);
    ttrpc_call_answer(service.kept[--service.n_kept], NULL, 0);
    expect_code(fd, &p, 3, TTRPC_OK);
    buf_clear(&out);
    request_add(&out, 7, 0, "Echo");
    send_all(fd, &out);
    expect_code(fd, &p, 7, TTRPC_OK);
    peer_done(&p);
}

static void calls_of_connections_that_have_gone_are_limited(void **state)
{
    (void)state;
    serve((struct ttrpc_server_options){.lost_limit = 1});
    autobuf out = BUF_INIT;
    struct peer p = {0};
    int gone = connect_raw();
    service.wanted = 1;
    request_add(&out, 1, 0, "Keep");
    send_all(gone, &out);
    run_until(service.n_kept);
    close(gone);
    autofd fd = connect_raw();
    send_all(fd, &out);
    expect_code(fd, &p, 1, TTRPC_RESOURCE_EXHAUSTED);
    ttrpc_call_answer(service.kept[--service.n_kept], NULL, 0);
    buf_clear(&out);
    request_add(&out, 3, 0, "Echo");
    send_all(fd, &out);
    expect_code(fd, &p, 3, TTRPC_OK);
    peer_done(&p);
}

static void idle(void *ctx)
{
    (void)ctx;
    service.n_idle++;
    loop_stop(loop);
}

static void a_server_that_nobody_is_connected_to_says_so_each_time(void **state)
{
    struct ttrpc_client *c;
    struct outcome answer = {0};
    (void)state;
    serve((struct ttrpc_server_options){.idle = idle, .idle_ms = 30});
    assert_false(ttrpc_server_is_idle(server));
    run_until(service.n_idle == 1);
    assert_true(ttrpc_server_is_idle(server));
    c = connect_client(0);
    begin(c, "Echo", "x", 0, &answer);
    run_until(answer.n);
    assert_false(ttrpc_server_is_idle(server));
    /* Connected, without a call. */
    assert_false(run_for(100));
    assert_int_equal(service.n_idle, 1);
    ttrpc_client_free(c);
    run_until(service.n_idle == 2);
    buf_done(&answer.payload);
}

static void a_connection_beyond_the_limit_waits_for_another_to_end(void **state)
{
    (void)state;
    serve((struct ttrpc_server_options){.connection_limit = 1});
    int first = connect_raw();
    autofd second = connect_raw();
    autobuf out = BUF_INIT;
    struct peer p = {0}, q = {0};
    request_add(&out, 1, 0, "Echo");
    send_all(first, &out);
    send_all(second, &out);
    expect_code(first, &p, 1, TTRPC_OK);
    assert_false(wait_for(second, LOOP_READABLE, 30));
    close(first);
    expect_code(second, &q, 1, TTRPC_OK);
    peer_done(&p);
    peer_done(&q);
}

static void who_does_not_read_its_answers_is_not_read_from(void **state)
{
    (void)state;
    serve((struct ttrpc_server_options){0});
    autofd fd = connect_raw();
    autobuf out = BUF_INIT;
    struct peer p = {0};
    uint32_t sent = 0;
    for (uint32_t i = 0; i < 1000; i++)
        request_add(&out, i * 2 + 1, 0, "Fly");
    /* Until both sides' buffers are full: the server takes no more then. */
    while (wait_for(fd, LOOP_WRITABLE, 50)) {
        ssize_t n = send(fd, out.data, out.len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n != (ssize_t)out.len)
            break;
        sent++;
        assert_true(sent < 1000);
    }
    /* And goes on when they are taken. */
    for (uint32_t n = 0; n < sent; n++)
        for (uint32_t i = 0; i < 1000; i++)
            expect_code(fd, &p, i * 2 + 1, TTRPC_UNIMPLEMENTED);
    peer_done(&p);
}

static void a_connection_that_ends_within_a_frame_disturbs_nobody(void **state)
{
    (void)state;
    serve((struct ttrpc_server_options){0});
    autobuf out = BUF_INIT;
    request_add(&out, 1, 0, "Echo");
    for (size_t len = 1; len < out.len; len += 7) {
        int fd = connect_raw();
        assert_int_equal(send(fd, out.data, len, 0), (ssize_t)len);
        run_for(1);
        close(fd);
    }
    autofd fd = connect_raw();
    struct peer p = {0};
    send_all(fd, &out);
    expect_code(fd, &p, 1, TTRPC_OK);
    peer_done(&p);
}

/* ---- A peer of bytes against the client ---- */

static int accept_raw(int listener)
{
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

static void answers_that_nobody_asked_for_are_ignored(void **state)
{
    (void)state;
    autofd listener = listen_unix();
    AUTO(ttrpc_client) c = connect_client(0);
    autofd fd = accept_raw(listener);
    autobuf out = BUF_INIT;
    struct outcome o = {0};
    begin(c, "Echo", "", 0, &o);
    frame_add(&out, 0, TTRPC_RESPONSE, "");
    frame_add(&out, 3, TTRPC_RESPONSE, "");
    frame_add(&out, 1, TTRPC_DATA, "");
    frame_add(&out, 1, TTRPC_RESPONSE, "\x12\x02ok");
    frame_add(&out, 1, TTRPC_RESPONSE, "\x12\x02no");
    send_all(fd, &out);
    run_until(o.n);
    assert_string_equal(buf_str(&o.payload), "ok");
    run_for(10);
    assert_int_equal(o.n, 1);
    buf_done(&o.payload);
}

static void an_answer_that_is_none_fails_its_call_only(void **state)
{
    (void)state;
    autofd listener = listen_unix();
    AUTO(ttrpc_client) c = connect_client(0);
    autofd fd = accept_raw(listener);
    autobuf out = BUF_INIT;
    struct outcome o[3] = {0};
    for (int i = 0; i < 3; i++)
        begin(c, "Echo", "", 0, &o[i]);
    frame_add(&out, 1, TTRPC_RESPONSE, "\xff");
    frame_add(&out, 3, TTRPC_RESPONSE, "");
    buf_add(&out, "\x7f\0\0\0\0\0\0\5\2\0", TTRPC_HEADER_SIZE);
    send_all(fd, &out);
    run_until(o[2].n);
    assert_string_equal(o[0].e.reason, "BadResponse");
    assert_int_equal(o[1].e.code, 0);
    assert_string_equal(o[2].e.reason, "MessageTooLarge");
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, before, after)
    const struct CMUnitTest tests[] = {
        T(a_call_is_answered_with_what_the_handler_says),
        T(an_error_keeps_its_kind_and_its_sentence),
        T(every_code_that_is_sent_arrives_as_itself),
        T(an_unknown_service_or_method_is_unimplemented_and_the_connection_kept),
        T(calls_may_be_answered_in_reverse_order),
        T(a_call_that_is_not_answered_in_time_is_given_up),
        T(calls_fail_when_the_connection_is_lost_and_so_do_later_ones),
        T(a_call_whose_connection_has_gone_can_still_be_answered),
        T(a_handler_may_free_the_server_and_answer_afterwards),
        T(a_client_may_be_freed_by_an_answer),
        T(an_answer_that_is_too_large_becomes_an_error),
        T(a_request_that_is_too_large_is_not_sent),
        T(large_payloads_pass_both_ways),
        T(more_calls_than_a_client_may_have_open_fail),
        T(nobody_listening_is_said_with_the_path),
        T(streams_are_unimplemented_and_their_data_is_ignored),
        T(what_is_no_request_is_refused_and_the_connection_kept),
        T(an_oversized_request_is_refused_and_skipped),
        T(calls_beyond_the_limit_of_a_connection_are_refused),
        T(calls_of_connections_that_have_gone_are_limited),
        T(a_server_that_nobody_is_connected_to_says_so_each_time),
        T(a_connection_beyond_the_limit_waits_for_another_to_end),
        T(who_does_not_read_its_answers_is_not_read_from),
        T(a_connection_that_ends_within_a_frame_disturbs_nobody),
        T(answers_that_nobody_asked_for_are_ignored),
        T(an_answer_that_is_none_fails_its_call_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
