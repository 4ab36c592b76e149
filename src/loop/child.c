/* SPDX-License-Identifier: Apache-2.0 */
#include "loop/internal.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/pidfd.h>
#include <sys/wait.h>

#include "base/child.h"
#include "base/fds.h"

struct loop_child {
    struct loop *loop;
    pid_t pid;
    int pidfd;                /* -EBADF and no watch once it has been reaped */
    struct loop_watch *watch; /* of pidfd */
    void (*ended)(void *ctx, int status);
    void *ctx;
    struct loop_child *next_orphan, **link; /* only when the owner has left it; link points to us */
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

static void watch_end(struct loop_child *c)
{
    loop_watch_free(take_ptr(c->watch));
    close(take_fd(&c->pidfd));
}

static void orphan_free(struct loop_child *c)
{
    *c->link = c->next_orphan;
    if (c->next_orphan)
        c->next_orphan->link = c->link;
    free(c);
}

static void child_ready(void *ctx, unsigned events)
{
    (void)events;
    struct loop_child *c = ctx;
    int status;
    pid_t pid;
    do
        pid = waitpid(c->pid, &status, WNOHANG);
    while (pid < 0 && errno == EINTR);
    if (!pid)
        return; /* a debugger has to see its end first; we are called again */
    /* Only the owner of a child may wait for it. */
    BUG_ON(pid < 0);
    watch_end(c);
    if (c->link)
        orphan_free(c);
    else
        c->ended(c->ctx, status);
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
        r = loop_watch_new(l, c->pidfd, child_ready, c, &c->watch, e);
    if (r < 0) {
        /* Nobody would learn of its end, so it must not run. */
        kill(c->pid, SIGKILL);
        child_wait(c->pid, NULL);
        close_cleanup_(&c->pidfd);
        free(c);
        return r;
    }
    loop_watch_set(c->watch, LOOP_READABLE);
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
    c->next_orphan = c->loop->orphans;
    if (c->next_orphan)
        c->next_orphan->link = &c->next_orphan;
    c->link = &c->loop->orphans;
    c->loop->orphans = c;
}

void orphans_drop(struct loop *l)
{
    while (l->orphans) {
        watch_end(l->orphans);
        orphan_free(l->orphans);
    }
}
