/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/buf.h"
#include "base/util.h"

/*
 * Memory that held a secret is wiped before it is given back. A buffer is wiped where it is when it
 * ends, not where it was before it grew: whoever fills one makes room for everything first.
 */
static inline void secret_free(char *s)
{
    if (s)
        explicit_bzero(s, strlen(s));
    free(s);
}

static inline void secret_free_cleanup_(void *p)
{
    secret_free(*(char **)p);
}

static inline void secret_buf_done_(struct buf *b)
{
    if (b->data)
        explicit_bzero(b->data, b->cap);
    buf_done(b);
}

#define autosecret    __attribute__((cleanup(secret_free_cleanup_)))
#define autosecretbuf __attribute__((cleanup(secret_buf_done_))) struct buf
