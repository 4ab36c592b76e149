/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/start.h"

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

static int group_find(const struct shim_flags *f, int bundle_fd, char **ret, struct err *e)
{
    struct oci_config config = {0};
    const char *sandbox;

    TRY(oci_config_read(bundle_fd, &config, e));
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

/* 1 with a listening socket, for ret_fd if that is not NULL; 0 when somebody listens there already.
 * The caller has the lock. */
static int socket_take(const struct sockaddr_un *name, int *ret_fd, struct err *e)
{
    const struct sockaddr *address = (const struct sockaddr *)name;
    autofd probe = socket_new(e), fd = -EBADF;
    mode_t mask;
    int r;

    TRY(probe);
    if (connect(probe, address, sizeof(*name)) == 0)
        return 0;
    if (errno != ENOENT && errno != ECONNREFUSED)
        return err_errno(e, -errno, "SocketFailed", "cannot connect to '%s'", name->sun_path);
    /* Of a daemon that was killed. */
    if (unlink(name->sun_path) < 0 && errno != ENOENT)
        return err_errno(e, -errno, "SocketFailed", "cannot remove '%s'", name->sun_path);
    fd = socket_new(e);
    TRY(fd);
    mask = umask(0077);
    r = bind(fd, address, sizeof(*name)) < 0 ? -errno : 0;
    umask(mask);
    if (r < 0 || listen(fd, BACKLOG) < 0)
        return err_errno(e, r < 0 ? r : -errno, "SocketFailed", "cannot listen on '%s'",
                         name->sun_path);
    if (ret_fd)
        *ret_fd = take_fd(&fd);
    return 1;
}

/* Two starts of one pod at a time: one of them makes the daemon. */
static int socket_find(const struct sockaddr_un *name, int *ret_fd, struct err *e)
{
    autofree char *lock = xasprintf("%s.lock", path_base(name->sun_path));
    autofree char *dir = path_dir(name->sun_path);
    autofd dir_fd = -EBADF, lock_fd = -EBADF;
    int r;

    TRY(path_mkdir_p(dir, 0711, e));
    dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    lock_fd = dir_fd < 0 ? -errno : file_lock_at(dir_fd, lock);
    if (lock_fd < 0)
        return err_errno(e, lock_fd, "SocketFailed", "cannot lock '%s/%s'", dir, lock);
    r = socket_take(name, ret_fd, e);
    /* Taken to be removed: by the one who has the lock. */
    if (r > 0 && !ret_fd)
        unlink(name->sun_path);
    unlinkat(dir_fd, lock, 0);
    return r;
}

void shim_socket_drop(const char *path)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    struct err ignored = ERR_INIT;

    if (strlen(path) >= sizeof(name.sun_path) || access(path, F_OK) < 0)
        return;
    memcpy(name.sun_path, path, strlen(path));
    (void)socket_find(&name, NULL, &ignored);
}

/* containerd before 1.7 finds the daemon again by this file, after a restart. */
static int address_write(int bundle_fd, const char *path, struct err *e)
{
    autofree char *text = xasprintf("unix://%s", path);

    return file_write_at(bundle_fd, SHIM_ADDRESS_NAME, text, strlen(text), 0600, 0, e);
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

int shim_start(const struct shim_flags *f, struct bootstrap *b, int *ret_listen_fd,
               char **ret_socket, struct err *e)
{
    const char *bundle = f->bundle ? f->bundle : ".";
    autofd bundle_fd = open(bundle, O_RDONLY | O_DIRECTORY | O_CLOEXEC), listen_fd = -EBADF;
    autofree char *group = NULL, *worker = NULL;
    struct sockaddr_un name;
    pid_t containerd = getppid(), child;
    int r;

    if (bundle_fd < 0)
        return err_errno(e, -errno, "NoBundle", "cannot open the bundle '%s'", bundle);
    /* Here it can still be told to whom it concerns. */
    TRY(paths_program_find("wherry-worker", &worker, e));
    TRY(group_find(f, bundle_fd, &group, e));
    TRY(socket_name(f, b, group, &name, e));
    r = socket_find(&name, &listen_fd, e);
    TRY(r);
    TRY(address_write(bundle_fd, name.sun_path, e));
    child = r ? fork() : -1;
    if (r && child < 0) {
        unlink(name.sun_path);
        return err_errno(e, -errno, "StartFailed", "cannot start the daemon");
    }
    if (r && !child) {
        TRY(daemon_become(bundle_fd, containerd, e));
        *ret_listen_fd = take_fd(&listen_fd);
        *ret_socket = xstrdup(name.sun_path);
        return 1;
    }
    return answer(b, name.sun_path, e);
}
