/* SPDX-License-Identifier: Apache-2.0 */

/* Clocks and sleeping. Upper bounds are generous: a loaded host may be late, never early. */

#include "check.h"

#include <stdint.h>
#include <stdio.h>
#include <sys/time.h>
#include <time.h>

#define MS 1000000LL

static int64_t now_ns(clockid_t clock)
{
    struct timespec ts = {0};

    clock_gettime(clock, &ts);
    return ts.tv_sec * 1000 * MS + ts.tv_nsec;
}

static void check_monotonic(void)
{
    int64_t first = now_ns(CLOCK_MONOTONIC), last = first, now = first;
    int n_back = 0;

    for (int i = 0; i < 100000; i++) {
        now = now_ns(CLOCK_MONOTONIC);
        n_back += now < last;
        last = now;
    }
    CHECK("monotonic time never goes back", n_back == 0);
    CHECK("monotonic time goes on", now > first);
}

static void check_realtime(void)
{
    const int64_t year_2024 = 1704067200, year_2100 = 4102444800;
    struct timeval tv;
    struct timespec res;
    int64_t now = now_ns(CLOCK_REALTIME) / (1000 * MS);

    CHECK("the date is plausible", now > year_2024 && now < year_2100);
    CHECK("time() agrees", time(NULL) - now >= 0 && time(NULL) - now <= 2);
    CHECK("gettimeofday() agrees",
          gettimeofday(&tv, NULL) == 0 && tv.tv_sec - now >= 0 && tv.tv_sec - now <= 2);
    CHECK("the resolution of real time",
          clock_getres(CLOCK_REALTIME, &res) == 0 && res.tv_sec == 0 && res.tv_nsec > 0);
    CHECK("the resolution of monotonic time",
          clock_getres(CLOCK_MONOTONIC, &res) == 0 && res.tv_sec == 0 && res.tv_nsec > 0);
}

static void check_sleep(void)
{
    struct timespec ts = {.tv_nsec = 50 * MS};
    int64_t start = now_ns(CLOCK_MONOTONIC), slept;

    CHECK("sleeps", nanosleep(&ts, NULL) == 0);
    slept = now_ns(CLOCK_MONOTONIC) - start;
    CHECK("as long as asked", slept >= 50 * MS);
    CHECK("and not for ever", slept < 5000 * MS);

    start = now_ns(CLOCK_MONOTONIC);
    ts.tv_sec = (start + 50 * MS) / (1000 * MS);
    ts.tv_nsec = (start + 50 * MS) % (1000 * MS);
    CHECK("sleeps until a time", clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL) == 0 &&
                                     now_ns(CLOCK_MONOTONIC) - start >= 50 * MS);
    CHECK("does not sleep until a time that is over",
          clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL) == 0);
    ts = (struct timespec){0};
    CHECK("sleeps for no time", nanosleep(&ts, NULL) == 0);
    ts.tv_nsec = 1000 * MS;
    CHECK_FAILS("refuses a second of nanoseconds", nanosleep(&ts, NULL), EINVAL);
}

int main(void)
{
    check_monotonic();
    check_realtime();
    check_sleep();
    return check_status();
}
