/* SPDX-License-Identifier: Apache-2.0 */
#include "container/guest/guest_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/fds.h"
#include "container/guest/guest_process_job.h"

#define FAILED "ProcessFailed"
/* As a shell says it. */
#define EXIT_NOT_STARTED    125
#define EXIT_NOT_EXECUTABLE 126

#define STATUS_LIMIT_BYTES (1u << 20)
#define GIVEN_MAX          10
#define KEPT_MAX           (GIVEN_MAX + CONFINEMENT_FDS_MAX + 4)

enum state {
    STATE_NEW,
    STATE_CREATING,
    STATE_CREATED,
    STATE_STARTING,
    STATE_STARTED,
    STATE_ENDED, /* or was never created */
};

struct guest_process {
    struct loop *loop;
    char *worker;
    enum state state;
    struct confinement *confinement;
    const struct guest_mounts *mounts;
    struct guest_job job;
    int stdio[3]; /* above 2; -EBADF: /dev/null */
    unsigned port;
    int status_fd;
    bool is_score_kept;
    void (*ended)(void *ctx, int status);
    void *ended_ctx;

    /* While it is created, on the pool's thread: what `created` is told. */
    struct err failed;
    void (*created)(void *ctx, const struct err *e, pid_t pid);
    void *created_ctx;

    pid_t pid;
    int pid_fd, start_fd, report_fd;
    struct loop_child *child;
    struct loop_watch *report_watch;
    void (*started)(void *ctx, const struct err *e);
    void *started_ctx;
};

/* ---- The child ---- */

/* Put together before it exists: what it needs, for after the fork it makes system calls only. */
struct birth {
    const struct guest_process *p;
    int stdio[3];
    int given[GIVEN_MAX]; /* that the worker is to have */
    size_t n_given;
    int kept[KEPT_MAX]; /* ascending: the given ones and its own */
    size_t n_kept;
    int worker_fd, listener_fd, report_fd, start_fd;
    const char *argv[4];
    char spec_fd[16];
};

static void others_close(const struct birth *b)
{
    unsigned from = 3;

    for (size_t i = 0; i < b->n_kept; i++) {
        unsigned at = (unsigned)b->kept[i];

        if (at > from)
            (void)syscall(SYS_close_range, from, at - 1, 0);
        if (at >= from)
            from = at + 1;
    }
    (void)syscall(SYS_close_range, from, ~0U, 0);
}

/* Those of this process would run code that is not meant for a child. */
static void signals_reset(void)
{
    sigset_t none;

    for (int i = 1; i < NSIG; i++)
        if (i != SIGKILL && i != SIGSTOP)
            (void)signal(i, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static _Noreturn void child_fail(const struct birth *b, const struct confinement_report *r,
                                 int status)
{
    _exit(write(b->report_fd, r, sizeof(*r)) == sizeof(*r) ? status : EXIT_NOT_STARTED);
}

static _Noreturn void child_main(const struct birth *b)
{
    static const char *const no_env[] = {NULL};
    const struct confinement *c = b->p->confinement;
    struct confinement_report r;
    char go;

    for (int i = 0; i < 3; i++)
        dup2(b->stdio[i], i);
    others_close(b);
    signals_reset();
    (void)!chdir("/"); /* the supervisor's folder is not held by it */
    if (!confinement_apply(c, b->listener_fd, &r))
        child_fail(b, &r, EXIT_NOT_STARTED);
    if (write(b->report_fd, &r, sizeof(r)) != sizeof(r) || read(b->start_fd, &go, 1) != 1)
        _exit(EXIT_NOT_STARTED); /* nobody is left who would start it */
    for (size_t i = 0; i < b->n_given; i++)
        fcntl(b->given[i], F_SETFD, 0);
    if (!confinement_seal(c, &r))
        child_fail(b, &r, EXIT_NOT_STARTED);
    execve(b->argv[0], (char *const *)b->argv, (char *const *)no_env);
    /* The user may not enter the folders that it is in, but may execute it all the same. */
    if (errno == EACCES)
        syscall(SYS_execveat, b->worker_fd, "", b->argv, no_env, AT_EMPTY_PATH);
    r = (struct confinement_report){CONFINEMENT_EXEC, 0, errno};
    child_fail(b, &r, EXIT_NOT_EXECUTABLE);
}

/* ---- Birth, on a thread of the pool ---- */

static int int_compare(const void *a, const void *b)
{
    int x = *(const int *)a, y = *(const int *)b;

    return (x > y) - (x < y);
}

static void give(struct birth *b, int64_t fd)
{
    if (fd < 0)
        return;
    BUG_ON(fd <= STDERR_FILENO || b->n_given == GIVEN_MAX);
    b->given[b->n_given++] = (int)fd;
}

static void kept_list(struct birth *b)
{
    memcpy(b->kept, b->given, b->n_given * sizeof(*b->given));
    b->n_kept = b->n_given;
    b->kept[b->n_kept++] = b->worker_fd;
    b->kept[b->n_kept++] = b->report_fd;
    b->kept[b->n_kept++] = b->start_fd;
    b->n_kept += confinement_fds(b->p->confinement, b->kept + b->n_kept, KEPT_MAX - b->n_kept);
    qsort(b->kept, b->n_kept, sizeof(*b->kept), int_compare);
}

/* With all signals held back, so that no handler of this process runs in the child. */
static pid_t fork_quietly(const struct birth *b)
{
    sigset_t all, before;
    pid_t pid;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pid = fork();
    if (!pid)
        child_main(b);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return pid;
}

static int report_read(struct guest_process *p, struct err *e)
{
    struct confinement_report r;
    ssize_t n;

    do
        n = read(p->report_fd, &r, sizeof(r));
    while (n < 0 && errno == EINTR);
    if (n != sizeof(r))
        return err_set(e, -ECHILD, FAILED,
                       "the container's process ended before it was confined; its control group "
                       "may have too little memory");
    if (r.step != CONFINEMENT_READY)
        return confinement_error(p->confinement, &r, e);
    p->is_score_kept = r.index == CONFINEMENT_SCORE_KEPT;
    return 0;
}

static void reap(struct guest_process *p)
{
    siginfo_t info;

    if (p->pid_fd >= 0)
        (void)pidfd_send_signal(p->pid_fd, SIGKILL, NULL, 0);
    else
        kill(p->pid, SIGKILL);
    while (waitid(P_PID, (id_t)p->pid, &info, WEXITED) < 0 && errno == EINTR)
        ;
    p->pid = 0;
}

static int child_bear(struct guest_process *p, const struct birth *b, struct err *e)
{
    int r = 0;

    p->pid = fork_quietly(b);
    if (p->pid < 0) {
        p->pid = 0;
        return err_errno(e, -errno, FAILED, "cannot fork");
    }
    p->pid_fd = pidfd_open(p->pid, 0);
    if (p->pid_fd < 0)
        r = err_errno(e, -errno, FAILED, "cannot watch the container's process");
    return r;
}

static int pipes_open(struct guest_process *p, int ret_other[2], struct err *e)
{
    int report[2], start[2];

    if (pipe2(report, O_CLOEXEC) < 0)
        return err_errno(e, -errno, FAILED, "cannot make a pipe");
    p->report_fd = report[0];
    ret_other[0] = report[1];
    if (pipe2(start, O_CLOEXEC) < 0)
        return err_errno(e, -errno, FAILED, "cannot make a pipe");
    p->start_fd = start[1];
    ret_other[1] = start[0];
    return 0;
}

static int bear_with(struct guest_process *p, struct birth *b, int null_fd, struct err *e)
{
    autofd report = -EBADF, start = -EBADF;
    int other[2] = {-EBADF, -EBADF}, r = pipes_open(p, other, e);

    report = other[0];
    start = other[1];
    if (r < 0)
        return r;
    b->report_fd = report;
    b->start_fd = start;
    for (int i = 0; i < 3; i++)
        b->stdio[i] = p->stdio[i] < 0 ? null_fd : p->stdio[i];
    kept_list(b);
    r = child_bear(p, b, e);
    close(take_fd(&report)); /* the child's end is seen by its own being shut */
    if (r >= 0)
        r = report_read(p, e);
    if (r < 0 && p->pid > 0)
        reap(p);
    return r;
}

static int listener_place(struct guest_process *p, int null_fd, int *ret_fd, struct err *e)
{
    autofree char *url = xasprintf("http://0.0.0.0:%u", p->port);

    if (!p->port)
        return 0;
    *ret_fd = fcntl(null_fd, F_DUPFD_CLOEXEC, 3);
    if (*ret_fd < 0)
        return err_errno(e, -errno, FAILED, "cannot keep a descriptor for the listening socket");
    guest_spec_listener_add(&p->job.spec, *ret_fd, url);
    return 0;
}

static int bear(struct guest_process *p, struct err *e)
{
    autofd null_fd = open("/dev/null", O_RDWR | O_CLOEXEC), worker = -EBADF, ca = -EBADF,
           listener = -EBADF, job = -EBADF;
    struct birth b = {.p = p};

    if (null_fd < 0 || fd_move_above(&null_fd, 3, e) < 0)
        return err_errno(e, -EIO, FAILED, "cannot open /dev/null");
    worker = open(p->worker, O_PATH | O_CLOEXEC);
    if (worker < 0)
        return err_errno(e, -errno, "ExecFailed", "cannot execute '%.200s'", p->worker);
    guest_process_job_finish(p->mounts, &p->job, &ca);
    TRY(listener_place(p, null_fd, &listener, e));
    TRY(guest_process_job_file(&p->job, &job, e));
    b.worker_fd = worker;
    b.listener_fd = listener;
    give(&b, p->job.spec.module_fd);
    give(&b, p->job.spec.code_fd);
    give(&b, guest_mounts_root(p->mounts));
    give(&b, guest_mounts_namespace(p->mounts));
    give(&b, ca);
    give(&b, listener);
    give(&b, job);
    give(&b, p->status_fd);
    snprintf(b.spec_fd, sizeof(b.spec_fd), "%d", job);
    b.argv[0] = p->worker;
    b.argv[1] = "--spec-fd";
    b.argv[2] = b.spec_fd;
    return bear_with(p, &b, null_fd, e);
}

static void create_work(void *ctx)
{
    struct guest_process *p = ctx;

    (void)bear(p, &p->failed);
}

/* ---- On the loop ---- */

static void report_close(struct guest_process *p)
{
    loop_watch_free(take_ptr(p->report_watch));
    close_cleanup_(&p->report_fd);
    p->report_fd = -EBADF;
}

/* The pipe says nothing once the worker is executed, and is shut by that. */
static void start_tell(struct guest_process *p)
{
    void (*started)(void *ctx, const struct err *e) = take_ptr(p->started);
    struct confinement_report r;
    struct err e = ERR_INIT;
    ssize_t n = read(p->report_fd, &r, sizeof(r));

    if (n < 0) {
        p->started = started;
        return;
    }
    report_close(p);
    p->state = STATE_STARTED;
    if (n == sizeof(r))
        (void)confinement_error(p->confinement, &r, &e);
    started(p->started_ctx, e.code ? &e : NULL);
}

static void report_ready(void *ctx, unsigned events)
{
    (void)events;
    start_tell(ctx);
}

static void process_ended(void *ctx, int status)
{
    struct guest_process *p = ctx;

    loop_child_free(take_ptr(p->child));
    p->pid = 0;
    if (p->started && !p->failed.code) /* that is on its way */
        start_tell(p);                 /* the other end is shut by now */
    p->state = STATE_ENDED;
    p->ended(p->ended_ctx, status);
}

static void create_done(void *ctx)
{
    struct guest_process *p = ctx;
    struct err e = p->failed;

    if (!e.code && loop_child_adopt(p->loop, p->pid, process_ended, p, &p->child, &e) < 0)
        reap(p);
    loop_orphans_release(p->loop);
    /* Who reads the streams sees their end only when nobody else has them. */
    for (size_t i = 0; i < ARRAY_SIZE(p->stdio); i++)
        if (p->stdio[i] >= 0)
            close(take_fd(&p->stdio[i]));
    p->state = e.code ? STATE_ENDED : STATE_CREATED;
    p->created(p->created_ctx, e.code ? &e : NULL, p->pid);
}

void guest_process_create(struct guest_process *p,
                          void (*created)(void *ctx, const struct err *e, pid_t pid), void *ctx)
{
    BUG_ON(p->state != STATE_NEW);
    p->state = STATE_CREATING;
    p->created = created;
    p->created_ctx = ctx;
    loop_orphans_hold(p->loop); /* until it is known who is to be told of its end */
    loop_work(p->loop, create_work, create_done, p);
}

static void start_failed(void *ctx)
{
    struct guest_process *p = ctx;
    void (*started)(void *ctx, const struct err *e) = take_ptr(p->started);

    started(p->started_ctx, &p->failed);
}

void guest_process_start(struct guest_process *p, void (*started)(void *ctx, const struct err *e),
                         void *ctx)
{
    p->started = started;
    p->started_ctx = ctx;
    if (p->state != STATE_CREATED)
        err_set(&p->failed, -ESRCH, FAILED, "it is not there to be started: it has ended");
    else if (loop_watch_new(p->loop, p->report_fd, report_ready, p, &p->report_watch, &p->failed) >=
                 0 &&
             write(p->start_fd, "s", 1) != 1)
        err_errno(&p->failed, -errno, FAILED, "cannot start the container's process");
    if (p->failed.code) {
        loop_watch_free(take_ptr(p->report_watch));
        loop_defer(p->loop, start_failed, p);
        return;
    }
    close(take_fd(&p->start_fd));
    p->state = STATE_STARTING;
    loop_watch_set(p->report_watch, LOOP_READABLE);
}

/* ---- New and free ---- */

static int stdio_take(struct guest_process *p, const struct guest_process_options *o, struct err *e)
{
    const int from[3] = {o->stdin_fd, o->stdout_fd, o->stderr_fd};

    for (int i = 0; i < 3; i++) {
        if (from[i] < 0)
            continue;
        p->stdio[i] = fcntl(from[i], F_DUPFD_CLOEXEC, 3);
        if (p->stdio[i] < 0)
            return err_errno(e, -errno, FAILED, "cannot pass on the standard stream %d", i);
    }
    return 0;
}

static int parts_make(struct guest_process *p, const struct guest_process_options *o, struct err *e)
{
    const struct oci_process *process = o->process ? o->process : &o->config->process;
    const struct confinement_options c = {
        .config = o->config,
        .process = process,
        .cgroup = o->cgroup,
        .seccomp = o->seccomp,
        .seccomp_flags = o->seccomp_flags,
        .is_joining = o->of,
        .of_pid = o->of ? o->of->pid : 0,
        .listen_port = p->port,
        .has_terminal = process->terminal && o->stdin_fd >= 0,
    };

    if (o->of && !o->of->pid)
        return err_set(e, -ESRCH, FAILED, "nothing can be executed in '%.100s': it does not run",
                       o->id);
    TRY(guest_process_job_begin(o, &p->job, e));
    TRY(confinement_new(&c, &p->confinement, e));
    TRY(stdio_take(p, o, e));
    p->status_fd = memfd_create("wherry-status", MFD_CLOEXEC);
    if (p->status_fd < 0)
        return err_errno(e, -errno, FAILED, "cannot make a file for the guest's status");
    p->job.status_fd = p->status_fd;
    return 0;
}

int guest_process_new(const struct guest_process_options *o, struct guest_process **ret,
                      struct err *e)
{
    AUTO(guest_process) p = xcalloc(1, sizeof(*p));

    *p = (struct guest_process){
        .loop = o->loop,
        .worker = xstrdup(o->worker),
        .job = GUEST_JOB_INIT,
        .mounts = o->mounts,
        .stdio = {-EBADF, -EBADF, -EBADF},
        .status_fd = -EBADF,
        .pid_fd = -EBADF,
        .start_fd = -EBADF,
        .report_fd = -EBADF,
        .port = guest_process_job_port(o),
        .ended = o->ended,
        .ended_ctx = o->ctx,
    };
    TRY(parts_make(p, o, e));
    *ret = take_ptr(p);
    return 0;
}

void guest_process_free(struct guest_process *p)
{
    if (!p)
        return;
    const int fds[] = {p->stdio[0], p->stdio[1], p->stdio[2], p->status_fd,
                       p->pid_fd,   p->start_fd, p->report_fd};

    BUG_ON(p->started || (p->state != STATE_NEW && p->state != STATE_ENDED));
    loop_child_free(p->child);
    loop_watch_free(p->report_watch);
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
        close_cleanup_(&fds[i]);
    if (p->confinement)
        confinement_free(p->confinement);
    guest_job_done(&p->job);
    free(p->worker);
    free(p);
}

bool guest_process_is_score_kept(const struct guest_process *p)
{
    return p->is_score_kept;
}

pid_t guest_process_pid(const struct guest_process *p)
{
    return p->pid;
}

int guest_process_kill(struct guest_process *p, int number)
{
    /* The pool's thread has the rest until it is created. */
    if (p->state == STATE_CREATING || !p->pid || p->pid_fd < 0)
        return -ESRCH;
    return pidfd_send_signal(p->pid_fd, number, NULL, 0) < 0 ? -errno : 0;
}

int guest_process_status(const struct guest_process *p, struct guest_status *ret, struct err *e)
{
    struct stat st;
    autofree char *text = NULL;
    ssize_t n;

    if (fstat(p->status_fd, &st) < 0 || !st.st_size)
        return err_set(e, -ENOENT, "NoStatus", "the guest left no status");
    if (st.st_size > STATUS_LIMIT_BYTES)
        return err_set(e, -EFBIG, "TooLarge", "the guest's status is larger than %u bytes",
                       STATUS_LIMIT_BYTES);
    text = xcalloc(1, (size_t)st.st_size + 1);
    n = pread(p->status_fd, text, (size_t)st.st_size, 0);
    if (n < 0)
        return err_errno(e, -errno, "NoStatus", "cannot read the guest's status");
    *ret = (struct guest_status){0};
    return guest_status_decode(text, (size_t)n, ret, e);
}
