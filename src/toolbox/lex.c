/* SPDX-License-Identifier: Apache-2.0 */
#include "toolbox/parse.h"

#include <ctype.h>
#include <stdio.h>

void parse_fail(struct parser *p, enum parse_result result, const char *fmt, ...)
{
    va_list ap;

    if (p->result != PARSE_OK)
        return;
    p->result = result;
    va_start(ap, fmt);
    vsnprintf(p->error, sizeof(p->error), fmt, ap);
    va_end(ap);
}

size_t name_length(const char *text)
{
    size_t n = 0;

    if (isdigit((unsigned char)text[0]))
        return 0;
    while (isalnum((unsigned char)text[n]) || text[n] == '_')
        n++;
    return n;
}

static int at(const struct parser *p, size_t ahead)
{
    return p->pos + ahead < p->len ? (unsigned char)p->text[p->pos + ahead] : -1;
}

static void skip_double_quoted(struct parser *p);

static void skip_single_quoted(struct parser *p)
{
    for (p->pos++; at(p, 0) != '\''; p->pos++)
        if (at(p, 0) < 0) {
            parse_fail(p, PARSE_INCOMPLETE, "unterminated quoted string");
            return;
        }
    p->pos++;
}

static void skip_backquoted(struct parser *p)
{
    for (p->pos++; at(p, 0) != '`'; p->pos++) {
        if (at(p, 0) == '\\' && at(p, 1) >= 0)
            p->pos++;
        else if (at(p, 0) < 0) {
            parse_fail(p, PARSE_INCOMPLETE, "unterminated '`'");
            return;
        }
    }
    p->pos++;
}

/* Whether "$((" starts arithmetic; then it is skipped. Otherwise it is "$(" and a subshell. */
static bool skip_arithmetic(struct parser *p)
{
    size_t start = p->pos;
    int open = 2;

    for (p->pos += 3; at(p, 0) >= 0 && p->result == PARSE_OK; p->pos++) {
        if (at(p, 0) == '(') {
            open++;
        } else if (at(p, 0) == ')') {
            if (open == 2 && at(p, 1) != ')')
                break;
            open--;
            if (open == 0) {
                p->pos++;
                return true;
            }
        } else if (at(p, 0) == '\'' || at(p, 0) == '"') {
            break;
        }
    }
    p->pos = start;
    return false;
}

static void skip_dollar(struct parser *p);

/* One character, what it escapes, or all of what it opens; single quotes open nothing in double
 * ones. */
static void skip_part(struct parser *p, int c, bool is_quoted)
{
    if (c == '\\')
        p->pos += at(p, 1) >= 0 ? 2 : 1;
    else if (c == '\'' && !is_quoted)
        skip_single_quoted(p);
    else if (c == '"')
        skip_double_quoted(p);
    else if (c == '$')
        skip_dollar(p);
    else if (c == '`')
        skip_backquoted(p);
    else
        p->pos++;
}

static void skip_braces(struct parser *p, bool is_quoted)
{
    if (!parse_enter(p))
        return;
    for (p->pos += 2; at(p, 0) != '}' && p->result == PARSE_OK;) {
        int c = at(p, 0);

        if (c < 0)
            parse_fail(p, PARSE_INCOMPLETE, "missing '}'");
        else
            skip_part(p, c, is_quoted);
    }
    p->pos++;
    p->depth--;
}

static void skip_dollar_quoted(struct parser *p, bool is_quoted)
{
    if (at(p, 1) == '{') {
        skip_braces(p, is_quoted);
    } else if (at(p, 1) == '(') {
        if (at(p, 2) == '(' && skip_arithmetic(p))
            return;
        p->pos += 2;
        parse_substitution(p);
        p->pos++;
    } else {
        p->pos++;
    }
}

static void skip_dollar(struct parser *p)
{
    skip_dollar_quoted(p, false);
}

static void skip_double_quoted(struct parser *p)
{
    for (p->pos++; at(p, 0) != '"' && p->result == PARSE_OK;) {
        if (at(p, 0) < 0)
            parse_fail(p, PARSE_INCOMPLETE, "unterminated quoted string");
        else if (at(p, 0) == '\\')
            p->pos += at(p, 1) >= 0 ? 2 : 1;
        else if (at(p, 0) == '$')
            skip_dollar_quoted(p, true);
        else if (at(p, 0) == '`')
            skip_backquoted(p);
        else
            p->pos++;
    }
    p->pos++;
}

size_t lex_dollar_end(struct arena *arena, const char *text, size_t len, size_t pos, bool is_quoted)
{
    struct parser p;

    parser_init(&p, arena, text, len);
    p.pos = pos;
    if (text[pos] == '`')
        skip_backquoted(&p);
    else
        skip_dollar_quoted(&p, is_quoted);
    return p.result == PARSE_OK && p.pos <= len ? p.pos : 0;
}

bool lex_is_arithmetic(const char *text, size_t len)
{
    struct parser p;

    parser_init(&p, NULL, text, len);
    return at(&p, 1) == '(' && at(&p, 2) == '(' && skip_arithmetic(&p);
}

static void lex_word(struct parser *p)
{
    size_t start = p->pos;
    int c;

    while (p->result == PARSE_OK && (c = at(p, 0)) > 0 && !strchr(" \t\n;&|()<>", c))
        skip_part(p, c, false);
    if (p->result != PARSE_OK)
        return;
    p->kind = TOKEN_WORD;
    p->word = arena_strndup(p->arena, p->text + start, p->pos - start);
    if ((at(p, 0) == '<' || at(p, 0) == '>') && p->pos - start == 1 &&
        isdigit((unsigned char)p->word[0]))
        p->io_number = p->word[0] - '0';
}

/* The body of one here-document, which starts at the current line. */
static void lex_here_document(struct parser *p, struct redirect *r)
{
    size_t ending_len = strlen(r->ending);
    autobuf body = BUF_INIT;

    for (;;) {
        const char *line = p->text + p->pos;
        size_t left = p->len - p->pos;
        const char *newline = memchr(line, '\n', left);
        size_t len = newline ? (size_t)(newline - line) : left;

        if (!left) {
            parse_fail(p, PARSE_INCOMPLETE, "here-document without its '%s'", r->ending);
            break;
        }
        p->pos += len + (newline ? 1 : 0);
        while (r->op == TOKEN_DLESS_DASH && len && *line == '\t') {
            line++;
            len--;
        }
        if (len == ending_len && memcmp(line, r->ending, len) == 0)
            break;
        buf_add(&body, line, len);
        buf_addc(&body, '\n');
    }
    r->target = arena_strndup(p->arena, buf_str(&body), body.len);
}

static void lex_newline(struct parser *p)
{
    p->pos++;
    p->kind = TOKEN_NEWLINE;
    while (p->pending && p->result == PARSE_OK) {
        struct redirect **link = &p->pending;
        struct redirect *r;

        /* The list starts with the last one. */
        while ((*link)->waiting)
            link = &(*link)->waiting;
        r = *link;
        *link = NULL;
        lex_here_document(p, r);
    }
}

static void lex_operator(struct parser *p)
{
    static const struct {
        char text[4];
        enum token_kind kind;
    } operators[] = {
        {"<<-", TOKEN_DLESS_DASH},
        {"<<",  TOKEN_DLESS     },
        {"<&",  TOKEN_LESS_AND  },
        {"<>",  TOKEN_LESS_GREAT},
        {"<",   TOKEN_LESS      },
        {">>",  TOKEN_DGREAT    },
        {">&",  TOKEN_GREAT_AND },
        {">|",  TOKEN_CLOBBER   },
        {">",   TOKEN_GREAT     },
        {"&&",  TOKEN_AND_IF    },
        {"&",   TOKEN_AMP       },
        {"||",  TOKEN_OR_IF     },
        {"|",   TOKEN_PIPE      },
        {";;",  TOKEN_DSEMI     },
        {";",   TOKEN_SEMI      },
        {"(",   TOKEN_LPAREN    },
        {")",   TOKEN_RPAREN    },
    };

    for (size_t i = 0; i < ARRAY_SIZE(operators); i++) {
        size_t len = strlen(operators[i].text);

        if (len <= p->len - p->pos && memcmp(p->text + p->pos, operators[i].text, len) == 0) {
            p->kind = operators[i].kind;
            p->pos += len;
            return;
        }
    }
    parse_fail(p, PARSE_ERROR, "byte 0x%02x is no part of a script", at(p, 0));
}

static void lex_blank(struct parser *p)
{
    for (;;) {
        if (at(p, 0) == ' ' || at(p, 0) == '\t')
            p->pos++;
        else if (at(p, 0) == '\\' && at(p, 1) == '\n')
            p->pos += 2;
        else
            break;
    }
    if (at(p, 0) == '#')
        while (at(p, 0) >= 0 && at(p, 0) != '\n')
            p->pos++;
}

enum token_kind parse_peek(struct parser *p)
{
    if (p->result != PARSE_OK)
        return TOKEN_END;
    if (p->has_token)
        return p->kind;
    lex_blank(p);
    p->has_token = true;
    p->io_number = -1;
    if (at(p, 0) < 0)
        p->kind = TOKEN_END;
    else if (at(p, 0) == '\n')
        lex_newline(p);
    else if (at(p, 0) == 0 || strchr(";&|()<>", at(p, 0)))
        lex_operator(p);
    else
        lex_word(p);
    if (p->result == PARSE_OK && p->io_number >= 0) {
        int number = p->io_number;

        lex_operator(p);
        p->io_number = number;
    }
    return p->result == PARSE_OK ? p->kind : TOKEN_END;
}

void parse_skip(struct parser *p)
{
    p->has_token = false;
}
