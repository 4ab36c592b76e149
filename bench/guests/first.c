/* SPDX-License-Identifier: Apache-2.0 */

/* Says when it began, in nanoseconds of the real clock: the first thing that it does. */

#include <stdio.h>
#include <time.h>

int main(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    printf("%lld\n", (long long)now.tv_sec * 1000000000 + now.tv_nsec);
    return 0;
}
