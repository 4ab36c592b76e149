/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "image/registry.h"

/* Fetching an image into the store. */

struct pull_options {
    struct registry_options registry;

    /* Told of every blob as it comes: how much of it is there, of how much. Called by several
     * threads, one at a time. May be NULL. */
    void (*progress)(void *ctx, const struct image_descriptor *blob, int64_t have);
    /* Told every now and then while the layers of a container's image are read. May be NULL. */
    void (*unpacking)(void *ctx, uint64_t elapsed_ms);
    void *ctx;
};

/*
 * Fetches the manifest that the reference leads to, of an index the one for WebAssembly, and its
 * blobs, several at once; then gives the image its name. What is in the store is not fetched again.
 */
int image_pull(struct images *s, const struct reference *r, const struct pull_options *o,
               struct image *ret, struct err *e);
