/* SPDX-License-Identifier: Apache-2.0 */
#include "pod/logs/log_files.h"

#include <fcntl.h>
#include <limits.h>

#include "base/clock.h"
#include "base/fds.h"
#include "base/paths.h"

#define SCANS_MAX 100 /* a writer that rotates quicker than a folder is read is not waited for */

static bool is_same(const struct stat *a, const struct stat *b)
{
    return a->st_ino == b->st_ino && a->st_dev == b->st_dev;
}

/* The age that a name in the folder says; false for a name that is not of this log. */
static bool age_of(const char *name, const char *base, unsigned *ret)
{
    size_t len = strlen(base);
    unsigned age = 0;

    if (strncmp(name, base, len) != 0)
        return false;
    name += len;
    if (*name && (*name++ != '.' || *name < '1' || *name > '9' || strlen(name) > 6))
        return false;
    for (; *name; name++) {
        if (*name < '0' || *name > '9')
            return false;
        age = age * 10 + (unsigned)(*name - '0');
    }
    *ret = age;
    return true;
}

struct ages {
    const char *base;
    unsigned values[LOG_FILES_MAX]; /* rising */
    size_t n;
};

static void ages_add(struct ages *a, unsigned age)
{
    size_t at = a->n;

    while (at && a->values[at - 1] > age)
        at--;
    if (at == LOG_FILES_MAX)
        return;
    if (a->n == LOG_FILES_MAX)
        a->n--;
    memmove(a->values + at + 1, a->values + at, (a->n - at) * sizeof *a->values);
    a->values[at] = age;
    a->n++;
}

static bool age_scan(void *ctx, const char *name)
{
    struct ages *ages = ctx;
    unsigned age;

    if (age_of(name, ages->base, &age))
        ages_add(ages, age);
    return true;
}

static int ages_scan(int dirfd, const char *base, struct ages *ret)
{
    ret->base = base;
    return dir_each(dirfd, age_scan, ret);
}

static char *name_of(const char *base, unsigned age)
{
    return age ? xasprintf("%s.%u", base, age) : xstrdup(base);
}

static int part_open(int dirfd, const char *base, unsigned age, struct log_files *f)
{
    struct log_part *p = &f->parts[f->n];
    autofree char *name = name_of(base, age);
    autofd fd = file_open_at(dirfd, name);

    /* A name that is gone is the next scan's, and a link was never the writer's. */
    if (fd < 0)
        return fd == -ENOENT || fd == -ELOOP ? 0 : fd;
    if (fstat(fd, &p->st) < 0)
        return -errno;
    /* One that was renamed meanwhile comes with its older name again. */
    if (!S_ISREG(p->st.st_mode) || (f->n && is_same(&p->st, &p[-1].st)))
        return 0;
    p->age = age;
    p->fd = take_fd(&fd);
    f->n++;
    return 0;
}

static int parts_open(int dirfd, const char *base, struct log_files *f)
{
    struct ages ages = {.n = 0};

    TRY(ages_scan(dirfd, base, &ages));
    for (size_t i = 0; i < ages.n; i++)
        TRY(part_open(dirfd, base, ages.values[i], f));
    return 0;
}

/* Whether all have the names still under which they were opened, and no other is there. */
static bool parts_hold(int dirfd, const char *base, const struct log_files *f)
{
    struct ages ages = {.n = 0};
    size_t n = 0;

    if (ages_scan(dirfd, base, &ages) < 0)
        return false;
    for (size_t i = 0; i < ages.n; i++) {
        autofree char *name = name_of(base, ages.values[i]);

        if (n < f->n && f->parts[n].age == ages.values[i] &&
            file_is_at(f->parts[n].fd, dirfd, name)) {
            n++;
            continue;
        }
        struct stat st;
        if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || S_ISREG(st.st_mode))
            return false;
    }
    return n == f->n;
}

int log_files_open(const char *path, struct log_files *ret, struct err *e)
{
    autofree char *folder = path_dir(path);
    const char *base = path_base(path);
    autofd dirfd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    struct log_files f = {.n = 0};
    int r = 0;

    if (dirfd < 0 && errno != ENOENT)
        return err_errno(e, -errno, "LogFailed", "cannot open the folder '%s' of a log", folder);
    for (int scans = 0; dirfd >= 0 && scans < SCANS_MAX; scans++) {
        log_files_close(&f);
        r = parts_open(dirfd, base, &f);
        if (r < 0 || parts_hold(dirfd, base, &f))
            break;
    }
    if (r < 0 && r != -ENOENT) {
        log_files_close(&f);
        return err_errno(e, r, "LogFailed", "cannot open the log '%s'", path);
    }
    *ret = f;
    return 0;
}

void log_files_close(struct log_files *f)
{
    for (size_t i = 0; i < f->n; i++)
        close(f->parts[i].fd);
    f->n = 0;
}

/* The place in `f` of the file after the one with this status; f->n without one. */
static size_t next_find(const struct log_files *f, const struct stat *st)
{
    size_t oldest = f->n;

    for (size_t i = 0; i < f->n; i++) {
        if (is_same(&f->parts[i].st, st))
            return i ? i - 1 : f->n;
        /* It has been deleted, as happens to one that is older than what is kept, or by hand. What
         * was written after it is not what was changed before it. */
        if (clock_timespec_ns(f->parts[i].st.st_mtim) >= clock_timespec_ns(st->st_mtim))
            oldest = i;
    }
    return oldest == f->n && f->n && !f->parts[0].age ? 0 : oldest;
}

int log_files_next(const char *path, int fd, int *ret_fd, struct err *e)
{
    struct log_files f = {.n = 0};
    struct stat st;
    size_t next;

    if (fstat(fd, &st) < 0)
        return err_errno(e, -errno, "LogFailed", "cannot read the status of the log '%s'", path);
    TRY(log_files_open(path, &f, e));
    next = next_find(&f, &st);
    *ret_fd = next < f.n ? take_fd(&f.parts[next].fd) : -EBADF;
    for (size_t i = 0; i < f.n; i++)
        if (i != next)
            close(f.parts[i].fd);
    return 0;
}

bool log_file_is_rotated(const char *path, int fd)
{
    return !file_is_at(fd, AT_FDCWD, path);
}
