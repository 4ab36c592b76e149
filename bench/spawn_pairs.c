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

static posix_spawn_file_actions_t actions;

/* Ends this program when the command cannot run or fails. */
static struct pairs_sample run_once(char **argv)
{
    struct rusage used;
    int status;
    pid_t pid;

    double start_us = pairs_now_us();
    int error = posix_spawn(&pid, argv[0], &actions, NULL, argv, environ);
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
    posix_spawn_file_actions_init(&actions);
    for (int fd = 0; fd < 3; fd++)
        posix_spawn_file_actions_addopen(&actions, fd, "/dev/null", O_RDWR, 0);
    return pairs_main(argc, argv, "spawn_pairs", 100000, WARM_UP, run_once);
}
