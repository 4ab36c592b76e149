/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sandbox of a pod. Elsewhere a program that sleeps holds the namespaces of a pod and is its
 * first process; here the shim is in them itself, and there is no such program: the main thread
 * enters, and /proc/PID/ns of a process are those of its main thread.
 */
#include <signal.h>
#include <sys/wait.h>

#include "shim/task/task_parts.h"

static void create(struct task *t)
{
    struct record r = {.kind = RECORD_SANDBOX};
    struct err e = ERR_INIT;

    if (record_save(t->bundle_fd, &r, &e) < 0 || shim_pod_enter(&t->config, &e) < 0 ||
        shim_pod_begin(&t->shim->pod, !oci_config_namespace(&t->config, "pid"), t->bundle_fd, &e) <
            0)
        process_created(&t->init, &e, 0);
    else
        process_created(&t->init, NULL, getpid());
}

static void start(struct process *p)
{
    process_started(p, NULL, getpid());
}

static void signal_send(struct process *p, int number, bool is_all, task_done *done, void *ctx)
{
    (void)is_all;
    /* The answer first: whoever is told of the end deletes the sandbox and has this daemon end, and
     * containerd 1.6 then takes an answer that its caller has not looked at yet for a lost one. */
    done(ctx, NULL);
    /* What ends the program that sleeps elsewhere; others it does not heed. */
    if (number == SIGKILL || number == SIGTERM || number == SIGINT) {
        shim_pod_end(&p->task->shim->pod);
        process_ended(p, W_EXITCODE(0, number));
    }
}

static void clean(struct process *p)
{
    shim_pod_end(&p->task->shim->pod);
    process_cleaned(p, NULL);
}

static void refuse(const struct task *t, task_done *done, void *ctx)
{
    struct err e = ERR_INIT;

    err_set(&e, -EPERM, "WrongState", "the sandbox '%s' has no process", t->id);
    done(ctx, &e);
}

static void pause_set(struct task *t, bool is_paused, task_done *done, void *ctx)
{
    (void)is_paused;
    refuse(t, done, ctx);
}

static void update(struct task *t, const char *json, size_t len, task_done *done, void *ctx)
{
    (void)json;
    (void)len;
    refuse(t, done, ctx);
}

const struct task_ops task_sandbox_ops = {.create = create,
                                          .start = start,
                                          .signal = signal_send,
                                          .clean = clean,
                                          .pause = pause_set,
                                          .update = update};
