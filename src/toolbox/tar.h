/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <sys/stat.h>

#include "toolbox/toolbox.h"

/*
 * Archives in the ustar format with pax extended headers for long names (POSIX.1-2017, pax, "ustar
 * Interchange Format"); GNU's long names are read too. Nothing is ever written outside of the
 * folder that is extracted to: names lose what they begin with '/', ".." is refused, and every
 * folder on the way is opened without following links.
 */

#define TAR_BLOCK     512
#define TAR_NAME_MAX  4096
#define TAR_EXTRA_MAX ((size_t)1 << 20) /* of an extended header */

struct tar {
    struct job *job;
    struct stream *stream;
    const char *folder; /* -C; NULL for the current one */
    bool is_verbose;
    char **names; /* what is asked for; none is everything */
    int name_n;
    int status;
};

struct tar_entry {
    char name[TAR_NAME_MAX + 1];
    char target[TAR_NAME_MAX + 1];
    char type; /* '0' file, '1' link, '2' symbolic link, '5' folder, others */
    mode_t mode;
    unsigned long long size;
    long long mtime;
};

int tar_create(struct tar *t);
int tar_read(struct tar *t, bool is_extracting);

/* The next entry; 1, 0 at the end, negative errno after a reported mistake. The entry's bytes
 * follow in the stream, then the filling to a block. */
int tar_next(struct tar *t, struct tar_entry *e);
/* A copy without leading slashes and dots; NULL for one with "..", or that is too long. "" for the
 * folder itself. */
char *tar_safe_name(const char *name);
