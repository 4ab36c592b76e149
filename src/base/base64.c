/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base64.h"

#include <stdint.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_encode(const void *data, size_t len, struct buf *ret)
{
    const unsigned char *in = data;

    buf_reserve(ret, (len + 2) / 3 * 4);
    for (size_t i = 0; i < len; i += 3) {
        size_t n = len - i < 3 ? len - i : 3;
        uint32_t bits = (uint32_t)in[i] << 16;
        char four[4];

        if (n > 1)
            bits |= (uint32_t)in[i + 1] << 8;
        if (n > 2)
            bits |= in[i + 2];
        for (size_t j = 0; j < 4; j++)
            four[j] = j <= n ? alphabet[bits >> (18 - 6 * j) & 63] : '=';
        buf_add(ret, four, 4);
    }
}

/* What a character stands for; -1: nothing. */
static int value_of(char c)
{
    const char *at = c ? strchr(alphabet, c) : NULL;

    return at ? (int)(at - alphabet) : -1;
}

/* Decodes four characters to `n` bytes; the result is the place of the first bad one, or 4. */
static size_t four_decode(const char *four, size_t n, char *out)
{
    uint32_t bits = 0;

    for (size_t i = 0; i <= n; i++) {
        int value = value_of(four[i]);

        if (value < 0)
            return i;
        bits |= (uint32_t)value << (18 - 6 * i);
    }
    if (bits & (0xffffffu >> (8 * n)))
        return n;
    for (size_t i = 0; i < n; i++)
        out[i] = (char)(bits >> (16 - 8 * i) & 0xff);
    return 4;
}

int base64_decode(const char *text, size_t len, struct buf *ret, struct err *e)
{
    char *out;
    size_t done = 0;

    if (len % 4)
        return err_set(e, -EINVAL, "BadBase64",
                       "no base 64: %zu characters are no multiple of four", len);
    out = buf_reserve(ret, len / 4 * 3);
    for (size_t i = 0; i < len; i += 4) {
        size_t n = 3, bad;

        if (i + 4 == len && text[i + 3] == '=')
            n = text[i + 2] == '=' ? 1 : 2;
        bad = four_decode(text + i, n, out + done);
        if (bad < 4) {
            buf_terminate(ret);
            return err_set(e, -EINVAL, "BadBase64", "no base 64 at character %zu", i + bad + 1);
        }
        done += n;
    }
    ret->len += done;
    buf_terminate(ret);
    return 0;
}
