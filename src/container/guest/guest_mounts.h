/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/buf.h"
#include "container/oci/oci_config.h"
#include "guest/spec.h"

/*
 * What a WebAssembly container sees as its files: the root file system of an OCI bundle with the
 * document's mounts in it, in their order, as a native container has them. It is given to the guest
 * as one grant, the folder "/".
 *
 * The mounts are made in a mount namespace that no process is in: a descriptor keeps it, and the
 * guest's process is given that as well, so the files last as long as somebody has them open, and
 * nothing of it shows on the host. Why it is done so: docs/internals/guest-process.md.
 *
 * Everything here waits for the disk and belongs into the work pool. It needs root's rights.
 */
struct guest_mounts;

/*
 * `root_fd` is the folder of the root file system, where everything of it is mounted; `bundle_fd`
 * is the folder that relative sources are meant from. Both stay the caller's and need not be kept.
 *
 * A destination is looked up inside the root: a link there leads to the same place that it leads to
 * in the container and never out. One that is missing is made, as runc does; when the root is
 * read-only, in a layer above it, and nothing is written into it.
 *
 * "MountFailed" (names destination and source), "BadMount" (a document that cannot be),
 * "UnsupportedMount" (-ENOTSUP: a type that is neither of guest_mount_unused() nor known).
 */
int guest_mounts_open(const struct oci_config *c, int root_fd, int bundle_fd,
                      struct guest_mounts **ret, struct err *e);
void guest_mounts_free(struct guest_mounts *m); /* who has it open keeps it */
DEFINE_AUTO(guest_mounts);

int guest_mounts_root(const struct guest_mounts *m);      /* the folder, open for reading */
int guest_mounts_namespace(const struct guest_mounts *m); /* what has to stay open with it */

/* Adds the grants to a spec, which borrows the descriptors. */
void guest_mounts_grant(const struct guest_mounts *m, struct guest_spec *s);

/* Why a guest is given no such mount, as the end of a sentence; NULL when it is given one. */
const char *guest_mount_unused(const struct oci_mount *m);

/* Opens a regular file of the container for reading; a link leads nowhere else. -ENOENT and other
 * errnos, without a message. */
int guest_mounts_file_open(const struct guest_mounts *m, const char *path);
/* Its text; one that is not there, or is larger, is none, and false. */
bool guest_mounts_text(const struct guest_mounts *m, const char *path, size_t limit_bytes,
                       struct buf *ret);
