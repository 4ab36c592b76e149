/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdio.h>

#include "base/digest.h"
#include "base/err.h"

/* What images.c and blobs.c know of the folder (images.h). */
struct images {
    int dirfd;
};

#define STORE_BLOB_PATH_SIZE (sizeof("blobs/sha256/") + DIGEST_HEX_SIZE)

/* "DiskFull" or "StoreFailed": `what` could not be done to the `path`. */
int store_failed(struct err *e, int code, const char *what, const char *path);

/* "blobs/sha256/<hex>" or "partial/<hex>". */
static inline void store_blob_path(const char *folder, const struct digest *d,
                                   char ret[static STORE_BLOB_PATH_SIZE])
{
    char hex[DIGEST_HEX_SIZE];

    digest_hex_format(d, hex);
    snprintf(ret, STORE_BLOB_PATH_SIZE, "%s%s", folder, hex);
}
