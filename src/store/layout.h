/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/digest.h"
#include "base/err.h"
#include "store/images.h"
#include "store/manifest.h"

/*
 * An OCI image layout: a folder with images, as `skopeo copy ... oci:DIR` makes it (OCI image-spec
 * 1.1, image-layout.md). What is in the folder may come from anywhere: every document is limited,
 * and nothing is used before its size and digest were those that led to it.
 */

/*
 * Opens the WebAssembly program of an image, for reading, and tells its digest: its one layer of
 * type application/wasm (the CNCF wasm artifact, tag-runtime's wasm OCI artifact layout) or of one
 * of the older types.
 *
 * `dirfd` is the folder, which stays open. `image` names the image by "@sha256:<hex>" or by a tag
 * (annotation org.opencontainers.image.ref.name); with "" the folder has to have one image only.
 * Of an index of several platforms the one for wasm is taken.
 *
 * "NotFound" (-ENOENT): no such image. "BadImage" (-EINVAL): the folder is no layout, or something
 * in it is missing, damaged or too large. "NotRunnable" (-ENOEXEC): there is no one program in it.
 * LAYOUT_NEEDS_UNPACKING (-ENOEXEC): it is a container's image (image_is_container()).
 */
int layout_program_open(int dirfd, const char *image, int *ret_fd, struct digest *ret_digest,
                        struct err *e);
#define LAYOUT_NEEDS_UNPACKING "NeedsUnpacking"

/* Reads the manifest of an image, of an index the one for WebAssembly, and tells its digest. Errors
 * as above. */
int layout_manifest_read(int dirfd, const char *image, struct image_document *ret,
                         struct digest *ret_digest, struct err *e);

/* Appends a document's text to *ret: it is what its descriptor says. */
int layout_text_read(int dirfd, const struct image_descriptor *d, struct buf *ret, struct err *e);

/* Opens a blob whose content the caller verifies: of the descriptor only its size is. */
int layout_blob_open(int dirfd, const struct image_descriptor *d, int *ret_fd, struct err *e);

/* ---- Of an index without its folder ---- */

/* The index.json of a layout. "BadImage": the folder is none. */
int layout_index_read(int dirfd, struct image_document *ret, struct err *e);

/* "BadImage" unless this is the text of the file oci-layout. */
int layout_version_check(const struct buf *text, struct err *e);

/* The image of an index that `image` names, as above; NULL with "NotFound". */
const struct image_descriptor *layout_image_find(const struct image_document *index,
                                                 const char *image, struct err *e);

/*
 * Follows a descriptor to a manifest, by the blobs of a folder that has them as a layout has, such
 * as the image store: of indexes to the manifest for WebAssembly. Fills digest, size and media type
 * of *ret_image.
 */
int layout_manifest_follow(int dirfd, const struct image_descriptor *d, struct image_document *ret,
                           struct image *ret_image, struct err *e);
