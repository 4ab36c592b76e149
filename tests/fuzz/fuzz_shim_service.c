/* SPDX-License-Identifier: Apache-2.0 */
/* Any calls with any payloads, as containerd makes them, to a shim that has one container, whose
 * kind does nothing. Whatever they are, each is answered once it can be, and when the container has
 * been deleted nothing is left of it. A bundle that is named does not exist, and nobody ends the
 * shim. seeds_shim_service.py has lives of containers to begin with. */
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "base/log.h"
#include "shim/pod/sandbox.h"
#include "shim/service/service.h"
#include "shim/task/task_parts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CALLS_MAX 64
#define NO_BUNDLE "/nonexistent/wherry"

static const struct shim_flags flags = {.namespace = "fuzz", .id = "c"};
static const struct bootstrap bootstrap = {.version = 2};
static struct shim shim = {.flags = &flags, .bootstrap = &bootstrap, .socket = NO_BUNDLE};
static struct ttrpc_service services[] = {
    {.name = "task",    .methods = task_methods   },
    {.name = "sandbox", .methods = sandbox_methods},
};
static struct ttrpc_client *client;
static size_t n_open;

/* ---- The container ---- */

static void create(struct task *t)
{
    (void)t;
}

static void start(struct process *p)
{
    process_started(p, NULL, 2);
}

static void signal_send(struct process *p, int number, bool is_all, task_done *done, void *ctx)
{
    (void)is_all;
    if (number == SIGKILL && !p->is_ended)
        process_ended(p, W_EXITCODE(0, SIGKILL));
    done(ctx, NULL);
}

static void clean(struct process *p)
{
    process_cleaned(p, NULL);
}

static void pause_set(struct task *t, bool is_paused, task_done *done, void *ctx)
{
    (void)t, (void)is_paused;
    done(ctx, NULL);
}

static void update(struct task *t, const char *json, size_t len, task_done *done, void *ctx)
{
    (void)t, (void)json, (void)len;
    done(ctx, NULL);
}

static const struct task_ops ops = {.create = create,
                                    .start = start,
                                    .signal = signal_send,
                                    .clean = clean,
                                    .pause = pause_set,
                                    .update = update};

static void container_add(bool is_running)
{
    struct process_streams streams = {.in = xstrdup(""), .out = xstrdup(""), .err = xstrdup("")};
    struct task *t = xcalloc(1, sizeof(*t));

    *t = (struct task){.shim = &shim,
                       .id = xstrdup("c"),
                       .bundle = xstrdup(NO_BUNDLE),
                       .bundle_fd = -EBADF,
                       .root_fd = -EBADF,
                       .kind = RECORD_GUEST,
                       .ops = &ops};
    process_init(&t->init, t, &streams);
    link_init(&t->in_shim);
    link_init(&t->execs);
    link_append(&shim.tasks, &t->in_shim);
    t->init.state = is_running ? PROCESS_RUNNING : PROCESS_CREATED;
    t->init.pid = 1;
}

/* ---- Calls ---- */

static void answered(void *ctx, const struct err *e, const void *payload, size_t len)
{
    bool *ret_is_answered = ctx;

    (void)payload, (void)len;
    BUG_ON(e && (str_eq(e->reason, "ConnectionLost") || !*e->msg));
    if (ret_is_answered)
        *ret_is_answered = true;
    n_open--;
    loop_stop(shim.loop);
}

static void call(const struct ttrpc_service *s, size_t method, const void *payload, size_t len)
{
    struct ttrpc_request r = {
        .service = s->name, .method = s->methods[method].name, .payload = payload, .len = len};

    n_open++;
    ttrpc_client_call(client, &r, answered, NULL);
}

/* Until what was sent before has been taken. */
static void calls_take(void)
{
    struct ttrpc_request r = {.service = "task", .method = "Connect"};
    bool is_answered = false;

    n_open++;
    ttrpc_client_call(client, &r, answered, &is_answered);
    while (!is_answered)
        loop_run(shim.loop);
}

/* What would be made, or taken apart, is not there. */
static void bundle_replace(const char *method, struct buf *payload)
{
    AUTO(arena) a = arena_new();
    struct text in = {payload->data, payload->len};
    struct err e = ERR_INIT;
    Task__CreateTaskRequest *task;
    Sandbox__CreateSandboxRequest *sandbox;
    ProtobufCMessage *m;

    if (str_eq(method, "Create")) {
        if (protobuf_unpack(&task__create_task_request__descriptor, in, a, &task, &e) < 0)
            return;
        task->bundle = (char *)(*task->bundle ? NO_BUNDLE : "");
        m = &task->base;
    } else {
        if (protobuf_unpack(&sandbox__create_sandbox_request__descriptor, in, a, &sandbox, &e) < 0)
            return;
        sandbox->bundle_path = (char *)NO_BUNDLE;
        m = &sandbox->base;
    }
    buf_clear(payload);
    protobuf_add(m, payload);
}

static void call_any(uint8_t which, const uint8_t *data, size_t len)
{
    size_t n = n_task_methods + n_sandbox_methods, i = which % n;
    const struct ttrpc_service *s = &services[i >= n_task_methods];
    size_t method = i >= n_task_methods ? i - n_task_methods : i;
    const char *name = s->methods[method].name;
    autobuf payload = BUF_INIT;

    if (str_starts(name, "Shutdown"))
        return;
    buf_add(&payload, data, len);
    if (str_starts(name, "Create"))
        bundle_replace(name, &payload);
    call(s, method, payload.data, payload.len);
}

/* ---- The shim ---- */

static void setup(void)
{
    char path[] = "/tmp/fuzz_shim_XXXXXX";
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    struct ttrpc_server_options o = {
        .services = services, .n_services = ARRAY_SIZE(services), .ctx = &shim};
    struct events_options events = {.ttrpc_address = NO_BUNDLE, .namespace = "fuzz"};
    struct ttrpc_client_options c = {.path = a.sun_path};
    struct err e = ERR_INIT;

    log_level_set(LOG_LEVEL_ERROR);
    services[0].n_methods = n_task_methods;
    services[1].n_methods = n_sandbox_methods;
    link_init(&shim.tasks);
    shim.pod = SHIM_POD_INIT;
    BUG_ON(!mkdtemp(path) || loop_open(&shim.loop, &e) < 0);
    snprintf(a.sun_path, sizeof(a.sun_path), "%s/s", path);
    o.listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    BUG_ON(bind(o.listen_fd, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(o.listen_fd, 1) < 0);
    BUG_ON(events_open(shim.loop, &events, &shim.events, &e) < 0);
    BUG_ON(ttrpc_server_new(shim.loop, &o, &shim.server, &e) < 0);
    BUG_ON(ttrpc_client_new(shim.loop, &c, &client, &e) < 0);
    unlink(a.sun_path);
    rmdir(path);
}

static void deleted(void *ctx, const struct err *e)
{
    (void)ctx;
    BUG_ON(e);
    n_open--;
    loop_stop(shim.loop);
}

/* Ends and deletes the container if no call did, and waits for what is going. */
static void wind_up(void)
{
    struct task *t;

    calls_take();
    t = task_find(&shim, "c");
    if (t && t->init.state == PROCESS_RUNNING)
        process_ended(&t->init, 0);
    if (t && t->init.state != PROCESS_NEW && !t->init.done) {
        n_open++;
        process_delete(&t->init, deleted, NULL);
    }
    while (n_open || !link_is_empty(&shim.tasks))
        loop_run(shim.loop);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t at = 1;

    if (size < 1)
        return 0;
    if (!shim.loop)
        setup();
    container_add(data[0] & 1);
    /* The number of a method, a length, and so many bytes. */
    for (size_t i = 0; i < CALLS_MAX && at + 2 <= size; i++) {
        size_t len = data[at + 1] < size - at - 2 ? data[at + 1] : size - at - 2;

        call_any(data[at], data + at + 2, len);
        at += 2 + len;
    }
    wind_up();
    return 0;
}
