/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "toolbox/shell.h"

/*
 * What a word means (POSIX.1-2017, 2.6). On failure (NULL, false) a message has been written and
 * the shell is being left (`unwind`). Strings are the caller's.
 */

/* Fields: with field splitting and pathname expansion. */
bool expand_words(struct shell *sh, const struct word *w, struct strv *out);
/* One string, as for an assignment or the target of a redirection. */
char *expand_text(struct shell *sh, const char *text);
/* One string whose quoted characters are escaped, for fnmatch(3). */
char *expand_pattern(struct shell *sh, const char *text);
/* A here-document or arithmetic: quotes are no quotes there. */
char *expand_body(struct shell *sh, const char *text);

/* $((TEXT)), already expanded: POSIX.1-2017, 2.6.4, with 64 bits. */
bool arith_evaluate(struct shell *sh, const char *text, int64_t *ret_value);

/* A word in the middle of being expanded (expand.c, expand_param.c). */
enum expand_mode { EXPAND_FIELDS, EXPAND_TEXT, EXPAND_PATTERN };

struct expansion {
    struct shell *sh;
    enum expand_mode mode;
    struct strv *out; /* finished fields */
    struct buf cur;   /* the field at hand: quoted and literal special characters escaped by '\' */
    bool has_cur;     /* it counts even when empty */
    bool has_pattern; /* it has an unquoted * ? or [ */
    bool in_braces;   /* of the word in ${X:-word} */
    bool after_blank; /* a field was ended by blanks of IFS */
    const char *ifs;
};

bool expand_part(struct expansion *x, const char *text, size_t len, bool is_quoted, bool is_body);
void expand_value(struct expansion *x, const char *value, size_t len, bool is_quoted);
void expand_end_field(struct expansion *x, bool even_empty);
/* ${...}, $NAME, $1, $@ ...; text[0] is '$'. False on failure. */
bool expand_parameter(struct expansion *x, const char *text, size_t len, bool is_quoted);
