/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/buf.h"
#include "base/err.h"

/*
 * Base 64 of RFC 4648, section 4: the alphabet with + and /, padded with =.
 *
 * Both functions append to *ret and make room for all of the result first, so that a buffer that
 * was empty has held the bytes in one place only; who encodes a secret has to wipe just that.
 */
void base64_encode(const void *data, size_t len, struct buf *ret);

/* Strict: no white space, no missing padding, and no bits set that stand for nothing. Errors are
 * "BadBase64" (-EINVAL) with the place; the text itself does not show in them. On failure *ret
 * holds what it held before. */
int base64_decode(const char *text, size_t len, struct buf *ret, struct err *e);
