/* SPDX-License-Identifier: Apache-2.0 */
/* The life of a process of a task: started, ended, waited for, deleted. */
#include <signal.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/log.h"
#include "shim/events/publish.h"
#include "shim/task/task_parts.h"

const char *process_name(const struct process *p)
{
    return p->exec_id ? p->exec_id : p->task->id;
}

void process_init(struct process *p, struct task *t, struct process_streams *streams)
{
    *p = (struct process){.task = t, .code_fd = -EBADF, .entry = {.fd = -EBADF}};
    p->streams = *streams;
    *streams = (struct process_streams){0};
    link_init(&p->in_task);
    link_init(&p->waits);
}

void process_done(struct process *p)
{
    BUG_ON(!link_is_empty(&p->waits));
    link_remove(&p->in_task);
    stdio_free(take_ptr(p->stdio));
    entrypoint_done(&p->entry);
    close_cleanup_(&p->code_fd);
    process_streams_done(&p->streams);
    oci_process_done(&p->spec);
    buf_done(&p->spec_json);
    free(p->exec_id);
}

/* ---- Operations ---- */

bool process_begin(struct process *p, task_done *done, void *ctx)
{
    struct err e = ERR_INIT;

    if (p->done) {
        err_set(&e, -EBUSY, "Busy", "another operation on '%s' is under way", process_name(p));
        done(ctx, &e);
        return false;
    }
    p->done = done;
    p->done_ctx = ctx;
    return true;
}

void process_finish(struct process *p, const struct err *e)
{
    task_done *done = p->done;

    p->done = NULL;
    done(p->done_ctx, e);
    if (p->exec_id)
        task_settle(p->task);
}

void process_waits_tell(struct process *p)
{
    struct process_wait *w;

    while ((w = LINK_FIRST(&p->waits, struct process_wait, link))) {
        link_remove(&w->link);
        w->ended(w, p);
    }
}

/* ---- Streams ---- */

static void streams_over(void *ctx)
{
    struct process *p = ctx;

    stdio_free(take_ptr(p->stdio));
    if (p->is_deleting && (p->exec_id || !p->task->is_delete_waiting))
        p->task->ops->clean(p);
}

/* Whoever reads its output sees the end of that only then, and may wait for it before the Delete.
 */
static void streams_end(struct process *p)
{
    if (!p->stdio || p->is_streams_ending)
        return;
    p->is_streams_ending = true;
    stdio_end(p->stdio, streams_over, p);
}

/* ---- Start ---- */

static int startable_check(const struct process *p, struct err *e)
{
    enum process_state wanted = p->exec_id ? PROCESS_NEW : PROCESS_CREATED;

    if (p->exec_id && p->task->init.state != PROCESS_RUNNING)
        return err_set(e, -EPERM, "WrongState", "the container '%s' does not run", p->task->id);
    /* It would be frozen before it has begun, and its start never be answered. */
    if (p->exec_id && (p->task->is_paused || p->task->is_pausing))
        return err_set(e, -EPERM, "WrongState", "the container '%s' is paused; resume it first",
                       p->task->id);
    if (p->state != wanted || p->is_ended)
        return err_set(e, -EPERM, "WrongState", "'%s' was started already, or has ended",
                       process_name(p));
    return 0;
}

void process_start(struct process *p, task_done *done, void *ctx)
{
    struct err e = ERR_INIT;

    if (!process_begin(p, done, ctx))
        return;
    if (startable_check(p, &e) < 0) {
        process_finish(p, &e);
        return;
    }
    p->state = PROCESS_STARTING;
    p->task->ops->start(p);
}

static void ignored(void *ctx, const struct err *e)
{
    (void)ctx;
    (void)e;
}

static void exec_kill(struct process *p)
{
    p->task->ops->signal(p, SIGKILL, false, ignored, NULL);
}

void process_started(struct process *p, const struct err *e, pid_t pid)
{
    if (e && p->exec_id) {
        /* It can only be deleted. */
        streams_end(p);
        p->state = PROCESS_STOPPED;
        p->exit_status = 255;
        p->exited_at_ns = clock_realtime_ns();
        process_waits_tell(p);
        process_finish(p, e);
        return;
    }
    if (e) {
        /* Its end, if it has not come, follows. */
        p->state = PROCESS_CREATED;
        process_finish(p, e);
        if (p->is_ended)
            process_end_tell(p);
        return;
    }
    p->pid = pid;
    p->state = PROCESS_RUNNING;
    if (p->stdio && (p->width || p->height))
        stdio_resize(p->stdio, p->width, p->height);
    publish_start(p);
    shim_tidy_soon(p->task->shim);
    process_finish(p, NULL);
    if (p->is_ended && p->state == PROCESS_RUNNING)
        process_end_tell(p);
    else if (p->exec_id && p->task->init.is_ended)
        exec_kill(p);
}

/* ---- End ---- */

static void execs_kill(struct task *t)
{
    struct process *p;

    LINK_EACH(p, &t->execs, struct process, in_task)
    {
        if (p->state == PROCESS_RUNNING && !p->is_ended)
            exec_kill(p);
    }
}

void process_end_tell(struct process *p)
{
    p->state = PROCESS_STOPPED;
    publish_exit(p);
    process_waits_tell(p);
    if (p->exec_id)
        task_settle(p->task);
}

static void oom_look(struct task *t)
{
    uint64_t n = t->cgroup ? cgroup_oom_kills(t->cgroup) : 0;

    if (n > t->n_oom) {
        t->n_oom = n;
        publish_oom(t);
    }
}

void process_ended(struct process *p, int status)
{
    struct task *t = p->task;

    BUG_ON(p->is_ended);
    p->is_ended = true;
    p->exit_status =
        WIFSIGNALED(status) ? 128 + (uint32_t)WTERMSIG(status) : (uint32_t)WEXITSTATUS(status);
    p->exited_at_ns = clock_realtime_ns();
    if (p->is_clean_due) {
        p->is_clean_due = false;
        t->ops->clean(p);
        return;
    }
    if (t->is_dead)
        return;
    oom_look(t);
    streams_end(p);
    /* What is in no PID namespace of the container's does not end with its first process. */
    if (!p->exec_id)
        execs_kill(t);
    if (p->exec_id) {
        /* With the last of them the task may go, and this one too. */
        if (p->state == PROCESS_RUNNING)
            process_end_tell(p);
        else
            task_settle(t);
        return;
    }
    if (p->state == PROCESS_RUNNING ||
        (p->state == PROCESS_CREATED && (!p->done || p->is_deleting)))
        process_end_tell(p);
    if (p->is_deleting)
        process_delete_go_on(p);
}

void process_wait(struct process *p, struct process_wait *w)
{
    link_init(&w->link);
    if (p->state == PROCESS_STOPPED)
        w->ended(w, p);
    else
        link_append(&p->waits, &w->link);
}

/* ---- Delete ---- */

void process_delete_go_on(struct process *p)
{
    if (!p->exec_id && !task_is_quiet(p->task)) {
        p->task->is_delete_waiting = true;
        return;
    }
    p->state = PROCESS_STOPPED;
    streams_end(p);
    if (p->stdio)
        stdio_hurry(p->stdio);
    else
        p->task->ops->clean(p);
}

void process_cleaned(struct process *p, const struct err *e)
{
    if (!p->exec_id) {
        task_cleaned(p->task, e);
        return;
    }
    if (e)
        log_warn("%s: %s: %s", p->task->id, p->exec_id, e->msg);
    /* One that never ran has nobody else to tell them. */
    process_waits_tell(p);
    link_remove(&p->in_task);
    process_finish(p, NULL);
    process_done(p);
    free(p);
}

static void killed(void *ctx, const struct err *e)
{
    struct process *p = ctx;

    /* Otherwise its end, which may be under way already, goes on with it. */
    if (e && !str_eq(e->reason, "NotRunning") && p->is_deleting && !p->is_ended) {
        p->is_deleting = false;
        process_finish(p, e);
    }
}

void process_delete(struct process *p, task_done *done, void *ctx)
{
    struct err e = ERR_INIT;

    if (!process_begin(p, done, ctx))
        return;
    if (p->state == PROCESS_RUNNING) {
        err_set(&e, -EPERM, "WrongState", "'%s' still runs; kill it first", process_name(p));
        process_finish(p, &e);
        return;
    }
    p->is_deleting = true;
    if (p->state == PROCESS_CREATED && !p->is_ended)
        p->task->ops->signal(p, SIGKILL, false, killed, p);
    else
        process_delete_go_on(p);
}

/* ---- What else is done with it ---- */

void process_signal(struct process *p, int number, bool is_all, task_done *done, void *ctx)
{
    struct err e = ERR_INIT;

    if (p->is_ended || p->state == PROCESS_STOPPED) {
        err_set(&e, -ESRCH, "NotRunning", "'%s' has ended", process_name(p));
        done(ctx, &e);
    } else if (p->state == PROCESS_NEW) {
        err_set(&e, -EPERM, "WrongState", "'%s' was not started", process_name(p));
        done(ctx, &e);
    } else {
        p->task->ops->signal(p, number, is_all, done, ctx);
    }
}

void process_resize(struct process *p, uint16_t width, uint16_t height)
{
    p->width = width;
    p->height = height;
    if (p->stdio)
        stdio_resize(p->stdio, width, height);
}

void process_close_stdin(struct process *p)
{
    if (p->stdio)
        stdio_close_stdin(p->stdio);
}
