/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/pods/resource.h"
#include "manifest/names.h"

#define BLANKS " \t"

static int bad(const char *text, struct err *e, const char *why)
{
    return err_set(e, -EINVAL, "BadSelector",
                   "the selector '%.120s' %s; write a=b, a!=b, a, !a, 'a in (b,c)' or 'a notin "
                   "(b,c)', with commas between",
                   text, why);
}

/* A word that ends at white space or at one of the operators' characters. */
static char *word_take(const char **at)
{
    size_t len;
    char *word;

    *at += strspn(*at, BLANKS);
    len = strcspn(*at, BLANKS ",=!()");
    word = xstrndup(*at, len);
    *at += len;
    *at += strspn(*at, BLANKS);
    return word;
}

static int value_check(const char *text, const char **at, struct err *e)
{
    autofree char *value = word_take(at);

    return name_is_label_value(value) ? 0 : bad(text, e, "has a value that no label can have");
}

static int set_check(const char *text, const char **at, struct err *e)
{
    if (**at != '(')
        return bad(text, e, "has no (...) behind in or notin");
    do {
        (*at)++;
        TRY(value_check(text, at, e));
    } while (**at == ',');
    if (**at != ')')
        return bad(text, e, "has a '(' without its ')'");
    (*at)++;
    *at += strspn(*at, BLANKS);
    return 0;
}

static int term_check(const char *text, const char **at, struct err *e)
{
    autofree char *key = NULL;
    bool is_not;

    *at += strspn(*at, BLANKS);
    is_not = **at == '!';
    *at += is_not;
    key = word_take(at);
    if (!name_is_qualified(key))
        return bad(text, e, "has a key that no label can have");
    if (is_not || !**at || **at == ',')
        return 0;
    if (**at == '=' || (**at == '!' && (*at)[1] == '=')) {
        *at += (*at)[1] == '=' ? 2 : 1;
        return value_check(text, at, e);
    }
    autofree char *word = word_take(at);
    if (str_eq(word, "in") || str_eq(word, "notin"))
        return set_check(text, at, e);
    return bad(text, e, "is not understood");
}

int resource_selector_check(const char *text, struct err *e)
{
    const char *at = text;

    if (!text[strspn(text, BLANKS)])
        return 0;
    for (;; at++) {
        TRY(term_check(text, &at, e));
        if (!*at)
            return 0;
        if (*at != ',')
            return bad(text, e, "is not understood");
    }
}
