/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/*
 * SHA-256 digests in the form that OCI uses: "sha256:" and 64 lower-case hexadecimal digits.
 */
struct digest {
    uint8_t bytes[32];
};

#define DIGEST_TEXT_SIZE 72 /* with the NUL */
#define DIGEST_HEX_SIZE  65 /* without the prefix, with the NUL */

void digest_bytes(const void *data, size_t len, struct digest *ret);

/* Of bytes that come piece by piece. */
struct digest_stream {
    uint64_t state[16]; /* the library's own */
};
void digest_begin(struct digest_stream *s);
void digest_add(struct digest_stream *s, const void *data, size_t len);
void digest_end(struct digest_stream *s, struct digest *ret);

/* Of the whole file behind `fd`, whose position is neither used nor changed; a pipe or socket is
 * read from where it stands to its end. */
int digest_fd(int fd, struct digest *ret, struct err *e);

void digest_format(const struct digest *d, char ret[static DIGEST_TEXT_SIZE]);
void digest_hex_format(const struct digest *d, char ret[static DIGEST_HEX_SIZE]);

/* For qsort() and bsearch(): of digests, or of what begins with one. */
int digest_compare(const void *a, const void *b);

/* SHA-1 is broken for trust: only for protocols that demand it, as WebSocket's handshake does. */
void sha1_bytes(const void *data, size_t len, uint8_t ret[static 20]);

/* Reads "sha256:<hex>"; "BadDigest", -EINVAL. */
int digest_parse(const char *text, struct digest *ret, struct err *e);
