/* SPDX-License-Identifier: Apache-2.0 */
#include "manifest/document_scalar.h"

#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

/* Longer ones are no numbers that anybody means. */
#define NUMBER_LIMIT 64

static bool is_one_of(const char *word, const char *const *words)
{
    for (; *words; words++)
        if (str_eq(word, *words))
            return true;
    return false;
}

/* A prefix gives the base, as strconv.ParseInt() of Go has it for base 0. */
static bool int_parse(const char *text, int64_t *ret)
{
    const char *digits = text + (*text == '-' || *text == '+');
    bool is_negative = *text == '-';
    unsigned long long value;
    int base = 10;
    char *end;

    if (digits[0] == '0' && digits[1]) {
        switch (tolower((unsigned char)digits[1])) {
        case 'x':
            base = 16;
            break;
        case 'o':
            base = 8;
            break;
        case 'b':
            base = 2;
            break;
        default:
            base = 8;
            digits--;
            break;
        }
        digits += 2;
    }
    /* strtoull() itself takes a sign, white space and another prefix. */
    if (!isalnum((unsigned char)*digits) ||
        (base == 16 && tolower((unsigned char)digits[1]) == 'x'))
        return false;
    errno = 0;
    value = strtoull(digits, &end, base);
    if (*end || errno || value > (uint64_t)INT64_MAX + is_negative)
        return false;
    *ret = is_negative ? (int64_t)(0 - value) : (int64_t)value;
    return true;
}

/* [-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)? */
static bool is_decimal(const char *s)
{
    size_t whole, fraction = 0;

    s += *s == '-' || *s == '+';
    whole = strspn(s, "0123456789");
    s += whole;
    if (*s == '.') {
        fraction = strspn(s + 1, "0123456789");
        s += 1 + fraction;
    }
    if (!whole && !fraction)
        return false;
    if (*s == 'e' || *s == 'E') {
        size_t digits;

        s++;
        s += *s == '-' || *s == '+';
        digits = strspn(s, "0123456789");
        if (!digits)
            return false;
        s += digits;
    }
    return !*s;
}

/* The shortest text that reads back as the same: 0.1 stays 0.1. */
static const char *double_format(struct arena *a, double value)
{
    char text[40];

    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof(text), "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            break;
    }
    return arena_strdup(a, text);
}

/* What begins with a digit, a sign or a dot. Underscores may stand in whole numbers. */
static bool number_parse(struct arena *a, const char *word, const char **ret)
{
    char plain[NUMBER_LIMIT + 1] = {0};
    size_t len = 0;
    int64_t whole;
    double value;

    for (const char *c = word; *c; c++) {
        if (*c == '_' && *word != '.')
            continue;
        if (len == NUMBER_LIMIT)
            return false;
        plain[len++] = *c;
    }
    if (*word != '.' && int_parse(plain, &whole)) {
        *ret = arena_printf(a, "%" PRId64, whole);
        return true;
    }
    if (!is_decimal(plain))
        return false;
    value = strtod(plain, NULL);
    if (!isfinite(value))
        return false;
    *ret = double_format(a, value);
    return true;
}

int document_word_resolve(struct arena *a, const char *word, struct document_node *n)
{
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL", NULL};
    static const char *const trues[] = {"y",    "Y",    "yes", "Yes", "YES", "true",
                                        "True", "TRUE", "on",  "On",  "ON",  NULL};
    static const char *const falses[] = {"n",     "N",     "no",  "No",  "NO",  "false",
                                         "False", "FALSE", "off", "Off", "OFF", NULL};
    static const char *const unsayable[] = {".nan",  ".NaN",  ".NAN",  ".inf",  ".Inf",
                                            ".INF",  "+.inf", "+.Inf", "+.INF", "-.inf",
                                            "-.Inf", "-.INF", NULL};

    n->type = DOCUMENT_STRING;
    n->text = word;
    if (is_one_of(word, nulls)) {
        n->type = DOCUMENT_NULL;
        n->text = "null";
    } else if (is_one_of(word, trues) || is_one_of(word, falses)) {
        n->type = DOCUMENT_BOOL;
        n->text = is_one_of(word, trues) ? "true" : "false";
    } else if (is_one_of(word, unsayable)) {
        return -EINVAL;
    } else if (strchr("+-.0123456789", *word) && number_parse(a, word, &n->text)) {
        n->type = DOCUMENT_NUMBER;
    }
    return 0;
}
