/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/util.h"

/*
 * Tar archives (ustar, pax and GNU; POSIX.1-2017, pax, "pax Interchange Format"), plain or packed
 * with gzip, bzip2, xz or zstd. What is read may come from anywhere; nothing of it is unpacked into
 * a file system: an entry is a name and bytes, and a link or device is only told of.
 */

enum tarball_kind {
    TARBALL_FILE,
    TARBALL_FOLDER,
    TARBALL_SYMLINK,
    TARBALL_HARD_LINK,
    TARBALL_OTHER, /* device, FIFO, socket */
};

struct tarball_entry {
    const char *name; /* relative, without "./" before it and '/' behind it; no part is ".." */
    enum tarball_kind kind;
    const char *link; /* of a link where it leads to, as it is written; else "" */
    int64_t size;     /* of a file, as the archive says; there may be less */
};

#define TARBALL_NAME_LIMIT 1024 /* of names, and of where links lead to */

/* An archive that is packed may become so many times larger, and a little more. */
#define TARBALL_PACKED_LIMIT 200
#define TARBALL_PACKED_SLACK (64 << 20) /* bytes */

/* Told of each entry in order; less than 0 ends the reading with that error. */
struct tarball_visitor {
    /* 1 when the content of this entry is wanted, else 0. */
    int (*entry)(void *ctx, const struct tarball_entry *t, struct err *e);
    /* A piece of a wanted entry, and its end. */
    int (*data)(void *ctx, const void *data, size_t len, struct err *e);
    int (*end)(void *ctx, struct err *e);
    void *ctx;
};

/*
 * Reads the archive behind `fd` (a file, from where it stands, or a pipe) in a child process, and
 * calls the visitor here.
 *
 * "BadImage" (-EINVAL): no archive, damaged, cut off, or an entry whose name leads out of it.
 * "TooLarge" (-EFBIG): it is packed too well to be true. "ReadFailed".
 */
int tarball_visit(int fd, const struct tarball_visitor *v, struct err *e);

/* The same in this process: what the child does. */
int tarball_visit_here(int fd, const struct tarball_visitor *v, struct err *e);

/* ---- Writing ---- */

/* An archive that depends on nothing but its entries: owner 0, times 0, no padding to blocks of
 * tape. `fd` stays open. Errors: "WriteFailed", "DiskFull". */
struct tarball_writer;

struct tarball_writer *tarball_writer_new(int fd);
int tarball_writer_folder(struct tarball_writer *w, const char *name, struct err *e);
int tarball_writer_text(struct tarball_writer *w, const char *name, const void *data, size_t len,
                        struct err *e);
/* The first `size` bytes of a file. */
int tarball_writer_file(struct tarball_writer *w, const char *name, int fd, int64_t size,
                        struct err *e);
int tarball_writer_finish(struct tarball_writer *w, struct err *e);
void tarball_writer_free(struct tarball_writer *w);
DEFINE_AUTO(tarball_writer);
