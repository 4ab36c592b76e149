/* SPDX-License-Identifier: Apache-2.0 */
/* Tasks: made of what Create says, and taken apart. */
#include <fcntl.h>

#include "base/log.h"
#include "base/paths.h"
#include "shim/events/publish.h"
#include "shim/pod/sandbox.h"
#include "shim/task/task_parts.h"

#define CGROUP_WAIT_MS 10000 /* for killed processes to be gone */

#define SANDBOX_TYPE_ANNOTATION "io.kubernetes.cri.container-type"

void process_streams_done(struct process_streams *s)
{
    free(s->in);
    free(s->out);
    free(s->err);
    *s = (struct process_streams){0};
}

static void rootfs_done(struct rootfs_mount *v, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        free(v[i].type);
        free(v[i].source);
        free(v[i].target);
        strv_done(&v[i].options);
    }
    free(v);
}

void task_request_done(struct task_request *r)
{
    free(r->id);
    free(r->bundle);
    process_streams_done(&r->streams);
    rootfs_done(r->rootfs, r->n_rootfs);
    free(r->options.runtime);
    free(r->options.runtime_root);
    *r = (struct task_request){0};
}

/* ---- Finding ---- */

struct task *task_find(const struct shim *s, const char *id)
{
    struct task *t;

    LINK_EACH(t, &s->tasks, struct task, in_shim)
    {
        if (str_eq(t->id, id))
            return t;
    }
    return NULL;
}

struct process *task_process(struct task *t, const char *exec_id)
{
    struct process *p;

    if (!exec_id || !*exec_id)
        return &t->init;
    LINK_EACH(p, &t->execs, struct process, in_task)
    {
        if (str_eq(p->exec_id, exec_id))
            return p;
    }
    return NULL;
}

/* ---- Taking apart ---- */

static void task_free(struct task *t)
{
    image_cancel(t->finding);
    free(t->program_digest);
    process_done(&t->init);
    link_remove(&t->in_shim);
    rootfs_done(t->rootfs, t->n_rootfs);
    native_free(t->native);
    cgroup_free(t->cgroup);
    oci_config_done(&t->config);
    free(t->options.runtime);
    free(t->options.runtime_root);
    close_cleanup_(&t->bundle_fd);
    free(t->bundle);
    free(t->id);
    free(t);
}

static void remains_remove(void *ctx)
{
    struct task *t = ctx;
    autofree char *rootfs = path_join(t->bundle, "rootfs");
    struct err *e = &t->chore_failed;

    *e = ERR_INIT;
    /* Mostly its only process has ended. */
    if (t->cgroup && t->kind != RECORD_NATIVE && cgroup_delete(t->cgroup, 0, e) < 0) {
        cgroup_kill_all(t->cgroup, e);
        *e = ERR_INIT;
        if (cgroup_delete(t->cgroup, CGROUP_WAIT_MS, e) < 0)
            return;
    }
    *e = ERR_INIT;
    if (rootfs_unmount(rootfs, e) >= 0 && t->bundle_fd >= 0 && !t->keeps_record)
        record_drop(t->bundle_fd);
}

static void remains_removed(void *ctx)
{
    struct task *t = ctx;
    struct shim *s = t->shim;

    if (t->is_dead) {
        if (t->chore_failed.code)
            log_warn("%s: %s", t->id, t->chore_failed.msg);
        process_finish(&t->init, &t->failed);
        task_free(t);
        shim_task_gone(s);
        return;
    }
    if (t->chore_failed.code) {
        t->init.is_deleting = false;
        process_finish(&t->init, &t->chore_failed);
        return;
    }
    publish_delete(&t->init);
    link_remove(&t->in_shim);
    process_finish(&t->init, NULL);
    task_free(t);
    shim_task_gone(s);
}

/* Those that nobody has deleted. */
static void execs_drop(struct task *t)
{
    struct process *p;

    LINK_EACH(p, &t->execs, struct process, in_task)
    {
        guest_process_free(take_ptr(p->guest));
        process_waits_tell(p);
        process_done(p);
        free(p);
    }
}

void task_cleaned(struct task *t, const struct err *e)
{
    if (e && !t->is_dead) {
        t->init.is_deleting = false;
        process_finish(&t->init, e);
        return;
    }
    if (e) {
        log_warn("%s: %s", t->id, e->msg);
        t->keeps_record = true;
    }
    execs_drop(t);
    cgroup_oom_free(take_ptr(t->oom));
    loop_work(t->shim->loop, remains_remove, remains_removed, t);
}

void task_chore_begin(struct task *t)
{
    t->n_chores++;
}

void task_chore_end(struct task *t)
{
    t->n_chores--;
    task_settle(t);
}

static bool is_busy(const struct process *p)
{
    return p->done || p->state == PROCESS_RUNNING || !task_guest_is_gone(p);
}

bool task_is_quiet(struct task *t)
{
    const struct process *p;

    LINK_EACH(p, &t->execs, struct process, in_task)
    {
        if (is_busy(p))
            return false;
    }
    return !t->n_chores;
}

void task_settle(struct task *t)
{
    if (!t->is_delete_waiting || !task_is_quiet(t))
        return;
    t->is_delete_waiting = false;
    process_delete_go_on(&t->init);
}

static void create_fail(struct task *t, const struct err *e)
{
    t->failed = *e;
    t->is_dead = true;
    stdio_free(take_ptr(t->init.stdio));
    if (t->ops)
        t->ops->clean(&t->init);
    else
        task_cleaned(t, NULL);
}

/* ---- Create ---- */

static void oom_happened(void *ctx)
{
    struct task *t = ctx;
    uint64_t n = cgroup_oom_kills(t->cgroup);

    /* Where nobody counts, each time is one. */
    if (n && n <= t->n_oom)
        return;
    t->n_oom = n;
    publish_oom(t);
}

static void oom_watch(struct task *t)
{
    struct err e = ERR_INIT;

    if (t->cgroup && cgroup_oom_watch(t->cgroup, t->shim->loop, oom_happened, t, &t->oom, &e) < 0)
        log_warn("%s: %s", t->id, e.msg);
}

/* What it is made of, before it is made, and then again with its process: `delete` goes by it. */
static int kind_note(const struct task *t, struct err *e)
{
    struct record r = {.kind = t->kind, .pid = t->init.pid};

    if (t->kind != RECORD_SANDBOX) {
        r.cgroup = t->config.linux_.cgroups_path;
        r.has_systemd = t->options.has_systemd_cgroup;
        r.runtime = t->options.runtime;
        r.runtime_root = t->options.runtime_root;
    }
    return record_save(t->bundle_fd, &r, e);
}

void process_created(struct process *p, const struct err *e, pid_t pid)
{
    struct task *t = p->task;
    struct err note = ERR_INIT, cancelled = ERR_INIT;

    if (!e && t->is_cancelled) {
        err_set(&cancelled, -ECANCELED, "Cancelled", "'%s' was deleted while it was created",
                t->id);
        e = &cancelled;
    }
    if (e) {
        create_fail(t, e);
        return;
    }
    p->pid = pid;
    if (kind_note(t, &note) < 0)
        log_warn("%s: %s", t->id, note.msg);
    p->state = PROCESS_CREATED;
    oom_watch(t);
    publish_create(t);
    rootfs_done(t->rootfs, t->n_rootfs);
    t->rootfs = NULL;
    t->n_rootfs = 0;
    process_finish(p, NULL);
    if (p->is_ended && p->state == PROCESS_CREATED && !p->done)
        process_end_tell(p);
}

static int root_open(struct task *t, struct err *e)
{
    autofree char *root = *t->config.root_path == '/' ? xstrdup(t->config.root_path)
                                                      : path_join(t->bundle, t->config.root_path);

    t->root_fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return t->root_fd < 0
               ? err_errno(e, -errno, "BadBundle", "cannot open the root file system '%s'", root)
               : 0;
}

static int entry_find(struct task *t, struct err *e)
{
    struct mount_view v;
    int r;

    mount_view_init(&v, &t->config, t->root_fd, t->bundle_fd);
    r = entrypoint_find(&v, &t->config.process, &t->init.entry, e);
    mount_view_done(&v);
    return r;
}

static int files_prepare(struct task *t, struct err *e)
{
    autofree char *rootfs = path_join(t->bundle, "rootfs");

    if (!t->is_mounted) {
        TRY(rootfs_mount_all(rootfs, t->rootfs, t->n_rootfs, e));
        t->is_mounted = true;
    }
    TRY(root_open(t, e));
    if (!t->has_image)
        TRY(entry_find(t, e));
    t->kind = t->init.entry.kind == ENTRYPOINT_WASM ? RECORD_GUEST : RECORD_NATIVE;
    /* Before it is noted whose processes `delete` is to kill. */
    if (t->kind == RECORD_GUEST)
        TRY(task_guest_claim(t, e));
    TRY(kind_note(t, e));
    return t->kind == RECORD_GUEST ? task_guest_prepare(t, e) : 0;
}

/* In the work pool. */
static void create_work(void *ctx)
{
    struct task *t = ctx;

    t->chore_failed = ERR_INIT;
    files_prepare(t, &t->chore_failed);
    /* It would keep the file system from being unmounted. */
    close_cleanup_(&t->root_fd);
    t->root_fd = -EBADF;
}

static void streams_opened(void *ctx, const struct err *e)
{
    struct task *t = ctx;

    if (e)
        create_fail(t, e);
    else
        t->ops->create(t);
}

static void create_worked(void *ctx);

/* A program that is no file may be a layer of the image. */
static void image_found(void *ctx, const struct err *e, struct image_program *p)
{
    struct task *t = ctx;

    t->finding = NULL;
    t->has_image = true;
    if (e)
        log_warn("%s: cannot find out whether its image has a program as a layer: %s", t->id,
                 e->msg);
    if (e || p->fd < 0) {
        create_worked(t);
        return;
    }
    t->init.entry.kind = ENTRYPOINT_WASM;
    t->init.entry.fd = take_fd(&p->fd);
    if (t->config.process.args.n)
        t->init.entry.function = entrypoint_function(t->config.process.args.v[0]);
    t->program_digest = xstrdup(p->digest);
    t->image_port = container_tcp_port(p->config);
    loop_work(t->shim->loop, create_work, create_worked, t);
}

static void create_worked(void *ctx)
{
    struct task *t = ctx;

    if (!t->chore_failed.code && t->init.entry.kind == ENTRYPOINT_NONE && !t->has_image &&
        t->shim->bootstrap->grpc_address) {
        task_image_find(t, true, image_found);
        return;
    }
    t->ops = t->kind == RECORD_GUEST ? &task_guest_ops : &task_native_ops;
    if (t->chore_failed.code)
        create_fail(t, &t->chore_failed);
    else
        task_stdio_open(&t->init, streams_opened, t);
}

void task_image_find(struct task *t, bool wants_program,
                     void (*done)(void *ctx, const struct err *e, struct image_program *p))
{
    const struct image_options o = {.grpc_address = t->shim->bootstrap->grpc_address,
                                    .containerd_ns = t->shim->flags->namespace,
                                    .container_id = t->id,
                                    .cache_dir = t->shim->cache_dir,
                                    .wants_program = wants_program};

    t->finding = image_find(t->shim->loop, &o, done, t);
}

void task_stdio_open(struct process *p, void (*done)(void *ctx, const struct err *e), void *ctx)
{
    const struct task *t = p->task;
    const struct oci_process *spec = p->exec_id ? &p->spec : &t->config.process;
    enum stdio_terminal terminal =
        t->kind == RECORD_GUEST ? STDIO_OWN_TERMINAL : STDIO_GIVEN_TERMINAL;
    struct stdio_options o = {
        .stdin_uri = p->streams.in,
        .stdout_uri = p->streams.out,
        .stderr_uri = p->streams.err,
        .terminal = p->streams.has_terminal ? terminal : STDIO_NO_TERMINAL,
        /* A guest has no children, and a container's go with its first process. */
        .is_copied = p->exec_id && t->kind == RECORD_NATIVE,
        .width = p->width ? p->width : (uint16_t)spec->console_width,
        .height = p->height ? p->height : (uint16_t)spec->console_height,
        .container_id = t->id,
        .ns = t->shim->flags->namespace,
        .uid = (uid_t)spec->user.uid,
        .gid = (gid_t)spec->user.gid,
    };

    p->stdio = stdio_open(t->shim->loop, &o, done, ctx);
}

static int bundle_read(struct task *t, struct err *e)
{
    t->bundle_fd = open(t->bundle, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (t->bundle_fd < 0)
        return err_errno(e, -errno, "NoBundle", "cannot open the bundle '%s'", t->bundle);
    TRY(oci_config_read(t->bundle_fd, &t->config, e));
    if (t->shim->sandbox) {
        TRY(sandbox_files_add(t->shim->sandbox, t->bundle_fd, &t->config, e));
        oci_config_done(&t->config);
        t->config = (struct oci_config){0};
        TRY(oci_config_read(t->bundle_fd, &t->config, e));
    }
    if (!t->config.has_process || !t->config.root_path)
        return err_set(e, -EINVAL, "BadConfig", "config.json of '%s' has no process or no root",
                       t->id);
    return 0;
}

static struct task *task_new(struct shim *s, struct task_request *r)
{
    struct task *t = xcalloc(1, sizeof(*t));

    *t = (struct task){.shim = s,
                       .id = take_ptr(r->id),
                       .bundle = take_ptr(r->bundle),
                       .bundle_fd = -EBADF,
                       .root_fd = -EBADF,
                       .kind = RECORD_NATIVE,
                       .options = r->options,
                       .rootfs = r->rootfs,
                       .n_rootfs = r->n_rootfs};
    process_init(&t->init, t, &r->streams);
    link_init(&t->in_shim);
    link_init(&t->execs);
    *r = (struct task_request){0};
    return t;
}

static bool is_sandbox(const struct oci_config *c)
{
    const char *type = oci_config_annotation(c, SANDBOX_TYPE_ANNOTATION);

    return type && str_eq(type, "sandbox");
}

void task_create(struct shim *s, struct task_request *r, task_done *done, void *ctx)
{
    struct err e = ERR_INIT;
    struct task *t;

    if (s->is_leaving || task_find(s, r->id)) {
        if (s->is_leaving)
            err_set(&e, -ESHUTDOWN, "ShuttingDown", "the shim is ending");
        else
            err_set(&e, -EEXIST, "AlreadyExists", "there is a container '%s' already", r->id);
        done(ctx, &e);
        return;
    }
    t = task_new(s, r);
    s->is_end_due = false;
    link_append(&s->tasks, &t->in_shim);
    process_begin(&t->init, done, ctx);
    if (bundle_read(t, &e) < 0) {
        create_fail(t, &e);
    } else if (is_sandbox(&t->config)) {
        t->kind = RECORD_SANDBOX;
        t->ops = &task_sandbox_ops;
        t->ops->create(t);
    } else {
        loop_work(s->loop, create_work, create_worked, t);
    }
}

/* ---- What else is done with it ---- */

bool task_create_cancel(struct task *t)
{
    if (t->init.state != PROCESS_NEW)
        return false;
    t->is_cancelled = true;
    task_hooks_cancel(t);
    if (t->init.preparing) {
        program_cancel(take_ptr(t->init.preparing));
        process_created(&t->init, NULL, 0); /* fails, since it is cancelled */
    }
    return true;
}

bool task_is_create_failing(const struct task *t)
{
    return t->init.state == PROCESS_NEW && (t->is_cancelled || t->is_dead);
}

int task_exec(struct task *t, const char *exec_id, struct process_streams *streams,
              const void *spec, size_t len, struct err *e)
{
    struct process *p;

    if (!*exec_id || task_process(t, exec_id))
        return err_set(e, -EEXIST, "AlreadyExists", "'%s' has a process '%s' already", t->id,
                       exec_id);
    if (t->init.state != PROCESS_RUNNING || t->kind == RECORD_SANDBOX)
        return err_set(e, -EPERM, "WrongState", "the container '%s' does not run", t->id);
    p = xcalloc(1, sizeof(*p));
    process_init(p, t, streams);
    p->exec_id = xstrdup(exec_id);
    if (oci_process_decode(spec, len, &p->spec, e) < 0) {
        process_done(p);
        free(p);
        return e->code;
    }
    buf_add(&p->spec_json, spec, len);
    link_append(&t->execs, &p->in_task);
    publish_exec_added(p);
    return 0;
}

struct pausing {
    struct task *task;
    bool is_paused;
    task_done *done;
    void *ctx;
};

static void pause_done(void *ctx, const struct err *e)
{
    struct pausing p = *(struct pausing *)ctx;

    free(ctx);
    p.task->is_pausing = false;
    /* Of one that has ended meanwhile, the end was the last that is told. */
    if (!e && p.task->init.state == PROCESS_RUNNING) {
        p.task->is_paused = p.is_paused;
        publish_paused(p.task, p.is_paused);
    }
    p.done(p.ctx, e);
}

static bool is_exec_starting(const struct task *t)
{
    const struct process *p;

    LINK_EACH(p, &t->execs, struct process, in_task)
    {
        if (p->state == PROCESS_STARTING)
            return true;
    }
    return false;
}

static int pausable_check(const struct task *t, bool is_paused, struct err *e)
{
    if (t->init.state != PROCESS_RUNNING || t->kind == RECORD_SANDBOX)
        return err_set(e, -EPERM, "WrongState", "'%s' does not run", t->id);
    if (t->is_pausing)
        return err_set(e, -EBUSY, "Busy", "'%s' is being paused or resumed", t->id);
    /* It would be stopped halfway, and its start never be answered. */
    if (is_paused && is_exec_starting(t))
        return err_set(e, -EBUSY, "Busy", "a process is being started in '%s'", t->id);
    if (t->is_paused == is_paused)
        return err_set(e, -EPERM, "WrongState", "'%s' is %s", t->id,
                       is_paused ? "paused already" : "not paused");
    return 0;
}

void task_pause(struct task *t, bool is_paused, task_done *done, void *ctx)
{
    struct err e = ERR_INIT;
    struct pausing *p;

    if (pausable_check(t, is_paused, &e) < 0) {
        done(ctx, &e);
        return;
    }
    t->is_pausing = true;
    p = xcalloc(1, sizeof(*p));
    *p = (struct pausing){.task = t, .is_paused = is_paused, .done = done, .ctx = ctx};
    t->ops->pause(t, is_paused, pause_done, p);
}

void task_update(struct task *t, const char *json, size_t len, task_done *done, void *ctx)
{
    struct err e = ERR_INIT;

    if (t->init.is_ended || t->init.is_deleting) {
        err_set(&e, -ESRCH, "NotRunning", "'%s' has ended", t->id);
        done(ctx, &e);
        return;
    }
    t->ops->update(t, json, len, done, ctx);
}
