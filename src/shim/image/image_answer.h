/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/arena.h"
#include "base/digest.h"
#include "base/err.h"
#include "base/text.h"

/*
 * What containerd answers to image.h, checked: packed messages to values that are valid. What is
 * returned lives in the arena.
 */

/* A blob of containerd's content store. */
struct image_blob {
    struct digest digest;
    int64_t size; /* not negative */
};

/* Of what a descriptor says; "BadImage" (-EINVAL), beginning with `what`. */
int image_blob_parse(const char *digest, int64_t size, const char *what, struct image_blob *ret,
                     struct err *e);

/* "BadMessage" and "MessageTooLarge" of protobuf_unpack(), and what is said here. */

/* The image's name, "" for a container without one. */
int image_answer_container(struct text answer, struct arena *a, const char **ret_image,
                           struct err *e);
/* "BadImage": without a target that a blob can be. */
int image_answer_image(struct text answer, struct arena *a, struct image_blob *ret, struct err *e);
/* The piece of a blob that begins where the last one ended, at `offset`, and does not lead beyond
 * its size; "BadImage": it is another. */
int image_answer_read(struct text answer, int64_t offset, const struct image_blob *blob,
                      struct arena *a, struct text *ret, struct err *e);
