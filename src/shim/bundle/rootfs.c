/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/bundle/rootfs.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>

#include "base/buf.h"
#include "base/fds.h"
#include "base/paths.h"
#include "base/util.h"

/* The kernel takes one page of options. */
#define DATA_LIMIT    4095u
#define UNMOUNT_LIMIT 128 /* mounts on top of each other */

/* Options of mount(8) that are flags; everything else is for the file system. */
static const struct {
    const char *name;
    unsigned long set, clear;
} flag_options[] = {
    {"ro",            MS_RDONLY,        0             },
    {"rw",            0,                MS_RDONLY     },
    {"bind",          MS_BIND,          0             },
    {"rbind",         MS_BIND | MS_REC, 0             },
    {"nosuid",        MS_NOSUID,        0             },
    {"suid",          0,                MS_NOSUID     },
    {"nodev",         MS_NODEV,         0             },
    {"dev",           0,                MS_NODEV      },
    {"noexec",        MS_NOEXEC,        0             },
    {"exec",          0,                MS_NOEXEC     },
    {"sync",          MS_SYNCHRONOUS,   0             },
    {"async",         0,                MS_SYNCHRONOUS},
    {"dirsync",       MS_DIRSYNC,       0             },
    {"remount",       MS_REMOUNT,       0             },
    {"mand",          MS_MANDLOCK,      0             },
    {"nomand",        0,                MS_MANDLOCK   },
    {"noatime",       MS_NOATIME,       0             },
    {"atime",         0,                MS_NOATIME    },
    {"nodiratime",    MS_NODIRATIME,    0             },
    {"diratime",      0,                MS_NODIRATIME },
    {"relatime",      MS_RELATIME,      0             },
    {"norelatime",    0,                MS_RELATIME   },
    {"strictatime",   MS_STRICTATIME,   0             },
    {"nostrictatime", 0,                MS_STRICTATIME},
    {"defaults",      0,                0             },
};

static bool flag_take(const char *option, unsigned long *flags)
{
    for (size_t i = 0; i < ARRAY_SIZE(flag_options); i++)
        if (str_eq(option, flag_options[i].name)) {
            *flags = (*flags & ~flag_options[i].clear) | flag_options[i].set;
            return true;
        }
    return false;
}

/* Where the folders of all of an overlay's layers begin alike, up to a slash; 0: nowhere. */
static size_t common_prefix(const char *lowerdirs)
{
    const char *first = lowerdirs;
    size_t len = strcspn(first, ":");

    for (const char *dir = first; *dir; dir += strcspn(dir, ":"), dir += *dir == ':') {
        size_t same = 0;

        while (same < len && dir[same] == first[same])
            same++;
        len = same;
    }
    while (len && first[len - 1] != '/')
        len--;
    return len;
}

/* The same options with names that are relative to the folder of all layers, which *ret_cwd gets:
 * an image of many layers has more than a page of absolute ones. */
static bool overlay_shorten(const struct strv *options, struct buf *ret, char **ret_cwd)
{
    const char *lower = NULL;
    size_t prefix;

    for (size_t i = 0; i < options->n; i++)
        if (str_starts(options->v[i], "lowerdir="))
            lower = options->v[i] + strlen("lowerdir=");
    prefix = lower ? common_prefix(lower) : 0;
    if (!prefix)
        return false;
    buf_clear(ret);
    for (size_t i = 0; i < options->n; i++) {
        const char *o = options->v[i];
        unsigned long ignored = 0;

        if (flag_take(o, &ignored))
            continue;
        buf_addf(ret, "%s", ret->len ? "," : "");
        if (!str_starts(o, "lowerdir=")) {
            buf_addf(ret, "%s", o);
            continue;
        }
        buf_addf(ret, "lowerdir=");
        for (const char *dir = lower; *dir; dir += *dir == ':') {
            size_t len = strcspn(dir, ":");

            buf_addf(ret, "%s%.*s", dir == lower ? "" : ":", (int)(len - prefix), dir + prefix);
            dir += len;
        }
    }
    *ret_cwd = xstrndup(lower, prefix);
    return true;
}

/* With a working folder of this thread alone. */
static int mount_from(const char *cwd, const struct rootfs_mount *m, const char *target,
                      unsigned long flags, const char *data)
{
    int r;

    if (unshare(CLONE_FS) < 0 || chdir(cwd) < 0)
        return -errno;
    r = mount(m->source, target, m->type, flags, data) < 0 ? -errno : 0;
    return chdir("/") < 0 && r >= 0 ? -errno : r;
}

static int mount_once(const struct rootfs_mount *m, const char *target, struct err *e)
{
    autobuf data = BUF_INIT;
    autofree char *cwd = NULL;
    unsigned long flags = 0;
    bool is_bind;
    int r;

    for (size_t i = 0; i < m->options.n; i++)
        if (!flag_take(m->options.v[i], &flags))
            buf_addf(&data, "%s%s", data.len ? "," : "", m->options.v[i]);
    is_bind = flags & MS_BIND || (m->type && str_eq(m->type, "bind"));
    if (is_bind)
        flags |= MS_BIND;
    if (data.len > DATA_LIMIT && overlay_shorten(&m->options, &data, &cwd) &&
        data.len <= DATA_LIMIT)
        r = mount_from(cwd, m, target, flags, buf_str(&data));
    else if (data.len > DATA_LIMIT)
        r = -E2BIG;
    else
        r = mount(m->source, target, m->type, flags, buf_str(&data)) < 0 ? -errno : 0;
    /* The first call for a bind mount takes no other flag. */
    if (r >= 0 && is_bind && flags & ~(unsigned long)(MS_BIND | MS_REC) &&
        mount(NULL, target, NULL, flags | MS_REMOUNT, NULL) < 0)
        r = -errno;
    if (r < 0)
        return err_errno(e, r, "MountFailed", "cannot mount '%s' (%s) on '%s'", m->source,
                         m->type ? m->type : "no type", target);
    return 0;
}

/* A link in the root file system leads to nowhere else. */
static int mount_below(const char *rootfs, const struct rootfs_mount *m, struct err *e)
{
    autofd root_fd = -EBADF, fd = -EBADF;
    char target[32];

    if (!m->target || !*m->target)
        return mount_once(m, rootfs, e);
    root_fd = open(rootfs, O_PATH | O_DIRECTORY | O_CLOEXEC);
    fd = root_fd < 0 ? -errno : file_open_resolved(root_fd, m->target, O_PATH, RESOLVE_IN_ROOT);
    if (fd < 0)
        return err_errno(e, fd, "MountFailed", "cannot open the mount's target '%.200s' in '%s'",
                         m->target, rootfs);
    snprintf(target, sizeof(target), "/proc/self/fd/%d", fd);
    return mount_once(m, target, e);
}

int rootfs_mount_all(const char *rootfs, const struct rootfs_mount *mounts, size_t n, struct err *e)
{
    struct err ignored = ERR_INIT;

    if (!n)
        return 0;
    TRY(path_mkdir_p(rootfs, 0711, e));
    for (size_t i = 0; i < n; i++)
        if (mount_below(rootfs, &mounts[i], e) < 0) {
            rootfs_unmount(rootfs, &ignored);
            return e->code;
        }
    return 0;
}

int rootfs_unmount(const char *rootfs, struct err *e)
{
    for (int i = 0; i < UNMOUNT_LIMIT; i++)
        if (umount2(rootfs, MNT_DETACH | UMOUNT_NOFOLLOW) < 0) {
            if (errno == EINVAL || errno == ENOENT)
                return 0;
            return err_errno(e, -errno, "UnmountFailed", "cannot unmount '%s'", rootfs);
        }
    return err_set(e, -EBUSY, "UnmountFailed", "'%s' has more than %d mounts on it", rootfs,
                   UNMOUNT_LIMIT);
}
