/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/jobs.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>

#include "base/clock.h"
#include "base/fds.h"
#include "base/log.h"
#include "worker/code.h"
#include "worker/guest.h"

struct cache *job_cache_open(const struct guest_job *j)
{
    struct cache *c = NULL;
    struct err e = ERR_INIT;

    if (j->cache_dir && cache_open(j->cache_dir, &c, &e) < 0) {
        if (!j->is_quiet)
            log_warn("%s; the code is compiled anew each time", e.msg);
        return NULL;
    }
    return c;
}

int job_fail(const struct guest_job *j, const char *name, const struct err *e)
{
    log_error("%s: %s: %s", j->command, name, e->msg);
    return e->code == -ENOEXEC ? GUEST_EXIT_NOT_RUNNABLE : GUEST_EXIT_WHERRY;
}

/* ---- run ---- */

/* Signals are read by the loop; guests' threads inherit the mask. */
static int signals_open(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigprocmask(SIG_BLOCK, &set, NULL);
    return signalfd(-1, &set, SFD_CLOEXEC);
}

static int status_write(const struct guest_job *j, const struct guest_status *s)
{
    autobuf text = BUF_INIT;
    struct err e = ERR_INIT;
    struct json_writer w;

    if (!j->status_file)
        return (int)s->exit_code;
    json_writer_init(&w, &text, true);
    guest_status_encode(s, &w);
    if (json_writer_finish(&w, &e) < 0 ||
        file_write(j->status_file, text.data, text.len, 0644, 0, &e) < 0)
        return job_fail(j, j->spec.name, &e);
    return (int)s->exit_code;
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

/* Milliseconds until the deadline, rounded up; -1 without one. */
static int wait_ms(const struct guest *g)
{
    uint64_t deadline = guest_deadline_ns(g), now = clock_monotonic_ns();

    if (!deadline)
        return -1;
    if (deadline <= now)
        return 0;
    deadline = (deadline - now + 999999) / 1000000;
    return deadline > 1000000 ? 1000000 : (int)deadline;
}

/* Waits for the guest's end (GUEST_STOP_NONE) or for a reason to end it. */
static enum guest_stop wait_for_end(const struct guest *g, int event_fd, int signal_fd)
{
    struct pollfd p[2] = {{.fd = event_fd, .events = POLLIN}, {.fd = signal_fd, .events = POLLIN}};

    for (;;) {
        int n = poll(p, 2, wait_ms(g));
        uint64_t count;

        if (p[0].revents && read(event_fd, &count, sizeof(count)) < 0)
            BUG_ON(errno != EAGAIN);
        if (guest_state(g) == GUEST_ENDED)
            return GUEST_STOP_NONE;
        if (n > 0 && p[1].revents) {
            struct signalfd_siginfo info;

            if (read(signal_fd, &info, sizeof(info)) == sizeof(info))
                return info.ssi_signo == SIGINT ? GUEST_STOP_SIGINT : GUEST_STOP_SIGTERM;
        }
        if (n == 0 && guest_deadline_ns(g) && clock_monotonic_ns() >= guest_deadline_ns(g))
            return GUEST_STOP_DEADLINE;
    }
}

int job_run(struct guest_job *j)
{
    /* The guest is the process's only one: it is ended by leaving, so its code need not check. */
    struct guest_host host = {
        .is_interruptible = false,
        .has_progress = !j->is_quiet && isatty(STDERR_FILENO),
        .event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
    };
    autofree char *name = xstrdup(j->spec.name);
    struct guest_status now = {0};
    struct err e = ERR_INIT;
    int signal_fd = signals_open(), status;
    enum guest_stop cause;
    struct guest *g;

    host.cache = job_cache_open(j);
    if (guest_start(&host, &j->spec, &g, &e) < 0)
        return job_fail(j, name, &e);
    cause = wait_for_end(g, host.event_fd, signal_fd);
    if (cause == GUEST_STOP_NONE) {
        status_tell(name, guest_status(g));
        status = status_write(j, guest_status(g));
    } else {
        guest_stop(g, cause); /* also ends a compiler */
        guest_status_now(g, cause, &now);
        status_tell(name, &now);
        status = status_write(j, &now);
    }
    /* What the guest holds goes with the process; taking it apart would only cost time, and a
     * guest that was told to stop may still be running. */
    _exit(status);
}

/* ---- compile ---- */

static int compile_one(const struct guest_job *j, const struct guest_file *f, struct cache *cache)
{
    struct code_options o = {.cache = cache,
                             .is_interruptible = j->is_shared,
                             .has_progress = isatty(STDERR_FILENO),
                             .stop_fd = -1};
    struct program program;
    struct err e = ERR_INIT;
    autofd code = -EBADF;
    bool was_cached;
    int r = program_open((int)f->fd, false, &program, &e);

    if (r >= 0) {
        r = code_obtain(&program, (int)f->fd, f->name, &o, &code, &was_cached, &e);
        program_done(&program);
    }
    if (r < 0)
        return job_fail(j, f->name, &e);
    dprintf(STDOUT_FILENO, "%s: %s\n", f->name, was_cached ? "in the cache already" : "compiled");
    return 0;
}

int job_compile(const struct guest_job *j)
{
    AUTO(cache) cache = NULL;
    struct err e = ERR_INIT;
    int status = 0;

    if (!j->cache_dir) {
        err_set(&e, -ENOENT, "NoHome", "there is no home folder for a cache; name one by "
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
