/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "store/cache.h"
#include "store/images.h"

/*
 * Examines the image store and the compile cache: every blob is what its digest says, every name
 * leads to what is there, records can be read, and nobody else may write. Repairing removes names
 * first and then what is damaged, so that it is fetched again when it is asked for. Nothing is
 * collected meanwhile; others may pull and run.
 */

struct check_finding {
    const char *path; /* in the folder of the store or the cache */
    const char *what; /* what is wrong with it */
    const char *done; /* what was done about it; NULL: nothing */
};

struct check_options {
    bool is_repair;
    void (*found)(void *ctx, const struct check_finding *f);
    void (*progress)(void *ctx, int64_t bytes, int64_t all); /* of blobs; may be NULL */
    void *ctx;
};

struct check_result {
    size_t n_images, n_blobs, n_code, n_found, n_left; /* findings in all, and those that remain */
};

/* Fails only when it cannot go on. */
int images_check(struct images *s, const struct check_options *o, struct check_result *ret,
                 struct err *e);
int cache_check(struct cache *c, const struct check_options *o, struct check_result *ret,
                struct err *e);
