/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "loop/loop.h"
#include "pod/spec.h"

/*
 * From the image that a container names to one that is on this machine. A name of a registry is
 * looked up in the store (store/images.h), and fetched by the program wherry-image, as a child, if
 * its pull policy says so; a few at a time, the others wait. A file is only looked at.
 */
struct image_finder;

/* How many are fetched at a time. */
#define IMAGE_FETCH_LIMIT 4

/* `program` is the path of wherry-image, `store_dir` the folder of the store that it uses. */
struct image_finder *image_finder_new(struct loop *l, const char *program, const char *store_dir);
/* After all of its requests; what those have in the work pool is still waited for. */
void image_finder_free(struct image_finder *f);

struct image_found {
    const char *name; /* in full; NULL for a file */
    const char *id;   /* the digest of its manifest; NULL for a file */
};

/*
 * What of it is here already, for the work pool: 1, or 0 when it is not in the store. Name and id,
 * which are the caller's, are left alone for a file. Reasons as below.
 */
int image_look_up(const char *store_dir, const char *image, bool is_file, char **ret_name,
                  char **ret_id, struct err *e);

struct image_request;
/*
 * `pulling` when it is fetched; then `done` once, from the loop, after which the request is to be
 * freed. Reasons are those that Kubernetes shows: "InvalidImageName", "ErrImageNeverPull",
 * "ErrImagePull".
 */
struct image_request *
image_find(struct image_finder *f, const struct pod_container *c, void (*pulling)(void *ctx),
           void (*done)(void *ctx, const struct image_found *found, const struct err *failed),
           void *ctx);
void image_request_free(struct image_request *r); /* ends what is under way; NULL is fine */
