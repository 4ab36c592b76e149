/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/strv.h"
#include "image/confine.h"
#include "store/container_config.h"
#include "store/images.h"
#include "store/manifest.h"

/*
 * WebAssembly in the older form: the image of a container (`FROM scratch`) whose entry point is a
 * .wasm file in its layers. Such an image has the platform wasi/wasm in one of its spellings, or
 * an annotation that crun knows, or is for any platform and has an entry point that ends in
 * ".wasm".
 */

/*
 * Where the entry point may be, the likeliest first: absolute paths. As a runtime looks for it:
 * below the working folder unless it is absolute, and without a slash in it in the folders of PATH.
 * "NotRunnable": there is none, or it is no WebAssembly program by all that is said of it.
 */
int container_paths(const struct container_config *c, const struct image_wasm *said,
                    struct strv *ret, struct err *e);

/* How the image is started, by its config in the layout behind `dirfd`. */
int container_command_read(int dirfd, const struct image_document *manifest,
                           struct guest_command *ret, struct err *e);

/*
 * Takes the program out of the layers, in a confined child, and keeps it as a blob of the store,
 * by which it is known the next time. `dirfd` is the image layout with the image's blobs. Errors
 * as of confine_run() and layers_program_extract(), and "NotRunnable".
 */
int container_program_store(struct images *s, int dirfd, const struct image_document *manifest,
                            const struct digest *manifest_digest, struct confine_watch watch,
                            struct digest *ret, int64_t *ret_size, struct err *e);
