/* SPDX-License-Identifier: Apache-2.0 */
#include "base/strv.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/buf.h"

void strv_add_owned(struct strv *s, char *text)
{
    /* Capacity is the next power of two above n + 1, so it needs no field of its own. */
    size_t used = s->n + 1;

    if (!s->v || !(used & (used - 1)))
        s->v = xrealloc(s->v, s->v ? used * 2 : 4, sizeof(char *));
    s->v[s->n++] = text;
    s->v[s->n] = NULL;
}

void strv_add(struct strv *s, const char *text)
{
    strv_add_owned(s, xstrdup(text));
}

void strv_addn(struct strv *s, const char *text, size_t len)
{
    strv_add_owned(s, xstrndup(text, len));
}

void strv_addf(struct strv *s, const char *fmt, ...)
{
    struct buf b = BUF_INIT;
    va_list ap;

    va_start(ap, fmt);
    buf_vaddf(&b, fmt, ap);
    va_end(ap);
    strv_add_owned(s, buf_take(&b));
}

void strv_addv(struct strv *s, char *const *v)
{
    for (; v && *v; v++)
        strv_add(s, *v);
}

struct strv strv_take(struct strv *s)
{
    struct strv taken = *s;

    *s = STRV_INIT;
    return taken;
}

const char *const *strv_array(const struct strv *s)
{
    static const char *const none[] = {NULL};

    return s->v ? (const char *const *)s->v : none;
}

char **strv_variable_find(const struct strv *s, const char *text)
{
    size_t len = strcspn(text, "=") + 1;

    for (size_t i = 0; i < s->n; i++)
        if (!strncmp(s->v[i], text, len))
            return &s->v[i];
    return NULL;
}

void strv_variable_put(struct strv *s, char *text)
{
    char **there = strv_variable_find(s, text);

    if (!there) {
        strv_add_owned(s, text);
        return;
    }
    free(*there);
    *there = text;
}

bool strv_contains(const struct strv *s, const char *text)
{
    for (size_t i = 0; i < s->n; i++)
        if (str_eq(s->v[i], text))
            return true;
    return false;
}

void strv_done(struct strv *s)
{
    for (size_t i = 0; i < s->n; i++)
        free(s->v[i]);
    free(s->v);
    *s = STRV_INIT;
}
