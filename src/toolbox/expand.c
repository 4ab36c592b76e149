/* SPDX-License-Identifier: Apache-2.0 */
#include "toolbox/expand.h"

#include <fnmatch.h>
#include <glob.h>
#include <stdio.h>

static void add_char(struct expansion *x, char c, bool is_quoted)
{
    if (strchr("*?[]\\-!^", c) && c) {
        if (is_quoted)
            buf_addc(&x->cur, '\\');
        else if (c != ']' && c != '-' && c != '!' && c != '^')
            x->has_pattern = true;
    }
    buf_addc(&x->cur, c);
    x->has_cur = true;
}

/* Takes away what add_char() put in. */
static char *unescaped(const char *text)
{
    char *copy = xstrdup(text);
    size_t n = 0;

    for (; *text; text++) {
        if (*text == '\\' && text[1])
            text++;
        copy[n++] = *text;
    }
    copy[n] = '\0';
    return copy;
}

static bool add_matches(struct expansion *x)
{
    glob_t found = {0};
    bool has_any = glob(buf_str(&x->cur), 0, NULL, &found) == 0 && found.gl_pathc > 0;

    for (size_t i = 0; has_any && i < found.gl_pathc; i++)
        strv_add(x->out, found.gl_pathv[i]);
    globfree(&found);
    return has_any;
}

void expand_end_field(struct expansion *x, bool even_empty)
{
    if (!x->has_cur && !even_empty)
        return;
    if (!x->has_pattern || x->sh->noglob || !add_matches(x))
        strv_add_owned(x->out, unescaped(buf_str(&x->cur)));
    buf_clear(&x->cur);
    x->has_cur = false;
    x->has_pattern = false;
}

void expand_value(struct expansion *x, const char *value, size_t len, bool is_quoted)
{
    if (x->cur.len + len > VALUE_MAX || (x->out && x->out->n > FIELDS_MAX)) {
        shell_abort(x->sh, "a word becomes longer than %zu bytes", VALUE_MAX);
        return;
    }
    for (size_t i = 0; i < len; i++) {
        char c = value[i];

        if (is_quoted || x->mode != EXPAND_FIELDS || !c || !strchr(x->ifs, c)) {
            /* A backslash out of a variable is an ordinary character. */
            add_char(x, c, is_quoted || (c == '\\' && x->mode != EXPAND_PATTERN));
            x->after_blank = false;
        } else if (strchr(" \t\n", c)) {
            x->after_blank = x->after_blank || x->has_cur;
            expand_end_field(x, false);
        } else {
            /* Blanks in front of a separator belong to it. */
            if (!x->after_blank || x->has_cur)
                expand_end_field(x, true);
            x->after_blank = false;
        }
    }
    if (is_quoted)
        x->has_cur = true;
}

static bool expand_command(struct expansion *x, const char *text, size_t len, bool is_quoted)
{
    struct shell *sh = x->sh, child;
    struct stream *out;

    if (!shell_fork(&child, sh))
        return false;
    out = stream_new_memory(VALUE_MAX);
    stream_unref(child.fds[1]);
    child.fds[1] = stream_ref(out);
    child.unchecked = 0;
    shell_run_text(&child, text, len);
    sh->substitution_status = shell_join(&child, sh);
    while (out->in.len && out->in.data[out->in.len - 1] == '\n')
        out->in.len--;
    for (size_t i = 0, n = 0; i <= out->in.len; i++) {
        /* A variable holds no NUL. */
        if (i == out->in.len || out->in.data[i]) {
            if (i == out->in.len)
                out->in.len = n;
            else
                out->in.data[n++] = out->in.data[i];
        }
    }
    expand_value(x, buf_str(&out->in), out->in.len, is_quoted);
    stream_unref(out);
    return sh->unwind == UNWIND_NONE;
}

static bool expand_backquoted(struct expansion *x, const char *text, size_t len, bool is_quoted)
{
    autobuf command = BUF_INIT;

    for (size_t i = 0; i < len; i++) {
        if (text[i] == '\\' && i + 1 < len &&
            (strchr("$`\\", text[i + 1]) || (is_quoted && text[i + 1] == '"')))
            i++;
        buf_addc(&command, text[i]);
    }
    return expand_command(x, buf_str(&command), command.len, is_quoted);
}

static bool expand_arithmetic(struct expansion *x, const char *text, size_t len, bool is_quoted)
{
    autofree char *expression = xstrndup(text, len);
    autofree char *expanded = expand_body(x->sh, expression);
    char number[24];
    int64_t value;

    if (!expanded || !arith_evaluate(x->sh, expanded, &value))
        return false;
    snprintf(number, sizeof(number), "%lld", (long long)value);
    expand_value(x, number, strlen(number), is_quoted);
    return true;
}

/* What '$' or '`' starts; *ret_len is how much of the text that is. */
static bool expand_dollar(struct expansion *x, const char *text, size_t len, bool is_quoted,
                          size_t *ret_len)
{
    AUTO(arena) scratch = NULL;
    size_t end;

    if (text[0] == '$' && len > 1 && text[1] != '{' && text[1] != '(') {
        size_t n = name_length(text + 1);

        if (n > len - 1)
            n = len - 1;
        if (!n && strchr("0123456789@*#?$!-", text[1]))
            n = 1;
        *ret_len = n + 1;
        if (n)
            return expand_parameter(x, text, n + 1, is_quoted);
        add_char(x, '$', is_quoted);
        return true;
    }
    if (len == 1 && text[0] == '$') {
        *ret_len = 1;
        add_char(x, '$', is_quoted);
        return true;
    }
    scratch = arena_new();
    end = lex_dollar_end(scratch, text, len, 0, is_quoted);
    if (!end) {
        shell_abort(x->sh, "syntax error: '%.20s' does not end", text);
        return false;
    }
    *ret_len = end;
    if (text[0] == '`')
        return expand_backquoted(x, text + 1, end - 2, is_quoted);
    if (text[1] == '{')
        return expand_parameter(x, text, end, is_quoted);
    if (lex_is_arithmetic(text, end))
        return expand_arithmetic(x, text + 3, end - 5, is_quoted);
    return expand_command(x, text + 2, end - 3, is_quoted);
}

static bool expand_double_quoted(struct expansion *x, const char *text, size_t len, size_t *ret_len)
{
    AUTO(arena) scratch = arena_new();
    size_t i = 1;

    while (i < len && text[i] != '"') {
        if (text[i] == '\\' && i + 1 < len)
            i++;
        else if (text[i] == '$' || text[i] == '`') {
            size_t end = lex_dollar_end(scratch, text, len, i, true);

            if (end > i)
                i = end - 1;
        }
        i++;
    }
    *ret_len = i < len ? i + 1 : len;
    /* "$@" without parameters is no field at all. */
    if (i != 3 || memcmp(text + 1, "$@", 2) != 0)
        x->has_cur = true;
    return expand_part(x, text + 1, i - 1, true, false);
}

/* One backslash; how many bytes it took. */
static size_t expand_backslash(struct expansion *x, const char *text, size_t len, bool is_quoted,
                               bool is_body)
{
    if (len < 2) {
        add_char(x, '\\', true);
        return 1;
    }
    if (text[1] == '\n')
        return 2;
    if (is_quoted && !strchr("$`\\", text[1]) && !(text[1] == '"' && !is_body) &&
        !(text[1] == '}' && x->in_braces)) {
        add_char(x, '\\', true);
        return 1;
    }
    add_char(x, text[1], true);
    return 2;
}

bool expand_part(struct expansion *x, const char *text, size_t len, bool is_quoted, bool is_body)
{
    size_t i = 0;

    while (i < len && x->sh->unwind == UNWIND_NONE) {
        size_t n = 1;

        if (text[i] == '\\') {
            n = expand_backslash(x, text + i, len - i, is_quoted, is_body);
        } else if (text[i] == '\'' && !is_quoted) {
            while (i + n < len && text[i + n] != '\'')
                add_char(x, text[i + n++], true);
            n++;
            x->has_cur = true;
        } else if (text[i] == '"' && !is_body) {
            if (is_quoted) /* "${x:-"a b"}": the inner quotes only go away */
                n = 1;
            else if (!expand_double_quoted(x, text + i, len - i, &n))
                return false;
        } else if (text[i] == '$' || text[i] == '`') {
            if (!expand_dollar(x, text + i, len - i, is_quoted, &n))
                return false;
        } else {
            add_char(x, text[i], is_quoted);
            x->after_blank = false;
        }
        i += n;
    }
    return x->sh->unwind == UNWIND_NONE;
}

/* ~ and ~/...; other people's folders are not known here. */
static size_t expand_tilde(struct expansion *x, const char *text)
{
    const char *home = var_get(x->sh, "HOME");

    if (text[0] != '~' || (text[1] && text[1] != '/') || !home)
        return 0;
    expand_value(x, home, strlen(home), true);
    return 1;
}

static bool expand_one(struct expansion *x, const char *text)
{
    size_t skip;

    x->ifs = var_get(x->sh, "IFS");
    if (!x->ifs)
        x->ifs = " \t\n";
    skip = expand_tilde(x, text);
    return expand_part(x, text + skip, strlen(text + skip), false, false);
}

bool expand_words(struct shell *sh, const struct word *w, struct strv *out)
{
    for (; w; w = w->next) {
        struct expansion x = {.sh = sh, .mode = EXPAND_FIELDS, .out = out};
        bool is_good = expand_one(&x, w->text);

        if (is_good)
            expand_end_field(&x, false);
        buf_done(&x.cur);
        if (!is_good)
            return false;
    }
    return true;
}

static char *expand_string(struct shell *sh, const char *text, enum expand_mode mode)
{
    struct expansion x = {.sh = sh, .mode = mode};
    char *result = NULL;

    if (expand_one(&x, text))
        result = mode == EXPAND_PATTERN ? xstrdup(buf_str(&x.cur)) : unescaped(buf_str(&x.cur));
    buf_done(&x.cur);
    return result;
}

char *expand_text(struct shell *sh, const char *text)
{
    return expand_string(sh, text, EXPAND_TEXT);
}

char *expand_pattern(struct shell *sh, const char *text)
{
    return expand_string(sh, text, EXPAND_PATTERN);
}

char *expand_body(struct shell *sh, const char *text)
{
    struct expansion x = {.sh = sh, .mode = EXPAND_TEXT, .ifs = ""};
    char *result = NULL;

    if (expand_part(&x, text, strlen(text), true, true))
        result = unescaped(buf_str(&x.cur));
    buf_done(&x.cur);
    return result;
}
