/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The smallest useful command: it reads what a host gives to a program (arguments, environment, a
 * place to write) and gives back the one thing that a host waits for, a status.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Returns the status, or -1 when the text is not a whole number from 0 to 255. */
static int status_parse(const char *text)
{
    char *end = NULL;
    long value = strtol(text, &end, 10);

    return end == text || *end != '\0' || value < 0 || value > 255 ? -1 : (int)value;
}

int main(int argc, char **argv)
{
    const char *greeting = getenv("GREETING");
    int status = 0;
    int n_names = 0;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--exit") == 0 && i + 1 < argc)
            status = status_parse(argv[++i]);
        else
            argv[n_names++] = argv[i];
    }
    if (status < 0) {
        fprintf(stderr, "hello: --exit takes a status from 0 to 255\n");
        return 2;
    }

    printf("%s from WebAssembly", greeting ? greeting : "Hello");
    for (int i = 0; i < n_names; i++)
        printf("%s %s", i == 0 ? "," : "", argv[i]);
    printf("\n");
    return status;
}
