/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/strv.h"
#include "store/images.h"

/*
 * What is in the image store and what leads to it, as it was when it was read: other processes go
 * on meanwhile. To read it costs two small files and a stat() for each image.
 */

struct stored_blob {
    struct digest digest;
    int64_t size, used_at_ns; /* bytes; realtime, of the last use, or of when it came */
    size_t n_images;          /* names that lead to it */
};

struct stored_image {
    char *name, *path;      /* the name is NULL when the record says nothing */
    char *problem;          /* why it has to be pulled again; NULL: it is whole */
    bool is_unknown;        /* the problem is such that it may need more than is known */
    int64_t used_at_ns;     /* the newest of its parts */
    size_t *blobs, n_blobs; /* indexes, each once */
};

/* A file of partial/. */
struct stored_part {
    char *path;
    int64_t size, changed_at_ns;
    bool is_locked; /* it is being fetched */
};

struct inventory {
    struct stored_blob *blobs;   /* in the order of digests */
    struct stored_image *images; /* in the order of names */
    struct stored_part *parts;
    size_t n_blobs, n_images, n_parts;
    struct strv temporaries; /* left over by who was killed while writing a record */
    struct strv folders;     /* below names/, each behind those in it */
    struct strv foreign;     /* what is none of ours */
};

int inventory_read(struct images *s, struct inventory *ret, struct err *e);
void inventory_done(struct inventory *v);
#define autoinventory __attribute__((cleanup(inventory_done))) struct inventory

/* NULL when it is not there. */
struct stored_blob *inventory_blob_find(const struct inventory *v, const struct digest *d);

/* As if the name were not there. */
void inventory_forget(struct inventory *v, const struct stored_image *i);

/* "BadImage" when not all is known that an image leads to. */
int inventory_check(const struct inventory *v, struct err *e);

/* Bytes of what the image leads to, of these what others lead to as well. */
void inventory_image_bytes(const struct inventory *v, const struct stored_image *i,
                           int64_t *ret_all, int64_t *ret_shared);
