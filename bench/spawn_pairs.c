/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Compares programs from fork to exit: `spawn_pairs N COMMAND... -- COMMAND... [-- ...]` runs the
 * commands in turn, N rounds, after a warm-up, each with /dev/null as its standard streams, and
 * prints one line per command with minimum and quartiles of wall, CPU and user time. No shell is
 * between the two clocks.
 */

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pairs.h"

#define WARM_UP 1

/* Ends this program when the command cannot run or fails: figures of a failure mean nothing. */
static struct pairs_sample run_once(char **argv, const posix_spawn_file_actions_t *actions)
{
    struct rusage used;
    int status;
    pid_t pid;

    double start_us = pairs_now_us();
    int error = posix_spawn(&pid, argv[0], actions, NULL, argv, environ);
    if (error != 0) {
        fprintf(stderr, "spawn_pairs: %s: %s\n", argv[0], strerror(error));
        exit(1);
    }
    while (wait4(pid, &status, 0, &used) < 0) {
        if (errno != EINTR)
            exit(1);
    }
    double wall_us = pairs_now_us() - start_us;
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        fprintf(stderr, "spawn_pairs: %s: wait status %#x\n", argv[0], (unsigned)status);
        exit(1);
    }
    return pairs_sample_make(wall_us, &used);
}

int main(int argc, char **argv)
{
    char **commands[PAIRS_COMMANDS_MAX];
    size_t rounds = argc > 2 ? strtoul(argv[1], NULL, 10) : 0;
    int n_commands = argc > 2 ? pairs_split(argv + 2, commands) : 0;
    if (rounds == 0 || rounds > 100000 || n_commands == 0) {
        fprintf(stderr, "usage: spawn_pairs N COMMAND... -- COMMAND... [-- ...]\n");
        return 2;
    }
    struct pairs_sample *samples[PAIRS_COMMANDS_MAX];
    for (int c = 0; c < n_commands; c++) {
        samples[c] = calloc(rounds, sizeof(*samples[c]));
        if (!samples[c])
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
        pairs_print(c, samples[c], rounds);
        free(samples[c]);
    }
    posix_spawn_file_actions_destroy(&actions);
    return 0;
}
