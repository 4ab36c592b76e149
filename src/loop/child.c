/* SPDX-License-Identifier: Apache-2.0 */
#include "loop/internal.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "base/child.h"
#include "base/fds.h"

struct loop_child {
    struct loop *loop;
    pid_t pid;
    int pidfd;                /* -EBADF and no watch once its end is known */
    struct loop_watch *watch; /* of pidfd */
    void (*ended)(void *ctx, int status);
    void *ctx;
    bool is_adopted, is_left;        /* left: by its owner */
    struct loop_child *next, **link; /* of loop->children until its end; link points to us */
};

/* ---- Start ---- */

/* What the child gets, put together before it exists: sources that lie above every number that it
 * sees, so that no dup2() there overwrites the source of another. */
struct plan {
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    int cwd_fd;
    int *sources;
    size_t n_sources;
};

static void plan_done(struct plan *p)
{
    posix_spawn_file_actions_destroy(&p->actions);
    posix_spawnattr_destroy(&p->attributes);
    close_cleanup_(&p->cwd_fd);
    for (size_t i = 0; i < p->n_sources; i++)
        close(p->sources[i]);
    free(p->sources);
}

static int plan_fd(struct plan *p, int fd, int child_fd, int highest, struct err *e)
{
    int source = fcntl(fd, F_DUPFD_CLOEXEC, highest + 1);
    if (source < 0)
        return err_errno(e, -errno, "StartFailed",
                         "cannot pass the descriptor %d to a new process as %d", fd, child_fd);
    p->sources[p->n_sources++] = source;
    BUG_ON(posix_spawn_file_actions_adddup2(&p->actions, source, child_fd));
    return 0;
}

static bool is_given(const struct loop_child_options *o, int child_fd)
{
    for (size_t i = 0; i < o->n_fds; i++)
        if (o->fds[i].child_fd == child_fd)
            return true;
    return false;
}

static int plan_fds(struct plan *p, const struct loop_child_options *o, struct err *e)
{
    autofd null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null_fd < 0)
        return err_errno(e, -errno, "StartFailed", "cannot open /dev/null for a new process");
    int highest = STDERR_FILENO;
    for (size_t i = 0; i < o->n_fds; i++) {
        BUG_ON(o->fds[i].child_fd < 0);
        if (o->fds[i].child_fd > highest)
            highest = o->fds[i].child_fd;
    }
    p->sources = xcalloc(o->n_fds + 3, sizeof *p->sources);
    for (size_t i = 0; i < o->n_fds; i++)
        TRY(plan_fd(p, o->fds[i].fd, o->fds[i].child_fd, highest, e));
    for (int fd = 0; fd <= highest; fd++) {
        if (is_given(o, fd))
            continue;
        if (fd <= STDERR_FILENO)
            TRY(plan_fd(p, null_fd, fd, highest, e));
        else
            BUG_ON(posix_spawn_file_actions_addclose(&p->actions, fd));
    }
    /* Close-on-exec is the rule here, but not for what this process was started with. */
    BUG_ON(posix_spawn_file_actions_addclosefrom_np(&p->actions, highest + 1));
    return 0;
}

static int plan_cwd(struct plan *p, const char *cwd, const char *program, struct err *e)
{
    if (!cwd)
        return 0;
    p->cwd_fd = open(cwd, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (p->cwd_fd < 0)
        return err_errno(e, -errno, "StartFailed", "cannot start '%s' in the folder '%s'", program,
                         cwd);
    BUG_ON(posix_spawn_file_actions_addfchdir_np(&p->actions, p->cwd_fd));
    return 0;
}

static void plan_attributes(struct plan *p, bool is_detached)
{
    sigset_t all, none;
    sigfillset(&all);
    sigemptyset(&none);
    short flags = POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK;
    if (is_detached)
        flags |= POSIX_SPAWN_SETSID;
    posix_spawnattr_setsigdefault(&p->attributes, &all);
    posix_spawnattr_setsigmask(&p->attributes, &none);
    posix_spawnattr_setflags(&p->attributes, flags);
}

static const char *program_of(const struct loop_child_options *o)
{
    return o->program ? o->program : o->argv[0];
}

static int spawn(const struct loop_child_options *o, pid_t *ret_pid, struct err *e)
{
    __attribute__((cleanup(plan_done))) struct plan p = {.cwd_fd = -EBADF};
    posix_spawn_file_actions_init(&p.actions);
    posix_spawnattr_init(&p.attributes);
    /* First, while the descriptor of the folder has not been shut or replaced. */
    TRY(plan_cwd(&p, o->cwd, program_of(o), e));
    TRY(plan_fds(&p, o, e));
    plan_attributes(&p, o->is_detached);
    int r = posix_spawnp(ret_pid, program_of(o), &p.actions, &p.attributes, (char *const *)o->argv,
                         o->env ? (char *const *)o->env : environ);
    if (r)
        return err_errno(e, -r, "StartFailed", "cannot start '%s'", program_of(o));
    return 0;
}

/* ---- End ---- */

static void look_for_orphans(struct loop *l)
{
    if (l->reaper && !l->n_holds)
        signal_tell(l->reaper);
}

/* As of waitpid(2). False when there is no status yet. */
static bool reap(struct loop_child *c, int *ret_status)
{
    siginfo_t info = {0};
    int r;
    do
        r = waitid(P_PIDFD, (id_t)c->pidfd, &info, WEXITED | WNOHANG);
    while (r < 0 && errno == EINTR);
    if (r < 0) {
        /* Only the owner of a child may wait for it; a stranger's status is its parent's. */
        BUG_ON(!c->is_adopted);
        *ret_status = LOOP_STATUS_UNKNOWN;
        return true;
    }
    if (!info.si_pid)
        return false;
    *ret_status = info.si_code == CLD_EXITED   ? W_EXITCODE(info.si_status & 0xff, 0)
                  : info.si_code == CLD_DUMPED ? info.si_status | WCOREFLAG
                                               : info.si_status;
    return true;
}

static void watch_end(struct loop_child *c)
{
    loop_watch_free(take_ptr(c->watch));
    close(take_fd(&c->pidfd));
    *c->link = c->next;
    if (c->next)
        c->next->link = c->link;
}

static void child_ready(void *ctx, unsigned events)
{
    (void)events;
    struct loop_child *c = ctx;
    int status;
    if (!reap(c, &status))
        return; /* a debugger has to see its end first; we are called again */
    watch_end(c);
    look_for_orphans(c->loop);
    if (c->is_left)
        free(c);
    else
        c->ended(c->ctx, status);
}

static int watch_begin(struct loop_child *c, struct err *e)
{
    TRY(loop_watch_new(c->loop, c->pidfd, child_ready, c, &c->watch, e));
    loop_watch_set(c->watch, LOOP_READABLE);
    c->link = &c->loop->children;
    c->next = *c->link;
    if (c->next)
        c->next->link = &c->next;
    *c->link = c;
    return 0;
}

int loop_child_start(struct loop *l, const struct loop_child_options *o, struct loop_child **ret,
                     struct err *e)
{
    struct loop_child *c = xcalloc(1, sizeof *c);
    *c = (struct loop_child){.loop = l, .pidfd = -EBADF, .ended = o->ended, .ctx = o->ctx};
    int r = spawn(o, &c->pid, e);
    if (r < 0) {
        free(c);
        return r;
    }
    c->pidfd = pidfd_open(c->pid, 0);
    if (c->pidfd < 0)
        r = err_errno(e, -errno, "StartFailed", "cannot watch the new process of '%s'",
                      program_of(o));
    else
        r = watch_begin(c, e);
    if (r < 0) {
        /* Nobody would learn of its end, so it must not run. */
        kill(c->pid, SIGKILL);
        child_wait(c->pid, NULL);
        close_cleanup_(&c->pidfd);
        free(c);
        return r;
    }
    *ret = c;
    return 0;
}

int loop_child_adopt(struct loop *l, pid_t pid, void (*ended)(void *ctx, int status), void *ctx,
                     struct loop_child **ret, struct err *e)
{
    autofd pidfd = pidfd_open(pid, 0);
    if (pidfd < 0 && (errno == ESRCH || errno == EINVAL))
        return err_set(e, -ESRCH, "NoSuchProcess", "there is no process %d any more", (int)pid);
    if (pidfd < 0)
        return err_errno(e, -errno, "LoopFailed", "cannot watch the process %d", (int)pid);
    struct loop_child *c = xcalloc(1, sizeof *c);
    *c = (struct loop_child){
        .loop = l, .pid = pid, .pidfd = pidfd, .is_adopted = true, .ended = ended, .ctx = ctx};
    int r = watch_begin(c, e);
    if (r < 0) {
        free(c);
        return r;
    }
    take_fd(&pidfd);
    *ret = c;
    return 0;
}

pid_t loop_child_pid(const struct loop_child *c)
{
    return c->pid;
}

void loop_child_kill(struct loop_child *c, int number)
{
    if (c->pidfd >= 0)
        (void)pidfd_send_signal(c->pidfd, number, NULL, 0);
}

void loop_child_free(struct loop_child *c)
{
    if (!c)
        return;
    if (!c->watch) {
        free(c);
        return;
    }
    watch_unref(c->watch);
    c->is_left = true;
}

void children_drop(struct loop *l)
{
    while (l->children) {
        struct loop_child *c = l->children;
        BUG_ON(!c->is_left);
        watch_end(c);
        free(c);
    }
}

/* ---- Orphans ---- */

static bool is_known(const struct loop *l, pid_t pid)
{
    for (const struct loop_child *c = l->children; c; c = c->next)
        if (c->pid == pid)
            return true;
    return false;
}

static void reap_orphans(void *ctx)
{
    struct loop *l = ctx;
    while (!l->n_holds) {
        siginfo_t info = {0};
        int r = waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT);
        if (r < 0 && errno == EINTR)
            continue;
        /* Nothing can be seen behind one that has ended and is known. Its watch, which has not been
         * called yet, leads here again. */
        if (r < 0 || !info.si_pid || is_known(l, info.si_pid))
            return;
        waitid(P_PID, (id_t)info.si_pid, &info, WEXITED | WNOHANG);
    }
}

int loop_reap_orphans(struct loop *l, struct err *e)
{
    if (l->reaper)
        return 0;
    if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
        return err_errno(e, -errno, "LoopFailed", "cannot become the parent of orphaned processes");
    TRY(loop_signal_new(l, SIGCHLD, reap_orphans, l, &l->reaper, e));
    signal_unref(l->reaper);
    look_for_orphans(l);
    return 0;
}

void loop_orphans_hold(struct loop *l)
{
    l->n_holds++;
}

void loop_orphans_release(struct loop *l)
{
    BUG_ON(!l->n_holds);
    l->n_holds--;
    look_for_orphans(l);
}
