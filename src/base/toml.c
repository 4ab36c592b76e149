/* SPDX-License-Identifier: Apache-2.0 */
#include "base/toml.h"

#include <ctype.h>

#include "base/buf.h"
#include "base/json.h"

/* Who made a table or an array, which decides who may add to it. */
enum origin {
    ORIGIN_INLINE, /* { } and [ ]: nobody */
    ORIGIN_PATH,   /* a header below it: a header may still define it */
    ORIGIN_DOTTED, /* a dotted key: other dotted keys of the same table */
    ORIGIN_HEADER, /* its own header */
};

struct reader {
    const char *s, *end;
    const char *name;
    unsigned line;
    struct err *e;
};

static int bad(const struct reader *r, const char *what)
{
    return err_set(r->e, -EINVAL, "BadToml", "%.200s:%u: %s", r->name, r->line, what);
}

static int bad_key(const struct reader *r, const char *key, const char *what)
{
    return err_set(r->e, -EINVAL, "BadToml", "%.200s:%u: '%.100s' %s", r->name, r->line, key, what);
}

/* ---- The tree ---- */

void toml_done(struct toml *t)
{
    for (size_t i = 0; i < t->n; i++)
        toml_done(&t->items[i]);
    free(t->items);
    free(t->string);
    free(t->key);
    *t = (struct toml){0};
}

static struct toml *find(const struct toml *table, const char *key)
{
    for (size_t i = 0; i < table->n; i++)
        if (str_eq(table->items[i].key, key))
            return &table->items[i];
    return NULL;
}

const struct toml *toml_find(const struct toml *table, const char *key)
{
    return find(table, key);
}

/* Takes *item in any case; *ret is its place, until the next one comes. */
static int add(const struct reader *r, struct toml *to, struct toml *item, struct toml **ret)
{
    if (to->n == TOML_ITEMS_LIMIT) {
        toml_done(item);
        return bad(r, "more than 10000 entries");
    }
    /* Room for twice as many whenever a power of two is full. */
    if (!(to->n & (to->n - 1)))
        to->items = xrealloc(to->items, to->n ? 2 * to->n : 1, sizeof(*to->items));
    to->items[to->n] = *item;
    *ret = &to->items[to->n++];
    return 0;
}

static int add_new(const struct reader *r, struct toml *to, enum toml_type type, enum origin origin,
                   const char *key, struct toml **ret)
{
    struct toml item = {.type = type, .line = r->line, .origin = (int)origin};

    item.key = key ? xstrdup(key) : NULL;
    return add(r, to, &item, ret);
}

/* ---- White space ---- */

static bool at(const struct reader *r, const char *what)
{
    size_t len = strlen(what);

    return (size_t)(r->end - r->s) >= len && !memcmp(r->s, what, len);
}

static bool take(struct reader *r, const char *what)
{
    if (!at(r, what))
        return false;
    r->s += strlen(what);
    return true;
}

static void skip_blanks(struct reader *r)
{
    while (r->s < r->end && (*r->s == ' ' || *r->s == '\t'))
        r->s++;
}

static bool take_newline(struct reader *r)
{
    if (!take(r, "\n") && !take(r, "\r\n"))
        return false;
    r->line++;
    return true;
}

/* No newline, and nothing that may not stand in a text. */
static bool is_text(char c)
{
    return ((unsigned char)c >= 0x20 && c != 0x7f) || c == '\t';
}

static bool is_line_end(const struct reader *r)
{
    return r->s == r->end || at(r, "\n") || at(r, "\r\n");
}

static int skip_comment(struct reader *r)
{
    if (!take(r, "#"))
        return 0;
    while (r->s < r->end && is_text(*r->s))
        r->s++;
    return is_line_end(r) ? 0 : bad(r, "a control character in a comment");
}

/* To the next thing, whatever the line. */
static int skip_lines(struct reader *r)
{
    do {
        skip_blanks(r);
        TRY(skip_comment(r));
    } while (take_newline(r));
    return 0;
}

static int line_end(struct reader *r)
{
    skip_blanks(r);
    TRY(skip_comment(r));
    if (r->s < r->end && !take_newline(r))
        return bad(r, "something follows on the same line that does not belong there");
    return 0;
}

/* ---- Strings and keys ---- */

static void utf8_add(unsigned long c, struct buf *out)
{
    if (c < 0x80) {
        buf_addc(out, (char)c);
        return;
    }
    if (c < 0x800) {
        buf_addc(out, (char)(0xc0 | c >> 6));
    } else {
        if (c < 0x10000) {
            buf_addc(out, (char)(0xe0 | c >> 12));
        } else {
            buf_addc(out, (char)(0xf0 | c >> 18));
            buf_addc(out, (char)(0x80 | (c >> 12 & 0x3f)));
        }
        buf_addc(out, (char)(0x80 | (c >> 6 & 0x3f)));
    }
    buf_addc(out, (char)(0x80 | (c & 0x3f)));
}

/* What follows \u or \U. */
static int code_point_read(struct reader *r, size_t digits, struct buf *out)
{
    char text[9] = "";
    unsigned long c;

    for (size_t i = 0; i < digits; i++) {
        if (r->s == r->end || !isxdigit((unsigned char)*r->s))
            return bad(r, "\\u needs four hexadecimal digits, and \\U eight");
        text[i] = *r->s++;
    }
    c = strtoul(text, NULL, 16);
    if (!c || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
        return bad(r, "an escape for a character that a text cannot have");
    utf8_add(c, out);
    return 0;
}

static int escape_read(struct reader *r, struct buf *out)
{
    static const char names[] = "btnfr\"\\", values[] = "\b\t\n\f\r\"\\";
    const char *name;

    if (take(r, "u"))
        return code_point_read(r, 4, out);
    if (take(r, "U"))
        return code_point_read(r, 8, out);
    name = r->s < r->end && *r->s ? strchr(names, *r->s) : NULL;
    if (!name)
        return bad(r, "an unknown escape (a backslash is written \\\\, or the string in '')");
    buf_addc(out, values[name - names]);
    r->s++;
    return 0;
}

/* "..." with escapes, or '...' without; at its first quote. */
static int string_read(struct reader *r, char **ret)
{
    char quote = *r->s++;
    bool has_escapes = quote == '"';
    autobuf text = BUF_INIT;

    if (r->end - r->s >= 2 && r->s[0] == quote && r->s[1] == quote)
        return bad(r, "a string of several lines, which is not read here");
    for (;;) {
        const char *begin = r->s;

        while (r->s < r->end && is_text(*r->s) && *r->s != quote && !(has_escapes && *r->s == '\\'))
            r->s++;
        buf_add(&text, begin, (size_t)(r->s - begin));
        if (is_line_end(r))
            return bad(r, "a string without its closing quote");
        if (!is_text(*r->s))
            return bad(r, "a control character in a string");
        if (*r->s++ == quote)
            break;
        TRY(escape_read(r, &text));
    }
    *ret = buf_take(&text);
    return 0;
}

static bool is_bare(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-';
}

/* One part of a dotted key. */
static int key_read(struct reader *r, char **ret)
{
    const char *begin = r->s;

    if (at(r, "\"") || at(r, "'"))
        return string_read(r, ret);
    while (r->s < r->end && is_bare(*r->s))
        r->s++;
    if (r->s == begin)
        return bad(r, "here a key is expected: letters, digits, '_' and '-', or in quotes");
    *ret = xstrndup(begin, (size_t)(r->s - begin));
    return 0;
}

/* ---- Values ---- */

static int value_read(struct reader *r, unsigned depth, struct toml *ret);
static int pair_read(struct reader *r, struct toml *table, unsigned depth);

/* At its '['. */
static int array_read(struct reader *r, unsigned depth, struct toml *ret)
{
    r->s++;
    for (;;) {
        struct toml item = {0}, *place;

        TRY(skip_lines(r));
        if (take(r, "]"))
            return 0;
        TRY(value_read(r, depth + 1, &item));
        TRY(add(r, ret, &item, &place));
        TRY(skip_lines(r));
        if (take(r, "]"))
            return 0;
        if (!take(r, ","))
            return bad(r, "in an array ',' or ']' is expected");
    }
}

/* At its '{'. */
static int inline_table_read(struct reader *r, unsigned depth, struct toml *ret)
{
    r->s++;
    skip_blanks(r);
    if (take(r, "}"))
        return 0;
    for (;;) {
        skip_blanks(r);
        TRY(pair_read(r, ret, depth + 1));
        skip_blanks(r);
        if (take(r, "}"))
            return 0;
        if (!take(r, ","))
            return bad(r, "in an inline table ',' or '}' is expected, on the same line");
    }
}

static int fixed_read(struct reader *r, struct toml *ret)
{
    ret->type = TOML_BOOL;
    ret->is_true = at(r, "true");
    if ((take(r, "true") || take(r, "false")) &&
        (r->s == r->end || !(is_bare(*r->s) || *r->s == '.')))
        return 0;
    return bad(r, "the value is neither a string in quotes, true, false, a whole number, an array "
                  "nor a table");
}

/* Up to 18 digits, which a 64-bit number holds whatever they are. */
static int integer_read(struct reader *r, struct toml *ret)
{
    char digits[20];
    size_t n = 0, first;

    if (!take(r, "+") && take(r, "-"))
        digits[n++] = '-';
    for (first = n; r->s < r->end && (isdigit((unsigned char)*r->s) || *r->s == '_'); r->s++) {
        if (*r->s != '_') {
            if (n - first == 18)
                return bad(r, "a number of more than 18 digits");
            digits[n++] = *r->s;
        } else if (n == first || r->s + 1 == r->end || !isdigit((unsigned char)r->s[1])) {
            return bad(r, "in a number '_' is only allowed between digits");
        }
    }
    if (n == first || (r->s < r->end && (is_bare(*r->s) || strchr(".+:", *r->s))))
        return bad(r, "of numbers only whole decimal ones are read here, and no dates");
    if (digits[first] == '0' && n - first > 1)
        return bad(r, "a number must not begin with 0");
    ret->type = TOML_INTEGER;
    ret->string = xstrndup(digits, n);
    return 0;
}

/* On failure *ret holds nothing. */
static int value_read(struct reader *r, unsigned depth, struct toml *ret)
{
    struct toml value = {.line = r->line, .origin = ORIGIN_INLINE};
    int result;

    if (depth > TOML_DEPTH_LIMIT)
        return bad(r, "arrays and tables within each other are too deep");
    if (at(r, "\"") || at(r, "'")) {
        value.type = TOML_STRING;
        result = string_read(r, &value.string);
    } else if (at(r, "[")) {
        value.type = TOML_ARRAY;
        result = array_read(r, depth, &value);
    } else if (at(r, "{")) {
        value.type = TOML_TABLE;
        result = inline_table_read(r, depth, &value);
    } else if (r->s < r->end && (isdigit((unsigned char)*r->s) || *r->s == '-' || *r->s == '+')) {
        result = integer_read(r, &value);
    } else {
        result = fixed_read(r, &value);
    }
    if (result < 0) {
        toml_done(&value);
        return result;
    }
    *ret = value;
    return 0;
}

/* ---- key = value ---- */

/* The table that a part of a dotted key leads to, before the last one. */
static int dotted_step(struct reader *r, struct toml **table, const char *key)
{
    struct toml *next = find(*table, key);

    if (!next)
        return add_new(r, *table, TOML_TABLE, ORIGIN_DOTTED, key, table);
    if (next->type != TOML_TABLE || next->origin != ORIGIN_DOTTED)
        return bad_key(r, key, "is there already, and is closed");
    *table = next;
    return 0;
}

static int pair_read(struct reader *r, struct toml *table, unsigned depth)
{
    autofree char *key = NULL;
    struct toml value = {0}, *place;

    TRY(key_read(r, &key));
    skip_blanks(r);
    while (take(r, ".")) {
        if (++depth > TOML_DEPTH_LIMIT)
            return bad(r, "a key with too many parts");
        TRY(dotted_step(r, &table, key));
        free(take_ptr(key));
        skip_blanks(r);
        TRY(key_read(r, &key));
        skip_blanks(r);
    }
    if (!take(r, "="))
        return bad_key(r, key, "is followed by no '='");
    if (find(table, key))
        return bad_key(r, key, "is there twice");
    skip_blanks(r);
    TRY(value_read(r, depth, &value));
    value.key = take_ptr(key);
    return add(r, table, &value, &place);
}

/* ---- [header] and [[header]] ---- */

static int header_step(struct reader *r, struct toml **table, const char *key)
{
    struct toml *next = find(*table, key);

    if (!next)
        return add_new(r, *table, TOML_TABLE, ORIGIN_PATH, key, table);
    if (next->type == TOML_ARRAY && next->origin == ORIGIN_HEADER)
        next = &next->items[next->n - 1];
    if (next->type != TOML_TABLE || next->origin == ORIGIN_INLINE)
        return bad_key(r, key, "is there already, and is no table to add to");
    *table = next;
    return 0;
}

static int table_begin(struct reader *r, struct toml **table, const char *key)
{
    struct toml *there = find(*table, key);

    if (!there)
        return add_new(r, *table, TOML_TABLE, ORIGIN_HEADER, key, table);
    if (there->type != TOML_TABLE || there->origin != ORIGIN_PATH)
        return bad_key(r, key, "is there already");
    there->origin = ORIGIN_HEADER;
    there->line = r->line;
    *table = there;
    return 0;
}

static int array_table_begin(struct reader *r, struct toml **table, const char *key)
{
    struct toml *there = find(*table, key);

    if (!there)
        TRY(add_new(r, *table, TOML_ARRAY, ORIGIN_HEADER, key, &there));
    else if (there->type != TOML_ARRAY || there->origin != ORIGIN_HEADER)
        return bad_key(r, key, "is there already, and is no array of tables");
    return add_new(r, there, TOML_TABLE, ORIGIN_HEADER, NULL, table);
}

/* At its '['; *table is where the pairs that follow belong. */
static int header_read(struct reader *r, struct toml **table)
{
    bool is_array = at(r, "[[");
    autofree char *key = NULL;

    r->s += is_array ? 2 : 1;
    skip_blanks(r);
    TRY(key_read(r, &key));
    skip_blanks(r);
    for (unsigned depth = 0; take(r, "."); depth++) {
        if (depth == TOML_DEPTH_LIMIT)
            return bad(r, "a header with too many parts");
        TRY(header_step(r, table, key));
        free(take_ptr(key));
        skip_blanks(r);
        TRY(key_read(r, &key));
        skip_blanks(r);
    }
    if (!take(r, is_array ? "]]" : "]"))
        return bad(r,
                   is_array ? "a header that ends without ']]'" : "a header that ends without ']'");
    return is_array ? array_table_begin(r, table, key) : table_begin(r, table, key);
}

static int document_read(struct reader *r, struct toml *document)
{
    struct toml *table = document;

    for (;;) {
        TRY(skip_lines(r));
        if (r->s == r->end)
            return 0;
        if (at(r, "[")) {
            table = document;
            TRY(header_read(r, &table));
        } else {
            TRY(pair_read(r, table, 0));
        }
        TRY(line_end(r));
    }
}

int toml_parse(struct text text, const char *name, struct toml *ret, struct err *e)
{
    const char *begin = text.data ? text.data : "";
    struct reader r = {.s = begin, .end = begin + text.len, .name = name, .line = 1, .e = e};
    struct toml document = {.type = TOML_TABLE, .line = 1, .origin = ORIGIN_HEADER};

    if (text.len > TOML_LIMIT_BYTES)
        return err_set(e, -EINVAL, "BadToml", "%.200s: it has more than %u bytes", name,
                       TOML_LIMIT_BYTES);
    if (!utf8_is_valid(begin, text.len) || memchr(begin, 0, text.len))
        return err_set(e, -EINVAL, "BadToml", "%.200s: it is no text in UTF-8", name);
    take(&r, "\xef\xbb\xbf");
    if (document_read(&r, &document) < 0) {
        toml_done(&document);
        return e->code;
    }
    *ret = document;
    return 0;
}
