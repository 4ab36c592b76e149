/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/pods/ages.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "base/util.h"

#define NS_PER_S 1000000000LL

/* `digits` of them, within the bounds. */
static bool digits_parse(const char **text, int digits, int min, int max, int *ret)
{
    int value = 0;

    for (int i = 0; i < digits; i++, (*text)++) {
        if (**text < '0' || **text > '9')
            return false;
        value = value * 10 + (**text - '0');
    }
    *ret = value;
    return value >= min && value <= max;
}

static bool char_skip(const char **text, char c)
{
    return *(*text)++ == c;
}

static bool fraction_parse(const char **text, int64_t *ret_ns)
{
    int64_t unit = NS_PER_S;
    const char *begin;

    *ret_ns = 0;
    if (**text != '.')
        return true;
    begin = ++*text;
    for (; **text >= '0' && **text <= '9'; (*text)++) {
        unit /= 10;
        *ret_ns += (**text - '0') * unit;
    }
    return *text > begin;
}

static bool offset_parse(const char **text, int *ret_s)
{
    int hours, minutes, sign = **text == '-' ? -1 : 1;

    *ret_s = 0;
    if (**text == 'Z' || **text == 'z') {
        (*text)++;
        return true;
    }
    if (**text != '+' && **text != '-')
        return false;
    (*text)++;
    if (!digits_parse(text, 2, 0, 23, &hours) || !char_skip(text, ':') ||
        !digits_parse(text, 2, 0, 59, &minutes))
        return false;
    *ret_s = sign * (hours * 3600 + minutes * 60);
    return true;
}

static bool time_parse(const char *s, int64_t *ret_ns)
{
    struct tm t = {0};
    int64_t fraction_ns;
    int offset_s;

    /* The years are those that nanoseconds since 1970 can say. */
    if (!digits_parse(&s, 4, 1700, 2200, &t.tm_year) || !char_skip(&s, '-') ||
        !digits_parse(&s, 2, 1, 12, &t.tm_mon) || !char_skip(&s, '-') ||
        !digits_parse(&s, 2, 1, 31, &t.tm_mday) || (*s != 'T' && *s != 't'))
        return false;
    s++;
    if (!digits_parse(&s, 2, 0, 23, &t.tm_hour) || !char_skip(&s, ':') ||
        !digits_parse(&s, 2, 0, 59, &t.tm_min) || !char_skip(&s, ':') ||
        !digits_parse(&s, 2, 0, 60, &t.tm_sec) || !fraction_parse(&s, &fraction_ns) ||
        !offset_parse(&s, &offset_s) || *s)
        return false;
    t.tm_year -= 1900;
    t.tm_mon--;
    *ret_ns = ((int64_t)timegm(&t) - offset_s) * NS_PER_S + fraction_ns;
    return true;
}

int age_time_parse(const char *text, int64_t *ret_realtime_ns, struct err *e)
{
    int64_t ns;

    if (!time_parse(text, &ns))
        return err_set(e, -EINVAL, "BadTime",
                       "'%.60s' is not a time; write it as 2026-11-27T04:05:37Z", text);
    *ret_realtime_ns = ns;
    return 0;
}

/* "7h15m", or "7h" when there is no rest. */
static void two(int64_t a, char unit, int64_t b, char small, char ret[static AGE_SIZE])
{
    if (b)
        snprintf(ret, AGE_SIZE, "%" PRId64 "%c%" PRId64 "%c", a, unit, b, small);
    else
        snprintf(ret, AGE_SIZE, "%" PRId64 "%c", a, unit);
}

void age_format(int64_t s, char ret[static AGE_SIZE])
{
    int64_t minutes = s / 60, hours = s / 3600;

    if (s < -1)
        snprintf(ret, AGE_SIZE, "<invalid>");
    else if (s < 120)
        two(s < 0 ? 0 : s, 's', 0, 0, ret);
    else if (minutes < 10)
        two(minutes, 'm', s % 60, 's', ret);
    else if (minutes < 180)
        two(minutes, 'm', 0, 0, ret);
    else if (hours < 8)
        two(hours, 'h', minutes % 60, 'm', ret);
    else if (hours < 48)
        two(hours, 'h', 0, 0, ret);
    else if (hours < 192)
        two(hours / 24, 'd', hours % 24, 'h', ret);
    else if (hours < 24 * 365 * 2)
        two(hours / 24, 'd', 0, 0, ret);
    else if (hours < 24 * 365 * 8)
        two(hours / 24 / 365, 'y', hours / 24 % 365, 'd', ret);
    else
        two(hours / 24 / 365, 'y', 0, 0, ret);
}

void age_since(const char *text, int64_t now_ns, char ret[static AGE_SIZE])
{
    int64_t then_ns;

    if (!text || !time_parse(text, &then_ns)) {
        snprintf(ret, AGE_SIZE, "<unknown>");
        return;
    }
    age_format((now_ns - then_ns) / NS_PER_S, ret);
}
