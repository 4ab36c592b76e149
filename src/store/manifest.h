/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/util.h"

/*
 * The documents that describe an image: indexes and manifests of OCI (image-spec 1.1,
 * image-index.md and manifest.md) and of Docker (schema 2), which have the same fields. They may
 * come from anywhere, so size, depth and number of everything in them are limited.
 */

#define IMAGE_DOCUMENT_LIMIT (4u << 20) /* bytes: what registries and other readers accept */
#define IMAGE_INDEX_LIMIT    4          /* an index may list indexes */

/* Media types of what we write (image-spec 1.1, media-types.md). */
#define IMAGE_INDEX_TYPE    "application/vnd.oci.image.index.v1+json"
#define IMAGE_MANIFEST_TYPE "application/vnd.oci.image.manifest.v1+json"
#define IMAGE_CONFIG_TYPE   "application/vnd.oci.image.config.v1+json"
#define IMAGE_LAYER_TYPE    "application/vnd.oci.image.layer.v1.tar"

/* What other runtimes know a container for WebAssembly by: the annotations that crun reads
 * (solo.io's "compat" images have the first one). */
struct image_wasm {
    char *variant; /* module.wasm.image/variant */
    char *handler; /* run.oci.handler */
};

/* descriptor.md: what there is to fetch, and what it has to be. */
struct image_descriptor {
    char *media_type; /* NULL: not said */
    char *digest;
    int64_t size;
    char *tag;  /* annotation org.opencontainers.image.ref.name */
    char *name; /* annotation io.containerd.image.name, which docker and podman know too */
    char *architecture, *os;
    struct image_wasm wasm;
};

/* An index or a manifest, whichever of the two lists it has. */
struct image_document {
    int64_t schema_version; /* 2; 0: not said */
    char *media_type;
    struct image_descriptor *manifests; /* of an index */
    size_t n_manifests;
    struct image_descriptor config; /* of a manifest; without a digest there is none */
    struct image_descriptor *layers;
    size_t n_layers;
    struct image_wasm wasm;
};

/* "BadImage" (-EINVAL), beginning with `name`: no such document, one of Docker's schema 1, or one
 * that is both an index and a manifest (CVE-2021-41190). */
int image_document_decode(const struct buf *text, const char *name, struct image_document *ret,
                          struct err *e);
void image_document_done(struct image_document *d);
#define autodocument __attribute__((cleanup(image_document_done))) struct image_document

/* The members of a descriptor, into an object that was begun. */
void image_descriptor_encode(const char *type, const char *digest, int64_t size,
                             struct json_writer *w);

/* Whether it is one of Docker's schema 1 (image-spec has no such thing), and the error for that. */
bool image_type_is_schema_1(const char *media_type);
int image_schema_1_refuse(const char *name, struct err *e);

/* Which of a list, for image_descriptor_find(). */
typedef bool (*image_is_wanted_fn)(const struct image_descriptor *d, const char *which);
typedef void (*image_describe_fn)(const struct image_descriptor *d, struct buf *out);

/* The one that is wanted (a NULL function wants any), in the list; NULL when there are none or
 * several, with how many. */
const struct image_descriptor *image_descriptor_find(const struct image_descriptor *list, size_t n,
                                                     image_is_wanted_fn is_wanted,
                                                     const char *which, size_t *ret_found);

/* The first few of a list, for an error message. */
void image_descriptors_describe(const struct image_descriptor *list, size_t n,
                                image_describe_fn one, struct buf *out);

/* Whether the annotations say that it is for WebAssembly, or the architecture (NULL: not said). */
bool image_wasm_is_said(const struct image_wasm *w);
bool image_architecture_is_wasm(const char *architecture);

/* Whether it is in the older form: a container's, with files in all its layers, one of which may be
 * a program (image/container.h). */
bool image_is_container(const struct image_document *manifest);

/* Whether a layer is a WebAssembly program by itself. */
bool image_layer_is_program(const struct image_descriptor *d);

/* This machine's processor, as images and Go call it; "unknown" for one that they may not know. */
extern const char image_architecture_here[];

/* How well a manifest of an index fits: for WebAssembly and wasip2, wasip1, wasi, another system
 * (0 to 3), for this machine (4), or neither (5). */
unsigned image_platform_rank(const struct image_descriptor *d);
#define IMAGE_RANK_WASM 3
#define IMAGE_RANK_LAST 5

/* For an error message: the media types of the first few. */
void image_types_describe(const struct image_descriptor *list, size_t n, struct buf *out);

/* These return NULL and fill *e ("NotRunnable", -ENOEXEC) when there is not exactly one. */

/*
 * Of an index the manifest for WebAssembly: of architecture wasm or wasm32, or annotated so. Of
 * several the one for the system wasip2, else wasip1, else wasi. Without any it is the only one
 * that there is, or the one for Linux on this machine's processor.
 */
const struct image_descriptor *image_platform_find(const struct image_document *index,
                                                   struct err *e);
/* Reads the document of a descriptor, for image_manifest_reach(). */
typedef int (*image_document_read_fn)(void *ctx, const struct image_descriptor *d,
                                      struct image_document *ret, struct err *e);

/* Puts in the place of an index the manifest for WebAssembly that it leads to, over other indexes
 * too. "NotRunnable", "BadImage", and what `read` says; *d is to be released in any case. */
int image_manifest_reach(struct image_document *d, image_document_read_fn read, void *ctx,
                         struct err *e);

/* Of a manifest the layer that is a WebAssembly program. */
const struct image_descriptor *image_program_find(const struct image_document *manifest,
                                                  struct err *e);
