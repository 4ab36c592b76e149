/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/digest.h"
#include "base/err.h"

#define LAYER_NAME_SIZE 100

/* What a file is called in the image: the end of its path, in characters that are the same
 * everywhere, with the ending that tells other runtimes what it is. */
void layer_name(const char *path, char ret[static LAYER_NAME_SIZE]);

/*
 * Writes a layer with the file in its root to `out`: tar (ustar) in gzip, for anybody to read and
 * execute, of uid 0 and without a time, so that the same file makes the same layer. *ret_diff_id is
 * the digest of the tar. "ReadFailed", "WriteFailed".
 */
int layer_write(int fd, const char *name, int out, struct digest *ret_diff_id, struct err *e);
