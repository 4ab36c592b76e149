/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/buf.h"
#include "base/strv.h"
#include "image/docker_layers.h"
#include "store/images.h"
#include "store/manifest.h"

/*
 * The archives of `docker save` and `podman save` (moby, image/spec/v1.2.md, "Combined Image JSON +
 * Filesystem Changeset Format"): a file manifest.json lists the images, each by the files of its
 * configuration and its layers. Those of docker since 25 and of podman are named by their digest;
 * for the ID/layer.tar of docker before that see docker_layers.h.
 */
#define DOCKER_ARCHIVE_MANIFEST "manifest.json"

struct docker_image {
    char *config; /* file names in the archive */
    struct strv layers;
    struct strv tags; /* names */
};

struct docker_archive {
    struct docker_image *images;
    size_t n_images;
};

/* "BadImage". It may come from anywhere. */
int docker_archive_decode(const struct buf *text, struct docker_archive *ret, struct err *e);
void docker_archive_done(struct docker_archive *a);

/* Whether a file of an archive is named by its digest: blobs/sha256/HEX, HEX.json, HEX.tar. */
bool docker_archive_digest(const char *name, struct digest *ret);

/*
 * Makes a manifest of OCI of an image whose files are in the store, and stores it. A layer that is
 * not named by its digest is looked for in `layers`, and has to be what the configuration says
 * (diff_ids): "DigestMismatch".
 */
int docker_archive_convert(struct images *s, const struct docker_image *i,
                           struct docker_layers *layers, char ret_digest[static DIGEST_TEXT_SIZE],
                           int64_t *ret_size, struct err *e);

/* Adds an image to the list of a manifest.json, in the form of docker since 25, whose files are the
 * blobs of OCI. "NotRunnable": its layers are no files. */
struct json_writer;
int docker_archive_encode(const char *name, const struct image_document *manifest,
                          struct json_writer *w, struct err *e);
