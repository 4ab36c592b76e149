/* SPDX-License-Identifier: Apache-2.0 */
#include "base/text.h"

#include "base/json.h"

static unsigned char lower(char c)
{
    return (unsigned char)(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
}

int text_hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool text_same_name(struct text a, struct text b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++)
        if (lower(a.data[i]) != lower(b.data[i]))
            return false;
    return true;
}

/* Length of the well-formed sequence at `s`, 0 when there is none. */
static size_t sequence(const char *s, size_t len)
{
    for (size_t n = 1; n <= 4 && n <= len; n++)
        if (utf8_is_valid(s, n))
            return n;
    return 0;
}

void text_lossy_add(struct text t, struct buf *out)
{
    size_t at = 0, plain = 0;

    if (utf8_is_valid(t.data, t.len)) {
        buf_add(out, t.data, t.len);
        return;
    }
    while (at < t.len) {
        size_t n = sequence(t.data + at, t.len - at);

        if (n) {
            at += n;
            continue;
        }
        buf_add(out, t.data + plain, at - plain);
        buf_addstr(out, "\xef\xbf\xbd");
        plain = ++at;
    }
    buf_add(out, t.data + plain, at - plain);
}

void text_mute(char *s, size_t len, bool has_lines)
{
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)s[i];

        if ((c < ' ' && !(has_lines && c == '\n')) || c == 0x7f)
            s[i] = '?';
        else if (c == 0xc2 && i + 1 < len && (s[i + 1] & 0xe0) == 0x80) /* U+0080 to U+009F */
            s[i] = s[i + 1] = '?';
    }
}

struct text text_uint_format(uint64_t n, char storage[static TEXT_UINT_SIZE])
{
    size_t at = TEXT_UINT_SIZE;

    do {
        storage[--at] = (char)('0' + n % 10);
        n /= 10;
    } while (n);
    return (struct text){storage + at, TEXT_UINT_SIZE - at};
}

void text_uint_add(uint64_t n, struct buf *out)
{
    char storage[TEXT_UINT_SIZE];
    struct text digits = text_uint_format(n, storage);

    buf_add(out, digits.data, digits.len);
}
