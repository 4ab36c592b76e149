/* SPDX-License-Identifier: Apache-2.0 */
#include "http_answer.h"

#include <strings.h>

#include "base/err.h"

void http_answer_begin(struct http_answer *a)
{
    struct buf line = a->line;

    buf_clear(&line);
    *a = (struct http_answer){.line = line};
}

void http_answer_done(struct http_answer *a)
{
    buf_done(&a->line);
}

static ssize_t bad(struct http_answer *a, const char *mistake)
{
    a->mistake = mistake;
    return -EBADMSG;
}

/*
 * Finds the text up to and with `end`, of which a part may have come earlier. Returns how many of
 * the bytes belong to it; *ret_text is NULL while its end has not come. The text is valid until
 * the next call.
 */
static ssize_t text_take(struct http_answer *a, const char *end, const char *data, size_t len,
                         const char **ret_text, size_t *ret_len)
{
    size_t end_len = strlen(end);
    const char *found = a->line.len == 0 ? memmem(data, len, end, end_len) : NULL;

    *ret_text = NULL;
    if (found) {
        *ret_text = data;
        *ret_len = (size_t)(found - data) + end_len;
        return (ssize_t)*ret_len;
    }
    size_t had = a->line.len;
    size_t from = had >= end_len ? had - (end_len - 1) : 0;
    if (had + len > HTTP_ANSWER_HEAD_LIMIT)
        len = HTTP_ANSWER_HEAD_LIMIT - had;
    if (len == 0)
        return bad(a, "an endless head or line");
    buf_add(&a->line, data, len);
    found = memmem(a->line.data + from, a->line.len - from, end, end_len);
    if (!found)
        return (ssize_t)len;
    *ret_text = a->line.data;
    *ret_len = (size_t)(found - a->line.data) + end_len;
    a->line.len = 0; /* the bytes stay until something is added */
    return (ssize_t)(*ret_len - had);
}

/* Digits up to the end of the text, after blanks. -1 for anything else. */
static int64_t number_parse(const char *s, const char *end)
{
    int64_t n = 0;

    while (s < end && (*s == ' ' || *s == '\t'))
        s++;
    while (end > s && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    if (s == end || end - s > 18)
        return -1;
    for (; s < end; s++) {
        if (*s < '0' || *s > '9')
            return -1;
        n = n * 10 + (*s - '0');
    }
    return n;
}

static bool has_word(const char *s, const char *end, const char *word)
{
    size_t len = strlen(word);

    for (; (size_t)(end - s) >= len; s++) {
        if (strncasecmp(s, word, len) == 0)
            return true;
    }
    return false;
}

struct framing {
    int64_t length; /* -1: not said */
    bool is_chunked;
};

/* One header line, without its end. */
static int header_read(struct http_answer *a, const char *s, const char *end, struct framing *f)
{
    const char *colon = memchr(s, ':', (size_t)(end - s));

    if (!colon || colon == s || colon[-1] == ' ' || *s == ' ' || *s == '\t')
        return (int)bad(a, "a malformed header line");
    size_t name_len = (size_t)(colon - s);
    const char *value = colon + 1;
    if (name_len == 14 && strncasecmp(s, "content-length", 14) == 0) {
        if (f->length >= 0)
            return (int)bad(a, "two Content-Length lines");
        f->length = number_parse(value, end);
        if (f->length < 0)
            return (int)bad(a, "a malformed Content-Length");
    } else if (name_len == 17 && strncasecmp(s, "transfer-encoding", 17) == 0) {
        f->is_chunked = has_word(value, end, "chunked");
        if (!f->is_chunked)
            return (int)bad(a, "an unknown Transfer-Encoding");
    } else if (name_len == 10 && strncasecmp(s, "connection", 10) == 0) {
        a->is_last = a->is_last || has_word(value, end, "close");
    }
    return 0;
}

/* A whole head, with the empty line at its end. */
static int head_read(struct http_answer *a, const char *s, size_t len)
{
    struct framing f = {.length = -1};
    const char *end = s + len - 2;

    if (len < 17 || memcmp(s, "HTTP/1.", 7) != 0 || s[8] != ' ' || s[12] != ' ')
        return (int)bad(a, "a malformed status line");
    a->is_last = s[7] == '0';
    a->status = (int)number_parse(s + 9, s + 12);
    if (a->status < 100)
        return (int)bad(a, "a malformed status");
    const char *line = (const char *)memchr(s, '\n', len) + 1;
    while (line < end) {
        const char *line_end = memchr(line, '\n', (size_t)(end - line));
        if (!line_end || line_end[-1] != '\r')
            return (int)bad(a, "a line that does not end with CR LF");
        TRY(header_read(a, line, line_end - 1, &f));
        line = line_end + 1;
    }
    if (f.is_chunked && f.length >= 0)
        return (int)bad(a, "both Content-Length and Transfer-Encoding");
    if (a->status < 200) {
        a->state = ANSWER_HEAD;
    } else if (a->status == 204 || a->status == 304 || f.length == 0) {
        a->state = ANSWER_COMPLETE;
    } else if (f.is_chunked) {
        a->state = ANSWER_CHUNK_LINE;
    } else if (f.length > 0) {
        a->state = ANSWER_LENGTH;
        a->left = (uint64_t)f.length;
    } else {
        a->state = ANSWER_UNTIL_END;
        a->is_last = true;
    }
    return 0;
}

static int chunk_line_read(struct http_answer *a, const char *s, size_t len)
{
    uint64_t size = 0;
    size_t n = 0;

    for (; n < len && n < 16; n++) {
        int digit = s[n] >= '0' && s[n] <= '9'   ? s[n] - '0'
                    : s[n] >= 'a' && s[n] <= 'f' ? s[n] - 'a' + 10
                    : s[n] >= 'A' && s[n] <= 'F' ? s[n] - 'A' + 10
                                                 : -1;
        if (digit < 0)
            break;
        size = size << 4 | (uint64_t)digit;
    }
    if (n == 0 || (s[n] != '\r' && s[n] != ';' && s[n] != ' '))
        return (int)bad(a, "a malformed chunk size");
    a->left = size;
    a->state = size == 0 ? ANSWER_TRAILER : ANSWER_CHUNK;
    return 0;
}

/* Whatever consists of text: heads, the lines of chunks and the trailer. */
static ssize_t text_read(struct http_answer *a, const char *data, size_t len)
{
    const char *text;
    size_t text_len;
    ssize_t used =
        text_take(a, a->state == ANSWER_HEAD ? "\r\n\r\n" : "\r\n", data, len, &text, &text_len);
    int r = 0;

    if (used < 0 || !text)
        return used;
    if (a->state == ANSWER_HEAD) {
        r = head_read(a, text, text_len);
    } else if (a->state == ANSWER_CHUNK_LINE) {
        r = chunk_line_read(a, text, text_len);
    } else if (a->state == ANSWER_CHUNK_END) {
        if (text_len != 2)
            return bad(a, "a chunk that does not end where it says");
        a->state = ANSWER_CHUNK_LINE;
    } else if (text_len == 2) {
        a->state = ANSWER_COMPLETE;
    }
    return r < 0 ? r : used;
}

static size_t body_read(struct http_answer *a, const struct http_expected *expected,
                        const char *data, size_t len)
{
    if (a->state != ANSWER_UNTIL_END && len > a->left)
        len = (size_t)a->left;
    if (expected->body && (a->body_bytes + len > expected->len ||
                           memcmp(expected->body + a->body_bytes, data, len) != 0)) {
        a->is_body_wrong = true;
    }
    a->body_bytes += len;
    if (a->state == ANSWER_UNTIL_END)
        return len;
    a->left -= len;
    if (a->left == 0)
        a->state = a->state == ANSWER_CHUNK ? ANSWER_CHUNK_END : ANSWER_COMPLETE;
    return len;
}

static void body_check(struct http_answer *a, const struct http_expected *expected)
{
    if (expected->body && a->body_bytes != expected->len)
        a->is_body_wrong = true;
}

ssize_t http_answer_take(struct http_answer *a, const struct http_expected *expected,
                         const char *data, size_t len)
{
    size_t used = 0;

    while (used < len && a->state != ANSWER_COMPLETE) {
        bool is_body =
            a->state == ANSWER_LENGTH || a->state == ANSWER_CHUNK || a->state == ANSWER_UNTIL_END;
        ssize_t n = is_body ? (ssize_t)body_read(a, expected, data + used, len - used)
                            : text_read(a, data + used, len - used);
        if (n < 0)
            return n;
        used += (size_t)n;
    }
    if (a->state == ANSWER_COMPLETE)
        body_check(a, expected);
    return (ssize_t)used;
}

bool http_answer_end(struct http_answer *a, const struct http_expected *expected)
{
    if (a->state != ANSWER_UNTIL_END)
        return false;
    a->state = ANSWER_COMPLETE;
    body_check(a, expected);
    return true;
}
