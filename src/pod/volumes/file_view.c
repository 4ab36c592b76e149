/* SPDX-License-Identifier: Apache-2.0 */
#include "pod/volumes/file_view.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "base/fds.h"
#include "base/secret.h"
#include "pod/volumes/projection.h"
#include "pod/volumes/tree.h"

#define REASON "FileViewFailed"
/* Nothing is to be made in it, or renamed over its files. */
#define VIEW_MODE 0555
#define FILL_MODE 0700
#define PATH_SIZE 32

static void path_of(int fd, char ret[static PATH_SIZE])
{
    snprintf(ret, PATH_SIZE, "/proc/self/fd/%d", fd);
}

static int failed(const struct file_view_entry *f, int code, struct err *e)
{
    return err_errno(e, code, REASON, "cannot show the file '%.200s'", f->name);
}

static int copy(int view, const struct file_view_entry *f, struct err *e)
{
    autofd in = -EBADF, out = -EBADF;
    autosecretbuf data = BUF_INIT;
    char path[PATH_SIZE];
    struct stat st;

    path_of(f->fd, path);
    in = open(path, O_RDONLY | O_CLOEXEC);
    if (in < 0 || fstat(in, &st) < 0)
        return failed(f, -errno, e);
    TRY(fd_read_all(in, PROJECTION_LIMIT_BYTES, &data, e));
    (void)unlinkat(view, f->name, 0);
    out = openat(view, f->name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (out < 0)
        return failed(f, -errno, e);
    TRY(fd_write_all(out, data.data, data.len, e));
    return fchmod(out, st.st_mode & 07777) < 0 ? failed(f, -errno, e) : 0;
}

static int bind_mount(int view, const struct file_view_entry *f, struct err *e)
{
    autofd at = openat(view, f->name, O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    char from[PATH_SIZE], to[PATH_SIZE];

    if (at < 0)
        return failed(f, -errno, e);
    path_of(f->fd, from);
    path_of(at, to);
    if (!mount(from, to, NULL, MS_BIND, NULL))
        return 0;
    if (errno != EPERM)
        return failed(f, -errno, e);
    if (f->is_constant)
        return copy(view, f, e);
    return err_set(e, -ENOTSUP, "FileMountUnsupported",
                   "the file for '%.150s' is on another file system than the state folder (or may "
                   "not be linked), and mounting is not permitted; mount the folder that it is in",
                   f->name);
}

static int show(int view, const struct file_view_entry *f, struct err *e)
{
    char path[PATH_SIZE];

    path_of(f->fd, path);
    if (!linkat(AT_FDCWD, path, view, f->name, AT_SYMLINK_FOLLOW))
        return 0;
    if (errno == EXDEV || errno == EPERM || errno == EMLINK || errno == ENOENT)
        return bind_mount(view, f, e);
    return failed(f, -errno, e);
}

int file_view_make(int dirfd, const char *name, const struct file_view_entry *entries, size_t n,
                   int *ret_fd, struct err *e)
{
    autofd view = -EBADF;

    TRY(tree_remove(dirfd, name, e));
    TRY(tree_folder(dirfd, name, FILL_MODE, &view, e));
    for (size_t i = 0; i < n; i++)
        TRY(show(view, &entries[i], e));
    if (fchmod(view, VIEW_MODE) < 0)
        return err_errno(e, -errno, REASON, "cannot finish the folder of files");
    *ret_fd = take_fd(&view);
    return 0;
}
