/* SPDX-License-Identifier: Apache-2.0 */
/* The commands for a native container in their order, and the processes that come of them. */
#include "container/native/native.h"

#include <ctype.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

#include "base/json_value.h"
#include "base/paths.h"
#include "container/native/runtime_run.h"

enum verb { CREATE, START, DELETE, EXEC, KILL, PAUSE, RESUME, UPDATE, STATE };

static const char *const verb_names[] = {"create", "start",  "delete", "exec", "kill",
                                         "pause",  "resume", "update", "state"};

struct command {
    struct native *n;
    struct command *next;
    enum verb verb;
    struct strv options;
    char operand[12]; /* of a kill: its number */
    int signal;
    bool is_all, is_terminal, has_stdio;
    int fds[3];
    char *exec_id;
    const char *input_option;
    struct buf input;
    union {
        native_done *plain;
        native_started *started;
        native_state_told *told;
    } done;
    void *ctx;
    struct runtime_run *run; /* while it runs */
    bool is_holding;         /* orphans back */
    bool is_thawing;         /* a kill: first */
    bool is_cleaning;        /* after the failure, which it tells in the end */
    struct err failure;
};

struct process {
    struct native *n;
    struct process *next;
    char *exec_id; /* NULL: the init */
    struct loop_child *child;
};

struct native {
    struct native_options o; /* its texts are those below */
    char *runtime, *root, *run_dir, *id, *bundle;
    struct command *waiting; /* the oldest first */
    size_t n_waiting;
    struct command *running; /* any number of kills and one other */
    struct loop_timer *next; /* a command can begin */
    struct process *processes;
    bool has_ended; /* the init */
    bool is_paused;
};

/* ---- Life ---- */

static int id_check(const char *id, struct err *e)
{
    size_t len = strlen(id);
    bool is_good = len && len <= 255 && (isalnum((unsigned char)id[0]) || id[0] == '_');

    for (const char *at = id; *at; at++)
        is_good = is_good && (isalnum((unsigned char)*at) || strchr("_+.-", *at));
    return is_good ? 0
                   : err_set(e, -EINVAL, "BadName",
                             "'%.64s' is no id of a container: up to 255 letters, digits and "
                             "_+.- are, with a letter or digit in front",
                             id);
}

static void command_next(void *ctx);

int native_new(const struct native_options *o, const char *id, const char *bundle,
               struct native **ret, struct err *e)
{
    autofree char *runtime = NULL, *run_dir = NULL;
    struct native *n;

    TRY(id_check(id, e));
    TRY(runtime_find(o->runtime, &runtime, e));
    if (o->run_dir)
        run_dir = xstrdup(o->run_dir);
    else
        TRY(paths_run_dir(&run_dir, e));
    n = xcalloc(1, sizeof(*n));
    *n = (struct native){.o = *o,
                         .runtime = take_ptr(runtime),
                         .root = o->root ? xstrdup(o->root) : path_join(run_dir, "runtime"),
                         .id = xstrdup(id),
                         .bundle = xstrdup(bundle)};
    n->run_dir = take_ptr(run_dir);
    n->o.limit_ms = o->limit_ms ? o->limit_ms : NATIVE_LIMIT_MS;
    n->next = loop_timer_new(o->loop, command_next, n);
    *ret = n;
    return 0;
}

static void command_free(struct command *c)
{
    runtime_run_free(c->run);
    if (c->is_holding)
        loop_orphans_release(c->n->o.loop);
    for (int i = 0; i < 3; i++)
        close_cleanup_(&c->fds[i]);
    strv_done(&c->options);
    buf_done(&c->input);
    free(c->exec_id);
    free(c);
}

static void commands_free(struct command *c)
{
    while (c) {
        struct command *next = c->next;

        command_free(c);
        c = next;
    }
}

void native_free(struct native *n)
{
    if (!n)
        return;
    commands_free(n->waiting);
    commands_free(n->running);
    while (n->processes) {
        struct process *p = n->processes;

        n->processes = p->next;
        loop_child_free(p->child);
        free(p->exec_id);
        free(p);
    }
    loop_timer_free(n->next);
    free(n->runtime);
    free(n->root);
    free(n->run_dir);
    free(n->id);
    free(n->bundle);
    free(n);
}

const char *native_runtime(const struct native *n)
{
    return n->runtime;
}

/* ---- Processes ---- */

static struct process *process_find(const struct native *n, const char *exec_id)
{
    for (struct process *p = n->processes; p; p = p->next)
        if (exec_id ? p->exec_id && str_eq(p->exec_id, exec_id) : !p->exec_id)
            return p;
    return NULL;
}

pid_t native_pid(const struct native *n)
{
    const struct process *p = process_find(n, NULL);

    return p ? loop_child_pid(p->child) : 0;
}

static void process_ended(void *ctx, int status)
{
    struct process *p = ctx;
    struct native *n = p->n;

    for (struct process **at = &n->processes; *at; at = &(*at)->next)
        if (*at == p) {
            *at = p->next;
            break;
        }
    if (!p->exec_id) {
        n->has_ended = true;
        n->is_paused = false;
    }
    if (n->o.ended)
        n->o.ended(n->o.ctx, p->exec_id, status); /* which may free the container */
    loop_child_free(p->child);
    free(p->exec_id);
    free(p);
}

static int process_add(struct native *n, const char *exec_id, pid_t pid, struct err *e)
{
    struct process *p = xcalloc(1, sizeof(*p));

    p->n = n;
    if (loop_child_adopt(n->o.loop, pid, process_ended, p, &p->child, e) < 0) {
        free(p);
        return e->code;
    }
    p->exec_id = exec_id ? xstrdup(exec_id) : NULL;
    p->next = n->processes;
    n->processes = p;
    return 0;
}

/* What a runtime that was killed, say, has left running. While orphans are held back, the number is
 * that of this child. */
static void process_drop(pid_t pid)
{
    siginfo_t info;

    if (pid > 0 && !waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT))
        kill(pid, SIGKILL);
}

int native_exec_kill(struct native *n, const char *exec_id, int signal, struct err *e)
{
    struct process *p = process_find(n, exec_id);

    if (!p)
        return err_set(e, -ESRCH, "NotRunning", "no process '%s' runs in the container '%s'",
                       exec_id, n->id);
    loop_child_kill(p->child, signal);
    return 0;
}

/* ---- The end of a command ---- */

static void state_tell(const struct command *c, const struct err *e, const char *text)
{
    struct err bad = ERR_INIT;
    AUTO(json_value) v = NULL;
    const char *status = NULL;

    if (!e->code) {
        (void)json_value_parse(text, strlen(text), (struct json_limits){RUNTIME_OUTPUT_LIMIT, 32},
                               &v, &bad);
        status = json_value_str(v, "status");
        bad = ERR_INIT;
        if (!status)
            err_set(&bad, -EPROTO, "RuntimeFailed", "%s has told no state of the container '%s'",
                    path_base(c->n->runtime), c->n->id);
    }
    c->done.told(c->ctx, e->code ? e : &bad, status, (pid_t)json_value_int(v, "pid", 0));
}

/* `a` is NULL when the runtime was not run for it. */
static void command_finish(struct command *c, const struct err *e, struct runtime_answer *a)
{
    struct native *n = c->n;

    for (struct command **at = &n->running; *at; at = &(*at)->next)
        if (*at == c) {
            *at = c->next;
            break;
        }
    if (c->is_holding)
        loop_orphans_release(n->o.loop);
    c->is_holding = false;
    if (n->waiting)
        loop_timer_set(n->next, 0);
    if (c->verb == CREATE || c->verb == EXEC) {
        bool is_there = a && !e->code;

        c->done.started(c->ctx, e, is_there ? a->pid : 0,
                        is_there ? take_fd(&a->console_fd) : -EBADF);
    } else if (c->verb == STATE) {
        state_tell(c, e, a ? a->output : NULL);
    } else {
        c->done.plain(c->ctx, e);
    }
    /* The container may be gone. */
    command_free(c);
}

static int command_run(struct command *c, struct err *e);

/* After a failed create or start: takes away what there is, then tells the failure. */
static void command_clean(struct command *c, const struct err *why)
{
    struct err ignored = ERR_INIT;

    c->failure = *why;
    c->is_cleaning = true;
    if (command_run(c, &ignored) < 0)
        command_finish(c, &c->failure, NULL);
}

/* The init has been killed, which in a group of version 1 comes to be only now. That there was
 * nothing to thaw any more is fine. */
static void command_thawed(struct command *c, struct err *e)
{
    struct native *n = c->n;
    siginfo_t info = {0};
    pid_t pid = native_pid(n);

    c->is_thawing = n->is_paused = false;
    if (!pid || (!waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) && info.si_pid))
        *e = ERR_INIT;
    if (e->code || !c->is_all || command_run(c, e) < 0)
        command_finish(c, e, NULL);
}

/* The runtimes have no other way to tell it. */
static bool says_not_running(const char *msg)
{
    static const char *const words[] = {"already finished", "not running", "no such process",
                                        "No such process", "does not exist"};

    for (size_t i = 0; i < ARRAY_SIZE(words); i++)
        if (strstr(msg, words[i]))
            return true;
    return false;
}

static void run_ended(void *ctx, const struct err *told, struct runtime_answer *a)
{
    struct command *c = ctx;
    struct native *n = c->n;
    struct err e = *told;
    struct runtime_run *run = take_ptr(c->run);

    if (c->is_cleaning)
        e = c->failure;
    else if (!e.code && (c->verb == CREATE || c->verb == EXEC))
        (void)process_add(n, c->exec_id, a->pid, &e);
    else if (!e.code && (c->verb == PAUSE || c->verb == RESUME))
        n->is_paused = c->verb == PAUSE && !n->has_ended;
    if (e.code && c->verb == EXEC)
        process_drop(a->pid);
    if (e.code == -EIO && c->verb == KILL && says_not_running(e.msg)) {
        e.code = -ESRCH;
        e.reason = "NotRunning";
    }
    if (c->is_thawing)
        command_thawed(c, &e);
    else if (e.code && !c->is_cleaning && (c->verb == CREATE || c->verb == START))
        command_clean(c, &e);
    else
        command_finish(c, &e, a);
    runtime_run_free(run);
}

/* ---- The beginning of a command ---- */

static int command_run(struct command *c, struct err *e)
{
    const struct native *n = c->n;
    autostrv forced = STRV_INIT;
    struct runtime_run_options o = {.loop = n->o.loop,
                                    .runtime = n->runtime,
                                    .root = n->root,
                                    .run_dir = n->run_dir,
                                    .is_systemd_cgroup = n->o.is_systemd_cgroup,
                                    .limit_ms = n->o.limit_ms,
                                    .verb = verb_names[c->verb],
                                    .id = n->id,
                                    .options = &c->options,
                                    .ended = run_ended,
                                    .ctx = c};

    if (c->is_cleaning) {
        strv_add(&forced, "--force");
        o.verb = verb_names[DELETE];
        o.options = &forced;
        return runtime_run_start(&o, &c->run, e);
    }
    if (c->is_thawing) {
        o.verb = verb_names[RESUME];
        o.options = NULL;
        return runtime_run_start(&o, &c->run, e);
    }
    o.input_option = c->input_option;
    o.input = &c->input;
    o.is_terminal = c->is_terminal;
    o.operand = c->operand;
    o.has_pid = c->verb == CREATE || c->verb == EXEC;
    if (c->has_stdio && !c->is_terminal)
        o.fds = c->fds;
    return runtime_run_start(&o, &c->run, e);
}

/* Whether that was all, without the runtime, which takes its time. What is paused has to be thawed
 * to be killed, which not all runtimes do by themselves. */
static bool kill_directly(struct command *c, struct err *e)
{
    struct process *init = process_find(c->n, NULL);

    c->is_thawing = init && c->n->is_paused && c->signal == SIGKILL;
    if (c->is_thawing)
        loop_child_kill(init->child, SIGKILL);
    if (c->is_all || c->is_thawing || (!init && !c->n->has_ended))
        return false;
    if (init)
        loop_child_kill(init->child, c->signal);
    else
        err_set(e, -ESRCH, "NotRunning", "the init of the container '%s' has ended", c->n->id);
    return true;
}

/* A create that fails takes away what there is, which must not be another one's. */
static int create_check(const struct native *n, struct err *e)
{
    autofree char *state = path_join(n->root, n->id);

    if (!access(state, F_OK))
        return err_set(e, -EEXIST, "AlreadyExists",
                       "there is a container '%s' already: '%s'; delete it first", n->id, state);
    return 0;
}

static int command_check(const struct command *c, struct err *e)
{
    if (c->failure.code) {
        *e = c->failure;
        return e->code;
    }
    if (c->verb == CREATE)
        return create_check(c->n, e);
    if (c->verb == EXEC && process_find(c->n, c->exec_id))
        return err_set(e, -EEXIST, "AlreadyExists",
                       "a process '%s' runs in the container '%s' already", c->exec_id, c->n->id);
    return 0;
}

static void command_begin(struct command *c)
{
    struct err e = ERR_INIT;
    struct native *n = c->n;

    c->next = n->running;
    n->running = c;
    if (command_check(c, &e) < 0 || (c->verb == KILL && kill_directly(c, &e))) {
        command_finish(c, &e, NULL);
        return;
    }
    if (c->verb == CREATE || c->verb == EXEC) {
        loop_orphans_hold(n->o.loop);
        c->is_holding = true;
    }
    if (command_run(c, &e) >= 0)
        return;
    if (c->verb == START)
        command_clean(c, &e);
    else
        command_finish(c, &e, NULL);
}

static bool overtakes(const struct command *c)
{
    return c->verb == KILL || c->failure.code;
}

/* Takes out of those that wait the one that can begin; NULL when none can. */
static struct command *command_choose(struct native *n)
{
    struct command **at = &n->waiting, *c;
    bool is_busy = false;

    for (c = n->running; c; c = c->next)
        is_busy = is_busy || c->verb != KILL;
    while (*at && !overtakes(*at))
        at = &(*at)->next;
    if (!*at && !is_busy)
        at = &n->waiting;
    c = *at;
    if (c) {
        *at = c->next;
        n->n_waiting--;
    }
    return c;
}

/* One only: it may be finished at once, and its owner may free the container. */
static void command_next(void *ctx)
{
    struct native *n = ctx;
    struct command *c = command_choose(n);

    if (!c)
        return;
    if (n->waiting)
        loop_timer_set(n->next, 0);
    command_begin(c);
}

/* ---- Calls ---- */

static void fail(struct command *c, int code, const char *reason, const char *why)
{
    err_set(&c->failure, code, reason, "%s of the container '%s': %s", verb_names[c->verb],
            c->n->id, why);
}

static struct command *command_add(struct native *n, enum verb verb, void *ctx)
{
    struct command *c = xcalloc(1, sizeof(*c)), **end = &n->waiting;

    *c = (struct command){
        .n = n, .verb = verb, .fds = {-EBADF, -EBADF, -EBADF},
                .ctx = ctx
    };
    while (*end)
        end = &(*end)->next;
    *end = c;
    if (n->n_waiting++ >= NATIVE_QUEUE_LIMIT)
        fail(c, -EAGAIN, "TooManyCommands", "too many commands wait for it; try again later");
    loop_timer_set(n->next, 0);
    return c;
}

static void command_add_plain(struct native *n, enum verb verb, native_done *done, void *ctx)
{
    command_add(n, verb, ctx)->done.plain = done;
}

static void stdio_set(struct command *c, const struct native_stdio *io)
{
    c->has_stdio = true;
    c->is_terminal = io->is_terminal;
    for (int i = 0; i < 3 && !io->is_terminal && !c->failure.code; i++) {
        if (io->fds[i] < 0)
            continue;
        c->fds[i] = fcntl(io->fds[i], F_DUPFD_CLOEXEC, 3);
        if (c->fds[i] < 0)
            fail(c, -errno, "CommandFailed", "cannot pass its descriptors on");
    }
}

void native_create(struct native *n, const struct native_stdio *io, native_started *done, void *ctx)
{
    struct command *c = command_add(n, CREATE, ctx);

    c->done.started = done;
    strv_add(&c->options, "--bundle");
    strv_add(&c->options, n->bundle);
    if (n->o.no_pivot_root)
        strv_add(&c->options, "--no-pivot");
    if (n->o.no_new_keyring)
        strv_add(&c->options, "--no-new-keyring");
    stdio_set(c, io);
}

void native_start(struct native *n, native_done *done, void *ctx)
{
    command_add_plain(n, START, done, ctx);
}

void native_delete(struct native *n, bool is_forced, native_done *done, void *ctx)
{
    struct command *c = command_add(n, DELETE, ctx);

    c->done.plain = done;
    if (is_forced)
        strv_add(&c->options, "--force");
}

void native_exec(struct native *n, const char *exec_id, const char *process, size_t len,
                 const struct native_stdio *io, native_started *done, void *ctx)
{
    struct command *c = command_add(n, EXEC, ctx);

    c->done.started = done;
    c->exec_id = xstrdup(exec_id);
    strv_add(&c->options, "--detach");
    c->input_option = "--process";
    buf_add(&c->input, process, len);
    stdio_set(c, io);
}

void native_kill(struct native *n, int signal, bool is_all, native_done *done, void *ctx)
{
    struct command *c = command_add(n, KILL, ctx);

    c->done.plain = done;
    c->signal = signal;
    c->is_all = is_all;
    if (signal < 1 || signal > SIGRTMAX)
        fail(c, -EINVAL, "BadSignal", "there is no such signal");
    snprintf(c->operand, sizeof(c->operand), "%d", signal);
    if (is_all)
        strv_add(&c->options, "--all");
}

void native_pause(struct native *n, native_done *done, void *ctx)
{
    command_add_plain(n, PAUSE, done, ctx);
}

void native_resume(struct native *n, native_done *done, void *ctx)
{
    command_add_plain(n, RESUME, done, ctx);
}

void native_update(struct native *n, const char *resources, size_t len, native_done *done,
                   void *ctx)
{
    struct command *c = command_add(n, UPDATE, ctx);

    c->done.plain = done;
    c->input_option = "--resources";
    buf_add(&c->input, resources, len);
}

void native_state(struct native *n, native_state_told *done, void *ctx)
{
    command_add(n, STATE, ctx)->done.told = done;
}
