/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "base/text.h"
#include "base/util.h"

/*
 * The file of object_store: a journal of frames, each of which is what one write and fdatasync put
 * there. All numbers are little-endian.
 *
 *     file    "wherry-objects1\n" frame...
 *     frame   "WHJF", u32 bytes of its records, u64 its place in the file, 8 bytes of the SHA-256
 *             of its records, 8 bytes of the SHA-256 of the 24 bytes before; record...
 *     record  u32 bytes of its text, u8 type, 3 bytes 0, u64 version; text
 *
 * A frame is acknowledged as a whole or not at all, and the next one is only written after that. So
 * only the last frame may be incomplete: the file ends in it, or (when the machine lost power) a
 * whole sector of it is zeros because the file had grown and that sector was not written yet.
 * Whatever else is wrong is damage. The header has a sum of its own, so that a wrong length is not
 * taken for a frame that was cut off.
 *
 * Nothing here is shared: one thread at a time, which may block.
 */
#define JOURNAL_MAGIC       "wherry-objects1\n"
#define JOURNAL_BEGIN       (sizeof(JOURNAL_MAGIC) - 1)
#define JOURNAL_FRAME_HEAD  32
#define JOURNAL_RECORD_HEAD 16
#define JOURNAL_FRAME_LIMIT (32u << 20) /* bytes of its records */

enum journal_type {
    JOURNAL_PUT = 'P',     /* text: the object as JSON */
    JOURNAL_DELETE = 'D',  /* text: {"kind":, "namespace":, "name":} */
    JOURNAL_VERSION = 'V', /* no text: the version that was reached, in a file that was rewritten */
};

struct journal_record {
    enum journal_type type;
    uint64_t version;
    struct text text;
};

/* ---- Frames ---- */

/* A frame behind what the buffer has; records; its end, with the place that it has in the file. The
 * caller has made room for all of it, if it holds secrets. */
size_t journal_frame_begin(struct buf *b);
void journal_record_add(struct buf *b, enum journal_type type, uint64_t version, struct text text);
void journal_frame_end(struct buf *b, size_t begin, uint64_t place);

struct journal_found {
    uint64_t size;  /* up to the end of the last whole frame; 0: not even a beginning */
    bool is_torn;   /* something follows that was never acknowledged */
    uint64_t bytes; /* of the file */
};

/*
 * Reads the whole file from its beginning. "StateDamaged" (-EBADMSG) with the place and what to do;
 * what `record` returns below 0 is passed on. `path` is for messages.
 */
int journal_scan(int fd, const char *path,
                 int (*record)(void *ctx, const struct journal_record *r, uint64_t place,
                               struct err *e),
                 void *ctx, struct journal_found *ret, struct err *e);

/* ---- The file ---- */

#define JOURNAL_NAME "objects.journal"

/* "StateFull", "StateFailed". Both durable when they return. */

/* Opens or makes (0600) the file in the folder; what was cut off goes away. Returns 1 when there
 * was such a thing, which ret->bytes counts. */
int journal_open(int dirfd, const char *path,
                 int (*record)(void *ctx, const struct journal_record *r, uint64_t place,
                               struct err *e),
                 void *ctx, int *ret_fd, struct journal_found *ret, struct err *e);

/* Frames to the end, which is at `size`. When it fails the file is as it was; when not even that
 * can be had *ret_is_broken is set, and nothing may be written any more. */
int journal_append(int fd, uint64_t size, const char *path, struct text frames, bool *ret_is_broken,
                   struct err *e);

/* A file of these frames in the place of what is there. *ret_fd is the new one. When it fails the
 * old one is in its place, unless *ret_is_broken is set, which means that either may be after a
 * crash. */
int journal_rewrite(int dirfd, const char *path, struct text frames, int *ret_fd,
                    bool *ret_is_broken, struct err *e);
