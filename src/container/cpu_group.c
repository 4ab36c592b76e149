/* SPDX-License-Identifier: Apache-2.0 */
#include "container/cpu_group.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/fds.h"
#include "base/paths.h"
#include "container/cgroup/cgroup_parts.h"

#define PARENT         "wherry"
#define PERIOD_US      100000
#define SMALLEST_QUOTA 1000 /* microseconds; the kernel takes no less */

struct cpu_groups {
    int version;
    char *own;  /* the folder of this process's group */
    int dir_fd; /* of PARENT below it */
    char *owner;
};

static int write_at(int dir_fd, const char *name, const char *text)
{
    autofd fd = openat(dir_fd, name, O_WRONLY | O_CLOEXEC);

    if (fd < 0)
        return -errno;
    return write(fd, text, strlen(text)) < 0 ? -errno : 0;
}

/* ---- What this machine has ---- */

/* Opens PARENT, made when it is missing. */
static int parent_open(const char *own, int *ret_fd)
{
    autofree char *path = path_join(own, PARENT);
    int fd;

    if (mkdir(path, 0755) < 0 && errno != EEXIST)
        return -errno;
    fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    *ret_fd = fd;
    return 0;
}

/* A group that only threads are put in, and the controller for what is below it. */
static int threaded_prepare(const char *own, int dir_fd)
{
    autofd own_fd = open(own, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int r;

    if (own_fd < 0)
        return -errno;
    r = write_at(dir_fd, "cgroup.type", "threaded");
    if (r >= 0)
        r = write_at(own_fd, "cgroup.subtree_control", "+cpu");
    return r < 0 ? r : write_at(dir_fd, "cgroup.subtree_control", "+cpu");
}

static int hierarchy_open(const struct cgroup_host *host, int version, const char *text,
                          const char *owner, struct cpu_groups **ret)
{
    const struct cgroup_hierarchy *h =
        cgroup_host_find(host, version, version == 1 ? CGROUP_CPU : CGROUP_N_CONTROLLERS);
    autofree char *own = h ? cgroup_hierarchy_dir(h, text) : NULL;
    autofd dir_fd = -EBADF;
    struct cpu_groups *g;
    int r = own ? parent_open(own, &dir_fd) : -ENOENT;

    if (r >= 0 && version == 2)
        r = threaded_prepare(own, dir_fd);
    if (r < 0)
        return r;
    g = xcalloc(1, sizeof(*g));
    *g = (struct cpu_groups){version, take_ptr(own), take_fd(&dir_fd), xstrdup(owner)};
    *ret = g;
    return 0;
}

int cpu_groups_open(const char *owner, struct cpu_groups **ret, struct err *e)
{
    const struct cgroup_host *host;
    autobuf text = BUF_INIT;
    int first, second;

    if (cgroup_host_get(&host, e) < 0) {
        e->reason = "NoCpuGroups";
        return e->code;
    }
    TRY(file_read("/proc/self/cgroup", CGROUP_FILE_LIMIT_BYTES, &text, e));
    first = hierarchy_open(host, 1, buf_str(&text), owner, ret);
    if (first >= 0)
        return 0;
    second = hierarchy_open(host, 2, buf_str(&text), owner, ret);
    if (second >= 0)
        return 0;
    return err_set(e, first == -ENOENT ? second : first, "NoCpuGroups",
                   "no control group of the kernel can limit processors here (version 1: %s; "
                   "version 2: %s)",
                   strerror(-first), strerror(-second));
}

void cpu_groups_free(struct cpu_groups *g)
{
    close(g->dir_fd);
    free(g->own);
    free(g->owner);
    free(g);
}

int cpu_groups_version(const struct cpu_groups *g)
{
    return g->version;
}

/* ---- Groups ---- */

static int limit_set(const struct cpu_groups *g, int fd, int64_t milli)
{
    char text[64];
    int64_t quota = milli > INT64_MAX / (PERIOD_US / 1000) ? INT64_MAX : milli * (PERIOD_US / 1000);

    if (quota < SMALLEST_QUOTA)
        quota = SMALLEST_QUOTA;
    if (g->version == 2) {
        int r = write_at(fd, "cgroup.type", "threaded");

        snprintf(text, sizeof(text), "%lld %d", (long long)quota, PERIOD_US);
        /* One that is there is threaded already, and says so by this error. */
        return r < 0 && r != -EOPNOTSUPP && r != -EINVAL ? r : write_at(fd, "cpu.max", text);
    }
    snprintf(text, sizeof(text), "%d", PERIOD_US);
    TRY(write_at(fd, "cpu.cfs_period_us", text));
    snprintf(text, sizeof(text), "%lld", (long long)quota);
    return write_at(fd, "cpu.cfs_quota_us", text);
}

static char *name_of(const struct cpu_groups *g, const char *id)
{
    return xasprintf("%s.%s", g->owner, id);
}

int cpu_group_make(const struct cpu_groups *g, const char *id, int64_t milli, int *ret_fd,
                   struct err *e)
{
    autofree char *name = name_of(g, id);
    autofd dir_fd = -EBADF;
    int fd, r;

    if (mkdirat(g->dir_fd, name, 0755) < 0 && errno != EEXIST)
        return err_errno(e, -errno, "CpuGroupFailed", "cannot make the control group '%s/%s/%s'",
                         g->own, PARENT, name);
    dir_fd = openat(g->dir_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    r = dir_fd < 0 ? -errno : limit_set(g, dir_fd, milli);
    if (r < 0)
        return err_errno(e, r, "CpuGroupFailed", "cannot limit the control group '%s/%s/%s'",
                         g->own, PARENT, name);
    fd = openat(dir_fd, g->version == 1 ? "tasks" : "cgroup.threads", O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return err_errno(e, -errno, "CpuGroupFailed", "cannot enter the control group '%s/%s/%s'",
                         g->own, PARENT, name);
    *ret_fd = fd;
    return 0;
}

int cpu_group_remove(const struct cpu_groups *g, const char *id, struct err *e)
{
    autofree char *name = name_of(g, id);

    if (unlinkat(g->dir_fd, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
        return err_errno(e, -errno, "CpuGroupFailed", "cannot remove the control group '%s/%s/%s'",
                         g->own, PARENT, name);
    return 0;
}

int cpu_groups_list(const struct cpu_groups *g, struct strv *ret, struct err *e)
{
    int fd = openat(g->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    size_t len = strlen(g->owner);

    if (!dir) {
        int r = -errno;

        if (fd >= 0)
            close(fd);
        return err_errno(e, r, "CpuGroupFailed", "cannot list the control groups in '%s/%s'",
                         g->own, PARENT);
    }
    for (const struct dirent *d; (d = readdir(dir));)
        if (d->d_type == DT_DIR && !strncmp(d->d_name, g->owner, len) && d->d_name[len] == '.')
            strv_add(ret, d->d_name + len + 1);
    closedir(dir);
    return 0;
}
