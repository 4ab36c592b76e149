/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <sys/stat.h>

#include "base/err.h"
#include "base/util.h"

/*
 * The files that a log consists of: FILE and those it was before it was rotated, FILE.1 (the
 * youngest of them), FILE.2 ... The writer may rotate at any moment; since it renames the oldest
 * first, the ages never change places, but some can be missing for a moment, FILE too. A file is
 * the same as long as device and inode are, whatever its name; who has it open keeps its inode from
 * being given to another.
 *
 * Everything here blocks.
 */
#define LOG_FILES_MAX 64 /* the youngest; older ones are not seen */

struct log_part {
    unsigned age; /* 0: FILE */
    int fd;
    struct stat st; /* when it was opened */
};

struct log_files {
    struct log_part parts[LOG_FILES_MAX]; /* the youngest first */
    size_t n;
};

/* Opens all there are, as they are at one moment. None is no failure, also not when the folder is
 * missing. "LogFailed". */
int log_files_open(const char *path, struct log_files *ret, struct err *e);
void log_files_close(struct log_files *f);

/* Opens the file that was written after the one that is open as `fd`; -EBADF in *ret_fd when there
 * is none yet. "LogFailed". */
int log_files_next(const char *path, int fd, int *ret_fd, struct err *e);

/* Whether FILE is another one than `fd`, or is missing. */
bool log_file_is_rotated(const char *path, int fd);
