/* SPDX-License-Identifier: Apache-2.0 */

/* seed FILE TEXT: the init container. Writes the file, unless an earlier run has done so. */

#include <stdio.h>

int main(int argc, char **argv)
{
    FILE *f;

    if (argc != 3) {
        fprintf(stderr, "seed: a file and its text are expected\n");
        return 2;
    }
    f = fopen(argv[1], "r");
    if (f) {
        fclose(f);
        printf("%s is there already\n", argv[1]);
        return 0;
    }
    f = fopen(argv[1], "w");
    if (!f || fprintf(f, "%s\n", argv[2]) < 0 || fclose(f)) {
        perror(argv[1]);
        return 1;
    }
    printf("%s has been written\n", argv[1]);
    return 0;
}
