/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/*
 * FNV-1a, for tables with few keys and for telling whether something changed. Whoever chooses the
 * bytes can make collisions: none of its users may become slow or wrong by them beyond what its
 * limits allow. To hash more than one thing, hand on what the last call returned.
 */
#define HASH_INIT UINT64_C(0xcbf29ce484222325)

static inline uint64_t hash_add(uint64_t h, const void *data, size_t len)
{
    const unsigned char *p = data;

    for (size_t i = 0; i < len; i++)
        h = (h ^ p[i]) * UINT64_C(0x100000001b3);
    return h;
}

/* With the end of the text, so that "ab", "c" differs from "a", "bc". */
static inline uint64_t hash_add_str(uint64_t h, const char *text)
{
    return hash_add(h, text, strlen(text) + 1);
}

/* For the place in a table, which takes the low bits. */
static inline uint64_t hash_fold(uint64_t h)
{
    return h ^ h >> 32;
}
