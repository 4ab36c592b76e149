/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/stdio/stdio_uri.h"

#include <limits.h>

#include "base/buf.h"
#include "base/text.h"

#define VARIABLE_PREFIX "env."

static int bad(const char *text, const char *why, struct err *e)
{
    return err_set(e, -EINVAL, "BadStdio",
                   "'%.200s' %s; a stream is the absolute path of a FIFO, file:///PATH or "
                   "binary:///PATH?KEY=VALUE",
                   text, why);
}

/* Appends `len` bytes without their percent signs; false for a bad escape, and for a NUL. */
static bool decode(const char *text, size_t len, bool is_query, struct buf *out)
{
    for (size_t i = 0; i < len; i++) {
        if (text[i] != '%') {
            buf_addc(out, is_query && text[i] == '+' ? ' ' : text[i]);
            continue;
        }
        int high = i + 1 < len ? text_hex_digit(text[i + 1]) : -1;
        int low = i + 2 < len ? text_hex_digit(text[i + 2]) : -1;
        if (high < 0 || low < 0 || !(high | low))
            return false;
        buf_addc(out, (char)(high << 4 | low));
        i += 2;
    }
    return true;
}

static bool is_of_ours(const char *name)
{
    return str_eq(name, "CONTAINER_ID") || str_eq(name, "CONTAINER_NAMESPACE");
}

/* One KEY=VALUE or KEY of a query; `keys` are those that were before it. */
static bool pair_add(const char *pair, size_t len, struct strv *keys, struct stdio_uri *u)
{
    const char *equals = memchr(pair, '=', len);
    size_t key_len = equals ? (size_t)(equals - pair) : len;
    autobuf key = BUF_INIT, value = BUF_INIT;
    if (!decode(pair, key_len, true, &key) ||
        (equals && !decode(equals + 1, len - key_len - 1, true, &value)))
        return false;
    if (strv_contains(keys, buf_str(&key)))
        return true;
    strv_add(keys, buf_str(&key));
    if (!str_starts(buf_str(&key), VARIABLE_PREFIX)) {
        strv_add(&u->args, buf_str(&key));
        strv_add(&u->args, buf_str(&value));
        return true;
    }
    const char *name = buf_str(&key) + strlen(VARIABLE_PREFIX);
    if (!*name || strchr(name, '='))
        return false;
    if (!is_of_ours(name))
        strv_addf(&u->env, "%s=%s", name, buf_str(&value));
    return true;
}

static bool query_parse(const char *query, struct stdio_uri *u)
{
    autostrv keys = STRV_INIT;
    while (*query) {
        size_t len = strcspn(query, "&");
        if (len && !pair_add(query, len, &keys, u))
            return false;
        query += len + (query[len] == '&');
    }
    return true;
}

/* What follows "scheme://". */
static int rest_parse(const char *text, const char *rest, struct stdio_uri *u, struct err *e)
{
    bool is_logger = u->kind == STDIO_LOGGER;
    size_t len = strcspn(rest, "?#");
    autobuf path = BUF_INIT;
    if (*rest != '/')
        return bad(text, "has no absolute path", e);
    if (rest[len] && (!is_logger || strchr(rest, '#')))
        return bad(text, "has a query or a fragment that means nothing here", e);
    if (!decode(rest, len, false, &path) || (rest[len] && !query_parse(rest + len + 1, u)))
        return bad(text, "is not encoded well", e);
    u->path = buf_take(&path);
    return 0;
}

static int parse(const char *text, struct stdio_uri *u, struct err *e)
{
    static const struct {
        const char *prefix;
        enum stdio_kind kind;
    } schemes[] = {
        {"fifo://",   STDIO_FIFO  },
        {"file://",   STDIO_FILE  },
        {"binary://", STDIO_LOGGER}
    };

    if (*text == '/') {
        u->kind = STDIO_FIFO;
        u->path = xstrdup(text);
        return 0;
    }
    for (size_t i = 0; i < ARRAY_SIZE(schemes); i++) {
        if (str_starts(text, schemes[i].prefix)) {
            u->kind = schemes[i].kind;
            return rest_parse(text, text + strlen(schemes[i].prefix), u, e);
        }
    }
    if (str_starts(text, "streaming+"))
        return bad(text, "asks for containerd's streaming, which this shim does not speak", e);
    return bad(text, "has no form that is known", e);
}

int stdio_uri_parse(const char *text, struct stdio_uri *ret, struct err *e)
{
    struct stdio_uri u = {.kind = STDIO_NULL};
    if (!text || !*text) {
        *ret = u;
        return 0;
    }
    if (strlen(text) > STDIO_URI_LIMIT_BYTES)
        return bad(text, "is too long", e);
    int r = parse(text, &u, e);
    if (r >= 0 && strlen(u.path) >= PATH_MAX)
        r = bad(text, "has a path that is too long", e);
    if (r < 0) {
        stdio_uri_done(&u);
        return r;
    }
    *ret = u;
    return 0;
}

void stdio_uri_done(struct stdio_uri *u)
{
    free(take_ptr(u->path));
    strv_done(&u->args);
    strv_done(&u->env);
}
