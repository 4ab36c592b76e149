/* SPDX-License-Identifier: Apache-2.0 */
#include "pairs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double timeval_us(struct timeval t)
{
    return (double)t.tv_sec * 1e6 + (double)t.tv_usec;
}

double pairs_now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

struct pairs_sample pairs_sample_make(double wall_us, const struct rusage *used)
{
    double user_us = timeval_us(used->ru_utime);

    return (struct pairs_sample){wall_us, user_us + timeval_us(used->ru_stime), user_us};
}

static int split(char **argv, char **commands[PAIRS_COMMANDS_MAX])
{
    int n = 0;

    while (*argv) {
        if (n == PAIRS_COMMANDS_MAX || strcmp(*argv, "--") == 0)
            return 0;
        commands[n++] = argv;
        while (*argv && strcmp(*argv, "--") != 0)
            argv++;
        if (*argv)
            *argv++ = NULL;
    }
    return n;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;

    return (x > y) - (x < y);
}

static void print_quantiles(const char *name, const struct pairs_sample *samples, size_t offset,
                            size_t n, double *scratch)
{
    for (size_t i = 0; i < n; i++)
        memcpy(&scratch[i], (const char *)&samples[i] + offset, sizeof(double));
    qsort(scratch, n, sizeof(double), compare);
    printf(" %s=%.1f,%.1f,%.1f,%.1f", name, scratch[0], scratch[n / 4], scratch[n / 2],
           scratch[n * 3 / 4]);
}

static void print(int command, const struct pairs_sample *samples, size_t n)
{
    double *scratch = calloc(n, sizeof(*scratch));

    if (!scratch)
        exit(1);
    printf("command=%d n=%zu", command, n);
    print_quantiles("wall_us", samples, offsetof(struct pairs_sample, wall_us), n, scratch);
    print_quantiles("cpu_us", samples, offsetof(struct pairs_sample, cpu_us), n, scratch);
    print_quantiles("user_us", samples, offsetof(struct pairs_sample, user_us), n, scratch);
    printf("\n");
    free(scratch);
}

int pairs_main(int argc, char **argv, const char *name, size_t rounds_max, int warm_up,
               struct pairs_sample (*run_once)(char **argv))
{
    char **commands[PAIRS_COMMANDS_MAX];
    struct pairs_sample *samples[PAIRS_COMMANDS_MAX];
    size_t rounds = argc > 2 ? strtoul(argv[1], NULL, 10) : 0;
    int n_commands = argc > 2 ? split(argv + 2, commands) : 0;

    if (rounds == 0 || rounds > rounds_max || n_commands == 0) {
        fprintf(stderr, "usage: %s N COMMAND... -- COMMAND... [-- ...]\n", name);
        return 2;
    }
    for (int c = 0; c < n_commands; c++) {
        samples[c] = calloc(rounds, sizeof(*samples[c]));
        if (!samples[c])
            return 1;
    }
    for (int c = 0; c < n_commands; c++) {
        for (int i = 0; i < warm_up; i++)
            run_once(commands[c]);
    }
    for (size_t i = 0; i < rounds; i++) {
        for (int c = 0; c < n_commands; c++)
            samples[c][i] = run_once(commands[c]);
    }
    for (int c = 0; c < n_commands; c++) {
        print(c, samples[c], rounds);
        free(samples[c]);
    }
    return 0;
}
