/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/pods/table.h"

#include <stdarg.h>

#include "base/err.h"
#include "base/text.h"

#define GAP 3

void table_add(struct table *t, const char *cell)
{
    char *text = xstrdup(cell ? cell : "");

    text_mute(text, strlen(text), false);
    strv_add_owned(&t->cells, text);
}

void table_addf(struct table *t, const char *fmt, ...)
{
    autobuf text = BUF_INIT;
    va_list ap;

    va_start(ap, fmt);
    buf_vaddf(&text, fmt, ap);
    va_end(ap);
    table_add(t, buf_str(&text));
}

/* In characters: bytes that begin one of UTF-8. */
static size_t width(const char *s)
{
    size_t n = 0;

    for (; *s; s++)
        n += ((unsigned char)*s & 0xc0) != 0x80;
    return n;
}

void table_print(struct table *t, struct buf *out)
{
    BUG_ON(!t->n_columns || t->n_columns > TABLE_COLUMNS || t->cells.n % t->n_columns);
    for (size_t i = 0; i < t->cells.n; i++) {
        size_t w = width(t->cells.v[i]), *widest = &t->widths[i % t->n_columns];

        if (w > *widest)
            *widest = w;
    }
    for (size_t i = 0; i < t->cells.n; i++) {
        size_t column = i % t->n_columns;
        bool is_last = column + 1 == t->n_columns;

        buf_addstr(out, t->cells.v[i]);
        if (is_last)
            buf_addc(out, '\n');
        for (size_t w = width(t->cells.v[i]); !is_last && w < t->widths[column] + GAP; w++)
            buf_addc(out, ' ');
    }
    strv_done(&t->cells);
    t->cells = STRV_INIT;
}

void table_done(struct table *t)
{
    strv_done(&t->cells);
}
