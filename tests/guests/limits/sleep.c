/* SPDX-License-Identifier: Apache-2.0 */

/* Sleeps for argv[1] seconds, which may have decimals. */

#include <stdlib.h>
#include <time.h>

int main(int argc, char **argv)
{
    double seconds = argc > 1 ? strtod(argv[1], NULL) : 0;
    struct timespec ts = {.tv_sec = (time_t)seconds};

    ts.tv_nsec = (long)((seconds - (double)ts.tv_sec) * 1e9);
    return nanosleep(&ts, NULL) == 0 ? 0 : 1;
}
