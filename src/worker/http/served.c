/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/http/served.h"

#include <fcntl.h>
#include <stdatomic.h>

#include "worker/http/gateway.h"

struct served {
    struct guest_job job; /* its spec is borrowed */
    struct apps *apps;
    struct gateway *gateway;
    struct engine_server *server;
    _Atomic bool is_cut;
};

/* The job of a server with this one program. Only the program's descriptor is its own: apps_new()
 * closes that. */
static int job_fill(struct guest_job *j, const struct guest_spec *s, struct err *e)
{
    int program = fcntl((int)s->module_fd, F_DUPFD_CLOEXEC, 3);

    if (program < 0)
        return err_errno(e, -errno, "StartFailed", "cannot have another descriptor");
    j->spec = *s;
    j->is_quiet = true;
    serve_spec_init(&j->serve);
    j->serve.threads = 1;
    j->serve.limits.requests = s->requests;
    j->serve.limits.queue = s->requests;
    serve_spec_app_add(&j->serve, program, s->image, s->command, "/", s->name ? s->name : s->id,
                       NULL, "/");
    return 0;
}

static int server_open(struct served *s, struct err *e)
{
    const struct guest_spec *spec = &s->job.spec;
    struct engine_listener listeners[GUEST_LISTENER_LIMIT];
    struct engine_server_options o = {.threads = 1,
                                      .listeners = listeners,
                                      .n_listeners = spec->n_listeners,
                                      .limits = serve_limits_engine(&s->job.serve.limits)};

    for (size_t i = 0; i < spec->n_listeners; i++)
        listeners[i] = (struct engine_listener){
            .fd = (int)spec->listeners[i].fd, .kind = ENGINE_LISTEN_HTTP, .thread = -1};
    gateway_attach(s->gateway, &o);
    TRY(engine_server_new(&o, &s->server, e));
    gateway_server_set(s->gateway, s->server);
    return 0;
}

int served_new(const struct served_options *o, struct served **ret, struct err *e)
{
    AUTO(served) s = xcalloc(1, sizeof(*s));
    size_t failed;

    TRY(job_fill(&s->job, o->spec, e));
    TRY(apps_new(&(struct apps_options){.job = &s->job,
                                        .cache = o->cache,
                                        .engines = o->engines,
                                        .stop_fd = o->stop_fd,
                                        .code_fd = (int)o->spec->code_fd,
                                        .output = o->output,
                                        .errors = o->errors},
                 &s->apps, &failed, e));
    TRY(gateway_new(&s->job, s->apps, &s->gateway, e));
    TRY(server_open(s, e));
    *ret = take_ptr(s);
    return 0;
}

void served_free(struct served *s)
{
    if (s->server)
        engine_server_free(s->server);
    if (s->gateway)
        gateway_free(s->gateway);
    if (s->apps)
        apps_free(s->apps);
    serve_spec_done(&s->job.serve);
    free(s);
}

struct engine *served_engine(const struct served *s)
{
    return apps_engine(s->apps, 0);
}

int served_run(struct served *s, uint64_t idle_ms, bool *ret_is_idle, bool *ret_is_cut,
               struct err *e)
{
    TRY(engine_server_run(s->server, 0, idle_ms, ret_is_idle, e));
    *ret_is_cut = atomic_load(&s->is_cut);
    return 0;
}

void served_drain(struct served *s)
{
    engine_server_drain(s->server);
}

void served_stop(struct served *s)
{
    struct engine_server_figures f = {0};

    engine_server_figures(s->server, &f);
    if (f.requests || f.queued)
        atomic_store(&s->is_cut, true);
    engine_server_stop(s->server);
}

void served_figures(const struct served *s, struct served_figures *ret)
{
    struct engine_server_figures f = {0};

    engine_server_figures(s->server, &f);
    *ret = (struct served_figures){.requests = gateway_requests(s->gateway),
                                   .memory_bytes = f.memory_bytes};
}
