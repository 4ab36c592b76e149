/* SPDX-License-Identifier: Apache-2.0 */
/* Parameters: $X, ${X}, ${#X} and what takes a word, ${X:-word} or ${X%pattern}. */
#include "toolbox/expand.h"

#include <ctype.h>
#include <fnmatch.h>
#include <stdio.h>

/* A parameter in the text of ${...}: its name and what follows. */
struct parameter {
    char *name;
    const char *op; /* ":-", "-", "%%" ...; "" for none */
    size_t op_len;
    const char *word;
    size_t word_len;
    bool is_length;
};

static char *options_text(const struct shell *sh)
{
    return xasprintf("%s%s%s%s", sh->errexit ? "e" : "", sh->noglob ? "f" : "",
                     sh->nounset ? "u" : "", sh->xtrace ? "x" : "");
}

static char *params_joined(const struct shell *sh, const char *ifs)
{
    struct buf text = BUF_INIT;

    for (size_t i = 0; i < sh->params.n; i++) {
        if (i && *ifs)
            buf_addc(&text, *ifs);
        buf_addstr(&text, sh->params.v[i]);
    }
    return buf_take(&text);
}

/* The value on the heap; NULL when unset. */
static char *parameter_value(const struct expansion *x, const char *name)
{
    const struct shell *sh = x->sh;
    const char *value;
    long long n;

    if (number_parse(name, 1 << 20, &n)) {
        if (n == 0)
            return xstrdup(sh->name);
        return (size_t)n <= sh->params.n ? xstrdup(sh->params.v[n - 1]) : NULL;
    }
    if (str_eq(name, "#"))
        return xasprintf("%zu", sh->params.n);
    if (str_eq(name, "?"))
        return xasprintf("%d", sh->status);
    if (str_eq(name, "$"))
        return xstrdup("1"); /* WASI numbers no processes */
    if (str_eq(name, "-"))
        return options_text(sh);
    if (str_eq(name, "*") || str_eq(name, "@"))
        return sh->params.n ? params_joined(sh, str_eq(name, "@") ? " " : x->ifs) : NULL;
    value = var_get(sh, name);
    return value ? xstrdup(value) : NULL;
}

/* $@ and unquoted $*: each parameter by itself. */
static void expand_params(struct expansion *x, bool is_quoted)
{
    const struct strv *params = &x->sh->params;

    for (size_t i = 0; i < params->n; i++) {
        if (i) {
            expand_end_field(x, is_quoted);
            x->after_blank = false;
        }
        expand_value(x, params->v[i], strlen(params->v[i]), is_quoted);
    }
}

static bool parameter_parse(struct parameter *p, const char *text, size_t len)
{
    static const char *const ops[] = {":-", ":=", ":+", ":?", "-",  "=",
                                      "+",  "?",  "%%", "%",  "##", "#"};
    size_t n;

    *p = (struct parameter){.op = ""};
    if (text[1] != '{') {
        p->name = xstrndup(text + 1, len - 1);
        return true;
    }
    text += 2;
    len -= 3;
    if (len > 1 && text[0] == '#' && !strchr(":-=+?%#", text[1])) {
        p->is_length = true;
        text++;
        len--;
    }
    n = name_length(text);
    while (!n && n < len && isdigit((unsigned char)text[n]))
        for (; n < len && isdigit((unsigned char)text[n]); n++)
            ;
    if (!n && len && strchr("@*#?$-", text[0]))
        n = 1;
    if (!n || n > len)
        return false;
    p->name = xstrndup(text, n);
    text += n;
    len -= n;
    for (size_t i = 0; i < ARRAY_SIZE(ops) && !*p->op; i++)
        if (strlen(ops[i]) <= len && memcmp(text, ops[i], strlen(ops[i])) == 0)
            p->op = ops[i];
    p->op_len = strlen(p->op);
    p->word = text + p->op_len;
    p->word_len = len - p->op_len;
    return (!len || p->op_len) && !(p->is_length && len);
}

/* ${X%p} and the like: removes the smallest or largest part that matches, at an end. */
static bool expand_removal(struct expansion *x, const struct parameter *p, char *value,
                           bool is_quoted)
{
    autofree char *word = xstrndup(p->word, p->word_len);
    autofree char *pattern = expand_pattern(x->sh, word);
    bool is_prefix = p->op[0] == '#', is_largest = p->op_len == 2;
    size_t len = strlen(value);

    if (!pattern)
        return false;
    for (size_t i = 0; i <= len; i++) {
        size_t cut = is_prefix == is_largest ? len - i : i;
        char saved = value[cut];
        bool matches;

        if (is_prefix)
            value[cut] = '\0';
        matches = fnmatch(pattern, is_prefix ? value : value + cut, 0) == 0;
        value[cut] = saved;
        if (matches) {
            expand_value(x, is_prefix ? value + cut : value, is_prefix ? len - cut : cut,
                         is_quoted);
            return true;
        }
    }
    expand_value(x, value, len, is_quoted);
    return true;
}

static bool expand_default(struct expansion *x, const struct parameter *p, bool is_quoted)
{
    autofree char *word = xstrndup(p->word, p->word_len);
    autofree char *text = NULL;
    char op = p->op[p->op_len - 1];
    bool was_in_braces = x->in_braces;
    bool is_good;

    if (op == '-' || op == '+') {
        x->in_braces = true;
        is_good = expand_part(x, p->word, p->word_len, is_quoted, false);
        x->in_braces = was_in_braces;
        return is_good;
    }
    text = is_quoted ? expand_body(x->sh, word) : expand_text(x->sh, word);
    if (!text)
        return false;
    if (op == '?') {
        shell_abort(x->sh, "%s: %s", p->name,
                    *text            ? text
                    : p->op_len == 2 ? "parameter not set or null"
                                     : "parameter not set");
        return false;
    }
    if (!name_length(p->name)) {
        shell_abort(x->sh, "%s: bad variable name", p->name);
        return false;
    }
    if (!var_set(x->sh, p->name, text))
        return false;
    expand_value(x, text, strlen(text), is_quoted);
    return true;
}

static bool expand_parsed(struct expansion *x, const struct parameter *p, bool is_quoted)
{
    autofree char *value = parameter_value(x, p->name);
    bool is_list = str_eq(p->name, "@") || (str_eq(p->name, "*") && !is_quoted);
    bool is_removal = *p->op == '%' || *p->op == '#';
    bool is_set = value && (p->op[0] != ':' || *value);

    if (*p->op && !is_removal && (p->op[p->op_len - 1] == '+') == is_set)
        return expand_default(x, p, is_quoted);
    if (*p->op && !is_removal && p->op[p->op_len - 1] == '+')
        return true;
    if (!value && x->sh->nounset && !is_list && !str_eq(p->name, "*")) {
        shell_abort(x->sh, "%s: parameter not set", p->name);
        return false;
    }
    if (p->is_length) {
        char number[24];

        snprintf(number, sizeof(number), "%zu", value ? strlen(value) : 0);
        expand_value(x, number, strlen(number), is_quoted);
        return true;
    }
    if (is_list && x->mode == EXPAND_FIELDS && !is_removal) {
        expand_params(x, is_quoted);
        return true;
    }
    if (is_removal && value)
        return expand_removal(x, p, value, is_quoted);
    if (value)
        expand_value(x, value, strlen(value), is_quoted);
    return true;
}

bool expand_parameter(struct expansion *x, const char *text, size_t len, bool is_quoted)
{
    struct parameter p;
    bool is_good = parameter_parse(&p, text, len);

    if (is_good)
        is_good = expand_parsed(x, &p, is_quoted) && x->sh->unwind == UNWIND_NONE;
    else
        shell_abort(x->sh, "%.*s: bad substitution", (int)(len < 60 ? len : 60), text);
    free(p.name);
    return is_good;
}
