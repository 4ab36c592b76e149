/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Takes memory until the host refuses, then prints how many MiB it got and exits with 7; with the
 * argument `trap` it traps instead, as a program does that takes no refusal.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MIB (1024 * 1024)

int main(int argc, char **argv)
{
    char line[32];
    int n_mib = 0;
    char *block;

    setvbuf(stdout, line, _IOLBF, sizeof(line)); /* nothing is left for a buffer later on */
    for (; (block = malloc(MIB)); n_mib++) {
        memset(block, 0xa5, MIB); /* the pages are wanted, not the addresses */
        __asm__ volatile("" : : "r"(block) : "memory"); /* else the compiler leaves both out */
    }
    printf("%d MiB\n", n_mib);
    if (argc > 1 && strcmp(argv[1], "trap") == 0)
        __builtin_trap();
    return 7;
}
