/* SPDX-License-Identifier: Apache-2.0 */
/* The documents between supervisor and worker: spec, job, status and messages. */
#include "unit.h"

#include <fcntl.h>
#include <sys/socket.h>

#include "base/util.h"
#include "guest/job.h"
#include "guest/message.h"

static void spec_fill(struct guest_spec *s)
{
    guest_spec_init(s);
    s->id = xstrdup("guest-1");
    s->name = xstrdup("a \"name\"");
    s->module_fd = 0;
    s->image = xstrdup("@sha256:00");
    s->command = xstrdup("{\"entrypoint\":[\"a b\"]}");
    s->has_image_defaults = true;
    s->stdout_fd = 1;
    strv_add(&s->args, "a");
    strv_add(&s->args, "");
    strv_add(&s->env, "A=1");
    guest_spec_dir_add(s, 2, "/work", true);
    guest_spec_listener_add(s, 3, "http://127.0.0.1:8080");
    s->requests = 7;
    s->timeout_ms = 1500;
}

static void assert_same_spec(const struct guest_spec *a, const struct guest_spec *b)
{
    autobuf text_a = BUF_INIT;
    autobuf text_b = BUF_INIT;
    struct json_writer w;
    struct err e = ERR_INIT;

    json_writer_init(&w, &text_a, false);
    guest_spec_encode(a, &w);
    assert_ok(json_writer_finish(&w, &e));
    json_writer_init(&w, &text_b, false);
    guest_spec_encode(b, &w);
    assert_ok(json_writer_finish(&w, &e));
    assert_string_equal(text_a.data, text_b.data);
}

static void test_spec_round_trip(void **state)
{
    struct guest_spec s, back;
    autobuf text = BUF_INIT;
    struct json_writer w;
    struct err e = ERR_INIT;

    (void)state;
    spec_fill(&s);
    s.code_fd = 4;
    json_writer_init(&w, &text, false);
    guest_spec_encode(&s, &w);
    assert_ok(json_writer_finish(&w, &e));
    guest_spec_init(&back);
    assert_ok(guest_spec_decode(text.data, text.len, &back, &e));
    assert_same_spec(&s, &back);
    assert_true(back.dirs[0].is_read_only);
    assert_true(back.has_image_defaults);
    assert_string_equal(back.command, s.command);
    guest_spec_done(&s);
    guest_spec_done(&back);
}

/* An older supervisor leaves fields out, a newer one adds some. */
static void test_spec_of_other_versions(void **state)
{
    static const char text[] = "{\"id\":\"a\",\"module_fd\":3,\"from_the_future\":{\"x\":[1]}}";
    struct guest_spec s;
    struct err e = ERR_INIT;

    (void)state;
    guest_spec_init(&s);
    assert_ok(guest_spec_decode(text, sizeof(text) - 1, &s, &e));
    assert_int_equal(s.memory_bytes, 4LL << 30);
    assert_int_equal(s.stdin_fd, -1);
    assert_int_equal(s.code_fd, -1);
    assert_int_equal(s.descriptors, 1024);
    guest_spec_done(&s);
}

/* What a supervisor has checked its worker takes. */
static void what_a_check_refuses_the_decoder_refuses_too(void **state)
{
    enum { ID, FD, NEGATIVE, NOT_UTF8, LOG_NAME, LONG_NAME, NO_PATH, GOOD, CASES };

    (void)state;
    for (int i = 0; i < CASES; i++) {
        struct guest_spec s, back;
        autobuf text = BUF_INIT;
        struct json_writer w;
        struct err e = ERR_INIT, of_check = ERR_INIT, of_decoder = ERR_INIT;
        int checked, decoded;

        spec_fill(&s);
        if (i == ID)
            s.id[0] = '/';
        if (i == FD)
            s.dirs[0].fd = -1;
        if (i == NEGATIVE)
            s.memory_bytes = -1;
        if (i == NOT_UTF8)
            strv_add(&s.env, "A=\xff");
        if (i == LOG_NAME)
            s.log_name = xstrdup(".x");
        if (i == LONG_NAME)
            s.log_name = xasprintf("%0500d", 1);
        if (i == NO_PATH)
            free(take_ptr(s.dirs[0].path));
        json_writer_init(&w, &text, false);
        guest_spec_encode(&s, &w);
        assert_int_equal(json_writer_finish(&w, &e) < 0, i == NOT_UTF8);
        guest_spec_init(&back);
        checked = guest_spec_check(&s, &of_check);
        decoded = guest_spec_decode(text.data, text.len, &back, &of_decoder);
        assert_int_equal(checked < 0, i != GOOD);
        /* Only the writer sees that: it has left the text out. */
        assert_int_equal(decoded, i == NOT_UTF8 ? 0 : checked);
        assert_string_equal(of_check.msg, i == NOT_UTF8 ? "$.env[1]: not UTF-8" : of_decoder.msg);
        guest_spec_done(&s);
        guest_spec_done(&back);
    }
}

static void test_spec_refused(void **state)
{
    static const char *const bad[] = {
        "{}",
        "{\"id\":\"\",\"module_fd\":3}",
        "{\"id\":\"../x\",\"module_fd\":3}",
        "{\"id\":\".x\",\"module_fd\":3}",
        "{\"id\":\"a\",\"module_fd\":-2}",
        "{\"id\":\"a\",\"module_fd\":99999999999}",
        "{\"id\":\"a\",\"module_fd\":3,\"memory_bytes\":-1}",
        "{\"id\":\"a\",\"module_fd\":3,\"log_name\":\"../x\"}",
        "{\"id\":\"a\",\"module_fd\":3,\"dirs\":[{\"path\":\"/\"}]}",
        "{\"id\":\"a\",\"module_fd\":3,\"args\":\"x\"}",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct guest_spec s;
        struct err e = ERR_INIT;

        guest_spec_init(&s);
        if (guest_spec_decode(bad[i], strlen(bad[i]), &s, &e) >= 0)
            fail_msg("accepted: %s", bad[i]);
        assert_true(e.msg[0] == '$');
        assert_null(s.id);
    }
}

/* An err that has been used before says nothing about the next call. */
static void test_spec_after_an_error(void **state)
{
    static const char good[] = "{\"id\":\"a\",\"module_fd\":3}";
    struct guest_spec s;
    struct err e = ERR_INIT;

    (void)state;
    guest_spec_init(&s);
    assert_true(guest_spec_decode("{}", 2, &s, &e) < 0);
    assert_int_equal(guest_spec_decode(good, sizeof(good) - 1, &s, &e), 0);
    assert_string_equal(s.id, "a");
    guest_spec_done(&s);
}

static void test_job_round_trip(void **state)
{
    struct guest_job job = {.command = xstrdup("run"),
                            .has_spec = true,
                            .status_fd = 5,
                            .verbosity = 2},
                     back = GUEST_JOB_INIT;
    autobuf text = BUF_INIT;
    struct json_writer w;
    struct err e = ERR_INIT;

    (void)state;
    spec_fill(&job.spec);
    job.status_file = xstrdup("/tmp/status");
    json_writer_init(&w, &text, false);
    guest_job_encode(&job, &w);
    assert_ok(json_writer_finish(&w, &e));
    assert_ok(guest_job_decode(text.data, text.len, &back, &e));
    assert_string_equal(back.command, "run");
    assert_string_equal(back.status_file, "/tmp/status");
    assert_int_equal(back.status_fd, 5);
    assert_int_equal(back.verbosity, 2);
    assert_true(back.has_spec);
    assert_same_spec(&job.spec, &back.spec);
    guest_job_done(&job);
    guest_job_done(&back);
}

static void a_job_is_decoded_only_with_the_programs_that_it_is_about(void **state)
{
    static const struct {
        const char *text;
        bool is_good;
    } cases[] = {
        {"{'command':'run','spec':{'id':'a','module_fd':3}}",                           true },
        {"{'command':'run','spec':{'id':'a','module_fd':3,'code_fd':4},'status_fd':5}", true },
        {"{'command':'run','spec':{'id':'a'}}",                                         false},
        {"{'command':'run','spec':{'id':'a','module_fd':3},'status_fd':-2}",            false},
        {"{'command':'prepare','files':[{'fd':3,'name':'a'}]}",                         true },
        {"{'command':'prepare'}",                                                       false},
        {"{'command':'prepare','files':[{'fd':3,'name':'a'},{'fd':4,'name':'b'}]}",     false},
        {"{'command':'serve','spec':{'id':'a','code_fd':4},'serve':{}}",                false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        autofree char *text = xstrdup(cases[i].text);
        struct guest_job j = GUEST_JOB_INIT;
        struct err e = ERR_INIT;
        int r;

        for (char *at = text; (at = strchr(at, '\'')); at++)
            *at = '"';
        r = guest_job_decode(text, strlen(text), &j, &e);
        if ((r >= 0) != cases[i].is_good)
            fail_msg("%s: %s", text, r < 0 ? e.msg : "accepted");
        if (r >= 0 && !strstr(text, "status_fd"))
            assert_int_equal(j.status_fd, -1);
        guest_job_done(&j);
    }
}

static void test_status_round_trip(void **state)
{
    struct guest_status s = {
        .id = (char *)"a",
        .reason = (char *)"Trap",
        .message = (char *)"line\nline",
        .exit_code = 134,
        .cpu_ns = 5,
        .memory_refused = true,
    };
    struct guest_status back = {0};
    autobuf text = BUF_INIT;
    struct json_writer w;
    struct err e = ERR_INIT;

    (void)state;
    json_writer_init(&w, &text, true);
    guest_status_encode(&s, &w);
    assert_ok(json_writer_finish(&w, &e));
    assert_ok(guest_status_decode(text.data, text.len, &back, &e));
    assert_string_equal(back.reason, "Trap");
    assert_string_equal(back.message, "line\nline");
    assert_int_equal(back.exit_code, 134);
    assert_true(back.memory_refused);
    assert_null(back.started_at);
    guest_status_done(&back);
}

static void test_messages_need_their_fields(void **state)
{
    static const char *const bad[] = {
        "{}",
        "{\"type\":\"nonsense\"}",
        "{\"type\":\"stop\"}",
        "{\"type\":\"start\",\"id\":\"a\"}",
        "{\"type\":\"start\",\"spec\":{\"id\":\"a\"}}",
        "{\"type\":\"start\",\"spec\":5}",
        "{\"type\":\"exited\",\"id\":\"a\"}",
        "{\"type\":\"exited\",\"id\":\"a\",\"status\":{}}",
        "[]",
        "",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct message m = {0};
        struct err e = ERR_INIT;

        if (message_decode(bad[i], strlen(bad[i]), &m, &e) >= 0)
            fail_msg("accepted: %s", bad[i]);
        assert_null(m.id);
    }
}

/* A START with its descriptors over a socket, with other messages around it, in small pieces. */
static void test_channel(void **state)
{
    struct channel a, b;
    struct message start, stop, got;
    int pair[2], fds[MESSAGE_FD_LIMIT], passed[4];
    size_t n_fds = 0;
    struct err e = ERR_INIT;
    int r = 0, seen = 0;

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    channel_init(&a, pair[0]);
    channel_init(&b, pair[1]);
    for (size_t i = 0; i < ARRAY_SIZE(passed); i++)
        passed[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
    message_init(&start, MESSAGE_START, NULL);
    spec_fill(&start.spec);
    start.has_spec = true;
    message_init(&stop, MESSAGE_STOP, "guest-1");
    stop.grace_ms = 1500;
    channel_queue(&a, &stop);
    assert_ok(channel_send(&a, &start, passed, ARRAY_SIZE(passed), &e));
    channel_queue(&a, &stop);
    assert_ok(channel_flush(&a, &e));
    shutdown(pair[0], SHUT_WR);
    while (seen < 3) {
        assert_ok(r = channel_next(&b, &got, fds, &n_fds, &e));
        if (!r) {
            assert_ok(channel_read(&b, &e));
            continue;
        }
        assert_int_equal(got.type, seen == 1 ? MESSAGE_START : MESSAGE_STOP);
        assert_int_equal(n_fds, seen == 1 ? 4 : 0);
        assert_int_equal(got.grace_ms, seen == 1 ? 0 : 1500);
        if (seen == 1) {
            assert_int_equal(got.spec.listeners[0].fd, fds[3]);
            assert_int_equal(got.spec.module_fd, fds[0]);
            assert_int_equal(got.spec.dirs[0].fd, fds[2]);
            assert_int_equal(fcntl(fds[0], F_GETFD), FD_CLOEXEC);
        }
        for (size_t i = 0; i < n_fds; i++)
            close(fds[i]);
        message_done(&got);
        seen++;
    }
    assert_int_equal(channel_read(&b, &e), 1);
    for (size_t i = 0; i < ARRAY_SIZE(passed); i++)
        close(passed[i]);
    message_done(&start);
    message_done(&stop);
    channel_done(&a);
    channel_done(&b);
}

/* Who must not wait is told that there is no room, and nothing is sent twice or in part. */
static void test_channel_does_not_wait(void **state)
{
    struct channel a, b;
    struct message start, got;
    autobuf body = BUF_INIT;
    int pair[2], fds[MESSAGE_FD_LIMIT], passed[4], sent = 0, seen = 0, r;
    size_t n_fds = 0;
    struct err e = ERR_INIT;

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
    channel_init(&a, pair[0]);
    channel_init(&b, pair[1]);
    for (size_t i = 0; i < ARRAY_SIZE(passed); i++)
        passed[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
    message_init(&start, MESSAGE_START, NULL);
    spec_fill(&start.spec);
    start.has_spec = true;
    for (int i = 0; i < 1000; i++)
        strv_add(&start.spec.args, "an argument that makes the message larger than one write");
    message_encode(&start, &body);
    while ((r = channel_try_send(&a, &body, passed, ARRAY_SIZE(passed), &e)) == 0)
        sent++;
    assert_int_equal(r, 1);
    assert_in_range(sent, 2, 100);
    assert_int_equal(channel_try_send(&a, &body, passed, ARRAY_SIZE(passed), &e), 1);
    for (size_t i = 0; i < ARRAY_SIZE(passed); i++)
        close(passed[i]);
    while (seen < sent) {
        assert_ok(channel_flush(&a, &e));
        assert_ok(channel_read(&b, &e));
        assert_ok(r = channel_next(&b, &got, fds, &n_fds, &e));
        if (!r)
            continue;
        assert_int_equal(n_fds, ARRAY_SIZE(passed));
        assert_int_equal(got.spec.module_fd, fds[0]);
        for (size_t i = 0; i < n_fds; i++)
            assert_int_equal(close(fds[i]), 0);
        message_done(&got);
        seen++;
    }
    assert_int_equal(channel_flush(&a, &e), 0);
    assert_int_equal(b.in.len, 0);
    channel_done(&b);
    assert_fails(channel_try_send(&a, &body, NULL, 0, &e), -EPIPE, "ConnectionLost");
    message_done(&start);
    channel_done(&a);
}

static void test_channel_refuses(void **state)
{
    static const struct {
        const char *bytes;
        const char *reason;
    } rows[] = {
        {"\xff\xff\xff\xff\0\0\0\0", "TooLarge"  },
        {"\2\0\0\0\xff\xff\0\0{}",   "BadMessage"},
        {"\2\0\0\0\1\0\0\0{}",       "BadMessage"},
        {"\2\0\0\0\0\0\0\0[]",       "BadJson"   },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct channel c;
        struct message m;
        int pair[2], fds[MESSAGE_FD_LIMIT];
        size_t n_fds, len = 8 + (rows[i].bytes[0] == 2 ? 2 : 0);
        struct err e = ERR_INIT;

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
        channel_init(&c, pair[1]);
        assert_int_equal(write(pair[0], rows[i].bytes, len), len);
        assert_ok(channel_read(&c, &e));
        assert_true(channel_next(&c, &m, fds, &n_fds, &e) < 0);
        assert_string_equal(e.reason, rows[i].reason);
        channel_done(&c);
        close(pair[0]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spec_round_trip),
        cmocka_unit_test(test_spec_of_other_versions),
        cmocka_unit_test(what_a_check_refuses_the_decoder_refuses_too),
        cmocka_unit_test(test_spec_refused),
        cmocka_unit_test(test_spec_after_an_error),
        cmocka_unit_test(test_job_round_trip),
        cmocka_unit_test(a_job_is_decoded_only_with_the_programs_that_it_is_about),
        cmocka_unit_test(test_status_round_trip),
        cmocka_unit_test(test_messages_need_their_fields),
        cmocka_unit_test(test_channel),
        cmocka_unit_test(test_channel_does_not_wait),
        cmocka_unit_test(test_channel_refuses),
    };
    return cmocka_run_group_tests_name("guest", tests, NULL, NULL);
}
