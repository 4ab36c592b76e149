/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdint.h>
#include <string.h>

#include "base/util.h"

/* A command line out of any bytes: the words between NULs, behind a name. */
struct words {
    char *text; /* of the words; to be freed */
    char *argv[64];
    int argc;
};

static inline struct words words_from(const char *name, const uint8_t *data, size_t size)
{
    struct words w = {.text = xcalloc(size + 1, 1), .argv = {(char *)(uintptr_t)name}, .argc = 1};

    memcpy(w.text, data, size);
    for (size_t at = 0; at < size && w.argc < 63; at += strlen(w.text + at) + 1)
        w.argv[w.argc++] = w.text + at;
    return w;
}
