/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/selector.h"

#include "base/arena.h"
#include "base/options.h"
#include "manifest/names.h"

enum term_kind { TERM_IN, TERM_NOT_IN, TERM_EXISTS, TERM_MISSING, TERM_ABOVE, TERM_BELOW };

struct term {
    enum term_kind kind;
    const char *key;
    const char **values;
    size_t n_values;
    int64_t number; /* ABOVE, BELOW */
};

struct selector {
    struct arena *arena;
    struct term terms[SELECTOR_LIMIT_TERMS];
    size_t n;
};

/* A row of tokens: words and the signs between them. */
struct reader {
    struct arena *arena;
    const char *at;
    const char *what; /* "label", "field" */
    const char *text;
    struct err *e;
};

static int bad(struct reader *r, const char *why)
{
    return err_set(
        r->e, -EINVAL, "BadSelector",
        "the %s selector '%.150s' is not understood at '%.40s': %s; write for instance %s", r->what,
        r->text, r->at, why,
        str_eq(r->what, "label") ? "app=web,tier!=db,env in (dev,test),!old"
                                 : "metadata.name=web,status.phase!=Running");
}

static void skip_blanks(struct reader *r)
{
    while (*r->at == ' ' || *r->at == '\t')
        r->at++;
}

/* What is neither blank nor a sign; "" when there is none. */
static const char *word(struct reader *r)
{
    size_t len;

    skip_blanks(r);
    len = strcspn(r->at, " \t=!,()<>");
    r->at += len;
    return arena_strndup(r->arena, r->at - len, len);
}

static bool sign(struct reader *r, const char *text)
{
    skip_blanks(r);
    if (!str_starts(r->at, text))
        return false;
    r->at += strlen(text);
    return true;
}

static bool is_known(const char *const *known, const char *key)
{
    while (*known && !str_eq(*known, key))
        known++;
    return *known;
}

static void one_value(struct reader *r, struct term *t, const char *value)
{
    t->values = arena_array(r->arena, 1, sizeof(*t->values));
    t->values[0] = value;
    t->n_values = 1;
}

/* "(a,b)" */
static int values_read(struct reader *r, struct term *t)
{
    size_t cap = 1;

    if (!sign(r, "("))
        return bad(r, "'(' was expected");
    for (const char *p = r->at; *p; p++)
        cap += *p == ',';
    t->values = arena_array(r->arena, cap, sizeof(*t->values));
    do {
        const char *value = word(r);

        if (!name_is_label_value(value))
            return bad(r, "a value is " NAME_LABEL_VALUE_RULE);
        t->values[t->n_values++] = value;
    } while (sign(r, ","));
    return sign(r, ")") ? 0 : bad(r, "')' was expected");
}

static int number_read(struct reader *r, struct term *t)
{
    const char *text = word(r);
    char *end;

    errno = 0;
    t->number = strtoll(text, &end, 10);
    return *text && !*end && !errno ? 0 : bad(r, "a whole number was expected");
}

static int value_read(struct reader *r, struct term *t)
{
    const char *value = word(r);

    if (!name_is_label_value(value))
        return bad(r, "a value is " NAME_LABEL_VALUE_RULE);
    one_value(r, t, value);
    return 0;
}

static int label_term(struct reader *r, struct term *t)
{
    bool is_missing = sign(r, "!");
    const char *operator;

    t->key = word(r);
    if (!name_is_qualified(t->key))
        return bad(r, "a label is " NAME_QUALIFIED_RULE);
    skip_blanks(r);
    if (is_missing || !*r->at || *r->at == ',') {
        t->kind = is_missing ? TERM_MISSING : TERM_EXISTS;
        return 0;
    }
    if (sign(r, "!="))
        t->kind = TERM_NOT_IN;
    else if (sign(r, "==") || sign(r, "="))
        t->kind = TERM_IN;
    else if (sign(r, ">"))
        t->kind = TERM_ABOVE;
    else if (sign(r, "<"))
        t->kind = TERM_BELOW;
    else {
        operator= word(r);
        if (!str_eq(operator, "in") && !str_eq(operator, "notin"))
            return bad(r, "=, ==, !=, >, <, in or notin was expected");
        t->kind = str_eq(operator, "in") ? TERM_IN : TERM_NOT_IN;
        return values_read(r, t);
    }
    return t->kind == TERM_ABOVE || t->kind == TERM_BELOW ? number_read(r, t) : value_read(r, t);
}

static int field_term(struct reader *r, const char *const *known, struct term *t)
{
    const char *nearest;
    size_t len;

    t->key = word(r);
    if (!is_known(known, t->key)) {
        nearest = options_suggest(t->key, known);
        return err_set(r->e, -EINVAL, "BadSelector",
                       "the field selector '%.150s' names a field '%.60s', which this kind is not "
                       "selected by%s%s%s",
                       r->text, t->key, nearest ? "; did you mean '" : "", nearest ? nearest : "",
                       nearest ? "'?" : "");
    }
    if (sign(r, "!="))
        t->kind = TERM_NOT_IN;
    else if (sign(r, "==") || sign(r, "="))
        t->kind = TERM_IN;
    else
        return bad(r, "=, == or != was expected");
    len = strcspn(r->at, ",");
    one_value(r, t, arena_strndup(r->arena, r->at, len));
    r->at += len;
    return 0;
}

static int terms_read(struct reader *r, const char *const *known, struct selector *s)
{
    skip_blanks(r);
    while (*r->at) {
        struct term *t = &s->terms[s->n];

        if (s->n == SELECTOR_LIMIT_TERMS)
            return bad(r, "there are more than 64 terms");
        TRY(known ? field_term(r, known, t) : label_term(r, t));
        s->n++;
        skip_blanks(r);
        if (*r->at && !sign(r, ","))
            return bad(r, "a comma was expected");
        skip_blanks(r);
    }
    return 0;
}

static int parse(const char *text, const char *what, const char *const *known,
                 struct selector **ret, struct err *e)
{
    AUTO(selector) s = xcalloc(1, sizeof(*s));
    struct reader r = {.at = text ? text : "", .what = what, .text = text ? text : "", .e = e};

    if (strlen(r.at) > SELECTOR_LIMIT_BYTES)
        return err_set(e, -EINVAL, "BadSelector", "the %s selector is longer than %d bytes", what,
                       SELECTOR_LIMIT_BYTES);
    r.arena = s->arena = arena_new();
    TRY(terms_read(&r, known, s));
    *ret = take_ptr(s);
    return 0;
}

int selector_labels_parse(const char *text, struct selector **ret, struct err *e)
{
    return parse(text, "label", NULL, ret, e);
}

int selector_fields_parse(const char *text, const char *const *known, struct selector **ret,
                          struct err *e)
{
    return parse(text, "field", known, ret, e);
}

void selector_free(struct selector *s)
{
    if (!s)
        return;
    arena_free(s->arena);
    free(s);
}

static bool has_value(const struct term *t, const char *value)
{
    for (size_t i = 0; i < t->n_values; i++)
        if (str_eq(t->values[i], value))
            return true;
    return false;
}

static bool is_number(const char *text, int64_t *ret)
{
    char *end;

    errno = 0;
    *ret = strtoll(text, &end, 10);
    return *text && !*end && !errno;
}

static bool term_is_met(const struct term *t, const char *value)
{
    int64_t n;

    switch (t->kind) {
    case TERM_IN:
        return value && has_value(t, value);
    case TERM_NOT_IN:
        return !value || !has_value(t, value);
    case TERM_EXISTS:
        return value;
    case TERM_MISSING:
        return !value;
    case TERM_ABOVE:
        return value && is_number(value, &n) && n > t->number;
    case TERM_BELOW:
        return value && is_number(value, &n) && n < t->number;
    }
    return false;
}

bool selector_is_met(const struct selector *s, const struct pod_pairs *pairs)
{
    for (size_t i = 0; i < s->n; i++)
        if (!term_is_met(&s->terms[i], pod_pair_find(pairs, s->terms[i].key)))
            return false;
    return true;
}
