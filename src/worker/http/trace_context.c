/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/http/trace_context.h"

#include <sys/random.h>

#include "base/err.h"
#include "base/util.h"

static uint64_t rotate_left(uint64_t x, int bits)
{
    return x << bits | x >> (64 - bits);
}

/* xoshiro256** (Blackman, Vigna). Ids need to differ, not to be secret, and a request that costs
 * microseconds cannot spend a system call on each. */
static uint64_t random_next(void)
{
    static _Thread_local uint64_t s[4]; /* all zero: not seeded; the generator never gets there */
    uint64_t result, t;

    while (!(s[0] | s[1] | s[2] | s[3])) {
        ssize_t n = getrandom(s, sizeof(s), 0);

        BUG_ON(n != (ssize_t)sizeof(s) && !(n < 0 && errno == EINTR));
    }
    result = rotate_left(s[1] * 5, 7) * 9;
    t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate_left(s[3], 45);
    return result;
}

static void id_make(uint8_t ret[static 8])
{
    uint64_t id;

    do
        id = random_next();
    while (!id);
    memcpy(ret, &id, sizeof(id));
}

/* Returns what follows the digits. */
static char *hex_format(const uint8_t *bytes, size_t n, char *to)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < n; i++) {
        *to++ = digits[bytes[i] >> 4];
        *to++ = digits[bytes[i] & 15];
    }
    return to;
}

/* Lower-case digits only: the specification knows no others. Branches on digits at random would
 * be mispredicted, hence a table. */
static bool hex_parse(const char *text, size_t n, uint8_t *ret)
{
    static const uint8_t values_plus_1[256] = {
        ['0'] = 1,  ['1'] = 2,  ['2'] = 3,  ['3'] = 4,  ['4'] = 5,  ['5'] = 6,
        ['6'] = 7,  ['7'] = 8,  ['8'] = 9,  ['9'] = 10, ['a'] = 11, ['b'] = 12,
        ['c'] = 13, ['d'] = 14, ['e'] = 15, ['f'] = 16,
    };

    for (size_t i = 0; i < n; i++) {
        unsigned high = values_plus_1[(unsigned char)text[2 * i]];
        unsigned low = values_plus_1[(unsigned char)text[2 * i + 1]];

        if (!high || !low)
            return false;
        ret[i] = (uint8_t)((high - 1) << 4 | (low - 1));
    }
    return true;
}

static bool is_zero(const uint8_t *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (bytes[i])
            return false;
    return true;
}

bool trace_context_parse(const char *text, size_t len, struct trace_context *ret)
{
    const size_t known = TRACE_CONTEXT_SIZE - 1;
    struct trace_context t;
    uint8_t version;

    if (len < known || text[2] != '-' || text[35] != '-' || text[52] != '-')
        return false;
    if (!hex_parse(text, 1, &version) ||
        !hex_parse(text + TRACE_ID_OFFSET, sizeof(t.trace_id), t.trace_id) ||
        !hex_parse(text + 36, sizeof(t.parent_id), t.parent_id) ||
        !hex_parse(text + 53, 1, &t.flags))
        return false;
    if (version == 0xff || is_zero(t.trace_id, sizeof(t.trace_id)) ||
        is_zero(t.parent_id, sizeof(t.parent_id)))
        return false;
    if (len > known && (version == 0 || text[known] != '-'))
        return false;
    t.flags &= version ? TRACE_SAMPLED : TRACE_SAMPLED | TRACE_RANDOM;
    *ret = t;
    return true;
}

void trace_context_format(const struct trace_context *t, char ret[static TRACE_CONTEXT_SIZE])
{
    char *to = ret;

    *to++ = '0';
    *to++ = '0';
    *to++ = '-';
    to = hex_format(t->trace_id, sizeof(t->trace_id), to);
    *to++ = '-';
    to = hex_format(t->parent_id, sizeof(t->parent_id), to);
    *to++ = '-';
    to = hex_format(&t->flags, 1, to);
    *to = 0;
}

void trace_context_start(struct trace_context *ret)
{
    id_make(ret->trace_id);
    id_make(ret->trace_id + 8);
    id_make(ret->parent_id);
    ret->flags = TRACE_SAMPLED;
}

void trace_context_child(const struct trace_context *parent, struct trace_context *ret)
{
    *ret = *parent;
    id_make(ret->parent_id);
}

void request_id_make(char ret[static REQUEST_ID_SIZE])
{
    uint8_t id[8];

    id_make(id);
    *hex_format(id, sizeof(id), ret) = 0;
}

static bool is_id_char(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '.' ||
           c == '_' || c == '-';
}

bool request_id_is_sane(const char *text, size_t len)
{
    if (!len || len > REQUEST_ID_LIMIT)
        return false;
    for (size_t i = 0; i < len; i++)
        if (!is_id_char(text[i]))
            return false;
    return true;
}
