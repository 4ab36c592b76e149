/* SPDX-License-Identifier: Apache-2.0 */
/* A service manager's side is played by a socket. */
#include "unit.h"

#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "agent/notify.h"
#include "base/clock.h"
#include "base/util.h"

static int manager_open(const char *name)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    memcpy(at.sun_path + 1, name, strlen(name));
    assert_int_equal(bind(fd, (struct sockaddr *)&at,
                          (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name))),
                     0);
    return fd;
}

static void assert_told(int manager, const char *wanted)
{
    char text[64] = "";

    assert_int_equal(recv(manager, text, sizeof(text) - 1, 0), strlen(wanted));
    assert_string_equal(text, wanted);
}

static void a_manager_is_told(void **state)
{
    autofree char *name = xasprintf("wherry-test-%d", (int)getpid());
    autofree char *address = xasprintf("@%s", name);
    autofd manager = manager_open(name);

    (void)state;
    setenv("NOTIFY_SOCKET", address, 1);
    notify_send("READY=1");
    assert_told(manager, "READY=1");
    unsetenv("NOTIFY_SOCKET");
    notify_send("READY=1");
    assert_int_equal(recv(manager, address, 1, 0), -1);
}

static void the_socket_is_taken_once_and_only_by_whom_it_is_meant_for(void **state)
{
    autofree char *pid = xasprintf("%d", (int)getpid());
    struct err e = ERR_INIT;
    int fd;

    (void)state;
    assert_ok(notify_socket(&fd, &e));
    assert_int_equal(fd, -1);
    setenv("LISTEN_FDS", "1", 1);
    setenv("LISTEN_PID", "1", 1);
    assert_ok(notify_socket(&fd, &e));
    assert_int_equal(fd, -1);
    setenv("LISTEN_FDS", "1", 1);
    setenv("LISTEN_PID", pid, 1);
    assert_ok(notify_socket(&fd, &e));
    assert_int_equal(fd, 3);
    assert_null(getenv("LISTEN_FDS"));
    setenv("LISTEN_FDS", "2", 1);
    setenv("LISTEN_PID", pid, 1);
    assert_fails(notify_socket(&fd, &e), -EINVAL, "BadActivation");
}

static void stop(void *ctx)
{
    loop_stop(ctx);
}

static void the_watchdog_hears_of_the_loop_until_it_ends(void **state)
{
    autofree char *name = xasprintf("wherry-test-%d", (int)getpid());
    autofree char *address = xasprintf("@%s", name);
    autofd manager = manager_open(name);
    struct notify_watchdog *w;
    struct loop_timer *end;
    struct err e = ERR_INIT;
    struct loop *l;

    (void)state;
    assert_ok(loop_open(&l, &e));
    setenv("WATCHDOG_USEC", "20000", 1);
    assert_null(notify_watchdog_new(l));
    setenv("NOTIFY_SOCKET", address, 1);
    w = notify_watchdog_new(l);
    end = loop_timer_new(l, stop, l);
    loop_timer_set(end, clock_monotonic_ns() + 50000000u);
    loop_run(l);
    for (int i = 0; i < 3; i++)
        assert_told(manager, "WATCHDOG=1");
    notify_watchdog_free(w);
    loop_timer_free(end);
    loop_free(l);
    unsetenv("NOTIFY_SOCKET");
    unsetenv("WATCHDOG_USEC");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_manager_is_told),
        cmocka_unit_test(the_socket_is_taken_once_and_only_by_whom_it_is_meant_for),
        cmocka_unit_test(the_watchdog_hears_of_the_loop_until_it_ends),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
