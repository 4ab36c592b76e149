/* SPDX-License-Identifier: Apache-2.0 */
#include "container/cgroup/cgroup.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/fds.h"
#include "base/paths.h"
#include "container/cgroup/cgroup_parts.h"

/* ---- Its name ---- */

/* Without empty parts and ".". Heap. */
static int path_clean(const char *path, char **ret, struct err *e)
{
    autobuf out = BUF_INIT;

    if (strlen(path) > CGROUP_PATH_LIMIT)
        return err_set(e, -EINVAL, "BadCgroupPath",
                       "linux.cgroupsPath is longer than %d bytes; name a shorter one",
                       CGROUP_PATH_LIMIT);
    while (*path) {
        size_t len = strcspn(path, "/");

        if (len == 2 && !strncmp(path, "..", 2))
            return err_set(e, -EINVAL, "BadCgroupPath",
                           "linux.cgroupsPath has '..' in it; name the group from the root");
        if (len && !(len == 1 && *path == '.')) {
            buf_addc(&out, '/');
            buf_add(&out, path, len);
        }
        path += len + (path[len] == '/');
    }
    if (!out.len)
        return err_set(e, -EINVAL, "BadCgroupPath",
                       "linux.cgroupsPath is the root of all control groups; name a group of its "
                       "own for the container");
    *ret = buf_take(&out);
    return 0;
}

/* The folder that a relative path is below. */
static char *relative_base(const struct cgroup_hierarchy *h, const char *self)
{
    autofree char *own = cgroup_hierarchy_dir(h, self);

    if (!own)
        return xstrdup(h->mount);
    return h->version == 1 || str_eq(own, h->mount) ? take_ptr(own) : path_dir(own);
}

/* The folder of the manager of units, which may itself be in init.scope. */
static char *manager_base(const struct cgroup_hierarchy *h, const char *init)
{
    autofree char *dir = cgroup_hierarchy_dir(h, init);
    size_t stem = dir ? str_stem(dir, "/init.scope") : 0;

    if (!dir)
        return xstrdup(h->mount);
    return stem ? xstrndup(dir, stem) : take_ptr(dir);
}

static void path_set(struct cgroup *c)
{
    for (size_t i = 0; i < c->host->n; i++)
        if (c->dirs[i] && !c->path) {
            const char *below = c->dirs[i] + strlen(c->host->v[i].mount);

            c->path = xstrdup(*below ? below : "/");
        }
}

int cgroup_open_on(const struct cgroup_host *h, const char *self, const char *init,
                   const char *cgroups_path, bool is_systemd, const char *id, struct cgroup **ret,
                   struct err *e)
{
    AUTO(cgroup) c = xcalloc(1, sizeof(*c));
    bool is_absolute = cgroups_path && *cgroups_path == '/';
    autofree char *below = NULL;

    c->host = h;
    c->keeper_pidfd = c->keeper_fd = -EBADF;
    if (is_systemd)
        TRY(cgroup_systemd_open(c, cgroups_path, id, &below, e));
    else
        TRY(path_clean(cgroups_path && *cgroups_path ? cgroups_path : id, &below, e));
    for (size_t i = 0; i < h->n; i++) {
        autofree char *base = NULL;

        if (h->v[i].version != h->version)
            continue;
        base = is_systemd    ? manager_base(&h->v[i], init)
               : is_absolute ? xstrdup(h->v[i].mount)
                             : relative_base(&h->v[i], self);
        c->dirs[i] = path_join(base, below);
    }
    path_set(c);
    *ret = take_ptr(c);
    return 0;
}

int cgroup_open(const char *cgroups_path, bool is_systemd, const char *id, struct cgroup **ret,
                struct err *e)
{
    const struct cgroup_host *h;
    autobuf self = BUF_INIT, init = BUF_INIT;
    struct err unused = ERR_INIT;

    TRY(cgroup_host_get(&h, e));
    TRY(file_read("/proc/self/cgroup", CGROUP_FILE_LIMIT_BYTES, &self, e));
    if (is_systemd) /* unreadable: then it is taken to be in the root */
        (void)file_read("/proc/1/cgroup", CGROUP_FILE_LIMIT_BYTES, &init, &unused);
    return cgroup_open_on(h, buf_str(&self), buf_str(&init), cgroups_path, is_systemd, id, ret, e);
}

int cgroup_open_pid(pid_t pid, struct cgroup **ret, struct err *e)
{
    AUTO(cgroup) c = xcalloc(1, sizeof(*c));
    autofree char *file = xasprintf("/proc/%d/cgroup", (int)pid);
    autobuf text = BUF_INIT;

    c->keeper_pidfd = c->keeper_fd = -EBADF;
    c->is_borrowed = true;
    TRY(cgroup_host_get(&c->host, e));
    TRY(file_read(file, CGROUP_FILE_LIMIT_BYTES, &text, e));
    for (size_t i = 0; i < c->host->n; i++)
        if (c->host->v[i].version == c->host->version)
            c->dirs[i] = cgroup_hierarchy_dir(&c->host->v[i], buf_str(&text));
    path_set(c);
    if (!c->path)
        return err_set(e, -ENOENT, "CgroupFailed", "'%s' names no control group that is mounted",
                       file);
    *ret = take_ptr(c);
    return 0;
}

void cgroup_free(struct cgroup *c)
{
    if (!c)
        return;
    cgroup_settle(c);
    for (size_t i = 0; i < CGROUP_FDS_MAX; i++)
        free(c->dirs[i]);
    free(c->path);
    free(c->slice);
    free(c->unit);
    free(c);
}

int cgroup_version(const struct cgroup *c)
{
    return c->host->version;
}

const char *cgroup_path(const struct cgroup *c)
{
    return c->path;
}

bool cgroup_exists(const struct cgroup *c)
{
    for (size_t i = 0; i < c->host->n; i++)
        if (c->dirs[i] && access(c->dirs[i], F_OK) == 0)
            return true;
    return false;
}

const char *cgroup_dir(const struct cgroup *c, enum cgroup_controller k)
{
    for (size_t i = 0; i < c->host->n; i++)
        if (c->dirs[i] && (c->host->version == 2 || c->host->v[i].has & 1u << k))
            return c->dirs[i];
    return NULL;
}

/* ---- Limits ---- */

bool cgroup_limit_exists(const struct cgroup *c, enum cgroup_controller k, const char *file)
{
    const char *dir = cgroup_dir(c, k);

    return dir && cgroup_file_exists(dir, file);
}

int cgroup_limit_set(const struct cgroup *c, enum cgroup_controller k, const char *file,
                     const char *value, struct err *e)
{
    const char *dir = cgroup_dir(c, k);
    int r = dir ? cgroup_file_write(dir, file, value, e) : -ENOENT;

    if (r != -ENOENT)
        return r;
    return err_set(e, -ENOENT, "CgroupControllerMissing",
                   "the control group '%s' has no '%s', which a limit needs: the controller '%s' "
                   "is %s, or the kernel was built without it",
                   c->path, file, cgroup_controller_name(k, c->host->version),
                   c->host->version == 1
                       ? "not mounted"
                       : "not enabled in cgroup.subtree_control of the groups above, in which no "
                         "processes may be");
}

int cgroup_limit_set_int(const struct cgroup *c, enum cgroup_controller k, const char *file,
                         int64_t value, struct err *e)
{
    char text[24];

    snprintf(text, sizeof(text), "%lld", (long long)value);
    return cgroup_limit_set(c, k, file, text, e);
}

/* What the kernel would refuse too, but after a part was changed; and what is calculated with is
 * small. */
static int resources_check(const struct oci_resources *r, struct err *e)
{
    const struct {
        const char *name;
        bool has;
        int64_t value, min, max;
    } rows[] = {
        {"cpu.shares",     r->has_cpu_shares,                           r->cpu_shares,    2,    1 << 20},
        {"cpu.quota",      r->has_cpu_quota_us && r->cpu_quota_us >= 0, r->cpu_quota_us,  1000,
         1000000000000                                                                                 },
        {"cpu.period",     r->has_cpu_period_us,                        r->cpu_period_us, 1000, 1000000},
        {"blockIO.weight", r->has_blkio_weight,                         r->blkio_weight,  10,   1000   },
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        if (rows[i].has && rows[i].value && /* 0 says nothing */
            (rows[i].value < rows[i].min || rows[i].value > rows[i].max))
            return err_set(e, -EINVAL, "BadResources",
                           "linux.resources.%s is %lld; it may be from %lld to %lld", rows[i].name,
                           (long long)rows[i].value, (long long)rows[i].min,
                           (long long)rows[i].max);
    return 0;
}

static int limits_set(const struct cgroup *c, const struct oci_resources *r, struct err *e)
{
    return c->host->version == 1 ? cgroup_v1_limit(c, r, e) : cgroup_v2_limit(c, r, e);
}

static int borrowed_refuse(const struct cgroup *c, struct err *e)
{
    if (!c->is_borrowed)
        return 0;
    return err_set(e, -EPERM, "CgroupFailed",
                   "the control group '%s' belongs to the runtime that made it; ask that one",
                   c->path);
}

int cgroup_empty_check(const struct cgroup *c, struct err *e)
{
    autofree pid_t *pids = NULL;
    size_t n = 0;

    if (!cgroup_exists(c))
        return 0;
    TRY(cgroup_pids(c, &pids, &n, e));
    if (!n)
        return 0;
    return err_set(e, -EBUSY, "CgroupBusy",
                   "%zu processes are in the control group '%s' already (one is %d); end them, or "
                   "name another linux.cgroupsPath",
                   n, c->path, (int)pids[0]);
}

static int make_and_limit(struct cgroup *c, const struct oci_resources *r, struct err *e)
{
    if (c->unit)
        TRY(cgroup_systemd_start(c, r, e));
    for (size_t i = 0; i < c->host->n; i++)
        if (c->dirs[i])
            TRY(c->host->version == 1 ? cgroup_v1_make(&c->host->v[i], c->dirs[i], e)
                                      : cgroup_v2_make(&c->host->v[i], c->dirs[i], e));
    return limits_set(c, r, e);
}

int cgroup_create(struct cgroup *c, const struct oci_resources *r, struct err *e)
{
    struct err unused = ERR_INIT;
    int result;

    TRY(borrowed_refuse(c, e));
    TRY(resources_check(r, e));
    TRY(cgroup_empty_check(c, e));
    result = make_and_limit(c, r, e);
    if (result < 0)
        (void)cgroup_delete(c, CGROUP_WAIT_MS, &unused);
    return result;
}

void cgroup_settle(struct cgroup *c)
{
    if (c->keeper_pidfd >= 0)
        cgroup_systemd_stop(c);
}

int cgroup_update(struct cgroup *c, const struct oci_resources *r, struct err *e)
{
    TRY(borrowed_refuse(c, e));
    TRY(resources_check(r, e));
    if (c->unit)
        TRY(cgroup_systemd_update(c, r, e));
    return limits_set(c, r, e);
}

/* ---- Entering ---- */

int cgroup_fds_open(const struct cgroup *c, struct cgroup_fds *ret, struct err *e)
{
    struct cgroup_fds f = CGROUP_FDS_INIT;

    for (size_t i = 0; i < c->host->n; i++) {
        const char *name = c->host->v[i].version == 1 ? "tasks" : "cgroup.procs";
        autofree char *path = c->dirs[i] ? path_join(c->dirs[i], name) : NULL;
        int fd = path ? open(path, O_WRONLY | O_CLOEXEC) : -ENOENT;

        if (path && fd < 0) {
            int r = cgroup_file_error(-errno, "open", c->dirs[i], name, e);

            cgroup_fds_close(&f);
            return r;
        }
        if (path)
            f.v[f.n++] = fd;
    }
    *ret = f;
    return 0;
}

void cgroup_fds_close(struct cgroup_fds *f)
{
    for (size_t i = 0; i < f->n; i++)
        close(f->v[i]);
    f->n = 0;
}

int cgroup_enter(const struct cgroup_fds *f)
{
    for (size_t i = 0; i < f->n; i++)
        if (write(f->v[i], "0", 1) < 0)
            return -errno;
    return 0;
}

int cgroup_attach(const struct cgroup *c, pid_t pid, struct err *e)
{
    char text[16];

    snprintf(text, sizeof(text), "%d", (int)pid);
    for (size_t i = 0; i < c->host->n; i++)
        if (c->dirs[i])
            TRY(cgroup_file_write(c->dirs[i], "cgroup.procs", text, e));
    return 0;
}
