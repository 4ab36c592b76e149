/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Waiting for clocks and descriptors. With the argument `data` or `idle` it also checks that stdin
 * has something to read (or is at its end), or that it stays silent; without, stdin is left alone.
 */

#include "check.h"

#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <string.h>
#include <sys/select.h>
#include <time.h>
#include <unistd.h>
#include <wasi/api.h>

#define DIR_PATH WORK "/polling"
#define MS       1000000LL

static int64_t now_ns(void)
{
    struct timespec ts = {0};

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * 1000 * MS + ts.tv_nsec;
}

static __wasi_subscription_t on_clock(uint64_t userdata, int64_t timeout_ns, uint16_t flags)
{
    return (__wasi_subscription_t){
        .userdata = userdata,
        .u = {.tag = __WASI_EVENTTYPE_CLOCK,
              .u.clock = {.id = __WASI_CLOCKID_MONOTONIC,
                          .timeout = (uint64_t)timeout_ns,
                          .flags = flags}},
    };
}

static __wasi_subscription_t on_readable(uint64_t userdata, int fd)
{
    return (__wasi_subscription_t){
        .userdata = userdata,
        .u = {.tag = __WASI_EVENTTYPE_FD_READ, .u.fd_read.file_descriptor = fd},
    };
}

static void check_clocks(void)
{
    __wasi_subscription_t in[2];
    __wasi_event_t out[2];
    __wasi_size_t n = 0;
    int64_t start = now_ns();

    in[0] = on_clock(7, 50 * MS, 0);
    CHECK("waits for a clock", __wasi_poll_oneoff(in, out, 1, &n) == 0 && n == 1);
    CHECK("as long as asked", now_ns() - start >= 50 * MS);
    CHECK("tells which and what",
          out[0].userdata == 7 && out[0].type == __WASI_EVENTTYPE_CLOCK && out[0].error == 0);

    in[0] = on_clock(1, 3600 * 1000 * MS, 0);
    in[1] = on_clock(2, 20 * MS, 0);
    CHECK("the earlier of two clocks ends the wait",
          __wasi_poll_oneoff(in, out, 2, &n) == 0 && n == 1 && out[0].userdata == 2);
    in[0] = on_clock(3, start, __WASI_SUBCLOCKFLAGS_SUBSCRIPTION_CLOCK_ABSTIME);
    CHECK("a time that is over ends the wait",
          __wasi_poll_oneoff(in, out, 1, &n) == 0 && n == 1 && out[0].userdata == 3);
    CHECK("refuses to wait for nothing", __wasi_poll_oneoff(in, out, 0, &n) == EINVAL);
}

static void check_files(void)
{
    __wasi_subscription_t in[2];
    __wasi_event_t out[2];
    __wasi_size_t n = 0;
    struct pollfd fds[2];
    fd_set readable;
    struct timeval hour = {.tv_sec = 3600};
    int fd;

    file_put(DIR_PATH "/f", "content");
    fd = open(DIR_PATH "/f", O_RDWR);

    in[0] = on_clock(1, 3600 * 1000 * MS, 0);
    in[1] = on_readable(2, fd);
    CHECK("a file ends the wait for a clock",
          __wasi_poll_oneoff(in, out, 2, &n) == 0 && n == 1 && out[0].userdata == 2 &&
              out[0].type == __WASI_EVENTTYPE_FD_READ && out[0].error == 0);

    fds[0] = (struct pollfd){.fd = fd, .events = POLLIN | POLLOUT};
    CHECK("poll() finds a file ready",
          poll(fds, 1, 3600 * 1000) > 0 && (fds[0].revents & (POLLIN | POLLOUT)) != 0);
    fds[0] = (struct pollfd){.fd = STDOUT_FILENO, .events = POLLOUT};
    CHECK("poll() finds stdout ready",
          poll(fds, 1, 3600 * 1000) == 1 && (fds[0].revents & POLLOUT) != 0);
    FD_ZERO(&readable);
    FD_SET(fd, &readable);
    CHECK("select() finds a file ready",
          select(fd + 1, &readable, NULL, NULL, &hour) == 1 && FD_ISSET(fd, &readable));
    close(fd);

    fds[0] = (struct pollfd){.fd = 999, .events = POLLIN};
    CHECK("poll() tells a bad descriptor",
          (poll(fds, 1, 0) == 1 && (fds[0].revents & POLLNVAL) != 0) || errno == EBADF);
}

static void check_stdin(const char *expected)
{
    struct pollfd fds = {.fd = STDIN_FILENO, .events = POLLIN};
    int64_t start = now_ns();
    char byte;

    if (strcmp(expected, "data") == 0) {
        CHECK("stdin is ready", poll(&fds, 1, 10000) == 1);
        CHECK("and is read at once", read(STDIN_FILENO, &byte, 1) >= 0);
    } else {
        CHECK("stdin stays silent", poll(&fds, 1, 100) == 0);
        CHECK("for the time given", now_ns() - start >= 100 * MS);
    }
}

int main(int argc, char **argv)
{
    work_make(DIR_PATH);
    check_clocks();
    check_files();
    if (argc > 1)
        check_stdin(argv[1]);
    work_remove(DIR_PATH);
    return check_status();
}
