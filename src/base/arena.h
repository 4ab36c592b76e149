/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdarg.h>

#include "base/util.h"

/*
 * Memory that is given back all at once: for what has the life of one decoded object, one request,
 * or one load of a configuration. Pieces are aligned for any type and zeroed. Growth aborts when
 * memory is exhausted: whoever fills an arena from outside checks its own limit first. For one
 * thread at a time.
 */
struct arena;

struct arena *arena_new(void);
void arena_free(struct arena *a); /* NULL is fine */
DEFINE_AUTO(arena);

/* Overwrites all pieces, which held secrets; only arena_free() may follow. */
void arena_wipe(struct arena *a);

void *arena_alloc(struct arena *a, size_t size);
/* `n` zeroed elements of `size` bytes each; NULL for none. */
void *arena_array(struct arena *a, size_t n, size_t size);
char *arena_strdup(struct arena *a, const char *s); /* NULL gives NULL */
char *arena_strndup(struct arena *a, const char *s, size_t len);
char *arena_printf(struct arena *a, const char *fmt, ...)
    __attribute__((format(printf, 2, 3), nonnull(2)));

/* Bytes that were asked for so far. */
size_t arena_used(const struct arena *a);
