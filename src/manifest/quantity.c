/* SPDX-License-Identifier: Apache-2.0 */
#include "manifest/quantity.h"

#include <ctype.h>

/* Enough for every value that fits, and so few that a product cannot overflow 128 bits. */
#define DIGITS_LIMIT 20
#define BITS_LIMIT   ((unsigned __int128)1 << 120)

static const struct {
    const char *name;
    int power_of_ten, power_of_two;
} suffixes[] = {
    {"n",  -9, 0 },
    {"u",  -6, 0 },
    {"m",  -3, 0 },
    {"",   0,  0 },
    {"k",  3,  0 },
    {"M",  6,  0 },
    {"G",  9,  0 },
    {"T",  12, 0 },
    {"P",  15, 0 },
    {"E",  18, 0 },
    {"Ki", 0,  10},
    {"Mi", 0,  20},
    {"Gi", 0,  30},
    {"Ti", 0,  40},
    {"Pi", 0,  50},
    {"Ei", 0,  60},
};

static int syntax(const char *text, struct err *e)
{
    return err_set(
        e, -EINVAL, "BadQuantity",
        "'%.60s' is no quantity; write a number with m, k, M, G, Ki, Mi or Gi behind it, "
        "such as 100m or 64Mi",
        text);
}

static int range(const char *text, struct err *e)
{
    return err_set(e, -ERANGE, "BadQuantity", "the quantity '%.60s' is out of range", text);
}

/* The digits as one whole number and the power of ten that it has to be multiplied by; what follows
 * them, or NULL. */
static const char *digits_read(const char *s, unsigned __int128 *ret, int *ret_power)
{
    bool has_point = false, has_digit = false;
    int digits = 0;

    for (; isdigit((unsigned char)*s) || (*s == '.' && !has_point); s++) {
        if (*s == '.') {
            has_point = true;
            continue;
        }
        has_digit = true;
        if (*ret || *s != '0')
            digits++;
        if (digits > DIGITS_LIMIT)
            return NULL;
        *ret = *ret * 10 + (unsigned)(*s - '0');
        *ret_power -= has_point;
    }
    return has_digit ? s : NULL;
}

static bool suffix_read(const char *s, int *power_of_ten, int *power_of_two)
{
    /* "1E" is 10^18, "1Ei" 2^60, "1E3" a thousand. */
    if ((*s == 'e' || *s == 'E') && s[1] && s[1] != 'i') {
        char *end;
        long exponent = strtol(s + 1, &end, 10);

        if (*end || isspace((unsigned char)s[1]) || exponent < -30 || exponent > 30)
            return false;
        *power_of_ten += (int)exponent;
        return true;
    }
    for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++) {
        if (!str_eq(s, suffixes[i].name))
            continue;
        *power_of_ten += suffixes[i].power_of_ten;
        *power_of_two = suffixes[i].power_of_two;
        return true;
    }
    return false;
}

int quantity_parse(const char *text, int64_t scale, int64_t *ret, struct err *e)
{
    unsigned __int128 value = 0;
    int ten = 0, two = 0;
    const char *s = text + (*text == '+');

    if (*text == '-' && isdigit((unsigned char)text[1]))
        return range(text, e);
    s = digits_read(s, &value, &ten);
    if (!s || !suffix_read(s, &ten, &two))
        return syntax(text, e);
    if (value >> 67)
        return range(text, e);
    /* Below 2^67 * 10^3: the shift stays below 2^120 in steps that are checked. */
    value *= (unsigned)scale;
    for (; two > 0 && value < BITS_LIMIT; two--)
        value *= 2;
    for (; ten > 0 && value && value < BITS_LIMIT / 10; ten--)
        value *= 10;
    if (value && (two > 0 || ten > 0))
        return range(text, e);
    for (; ten < 0 && value; ten++)
        value = (value + 9) / 10;
    if (value > INT64_MAX)
        return range(text, e);
    *ret = (int64_t)value;
    return 0;
}
