/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/digest.h"
#include "base/err.h"
#include "base/util.h"
#include "guest/command.h"
#include "store/reference.h"

/* The variable by which a daemon names itself, as a process id, to the wherry-image that it starts:
 * that one ends with it, however it ends. */
#define IMAGES_PARENT_VARIABLE "WHERRY_IMAGE_PARENT"

/*
 * The images of this machine: blobs by their digest, and names that lead to them. The folder is an
 * OCI image layout without an index (image-spec 1.1, image-layout.md):
 *
 *   oci-layout
 *   blobs/sha256/<hex>              complete and verified, never changed
 *   partial/<hex>                   being fetched, locked by who does
 *   .collecting                     locked by who removes blobs (collect.h)
 *   names/<host>/<repository>/:tag  what the name stands for; digests are names too: @sha256:<hex>
 *
 * Any number of processes use one folder, without a daemon. A blob or name appears complete and
 * durable or not at all, blobs before the names that need them; whoever is killed leaves at most a
 * partial file, with which the next one goes on. What is in the folder is trusted as the compile
 * cache is: only its owner and root may write to it.
 *
 * A blob is kept when a name leads to it or when it is leased; collect.h removes others. Whoever
 * stores a blob, or finds that it is there, leases it until the store is closed: by a shared
 * flock() on the blob, which ends with the process. Who opens the program of an image needs no
 * lease, since what is open stays.
 */
struct images;

/* Opens (and creates) the store in `dir`. "UntrustedFolder", or the errno of what failed. */
int images_open(const char *dir, struct images **ret, struct err *e);
/* Ends the leases. */
void images_free(struct images *s);
DEFINE_AUTO(images);

/* ---- Names ---- */

/* What a name stands for. */
struct image {
    char *name; /* in full: reference_format() */
    struct digest manifest;
    int64_t manifest_size;
    char *manifest_type;
    char *index;   /* the digest of the index that led to the manifest; NULL: there is none */
    char *program; /* the digest of its WebAssembly program; NULL: it has none */
    int64_t program_size; /* bytes */
    char *config; /* the digest of the container's config that says how the program is started; "":
                   * it is no container's image; NULL: older records do not say it, the manifest
                   * does */
    int64_t fetched_at_ns; /* realtime */
};
void image_done(struct image *i);

/* 1 with the image, 0 when the name is not known. "BadImage" for a damaged record. */
int images_find(struct images *s, const struct reference *r, struct image *ret, struct err *e);

/* The same in a folder that is open, for who has no more than that (guest/spec.h). */
int images_find_at(int dirfd, const struct reference *r, struct image *ret, struct err *e);

/* Opens the program of the image for reading; *ret_digest was verified when it was stored. -ENOENT
 * when it is not there (any more): see images_program_find_at(). */
int images_program_open_at(int dirfd, const struct image *i, int *ret_fd, struct digest *ret_digest,
                           struct err *e);

/* How the image says that its program is started: nothing but for a container's. Its config has to
 * be what its digest says. -ENOENT as above; "BadImage". */
int images_command_read_at(int dirfd, const struct image *i, struct guest_command *ret,
                           struct err *e);

/* All in one, also while the name is moved or removed and its blobs are collected. 1, or 0 when
 * the name is not known. */
int images_program_find_at(int dirfd, const struct reference *r, int *ret_fd,
                           struct digest *ret_digest, struct guest_command *ret_command,
                           struct err *e);

/* Gives the name to the image, durably, after its blobs have become durable. They have to be there
 * and leased. `i->name` is not used. */
int images_name(struct images *s, const struct reference *r, const struct image *i, struct err *e);

/* 1 when the name was there. It is gone for good, and its blobs can be collected. */
int images_unname(struct images *s, const struct reference *r, struct err *e);

/* Calls `each` with every image, in the order of names, until it returns less than 0. */
int images_list(struct images *s, int (*each)(void *ctx, const struct image *i, struct err *e),
                void *ctx, struct err *e);

/* The folder, an OCI image layout: for layout_text_read() and layout_blob_open(). */
int images_folder(const struct images *s);

/* ---- Blobs whose digest is not known before all of them is there ---- */

/* Where such a one is to be written: a file without a name on the store's disk, which is gone when
 * it is closed. */
int images_file_open(struct images *s, int *ret_fd, struct err *e);
/* "DiskFull", "StoreFailed". */
int images_file_write(int fd, const void *data, size_t len, struct err *e);

/* Stores the content of a file as a blob. */
int images_file_add(struct images *s, int fd, struct digest *ret, int64_t *ret_size, struct err *e);

/* ---- Programs out of the layers of containers' images ---- */

/* Keeps which program is the one of the image with this manifest, so that its layers are not read
 * again. It is no name: it keeps no blob from being removed, and may be removed itself. */
int images_program_note(struct images *s, const struct digest *manifest,
                        const struct digest *program, struct err *e);
/* 1 with the program, if it is known and there. */
int images_program_find(struct images *s, const struct digest *manifest, struct digest *ret,
                        int64_t *ret_size);

/* ---- Blobs ---- */

/* Leases a blob: 1, or 0 when it is not there. For images_name() of what is there already. */
int images_blob_lease(struct images *s, const struct digest *d, struct err *e);

/* Leases all that the image leads to. "BadImage" when some of it is missing. */
int images_lease(struct images *s, const struct image *i, struct err *e);

/* A blob on its way in. */
struct blob_writer;

/*
 * Begins to store a blob: waits while another process does. 1 when it is there by then; 0 with a
 * writer. What an earlier one has left is kept, *ret_at bytes: go on from there.
 */
int images_blob_begin(struct images *s, const struct digest *d, struct blob_writer **ret,
                      int64_t *ret_at, struct err *e);
/* On a full disk ("DiskFull") nothing of the blob is kept. */
int blob_writer_add(struct blob_writer *w, const void *data, size_t len, struct err *e);
int64_t blob_writer_size(const struct blob_writer *w);
/* Forgets what was written so far. */
int blob_writer_restart(struct blob_writer *w, struct err *e);
/* Makes the blob appear, leased, if it is what its digest says; otherwise ("DigestMismatch")
 * nothing of it is kept. Frees the writer in any case. */
int blob_writer_commit(struct blob_writer *w, struct err *e);
/* Makes a file that has no name yet, and that nobody else can write to, the blob, of which the
 * caller says that it has the digest: 1. 0 where that cannot be done; then it has to be copied. */
int blob_writer_adopt(struct blob_writer *w, int fd, struct err *e);
/* What was written stays, for the next attempt. */
void blob_writer_free(struct blob_writer *w);
DEFINE_AUTO(blob_writer);

/* Opens a complete blob, which was verified when it was stored, for reading. "BadImage" (-ENOENT)
 * when it is missing. */
int images_blob_open_at(int dirfd, const struct digest *d, int *ret_fd, int64_t *ret_size,
                        struct err *e);

/* Appends a document's text to *ret, which has to be what the digest says. -ENOENT, "BadImage". */
int images_text_read_at(int dirfd, const struct digest *d, struct buf *ret, struct err *e);

/* Stores bytes that are there already. */
int images_blob_add(struct images *s, const void *data, size_t len, struct digest *ret,
                    struct err *e);
