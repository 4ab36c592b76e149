/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Plain sockets as clients of what runs on a loop, all in one thread: waiting for a client's
 * descriptor runs the loop. */
#include "unit.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/buf.h"
#include "base/clock.h"
#include "loop/loop.h"

static struct loop *loop; /* the group's */

static inline void unit_stop(void *ctx)
{
    *(bool *)ctx = true;
    loop_stop(loop);
}

/* Runs the loop until something stops it; false when that took longer. */
static inline bool run_for(unsigned ms)
{
    bool is_late = false;
    struct loop_timer *t = loop_timer_new(loop, unit_stop, &is_late);

    loop_timer_set(t, clock_monotonic_ns() + ms * 1000000ULL);
    loop_run(loop);
    loop_timer_free(t);
    return !is_late;
}

static inline void unit_ready(void *ctx, unsigned events)
{
    (void)ctx;
    (void)events;
    loop_stop(loop);
}

static inline bool wait_for(int fd, unsigned events, unsigned ms)
{
    struct loop_watch *w = NULL;
    struct err e = ERR_INIT;
    bool is_ready;

    assert_ok(loop_watch_new(loop, fd, unit_ready, NULL, &w, &e));
    loop_watch_set(w, events);
    is_ready = run_for(ms);
    loop_watch_free(w);
    return is_ready;
}

/* Until the condition holds, which some callback brings about and stops the loop for. */
#define run_until(condition)                                                                       \
    do {                                                                                           \
        uint64_t unit_end_ = clock_monotonic_ns() + 5000000000ULL;                                 \
        while (!(condition)) {                                                                     \
            assert_true(clock_monotonic_ns() < unit_end_);                                         \
            run_for(1000);                                                                         \
        }                                                                                          \
    } while (0)

/* Adds what comes; false at the end of input. Fails when nothing comes in 5 s. */
static inline bool receive(int fd, struct buf *b)
{
    ssize_t n;

    while ((n = recv(fd, buf_reserve(b, 65536), 65536, MSG_DONTWAIT)) < 0) {
        if (errno == ECONNRESET)
            return false;
        assert_int_equal(errno, EAGAIN);
        assert_true(wait_for(fd, LOOP_READABLE, 5000));
    }
    b->len += (size_t)n;
    buf_terminate(b);
    return n > 0;
}

/* Until `text` has come. */
static inline void expect(int fd, struct buf *b, const char *text)
{
    while (!strstr(buf_str(b), text))
        if (!receive(fd, b))
            fail_msg("'%s' did not come, but '%s'", text, buf_str(b));
}

static inline void expect_end(int fd, struct buf *b)
{
    while (receive(fd, b))
        ;
}

static inline void say(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

static inline int listen_tcp(struct sockaddr_in *ret)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    socklen_t len = sizeof(*ret);

    *ret = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    assert_int_equal(bind(fd, (struct sockaddr *)ret, sizeof(*ret)), 0);
    assert_int_equal(listen(fd, 1024), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)ret, &len), 0);
    return fd;
}

static inline int connect_tcp(const struct sockaddr_in *to)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(connect(fd, (const struct sockaddr *)to, sizeof(*to)), 0);
    return fd;
}
