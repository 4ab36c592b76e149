/* SPDX-License-Identifier: Apache-2.0 */
#include "image/confine.h"

#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <seccomp.h>

#include "base/buf.h"
#include "base/child.h"
#include "base/clock.h"
#include "base/fds.h"
#include "base/text.h"
#include "base/util.h"

#define REASON_SIZE 48
#define SAID_LIMIT  4096
#define SAID_SHOWN  200
#define WATCH_MS    250

/* The shadow of a sanitizer takes terabytes of address space. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define IS_SANITIZED true
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define IS_SANITIZED true
#endif
#endif
#ifndef IS_SANITIZED
#define IS_SANITIZED false
#endif

/* What the child tells; smaller than PIPE_BUF, so it comes whole or not at all. */
struct answer {
    int result;
    char reason[REASON_SIZE];
    char msg[sizeof(((struct err *)NULL)->msg)];
};

/* ---- The child ---- */

static int by_number(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

/* Closes all but these; `fds` is sorted here. */
static int others_close(int *fds, size_t n)
{
    unsigned from = 0;

    qsort(fds, n, sizeof(*fds), by_number);
    for (size_t i = 0; i < n; i++) {
        unsigned kept = (unsigned)fds[i];

        if (kept > from && close_range(from, kept - 1, 0) < 0)
            return -errno;
        from = kept + 1;
    }
    return close_range(from, ~0U, 0) < 0 ? -errno : 0;
}

static int limit(int resource, uint64_t soft, uint64_t hard)
{
    struct rlimit l;

    if (getrlimit(resource, &l) < 0)
        return -errno;
    if (l.rlim_max > hard)
        l.rlim_max = hard;
    l.rlim_cur = soft < l.rlim_max ? soft : l.rlim_max;
    return setrlimit(resource, &l) < 0 ? -errno : 0;
}

/* The address space of this process, in bytes. */
static int memory_now(uint64_t *ret, struct err *e)
{
    autobuf text = BUF_INIT;

    TRY(file_read("/proc/self/statm", 256, &text, e));
    *ret = strtoull(text.data, NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE);
    return 0;
}

static int limits_set(const struct confine_limits *l, struct err *e)
{
    uint64_t memory = 0;
    int r;

    if (memory_now(&memory, e) < 0) {
        e->reason = "ConfineFailed";
        return err_prefix(e, "cannot limit it");
    }
    memory += l->memory_bytes;
    /* At the hard limit of CPU time comes a SIGKILL, for who lived through the SIGXCPU. */
    r = limit(RLIMIT_CPU, l->cpu_s, l->cpu_s + 1);
    if (r >= 0)
        r = limit(RLIMIT_FSIZE, l->output_bytes, l->output_bytes);
    if (r >= 0)
        r = limit(RLIMIT_CORE, 0, 0);
    if (r >= 0 && !IS_SANITIZED)
        r = limit(RLIMIT_AS, memory, memory);
    return r < 0 ? err_errno(e, r, "ConfineFailed", "cannot limit it") : 0;
}

/* What reading, computing and writing need; sigaltstack() is the sanitizers'. Whatever is in no
 * rule kills. */
static int rules_add(scmp_filter_ctx f)
{
    static const int calls[] = {
        SCMP_SYS(read),          SCMP_SYS(readv),
        SCMP_SYS(pread64),       SCMP_SYS(preadv),
        SCMP_SYS(write),         SCMP_SYS(writev),
        SCMP_SYS(pwrite64),      SCMP_SYS(pwritev),
        SCMP_SYS(lseek),         SCMP_SYS(ftruncate),
        SCMP_SYS(brk),           SCMP_SYS(munmap),
        SCMP_SYS(mremap),        SCMP_SYS(madvise),
        SCMP_SYS(futex),         SCMP_SYS(sched_yield),
        SCMP_SYS(clock_gettime), SCMP_SYS(getrandom),
        SCMP_SYS(getpid),        SCMP_SYS(gettid),
        SCMP_SYS(rt_sigreturn),  SCMP_SYS(rt_sigprocmask),
        SCMP_SYS(exit),          SCMP_SYS(exit_group),
        SCMP_SYS(sigaltstack),   SCMP_SYS(restart_syscall),
    };
    int r = 0;

    for (size_t i = 0; i < ARRAY_SIZE(calls) && r >= 0; i++)
        r = seccomp_rule_add(f, SCMP_ACT_ALLOW, calls[i], 0);
    /* Memory, but no code and no files in it. */
    if (r >= 0)
        r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 2,
                             SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0),
                             SCMP_A3(SCMP_CMP_MASKED_EQ, MAP_ANONYMOUS, MAP_ANONYMOUS));
    if (r >= 0)
        r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1,
                             SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
    /* abort(), but no signals for others. */
    if (r >= 0)
        r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1,
                             SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid(), 0));
    return r;
}

static int calls_limit(struct err *e)
{
    scmp_filter_ctx f = seccomp_init(SCMP_ACT_KILL_PROCESS);
    int r = f ? rules_add(f) : -ENOMEM;

    if (r >= 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        r = -errno;
    if (r >= 0)
        r = seccomp_load(f);
    if (f)
        seccomp_release(f);
    return r < 0 ? err_errno(e, r, "ConfineFailed",
                             "cannot limit its system calls; the kernel needs seccomp")
                 : 0;
}

static int confined_run(const struct confine *c, int report, struct err *e)
{
    autofree int *kept = xcalloc(c->n_fds + 2, sizeof(*kept));
    int r;

    memcpy(kept, c->fds, c->n_fds * sizeof(*kept));
    kept[c->n_fds] = STDERR_FILENO;
    kept[c->n_fds + 1] = report;
    r = others_close(kept, c->n_fds + 2);
    if (r < 0)
        return err_errno(e, r, "ConfineFailed", "cannot close descriptors");
    /* A second arena would ask how many processors there are. */
    mallopt(M_ARENA_MAX, 1);
    TRY(limits_set(&c->limits, e));
    TRY(calls_limit(e));
    return c->run(c->ctx, e);
}

static _Noreturn void child_main(const struct confine *c, pid_t parent, int report, int said)
{
    struct answer a = {0};
    struct err e = ERR_INIT, ignored = ERR_INIT;
    sigset_t none;

    for (int i = 1; i < NSIG; i++)
        signal(i, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (!child_end_with(parent, SIGKILL))
        _exit(1);
    dup2(said, STDERR_FILENO);
    a.result = confined_run(c, report, &e);
    if (a.result < 0) {
        snprintf(a.reason, sizeof(a.reason), "%s", e.reason ? e.reason : "");
        memcpy(a.msg, e.msg, sizeof(a.msg));
    }
    fd_write_all(report, &a, sizeof(a), &ignored);
    _exit(0);
}

/* ---- The parent ---- */

static int memory_limit(const struct confine *c, struct err *e)
{
    return err_set(e, -ENOMEM, "MemoryLimit", "%s: reading it takes more than %llu MiB of memory",
                   c->what, (unsigned long long)(c->limits.memory_bytes >> 20));
}

/* In static storage, as reasons are. */
static const char *reason_find(const struct confine *c, const char *text)
{
    for (size_t i = 0; c->reasons[i]; i++)
        if (str_eq(c->reasons[i], text))
            return c->reasons[i];
    return NULL;
}

static int answered(const struct confine *c, struct answer *a, struct err *e)
{
    const char *reason;

    if (a->result >= 0)
        return a->result;
    if (a->result == -ENOMEM)
        return memory_limit(c, e);
    a->reason[sizeof(a->reason) - 1] = 0;
    a->msg[sizeof(a->msg) - 1] = 0;
    text_mute(a->msg, strlen(a->msg), false); /* it may be a stranger's by now */
    reason = str_eq(a->reason, "ConfineFailed") ? "ConfineFailed" : reason_find(c, a->reason);
    if (!reason || a->result < -4095)
        return err_set(e, -EIO, "ReaderDied", "%s: its reader failed in an unknown way: %s",
                       c->what, a->msg);
    err_set(e, a->result, reason, "%s", a->msg);
    return err_prefix(e, "%s", c->what);
}

/* The first line of what it wrote to standard error; "" without. */
static void said_read(int said, char ret[static SAID_LIMIT])
{
    ssize_t n = pread(said, ret, SAID_LIMIT - 1, 0);

    ret[n < 0 ? 0 : n] = 0;
    ret[strcspn(ret, "\n")] = 0;
    text_mute(ret, strlen(ret), false);
}

static int died(const struct confine *c, int status, int said, struct err *e)
{
    int number = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    char text[SAID_LIMIT];

    said_read(said, text);
    if (number == SIGXCPU)
        return err_set(e, -ETIME, "CpuLimit", "%s: reading it takes more than %u s of CPU time",
                       c->what, c->limits.cpu_s);
    if (number == SIGXFSZ)
        return err_set(e, -EFBIG, "OutputLimit",
                       "%s: what is in it has more than the %llu MiB that it may have", c->what,
                       (unsigned long long)(c->limits.output_bytes >> 20));
    if (number == SIGSYS)
        return err_set(e, -EPERM, "ForbiddenCall",
                       "%s: its reader was ended because it tried to do more than to read it; "
                       "the content may be an attack",
                       c->what);
    if (number == SIGABRT && strstr(text, "out of memory")) /* as base/util.c says it */
        return memory_limit(c, e);
    return err_set(e, -EIO, "ReaderDied", "%s: its reader died of signal %d%s%.*s", c->what, number,
                   *text ? ": " : "", SAID_SHOWN, text);
}

/* Until it ends, or there is nobody to tell. */
static void watch(const struct confine_watch *w, pid_t pid)
{
    uint64_t begun = clock_monotonic_ns();
    autofd pidfd = w->tell ? (int)syscall(SYS_pidfd_open, pid, 0) : -EBADF;
    struct pollfd p = {.fd = pidfd, .events = POLLIN};

    while (pidfd >= 0 && poll(&p, 1, WATCH_MS) <= 0)
        w->tell(w->ctx, (clock_monotonic_ns() - begun) / 1000000);
}

/* The ends of a pipe, out of the way of the standard descriptors. */
static int pipe_make(int ret[static 2], struct err *e)
{
    autofd from = -EBADF, to = -EBADF;
    int fds[2];

    if (pipe2(fds, O_CLOEXEC) < 0)
        return err_errno(e, -errno, "ConfineFailed", "cannot make a pipe");
    from = fds[0];
    to = fds[1];
    TRY(fd_move_above(&from, STDERR_FILENO + 1, e));
    TRY(fd_move_above(&to, STDERR_FILENO + 1, e));
    ret[0] = take_fd(&from);
    ret[1] = take_fd(&to);
    return 0;
}

int confine_run(const struct confine *c, struct err *e)
{
    autofd from = -EBADF, to = -EBADF, said = memfd_create("confined", MFD_CLOEXEC);
    struct answer a = {0};
    pid_t pid, parent = getpid();
    int fds[2] = {-EBADF, -EBADF}, status = 0, r;

    for (size_t i = 0; i < c->n_fds; i++)
        BUG_ON(c->fds[i] <= STDERR_FILENO);
    if (said < 0)
        return err_errno(e, -errno, "ConfineFailed", "cannot make a file in memory");
    TRY(pipe_make(fds, e));
    from = fds[0];
    to = fds[1];
    pid = fork();
    if (pid < 0)
        return err_errno(e, -errno, "ConfineFailed", "cannot start a process");
    if (pid == 0)
        child_main(c, parent, to, said);
    close(take_fd(&to));
    watch(&c->watch, pid);
    r = child_wait(pid, &status);
    if (r < 0)
        return err_errno(e, r, "ConfineFailed", "cannot wait for a process");
    if (read(from, &a, sizeof(a)) == (ssize_t)sizeof(a) && WIFEXITED(status))
        return answered(c, &a, e);
    return died(c, status, said, e);
}
