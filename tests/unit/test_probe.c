/* SPDX-License-Identifier: Apache-2.0 */
#include "sockets.h"

#include "base/strv.h"
#include "pod/probe.h"
#include "wire/grpc_health.h"
#include "wire/http_server.h"

/* Actions and probers against real servers on the same loop; the health check over gRPC against a
 * real one is tests/integ/test_grpc_health.py. */

static struct http_server *server;
static struct sockaddr_in address;
static unsigned http_status;   /* what the server answers; 0: nothing, ever */
static int n_requests, n_open; /* n_open: that wait for an answer */
static struct buf seen;        /* of the last request */

/* The command of exec actions. */
static struct {
    void (*done)(void *ctx, int exit_code, const char *output);
    void *done_ctx;
    bool is_at_once;
    int code;
    const char *output;
    uint64_t timeout_ms;
    int n;
} command;

static int n_done;
static bool is_ok;
static struct buf failure;

/* What a prober told, as "S+ L- R+ R-", and failures, as "s l r". */
static struct prober *prober;
static struct buf story, message;
static bool frees_when_told, frees_when_failed;

static void add_header(void *ctx, const char *value)
{
    buf_addf(ctx, "[%s]", value);
}

static void on_closed(void *ctx)
{
    (void)ctx;
    n_open--;
    loop_stop(loop);
}

static void on_request(void *ctx, struct http_exchange *x)
{
    static const char *const names[] = {"host", "user-agent", "accept", "connection", "x-one"};

    (void)ctx;
    n_requests++;
    buf_clear(&seen);
    buf_addf(&seen, "%s %s", http_exchange_method(x), http_exchange_path(x));
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        buf_addf(&seen, " %s=", names[i]);
        http_exchange_header_each(x, names[i], add_header, &seen);
    }
    loop_stop(loop);
    if (!http_status) {
        n_open++;
        http_exchange_on_close(x, on_closed, NULL);
        return;
    }
    if (http_status == 302)
        http_exchange_add_header(x, "Location", "http://other.invalid/");
    http_exchange_respond(x, http_status, "text/plain", "the \033 reason\n", 13);
}

static void run_command(void *ctx, const struct pod_words *words, uint64_t timeout_ms,
                        void (*done)(void *done_ctx, int exit_code, const char *output),
                        void *done_ctx)
{
    (void)ctx;
    command.n++;
    command.timeout_ms = timeout_ms;
    assert_string_equal(words->v[0], "check");
    if (command.is_at_once) {
        done(done_ctx, command.code, command.output);
    } else {
        command.done = done;
        command.done_ctx = done_ctx;
    }
    loop_stop(loop);
}

static void command_end(int code, const char *output)
{
    void (*done)(void *ctx, int exit_code, const char *output) = take_ptr(command.done);

    done(command.done_ctx, code, output);
}

static struct actions_options options = {.host = "127.0.0.1", .exec = run_command};

static int set_up(void **state)
{
    struct http_server_options o = {.body_limit = 1000,
                                    .connections = 100,
                                    .idle_ms = 60000,
                                    .queue_limit = 100000,
                                    .request = on_request};
    struct err e = ERR_INIT;

    (void)state;
    http_status = 200;
    n_requests = n_open = n_done = 0;
    memset(&command, 0, sizeof(command));
    frees_when_told = frees_when_failed = false;
    assert_ok(loop_open(&loop, &e));
    options.loop = o.loop = loop;
    assert_ok(http_server_new(&o, &server, &e));
    assert_ok(http_server_listen(server, listen_tcp(&address), &e));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    prober_free(take_ptr(prober));
    http_server_free(take_ptr(server));
    loop_free(take_ptr(loop)); /* which ends the process when a handle was left */
    buf_done(&seen);
    buf_done(&failure);
    buf_done(&story);
    buf_done(&message);
    return 0;
}

/* ---- One action ---- */

static void on_done(void *ctx, const char *why)
{
    (void)ctx;
    n_done++;
    is_ok = !why;
    buf_clear(&failure);
    buf_addstr(&failure, why ? why : "");
    loop_stop(loop);
}

/* Why it failed, or "". */
static const char *act(const struct pod_action *a, uint64_t timeout_ms)
{
    n_done = 0;
    action_start(&options, a, timeout_ms, on_done, NULL);
    assert_int_equal(n_done, 0);
    run_until(n_done);
    assert_int_equal(is_ok, !failure.len);
    return buf_str(&failure);
}

static struct pod_action action_to(enum pod_action_kind kind)
{
    static const char *words[] = {"check"};

    return (struct pod_action){
        .kind = kind, .port = ntohs(address.sin_port), .path = "/", .command = {words, 1}
    };
}

static void http_succeeds_by_the_status(void **state)
{
    static const struct {
        unsigned status;
        bool is_ok;
    } rows[] = {
        {200, true },
        {204, true },
        {302, true },
        {399, true },
        {400, false},
        {503, false}
    };
    struct pod_action a = action_to(POD_ACTION_HTTP);

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        http_status = rows[i].status;
        act(&a, 5000);
        assert_int_equal(is_ok, rows[i].is_ok);
    }
    assert_string_equal(buf_str(&failure), "HTTP probe failed with statuscode: 503: the ? reason");
}

static void http_asks_as_a_kubelet_does(void **state)
{
    struct pod_pair pairs[] = {
        {"host",  "pod.test"},
        {"X-One", "a"       },
        {"X-One", "b"       }
    };
    struct pod_pair silent[] = {
        {"User-Agent", ""},
        {"accept",     ""}
    };
    struct pod_action a = action_to(POD_ACTION_HTTP);

    (void)state;
    a.path = NULL;
    assert_string_equal(act(&a, 5000), "");
    assert_true(str_starts(seen.data, "GET / host=[127.0.0.1:"));
    assert_contains(seen.data, "user-agent=[wherry-probe/");
    assert_contains(seen.data, "accept=[*/*] connection=[close] x-one=");
    a.headers = (struct pod_pairs){pairs, ARRAY_SIZE(pairs)};
    a.path = "health z\xc3\xbc/../%41?a=b c";
    assert_string_equal(act(&a, 5000), "");
    assert_true(str_starts(seen.data, "GET /health z\xc3\xbc/../A host=[pod.test] "));
    assert_contains(seen.data, "x-one=[a][b]");
    a.headers = (struct pod_pairs){silent, ARRAY_SIZE(silent)};
    assert_string_equal(act(&a, 5000), "");
    assert_contains(seen.data, "user-agent= accept= ");
}

static void failures_name_where_it_went_and_why(void **state)
{
    struct pod_action a = action_to(POD_ACTION_HTTP);
    autofree char *silent = NULL, *refused = NULL, *dialled = NULL;
    struct sockaddr_in nobody;

    (void)state;
    http_status = 0;
    a.path = "/x";
    silent = xasprintf("Get \"http://127.0.0.1:%lld/x\": no answer within 50ms", (long long)a.port);
    assert_string_equal(act(&a, 50), silent);
    close(listen_tcp(&nobody));
    a.port = ntohs(nobody.sin_port);
    refused = xasprintf("Get \"http://127.0.0.1:%lld/x\": connect: connection refused",
                        (long long)a.port);
    assert_string_equal(act(&a, 5000), refused);
    a.kind = POD_ACTION_TCP;
    dialled = xasprintf("dial tcp 127.0.0.1:%lld: connect: connection refused", (long long)a.port);
    assert_string_equal(act(&a, 5000), dialled);
    a.host = "::1";
    assert_true(str_starts(act(&a, 5000), "dial tcp [::1]:"));
}

static void tcp_succeeds_by_connecting(void **state)
{
    struct pod_action a = action_to(POD_ACTION_TCP);

    (void)state;
    a.host = "127.0.0.1";
    assert_string_equal(act(&a, 5000), "");
    assert_int_equal(n_requests, 0);
}

static void grpc_fails_where_nobody_speaks_it(void **state)
{
    struct pod_action a = action_to(POD_ACTION_GRPC);

    (void)state;
    assert_true(str_starts(act(&a, 5000), "health rpc to 127.0.0.1:"));
}

static void commands_succeed_by_their_status(void **state)
{
    struct pod_action a = action_to(POD_ACTION_EXEC);

    (void)state;
    command.is_at_once = true;
    assert_string_equal(act(&a, 700), "");
    assert_int_equal(command.timeout_ms, 700);
    command.code = 3;
    command.output = "no database\n";
    assert_string_equal(act(&a, 700), "command exited with status 3: no database");
    command.code = -1;
    command.output = "no answer within 700ms";
    assert_string_equal(act(&a, 700), "command failed: no answer within 700ms");
    command.is_at_once = false;
    n_done = 0;
    action_start(&options, &a, 700, on_done, NULL);
    command_end(0, NULL);
    run_until(n_done);
    assert_true(is_ok);
}

static void a_sleep_ends_after_its_time(void **state)
{
    struct pod_action a = {.kind = POD_ACTION_SLEEP, .sleep_ms = 30};
    uint64_t start_ns = clock_monotonic_ns();

    (void)state;
    assert_string_equal(act(&a, 0), "");
    assert_true(clock_monotonic_ns() - start_ns >= 30000000);
}

static void a_cancelled_action_is_not_told(void **state)
{
    static const enum pod_action_kind kinds[] = {POD_ACTION_HTTP, POD_ACTION_TCP, POD_ACTION_GRPC,
                                                 POD_ACTION_EXEC, POD_ACTION_SLEEP};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        struct pod_action a = action_to(kinds[i]);

        action_cancel(action_start(&options, &a, 5000, on_done, NULL));
    }
    command_end(0, NULL); /* that ends although nobody waits for it */
    http_status = 0;

    struct pod_action a = action_to(POD_ACTION_HTTP);
    struct action_run *r = action_start(&options, &a, 5000, on_done, NULL);

    run_until(n_open == 1);
    action_cancel(r);
    run_until(n_open == 0);
    assert_int_equal(n_done, 0);
}

/* ---- Probers ---- */

static void on_told(void *ctx, enum probe_kind kind, bool is_good, const char *why)
{
    (void)ctx;
    buf_addf(&story, "%c%c ", "SLR"[kind], is_good ? '+' : '-');
    buf_clear(&message);
    buf_addstr(&message, why);
    if (frees_when_told)
        prober_free(take_ptr(prober));
    loop_stop(loop);
}

static void on_failed(void *ctx, enum probe_kind kind, const char *why)
{
    (void)ctx;
    assert_true(*why);
    buf_addf(&story, "%c ", "slr"[kind]);
    if (frees_when_failed)
        prober_free(take_ptr(prober));
    loop_stop(loop);
}

static struct pod_probe probe_by(enum pod_action_kind kind, int64_t period_ms)
{
    return (struct pod_probe){.action = action_to(kind),
                              .period_ms = period_ms,
                              .timeout_ms = 2000,
                              .success_threshold = 1,
                              .failure_threshold = 2};
}

static void begin(const struct pod_container *c)
{
    prober = prober_new(&options, c, clock_monotonic_ns(), on_told, on_failed, NULL);
}

static void expect_story(const char *text)
{
    run_until(story.len >= strlen(text));
    assert_string_equal(buf_str(&story), text);
    buf_clear(&story);
}

static void startup_is_told_once_when_it_succeeds(void **state)
{
    struct pod_probe startup = probe_by(POD_ACTION_HTTP, 5), live = startup;
    struct pod_container c = {.startup = &startup, .liveness = &live};

    (void)state;
    startup.failure_threshold = 3;
    http_status = 503;
    begin(&c);
    expect_story("s s ");
    http_status = 200;
    expect_story("S+ ");
    http_server_free(take_ptr(server));
    loop_run(loop); /* returns, since nothing falls due any more */
    assert_string_equal(buf_str(&story), "");
}

static void startup_is_told_once_when_it_has_failed_for_good(void **state)
{
    struct pod_probe startup = probe_by(POD_ACTION_HTTP, 5);
    struct pod_container c = {.startup = &startup};

    (void)state;
    http_status = 500;
    begin(&c);
    expect_story("s s S- ");
    assert_contains(message.data, "statuscode: 500");
    assert_false(run_for(30));
    assert_int_equal(n_requests, 2);
}

static void the_others_begin_only_when_the_container_has_started(void **state)
{
    struct pod_probe startup = probe_by(POD_ACTION_EXEC, 5);
    struct pod_probe ready = probe_by(POD_ACTION_HTTP, 5), live = ready;
    struct pod_container c = {.startup = &startup, .liveness = &live, .readiness = &ready};

    (void)state;
    begin(&c);
    run_until(command.n == 1);
    assert_false(run_for(30));
    assert_int_equal(n_requests, 0);
    command_end(0, NULL);
    expect_story("S+ ");
    prober_started(prober);
    prober_started(prober); /* says nothing new */
    expect_story("R+ ");
}

static void readiness_is_told_whenever_it_changes(void **state)
{
    struct pod_probe ready = probe_by(POD_ACTION_HTTP, 2);
    struct pod_container c = {.readiness = &ready};

    (void)state;
    ready.success_threshold = 3;
    http_status = 503;
    begin(&c);
    prober_started(prober);
    expect_story("r r r "); /* it was not ready before */
    n_requests = 0;
    http_status = 200;
    expect_story("R+ ");
    assert_int_equal(n_requests, 3);
    run_until(n_requests == 6);
    http_status = 503;
    expect_story("r r R- ");
    http_status = 200;
    expect_story("R+ ");
}

static void liveness_is_told_after_failures_in_a_row_and_ends(void **state)
{
    struct pod_probe live = probe_by(POD_ACTION_HTTP, 2);
    struct pod_container c = {.liveness = &live};

    (void)state;
    begin(&c);
    prober_started(prober);
    run_until(n_requests == 3);
    http_status = 503;
    expect_story("l ");
    http_status = 200;
    n_requests = 0;
    run_until(n_requests == 3); /* so that the next failure is the first of its row */
    http_status = 503;
    expect_story("l l L- ");
    n_requests = 0;
    assert_false(run_for(30));
    assert_int_equal(n_requests, 0);
}

static void the_first_attempt_waits_for_the_initial_delay(void **state)
{
    struct pod_probe live = probe_by(POD_ACTION_HTTP, 1000);
    struct pod_container c = {.liveness = &live};
    uint64_t start_ns = clock_monotonic_ns();

    (void)state;
    live.initial_delay_ms = 60;
    prober = prober_new(&options, &c, start_ns, on_told, on_failed, NULL);
    prober_started(prober);
    run_until(n_requests);
    assert_true(clock_monotonic_ns() - start_ns >= 60000000);
}

static void an_attempt_that_takes_long_is_followed_at_once_and_never_overlapped(void **state)
{
    struct pod_probe live = probe_by(POD_ACTION_EXEC, 20);
    struct pod_container c = {.liveness = &live};
    uint64_t end_ns;

    (void)state;
    live.failure_threshold = 100;
    begin(&c);
    prober_started(prober);
    run_until(command.n == 1);
    end_ns = clock_monotonic_ns() + 90000000;
    assert_false(run_for(90)); /* more than four periods */
    assert_true(clock_monotonic_ns() >= end_ns);
    assert_int_equal(command.n, 1);
    command_end(1, NULL);
    expect_story("l ");
    run_until(command.n == 2);
    command_end(0, NULL);
    run_until(command.n == 3);
    command_end(0, NULL);
}

static void a_time_out_counts_as_a_failure(void **state)
{
    struct pod_probe live = probe_by(POD_ACTION_HTTP, 20);
    struct pod_container c = {.liveness = &live};

    (void)state;
    live.timeout_ms = 20;
    http_status = 0;
    begin(&c);
    prober_started(prober);
    expect_story("l l L- ");
    assert_contains(message.data, "no answer within 20ms");
}

static void a_freed_prober_tells_nothing(void **state)
{
    struct pod_probe live = probe_by(POD_ACTION_EXEC, 5), ready = probe_by(POD_ACTION_HTTP, 5);
    struct pod_container c = {.liveness = &live, .readiness = &ready};

    (void)state;
    http_status = 0;
    begin(&c);
    prober_started(prober);
    run_until(n_open == 1 && command.n == 1);
    prober_free(take_ptr(prober));
    run_until(n_open == 0);
    command_end(1, "too late");
    assert_false(run_for(20));
    assert_string_equal(buf_str(&story), "");
}

static void a_prober_may_be_freed_by_whom_it_tells(void **state)
{
    struct pod_probe live = probe_by(POD_ACTION_HTTP, 5), ready = live;
    struct pod_container c = {.liveness = &live, .readiness = &ready};

    (void)state;
    live.failure_threshold = ready.failure_threshold = 1;
    http_status = 503;
    frees_when_told = true;
    begin(&c);
    prober_started(prober);
    run_until(!prober);
    assert_contains(story.data, "l L- ");
    buf_clear(&story);
    frees_when_failed = true;
    begin(&c);
    prober_started(prober);
    run_until(!prober);
    assert_int_equal(story.len, 2); /* told is not called after that */
}

/* ---- The messages of gRPC's health check ---- */

static void a_request_names_its_service(void **state)
{
    autobuf b = BUF_INIT;

    (void)state;
    grpc_health_request_add("", &b);
    assert_int_equal(b.len, 5);
    assert_memory_equal(b.data, "\0\0\0\0\0", 5);
    buf_clear(&b);
    grpc_health_request_add("ab", &b);
    assert_int_equal(b.len, 9);
    assert_memory_equal(b.data, "\0\0\0\0\4\n\2ab", 9);
}

#define ANSWER(status_, message_, bytes)                                                           \
    ((struct grpc_health_response){.http_status = 200,                                             \
                                   .grpc_status = (status_),                                       \
                                   .grpc_message = (message_),                                     \
                                   .body = TEXT(bytes)})

static void a_response_says_whether_it_serves(void **state)
{
    /* The last has fields that nobody knows, of each wire type, before the status. */
    const struct grpc_health_response good[] = {
        ANSWER("0", NULL, "\0\0\0\0\2\x08\1"),
        ANSWER("0", "",
               "\0\0\0\0\x19\x10\x96\1\x1a\2xy\x21"
               "12345678\x2d"
               "1234\x08\0\x08\1"),
    };
    const struct {
        struct grpc_health_response r;
        int code;
        const char *reason, *part;
    } bad[] = {
        {ANSWER("0",  NULL,            "\0\0\0\0\2\x08\2"),   -EAGAIN,    "NotServing",      "\"NOT_SERVING\""                 },
        {ANSWER("0",  NULL,            "\0\0\0\0\0"),         -EAGAIN,    "NotServing",      "\"UNKNOWN\""                     },
        {ANSWER("0",  NULL,            "\0\0\0\0\2\x08\x09"), -EAGAIN,    "NotServing",      "unhealthy"                       },
        {ANSWER("12", "no%20such\x1b", ""),                   -ENOSYS,    "NoHealthService", "no such?"                        },
        {ANSWER("5",  "x",             ""),                   -ENOENT,    "UnknownService",  "x"                               },
        {ANSWER("4",  NULL,            ""),                   -ETIMEDOUT, "TimedOut",        "in time"                         },
        {ANSWER("14", "%E4%zz%",       ""),                   -EREMOTEIO, "CallFailed",      "grpc-status 14: \xef\xbf\xbd%zz%"},
        {ANSWER(NULL, NULL,            ""),                   -EBADMSG,   "BadResponse",     "HTTP status 200"                 },
        {ANSWER("no", NULL,            ""),                   -EBADMSG,   "BadResponse",     "speaks no gRPC"                  },
        {ANSWER("0x", NULL,            ""),                   -EBADMSG,   "BadResponse",     "no number"                       },
        {ANSWER("0",  NULL,            ""),                   -EBADMSG,   "BadResponse",     "no message"                      },
        {ANSWER("0",  NULL,            "\1\0\0\0\2\x08\1"),   -EBADMSG,   "BadResponse",     "compressed"                      },
        {ANSWER("0",  NULL,            "\0\0\0\0\3\x08\1"),   -EBADMSG,   "BadResponse",     "HealthCheckResponse"             },
        {ANSWER("0",  NULL,            "\0\0\0\0\1\x08"),     -EBADMSG,   "BadResponse",     "HealthCheckResponse"             },
        {ANSWER("0",  NULL,            "\0\0\0\0\2\x0a\5"),   -EBADMSG,   "BadResponse",     "HealthCheckResponse"             },
        {ANSWER("0",  NULL,            "\0\0\0\0\1\x0b"),     -EBADMSG,   "BadResponse",     "HealthCheckResponse"             },
    };
    struct err e = ERR_INIT;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(good); i++)
        assert_ok(grpc_health_check(&good[i], &e));
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        assert_fails(grpc_health_check(&bad[i].r, &e), bad[i].code, bad[i].reason);
        assert_contains(e.msg, bad[i].part);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(http_succeeds_by_the_status),
        TEST(http_asks_as_a_kubelet_does),
        TEST(failures_name_where_it_went_and_why),
        TEST(tcp_succeeds_by_connecting),
        TEST(grpc_fails_where_nobody_speaks_it),
        TEST(commands_succeed_by_their_status),
        TEST(a_sleep_ends_after_its_time),
        TEST(a_cancelled_action_is_not_told),
        TEST(startup_is_told_once_when_it_succeeds),
        TEST(startup_is_told_once_when_it_has_failed_for_good),
        TEST(the_others_begin_only_when_the_container_has_started),
        TEST(readiness_is_told_whenever_it_changes),
        TEST(liveness_is_told_after_failures_in_a_row_and_ends),
        TEST(the_first_attempt_waits_for_the_initial_delay),
        TEST(an_attempt_that_takes_long_is_followed_at_once_and_never_overlapped),
        TEST(a_time_out_counts_as_a_failure),
        TEST(a_freed_prober_tells_nothing),
        TEST(a_prober_may_be_freed_by_whom_it_tells),
        cmocka_unit_test(a_request_names_its_service),
        cmocka_unit_test(a_response_says_whether_it_serves),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
