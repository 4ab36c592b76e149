/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <sched.h>

#include "base/fds.h"
#include "base/paths.h"
#include "cli/cli.h"
#include "cli/launch.h"
#include "cli/sockets.h"
#include "guest/job.h"

/* What the command line names, parsed. */
struct wanted {
    struct serve_routes routes;
    struct listen_addresses addresses;
    size_t n_passed; /* by socket activation, when no address is named */
};

static void wanted_done(struct wanted *w)
{
    serve_routes_done(&w->routes);
    listen_addresses_done(&w->addresses);
}

static int wanted_fill(struct serve_options *o, const struct strv *operands, struct wanted *w,
                       struct err *e)
{
    const char *file = operands->n ? operands->v[0] : NULL;

    TRY(serve_routes_collect(file, &o->routes, &o->hosts, &w->routes, e));
    if (o->name && w->routes.n > 1)
        return err_set(e, -EINVAL, "BadUsage",
                       "--name is for one program; several are named after their files");
    TRY(sockets_passed(&w->n_passed, e));
    if (o->listen.n)
        w->n_passed = 0;
    else if (!w->n_passed)
        strv_add(&o->listen, SERVE_LISTEN_DEFAULT);
    return listen_addresses_parse(&o->listen, o->metrics, &w->addresses, e);
}

/* ---- Limits ---- */

static int64_t processors(void)
{
    cpu_set_t set;
    long n;

    /* More processors than the set has places: the number of all is near enough. */
    n = sched_getaffinity(0, sizeof(set), &set) < 0 ? sysconf(_SC_NPROCESSORS_ONLN)
                                                    : CPU_COUNT(&set);
    return n < 1 ? 1 : n > SERVE_THREAD_LIMIT ? SERVE_THREAD_LIMIT : n;
}

static void limits_add(const struct serve_options *o, struct serve_spec *s)
{
    const struct {
        const struct option_number *from;
        int64_t *to;
    } map[] = {
        {&o->threads,      &s->threads            },
        {&o->reuse,        &s->reuse              },
        {&o->header_bytes, &s->limits.header_bytes},
        {&o->headers,      &s->limits.headers     },
        {&o->body_bytes,   &s->limits.body_bytes  },
        {&o->requests,     &s->limits.requests    },
        {&o->queue,        &s->limits.queue       },
        {&o->connections,  &s->limits.connections },
        {&o->idle_ms,      &s->limits.idle_ms     },
        {&o->read_ms,      &s->limits.read_ms     },
        {&o->write_ms,     &s->limits.write_ms    },
        {&o->request_ms,   &s->limits.request_ms  },
        {&o->cpu_ms,       &s->limits.cpu_ms      },
        {&o->drain_ms,     &s->limits.drain_ms    },
    };

    s->threads = processors();
    for (size_t i = 0; i < ARRAY_SIZE(map); i++)
        if (map[i].from->is_set)
            *map[i].to = map[i].from->value;
}

/* ---- Programs ---- */

struct named {
    const char *base, *file;
    size_t index;
};

static int named_compare(const void *left, const void *right)
{
    const struct named *a = left, *b = right;
    int order = strcmp(a->base, b->base);

    return order ? order : strcmp(a->file, b->file);
}

/* The name of each program: that of its file, or the whole path where two files have one name. */
static const char **names_choose(const struct serve_routes *r)
{
    autofree struct named *all = xcalloc(r->n, sizeof(*all));
    const char **names = xcalloc(r->n, sizeof(*names));

    for (size_t i = 0; i < r->n; i++) {
        const char *file = r->items[i].file;

        all[i] = (struct named){.base = path_base(file), .file = file, .index = i};
    }
    qsort(all, r->n, sizeof(*all), named_compare);
    for (size_t i = 0, end; i < r->n; i = end) {
        bool is_one;

        for (end = i; end < r->n && str_eq(all[end].base, all[i].base);)
            end++;
        is_one = str_eq(all[i].file, all[end - 1].file);
        for (size_t k = i; k < end; k++)
            names[all[k].index] = is_one ? all[k].base : all[k].file;
    }
    return names;
}

static int apps_add(const struct serve_routes *r, const char *name, const struct launch_pull *pull,
                    struct serve_spec *s, struct err *e)
{
    autofree const char **names = names_choose(r);

    for (size_t i = 0; i < r->n; i++) {
        const struct serve_route *route = &r->items[i];
        struct guest_file program = {0};
        autofree char *path = NULL;

        TRY(launch_program(route->file, pull, &program, &path, e));
        serve_spec_app_add(s, (int)program.fd, program.image, program.command, path,
                           name ? name : names[i], route->host, route->path);
        guest_file_done(&program);
    }
    return 0;
}

/* ---- TLS ---- */

/* The worker reads the file itself, again at each SIGHUP: here its name becomes absolute, and what
 * it could not read is said now. */
static int pem_add(const char *option, const char *path, char **ret, struct err *e)
{
    autofd fd = -EBADF;

    TRY(launch_pem_open(option, path, &fd, e));
    return path_absolute(path, ret, e);
}

static int tls_add(const struct serve_options *o, struct serve_spec *s, struct err *e)
{
    if (!o->tls_cert != !o->tls_key)
        return err_set(e, -EINVAL, "BadUsage", "--%s is missing; one file may hold both",
                       o->tls_cert ? "tls-key" : "tls-cert");
    if (!o->tls_cert)
        return 0;
    TRY(pem_add("--tls-cert", o->tls_cert, &s->tls_cert, e));
    return pem_add("--tls-key", o->tls_key, &s->tls_key, e);
}

/* ---- Sockets ---- */

static int listener_add(int fd, int64_t thread, struct serve_spec *s, struct err *e)
{
    autofree char *name = NULL;
    autofree char *url = NULL;
    bool is_unix, is_tls;

    TRY(launch_inherit(fd, e));
    TRY(sockets_name(fd, &name, e));
    is_unix = str_starts(name, "unix:");
    is_tls = s->tls_cert && !is_unix;
    url = is_unix ? take_ptr(name) : xasprintf("%s://%s", is_tls ? "https" : "http", name);
    serve_spec_listener_add(s, fd, url, thread, is_tls);
    return 0;
}

/* A socket for each thread, so that each has its own queue of connections. */
static int address_add(const struct listen_address *a, struct serve_spec *s, struct err *e)
{
    size_t n = a->any.sa_family == AF_UNIX ? 1 : (size_t)s->threads;
    int fds[SERVE_THREAD_LIMIT], r = 0;

    if (s->n_listeners + n > SERVE_LISTENER_LIMIT)
        return err_set(e, -E2BIG, "BadUsage",
                       "%lld --threads with that many --listen need more than %d sockets",
                       (long long)s->threads, SERVE_LISTENER_LIMIT);
    TRY(sockets_listen(a, n, fds, e));
    for (size_t i = 0; r >= 0 && i < n; i++)
        r = listener_add(fds[i], a->any.sa_family == AF_UNIX ? -1 : (int64_t)i, s, e);
    return r;
}

static int listeners_add(const struct wanted *w, struct serve_spec *s, struct err *e)
{
    const struct listen_addresses *a = &w->addresses;
    bool has_tls_user = false;
    int fd = -EBADF;

    for (size_t i = 0; i < w->n_passed; i++)
        TRY(listener_add(SOCKETS_PASSED_FIRST + (int)i, -1, s, e));
    for (size_t i = 0; i < a->n; i++)
        TRY(address_add(&a->items[i], s, e));
    for (size_t i = 0; i < s->n_listeners; i++)
        has_tls_user = has_tls_user || s->listeners[i].is_tls;
    if (s->tls_cert && !has_tls_user)
        return err_set(e, -EINVAL, "BadUsage",
                       "--tls-cert is for TCP addresses, and all sockets are unix sockets");
    if (!a->has_metrics)
        return 0;
    TRY(sockets_listen(&a->metrics, 1, &fd, e));
    s->metrics_fd = fd;
    return launch_inherit(fd, e);
}

/* ---- The job ---- */

/* Where standard input, output or error is closed, a socket would take its place, and what is
 * logged would go to a client. */
static int standard_fill(struct err *e)
{
    int fd;

    do {
        fd = open("/dev/null", O_RDWR); /* to be inherited */
        if (fd < 0)
            return err_errno(e, -errno, "DescriptorFailed", "cannot open /dev/null");
    } while (fd <= STDERR_FILENO);
    close(fd);
    return 0;
}

static int spec_fill(const struct serve_options *o, const struct wanted *w, struct guest_spec *s,
                     struct err *e)
{
    s->id = xstrdup("serve");
    s->name = xstrdup(o->name           ? o->name
                      : w->routes.n > 1 ? "serve"
                                        : path_base(w->routes.items[0].file));
    TRY(env_collect(&o->env_files, &o->env, &s->env, e));
    TRY(launch_dirs_add(&o->dirs, s, e));
    TRY(launch_network_add(&o->allow_net, o->ca, s, e));
    s->memory_bytes = o->memory_bytes.value;
    s->stdout_fd = STDOUT_FILENO;
    s->stderr_fd = STDERR_FILENO;
    return 0;
}

static int job_fill(const struct serve_options *o, const struct wanted *w, struct guest_job *j,
                    struct err *e)
{
    const struct launch_pull pull = {.policy = o->pull, .is_quiet = o->is_quiet};

    j->command = xstrdup("serve");
    j->is_quiet = o->is_quiet;
    j->verbosity = o->verbosity;
    guest_spec_init(&j->spec);
    j->has_spec = true;
    serve_spec_init(&j->serve);
    j->has_serve = true;
    limits_add(o, &j->serve);
    TRY(standard_fill(e));
    fds_make_room((unsigned)(w->routes.n + w->addresses.n * (size_t)j->serve.threads + 256));
    TRY(apps_add(&w->routes, o->name, &pull, &j->serve, e));
    TRY(spec_fill(o, w, &j->spec, e));
    j->serve.access_log = o->access_log ? xstrdup(o->access_log) : NULL;
    TRY(tls_add(o, &j->serve, e));
    if (!o->is_uncached)
        TRY(launch_cache_dir(o->cache_dir, &j->cache_dir, e));
    /* Last: whoever connects from here on waits for an answer. */
    return listeners_add(w, &j->serve, e);
}

int cli_serve(int argc, char *const *argv)
{
    struct serve_options o = {0};
    struct wanted wanted = {0};
    struct guest_job job = GUEST_JOB_INIT;
    autostrv operands = STRV_INIT;
    struct err e = ERR_INIT;
    int status = cli_parse(&command_serve, argc, argv, &o, &operands);

    if (status >= 0)
        return status;
    if (wanted_fill(&o, &operands, &wanted, &e) >= 0 && job_fill(&o, &wanted, &job, &e) >= 0)
        launch_job(&job, &e); /* returns only on failure */
    status = cli_fail("serve", &e, guest_exit_for(&e));
    guest_job_done(&job);
    wanted_done(&wanted);
    options_done(&command_serve, &o);
    return status;
}
