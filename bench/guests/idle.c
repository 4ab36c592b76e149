/* SPDX-License-Identifier: Apache-2.0 */

/* Says that it runs, then waits for input that never comes. */

#include <stdio.h>

int main(void)
{
    puts("idle");
    fflush(stdout);
    return getchar() == EOF ? 0 : 1;
}
