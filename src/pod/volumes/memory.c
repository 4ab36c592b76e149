/* SPDX-License-Identifier: Apache-2.0 */
#include "pod/volumes/memory.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "base/util.h"
#include "pod/volumes/tree.h"

#define FOLDER_MODE 0777

bool memory_is(int fd)
{
    struct statfs st;

    return !fstatfs(fd, &st) && (st.f_type == TMPFS_MAGIC || st.f_type == RAMFS_MAGIC);
}

static bool is_mount(int dirfd, int fd)
{
    struct stat outer, inner;

    return !fstat(dirfd, &outer) && !fstat(fd, &inner) && outer.st_dev != inner.st_dev;
}

int memory_mount(int dirfd, const char *name, int64_t limit_bytes, int *ret_fd, struct err *e)
{
    autofd fd = -EBADF, in = -EBADF;
    char target[32], options[64] = "mode=0777";

    TRY(tree_folder(dirfd, name, FOLDER_MODE, &fd, e));
    if (is_mount(dirfd, fd) && memory_is(fd)) {
        *ret_fd = take_fd(&fd);
        return 0;
    }
    close(take_fd(&fd));
    TRY(tree_remove(dirfd, name, e));
    TRY(tree_folder(dirfd, name, FOLDER_MODE, &fd, e));
    snprintf(target, sizeof(target), "/proc/self/fd/%d", fd);
    if (limit_bytes > 0)
        snprintf(options, sizeof(options), "mode=0777,size=%lld", (long long)limit_bytes);
    if (mount("wherry", target, "tmpfs", MS_NOSUID | MS_NODEV, options) < 0)
        return errno == EPERM ? -EPERM
                              : err_errno(e, -errno, "MountFailed",
                                          "cannot mount a tmpfs for the volume '%s'", name);
    /* The descriptor from before is of the folder below. */
    in = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (in < 0)
        return err_errno(e, -errno, "MountFailed", "cannot open the volume '%s'", name);
    *ret_fd = take_fd(&in);
    return 0;
}
