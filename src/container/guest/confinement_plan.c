/* SPDX-License-Identifier: Apache-2.0 */
#include "container/guest/confinement_plan.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>

#include "container/oci/sysctl.h"

#define BAD "BadConfig"

#define GROUPS_LIMIT      1024
#define UMASK_DEFAULT     0022       /* as runc's, whatever the supervisor's is */
#define STACK_LEAST       (8u << 20) /* of the worker's first thread, on which the guest runs */
#define DESCRIPTORS_LEAST 64u

/* ---- Names ---- */

/* In the order of their numbers (linux/capability.h). */
static const char *const capabilities[] = {
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
};

int confinement_capability(const char *name)
{
    if (!str_starts(name, "CAP_"))
        return -1;
    for (size_t i = 0; i < ARRAY_SIZE(capabilities); i++)
        if (str_eq(name + 4, capabilities[i]))
            return (int)i;
    return -1;
}

/* Those that would keep the engine from starting are not lowered to what they say. */
static const struct {
    const char *name;
    int resource;
    rlim_t least;    /* the engine needs */
    bool is_ignored; /* the engine reserves address space that it never uses */
} resources[] = {
    {"RLIMIT_AS",         RLIMIT_AS,         0,                 true },
    {"RLIMIT_CORE",       RLIMIT_CORE,       0,                 false},
    {"RLIMIT_CPU",        RLIMIT_CPU,        0,                 false},
    {"RLIMIT_DATA",       RLIMIT_DATA,       0,                 true },
    {"RLIMIT_FSIZE",      RLIMIT_FSIZE,      0,                 false},
    {"RLIMIT_LOCKS",      RLIMIT_LOCKS,      0,                 false},
    {"RLIMIT_MEMLOCK",    RLIMIT_MEMLOCK,    0,                 false},
    {"RLIMIT_MSGQUEUE",   RLIMIT_MSGQUEUE,   0,                 false},
    {"RLIMIT_NICE",       RLIMIT_NICE,       0,                 false},
    {"RLIMIT_NOFILE",     RLIMIT_NOFILE,     DESCRIPTORS_LEAST, false},
    {"RLIMIT_NPROC",      RLIMIT_NPROC,      0,                 false},
    {"RLIMIT_RSS",        RLIMIT_RSS,        0,                 false},
    {"RLIMIT_RTPRIO",     RLIMIT_RTPRIO,     0,                 false},
    {"RLIMIT_RTTIME",     RLIMIT_RTTIME,     0,                 false},
    {"RLIMIT_SIGPENDING", RLIMIT_SIGPENDING, 0,                 false},
    {"RLIMIT_STACK",      RLIMIT_STACK,      STACK_LEAST,       false},
};

/* ---- Limits and rights ---- */

static int limit_add(struct confinement *c, const struct oci_rlimit *l, struct err *e)
{
    for (size_t i = 0; i < ARRAY_SIZE(resources); i++) {
        struct rlimit v = {(rlim_t)l->soft, (rlim_t)l->hard};

        if (!str_eq(l->type, resources[i].name))
            continue;
        /* -1 is RLIM_INFINITY, which as an unsigned number is the largest. */
        if (v.rlim_cur > v.rlim_max)
            return err_set(e, -EINVAL, BAD, "the soft limit of %s is above the hard one", l->type);
        if (v.rlim_cur < resources[i].least)
            v.rlim_cur = resources[i].least;
        if (v.rlim_max < v.rlim_cur)
            v.rlim_max = v.rlim_cur;
        if (resources[i].is_ignored)
            return 0;
        c->limits = xrealloc(c->limits, c->n_limits + 1, sizeof(*c->limits));
        c->limits[c->n_limits++] =
            (struct confinement_limit){resources[i].name, resources[i].resource, v};
        return 0;
    }
    return err_set(e, -EINVAL, BAD, "there is no resource '%.100s' to be limited", l->type);
}

bool confinement_rlimit(const struct confinement *c, int resource, struct rlimit *ret)
{
    for (size_t i = 0; i < c->n_limits; i++)
        if (c->limits[i].resource == resource) {
            *ret = c->limits[i].value;
            return true;
        }
    return false;
}

/* What this kernel knows. A name that only wherry knows is skipped, as runc does. */
static uint64_t mask_of(const struct strv *names)
{
    uint64_t mask = 0;

    for (size_t i = 0; i < names->n; i++) {
        int n = confinement_capability(names->v[i]);

        if (n >= 0 && prctl(PR_CAPBSET_READ, n, 0, 0, 0) >= 0)
            mask |= UINT64_C(1) << n;
    }
    return mask;
}

static void rights_add(struct confinement *c, const struct oci_process *p)
{
    if (p->has_capabilities) {
        c->bounding = mask_of(&p->capabilities.bounding);
        c->permitted = mask_of(&p->capabilities.permitted);
        c->effective = mask_of(&p->capabilities.effective) & c->permitted;
        c->inheritable = mask_of(&p->capabilities.inheritable);
        c->ambient = mask_of(&p->capabilities.ambient) & c->permitted & c->inheritable;
    }
    c->has_no_new_privileges = p->no_new_privileges;
    if (p->apparmor_profile && *p->apparmor_profile)
        c->apparmor = xasprintf("exec %s", p->apparmor_profile);
    if (p->selinux_label && *p->selinux_label)
        c->selinux = xstrdup(p->selinux_label);
    if (p->has_oom_score_adj)
        c->score = xasprintf("%lld", (long long)p->oom_score_adj);
}

static bool is_id(int64_t id)
{
    return id >= 0 && id < UINT32_MAX;
}

static int user_add(struct confinement *c, const struct oci_user *u, struct err *e)
{
    if (!is_id(u->uid) || !is_id(u->gid))
        return err_set(e, -EINVAL, BAD, "the user %lld:%lld cannot be", (long long)u->uid,
                       (long long)u->gid);
    if (u->n_additional_gids > GROUPS_LIMIT)
        return err_set(e, -E2BIG, BAD, "the user has more than %d groups", GROUPS_LIMIT);
    c->uid = (uid_t)u->uid;
    c->gid = (gid_t)u->gid;
    c->umask = u->has_umask ? (mode_t)(u->umask & 0777) : UMASK_DEFAULT;
    c->groups = xcalloc(u->n_additional_gids + 1, sizeof(*c->groups));
    for (; c->n_groups < u->n_additional_gids; c->n_groups++) {
        if (!is_id(u->additional_gids[c->n_groups]))
            return err_set(e, -EINVAL, BAD, "the group %lld cannot be",
                           (long long)u->additional_gids[c->n_groups]);
        c->groups[c->n_groups] = (gid_t)u->additional_gids[c->n_groups];
    }
    return 0;
}

/* ---- Namespaces ---- */

/* The user namespace first: it owns the right to enter the others. */
static const char *const entered[CONFINEMENT_NAMESPACES] = {"user", "network", "ipc", "uts"};

static int namespace_add(struct confinement *c, const struct confinement_options *o,
                         const char *type, struct err *e)
{
    const struct oci_namespace_kind *kind = oci_namespace_kind(type);
    const struct oci_namespace *from = oci_config_namespace(o->config, type);
    struct confinement_namespace *n = &c->namespaces[c->n_namespaces];
    const char *path = from && from->path && *from->path ? from->path : NULL;

    if (!from)
        return 0;
    if (!path && !o->is_joining && kind->flag == CLONE_NEWUSER)
        return err_set(e, -ENOTSUP, "Unsupported",
                       "a WebAssembly container cannot have a new user namespace of its own; name "
                       "the path of one that is there, as pods do, or leave it out");
    *n = (struct confinement_namespace){.type = type, .flag = kind->flag, .fd = -EBADF};
    c->n_namespaces++;
    /* Where the process is, whatever has become of the document's path meanwhile. */
    if (o->is_joining)
        n->path = xasprintf("/proc/%d/ns/%s", (int)o->of_pid, kind->file);
    else if (path)
        n->path = xstrdup(path);
    if (!n->path) {
        c->has_loopback_down |= n->flag == CLONE_NEWNET;
        return 0;
    }
    n->fd = open(n->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (n->fd < 0)
        return err_errno(e, -errno, "NamespaceFailed", "cannot enter the %s namespace '%.200s'",
                         n->type, n->path);
    return 0;
}

/* ---- What is the namespaces' ---- */

static int sysctl_add(struct confinement *c, const struct oci_config *config,
                      const struct json_pair *s, struct err *e)
{
    char *path;

    TRY(oci_sysctl_path(config, s->name, &path, e));
    c->sysctl.v = xrealloc(c->sysctl.v, c->sysctl.n + 1, sizeof(*c->sysctl.v));
    c->sysctl.v[c->sysctl.n++] = (struct json_pair){path, xstrdup(s->value)};
    return 0;
}

static int names_add(struct confinement *c, const struct oci_config *config, struct err *e)
{
    bool has_uts = oci_config_namespace(config, "uts");

    for (size_t i = 0; i < config->linux_.sysctl.n; i++)
        TRY(sysctl_add(c, config, &config->linux_.sysctl.v[i], e));
    if (config->hostname && *config->hostname && !has_uts)
        return err_set(e, -EINVAL, BAD,
                       "the hostname '%.100s' needs a uts namespace: it would change the host's",
                       config->hostname);
    if (has_uts && config->hostname && *config->hostname)
        c->hostname = xstrdup(config->hostname);
    if (has_uts && config->domainname && *config->domainname)
        c->domainname = xstrdup(config->domainname);
    return 0;
}

int confinement_new(const struct confinement_options *o, struct confinement **ret, struct err *e)
{
    AUTO(confinement) c = xcalloc(1, sizeof(*c));

    if (o->seccomp)
        c->seccomp = *o->seccomp;
    c->seccomp_flags = o->seccomp_flags;
    c->listen_port = o->listen_port;
    c->has_terminal = o->has_terminal;
    c->mounts_fd = o->mounts_fd;
    if (o->cgroup)
        c->cgroup = *o->cgroup;
    for (size_t i = 0; i < ARRAY_SIZE(entered); i++)
        TRY(namespace_add(c, o, entered[i], e));
    if (!o->is_joining)
        TRY(names_add(c, o->config, e));
    for (size_t i = 0; i < o->process->n_rlimits; i++)
        TRY(limit_add(c, &o->process->rlimits[i], e));
    TRY(user_add(c, &o->process->user, e));
    rights_add(c, o->process);
    *ret = take_ptr(c);
    return 0;
}

void confinement_free(struct confinement *c)
{
    for (size_t i = 0; i < c->n_namespaces; i++) {
        close_cleanup_(&c->namespaces[i].fd);
        free(c->namespaces[i].path);
    }
    for (size_t i = 0; i < c->sysctl.n; i++) {
        free(c->sysctl.v[i].name);
        free(c->sysctl.v[i].value);
    }
    free(c->sysctl.v);
    free(c->limits);
    free(c->groups);
    free(c->hostname);
    free(c->domainname);
    free(c->score);
    free(c->apparmor);
    free(c->selinux);
    free(c);
}

size_t confinement_fds(const struct confinement *c, int *ret, size_t max)
{
    size_t n = 0;

    BUG_ON(c->cgroup.n + c->n_namespaces > max);
    for (size_t i = 0; i < c->cgroup.n; i++)
        ret[n++] = c->cgroup.v[i];
    for (size_t i = 0; i < c->n_namespaces; i++)
        if (c->namespaces[i].fd >= 0)
            ret[n++] = c->namespaces[i].fd;
    return n;
}
