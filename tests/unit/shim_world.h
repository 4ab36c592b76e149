/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The shim's service with tasks whose kind is a fake (struct task_ops): the test says when, and
 * how, what a runtime or a guest would do comes to its end. All else is real: calls come over
 * ttrpc, the container has a bundle, and a ttrpc server of the test takes the events as containerd
 * does.
 */
#include "sockets.h"

#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/fds.h"
#include "base/paths.h"
#include "shim/messages/messages.h"
#include "shim/pod/sandbox.h"
#include "shim/service/service.h"
#include "shim/task/task_parts.h"

/* ---- The kind ---- */

enum fake_op { FAKE_CREATE, FAKE_START, FAKE_SIGNAL, FAKE_CLEAN, FAKE_PAUSE, FAKE_OPS };

static struct {
    bool holds[FAKE_OPS], fails[FAKE_OPS];
    struct process *held[FAKE_OPS]; /* whose operation waits for fake_release() */
    task_done *done[FAKE_OPS];
    void *ctx[FAKE_OPS];
    struct process *ending[8];
    size_t n_ending;
    char signals[256]; /* "c:15 x:9 " */
    pid_t pid;
} fake;

static inline const struct err *fake_error(enum fake_op op)
{
    static struct err e;

    if (!fake.fails[op])
        return NULL;
    err_set(&e, -EIO, "FakeFailed", "the fake has failed");
    return &e;
}

static inline void fake_finish(enum fake_op op, struct process *p)
{
    const struct err *e = fake_error(op);

    if (op == FAKE_CREATE)
        process_created(p, e, ++fake.pid);
    else if (op == FAKE_START)
        process_started(p, e, e ? 0 : ++fake.pid);
    else if (op == FAKE_CLEAN)
        process_cleaned(p, e);
    else {
        struct task *t = p->task;

        fake.done[op](fake.ctx[op], e);
        task_chore_end(t);
    }
}

static inline void fake_begin(enum fake_op op, struct process *p)
{
    if (fake.holds[op])
        fake.held[op] = p;
    else
        fake_finish(op, p);
}

static inline void fake_release(enum fake_op op)
{
    fake.holds[op] = false;
    if (fake.held[op])
        fake_finish(op, take_ptr(fake.held[op]));
}

static inline void fake_create(struct task *t)
{
    fake_begin(FAKE_CREATE, &t->init);
}

static inline void fake_start(struct process *p)
{
    fake_begin(FAKE_START, p);
}

static inline void fake_clean(struct process *p)
{
    fake_begin(FAKE_CLEAN, p);
}

static inline void fake_end_next(void *ctx)
{
    struct process *p = fake.ending[--fake.n_ending];

    (void)ctx;
    if (!p->is_ended)
        process_ended(p, W_EXITCODE(0, SIGKILL));
    loop_stop(loop);
}

static inline void fake_chore(enum fake_op op, struct process *p, task_done *done, void *ctx)
{
    task_chore_begin(p->task);
    fake.done[op] = done;
    fake.ctx[op] = ctx;
    fake_begin(op, p);
}

/* A kill ends the process in another round of the loop. */
static inline void fake_signal(struct process *p, int number, bool is_all, task_done *done,
                               void *ctx)
{
    size_t len = strlen(fake.signals);

    (void)is_all;
    snprintf(fake.signals + len, sizeof(fake.signals) - len, "%s:%d ", process_name(p), number);
    if (number == SIGKILL && !fake.fails[FAKE_SIGNAL]) {
        for (size_t i = 0; i < fake.n_ending; i++)
            assert_ptr_not_equal(fake.ending[i], p);
        fake.ending[fake.n_ending++] = p;
        loop_defer(loop, fake_end_next, NULL);
    }
    if (fake.holds[FAKE_SIGNAL])
        fake_chore(FAKE_SIGNAL, p, done, ctx);
    else
        done(ctx, fake_error(FAKE_SIGNAL));
}

static inline void fake_pause(struct task *t, bool is_paused, task_done *done, void *ctx)
{
    (void)is_paused;
    fake_chore(FAKE_PAUSE, &t->init, done, ctx);
}

static inline void fake_update(struct task *t, const char *json, size_t len, task_done *done,
                               void *ctx)
{
    (void)t;
    (void)json;
    (void)len;
    done(ctx, NULL);
}

/* In the place of the library's own, which are not linked. */
#define FAKE                                                                                       \
    {                                                                                              \
        .create = fake_create, .start = fake_start, .signal = fake_signal, .clean = fake_clean,    \
        .pause = fake_pause, .update = fake_update                                                 \
    }
const struct task_ops task_guest_ops = FAKE, task_native_ops = FAKE, task_sandbox_ops = FAKE;

int task_guest_claim(struct task *t, struct err *e)
{
    (void)t;
    (void)e;
    return 0;
}

int task_guest_prepare(struct task *t, struct err *e)
{
    (void)t;
    (void)e;
    return 0;
}

bool task_guest_is_gone(const struct process *p)
{
    (void)p;
    return true;
}

/* ---- containerd: takes events ---- */

static struct {
    char *folder, *bundle, *socket;
    struct ttrpc_server *containerd;
    struct ttrpc_client *client;
    struct shim shim;
    struct shim_flags flags;
    char about[64];  /* for messages: what is tried */
    struct buf told; /* "create c, start c, exit c/x 137, " */
} world;

static inline void world_told_exit(const Types__Any *any, struct arena *a)
{
    Events__TaskExit *m;
    struct err e = ERR_INIT;

    assert_ok(
        message_any_unpack(any, MESSAGE_TASK_EXIT, &events__task_exit__descriptor, a, &m, &e));
    assert_non_null(m->exited_at);
    buf_addf(&world.told, "exit %s %u", m->id, m->exit_status);
}

static inline void world_forward(void *ctx, struct ttrpc_call *call, const void *payload,
                                 size_t len, uint64_t timeout_ns)
{
    AUTO(arena) a = arena_new();
    struct err e = ERR_INIT;
    Events__ForwardRequest *r;
    /* The container's id is the first field of each. */
    Events__TaskOOM *any;

    (void)ctx;
    (void)timeout_ns;
    assert_ok(protobuf_unpack(&events__forward_request__descriptor, (struct text){payload, len}, a,
                              &r, &e));
    if (str_eq(r->envelope->topic, "/tasks/exit")) {
        world_told_exit(r->envelope->event, a);
    } else {
        assert_ok(protobuf_unpack(
            &events__task_oom__descriptor,
            (struct text){(char *)r->envelope->event->value.data, r->envelope->event->value.len}, a,
            &any, &e));
        buf_addf(&world.told, "%s %s", path_base(r->envelope->topic), any->container_id);
    }
    buf_addf(&world.told, ", ");
    ttrpc_call_answer(call, NULL, 0);
    loop_stop(loop);
}

static const struct ttrpc_method world_forward_methods[] = {
    {"Forward", world_forward}
};
static const struct ttrpc_service world_events_service[] = {
    {"containerd.services.events.ttrpc.v1.Events", world_forward_methods, 1}
};
#define TASKS     "containerd.task.v2.Task"
#define SANDBOXES "containerd.runtime.sandbox.v1.Sandbox"
static struct ttrpc_service world_services[] = {
    {TASKS,     task_methods,    0},
    {SANDBOXES, sandbox_methods, 0},
};

static inline struct ttrpc_server *
world_serve(const char *path, const struct ttrpc_service *services, size_t n, void *ctx)
{
    struct ttrpc_server_options o = {.services = services, .n_services = n, .ctx = ctx};
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    struct ttrpc_server *s = NULL;
    struct err e = ERR_INIT;

    o.listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    memcpy(a.sun_path, path, strlen(path));
    assert_int_equal(bind(o.listen_fd, (struct sockaddr *)&a, sizeof(a)), 0);
    assert_int_equal(listen(o.listen_fd, 16), 0);
    assert_ok(ttrpc_server_new(loop, &o, &s, &e));
    return s;
}

static inline void world_bundle(void)
{
    static const char config[] =
        "{\"ociVersion\":\"1.0.2\",\"root\":{\"path\":\"rootfs\"},"
        "\"process\":{\"args\":[\"/app\"],\"cwd\":\"/\",\"user\":{\"uid\":0,\"gid\":0}}}";
    autofree char *rootfs = NULL, *path = NULL, *app = NULL;
    struct err e = ERR_INIT;

    world.bundle = path_join(world.folder, "b");
    rootfs = path_join(world.bundle, "rootfs");
    path = path_join(world.bundle, "config.json");
    assert_ok(path_mkdir_p(rootfs, 0711, &e));
    assert_ok(file_write(path, config, sizeof(config) - 1, 0600, 0, &e));
    app = path_join(rootfs, "app");
    assert_ok(file_write(app, "#!/bin/sh\n", 10, 0755, 0, &e));
}

static inline void world_open(void)
{
    autofree char *address = NULL;
    struct ttrpc_client_options c = {0};
    struct events_options o = {.namespace = "k8s.io"};
    struct err e = ERR_INIT;

    memset(&fake, 0, sizeof(fake));
    memset(&world, 0, sizeof(world));
    fake.pid = 1000;
    assert_ok(loop_open(&loop, &e));
    world.folder = unit_temp_dir();
    world_bundle();
    address = path_join(world.folder, "events");
    world.socket = path_join(world.folder, "shim");
    world.containerd = world_serve(address, world_events_service, 1, NULL);
    o.ttrpc_address = address;
    world.flags = (struct shim_flags){.namespace = "k8s.io", .id = "c"};
    world.shim = (struct shim){.loop = loop, .flags = &world.flags, .socket = world.socket};
    link_init(&world.shim.tasks);
    assert_ok(events_open(loop, &o, &world.shim.events, &e));
    world_services[0].n_methods = n_task_methods;
    world_services[1].n_methods = n_sandbox_methods;
    world.shim.server =
        world_serve(world.socket, world_services, ARRAY_SIZE(world_services), &world.shim);
    c.path = world.socket;
    assert_ok(ttrpc_client_new(loop, &c, &world.client, &e));
}

static inline void world_close(void)
{
    assert_true(link_is_empty(&world.shim.tasks));
    ttrpc_client_free(world.client);
    ttrpc_server_free(world.shim.server);
    events_free(world.shim.events);
    loop_timer_free(world.shim.tidy);
    ttrpc_server_free(world.containerd);
    loop_free(loop);
    buf_done(&world.told);
    free(world.bundle);
    free(world.socket);
    unit_remove(world.folder);
}

/* ---- Calls ---- */

#define OK      ""
#define OPEN    "(open)"
#define EXISTS  "AlreadyExists"
#define MISSING "NotFound"
#define REFUSED "FailedPrecondition"
#define FAILED  "Internal" /* what the fake fails with */

struct answer {
    char what[32]; /* OPEN, OK, or the name of the code */
    struct buf payload;
};

static inline void answered(void *ctx, const struct err *e, const void *payload, size_t len)
{
    struct answer *a = ctx;

    snprintf(a->what, sizeof(a->what), "%s", e ? e->reason : OK);
    if (!e)
        buf_add(&a->payload, payload, len);
    loop_stop(loop);
}

static inline void call_of(const char *service, const char *method, const ProtobufCMessage *m,
                           struct answer *ret)
{
    autobuf packed = BUF_INIT;
    struct ttrpc_request r = {.service = service, .method = method};

    protobuf_add(m, &packed);
    r.payload = packed.data;
    r.len = packed.len;
    snprintf(ret->what, sizeof(ret->what), "%s", OPEN);
    ret->payload = BUF_INIT;
    ttrpc_client_call(world.client, &r, answered, ret);
}

static inline void call(const char *method, const ProtobufCMessage *m, struct answer *ret)
{
    call_of(TASKS, method, m, ret);
}

static inline bool is_open(const struct answer *a)
{
    return str_eq(a->what, OPEN);
}

/* Calls are taken in their order: whatever was to be said at once to those before was said. */
static inline void calls_handled(void)
{
    Task__ConnectRequest m = TASK__CONNECT_REQUEST__INIT;
    struct answer a;

    m.id = (char *)"nobody";
    call("Connect", &m.base, &a);
    run_until(!is_open(&a));
    assert_string_equal(a.what, MISSING);
}

/* What a call with no more than ids is answered. */
static inline void ask_of(const char *id, const char *method, const char *exec_id,
                          struct answer *ret)
{
    /* All of these have the ids as their fields 1 and 2. */
    Task__StartRequest m = TASK__START_REQUEST__INIT;

    m.id = (char *)(uintptr_t)id;
    m.exec_id = (char *)(exec_id ? exec_id : "");
    call(method, &m.base, ret);
}

static inline void ask(const char *method, const char *exec_id, struct answer *ret)
{
    ask_of("c", method, exec_id, ret);
}

static inline void ask_create(struct answer *ret)
{
    Task__CreateTaskRequest m = TASK__CREATE_TASK_REQUEST__INIT;

    m.id = (char *)"c";
    m.bundle = world.bundle;
    call("Create", &m.base, ret);
}

static inline void ask_exec(struct answer *ret)
{
    static const char spec[] = "{\"args\":[\"/app\"],\"cwd\":\"/\",\"user\":{\"uid\":0,\"gid\":0}}";
    Task__ExecProcessRequest m = TASK__EXEC_PROCESS_REQUEST__INIT;
    Types__Any any = TYPES__ANY__INIT;

    any.value.data = (uint8_t *)(uintptr_t)spec;
    any.value.len = sizeof(spec) - 1;
    m.id = (char *)"c";
    m.exec_id = (char *)"x";
    m.spec = &any;
    call("Exec", &m.base, ret);
}

static inline void ask_kill(const char *exec_id, uint32_t number, struct answer *ret)
{
    Task__KillRequest m = TASK__KILL_REQUEST__INIT;

    m.id = (char *)"c";
    m.exec_id = (char *)(exec_id ? exec_id : "");
    m.signal = number;
    call("Kill", &m.base, ret);
}

static inline void ask_update(struct answer *ret)
{
    Task__UpdateTaskRequest m = TASK__UPDATE_TASK_REQUEST__INIT;
    Types__Any any = TYPES__ANY__INIT;

    any.value.data = (uint8_t *)(uintptr_t) "{}";
    any.value.len = 2;
    m.id = (char *)"c";
    m.resources = &any;
    call("Update", &m.base, ret);
}

static inline void ask_named(const char *method, const char *exec_id, struct answer *ret)
{
    if (str_eq(method, "Create"))
        ask_create(ret);
    else if (str_eq(method, "Exec"))
        ask_exec(ret);
    else if (str_eq(method, "Kill"))
        ask_kill(exec_id, SIGTERM, ret);
    else if (str_eq(method, "Update"))
        ask_update(ret);
    else
        ask(method, exec_id, ret);
}

static inline void expect_answer(struct answer *a, const char *what)
{
    if (str_eq(what, OPEN))
        calls_handled();
    else
        run_until(!is_open(a));
    if (!str_eq(a->what, what))
        fail_msg("%s: the answer was '%s' and not '%s'", world.about, a->what, what);
}

static inline void must(const char *method, const char *exec_id)
{
    struct answer a;

    ask_named(method, exec_id, &a);
    expect_answer(&a, OK);
    buf_done(&a.payload);
}

static inline void must_fail(const char *method, const char *exec_id, const char *what)
{
    struct answer a;

    ask_named(method, exec_id, &a);
    expect_answer(&a, what);
}

static inline Task__Status status_now(const char *exec_id, uint32_t *ret_exit)
{
    AUTO(arena) arena = arena_new();
    Task__StateResponse *m;
    struct err e = ERR_INIT;
    struct answer a;

    ask("State", exec_id, &a);
    expect_answer(&a, OK);
    assert_ok(protobuf_unpack(&task__state_response__descriptor,
                              (struct text){a.payload.data, a.payload.len}, arena, &m, &e));
    buf_done(&a.payload);
    if (ret_exit)
        *ret_exit = m->exit_status;
    return m->status;
}

static inline struct process *process_now(const char *exec_id)
{
    struct process *p = task_process(task_find(&world.shim, "c"), exec_id);

    assert_non_null(p);
    return p;
}

/* A process ends by itself. */
static inline void end(const char *exec_id, int status)
{
    process_ended(process_now(exec_id), W_EXITCODE(status, 0));
}

static inline void expect_told(const char *what)
{
    run_until(world.told.len >= strlen(what));
    assert_string_equal(buf_str(&world.told), what);
}

/* Whatever was asked for: the fake does it, and the container ends and is deleted. */
static inline void wind_up(void)
{
    struct task *t;
    struct answer a = {0};

    memset(fake.fails, 0, sizeof(fake.fails));
    for (int op = 0; op < FAKE_OPS; op++)
        fake_release((enum fake_op)op);
    calls_handled();
    while ((t = task_find(&world.shim, "c"))) {
        if (t->init.state == PROCESS_RUNNING)
            end(NULL, 0);
        if (t->init.done || t->init.state == PROCESS_NEW) {
            run_for(5);
            continue;
        }
        ask("Delete", NULL, &a);
        expect_answer(&a, OK);
        buf_done(&a.payload);
    }
}
