/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/jobs.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>

#include "base/clock.h"
#include "base/fds.h"
#include "base/log.h"
#include "worker/code.h"
#include "worker/compiler.h"
#include "worker/guest.h"

struct cache *job_cache_open(const struct guest_job *j)
{
    struct cache *c = NULL;
    struct err e = ERR_INIT;

    if (j->cache_dir && cache_open(j->cache_dir, &c, &e) < 0)
        code_warn_cache(&e);
    return c;
}

int job_fail(const struct guest_job *j, const char *name, const struct err *e)
{
    log_error("%s: %s: %s", j->command, name, e->msg);
    return guest_exit_for(e);
}

/* ---- run ---- */

/* In the place of what the file may hold. */
static int status_fd_write(int fd, const struct buf *text, struct err *e)
{
    ssize_t n = pwrite(fd, text->data, text->len, 0);

    if (n == (ssize_t)text->len && ftruncate(fd, n) == 0)
        return 0;
    return err_errno(e, n < 0 || n == (ssize_t)text->len ? -errno : -ENOSPC, "StatusFailed",
                     "cannot write the status to the descriptor %d", fd);
}

static int status_write(const struct guest_job *j, const char *name, const struct guest_status *s)
{
    autobuf text = BUF_INIT;
    struct err e = ERR_INIT;
    struct json_writer w;

    if (!j->status_file && j->status_fd < 0)
        return (int)s->exit_code;
    json_writer_init(&w, &text, true);
    guest_status_encode(s, &w);
    if (json_writer_finish(&w, &e) < 0 ||
        (j->status_file && file_write(j->status_file, text.data, text.len, 0644, 0, &e) < 0) ||
        (j->status_fd >= 0 && status_fd_write((int)j->status_fd, &text, &e) < 0))
        return job_fail(j, name, &e);
    return (int)s->exit_code;
}

/* Of a run that has no guest. */
static int run_fail(const struct guest_job *j, const char *id, const char *name,
                    const struct err *e)
{
    const struct guest_status s = {.id = (char *)id,
                                   .reason = (char *)e->reason,
                                   .message = (char *)e->msg,
                                   .exit_code = guest_exit_for(e)};

    job_fail(j, name, e);
    return status_write(j, name, &s);
}

/* Says why a guest ended, unless it ended by itself. A backtrace is one line a frame. */
static void status_tell(const char *name, const struct guest_status *s)
{
    autofree char *text = s->message ? xstrdup(s->message) : NULL;
    char *line, *rest = text;

    if (s->is_guest_exit || !text)
        return;
    line = strsep(&rest, "\n");
    log_error("run: %s: %s", name, line);
    while ((line = strsep(&rest, "\n")))
        dprintf(STDERR_FILENO, "%s\n", line);
}

struct run {
    const struct guest_job *job;
    const char *name;
    struct guest *guest;
    int event_fd, signal_fd;
    pthread_mutex_t leaving; /* taken by the one who ends the process, and never released */
};

/* Waits for a reason to end the guest. */
static enum guest_stop stop_wait(const struct run *r)
{
    struct pollfd p[2] = {
        {.fd = r->signal_fd, .events = POLLIN},
        {.fd = r->event_fd,  .events = POLLIN}
    };

    for (;;) {
        uint64_t deadline, count;

        poll(p, 2, clock_wait_ms(guest_deadline_ns(r->guest)));
        if (p[0].revents) {
            struct signalfd_siginfo info;

            if (read(r->signal_fd, &info, sizeof(info)) == sizeof(info))
                return info.ssi_signo == SIGINT ? GUEST_STOP_SIGINT : GUEST_STOP_SIGTERM;
        }
        if (p[1].revents && read(r->event_fd, &count, sizeof(count)) < 0)
            BUG_ON(errno != EAGAIN);
        deadline = guest_deadline_ns(r->guest);
        if (deadline && clock_monotonic_ns() >= deadline)
            return GUEST_STOP_DEADLINE;
    }
}

/* What the guest holds goes with the process: taking it apart would only cost time, and a guest
 * that is to stop may be anywhere. */
static _Noreturn void leave(struct run *r, const struct guest_status *s)
{
    status_tell(r->name, s);
    _exit(status_write(r->job, r->name, s));
}

static void *watch(void *arg)
{
    struct run *r = arg;
    enum guest_stop cause = stop_wait(r);
    struct guest_status now = {0};

    if (guest_state(r->guest) == GUEST_STARTING) {
        /* The compiler is ended, and the first thread leaves when it has tidied up the cache.
         * Asked a second time, nobody waits for that. */
        guest_stop(r->guest, cause);
        if (guest_state(r->guest) != GUEST_RUNNING)
            cause = stop_wait(r);
    }
    pthread_mutex_lock(&r->leaving);
    guest_stop(r->guest, cause);
    guest_status_now(r->guest, cause, &now);
    leave(r, &now);
}

static int watch_start(struct run *r, struct err *e)
{
    pthread_t thread;
    pthread_attr_t attr;
    int code;

    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 128u << 10);
    code = pthread_create(&thread, &attr, watch, r);
    pthread_attr_destroy(&attr);
    return code ? err_errno(e, -code, "StartFailed", "cannot start a thread") : 0;
}

int job_run(struct guest_job *j)
{
    /* The guest is the process's only one: it is ended by leaving, so its code need not check. It
     * runs on the first thread, and a second one waits for signals and the deadline. */
    struct guest_host host = {
        .is_interruptible = false,
        .is_leaving = true,
        .listeners_fd = -1,
        .has_progress = !j->is_quiet && isatty(STDERR_FILENO),
        .event_fd = j->spec.timeout_ms ? eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) : -1,
    };
    autofree char *id = xstrdup(j->spec.id);
    autofree char *name = xstrdup(j->spec.name ? j->spec.name : id);
    struct run r = {.job = j,
                    .name = name,
                    .event_fd = host.event_fd,
                    .signal_fd = guest_signals_open(0),
                    .leaving = PTHREAD_MUTEX_INITIALIZER};
    struct err e = ERR_INIT;

    host.cache = job_cache_open(j);
    if (guest_new(&host, &j->spec, &r.guest, &e) < 0 || watch_start(&r, &e) < 0)
        return run_fail(j, id, name, &e);
    guest_run(r.guest);
    pthread_mutex_lock(&r.leaving);
    leave(&r, guest_status(r.guest));
}

/* ---- compile ---- */

/* A service is run by `wherry serve` only, which runs the interruptible form. */
static bool form_is_interruptible(const struct guest_job *j, const struct program *p)
{
    return j->is_shared || p->contract == CONTRACT_P2_HTTP || p->contract == CONTRACT_P3_HTTP;
}

static int program_compile(const struct guest_job *j, const struct guest_file *f,
                           struct cache *cache, bool *ret_was_cached, struct err *e)
{
    struct code_options o = {.cache = cache,
                             .is_for_cache = true,
                             .has_progress = !j->is_quiet && isatty(STDERR_FILENO),
                             .stop_fd = -1,
                             .code_fd = -1};
    struct program program;
    autofd code = -EBADF;
    int r;

    TRY(program_open(f->fd, f->image, f->command, false, &program, e));
    o.is_interruptible = form_is_interruptible(j, &program);
    /* Ahead of a run that there will not be, nothing needs to be compiled. */
    r = j->is_ahead ? contract_check_imports(&program.artifact, e) : 0;
    if (r >= 0)
        r = code_obtain(&program, f->name, &o, &code, ret_was_cached, e);
    program_done(&program);
    return r;
}

static int compile_one(const struct guest_job *j, const struct guest_file *f, struct cache *cache)
{
    struct err e = ERR_INIT;
    bool was_cached;
    int r = program_compile(j, f, cache, &was_cached, &e);

    if (r < 0)
        return job_fail(j, f->name, &e);
    dprintf(STDOUT_FILENO, "%s: %s\n", f->name, was_cached ? "in the cache already" : "compiled");
    return 0;
}

static int compile_files(const struct guest_job *j)
{
    AUTO(cache) cache = NULL;
    struct err e = ERR_INIT;
    int status = 0;

    if (!j->cache_dir) {
        err_set(&e, -ENOENT, "NoHome",
                "there is no home folder for a cache; name one by "
                "--cache-dir");
        return job_fail(j, "cache", &e);
    }
    /* Here the cache is the point: without it nothing would be done. */
    if (cache_open(j->cache_dir, &cache, &e) < 0)
        return job_fail(j, j->cache_dir, &e);
    for (size_t i = 0; i < j->n_files; i++) {
        int one = compile_one(j, &j->files[i], cache);

        status = status ? status : one;
    }
    return status;
}

/* Whatever goes wrong, the first run is not worse off. */
static void compile_ahead(const struct guest_job *j)
{
    AUTO(cache) cache = job_cache_open(j);

    for (size_t i = 0; cache && i < j->n_files; i++) {
        const char *name = j->files[i].name;
        struct err e = ERR_INIT;
        bool was_cached;

        if (program_compile(j, &j->files[i], cache, &was_cached, &e) >= 0)
            continue;
        if (str_eq(e.reason, "NotRunnable") || str_eq(e.reason, "UnknownImport"))
            log_info("%s is not compiled, for it cannot be run here: %s", name, e.msg);
        else
            log_warn("%s is not compiled yet, its first run tries again: %s", name, e.msg);
    }
}

int job_compile(const struct guest_job *j)
{
    compiler_limits_apply(); /* what strangers wrote is read in this process, too */
    if (!j->is_ahead)
        return compile_files(j);
    compile_ahead(j);
    return 0;
}
