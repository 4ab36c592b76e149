/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/http_target.h"

#include <strings.h>

#include "base/text.h"

/* NULL when it has a bad escape or a NUL. */
static const char *decode(const char *text, size_t len, bool is_query, struct arena *a)
{
    char *out = arena_alloc(a, len + 1), *at = out;

    for (size_t i = 0; i < len; i++) {
        int high, low;

        if (text[i] != '%') {
            *at++ = is_query && text[i] == '+' ? ' ' : text[i];
            continue;
        }
        high = i + 1 < len ? text_hex_digit(text[i + 1]) : -1;
        low = i + 2 < len ? text_hex_digit(text[i + 2]) : -1;
        if (high < 0 || low < 0 || !(high | low))
            return NULL;
        *at++ = (char)(high << 4 | low);
        i += 2;
    }
    return out;
}

static int query_parse(const char *text, struct arena *a, struct http_target *t)
{
    size_t n = 1;

    for (const char *p = text; *p; p++)
        n += *p == '&';
    t->query = arena_array(a, n, sizeof(*t->query));
    while (*text) {
        size_t len = strcspn(text, "&"), key_len = strcspn(text, "&=");
        size_t value_at = key_len < len ? key_len + 1 : len;
        struct http_query_pair *pair = &t->query[t->n_query];

        if (len) {
            pair->key = decode(text, key_len, true, a);
            pair->value = decode(text + value_at, len - value_at, true, a);
            if (!pair->key || !pair->value)
                return -EINVAL;
            t->n_query++;
        }
        text += len + (text[len] == '&');
    }
    return 0;
}

/* Where the path begins in a target that is a whole URL, as a proxy would get it. */
static const char *skip_authority(const char *text)
{
    static const char scheme[] = "http://";

    if (strncasecmp(text, scheme, sizeof(scheme) - 1) != 0)
        return text;
    text += sizeof(scheme) - 1;
    return text + strcspn(text, "/?");
}

int http_target_parse(const char *text, struct arena *a, struct http_target *ret, struct err *e)
{
    struct http_target t = {0};
    const char *start = skip_authority(text);
    size_t len = strcspn(start, "?");

    if (start != text && !len)
        t.path = "/";
    else if (*start == '/' || str_eq(start, "*"))
        t.path = decode(start, len, false, a);
    if (!t.path || (start[len] && query_parse(start + len + 1, a, &t) < 0))
        return err_set(e, -EINVAL, "BadTarget",
                       "the target '%.200s' of a request is no path, or has a bad escape or a NUL",
                       text);
    *ret = t;
    return 0;
}
