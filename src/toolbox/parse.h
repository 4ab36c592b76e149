/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"

/*
 * The shell's language (POSIX.1-2017, 2.3 and 2.10) as a tree. Words stay as they were written,
 * quotes included; src/toolbox/expand.h works on that text. Everything lives in the parser's arena.
 */

enum token_kind {
    TOKEN_END,
    TOKEN_NEWLINE,
    TOKEN_WORD,
    TOKEN_SEMI,
    TOKEN_DSEMI,
    TOKEN_AND_IF,
    TOKEN_OR_IF,
    TOKEN_AMP,
    TOKEN_PIPE,
    TOKEN_LPAREN,
    TOKEN_RPAREN,
    /* Redirections from here on. */
    TOKEN_LESS,
    TOKEN_GREAT,
    TOKEN_DGREAT,
    TOKEN_DLESS,
    TOKEN_DLESS_DASH,
    TOKEN_LESS_AND,
    TOKEN_GREAT_AND,
    TOKEN_LESS_GREAT,
    TOKEN_CLOBBER,
};

struct word {
    const char *text;
    struct word *next;
};

struct redirect {
    enum token_kind op;
    int fd;
    const char *target; /* of a here-document: its body */
    const char *ending; /* of a here-document: the line that ends it */
    bool is_literal;    /* of a here-document: no expansions */
    struct redirect *next;
    struct redirect *waiting; /* the here-document before, while bodies are to come */
};

struct case_item {
    struct word *patterns;
    struct node *body; /* may be NULL */
    struct case_item *next;
};

enum node_kind {
    NODE_SIMPLE,   /* assigns, words, redirects */
    NODE_PIPELINE, /* stages from `first` on */
    NODE_NOT,      /* first */
    NODE_AND,      /* first && second */
    NODE_OR,       /* first || second */
    NODE_LIST,     /* from `first` on */
    NODE_IF,       /* first, second, third (may be NULL) */
    NODE_WHILE,    /* first, second */
    NODE_UNTIL,    /* first, second */
    NODE_FOR,      /* name, words unless is_plain, second */
    NODE_CASE,     /* words (one), cases */
    NODE_FUNCTION, /* name, first */
    NODE_GROUP,    /* first */
    NODE_SUBSHELL, /* first */
};

struct node {
    enum node_kind kind;
    bool is_plain; /* of NODE_FOR: goes over the positional parameters */
    struct node *first, *second, *third;
    struct node *next; /* the sibling in a list or pipeline */
    const char *name;
    struct word *assigns, *words;
    struct redirect *redirects; /* of every command but lists and what joins */
    struct case_item *cases;
};

#define PARSE_DEPTH_MAX 100
#define SCRIPT_MAX      ((size_t)4 << 20)

enum parse_result {
    PARSE_OK,         /* a command, in *ret_node; NULL for an empty line */
    PARSE_END,        /* nothing is left */
    PARSE_INCOMPLETE, /* the text ends in the middle: more lines may complete it */
    PARSE_ERROR,      /* see `error` */
};

struct parser {
    struct arena *arena;
    const char *text;
    size_t len, pos;
    int depth;
    enum parse_result result;
    char error[120];

    /* The token at hand. */
    bool has_token;
    enum token_kind kind;
    const char *word;         /* of TOKEN_WORD */
    int io_number;            /* in front of a redirection; -1 for none */
    struct redirect *pending; /* here-documents whose bodies are still to come */
};

/* The text, of `len` bytes, has to outlive the parser. */
void parser_init(struct parser *p, struct arena *arena, const char *text, size_t len);
/* The next complete command: everything up to the end of its line. */
enum parse_result parse_next(struct parser *p, struct node **ret_node);

/* For the lexer (lex.c) and the grammar (parse.c). */
enum token_kind parse_peek(struct parser *p);
void parse_skip(struct parser *p);
/* Keeps the first problem; the parser gives TOKEN_END from then on. */
void parse_fail(struct parser *p, enum parse_result result, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Parses what $( opened, up to the ')', which is the next byte then. */
void parse_substitution(struct parser *p);
bool parse_enter(struct parser *p);

/* For the expansion, of a text that was parsed before: the index behind the part that starts at
 * text[pos], which is '$' or '`'; 0 when it does not end. */
size_t lex_dollar_end(struct arena *arena, const char *text, size_t len, size_t pos,
                      bool is_quoted);
/* Whether the "$(" that starts the text is arithmetic, not a command. */
bool lex_is_arithmetic(const char *text, size_t len);

/* A name: letters, digits and '_'. The length, 0 for none. */
size_t name_length(const char *text);
