/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/compiler_confine.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/util.h"

#if defined(__x86_64__)
#define ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#endif

/* The sanitizers' own work at the end of a process needs more. */
#if defined(ARCHITECTURE) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

#define LOAD(field)  BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define ANSWER(what) BPF_STMT(BPF_RET | BPF_K, (what))
/* Answers when the loaded word is this one, and goes on otherwise. */
#define IS(value, what) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (value), 0, 1), ANSWER(what)
#define ALLOW(call)     IS(SYS_##call, SECCOMP_RET_ALLOW)
#define REFUSE(code)    (SECCOMP_RET_ERRNO | (code))
/* Allows the call when the test of its first argument holds. */
#define ALLOW_IF(call, test, value)                                                                \
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##call, 0, 4), LOAD(args[0]),                          \
        BPF_JUMP(BPF_JMP | (test) | BPF_K, (value), 0, 1), ANSWER(SECCOMP_RET_ALLOW),              \
        ANSWER(REFUSE(EPERM))

static int filter_install(pid_t self)
{
    struct sock_filter filter[] = {
        LOAD(arch),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE, 1, 0),
        ANSWER(SECCOMP_RET_KILL_PROCESS),
        LOAD(nr),
        /* Memory. */
        ALLOW(mmap),
        ALLOW(munmap),
        ALLOW(mremap),
        ALLOW(mprotect),
        ALLOW(madvise),
        ALLOW(brk),
        /* Waiting, and threads; clone() below. */
        ALLOW(futex),
        ALLOW(sched_yield),
        ALLOW(sched_getaffinity),
        ALLOW(set_robust_list),
        ALLOW(rseq),
        ALLOW(clock_gettime),
        ALLOW(clock_nanosleep),
        ALLOW(nanosleep),
        ALLOW(getrandom),
        ALLOW(gettid),
        ALLOW(getpid),
        /* Signals of one's own. */
        ALLOW(rt_sigaction),
        ALLOW(rt_sigprocmask),
        ALLOW(rt_sigreturn),
        ALLOW(sigaltstack),
        ALLOW(restart_syscall),
        /* What is open. */
        ALLOW(read),
        ALLOW(write),
        ALLOW(writev),
        ALLOW(lseek),
        ALLOW(fstat),
        ALLOW(close),
        ALLOW(exit),
        ALLOW(exit_group),
        /* Its arguments lie in memory, where a filter cannot see them; who is told that there is no
         * such call takes the older one. */
        IS(SYS_clone3, REFUSE(ENOSYS)),
        ALLOW_IF(clone, BPF_JSET, CLONE_THREAD),   /* threads, no processes */
        ALLOW_IF(prctl, BPF_JEQ, PR_SET_NAME),     /* of a thread */
        ALLOW_IF(tgkill, BPF_JEQ, (uint32_t)self), /* abort() */
        ANSWER(REFUSE(EPERM)),
    };
    struct sock_fprog program = {.len = ARRAY_SIZE(filter), .filter = filter};

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) < 0)
        return -errno;
    return 0;
}

#else

static int filter_install(pid_t self)
{
    (void)self;
    return -EINVAL;
}

#endif

int compiler_confine(struct err *e)
{
    struct rlimit none = {STDERR_FILENO + 1, STDERR_FILENO + 1};
    int r;

    if (close_range(STDERR_FILENO + 1, ~0u, 0) < 0 && errno != ENOSYS)
        return err_errno(e, -errno, "CompileFailed", "cannot close descriptors");
    if (setrlimit(RLIMIT_NOFILE, &none) < 0)
        return err_errno(e, -errno, "CompileFailed", "cannot give up descriptors");
    r = filter_install(getpid());
    if (r < 0 && r != -EINVAL)
        return err_errno(e, r, "CompileFailed", "cannot install a system call filter");
    return 0;
}
