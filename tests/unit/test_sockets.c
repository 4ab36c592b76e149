/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/util.h"
#include "cli/sockets.h"

static struct listen_address address(const char *text)
{
    struct listen_address a;
    struct err e = ERR_INIT;

    assert_ok(listen_address_parse("--listen", text, &a, &e));
    return a;
}

static struct listen_address bound(int fd)
{
    autofree char *name = NULL;
    struct err e = ERR_INIT;

    assert_ok(sockets_name(fd, &name, &e));
    return address(name);
}

static int connected(const struct listen_address *a)
{
    int fd = socket(a->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(connect(fd, &a->any, a->len), 0);
    return fd;
}

static void test_sockets_share_a_port(void **state)
{
    enum { SOCKETS = 3, CLIENTS = 60 };
    struct listen_address any = address("127.0.0.1:0"), a;
    struct err e = ERR_INIT;
    int fds[SOCKETS], clients[CLIENTS], total = 0;

    (void)state;
    assert_ok(sockets_listen(&any, SOCKETS, fds, &e));
    a = bound(fds[0]);
    assert_int_not_equal(a.v4.sin_port, 0);
    for (int i = 0; i < SOCKETS; i++) {
        struct listen_address other = bound(fds[i]);

        assert_int_equal(other.v4.sin_port, a.v4.sin_port);
        assert_int_equal(fcntl(fds[i], F_GETFD), FD_CLOEXEC);
        assert_true(fcntl(fds[i], F_GETFL) & O_NONBLOCK);
    }
    for (int i = 0; i < CLIENTS; i++)
        clients[i] = connected(&a);
    for (int i = 0; i < SOCKETS; i++) {
        int fd, n = 0;

        for (; (fd = accept4(fds[i], NULL, NULL, SOCK_CLOEXEC)) >= 0; n++)
            close(fd);
        assert_int_equal(errno, EAGAIN);
        assert_true(n > 0);
        total += n;
    }
    assert_int_equal(total, CLIENTS);
    for (int i = 0; i < CLIENTS; i++)
        close(clients[i]);
    for (int i = 0; i < SOCKETS; i++)
        close(fds[i]);
}

/* Also one that would let others share it: requests would go to either. */
static void test_taken_port(void **state)
{
    struct listen_address any = address("127.0.0.1:0"), a, all;
    autofree char *text = NULL;
    struct err e = ERR_INIT;
    int theirs[2], fds[2] = {-7, -7};

    (void)state;
    assert_ok(sockets_listen(&any, 2, theirs, &e));
    a = bound(theirs[0]);
    assert_fails(sockets_listen(&a, 2, fds, &e), -EADDRINUSE, "ListenFailed");
    assert_contains(e.msg, "cannot listen on 127.0.0.1:");
    assert_contains(e.msg, "another program listens there");
    assert_fails(sockets_listen(&a, 1, fds, &e), -EADDRINUSE, "ListenFailed");
    text = xasprintf(":%d", ntohs(a.v4.sin_port));
    all = address(text);
    assert_fails(sockets_listen(&all, 2, fds, &e), -EADDRINUSE, "ListenFailed");
    assert_int_equal(fds[0], -7);
    close(theirs[0]);
    close(theirs[1]);
    assert_ok(sockets_listen(&a, 2, fds, &e));
    close(fds[0]);
    close(fds[1]);
}

static bool reaches(int family, int fd)
{
    struct listen_address a = bound(fd), to = address(family == AF_INET ? "1" : "[::1]:1");
    int client = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0), r;

    to.v4.sin_port = a.v4.sin_port;
    r = connect(client, &to.any, to.len);
    close(client);
    return r == 0;
}

static void test_all_addresses(void **state)
{
    struct listen_address dual = address(":0"), v6 = address("[::]:0");
    struct err e = ERR_INIT;
    int fd;

    (void)state;
    assert_ok(sockets_listen(&dual, 1, &fd, &e));
    assert_true(reaches(AF_INET, fd));
    if (bound(fd).any.sa_family != AF_INET6) {
        close(fd);
        skip(); /* a machine without IPv6 */
    }
    assert_true(reaches(AF_INET6, fd));
    close(fd);
    assert_ok(sockets_listen(&v6, 1, &fd, &e));
    assert_true(reaches(AF_INET6, fd));
    assert_false(reaches(AF_INET, fd));
    close(fd);
}

static void test_no_such_address(void **state)
{
    struct listen_address a = address("192.0.2.1:8080"); /* TEST-NET-1 */
    struct err e = ERR_INIT;
    int fds[2];

    (void)state;
    assert_fails(sockets_listen(&a, 2, fds, &e), -EADDRNOTAVAIL, "ListenFailed");
    assert_contains(e.msg, "this machine has no such address");
}

static void test_unix_socket(void **state)
{
    char *dir = unit_temp_dir();
    autofree char *text = xasprintf("unix:%s/s", dir);
    struct listen_address a = address(text);
    autofree char *name = NULL;
    mode_t mask = umask(0027);
    struct err e = ERR_INIT;
    struct stat st;
    int fd, again = -7, client;

    (void)state;
    assert_ok(sockets_listen(&a, 1, &fd, &e));
    assert_int_equal(umask(mask), 0027);
    assert_ok(sockets_name(fd, &name, &e));
    assert_string_equal(name, text);
    assert_int_equal(stat(a.un.sun_path, &st), 0);
    assert_int_equal(st.st_mode, S_IFSOCK | 0640);
    client = connected(&a);

    /* Alive: refused, and it stays. */
    assert_fails(sockets_listen(&a, 1, &again, &e), -EADDRINUSE, "ListenFailed");
    assert_contains(e.msg, "something answers on it already");
    assert_int_equal(again, -7);
    close(connected(&a));
    close(client);

    /* The server is gone, its file is not: replaced. */
    close(fd);
    assert_int_equal(stat(a.un.sun_path, &st), 0);
    assert_ok(sockets_listen(&a, 1, &again, &e));
    close(connected(&a));
    close(again);
    unit_remove(dir);
}

static void test_unix_socket_in_the_way(void **state)
{
    char *dir = unit_temp_dir();
    autofree char *file = xasprintf("%s/file", dir);
    autofree char *text = xasprintf("unix:%s", file);
    autofree char *lost = xasprintf("unix:%s/no/s", dir);
    struct listen_address a = address(text), b = address(lost);
    struct err e = ERR_INIT;
    int fd;

    (void)state;
    close(open(file, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    assert_fails(sockets_listen(&a, 1, &fd, &e), -EEXIST, "ListenFailed");
    assert_contains(e.msg, "is no socket");
    assert_int_equal(access(file, F_OK), 0);
    assert_fails(sockets_listen(&b, 1, &fd, &e), -ENOENT, "ListenFailed");
    assert_contains(e.msg, "/no' is missing");
    unit_remove(dir);
}

/* A relative name is made absolute: the worker's folder may be another. */
static void test_unix_socket_has_an_absolute_name(void **state)
{
    char *dir = unit_temp_dir();
    autofree char *before = getcwd(NULL, 0);
    autofree char *expected = xasprintf("unix:%s/s", dir);
    autofree char *name = NULL;
    struct listen_address a = address("unix:s");
    struct err e = ERR_INIT;
    int fd;

    (void)state;
    assert_int_equal(chdir(dir), 0);
    assert_ok(sockets_listen(&a, 1, &fd, &e));
    assert_ok(sockets_name(fd, &name, &e));
    assert_string_equal(name, expected);
    close(fd);
    assert_int_equal(chdir(before), 0);
    unit_remove(dir);
}

/* ---- Socket activation ---- */

/* As systemd starts a service: in a child, with `fds` from 3 on. The status: how many were
 * accepted, or 100 for "ActivationFailed". */
static int activated(const char *pid, const char *count, int first, int second)
{
    pid_t child = fork();
    int status;

    assert_true(child >= 0);
    if (!child) {
        char self[16];
        struct err e = ERR_INIT;
        size_t n = 99;

        snprintf(self, sizeof(self), "%d", getpid());
        setenv("LISTEN_PID", pid ? pid : self, 1);
        setenv("LISTEN_FDS", count, 1);
        setenv("LISTEN_FDNAMES", "a:b", 1);
        /* Above the places first: they may lie there themselves. */
        first = fcntl(first, F_DUPFD, 10);
        second = fcntl(second, F_DUPFD, 10);
        if (dup2(first, 3) != 3 || dup2(second, 4) != 4)
            _exit(101);
        if (sockets_passed(&n, &e) < 0)
            _exit(str_eq(e.reason, "ActivationFailed") ? 100 : 102);
        if (getenv("LISTEN_PID") || getenv("LISTEN_FDS") || getenv("LISTEN_FDNAMES"))
            _exit(103);
        for (int i = 0; i < (int)n; i++)
            if (fcntl(3 + i, F_GETFD) != FD_CLOEXEC || !(fcntl(3 + i, F_GETFL) & O_NONBLOCK))
                _exit(104);
        _exit((int)n);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void test_activation(void **state)
{
    char *dir = unit_temp_dir();
    autofree char *text = xasprintf("unix:%s/s", dir);
    struct listen_address tcp = address("127.0.0.1:0"), local = address(text), a;
    struct err e = ERR_INIT;
    int fds[2], datagram = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), client;
    int file = open("/dev/null", O_RDONLY | O_CLOEXEC);

    (void)state;
    assert_ok(sockets_listen(&tcp, 1, &fds[0], &e));
    assert_ok(sockets_listen(&local, 1, &fds[1], &e));
    a = bound(fds[0]);
    client = connected(&a);
    assert_int_equal(activated(NULL, "2", fds[0], fds[1]), 2);
    assert_int_equal(activated(NULL, "1", fds[0], file), 1);
    assert_int_equal(activated(NULL, "0", fds[0], fds[1]), 0);
    assert_int_equal(activated("1", "2", fds[0], fds[1]), 0); /* for another process */
    assert_int_equal(activated("x", "2", fds[0], fds[1]), 0);
    assert_int_equal(activated(NULL, "x", fds[0], fds[1]), 100);
    assert_int_equal(activated(NULL, "-1", fds[0], fds[1]), 100);
    assert_int_equal(activated(NULL, "100000", fds[0], fds[1]), 100);
    assert_int_equal(activated(NULL, "2", fds[0], file), 100);
    assert_int_equal(activated(NULL, "2", fds[0], datagram), 100);
    assert_int_equal(activated(NULL, "2", fds[0], client), 100);
    close(client);
    close(file);
    close(datagram);
    close(fds[0]);
    close(fds[1]);
    unit_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sockets_share_a_port),
        cmocka_unit_test(test_taken_port),
        cmocka_unit_test(test_all_addresses),
        cmocka_unit_test(test_no_such_address),
        cmocka_unit_test(test_unix_socket),
        cmocka_unit_test(test_unix_socket_in_the_way),
        cmocka_unit_test(test_unix_socket_has_an_absolute_name),
        cmocka_unit_test(test_activation),
    };
    return cmocka_run_group_tests_name("sockets", tests, NULL, NULL);
}
