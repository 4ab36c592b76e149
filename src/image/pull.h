/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "image/registry.h"

/* Fetching an image into the store. */

struct pull_options {
    struct registry_options registry;

    /* Told of every blob as it comes: how much of it is there, of how much. Called by several
     * threads, one at a time. May be NULL. */
    void (*progress)(void *ctx, const struct image_descriptor *blob, int64_t have);
    void *ctx;
};

/*
 * Fetches the manifest that a name leads to, of an index the one for WebAssembly, and its blobs,
 * several at once; then gives the image that name. What is in the store is not fetched again.
 *
 * `names` are what registries_names() gives: they are tried in turn, each at its mirrors first,
 * until one is there. When several places fail, the error has what each of them said, and the
 * reason of the last.
 */
int image_pull(struct images *s, const struct strv *names, const struct pull_options *o,
               struct image *ret, struct err *e);
