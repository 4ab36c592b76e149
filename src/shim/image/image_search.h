/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/buf.h"
#include "shim/image/image_answer.h"

/*
 * The way from an image's target to its program, without asking anybody: whoever has a search reads
 * the documents that it wants, one after the other, and gives it their texts.
 *
 *     image_search_begin(&s, &target);
 *     while ((blob = image_search_next(&s)))
 *         read it: image_search_take(&s, text, e), or image_search_missing(&s, e)
 *
 * Of an index those for WebAssembly come first, the newest system before the others, then that for
 * this machine, then the rest. The first that is said to be for WebAssembly decides; of the others
 * the first that has a program as a layer, since there are tools that say nothing of the platform.
 */
/* Documents that are read, and of each index those that are wanted. */
#define IMAGE_SEARCH_LIMIT 32
#define IMAGE_SEARCH_DEPTH 4 /* of indexes within indexes */

struct image_candidate {
    struct image_blob blob;
    unsigned depth;
    bool is_wasm; /* its platform says so */
};

struct image_search {
    struct image_candidate wanted[2 * IMAGE_SEARCH_LIMIT]; /* the next one is the last */
    size_t n_wanted;
    struct image_candidate current;
    unsigned n_read;
    bool is_over;

    /* What was found. */
    bool has_manifest, has_program, has_config;
    struct image_blob program;
    struct image_blob config; /* a container's; the one for this machine when none has a program */
};

void image_search_begin(struct image_search *s, const struct image_blob *target);
/* NULL: it is over, and *s says what was found. */
const struct image_blob *image_search_next(struct image_search *s);
/* Of the one that was wanted. "BadImage" (-EINVAL); "NotRunnable" (-ENOEXEC): several of its layers
 * are programs. */
int image_search_take(struct image_search *s, const struct buf *text, struct err *e);
/* It is not there: containerd fetches of an index only what is for this machine. "NotFound" for the
 * image's own. */
int image_search_missing(struct image_search *s, struct err *e);
