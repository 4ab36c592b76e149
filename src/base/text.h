/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/buf.h"

/*
 * Bytes that belong to someone else and need no NUL behind them, such as a part of a request. Any
 * bytes may be in it, also NUL and what is no UTF-8. `data` is NULL when there is no such text,
 * which is not the same as an empty one; `len` is 0 then.
 */
struct text {
    const char *data;
    size_t len;
};

/* Of a string literal, also in static initialisers. */
#define TEXT(literal)                                                                              \
    {                                                                                              \
        .data = (literal), .len = sizeof(literal) - 1                                              \
    }

/* Of a string; NULL gives no text. */
static inline struct text text_of(const char *s)
{
    return (struct text){s, s ? strlen(s) : 0};
}

static inline bool text_eq(struct text t, const char *s)
{
    return t.len == strlen(s) && (!t.len || !memcmp(s, t.data, t.len));
}

/* Without regard to the case of ASCII letters, as names of header fields are compared. */
bool text_same_name(struct text a, struct text b);

/* Appends the text, with U+FFFD in place of each byte that is part of no well-formed UTF-8. */
void text_lossy_add(struct text t, struct buf *out);

/* The value of a hexadecimal digit, in either case; -1 for anything else. */
int text_hex_digit(char c);

/* Puts '?' in place of control characters, which would speak to a terminal; newlines stay where the
 * text may have several lines. */
void text_mute(char *s, size_t len, bool has_lines);

/* A decimal number, in the caller's storage; quicker than printf(). */
#define TEXT_UINT_SIZE 20
struct text text_uint_format(uint64_t n, char storage[static TEXT_UINT_SIZE]);
void text_uint_add(uint64_t n, struct buf *out);
