/* SPDX-License-Identifier: Apache-2.0 */
#include "pod/runtime/last_words.h"

/* TIME STREAM FLAG TEXT; false when it is none. */
static bool line_parse(const char *line, size_t len, const char **ret_text, size_t *ret_len,
                       bool *ret_is_partial)
{
    const char *end = line + len, *at = line;

    for (int i = 0; i < 3; i++) {
        const char *blank = memchr(at, ' ', (size_t)(end - at));

        if (!blank)
            return false;
        if (i == 2) {
            if (blank - at != 1 || (*at != 'F' && *at != 'P'))
                return false;
            *ret_is_partial = *at == 'P';
        }
        at = blank + 1;
    }
    *ret_text = at;
    *ret_len = (size_t)(end - at);
    return true;
}

/* Keeps the last lines. */
static void lines_cut(struct buf *out)
{
    size_t n = 0, from = 0;

    for (size_t i = out->len; i-- > 0;)
        if (out->data[i] == '\n' && ++n > LOG_TAIL_LINES) {
            from = i + 1;
            break;
        }
    if (out->len - from > LOG_TAIL_BYTES)
        from = out->len - LOG_TAIL_BYTES;
    /* Not within a character. */
    while (from && from < out->len && ((unsigned char)out->data[from] & 0xc0) == 0x80)
        from++;
    buf_consume(out, from);
}

void log_tail_text(const char *log, size_t len, bool is_cut, struct buf *out)
{
    const char *end = log + len;
    autobuf text = BUF_INIT;

    while (log < end) {
        const char *newline = memchr(log, '\n', (size_t)(end - log));
        const char *line;
        size_t line_len;
        bool is_partial;

        if (!newline)
            break;
        if (!is_cut && line_parse(log, (size_t)(newline - log), &line, &line_len, &is_partial)) {
            buf_add(&text, line, line_len);
            if (!is_partial)
                buf_addc(&text, '\n');
        }
        is_cut = false;
        log = newline + 1;
    }
    lines_cut(&text);
    buf_add(out, buf_str(&text), text.len);
}
