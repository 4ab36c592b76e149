/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "base/json.h"

void json_writer_init(struct json_writer *w, struct buf *out, bool is_pretty)
{
    *w = (struct json_writer){.out = out, .is_pretty = is_pretty};
}

static void newline(struct json_writer *w)
{
    if (!w->is_pretty)
        return;
    buf_addc(w->out, '\n');
    for (int i = 0; i < w->depth; i++)
        buf_addstr(w->out, "  ");
}

/* What goes before a value or key: a comma when something is there already. */
static void item_begin(struct json_writer *w)
{
    if (w->has_key) {
        w->has_key = false;
        return;
    }
    if (!w->depth)
        return;
    if (w->has_items[w->depth - 1])
        buf_addc(w->out, ',');
    w->has_items[w->depth - 1] = true;
    newline(w);
}

static void value_begin(struct json_writer *w)
{
    BUG_ON(w->depth && w->is_object[w->depth - 1] && !w->has_key);
    item_begin(w);
}

static void level_begin(struct json_writer *w, bool is_object)
{
    value_begin(w);
    BUG_ON(w->depth == JSON_WRITER_DEPTH);
    buf_addc(w->out, is_object ? '{' : '[');
    w->is_object[w->depth] = is_object;
    w->has_items[w->depth] = false;
    w->depth++;
}

static void level_end(struct json_writer *w, bool is_object)
{
    BUG_ON(!w->depth || w->is_object[w->depth - 1] != is_object || w->has_key);
    w->depth--;
    if (w->has_items[w->depth])
        newline(w);
    buf_addc(w->out, is_object ? '}' : ']');
}

void json_begin_object(struct json_writer *w)
{
    level_begin(w, true);
}

void json_end_object(struct json_writer *w)
{
    level_end(w, true);
}

void json_begin_array(struct json_writer *w)
{
    level_begin(w, false);
}

void json_end_array(struct json_writer *w)
{
    level_end(w, false);
}

/* Length of the well-formed sequence at `s`, 0 when it is not one (Unicode 15, table 3-7). */
static size_t utf8_sequence(const unsigned char *s, size_t len)
{
    unsigned char low = 0x80, high = 0xbf;
    size_t n;

    if (s[0] < 0x80)
        return 1;
    if (s[0] < 0xc2 || s[0] > 0xf4)
        return 0;
    n = s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
    if (len < n)
        return 0;
    if (s[0] == 0xe0)
        low = 0xa0;
    else if (s[0] == 0xed)
        high = 0x9f;
    else if (s[0] == 0xf0)
        low = 0x90;
    else if (s[0] == 0xf4)
        high = 0x8f;
    if (s[1] < low || s[1] > high)
        return 0;
    for (size_t i = 2; i < n; i++)
        if (s[i] < 0x80 || s[i] > 0xbf)
            return 0;
    return n;
}

bool utf8_is_valid(const char *s, size_t len)
{
    while (len) {
        size_t n = utf8_sequence((const unsigned char *)s, len);

        if (!n)
            return false;
        s += n;
        len -= n;
    }
    return true;
}

/* Without an early end, so that it is done many bytes at a time. */
static bool is_plain(const char *s, size_t len)
{
    bool is_other = false;

    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)s[i];

        is_other |= c < 0x20 || c > 0x7e || c == '"' || c == '\\';
    }
    return !is_other;
}

/* Nearly all keys and values. */
static void plain_add(struct buf *out, const char *s, size_t len)
{
    char *at = buf_reserve(out, len + 2);

    at[0] = '"';
    memcpy(at + 1, s, len);
    at[len + 1] = '"';
    out->len += len + 2;
    buf_terminate(out);
}

static void quoted_add(struct json_writer *w, const char *s, size_t len)
{
    static const char named[] = "\"\\\b\f\n\r\t", letters[] = "\"\\bfnrt";
    size_t plain = 0;

    if (is_plain(s, len)) {
        plain_add(w->out, s, len);
        return;
    }
    if (!utf8_is_valid(s, len)) {
        w->is_bad = true;
        len = 0;
    }
    buf_addc(w->out, '"');
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)s[i];
        const char *known;

        if (c >= 0x20 && c != '"' && c != '\\' && c != 0x7f)
            continue;
        buf_add(w->out, s + plain, i - plain);
        plain = i + 1;
        known = c ? strchr(named, c) : NULL;
        if (known)
            buf_addf(w->out, "\\%c", letters[known - named]);
        else
            buf_addf(w->out, "\\u%04x", c);
    }
    buf_add(w->out, s + plain, len - plain);
    buf_addc(w->out, '"');
}

void json_key(struct json_writer *w, const char *key)
{
    BUG_ON(!w->depth || !w->is_object[w->depth - 1] || w->has_key);
    item_begin(w);
    quoted_add(w, key, strlen(key));
    buf_addstr(w->out, w->is_pretty ? ": " : ":");
    w->has_key = true;
}

void json_strn(struct json_writer *w, const char *s, size_t len)
{
    value_begin(w);
    quoted_add(w, s, len);
}

void json_str(struct json_writer *w, const char *s)
{
    if (s)
        json_strn(w, s, strlen(s));
    else
        json_null_value(w);
}

void json_int(struct json_writer *w, int64_t value)
{
    value_begin(w);
    buf_addf(w->out, "%" PRId64, value);
}

void json_uint(struct json_writer *w, uint64_t value)
{
    value_begin(w);
    buf_addf(w->out, "%" PRIu64, value);
}

void json_double(struct json_writer *w, double value)
{
    BUG_ON(!isfinite(value));
    value_begin(w);
    buf_addf(w->out, "%.15g", value);
}

void json_bool(struct json_writer *w, bool value)
{
    value_begin(w);
    buf_addstr(w->out, value ? "true" : "false");
}

void json_null_value(struct json_writer *w)
{
    value_begin(w);
    buf_addstr(w->out, "null");
}

void json_strings(struct json_writer *w, const struct strv *s)
{
    json_begin_array(w);
    for (size_t i = 0; i < s->n; i++)
        json_str(w, s->v[i]);
    json_end_array(w);
}

void json_raw(struct json_writer *w, const char *json, size_t len)
{
    value_begin(w);
    buf_add(w->out, json, len);
}

int json_writer_finish(struct json_writer *w, struct err *e)
{
    BUG_ON(w->depth || w->has_key);
    if (w->is_pretty)
        buf_addc(w->out, '\n');
    if (w->is_bad)
        return err_set(e, -EILSEQ, "BadText", "a name or value is not UTF-8 text");
    return 0;
}

void json_key_str(struct json_writer *w, const char *key, const char *value)
{
    json_key(w, key);
    json_str(w, value);
}

void json_key_int(struct json_writer *w, const char *key, int64_t value)
{
    json_key(w, key);
    json_int(w, value);
}

void json_key_uint(struct json_writer *w, const char *key, uint64_t value)
{
    json_key(w, key);
    json_uint(w, value);
}

void json_key_bool(struct json_writer *w, const char *key, bool value)
{
    json_key(w, key);
    json_bool(w, value);
}

void json_key_strings(struct json_writer *w, const char *key, const struct strv *value)
{
    json_key(w, key);
    json_strings(w, value);
}
