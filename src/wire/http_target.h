/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/arena.h"
#include "base/err.h"

/*
 * The target of a request (RFC 9112, 3.2), taken apart and decoded (RFC 3986, 2.1; in the query a
 * '+' is a space).
 */
struct http_target {
    const char *path; /* begins with '/', or is "*" */
    struct http_query_pair {
        const char *key, *value;
    } * query;
    size_t n_query;
};

/* "BadTarget" (-EINVAL): neither a path nor a URL with one, a bad escape, or a NUL. What *ret
 * points to is in the arena. */
int http_target_parse(const char *text, struct arena *a, struct http_target *ret, struct err *e);
