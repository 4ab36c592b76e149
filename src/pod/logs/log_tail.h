/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdatomic.h>
#include <sys/types.h>

#include "pod/logs/log_files.h"

/* A byte of a log: which of the files, and where in it. */
struct log_place {
    size_t part;
    off_t at;
};

/*
 * Finds the begin of the last `lines` lines, reading backwards from the end. Pieces (P) and the
 * record that follows them are one line. What has no newline yet counts as a line too; with 0
 * lines, what follows the last newline is asked for.
 *
 * *place is the oldest that may be told, and stays when there are fewer lines. A negative errno
 * when a file cannot be read; -ECANCELED once *is_cancelled is true.
 */
int log_tail_find(const struct log_files *f, int64_t lines, const atomic_bool *is_cancelled,
                  struct log_place *place);
