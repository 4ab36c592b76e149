/* SPDX-License-Identifier: Apache-2.0 */
/* $((...)): precedence climbing over the operators of C, without ++ and --. */
#include <ctype.h>
#include <limits.h>
#include <stdio.h>

#include "toolbox/expand.h"

#define ARITH_DEPTH_MAX 64

struct arith {
    struct shell *sh;
    const char *at;
    int depth;
    bool is_skipped; /* the side of && || ?: that does not count */
    const char *problem;
};

static const struct operator
{
    char text[3];
    int precedence;
}
operators[] = {
    {"||", 1 },
    {"&&", 2 },
    {"==", 6 },
    {"!=", 6 },
    {"<=", 7 },
    {">=", 7 },
    {"<<", 8 },
    {">>", 8 },
    {"|",  3 },
    {"^",  4 },
    {"&",  5 },
    {"<",  7 },
    {">",  7 },
    {"+",  9 },
    {"-",  9 },
    {"*",  10},
    {"/",  10},
    {"%",  10},
};

static int64_t arith_assignment(struct arith *a);

static void skip_space(struct arith *a)
{
    while (*a->at && isspace((unsigned char)*a->at))
        a->at++;
}

static int64_t fail(struct arith *a, const char *problem)
{
    if (!a->problem)
        a->problem = problem;
    return 0;
}

static bool accept(struct arith *a, char c)
{
    skip_space(a);
    if (*a->at != c)
        return false;
    a->at++;
    return true;
}

static int64_t number(struct arith *a, const char *text, const char **ret_end)
{
    char *end;
    long long value;

    errno = 0;
    value = strtoll(text, &end, 0);
    if (end == text || isalnum((unsigned char)*end) || *end == '_')
        return fail(a, "expecting a number");
    *ret_end = end;
    return value;
}

static int64_t variable(struct arith *a, const char *name)
{
    const char *value = var_get(a->sh, name), *end = NULL;
    int64_t n;

    if (!value && a->sh->nounset)
        return fail(a, "parameter not set");
    if (!value || !*value)
        return 0;
    n = number(a, value, &end);
    while (end && isspace((unsigned char)*end))
        end++;
    return end && *end ? fail(a, "a variable is no number") : n;
}

static int64_t primary(struct arith *a)
{
    skip_space(a);
    if (accept(a, '(')) {
        int64_t value = arith_assignment(a);

        return accept(a, ')') ? value : fail(a, "expecting ')'");
    }
    if (name_length(a->at)) {
        autofree char *name = xstrndup(a->at, name_length(a->at));

        a->at += strlen(name);
        return variable(a, name);
    }
    return isdigit((unsigned char)*a->at) ? number(a, a->at, &a->at)
                                          : fail(a, "expecting a number or a name");
}

static int64_t unary(struct arith *a)
{
    int64_t value;
    char op;

    skip_space(a);
    op = *a->at;
    if (!op || !strchr("+-!~", op))
        return primary(a);
    if (++a->depth > ARITH_DEPTH_MAX)
        return fail(a, "nested too deep");
    a->at++;
    value = unary(a);
    a->depth--;
    if (op == '!')
        return !value;
    if (op == '~')
        return ~value;
    return op == '-' ? (int64_t) - (uint64_t)value : value;
}

/* Without the undefined behaviour that C has for overflow and shifts. */
static int64_t calculate(struct arith *a, const char *op, int64_t l, int64_t r)
{
    uint64_t ul = (uint64_t)l, ur = (uint64_t)r;

    switch (op[0]) {
    case '+':
        return (int64_t)(ul + ur);
    case '-':
        return (int64_t)(ul - ur);
    case '*':
        return (int64_t)(ul * ur);
    case '^':
        return l ^ r;
    case '/':
    case '%':
        if (a->is_skipped)
            return 0;
        if (!r)
            return fail(a, "division by zero");
        if (r == -1)
            return op[0] == '/' ? (int64_t)-ul : 0;
        return op[0] == '/' ? l / r : l % r;
    case '|':
        return op[1] ? l || r : (l | r);
    case '&':
        return op[1] ? l && r : (l & r);
    case '=':
        return l == r;
    case '!':
        return l != r;
    case '<':
        if (op[1] == '<')
            return (int64_t)(ul << (ur & 63));
        return op[1] ? l <= r : l < r;
    default:
        if (op[1] == '>')
            return l >> (ur & 63);
        return op[1] ? l >= r : l > r;
    }
}

/* The operator at hand, unless it is one that assigns. */
static const struct operator* operator_at(struct arith *a)
{
    skip_space(a);
    for (size_t i = 0; i < ARRAY_SIZE(operators); i++) {
        size_t len = strlen(operators[i].text);

        if (strncmp(a->at, operators[i].text, len) != 0)
            continue;
        if (a->at[len] == '=' && !strchr("=!<>", operators[i].text[0]))
            return NULL;
        return &operators[i];
    }
    return NULL;
}

static int64_t binary(struct arith *a, int precedence)
{
    int64_t left = unary(a);
    const struct operator* op;

    while (!a->problem && (op = operator_at(a)) && op->precedence >= precedence) {
        bool was_skipped = a->is_skipped;
        int64_t right;

        a->at += strlen(op->text);
        if (op->precedence <= 2 && (op->precedence == 1) == (left != 0))
            a->is_skipped = true;
        right = binary(a, op->precedence + 1);
        a->is_skipped = was_skipped;
        left = calculate(a, op->text, left, right);
    }
    return left;
}

static int64_t conditional(struct arith *a)
{
    int64_t condition = binary(a, 1), yes, no;
    bool was_skipped = a->is_skipped;

    if (a->problem || !accept(a, '?'))
        return condition;
    a->is_skipped = was_skipped || !condition;
    yes = arith_assignment(a);
    if (!accept(a, ':'))
        return fail(a, "expecting ':'");
    a->is_skipped = was_skipped || condition;
    no = arith_assignment(a);
    a->is_skipped = was_skipped;
    return condition ? yes : no;
}

/* The operator of an assignment ("" for a plain '=') at `at`; NULL when there is none. */
static const char *assigning(const char *at, size_t *ret_len)
{
    static const char *const ops[] = {"<<=", ">>=", "+=", "-=", "*=", "/=", "%=", "&=", "|=", "^="};

    *ret_len = 1;
    if (at[0] == '=' && at[1] != '=')
        return "";
    for (size_t i = 0; i < ARRAY_SIZE(ops); i++) {
        *ret_len = strlen(ops[i]);
        if (strncmp(at, ops[i], *ret_len) == 0)
            return ops[i];
    }
    return NULL;
}

static int64_t assign(struct arith *a, const char *name, const char *op)
{
    int64_t value = arith_assignment(a);
    char text[24];

    if (*op && !a->problem) {
        char plain[3] = {op[0], op[1] == '=' ? '\0' : op[1], '\0'};

        value = calculate(a, plain, variable(a, name), value);
    }
    if (a->problem || a->is_skipped)
        return value;
    snprintf(text, sizeof(text), "%lld", (long long)value);
    if (!var_set(a->sh, name, text))
        return fail(a, "a variable is read only");
    return value;
}

static int64_t arith_assignment(struct arith *a)
{
    int64_t value;
    size_t n, len;
    const char *op, *after;

    if (a->problem || ++a->depth > ARITH_DEPTH_MAX)
        return fail(a, "nested too deep");
    skip_space(a);
    n = name_length(a->at);
    for (after = a->at + n; isspace((unsigned char)*after); after++)
        ;
    op = n ? assigning(after, &len) : NULL;
    if (op) {
        autofree char *name = xstrndup(a->at, n);

        a->at = after + len;
        value = assign(a, name, op);
    } else {
        value = conditional(a);
    }
    a->depth--;
    return value;
}

bool arith_evaluate(struct shell *sh, const char *text, int64_t *ret_value)
{
    struct arith a = {.sh = sh, .at = text};
    int64_t value;

    skip_space(&a);
    value = *a.at ? arith_assignment(&a) : 0;
    skip_space(&a);
    if (!a.problem && *a.at)
        a.problem = "not understood";
    if (a.problem) {
        if (sh->unwind == UNWIND_NONE)
            shell_abort(sh, "arithmetic expression: %s: \"%.60s\"", a.problem, text);
        return false;
    }
    *ret_value = value;
    return true;
}
