/* SPDX-License-Identifier: Apache-2.0 */
#include "api_exec_peer.h"

#include <sys/mman.h>

#include "base/fds.h"
#include "cli/agent_client.h"
#include "cli/exec_session.h"
#include "wire/channels.h"

#define EXEC    "/api/v1/namespaces/default/pods/web/exec"
#define FORWARD "/api/v1/namespaces/default/pods/web/portforward"

static struct agent_client *client;

static int set_up(void **state)
{
    struct err e = ERR_INIT;

    (void)state;
    peer_start();
    assert_ok(agent_client_open(peer.path, &client, &e));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    agent_client_free(take_ptr(client));
    peer_stop();
    return 0;
}

/* Waits for what another thread brings about. */
#define wait_until(condition)                                                                      \
    do {                                                                                           \
        for (int unit_i_ = 0; !(condition); unit_i_++) {                                           \
            assert_in_range(unit_i_, 0, 5000);                                                     \
            usleep(1000);                                                                          \
        }                                                                                          \
    } while (0)

/* ---- The command's side and the agent's ---- */

struct ran {
    struct channel_status status;
    struct buf out, err;
    struct err e;
    int code;
};

static void ran_done(struct ran *r)
{
    channel_status_done(&r->status);
    buf_done(&r->out);
    buf_done(&r->err);
}
#define autoran __attribute__((cleanup(ran_done))) struct ran

static void content_read(int fd, struct buf *b)
{
    struct err e = ERR_INIT;

    lseek(fd, 0, SEEK_SET);
    assert_ok(fd_read_all(fd, 100 << 20, b, &e));
}

static void run_in(struct ran *r, const char *script, int in_fd)
{
    autofd out = memfd_create("out", MFD_CLOEXEC), err = memfd_create("err", MFD_CLOEXEC);
    const char *const argv[] = {"/bin/sh", "-c", script, NULL};
    struct exec_session x = {
        .space = "default",
        .pod = "web",
        .command = argv,
        .in_fd = in_fd,
        .out_fd = out,
        .err_fd = err,
    };

    r->code = exec_session_run(client, &x, &r->status, &r->e);
    content_read(out, &r->out);
    content_read(err, &r->err);
}

static void output_and_exit_status_come_back(void **state)
{
    autoran r = {0}, success = {0};

    (void)state;
    run_in(&r, "echo out; echo err >&2; exit 42", -1);
    assert_int_equal(r.code, 0);
    assert_true(r.status.is_exit);
    assert_int_equal(r.status.exit_code, 42);
    assert_null(r.status.reason);
    assert_string_equal(r.out.data, "out\n");
    assert_string_equal(r.err.data, "err\n");
    run_in(&success, "cat; test -z \"$0\" || exit 0", -1);
    assert_int_equal(success.status.exit_code, 0);
}

static void input_goes_there_to_its_end(void **state)
{
    const size_t size = 5 << 20;
    autofd in = memfd_create("in", MFD_CLOEXEC);
    autofree char *text = malloc(size);
    struct err e = ERR_INIT;
    autoran r = {0};

    (void)state;
    for (size_t i = 0; i < size; i++)
        text[i] = (char)(i * 7 + i / 256);
    assert_ok(fd_write_all(in, text, size, &e));
    lseek(in, 0, SEEK_SET);
    run_in(&r, "cat", in);
    assert_int_equal(r.code, 0);
    assert_int_equal(r.out.len, size);
    assert_memory_equal(r.out.data, text, size);
}

static void all_output_comes_before_the_status(void **state)
{
    autoran r = {0};

    (void)state;
    run_in(&r, "head -c 20000000 /dev/zero; (sleep 0.1; head -c 3000000 /dev/zero >&2) & exit 3",
           -1);
    assert_int_equal(r.code, 0);
    assert_int_equal(r.status.exit_code, 3);
    assert_int_equal(r.out.len, 20000000);
    assert_int_equal(r.err.len, 3000000);
}

static void why_it_ended_is_told(void **state)
{
    autoran r = {0}, refused = {0};

    (void)state;
    run_in(&r, "kill -SEGV $$", -1);
    assert_int_equal(r.status.exit_code, GUEST_EXIT_TRAP);
    assert_string_equal(r.status.reason, "Trap");
    assert_string_equal(r.status.message, "unreachable instruction");
    atomic_store(&peer.pod.is_refused, true);
    run_in(&refused, "true", -1);
    assert_int_equal(refused.code, 0);
    assert_false(refused.status.is_exit);
    assert_string_equal(refused.status.reason, "NotRunning");
    assert_string_equal(refused.status.message, "container 'app' does not run");
}

static void nobody_reading_stops_the_command(void **state)
{
    const char *const argv[] = {"/bin/cat", "/dev/zero", NULL};
    struct channel_status status = {0};
    struct err e = ERR_INIT;
    int fds[2];
    struct exec_session x = {.space = "default", .pod = "web", .command = argv, .in_fd = -1};

    (void)state;
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    close(fds[0]);
    x.out_fd = x.err_fd = fds[1];
    assert_fails(exec_session_run(client, &x, &status, &e), -EPIPE, "OutputClosed");
    close(fds[1]);
    wait_until(!atomic_load(&peer.n_running));
}

static int session_fails(const struct exec_session *changes, struct err *e)
{
    static const char *const argv[] = {"/bin/true", NULL};
    struct channel_status status = {0};
    struct exec_session x = *changes;

    if (!x.command)
        x.command = argv;
    x.space = "default";
    if (!x.pod)
        x.pod = "web";
    x.in_fd = x.out_fd = x.err_fd = -1;
    return exec_session_run(client, &x, &status, e);
}

static void what_cannot_be_is_told_in_the_agents_words(void **state)
{
    static const char *const nothing[] = {NULL};
    struct err e = ERR_INIT;

    (void)state;
    assert_fails(session_fails(&(struct exec_session){.pod = "nobody"}, &e), -ENOENT, "NotFound");
    assert_string_equal(e.msg, "pods \"nobody\" not found");
    assert_fails(session_fails(&(struct exec_session){.container = "none"}, &e), -ENOENT,
                 "NotFound");
    assert_contains(e.msg, "no container 'none'");
    assert_fails(session_fails(&(struct exec_session){.command = nothing}, &e), -EINVAL,
                 "BadRequest");
    assert_fails(session_fails(&(struct exec_session){.program = "x.wasm"}, &e), -EINVAL,
                 "BadRequest");
}

static void an_agent_that_is_not_there_is_told(void **state)
{
    AUTO(agent_client) nobody = NULL;
    struct agent_request q = {.target = "/version"};
    autofree char *path = xasprintf("%s/no.sock", peer.dir);
    autobuf answer = BUF_INIT;
    struct err e = ERR_INIT;
    char longest[200];

    (void)state;
    assert_ok(agent_client_open(path, &nobody, &e));
    assert_fails(agent_client_ask(nobody, &q, &answer, NULL, &e), -ENOENT, "AgentUnreachable");
    assert_contains(e.msg, path);
    assert_contains(e.msg, "wherry up -f app.yaml");
    memset(longest, 'l', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = 0;
    assert_fails(agent_client_open(longest, &nobody, &e), -ENAMETOOLONG, "BadSocket");
}

static int sink_add(void *ctx, const void *data, size_t len, struct err *e)
{
    (void)e;
    buf_add(ctx, data, len);
    return 0;
}

static void plain_requests_are_answered(void **state)
{
    struct agent_request q = {.target = "/api/v1/namespaces/default/pods/web"};
    autobuf answer = BUF_INIT, followed = BUF_INIT;
    struct err e = ERR_INIT;
    long status = 0;

    (void)state;
    assert_ok(agent_client_ask(client, &q, &answer, &status, &e));
    assert_string_equal(answer.data, "{\"kind\":\"Pod\"}");
    assert_int_equal(status, 200);
    assert_ok(agent_client_follow(client, q.target, sink_add, &followed, &e));
    assert_string_equal(followed.data, "{\"kind\":\"Pod\"}");
    assert_fails(agent_client_follow(client, "/x", sink_add, &followed, &e), -ENOENT, "NotFound");
}

/* ---- A client that does as it is told, message by message ---- */

struct raw {
    struct websocket *w;
    struct buf out[6]; /* by the channel */
    bool is_opened, is_closed, is_end_told;
    const char *protocol;
    struct err e;
};

static struct raw raw;

static void raw_opened(void *ctx, const char *protocol)
{
    (void)ctx;
    raw.is_opened = true;
    raw.protocol = protocol;
    loop_stop(loop);
}

static void raw_message(void *ctx, enum websocket_kind kind, const void *data, size_t len)
{
    const uint8_t *bytes = data;

    (void)ctx;
    assert_int_equal(kind, WEBSOCKET_BINARY);
    if (len == 2 && bytes[0] == CHANNEL_CLOSE)
        raw.is_end_told = true;
    else if (len && bytes[0] < ARRAY_SIZE(raw.out))
        buf_add(&raw.out[bytes[0]], bytes + 1, len - 1);
    loop_stop(loop);
}

static void raw_closed(void *ctx, unsigned code, const char *reason, const struct err *e)
{
    (void)ctx;
    (void)code;
    (void)reason;
    raw.is_closed = true;
    raw.e = *e;
    loop_stop(loop);
}

static void raw_open(const char *target, const char *protocol)
{
    const char *const protocols[] = {protocol, NULL};
    struct websocket_options o = {
        .protocols = protocols,
        .message_limit = 1 << 20,
        .queue_limit = 64 << 20,
        .opened = raw_opened,
        .message = raw_message,
        .closed = raw_closed,
    };
    struct err e = ERR_INIT;

    raw = (struct raw){0};
    if (!loop)
        assert_ok(loop_open(&loop, &e));
    o.loop = loop;
    assert_ok(agent_client_websocket(client, target, &o, &raw.w, &e));
    run_until(raw.is_opened || raw.is_closed);
}

static void raw_send(const void *data, size_t len)
{
    struct err e = ERR_INIT;

    assert_ok(websocket_send(raw.w, WEBSOCKET_BINARY, data, len, &e));
}

static void raw_done(void)
{
    websocket_free(take_ptr(raw.w));
    for (size_t i = 0; i < ARRAY_SIZE(raw.out); i++)
        buf_done(&raw.out[i]);
    loop_free(take_ptr(loop));
}

static void a_client_of_v4_is_served(void **state)
{
    (void)state;
    raw_open(EXEC "?command=/bin/sh&command=-c&command=read%20x;echo%20got%20$x&stdin=1&stdout=1",
             CHANNEL_PROTOCOL_V4);
    assert_string_equal(raw.protocol, CHANNEL_PROTOCOL_V4);
    raw_send("\4{\"Width\":80,\"Height\":24}", 25);
    raw_send("\0line\n", 6);
    run_until(raw.is_closed);
    assert_int_equal(raw.e.code, 0);
    assert_string_equal(raw.out[1].data, "got line\n");
    assert_string_equal(raw.out[3].data, "{\"metadata\":{},\"status\":\"Success\"}");
    raw_done();
}

static void a_message_that_is_none_ends_it(void **state)
{
    (void)state;
    raw_open(EXEC "?command=/bin/cat&stdin=1&stdout=1", CHANNEL_PROTOCOL_V4);
    raw_send("\xff\0", 2);
    run_until(raw.is_closed);
    raw_done();
    wait_until(!atomic_load(&peer.n_running));
}

static void a_client_that_goes_away_stops_the_guest(void **state)
{
    (void)state;
    raw_open(EXEC "?command=/bin/sleep&command=1000&stdin=1&stdout=1", CHANNEL_PROTOCOL_V5);
    wait_until(atomic_load(&peer.n_running) == 1);
    raw_done();
    wait_until(!atomic_load(&peer.n_running));
}

static void sent_for(unsigned ms)
{
    while (run_for(ms))
        ;
}

static void a_guest_that_does_not_read_makes_its_client_wait(void **state)
{
    static char piece[200000];
    struct err e = ERR_INIT;
    int n_waiting = 0;

    (void)state;
    raw_open(EXEC "?command=/bin/sleep&command=1000&stdin=1&stdout=1", CHANNEL_PROTOCOL_V5);
    wait_until(atomic_load(&peer.n_running) == 1);
    for (int i = 0; i < 100; i++)
        n_waiting += websocket_send(raw.w, WEBSOCKET_BINARY, piece, sizeof(piece), &e) > 0;
    sent_for(100);
    /* 20 MB were sent, and most of it waits on this side. */
    assert_true(n_waiting > 80);
    assert_false(raw.is_closed);
    assert_int_equal(websocket_send(raw.w, WEBSOCKET_BINARY, piece, 1, &e), 1);
    /* That it goes away is noticed nevertheless. */
    raw_done();
    wait_until(!atomic_load(&peer.n_running));
}

static void a_client_that_does_not_read_makes_its_guest_wait(void **state)
{
    (void)state;
    raw_open(EXEC "?command=/bin/cat&command=/dev/zero&stdout=1", CHANNEL_PROTOCOL_V5);
    websocket_pause(raw.w);
    sent_for(200);
    assert_true(raw.out[1].len < 1 << 20);
    websocket_resume(raw.w);
    run_until(raw.out[1].len > 10 << 20);
    raw_done();
    wait_until(!atomic_load(&peer.n_running));
}

static void sessions_are_limited(void **state)
{
    struct websocket *others[API_STREAMS_LIMIT];
    struct err e = ERR_INIT;

    (void)state;
    for (size_t i = 0; i < API_STREAMS_LIMIT; i++) {
        raw_open(EXEC "?command=/bin/sleep&command=1000&stdout=1", CHANNEL_PROTOCOL_V5);
        assert_true(raw.is_opened);
        others[i] = raw.w;
    }
    assert_fails(session_fails(&(struct exec_session){.container = "app"}, &e), -EAGAIN,
                 "TooManyRequests");
    assert_contains(e.msg, "64 sessions");
    for (size_t i = 0; i < API_STREAMS_LIMIT; i++)
        websocket_free(others[i]);
    raw.w = NULL;
    raw_done();
    wait_until(!atomic_load(&peer.n_running));
}

static void sessions_end_with_the_agent(void **state)
{
    (void)state;
    raw_open(EXEC "?command=/bin/sleep&command=1000&stdout=1", CHANNEL_PROTOCOL_V5);
    wait_until(atomic_load(&peer.n_running) == 1);
    peer_stop();
    assert_int_equal(atomic_load(&peer.n_running), 0);
    run_until(raw.is_closed);
    raw_done();
    peer_start();
}

/* ---- Terminals ---- */

#define TTY_SHELL EXEC "?tty=1&stdin=1&stdout=1&stderr=1&command=/bin/sh&command=-c&command="
#define SUCCESS   "{\"metadata\":{},\"status\":\"Success\"}"

static void size_say(const char *text)
{
    autobuf message = BUF_INIT;

    buf_addf(&message, "%c%s", CHANNEL_RESIZE, text);
    raw_send(message.data, message.len);
}

static void a_terminal_is_all_three_streams(void **state)
{
    (void)state;
    raw_open(TTY_SHELL "test%20-t%200%20-a%20-t%201%20-a%20-t%202;echo%20$?%20%3E%262;stty%20size"
                       "&size=%7B%22Width%22:97,%22Height%22:31%7D",
             CHANNEL_PROTOCOL_V5);
    run_until(raw.is_closed);
    assert_string_equal(raw.out[1].data, "0\r\n31 97\r\n");
    assert_int_equal(raw.out[2].len, 0);
    assert_string_equal(raw.out[3].data, SUCCESS);
    raw_done();
}

static void the_agent_has_no_controlling_terminal_from_it(void **state)
{
    (void)state;
    raw_open(TTY_SHELL "echo%20x%20%3E/dev/tty%20%7C%7C%20echo%20none", CHANNEL_PROTOCOL_V4);
    run_until(raw.is_closed);
    assert_contains(raw.out[1].data, "none\r\n");
    raw_done();
}

static void the_end_of_input_is_typed(void **state)
{
    (void)state;
    raw_open(TTY_SHELL "cat", CHANNEL_PROTOCOL_V5);
    raw_send("\0begun", 6);
    raw_send("\xff\0", 2);
    run_until(raw.is_closed);
    assert_contains(raw.out[1].data, "begunbegun"); /* once by the echo */
    assert_string_equal(raw.out[3].data, SUCCESS);
    raw_done();
}

static void the_interrupt_character_stops_the_guest(void **state)
{
    (void)state;
    raw_open(TTY_SHELL "exec%20sleep%201000", CHANNEL_PROTOCOL_V4);
    wait_until(atomic_load(&peer.n_running) == 1);
    raw_send("\0abc\3", 5);
    run_until(raw.is_closed);
    assert_contains(raw.out[3].data, "\"ExitCode\",\"message\":\"130\"");
    assert_null(strstr(raw.out[3].data, "Trap"));
    raw_done();
}

static void a_terminal_that_takes_every_key_is_not_interrupted(void **state)
{
    (void)state;
    raw_open(TTY_SHELL "stty%20raw%20-echo;echo%20raw;head%20-c%202%20%7Cod%20-An%20-tx1",
             CHANNEL_PROTOCOL_V4);
    run_until(raw.out[1].len && strstr(raw.out[1].data, "raw"));
    raw_send("\0\3\4", 3);
    run_until(raw.is_closed);
    assert_contains(raw.out[1].data, " 03 04");
    assert_string_equal(raw.out[3].data, SUCCESS);
    raw_done();
}

static void nonsense_for_a_size_changes_none(void **state)
{
    static const char *const bad[] = {
        "",
        "{}",
        "x",
        "[1,2]",
        "{\"Width\":0,\"Height\":24}",
        "{\"Width\":-1,\"Height\":24}",
        "{\"Width\":65536,\"Height\":24}",
        "{\"Width\":99999999999999999999999,\"Height\":24}",
        "{\"Width\":80.5,\"Height\":24}",
        "{\"Width\":\"80\",\"Height\":24}",
        "{\"Width\":80,\"Height\":24,\"Height\":25}",
        "{\"Width\":80,\"Height\":24}{",
    };

    (void)state;
    raw_open(TTY_SHELL "read%20x;stty%20size", CHANNEL_PROTOCOL_V5);
    for (int i = 0; i < 20000; i++)
        size_say(i % 2 ? "{\"Width\":65535,\"Height\":65535}" : "{\"Width\":1,\"Height\":1}");
    size_say("{\"Width\":132,\"Height\":43}");
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        size_say(bad[i]);
    raw_send("\xff\4", 2); /* the channel of sizes ends: it says no more */
    raw_send("\2nobody reads this", 18);
    raw_send("\0\n", 2);
    run_until(raw.is_closed);
    assert_contains(raw.out[1].data, "43 132\r\n");
    assert_string_equal(raw.out[3].data, SUCCESS);
    raw_done();
}

static void a_bad_size_in_the_request_is_refused(void **state)
{
    (void)state;
    raw_open(TTY_SHELL "true&size=80x24", CHANNEL_PROTOCOL_V5);
    assert_false(raw.is_opened);
    assert_string_equal(raw.e.reason, "BadHandshake");
    raw_done();
}

static void a_client_that_does_not_read_its_terminal_makes_the_guest_wait(void **state)
{
    (void)state;
    raw_open(TTY_SHELL "yes%20123456789%20%7C%20head%20-c%204000000", CHANNEL_PROTOCOL_V5);
    websocket_pause(raw.w);
    sent_for(200);
    assert_true(raw.out[1].len < 1 << 20);
    assert_int_equal(atomic_load(&peer.n_running), 1);
    websocket_resume(raw.w);
    run_until(raw.is_closed);
    /* Each \n has become two characters, and none is lost. */
    assert_int_equal(raw.out[1].len, 4400000);
    raw_done();
}

static void an_interrupt_is_seen_behind_what_nobody_reads(void **state)
{
    static char piece[30001];

    (void)state;
    memset(piece + 1, '\n', sizeof(piece) - 1);
    raw_open(TTY_SHELL "stty%20-echo;echo%20begun;exec%20sleep%201000", CHANNEL_PROTOCOL_V5);
    run_until(raw.out[1].len);
    raw_send(piece, sizeof(piece));
    raw_send(piece, sizeof(piece));
    raw_send("\0\3", 2);
    run_until(raw.is_closed);
    assert_contains(raw.out[3].data, "130");
    raw_done();
}

static void a_guest_that_does_not_read_its_terminal_stops_with_its_client(void **state)
{
    static char piece[200000];

    (void)state;
    memset(piece + 1, '\n', sizeof(piece) - 1);
    raw_open(TTY_SHELL "stty%20-echo;echo%20begun;exec%20sleep%201000", CHANNEL_PROTOCOL_V5);
    run_until(raw.out[1].len);
    for (int i = 0; i < 20; i++) {
        struct err e = ERR_INIT;

        websocket_send(raw.w, WEBSOCKET_BINARY, piece, sizeof(piece), &e);
    }
    sent_for(100);
    assert_false(raw.is_closed);
    raw_done();
    wait_until(!atomic_load(&peer.n_running));
}

/* ---- Port-forward ---- */

/* A listener, and a target that forwards to it. */
static int listener(char target[static 256])
{
    struct sockaddr_in at;
    int fd = listen_tcp(&at);

    snprintf(target, 256, FORWARD "?ports=%u", ntohs(at.sin_port));
    return fd;
}

static void a_port_of_the_pod_is_reached(void **state)
{
    char target[256], head[2];
    autofd listening = listener(target), peer_fd = -EBADF;
    autobuf got = BUF_INIT;

    (void)state;
    raw_open(target, CHANNEL_PROTOCOL_FORWARD);
    raw_send("\0ping", 5);
    peer_fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC);
    expect(peer_fd, &got, "ping");
    say(peer_fd, "pong");
    run_until(raw.out[0].len == 6 && raw.out[1].len == 2);
    memcpy(head, raw.out[0].data, 2);
    assert_int_equal((uint8_t)head[0] | (uint8_t)head[1] << 8,
                     strtol(strchr(target, '=') + 1, NULL, 10));
    assert_memory_equal(raw.out[1].data, head, 2);
    assert_string_equal(raw.out[0].data + 2, "pong");
    /* Each side ends its direction, the client first. */
    raw_send("\xff\0", 2);
    expect_end(peer_fd, &got);
    assert_false(raw.is_closed);
    say(peer_fd, " and bye");
    shutdown(peer_fd, SHUT_WR);
    run_until(raw.is_closed);
    assert_true(raw.is_end_told);
    assert_string_equal(raw.out[0].data + 2, "pong and bye");
    assert_int_equal(raw.e.code, 0);
    raw_done();
}

static void with_v4_the_end_of_the_pods_side_ends_it(void **state)
{
    char target[256];
    autofd listening = listener(target);
    int fd;

    (void)state;
    raw_open(target, CHANNEL_PROTOCOL_V4);
    fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC);
    say(fd, "bye");
    close(fd);
    run_until(raw.is_closed);
    assert_false(raw.is_end_told);
    assert_string_equal(raw.out[0].data + 2, "bye");
    raw_done();
}

static void a_port_that_nobody_has_is_told_on_the_channel_of_errors(void **state)
{
    char target[256];
    int listening = listener(target);

    (void)state;
    close(listening);
    raw_open(target, CHANNEL_PROTOCOL_FORWARD);
    run_until(raw.is_closed);
    assert_contains(raw.out[1].data + 2, "pod 'web': the connection to its port ");
    assert_contains(raw.out[1].data + 2, "Connection refused");
    raw_done();
}

static void several_ports_have_their_channels(void **state)
{
    char one[256], another[256], target[512];
    autofd first = listener(one), second = listener(another), fd = -EBADF;
    autobuf got = BUF_INIT;

    (void)state;
    (void)first;
    snprintf(target, sizeof(target), "%s&ports=%s", one, strchr(another, '=') + 1);
    raw_open(target, CHANNEL_PROTOCOL_FORWARD);
    raw_send("\2second", 7);
    fd = accept4(second, NULL, NULL, SOCK_CLOEXEC);
    expect(fd, &got, "second");
    say(fd, "answer");
    run_until(raw.out[2].len == 8);
    assert_string_equal(raw.out[2].data + 2, "answer");
    raw_done();
}

static void ports_of_a_pod_that_does_not_run_are_refused(void **state)
{
    struct agent_request q = {.target = FORWARD "?ports=80"};
    autobuf answer = BUF_INIT;
    struct err e = ERR_INIT;

    (void)state;
    atomic_store(&peer.pod.phase, POD_PENDING);
    assert_fails(agent_client_ask(client, &q, &answer, NULL, &e), -EBUSY, "Conflict");
    assert_contains(e.msg, "not running but Pending");
    q.target = FORWARD "?ports=http";
    assert_fails(agent_client_ask(client, &q, &answer, NULL, &e), -EINVAL, "BadRequest");
}

#define promise(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        promise(output_and_exit_status_come_back),
        promise(input_goes_there_to_its_end),
        promise(all_output_comes_before_the_status),
        promise(why_it_ended_is_told),
        promise(nobody_reading_stops_the_command),
        promise(what_cannot_be_is_told_in_the_agents_words),
        promise(an_agent_that_is_not_there_is_told),
        promise(plain_requests_are_answered),
        promise(a_client_of_v4_is_served),
        promise(a_message_that_is_none_ends_it),
        promise(a_client_that_goes_away_stops_the_guest),
        promise(a_guest_that_does_not_read_makes_its_client_wait),
        promise(a_client_that_does_not_read_makes_its_guest_wait),
        promise(sessions_are_limited),
        promise(sessions_end_with_the_agent),
        promise(a_terminal_is_all_three_streams),
        promise(the_agent_has_no_controlling_terminal_from_it),
        promise(the_end_of_input_is_typed),
        promise(the_interrupt_character_stops_the_guest),
        promise(a_terminal_that_takes_every_key_is_not_interrupted),
        promise(nonsense_for_a_size_changes_none),
        promise(a_bad_size_in_the_request_is_refused),
        promise(a_client_that_does_not_read_its_terminal_makes_the_guest_wait),
        promise(an_interrupt_is_seen_behind_what_nobody_reads),
        promise(a_guest_that_does_not_read_its_terminal_stops_with_its_client),
        promise(a_port_of_the_pod_is_reached),
        promise(with_v4_the_end_of_the_pods_side_ends_it),
        promise(a_port_that_nobody_has_is_told_on_the_channel_of_errors),
        promise(several_ports_have_their_channels),
        promise(ports_of_a_pod_that_does_not_run_are_refused),
    };
    return cmocka_run_group_tests_name("api_exec", tests, NULL, NULL);
}
