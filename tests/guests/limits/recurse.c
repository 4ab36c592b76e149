/* SPDX-License-Identifier: Apache-2.0 */

/* Calls itself without end, until the engine's own stack is used up. */

#include <stdio.h>

/* Keeps nothing in linear memory, whose stack would run over first and silently. */
__attribute__((noinline, disable_tail_calls)) static unsigned recurse(unsigned depth)
{
    __asm__ volatile("" : "+r"(depth)); /* hides that this never ends */
    return depth == 0 ? 0 : recurse(depth + 1) * 3 + depth;
}

int main(void)
{
    printf("%u\n", recurse(1));
    return 1;
}
