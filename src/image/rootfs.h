/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdint.h>

#include "base/err.h"
#include "base/util.h"

/*
 * What the layers of an image put where (OCI image-spec 1.1, layer.md): names only, nothing of it
 * is ever in a file system. A layer hides what it replaces or removes in the layers below it, by
 * whiteouts (".wh.NAME") and opaque folders (".wh..wh..opq"). Links are followed inside of the
 * image only.
 *
 * An entry is where its name says: a layer that writes through a link of a lower one, which no tool
 * is known to make, is not understood.
 */
struct rootfs;

#define ROOTFS_ENTRY_LIMIT  1000000
#define ROOTFS_NAMES_LIMIT  (128u << 20) /* bytes of all names and links together */
#define ROOTFS_NAME_LIMIT   4096         /* PATH_MAX */
#define ROOTFS_DEPTH_LIMIT  256
#define ROOTFS_FOLLOW_LIMIT 40 /* links on the way to one file, as Linux has it */

enum rootfs_kind {
    ROOTFS_FILE,
    ROOTFS_FOLDER,
    ROOTFS_SYMLINK,
    ROOTFS_HARD_LINK,
    ROOTFS_OTHER, /* a device, a FIFO */
};

/* Where in the layers an entry is: the first is layer 0 and the lowest, and the first entry of each
 * layer 0. */
struct rootfs_place {
    unsigned layer, entry;
};

struct rootfs *rootfs_new(void);
void rootfs_free(struct rootfs *r);
DEFINE_AUTO(rootfs);

/* Adds an entry as its layer has it: a whiteout is a file. Layers are added from the lowest up, and
 * their entries in their order. `link` is what a link leads to, as it is written. "TooLarge"
 * (-E2BIG) when there are too many. */
int rootfs_add(struct rootfs *r, struct rootfs_place place, enum rootfs_kind kind, const char *name,
               const char *link, struct err *e);

/* Whether a name, as a layer has it, is plainly that of this absolute path. */
bool rootfs_is_name_of(const char *name, const char *path);

/*
 * The regular file with this absolute path. 0 when there is none. "NotRunnable" (-ENOEXEC): it is
 * something else. "BadImage" (-EINVAL, -ELOOP): it would take a name or a link that leads out of
 * the image, or links that lead in a circle. After the first call nothing is to be added.
 */
int rootfs_find(struct rootfs *r, const char *path, struct rootfs_place *ret, struct err *e);
