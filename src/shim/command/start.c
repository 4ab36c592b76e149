/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/command/start.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/digest.h"
#include "base/fds.h"
#include "base/paths.h"
#include "container/oci/oci_config.h"

#define SANDBOX_ANNOTATION "io.kubernetes.cri.sandbox-id"
#define OOM_SCORE_MAX      1000
#define BACKLOG            128

#define ADDRESS_NAME "address"
#define SCHEME       "unix://"

static int group_find(const struct shim_flags *f, int bundle_fd, char **ret, struct err *e)
{
    struct oci_config config = {0};
    const char *sandbox;
    int r = oci_config_read(bundle_fd, &config, e);

    /* The sandbox of a pod by the sandbox API has none. */
    if (r == -ENOENT) {
        *ret = xstrdup(f->id);
        return 0;
    }
    TRY(r);
    sandbox = oci_config_annotation(&config, SANDBOX_ANNOTATION);
    *ret = xstrdup(sandbox && *sandbox ? sandbox : f->id);
    oci_config_done(&config);
    return 0;
}

static int socket_name(const struct shim_flags *f, const struct bootstrap *b, const char *group,
                       struct sockaddr_un *ret, struct err *e)
{
    autofree char *text = xasprintf("%s/%s/%s", f->address ? f->address : "", f->namespace, group);
    struct digest digest;
    char hex[DIGEST_HEX_SIZE];
    int len;

    digest_bytes(text, strlen(text), &digest);
    digest_hex_format(&digest, hex);
    *ret = (struct sockaddr_un){.sun_family = AF_UNIX};
    len = snprintf(ret->sun_path, sizeof(ret->sun_path), "%s/%s", b->socket_dir, hex);
    if (len < 0 || (size_t)len >= sizeof(ret->sun_path))
        return err_set(e, -ENAMETOOLONG, "SocketFailed",
                       "the folder '%s' has too long a name for a socket in it", b->socket_dir);
    return 0;
}

static int socket_new(struct err *e)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    return fd < 0 ? err_errno(e, -errno, "SocketFailed", "cannot make a socket") : fd;
}

/* 1: somebody listens there; 0: nobody does, and what is left of one that did is gone. The caller
 * has the lock. */
static int socket_probe(const struct sockaddr_un *name, struct err *e)
{
    autofd probe = socket_new(e);

    TRY(probe);
    if (connect(probe, (const struct sockaddr *)name, sizeof(*name)) == 0)
        return 1;
    if (errno != ENOENT && errno != ECONNREFUSED)
        return err_errno(e, -errno, "SocketFailed", "cannot connect to '%s'", name->sun_path);
    /* Of a daemon that was killed. */
    if (unlink(name->sun_path) < 0 && errno != ENOENT)
        return err_errno(e, -errno, "SocketFailed", "cannot remove '%s'", name->sun_path);
    return 0;
}

static int socket_listen(const struct sockaddr_un *name, int *ret_fd, struct err *e)
{
    autofd fd = socket_new(e);
    mode_t mask;
    int r;

    TRY(fd);
    mask = umask(0077);
    r = bind(fd, (const struct sockaddr *)name, sizeof(*name)) < 0 ? -errno : 0;
    umask(mask);
    if (r < 0 || listen(fd, BACKLOG) < 0)
        return err_errno(e, r < 0 ? r : -errno, "SocketFailed", "cannot listen on '%s'",
                         name->sun_path);
    *ret_fd = take_fd(&fd);
    return 0;
}

/* ---- The lock: of several starts of one pod, one makes the daemon ---- */

struct lock {
    char *name;
    int dir_fd, fd;
};

#define LOCK_INIT ((struct lock){.dir_fd = -EBADF, .fd = -EBADF})

/* Also what the daemon does with its copy, which does not open the lock. */
static void lock_close(struct lock *l)
{
    close_cleanup_(&l->fd);
    close_cleanup_(&l->dir_fd);
    free(l->name);
    *l = LOCK_INIT;
}

static void lock_release(struct lock *l)
{
    if (l->fd >= 0)
        unlinkat(l->dir_fd, l->name, 0);
    lock_close(l);
}

static int lock_take(const struct sockaddr_un *name, struct lock *ret, struct err *e)
{
    autofree char *dir = path_dir(name->sun_path);
    struct lock l = LOCK_INIT;

    l.name = xasprintf("%s.lock", path_base(name->sun_path));
    l.dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    l.fd = l.dir_fd < 0 ? -errno : file_lock_at(l.dir_fd, l.name);
    if (l.fd < 0) {
        err_errno(e, l.fd, "SocketFailed", "cannot lock '%s/%s'", dir, l.name);
        lock_close(&l);
        return e->code;
    }
    *ret = l;
    return 0;
}

/* containerd before 1.7 finds the daemon again by this file, after a restart. */
static int address_write(int bundle_fd, const char *path, struct err *e)
{
    autofree char *text = xasprintf(SCHEME "%s", path);

    return file_write_at(bundle_fd, ADDRESS_NAME, text, strlen(text), 0600, 0, e);
}

static int answer(const struct bootstrap *b, const char *path, struct err *e)
{
    autobuf text = BUF_INIT;

    bootstrap_answer(b, path, &text);
    return fd_write_all(STDOUT_FILENO, text.data, text.len, e);
}

/* The kernel is to kill a container's process before its shim, and the shim before containerd. */
static void oom_score_inherit(pid_t parent)
{
    char path[48], text[32];
    autobuf score = BUF_INIT;
    struct err e = ERR_INIT;
    autofd fd = -EBADF;
    long value;

    snprintf(path, sizeof(path), "/proc/%d/oom_score_adj", (int)parent);
    if (file_read(path, 64, &score, &e) < 0)
        return;
    value = strtol(buf_str(&score), NULL, 10) + 1;
    fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd >= 0) {
        snprintf(text, sizeof(text), "%ld", value > OOM_SCORE_MAX ? OOM_SCORE_MAX : value);
        (void)fd_write_all(fd, text, strlen(text), &e);
    }
}

/* What it logs, containerd puts into its own log: from the FIFO of the bundle that it was started
 * for. Both ends are held, so that nothing waits for a reader and none that goes away ends it. */
static int streams_detach(int bundle_fd, struct err *e)
{
    autofd null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    autofd log_fd = openat(bundle_fd, "log", O_RDWR | O_NONBLOCK | O_CLOEXEC);

    if (null_fd < 0 || dup2(null_fd, STDIN_FILENO) < 0 || dup2(null_fd, STDOUT_FILENO) < 0 ||
        dup2(log_fd < 0 ? null_fd : log_fd, STDERR_FILENO) < 0)
        return err_errno(e, -errno, "StartFailed", "cannot leave the caller's streams");
    return 0;
}

static int daemon_become(int bundle_fd, pid_t containerd, struct err *e)
{
    setsid();
    oom_score_inherit(containerd);
    TRY(streams_detach(bundle_fd, e));
    if (chdir("/") < 0)
        return err_errno(e, -errno, "StartFailed", "cannot go to the root folder");
    return 0;
}

/* ---- What the daemon says of itself ---- */

#define READY        "ready"
#define REPORT_LIMIT 4096u

void shim_daemon_report(struct shim_daemon *d, const struct err *e)
{
    const char *text = e ? e->msg : READY;
    struct err ignored = ERR_INIT;

    (void)fd_write_all(d->report_fd, text, strlen(text), &ignored);
    close(take_fd(&d->report_fd));
}

void shim_daemon_done(struct shim_daemon *d)
{
    close_cleanup_(&d->listen_fd);
    close_cleanup_(&d->report_fd);
    free(d->socket);
    *d = SHIM_DAEMON_INIT;
}

static int report_await(int fd, struct err *e)
{
    autobuf text = BUF_INIT;

    TRY(fd_read_all(fd, REPORT_LIMIT, &text, e));
    if (str_eq(buf_str(&text), READY))
        return 0;
    return err_set(e, -ECHILD, "StartFailed", "%s",
                   text.len ? buf_str(&text) : "the shim's daemon ended before it could serve");
}

static int pipe_open(int ret[2], struct err *e)
{
    return pipe2(ret, O_CLOEXEC) < 0 ? err_errno(e, -errno, "StartFailed", "cannot make a pipe")
                                     : 0;
}

/* 1 in the daemon; 0 when it serves. */
static int daemon_make(int bundle_fd, const char *path, struct lock *l, struct shim_daemon *d,
                       struct err *e)
{
    pid_t containerd = getppid(), child;
    int pipe[2], r;
    autofd report_fd = -EBADF;

    TRY(pipe_open(pipe, e));
    report_fd = pipe[0];
    d->report_fd = pipe[1];
    d->socket = xstrdup(path);
    child = fork();
    if (child < 0)
        return err_errno(e, -errno, "StartFailed", "cannot start the daemon");
    if (child) {
        close(take_fd(&d->report_fd));
        return report_await(report_fd, e);
    }
    lock_close(l);
    r = daemon_become(bundle_fd, containerd, e);
    if (r < 0)
        shim_daemon_report(d, e);
    return r < 0 ? r : 1;
}

/* 1 in the daemon; 0 when somebody serves. */
static int daemon_find(int bundle_fd, const struct sockaddr_un *name, struct lock *l,
                       struct shim_daemon *ret, struct err *e)
{
    struct shim_daemon d = SHIM_DAEMON_INIT;
    int r = socket_probe(name, e);

    if (r)
        return r < 0 ? r : 0;
    TRY(socket_listen(name, &d.listen_fd, e));
    r = daemon_make(bundle_fd, name->sun_path, l, &d, e);
    if (r < 0)
        unlink(name->sun_path);
    if (r > 0)
        *ret = d;
    else
        shim_daemon_done(&d);
    return r;
}

int shim_start(const struct shim_flags *f, struct bootstrap *b, struct shim_daemon *ret,
               struct err *e)
{
    const char *bundle = f->bundle ? f->bundle : ".";
    autofd bundle_fd = open(bundle, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    autofree char *group = NULL;
    struct lock lock = LOCK_INIT;
    struct sockaddr_un name;
    int r;

    if (bundle_fd < 0)
        return err_errno(e, -errno, "NoBundle", "cannot open the bundle '%s'", bundle);
    TRY(group_find(f, bundle_fd, &group, e));
    TRY(socket_name(f, b, group, &name, e));
    TRY(address_write(bundle_fd, name.sun_path, e));
    TRY(path_mkdir_p(b->socket_dir, 0711, e));
    TRY(lock_take(&name, &lock, e));
    r = daemon_find(bundle_fd, &name, &lock, ret, e);
    lock_release(&lock);
    return r ? r : answer(b, name.sun_path, e);
}

void shim_socket_drop(int bundle_fd)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    struct lock lock = LOCK_INIT;
    autobuf text = BUF_INIT;
    struct err e = ERR_INIT;
    const char *path;
    struct stat st;

    if (file_read_at(bundle_fd, ADDRESS_NAME, sizeof(name.sun_path) + strlen(SCHEME), &text, &e) <
            0 ||
        !str_starts(buf_str(&text), SCHEME))
        return;
    path = buf_str(&text) + strlen(SCHEME);
    if (strlen(path) >= sizeof(name.sun_path) || lstat(path, &st) < 0 || !S_ISSOCK(st.st_mode))
        return;
    memcpy(name.sun_path, path, strlen(path));
    if (lock_take(&name, &lock, &e) >= 0)
        (void)socket_probe(&name, &e);
    lock_release(&lock);
}
