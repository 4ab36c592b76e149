/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/sockets.h"

#include <sys/stat.h>

#include "base/fds.h"
#include "base/paths.h"

#define BACKLOG 4096 /* connections that wait for the worker; net.core.somaxconn bounds it */

/* What to do about an errno of bind(2), as the rest of a sentence; "" when nothing is known. Heap.
 */
static char *advice(const struct listen_address *a, int code)
{
    int port = ntohs(a->v4.sin_port);

    if (a->any.sa_family == AF_UNIX) {
        autofree char *folder = path_dir(a->un.sun_path);

        if (code == -ENOENT)
            return xasprintf("; the folder '%s' is missing", folder);
        return code == -EACCES ? xasprintf("; you may not write to the folder '%s'", folder)
                               : xstrdup("");
    }
    if (code == -EADDRINUSE)
        return xasprintf("; another program listens there (ss -ltnp 'sport = :%d' shows which): "
                         "end it or choose another port",
                         port);
    if (code == -EACCES)
        return xstrdup("; choose a port from 1024 on, or allow lower ones: "
                       "sysctl net.ipv4.ip_unprivileged_port_start=80");
    if (code == -EADDRNOTAVAIL)
        return xstrdup("; this machine has no such address ('ip address' shows which it has)");
    return xstrdup(code == -EAFNOSUPPORT ? "; this machine has no IPv6" : "");
}

static int listen_fail(const struct listen_address *a, int code, struct err *e)
{
    autofree char *what = advice(a, code);
    char text[LISTEN_TEXT_SIZE];

    listen_address_format(a, text);
    return err_set(e, code, "ListenFailed", "cannot listen on %s: %s%s", text, err_text(-code),
                   what);
}

static int option_on(int fd, int level, int name, int value)
{
    return setsockopt(fd, level, name, &value, sizeof(value)) < 0 ? -errno : 0;
}

/* Returns a negative errno, without a message. */
static int tcp_bind(const struct listen_address *a, bool is_shared, int *ret_fd)
{
    int family = a->any.sa_family;
    autofd fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        return -errno;
    TRY(option_on(fd, SOL_SOCKET, SO_REUSEADDR, 1));
    if (is_shared)
        TRY(option_on(fd, SOL_SOCKET, SO_REUSEPORT, 1));
    if (family == AF_INET6)
        TRY(option_on(fd, IPPROTO_IPV6, IPV6_V6ONLY, !a->is_dual));
    if (bind(fd, &a->any, a->len) < 0)
        return -errno;
    *ret_fd = take_fd(&fd);
    return 0;
}

/*
 * The first socket is bound without SO_REUSEPORT: with it the kernel would silently let this
 * process share a port with another server of the same user. It gets the option afterwards, so that
 * the further ones may join it.
 */
static int tcp_bind_all(const struct listen_address *wanted, size_t n, int *fds)
{
    struct listen_address a = *wanted;
    int r = tcp_bind(&a, false, &fds[0]);

    if (r == -EAFNOSUPPORT && a.is_dual) {
        /* A machine without IPv6: all its addresses are those of IPv4. */
        a = (struct listen_address){
            .v4 = {.sin_family = AF_INET, .sin_port = wanted->v6.sin6_port},
              .len = sizeof(a.v4)
        };
        r = tcp_bind(&a, false, &fds[0]);
    }
    if (r < 0 || n == 1)
        return r;
    TRY(option_on(fds[0], SOL_SOCKET, SO_REUSEPORT, 1));
    if (getsockname(fds[0], &a.any, &a.len) < 0)
        return -errno;
    for (size_t i = 1; i < n; i++)
        TRY(tcp_bind(&a, true, &fds[i]));
    return 0;
}

/* Removes the file of a server that is gone; fails when it is anything else. */
static int unix_clear(const struct listen_address *a, struct err *e)
{
    autofd fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    const char *path = a->un.sun_path;
    struct stat st;

    if (fd < 0)
        return listen_fail(a, -errno, e);
    if (lstat(path, &st) < 0)
        return errno == ENOENT ? 0 : listen_fail(a, -errno, e);
    if (!S_ISSOCK(st.st_mode))
        return err_set(e, -EEXIST, "ListenFailed",
                       "cannot listen on unix:%s: the file is there and is no socket; remove it or "
                       "choose another name",
                       path);
    /* EAGAIN: it listens, and its queue is full. */
    if (connect(fd, &a->any, a->len) == 0 || errno == EAGAIN || errno == EPROTOTYPE)
        return err_set(e, -EADDRINUSE, "ListenFailed",
                       "cannot listen on unix:%s: something answers on it already; end that or "
                       "choose another name",
                       path);
    if (errno != ECONNREFUSED)
        return listen_fail(a, -errno, e);
    return unlink(path) < 0 && errno != ENOENT ? listen_fail(a, -errno, e) : 0;
}

/* The file gets the mode 0666 less the umask: who may write to it may connect. */
static int unix_bind_once(int fd, const struct listen_address *a)
{
    mode_t mask = umask(0111);
    int r;

    umask(mask | 0111);
    r = bind(fd, &a->any, a->len) < 0 ? -errno : 0;
    umask(mask);
    return r;
}

static int unix_bind(const struct listen_address *a, int *ret_fd, struct err *e)
{
    autofd fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int r = fd < 0 ? -errno : unix_bind_once(fd, a);

    if (r == -EADDRINUSE) {
        TRY(unix_clear(a, e));
        r = unix_bind_once(fd, a);
    }
    if (r < 0)
        return listen_fail(a, r, e);
    *ret_fd = take_fd(&fd);
    return 0;
}

static int open_all(const struct listen_address *a, size_t n, int *fds, struct err *e)
{
    int r;

    if (a->any.sa_family == AF_UNIX) {
        TRY(unix_bind(a, &fds[0], e));
    } else {
        r = tcp_bind_all(a, n, fds);
        if (r < 0)
            return listen_fail(a, r, e);
    }
    for (size_t i = 0; i < n; i++)
        if (listen(fds[i], BACKLOG) < 0)
            return listen_fail(a, -errno, e);
    return 0;
}

int sockets_listen(const struct listen_address *a, size_t n, int *ret_fds, struct err *e)
{
    autofree int *fds = xcalloc(n, sizeof(*fds));
    int r;

    BUG_ON(!n || (n > 1 && a->any.sa_family == AF_UNIX));
    for (size_t i = 0; i < n; i++)
        fds[i] = -EBADF;
    r = open_all(a, n, fds, e);
    for (size_t i = 0; r < 0 && i < n; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    if (r < 0)
        return r;
    memcpy(ret_fds, fds, n * sizeof(*fds));
    return 0;
}

int sockets_name(int fd, char **ret, struct err *e)
{
    struct listen_address a = {.len = sizeof(a.un)};
    char text[LISTEN_TEXT_SIZE];
    autofree char *path = NULL;

    /* A path may fill its place without a NUL at the end: a zero follows it all the same. */
    if (getsockname(fd, &a.any, &a.len) < 0)
        return err_errno(e, -errno, "ListenFailed", "cannot name the socket %d", fd);
    if (a.any.sa_family != AF_UNIX) {
        listen_address_format(&a, text);
        *ret = xstrdup(text);
        return 0;
    }
    if (!a.un.sun_path[0]) { /* of the abstract namespace, which has no files */
        *ret = xasprintf("unix:@%.*s", (int)(sizeof(a.un.sun_path) - 1), a.un.sun_path + 1);
        return 0;
    }
    TRY(path_absolute(a.un.sun_path, &path, e));
    *ret = xasprintf("unix:%s", path);
    return 0;
}

/* ---- Socket activation ---- */

static int passed_check(int fd, struct err *e)
{
    int type = 0, is_listening = 0;
    socklen_t len = sizeof(type);
    struct sockaddr_storage name = {0};
    socklen_t name_len = sizeof(name);

    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0)
        return err_errno(e, -errno, "ActivationFailed", "descriptor %d of LISTEN_FDS", fd);
    len = sizeof(is_listening);
    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &is_listening, &len) < 0 || !is_listening ||
        type != SOCK_STREAM || getsockname(fd, (struct sockaddr *)&name, &name_len) < 0 ||
        (name.ss_family != AF_INET && name.ss_family != AF_INET6 && name.ss_family != AF_UNIX))
        return err_set(e, -EINVAL, "ActivationFailed",
                       "descriptor %d of LISTEN_FDS is no listening TCP or unix socket; use "
                       "ListenStream= and Accept=no in the socket unit",
                       fd);
    if (fd_nonblock_set(fd) < 0 || fd_cloexec_set(fd, true) < 0)
        return err_errno(e, -errno, "ActivationFailed", "descriptor %d of LISTEN_FDS", fd);
    return 0;
}

/* A decimal number of a variable; -1 when it is none. */
static long variable_number(const char *name)
{
    const char *text = getenv(name);
    char *end;
    long n;

    if (!text || !*text)
        return -1;
    n = strtol(text, &end, 10);
    return *end || n < 0 ? -1 : n;
}

int sockets_passed(size_t *ret_n, struct err *e)
{
    static const char *const names[] = {"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES",
                                        "LISTEN_PIDFDID"};
    /* Variables for another process may have been inherited. */
    bool is_for_us = getenv("LISTEN_FDS") && variable_number("LISTEN_PID") == (long)getpid();
    long n = variable_number("LISTEN_FDS");

    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        unsetenv(names[i]);
    if (!is_for_us) {
        *ret_n = 0;
        return 0;
    }
    if (n < 0 || n > SERVE_LISTENER_LIMIT)
        return err_set(e, -EINVAL, "ActivationFailed",
                       "the variable LISTEN_FDS is not a number from 0 to %d",
                       SERVE_LISTENER_LIMIT);
    for (int i = 0; i < (int)n; i++)
        TRY(passed_check(SOCKETS_PASSED_FIRST + i, e));
    *ret_n = (size_t)n;
    return 0;
}
