/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sandbox of a pod. Elsewhere a program that sleeps holds the namespaces of a pod and is its
 * first process; here the shim is in them itself, and there is no such program: the main thread
 * enters, and /proc/PID/ns of a process are those of its main thread.
 */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

#include "base/fds.h"
#include "shim/task/task_parts.h"

static const struct {
    const char *type;
    int flag;
} namespaces[] = {
    {"network", CLONE_NEWNET},
    {"ipc",     CLONE_NEWIPC},
    {"uts",     CLONE_NEWUTS},
};

static int namespace_enter(const struct oci_namespace *n, int flag, struct err *e)
{
    autofd fd = -EBADF;

    if (!n->path || !*n->path) {
        if (unshare(flag) < 0)
            return err_errno(e, -errno, "NamespaceFailed", "cannot make a new %s namespace",
                             n->type);
        return 0;
    }
    fd = open(n->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || setns(fd, flag) < 0)
        return err_errno(e, -errno, "NamespaceFailed", "cannot enter the %s namespace '%s'",
                         n->type, n->path);
    return 0;
}

/* A file below /proc/sys has dots in its name for slashes, or slashes where a dot is in the name
 * (sysctl(8)). */
static int sysctl_set(const struct json_pair *pair, struct err *e)
{
    bool has_slashes = strchr(pair->name, '/') != NULL;
    autofree char *path = xasprintf("/proc/sys/%s", pair->name);
    autofd fd = -EBADF;

    for (char *c = path + strlen("/proc/sys/"); *c && !has_slashes; c++)
        if (*c == '.')
            *c = '/';
    if (strstr(path, "/../") || (fd = open(path, O_WRONLY | O_CLOEXEC)) < 0)
        return err_errno(e, fd < 0 && errno ? -errno : -EINVAL, "SysctlFailed",
                         "cannot open '%s' for the sysctl '%s'", path, pair->name);
    if (fd_write_all(fd, pair->value, strlen(pair->value), e) < 0)
        return err_prefix(e, "the sysctl '%s'", pair->name);
    return 0;
}

static int enter(const struct oci_config *c, struct err *e)
{
    bool has_uts = false;

    for (size_t i = 0; i < c->linux_.n_namespaces; i++) {
        const struct oci_namespace *n = &c->linux_.namespaces[i];

        if (str_eq(n->type, "user"))
            return err_set(e, -EOPNOTSUPP, "Unsupported",
                           "a pod with a user namespace of its own needs a native runtime class");
        for (size_t k = 0; k < ARRAY_SIZE(namespaces); k++)
            if (str_eq(n->type, namespaces[k].type))
                TRY(namespace_enter(n, namespaces[k].flag, e));
        has_uts = has_uts || (str_eq(n->type, "uts") && (!n->path || !*n->path));
    }
    if (c->hostname && has_uts && sethostname(c->hostname, strlen(c->hostname)) < 0)
        return err_errno(e, -errno, "NamespaceFailed", "cannot set the host name '%s'",
                         c->hostname);
    for (size_t i = 0; i < c->linux_.sysctl.n; i++)
        TRY(sysctl_set(&c->linux_.sysctl.v[i], e));
    return 0;
}

static void create(struct task *t)
{
    struct record r = {.kind = RECORD_SANDBOX};
    struct err e = ERR_INIT;

    if (record_save(t->bundle_fd, &r, &e) < 0 || enter(&t->config, &e) < 0 ||
        task_pod_begin(t->shim, !oci_config_namespace(&t->config, "pid"), t->bundle_fd, &e) < 0)
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
    /* What ends the program that sleeps elsewhere; others it does not heed. */
    if (number == SIGKILL || number == SIGTERM || number == SIGINT) {
        task_pod_end(p->task->shim);
        process_ended(p, W_EXITCODE(0, number));
    }
    done(ctx, NULL);
}

static void clean(struct process *p)
{
    task_pod_end(p->task->shim);
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
