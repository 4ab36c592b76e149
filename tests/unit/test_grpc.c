/* SPDX-License-Identifier: Apache-2.0 */
/* The client of gRPC against a fake server, made of the same library for HTTP/2: what a real one,
 * containerd's, does not do when it is asked to. That is the peer of
 * tests/integ/test_image_find.py. */
#include "sockets.h"

#include <nghttp2/nghttp2.h>

#include "loop/stream.h"
#include "wire/grpc.h"
#include "wire/grpc_message.h"
#include "wire/ttrpc.pb-c.h"

#define LARGE (3u << 19) /* more than the window */

/* ---- The fake server ---- */

struct answer {
    struct buf body;
    size_t sent, total; /* of the body, again and again, so many bytes */
    const char *code, *message;
};

static struct fake {
    int listener;
    struct loop_watch *watch;
    struct stream *stream;
    nghttp2_session *session;
    struct answer answers[64];
    size_t n_answers;
    char path[64], ns[64], timeout[32];
    struct buf request;
    unsigned n_reset;
    bool is_junk;
} fake;

static struct grpc_client *client;
static char *folder, *path;

static nghttp2_nv field(const char *name, const char *value)
{
    return (nghttp2_nv){(uint8_t *)name, (uint8_t *)value, strlen(name), value ? strlen(value) : 0,
                        0};
}

static ssize_t body_read(nghttp2_session *session, int32_t id, uint8_t *out, size_t len,
                         uint32_t *flags, nghttp2_data_source *source, void *ctx)
{
    struct answer *a = source->ptr;
    (void)ctx;
    size_t left = a->total - a->sent;
    if (len > left)
        len = left;
    for (size_t done = 0, n; done < len; done += n, a->sent += n) {
        size_t at = a->sent % a->body.len;
        n = a->body.len - at < len - done ? a->body.len - at : len - done;
        memcpy(out + done, a->body.data + at, n);
    }
    if (len == left) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        if (a->code) {
            nghttp2_nv trailers[] = {field("grpc-status", a->code),
                                     field("grpc-message", a->message)};
            *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
            assert_int_equal(nghttp2_submit_trailer(session, id, trailers, 2), 0);
        }
    }
    return (ssize_t)len;
}

/* `n` times the message of `len` bytes, and then the status. */
static struct answer *respond(int32_t id, const char *text, size_t len, size_t n, const char *code)
{
    nghttp2_nv headers[] = {field(":status", "200"), field("content-type", "application/grpc")};
    struct answer *a = &fake.answers[fake.n_answers++];
    *a = (struct answer){.code = code, .message = ""};
    grpc_prefix_add(len, &a->body);
    for (size_t i = 0; i < len; i++)
        buf_addc(&a->body, text[i % strlen(text)]);
    a->total = a->body.len * n;
    nghttp2_data_provider body = {{.ptr = a}, body_read};
    assert_int_equal(nghttp2_submit_response(fake.session, id, headers, 2, &body), 0);
    return a;
}

static void respond_bare(int32_t id, const char *status, const char *type, const char *code,
                         const char *message)
{
    nghttp2_nv headers[] = {field(":status", status), field("content-type", type),
                            field("grpc-status", code), field("grpc-message", message)};
    assert_int_equal(nghttp2_submit_response(fake.session, id, headers, code ? 4 : 2, NULL), 0);
}

static void answer(int32_t id)
{
    const char *method = strrchr(fake.path, '/') + 1;
    if (str_eq(method, "Echo")) {
        struct answer *a = respond(id, "x", 0, 1, "0");
        buf_clear(&a->body);
        buf_add(&a->body, fake.request.data, fake.request.len);
        a->total = a->body.len;
    } else if (str_eq(method, "Refuse")) {
        respond_bare(id, "200", "application/grpc+proto", "5", "no%20such %E2%82%AC%zz");
    } else if (str_eq(method, "RefuseLate")) {
        respond(id, "abc", 3, 1, "8")->message = "enough";
    } else if (str_eq(method, "Many")) {
        respond(id, "abc", 3, 5, "0");
    } else if (str_eq(method, "Large")) {
        respond(id, "0123456789", LARGE, 3, "0");
    } else if (str_eq(method, "TooLarge")) {
        respond(id, "x", 1000, 1, "0");
    } else if (str_eq(method, "Cut")) {
        respond(id, "abcdef", 6, 1, "0")->total = 8;
    } else if (str_eq(method, "Empty")) {
        respond_bare(id, "200", "application/grpc", "0", "");
    } else if (str_eq(method, "NoStatus")) {
        respond(id, "abc", 3, 1, NULL);
    } else if (str_eq(method, "Html")) {
        respond_bare(id, "404", "text/html", NULL, NULL);
    } else if (str_eq(method, "Compressed")) {
        respond(id, "abc", 3, 1, "0")->body.data[0] = 1;
    } else if (str_eq(method, "Reset")) {
        nghttp2_submit_rst_stream(fake.session, 0, id, NGHTTP2_REFUSED_STREAM);
    } else if (str_eq(method, "GoAway")) {
        nghttp2_submit_goaway(fake.session, 0, id, NGHTTP2_NO_ERROR, NULL, 0);
        respond(id, "bye", 3, 1, "0");
    } else if (str_eq(method, "Close")) {
        stream_shut(fake.stream);
    } else if (str_eq(method, "Junk")) {
        fake.is_junk = true;
    }
    /* "Hang" */
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *ctx)
{
    struct text n = {(const char *)name, name_len};
    char *to = text_eq(n, ":path")                  ? fake.path
               : text_eq(n, "containerd-namespace") ? fake.ns
               : text_eq(n, "grpc-timeout")         ? fake.timeout
                                                    : NULL;
    (void)session, (void)frame, (void)flags, (void)ctx;
    if (to)
        snprintf(to, 32, "%.*s", (int)value_len, (const char *)value);
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
                   size_t len, void *ctx)
{
    (void)session, (void)flags, (void)id, (void)ctx;
    buf_add(&fake.request, data, len);
    return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *ctx)
{
    (void)session, (void)ctx;
    if (frame->hd.type == NGHTTP2_RST_STREAM)
        fake.n_reset++;
    if (frame->hd.type == NGHTTP2_DATA && frame->hd.flags & NGHTTP2_FLAG_END_STREAM) {

        answer(frame->hd.stream_id);
        buf_clear(&fake.request);
    }
    return 0;
}

static void flush(void *ctx)
{
    const uint8_t *data;
    ssize_t n;
    struct err e = ERR_INIT;
    (void)ctx;
    while (fake.session && (n = nghttp2_session_mem_send(fake.session, &data)) > 0)
        if (stream_write(fake.stream, data, (size_t)n, &e) < 0)
            return;
    if (fake.is_junk)
        (void)stream_write(fake.stream, "junkjunkjunkjunk", 16, &e);
}

static void fake_data(void *ctx, const void *data, size_t len)
{
    if (fake.session && nghttp2_session_mem_recv(fake.session, data, len) < 0)
        return;
    flush(ctx);
}

static void fake_ended(void *ctx, const struct err *e)
{
    (void)ctx, (void)e;
}

static void accepted(void *ctx, unsigned events)
{
    struct err e = ERR_INIT;
    nghttp2_session_callbacks *c;
    (void)ctx, (void)events;
    struct stream_options o = {.fd = accept4(fake.listener, NULL, NULL, SOCK_CLOEXEC),
                               .queue_limit = 64 << 20,
                               .data = fake_data,
                               .ended = fake_ended,
                               .drained = flush};
    assert_ok(stream_new(loop, &o, &fake.stream, &e));
    nghttp2_session_callbacks_new(&c);
    nghttp2_session_callbacks_set_on_header_callback(c, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(c, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(c, on_frame);
    assert_int_equal(nghttp2_session_server_new(&fake.session, c, NULL), 0);
    nghttp2_session_callbacks_del(c);
    nghttp2_submit_settings(fake.session, 0, NULL, 0);
    flush(NULL);
}

static int before(void **state)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    struct err e = ERR_INIT;
    (void)state;
    memset(&fake, 0, sizeof(fake));
    assert_ok(loop_open(&loop, &e));
    folder = unit_temp_dir();
    path = xasprintf("%s/s", folder);
    memcpy(a.sun_path, path, strlen(path));
    fake.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fake.listener, (struct sockaddr *)&a, sizeof(a)), 0);
    assert_int_equal(listen(fake.listener, 16), 0);
    assert_ok(loop_watch_new(loop, fake.listener, accepted, NULL, &fake.watch, &e));
    loop_watch_set(fake.watch, LOOP_READABLE);
    struct grpc_client_options o = {.path = path, .call_limit = 8};
    assert_ok(grpc_client_new(loop, &o, &client, &e));
    return 0;
}

static int after(void **state)
{
    (void)state;
    grpc_client_free(take_ptr(client));
    loop_watch_free(fake.watch);
    close(fake.listener);
    stream_free(fake.stream);
    nghttp2_session_del(fake.session);
    for (size_t i = 0; i < fake.n_answers; i++)
        buf_done(&fake.answers[i].body);
    buf_done(&fake.request);
    loop_free(loop);
    unit_remove(folder);
    free(path);
    return 0;
}

/* ---- Calls ---- */

struct outcome {
    int n_done, n_messages;
    size_t bytes; /* of messages */
    struct err e;
    struct buf text; /* of the last message */
    struct grpc_call *call;
    bool asks_on, frees, cancels;
};

static void end(struct outcome *o, const struct err *e)
{
    o->n_done++;
    o->call = NULL;
    if (e)
        o->e = *e;
    if (o->frees)
        grpc_client_free(take_ptr(client));
    loop_stop(loop);
}

static void done(void *ctx, const struct err *e, struct text t)
{
    struct outcome *o = ctx;
    if (!e)
        buf_add(&o->text, t.data, t.len);
    end(o, e);
}

static void stream_done(void *ctx, const struct err *e)
{
    end(ctx, e);
}

static void message(void *ctx, struct text t)
{
    struct outcome *o = ctx;
    o->n_messages++;
    o->bytes += t.len;
    buf_clear(&o->text);
    if (o->frees)
        grpc_client_free(take_ptr(client));
    if (o->cancels)
        grpc_call_cancel(o->call);
    buf_add(&o->text, t.data, t.len); /* still valid */
    if (o->asks_on)
        grpc_call_next(o->call);
    else
        loop_stop(loop);
}

static const struct grpc_stream_handlers handlers = {message, stream_done};

static struct grpc_request request_of(const char *method, Ttrpc__Request *m, const char *payload)
{
    ttrpc__request__init(m);
    m->payload = (ProtobufCBinaryData){strlen(payload), (uint8_t *)payload};
    return (struct grpc_request){.service = "test.v1.T",
                                 .method = method,
                                 .containerd_ns = "moby",
                                 .message = &m->base,
                                 .timeout_ms = 60000};
}

static void begin(const char *method, struct outcome *o)
{
    Ttrpc__Request m;
    struct grpc_request r = request_of(method, &m, "hello");
    o->call = grpc_unary(client, &r, done, o);
}

static void begin_stream(const char *method, struct outcome *o, size_t limit)
{
    Ttrpc__Request m;
    struct grpc_request r = request_of(method, &m, "hello");
    r.message_limit = limit;
    o->call = grpc_stream(client, &r, &handlers, o);
}

static void assert_call_fails(const char *method, const char *reason, int code,
                              const char *message_part)
{
    struct outcome o = {0};
    begin(method, &o);
    assert_int_equal(o.n_done, 0);
    run_until(o.n_done);
    assert_string_equal(o.e.reason, reason);
    assert_int_equal(o.e.code, code);
    assert_non_null(strstr(o.e.msg, message_part));
}

static void a_call_says_who_it_is_for_and_brings_its_answer(void **state)
{
    (void)state;
    struct outcome o = {0};
    AUTO(arena) a = arena_new();
    Ttrpc__Request *back = NULL;
    begin("Echo", &o);
    assert_int_equal(o.n_done, 0);
    run_until(o.n_done);
    assert_int_equal(o.e.code, 0);
    assert_int_equal(protobuf_unpack(&ttrpc__request__descriptor,
                                     (struct text){o.text.data, o.text.len}, a, &back, &o.e),
                     0);
    assert_memory_equal(back->payload.data, "hello", 5);
    assert_string_equal(fake.path, "/test.v1.T/Echo");
    assert_string_equal(fake.ns, "moby");
    assert_string_equal(fake.timeout, "60000m");
    buf_done(&o.text);
}

static void many_calls_are_open_at_once_and_too_many_are_refused(void **state)
{
    (void)state;
    struct outcome o[9] = {0};
    for (int i = 0; i < 8; i++)
        begin(i ? "Hang" : "Echo", &o[i]);
    begin("Echo", &o[8]);
    run_until(o[8].n_done && o[0].n_done);
    assert_string_equal(o[8].e.reason, "TooManyCalls");
    assert_int_equal(o[0].e.code, 0);
    assert_int_equal(o[1].n_done, 0);
    buf_done(&o[0].text);
}

static void what_the_other_side_says_is_the_error(void **state)
{
    (void)state;
    assert_call_fails("Refuse", "NotFound", -ENOENT, "no such \xe2\x82\xac%zz");
    assert_call_fails("RefuseLate", "ResourceExhausted", -ENOBUFS, "enough");
    assert_call_fails("Reset", "Unavailable", -EAGAIN, "REFUSED_STREAM");
}

static void what_is_no_answer_is_an_error(void **state)
{
    (void)state;
    assert_call_fails("Html", "BadResponse", -EBADMSG, "404");
    assert_call_fails("NoStatus", "BadResponse", -EBADMSG, "without a status");
    assert_call_fails("Empty", "BadResponse", -EBADMSG, "no whole answer");
    assert_call_fails("Cut", "BadResponse", -EBADMSG, "no whole answer");
    assert_call_fails("Many", "BadResponse", -EBADMSG, "more than one");
    assert_call_fails("Compressed", "BadResponse", -EBADMSG, "compressed");
    /* The connection is as good as before. */
    assert_false(grpc_client_is_lost(client));
    assert_call_fails("Refuse", "NotFound", -ENOENT, "");
}

static void a_call_ends_when_its_time_has_passed_and_the_other_side_learns_of_it(void **state)
{
    (void)state;
    struct outcome o = {0};
    Ttrpc__Request m;
    struct grpc_request r = request_of("Hang", &m, "");
    r.timeout_ms = 20;
    grpc_unary(client, &r, done, &o);
    run_until(o.n_done);
    assert_string_equal(o.e.reason, "TimedOut");
    assert_int_equal(o.e.code, -ETIMEDOUT);
    assert_call_fails("Refuse", "NotFound", -ENOENT, "");
    assert_int_equal(fake.n_reset, 1);
}

static void a_stream_brings_one_message_after_the_other(void **state)
{
    (void)state;
    struct outcome o = {0};
    begin_stream("Many", &o, 0);
    for (int i = 1; i <= 5; i++) {
        run_until(o.n_messages == i);
        run_for(5); /* nothing more comes by itself */
        assert_int_equal(o.n_messages, i);
        assert_memory_equal(o.text.data, "abc", 3);
        assert_int_equal(o.n_done, 0);
        grpc_call_next(o.call);
    }
    run_until(o.n_done);
    assert_int_equal(o.e.code, 0);
    buf_done(&o.text);
}

static void who_does_not_take_the_next_message_stops_the_other_side(void **state)
{
    (void)state;
    struct outcome o = {0}, other = {0};
    begin_stream("Large", &o, 0);
    run_until(o.n_messages == 1);
    run_for(20);
    size_t sent = fake.answers[0].sent;
    assert_true(sent < (size_t)LARGE + 5 + (1 << 20) + 65536);
    /* That holds up nobody else. */
    begin("Echo", &other);
    run_until(other.n_done);
    assert_int_equal(other.e.code, 0);
    assert_int_equal(fake.answers[0].sent, sent);
    o.asks_on = true;
    grpc_call_next(o.call);
    run_until(o.n_done);
    assert_int_equal(o.e.code, 0);
    assert_int_equal(o.bytes, 3 * LARGE);
    buf_done(&o.text);
    buf_done(&other.text);
}

static void a_message_above_the_limit_ends_its_call_alone(void **state)
{
    (void)state;
    struct outcome o = {0}, fits = {.asks_on = true};
    begin_stream("TooLarge", &o, 999);
    run_until(o.n_done);
    assert_string_equal(o.e.reason, "MessageTooLarge");
    begin_stream("TooLarge", &fits, 1000);
    run_until(fits.n_done);
    assert_int_equal(fits.e.code, 0);
    assert_int_equal(fits.bytes, 1000);
    buf_done(&fits.text);
}

static void a_cancelled_call_tells_nothing_and_ends_there_too(void **state)
{
    (void)state;
    struct outcome o = {0}, held = {0}, within = {.cancels = true};
    begin("Hang", &o);
    begin_stream("Large", &held, 0);
    run_until(held.n_messages);
    grpc_call_cancel(o.call);
    grpc_call_cancel(held.call);
    begin_stream("Many", &within, 0);
    run_until(within.n_messages);
    assert_memory_equal(within.text.data, "abc", 3);
    assert_call_fails("Refuse", "NotFound", -ENOENT, "");
    assert_int_equal(o.n_done + held.n_done + within.n_done, 0);
    assert_in_range(fake.n_reset, 1, 2); /* what had ended before needs none */
    grpc_call_cancel(NULL);
    buf_done(&held.text);
    buf_done(&within.text);
}

static void a_lost_connection_ends_every_call_and_those_to_come(void **state)
{
    (void)state;
    struct outcome o[3] = {0};
    begin("Hang", &o[0]);
    begin_stream("Hang", &o[1], 0);
    begin("Close", &o[2]);
    run_until(o[0].n_done && o[1].n_done && o[2].n_done);
    for (int i = 0; i < 3; i++)
        assert_string_equal(o[i].e.reason, "ConnectionLost");
    assert_true(grpc_client_is_lost(client));
    assert_call_fails("Echo", "ConnectionLost", -ECONNRESET, "closed");
}

static void what_is_no_http2_loses_the_connection(void **state)
{
    (void)state;
    assert_call_fails("Junk", "ConnectionLost", -EPROTO, "no HTTP/2");
    assert_true(grpc_client_is_lost(client));
}

static void who_goes_away_answers_what_is_open_and_takes_nothing_more(void **state)
{
    (void)state;
    struct outcome o = {0};
    begin("GoAway", &o);
    run_until(o.n_done);
    assert_int_equal(o.e.code, 0);
    assert_memory_equal(o.text.data, "bye", 3);
    assert_true(grpc_client_is_lost(client));
    assert_call_fails("Echo", "ConnectionLost", -ECONNRESET, "about to close");
    buf_done(&o.text);
}

static void a_client_may_be_freed_by_what_it_tells(void **state)
{
    (void)state;
    struct outcome o = {.frees = true}, other = {0};
    begin("Hang", &other);
    begin("Echo", &o);
    run_until(o.n_done);
    assert_null(client);
    run_for(5);
    assert_int_equal(other.n_done, 0);
    buf_done(&o.text);
}

static void a_client_may_be_freed_by_a_message(void **state)
{
    (void)state;
    struct outcome o = {.frees = true};
    begin_stream("Many", &o, 0);
    run_until(o.n_messages);
    assert_memory_equal(o.text.data, "abc", 3);
    assert_null(client);
    buf_done(&o.text);
}

static void nobody_there_is_said_at_once(void **state)
{
    (void)state;
    struct grpc_client *none = NULL;
    struct err e = ERR_INIT;
    struct grpc_client_options o = {.path = "/nowhere/s"};
    assert_int_equal(grpc_client_new(loop, &o, &none, &e), -ENOENT);
    assert_string_equal(e.reason, "ConnectFailed");
    assert_non_null(strstr(e.msg, "/nowhere/s"));
}

#define T(f) cmocka_unit_test_setup_teardown(f, before, after)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_call_says_who_it_is_for_and_brings_its_answer),
        T(many_calls_are_open_at_once_and_too_many_are_refused),
        T(what_the_other_side_says_is_the_error),
        T(what_is_no_answer_is_an_error),
        T(a_call_ends_when_its_time_has_passed_and_the_other_side_learns_of_it),
        T(a_stream_brings_one_message_after_the_other),
        T(who_does_not_take_the_next_message_stops_the_other_side),
        T(a_message_above_the_limit_ends_its_call_alone),
        T(a_cancelled_call_tells_nothing_and_ends_there_too),
        T(a_lost_connection_ends_every_call_and_those_to_come),
        T(what_is_no_http2_loses_the_connection),
        T(who_goes_away_answers_what_is_open_and_takes_nothing_more),
        T(a_client_may_be_freed_by_what_it_tells),
        T(a_client_may_be_freed_by_a_message),
        T(nobody_there_is_said_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
