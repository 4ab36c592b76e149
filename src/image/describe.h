/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/buf.h"
#include "base/strv.h"
#include "store/images.h"

/*
 * What the documents of an image in the store say: its manifest (image-spec 1.1, manifest.md) and
 * its configuration, which is a container's (config.md) or a wasm artifact's (tag-runtime, "wasm
 * OCI artifact layout"). Whatever is not said is NULL or empty. Heap, the caller's.
 */
struct image_part {
    char *media_type, *digest;
    int64_t size;
    char *annotations; /* JSON of an object; NULL: none */
};

/* A line of a history (config.md, "history"), or of its place for an image without one. */
struct image_step {
    char *created, *created_by, *comment;
    bool is_empty;                  /* it made no layer */
    const struct image_part *layer; /* that it made, in the description; NULL: none */
};

struct image_world {
    struct strv exports, imports;
    char *target;
};

struct image_description {
    char *media_type, *artifact_type;
    char *annotations; /* JSON of an object; NULL: none */
    struct image_part config;
    struct image_part *layers;
    size_t n_layers;
    int64_t disk_bytes; /* of its blobs, each once */

    char *config_text; /* JSON of an object, which is the configuration; NULL: it is none */
    char *created, *author, *architecture, *os;
    struct image_world component;
    struct image_step *history; /* oldest first */
    size_t n_history;
};

/* What an index lists (image-spec 1.1, image-index.md). */
struct image_platform {
    struct image_part part;
    char *os, *architecture, *variant;
};

struct image_platforms {
    char *annotations; /* JSON of an object; NULL: none */
    struct image_platform *v;
    size_t n;
};

/* "BadImage": something is missing or damaged. */
int image_describe(struct images *s, const struct image *i, struct image_description *ret,
                   struct err *e);
void image_description_done(struct image_description *d);

/* Its steps: what a manifest says; then what the configuration adds, unless it is no object of
 * JSON, and which step of the history made which layer. */
int image_description_decode(const struct buf *manifest, struct image_description *ret,
                             struct err *e);
int image_platforms_decode(const struct buf *index, struct image_platforms *ret, struct err *e);
void image_platforms_done(struct image_platforms *p);
void image_description_join(struct image_description *d, struct buf *config);
