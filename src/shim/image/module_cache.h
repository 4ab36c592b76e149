/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/digest.h"
#include "base/err.h"

/*
 * Programs that were layers of images, as files named by their digest, so that the containers of an
 * image share one, in memory too. The folder is trusted as the compile cache's is: nobody else may
 * write to it. A file is complete and durable or not there. Anybody may delete it at any time.
 *
 * Everything here may block: it is for the work pool.
 */
#define MODULE_CACHE_FILES 256
#define MODULE_CACHE_BYTES (INT64_C(4) << 30)

/* The folder `modules` in `cache_dir`; "UntrustedFolder", or the errno of what failed. */
int module_cache_open(const char *cache_dir, int *ret_dirfd, struct err *e);

/* Opens a program for reading and notes that it is used: 1, 0 when there is none, or "CacheFailed".
 * A file of another size is removed. */
int module_cache_find(int dirfd, const struct digest *d, int64_t size, int *ret_fd, struct err *e);

/* A file without a name, to be written, or where there is no such thing one in memory, of which
 * nothing is kept; "CacheFailed". */
int module_cache_begin(int dirfd, int *ret_fd, struct err *e);

/* Gives what was written and verified its name, and opens it for reading. Those that were not used
 * for longest are removed when there are more than the limits say. "CacheFailed" */
int module_cache_commit(int dirfd, int fd, const struct digest *d, int64_t size, int *ret_fd,
                        struct err *e);
