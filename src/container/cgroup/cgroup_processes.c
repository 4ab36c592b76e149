/* SPDX-License-Identifier: Apache-2.0 */
/* What is in a group: processes, which are listed, stopped and killed, and groups below it. */
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/pidfd.h>

#include "base/clock.h"
#include "base/fds.h"
#include "container/cgroup/cgroup_parts.h"

#define PIDS_MAX    (128u << 10)
#define KILL_ROUNDS 16
/* For how long one process is waited for before the list is made anew. */
#define WAIT_ONE_MS 100
/* How often it is tried when no process is listed: one that ends is in no list for a moment. */
#define EMPTY_ROUNDS 1000

static uint64_t deadline_in(int ms)
{
    return clock_monotonic_ns() + (uint64_t)ms * 1000000;
}

static bool is_over(uint64_t deadline_ns)
{
    return clock_monotonic_ns() >= deadline_ns;
}

/* ---- Groups below a group ---- */

/* The folders in a folder. */
static bool folder_add(void *ctx, const char *name)
{
    strv_add(ctx, name);
    return true;
}

static int folders_list(int dir_fd, struct strv *ret)
{
    autostrv all = STRV_INIT;
    int r = dir_each(dir_fd, folder_add, &all);

    for (size_t i = 0; i < all.n && r >= 0; i++) {
        autofd fd = openat(dir_fd, all.v[i], O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

        if (fd >= 0)
            strv_add(ret, all.v[i]);
    }
    return r;
}

/* ---- Lists ---- */

struct pid_list {
    pid_t *v;
    size_t n, cap;
};

static int pids_parse(const char *text, struct pid_list *l)
{
    while (*text) {
        char *end;
        long pid = strtol(text, &end, 10);

        if (end == text || l->n == PIDS_MAX)
            return end == text ? -EINVAL : -EFBIG;
        if (l->n == l->cap) {
            l->cap = l->cap ? l->cap * 2 : 16;
            l->v = xrealloc(l->v, l->cap, sizeof(*l->v));
        }
        /* A process outside of this one's namespace is 0, and cannot be named. */
        if (pid > 0)
            l->v[l->n++] = (pid_t)pid;
        text = end + strspn(end, "\n");
    }
    return 0;
}

/* Of the folder and those below it; one that goes away meanwhile has none. */
static int pids_collect(int dir_fd, int depth, struct pid_list *l, struct err *e)
{
    autobuf text = BUF_INIT;
    autostrv below = STRV_INIT;
    int r = file_read_at(dir_fd, "cgroup.procs", CGROUP_FILE_LIMIT_BYTES, &text, e);

    if (r == -ENOENT || r == -ENODEV)
        return 0;
    TRY(r);
    r = pids_parse(buf_str(&text), l);
    if (r >= 0)
        r = depth > CGROUP_DEPTH_MAX ? -ELOOP : folders_list(dir_fd, &below);
    if (r == -EFBIG)
        return err_set(e, r, "TooLarge", "more than %u processes are in it", PIDS_MAX);
    if (r < 0)
        return err_errno(e, r, "CgroupFailed", "cannot list what is in it");
    for (size_t i = 0; i < below.n; i++) {
        autofd fd = openat(dir_fd, below.v[i], O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

        if (fd >= 0)
            TRY(pids_collect(fd, depth + 1, l, e));
    }
    return 0;
}

/* All of them are in each hierarchy: it is asked where they are stopped, or else anywhere. */
static const char *main_dir(const struct cgroup *c)
{
    const char *dir = cgroup_dir(c, CGROUP_FREEZER);

    for (size_t i = 0; i < c->host->n && (!dir || access(dir, F_OK) < 0); i++)
        dir = c->dirs[i];
    return dir;
}

int cgroup_pids(const struct cgroup *c, pid_t **ret, size_t *ret_n, struct err *e)
{
    const char *dir = main_dir(c);
    autofd fd = open(dir ? dir : "", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct pid_list l = {0};

    if (fd < 0)
        return cgroup_file_error(-errno, "open the control group", c->path, "", e);
    if (pids_collect(fd, 0, &l, e) < 0) {
        free(l.v);
        return err_prefix(e, "control group '%s'", c->path);
    }
    *ret = l.v;
    *ret_n = l.n;
    return 0;
}

/* ---- Stopping ---- */

/* Version 1 tells nobody when all have stopped, which takes them microseconds: each reading looks
 * anew. */
static int v1_freeze(const char *dir, struct err *e)
{
    uint64_t deadline = deadline_in(CGROUP_WAIT_MS);
    autobuf state = BUF_INIT;

    do {
        TRY(cgroup_file_write(dir, "freezer.state", "FROZEN", e));
        buf_clear(&state);
        TRY(cgroup_file_read(dir, "freezer.state", &state, e));
        if (str_starts(buf_str(&state), "FROZEN"))
            return 0;
        sched_yield();
    } while (!is_over(deadline));
    return -ETIMEDOUT;
}

static int v2_freeze(const char *dir, struct err *e)
{
    uint64_t deadline = deadline_in(CGROUP_WAIT_MS);
    autofd dir_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    autofd fd = dir_fd < 0 ? -EBADF : openat(dir_fd, "cgroup.events", O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return cgroup_file_error(-errno, "read", dir, "cgroup.events", e);
    TRY(cgroup_file_write(dir, "cgroup.freeze", "1", e));
    do {
        autobuf text = BUF_INIT;
        uint64_t is_frozen = 0;
        struct pollfd p = {.fd = fd, .events = POLLPRI};

        if (lseek(fd, 0, SEEK_SET) < 0)
            return cgroup_file_error(-errno, "read", dir, "cgroup.events", e);
        TRY(fd_read_all(fd, CGROUP_FILE_LIMIT_BYTES, &text, e));
        if (cgroup_text_number(buf_str(&text), "frozen", &is_frozen) && is_frozen == 1)
            return 0;
        poll(&p, 1, clock_wait_ms(deadline));
    } while (!is_over(deadline));
    return -ETIMEDOUT;
}

static int freezer_dir(const struct cgroup *c, const char **ret, struct err *e)
{
    *ret = cgroup_dir(c, CGROUP_FREEZER);
    if (*ret)
        return 0;
    return err_set(e, -ENOENT, "CgroupControllerMissing",
                   "the control group '%s' cannot be paused: the controller 'freezer' is not "
                   "mounted",
                   c->path);
}

int cgroup_freeze(struct cgroup *c, struct err *e)
{
    const char *dir;
    struct err unused = ERR_INIT;
    int r;

    TRY(freezer_dir(c, &dir, e));
    r = c->host->version == 1 ? v1_freeze(dir, e) : v2_freeze(dir, e);
    if (r != -ETIMEDOUT)
        return r;
    (void)cgroup_thaw(c, &unused);
    return err_set(e, -EBUSY, "CgroupBusy",
                   "some process of the control group '%s' could not be stopped within %d s; all "
                   "run on, try again",
                   c->path, CGROUP_WAIT_MS / 1000);
}

int cgroup_thaw(struct cgroup *c, struct err *e)
{
    const char *dir;

    TRY(freezer_dir(c, &dir, e));
    return c->host->version == 1 ? cgroup_file_write(dir, "freezer.state", "THAWED", e)
                                 : cgroup_file_write(dir, "cgroup.freeze", "0", e);
}

/* ---- Killing ---- */

/* One list after the other, until none is found: who is not stopped may fork meanwhile. */
static int kill_rounds(const struct cgroup *c, int rounds, struct err *e)
{
    for (int i = 0; i < rounds; i++) {
        autofree pid_t *pids = NULL;
        size_t n = 0;

        TRY(cgroup_pids(c, &pids, &n, e));
        for (size_t k = 0; k < n; k++)
            if (pids[k] != getpid() && kill(pids[k], SIGKILL) < 0 && errno != ESRCH)
                return err_errno(e, -errno, "CgroupFailed",
                                 "cannot kill process %d of the control group '%s'", (int)pids[k],
                                 c->path);
        if (!n)
            break;
        sched_yield();
    }
    return 0;
}

int cgroup_kill_all(struct cgroup *c, struct err *e)
{
    struct err unused = ERR_INIT;
    const char *dir = main_dir(c);
    bool is_frozen;
    int r;

    if (c->is_borrowed)
        return err_set(e, -EPERM, "CgroupFailed", "the control group '%s' is another runtime's",
                       c->path);
    if (!dir || access(dir, F_OK) < 0)
        return 0;
    if (c->host->version == 2 && cgroup_file_exists(dir, "cgroup.kill"))
        return cgroup_file_write(dir, "cgroup.kill", "1", e);
    is_frozen = cgroup_freeze(c, &unused) >= 0;
    r = kill_rounds(c, is_frozen ? 1 : KILL_ROUNDS, e);
    /* Also when it was paused before: a process that is stopped does not end. */
    (void)cgroup_thaw(c, &unused);
    return r;
}

/* ---- Removing ---- */

static int tree_remove(int parent_fd, const char *name, int depth)
{
    autofd fd = -EBADF;
    autostrv below = STRV_INIT;

    if (unlinkat(parent_fd, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
        return 0;
    if (errno != EBUSY && errno != ENOTEMPTY)
        return -errno;
    fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : -errno;
    TRY(depth > CGROUP_DEPTH_MAX ? -ELOOP : folders_list(fd, &below));
    for (size_t i = 0; i < below.n; i++)
        TRY(tree_remove(fd, below.v[i], depth + 1));
    return unlinkat(parent_fd, name, AT_REMOVEDIR) == 0 || errno == ENOENT ? 0 : -errno;
}

/* In all hierarchies, as far as it goes; the first error. */
static int all_remove(const struct cgroup *c, const char **ret_dir)
{
    int r = 0;

    for (size_t i = 0; i < c->host->n; i++) {
        int one = c->dirs[i] ? tree_remove(AT_FDCWD, c->dirs[i], 0) : 0;

        if (one < 0 && r >= 0) {
            r = one;
            *ret_dir = c->dirs[i];
        }
    }
    return r;
}

/* Until one of them is gone, or not for long. */
static void one_wait(pid_t pid, uint64_t deadline_ns)
{
    autofd fd = pidfd_open(pid, 0);
    struct pollfd p = {.fd = fd, .events = POLLIN};
    int ms = clock_wait_ms(deadline_ns);

    if (fd >= 0)
        poll(&p, 1, ms < WAIT_ONE_MS ? ms : WAIT_ONE_MS);
}

int cgroup_delete(struct cgroup *c, int timeout_ms, struct err *e)
{
    uint64_t deadline = deadline_in(timeout_ms);
    const char *dir = NULL;
    int r, empty = 0;

    if (c->is_borrowed)
        return err_set(e, -EPERM, "CgroupFailed", "the control group '%s' is another runtime's",
                       c->path);
    if (c->unit)
        cgroup_systemd_stop(c);
    while ((r = all_remove(c, &dir)) == -EBUSY && !is_over(deadline) && empty < EMPTY_ROUNDS) {
        autofree pid_t *pids = NULL;
        size_t n = 0;

        if (cgroup_pids(c, &pids, &n, e) >= 0)
            for (size_t i = 0; i < n; i++)
                one_wait(pids[i], deadline);
        empty = n ? 0 : empty + 1;
        if (!n)
            sched_yield();
    }
    if (r == -EBUSY)
        return err_set(e, r, "CgroupBusy",
                       "processes are still in the control group '%s' after %d ms; end them and "
                       "delete it again",
                       dir, timeout_ms);
    return r < 0 ? cgroup_file_error(r, "remove the control group", dir, "", e) : 0;
}
