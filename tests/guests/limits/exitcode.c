/* SPDX-License-Identifier: Apache-2.0 */

/* Exits with argv[1], by exit() and not from main(), so that the host's proc_exit is called. */

#include <stdlib.h>

int main(int argc, char **argv)
{
    exit(argc > 1 ? atoi(argv[1]) : 0);
}
