/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/compiler.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/fds.h"
#include "base/log.h"
#include "engine/engine.h"
#include "worker/turns.h"

enum { PROGRAM_FD = 3, CODE_FD = 4, ERROR_FD = 5 };

/* ---- The child ---- */

/* How the child is told which code to make; by [is_interruptible][is_concurrent]. */
static const char *const forms[2][2] = {
    {"plain",  "plain-concurrent" },
    {"shared", "shared-concurrent"},
};

int compiler_main(const char *form)
{
    struct engine_options options = {.has_compiler = true};
    struct engine *engine = NULL;
    struct err e = ERR_INIT;
    struct stat st;
    void *data;
    int r;

    turns_request(0); /* not those of the thread that wants the code */
    if (fstat(PROGRAM_FD, &st) < 0)
        return 2;
    data = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, PROGRAM_FD, 0);
    if (data == MAP_FAILED)
        return 2;
    for (int i = 0; i < 4; i++)
        if (str_eq(form, forms[i / 2][i % 2])) {
            options.is_interruptible = i / 2;
            options.is_concurrent = i % 2;
        }
    r = engine_open(&options, &engine, &e);
    if (r >= 0)
        r = engine_compile(engine, data, (size_t)st.st_size, CODE_FD, &e);
    if (r < 0) {
        struct err ignored = ERR_INIT;

        fd_write_all(ERROR_FD, e.msg, strlen(e.msg), &ignored);
        return 1;
    }
    return 0;
}

/* ---- The parent ---- */

static void limit(int resource, rlim_t soft)
{
    struct rlimit l;

    if (getrlimit(resource, &l) < 0)
        return;
    if (l.rlim_max == RLIM_INFINITY || l.rlim_max > soft)
        l.rlim_max = soft;
    l.rlim_cur = l.rlim_max;
    setrlimit(resource, &l);
}

/* Between fork and exec in a process with threads: system calls only. */
static _Noreturn void child_exec(pid_t parent, int exe_fd, int program_fd, int code_fd,
                                 int error_fd, const char *form)
{
    char *argv[] = {(char *)"wherry-worker", (char *)"--compile", (char *)(uintptr_t)form, NULL};
    char *envp[] = {NULL};
    sigset_t none;

    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    /* With nobody to take the code there is nothing to compile. The thread that waits is the parent
     * that is meant, and it lasts as long as this child does. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(127);
    /* Out of the way of 3 to 5 first. */
    program_fd = fcntl(program_fd, F_DUPFD_CLOEXEC, 10);
    code_fd = fcntl(code_fd, F_DUPFD_CLOEXEC, 10);
    error_fd = fcntl(error_fd, F_DUPFD_CLOEXEC, 10);
    exe_fd = fcntl(exe_fd, F_DUPFD_CLOEXEC, 10);
    dup2(program_fd, PROGRAM_FD);
    dup2(code_fd, CODE_FD);
    dup2(error_fd, ERROR_FD);
    limit(RLIMIT_CPU, COMPILER_CPU_LIMIT_S);
    limit(RLIMIT_DATA, COMPILER_MEMORY_LIMIT_BYTES);
    limit(RLIMIT_CORE, 0);
    syscall(SYS_execveat, exe_fd, "", argv, envp, AT_EMPTY_PATH);
    _exit(127);
}

/* This program's file: by /proc, or in a root without it by the path that it was started with. */
static int self_open(struct err *e)
{
    int fd = open("/proc/self/exe", O_PATH | O_CLOEXEC);
    const char *path = (const char *)getauxval(AT_EXECFN);

    if (fd < 0 && path)
        fd = open(path, O_PATH | O_CLOEXEC);
    if (fd < 0)
        return err_errno(e, -errno, "CompileFailed", "cannot find the worker's own program file");
    return fd;
}

static void progress_show(const struct compiler_options *o, uint64_t start_ns)
{
    static const char *const wheel[] = {"|", "/", "-", "\\"};
    uint64_t ms = (clock_monotonic_ns() - start_ns) / 1000000;
    char size[SIZE_TEXT_SIZE];

    size_bytes_format(o->program_bytes, size);
    dprintf(STDERR_FILENO, "\r%s compiling %.60s (%s) for the first run, %llu s\x1b[K",
            wheel[ms / 250 % 4], o->name, size, (unsigned long long)(ms / 1000));
}

/* Waits until the child ends; `stop_fd` ends it. */
static bool wait_for_end(int pidfd, pid_t pid, const struct compiler_options *o)
{
    struct pollfd p[2] = {
        {.fd = pidfd,      .events = POLLIN},
        {.fd = o->stop_fd, .events = POLLIN}
    };
    uint64_t start = clock_monotonic_ns();
    bool is_shown = false, is_stopped = false;

    for (;;) {
        /* What is quick shows nothing. */
        int n = poll(p, 2, o->has_progress ? (is_shown ? 250 : 400) : -1);

        if (n == 0) {
            progress_show(o, start);
            is_shown = true;
        }
        if (p[1].revents && !is_stopped) {
            kill(pid, SIGKILL);
            is_stopped = true;
            p[1].fd = -1;
        }
        if (n > 0 && p[0].revents)
            break;
    }
    if (is_shown)
        dprintf(STDERR_FILENO, "\r\x1b[K");
    return is_stopped;
}

static int failure(int status, int error_fd, const char *name, struct err *e)
{
    autobuf text = BUF_INIT;
    struct err ignored = ERR_INIT;

    lseek(error_fd, 0, SEEK_SET);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 1 &&
        fd_read_all(error_fd, 4096, &text, &ignored) >= 0 && text.len)
        return err_set(e, -ENOEXEC, "InvalidWasm", "%s", text.data);
    if (WIFSIGNALED(status) && (WTERMSIG(status) == SIGXCPU || WTERMSIG(status) == SIGKILL))
        return err_set(e, -ENOEXEC, "CompileFailed",
                       "'%s' cannot be compiled: the compiler was ended after at most %d s of CPU "
                       "time",
                       name, COMPILER_CPU_LIMIT_S);
    if (WIFSIGNALED(status))
        return err_set(e, -ENOEXEC, "CompileFailed",
                       "'%s' cannot be compiled: the compiler died of signal %d; it may have "
                       "needed more than its %llu GiB of memory",
                       name, WTERMSIG(status),
                       (unsigned long long)(COMPILER_MEMORY_LIMIT_BYTES >> 30));
    return err_set(e, -EIO, "CompileFailed", "the compiler could not start (status %d)",
                   WIFEXITED(status) ? WEXITSTATUS(status) : -1);
}

int compiler_run(int program_fd, const struct compiler_options *o, int *ret_fd, struct err *e)
{
    autofd exe = self_open(e), code = -EBADF, error = -EBADF, pidfd = -EBADF;
    bool is_stopped;
    int status;
    pid_t pid, parent = getpid();

    if (exe < 0)
        return exe;
    code = memfd_create("compiled-code", MFD_CLOEXEC);
    error = memfd_create("compiler-error", MFD_CLOEXEC);
    if (code < 0 || error < 0)
        return err_errno(e, -errno, "CompileFailed", "cannot make a file in memory");
    pid = fork();
    if (pid < 0)
        return err_errno(e, -errno, "CompileFailed", "cannot start the compiler");
    if (pid == 0)
        child_exec(parent, exe, program_fd, code, error,
                   forms[o->is_interruptible][o->is_concurrent]);
    pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    is_stopped = pidfd >= 0 && wait_for_end(pidfd, pid, o);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (is_stopped)
        return err_set(e, -ECANCELED, "Stopped", "stopped while it was compiled");
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        return failure(status, error, o->name, e);
    *ret_fd = take_fd(&code);
    return 0;
}
