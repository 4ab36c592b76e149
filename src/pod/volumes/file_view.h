/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <sys/types.h>

#include "base/err.h"
#include "base/util.h"

/*
 * A folder that shows single files of elsewhere: what a guest, who can be given folders only, gets
 * in place of a file. A file is there by a hard link; from another file system by a bind mount;
 * where that is not permitted, by a copy if its content never changes. A file that somebody
 * replaces by renaming another to its name stays the old one here.
 */
struct file_view_entry {
    int fd; /* O_PATH */
    const char *name;
    bool is_constant;
};

/* Makes the folder `name` anew, puts the files into it and opens it. "FileMountUnsupported"
 * (-ENOTSUP), or "FileViewFailed". */
int file_view_make(int dirfd, const char *name, const struct file_view_entry *entries, size_t n,
                   int *ret_fd, struct err *e);
