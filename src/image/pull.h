/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "image/confine.h"
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
 * Fetches the manifest that a name leads to, of an index the one for WebAssembly, and its blobs,
 * several at once; then gives the image that name. What is in the store is not fetched again.
 *
 * `names` are what registries_names() gives, and errors those of places.h.
 */
int image_pull(struct images *s, const struct strv *names, const struct pull_options *o,
               struct image *ret, struct err *e);

/* ---- What is done with a manifest, wherever it comes from ---- */

/* A manifest of Docker or of OCI; "{}" and HTML are none ("BadImage"). */
int image_manifest_check(const struct image_document *m, struct err *e);

/* Notes which of the blobs is the program of the image, which a container's layers are read for.
 * "NotRunnable": it has none. */
int image_program_choose(struct images *s, const struct image_document *m,
                         struct confine_watch watch, struct image *i, struct err *e);

/* The same for an image that is kept without one too, with a warning. */
int image_program_choose_if_any(struct images *s, const struct image_document *m,
                                struct confine_watch watch, struct image *i, struct err *e);
