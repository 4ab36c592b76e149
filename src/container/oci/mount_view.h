/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "container/oci/oci_config.h"

/*
 * The files of a container as its processes will see them, for who has to look before its mounts
 * are made: the root file system, and over it the bind mounts of the document, in their order. What
 * else is mounted is empty here. Links are followed as they are followed in there, from one mount
 * into another too, and lead to nothing outside.
 */
struct mount_view {
    int root_fd, bundle_fd;
    const struct oci_config *config;
    char **points; /* where each mount is, by a path without links */
    size_t n_points;
};

/* `config` is NULL for a root in which everything is mounted. `bundle_fd` is the folder that
 * relative sources are meant from. All of it stays the caller's, for as long as the view. */
void mount_view_init(struct mount_view *v, const struct oci_config *config, int root_fd,
                     int bundle_fd);
void mount_view_done(struct mount_view *v);

/* Opens the absolute path; the descriptor (close-on-exec), or a negative errno, without a message:
 * also of a source that cannot be opened. */
int mount_view_open(const struct mount_view *v, const char *path, int flags);
