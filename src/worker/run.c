/* SPDX-License-Identifier: Apache-2.0 */
/* The job "run": one guest, which the process ends with. */
#include <malloc.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>

#include "base/clock.h"
#include "base/fds.h"
#include "base/log.h"
#include "worker/guest.h"
#include "worker/http/apps.h"
#include "worker/jobs.h"
#include "worker/turns.h"

/* For the requests under way when a guest that answers them is asked to end. */
#define DRAIN_NS UINT64_C(30000000000)
/* What the guest's thread has left in the C library's hands goes back to the system as long after
 * its end. */
#define TRIM_AFTER_NS UINT64_C(1000000000)
/* Descriptors that serving needs beside those of its connections. */
#define DESCRIPTORS_BESIDE 64

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
    char now[CLOCK_RFC3339NANO_SIZE];
    const struct guest_status s = {.id = (char *)id,
                                   .reason = (char *)e->reason,
                                   .message = (char *)e->msg,
                                   .exit_code = guest_exit_for(e),
                                   .finished_at = now};

    clock_rfc3339nano_format(clock_realtime_ns(), now);
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
    int listeners_fd;        /* as of guest_host */
    bool is_ending;          /* a signal has come; with listeners */
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

/* ---- With listeners ---- */

/* When poll(2) has to return for other reasons; 0: never. */
struct moments {
    uint64_t drained_ns; /* requests that have not ended are dropped */
    uint64_t trim_ns;
};

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return !a || (b && b < a) ? b : a;
}

static _Noreturn void leave_now(struct run *r, enum guest_stop cause)
{
    struct guest_status now = {0};

    guest_stop(r->guest, cause);
    guest_status_now(r->guest, cause, &now);
    leave(r, &now);
}

/* The first signal lets what is under way end: compiling, which leaves the cache tidy, or requests.
 * A command has nothing to wait for. */
static void signal_take(struct run *r, enum guest_stop cause, struct moments *m)
{
    if (r->is_ending)
        leave_now(r, cause);
    r->is_ending = true;
    if (guest_state(r->guest) == GUEST_STARTING) {
        guest_stop(r->guest, cause);
        if (guest_state(r->guest) != GUEST_RUNNING)
            return;
    } else if (guest_drain(r->guest)) {
        m->drained_ns = clock_monotonic_ns() + DRAIN_NS;
        return;
    }
    leave_now(r, cause);
}

static void moments_pass(struct run *r, struct moments *m)
{
    uint64_t now = clock_monotonic_ns(), deadline = guest_deadline_ns(r->guest);

    if (deadline && now >= deadline)
        leave_now(r, GUEST_STOP_DEADLINE);
    if (m->drained_ns && now >= m->drained_ns) {
        log_warn("run: %s: requests that did not end within %d s are dropped", r->name,
                 (int)(DRAIN_NS / 1000000000u));
        leave_now(r, GUEST_STOP_SIGTERM);
    }
    if (guests_were_parked())
        m->trim_ns = now + TRIM_AFTER_NS;
    if (m->trim_ns && now >= m->trim_ns) {
        m->trim_ns = 0;
        malloc_trim(0);
    }
}

/* The guest has a thread while there are connections. This one waits: for the guest's end, signals,
 * the deadline, and for who connects to it. */
static _Noreturn void supervise(struct run *r)
{
    enum { SIGNAL, EVENT, LISTENERS, N };
    struct pollfd p[N] = {
        [SIGNAL] = {.fd = r->signal_fd,    .events = POLLIN},
        [EVENT] = {.fd = r->event_fd,     .events = POLLIN},
        [LISTENERS] = {.fd = r->listeners_fd, .events = POLLIN},
    };
    struct moments m = {0};

    for (;;) {
        uint64_t due = earlier(guest_deadline_ns(r->guest), earlier(m.drained_ns, m.trim_ns));
        struct signalfd_siginfo info;
        uint64_t count;

        poll(p, N, clock_wait_ms(due));
        if (p[EVENT].revents && read(r->event_fd, &count, sizeof(count)) < 0)
            BUG_ON(errno != EAGAIN);
        if (guest_state(r->guest) == GUEST_ENDED)
            leave(r, guest_status(r->guest));
        if (p[SIGNAL].revents && read(r->signal_fd, &info, sizeof(info)) == sizeof(info))
            signal_take(r, info.ssi_signo == SIGINT ? GUEST_STOP_SIGINT : GUEST_STOP_SIGTERM, &m);
        if (p[LISTENERS].revents)
            guest_wake(r->guest);
        moments_pass(r, &m);
    }
}

static int served_prepare(struct run *r, struct guest_host *host, const struct guest_spec *s,
                          struct err *e)
{
    /* Also of the engine's thread that ends slices: it has to come before those that serve. */
    turns_request(SHORTEST_TURN_NS);
    fds_make_room((unsigned)s->requests + DESCRIPTORS_BESIDE);
    r->listeners_fd = host->listeners_fd = epoll_create1(EPOLL_CLOEXEC);
    if (r->listeners_fd < 0)
        return err_errno(e, -errno, "StartFailed", "cannot wait for connections");
    host->http_engines = http_engines_new((uint32_t)s->requests, (uint64_t)s->memory_bytes);
    return 0;
}

/* ---- The job ---- */

static int run_begin(struct run *r, struct guest_host *host, struct guest_job *j, struct err *e)
{
    bool has_listeners = j->spec.n_listeners > 0;

    if (has_listeners)
        TRY(served_prepare(r, host, &j->spec, e));
    TRY(guest_new(host, &j->spec, &r->guest, e));
    return has_listeners ? guest_start(r->guest, e) : watch_start(r, e);
}

int job_run(struct guest_job *j)
{
    bool has_listeners = j->spec.n_listeners > 0;
    /* The guest is the process's only one: it is ended by leaving, so its code need not check. A
     * command runs on the first thread, and a second one waits for signals and the deadline. */
    struct guest_host host = {
        .is_interruptible = false,
        .is_leaving = true,
        .listeners_fd = -1,
        .has_progress = !j->is_quiet && isatty(STDERR_FILENO),
        .event_fd =
            j->spec.timeout_ms || has_listeners ? eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) : -1,
    };
    autofree char *id = xstrdup(j->spec.id);
    autofree char *name = xstrdup(j->spec.name ? j->spec.name : id);
    struct run r = {.job = j,
                    .name = name,
                    .event_fd = host.event_fd,
                    .signal_fd = guest_signals_open(0),
                    .listeners_fd = -1,
                    .leaving = PTHREAD_MUTEX_INITIALIZER};
    struct err e = ERR_INIT;

    host.cache = job_cache_open(j);
    if (run_begin(&r, &host, j, &e) < 0)
        return run_fail(j, id, name, &e);
    if (has_listeners)
        supervise(&r);
    guest_run(r.guest);
    pthread_mutex_lock(&r.leaving);
    leave(&r, guest_status(r.guest));
}
