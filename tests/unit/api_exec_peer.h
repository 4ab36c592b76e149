/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A server of exec and port-forward on a thread of its own, with a STAND-IN for
 * src/pod/runtime/pods.h: what pod_exec_start() begins is a native process of this machine in place
 * of a guest. So both sides of the protocol are the real ones, and what runs in the pod is not.
 */
#include "sockets.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>

#include "agent/api/api_exec.h"
#include "wire/http_server.h"

struct pod {
    struct pod_spec *spec;
    atomic_int phase;
    atomic_bool is_refused; /* nothing can be started in it */
};

struct pod_exec {
    struct loop_child *child;
    struct pod_exec_options o;
};

static struct peer {
    char *dir, *path;
    int fd;
    pthread_t thread;
    struct loop *loop;
    struct http_server *server;
    struct api_streams *streams;
    struct pod pod;
    atomic_int n_running; /* guests */
} peer;

/* ---- The stand-in ---- */

const struct pod_spec *pod_spec_of(const struct pod *p)
{
    return p->spec;
}

const struct pod_machine *pod_machine_of(const struct pod *p)
{
    return (const struct pod_machine *)(const void *)p;
}

enum pod_phase pod_machine_phase(const struct pod_machine *m)
{
    return (enum pod_phase)atomic_load(&((const struct pod *)(const void *)m)->phase);
}

const char *pod_phase_name(enum pod_phase phase)
{
    return phase == POD_IS_RUNNING ? "Running" : "Pending";
}

static void on_child_ended(void *ctx, int status)
{
    struct pod_exec *x = ctx;
    struct guest_status s = {
        .reason = (char *)(WIFSIGNALED(status)   ? "Trap"
                           : WEXITSTATUS(status) ? "Error"
                                                 : "Completed"),
        .message = (char *)(WIFSIGNALED(status) ? "unreachable instruction" : NULL),
        .exit_code = WIFSIGNALED(status) ? GUEST_EXIT_TRAP : WEXITSTATUS(status),
        .is_guest_exit = WIFEXITED(status),
        .started_at = (char *)"2026-11-27T00:00:00Z",
    };

    atomic_fetch_sub(&peer.n_running, 1);
    loop_child_free(take_ptr(x->child));
    x->o.ended(x->o.ctx, &s);
}

int pod_exec_start(struct pod *p, const struct pod_exec_options *o, struct pod_exec **ret,
                   struct err *e)
{
    autofd in = o->stdin_fd, out = o->stdout_fd, err = o->stderr_fd;
    struct pod_exec *x;
    struct loop_child_fd fds[3];
    struct loop_child_options c = {.argv = o->args, .fds = fds, .ended = on_child_ended};

    if (atomic_load(&p->is_refused))
        return err_set(e, -ESRCH, "NotRunning", "container '%s' does not run", o->container);
    x = xcalloc(1, sizeof(*x));
    x->o = *o;
    c.ctx = x;
    for (int i = 0; i < 3; i++) {
        int fd = i == 0 ? in : i == 1 ? out : err;

        if (fd < 0)
            continue;
        /* Programs of this machine want terminals that block, unlike a worker. */
        if (isatty(fd))
            fcntl(fd, F_SETFL, O_RDWR);
        fds[c.n_fds++] = (struct loop_child_fd){fd, i};
    }
    if (loop_child_start(peer.loop, &c, &x->child, e) < 0) {
        free(x);
        return e->code;
    }
    atomic_fetch_add(&peer.n_running, 1);
    *ret = x;
    return 0;
}

void pod_exec_stop(struct pod_exec *x)
{
    if (x->child)
        loop_child_kill(x->child, SIGKILL);
}

void pod_exec_free(struct pod_exec *x)
{
    if (x->child) {
        atomic_fetch_sub(&peer.n_running, 1);
        loop_child_kill(x->child, SIGKILL);
        loop_child_free(x->child);
    }
    free(x);
}

/* ---- The server ---- */

static void on_request(void *ctx, struct http_exchange *x)
{
    static const char refusal[] =
        "{\"kind\":\"Status\",\"status\":\"Failure\",\"message\":\"pods "
        "\\\"nobody\\\" not found\",\"reason\":\"NotFound\",\"code\":404}";
    const char *path = http_exchange_path(x);
    struct err e = ERR_INIT;

    (void)ctx;
    if (str_eq(path, "/api/v1/namespaces/default/pods/web/exec"))
        api_exec_begin(peer.streams, &peer.pod, "app", x, &e);
    else if (str_eq(path, "/api/v1/namespaces/default/pods/web/portforward"))
        api_portforward_begin(peer.streams, &peer.pod, x, &e);
    else if (str_eq(path, "/api/v1/namespaces/default/pods/web"))
        http_exchange_respond(x, 200, "application/json", "{\"kind\":\"Pod\"}", 14);
    else
        http_exchange_respond(x, 404, "application/json", refusal, sizeof(refusal) - 1);
}

static void *peer_run(void *ctx)
{
    struct http_server_options o = {
        .loop = peer.loop,
        .body_limit = 1000,
        .connections = 200,
        .idle_ms = 10000,
        .queue_limit = 100000,
        .request = on_request,
    };
    struct err e = ERR_INIT;

    (void)ctx;
    BUG_ON(http_server_new(&o, &peer.server, &e) < 0);
    BUG_ON(http_server_listen(peer.server, peer.fd, &e) < 0);
    peer.streams = api_streams_new(peer.loop);
    loop_run(peer.loop);
    http_server_free(take_ptr(peer.server));
    api_streams_free(take_ptr(peer.streams));
    return NULL;
}

static void peer_stop_now(void *ctx)
{
    loop_stop(ctx);
}

static struct pod_container peer_containers[] = {{.name = "app"}, {.name = "other"}};

static void peer_start(void)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    struct err e = ERR_INIT;

    peer.dir = unit_temp_dir();
    peer.path = xasprintf("%s/wherry.sock", peer.dir);
    memcpy(to.sun_path, peer.path, strlen(peer.path));
    peer.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(peer.fd, (struct sockaddr *)&to, sizeof(to)), 0);
    assert_int_equal(listen(peer.fd, 1000), 0);
    peer.pod.spec = pod_spec_new();
    peer.pod.spec->name = "web";
    peer.pod.spec->containers = peer_containers;
    peer.pod.spec->n_containers = ARRAY_SIZE(peer_containers);
    atomic_store(&peer.pod.phase, POD_IS_RUNNING);
    atomic_store(&peer.pod.is_refused, false);
    assert_ok(loop_open(&peer.loop, &e));
    assert_int_equal(pthread_create(&peer.thread, NULL, peer_run, NULL), 0);
}

static void peer_stop(void)
{
    loop_post(peer.loop, peer_stop_now, peer.loop);
    pthread_join(peer.thread, NULL);
    loop_free(take_ptr(peer.loop));
    pod_spec_unref(peer.pod.spec);
    unit_remove(peer.dir);
    free(peer.path);
}
