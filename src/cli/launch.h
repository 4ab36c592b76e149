/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "cli/run_options.h"

/*
 * From parsed options to a worker: what is opened here, by the rights of the caller, is inherited
 * by the worker, which needs no path of the host any more.
 */

/* Opens the program FILE for reading (close-on-exec). "NotFound", or "NotRunnable" for what is
 * there and is no readable regular file. */
int launch_file_open(const char *path, int *ret_fd, struct err *e);

/* Opens the host folder of a --dir (close-on-exec). */
int launch_dir_open(const struct dir_grant *d, int *ret_fd, struct err *e);

/* The exit status for an error: 127 for "NotFound" of a program, 126 for "NotRunnable", else 125.
 */
int launch_status(const struct err *e);

/*
 * Becomes wherry-worker with this spec text, by exec. The caller has made the descriptors that the
 * spec names inheritable (launch_inherit()). Returns only on failure.
 */
int launch_worker(const struct buf *spec, struct err *e);

/* Clears close-on-exec. */
int launch_inherit(int fd, struct err *e);
