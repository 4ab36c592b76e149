/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/notify.h"

#include <stddef.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/clock.h"
#include "base/fds.h"

#define LISTEN_FDS_START 3

void notify_send(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    size_t len = path ? strlen(path) : 0;
    autofd fd = -EBADF;

    if (!len || len >= sizeof(to.sun_path) || (path[0] != '/' && path[0] != '@'))
        return;
    memcpy(to.sun_path, path, len);
    if (path[0] == '@')
        to.sun_path[0] = 0;
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    /* A manager that does not listen changes nothing here. */
    if (fd >= 0)
        (void)sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&to,
                     (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len));
}

/* A number in the environment that is meant for this process; 0 without one. */
static unsigned long long variable_of(const char *name, const char *pid_name)
{
    const char *text = getenv(name), *pid = getenv(pid_name);
    char *end;
    unsigned long long n;

    if (!text || (pid && strtoll(pid, NULL, 10) != getpid()))
        return 0;
    n = strtoull(text, &end, 10);
    return end == text || *end ? 0 : n;
}

int notify_socket(int *ret_fd, struct err *e)
{
    unsigned long long n = getenv("LISTEN_PID") ? variable_of("LISTEN_FDS", "LISTEN_PID") : 0;

    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDNAMES");
    if (n > 1)
        return err_set(e, -EINVAL, "BadActivation",
                       "%llu sockets were handed over, and one is served", n);
    if (n)
        fd_cloexec_set(LISTEN_FDS_START, true);
    *ret_fd = n ? LISTEN_FDS_START : -1;
    return 0;
}

/* ---- Watchdog ---- */

struct notify_watchdog {
    struct loop_timer *timer;
    uint64_t period_ns;
};

static void watchdog_fire(void *ctx)
{
    struct notify_watchdog *w = ctx;

    notify_send("WATCHDOG=1");
    loop_timer_set(w->timer, clock_monotonic_ns() + w->period_ns);
}

struct notify_watchdog *notify_watchdog_new(struct loop *l)
{
    unsigned long long us = variable_of("WATCHDOG_USEC", "WATCHDOG_PID");
    struct notify_watchdog *w;

    if (!us || !getenv("NOTIFY_SOCKET"))
        return NULL;
    w = xcalloc(1, sizeof(*w));
    w->period_ns = us * 500; /* half of it, as its manual says */
    w->timer = loop_timer_new(l, watchdog_fire, w);
    watchdog_fire(w);
    return w;
}

void notify_watchdog_free(struct notify_watchdog *w)
{
    if (!w)
        return;
    loop_timer_free(w->timer);
    free(w);
}
