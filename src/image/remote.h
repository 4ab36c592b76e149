/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "image/describe.h"
#include "image/registry.h"

/* What a registry says of an image, of which nothing is stored: its documents, and no layers. */
struct image_remote {
    struct image image; /* what a pull would make of it; a container's program is not known */
    struct image_description d;
    struct image_platforms platforms; /* of the index; without one there are none */
    char *index_type;
    int64_t index_size;
    /* Why nothing of an index can be pulled; then of `image` there are the name and the index. */
    char *problem;
};

/*
 * Asks the places that the names stand for (places.h). A name that leads to an index is described
 * by that and by the manifest for WebAssembly, which a pull takes.
 */
int image_remote_describe(const struct strv *names, const struct registry_options *o,
                          struct image_remote *ret, struct err *e);
void image_remote_done(struct image_remote *r);
