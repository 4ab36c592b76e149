/* SPDX-License-Identifier: Apache-2.0 */

/* lines FILE: the sidecar. Prints the lines of the file, and then those that are added to it. */

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* What follows `*place`, as far as there are whole lines; moves `*place` on. */
static void lines_print(const char *path, long *place)
{
    char line[400];
    FILE *f = fopen(path, "r");

    if (!f)
        return; /* nobody has written to it yet */
    fseek(f, *place, SEEK_SET);
    while (fgets(line, sizeof(line), f) && strchr(line, '\n')) {
        fputs(line, stdout);
        *place = ftell(f);
    }
    fclose(f);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    long place = 0;

    if (argc != 2) {
        fprintf(stderr, "lines: a file is expected\n");
        return 2;
    }
    printf("reading %s\n", argv[1]);
    for (;; sleep(1)) /* WASI cannot tell of changes */
        lines_print(argv[1], &place);
}
