/* SPDX-License-Identifier: Apache-2.0 */
/* One more guest in a running container's place. */
#include <fcntl.h>
#include <inttypes.h>

#include "base/clock.h"
#include "loop/stream.h"
#include "pod/runtime/pod_internal.h"

#define REASON_START "StartError"

/*
 * Its owner is the caller, or an action. It ends with its container and with its pod; after that
 * `pod` is NULL, and only its own end is awaited.
 */
struct pod_exec {
    struct pods *set;
    struct pod *pod;
    struct link link;           /* in the pod's execs, or in the set's orphans */
    struct exec_action *action; /* NULL: the caller's */
    size_t index;               /* of the container */
    struct exec_chore *chore;
    struct container *container;
    struct loop_timer *failing; /* tells `failed` from the loop */
    struct err failed;
    bool is_stopped, has_ended;
    void (*ended)(void *ctx, const struct guest_status *status);
    void *ctx;
};

struct exec_chore {
    struct chore chore;
    struct pod_exec *exec; /* NULL: it was freed meanwhile */
    struct launch *launch;
    char *program;
    struct strv env; /* besides the container's */
    int fds[3];
    int64_t timeout_ms;
    int r;
    struct err e;
};

/* ---- Its end ---- */

static void pod_leave(struct pod_exec *x)
{
    link_remove(&x->link);
    x->pod = NULL;
}

static void exec_end(struct pod_exec *x, const struct guest_status *status)
{
    if (x->has_ended)
        return;
    x->has_ended = true;
    x->ended(x->ctx, status);
}

static void exec_fail(void *ctx)
{
    struct pod_exec *x = ctx;
    struct guest_status status = {
        .id = (char *)"exec",
        .reason = (char *)REASON_START,
        .message = x->failed.msg,
        .exit_code = x->is_stopped ? GUEST_EXIT_SIGTERM : GUEST_EXIT_NOT_RUNNABLE,
    };

    exec_end(x, &status);
}

static void fail_soon(struct pod_exec *x, const struct err *e)
{
    x->failed = *e;
    loop_timer_set(x->failing, clock_monotonic_ns());
}

static void started(void *ctx)
{
    (void)ctx;
}

static void exec_destroy(struct pod_exec *x)
{
    container_free(take_ptr(x->container));
    loop_timer_free(x->failing);
    link_remove(&x->link);
    free(x);
}

static void refused(void *ctx, const struct err *e)
{
    struct pod_exec *x = ctx;

    x->failed = *e;
    container_free(take_ptr(x->container));
    if (x->ended)
        exec_fail(x);
    else
        exec_destroy(x);
}

static void exited(void *ctx, const struct guest_status *status)
{
    struct pod_exec *x = ctx;
    struct container *c = take_ptr(x->container);

    container_forget(c);
    if (x->ended)
        exec_end(x, status);
    else
        exec_destroy(x);
    container_free(c); /* whose the status is */
}

static const struct container_events events = {started, refused, exited};

/* ---- Its start ---- */

static void exec_work(struct chore *c)
{
    struct exec_chore *x = (struct exec_chore *)c;

    x->r = launch_open(x->launch, &x->e);
}

/* What the container may use is for both. Of one that has ended the group goes, and its execs end.
 */
static int group_use(const struct pod *p, size_t index, struct guest_spec *s, struct err *e)
{
    const struct container *c = p->runs[index].container;

    return c ? cpu_limits_use(p->set->cpu, container_id(c), s, e) : 0;
}

static void env_add(const struct strv *more, struct strv *env)
{
    for (size_t i = 0; i < more->n; i++)
        if (!strv_variable_find(env, more->v[i]))
            strv_add(env, more->v[i]);
}

static void exec_begin(struct exec_chore *c)
{
    struct pod_exec *x = c->exec;
    struct pod *p = c->chore.pod;
    struct guest_spec *s = &c->launch->spec;
    struct err e = ERR_INIT;

    /* No attempt of a container and no earlier exec has this id: names have no dots. */
    s->id = xasprintf("%s-%s.exec.%" PRIx64 ".%" PRIu64, p->spec->uid,
                      p->spec->containers[x->index].name, clock_realtime_ns(), ++p->set->n_execs);
    s->stdin_fd = take_fd(&c->fds[0]);
    s->stdout_fd = take_fd(&c->fds[1]);
    s->stderr_fd = take_fd(&c->fds[2]);
    s->timeout_ms = c->timeout_ms;
    env_add(&c->env, &s->env);
    if (group_use(p, x->index, s, &e) < 0) {
        fail_soon(x, &e);
        return;
    }
    x->container = container_start(p->set->o.containers, p->spec->space, s, &events, x);
    guest_spec_done(s);
    *s = (struct guest_spec){0};
}

static void exec_done(struct chore *c)
{
    struct exec_chore *x = (struct exec_chore *)c;
    struct pod_exec *exec = x->exec;

    if (exec) {
        exec->chore = NULL;
        if (chore_is_void(c) || exec->is_stopped)
            err_set(&x->e, -ECANCELED, "Stopped", "it was stopped before it was started");
        if (x->e.code)
            fail_soon(exec, &x->e);
        else
            exec_begin(x);
    }
    for (size_t i = 0; i < 3; i++)
        if (x->fds[i] >= 0)
            close(x->fds[i]);
    launch_free(x->launch);
    free(x->program);
    strv_done(&x->env);
    free(x);
}

/* What ps of the toolbox shows as the process that this guest was put beside. */
static void container_tell(struct launch *l)
{
    autobuf words = BUF_INIT;

    buf_addf(&words, "WHERRY_CONTAINER=%s %s", l->container->name, l->container->image);
    for (size_t i = 0; i < l->command.n; i++)
        buf_addf(&words, " %s", l->command.v[i]);
    for (size_t i = 0; i < l->args.n; i++)
        buf_addf(&words, " %s", l->args.v[i]);
    strv_add_owned(&l->env, buf_take(&words));
}

static int gather(struct pod_run *r, const struct pod_exec_options *o, struct exec_chore *x,
                  struct err *e)
{
    autostrv notes = STRV_INIT;
    struct launch *l;

    x->program = xstrdup(o->program ? o->program : r->pod->set->toolbox);
    if (o->env)
        strv_addv(&x->env, (char *const *)o->env);
    l = run_launch(r, &notes, e);
    if (!l)
        return e->code;
    x->launch = l;
    l->program = x->program;
    l->image = r->image ? xstrdup(r->image) : NULL;
    if (!o->program)
        container_tell(l);
    strv_done(&l->args);
    strv_addv(&l->args, (char *const *)o->args);
    return 0;
}

static void fds_close(const struct pod_exec_options *o)
{
    const int fds[] = {o->stdin_fd, o->stdout_fd, o->stderr_fd};

    for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
        if (fds[i] >= 0)
            close(fds[i]);
}

static int check(const struct pod *p, const char *name, const struct pod_container **ret,
                 struct err *e)
{
    const struct pod_container *c = pod_container_find(p->spec, name);
    size_t i;

    if (!c)
        return err_set(e, -ENOENT, "NotFound", "pod '%s/%s' has no container '%s'", p->spec->space,
                       p->spec->name, name);
    i = (size_t)(c - p->spec->containers);
    if (!p->runs[i].container || pod_machine_state(p->m, i) < POD_STATE_RUNNING ||
        pod_machine_state(p->m, i) > POD_STATE_INTERRUPTED)
        return err_set(e, -ESRCH, "NotRunning", "container '%s' of pod '%s/%s' does not run", name,
                       p->spec->space, p->spec->name);
    *ret = c;
    return 0;
}

static int exec_start(struct pod *p, const struct pod_exec_options *o, int64_t timeout_ms,
                      struct pod_exec **ret, struct err *e)
{
    const struct pod_container *c = NULL;
    struct exec_chore *chore;
    struct pod_exec *x;

    if (check(p, o->container, &c, e) < 0) {
        fds_close(o);
        return e->code;
    }
    x = xcalloc(1, sizeof(*x));
    *x = (struct pod_exec){.set = p->set,
                           .pod = p,
                           .index = (size_t)(c - p->spec->containers),
                           .ended = o->ended,
                           .ctx = o->ctx};
    x->failing = loop_timer_new(p->set->o.loop, exec_fail, x);
    link_init(&x->link);
    link_append(&p->execs, &x->link);
    chore = xcalloc(1, sizeof(*chore));
    *chore = (struct exec_chore){
        .chore = {.pod = p,    .work = exec_work, .done = exec_done},
        .exec = x,
        .fds = {o->stdin_fd, o->stdout_fd,      o->stderr_fd     },
        .timeout_ms = timeout_ms
    };
    x->chore = chore;
    if (gather(&p->runs[x->index], o, chore, &chore->e) < 0) {
        chore->chore.has_run = true;
        exec_done(&chore->chore);
    } else {
        lane_add(&p->volumes, p, &chore->chore);
    }
    *ret = x;
    return 0;
}

int pod_exec_start(struct pod *p, const struct pod_exec_options *o, struct pod_exec **ret,
                   struct err *e)
{
    return exec_start(p, o, 0, ret, e);
}

void pod_exec_stop(struct pod_exec *x)
{
    x->is_stopped = true;
    if (x->container)
        container_stop(x->container);
}

void pod_exec_free(struct pod_exec *x)
{
    if (!x)
        return;
    pod_exec_stop(x);
    if (x->chore)
        x->chore->exec = NULL;
    pod_leave(x);
    x->ended = NULL;
    if (!x->container || x->has_ended || x->set->is_closed)
        exec_destroy(x);
    else
        link_append(&x->set->orphans, &x->link); /* its end is to be forgotten */
}

void orphans_free(struct pods *s)
{
    struct pod_exec *x;

    while ((x = LINK_FIRST(&s->orphans, struct pod_exec, link)))
        exec_destroy(x);
}

/* ---- Of probes and hooks ---- */

#define OUTPUT_LIMIT 10240u /* as a kubelet keeps */

/* Lives until it was done: nobody else holds it. */
struct exec_action {
    struct pod_exec *exec;
    struct stream *output;
    struct buf text;
    bool has_ended;
    int exit_code;
    void (*done)(void *ctx, int exit_code, const char *output);
    void *ctx;
};

/* Takes it apart, and tells. */
static void action_end(struct exec_action *a)
{
    stream_free(take_ptr(a->output));
    pod_exec_free(take_ptr(a->exec));
    a->done(a->ctx, a->exit_code, buf_str(&a->text));
    buf_done(&a->text);
    free(a);
}

static void action_check(struct exec_action *a)
{
    if (a->has_ended && !a->output)
        action_end(a);
}

static void action_data(void *ctx, const void *data, size_t len)
{
    struct exec_action *a = ctx;
    size_t room = OUTPUT_LIMIT - a->text.len;

    buf_add(&a->text, data, len < room ? len : room);
}

static void action_closed(void *ctx, const struct err *e)
{
    struct exec_action *a = ctx;

    (void)e;
    stream_free(take_ptr(a->output));
    action_check(a);
}

static void action_ended(void *ctx, const struct guest_status *status)
{
    struct exec_action *a = ctx;

    a->has_ended = true;
    a->exit_code = (int)status->exit_code;
    if (!status->is_guest_exit) {
        a->exit_code = -1;
        buf_clear(&a->text);
        buf_addstr(&a->text, status->message ? status->message : status->reason);
    }
    action_check(a);
}

static int action_pipe(struct pod *p, struct exec_action *a, int ret_fds[2], struct err *e)
{
    struct stream_options o = {
        .queue_limit = 1, .data = action_data, .ended = action_closed, .ctx = a};
    autofd write = -EBADF;
    int fds[2];

    if (pipe2(fds, O_CLOEXEC) < 0)
        return err_errno(e, -errno, REASON_START, "cannot make a pipe");
    write = fds[1];
    o.fd = fds[0];
    TRY(stream_new(p->set->o.loop, &o, &a->output, e));
    ret_fds[1] = fcntl(write, F_DUPFD_CLOEXEC, 3);
    if (ret_fds[1] < 0)
        return err_errno(e, -errno, REASON_START, "cannot have another descriptor");
    ret_fds[0] = take_fd(&write);
    return 0;
}

void exec_action(void *ctx, const struct pod_words *command, uint64_t timeout_ms,
                 void (*done)(void *done_ctx, int exit_code, const char *output), void *done_ctx)
{
    struct pod_run *r = ctx;
    struct exec_action *a = xcalloc(1, sizeof(*a));
    autostrv args = STRV_INIT;
    struct pod_exec_options o = {
        .container = run_spec(r)->name, .stdin_fd = -1, .ended = action_ended, .ctx = a};
    int fds[2] = {-1, -1};
    struct err e = ERR_INIT;

    a->done = done;
    a->ctx = done_ctx;
    for (size_t i = 0; i < command->n; i++)
        strv_add(&args, command->v[i]);
    o.args = strv_array(&args);
    if (action_pipe(r->pod, a, fds, &e) >= 0) {
        o.stdout_fd = fds[0];
        o.stderr_fd = fds[1];
        if (exec_start(r->pod, &o, timeout_ms > INT64_MAX ? 0 : (int64_t)timeout_ms, &a->exec,
                       &e) >= 0) {
            a->exec->action = a;
            return;
        }
    }
    a->exit_code = -1;
    buf_addstr(&a->text, e.msg);
    action_end(a);
}

void execs_end(struct pod *p, size_t container)
{
    struct pod_exec *x;

    LINK_EACH(x, &p->execs, struct pod_exec, link)
    {
        if (container != SIZE_MAX && x->index != container)
            continue;
        pod_exec_stop(x);
        pod_leave(x);
        if (!x->action || !p->is_closed)
            continue;
        x->action->exit_code = -1;
        buf_clear(&x->action->text);
        buf_addstr(&x->action->text, "the pod is gone");
        action_end(x->action);
    }
}
