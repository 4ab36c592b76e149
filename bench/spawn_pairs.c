/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Compares programs from fork to exit: `spawn_pairs N COMMAND... -- COMMAND... [-- ...]` runs the
 * commands in turn, N rounds, after a warm-up, each with /dev/null as its standard streams, and
 * prints one line per command with minimum and quartiles of wall, CPU and user time. No shell is
 * between the two clocks, and taking turns makes a slow moment of the machine hit all of them
 * alike.
 */

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define COMMANDS_MAX 8
#define WARM_UP      1

struct sample {
    double wall_us, cpu_us, user_us;
};

static double timeval_us(struct timeval t)
{
    return (double)t.tv_sec * 1e6 + (double)t.tv_usec;
}

static double now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

/* Ends this program when the command cannot run or fails: figures of a failure mean nothing. */
static struct sample run_once(char **argv, const posix_spawn_file_actions_t *actions)
{
    struct rusage used;
    int status;
    pid_t pid;

    double start_us = now_us();
    int error = posix_spawn(&pid, argv[0], actions, NULL, argv, environ);
    if (error != 0) {
        fprintf(stderr, "spawn_pairs: %s: %s\n", argv[0], strerror(error));
        exit(1);
    }
    while (wait4(pid, &status, 0, &used) < 0) {
        if (errno != EINTR)
            exit(1);
    }
    double wall_us = now_us() - start_us;
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        fprintf(stderr, "spawn_pairs: %s: wait status %#x\n", argv[0], (unsigned)status);
        exit(1);
    }
    double user_us = timeval_us(used.ru_utime);
    return (struct sample){wall_us, user_us + timeval_us(used.ru_stime), user_us};
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;

    return (x > y) - (x < y);
}

static void print_quantiles(const char *name, const struct sample *samples, size_t offset, size_t n,
                            double *scratch)
{
    for (size_t i = 0; i < n; i++)
        memcpy(&scratch[i], (const char *)&samples[i] + offset, sizeof(double));
    qsort(scratch, n, sizeof(double), compare);
    printf(" %s=%.1f,%.1f,%.1f,%.1f", name, scratch[0], scratch[n / 4], scratch[n / 2],
           scratch[n * 3 / 4]);
}

/* Cuts argv at "--" into commands; returns how many, 0 for a mistake. */
static int split(char **argv, char **commands[COMMANDS_MAX])
{
    int n = 0;

    while (*argv) {
        if (n == COMMANDS_MAX || strcmp(*argv, "--") == 0)
            return 0;
        commands[n++] = argv;
        while (*argv && strcmp(*argv, "--") != 0)
            argv++;
        if (*argv)
            *argv++ = NULL;
    }
    return n;
}

int main(int argc, char **argv)
{
    char **commands[COMMANDS_MAX];
    size_t rounds = argc > 2 ? strtoul(argv[1], NULL, 10) : 0;
    int n_commands = argc > 2 ? split(argv + 2, commands) : 0;
    if (rounds == 0 || rounds > 100000 || n_commands == 0) {
        fprintf(stderr, "usage: spawn_pairs N COMMAND... -- COMMAND... [-- ...]\n");
        return 2;
    }
    struct sample *samples[COMMANDS_MAX];
    double *scratch = calloc(rounds, sizeof(*scratch));
    for (int c = 0; c < n_commands; c++) {
        samples[c] = calloc(rounds, sizeof(struct sample));
        if (!samples[c] || !scratch)
            return 1;
    }

    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    for (int fd = 0; fd < 3; fd++)
        posix_spawn_file_actions_addopen(&actions, fd, "/dev/null", O_RDWR, 0);
    for (int c = 0; c < n_commands; c++) {
        for (int i = 0; i < WARM_UP; i++)
            run_once(commands[c], &actions);
    }
    for (size_t i = 0; i < rounds; i++) {
        for (int c = 0; c < n_commands; c++)
            samples[c][i] = run_once(commands[c], &actions);
    }

    for (int c = 0; c < n_commands; c++) {
        printf("command=%d n=%zu", c, rounds);
        print_quantiles("wall_us", samples[c], offsetof(struct sample, wall_us), rounds, scratch);
        print_quantiles("cpu_us", samples[c], offsetof(struct sample, cpu_us), rounds, scratch);
        print_quantiles("user_us", samples[c], offsetof(struct sample, user_us), rounds, scratch);
        printf("\n");
        free(samples[c]);
    }
    free(scratch);
    posix_spawn_file_actions_destroy(&actions);
    return 0;
}
