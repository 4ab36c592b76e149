/* SPDX-License-Identifier: Apache-2.0 */

/* Says that it runs, then never calls the host again: what bench/stop.c stops. */

#include <stdio.h>

int main(void)
{
    puts("looping");
    fflush(stdout);
    for (;;)
        ;
}
