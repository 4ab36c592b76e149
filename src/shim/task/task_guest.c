/* SPDX-License-Identifier: Apache-2.0 */
/* Containers of WebAssembly: each process is a confined one of its own. */
#include <fcntl.h>
#include <signal.h>

#include "base/fds.h"
#include "base/log.h"
#include "base/paths.h"
#include "container/folder.h"
#include "shim/events/publish.h"
#include "shim/task/declared_port.h"
#include "shim/task/task_parts.h"

#define TOOLBOX_NAME "toolbox"
#define TOOLBOX_FILE "toolbox.wasm"
#define SECCOMP_DIR  "/run/wherry/seccomp"

/* ---- Before ---- */

int task_guest_claim(struct task *t, struct err *e)
{
    AUTO(cgroup) c = NULL;

    TRY(cgroup_open(t->config.linux_.cgroups_path, t->options.has_systemd_cgroup, t->id, &c, e));
    TRY(cgroup_empty_check(c, e));
    t->cgroup = take_ptr(c);
    return 0;
}

static int group_make(struct task *t, struct err *e)
{
    if (cgroup_create(t->cgroup, &t->config.linux_.resources, e) < 0) {
        /* Nothing of it is there; or it is another's, whose processes are not to end with this. */
        cgroup_free(take_ptr(t->cgroup));
        return e->code;
    }
    return cgroup_fds_open(t->cgroup, &t->cgroup_fds, e);
}

/* Only for calls of this machine's own kind: the worker makes no others, and they take ten times as
 * long to compile. Shared by all shims of the machine. */
static int filter_make(struct task *t, struct err *e)
{
    struct seccomp_cache cache = SECCOMP_CACHE_INIT;
    const struct seccomp_program *found;
    struct err ignored = ERR_INIT;
    autofd dir_fd = -EBADF;
    int r;

    if (path_open_private(SECCOMP_DIR, &dir_fd, &ignored) >= 0)
        cache.dir_fd = dir_fd;
    r = seccomp_cache_compile(&cache, &t->config.linux_.seccomp, true, &found, e);
    if (r >= 0) {
        t->seccomp = cache.program;
        cache.program = (struct seccomp_program){0};
    }
    seccomp_cache_done(&cache);
    return r;
}

int task_guest_prepare(struct task *t, struct err *e)
{
    TRY(group_make(t, e));
    TRY(guest_mounts_open(&t->config, t->root_fd, t->bundle_fd, &t->mounts, e));
    return t->config.linux_.has_seccomp ? filter_make(t, e) : 0;
}

/* ---- A process ---- */

static void oom_tell(const struct process *p)
{
    struct guest_status s = {0};
    struct err e = ERR_INIT;

    if (guest_process_status(p->guest, &s, &e) >= 0 && str_eq(s.reason, "OOMKilled"))
        publish_oom(p->task);
    guest_status_done(&s);
}

static void guest_ended(void *ctx, int status)
{
    struct process *p = ctx;

    oom_tell(p);
    process_ended(p, status);
}

/* Where an HTTP service listens: as the pod says, else as the image does; 0: neither. */
static unsigned task_port(const struct task *t)
{
    const char *declared = oci_config_annotation(&t->config, DECLARED_PORTS_ANNOTATION);
    struct err e = ERR_INIT;
    unsigned port = 0;

    if (declared && declared_port(declared, &port, &e) < 0)
        log_warn("%s: %s", t->id, e.msg);
    return port ? port : t->image_port;
}

static int guest_new(struct process *p, enum contract contract, struct err *e)
{
    struct task *t = p->task;
    struct sock_fprog filter = {.len = (unsigned short)t->seccomp.n, .filter = t->seccomp.v};
    const struct oci_process *spec = p->exec_id ? &p->spec : &t->config.process;
    bool is_tool = p->exec_id && p->entry.kind != ENTRYPOINT_WASM;
    int fds[3];
    struct guest_process_options o = {
        .loop = t->shim->loop,
        .worker = t->shim->worker,
        .id = "run",
        .config = &t->config,
        .process = spec,
        .mounts = t->mounts,
        .program_fd = p->entry.fd,
        .program = is_tool ? TOOLBOX_NAME : path_base(spec->args.v[0]),
        .code_fd = p->code_fd,
        .contract = contract,
        .function = p->entry.function,
        .is_tool = is_tool,
        .http_port = task_port(t),
        .cgroup = &t->cgroup_fds,
        .seccomp = t->seccomp.n ? &filter : NULL,
        .seccomp_flags = t->seccomp.flags,
        .of = p->exec_id ? t->init.guest : NULL,
        .ended = guest_ended,
        .ctx = p,
    };

    stdio_fds(p->stdio, fds);
    o.stdin_fd = fds[0];
    o.stdout_fd = fds[1];
    o.stderr_fd = fds[2];
    return guest_process_new(&o, &p->guest, e);
}

static void guest_forked(void *ctx, const struct err *e, pid_t pid);

static void guest_make(struct process *p, enum contract contract)
{
    struct err e = ERR_INIT;

    if (guest_new(p, contract, &e) < 0)
        guest_forked(p, &e, 0);
    else
        guest_process_create(p->guest, guest_forked, p);
}

static void port_found(void *ctx, const struct err *e, struct image_program *found)
{
    struct task *t = ctx;

    t->finding = NULL;
    t->has_image = true;
    if (e)
        log_warn("%s: cannot find out which port its image declares: %s", t->id, e->msg);
    else
        t->image_port = container_tcp_port(found->config);
    guest_make(&t->init, t->contract);
}

static void program_refuse(struct process *p, const struct err *e)
{
    const struct strv *args = p->exec_id ? &p->spec.args : &p->task->config.process.args;
    struct err named = *e;

    if (args->n)
        err_prefix(&named, "the program '%.200s'", args->v[0]);
    guest_forked(p, &named, 0);
}

static void prepared(void *ctx, const struct err *e, struct prepared *prepared)
{
    struct process *p = ctx;
    struct task *t = p->task;

    p->preparing = NULL;
    if (e) {
        program_refuse(p, e);
        return;
    }
    p->code_fd = take_fd(&prepared->code_fd);
    if (p->exec_id || !contract_is_http(prepared->contract) || t->has_image || task_port(t) ||
        !t->shim->bootstrap->grpc_address) {
        guest_make(p, prepared->contract);
        return;
    }
    t->contract = prepared->contract;
    task_image_find(t, false, port_found);
}

static void prepare(struct process *p)
{
    p->preparing = program_prepare(p->task->shim->programs, p->entry.fd,
                                   p->exec_id ? NULL : p->task->program_digest, prepared, p);
}

/* ---- The first one ---- */

static void first_noted(struct process *p, pid_t pid)
{
    struct err e = ERR_INIT;

    if (process_note(p->task->bundle_fd, RECORD_PROCESS_NAME, pid, &e) < 0)
        log_warn("%s: %s", p->task->id, e.msg);
}

/* Before it is created: prestart, createRuntime, createContainer, in this order. */
static void create_hooked(void *ctx, const struct err *e)
{
    struct task *t = ctx;
    const struct oci_hooks *h = &t->config.hooks;
    const struct task_moment moments[] = {
        {&h->prestart,         "prestart",        "creating", false, false, false},
        {&h->create_runtime,   "createRuntime",   "creating", false, false, false},
        {&h->create_container, "createContainer", "creating", true,  false, false},
    };
    struct err cancelled = ERR_INIT;

    if (!e && t->is_cancelled) {
        err_set(&cancelled, -ECANCELED, "Cancelled",
                "'%s' was not created, since it is deleted; its hooks were not run", t->id);
        e = &cancelled;
    }
    if (e || t->n_hooked == ARRAY_SIZE(moments))
        process_created(&t->init, e, t->init.pid);
    else
        task_hooks_run(t, &moments[t->n_hooked++], create_hooked, t);
}

static void create_hooks_run(struct task *t)
{
    t->n_hooked = 0;
    create_hooked(t, NULL);
}

static void exec_forked(struct process *p, const struct err *e);

static void guest_forked(void *ctx, const struct err *e, pid_t pid)
{
    struct process *p = ctx;

    p->pid = pid;
    if (p->stdio)
        stdio_started(p->stdio);
    close_cleanup_(&p->code_fd);
    p->code_fd = -EBADF;
    if (p->exec_id) {
        exec_forked(p, e);
        return;
    }
    if (e) {
        process_created(p, e, 0);
        return;
    }
    first_noted(p, pid);
    cgroup_settle(p->task->cgroup);
    if (guest_process_is_score_kept(p->guest))
        log_warn("%s: its score for the out-of-memory killer cannot be lowered to %lld without "
                 "CAP_SYS_RESOURCE, and stays",
                 p->task->id, (long long)p->task->config.process.oom_score_adj);
    create_hooks_run(p->task);
}

static void create(struct task *t)
{
    prepare(&t->init);
}

static void poststarted(void *ctx, const struct err *e)
{
    struct process *p = ctx;

    /* Since 1.3.0 of the specification this is an error of the start. */
    if (e)
        (void)guest_process_kill(p->guest, SIGKILL);
    process_started(p, e, p->pid);
}

static void started(void *ctx, const struct err *e)
{
    struct process *p = ctx;
    const struct task_moment m = {
        .list = &p->task->config.hooks.poststart, .name = "poststart", .status = "running"};

    if (e || p->exec_id)
        process_started(p, e, p->pid);
    else
        task_hooks_run(p->task, &m, poststarted, p);
}

static void start_hooked(void *ctx, const struct err *e)
{
    struct process *p = ctx;

    if (!e) {
        guest_process_start(p->guest, started, p);
        return;
    }
    (void)guest_process_kill(p->guest, SIGKILL);
    process_started(p, e, p->pid);
}

/* ---- One that is added ---- */

static void exec_forked(struct process *p, const struct err *e)
{
    if (e)
        process_started(p, e, 0);
    else
        guest_process_start(p->guest, started, p);
}

/* What ps of the tool box shows as the process that it was put beside. */
static void container_tell(struct process *p)
{
    const struct strv *args = &p->task->config.process.args;
    autobuf words = BUF_INIT;

    buf_addstr(&words, "WHERRY_CONTAINER=");
    for (size_t i = 0; i < args->n; i++)
        buf_addf(&words, "%s%s", i ? " " : "", args->v[i]);
    strv_add_owned(&p->spec.env, buf_take(&words));
}

/* The tool box's program, beside those of wherry. */
static int toolbox_open(struct err *e)
{
    autofree char *image = NULL, *dir = NULL, *path = NULL;
    int fd;

    TRY(paths_program_find("wherry-image", &image, e));
    dir = path_dir(image);
    path = path_join(dir, TOOLBOX_FILE);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    return fd < 0 ? err_errno(e, -errno, "ProgramMissing", "cannot open the tool box '%s'", path)
                  : fd;
}

static int exec_program_find(struct process *p, struct err *e)
{
    struct mount_view v;
    int r;

    mount_view_init(&v, NULL, guest_mounts_root(p->task->mounts), -EBADF);
    r = entrypoint_find(&v, &p->spec, &p->entry, e);
    mount_view_done(&v);
    TRY(r);
    if (p->entry.kind == ENTRYPOINT_WASM)
        return 0;
    /* Any other word is for the tool box, which says if it has none of that name. */
    container_tell(p);
    p->entry.fd = toolbox_open(e);
    return p->entry.fd < 0 ? e->code : 0;
}

struct exec_look_up {
    struct process *process;
    struct err failed;
};

/* In the work pool: the volumes of the container may be on disks that hang. */
static void exec_look_up(void *ctx)
{
    struct exec_look_up *l = ctx;

    exec_program_find(l->process, &l->failed);
}

static void exec_looked_up(void *ctx)
{
    struct exec_look_up l = *(struct exec_look_up *)ctx;

    free(ctx);
    if (l.failed.code)
        process_started(l.process, &l.failed, 0);
    else
        prepare(l.process);
}

static void exec_streams_opened(void *ctx, const struct err *e)
{
    struct process *p = ctx;
    struct exec_look_up *l;

    if (e) {
        process_started(p, e, 0);
        return;
    }
    l = xcalloc(1, sizeof(*l));
    *l = (struct exec_look_up){.process = p, .failed = ERR_INIT};
    loop_work(p->task->shim->loop, exec_look_up, exec_looked_up, l);
}

static void start(struct process *p)
{
    const struct task_moment m = {.list = &p->task->config.hooks.start_container,
                                  .name = "startContainer",
                                  .status = "created",
                                  .is_confined = true};

    if (p->exec_id)
        task_stdio_open(p, exec_streams_opened, p);
    else
        task_hooks_run(p->task, &m, start_hooked, p);
}

/* ---- What else ---- */

/* The group has the execs as well. */
static void signal_send(struct process *p, int number, bool is_all, task_done *done, void *ctx)
{
    struct err e = ERR_INIT;
    struct process *other;
    int r;

    if (is_all && !p->exec_id) {
        LINK_EACH(other, &p->task->execs, struct process, in_task)
        {
            if (other->guest && !other->is_ended)
                (void)guest_process_kill(other->guest, number);
        }
    }
    r = p->guest ? guest_process_kill(p->guest, number) : -ESRCH;
    if (number == SIGKILL && !p->exec_id)
        p->task->is_guest_killed = true;
    /* A frozen process does not even die. */
    if (number == SIGKILL && p->task->is_paused && !p->exec_id)
        (void)cgroup_thaw(p->task->cgroup, &e);
    /* Nor does a start whose hooks hang. */
    if (number == SIGKILL && p->state == PROCESS_STARTING && !p->exec_id)
        task_hooks_cancel(p->task);
    if (r < 0)
        err_errno(&e, r, r == -ESRCH ? "NotRunning" : "SignalFailed",
                  "cannot send the signal %d to '%s'", number, process_name(p));
    done(ctx, r < 0 ? &e : NULL);
}

static void poststopped(void *ctx, const struct err *e)
{
    struct process *p = ctx;
    struct task *t = p->task;

    if (e)
        log_warn("%s: %s", t->id, e->msg);
    t->is_poststopped = true;
    process_note_remove(t->bundle_fd, RECORD_PROCESS_NAME);
    process_cleaned(p, NULL);
}

bool task_guest_is_gone(const struct process *p)
{
    return !p->guest || p->is_ended || !guest_process_pid(p->guest);
}

static void clean(struct process *p)
{
    struct task *t = p->task;
    const struct task_moment m = {.list = &t->config.hooks.poststop,
                                  .name = "poststop",
                                  .status = "stopped",
                                  .goes_on = true};

    program_cancel(take_ptr(p->preparing));
    if (!task_guest_is_gone(p)) {
        p->is_clean_due = true;
        (void)guest_process_kill(p->guest, SIGKILL);
        return;
    }
    guest_process_free(take_ptr(p->guest));
    if (p->exec_id) {
        process_cleaned(p, NULL);
        return;
    }
    guest_mounts_free(take_ptr(t->mounts));
    seccomp_program_done(&t->seccomp);
    cgroup_fds_close(&t->cgroup_fds);
    /* Of a container that was created, and once. */
    if ((t->is_dead && !p->pid) || t->is_poststopped)
        poststopped(p, NULL);
    else
        task_hooks_run(t, &m, poststopped, p);
}

/* Freezing may wait for processes to stop. */
struct group_chore {
    struct task *task;
    bool is_paused;
    struct oci_resources resources;
    struct err failed;
    task_done *done;
    void *ctx;
};

static struct group_chore *chore_new(struct task *t, task_done *done, void *ctx)
{
    struct group_chore *c = xcalloc(1, sizeof(*c));

    *c = (struct group_chore){.task = t, .done = done, .ctx = ctx};
    task_chore_begin(t);
    return c;
}

static void chore_done(void *ctx)
{
    struct group_chore *c = ctx;

    c->done(c->ctx, c->failed.code ? &c->failed : NULL);
    task_chore_end(c->task);
    oci_resources_done(&c->resources);
    free(c);
}

static void pause_work(void *ctx)
{
    struct group_chore *c = ctx;

    if (c->is_paused)
        cgroup_freeze(c->task->cgroup, &c->failed);
    else
        cgroup_thaw(c->task->cgroup, &c->failed);
}

static void pause_worked(void *ctx)
{
    struct group_chore *c = ctx;
    struct err e = ERR_INIT;

    if (c->is_paused && c->task->is_guest_killed)
        (void)cgroup_thaw(c->task->cgroup, &e);
    chore_done(c);
}

static void pause_set(struct task *t, bool is_paused, task_done *done, void *ctx)
{
    struct group_chore *c = chore_new(t, done, ctx);

    c->is_paused = is_paused;
    loop_work(t->shim->loop, pause_work, pause_worked, c);
}

static void update_work(void *ctx)
{
    struct group_chore *c = ctx;

    cgroup_update(c->task->cgroup, &c->resources, &c->failed);
}

static void update_done(void *ctx)
{
    struct group_chore *c = ctx;

    loop_orphans_release(c->task->shim->loop);
    chore_done(c);
}

static void update(struct task *t, const char *json, size_t len, task_done *done, void *ctx)
{
    struct group_chore *c = chore_new(t, done, ctx);

    if (oci_resources_decode(json, len, &c->resources, &c->failed) < 0) {
        chore_done(c);
        return;
    }
    loop_orphans_hold(t->shim->loop); /* systemd is asked by a child */
    loop_work(t->shim->loop, update_work, update_done, c);
}

const struct task_ops task_guest_ops = {.create = create,
                                        .start = start,
                                        .signal = signal_send,
                                        .clean = clean,
                                        .pause = pause_set,
                                        .update = update};
