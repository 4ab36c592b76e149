/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/strv.h"
#include "store/images.h"

/* Images of the store to files that other tools read. */
enum save_format {
    SAVE_OCI_ARCHIVE,    /* an OCI image layout as a tar archive */
    SAVE_DOCKER_ARCHIVE, /* the same with docker's manifest.json; only images of files */
    SAVE_OCI_DIR,        /* an OCI image layout as a folder */
};

/*
 * What is written depends on the images and their names only. Of a name in full the index has both
 * what containerd and docker write (io.containerd.image.name) and the tag
 * (org.opencontainers.image.ref.name). Blobs come first, the index behind them, so that what was
 * cut off is no archive.
 *
 * "NotFound" and "NotRunnable" (an image that the format cannot have) before anything is written;
 * "BadImage": a blob is missing in the store; errors of tarball.h and of files.
 */
struct save;

/* Finds the images by their names. */
int save_new(struct images *s, const struct strv *names, struct save **ret, struct err *e);
void save_free(struct save *v);
DEFINE_AUTO(save);

/* To a file or pipe. */
int save_archive(struct save *v, enum save_format format, int fd, struct err *e);

/* Into an empty folder. */
int save_folder(struct save *v, int dirfd, struct err *e);
