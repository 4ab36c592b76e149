/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "container/oci/oci_config.h"

/*
 * The options of an OCI mount (config.md, Mounts) as far as they matter to a WebAssembly guest. It
 * executes no files, which devices it has is not for options to say, and access times of its files
 * are the host's business, so noexec, nosuid, nodev, noatime and their like are taken and do
 * nothing.
 */
struct mount_options {
    bool is_bind, is_recursive; /* rbind */
    bool is_read_only, is_recursively_ro;
    uint64_t propagation;   /* MS_PRIVATE, MS_SLAVE or MS_SHARED */
    struct json_pairs data; /* of a tmpfs: size, mode, uid, gid, nr_inodes, nr_blocks */
};

/* "BadMount": the destination is not absolute, is the root itself, or has "..". */
int mount_options_read(const struct oci_mount *m, struct mount_options *ret, struct err *e);
void mount_options_done(struct mount_options *o);
