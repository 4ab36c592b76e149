/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "store/images.h"
#include "store/manifest.h"

/*
 * Images from files into the store: OCI image layouts (image-spec 1.1, image-layout.md), as folders
 * and as tar archives, and the archives of `docker save` and `podman save` (moby, image/spec: the
 * file manifest.json), those of docker before 25 included. What is in them may come from anywhere.
 * Blobs come first, each what its digest says or not at all; then each image whose blobs are
 * complete gets its names.
 */
struct load_options {
    /* Of all that is in it the one image that this names as in store/layout.h; NULL: each. */
    const char *image;

    /* What it is to be called; NULL: as the file says. Then `image` is "" or more. */
    const struct reference *name;

    /* Told of each image with its name in full, or with what is wrong with it. Less than 0 ends. */
    int (*loaded)(void *ctx, const struct image *i, struct err *e);
    void (*failed)(void *ctx, const struct err *why);

    /* As in struct pull_options. */
    void (*progress)(void *ctx, const struct image_descriptor *blob, int64_t have);
    void (*unpacking)(void *ctx, uint64_t elapsed_ms);
    void *ctx;
};

/*
 * From an archive (a file or a pipe) or, when `fd` is a folder, from a layout.
 *
 * "BadImage": it is none of these, damaged, or has something in it that does not belong there.
 * "NotFound": `image` is not in it. "TooLarge", "DigestMismatch", those of tarball.h and of the
 * store. What is wrong with one image only is told by `failed`.
 */
int image_load(struct images *s, int fd, const struct load_options *o, struct err *e);

/* Stores the blobs of an archive and opens the program of the image that `image` names (as in
 * store/layout.h); *ret_command is how a container's is started. No image gets a name. */
int image_archive_program(struct images *s, int fd, const char *image, int *ret_fd,
                          struct digest *ret_digest, struct guest_command *ret_command,
                          struct err *e);
