/* SPDX-License-Identifier: Apache-2.0 */
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>

#include "base/clock.h"
#include "base/fds.h"
#include "base/log.h"
#include "worker/code.h"
#include "worker/guest.h"
#include "worker/http/apps.h"
#include "worker/http/gateway.h"
#include "worker/jobs.h"

/* `wherry serve`: threads that serve, and one that waits for signals. */

#define PEM_LIMIT_BYTES (1u << 20)
/* Guests run on stacks of the engine's own; this is for the server and the host functions. */
#define THREAD_STACK_BYTES (2u << 20)

struct serving {
    const struct guest_job *job;
    struct apps *apps;
    struct gateway *gateway;
    struct engine_server *server;
    pthread_t *threads;
    unsigned n_threads;
    int ended_fd; /* eventfd, counted up by each thread that has ended */
    _Atomic int failed;
};

struct thread_start {
    struct serving *s;
    unsigned index;
};

static void *thread_main(void *arg)
{
    struct thread_start start = *(struct thread_start *)arg;
    struct serving *s = start.s;
    struct err e = ERR_INIT;
    uint64_t one = 1;

    free(arg);
    if (engine_server_run(s->server, start.index, &e) < 0) {
        log_error("serve: %s", e.msg);
        atomic_store(&s->failed, 1);
        engine_server_stop(s->server);
    }
    if (write(s->ended_fd, &one, sizeof(one)) < 0)
        BUG_ON(errno != EAGAIN);
    return NULL;
}

static int threads_start(struct serving *s, struct err *e)
{
    pthread_attr_t attr;
    int r = 0;

    s->threads = xcalloc((size_t)s->job->serve.threads, sizeof(*s->threads));
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, THREAD_STACK_BYTES);
    while (!r && s->n_threads < s->job->serve.threads) {
        struct thread_start *start = xcalloc(1, sizeof(*start));

        *start = (struct thread_start){s, s->n_threads};
        r = pthread_create(&s->threads[s->n_threads], &attr, thread_main, start);
        if (r)
            free(start);
        else
            s->n_threads++;
    }
    pthread_attr_destroy(&attr);
    return r ? err_errno(e, -r, "StartFailed", "cannot start a thread") : 0;
}

/* ---- TLS ---- */

static int tls_load(struct serving *s, struct err *e)
{
    const struct serve_spec *spec = &s->job->serve;
    autobuf cert = BUF_INIT, key = BUF_INIT;

    if (!spec->tls_cert)
        return 0;
    TRY(file_read(spec->tls_cert, PEM_LIMIT_BYTES, &cert, e));
    TRY(file_read(spec->tls_key, PEM_LIMIT_BYTES, &key, e));
    if (engine_server_tls(s->server, cert.data, cert.len, key.data, key.len, e) < 0)
        return err_prefix(e, "--tls-cert '%s', --tls-key '%s'", spec->tls_cert, spec->tls_key);
    return 0;
}

/* ---- Signals ---- */

/* What cannot be opened anew stays as it was; requests that run keep what they began with. */
static void reload(struct serving *s)
{
    const struct serve_spec *spec = &s->job->serve;
    size_t n_failed = 0;
    struct err e = ERR_INIT;

    for (size_t i = 0; i < spec->n_apps; i++) {
        e = ERR_INIT;
        if (apps_reload(s->apps, i, &e) >= 0)
            continue;
        n_failed++;
        log_error("serve: %s: %s; the program from before goes on", spec->apps[i].name, e.msg);
    }
    e = ERR_INIT;
    if (tls_load(s, &e) < 0)
        log_error("serve: %s; the certificate from before goes on", e.msg);
    if (!s->job->is_quiet)
        dprintf(STDERR_FILENO, "wherry: serve: reloaded %zu of %zu programs\n",
                spec->n_apps - n_failed, spec->n_apps);
}

/* Until every thread has ended: SIGHUP reloads, the first SIGTERM or SIGINT drains, and a second
 * one, or the end of the time for it, stops. */
static void supervise(struct serving *s, int signal_fd)
{
    struct pollfd p[2] = {
        {.fd = signal_fd,   .events = POLLIN},
        {.fd = s->ended_fd, .events = POLLIN}
    };
    uint64_t deadline = 0, n_ended = 0;
    bool is_draining = false;

    while (n_ended < s->n_threads) {
        struct signalfd_siginfo info;
        uint64_t more;

        poll(p, 2, clock_wait_ms(deadline));
        if (p[1].revents && read(s->ended_fd, &more, sizeof(more)) == sizeof(more))
            n_ended += more;
        if (deadline && clock_monotonic_ns() >= deadline) {
            log_warn("serve: requests that did not end within the drain time are dropped");
            engine_server_stop(s->server);
            deadline = 0;
        }
        if (!p[0].revents || read(signal_fd, &info, sizeof(info)) != sizeof(info))
            continue;
        if (info.ssi_signo == SIGHUP) {
            if (!is_draining)
                reload(s);
        } else if (!is_draining && s->job->serve.limits.drain_ms) {
            is_draining = true;
            log_info("serve: no more connections are accepted");
            engine_server_drain(s->server);
            deadline = clock_monotonic_ns() + (uint64_t)s->job->serve.limits.drain_ms * 1000000u;
        } else {
            engine_server_stop(s->server);
        }
    }
}

/* ---- The job ---- */

static void listeners_tell(const struct serve_spec *spec)
{
    const char *last = "";

    /* One URL has a socket for each thread, one behind the other. */
    for (size_t i = 0; i < spec->n_listeners; i++) {
        if (!str_eq(spec->listeners[i].url, last))
            dprintf(STDERR_FILENO, "wherry: serve: listening on %s\n", spec->listeners[i].url);
        last = spec->listeners[i].url;
    }
}

static int server_open(struct serving *s, struct err *e)
{
    const struct serve_spec *spec = &s->job->serve;
    const struct serve_limits *l = &spec->limits;
    autofree struct engine_listener *listeners = xcalloc(spec->n_listeners + 1, sizeof(*listeners));
    struct engine_server_options o = {
        .threads = (unsigned)spec->threads,
        .listeners = listeners,
        .n_listeners = spec->n_listeners,
        .limits = {.header_bytes = (uint64_t)l->header_bytes,
                   .headers = (uint64_t)l->headers,
                   .body_bytes = (uint64_t)l->body_bytes,
                   .requests = (uint64_t)l->requests,
                   .queue = (uint64_t)l->queue,
                   .connections = (uint64_t)l->connections,
                   .idle_ms = (uint64_t)l->idle_ms,
                   .read_ms = (uint64_t)l->read_ms,
                   .write_ms = (uint64_t)l->write_ms,
                   .request_ms = (uint64_t)l->request_ms},
    };

    for (size_t i = 0; i < spec->n_listeners; i++)
        listeners[i] = (struct engine_listener){
            .fd = (int)spec->listeners[i].fd,
            .kind = spec->listeners[i].is_tls ? ENGINE_LISTEN_HTTPS : ENGINE_LISTEN_HTTP,
            .thread = (int)spec->listeners[i].thread};
    if (spec->metrics_fd >= 0)
        listeners[o.n_listeners++] = (struct engine_listener){
            .fd = (int)spec->metrics_fd, .kind = ENGINE_LISTEN_METRICS, .thread = 0};
    gateway_attach(s->gateway, &o);
    TRY(engine_server_new(&o, &s->server, e));
    /* The engine has its own, which it closes to refuse what comes while it drains. */
    for (size_t i = 0; i < o.n_listeners; i++)
        close(listeners[i].fd);
    gateway_server_set(s->gateway, s->server);
    return tls_load(s, e);
}

static int serve(struct serving *s, int signal_fd)
{
    struct err e = ERR_INIT;

    s->ended_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (gateway_new(s->job, s->apps, &s->gateway, &e) < 0 || server_open(s, &e) < 0 ||
        threads_start(s, &e) < 0) {
        log_error("serve: %s", e.msg);
        atomic_store(&s->failed, 1);
        if (s->server)
            engine_server_stop(s->server);
    } else if (!s->job->is_quiet) {
        listeners_tell(&s->job->serve);
    }
    supervise(s, signal_fd);
    for (unsigned i = 0; i < s->n_threads; i++)
        pthread_join(s->threads[i], NULL);
    engine_server_free(s->server);
    if (s->gateway)
        gateway_free(s->gateway);
    free(s->threads);
    close(s->ended_fd);
    return atomic_load(&s->failed) ? GUEST_EXIT_WHERRY : 0;
}

int job_serve(struct guest_job *j)
{
    struct serving s = {.job = j};
    AUTO(cache) cache = job_cache_open(j);
    autofd signal_fd = guest_signals_open(SIGHUP);
    struct err e = ERR_INIT;
    size_t failed;
    int status;

    if (signal_fd < 0) {
        err_errno(&e, -errno, "StartFailed", "cannot wait for signals");
        return job_fail(j, "signalfd", &e);
    }
    fds_make_room((unsigned)j->serve.limits.connections + 256);
    if (apps_new(j, cache, &s.apps, &failed, &e) < 0)
        return job_fail(j, failed < j->serve.n_apps ? j->serve.apps[failed].name : "programs", &e);
    status = serve(&s, signal_fd);
    apps_free(s.apps);
    return status;
}
