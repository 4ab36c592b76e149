/* SPDX-License-Identifier: Apache-2.0 */
/* Streams over real sockets, pipes and pseudo-terminals; the test is the other side. */
#include "unit.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <sys/socket.h>
#include <termios.h>

#include "base/buf.h"
#include "base/clock.h"
#include "loop/stream.h"

#define LIMIT 300000

/* One end as its owner sees it. */
struct side {
    struct loop *l;
    struct stream *stream;
    struct buf got;
    int datas, ends, drains, hang_ups;
    struct err end;
    bool stops_at_data, stops_at_end, stops_at_drain, frees_at_data, frees_at_end, frees_at_drain;
};

static void data(void *ctx, const void *bytes, size_t len)
{
    struct side *s = ctx;
    assert_int_equal(s->ends, 0);
    assert_true(len > 0);
    s->datas++;
    buf_add(&s->got, bytes, len);
    if (s->frees_at_data)
        stream_free(take_ptr(s->stream));
    if (s->stops_at_data)
        loop_stop(s->l);
}

static void ended(void *ctx, const struct err *e)
{
    struct side *s = ctx;
    s->ends++;
    s->end = *e;
    if (s->frees_at_end)
        stream_free(take_ptr(s->stream));
    if (s->stops_at_end)
        loop_stop(s->l);
}

static void drained(void *ctx)
{
    struct side *s = ctx;
    s->drains++;
    if (s->frees_at_drain)
        stream_free(take_ptr(s->stream));
    if (s->stops_at_drain)
        loop_stop(s->l);
}

static void hung_up(void *ctx)
{
    struct side *s = ctx;
    s->hang_ups++;
    if (s->frees_at_end)
        stream_free(take_ptr(s->stream));
}

static void side_open(struct side *s, int fd)
{
    struct err e = ERR_INIT;
    assert_ok(loop_open(&s->l, &e));
    struct stream_options o = {
        .fd = fd, .queue_limit = LIMIT, .data = data, .ended = ended, .drained = drained, .ctx = s};
    assert_ok(stream_new(s->l, &o, &s->stream, &e));
}

static void side_close(struct side *s)
{
    stream_free(s->stream);
    loop_free(s->l);
    buf_done(&s->got);
}

/* ---- Pairs of connected descriptors: [0] is given to a stream ---- */

static void unix_pair(int fds[2])
{
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
}

static void tcp_pair(int fds[2])
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    autofd listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&a, &len), 0);
    fds[1] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fds[1], (struct sockaddr *)&a, sizeof a), 0);
    fds[0] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    assert_true(fds[0] >= 0);
}

static void pty_pair(int fds[2])
{
    struct termios raw = {0};
    cfmakeraw(&raw);
    assert_int_equal(openpty(&fds[0], &fds[1], NULL, &raw, NULL), 0);
}

static void write_text(int fd, const char *text)
{
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

static void (*const pairs[])(int fds[2]) = {unix_pair, tcp_pair, pty_pair};

static void bytes_go_both_ways_over_sockets_and_terminals(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(pairs); i++) {
        struct err e = ERR_INIT;
        struct side s = {.stops_at_data = true};
        int fds[2];
        char text[16] = "";
        pairs[i](fds);
        side_open(&s, fds[0]);
        write_text(fds[1], "question");
        loop_run(s.l);
        assert_string_equal(buf_str(&s.got), "question");
        assert_int_equal(stream_write(s.stream, "answer", 6, &e), 0);
        assert_int_equal(read(fds[1], text, sizeof text), 6);
        assert_string_equal(text, "answer");
        close(fds[1]);
        loop_run(s.l); /* ends by itself: nothing can come any more */
        assert_int_equal(s.ends, 1);
        assert_int_equal(s.end.code, 0);
        side_close(&s);
    }
}

/* ---- Back-pressure ---- */

struct flow {
    struct side from, to;
    size_t sent, total;
    size_t received;
    bool is_wrong;
    struct loop_timer *pause;
    int pauses;
};

static char byte_at(size_t position)
{
    return (char)(position * 7 + position / 1000);
}

static void flow_send(struct flow *f)
{
    struct err e = ERR_INIT;
    char bytes[50000];
    int waits = 0;
    while (!waits && f->sent < f->total) {
        size_t len = f->total - f->sent < sizeof bytes ? f->total - f->sent : sizeof bytes;
        for (size_t i = 0; i < len; i++)
            bytes[i] = byte_at(f->sent + i);
        waits = stream_write(f->from.stream, bytes, len, &e);
        assert_true(waits >= 0);
        f->sent += len;
    }
    if (f->sent == f->total)
        stream_shut(f->from.stream);
}

static void flow_drained(void *ctx)
{
    struct flow *f = ctx;
    f->from.drains++;
    flow_send(f);
}

static void flow_resume(void *ctx)
{
    struct flow *f = ctx;
    stream_resume(f->to.stream);
}

static void flow_data(void *ctx, const void *bytes, size_t len)
{
    struct flow *f = ctx;
    const char *b = bytes;
    for (size_t i = 0; i < len; i++)
        f->is_wrong |= b[i] != byte_at(f->received + i);
    f->received += len;
    f->is_wrong |= loop_timer_is_set(f->pause); /* it came while it was paused */
    if (f->received / 400000 > (size_t)f->pauses) {
        f->pauses++;
        stream_pause(f->to.stream);
        loop_timer_set(f->pause, clock_monotonic_ns() + 2000000);
    }
}

static void flow_ended(void *ctx, const struct err *e)
{
    struct flow *f = ctx;
    f->to.ends++;
    f->to.end = *e;
    stream_free(take_ptr(f->to.stream));
}

static void flow_through(int from, int to)
{
    struct err e = ERR_INIT;
    struct loop *l = NULL;
    assert_ok(loop_open(&l, &e));
    struct flow f = {.total = 3000001};
    f.pause = loop_timer_new(l, flow_resume, &f);
    /* Of a socket: less than what is sent, also where the system is generous. */
    setsockopt(from, SOL_SOCKET, SO_SNDBUF, &(int){50000}, sizeof(int));
    setsockopt(to, SOL_SOCKET, SO_RCVBUF, &(int){50000}, sizeof(int));
    struct stream_options o = {
        .fd = from, .queue_limit = 60000, .ended = ended, .drained = flow_drained, .ctx = &f};
    assert_ok(stream_new(l, &o, &f.from.stream, &e));
    o = (struct stream_options){
        .fd = to, .queue_limit = 1, .data = flow_data, .ended = flow_ended, .ctx = &f};
    assert_ok(stream_new(l, &o, &f.to.stream, &e));
    flow_send(&f);
    loop_run(l);
    assert_int_equal(f.received, f.total);
    assert_false(f.is_wrong);
    assert_true(f.from.drains > 1);
    assert_true(f.pauses > 3);
    assert_int_equal(f.to.ends, 1);
    assert_int_equal(f.to.end.code, 0);
    assert_null(f.to.stream);
    stream_free(f.from.stream);
    loop_timer_free(f.pause);
    loop_free(l);
}

static void a_slow_reader_gets_everything_and_the_end_after_it(void **state)
{
    (void)state;
    int fds[2];
    unix_pair(fds);
    flow_through(fds[0], fds[1]);
    tcp_pair(fds);
    flow_through(fds[0], fds[1]);
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    flow_through(fds[1], fds[0]);
}

static void stop(void *ctx)
{
    loop_stop(ctx);
}

static void run_for_a_moment(struct loop *l)
{
    AUTO(loop_timer) end = loop_timer_new(l, stop, l);
    loop_timer_set(end, clock_monotonic_ns() + 1000000);
    loop_run(l);
}

/* Fills the socket's own buffer, so that more has to wait. */
static void fill(struct side *s)
{
    struct err e = ERR_INIT;
    char bytes[4096] = {0};
    int waits;
    while (!(waits = stream_write(s->stream, bytes, sizeof bytes, &e)))
        ;
    assert_int_equal(waits, 1);
}

static void what_exceeds_the_limit_is_refused_whole(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    struct side s = {.stops_at_drain = true};
    int fds[2];
    autofree char *bytes = calloc(1, LIMIT + 1);
    unix_pair(fds);
    side_open(&s, fds[0]);
    assert_fails(stream_write(s.stream, bytes, LIMIT + 1, &e), -ENOBUFS, "QueueFull");
    struct pollfd p = {.fd = fds[1], .events = POLLIN};
    assert_int_equal(poll(&p, 1, 0), 0);
    fill(&s);
    size_t chunks = 0;
    while (stream_write(s.stream, bytes, 10000, &e) == 1)
        chunks++;
    assert_string_equal(e.reason, "QueueFull");
    assert_in_range(chunks, LIMIT / 10000 - 1, LIMIT / 10000);
    /* The queue is usable again when it has been read. */
    for (int i = 0; i < 1000 && !s.drains; i++) {
        char sink[65536];
        while (recv(fds[1], sink, sizeof sink, MSG_DONTWAIT) > 0)
            ;
        run_for_a_moment(s.l);
    }
    assert_int_equal(s.drains, 1);
    assert_true(stream_write(s.stream, bytes, LIMIT, &e) >= 0);
    close(fds[1]);
    side_close(&s);
}

static void nothing_comes_while_paused(void **state)
{
    (void)state;
    struct side s = {0};
    int fds[2];
    unix_pair(fds);
    side_open(&s, fds[0]);
    stream_pause(s.stream);
    write_text(fds[1], "late");
    close(fds[1]);
    loop_run(s.l); /* it waits for nothing, so the loop ends */
    assert_int_equal(s.datas + s.ends, 0);
    stream_resume(s.stream);
    loop_run(s.l);
    assert_string_equal(buf_str(&s.got), "late");
    assert_int_equal(s.ends, 1);
    side_close(&s);
}

static void a_hang_up_is_told_once_while_paused(void **state)
{
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        struct side s = {.frees_at_end = i >= 2};
        struct stream_options o = {.queue_limit = LIMIT,
                                   .data = data,
                                   .ended = ended,
                                   .drained = drained,
                                   .hung_up = hung_up,
                                   .ctx = &s};
        struct err e = ERR_INIT;
        int fds[2];
        pairs[i % 2](fds);
        o.fd = fds[0];
        assert_ok(loop_open(&s.l, &e));
        assert_ok(stream_new(s.l, &o, &s.stream, &e));
        stream_pause(s.stream);
        write_text(fds[1], "late");
        run_for_a_moment(s.l);
        assert_int_equal(s.hang_ups, 0);
        close(fds[1]);
        loop_run(s.l); /* to its end: it is not told again and again */
        assert_int_equal(s.hang_ups, 1);
        assert_int_equal(s.datas + s.ends, 0);
        if (s.stream) {
            stream_resume(s.stream);
            loop_run(s.l);
            assert_string_equal(buf_str(&s.got), "late");
            assert_int_equal(s.ends, 1);
        }
        side_close(&s);
    }
}

/* ---- Ends ---- */

static void writing_may_go_on_when_the_other_side_has_shut_its_end(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    for (size_t i = 0; i < 2; i++) {
        struct side s = {0};
        int fds[2];
        char text[16] = "";
        pairs[i](fds);
        side_open(&s, fds[0]);
        write_text(fds[1], "request");
        shutdown(fds[1], SHUT_WR);
        loop_run(s.l);
        assert_string_equal(buf_str(&s.got), "request");
        assert_int_equal(s.ends, 1);
        assert_int_equal(s.end.code, 0);
        assert_int_equal(stream_write(s.stream, "response", 8, &e), 0);
        stream_shut(s.stream);
        stream_shut(s.stream);
        assert_int_equal(read(fds[1], text, sizeof text), 8);
        assert_int_equal(read(fds[1], text, sizeof text), 0);
        assert_fails(stream_write(s.stream, "x", 1, &e), -EPIPE, "ConnectionLost");
        close(fds[1]);
        side_close(&s);
    }
}

static void a_connection_that_is_reset_is_lost(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    struct side s = {0};
    int fds[2];
    tcp_pair(fds);
    side_open(&s, fds[0]);
    setsockopt(fds[1], SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger));
    close(fds[1]);
    loop_run(s.l);
    assert_int_equal(s.ends, 1);
    assert_int_equal(s.end.code, -ECONNRESET);
    assert_string_equal(s.end.reason, "ConnectionLost");
    assert_fails(stream_write(s.stream, "x", 1, &e), -ECONNRESET, "ConnectionLost");
    side_close(&s);
}

static void what_was_sent_before_the_other_side_went_is_read_although_writing_fails(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    struct side s = {0};
    int fds[2];
    unix_pair(fds);
    side_open(&s, fds[0]);
    fill(&s);
    write_text(fds[1], "last words");
    close(fds[1]);
    loop_run(s.l);
    assert_string_equal(buf_str(&s.got), "last words");
    assert_int_equal(s.ends, 1);
    assert_string_equal(s.end.reason, "ConnectionLost");
    assert_true(stream_write(s.stream, "x", 1, &e) < 0);
    assert_string_equal(e.reason, "ConnectionLost");
    side_close(&s);
}

static void an_end_that_is_read_after_a_failed_write_is_no_orderly_one(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    struct side s = {0};
    int fds[2];
    unix_pair(fds);
    side_open(&s, fds[0]);
    close(fds[1]);
    assert_fails(stream_write(s.stream, "x", 1, &e), -EPIPE, "ConnectionLost");
    assert_int_equal(s.ends, 0);
    loop_run(s.l);
    assert_int_equal(s.ends, 1);
    assert_int_equal(s.end.code, -EPIPE);
    side_close(&s);
}

static void what_waits_is_lost_and_said_so_when_the_other_side_goes_after_its_end(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    struct side s = {.stops_at_end = true};
    int fds[2];
    unix_pair(fds);
    side_open(&s, fds[0]);
    shutdown(fds[1], SHUT_WR);
    fill(&s);
    loop_run(s.l);
    assert_int_equal(s.ends, 1);
    assert_int_equal(s.end.code, 0);
    assert_int_equal(s.drains, 0);
    close(fds[1]);
    loop_run(s.l);
    assert_int_equal(s.ends, 1);
    assert_int_equal(s.drains, 1);
    assert_int_equal(stream_write(s.stream, "x", 1, &e), -EPIPE);
    assert_string_equal(e.reason, "ConnectionLost");
    side_close(&s);
}

static void a_side_that_only_writes_notices_the_end(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    for (int is_pipe = 0; is_pipe < 2; is_pipe++) {
        AUTO(loop) l = NULL;
        AUTO(stream) stream = NULL;
        struct side s = {0};
        int fds[2], reader, writer;
        if (is_pipe)
            assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
        else
            unix_pair(fds);
        reader = fds[0];
        writer = fds[1];
        assert_ok(loop_open(&l, &e));
        struct stream_options o = {.fd = writer, .queue_limit = 1000, .ended = ended, .ctx = &s};
        assert_ok(stream_new(l, &o, &stream, &e));
        assert_int_equal(stream_write(stream, "x", 1, &e), 0);
        if (!is_pipe) {
            char c;
            assert_int_equal(read(reader, &c, 1), 1);
            write_text(reader, "nobody asked");
        }
        close(reader);
        loop_run(l);
        assert_int_equal(s.ends, 1);
        assert_int_equal(s.end.code, is_pipe ? -EPIPE : 0);
    }
}

static void shutting_a_pipe_closes_it_after_what_waits(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    struct side s = {0};
    int fds[2];
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    side_open(&s, fds[1]);
    assert_int_equal(stream_write(s.stream, "all", 3, &e), 0);
    stream_shut(s.stream);
    char text[8] = "";
    assert_int_equal(read(fds[0], text, sizeof text), 3);
    assert_int_equal(read(fds[0], text, sizeof text), 0);
    stream_pause(s.stream);
    stream_resume(s.stream);
    assert_fails(stream_write(s.stream, "x", 1, &e), -EPIPE, "ConnectionLost");
    loop_run(s.l);
    close(fds[0]);
    side_close(&s);
}

/* ---- Life ---- */

static void every_callback_may_free_the_stream(void **state)
{
    (void)state;
    for (int which = 0; which < 3; which++) {
        struct side s = {
            .frees_at_data = which == 0, .frees_at_end = which == 1, .frees_at_drain = which == 2};
        int fds[2];
        unix_pair(fds);
        side_open(&s, fds[0]);
        if (which == 2)
            fill(&s);
        else
            write_text(fds[1], "x");
        if (which == 2) {
            /* All that it reads is what had been taken by the socket and a part of the queue. */
            char sink[65536];
            while (recv(fds[1], sink, sizeof sink, MSG_DONTWAIT) > 0)
                ;
        } else {
            shutdown(fds[1], SHUT_WR);
        }
        loop_run(s.l);
        assert_null(s.stream);
        assert_int_equal(s.datas, which < 2);
        assert_int_equal(s.ends, which == 1);
        assert_int_equal(s.drains, which == 2);
        close(fds[1]);
        side_close(&s);
    }
}

static void the_descriptor_is_taken_also_when_it_is_unfit(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    AUTO(loop) l = NULL;
    struct stream *stream = NULL;
    FILE *file = tmpfile();
    int fd = dup(fileno(file));
    assert_ok(loop_open(&l, &e));
    struct stream_options o = {.fd = fd, .queue_limit = 1, .data = data, .ended = ended};
    assert_fails(stream_new(l, &o, &stream, &e), -EPERM, "LoopFailed");
    assert_null(stream);
    assert_int_equal(fcntl(fd, F_GETFD), -1);
    fclose(file);
    stream_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_go_both_ways_over_sockets_and_terminals),
        cmocka_unit_test(a_slow_reader_gets_everything_and_the_end_after_it),
        cmocka_unit_test(what_exceeds_the_limit_is_refused_whole),
        cmocka_unit_test(nothing_comes_while_paused),
        cmocka_unit_test(a_hang_up_is_told_once_while_paused),
        cmocka_unit_test(writing_may_go_on_when_the_other_side_has_shut_its_end),
        cmocka_unit_test(a_connection_that_is_reset_is_lost),
        cmocka_unit_test(what_was_sent_before_the_other_side_went_is_read_although_writing_fails),
        cmocka_unit_test(an_end_that_is_read_after_a_failed_write_is_no_orderly_one),
        cmocka_unit_test(what_waits_is_lost_and_said_so_when_the_other_side_goes_after_its_end),
        cmocka_unit_test(a_side_that_only_writes_notices_the_end),
        cmocka_unit_test(shutting_a_pipe_closes_it_after_what_waits),
        cmocka_unit_test(every_callback_may_free_the_stream),
        cmocka_unit_test(the_descriptor_is_taken_also_when_it_is_unfit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
