/* SPDX-License-Identifier: Apache-2.0 */

/* What the demo app of runwasi does: echo WORD..., sleep, exit N, write FILE WORD..., daemon. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int words(FILE *f, int n, char **words)
{
    for (int i = 0; i < n; i++)
        fprintf(f, "%s%s", i ? " " : "", words[i]);
    fputc('\n', f);
    return fflush(f) == 0 ? 0 : 1;
}

static int write_file(int argc, char **argv)
{
    FILE *f = argc > 2 ? fopen(argv[2], "w") : NULL;

    if (!f) {
        fprintf(stderr, "write: %s\n", strerror(argc > 2 ? errno : EINVAL));
        return 1;
    }
    return words(f, argc - 3, argv + 3) | fclose(f);
}

int main(int argc, char **argv)
{
    const char *verb = argc > 1 ? argv[1] : "";

    if (!strcmp(verb, "echo"))
        return words(stdout, argc - 2, argv + 2);
    if (!strcmp(verb, "exit"))
        exit(argc > 2 ? atoi(argv[2]) : 0);
    if (!strcmp(verb, "write"))
        return write_file(argc, argv);
    if (!strcmp(verb, "sleep")) {
        puts("sleeping");
        fflush(stdout);
        sleep(1000);
        return 0;
    }
    for (int i = 1; !strcmp(verb, "daemon"); i++) {
        printf("tick %d\n", i);
        fflush(stdout);
        usleep(20 * 1000);
    }
    fprintf(stderr, "no such verb: '%s'\n", verb);
    return 2;
}
