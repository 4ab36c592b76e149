/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Compares HTTP servers from their start to the first byte of their first answer: `first_byte N
 * COMMAND... -- COMMAND... [-- ...]` starts the commands in turn, N rounds, after a warm-up. Each
 * has to write a line with "http://127.0.0.1:PORT" to its standard error when it listens; then it
 * gets one request, must answer it with the status 200 and is killed. Prints the lines of
 * spawn_pairs; CPU time is the server's from its start to its end.
 */

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pairs.h"

#define WARM_UP     2
#define PATIENCE_MS 20000

static const char request[] = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

static _Noreturn void die(pid_t pid, const char *what, const char *detail)
{
    fprintf(stderr, "first_byte: %s: %s\n", what, detail);
    if (pid > 0)
        kill(pid, SIGKILL);
    exit(1);
}

static pid_t start(char **argv, int *ret_errors)
{
    posix_spawn_file_actions_t actions;
    int ends[2];
    pid_t pid;

    if (pipe2(ends, O_CLOEXEC) < 0)
        die(0, "pipe", strerror(errno));
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, ends[1], 2);
    int error = posix_spawn(&pid, argv[0], &actions, NULL, argv, environ);
    if (error != 0)
        die(0, argv[0], strerror(error));
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    *ret_errors = ends[0];
    return pid;
}

/* Some bytes, or the end of the program: a server that hangs must not hang the measurement. */
static size_t read_some(pid_t pid, int fd, char *data, size_t size)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};

    if (poll(&p, 1, PATIENCE_MS) != 1)
        die(pid, "the server", "says nothing");
    ssize_t n = read(fd, data, size);
    if (n <= 0)
        die(pid, "the server", "has ended");
    return (size_t)n;
}

static in_port_t wait_for_port(pid_t pid, int errors)
{
    static const char before[] = "http://127.0.0.1:";
    char text[4096];
    size_t n = 0;

    for (;;) {
        n += read_some(pid, errors, text + n, sizeof(text) - 1 - n);
        text[n] = '\0';
        const char *found = strstr(text, before);
        if (found && strchr(found, '\n'))
            return htons((in_port_t)strtoul(found + strlen(before), NULL, 10));
        if (n == sizeof(text) - 1)
            die(pid, "no address in what the server said", text);
    }
}

static void ask(pid_t pid, in_port_t port)
{
    struct sockaddr_in a = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = port};
    char answer[4096] = "";
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0 ||
        write(fd, request, strlen(request)) != (ssize_t)strlen(request))
        die(pid, "connect", strerror(errno));
    read_some(pid, fd, answer, sizeof(answer) - 1);
    close(fd);
    if (strncmp(answer, "HTTP/1.1 200", 12) != 0)
        die(pid, "the server answered", answer);
}

static struct pairs_sample run_once(char **argv)
{
    struct rusage used;
    int errors;

    double start_us = pairs_now_us();
    pid_t pid = start(argv, &errors);
    ask(pid, wait_for_port(pid, errors));
    double wall_us = pairs_now_us() - start_us;
    kill(pid, SIGKILL);
    while (wait4(pid, NULL, 0, &used) < 0) {
        if (errno != EINTR)
            exit(1);
    }
    close(errors);
    return pairs_sample_make(wall_us, &used);
}

int main(int argc, char **argv)
{
    return pairs_main(argc, argv, "first_byte", 10000, WARM_UP, run_once);
}
