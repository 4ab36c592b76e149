/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "cli/containerd_config.h"

/*
 * The file that tells containerd of the runtime io.containerd.wherry.v1: one that is imported by
 * its configuration, and whose first line says that it is ours.
 */
#define WHERRY_RUNTIME_TYPE "io.containerd.wherry.v1"
#define WHERRY_SHIM         "containerd-shim-wherry-v1"

struct containerd_drop_in {
    struct containerd_version version;
    const char *runtime;   /* the handler's name */
    const char *shim_path; /* NULL when containerd finds the shim by itself */
    const char *sandboxer; /* "shim", or NULL for containerd's own; from 2.1 on */
    bool has_systemd_cgroup;
    bool has_made_dir; /* its folder is removed with it */
};

/*
 * Appends the text. For containerd 1.x, which takes all settings of CRI from one file, it begins
 * with those that are in force without it, so that none is lost.
 */
void containerd_drop_in_add(const struct containerd_drop_in *d, const struct containerd_config *c,
                            struct buf *out);

bool containerd_drop_in_is_ours(const char *text);
bool containerd_drop_in_has_made_dir(const char *text);
