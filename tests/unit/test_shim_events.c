/* SPDX-License-Identifier: Apache-2.0 */
/* The publisher against a server of ttrpc that stands for containerd, and against a program. */
#include "sockets.h"

#include <sys/stat.h>

#include "base/fds.h"
#include "shim/events/events.h"
#include "shim/messages/messages.h"
#include "wire/ttrpc.h"

static char *folder, *path;
static struct ttrpc_server *containerd;
static struct events *events;

/* What containerd got. */
static struct {
    char text[64][64]; /* "<topic> <container>" */
    size_t n, stop_at; /* the loop stops at so many */
    bool is_silent;
    const char *refuses; /* this text */
    struct ttrpc_call *held;
} got;

static void note(struct ttrpc_call *call, const char *text)
{
    assert_true(got.n < ARRAY_SIZE(got.text));
    snprintf(got.text[got.n++], sizeof(got.text[0]), "%s", text);
    if (got.is_silent)
        got.held = call;
    else if (got.refuses && str_eq(got.refuses, text))
        ttrpc_call_fail(call, TTRPC_INVALID_ARGUMENT, "not such a one");
    else
        ttrpc_call_answer(call, NULL, 0);
    if (got.n == got.stop_at)
        loop_stop(loop);
}

static void forward(void *ctx, struct ttrpc_call *call, const void *payload, size_t len,
                    uint64_t timeout_ns)
{
    AUTO(arena) a = arena_new();
    struct err e = ERR_INIT;
    Events__ForwardRequest *r = NULL;
    Events__TaskStart *start = NULL;
    (void)ctx;
    assert_true(timeout_ns > 0);
    assert_ok(protobuf_unpack(&events__forward_request__descriptor, (struct text){payload, len}, a,
                              &r, &e));
    assert_string_equal(r->envelope->namespace_, "k8s.io");
    assert_string_equal(r->envelope->event->type_url, "containerd.events.TaskStart");
    uint64_t now_s = clock_realtime_ns() / 1000000000u;
    assert_in_range(r->envelope->timestamp->seconds, now_s - 60, now_s);
    assert_ok(message_any_unpack(r->envelope->event, MESSAGE_TASK_START,
                                 &events__task_start__descriptor, a, &start, &e));
    autofree char *text = xasprintf("%s %s", r->envelope->topic, start->container_id);
    note(call, text);
}

static const struct ttrpc_method methods[] = {
    {"Forward", forward}
};
static const struct ttrpc_service services[] = {
    {"containerd.services.events.ttrpc.v1.Events", methods, 1}
};

static void containerd_start(void)
{
    struct err e = ERR_INIT;
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    unlink(path);
    memcpy(a.sun_path, path, strlen(path));
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    assert_int_equal(listen(fd, 16), 0);
    struct ttrpc_server_options o = {.listen_fd = fd, .services = services, .n_services = 1};
    assert_ok(ttrpc_server_new(loop, &o, &containerd, &e));
}

static void containerd_stop(void)
{
    ttrpc_server_free(take_ptr(containerd));
    if (got.held)
        ttrpc_call_answer(take_ptr(got.held), NULL, 0);
}

static void open_events(size_t queue_limit)
{
    struct err e = ERR_INIT;
    autofree char *address = xasprintf("unix://%s", path);
    struct events_options o = {
        .ttrpc_address = address, .namespace = "k8s.io", .queue_limit = queue_limit};
    assert_ok(events_open(loop, &o, &events, &e));
}

static void publish(const char *container)
{
    autobuf packed = BUF_INIT;
    Events__TaskStart start = EVENTS__TASK_START__INIT;
    start.container_id = (char *)container;
    start.pid = 7;
    protobuf_add(&start.base, &packed);
    events_publish(events, "/tasks/start", MESSAGE_TASK_START, packed.data, packed.len);
}

static void publish_many(int from, int to)
{
    for (int i = from; i < to; i++) {
        autofree char *name = xasprintf("c%02d", i);
        publish(name);
    }
}

struct flush {
    int n;
    struct err e;
};

static void flushed(void *ctx, const struct err *e)
{
    struct flush *f = ctx;
    f->n++;
    if (e)
        f->e = *e;
    loop_stop(loop);
}

static int before(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    memset(&got, 0, sizeof(got));
    assert_ok(loop_open(&loop, &e));
    folder = unit_temp_dir();
    path = xasprintf("%s/s", folder);
    return 0;
}

static int after(void **state)
{
    (void)state;
    events_free(take_ptr(events));
    containerd_stop();
    loop_free(loop);
    unit_remove(folder);
    free(path);
    return 0;
}

static void events_arrive_one_after_another_in_their_order(void **state)
{
    (void)state;
    containerd_start();
    open_events(0);
    publish_many(0, 50);
    got.stop_at = 50;
    run_until(got.n == 50);
    for (int i = 0; i < 50; i++) {
        autofree char *text = xasprintf("/tasks/start c%02d", i);
        assert_string_equal(got.text[i], text);
    }
    assert_int_equal(events_dropped(events), 0);
}

static void events_wait_until_containerd_is_there(void **state)
{
    (void)state;
    open_events(0);
    publish_many(0, 3);
    run_for(20);
    containerd_start();
    got.stop_at = 3;
    run_until(got.n == 3);
    assert_string_equal(got.text[0], "/tasks/start c00");
    assert_string_equal(got.text[2], "/tasks/start c02");
}

static void events_go_on_after_containerd_was_started_again(void **state)
{
    (void)state;
    containerd_start();
    open_events(0);
    publish("before");
    got.stop_at = 1;
    run_until(got.n == 1);
    containerd_stop();
    run_for(5);
    containerd_start();
    publish("after");
    got.stop_at = 2;
    run_until(got.n == 2);
    assert_string_equal(got.text[1], "/tasks/start after");
}

static void an_event_that_was_not_answered_is_sent_again_and_before_the_next(void **state)
{
    (void)state;
    containerd_start();
    open_events(0);
    got.is_silent = true;
    got.stop_at = 1;
    publish_many(0, 2);
    run_until(got.n == 1);
    containerd_stop();
    got.is_silent = false;
    containerd_start();
    got.stop_at = 3;
    run_until(got.n == 3);
    assert_string_equal(got.text[0], "/tasks/start c00");
    assert_string_equal(got.text[1], "/tasks/start c00");
    assert_string_equal(got.text[2], "/tasks/start c01");
}

static void an_event_that_containerd_refuses_does_not_hold_up_the_next(void **state)
{
    (void)state;
    containerd_start();
    open_events(0);
    got.refuses = "/tasks/start c00";
    publish_many(0, 2);
    got.stop_at = 2;
    run_until(got.n == 2);
    assert_string_equal(got.text[1], "/tasks/start c01");
    assert_int_equal(events_dropped(events), 1);
}

static void of_too_many_events_the_oldest_are_dropped_and_counted(void **state)
{
    (void)state;
    open_events(2000);
    publish_many(0, 60);
    uint64_t dropped = events_dropped(events);
    assert_in_range(dropped, 30, 59);
    containerd_start();
    got.stop_at = 60 - dropped;
    run_until(got.n == got.stop_at);
    assert_string_equal(got.text[got.n - 1], "/tasks/start c59");
    run_for(5);
    assert_int_equal(got.n, got.stop_at);
}

static void a_flush_is_told_when_everything_was_taken(void **state)
{
    (void)state;
    struct flush f = {0};
    containerd_start();
    open_events(0);
    publish_many(0, 3);
    events_flush(events, 5000, flushed, &f);
    assert_int_equal(f.n, 0);
    run_until(f.n);
    assert_int_equal(f.e.code, 0);
    assert_int_equal(got.n, 3);
    events_flush(events, 5000, flushed, &f); /* of nothing */
    assert_int_equal(f.n, 1);
    run_until(f.n == 2);
    assert_int_equal(f.e.code, 0);
}

static void a_flush_ends_in_time_without_containerd(void **state)
{
    (void)state;
    struct flush f = {0};
    open_events(0);
    publish("c");
    events_flush(events, 20, flushed, &f);
    run_until(f.n);
    assert_string_equal(f.e.reason, "TimedOut");
}

static void neither_an_address_nor_a_program_is_refused(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    struct events_options o = {.ttrpc_address = "", .namespace = "k8s.io"};
    assert_fails(events_open(loop, &o, &events, &e), -EINVAL, "NoEventAddress");
    assert_null(events);
}

/* ---- By a program ---- */

static void open_binary(const char *script)
{
    struct err e = ERR_INIT;
    autofree char *binary = xasprintf("%s/publish", folder);
    autofree char *text = xasprintf("#!/bin/sh\ncd %s || exit\n%s\n", folder, script);
    assert_ok(file_write(binary, text, strlen(text), 0700, 0, &e));
    struct events_options o = {
        .publish_binary = binary, .address = "/run/c.sock", .namespace = "k8s.io"};
    assert_ok(events_open(loop, &o, &events, &e));
}

static void without_an_address_a_program_gets_each_event_on_its_input(void **state)
{
    (void)state;
    struct flush f = {0};
    struct err e = ERR_INIT;
    autobuf args = BUF_INIT, input = BUF_INIT;
    AUTO(arena) a = arena_new();
    Types__Any *any = NULL;
    Events__TaskStart *start = NULL;
    autofree char *args_path = xasprintf("%s/args", folder);
    autofree char *input_path = xasprintf("%s/input", folder);
    open_binary("echo \"$@\" >>args; cat >input");
    publish("one");
    publish("two");
    events_flush(events, 5000, flushed, &f);
    run_until(f.n);
    assert_int_equal(f.e.code, 0);
    assert_ok(file_read(args_path, 1000, &args, &e));
#define ARGS "--address /run/c.sock publish --topic /tasks/start --namespace k8s.io\n"
    assert_string_equal(buf_str(&args), ARGS ARGS);
    assert_ok(file_read(input_path, 1000, &input, &e));
    assert_ok(protobuf_unpack(&types__any__descriptor, (struct text){input.data, input.len}, a,
                              &any, &e));
    assert_ok(message_any_unpack(any, MESSAGE_TASK_START, &events__task_start__descriptor, a,
                                 &start, &e));
    assert_string_equal(start->container_id, "two");
}

static void a_program_that_fails_is_started_again_for_the_same_event(void **state)
{
    (void)state;
    struct flush f = {0};
    open_binary("mkdir once 2>/dev/null && exit 1; exit 0");
    publish("c");
    events_flush(events, 5000, flushed, &f);
    run_until(f.n);
    assert_int_equal(f.e.code, 0);
    assert_int_equal(events_dropped(events), 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, before, after)
    const struct CMUnitTest tests[] = {
        T(events_arrive_one_after_another_in_their_order),
        T(events_wait_until_containerd_is_there),
        T(events_go_on_after_containerd_was_started_again),
        T(an_event_that_was_not_answered_is_sent_again_and_before_the_next),
        T(an_event_that_containerd_refuses_does_not_hold_up_the_next),
        T(of_too_many_events_the_oldest_are_dropped_and_counted),
        T(a_flush_is_told_when_everything_was_taken),
        T(a_flush_ends_in_time_without_containerd),
        T(neither_an_address_nor_a_program_is_refused),
        T(without_an_address_a_program_gets_each_event_on_its_input),
        T(a_program_that_fails_is_started_again_for_the_same_event),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
