/* SPDX-License-Identifier: Apache-2.0 */
#include "base/arena.h"

#include <stdalign.h>
#include <stdio.h>

#include "base/err.h"

/* A small object fits the first block; what is larger than a block gets one of its own. */
#define BLOCK_BYTES 4096u

struct block {
    struct block *next;
    size_t used, size;
    alignas(max_align_t) char data[];
};

struct arena {
    struct block *blocks; /* the first is the one that is filled */
    size_t used;
};

struct arena *arena_new(void)
{
    return xcalloc(1, sizeof(struct arena));
}

void arena_free(struct arena *a)
{
    if (!a)
        return;
    while (a->blocks) {
        struct block *next = a->blocks->next;

        free(a->blocks);
        a->blocks = next;
    }
    free(a);
}

void arena_wipe(struct arena *a)
{
    for (struct block *b = a->blocks; b; b = b->next)
        explicit_bzero(b->data, b->used);
}

static struct block *block_new(size_t size)
{
    struct block *b = xcalloc(1, sizeof(*b) + size);

    b->size = size;
    return b;
}

/* A block that has the room: a large piece goes behind the one that is filled. */
static struct block *block_for(struct arena *a, size_t size)
{
    struct block *b = a->blocks;

    if (b && b->size - b->used >= size)
        return b;
    if (b && size > BLOCK_BYTES / 4) {
        struct block *own = block_new(size);

        own->next = b->next;
        b->next = own;
        return own;
    }
    b = block_new(size > BLOCK_BYTES ? size : BLOCK_BYTES);
    b->next = a->blocks;
    a->blocks = b;
    return b;
}

void *arena_alloc(struct arena *a, size_t size)
{
    const size_t align = alignof(max_align_t);
    struct block *b;
    void *p;

    BUG_ON(size > SIZE_MAX / 2);
    size = (size + align - 1) / align * align;
    b = block_for(a, size);
    p = b->data + b->used;
    b->used += size;
    a->used += size;
    return p;
}

void *arena_array(struct arena *a, size_t n, size_t size)
{
    size_t bytes;

    BUG_ON(__builtin_mul_overflow(n, size, &bytes));
    return n ? arena_alloc(a, bytes) : NULL;
}

char *arena_strndup(struct arena *a, const char *s, size_t len)
{
    char *copy = arena_alloc(a, len + 1);

    memcpy(copy, s, len);
    return copy;
}

char *arena_strdup(struct arena *a, const char *s)
{
    return s ? arena_strndup(a, s, strlen(s)) : NULL;
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
    va_list ap;
    char *text;
    int len;

    va_start(ap, fmt);
    len = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    BUG_ON(len < 0);
    text = arena_alloc(a, (size_t)len + 1);
    va_start(ap, fmt);
    vsnprintf(text, (size_t)len + 1, fmt, ap);
    va_end(ap);
    return text;
}

size_t arena_used(const struct arena *a)
{
    return a->used;
}
