/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/digest.h"
#include "base/err.h"
#include "base/strv.h"
#include "store/images.h"

/* What the files of src/store/ know of the folder (images.h) beyond its public functions. */

struct images {
    int dirfd;
    pthread_mutex_t lock; /* of the leases */
    int *leases;          /* descriptors of blobs, each with a shared flock() */
    size_t n_leases;
};

#define STORE_BLOBS            "blobs/sha256"
#define STORE_PARTIAL          "partial"
#define STORE_NAMES            "names"
#define STORE_LAYOUT           "oci-layout"
#define STORE_PROGRAMS         "programs"    /* programs.c */
#define STORE_COLLECTING       ".collecting" /* locked by who collects */
#define STORE_BLOB_PATH_SIZE   (sizeof("blobs/sha256/") + DIGEST_HEX_SIZE)
#define STORE_TEMPORARY_S      600 /* what is being written for longer than that is left over */
#define STORE_USE_RESOLUTION_S 60  /* of the time of last use */

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

/* As images_blob_open_at(), with all that is known of the file. */
int store_blob_open(int dirfd, const struct digest *d, int *ret_fd, struct stat *ret_st,
                    struct err *e);

/* Makes names in a folder durable. */
int store_folder_sync(int dirfd, const char *path, struct err *e);

/*
 * Notes that the file is used: its time of change, since the time of access is not kept on most
 * machines. Once a minute, so that who uses a file all the time writes little. A file of somebody
 * else stays as it is.
 */
void store_use_note(int fd, const struct stat *st);

/* What is below names/, as paths from the folder of the store. */
struct store_names {
    struct strv records; /* ":tag" and "@digest", in order */
    struct strv others;  /* what is being written, or was left over, or is none of ours */
    struct strv folders; /* each behind those in it; names/ is the last */
};
int store_names_list(int dirfd, struct store_names *ret, struct err *e);
void store_names_done(struct store_names *n);

/* What the record says: 1, 0 when it is not there (any more). "BadImage". */
int store_record_read(int dirfd, const char *path, struct image *ret, struct err *e);

int store_record_encode(const char *name, const struct image *i, struct buf *ret, struct err *e);

/* Forgets the programs of layers whose blobs are gone. */
void store_programs_prune(int dirfd);

/* Removes a record for good, and folders that are empty then: 1, 0 when it is not there. `path` is
 * shortened on the way. */
int store_name_remove(int dirfd, char *path, struct err *e);

/* Every blob that the image leads to, by its record and its manifest, some of them twice. Heap.
 * "BadImage" when the manifest is missing or damaged, with what the record says in *ret. */
int store_image_blobs(int dirfd, const struct image *i, struct digest **ret, size_t *ret_n,
                      struct err *e);
