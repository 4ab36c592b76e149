/* SPDX-License-Identifier: Apache-2.0 */
#include "container/guest/confinement.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/seccomp.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "container/guest/confinement_plan.h"

#define LISTEN_BACKLOG 1024

/* ---- In the child: system calls only ---- */

static bool fail(struct confinement_report *ret, enum confinement_step step, size_t index)
{
    *ret = (struct confinement_report){(int32_t)step, (int32_t)index, errno};
    return false;
}

static bool file_put(const char *path, const char *text)
{
    size_t len = strlen(text);
    int fd = open(path, O_WRONLY | O_CLOEXEC), kept;
    ssize_t n;

    if (fd < 0)
        return false;
    n = write(fd, text, len);
    kept = errno;
    close(fd);
    errno = n < 0 ? kept : EIO;
    return n == (ssize_t)len;
}

/* The number of descriptors comes apart, after the last one got its number. */
static bool limits_set(const struct confinement *c, bool is_of_descriptors,
                       struct confinement_report *failed)
{
    for (size_t i = 0; i < c->n_limits; i++) {
        const struct confinement_limit *l = &c->limits[i];

        if ((l->resource == RLIMIT_NOFILE) == is_of_descriptors &&
            setrlimit((__rlimit_resource_t)l->resource, &l->value) < 0)
            return fail(failed, STEP_RLIMIT, i);
    }
    return true;
}

static bool host_side(const struct confinement *c, struct confinement_report *failed)
{
    int r = cgroup_enter(&c->cgroup);

    if (r < 0) {
        errno = -r;
        return fail(failed, STEP_CGROUP, 0);
    }
    if (c->score && !file_put("/proc/self/oom_score_adj", c->score)) {
        if (errno != EACCES)
            return fail(failed, STEP_SCORE, 0);
        failed->index = CONFINEMENT_SCORE_KEPT;
    }
    return limits_set(c, false, failed);
}

static bool loopback_raise(void)
{
    struct ifreq r = {.ifr_name = "lo", .ifr_flags = IFF_UP};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), result;

    if (fd < 0)
        return false;
    result = ioctl(fd, SIOCSIFFLAGS, &r);
    close(fd);
    return result >= 0;
}

static int bound_socket(unsigned port)
{
    const struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
    const struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int one = 1, zero = 0, fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd >= 0) {
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero));
        if (!bind(fd, (const struct sockaddr *)&six, sizeof(six)))
            return fd;
        close(fd);
        if (errno == EADDRINUSE || errno == EACCES)
            return -1;
    }
    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    return bind(fd, (const struct sockaddr *)&four, sizeof(four)) < 0 ? -1 : fd;
}

static bool listener_make(const struct confinement *c, int at)
{
    int fd = bound_socket(c->listen_port);

    return fd >= 0 && listen(fd, LISTEN_BACKLOG) >= 0 && dup3(fd, at, O_CLOEXEC) >= 0 &&
           close(fd) >= 0;
}

static bool namespaces_enter(const struct confinement *c, struct confinement_report *failed)
{
    for (size_t i = 0; i < c->n_namespaces; i++) {
        const struct confinement_namespace *n = &c->namespaces[i];

        if ((n->fd >= 0 ? setns(n->fd, n->flag) : unshare(n->flag)) < 0)
            return fail(failed, STEP_NAMESPACE, i);
    }
    if (c->has_loopback_down && !loopback_raise())
        return fail(failed, STEP_LOOPBACK, 0);
    if (c->hostname && sethostname(c->hostname, strlen(c->hostname)) < 0)
        return fail(failed, STEP_HOSTNAME, 0);
    if (c->domainname && setdomainname(c->domainname, strlen(c->domainname)) < 0)
        return fail(failed, STEP_DOMAINNAME, 0);
    for (size_t i = 0; i < c->sysctl.n; i++)
        if (!file_put(c->sysctl.v[i].name, c->sysctl.v[i].value))
            return fail(failed, STEP_SYSCTL, i);
    return true;
}

static bool labels_set(const struct confinement *c, struct confinement_report *failed)
{
    if (c->apparmor && !file_put("/proc/self/attr/apparmor/exec", c->apparmor) &&
        !file_put("/proc/self/attr/exec", c->apparmor))
        return fail(failed, STEP_APPARMOR, 0);
    if (c->selinux && !file_put("/proc/self/attr/exec", c->selinux))
        return fail(failed, STEP_SELINUX, 0);
    return true;
}

static bool filter_load(const struct confinement *c, struct confinement_report *failed)
{
    if (!c->seccomp.len ||
        !syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, c->seccomp_flags, &c->seccomp))
        return true;
    return fail(failed, STEP_SECCOMP, 0);
}

static bool capabilities_set(const struct confinement *c)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];

    for (int i = 0; i < 2; i++)
        data[i] = (struct __user_cap_data_struct){(uint32_t)(c->effective >> 32 * i),
                                                  (uint32_t)(c->permitted >> 32 * i),
                                                  (uint32_t)(c->inheritable >> 32 * i)};
    return !syscall(SYS_capset, &head, data);
}

/* By the kernel's own calls: those of the C library would tell threads that are not here. */
static bool user_set(const struct confinement *c, struct confinement_report *failed)
{
    if (syscall(SYS_setgroups, c->n_groups, c->groups) < 0)
        return fail(failed, STEP_GROUPS, 0);
    if (syscall(SYS_setresgid, c->gid, c->gid, c->gid) < 0)
        return fail(failed, STEP_GID, 0);
    if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0 ||
        syscall(SYS_setresuid, c->uid, c->uid, c->uid) < 0 ||
        prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0) < 0)
        return fail(failed, STEP_UID, 0);
    return true;
}

static bool rights_drop(const struct confinement *c, struct confinement_report *failed)
{
    for (unsigned i = 0; prctl(PR_CAPBSET_READ, i, 0, 0, 0) >= 0; i++)
        if (!(c->bounding >> i & 1) && prctl(PR_CAPBSET_DROP, i, 0, 0, 0) < 0)
            return fail(failed, STEP_BOUNDING, i);
    if (!user_set(c, failed))
        return false;
    if (!capabilities_set(c))
        return fail(failed, STEP_CAPABILITIES, 0);
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
        return fail(failed, STEP_AMBIENT, 0);
    for (unsigned i = 0; i < 64; i++)
        if (c->ambient >> i & 1 && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, i, 0, 0) < 0)
            return fail(failed, STEP_AMBIENT, i);
    return true;
}

bool confinement_apply(const struct confinement *c, int listener_fd,
                       struct confinement_report *failed)
{
    *failed = (struct confinement_report){.step = CONFINEMENT_READY};
    if (!host_side(c, failed) || !namespaces_enter(c, failed))
        return false;
    if (c->listen_port && !listener_make(c, listener_fd))
        return fail(failed, STEP_LISTEN, 0);
    if (!limits_set(c, true, failed))
        return false;
    if (setsid() < 0)
        return fail(failed, STEP_SESSION, 0);
    if (c->has_terminal && ioctl(STDIN_FILENO, TIOCSCTTY, 0) < 0)
        return fail(failed, STEP_TERMINAL, 0);
    if (!labels_set(c, failed))
        return false;
    if (c->mounts_fd && setns(c->mounts_fd, CLONE_NEWNS) < 0)
        return fail(failed, STEP_MOUNTS, 0);
    umask(c->umask);
    if (!c->has_no_new_privileges && !filter_load(c, failed))
        return false;
    if (!rights_drop(c, failed))
        return false;
    if (c->has_no_new_privileges && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return fail(failed, STEP_PRIVILEGES, 0);
    return true;
}

bool confinement_seal(const struct confinement *c, struct confinement_report *failed)
{
    return !c->has_no_new_privileges || filter_load(c, failed);
}

/* ---- In the parent ---- */

static const char *const steps[STEPS] = {
    [STEP_CGROUP] = "cannot enter its control group",
    [STEP_SCORE] = "cannot set its score for the out-of-memory killer",
    [STEP_RLIMIT] = "cannot set the limit",
    [STEP_NAMESPACE] = "cannot enter the namespace",
    [STEP_LOOPBACK] = "cannot raise the loopback device of its network namespace",
    [STEP_HOSTNAME] = "cannot set the hostname",
    [STEP_DOMAINNAME] = "cannot set the domain name",
    [STEP_SYSCTL] = "cannot set the sysctl",
    [STEP_LISTEN] = "cannot listen on the port",
    [STEP_SESSION] = "cannot begin a session",
    [STEP_TERMINAL] = "cannot take its terminal",
    [STEP_APPARMOR] = "cannot take the AppArmor profile",
    [STEP_SELINUX] = "cannot take the SELinux label",
    [STEP_MOUNTS] = "cannot enter its mount namespace",
    [STEP_BOUNDING] = "cannot give up the capability",
    [STEP_GROUPS] = "cannot set its groups",
    [STEP_GID] = "cannot become the group",
    [STEP_UID] = "cannot become the user",
    [STEP_CAPABILITIES] = "cannot set its capabilities",
    [STEP_AMBIENT] = "cannot set the ambient capability",
    [STEP_PRIVILEGES] = "cannot forbid new privileges",
    [STEP_SECCOMP] = "cannot load its system call filter",
};

static void what_add(const struct confinement *c, const struct confinement_report *r,
                     struct buf *out)
{
    size_t i = (size_t)r->index;

    switch ((enum confinement_step)r->step) {
    case STEP_RLIMIT:
        buf_addf(out, " %s", c->limits[i].name);
        break;
    case STEP_NAMESPACE:
        buf_addf(out, " of %s '%s'", c->namespaces[i].type,
                 c->namespaces[i].path ? c->namespaces[i].path : "(new)");
        break;
    case STEP_HOSTNAME:
        buf_addf(out, " '%s'", c->hostname);
        break;
    case STEP_DOMAINNAME:
        buf_addf(out, " '%s'", c->domainname);
        break;
    case STEP_SYSCTL:
        buf_addf(out, " '%s = %s'", c->sysctl.v[i].name, c->sysctl.v[i].value);
        break;
    case STEP_LISTEN:
        buf_addf(out, " %u", c->listen_port);
        break;
    case STEP_APPARMOR:
        buf_addf(out, " '%s'", c->apparmor + strlen("exec "));
        break;
    case STEP_SELINUX:
        buf_addf(out, " '%s'", c->selinux);
        break;
    case STEP_BOUNDING:
    case STEP_AMBIENT:
        buf_addf(out, " %zu", i);
        break;
    case STEP_GID:
        buf_addf(out, " %u", c->gid);
        break;
    case STEP_UID:
        buf_addf(out, " %u", c->uid);
        break;
    case STEP_CGROUP:
    case STEP_MOUNTS:
    case STEP_SCORE:
    case STEP_LOOPBACK:
    case STEP_SESSION:
    case STEP_TERMINAL:
    case STEP_GROUPS:
    case STEP_CAPABILITIES:
    case STEP_PRIVILEGES:
    case STEP_SECCOMP:
    case STEPS:
        break;
    }
}

int confinement_error(const struct confinement *c, const struct confinement_report *r,
                      struct err *e)
{
    autobuf text = BUF_INIT;

    if (r->step == CONFINEMENT_EXEC)
        return err_errno(e, -r->code, "ExecFailed", "cannot execute the worker");
    BUG_ON(r->step < 0 || r->step >= STEPS);
    buf_addstr(&text, steps[r->step]);
    what_add(c, r, &text);
    return err_errno(e, -r->code, "ConfinementFailed", "%.400s", buf_str(&text));
}
