/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

/*
 * Folders that others write into: opened, made, measured and removed by descriptor, so that a name
 * that is swapped meanwhile leads nowhere else. For the work pool: everything here waits for a
 * disk.
 */

/*
 * openat2(2) below the folder `dirfd`: neither "..", a link nor a mount of /proc leads out of it.
 * `flags` are open(2)'s; close-on-exec. A descriptor, or a negative errno without a message
 * (-EXDEV: it would lead out).
 */
int tree_open(int dirfd, const char *path, int flags);

/* The same without following any link or entering another file system. */
int tree_open_own(int dirfd, const char *path, int flags);

/* Makes the folder `name` if it is missing, and gives it this mode whatever the umask is. Opens it;
 * a link or anything else in its place is an error. "FolderFailed" */
int tree_folder(int dirfd, const char *name, mode_t mode, int *ret_fd, struct err *e);

/* The same for a path of several names; only those that are made get the mode. */
int tree_folders(int dirfd, const char *path, mode_t mode, int *ret_fd, struct err *e);

/*
 * Removes `name` and everything below it; nothing there is fine. Links are removed and not
 * followed; what is mounted there is detached and keeps its content. Depth costs neither stack nor
 * descriptors: a folder in a folder is moved up before it is emptied. Can be repeated after it was
 * cut off anywhere. "RemoveFailed"
 */
int tree_remove(int dirfd, const char *name, struct err *e);

#define TREE_DEPTH_LIMIT 256 /* of folders that are measured */

struct tree_size {
    int64_t bytes; /* on the disk; a file with several names counts in parts */
    int64_t files; /* everything but folders */
};

/* Stops early once there are more than `limit_bytes` (0: none). Mounts inside are not entered.
 * "TooDeep" (-ELOOP) or "MeasureFailed"; what goes away meanwhile is no failure. */
int tree_measure(int dirfd, int64_t limit_bytes, struct tree_size *ret, struct err *e);
