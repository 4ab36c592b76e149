/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/digest.h"
#include "base/err.h"
#include "base/strv.h"

/*
 * One file out of the layers of a container image: tar, in gzip or zstd or as it is, whatever the
 * media type says, as other readers do. Nothing is written to where a layer says. It is meant to
 * run confined (confine.h): it reads the layers' descriptors, and writes one.
 */
struct layers_limits {
    int64_t program_bytes; /* of the file that is wanted */
    int64_t content_bytes; /* of all layers together, decompressed */
    int64_t free_bytes;    /* of a layer's content; beyond that: */
    int64_t ratio;         /* decompressed bytes to one compressed */
};

struct layers {
    const int *fds;                /* files, from their start; the lowest layer first */
    const struct digest *diff_ids; /* of their decompressed content (image-spec config.md) */
    size_t n;
    struct layers_limits limits;
    struct strv paths; /* absolute; the first that there is, is wanted */
};

/* What layers_program_extract() fails with; ends with NULL. */
extern const char *const layers_reasons[];

/*
 * Writes the WebAssembly program to the empty file `fd`. "NotRunnable"
 * (-ENOEXEC): there is none of that name, or it is something else. "BadImage": a layer is damaged,
 * or the way to the file leads out of the image; "DigestMismatch": a layer's content is another;
 * "TooLarge": more than a limit; "WriteFailed", "DiskFull".
 */
int layers_program_extract(const struct layers *l, int fd, struct err *e);

/* What has to be loaded before layers_program_extract() runs confined: the calling thread's locale,
 * which is set until layers_locale_done(). */
struct layers_locale {
    void *set, *before;
};
int layers_locale_begin(struct layers_locale *ret, struct err *e);
void layers_locale_done(struct layers_locale *l);
