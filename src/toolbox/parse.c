/* SPDX-License-Identifier: Apache-2.0 */
#include "toolbox/parse.h"

#include <stdio.h>

static struct node *parse_list(struct parser *p);
static struct node *parse_command(struct parser *p);

void parser_init(struct parser *p, struct arena *arena, const char *text, size_t len)
{
    *p = (struct parser){.arena = arena, .text = text, .len = len};
}

bool parse_enter(struct parser *p)
{
    if (p->depth >= PARSE_DEPTH_MAX) {
        parse_fail(p, PARSE_ERROR, "nested more than %d deep", PARSE_DEPTH_MAX);
        return false;
    }
    p->depth++;
    return true;
}

static const char *token_name(const struct parser *p)
{
    static const char *const names[] = {
        [TOKEN_END] = "end of file", [TOKEN_NEWLINE] = "newline", [TOKEN_SEMI] = ";",
        [TOKEN_DSEMI] = ";;",        [TOKEN_AND_IF] = "&&",       [TOKEN_OR_IF] = "||",
        [TOKEN_AMP] = "&",           [TOKEN_PIPE] = "|",          [TOKEN_LPAREN] = "(",
        [TOKEN_RPAREN] = ")",
    };

    if (p->kind == TOKEN_WORD)
        return p->word;
    return p->kind < ARRAY_SIZE(names) ? names[p->kind] : "redirection";
}

static void unexpected(struct parser *p)
{
    if (parse_peek(p) == TOKEN_END)
        parse_fail(p, PARSE_INCOMPLETE, "syntax error: end of file unexpected");
    else
        parse_fail(p, PARSE_ERROR, "syntax error: \"%.60s\" unexpected", token_name(p));
}

static bool is_word(struct parser *p, const char *text)
{
    return parse_peek(p) == TOKEN_WORD && str_eq(p->word, text);
}

static bool accept_word(struct parser *p, const char *text)
{
    if (!is_word(p, text))
        return false;
    parse_skip(p);
    return true;
}

static void expect_word(struct parser *p, const char *text)
{
    if (!accept_word(p, text))
        unexpected(p);
}

static bool accept(struct parser *p, enum token_kind kind)
{
    if (parse_peek(p) != kind || p->result != PARSE_OK)
        return false;
    parse_skip(p);
    return true;
}

static void skip_newlines(struct parser *p)
{
    while (accept(p, TOKEN_NEWLINE))
        ;
}

static struct node *node_new(struct parser *p, enum node_kind kind)
{
    struct node *n = arena_alloc(p->arena, sizeof(*n));

    n->kind = kind;
    return n;
}

static struct word *word_new(struct parser *p)
{
    struct word *w = arena_alloc(p->arena, sizeof(*w));

    w->text = p->word;
    return w;
}

/* Quotes taken away: what a here-document's body is ended by. */
static const char *unquoted(struct parser *p, const char *word, bool *ret_was_quoted)
{
    char *text = arena_strdup(p->arena, word);
    size_t n = 0;

    *ret_was_quoted = false;
    for (; *word; word++) {
        if (strchr("'\"\\", *word)) {
            *ret_was_quoted = true;
            if (*word == '\\' && word[1])
                text[n++] = *++word;
        } else {
            text[n++] = *word;
        }
    }
    text[n] = '\0';
    return text;
}

/* The body of a here-document comes with the end of the line: it waits for that in a list. */
static bool parse_redirect(struct parser *p, struct redirect **link)
{
    struct redirect *r;

    if (parse_peek(p) < TOKEN_LESS)
        return false;
    r = arena_alloc(p->arena, sizeof(*r));
    r->op = p->kind;
    r->fd = p->io_number;
    if (r->fd < 0)
        r->fd = r->op == TOKEN_GREAT || r->op == TOKEN_DGREAT || r->op == TOKEN_GREAT_AND ||
                r->op == TOKEN_CLOBBER;
    parse_skip(p);
    if (parse_peek(p) != TOKEN_WORD) {
        unexpected(p);
        return false;
    }
    r->target = p->word;
    if (r->op == TOKEN_DLESS || r->op == TOKEN_DLESS_DASH) {
        r->ending = unquoted(p, p->word, &r->is_literal);
        r->target = "";
        r->waiting = p->pending;
        p->pending = r;
    }
    parse_skip(p);
    *link = r;
    return true;
}

static void parse_redirects(struct parser *p, struct node *n)
{
    struct redirect **link = &n->redirects;

    while (parse_redirect(p, link))
        link = &(*link)->next;
}

static bool is_assignment(const char *word)
{
    size_t n = name_length(word);

    return n > 0 && word[n] == '=';
}

static struct node *parse_function(struct parser *p, const char *name)
{
    struct node *n = node_new(p, NODE_FUNCTION);

    parse_skip(p); /* ( */
    if (!accept(p, TOKEN_RPAREN)) {
        unexpected(p);
        return n;
    }
    skip_newlines(p);
    n->name = name;
    if (name_length(name) != strlen(name))
        parse_fail(p, PARSE_ERROR, "\"%.60s\" is no name for a function", name);
    n->first = parse_command(p);
    return n;
}

static struct node *parse_simple(struct parser *p)
{
    struct node *n = node_new(p, NODE_SIMPLE);
    struct word **words = &n->words, **assigns = &n->assigns;
    struct redirect **redirects = &n->redirects;

    while (p->result == PARSE_OK) {
        if (parse_redirect(p, redirects)) {
            redirects = &(*redirects)->next;
        } else if (parse_peek(p) != TOKEN_WORD) {
            break;
        } else if (!n->words && is_assignment(p->word)) {
            *assigns = word_new(p);
            assigns = &(*assigns)->next;
            parse_skip(p);
        } else {
            *words = word_new(p);
            words = &(*words)->next;
            parse_skip(p);
            if (parse_peek(p) == TOKEN_LPAREN && words == &n->words->next && !n->assigns &&
                !n->redirects)
                return parse_function(p, n->words->text);
        }
    }
    if (!n->words && !n->assigns && !n->redirects)
        unexpected(p);
    return n;
}

/* A list that must not be empty, as between `then` and `fi`. */
static struct node *parse_block(struct parser *p)
{
    struct node *list = parse_list(p);

    if (!list)
        unexpected(p);
    return list;
}

static struct node *parse_if(struct parser *p)
{
    struct node *top = node_new(p, NODE_IF);
    struct node *n = top;

    for (;;) {
        n->first = parse_block(p);
        expect_word(p, "then");
        n->second = parse_block(p);
        if (!accept_word(p, "elif"))
            break;
        n->third = node_new(p, NODE_IF);
        n = n->third;
    }
    if (accept_word(p, "else"))
        n->third = parse_block(p);
    expect_word(p, "fi");
    return top;
}

static struct node *parse_while(struct parser *p, enum node_kind kind)
{
    struct node *n = node_new(p, kind);

    n->first = parse_block(p);
    expect_word(p, "do");
    n->second = parse_block(p);
    expect_word(p, "done");
    return n;
}

static struct node *parse_for(struct parser *p)
{
    struct node *n = node_new(p, NODE_FOR);
    struct word **link = &n->words;

    if (parse_peek(p) != TOKEN_WORD || name_length(p->word) != strlen(p->word)) {
        if (parse_peek(p) == TOKEN_WORD)
            parse_fail(p, PARSE_ERROR, "syntax error: bad for loop variable");
        unexpected(p);
        return n;
    }
    n->name = p->word;
    parse_skip(p);
    n->is_plain = true;
    if (!accept(p, TOKEN_SEMI)) {
        skip_newlines(p);
        if (accept_word(p, "in")) {
            n->is_plain = false;
            for (; parse_peek(p) == TOKEN_WORD; parse_skip(p)) {
                *link = word_new(p);
                link = &(*link)->next;
            }
            if (!accept(p, TOKEN_SEMI) && !accept(p, TOKEN_NEWLINE))
                unexpected(p);
        }
    }
    skip_newlines(p);
    expect_word(p, "do");
    n->second = parse_block(p);
    expect_word(p, "done");
    return n;
}

static struct case_item *parse_case_item(struct parser *p)
{
    struct case_item *item = arena_alloc(p->arena, sizeof(*item));
    struct word **link = &item->patterns;

    accept(p, TOKEN_LPAREN);
    do {
        if (parse_peek(p) != TOKEN_WORD) {
            unexpected(p);
            return item;
        }
        *link = word_new(p);
        link = &(*link)->next;
        parse_skip(p);
    } while (accept(p, TOKEN_PIPE));
    if (!accept(p, TOKEN_RPAREN))
        unexpected(p);
    item->body = parse_list(p);
    if (!accept(p, TOKEN_DSEMI) && !is_word(p, "esac"))
        unexpected(p);
    skip_newlines(p);
    return item;
}

static struct node *parse_case(struct parser *p)
{
    struct node *n = node_new(p, NODE_CASE);
    struct case_item **link = &n->cases;

    if (parse_peek(p) != TOKEN_WORD) {
        unexpected(p);
        return n;
    }
    n->words = word_new(p);
    parse_skip(p);
    skip_newlines(p);
    expect_word(p, "in");
    skip_newlines(p);
    while (p->result == PARSE_OK && !is_word(p, "esac")) {
        *link = parse_case_item(p);
        link = &(*link)->next;
    }
    expect_word(p, "esac");
    return n;
}

static struct node *parse_enclosed(struct parser *p, enum node_kind kind)
{
    struct node *n = node_new(p, kind);

    n->first = parse_block(p);
    if (kind == NODE_GROUP)
        expect_word(p, "}");
    else if (!accept(p, TOKEN_RPAREN))
        unexpected(p);
    return n;
}

static struct node *parse_compound(struct parser *p)
{
    if (accept(p, TOKEN_LPAREN))
        return parse_enclosed(p, NODE_SUBSHELL);
    if (accept_word(p, "{"))
        return parse_enclosed(p, NODE_GROUP);
    if (accept_word(p, "if"))
        return parse_if(p);
    if (accept_word(p, "while"))
        return parse_while(p, NODE_WHILE);
    if (accept_word(p, "until"))
        return parse_while(p, NODE_UNTIL);
    if (accept_word(p, "for"))
        return parse_for(p);
    if (accept_word(p, "case"))
        return parse_case(p);
    return NULL;
}

/* A word that cannot start a command, because it ends or divides one around it. */
static bool is_ending(struct parser *p)
{
    static const char *const words[] = {"then", "elif", "else", "fi", "do", "done", "esac", "}"};

    for (size_t i = 0; i < ARRAY_SIZE(words); i++)
        if (is_word(p, words[i]))
            return true;
    return false;
}

static struct node *parse_command(struct parser *p)
{
    struct node *n = NULL;

    if (!parse_enter(p))
        return node_new(p, NODE_SIMPLE);
    if (is_ending(p) || is_word(p, "!"))
        unexpected(p);
    else
        n = parse_compound(p);
    if (n)
        parse_redirects(p, n);
    else
        n = parse_simple(p);
    p->depth--;
    return n;
}

static struct node *parse_pipeline(struct parser *p)
{
    struct node *n, **link;
    bool is_negated = accept_word(p, "!");

    n = parse_command(p);
    if (parse_peek(p) == TOKEN_PIPE) {
        struct node *pipeline = node_new(p, NODE_PIPELINE);

        pipeline->first = n;
        link = &n->next;
        while (accept(p, TOKEN_PIPE)) {
            skip_newlines(p);
            *link = parse_command(p);
            link = &(*link)->next;
        }
        n = pipeline;
    }
    if (is_negated) {
        struct node *not = node_new(p, NODE_NOT);

        not ->first = n;
        n = not ;
    }
    return n;
}

static struct node *parse_and_or(struct parser *p)
{
    struct node *left = parse_pipeline(p);

    while (parse_peek(p) == TOKEN_AND_IF || parse_peek(p) == TOKEN_OR_IF) {
        struct node *n = node_new(p, p->kind == TOKEN_AND_IF ? NODE_AND : NODE_OR);

        parse_skip(p);
        skip_newlines(p);
        n->first = left;
        n->second = parse_pipeline(p);
        left = n;
    }
    if (parse_peek(p) == TOKEN_AMP)
        parse_fail(p, PARSE_ERROR, "'&' cannot be had: a WebAssembly guest has no other processes");
    return left;
}

static bool is_list_end(struct parser *p)
{
    enum token_kind kind = parse_peek(p);

    return kind == TOKEN_END || kind == TOKEN_RPAREN || kind == TOKEN_DSEMI || is_ending(p);
}

/* Commands on any number of lines; NULL when there is none. */
static struct node *parse_list(struct parser *p)
{
    struct node *list = NULL, **link = NULL;

    skip_newlines(p);
    while (p->result == PARSE_OK && !is_list_end(p)) {
        if (!list) {
            list = node_new(p, NODE_LIST);
            link = &list->first;
        }
        *link = parse_and_or(p);
        link = &(*link)->next;
        if (!accept(p, TOKEN_SEMI) && !accept(p, TOKEN_NEWLINE))
            break;
        skip_newlines(p);
    }
    return list;
}

void parse_substitution(struct parser *p)
{
    struct parser inner = *p;

    if (!parse_enter(p))
        return;
    inner.depth = p->depth;
    inner.has_token = false;
    inner.pending = NULL;
    parse_list(&inner);
    if (parse_peek(&inner) != TOKEN_RPAREN)
        unexpected(&inner);
    p->depth--;
    p->pos = inner.pos - 1;
    p->result = inner.result;
    memcpy(p->error, inner.error, sizeof(p->error));
}

enum parse_result parse_next(struct parser *p, struct node **ret_node)
{
    struct node *list = NULL, **link = NULL;

    if (parse_peek(p) == TOKEN_END)
        return p->result == PARSE_OK ? PARSE_END : p->result;
    while (p->result == PARSE_OK && parse_peek(p) != TOKEN_NEWLINE && p->kind != TOKEN_END) {
        if (!list) {
            list = node_new(p, NODE_LIST);
            link = &list->first;
        }
        *link = parse_and_or(p);
        link = &(*link)->next;
        if (!accept(p, TOKEN_SEMI) && parse_peek(p) != TOKEN_NEWLINE && p->kind != TOKEN_END)
            unexpected(p);
    }
    accept(p, TOKEN_NEWLINE);
    /* A here-document may end with the text. */
    if (p->pending)
        parse_fail(p, PARSE_INCOMPLETE, "here-document without its '%s'", p->pending->ending);
    if (p->result == PARSE_OK)
        *ret_node = list;
    return p->result;
}
