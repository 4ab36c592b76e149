/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "base/util.h"

#define NS_PER_S 1000000000ULL

static uint64_t clock_ns(clockid_t id)
{
    struct timespec ts;

    clock_gettime(id, &ts);
    return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

uint64_t clock_monotonic_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

uint64_t clock_realtime_ns(void)
{
    return clock_ns(CLOCK_REALTIME);
}

int64_t clock_timespec_ns(struct timespec t)
{
    int64_t ns;

    if (__builtin_mul_overflow((int64_t)t.tv_sec, INT64_C(1000000000), &ns) ||
        __builtin_add_overflow(ns, (int64_t)t.tv_nsec, &ns))
        return t.tv_sec < 0 ? INT64_MIN : INT64_MAX;
    return ns;
}

void clock_rfc3339nano_format(uint64_t realtime_ns, char ret[static CLOCK_RFC3339NANO_SIZE])
{
    static _Thread_local time_t cached_second = -1;
    static _Thread_local char cached[sizeof("2026-11-24T00:31:02")];
    time_t second = (time_t)(realtime_ns / NS_PER_S);
    uint32_t rest = (uint32_t)(realtime_ns % NS_PER_S);

    if (second != cached_second) {
        struct tm tm;

        gmtime_r(&second, &tm);
        strftime(cached, sizeof(cached), "%Y-%m-%dT%H:%M:%S", &tm);
        cached_second = second;
    }
    memcpy(ret, cached, sizeof(cached) - 1);
    ret[19] = '.';
    for (int i = 28; i > 19; i--) {
        ret[i] = (char)('0' + rest % 10);
        rest /= 10;
    }
    ret[29] = 'Z';
    ret[30] = 0;
}

void clock_rfc3339_format(int64_t realtime_ns, char ret[static CLOCK_RFC3339_SIZE])
{
    time_t second = (time_t)(realtime_ns / (int64_t)NS_PER_S);
    struct tm tm;

    gmtime_r(&second, &tm);
    strftime(ret, CLOCK_RFC3339_SIZE, "%Y-%m-%dT%H:%M:%SZ", &tm);
}

/* ---- Reading RFC 3339 ---- */

#define DATE_TIME_SIZE (sizeof "2026-11-24T00:31:02" - 1)

/* `n` digits, or -1. */
static int digits(const char *s, size_t n)
{
    int value = 0;

    for (size_t i = 0; i < n; i++) {
        if (s[i] < '0' || s[i] > '9')
            return -1;
        value = value * 10 + (s[i] - '0');
    }
    return value;
}

static bool date_time_parse(const char *s, int64_t *ret_s)
{
    static const char days[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int year = digits(s, 4), month = digits(s + 5, 2), day = digits(s + 8, 2);
    int hour = digits(s + 11, 2), minute = digits(s + 14, 2), second = digits(s + 17, 2);

    if (s[4] != '-' || s[7] != '-' || s[10] != 'T' || s[13] != ':' || s[16] != ':')
        return false;
    if (year < 1970 || year > 2199 || month < 1 || month > 12 || day < 1 || day > days[month - 1])
        return false;
    /* 60 is a leap second. */
    if (hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 60)
        return false;
    *ret_s = timegm(&(struct tm){.tm_year = year - 1900,
                                 .tm_mon = month - 1,
                                 .tm_mday = day,
                                 .tm_hour = hour,
                                 .tm_min = minute,
                                 .tm_sec = second});
    return true;
}

/* "Z" or "+hh:mm" to its end: the seconds that it is ahead of UTC. */
static bool zone_parse(const char *s, size_t len, int *ret_s)
{
    int hours, minutes;

    if (len == 1 && *s == 'Z') {
        *ret_s = 0;
        return true;
    }
    if (len != sizeof "+hh:mm" - 1 || (*s != '+' && *s != '-') || s[3] != ':')
        return false;
    hours = digits(s + 1, 2);
    minutes = digits(s + 4, 2);
    if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59)
        return false;
    *ret_s = (hours * 3600 + minutes * 60) * (*s == '-' ? -1 : 1);
    return true;
}

bool clock_rfc3339_parse(const char *text, size_t len, int64_t *ret_realtime_ns)
{
    int64_t seconds, fraction_ns = 0;
    size_t at = DATE_TIME_SIZE;
    int ahead_s;

    if (len < DATE_TIME_SIZE + 1 || !date_time_parse(text, &seconds))
        return false;
    if (text[at] == '.') {
        int64_t unit_ns = 100000000;

        for (at++; at < len && text[at] >= '0' && text[at] <= '9'; at++) {
            fraction_ns += (text[at] - '0') * unit_ns;
            unit_ns /= 10;
        }
        if (at == DATE_TIME_SIZE + 1 || at > DATE_TIME_SIZE + 10)
            return false;
    }
    if (!zone_parse(text + at, len - at, &ahead_s))
        return false;
    *ret_realtime_ns = (seconds - ahead_s) * 1000000000 + fraction_ns;
    return true;
}

/* ---- Durations and sizes ---- */

/* "12.345" as whole * 10^decimals + fraction: exact, where a double would not be. */
struct decimal {
    uint64_t digits;
    uint64_t scale; /* 10^number of fraction digits */
};

static int decimal_parse(const char **text, struct decimal *ret)
{
    const char *s = *text;
    struct decimal d = {0, 1};
    bool is_fraction = false, has_digit = false;

    for (;; s++) {
        if (*s == '.' && !is_fraction) {
            is_fraction = true;
            continue;
        }
        if (!isdigit((unsigned char)*s))
            break;
        has_digit = true;
        if (__builtin_mul_overflow(d.digits, 10, &d.digits) ||
            __builtin_add_overflow(d.digits, (uint64_t)(*s - '0'), &d.digits))
            return -ERANGE;
        if (is_fraction && __builtin_mul_overflow(d.scale, 10, &d.scale))
            return -ERANGE;
    }
    if (!has_digit)
        return -EINVAL;
    *text = s;
    *ret = d;
    return 0;
}

struct unit {
    const char *name;
    uint64_t factor;
};

/* The unit at the start of `text`, longest names first in the table; advances past it. */
static const struct unit *unit_find(const struct unit *units, size_t n, const char **text)
{
    size_t len = strspn(*text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ");

    for (size_t i = 0; i < n; i++) {
        if (strlen(units[i].name) == len && !strncmp(units[i].name, *text, len)) {
            *text += len;
            return &units[i];
        }
    }
    return NULL;
}

/* Nanoseconds, so that fractions of a millisecond can be seen. */
static int duration_ns_parse(const char *text, __int128 *ret)
{
    static const struct unit units[] = {
        {"h",  3600 * NS_PER_S},
        {"m",  60 * NS_PER_S  },
        {"s",  NS_PER_S       },
        {"ms", 1000000        },
        {"us", 1000           },
        {"ns", 1              },
    };
    const __int128 limit = (__int128)INT64_MAX * 1000000;
    const char *s = text;
    uint64_t previous = UINT64_MAX;
    __int128 sum = 0;

    do {
        struct decimal d;
        uint64_t factor = NS_PER_S;

        TRY(decimal_parse(&s, &d));
        if (*s || s == text) {
            const struct unit *u = unit_find(units, ARRAY_SIZE(units), &s);

            if (!u)
                return -EINVAL;
            factor = u->factor;
        } else if (previous != UINT64_MAX) {
            return -EINVAL; /* "1h30": minutes or seconds? */
        }
        if (factor >= previous)
            return -EINVAL;
        previous = factor;
        sum += ((__int128)d.digits * factor + d.scale - 1) / d.scale;
        if (sum > limit)
            return -ERANGE;
    } while (*s);
    *ret = sum;
    return 0;
}

int duration_ms_parse(const char *text, int64_t *ret_ms, struct err *e)
{
    __int128 ns = 0;
    int r = duration_ns_parse(text, &ns);

    if (r == -ERANGE)
        return err_set(e, r, "BadDuration", "the duration '%.60s' is too long", text);
    if (r < 0)
        return err_set(e, r, "BadDuration",
                       "'%.60s' is not a duration; write it as 90, 1.5s, 250ms, 2m or 1h30m", text);
    *ret_ms = (int64_t)(ns && ns < 1000000 ? 1 : ns / 1000000);
    return 0;
}

void duration_ms_format(int64_t ms, char ret[static DURATION_SIZE])
{
    int64_t h = ms / 3600000, m = ms / 60000 % 60, s = ms / 1000 % 60, rest = ms % 1000;
    int at = 0;

    ret[0] = 0;
    if (ms < 1000) {
        snprintf(ret, DURATION_SIZE, ms ? "%" PRId64 "ms" : "%" PRId64 "s", ms);
        return;
    }
    if (h)
        at += snprintf(ret + at, DURATION_SIZE - (size_t)at, "%" PRId64 "h", h);
    if (m)
        at += snprintf(ret + at, DURATION_SIZE - (size_t)at, "%" PRId64 "m", m);
    if (rest) {
        char fraction[4];

        snprintf(fraction, sizeof(fraction), "%03u", (unsigned)rest % 1000);
        for (int i = 2; i > 0 && fraction[i] == '0'; i--)
            fraction[i] = 0;
        snprintf(ret + at, DURATION_SIZE - (size_t)at, "%" PRId64 ".%ss", s, fraction);
    } else if (s) {
        snprintf(ret + at, DURATION_SIZE - (size_t)at, "%" PRId64 "s", s);
    }
}

static int size_parse(const char *text, int64_t *ret)
{
    static const struct unit units[] = {
        {"",    1                  },
        {"b",   1                  },
        {"B",   1                  },
        {"K",   1000               },
        {"M",   1000000            },
        {"G",   1000000000         },
        {"T",   1000000000000      },
        {"P",   1000000000000000   },
        {"E",   1000000000000000000},
        {"Ki",  1ULL << 10         },
        {"Mi",  1ULL << 20         },
        {"Gi",  1ULL << 30         },
        {"Ti",  1ULL << 40         },
        {"Pi",  1ULL << 50         },
        {"Ei",  1ULL << 60         },
        {"KiB", 1ULL << 10         },
        {"MiB", 1ULL << 20         },
        {"GiB", 1ULL << 30         },
        {"TiB", 1ULL << 40         },
        {"k",   1ULL << 10         },
        {"m",   1ULL << 20         },
        {"g",   1ULL << 30         },
        {"t",   1ULL << 40         },
        {"kb",  1ULL << 10         },
        {"mb",  1ULL << 20         },
        {"gb",  1ULL << 30         },
        {"tb",  1ULL << 40         },
    };
    const struct unit *u;
    struct decimal d;
    unsigned __int128 bytes;

    TRY(decimal_parse(&text, &d));
    u = unit_find(units, ARRAY_SIZE(units), &text);
    if (!u || *text)
        return -EINVAL;
    bytes = (unsigned __int128)d.digits * u->factor;
    if (bytes % d.scale)
        return -EINVAL;
    bytes /= d.scale;
    if (bytes > INT64_MAX)
        return -ERANGE;
    *ret = (int64_t)bytes;
    return 0;
}

int size_bytes_parse(const char *text, int64_t *ret_bytes, struct err *e)
{
    int64_t bytes = 0;
    int r = size_parse(text, &bytes);

    if (r == -ERANGE)
        return err_set(e, r, "BadSize", "the size '%.60s' is too large", text);
    if (r < 0)
        return err_set(e, r, "BadSize",
                       "'%.60s' is not a size; write it as 65536, 64Mi (binary), 64M (decimal) or "
                       "64m (binary)",
                       text);
    *ret_bytes = bytes;
    return 0;
}

void size_bytes_format(uint64_t bytes, char ret[static SIZE_TEXT_SIZE])
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    size_t unit = 0;
    uint64_t whole = bytes, rest = 0;

    while (whole >= 1024 && unit + 1 < ARRAY_SIZE(units)) {
        rest = whole % 1024;
        whole /= 1024;
        unit++;
    }
    if (rest * 10 / 1024)
        snprintf(ret, SIZE_TEXT_SIZE, "%" PRIu64 ".%" PRIu64 " %s", whole, rest * 10 / 1024,
                 units[unit]);
    else
        snprintf(ret, SIZE_TEXT_SIZE, "%" PRIu64 " %s", whole, units[unit]);
}

int clock_wait_ms(uint64_t deadline_ns)
{
    uint64_t now = clock_monotonic_ns(), ms;

    if (!deadline_ns)
        return -1;
    if (deadline_ns <= now)
        return 0;
    ms = (deadline_ns - now + 999999) / 1000000;
    return ms > 1000000 ? 1000000 : (int)ms;
}
