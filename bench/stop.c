/* SPDX-License-Identifier: Apache-2.0 */

/*
 * How long a guest that loops survives its stop: `stop N COMMAND...` starts the command N times,
 * waits until it has printed a line and then burnt CPU time, sends SIGTERM and waits for its end.
 * Prints quantiles of signal to end. The command must end with the status 143.
 */

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* CPU time after the line that only a loop can burn. */
#define LOOPING_US 1000

static double clock_us(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static _Noreturn void die(const char *what, int error)
{
    fprintf(stderr, "stop: %s: %s\n", what, strerror(error));
    exit(1);
}

static pid_t start(char **argv, int *ret_out)
{
    posix_spawn_file_actions_t actions;
    int ends[2];
    pid_t pid;

    if (pipe2(ends, O_CLOEXEC) < 0)
        die("pipe", errno);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
    int error = posix_spawn(&pid, argv[0], &actions, NULL, argv, environ);
    if (error != 0)
        die(argv[0], error);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    *ret_out = ends[0];
    return pid;
}

static void wait_until_looping(pid_t pid, int out)
{
    char line[64];
    clockid_t cpu;

    ssize_t n = read(out, line, sizeof(line));
    if (n <= 0)
        die("the guest printed nothing", n < 0 ? errno : EPIPE);
    int error = clock_getcpuclockid(pid, &cpu);
    if (error != 0)
        die("clock of the guest", error);
    double from_us = clock_us(cpu);
    while (clock_us(cpu) < from_us + LOOPING_US)
        sched_yield();
}

static double stop_once(char **argv)
{
    int out;
    int status;

    pid_t pid = start(argv, &out);
    wait_until_looping(pid, out);
    double from_us = clock_us(CLOCK_MONOTONIC);
    kill(pid, SIGTERM);
    if (waitpid(pid, &status, 0) < 0)
        die("wait", errno);
    double took_us = clock_us(CLOCK_MONOTONIC) - from_us;
    close(out);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 128 + SIGTERM) {
        fprintf(stderr, "stop: wait status %#x instead of exit status 143\n", (unsigned)status);
        exit(1);
    }
    return took_us;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;

    return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
    size_t n = argc > 2 ? strtoul(argv[1], NULL, 10) : 0;
    if (n == 0 || n > 100000) {
        fprintf(stderr, "usage: stop N COMMAND...\n");
        return 2;
    }
    double *took_us = calloc(n, sizeof(*took_us));
    if (!took_us)
        return 1;
    stop_once(argv + 2);
    for (size_t i = 0; i < n; i++)
        took_us[i] = stop_once(argv + 2);
    qsort(took_us, n, sizeof(*took_us), compare);
    printf("n=%zu p50_us=%.1f p90_us=%.1f p99_us=%.1f max_us=%.1f\n", n, took_us[n / 2],
           took_us[n * 90 / 100], took_us[n * 99 / 100], took_us[n - 1]);
    free(took_us);
    return 0;
}
