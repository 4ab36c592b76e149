/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/err.h"
#include "base/strv.h"

/*
 * What containerd names a stream by (shim/stdio/task_stdio.h).
 */

enum stdio_kind { STDIO_NULL, STDIO_FIFO, STDIO_FILE, STDIO_LOGGER };

#define STDIO_URI_LIMIT_BYTES 16384

struct stdio_uri {
    enum stdio_kind kind;
    char *path; /* absolute, shorter than PATH_MAX; NULL for STDIO_NULL */
    /* Of a logger. As in containerd each key of the query and its first value are two arguments,
     * an empty one if there is none, but for keys that begin with "env.": those are variables,
     * unless named as one of the two that each logger has. Other than there the order is kept. */
    struct strv args;
    struct strv env; /* NAME=VALUE */
};

/* "BadStdio". NULL is as "". */
int stdio_uri_parse(const char *text, struct stdio_uri *ret, struct err *e);
void stdio_uri_done(struct stdio_uri *u);
