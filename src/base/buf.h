/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdarg.h>

#include "base/util.h"

/*
 * A growable byte buffer.
 *
 * `data` is NULL while nothing was added, otherwise it is always followed by a NUL byte that `len`
 * does not count, so text may be used as a string. Growth aborts when memory is exhausted: whoever
 * fills a buffer from outside checks its own limit first.
 */
struct buf {
    char *data;
    size_t len;
    size_t cap; /* bytes allocated, the NUL included */
};

#define BUF_INIT ((struct buf){0})

void buf_add(struct buf *b, const void *data, size_t len);
void buf_addstr(struct buf *b, const char *s);
void buf_addc(struct buf *b, char c);
void buf_addf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_vaddf(struct buf *b, const char *fmt, va_list ap)
    __attribute__((format(printf, 2, 0), nonnull(2)));

/* Makes room for `more` bytes (and the NUL) behind `len` and returns where they go; the caller
 * adds what it wrote to `len` and calls buf_terminate(). */
char *buf_reserve(struct buf *b, size_t more);
void buf_terminate(struct buf *b);

/* Forgets the content and keeps the memory. */
void buf_clear(struct buf *b);

/* Removes the first `len` bytes (at most all). */
void buf_consume(struct buf *b, size_t len);

/* The text as a string, "" when empty; owned by the buffer. */
static inline const char *buf_str(const struct buf *b)
{
    return b->data ? b->data : "";
}

/* Gives the text away as a heap string (never NULL) and leaves an empty buffer. */
char *buf_take(struct buf *b);

void buf_done(struct buf *b);

/* A local buffer that is released at the end of its scope: `autobuf b = BUF_INIT;` */
#define autobuf __attribute__((cleanup(buf_done))) struct buf
