/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "pod/fields.h"
#include "pod/objects.h"

/*
 * What the files of a configuration, secret, downward or projected volume are to hold: gathered on
 * the loop's thread, a copy of its own, so that the work pool can write it (pod/atomic_writer.h).
 * Files are in the order of their paths, each path once, none the folder of another; a path has no
 * "." or "..", no empty part, and does not begin with "..".
 */
#define PROJECTION_LIMIT       4096        /* files */
#define PROJECTION_LIMIT_BYTES (16u << 20) /* of all of them */
#define PROJECTION_PATH_LIMIT  4096
#define PROJECTION_NAME_LIMIT  255  /* of each part of a path */
#define PROJECTION_MODE        0644 /* where a volume says -1 */

struct projection_file {
    char *path;
    void *data;
    size_t len;
    int mode;
    size_t order; /* in which they were said: of one path the last counts */
};

struct projection {
    struct projection_file *v;
    size_t n, bytes;
};

/*
 * Looks everything up. What is missing and not optional is -ENOENT ("ObjectMissing"); paths that
 * cannot be are -EINVAL ("BadProjection"), too much is -E2BIG ("BadProjection"); fields as in
 * pod/fields.h. A volume of another kind has no files.
 */
int projection_gather(const struct pod_fields *f, const struct pod_volume *v,
                      const struct pod_objects *o, struct projection *ret, struct err *e);

void projection_done(struct projection *p); /* wipes it, as it may hold secrets */
