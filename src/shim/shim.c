/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/shim.h"

#include <malloc.h>
#include <signal.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/paths.h"
#include "shim/pod/sandbox.h"
#include "shim/service/service.h"
#include "shim/task/task_parts.h"

#define EVENTS_WAIT_MS 10000 /* for containerd to take the last events */
#define IDLE_MS        60000
#define CONNECTIONS    4096 /* containerd has one for each container of a pod */
#define TIDY_AFTER_MS  3000 /* after the last thing that took memory */

static const struct ttrpc_service *services(size_t *ret_n)
{
    static struct ttrpc_service v[] = {
        {.name = "containerd.task.v2.Task",               .methods = task_methods   },
        {.name = "containerd.task.v3.Task",               .methods = task_methods   },
        {.name = "containerd.runtime.sandbox.v1.Sandbox", .methods = sandbox_methods},
    };

    v[0].n_methods = v[1].n_methods = n_task_methods;
    v[2].n_methods = n_sandbox_methods;
    *ret_n = ARRAY_SIZE(v);
    return v;
}

static void idle(void *ctx)
{
    struct shim *s = ctx;

    if (!link_is_empty(&s->tasks) || s->sandbox)
        return;
    log_info("nobody has asked for a container in %d s", IDLE_MS / 1000);
    shim_shut_down(s);
}

static int server_open(struct shim *s, int listen_fd, struct err *e)
{
    struct ttrpc_server_options o = {.listen_fd = listen_fd,
                                     .ctx = s,
                                     .idle = idle,
                                     .idle_ms = IDLE_MS,
                                     .connection_limit = CONNECTIONS};

    o.services = services(&o.n_services);
    return ttrpc_server_new(s->loop, &o, &s->server, e);
}

static int events_begin(struct shim *s, struct err *e)
{
    struct events_options o = {.namespace = s->flags->namespace,
                               .ttrpc_address = s->bootstrap->ttrpc_address,
                               .publish_binary = s->flags->publish_binary,
                               .address = s->flags->address};

    return events_open(s->loop, &o, &s->events, e);
}

static int programs_begin(struct shim *s, struct err *e)
{
    TRY(paths_program_find("wherry-worker", &s->worker, e));
    TRY(paths_cache_dir(&s->cache_dir, e));
    s->programs = programs_new(s->loop, s->worker, s->cache_dir);
    return 0;
}

static void flushed(void *ctx, const struct err *e)
{
    struct shim *s = ctx;

    if (e)
        log_warn("%s", e->msg);
    loop_stop(s->loop);
}

void shim_shut_down(struct shim *s)
{
    struct task *t;

    s->is_end_due = true;
    LINK_EACH(t, &s->tasks, struct task, in_shim)
    {
        if (!task_is_create_failing(t))
            s->is_end_due = false;
    }
    if (s->is_leaving || !link_is_empty(&s->tasks) || s->sandbox)
        return;
    s->is_leaving = true;
    /* Nobody is to find it from here on. */
    unlink(s->socket);
    events_flush(s->events, EVENTS_WAIT_MS, flushed, s);
}

/* What a create has taken, and a deletion given back, lies between living pieces otherwise. */
static void tidy(void *ctx)
{
    (void)ctx;
    malloc_trim(0);
}

void shim_tidy_soon(struct shim *s)
{
    if (!s->tidy)
        s->tidy = loop_timer_new(s->loop, tidy, s);
    loop_timer_set(s->tidy, clock_monotonic_ns() + TIDY_AFTER_MS * UINT64_C(1000000));
}

void shim_task_gone(struct shim *s)
{
    shim_tidy_soon(s);
    if (link_is_empty(&s->tasks) && (s->is_end_due || ttrpc_server_is_idle(s->server)))
        shim_shut_down(s);
}

/* What stops the machine's services must not stop containers; containerd tells when to end. */
static void signals_ignore(void)
{
    signal(SIGTERM, SIG_IGN);
    signal(SIGINT, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
}

static int begin(struct shim *s, int listen_fd, struct err *e)
{
    autofd fd = listen_fd;

    TRY(loop_open(&s->loop, e));
    /* Processes of native containers outlive the runtime that has made them, and become ours. */
    TRY(loop_reap_orphans(s->loop, e));
    TRY(events_begin(s, e));
    TRY(programs_begin(s, e));
    return server_open(s, take_fd(&fd), e);
}

int shim_run(const struct shim_flags *f, const struct bootstrap *b, struct shim_daemon *d,
             struct err *e)
{
    struct shim s = {.flags = f, .bootstrap = b, .socket = d->socket, .pod = SHIM_POD_INIT};
    int r;

    link_init(&s.tasks);
    /* An arena for each thread of the work pool would be most of what it takes. */
    mallopt(M_ARENA_MAX, 1);
    signals_ignore();
    r = begin(&s, take_fd(&d->listen_fd), e);
    shim_daemon_report(d, r < 0 ? e : NULL);
    if (r >= 0)
        loop_run(s.loop);
    /* That of a create that was cancelled. */
    if (s.loop)
        loop_drain(s.loop);
    shim_pod_end(&s.pod);
    sandbox_free(s.sandbox);
    ttrpc_server_free(s.server);
    programs_free(s.programs);
    events_free(s.events);
    loop_timer_free(s.tidy);
    loop_free(s.loop);
    free(s.worker);
    free(s.cache_dir);
    return r;
}
