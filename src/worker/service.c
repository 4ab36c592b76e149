/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/service.h"

#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/fds.h"
#include "base/log.h"
#include "base/name_index.h"
#include "base/version.h"
#include "worker/code.h"
#include "worker/guest.h"
#include "worker/http/apps.h"
#include "worker/turns.h"

#define CONNECTION_LIMIT 16
/* Instances that answer requests at a time, and the most memory of one: as reservations of address
 * space, of which each takes what it uses. */
#define HTTP_SLOTS        1000
#define HTTP_MEMORY_BYTES (UINT64_C(4) << 30)
#define GUEST_LIMIT       4096
/* Room for this many is made at the start; more is made when needed. */
#define DESCRIPTORS_EXPECTED 16384
/* A supervisor that reads nothing is dropped before its queue grows beyond this. */
#define QUEUE_LIMIT_BYTES (4u << 20)
/* Of a list no more is queued than this: the rest is made when it is read. */
#define LIST_QUEUE_BYTES (256u << 10)

/* A guest that was told to stop and still has not ended after this long is in a file call of the
 * kernel, which nothing can cancel: its end is told, and its thread left to the call. */
#define ABANDON_AFTER_NS UINT64_C(1000000000)

/* What threads of guests have left in the C library's hands goes back to the system as long after
 * the first of them. */
#define TRIM_AFTER_NS UINT64_C(3000000000)

struct member {
    struct name_link by_id;
    char *id;
    size_t place;               /* in the list of all */
    struct guest *guest;        /* NULL once it was freed: only the status is kept */
    struct guest_status status; /* of an ended guest, the one that was recorded */
    bool is_ended;
    enum guest_stop cause;
    uint64_t abandon_ns; /* when, in clock_monotonic_ns(); 0: it was not told to stop */
    uint64_t drained_ns; /* when it is told to, as it answers requests until then; 0: not */
};

struct connection {
    struct channel channel;
    size_t n_lists; /* lists to answer */
    bool is_listing;
    struct strv listing; /* the first of them: the ids of the guests when it was begun */
    size_t n_listed;
};

struct service {
    struct guest_host host;
    int listen_fd, signal_fd, dir_fd;
    struct connection connections[CONNECTION_LIMIT];
    size_t n_connections;
    struct member **members;
    size_t n_members, capacity;
    struct name_index ids;
    struct guest **abandoned; /* freed when they end after all */
    size_t n_abandoned;
    uint64_t trim_ns; /* when memory is given back, in clock_monotonic_ns(); 0: it was */
    bool is_shutting_down;
};

/* ---- Telling ---- */

static void drop(struct service *s, size_t c)
{
    channel_done(&s->connections[c].channel);
    strv_done(&s->connections[c].listing);
    s->connections[c] = s->connections[--s->n_connections];
}

/* Queues for one connection and writes what fits. */
static void tell(struct channel *c, const struct message *m)
{
    struct err e = ERR_INIT;

    channel_queue(c, m);
    /* A broken connection is noticed, and dropped, when it is read. */
    (void)channel_flush(c, &e);
}

static void tell_all(struct service *s, const struct message *m)
{
    for (size_t i = 0; i < s->n_connections; i++)
        tell(&s->connections[i].channel, m);
}

static void tell_simple(struct channel *c, enum message_type type, const char *id)
{
    struct message m;

    message_init(&m, type, id);
    tell(c, &m);
    message_done(&m);
}

static void tell_refused(struct channel *c, const char *id, const struct err *e)
{
    struct message m;

    message_init(&m, MESSAGE_REFUSED, id);
    m.reason = xstrdup(e->reason);
    m.text = xstrdup(e->msg);
    tell(c, &m);
    message_done(&m);
}

static void tell_hello(struct channel *c)
{
    struct message m;

    message_init(&m, MESSAGE_HELLO, NULL);
    m.protocol = MESSAGE_PROTOCOL;
    m.pid = getpid();
    m.version = xstrdup(wherry_version);
    tell(c, &m);
    message_done(&m);
}

/* The status is lent to the message. */
static void exited_message(const struct member *member, struct message *m)
{
    message_init(m, MESSAGE_EXITED, member->status.id);
    m->status = member->status;
    m->has_status = true;
}

static void exited_message_done(struct message *m)
{
    m->has_status = false;
    message_done(m);
}

/* ---- Records ---- */

static void record_name(const char *id, char ret[static GUEST_ID_LIMIT + 8])
{
    snprintf(ret, GUEST_ID_LIMIT + 8, "%s.exit", id);
}

/* Written before the end is told: a supervisor that dies in between finds it. */
static void record_write(const struct service *s, const struct guest_status *status)
{
    char name[GUEST_ID_LIMIT + 8];
    autobuf text = BUF_INIT;
    struct json_writer w;
    struct err e = ERR_INIT;

    if (s->dir_fd < 0)
        return;
    record_name(status->id, name);
    json_writer_init(&w, &text, true);
    guest_status_encode(status, &w);
    if (json_writer_finish(&w, &e) < 0 ||
        file_write_at(s->dir_fd, name, text.data, text.len, 0600, 0, &e) < 0)
        log_error("cannot record the end of %s: %s", status->id, e.msg);
}

static void worker_record_write(const struct service *s)
{
    autobuf text = BUF_INIT;
    struct json_writer w;
    struct err e = ERR_INIT;

    if (s->dir_fd < 0)
        return;
    json_writer_init(&w, &text, true);
    json_begin_object(&w);
    json_key_int(&w, "pid", getpid());
    json_key_int(&w, "protocol", MESSAGE_PROTOCOL);
    json_key_str(&w, "version", wherry_version);
    json_key_str(&w, "engine", engine_version());
    json_end_object(&w);
    if (json_writer_finish(&w, &e) < 0 ||
        file_write_at(s->dir_fd, "worker.json", text.data, text.len, 0600, 0, &e) < 0)
        log_error("cannot record the worker: %s", e.msg);
}

/* ---- Guests ---- */

static struct member *member_find(const struct service *s, const char *id)
{
    struct name_link *l = name_index_find(&s->ids, id);

    return l ? LINK_OF(struct member, by_id, l) : NULL;
}

static void member_add(struct service *s, struct guest *g)
{
    struct member *m = xcalloc(1, sizeof(*m));

    if (s->n_members == s->capacity) {
        s->capacity = s->capacity ? 2 * s->capacity : 16;
        s->members = xrealloc(s->members, s->capacity, sizeof(struct member *));
    }
    *m = (struct member){.id = xstrdup(guest_id(g)), .place = s->n_members, .guest = g};
    name_index_add(&s->ids, &m->by_id, m->id);
    s->members[s->n_members++] = m;
}

static void member_remove(struct service *s, struct member *m)
{
    struct member *last = s->members[--s->n_members];

    s->members[m->place] = last;
    last->place = m->place;
    name_index_remove(&s->ids, &m->by_id);
    guest_status_done(&m->status);
    free(m->id);
    free(m);
}

/* Records and tells the status, which is the member's by now. */
static void member_end(struct service *s, struct member *m)
{
    struct message exited;

    m->is_ended = true;
    record_write(s, &m->status);
    exited_message(m, &exited);
    tell_all(s, &exited);
    exited_message_done(&exited);
}

static void member_reap(struct service *s, struct member *m)
{
    m->status = guest_status_copy(guest_status(m->guest));
    guest_free(take_ptr(m->guest));
    member_end(s, m);
}

static void member_stop(struct member *m, enum guest_stop cause)
{
    if (m->abandon_ns)
        return;
    m->cause = cause;
    m->abandon_ns = clock_monotonic_ns() + ABANDON_AFTER_NS;
    guest_stop(m->guest, cause);
}

/* A later request may only shorten the time. */
static void member_end_by(struct member *m, int64_t grace_ms)
{
    uint64_t now = clock_monotonic_ns(), by;

    if (!grace_ms || !guest_drain(m->guest)) {
        member_stop(m, GUEST_STOP_REQUEST);
        return;
    }
    by = grace_ms > INT64_MAX / 2000000 ? UINT64_MAX : now + (uint64_t)grace_ms * 1000000u;
    if (!m->drained_ns || by < m->drained_ns)
        m->drained_ns = by;
}

static void member_abandon(struct service *s, struct member *m)
{
    guest_status_now(m->guest, m->cause, &m->status);
    free(m->status.message);
    m->status.message = xstrdup(
        "it is in a call that cannot be cancelled, most likely of a file, and its thread is "
        "left to that");
    s->abandoned = xrealloc(s->abandoned, s->n_abandoned + 1, sizeof(struct guest *));
    s->abandoned[s->n_abandoned++] = take_ptr(m->guest);
    log_warn("%s: %s; threads left behind: %zu", m->status.id, m->status.message, s->n_abandoned);
    member_end(s, m);
}

static bool abandoned_has(const struct service *s, const char *id)
{
    for (size_t i = 0; i < s->n_abandoned; i++)
        if (str_eq(guest_id(s->abandoned[i]), id))
            return true;
    return false;
}

static void abandoned_reap(struct service *s)
{
    for (size_t i = s->n_abandoned; i-- > 0;)
        if (guest_state(s->abandoned[i]) == GUEST_ENDED) {
            guest_free(s->abandoned[i]);
            s->abandoned[i] = s->abandoned[--s->n_abandoned];
        }
}

/* What an eventfd count announced: looks at all, since it does not say who. */
static void guests_check(struct service *s)
{
    uint64_t now = clock_monotonic_ns();

    for (size_t i = 0; i < s->n_members; i++) {
        struct member *m = s->members[i];
        uint64_t deadline;

        if (m->is_ended)
            continue;
        deadline = guest_deadline_ns(m->guest);
        if (guest_state(m->guest) == GUEST_ENDED)
            member_reap(s, m);
        else if (m->abandon_ns && now >= m->abandon_ns)
            member_abandon(s, m);
        else if (deadline && now >= deadline)
            member_stop(m, GUEST_STOP_DEADLINE);
        else if (m->drained_ns && now >= m->drained_ns)
            member_stop(m, GUEST_STOP_REQUEST);
    }
    abandoned_reap(s);
}

/* When something is due for the member; 0: nothing. */
static uint64_t member_due_ns(const struct member *m)
{
    if (m->is_ended)
        return 0;
    return m->abandon_ns   ? m->abandon_ns
           : m->drained_ns ? m->drained_ns
                           : guest_deadline_ns(m->guest);
}

/* Milliseconds until something is due; -1 for never. */
static int wait_ms(const struct service *s)
{
    uint64_t next = s->trim_ns;

    for (size_t i = 0; i < s->n_members; i++) {
        uint64_t due = member_due_ns(s->members[i]);

        if (due && (!next || due < next))
            next = due;
    }
    return clock_wait_ms(next);
}

/* Those that somebody connects to. */
static void guests_wake(struct service *s)
{
    struct epoll_event events[64];
    int n = epoll_wait(s->host.listeners_fd, events, ARRAY_SIZE(events), 0);

    for (int i = 0; i < n; i++)
        guest_wake(events[i].data.ptr);
}

static void memory_give_back(struct service *s)
{
    if (guests_were_parked() && !s->trim_ns)
        s->trim_ns = clock_monotonic_ns() + TRIM_AFTER_NS;
    if (!s->trim_ns || clock_monotonic_ns() < s->trim_ns)
        return;
    s->trim_ns = 0;
    malloc_trim(0);
}

static int start(struct service *s, struct guest_spec *spec, struct err *e)
{
    struct guest *g;
    int r;

    if (s->is_shutting_down)
        return err_set(e, -ESHUTDOWN, "ShuttingDown", "the worker is shutting down");
    if (abandoned_has(s, spec->id))
        return err_set(e, -EBUSY, "StillRunning",
                       "the last guest '%s' was abandoned in a call that has not returned yet",
                       spec->id);
    if (s->n_members + s->n_abandoned >= GUEST_LIMIT)
        return err_set(e, -EAGAIN, "TooManyGuests", "the worker has %d guests already",
                       GUEST_LIMIT);
    if (member_find(s, spec->id))
        return err_set(e, -EEXIST, "AlreadyExists", "the worker has a guest '%s' already",
                       spec->id);
    TRY(guest_new(&s->host, spec, &g, e));
    r = guest_start(g, e);
    if (r < 0) {
        guest_free(g);
        return r;
    }
    member_add(s, g);
    return 0;
}

/* As it is now; nothing of one that was forgotten meanwhile. */
static void list_one(struct service *s, struct channel *c, const char *id)
{
    struct member *member = member_find(s, id);
    struct message m;

    if (!member)
        return;
    if (!member->is_ended) {
        tell_simple(c, MESSAGE_STARTED, id);
        return;
    }
    exited_message(member, &m);
    tell(c, &m);
    exited_message_done(&m);
}

/* Ends of many guests with much to say are more than may be queued. */
static void lists_go_on(struct service *s, struct connection *c)
{
    while (c->n_lists && c->channel.out.len < LIST_QUEUE_BYTES) {
        if (!c->is_listing) {
            c->is_listing = true;
            for (size_t i = 0; i < s->n_members; i++)
                strv_add(&c->listing, s->members[i]->id);
        }
        if (c->n_listed < c->listing.n) {
            list_one(s, &c->channel, c->listing.v[c->n_listed++]);
            continue;
        }
        tell_simple(&c->channel, MESSAGE_LISTED, NULL);
        strv_done(&c->listing);
        c->n_listed = 0;
        c->is_listing = false;
        c->n_lists--;
    }
}

static void forget(struct service *s, struct member *m)
{
    char name[GUEST_ID_LIMIT + 8];

    record_name(m->id, name);
    if (s->dir_fd >= 0)
        unlinkat(s->dir_fd, name, 0);
    member_remove(s, m);
}

static void shut_down(struct service *s)
{
    s->is_shutting_down = true;
    for (size_t i = 0; i < s->n_members; i++)
        if (!s->members[i]->is_ended)
            member_stop(s->members[i], GUEST_STOP_SIGTERM);
}

/* ---- Requests ---- */

static void start_request(struct service *s, struct channel *c, struct message *m, const int *fds,
                          size_t n_fds)
{
    struct err e = ERR_INIT;
    autofree char *id = xstrdup(m->spec.id);

    if (start(s, &m->spec, &e) < 0) {
        /* A guest that could not start has closed them with itself. */
        for (size_t i = 0; m->spec.module_fd >= 0 && i < n_fds; i++)
            close(fds[i]);
        tell_refused(c, id, &e);
        return;
    }
    tell_simple(c, MESSAGE_STARTED, id);
}

static void member_request(struct service *s, struct channel *c, const struct message *m)
{
    struct member *member = member_find(s, m->id);
    struct message answer;
    struct err e = ERR_INIT;

    if (!member) {
        err_set(&e, -ENOENT, "NotFound", "the worker has no guest '%s'", m->id);
        tell_refused(c, m->id, &e);
    } else if (m->type == MESSAGE_STOP) {
        if (!member->is_ended)
            member_end_by(member, m->grace_ms);
    } else if (m->type == MESSAGE_FORGET && !member->is_ended) {
        err_set(&e, -EBUSY, "StillRunning", "the guest '%s' has not ended", m->id);
        tell_refused(c, m->id, &e);
    } else if (m->type == MESSAGE_FORGET) {
        forget(s, member);
    } else {
        message_init(&answer, MESSAGE_FIGURES, m->id);
        if (member->is_ended)
            answer.figures =
                (struct message_figures){.cpu_ns = member->status.cpu_ns,
                                         .memory_peak_bytes = member->status.memory_peak_bytes,
                                         .calls = member->status.calls};
        else
            guest_figures(member->guest, &answer.figures);
        tell(c, &answer);
        message_done(&answer);
    }
}

static void request(struct service *s, struct connection *c, struct message *m, const int *fds,
                    size_t n_fds)
{
    struct err e = ERR_INIT;

    switch (m->type) {
    case MESSAGE_START:
        start_request(s, &c->channel, m, fds, n_fds);
        return;
    case MESSAGE_STOP:
    case MESSAGE_MEASURE:
    case MESSAGE_FORGET:
        member_request(s, &c->channel, m);
        break;
    case MESSAGE_LIST:
        c->n_lists++;
        lists_go_on(s, c);
        break;
    case MESSAGE_SHUTDOWN:
        shut_down(s);
        break;
    case MESSAGE_HELLO: /* a supervisor may say who it is; nothing depends on it */
        break;
    case MESSAGE_STARTED:
    case MESSAGE_REFUSED:
    case MESSAGE_EXITED:
    case MESSAGE_FIGURES:
    case MESSAGE_LISTED:
    case MESSAGE_TYPES:
        err_set(&e, -EINVAL, "BadMessage", "'%s' is not a request", message_type_name(m->type));
        tell_refused(&c->channel, m->id, &e);
        break;
    }
    for (size_t i = 0; i < n_fds; i++)
        close(fds[i]);
}

/* Reads and serves a connection; false when it is to be dropped. */
static bool serve(struct service *s, struct connection *c)
{
    int fds[MESSAGE_FD_LIMIT];
    struct err e = ERR_INIT;
    struct message m;
    size_t n_fds;
    int is_closed = channel_read(&c->channel, &e), r;

    if (is_closed < 0)
        return false;
    while ((r = channel_next(&c->channel, &m, fds, &n_fds, &e)) > 0) {
        request(s, c, &m, fds, n_fds);
        message_done(&m);
    }
    if (r < 0)
        log_warn("a supervisor's connection is closed: %s", e.msg);
    return r == 0 && !is_closed;
}

static void accept_one(struct service *s)
{
    int fd = accept4(s->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (fd < 0)
        return;
    if (s->n_connections == CONNECTION_LIMIT) {
        log_warn("a supervisor is turned away: there are %d connections", CONNECTION_LIMIT);
        close(fd);
        return;
    }
    s->connections[s->n_connections] = (struct connection){.listing = STRV_INIT};
    channel_init(&s->connections[s->n_connections].channel, fd);
    tell_hello(&s->connections[s->n_connections++].channel);
}

/*
 * Serves what earlier connections have sent, before a new one is there: a supervisor that died has
 * left its last requests in the socket, and its successor's `list` must not be answered without
 * what they start.
 */
static void connections_drain(struct service *s)
{
    for (size_t i = s->n_connections; i-- > 0;) {
        struct pollfd p = {.fd = s->connections[i].channel.fd, .events = POLLIN};
        bool is_kept = true;

        while (is_kept && poll(&p, 1, 0) > 0)
            is_kept = serve(s, &s->connections[i]);
        if (!is_kept)
            drop(s, i);
    }
}

/* ---- The loop ---- */

enum { POLL_EVENTS, POLL_GUESTS, POLL_SIGNALS, POLL_LISTEN, POLL_FIXED };

static void connections_serve(struct service *s, const struct pollfd *p, size_t n)
{
    struct err e = ERR_INIT;

    /* Backwards, because dropping moves the last one into the gap. */
    for (size_t i = n; i-- > 0;) {
        struct connection *c = &s->connections[i];
        bool is_kept = true;

        if (p[i].revents & (POLLIN | POLLHUP | POLLERR))
            is_kept = serve(s, c);
        if (is_kept && c->channel.out.len)
            is_kept =
                channel_flush(&c->channel, &e) >= 0 && c->channel.out.len <= QUEUE_LIMIT_BYTES;
        if (is_kept)
            lists_go_on(s, c);
        if (!is_kept)
            drop(s, i);
    }
}

static bool is_idle(const struct service *s)
{
    for (size_t i = 0; i < s->n_members; i++)
        if (!s->members[i]->is_ended)
            return false;
    return true;
}

static void loop(struct service *s)
{
    struct pollfd p[POLL_FIXED + CONNECTION_LIMIT] = {
        [POLL_EVENTS] = {.fd = s->host.event_fd,     .events = POLLIN},
        [POLL_GUESTS] = {.fd = s->host.listeners_fd, .events = POLLIN},
        [POLL_SIGNALS] = {.fd = s->signal_fd,         .events = POLLIN},
        [POLL_LISTEN] = {.fd = s->listen_fd,         .events = POLLIN},
    };

    while (!s->is_shutting_down || !is_idle(s)) {
        size_t n = s->n_connections;
        uint64_t count;

        for (size_t i = 0; i < n; i++)
            p[POLL_FIXED + i] = (struct pollfd){
                .fd = s->connections[i].channel.fd,
                .events = (short)(POLLIN | (s->connections[i].channel.out.len ? POLLOUT : 0))};
        poll(p, POLL_FIXED + n, wait_ms(s));
        if (p[POLL_SIGNALS].revents) {
            struct signalfd_siginfo info;

            if (read(s->signal_fd, &info, sizeof(info)) == sizeof(info))
                shut_down(s);
        }
        if ((p[POLL_EVENTS].revents & POLLIN) && read(s->host.event_fd, &count, sizeof(count)) < 0)
            BUG_ON(errno != EAGAIN);
        if (p[POLL_GUESTS].revents)
            guests_wake(s);
        guests_check(s);
        memory_give_back(s);
        connections_serve(s, p + POLL_FIXED, n);
        if (p[POLL_LISTEN].revents) {
            connections_drain(s);
            accept_one(s);
        }
    }
}

int service_main(const struct service_options *o)
{
    struct service s = {
        .host = {.is_interruptible = true,
                 .listeners_fd = epoll_create1(EPOLL_CLOEXEC),
                 .event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)},
        .listen_fd = o->listen_fd,
        .signal_fd = guest_signals_open(0),
        .dir_fd = o->dir_fd,
    };
    struct err e = ERR_INIT;

    if (s.host.event_fd < 0 || s.host.listeners_fd < 0 || s.signal_fd < 0 ||
        fd_nonblock_set(s.listen_fd) < 0) {
        log_error("the worker cannot start: %s", strerror(errno));
        return GUEST_EXIT_WHERRY;
    }
    fds_make_room(DESCRIPTORS_EXPECTED);
    fd_cloexec_set(s.listen_fd, true);
    if (s.dir_fd >= 0)
        fd_cloexec_set(s.dir_fd, true);
    s.host.http_engines = http_engines_new(HTTP_SLOTS, HTTP_MEMORY_BYTES);
    if (o->cache_dir && cache_open(o->cache_dir, &s.host.cache, &e) < 0)
        code_warn_cache(&e);
    worker_record_write(&s);
    turns_request(SHORTEST_TURN_NS);
    loop(&s);
    while (s.n_connections) {
        channel_flush(&s.connections[0].channel, &e);
        drop(&s, 0);
    }
    while (s.n_members)
        member_remove(&s, s.members[0]);
    free(s.members);
    name_index_done(&s.ids);
    /* A thread left behind still uses the engine; the process takes both with it. */
    if (s.n_abandoned)
        _exit(0);
    free(s.abandoned);
    guest_engine_close();
    http_engines_free(s.host.http_engines);
    if (s.host.cache)
        cache_free(s.host.cache);
    return 0;
}
