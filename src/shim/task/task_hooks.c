/* SPDX-License-Identifier: Apache-2.0 */
/* The hooks of a guest's container, which for a native one its runtime runs. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>

#include "container/guest/confinement.h"
#include "shim/task/task_parts.h"

#define NAMESPACES 3

/* Some hooks of a task, while they run. */
struct task_hooks {
    struct task *task;
    struct hooks *running;
    struct buf state;
    int ns_fds[NAMESPACES];
    size_t n_ns_fds;
    struct confinement *confinement;
    task_done *done;
    void *ctx;
};

static void hooks_free(struct task_hooks *h)
{
    for (size_t i = 0; i < h->n_ns_fds; i++)
        close(h->ns_fds[i]);
    if (h->confinement)
        confinement_free(h->confinement);
    buf_done(&h->state);
    h->task->hooks = NULL;
    free(h);
}

static void hooks_done(void *ctx, const struct err *e)
{
    struct task_hooks *h = ctx;
    task_done *done = h->done;
    void *done_ctx = h->ctx;

    hooks_free(h);
    done(done_ctx, e);
}

/* Those that the guest's process is in. */
static int namespaces_open(struct task_hooks *h, struct err *e)
{
    static const char *const types[NAMESPACES] = {"network", "ipc", "uts"};
    char path[48];

    for (size_t i = 0; i < NAMESPACES; i++) {
        int fd;

        snprintf(path, sizeof(path), "/proc/%d/ns/%s", (int)h->task->init.pid,
                 oci_namespace_kind(types[i])->file);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            return err_errno(e, -errno, "HookFailed", "cannot open '%s'", path);
        h->ns_fds[h->n_ns_fds++] = fd;
    }
    return 0;
}

/* As the guest's process is. */
static int confinement_make(struct task_hooks *h, struct err *e)
{
    struct task *t = h->task;
    const struct sock_fprog filter = {.len = (unsigned short)t->seccomp.n, .filter = t->seccomp.v};
    const struct confinement_options o = {
        .config = &t->config,
        .process = &t->config.process,
        .cgroup = &t->cgroup_fds,
        .seccomp = t->seccomp.n ? &filter : NULL,
        .seccomp_flags = t->seccomp.flags,
        .is_joining = true,
        .of_pid = t->init.pid,
        .mounts_fd = guest_mounts_namespace(t->mounts),
    };

    return confinement_new(&o, &h->confinement, e);
}

static int confined_enter(const void *ctx)
{
    const struct confinement *c = ctx;
    struct confinement_report failed;

    if (!confinement_apply(c, -1, &failed))
        return -failed.code;
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* another user's is taken away */
    return confinement_seal(c, &failed) ? 0 : -failed.code;
}

void task_hooks_run(struct task *t, const struct task_moment *m, task_done *done, void *ctx)
{
    struct task_hooks *h;
    struct hooks_options o = {.loop = t->shim->loop,
                              .list = m->list,
                              .moment = m->name,
                              .cwd = t->bundle,
                              .goes_on = m->goes_on,
                              .done = hooks_done};
    struct err e = ERR_INIT;

    if (!m->list->n) {
        done(ctx, NULL);
        return;
    }
    h = xcalloc(1, sizeof(*h));
    *h = (struct task_hooks){.task = t, .done = done, .ctx = ctx};
    t->hooks = h;
    oci_state_encode(&t->config, t->id, m->status, t->init.pid, t->bundle, &h->state);
    if ((m->is_inside && namespaces_open(h, &e) < 0) ||
        (m->is_confined && confinement_make(h, &e) < 0)) {
        hooks_done(h, &e);
        return;
    }
    o.state = buf_str(&h->state);
    o.ns_fds = h->ns_fds;
    o.n_ns_fds = h->n_ns_fds;
    o.enter = h->confinement ? confined_enter : NULL;
    o.enter_ctx = h->confinement;
    o.ctx = h;
    h->running = hooks_run(&o);
}

void task_hooks_cancel(struct task *t)
{
    struct task_hooks *h = t->hooks;
    struct err e = ERR_INIT;

    if (!h)
        return;
    hooks_cancel(h->running);
    err_set(&e, -ECANCELED, "Cancelled",
            "the hooks of '%s' were ended, for it was killed or deleted", t->id);
    hooks_done(h, &e);
}
