/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/guest.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <time.h>

#include "base/clock.h"
#include "base/fds.h"
#include "base/log.h"
#include "worker/code.h"
#include "worker/grants.h"
#include "worker/http/served.h"
#include "worker/log_file.h"
#include "worker/streams.h"
#include "worker/turns.h"

/* Enough for the host functions that run outside of the guest's own stack. */
#define THREAD_STACK_BYTES (512u << 10)
/* One that answers requests keeps its thread for as long after the last one. */
#define LINGER_MS 1000

struct guest {
    const struct guest_host *host;
    struct guest_spec spec;
    pthread_t thread;
    bool has_thread;
    int stop_fd; /* eventfd: readable once the guest is to stop */

    _Atomic(enum guest_state) state;
    _Atomic(enum guest_stop) stop;
    _Atomic uint64_t deadline_ns;

    /* Guards what follows, which the thread makes and others use. */
    pthread_mutex_t lock;
    struct engine_guest *engine_guest; /* only while it runs, as the next */
    struct served *served;
    bool is_draining;
    bool is_served; /* or it is not known yet */
    bool is_parked; /* it waits for a connection and needs no thread for that */
    bool has_thread_clock;
    clockid_t thread_clock;
    uint64_t cpu_ns;               /* of threads that have ended */
    struct engine_figures figures; /* last known */
    uint64_t started_ns;           /* realtime; 0: it never ran */

    struct guest_status status; /* of an ended guest */

    /* The thread's own. */
    struct engine_stream streams[3];
    struct fd_stream fd_streams[3];
    struct log_file *log;
};

/* ---- The engines, opened by the first guest that needs one ---- */

static pthread_mutex_t engine_lock = PTHREAD_MUTEX_INITIALIZER;
static struct engine *shared_engines[2]; /* the second one is concurrent */

static int engine_get(bool is_interruptible, bool is_concurrent, struct engine **ret, struct err *e)
{
    struct engine_options o = {.is_interruptible = is_interruptible,
                               .is_concurrent = is_concurrent};
    struct engine **slot = &shared_engines[is_concurrent];
    int r = 0;

    pthread_mutex_lock(&engine_lock);
    if (!*slot)
        r = engine_open(&o, slot, e);
    *ret = *slot;
    pthread_mutex_unlock(&engine_lock);
    return r;
}

int guest_signals_open(int more)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    if (more)
        sigaddset(&set, more);
    sigprocmask(SIG_BLOCK, &set, NULL);
    return signalfd(-1, &set, SFD_CLOEXEC);
}

void guest_engine_close(void)
{
    for (size_t i = 0; i < ARRAY_SIZE(shared_engines); i++)
        engine_close(take_ptr(shared_engines[i]));
}

/* ---- Status ---- */

struct ending {
    const char *reason;
    int exit_code;
};

static const struct ending stop_endings[] = {
    [GUEST_STOP_NONE] = {"Stopped",          GUEST_EXIT_SIGTERM },
    [GUEST_STOP_REQUEST] = {"Stopped",          GUEST_EXIT_SIGTERM },
    [GUEST_STOP_DEADLINE] = {"DeadlineExceeded", GUEST_EXIT_DEADLINE},
    [GUEST_STOP_SIGINT] = {"Stopped",          GUEST_EXIT_SIGINT  },
    [GUEST_STOP_SIGTERM] = {"Stopped",          GUEST_EXIT_SIGTERM },
};

static char *now_text(uint64_t ns)
{
    char text[CLOCK_RFC3339NANO_SIZE];

    clock_rfc3339nano_format(ns, text);
    return xstrdup(text);
}

static uint64_t cpu_ns(const struct guest *g)
{
    struct timespec t = {0};

    if (g->has_thread_clock)
        clock_gettime(g->thread_clock, &t);
    return g->cpu_ns + (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Called with the lock held, while it answers requests. */
static void figures_served(struct guest *g)
{
    struct served_figures f;

    served_figures(g->served, &f);
    g->figures.calls = f.requests;
    g->figures.memory_bytes = f.memory_bytes;
    if (f.memory_bytes > g->figures.memory_peak_bytes)
        g->figures.memory_peak_bytes = f.memory_bytes;
}

/* All but how it ended. Called with the lock held. */
static void status_begin(struct guest *g, struct guest_status *s)
{
    *s = (struct guest_status){
        .id = xstrdup(g->spec.id),
        .started_at = g->started_ns ? now_text(g->started_ns) : NULL,
        .finished_at = now_text(clock_realtime_ns()),
        .cpu_ns = (int64_t)cpu_ns(g),
        .memory_peak_bytes = (int64_t)g->figures.memory_peak_bytes,
        .calls = (int64_t)g->figures.calls,
    };
}

static void status_stopped(struct guest *g, enum guest_stop cause, struct guest_status *s)
{
    char limit[DURATION_SIZE];

    s->reason = xstrdup(stop_endings[cause].reason);
    s->exit_code = stop_endings[cause].exit_code;
    if (cause != GUEST_STOP_DEADLINE)
        return;
    duration_ms_format(g->spec.timeout_ms, limit);
    s->message = xasprintf("it ran longer than its time limit of %s", limit);
}

static void status_trapped(struct guest *g, const struct engine_outcome *o, struct guest_status *s)
{
    char limit[SIZE_TEXT_SIZE];

    if (o->memory_refused || str_eq(o->trap, "MemoryLimit")) {
        size_bytes_format((uint64_t)g->spec.memory_bytes, limit);
        s->reason = xstrdup("OOMKilled");
        s->exit_code = GUEST_EXIT_MEMORY;
        s->message =
            xasprintf("it needed more memory than its limit of %s, and then: %s", limit, o->detail);
        return;
    }
    s->reason = xstrdup("Trap");
    s->exit_code = GUEST_EXIT_TRAP;
    s->message = xasprintf("%s: %s", o->trap, o->detail);
}

static void status_from_outcome(struct guest *g, const struct engine_outcome *o,
                                struct guest_status *s)
{
    s->memory_refused = o->memory_refused;
    switch (o->end) {
    case ENGINE_EXITED:
        s->exit_code = o->exit_code & 0xff;
        s->is_guest_exit = true;
        s->reason = xstrdup(s->exit_code ? "Error" : "Completed");
        return;
    case ENGINE_TRAPPED:
        status_trapped(g, o, s);
        return;
    case ENGINE_STOPPED:
        status_stopped(g, atomic_load(&g->stop), s);
        return;
    }
}

static void status_failed(const struct guest *g, const struct err *e, struct guest_status *s)
{
    if (e->code == -ECANCELED) {
        enum guest_stop cause = atomic_load(&g->stop);

        s->reason = xstrdup(stop_endings[cause].reason);
        s->exit_code = stop_endings[cause].exit_code;
    } else {
        s->reason = xstrdup(e->reason);
        s->exit_code = guest_exit_for(e);
    }
    s->message = xstrdup(e->msg);
}

void guest_status_now(struct guest *g, enum guest_stop cause, struct guest_status *ret)
{
    pthread_mutex_lock(&g->lock);
    if (g->engine_guest)
        engine_guest_figures(g->engine_guest, &g->figures);
    if (g->served)
        figures_served(g);
    status_begin(g, ret);
    status_stopped(g, cause, ret);
    pthread_mutex_unlock(&g->lock);
}

/* ---- The thread ---- */

static int streams_open(struct guest *g, struct err *e)
{
    const int64_t fds[] = {g->spec.stdin_fd, g->spec.stdout_fd, g->spec.stderr_fd};

    for (int i = 0; i < 3; i++)
        if (fds[i] >= 0)
            fd_stream_init(&g->fd_streams[i], (int)fds[i], i == 0, &g->streams[i]);
    if (g->spec.log_dir_fd < 0 || (fds[1] >= 0 && fds[2] >= 0))
        return 0;
    TRY(log_file_open((int)g->spec.log_dir_fd, g->spec.log_name ? g->spec.log_name : g->spec.id,
                      (uint64_t)g->spec.log_limit_bytes, (unsigned)g->spec.log_files, &g->log, e));
    for (int i = 1; i < 3; i++)
        if (fds[i] < 0)
            g->streams[i] = log_file_stream(g->log, i);
    return 0;
}

/* What an invoked export returned goes where the guest's own output goes. */
static void on_result(void *ctx, const char *text, size_t len)
{
    const struct engine_stream *out = ctx;

    while (out->transfer && len) {
        ssize_t n = out->transfer(out->ctx, (void *)(uintptr_t)text, len);

        if (n == -EAGAIN) {
            struct pollfd p = {.fd = out->wait_fd, .events = POLLOUT};

            poll(&p, 1, -1);
            continue;
        }
        if (n <= 0)
            return;
        text += n;
        len -= (size_t)n;
    }
}

static void options_fill(const struct guest *g, const struct engine_dir *dirs,
                         struct engine_guest_options *o)
{
    const struct guest_spec *s = &g->spec;

    o->name = s->name ? s->name : s->id;
    o->args = strv_array(&s->args);
    o->env = strv_array(&s->env);
    o->dirs = dirs;
    o->n_dirs = s->n_dirs;
    o->is_last = g->host->is_leaving;
    o->invoke = s->invoke;
    memcpy(o->streams, g->streams, sizeof(o->streams));
    o->on_result_ctx = &o->streams[1];
    o->on_result = on_result;
    o->network.resolv_conf = s->resolv_conf;
    o->network.hosts = s->hosts;
    o->limits = grants_limits(s);
}

static void announce(struct guest *g, enum guest_state state)
{
    atomic_store(&g->state, state);
    if (g->host->event_fd >= 0)
        fd_event(g->host->event_fd);
}

/* One thread cannot use more than a processor. */
static bool is_throttled(const struct guest *g)
{
    return g->spec.cpu_milli && g->spec.cpu_milli < 1000 && g->host->is_interruptible;
}

/* Of the calling thread, once it has its code: what compiles that is not limited. */
static int cpu_limit_set(const struct guest *g, struct engine *engine, struct err *e)
{
    if (g->spec.cpu_group_fd >= 0 && write((int)g->spec.cpu_group_fd, "0", 1) != 1)
        return err_errno(e, -errno, "StartFailed",
                         "cannot enter the control group of its CPU limit");
    if (!is_throttled(g))
        return 0;
    return engine_thread_limit(engine, (unsigned)g->spec.cpu_milli, e);
}

static void cpu_limit_clear(const struct guest *g, struct engine *engine)
{
    struct err ignored = ERR_INIT;

    if (is_throttled(g))
        engine_thread_limit(engine, 0, &ignored);
}

static int run_prepared(struct guest *g, struct engine *engine, struct engine_guest *eg,
                        struct engine_outcome *outcome, struct err *e)
{
    int r;

    TRY(cpu_limit_set(g, engine, e));
    pthread_mutex_lock(&g->lock);
    g->engine_guest = eg;
    g->started_ns = clock_realtime_ns();
    pthread_mutex_unlock(&g->lock);
    if (g->spec.timeout_ms)
        atomic_store(&g->deadline_ns,
                     clock_monotonic_ns() + (uint64_t)g->spec.timeout_ms * 1000000u);
    announce(g, GUEST_RUNNING);
    /* A stop that came before there was an engine guest would be lost otherwise. Who stops looks at
     * the state afterwards, so one of the two sees the other. */
    if (atomic_load(&g->stop) != GUEST_STOP_NONE)
        engine_guest_stop(eg);
    r = engine_guest_run(eg, outcome, e);
    pthread_mutex_lock(&g->lock);
    engine_guest_figures(eg, &g->figures);
    g->engine_guest = NULL;
    pthread_mutex_unlock(&g->lock);
    return r;
}

/* With machine code at hand. */
static int run_code(struct guest *g, struct engine *engine, struct engine_code *code,
                    struct engine_outcome *outcome, struct err *e)
{
    struct engine_guest_options o = {0};
    autofree struct engine_dir *dirs = grants_dirs(&g->spec);
    AUTO(grants) grants = NULL;
    struct engine_guest *eg = NULL;
    int r;

    TRY(grants_new(&g->spec.allow_net, (int)g->spec.ca_fd, &grants, e));
    TRY(streams_open(g, e));
    options_fill(g, dirs, &o);
    grants_attach(grants, &o.network);
    r = engine_guest_new(engine, code, &o, &eg, e);
    if (r >= 0)
        r = run_prepared(g, engine, eg, outcome, e);
    cpu_limit_clear(g, engine);
    engine_guest_free(eg);
    return r;
}

static const char *shown_name(const struct guest *g)
{
    return g->spec.name ? g->spec.name : g->spec.id;
}

/* Takes the program. */
static int run_program(struct guest *g, struct program *program, struct engine_outcome *outcome,
                       struct err *e)
{
    struct code_options o = {.cache = g->host->cache,
                             .is_interruptible = g->host->is_interruptible,
                             .has_progress = g->host->has_progress,
                             .stop_fd = g->stop_fd,
                             .code_fd = (int)g->spec.code_fd};
    struct engine *engine;
    struct engine_code *code = NULL;
    bool is_asked; /* for the function, by who runs it and not by the image */
    int r;

    is_asked = g->spec.invoke != NULL;
    if (g->spec.has_image_defaults)
        guest_command_apply(&program->command, &g->spec);
    r = program_check_runnable(program, g->spec.invoke, e);
    if (r >= 0)
        r = engine_get(g->host->is_interruptible, program_is_concurrent(program), &engine, e);
    if (r >= 0)
        r = code_open(program, shown_name(g), &o, engine, NULL, &code, e);
    program_done(program);
    if (r >= 0)
        r = run_code(g, engine, code, outcome, e);
    engine_code_close(code);
    if (r == -ENOENT && !is_asked && g->spec.invoke)
        return err_prefix(e, "the entry point of the image");
    return r;
}

static int run_command(struct guest *g, struct engine_outcome *outcome, struct err *e)
{
    struct program program = {0};

    TRY(program_open(g->spec.module_fd, g->spec.image, g->spec.command, false, &program, e));
    return run_program(g, &program, outcome, e);
}

/* ---- Requests ---- */

static void served_set(struct guest *g, struct served *s)
{
    pthread_mutex_lock(&g->lock);
    g->served = s;
    g->started_ns = clock_realtime_ns();
    if (g->is_draining)
        served_drain(s);
    pthread_mutex_unlock(&g->lock);
    announce(g, GUEST_RUNNING);
    if (atomic_load(&g->stop) != GUEST_STOP_NONE)
        served_stop(s);
}

/* Makes it ready to answer requests, which serve() does. */
static int served_open(struct guest *g, struct err *e)
{
    AUTO(served) s = NULL;

    if (!g->host->http_engines)
        return err_set(e, -EINVAL, "BadSpec", "this process runs commands only");
    TRY(streams_open(g, e));
    TRY(served_new(&(struct served_options){.spec = &g->spec,
                                            .cache = g->host->cache,
                                            .engines = g->host->http_engines,
                                            .stop_fd = g->stop_fd,
                                            .output = &g->streams[1],
                                            .errors = &g->streams[2]},
                   &s, e));
    served_set(g, take_ptr(s));
    return 0;
}

/* It is a command: the ports of its listeners are free for it now. */
static int listeners_drop(struct guest *g, struct err *e)
{
    bool is_draining;

    pthread_mutex_lock(&g->lock);
    g->is_served = false;
    is_draining = g->is_draining;
    pthread_mutex_unlock(&g->lock);
    for (size_t i = 0; i < g->spec.n_listeners; i++) {
        close((int)g->spec.listeners[i].fd);
        free(g->spec.listeners[i].url);
    }
    g->spec.n_listeners = 0;
    return is_draining ? err_set(e, -ECANCELED, "Stopped", "it was stopped before it began") : 0;
}

/* Makes it ready to answer requests if that is what the program is for, and else runs it. */
static int open_or_run(struct guest *g, struct engine_outcome *outcome, struct err *e)
{
    struct program program = {0};
    int r;

    TRY(program_open(g->spec.module_fd, g->spec.image, g->spec.command, false, &program, e));
    if (!g->spec.invoke && contract_is_http(program.contract)) {
        program_done(&program);
        return served_open(g, e);
    }
    r = listeners_drop(g, e);
    if (r >= 0)
        return run_program(g, &program, outcome, e);
    program_done(&program);
    return r;
}

/* What the guest's own status does not show, but who operates it should know. */
static void warn_of_losses(const struct guest *g, const struct engine_outcome *o)
{
    if (g->log && log_file_lost_bytes(g->log))
        log_warn("%s: %llu bytes of its output could not be logged", shown_name(g),
                 (unsigned long long)log_file_lost_bytes(g->log));
    if (o->memory_refused && o->end == ENGINE_EXITED)
        log_warn("%s: it was refused memory beyond its limit, and went on", shown_name(g));
}

static void thread_begin(struct guest *g)
{
    pthread_mutex_lock(&g->lock);
    g->has_thread_clock = pthread_getcpuclockid(pthread_self(), &g->thread_clock) == 0;
    pthread_mutex_unlock(&g->lock);
}

static void end(struct guest *g, int r, const struct engine_outcome *outcome, const struct err *e)
{
    warn_of_losses(g, outcome);
    log_file_close(take_ptr(g->log));
    pthread_mutex_lock(&g->lock);
    status_begin(g, &g->status);
    if (r < 0)
        status_failed(g, e, &g->status);
    else
        status_from_outcome(g, outcome, &g->status);
    g->has_thread_clock = false;
    pthread_mutex_unlock(&g->lock);
    announce(g, GUEST_ENDED);
}

/* ---- Answering requests, on a thread while there are connections ---- */

/* Which wakes it; called with the lock held. */
static void listeners_unwatch(const struct guest *g, size_t n)
{
    for (size_t i = 0; i < n; i++)
        epoll_ctl(g->host->listeners_fd, EPOLL_CTL_DEL, (int)g->spec.listeners[i].fd, NULL);
}

static bool listeners_watch(struct guest *g)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = g};

    for (size_t i = 0; i < g->spec.n_listeners; i++)
        if (epoll_ctl(g->host->listeners_fd, EPOLL_CTL_ADD, (int)g->spec.listeners[i].fd, &event) <
            0) {
            listeners_unwatch(g, i);
            return false;
        }
    return true;
}

static _Atomic bool were_parked;

bool guests_were_parked(void)
{
    return atomic_exchange(&were_parked, false);
}

/* true: guest_wake() starts another thread, and this one, which nobody waits for, is to end. */
static bool park(struct guest *g)
{
    bool is_parked;

    pthread_mutex_lock(&g->lock);
    is_parked = g->host->listeners_fd >= 0 && !g->is_draining &&
                atomic_load(&g->stop) == GUEST_STOP_NONE && listeners_watch(g);
    if (is_parked) {
        g->cpu_ns = cpu_ns(g);
        g->has_thread_clock = false;
        pthread_detach(pthread_self());
        g->has_thread = false;
    }
    g->is_parked = is_parked;
    if (is_parked) {
        atomic_store(&were_parked, true);
        fd_event(g->host->event_fd);
    }
    pthread_mutex_unlock(&g->lock);
    return is_parked;
}

/* To be stopped is its normal end, unless requests were dropped. */
static void serve_end(struct guest *g, int r, bool is_cut, const struct err *e)
{
    struct engine_outcome *outcome = xcalloc(1, sizeof(*outcome));
    struct served *s;

    outcome->end = is_cut ? ENGINE_STOPPED : ENGINE_EXITED;
    pthread_mutex_lock(&g->lock);
    figures_served(g);
    s = take_ptr(g->served);
    pthread_mutex_unlock(&g->lock);
    served_free(s);
    end(g, r, outcome, e);
    free(outcome);
}

static int serve_while_connected(struct guest *g, bool *ret_is_idle, bool *ret_is_cut,
                                 struct err *e)
{
    struct engine *engine = served_engine(g->served);
    uint64_t linger_ms = g->host->listeners_fd >= 0 ? LINGER_MS : 0;
    int r;

    TRY(cpu_limit_set(g, engine, e));
    r = served_run(g->served, linger_ms, ret_is_idle, ret_is_cut, e);
    cpu_limit_clear(g, engine);
    return r;
}

static void serve(struct guest *g, bool is_idle)
{
    struct err e = ERR_INIT;
    bool is_cut = false;
    int r = 0;

    do {
        if (is_idle && park(g))
            return;
        r = serve_while_connected(g, &is_idle, &is_cut, &e);
    } while (r >= 0 && is_idle);
    serve_end(g, r, is_cut, &e);
}

void guest_run(struct guest *g)
{
    struct engine_outcome *outcome = xcalloc(1, sizeof(*outcome));
    struct err e = ERR_INIT;
    int r;

    thread_begin(g);
    if (!g->spec.n_listeners)
        r = run_command(g, outcome, &e);
    else
        r = g->spec.has_optional_listeners ? open_or_run(g, outcome, &e) : served_open(g, &e);
    if (r >= 0 && g->served)
        serve(g, true);
    else
        end(g, r, outcome, &e);
    free(outcome);
}

static void *guest_main(void *arg)
{
    struct guest *g = arg;

    turns_request(TURN_NS);
    if (!g->served) {
        guest_run(g);
        return NULL;
    }
    thread_begin(g);
    serve(g, false);
    return NULL;
}

/* ---- The outside ---- */

int guest_new(const struct guest_host *host, struct guest_spec *spec, struct guest **ret,
              struct err *e)
{
    struct guest *g;
    int stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

    if (stop_fd < 0)
        return err_errno(e, -errno, "StartFailed", "cannot make an eventfd for the guest");
    g = xcalloc(1, sizeof(*g));
    g->host = host;
    g->stop_fd = stop_fd;
    pthread_mutex_init(&g->lock, NULL);
    g->spec = *spec;
    g->is_served = spec->n_listeners > 0;
    guest_spec_init(spec);
    *ret = g;
    return 0;
}

int guest_start(struct guest *g, struct err *e)
{
    pthread_attr_t attr;
    int r;

    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, THREAD_STACK_BYTES);
    /* Before there is one, which may park at once. */
    g->has_thread = true;
    r = pthread_create(&g->thread, &attr, guest_main, g);
    pthread_attr_destroy(&attr);
    if (!r)
        return 0;
    g->has_thread = false;
    return err_errno(e, -r, "StartFailed", "cannot start a thread for the guest");
}

void guest_wake(struct guest *g)
{
    struct err e = ERR_INIT;
    bool was_parked, is_to_end;

    pthread_mutex_lock(&g->lock);
    is_to_end = g->is_draining || atomic_load(&g->stop) != GUEST_STOP_NONE;
    was_parked = g->is_parked;
    g->is_parked = false;
    if (was_parked)
        listeners_unwatch(g, g->spec.n_listeners);
    pthread_mutex_unlock(&g->lock);
    if (!was_parked)
        return;
    /* Without a thread nobody would be answered. One that was told to end has nobody to answer. */
    if (guest_start(g, &e) < 0)
        serve_end(g, is_to_end ? 0 : e.code, false, &e);
}

const char *guest_id(const struct guest *g)
{
    return g->spec.id;
}

enum guest_state guest_state(const struct guest *g)
{
    return atomic_load(&g->state);
}

uint64_t guest_deadline_ns(const struct guest *g)
{
    return atomic_load(&g->deadline_ns);
}

void guest_stop(struct guest *g, enum guest_stop cause)
{
    enum guest_stop none = GUEST_STOP_NONE;

    if (!atomic_compare_exchange_strong(&g->stop, &none, cause))
        return;
    fd_event(g->stop_fd);
    pthread_mutex_lock(&g->lock);
    if (g->engine_guest)
        engine_guest_stop(g->engine_guest);
    if (g->served)
        served_stop(g->served);
    pthread_mutex_unlock(&g->lock);
    guest_wake(g);
}

bool guest_drain(struct guest *g)
{
    bool is_served;

    pthread_mutex_lock(&g->lock);
    is_served = g->is_served;
    g->is_draining = is_served;
    if (g->served)
        served_drain(g->served);
    pthread_mutex_unlock(&g->lock);
    guest_wake(g);
    return is_served;
}

void guest_figures(struct guest *g, struct message_figures *ret)
{
    pthread_mutex_lock(&g->lock);
    if (g->engine_guest)
        engine_guest_figures(g->engine_guest, &g->figures);
    if (g->served)
        figures_served(g);
    *ret = (struct message_figures){
        .cpu_ns = guest_state(g) == GUEST_ENDED ? g->status.cpu_ns : (int64_t)cpu_ns(g),
        .memory_bytes = guest_state(g) == GUEST_ENDED ? 0 : (int64_t)g->figures.memory_bytes,
        .memory_peak_bytes = (int64_t)g->figures.memory_peak_bytes,
        .calls = (int64_t)g->figures.calls,
    };
    pthread_mutex_unlock(&g->lock);
}

const struct guest_status *guest_status(const struct guest *g)
{
    BUG_ON(guest_state(g) != GUEST_ENDED);
    return &g->status;
}

static void fd_close(void *ctx, int64_t *fd)
{
    (void)ctx;
    if (*fd > STDERR_FILENO)
        close((int)*fd);
    *fd = -1;
}

void guest_free(struct guest *g)
{
    if (g->has_thread)
        pthread_join(g->thread, NULL);
    guest_spec_fds(&g->spec, fd_close, NULL);
    guest_spec_done(&g->spec);
    guest_status_done(&g->status);
    close(g->stop_fd);
    pthread_mutex_destroy(&g->lock);
    free(g);
}
