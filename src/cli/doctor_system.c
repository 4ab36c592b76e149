/* SPDX-License-Identifier: Apache-2.0 */
/* What the kernel and its settings offer. */
#include <fcntl.h>
#include <inttypes.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>

#include "base/child.h"
#include "base/clock.h"
#include "base/fds.h"
#include "cli/doctor.h"

#define KERNEL_MAJOR 5
#define KERNEL_MINOR 6

static void check_version(struct report *r)
{
    struct utsname u;
    unsigned major = 0, minor = 0;
    char *rest;

    uname(&u);
    major = (unsigned)strtoul(u.release, &rest, 10);
    if (*rest == '.')
        minor = (unsigned)strtoul(rest + 1, NULL, 10);
    report_add(r,
               major > KERNEL_MAJOR || (major == KERNEL_MAJOR && minor >= KERNEL_MINOR)
                   ? VERDICT_OK
                   : VERDICT_FAIL,
               "kernel", "wherry needs pidfds, openat2 and clone3, which Linux 5.6 has together",
               "install a newer kernel: apt-get install linux-image-amd64, then restart",
               "Linux %s", u.release);
}

/* A call with impossible arguments tells whether the kernel, or a seccomp filter, knows it. */
static void check_call(struct report *r, const char *name, const char *why, long number, long a,
                       long b)
{
    bool is_there = syscall(number, a, b, 0, 0, 0) >= 0 || (errno != ENOSYS && errno != EPERM);

    report_add(r, is_there ? VERDICT_OK : VERDICT_FAIL, name, why,
               "use a kernel from 5.6; inside a container, let its seccomp profile allow the call",
               "%s", is_there ? "available" : err_text(errno));
}

static void check_memfd(struct report *r)
{
    autofd fd = memfd_create("wherry-doctor", MFD_CLOEXEC);

    report_add(r, fd >= 0 ? VERDICT_OK : VERDICT_FAIL, "memfd_create",
               "the guest's description is passed to the worker in an anonymous file",
               "let the seccomp profile of this container allow memfd_create", "%s",
               fd >= 0 ? "available" : err_text(errno));
}

static void check_seccomp(struct report *r)
{
    uint32_t action = SECCOMP_RET_ERRNO;
    bool is_there = !syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action);

    report_add(r, is_there ? VERDICT_OK : VERDICT_WARN, "seccomp",
               "helpers that read what strangers wrote shut out the calls that they do not need",
               "use a kernel built with CONFIG_SECCOMP_FILTER", "%s",
               is_there ? "filters available" : err_text(errno));
}

static void check_cpu(struct report *r)
{
    autobuf missing = BUF_INIT;

#if defined(__x86_64__)
    static const char why[] = "the engine uses these instructions where they are there; without "
                              "them SIMD and bit counting are slower";

    __builtin_cpu_init();
#define WANT(feature)                                                                              \
    if (!__builtin_cpu_supports(feature))                                                          \
    buf_addstr(&missing, " " feature)
    WANT("ssse3");
    WANT("sse4.1");
    WANT("sse4.2");
    WANT("popcnt");
    WANT("bmi");
    WANT("bmi2");
    WANT("avx");
    WANT("avx2");
    WANT("fma");
#undef WANT
#else
    static const char why[] = "the engine needs nothing beyond the base of this architecture";
#endif
    report_add(r, missing.len ? VERDICT_WARN : VERDICT_OK, "processor", why,
               "in a virtual machine choose the host's CPU model (qemu: -cpu host)", "%s%s",
               missing.len ? "lacks" : "has what the engine uses", buf_str(&missing));
}

void doctor_kernel(struct report *r)
{
    check_version(r);
    check_memfd(r);
    check_call(r, "pidfd_open", "the end of workers is seen through pidfds", SYS_pidfd_open,
               getpid(), 0);
    check_call(r, "openat2", "paths in a guest's folders are opened so that they cannot leave them",
               SYS_openat2, -1, 0);
    check_call(r, "clone3", "workers are started into their cgroup with it", SYS_clone3, 0, 0);
    check_seccomp(r);
    check_cpu(r);
}

/* 0, or the errno with which unshare() failed in a child. */
static int unshare_try(int flags)
{
    int status, r;
    pid_t pid = fork();

    if (pid < 0)
        return errno;
    if (pid == 0)
        _exit(unshare(flags) < 0 ? errno & 255 : 0);
    r = child_wait(pid, &status);
    if (r < 0)
        return -r;
    return WIFEXITED(status) ? WEXITSTATUS(status) : EIO;
}

static const char *namespace_fix(void)
{
    if (!doctor_number("/proc/sys/user/max_user_namespaces", 1))
        return "sysctl -w user.max_user_namespaces=15000 (and a line in /etc/sysctl.d/)";
    if (!doctor_number("/proc/sys/kernel/unprivileged_userns_clone", 1))
        return "sysctl -w kernel.unprivileged_userns_clone=1 (and a line in /etc/sysctl.d/)";
    if (doctor_number("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", 0) == 1)
        return "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0 (and a line in "
               "/etc/sysctl.d/)";
    return "inside a container, let its seccomp profile allow unshare and clone with new "
           "namespaces";
}

void doctor_namespaces(struct report *r)
{
    static const struct {
        const char *name, *why;
        int flags;
    } kinds[] = {
        {"user namespaces",    "each tenant's worker runs as nobody in a namespace of its own",
         CLONE_NEWUSER                                                                                                      },
        {"network namespaces", "each pod has its own network",                                  CLONE_NEWUSER | CLONE_NEWNET},
        {"mount namespaces",   "a worker starts in an empty root file system",
         CLONE_NEWUSER | CLONE_NEWNS                                                                                        },
    };

    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        int code = unshare_try(kinds[i].flags);

        /* `wherry run` needs none of them, so their lack is no failure. */
        report_add(r, code ? VERDICT_WARN : VERDICT_OK, kinds[i].name, kinds[i].why,
                   namespace_fix(), "%s", code ? err_text(code) : "available");
    }
}

/* Controllers of the v2 hierarchy, wherever it is mounted; empty without one. */
static void controllers_v2(struct buf *ret)
{
    struct err e = ERR_INIT;

    if (file_read("/sys/fs/cgroup/cgroup.controllers", 4096, ret, &e) < 0)
        file_read("/sys/fs/cgroup/unified/cgroup.controllers", 4096, ret, &e);
    while (ret->len && ret->data[ret->len - 1] == '\n')
        ret->data[--ret->len] = 0;
}

/* "cpu memory" of those that /proc/cgroups names with a hierarchy of version 1. */
static void controllers_v1(struct buf *ret)
{
    autobuf text = BUF_INIT;
    struct err e = ERR_INIT;
    char *save = NULL;

    if (file_read("/proc/cgroups", 16384, &text, &e) < 0 || !text.data)
        return;
    for (char *line = strtok_r(text.data, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        char *tab = strchr(line, '\t');

        if (line[0] != '#' && tab && strtol(tab + 1, NULL, 10) > 0)
            buf_addf(ret, "%s%.*s", ret->len ? " " : "", (int)(tab - line), line);
    }
}

static bool has_word(const char *words, const char *word)
{
    size_t len = strlen(word);

    for (const char *s = words; (s = strstr(s, word)); s += len)
        if ((s == words || s[-1] == ' ') && (!s[len] || s[len] == ' '))
            return true;
    return false;
}

void doctor_cgroups(struct report *r)
{
    static const char why[] = "limits on CPU, memory and processes of pods; 'wherry run' needs no "
                              "cgroup";
    autobuf v1 = BUF_INIT;
    autobuf v2 = BUF_INIT;

    controllers_v1(&v1);
    controllers_v2(&v2);
    if (has_word(buf_str(&v2), "cpu") && has_word(buf_str(&v2), "memory"))
        report_add(r, VERDICT_OK, "cgroups", why, NULL, "version 2: %s", buf_str(&v2));
    else if (has_word(buf_str(&v1), "cpu") && has_word(buf_str(&v1), "memory"))
        report_add(r, VERDICT_OK, "cgroups", why, NULL, "version 1: %s%s%s", buf_str(&v1),
                   v2.len ? "; version 2: " : "", buf_str(&v2));
    else
        report_add(r, VERDICT_WARN, "cgroups", why,
                   "mount -t cgroup2 cgroup2 /sys/fs/cgroup, or start with the kernel option "
                   "systemd.unified_cgroup_hierarchy=1",
                   "no cpu and memory controllers (version 1: %s; version 2: %s)",
                   v1.len ? buf_str(&v1) : "none", v2.len ? buf_str(&v2) : "none");
}

static void check_map_count(struct report *r)
{
    long long maps = doctor_number("/proc/sys/vm/max_map_count", -1);

    report_add(r, maps >= 65530 ? VERDICT_OK : VERDICT_WARN, "vm.max_map_count",
               "each guest's memory is several mappings; too few stop a worker with many guests",
               "sysctl -w vm.max_map_count=262144 (and a line in /etc/sysctl.d/)", "%lld", maps);
}

static void check_overcommit(struct report *r)
{
    long long mode = doctor_number("/proc/sys/vm/overcommit_memory", 0);

    report_add(r, mode == 2 ? VERDICT_WARN : VERDICT_OK, "vm.overcommit_memory",
               "the engine reserves 4 GiB of addresses for each memory and uses little of it",
               "sysctl -w vm.overcommit_memory=0 (and a line in /etc/sysctl.d/)", "%lld%s", mode,
               mode == 2 ? ", strict accounting" : "");
}

static void check_address_space(struct report *r)
{
    struct rlimit limit;
    char text[SIZE_TEXT_SIZE] = "unlimited";
    bool is_enough;

    getrlimit(RLIMIT_AS, &limit);
    is_enough = limit.rlim_cur == RLIM_INFINITY || limit.rlim_cur >= (64ULL << 30);
    if (limit.rlim_cur != RLIM_INFINITY)
        size_bytes_format(limit.rlim_cur, text);
    report_add(r, is_enough ? VERDICT_OK : VERDICT_FAIL, "address space",
               "the engine reserves addresses for guests' memories, far more than they use",
               "ulimit -v unlimited", "%s", text);
}

static void check_descriptors(struct report *r)
{
    struct rlimit limit;

    getrlimit(RLIMIT_NOFILE, &limit);
    report_add(r, limit.rlim_max >= 4096 ? VERDICT_OK : VERDICT_WARN, "open files",
               "guests' files, sockets and folders are descriptors of the worker",
               "ulimit -n 65536, or LimitNOFILE=65536 in the service's unit",
               "%" PRIu64 " now, %" PRIu64 " at most", (uint64_t)limit.rlim_cur,
               (uint64_t)limit.rlim_max);
}

void doctor_limits(struct report *r)
{
    check_map_count(r);
    check_overcommit(r);
    check_address_space(r);
    check_descriptors(r);
}
