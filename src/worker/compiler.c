/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/compiler.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/wait.h>

#include "base/child.h"
#include "base/clock.h"
#include "base/fds.h"
#include "base/log.h"
#include "engine/engine.h"
#include "worker/compiler_confine.h"
#include "worker/turns.h"

/* ---- Limits ---- */

static struct compile_limits limits = {.cpu_ms = COMPILER_CPU_LIMIT_MS,
                                       .time_ms = COMPILER_TIME_LIMIT_MS};

void compiler_limits_set(const struct compile_limits *l)
{
    if (l->cpu_ms)
        limits.cpu_ms = l->cpu_ms;
    if (l->memory_bytes)
        limits.memory_bytes = l->memory_bytes;
    if (l->time_ms)
        limits.time_ms = l->time_ms;
}

static int64_t memory_limit_bytes(void)
{
    struct sysinfo machine;
    int64_t most = COMPILER_MEMORY_LIMIT_BYTES;

    if (limits.memory_bytes)
        return limits.memory_bytes;
    /* A compiler that needs all it may have leaves the machine something. */
    if (sysinfo(&machine) == 0 && machine.totalram * machine.mem_unit / 4 * 3 < (uint64_t)most)
        most = (int64_t)(machine.totalram * machine.mem_unit / 4 * 3);
    return most;
}

/* RLIMIT_CPU counts whole seconds. */
static int64_t cpu_limit_s(void)
{
    return (limits.cpu_ms + 999) / 1000;
}

static void limit(int resource, rlim_t most)
{
    struct rlimit l;

    if (getrlimit(resource, &l) < 0)
        return;
    if (l.rlim_max == RLIM_INFINITY || l.rlim_max > most)
        l.rlim_max = most;
    l.rlim_cur = l.rlim_max;
    setrlimit(resource, &l);
}

void compiler_limits_apply(void)
{
    limit(RLIMIT_CPU, (rlim_t)cpu_limit_s());
    limit(RLIMIT_DATA, (rlim_t)memory_limit_bytes());
    limit(RLIMIT_CORE, 0);
}

/* ---- The child ---- */

/* How the child is told which code to make; by [is_interruptible][is_concurrent]. */
static const char *const forms[2][2] = {
    {"plain",  "plain-concurrent" },
    {"shared", "shared-concurrent"},
};

static int program_compile(const struct engine_options *o, const void *data, size_t len,
                           struct err *e)
{
    struct engine *engine = NULL;

    TRY(engine_open(o, &engine, e));
    return engine_compile(engine, data, len, STDOUT_FILENO, e);
}

int compiler_main(const char *form)
{
    struct engine_options options = {.has_compiler = true};
    struct err e = ERR_INIT, ignored = ERR_INIT;
    struct stat st;
    void *data;
    int r;

    turns_request(0); /* not those of the thread that wants the code */
    if (fstat(STDIN_FILENO, &st) < 0)
        return 2;
    data = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, STDIN_FILENO, 0);
    if (data == MAP_FAILED)
        return 2;
    for (int i = 0; i < 4; i++)
        if (str_eq(form, forms[i / 2][i % 2])) {
            options.is_interruptible = i / 2;
            options.is_concurrent = i % 2;
        }
    r = compiler_confine(&e);
    if (r >= 0)
        r = program_compile(&options, data, (size_t)st.st_size, &e);
    if (r < 0) {
        fd_write_all(STDERR_FILENO, e.msg, strlen(e.msg), &ignored);
        return 1;
    }
    return 0;
}

/* ---- The parent ---- */

/* Where memory runs out all the same, this is what the kernel is to end first. */
static void offer_to_oom_killer(void)
{
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : write(fd, "1000", 4);

    (void)n;
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
    if (!child_end_with(parent, SIGKILL))
        _exit(127);
    /* Out of the way of 0 to 2 first. */
    program_fd = fcntl(program_fd, F_DUPFD_CLOEXEC, 10);
    code_fd = fcntl(code_fd, F_DUPFD_CLOEXEC, 10);
    error_fd = fcntl(error_fd, F_DUPFD_CLOEXEC, 10);
    exe_fd = fcntl(exe_fd, F_DUPFD_CLOEXEC, 10);
    dup2(program_fd, STDIN_FILENO);
    dup2(code_fd, STDOUT_FILENO);
    dup2(error_fd, STDERR_FILENO);
    offer_to_oom_killer();
    compiler_limits_apply();
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

enum ending { BY_ITSELF, STOPPED, TIMED_OUT };

/* Waits until the child ends; `stop_fd` and the limit on time end it. */
static enum ending wait_for_end(int pidfd, pid_t pid, const struct compiler_options *o)
{
    struct pollfd p[2] = {
        {.fd = pidfd,      .events = POLLIN},
        {.fd = o->stop_fd, .events = POLLIN}
    };
    uint64_t start = clock_monotonic_ns();
    uint64_t deadline = start + (uint64_t)limits.time_ms * 1000000u;
    enum ending ending = BY_ITSELF;
    bool is_shown = false;

    while (!p[0].revents) {
        /* What is quick shows nothing. */
        int pause_ms = is_shown ? 250 : 400, left_ms = clock_wait_ms(deadline);
        int n = poll(p, 2, o->has_progress && pause_ms < left_ms ? pause_ms : left_ms);

        if (n == 0 && o->has_progress) {
            progress_show(o, start);
            is_shown = true;
        }
        if (ending != BY_ITSELF)
            continue;
        if (p[1].revents)
            ending = STOPPED;
        else if (n == 0 && clock_monotonic_ns() >= deadline)
            ending = TIMED_OUT;
        else
            continue;
        kill(pid, SIGKILL);
        p[1].fd = -1;
        deadline = 0; /* none */
    }
    if (is_shown)
        dprintf(STDERR_FILENO, "\r\x1b[K");
    return ending;
}

/* The first line of what it said. */
static void said_read(int error_fd, struct buf *ret)
{
    struct err ignored = ERR_INIT;

    lseek(error_fd, 0, SEEK_SET);
    fd_read_all(error_fd, 1u << 20, ret, &ignored);
}

static int out_of_memory(const char *name, struct err *e)
{
    char most[SIZE_TEXT_SIZE];

    size_bytes_format((uint64_t)memory_limit_bytes(), most);
    return err_set(e, -ENOEXEC, "CompileFailed",
                   "'%s' cannot be compiled: the compiler needs more than %s of memory; "
                   "WHERRY_COMPILE_MEMORY allows more",
                   name, most);
}

static int out_of_time(const char *name, const char *kind, int64_t ms, const char *variable,
                       struct err *e)
{
    char most[DURATION_SIZE];

    duration_ms_format(ms, most);
    return err_set(e, -ENOEXEC, "CompileFailed",
                   "'%s' cannot be compiled: the compiler needs more than %s of %s; %s allows more",
                   name, most, kind, variable);
}

static int failure(int status, const struct rusage *used, int error_fd, const char *name,
                   struct err *e)
{
    autobuf said = BUF_INIT;
    int64_t cpu_s = used->ru_utime.tv_sec + used->ru_stime.tv_sec + 1;

    said_read(error_fd, &said);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 1 && said.len)
        return err_set(e, -ENOEXEC, "InvalidWasm", "%s", buf_str(&said));
    if (!WIFSIGNALED(status))
        return err_set(e, -EIO, "CompileFailed", "the compiler could not start (status %d)",
                       WEXITSTATUS(status));
    if ((WTERMSIG(status) == SIGXCPU || WTERMSIG(status) == SIGKILL) && cpu_s >= cpu_limit_s())
        return out_of_time(name, "CPU time", limits.cpu_ms, "WHERRY_COMPILE_CPU_TIME", e);
    if (WTERMSIG(status) == SIGKILL)
        return err_set(e, -ENOEXEC, "CompileFailed",
                       "'%s' is not compiled: the compiler was killed, by somebody or for want of "
                       "memory",
                       name);
    if (strstr(buf_str(&said), "memory allocation"))
        return out_of_memory(name, e);
    return err_set(e, -ENOEXEC, "CompileFailed",
                   "'%s' cannot be compiled: the compiler died of signal %d: %.200s", name,
                   WTERMSIG(status), buf_str(&said));
}

int compiler_run(int program_fd, const struct compiler_options *o, int *ret_fd, struct err *e)
{
    autofd exe = self_open(e), code = -EBADF, error = -EBADF, pidfd = -EBADF;
    enum ending ending = BY_ITSELF;
    struct rusage used = {0};
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
    if (pidfd >= 0)
        ending = wait_for_end(pidfd, pid, o);
    while (wait4(pid, &status, 0, &used) < 0 && errno == EINTR)
        ;
    if (ending == STOPPED)
        return err_set(e, -ECANCELED, "Stopped", "stopped while it was compiled");
    if (ending == TIMED_OUT)
        return out_of_time(o->name, "time", limits.time_ms, "WHERRY_COMPILE_TIME", e);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        return failure(status, &used, error, o->name, e);
    *ret_fd = take_fd(&code);
    return 0;
}
