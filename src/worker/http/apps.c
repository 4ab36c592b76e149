/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/http/apps.h"

#include <fcntl.h>
#include <pthread.h>

#include "base/fds.h"
#include "base/log.h"
#include "worker/code.h"
#include "worker/grants.h"
#include "worker/streams.h"

struct apps {
    const struct guest_job *job;
    struct cache *cache;
    pthread_rwlock_t lock; /* guards which service each app has */
    struct engine_service **services;

    /* What all services are given; their engine_service_options point here. */
    struct engine *engines[2]; /* for modules, for components; opened when first needed */
    struct engine_dir *dirs;
    struct grants *grants;
    struct engine_network network;
    struct fd_stream outputs[2];
    struct engine_stream streams[3];
};

static int engine_of(struct apps *a, const struct program *p, struct engine **ret, struct err *e)
{
    const struct serve_spec *s = &a->job->serve;
    struct engine **slot = &a->engines[p->artifact.is_component];
    struct engine_options o = {
        .allocation = ENGINE_POOLING,
        .is_interruptible = true,
        .is_modules_only = !p->artifact.is_component,
        /* Instances that wait for their next request occupy slots as well. */
        .pool_slots = (uint32_t)(s->limits.requests * (s->reuse > 1 ? 2 : 1)),
        .pool_memory_limit_bytes = (uint64_t)a->job->spec.memory_bytes,
    };

    if (!*slot)
        TRY(engine_open(&o, slot, e));
    *ret = *slot;
    return 0;
}

static int kind_of(const struct program *p, enum engine_service_kind *ret, struct err *e)
{
    TRY(contract_check_imports(&p->artifact, e));
    switch (p->contract) {
    case CONTRACT_P2_HTTP:
        *ret = ENGINE_HTTP_P2;
        return 0;
    case CONTRACT_P3_HTTP:
        *ret = ENGINE_HTTP_P3;
        return 0;
    case CONTRACT_P1_COMMAND:
        *ret = ENGINE_CGI;
        return 0;
    case CONTRACT_P2_COMMAND:
    case CONTRACT_P3_COMMAND:
        return err_set(e, -ENOEXEC, "NotRunnable",
                       "it is a command, not an HTTP service: %s; 'wherry run' starts commands, and "
                       "'wherry serve' runs modules by CGI",
                       p->why);
    case CONTRACT_P1_REACTOR:
    case CONTRACT_LIBRARY:
    case CONTRACT_UNKNOWN:
        break;
    }
    return err_set(e, -ENOEXEC, "NotRunnable",
                   "it cannot answer requests: %s; it would have to export "
                   "wasi:http/incoming-handler, wasi:http/handler or, for CGI, _start",
                   p->why);
}

static int service_new(struct apps *a, const struct serve_app *app, enum engine_service_kind kind,
                       struct engine *engine, struct engine_code *code,
                       struct engine_service **ret, struct err *e)
{
    static char *const none[] = {NULL};
    const struct guest_spec *s = &a->job->spec;
    struct engine_service_options o = {
        .kind = kind,
        .name = app->name,
        .env = (const char *const *)(s->env.n ? s->env.v : none),
        .dirs = a->dirs,
        .n_dirs = s->n_dirs,
        .streams = {a->streams[0], a->streams[1], a->streams[2]},
        .network = a->network,
        .limits = {.memory_bytes = (uint64_t)s->memory_bytes,
                   .table_elements = (uint64_t)s->table_elements,
                   .tables = (uint64_t)s->tables,
                   .memories = (uint64_t)s->memories,
                   .instances = (uint64_t)s->instances,
                   .descriptors = (uint64_t)s->descriptors},
        .cpu_ns = (uint64_t)a->job->serve.limits.cpu_ms * 1000000u,
        .reuse = (uint32_t)a->job->serve.reuse,
    };

    return engine_service_new(engine, code, &o, ret, e);
}

/* From the program's file to a service. */
static int load(struct apps *a, const struct serve_app *app, int fd, struct engine_service **ret,
                struct err *e)
{
    struct code_options o = {.cache = a->cache,
                             .is_interruptible = true,
                             .has_progress = !a->job->is_quiet && isatty(STDERR_FILENO),
                             .stop_fd = -1};
    struct program program;
    enum engine_service_kind kind = ENGINE_HTTP_P2;
    struct engine *engine = NULL;
    struct engine_code *code = NULL;
    int r;

    TRY(program_open(fd, false, &program, e));
    r = kind_of(&program, &kind, e);
    if (r >= 0)
        r = engine_of(a, &program, &engine, e);
    if (r >= 0)
        r = code_open(&program, fd, app->name, &o, engine, &code, e);
    program_done(&program);
    if (r >= 0)
        r = service_new(a, app, kind, engine, code, ret, e);
    engine_code_close(code);
    return r;
}

static int shared_open(struct apps *a, struct err *e)
{
    const struct guest_spec *s = &a->job->spec;
    const int64_t fds[] = {s->stdout_fd, s->stderr_fd};

    a->dirs = xcalloc(s->n_dirs + 1, sizeof(*a->dirs));
    for (size_t i = 0; i < s->n_dirs; i++)
        a->dirs[i] = (struct engine_dir){.fd = (int)s->dirs[i].fd,
                                         .guest_path = s->dirs[i].path,
                                         .is_read_only = s->dirs[i].is_read_only};
    for (int i = 0; i < 2; i++)
        if (fds[i] >= 0)
            fd_stream_init(&a->outputs[i], (int)fds[i], false, &a->streams[i + 1]);
    a->network.resolv_conf = s->resolv_conf;
    a->network.hosts = s->hosts;
    TRY(grants_new(&s->allow_net, (int)s->ca_fd, &a->grants, e));
    grants_attach(a->grants, &a->network);
    return 0;
}

int apps_new(const struct guest_job *j, struct cache *cache, struct apps **ret, size_t *ret_failed,
             struct err *e)
{
    AUTO(apps) a = xcalloc(1, sizeof(*a));

    a->job = j;
    a->cache = cache;
    a->services = xcalloc(j->serve.n_apps, sizeof(struct engine_service *));
    pthread_rwlock_init(&a->lock, NULL);
    *ret_failed = j->serve.n_apps;
    TRY(shared_open(a, e));
    for (size_t i = 0; i < j->serve.n_apps; i++) {
        const struct serve_app *app = &j->serve.apps[i];
        int r = load(a, app, (int)app->fd, &a->services[i], e);

        close((int)app->fd);
        if (r < 0) {
            *ret_failed = i;
            return r;
        }
    }
    *ret = take_ptr(a);
    return 0;
}

void apps_free(struct apps *a)
{
    for (size_t i = 0; i < a->job->serve.n_apps; i++)
        engine_service_unref(a->services[i]);
    for (size_t i = 0; i < ARRAY_SIZE(a->engines); i++)
        engine_close(a->engines[i]);
    if (a->grants)
        grants_free(a->grants);
    pthread_rwlock_destroy(&a->lock);
    free(a->services);
    free(a->dirs);
    free(a);
}

struct engine_service *apps_service(struct apps *a, size_t app)
{
    struct engine_service *s;

    pthread_rwlock_rdlock(&a->lock);
    s = engine_service_ref(a->services[app]);
    pthread_rwlock_unlock(&a->lock);
    return s;
}

int apps_reload(struct apps *a, size_t app, struct err *e)
{
    const struct serve_app *spec = &a->job->serve.apps[app];
    autofd fd = open(spec->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct engine_service *made = NULL, *old;

    if (fd < 0)
        return err_errno(e, -errno, "NotFound", "cannot open '%s'", spec->path);
    TRY(load(a, spec, fd, &made, e));
    pthread_rwlock_wrlock(&a->lock);
    old = a->services[app];
    a->services[app] = made;
    pthread_rwlock_unlock(&a->lock);
    engine_service_unref(old);
    return 0;
}
