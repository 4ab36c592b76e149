/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/buf.h"
#include "base/digest.h"
#include "base/err.h"
#include "store/images.h"
#include "store/manifest.h"
#include "store/reference.h"
#include "store/registries.h"
#include "wire/http.h"

/*
 * A repository of a registry: pull and push of the OCI distribution-spec 1.1, which Docker's
 * registry API V2 has too, with Basic and token authentication (distribution, "Token Authentication
 * Specification") by the credentials of credentials.h.
 *
 * Plain HTTP is spoken where it is asked for, and where there is no TLS to a loopback address and
 * to what registries.conf calls insecure. What may pass by itself (a connection cut off, 429, 5xx)
 * is tried again, some seconds in all; a request that is refused is not. Several threads may use
 * one repository, each with an http of its own.
 *
 * Errors besides those of http.h: "Unauthorized" (-EACCES), "NotFound" (-ENOENT),
 * "TooManyRequests" (-EBUSY), "RegistryFailed" (-EREMOTEIO), "BadImage", "DigestMismatch".
 */
struct registry;

struct registry_options {
    const char *authfile;
    bool is_plain_http;                  /* asked for */
    bool is_insecure;                    /* any certificate will do */
    unsigned stall_ms;                   /* 0: REGISTRY_STALL_MS */
    const struct registries *registries; /* what registries.conf says; as long as the registry */
};
#define REGISTRY_STALL_MS 30000

/* One of the places that registries_sources() names. It is given up sooner when it is not the last
 * one that there is. */
int registry_open(const struct registry_source *source, bool is_last,
                  const struct registry_options *o, struct registry **ret, struct err *e);

/* The registry of the name itself, mirrors apart: to send something there. "RegistryBlocked". */
int registry_open_direct(const struct reference *r, const struct registry_options *o,
                         struct registry **ret, struct err *e);
void registry_free(struct registry *g);
DEFINE_AUTO(registry);

/* For one thread. */
struct http *registry_http_new(const struct registry *g);

/* Asks the registry whether it accepts these credentials. */
struct credential;
int registry_login_check(const char *host, const struct registry_options *o,
                         const struct credential *c, struct err *e);

/* A manifest or index, by tag or digest (reference_version()). With a digest it is that. */
int registry_manifest_get(struct registry *g, struct http *h, const char *version,
                          struct buf *ret_text, char **ret_type, struct err *e);

/* Called with what came, and with less than 0 for what is to be fetched again. */
typedef void (*registry_moved_fn)(void *ctx, int64_t bytes);

/* Fetches a blob into the store, going on from what an earlier attempt has left, unless it is
 * there. */
int registry_blob_get(struct registry *g, struct http *h, struct images *s,
                      const struct image_descriptor *blob, registry_moved_fn moved, void *ctx,
                      struct err *e);

/* Fetches a blob of at most `limit` bytes into memory; it is what its descriptor says. */
int registry_blob_read(struct registry *g, struct http *h, const struct image_descriptor *blob,
                       size_t limit, struct buf *ret, struct err *e);

/* Sends a blob, unless it is there: the `len` bytes, or (with `fd` not -1) the file. */
int registry_blob_put(struct registry *g, struct http *h, const char *digest, const void *data,
                      size_t len, int fd, struct err *e);

/* Gives the tag to a manifest, whose blobs are there. */
int registry_manifest_put(struct registry *g, struct http *h, const char *tag, const char *type,
                          const void *data, size_t len, struct err *e);
