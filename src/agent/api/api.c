/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/api_exec.h"
#include "agent/api/api_parts.h"

#include <fcntl.h>
#include <grp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/paths.h"

enum { CONNECTIONS = 1024, IDLE_MS = 60000, BACKLOG = CONNECTIONS };

void api_hold(struct api *a)
{
    a->pending++;
}

void api_release(struct api *a)
{
    if (!--a->pending && a->is_closed)
        free(a);
}

struct workloads *api_workloads(struct api *a)
{
    return a->workloads;
}

static void on_request(void *ctx, struct http_exchange *x)
{
    api_route(ctx, x);
}

static void on_pod_changed(void *ctx, struct pod *p)
{
    api_logs_pod_changed(ctx, p);
}

static void on_pod_gone(void *ctx, struct pod *p)
{
    struct api *a = ctx;
    const struct pod_machine *m = pod_machine_of(p);

    for (size_t i = 0; i < pod_spec_of(p)->n_containers; i++)
        a->restarts_before += (uint64_t)pod_machine_restart_count(m, i);
    api_logs_pod_gone(a, p);
    api_tops_pod_gone(a, p);
    api_streams_pod_gone(a->streams, p);
}

static int parts_open(struct api *a, const struct api_options *o, struct err *e)
{
    struct http_server_options server = {.loop = a->loop,
                                         .body_limit = OBJECT_LIMIT_BYTES,
                                         .connections = CONNECTIONS,
                                         .idle_ms = IDLE_MS,
                                         .queue_limit = API_QUEUE_LIMIT,
                                         .request = on_request,
                                         .ctx = a};
    struct workloads_options workloads = o->workloads;

    workloads.pod_changed = on_pod_changed;
    workloads.pod_gone = on_pod_gone;
    workloads.ctx = a;
    TRY(workloads_open(&workloads, &a->workloads, e));
    return http_server_new(&server, &a->server, e);
}

int api_open(const struct api_options *o, struct api **ret, struct err *e)
{
    struct api *a = xcalloc(1, sizeof(*a));
    int r;

    a->loop = o->workloads.pods.loop;
    a->containers = o->workloads.pods.containers;
    a->config_json = xstrdup(o->config_json ? o->config_json : "{}");
    a->peers = api_peers_new(o->group);
    a->streams = api_streams_new(a->loop);
    r = parts_open(a, o, e);
    for (size_t i = 0; i < o->n_listen_fds; i++) {
        if (r >= 0)
            r = http_server_listen(a->server, o->listen_fds[i], e);
        else
            close(o->listen_fds[i]);
    }
    if (r < 0) {
        api_close(a);
        return r;
    }
    *ret = a;
    return 0;
}

void api_close(struct api *a)
{
    if (!a)
        return;
    /* Every exchange is told that it is closed. */
    http_server_free(a->server);
    api_streams_free(a->streams);
    api_watches_free(a);
    workloads_close(a->workloads);
    api_tops_free(a);
    api_peers_free(a->peers);
    free(a->config_json);
    a->is_closed = true;
    api_hold(a);
    api_release(a);
}

/* ---- The socket ---- */

static int served(int fd, const char *path, struct err *e)
{
    struct ucred peer = {0};
    socklen_t len = sizeof(peer);

    /* Of who listens: the service manager, where that is who made the socket. */
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 && peer.pid > 1)
        return err_set(e, -EADDRINUSE, "AlreadyRunning",
                       "the process %d, an agent, serves '%.200s' already; stop it, or name "
                       "another socket",
                       (int)peer.pid, path);
    return err_set(e, -EADDRINUSE, "AlreadyRunning",
                   "an agent serves '%.200s' already; stop it, or name another socket", path);
}

/* Nobody serves it any more, or there is none. */
static int stale_remove(const char *path, const struct sockaddr_un *address, struct err *e)
{
    autofd fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd >= 0 &&
        (!connect(fd, (const struct sockaddr *)address, sizeof(*address)) || errno == EAGAIN))
        return served(fd, path, e);
    if (unlink(path) < 0 && errno != ENOENT)
        return err_errno(e, -errno, "SocketFailed", "cannot remove '%.200s'", path);
    return 0;
}

static void group_give(const char *path, const char *group)
{
    const struct group *g = group ? getgrnam(group) : NULL;

    /* Whoever may not give it away keeps it to himself. */
    if (g && !chown(path, (uid_t)-1, g->gr_gid))
        (void)chmod(path, 0660);
}

int api_listen(const char *path, const char *group, int *ret_fd, struct err *e)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    autofree char *dir = path_dir(path);
    autofd fd = -EBADF;
    mode_t mask;
    int r;

    if (strlen(path) >= sizeof(address.sun_path))
        return err_set(e, -ENAMETOOLONG, "SocketFailed",
                       "'%.200s' is too long for a socket, which may have %zu bytes", path,
                       sizeof(address.sun_path) - 1);
    memcpy(address.sun_path, path, strlen(path) + 1);
    TRY(path_mkdir_p(dir, 0755, e));
    TRY(stale_remove(path, &address, e));
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    mask = umask(0177);
    r = fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ? -errno : 0;
    umask(mask);
    if (r < 0 || listen(fd, BACKLOG) < 0)
        return err_errno(e, r < 0 ? r : -errno, "SocketFailed", "cannot listen on '%.200s'", path);
    group_give(path, group);
    *ret_fd = take_fd(&fd);
    return 0;
}
