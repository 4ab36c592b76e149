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
#include "worker/turns.h"

/* `wherry serve`: threads that serve, and one that waits for signals. */

#define PEM_LIMIT_BYTES (1u << 20)
/* Guests run on stacks of the engine's own; this is for the server and the host functions. */
#define THREAD_STACK_BYTES (2u << 20)
#define RELOAD_END_MS      1000

struct serving {
    const struct guest_job *job;
    struct apps *apps;
    struct gateway *gateway;
    struct engine_server *server;
    pthread_t *threads;
    unsigned n_threads;
    int ended_fd; /* eventfd, counted up by each thread that has ended */
    _Atomic int failed;
    /* A reload may have to compile, so it has a thread of its own. */
    pthread_t reloader;
    bool is_reloading, reload_again;
    int reloaded_fd;    /* eventfd, readable when the reload is done */
    int stop_reload_fd; /* eventfd, readable when no reload is wanted any more */
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

    free(arg);
    turns_request(TURN_NS);
    if (engine_server_run(s->server, start.index, 0, NULL, &e) < 0) {
        log_error("serve: %s", e.msg);
        atomic_store(&s->failed, 1);
        engine_server_stop(s->server);
    }
    fd_event(s->ended_fd);
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

/* ---- Reload ---- */

/* What cannot be opened anew stays as it was; requests that run keep what they began with. */
static void *reload_main(void *arg)
{
    struct serving *s = arg;
    const struct serve_spec *spec = &s->job->serve;
    struct pollfd stop = {.fd = s->stop_reload_fd, .events = POLLIN};
    size_t n_failed = 0;
    struct err e = ERR_INIT;
    int r = 0;

    for (size_t i = 0; i < spec->n_apps && r != -ECANCELED; i++) {
        e = ERR_INIT;
        r = poll(&stop, 1, 0) > 0 ? -ECANCELED : apps_reload(s->apps, i, s->stop_reload_fd, &e);
        if (r >= 0 || r == -ECANCELED)
            continue;
        n_failed++;
        log_error("serve: %s: %s; the program from before goes on", spec->apps[i].name, e.msg);
    }
    if (r != -ECANCELED) {
        e = ERR_INIT;
        if (tls_load(s, &e) < 0)
            log_error("serve: %s; the certificate from before goes on", e.msg);
        if (!s->job->is_quiet)
            dprintf(STDERR_FILENO, "wherry: serve: reloaded %zu of %zu programs\n",
                    spec->n_apps - n_failed, spec->n_apps);
    }
    fd_event(s->reloaded_fd);
    return NULL;
}

/* Once more when the one that runs is done: the files may have changed since it read them. */
static void reload(struct serving *s)
{
    int r;

    s->reload_again = s->is_reloading;
    if (s->is_reloading)
        return;
    r = pthread_create(&s->reloader, NULL, reload_main, s);
    if (r)
        log_error("serve: nothing is reloaded: cannot start a thread: %s", strerror(r));
    s->is_reloading = !r;
}

static void reload_done(struct serving *s)
{
    uint64_t n;

    if (read(s->reloaded_fd, &n, sizeof(n)) < 0)
        return;
    pthread_join(s->reloader, NULL);
    s->is_reloading = false;
    if (s->reload_again)
        reload(s);
}

static void reload_stop(struct serving *s)
{
    s->reload_again = false;
    fd_event(s->stop_reload_fd);
}

/* ---- Signals ---- */

/* Until every thread has ended: SIGHUP reloads, the first SIGTERM or SIGINT drains, and a second
 * one, or the end of the time for it, stops. */
static void supervise(struct serving *s, int signal_fd)
{
    struct pollfd p[3] = {
        {.fd = signal_fd,      .events = POLLIN},
        {.fd = s->ended_fd,    .events = POLLIN},
        {.fd = s->reloaded_fd, .events = POLLIN}
    };
    uint64_t deadline = 0, n_ended = 0;
    bool is_draining = false;

    while (n_ended < s->n_threads) {
        struct signalfd_siginfo info;
        uint64_t more;

        poll(p, 3, clock_wait_ms(deadline));
        if (p[1].revents && read(s->ended_fd, &more, sizeof(more)) == sizeof(more))
            n_ended += more;
        if (p[2].revents)
            reload_done(s);
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
            continue;
        }
        reload_stop(s);
        if (!is_draining && s->job->serve.limits.drain_ms) {
            is_draining = true;
            log_info("serve: no more connections are accepted");
            engine_server_drain(s->server);
            deadline = clock_monotonic_ns() + (uint64_t)s->job->serve.limits.drain_ms * 1000000u;
        } else {
            engine_server_stop(s->server);
        }
    }
    reload_stop(s);
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
    autofree struct engine_listener *listeners = xcalloc(spec->n_listeners + 1, sizeof(*listeners));
    struct engine_server_options o = {
        .threads = (unsigned)spec->threads,
        .listeners = listeners,
        .n_listeners = spec->n_listeners,
        .limits = serve_limits_engine(&spec->limits),
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

/* False when the reload that was stopped does not end: it waits for another process, which
 * compiles the same. */
static bool reload_has_ended(struct serving *s)
{
    struct pollfd p = {.fd = s->reloaded_fd, .events = POLLIN};

    if (s->is_reloading && poll(&p, 1, RELOAD_END_MS) > 0)
        reload_done(s);
    return !s->is_reloading;
}

static int serve(struct serving *s, int signal_fd)
{
    struct err e = ERR_INIT;

    s->ended_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    s->reloaded_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    s->stop_reload_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
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
    if (!reload_has_ended(s))
        _exit(atomic_load(&s->failed) ? GUEST_EXIT_WHERRY : 0);
    engine_server_free(s->server);
    if (s->gateway)
        gateway_free(s->gateway);
    free(s->threads);
    close(s->ended_fd);
    close(s->reloaded_fd);
    close(s->stop_reload_fd);
    return atomic_load(&s->failed) ? GUEST_EXIT_WHERRY : 0;
}

int job_serve(struct guest_job *j)
{
    struct serving s = {.job = j};
    AUTO(cache) cache = job_cache_open(j);
    /* Instances that wait for their next request occupy places as well. */
    AUTO(http_engines)
    engines = http_engines_new((uint32_t)(j->serve.limits.requests * (j->serve.reuse > 1 ? 2 : 1)),
                               (uint64_t)j->spec.memory_bytes);
    autofd signal_fd = guest_signals_open(SIGHUP), stop_fd = guest_signals_open(0);
    struct signalfd_siginfo info;
    struct err e = ERR_INIT;
    size_t failed;
    int r, status;

    /* Also of the engine's thread that ends slices: it has to come before those that serve. */
    turns_request(SHORTEST_TURN_NS);
    if (signal_fd < 0 || stop_fd < 0) {
        err_errno(&e, -errno, "StartFailed", "cannot wait for signals");
        return job_fail(j, "signalfd", &e);
    }
    fds_make_room((unsigned)j->serve.limits.connections + 256);
    r = apps_new(
        &(struct apps_options){
            .job = j, .cache = cache, .engines = engines, .stop_fd = stop_fd, .code_fd = -1},
        &s.apps, &failed, &e);
    if (r == -ECANCELED && read(stop_fd, &info, sizeof(info)) == sizeof(info))
        return info.ssi_signo == SIGINT ? GUEST_EXIT_SIGINT : GUEST_EXIT_SIGTERM;
    if (r < 0)
        return job_fail(j, failed < j->serve.n_apps ? j->serve.apps[failed].name : "programs", &e);
    status = serve(&s, signal_fd);
    apps_free(s.apps);
    return status;
}
