/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "image/registry.h"
#include "image/registry_auth.h"

/* What registry.c and registry_blobs.c share: requests to one repository. */

#define ERROR_TEXT_LIMIT (16u << 10)

struct registry {
    char *host, *repository;
    const char *server; /* in `host`, or static */
    const char *scheme; /* static */
    bool may_be_plain;  /* it may be spoken to without TLS if it knows none */
    unsigned attempts;  /* for what may pass by itself */
    struct registry_auth *auth;
    struct buf ca_pem;
    char *cert_file, *key_file;
    bool is_insecure;
    unsigned stall_ms;
};

/* Once, and once more with what a 401 asks for. `q` has a path of the API as its URL, or a whole
 * URL, to which no credentials go. */
int registry_request_once(struct registry *g, struct http *h, const struct http_request *q,
                          struct http_response *ret, struct err *e);

/* Until it passes. */
int registry_request(struct registry *g, struct http *h, const struct http_request *q,
                     struct http_response *ret, struct err *e);

/* "DigestMismatch" unless the text has this digest, which is that of `what`. */
int registry_digest_check(const struct buf *text, const char *digest, const char *what,
                          struct err *e);

/* Whether what came of a request may be otherwise later. */
bool registry_may_pass(int r, const struct http_response *response);

/* Waits before another attempt; false when there was the last one. */
bool registry_wait(const struct registry *g, unsigned attempt, const struct http_response *response,
                   const struct err *e);

/* Fills *e for a status that is no success. `what` was asked for: "the manifest 'latest'". */
int registry_status_error(const struct registry *g, const struct http_response *r, const char *what,
                          struct err *e);
