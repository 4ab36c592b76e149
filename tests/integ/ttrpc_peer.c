/* SPDX-License-Identifier: Apache-2.0 */
/* Our side of test_ttrpc_go.py. `ttrpc_peer serve PATH` is a task service of three methods until
 * its standard input ends; `ttrpc_peer publish PATH N` publishes N events of tasks' ends. */
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "shim/events/events.h"
#include "shim/messages/messages.h"
#include "wire/ttrpc.h"

static struct loop *loop;
static struct ttrpc_call *waits[16];
static size_t n_waits;

static void check(int r, const struct err *e)
{
    if (r >= 0)
        return;
    fprintf(stderr, "%s\n", e->msg);
    exit(1);
}

static void state(void *ctx, struct ttrpc_call *call, const void *payload, size_t len,
                  uint64_t timeout_ns)
{
    AUTO(arena) a = arena_new();
    struct err e = ERR_INIT;
    Task__StateRequest *r = NULL;
    (void)ctx, (void)timeout_ns;
    check(protobuf_unpack(&task__state_request__descriptor, (struct text){payload, len}, a, &r, &e),
          &e);
    Types__Timestamp exited_at = message_timestamp(1700000000000000000u);
    Task__StateResponse answer = TASK__STATE_RESPONSE__INIT;
    answer.id = r->id;
    answer.exec_id = r->exec_id;
    answer.pid = 7;
    answer.status = TASK__STATUS__STOPPED;
    answer.exited_at = &exited_at;
    ttrpc_call_answer_message(call, &answer.base);
}

static void wait_end(void *ctx, struct ttrpc_call *call, const void *payload, size_t len,
                     uint64_t timeout_ns)
{
    (void)ctx, (void)payload, (void)len, (void)timeout_ns;
    if (n_waits < ARRAY_SIZE(waits))
        waits[n_waits++] = call;
    else
        ttrpc_call_fail(call, TTRPC_RESOURCE_EXHAUSTED, "too many");
}

static void kill_task(void *ctx, struct ttrpc_call *call, const void *payload, size_t len,
                      uint64_t timeout_ns)
{
    AUTO(arena) a = arena_new();
    struct err e = ERR_INIT;
    Task__KillRequest *r = NULL;
    (void)ctx, (void)timeout_ns;
    check(protobuf_unpack(&task__kill_request__descriptor, (struct text){payload, len}, a, &r, &e),
          &e);
    if (str_eq(r->id, "nobody")) {
        /* With a byte that is no UTF-8, which Go would not take. */
        ttrpc_call_fail(call, TTRPC_NOT_FOUND, "no such task\xff");
        return;
    }
    Task__WaitResponse answer = TASK__WAIT_RESPONSE__INIT;
    answer.exit_status = 128 + r->signal;
    while (n_waits)
        ttrpc_call_answer_message(waits[--n_waits], &answer.base);
    ttrpc_call_answer(call, NULL, 0);
}

static const struct ttrpc_method methods[] = {
    {"State", state    },
    {"Wait",  wait_end },
    {"Kill",  kill_task}
};
static const struct ttrpc_service services[] = {
    {"containerd.task.v2.Task", methods, ARRAY_SIZE(methods)},
    {"containerd.task.v3.Task", methods, ARRAY_SIZE(methods)}
};

static void input(void *ctx, unsigned events)
{
    (void)ctx, (void)events;
    loop_stop(loop);
}

static void serve(const char *path)
{
    struct err e = ERR_INIT;
    struct ttrpc_server *server = NULL;
    struct loop_watch *watch = NULL;
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
    if (bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(fd, 16) < 0)
        check(err_errno(&e, -errno, "BindFailed", "cannot listen at %s", path), &e);
    struct ttrpc_server_options o = {
        .listen_fd = fd, .services = services, .n_services = ARRAY_SIZE(services)};
    check(ttrpc_server_new(loop, &o, &server, &e), &e);
    check(loop_watch_new(loop, STDIN_FILENO, input, NULL, &watch, &e), &e);
    loop_watch_set(watch, LOOP_READABLE);
    puts("listening");
    fflush(stdout);
    loop_run(loop);
    loop_watch_free(watch);
    ttrpc_server_free(server);
    while (n_waits)
        ttrpc_call_answer(waits[--n_waits], NULL, 0);
}

static void flushed(void *ctx, const struct err *e)
{
    (void)ctx;
    if (e)
        check(e->code, e);
    loop_stop(loop);
}

static void publish(const char *path, unsigned n)
{
    struct err e = ERR_INIT;
    AUTO(events) events = NULL;
    struct events_options o = {.ttrpc_address = path, .namespace = "k8s.io"};
    check(events_open(loop, &o, &events, &e), &e);
    for (unsigned i = 0; i < n; i++) {
        autobuf packed = BUF_INIT;
        autofree char *id = xasprintf("c%u", i);
        Types__Timestamp exited_at = message_timestamp(1700000000000000000u);
        Events__TaskExit event = EVENTS__TASK_EXIT__INIT;
        event.container_id = id;
        event.exit_status = i;
        event.exited_at = &exited_at;
        protobuf_add(&event.base, &packed);
        events_publish(events, "/tasks/exit", MESSAGE_TASK_EXIT, packed.data, packed.len);
    }
    events_flush(events, 20000, flushed, NULL);
    loop_run(loop);
}

int main(int argc, char **argv)
{
    struct err e = ERR_INIT;
    if (argc < 3)
        return 2;
    check(loop_open(&loop, &e), &e);
    if (str_eq(argv[1], "serve"))
        serve(argv[2]);
    else
        publish(argv[2], argc > 3 ? (unsigned)strtoul(argv[3], NULL, 10) : 1);
    loop_free(loop);
    return 0;
}
