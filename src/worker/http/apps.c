/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/http/apps.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

#include "base/fds.h"
#include "base/log.h"
#include "worker/code.h"
#include "worker/grants.h"
#include "worker/streams.h"

/* Services that are loaded at a time. One costs tens of kilobytes and is loaded in less than a
 * millisecond, so a worker with thousands of programs keeps those that were asked last. */
#define LOADED_LIMIT 256

struct app {
    int code_fd;     /* its machine code */
    struct strv env; /* of its image and of the job */
    enum engine_service_kind kind;
    struct engine *engine;
    struct engine_service *service; /* NULL while it is not loaded, as the next */
    struct shared_code *code;
    _Atomic uint64_t used; /* when it was last asked for: a number that counts up */
};

struct apps {
    const struct guest_job *job;
    struct cache *cache;
    int code_fd;
    pthread_rwlock_t lock; /* guards the list, but for `used` */
    struct app *list;
    size_t n_loaded;
    _Atomic uint64_t clock; /* counts requests, for `used` */

    struct http_engines *engines;

    /* What all services are given; their engine_service_options point here. */
    struct engine_dir *dirs;
    struct grants *grants;
    struct engine_network network;
    struct fd_stream outputs[2];
    struct engine_stream streams[3];
};

/* Machine code that an engine has opened, for all services of it: what the engine knows of a
 * program is larger than a service. Whoever has it holds its file open, so no other one gets its
 * inode. */
struct shared_code {
    struct shared_code *next;
    const struct engine *engine;
    dev_t dev;
    ino_t ino;
    struct engine_code *code;
    unsigned refs;
};

struct http_engines {
    uint32_t slots;
    uint64_t memory_bytes;
    pthread_mutex_t lock;
    struct engine *opened[2]; /* the second one is concurrent */
    pthread_mutex_t codes_lock;
    struct shared_code *codes;
};

struct http_engines *http_engines_new(uint32_t slots, uint64_t memory_bytes)
{
    struct http_engines *en = xcalloc(1, sizeof(*en));

    en->slots = slots;
    en->memory_bytes = memory_bytes;
    pthread_mutex_init(&en->lock, NULL);
    pthread_mutex_init(&en->codes_lock, NULL);
    return en;
}

void http_engines_free(struct http_engines *en)
{
    for (size_t i = 0; i < ARRAY_SIZE(en->opened); i++)
        engine_close(en->opened[i]);
    BUG_ON(en->codes);
    pthread_mutex_destroy(&en->codes_lock);
    pthread_mutex_destroy(&en->lock);
    free(en);
}

/* Called with the lock held, as the next. NULL when it fails. */
static struct shared_code *code_share_locked(struct http_engines *en, struct engine *engine, int fd,
                                             struct err *e)
{
    struct shared_code *c;
    struct engine_code *code;
    struct stat st;

    if (fstat(fd, &st) < 0) {
        err_errno(e, -errno, "CacheFailed", "cannot look at the file of machine code");
        return NULL;
    }
    for (c = en->codes; c; c = c->next)
        if (c->engine == engine && c->ino == st.st_ino && c->dev == st.st_dev) {
            c->refs++;
            return c;
        }
    if (engine_code_open(engine, fd, &code, e) < 0)
        return NULL;
    c = xcalloc(1, sizeof(*c));
    *c = (struct shared_code){.next = en->codes,
                              .engine = engine,
                              .dev = st.st_dev,
                              .ino = st.st_ino,
                              .code = code,
                              .refs = 1};
    en->codes = c;
    return c;
}

/* Once for all that want it at the same time. */
static struct shared_code *code_share(struct http_engines *en, struct engine *engine, int fd,
                                      struct err *e)
{
    struct shared_code *c;

    pthread_mutex_lock(&en->codes_lock);
    c = code_share_locked(en, engine, fd, e);
    pthread_mutex_unlock(&en->codes_lock);
    return c;
}

static void code_unshare(struct http_engines *en, struct shared_code *c)
{
    struct shared_code **at = &en->codes;

    if (!c)
        return;
    pthread_mutex_lock(&en->codes_lock);
    if (!--c->refs) {
        while (*at != c)
            at = &(*at)->next;
        *at = c->next;
        engine_code_close(c->code);
        free(c);
    }
    pthread_mutex_unlock(&en->codes_lock);
}

static int engine_of(struct http_engines *en, const struct program *p, struct engine **ret,
                     struct err *e)
{
    bool is_concurrent = program_is_concurrent(p);
    struct engine **slot = &en->opened[is_concurrent];
    struct engine_options o = {
        .allocation = ENGINE_POOLING,
        .is_interruptible = true,
        .is_concurrent = is_concurrent,
        .pool_slots = en->slots,
        .pool_memory_limit_bytes = en->memory_bytes,
    };
    int r = 0;

    pthread_mutex_lock(&en->lock);
    if (!*slot)
        r = engine_open(&o, slot, e);
    *ret = *slot;
    pthread_mutex_unlock(&en->lock);
    return r;
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
        return err_set(
            e, -ENOEXEC, "NotRunnable",
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

static void app_close(const struct apps *a, struct app *app)
{
    engine_service_unref(app->service);
    code_unshare(a->engines, app->code);
    if (app->code_fd >= 0)
        close(app->code_fd);
    strv_done(&app->env);
}

static int service_load(struct apps *a, const char *name, struct app *app, struct err *e)
{
    const struct guest_spec *s = &a->job->spec;
    struct engine_service_options o = {
        .kind = app->kind,
        .name = name,
        .env = strv_array(&app->env),
        .dirs = a->dirs,
        .n_dirs = s->n_dirs,
        .streams = {a->streams[0], a->streams[1], a->streams[2]},
        .network = a->network,
        .limits = grants_limits(s),
        .cpu_ns = (uint64_t)a->job->serve.limits.cpu_ms * 1000000u,
        .reuse = (uint32_t)a->job->serve.reuse,
    };
    int r;

    if (!app->code)
        app->code = code_share(a->engines, app->engine, app->code_fd, e);
    if (!app->code)
        return e->code;
    r = engine_service_new(app->engine, app->code->code, &o, &app->service, e);
    if (r < 0)
        code_unshare(a->engines, take_ptr(app->code));
    return r;
}

/* Of what the cache has and the engine refuses code_open() makes another file. */
static int app_code_open(struct apps *a, const struct program *p, const char *name,
                         const struct code_options *o, struct app *app, struct err *e)
{
    struct engine_code *code;

    TRY(code_obtain(p, name, o, &app->code_fd, NULL, e));
    app->code = code_share(a->engines, app->engine, app->code_fd, e);
    if (app->code || e->code != -ESTALE || o->code_fd >= 0)
        return app->code ? 0 : e->code;
    close(app->code_fd);
    app->code_fd = -EBADF;
    *e = ERR_INIT;
    TRY(code_open(p, name, o, app->engine, &app->code_fd, &code, e));
    engine_code_close(code);
    app->code = code_share(a->engines, app->engine, app->code_fd, e);
    return app->code ? 0 : e->code;
}

/* From the program's file to machine code that the engine takes; it is loaded once, so that what
 * cannot answer is known now. */
static int app_open(struct apps *a, const struct serve_app *spec, int fd, int stop_fd,
                    struct app *ret, struct err *e)
{
    struct code_options o = {.cache = a->cache,
                             .is_interruptible = true,
                             .has_progress = !a->job->is_quiet && isatty(STDERR_FILENO),
                             .stop_fd = stop_fd,
                             .code_fd = a->code_fd};
    struct app made = {.code_fd = -EBADF};
    struct program program;
    int r;

    TRY(program_open(fd, spec->image, spec->command, false, &program, e));
    guest_command_env(&program.command, &a->job->spec.env, &made.env);
    r = kind_of(&program, &made.kind, e);
    if (r >= 0)
        r = engine_of(a->engines, &program, &made.engine, e);
    if (r >= 0)
        r = app_code_open(a, &program, spec->name, &o, &made, e);
    program_done(&program);
    if (r >= 0)
        r = service_load(a, spec->name, &made, e);
    if (r < 0) {
        app_close(a, &made);
        return r;
    }
    *ret = made;
    return 0;
}

/* Makes room for one more; requests that run keep what they have. Called with the lock held; what
 * is returned, which may be NULL, is given back without it, as that may take a while. */
static struct engine_service *unload_oldest(struct apps *a)
{
    struct app *oldest = NULL;

    if (a->n_loaded < LOADED_LIMIT)
        return NULL;
    for (size_t i = 0; i < a->job->serve.n_apps; i++) {
        struct app *app = &a->list[i];

        if (app->service && (!oldest || atomic_load(&app->used) < atomic_load(&oldest->used)))
            oldest = app;
    }
    BUG_ON(!oldest);
    a->n_loaded--;
    code_unshare(a->engines, take_ptr(oldest->code));
    return take_ptr(oldest->service);
}

/* Puts a program in its place, for the one that was there. */
static void app_set(struct apps *a, size_t place, struct app *made)
{
    struct app *app = &a->list[place], old;
    struct engine_service *unloaded;

    pthread_rwlock_wrlock(&a->lock);
    old = *app;
    a->n_loaded -= old.service != NULL;
    app->service = NULL;
    unloaded = unload_oldest(a);
    *app = *made;
    atomic_store(&app->used, atomic_fetch_add(&a->clock, 1));
    a->n_loaded++;
    pthread_rwlock_unlock(&a->lock);
    engine_service_unref(unloaded);
    app_close(a, &old);
}

static int shared_open(struct apps *a, const struct apps_options *o, struct err *e)
{
    const struct guest_spec *s = &a->job->spec;
    const int64_t fds[] = {s->stdout_fd, s->stderr_fd};

    a->dirs = grants_dirs(s);
    if (o->output) {
        a->streams[1] = *o->output;
        a->streams[2] = *o->errors;
    }
    for (int i = 0; !o->output && i < 2; i++)
        if (fds[i] >= 0)
            fd_stream_init(&a->outputs[i], (int)fds[i], false, &a->streams[i + 1]);
    a->network.resolv_conf = s->resolv_conf;
    a->network.hosts = s->hosts;
    TRY(grants_new(&s->allow_net, (int)s->ca_fd, &a->grants, e));
    grants_attach(a->grants, &a->network);
    return 0;
}

int apps_new(const struct apps_options *o, struct apps **ret, size_t *ret_failed, struct err *e)
{
    const struct guest_job *j = o->job;
    AUTO(apps) a = xcalloc(1, sizeof(*a));

    a->job = j;
    a->cache = o->cache;
    a->code_fd = o->code_fd;
    a->engines = o->engines;
    a->list = xcalloc(j->serve.n_apps, sizeof(*a->list));
    for (size_t i = 0; i < j->serve.n_apps; i++)
        a->list[i].code_fd = -EBADF;
    pthread_rwlock_init(&a->lock, NULL);
    *ret_failed = j->serve.n_apps;
    TRY(shared_open(a, o, e));
    for (size_t i = 0; i < j->serve.n_apps; i++) {
        const struct serve_app *spec = &j->serve.apps[i];
        struct app made;
        int r = app_open(a, spec, (int)spec->fd, o->stop_fd, &made, e);

        close((int)spec->fd);
        if (r < 0) {
            *ret_failed = i;
            return r;
        }
        app_set(a, i, &made);
    }
    *ret = take_ptr(a);
    return 0;
}

void apps_free(struct apps *a)
{
    for (size_t i = 0; i < a->job->serve.n_apps; i++)
        app_close(a, &a->list[i]);
    if (a->grants)
        grants_free(a->grants);
    pthread_rwlock_destroy(&a->lock);
    free(a->list);
    free(a->dirs);
    free(a);
}

static int load_again(struct apps *a, size_t place, struct engine_service **ret, struct err *e)
{
    struct app *app = &a->list[place];
    struct engine_service *unloaded = NULL;
    int r = 0;

    pthread_rwlock_wrlock(&a->lock);
    /* Another thread may have been quicker. */
    if (!app->service) {
        unloaded = unload_oldest(a);
        r = service_load(a, a->job->serve.apps[place].name, app, e);
        a->n_loaded += r >= 0;
    }
    if (r >= 0)
        *ret = engine_service_ref(app->service);
    atomic_store(&app->used, atomic_fetch_add(&a->clock, 1));
    pthread_rwlock_unlock(&a->lock);
    engine_service_unref(unloaded);
    return r;
}

int apps_service(struct apps *a, size_t place, struct engine_service **ret, struct err *e)
{
    struct app *app = &a->list[place];
    struct engine_service *s = NULL;

    pthread_rwlock_rdlock(&a->lock);
    if (app->service)
        s = engine_service_ref(app->service);
    pthread_rwlock_unlock(&a->lock);
    if (!s)
        return load_again(a, place, ret, e);
    /* With few programs none is ever unloaded, and nobody needs to know which was used. */
    if (a->job->serve.n_apps > LOADED_LIMIT)
        atomic_store(&app->used, atomic_fetch_add(&a->clock, 1));
    *ret = s;
    return 0;
}

struct engine *apps_engine(const struct apps *a, size_t place)
{
    return a->list[place].engine;
}

int apps_reload(struct apps *a, size_t place, int stop_fd, struct err *e)
{
    const struct serve_app *spec = &a->job->serve.apps[place];
    autofd fd = open(spec->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct app made;

    if (fd < 0)
        return err_errno(e, -errno, "NotFound", "cannot open '%s'", spec->path);
    TRY(app_open(a, spec, fd, stop_fd, &made, e));
    app_set(a, place, &made);
    return 0;
}
