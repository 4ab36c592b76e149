/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/pod/pid_holder.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "base/fds.h"

struct pid_holder {
    pid_t pid;
    int pid_fd, namespace_fd;
    char *path;
};

#define EMPTY_ROOT "/proc" /* any folder; what is mounted there is nobody else's */

/* Whoever may trace processes in the namespace, as a debugger's container, gets what this one has
 * by /proc/1: so it has an empty root, and no rights. */
static bool confine(void)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[2] = {0};

    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("none", EMPTY_ROOT, "tmpfs", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC,
              "size=4k") < 0 ||
        chdir(EMPTY_ROOT) < 0 || syscall(SYS_pivot_root, ".", ".") < 0 ||
        umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
        return false;
    for (int cap = 0; cap <= CAP_LAST_CAP; cap++)
        prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && syscall(SYS_capset, &head, none) == 0 &&
           prctl(PR_SET_DUMPABLE, 0) == 0;
}

/* In the child of a program with threads: system calls only. */
static _Noreturn void hold(int parent_fd)
{
    struct pollfd parent = {.fd = parent_fd, .events = POLLIN};

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    /* It may have ended before that. */
    if (poll(&parent, 1, 0) != 0)
        _exit(1);
    if (!confine())
        _exit(1);
    syscall(SYS_close_range, 0, ~0u, 0);
    setsid();
    prctl(PR_SET_NAME, "wherry-pause");
    /* Those that lose their parent in the namespace come here, and are reaped by the kernel. */
    signal(SIGCHLD, SIG_IGN);
    for (;;)
        pause();
}

static pid_t child_start(struct err *e)
{
    autofd parent_fd = (int)syscall(SYS_pidfd_open, getpid(), 0);
    sigset_t all, old;
    pid_t pid;

    if (parent_fd < 0)
        return err_errno(e, -errno, "NamespaceFailed", "cannot watch the shim");
    /* No handler of ours is to run in the child. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    pid = (pid_t)syscall(SYS_clone, CLONE_NEWPID | SIGCHLD, 0, 0, 0, 0);
    if (!pid)
        hold(parent_fd);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return pid < 0 ? err_errno(e, -errno, "NamespaceFailed", "cannot make a new PID namespace")
                   : pid;
}

int pid_holder_new(struct pid_holder **ret, struct err *e)
{
    struct pid_holder *h = xcalloc(1, sizeof(*h));
    char path[48];
    int code = 0;

    *h = (struct pid_holder){.pid = child_start(e), .pid_fd = -EBADF, .namespace_fd = -EBADF};
    if (h->pid < 0) {
        code = h->pid;
        free(h);
        return code;
    }
    /* Nobody reaps it before the caller is back in its loop, so that the number is still its. */
    h->pid_fd = (int)syscall(SYS_pidfd_open, h->pid, 0);
    snprintf(path, sizeof(path), "/proc/%d/ns/pid", (int)h->pid);
    h->namespace_fd = open(path, O_RDONLY | O_CLOEXEC);
    if (h->pid_fd < 0 || h->namespace_fd < 0) {
        code = err_errno(e, -errno, "NamespaceFailed", "cannot open '%s'", path);
        kill(h->pid, SIGKILL);
        pid_holder_free(h);
        return code;
    }
    h->path = xasprintf("/proc/%d/fd/%d", (int)getpid(), h->namespace_fd);
    *ret = h;
    return 0;
}

void pid_holder_free(struct pid_holder *h)
{
    if (!h)
        return;
    if (h->pid_fd >= 0)
        syscall(SYS_pidfd_send_signal, h->pid_fd, SIGKILL, NULL, 0);
    close_cleanup_(&h->pid_fd);
    close_cleanup_(&h->namespace_fd);
    free(h->path);
    free(h);
}

pid_t pid_holder_pid(const struct pid_holder *h)
{
    return h->pid;
}

const char *pid_holder_path(const struct pid_holder *h)
{
    return h->path;
}
