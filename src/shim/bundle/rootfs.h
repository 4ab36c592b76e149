/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/err.h"
#include "base/strv.h"

/*
 * The root file system of a container: containerd names the mounts that make it, and the shim
 * makes them on BUNDLE/rootfs and undoes them. All of it may block: for the work pool.
 */
struct rootfs_mount {
    char *type, *source, *target; /* heap; target: below the root file system, or NULL */
    struct strv options;
};

/* In order. On failure none of them is left. "MountFailed", which names the mount. */
int rootfs_mount_all(const char *rootfs, const struct rootfs_mount *mounts, size_t n,
                     struct err *e);

/* Takes away everything that is mounted on the folder, also in layers; what is busy goes when it no
 * longer is. Nothing mounted, or no such folder, is success. */
int rootfs_unmount(const char *rootfs, struct err *e);
