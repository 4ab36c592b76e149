/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/pods/ages.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/util.h"

#define NS_PER_S 1000000000LL

int age_time_parse(const char *text, int64_t *ret_realtime_ns, struct err *e)
{
    if (!clock_rfc3339_parse(text, strlen(text), ret_realtime_ns))
        return err_set(e, -EINVAL, "BadTime",
                       "'%.60s' is not a time; write it as 2026-11-27T04:05:37Z", text);
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

    if (!text || !clock_rfc3339_parse(text, strlen(text), &then_ns)) {
        snprintf(ret, AGE_SIZE, "<unknown>");
        return;
    }
    age_format((now_ns - then_ns) / NS_PER_S, ret);
}
