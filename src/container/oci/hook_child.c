/* SPDX-License-Identifier: Apache-2.0 */
#include "container/oci/hook_child.h"

#include <linux/close_range.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/child.h"
#include "base/util.h"

const char *hook_step_text(enum hook_step step)
{
    static const char *const texts[] = {
        [HOOK_STEP_DESCRIPTORS] = "cannot set its descriptors",
        [HOOK_STEP_FOLDER] = "cannot enter the folder of the bundle",
        [HOOK_STEP_NAMESPACE] = "cannot enter a namespace of the container",
        [HOOK_STEP_FORK] = "cannot start a process in the PID namespace of the container",
        [HOOK_STEP_ENTER] = "cannot be confined as the container is",
        [HOOK_STEP_PROGRAM] = "cannot execute it",
    };

    return step < ARRAY_SIZE(texts) ? texts[step] : "unknown step";
}

static _Noreturn void give_up(const struct hook_child *c, enum hook_step step)
{
    struct hook_report report = {step, errno};

    /* Smaller than PIPE_BUF, into an empty pipe: whole, and at once. */
    if (write(c->report, &report, sizeof(report)) < 0)
        _exit(126);
    _exit(127);
}

/* As the container's root: an id that the namespace does not map could do nothing there. Not by
 * the C library, which would have all threads do it. */
static bool user_become(void)
{
    return syscall(SYS_setresgid, 0, 0, 0) == 0 && syscall(SYS_setresuid, 0, 0, 0) == 0;
}

/* True when there is a PID namespace among them. */
static bool namespaces_enter(const struct hook_child *c)
{
    bool has_pid = false;

    for (size_t i = 0; i < c->n_ns_fds; i++) {
        int type = ioctl(c->ns_fds[i], NS_GET_NSTYPE);

        if (setns(c->ns_fds[i], 0) < 0 || (type == CLONE_NEWUSER && !user_become()))
            give_up(c, HOOK_STEP_NAMESPACE);
        has_pid |= type == CLONE_NEWPID;
    }
    return has_pid;
}

static _Noreturn void mirror(pid_t pid)
{
    int status;

    if (child_wait(pid, &status) < 0)
        _exit(126);
    if (WIFSIGNALED(status)) {
        sigset_t none;

        prctl(PR_SET_DUMPABLE, 0); /* no core of this one */
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        kill(getpid(), WTERMSIG(status));
        _exit(128 + WTERMSIG(status));
    }
    _exit(WEXITSTATUS(status));
}

static void inner_start(const struct hook_child *c)
{
    pid_t pid = _Fork();

    if (pid < 0)
        give_up(c, HOOK_STEP_FORK);
    if (pid)
        mirror(pid);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
}

static void confined_enter(const struct hook_child *c)
{
    int r = c->enter(c->enter_ctx);

    if (r < 0) {
        errno = -r;
        give_up(c, HOOK_STEP_ENTER);
    }
}

static _Noreturn void child_main(const struct hook_child *c)
{
    sigset_t none;

    for (int i = 1; i < NSIG; i++)
        signal(i, SIG_DFL);
    if (!c->enter)
        setsid();
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* nobody would end it any more */
    if (dup2(c->input, STDIN_FILENO) < 0 || dup2(c->output, STDOUT_FILENO) < 0 ||
        dup2(c->output, STDERR_FILENO) < 0 ||
        close_range(STDERR_FILENO + 1, ~0U, CLOSE_RANGE_CLOEXEC) < 0)
        give_up(c, HOOK_STEP_DESCRIPTORS);
    /* Before the namespaces: a mount namespace begins at its own root. */
    if (c->cwd && chdir(c->cwd) < 0)
        give_up(c, HOOK_STEP_FOLDER);
    if (c->enter)
        confined_enter(c);
    else if (namespaces_enter(c))
        inner_start(c);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    execve(c->path, (char *const *)c->argv, (char *const *)c->env);
    give_up(c, HOOK_STEP_PROGRAM);
}

int hook_child_start(const struct hook_child *c, pid_t *ret_pid)
{
    sigset_t all, before;
    pid_t pid;
    int code;

    /* No handler of this process may run in the child. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pid = fork();
    if (pid == 0)
        child_main(c);
    code = errno;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (pid < 0)
        return -code;
    *ret_pid = pid;
    return 0;
}
