/* SPDX-License-Identifier: Apache-2.0 */
#include "image/challenge.h"

#include "base/util.h"

/* Where the parser stands. */
struct reader {
    const char *text;
    size_t len, at;
};

static int bad(size_t at, const char *what, struct err *e)
{
    return err_set(e, -EINVAL, "BadChallenge", "column %zu of WWW-Authenticate: %s", at + 1, what);
}

/* ---- The parts of RFC 9110, section 5.6 ---- */

/* The character at the place, or -1 at the end. */
static int peek(const struct reader *r)
{
    return r->at < r->len ? (unsigned char)r->text[r->at] : -1;
}

static bool is_alnum(int c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_token(int c)
{
    return is_alnum(c) || (c > 0 && strchr("!#$%&'*+-.^_`|~", c));
}

static bool is_token68(int c)
{
    return is_alnum(c) || (c > 0 && strchr("-._~+/", c));
}

/* What a quoted string may hold, by itself or behind a backslash. */
static bool is_quotable(int c)
{
    return c == '\t' || (c >= ' ' && c != 0x7f);
}

static void space_skip(struct reader *r)
{
    while (peek(r) == ' ' || peek(r) == '\t')
        r->at++;
}

/* Between the elements of a list; empty elements count for nothing. */
static void commas_skip(struct reader *r)
{
    while (peek(r) == ' ' || peek(r) == '\t' || peek(r) == ',')
        r->at++;
}

/* Empty when there is none. */
static struct text token_take(struct reader *r)
{
    size_t start = r->at;

    while (is_token(peek(r)))
        r->at++;
    return (struct text){r->text + start, r->at - start};
}

static int quoted_take(struct reader *r, struct buf *ret, struct err *e)
{
    size_t start = r->at;

    for (r->at++; peek(r) != '"'; r->at++) {
        if (peek(r) == '\\')
            r->at++;
        if (peek(r) < 0)
            return bad(start, "the quoted string has no end", e);
        if (!is_quotable(peek(r)))
            return bad(r->at, "a control character in a quoted string", e);
        buf_addc(ret, (char)peek(r));
    }
    r->at++;
    return 0;
}

/* ---- Challenges: RFC 9110, sections 11.2 and 11.3 ---- */

/* Whether an element ends here: a comma or the end, maybe behind white space. */
static bool is_end(const struct reader *r)
{
    struct reader ahead = *r;

    space_skip(&ahead);
    return peek(&ahead) < 0 || peek(&ahead) == ',';
}

/* Whether a parameter begins here. A scheme, which is a token too, has no "=" behind it. */
static bool is_param(const struct reader *r)
{
    struct reader ahead = *r;

    if (!token_take(&ahead).len)
        return false;
    space_skip(&ahead);
    return peek(&ahead) == '=';
}

static bool token68_skip(struct reader *r)
{
    struct reader ahead = *r;

    while (is_token68(peek(&ahead)))
        ahead.at++;
    if (ahead.at == r->at)
        return false;
    while (peek(&ahead) == '=')
        ahead.at++;
    if (!is_end(&ahead))
        return false;
    r->at = ahead.at;
    return true;
}

static int value_take(struct reader *r, struct buf *ret, struct err *e)
{
    struct text token;

    if (peek(r) == '"')
        return quoted_take(r, ret, e);
    token = token_take(r);
    if (!token.len)
        return bad(r->at, "expected the value of a parameter", e);
    buf_add(ret, token.data, token.len);
    return 0;
}

/* The field for the parameter; NULL when nobody needs it. */
static char **param_field(struct challenge *c, struct text name)
{
    const struct {
        const char *name;
        char **field;
    } known[] = {
        {"realm",   &c->realm  },
        {"service", &c->service},
        {"scope",   &c->scope  },
        {"error",   &c->error  },
    };

    for (size_t i = 0; i < ARRAY_SIZE(known); i++)
        if (text_same_name(name, text_of(known[i].name)))
            return known[i].field;
    return NULL;
}

/* `names` are those that the challenge has so far. */
static int param_take(struct reader *r, struct challenge *c, struct text *names, size_t n,
                      struct err *e)
{
    size_t start = r->at;
    struct text name = token_take(r);
    autobuf value = BUF_INIT;
    char **field = param_field(c, name);

    if (n == CHALLENGE_PARAM_LIMIT)
        return bad(start, "too many parameters", e);
    for (size_t i = 0; i < n; i++)
        if (text_same_name(names[i], name))
            return bad(start, "a parameter that was given already", e);
    names[n] = name;
    space_skip(r);
    r->at++; /* the "=" that is_param() saw */
    space_skip(r);
    TRY(value_take(r, &value, e));
    if (!is_end(r))
        return bad(r->at, "expected a comma behind a parameter", e);
    if (field)
        *field = buf_take(&value);
    return 0;
}

static int params_take(struct reader *r, struct challenge *c, struct err *e)
{
    struct text names[CHALLENGE_PARAM_LIMIT] = {0};

    for (size_t n = 0;; n++) {
        commas_skip(r);
        if (!is_param(r))
            return 0;
        TRY(param_take(r, c, names, n, e));
    }
}

static int challenge_take(struct reader *r, struct challenge *c, struct err *e)
{
    size_t start = r->at;
    struct text scheme = token_take(r);

    if (!scheme.len)
        return bad(start, "expected the name of a scheme", e);
    if (peek(r) >= 0 && !strchr(" \t,", peek(r)))
        return bad(r->at, "expected a space or a comma behind the name of a scheme", e);
    c->scheme = xstrndup(scheme.data, scheme.len);
    if (is_end(r))
        return params_take(r, c, e);
    space_skip(r);
    if (token68_skip(r))
        return 0;
    if (!is_param(r))
        return bad(r->at, "expected a parameter", e);
    return params_take(r, c, e);
}

static int list_take(struct reader *r, struct challenges *list, struct err *e)
{
    for (commas_skip(r); peek(r) >= 0; commas_skip(r)) {
        if (list->n == CHALLENGE_LIMIT)
            return bad(r->at, "too many challenges", e);
        list->v = xrealloc(list->v, list->n + 1, sizeof(*list->v));
        /* Counted first, so that a failure inside it is released with the rest. */
        list->v[list->n++] = (struct challenge){0};
        TRY(challenge_take(r, &list->v[list->n - 1], e));
    }
    return 0;
}

static void challenge_done(struct challenge *c)
{
    free(c->scheme);
    free(c->realm);
    free(c->service);
    free(c->scope);
    free(c->error);
}

int challenges_parse(struct text value, struct challenges *list, struct err *e)
{
    struct reader r = {.text = value.data, .len = value.len};
    size_t before = list->n;
    int code;

    if (value.len > CHALLENGE_LIMIT_BYTES)
        return bad(CHALLENGE_LIMIT_BYTES, "the value is too long", e);
    code = list_take(&r, list, e);
    while (code < 0 && list->n > before)
        challenge_done(&list->v[--list->n]);
    return code;
}

void challenges_done(struct challenges *list)
{
    for (size_t i = 0; i < list->n; i++)
        challenge_done(&list->v[i]);
    free(list->v);
    *list = (struct challenges){0};
}

bool challenge_is(const struct challenge *c, const char *scheme)
{
    return text_same_name(text_of(c->scheme), text_of(scheme));
}

const struct challenge *challenges_best(const struct challenges *list)
{
    const struct challenge *basic = NULL;

    for (size_t i = 0; i < list->n; i++) {
        const struct challenge *c = &list->v[i];

        if (challenge_is(c, "Bearer") && c->realm && *c->realm)
            return c;
        if (challenge_is(c, "Basic") && !basic)
            basic = c;
    }
    return basic;
}
