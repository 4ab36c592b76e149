/* SPDX-License-Identifier: Apache-2.0 */
#include "pod/volumes/tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "base/fds.h"
#include "base/util.h"

#define NAME_ATTEMPTS 1000000

/* ---- Opening ---- */

int tree_open(int dirfd, const char *path, int flags)
{
    return file_open_resolved(dirfd, path, flags, RESOLVE_BENEATH);
}

int tree_open_own(int dirfd, const char *path, int flags)
{
    return file_open_resolved(dirfd, path, flags,
                              RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV);
}

static int folder_open(int dirfd, const char *name)
{
    return file_open_resolved(dirfd, name, O_RDONLY | O_DIRECTORY,
                              RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
}

static int folder_failed(int code, const char *name, struct err *e)
{
    return err_errno(e, code, "FolderFailed", "cannot make the folder '%.200s'", name);
}

int tree_folder(int dirfd, const char *name, mode_t mode, int *ret_fd, struct err *e)
{
    struct stat st;
    autofd fd = -EBADF;

    if (mkdirat(dirfd, name, mode) < 0 && errno != EEXIST)
        return folder_failed(-errno, name, e);
    fd = folder_open(dirfd, name);
    if (fd < 0)
        return folder_failed(fd, name, e);
    if (fstat(fd, &st) < 0 || ((st.st_mode & 07777) != mode && fchmod(fd, mode) < 0))
        return folder_failed(-errno, name, e);
    *ret_fd = take_fd(&fd);
    return 0;
}

int tree_folders(int dirfd, const char *path, mode_t mode, int *ret_fd, struct err *e)
{
    autofd at = fcntl(dirfd, F_DUPFD_CLOEXEC, 0);
    autofree char *copy = xstrdup(path);
    char *rest = NULL;

    if (at < 0)
        return folder_failed(-errno, path, e);
    for (char *part = strtok_r(copy, "/", &rest); part; part = strtok_r(NULL, "/", &rest)) {
        int next = folder_open(at, part);

        if (next == -ENOENT)
            TRY(tree_folder(at, part, mode, &next, e));
        else if (next < 0)
            return folder_failed(next, path, e);
        close(at);
        at = next;
    }
    *ret_fd = take_fd(&at);
    return 0;
}

/* ---- Removing ---- */

static void detach(int dirfd, const char *name)
{
    autofree char *path = xasprintf("/proc/self/fd/%d/%s", dirfd, name);

    (void)umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW);
}

/* A guest may have left a folder that its owner can neither read nor write. */
static void make_accessible(int dirfd, const char *name)
{
    autofd fd = tree_open_own(dirfd, name, O_PATH | O_DIRECTORY);
    char path[32];

    if (fd < 0)
        return;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    (void)chmod(path, 0700);
}

/* 0: it is gone; 1: it is a folder that is not empty. */
static int remove_plain(int dirfd, const char *name)
{
    for (int i = 0; i < 3; i++) {
        if (!unlinkat(dirfd, name, 0) || errno == ENOENT)
            return 0;
        if (errno == EISDIR || errno == EPERM) {
            int kept = errno;

            if (!unlinkat(dirfd, name, AT_REMOVEDIR) || errno == ENOENT)
                return 0;
            if (errno == ENOTEMPTY || errno == EEXIST)
                return 1;
            if (errno == ENOTDIR)
                return -kept;
        }
        if (errno == EBUSY)
            detach(dirfd, name);
        else if (errno != EACCES || fchmod(dirfd, 0700) < 0)
            break;
    }
    return -errno;
}

static int open_to_empty(int dirfd, const char *name)
{
    int fd = tree_open_own(dirfd, name, O_RDONLY | O_DIRECTORY);

    if (fd == -EXDEV) {
        detach(dirfd, name);
        fd = tree_open_own(dirfd, name, O_RDONLY | O_DIRECTORY);
    } else if (fd == -EACCES) {
        make_accessible(dirfd, name);
        fd = tree_open_own(dirfd, name, O_RDONLY | O_DIRECTORY);
    }
    return fd;
}

/* Takes the folder out of the one that it is in, to a name of its own at the top. */
static int move_up(int dirfd, const char *name, int top, unsigned *serial)
{
    char to[48];

    for (unsigned i = 0; i < NAME_ATTEMPTS; i++) {
        snprintf(to, sizeof(to), ".wherry-removed-%u", (*serial)++);
        if (!renameat(dirfd, name, top, to))
            return 0;
        if (errno == EBUSY || errno == EXDEV)
            detach(dirfd, name);
        else if (errno == EACCES)
            make_accessible(dirfd, name);
        else if (errno != ENOTEMPTY && errno != EEXIST && errno != ENOTDIR)
            return -errno;
    }
    return -EBUSY;
}

/* Calls `each` for what is in the folder, but for "." and "..". */
static int each_name(int dirfd, int (*each)(void *ctx, int dirfd, const char *name), void *ctx)
{
    int copy = tree_open_own(dirfd, ".", O_RDONLY | O_DIRECTORY);
    DIR *d = copy < 0 ? NULL : fdopendir(copy);
    struct dirent *entry;
    int r = 0;

    if (!d) {
        r = copy < 0 ? copy : -errno;
        if (copy >= 0)
            close(copy);
        return r;
    }
    while (r >= 0 && (errno = 0, entry = readdir(d)))
        if (!str_eq(entry->d_name, ".") && !str_eq(entry->d_name, ".."))
            r = each(ctx, dirfd, entry->d_name);
    if (r >= 0 && errno)
        r = -errno;
    closedir(d);
    return r;
}

struct removal {
    int top;
    unsigned serial;
};

static int inner_remove(void *ctx, int dirfd, const char *name)
{
    struct removal *m = ctx;
    int r = remove_plain(dirfd, name);

    return r == 1 ? move_up(dirfd, name, m->top, &m->serial) : r;
}

static int top_remove(void *ctx, int dirfd, const char *name)
{
    autofd fd = -EBADF;
    int r = remove_plain(dirfd, name);

    if (r <= 0)
        return r;
    fd = open_to_empty(dirfd, name);
    if (fd == -ENOENT)
        return 0;
    if (fd < 0)
        return fd;
    TRY(each_name(fd, inner_remove, ctx));
    /* What was added meanwhile is seen in the next round. */
    r = remove_plain(dirfd, name);
    return r > 0 ? 0 : r;
}

int tree_remove(int dirfd, const char *name, struct err *e)
{
    int r = remove_plain(dirfd, name);

    /* Each round removes a level of every folder that is left, so they end, unless somebody makes
     * new ones as quickly. */
    for (unsigned round = 0; r > 0 && round < NAME_ATTEMPTS; round++) {
        autofd top = open_to_empty(dirfd, name);
        struct removal m = {.top = top};

        if (top < 0 && top != -ENOENT)
            r = top;
        else if (top >= 0)
            r = each_name(top, top_remove, &m);
        if (r >= 0)
            r = remove_plain(dirfd, name);
    }
    if (r == 0)
        return 0;
    return err_errno(e, r < 0 ? r : -ENOTEMPTY, "RemoveFailed", "cannot remove '%.200s'", name);
}

/* ---- Measuring ---- */

struct measuring {
    struct tree_size size;
    int64_t limit;
    DIR *levels[TREE_DEPTH_LIMIT];
    size_t n;
};

static int enter(struct measuring *m, int dirfd, const char *name, struct err *e)
{
    int fd;

    if (m->n == TREE_DEPTH_LIMIT)
        return err_set(e, -ELOOP, "TooDeep", "it has more than %d folders inside each other",
                       TREE_DEPTH_LIMIT);
    fd = tree_open_own(dirfd, name, O_RDONLY | O_DIRECTORY);
    if (fd == -ENOENT || fd == -ENOTDIR || fd == -EXDEV || fd == -ELOOP)
        return 0;
    if (fd < 0)
        return err_errno(e, fd, "MeasureFailed", "cannot open the folder '%.200s'", name);
    m->levels[m->n] = fdopendir(fd);
    if (m->levels[m->n]) {
        m->n++;
        return 0;
    }
    close(fd);
    return err_errno(e, -ENOMEM, "MeasureFailed", "cannot read the folder '%.200s'", name);
}

static int measure_one(struct measuring *m, struct err *e)
{
    DIR *d = m->levels[m->n - 1];
    struct dirent *entry = readdir(d);
    struct stat st;

    if (!entry) {
        m->n--;
        closedir(d);
        return 0;
    }
    if (str_eq(entry->d_name, ".") || str_eq(entry->d_name, ".."))
        return 0;
    if (fstatat(dirfd(d), entry->d_name, &st, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) < 0)
        return errno == ENOENT ? 0
                               : err_errno(e, -errno, "MeasureFailed", "cannot examine '%.200s'",
                                           entry->d_name);
    m->size.bytes += (int64_t)st.st_blocks * 512 /
                     (S_ISDIR(st.st_mode) || !st.st_nlink ? 1 : (int64_t)st.st_nlink);
    if (S_ISDIR(st.st_mode))
        return enter(m, dirfd(d), entry->d_name, e);
    m->size.files++;
    return 0;
}

int tree_measure(int dirfd, int64_t limit_bytes, struct tree_size *ret, struct err *e)
{
    autofree struct measuring *m = xcalloc(1, sizeof(*m));
    int r = enter(m, dirfd, ".", e);

    while (r >= 0 && m->n && (!limit_bytes || m->size.bytes <= limit_bytes))
        r = measure_one(m, e);
    while (m->n)
        closedir(m->levels[--m->n]);
    if (r < 0)
        return r;
    *ret = m->size;
    return 0;
}
