/* SPDX-License-Identifier: Apache-2.0 */
/* Native containers: an installed OCI runtime does the work. */
#include <signal.h>

#include "base/log.h"
#include "shim/events/publish.h"
#include "shim/task/task_parts.h"

static struct process *process_of(struct task *t, const char *exec_id)
{
    return exec_id ? task_process(t, exec_id) : &t->init;
}

static const struct err *failure(const struct err *e)
{
    return e->code ? e : NULL;
}

static void others_killed(void *ctx, const struct err *e)
{
    struct task *t = ctx;

    if (failure(e))
        log_warn("%s: %s", t->id, e->msg);
    if (!t->init.is_ended)
        process_ended(&t->init, t->native_status);
}

/* What is in no PID namespace of the container's does not end with its first process; it is gone
 * before that one's end is told. */
static void native_ended(void *ctx, const char *exec_id, int status)
{
    struct task *t = ctx;
    struct process *p = process_of(t, exec_id);

    if (!p || p->is_ended)
        return;
    if (exec_id || task_pid_is_private(t) || t->is_dead || p->state == PROCESS_NEW) {
        process_ended(p, status);
        return;
    }
    t->native_status = status;
    native_kill(t->native, SIGKILL, true, others_killed, t);
}

static struct native_stdio streams_of(const struct process *p)
{
    struct native_stdio io = {.is_terminal = p->streams.has_terminal};

    stdio_fds(p->stdio, io.fds);
    return io;
}

/* The terminal's other side, once the runtime has made it. */
static int console_take(struct process *p, int console_fd, struct err *e)
{
    stdio_started(p->stdio);
    if (console_fd < 0)
        return 0;
    return stdio_console_set(p->stdio, console_fd, e);
}

static void created(void *ctx, const struct err *e, pid_t pid, int console_fd)
{
    struct task *t = ctx;
    struct err failed = ERR_INIT;

    if (!failure(e))
        console_take(&t->init, console_fd, &failed);
    /* What it made, to be measured. */
    if (!failure(e) && !failed.code && cgroup_open_pid(pid, &t->cgroup, &failed) < 0) {
        log_warn("%s: %s", t->id, failed.msg);
        failed = ERR_INIT;
    }
    /* What the runtime has by that name is another's, and stays. */
    if (failure(e) && str_eq(e->reason, "AlreadyExists")) {
        failed = *e;
        native_free(take_ptr(t->native));
        e = &failed;
    }
    process_created(&t->init, failure(e) ? e : failure(&failed), pid);
}

static int native_open(struct task *t, struct err *e)
{
    autofree char *root = record_runtime_root(t->options.runtime_root, t->shim->flags->namespace);
    struct native_options o = {.loop = t->shim->loop,
                               .runtime = t->options.runtime,
                               .root = root,
                               .is_systemd_cgroup = t->options.has_systemd_cgroup,
                               .no_pivot_root = t->options.no_pivot_root,
                               .no_new_keyring = t->options.no_new_keyring,
                               .ended = native_ended,
                               .ctx = t};

    return native_new(&o, t->id, t->bundle, &t->native, e);
}

static void create(struct task *t)
{
    struct native_stdio io = streams_of(&t->init);
    struct err e = ERR_INIT;

    if (task_pid_prepare(t, &e) < 0 || native_open(t, &e) < 0)
        process_created(&t->init, &e, 0);
    else
        native_create(t->native, &io, created, t);
}

/* ---- Start ---- */

static void started(void *ctx, const struct err *e)
{
    struct process *p = ctx;

    process_started(p, failure(e), p->pid);
}

static void exec_started(void *ctx, const struct err *e, pid_t pid, int console_fd)
{
    struct process *p = ctx;
    struct err failed = ERR_INIT;

    if (!failure(e) && console_take(p, console_fd, &failed) < 0)
        native_exec_kill(p->task->native, p->exec_id, SIGKILL, &(struct err){0});
    process_started(p, failure(e) ? e : failure(&failed), pid);
}

static void exec_streams_opened(void *ctx, const struct err *e)
{
    struct process *p = ctx;
    struct native_stdio io;

    if (e) {
        process_started(p, e, 0);
        return;
    }
    io = streams_of(p);
    native_exec(p->task->native, p->exec_id, p->spec_json.data, p->spec_json.len, &io, exec_started,
                p);
}

static void start(struct process *p)
{
    if (p->exec_id)
        task_stdio_open(p, exec_streams_opened, p);
    else
        native_start(p->task->native, started, p);
}

/* ---- What else ---- */

/* An answer that goes on to somebody with the convention of tasks. */
struct relay {
    struct task *task;
    task_done *done;
    void *ctx;
};

static struct relay *relay_new(struct task *t, task_done *done, void *ctx)
{
    struct relay *r = xcalloc(1, sizeof(*r));

    *r = (struct relay){.task = t, .done = done, .ctx = ctx};
    task_chore_begin(t);
    return r;
}

static void relayed(void *ctx, const struct err *e)
{
    struct relay r = *(struct relay *)ctx;

    free(ctx);
    r.done(r.ctx, failure(e));
    task_chore_end(r.task);
}

static void signal_send(struct process *p, int number, bool is_all, task_done *done, void *ctx)
{
    struct err e = ERR_INIT;

    if (!p->exec_id) {
        native_kill(p->task->native, number, is_all, relayed, relay_new(p->task, done, ctx));
        return;
    }
    native_exec_kill(p->task->native, p->exec_id, number, &e);
    done(ctx, failure(&e));
}

static void deleted(void *ctx, const struct err *e)
{
    struct task *t = ctx;
    struct err failed = *e;

    if (!failed.code)
        native_free(take_ptr(t->native));
    process_cleaned(&t->init, failure(&failed));
}

static void clean(struct process *p)
{
    if (p->exec_id || !p->task->native)
        process_cleaned(p, NULL);
    else
        native_delete(p->task->native, true, deleted, p->task);
}

static void pause_set(struct task *t, bool is_paused, task_done *done, void *ctx)
{
    if (is_paused)
        native_pause(t->native, relayed, relay_new(t, done, ctx));
    else
        native_resume(t->native, relayed, relay_new(t, done, ctx));
}

static void update(struct task *t, const char *json, size_t len, task_done *done, void *ctx)
{
    native_update(t->native, json, len, relayed, relay_new(t, done, ctx));
}

const struct task_ops task_native_ops = {.create = create,
                                         .start = start,
                                         .signal = signal_send,
                                         .clean = clean,
                                         .pause = pause_set,
                                         .update = update};
