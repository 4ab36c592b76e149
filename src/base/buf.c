/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"

#include <stdio.h>

#include "base/err.h"

char *buf_reserve(struct buf *b, size_t more)
{
    size_t need, cap = b->cap ? b->cap : 64;

    /* Mostly there is room. */
    if (b->len < b->cap && more < b->cap - b->len) {
        b->data[b->len] = 0;
        return b->data + b->len;
    }
    BUG_ON(__builtin_add_overflow(b->len, more, &need) || need >= SIZE_MAX / 2);
    need++;
    while (cap < need)
        cap *= 2;
    if (cap != b->cap) {
        b->data = xrealloc(b->data, cap, 1);
        b->cap = cap;
    }
    b->data[b->len] = 0;
    return b->data + b->len;
}

void buf_terminate(struct buf *b)
{
    BUG_ON(b->len >= b->cap);
    b->data[b->len] = 0;
}

void buf_add(struct buf *b, const void *data, size_t len)
{
    if (!len)
        return;
    memcpy(buf_reserve(b, len), data, len);
    b->len += len;
    b->data[b->len] = 0;
}

void buf_addstr(struct buf *b, const char *s)
{
    buf_add(b, s, strlen(s));
}

void buf_addc(struct buf *b, char c)
{
    *buf_reserve(b, 1) = c;
    b->data[++b->len] = 0;
}

void buf_vaddf(struct buf *b, const char *fmt, va_list ap)
{
    va_list again;
    int n;

    va_copy(again, ap);
    n = vsnprintf(NULL, 0, fmt, again);
    va_end(again);
    BUG_ON(n < 0);
    vsnprintf(buf_reserve(b, (size_t)n), (size_t)n + 1, fmt, ap);
    b->len += (size_t)n;
}

void buf_addf(struct buf *b, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    buf_vaddf(b, fmt, ap);
    va_end(ap);
}

void buf_clear(struct buf *b)
{
    b->len = 0;
    if (b->data)
        b->data[0] = 0;
}

void buf_consume(struct buf *b, size_t len)
{
    if (len >= b->len) {
        buf_clear(b);
        return;
    }
    memmove(b->data, b->data + len, b->len - len + 1);
    b->len -= len;
}

char *buf_take(struct buf *b)
{
    char *text = b->data ? b->data : xstrdup("");

    *b = BUF_INIT;
    return text;
}

void buf_done(struct buf *b)
{
    free(b->data);
    *b = BUF_INIT;
}
