/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A load of HTTP/1.1 requests on a server of this machine: `http_load [options] TARGET`, where the
 * target is ADDR:PORT (loopback only) or unix:PATH. One thread, one epoll; all requests are the
 * same bytes, made once.
 *
 * Closed loop: each connection sends its next request when the answer to an earlier one is
 * complete. Open loop (--rate): requests have fixed times, and latency counts from them, sent or
 * not, so a server that stalls cannot slow its own load down. Time to connect belongs to the
 * request that needed the connection; only the first connections are made before the clock starts.
 * Every load ends: no request starts after --duration or SIGTERM, and none is waited for longer
 * than --timeout.
 *
 * Exit status: 0 without failures, 1 with failures, 2 when it could not start.
 */

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>

#include "base/clock.h"
#include "base/fds.h"
#include "http_answer.h"
#include "load_options.h"
#include "load_report.h"

#define CONNECTING_MAX  64 /* of the first connections at a time: a server's backlog is short */
#define CONNECT_WAIT_NS 5000000000ULL
#define PAUSE_NS        10000000 /* after a connection failed, before the next */
#define SCAN_NS         10000000 /* how often timeouts and ends of pauses are looked for */
#define RECEIVE_BYTES   (256 << 10)
#define SEND_BYTES      (64 << 10) /* how much to prepare for one system call */
#define EVENTS_MAX      256

enum connection_state { CLOSED, CONNECTING, OPEN };

struct connection {
    int fd;
    enum connection_state state;
    bool waits_for_room; /* to send: EPOLLOUT is asked for */
    bool is_broken;      /* nothing can be sent any more; what was answered is still read */
    size_t to_send;      /* bytes of the requests in flight */
    size_t at;           /* where in the request the next byte to send is */
    uint32_t first, n;   /* requests in flight: a ring of their times */
    uint64_t *begun_ns;
    uint64_t retry_ns; /* no new connection before; 0: at once */
    struct http_answer answer;
};

struct load {
    struct load_options o;
    struct http_expected expected;
    int epoll;

    char *requests; /* `copies` times the request */
    size_t request_len, copies;

    struct connection *connections;
    uint32_t n_connections, depth;
    uint32_t *idle; /* open loop: a ring of connections without a request */
    uint32_t idle_first, n_idle;

    uint64_t start_ns, end_ns, last_ns;
    uint64_t begun, begun_max; /* requests */
    uint64_t in_flight;
    struct load_report report;
    char received[RECEIVE_BYTES];
};

static volatile sig_atomic_t is_asked_to_stop;

static void ask_to_stop(int signal)
{
    (void)signal;
    is_asked_to_stop = 1;
}

/* ---- Connections ------------------------------------------------------------------------------
 */

static void watch(struct load *l, struct connection *c, int operation, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.u32 = (uint32_t)(c - l->connections)};

    if (epoll_ctl(l->epoll, operation, c->fd, &event) < 0)
        BUG_ON(errno != ENOMEM && errno != ENOSPC);
}

static void connection_close(struct connection *c)
{
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -EBADF;
    c->state = CLOSED;
    c->waits_for_room = c->is_broken = false;
    c->to_send = c->at = 0;
    http_answer_begin(&c->answer);
}

static void connection_pause(struct connection *c)
{
    c->retry_ns = clock_monotonic_ns() + PAUSE_NS;
}

static void request_begin(struct load *l, struct connection *c, uint64_t begun_ns)
{
    uint32_t at = c->first + c->n;

    c->begun_ns[at < l->depth ? at : at - l->depth] = begun_ns;
    c->n++;
    c->to_send += l->request_len;
    l->begun++;
    l->in_flight++;
}

/* The oldest request in flight is over, well or not; its latency counts from when it began. */
static uint64_t request_over(struct load *l, struct connection *c)
{
    uint64_t begun_ns = c->begun_ns[c->first];

    c->first = (c->first + 1) % l->depth;
    c->n--;
    l->in_flight--;
    l->report.requests++;
    l->last_ns = clock_monotonic_ns();
    return l->last_ns > begun_ns ? l->last_ns - begun_ns : 0;
}

static void idle_add(struct load *l, struct connection *c)
{
    if (l->idle)
        l->idle[(l->idle_first + l->n_idle++) % l->n_connections] = (uint32_t)(c - l->connections);
}

/* All requests in flight on the connection have failed. */
static void connection_fail(struct load *l, struct connection *c, enum load_failure kind,
                            const char *why)
{
    bool was_busy = c->n > 0;

    while (c->n > 0) {
        unsigned long long number = l->report.requests;
        uint64_t latency_ns = request_over(l, c);
        load_report_failure(&l->report, kind, "request %llu: %s, after %.1f ms", number, why,
                            (double)latency_ns / 1e6);
        if (kind == FAILURE_TIMEOUT)
            load_report_latency(&l->report, latency_ns);
    }
    connection_close(c);
    if (was_busy)
        idle_add(l, c);
    connection_pause(c);
}

static void connection_open(struct load *l, struct connection *c)
{
    int one = 1;

    c->fd = socket(l->o.address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0) {
        connection_fail(l, c, FAILURE_CONNECT, err_text(errno));
        return;
    }
    if (l->o.address.ss_family != AF_UNIX)
        setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (connect(c->fd, (struct sockaddr *)&l->o.address, l->o.address_len) == 0) {
        c->state = OPEN;
        watch(l, c, EPOLL_CTL_ADD, EPOLLIN);
    } else if (errno == EINPROGRESS) {
        c->state = CONNECTING;
        watch(l, c, EPOLL_CTL_ADD, EPOLLOUT);
    } else if (errno == EAGAIN) { /* the backlog of a unix socket is full */
        connection_close(c);
        connection_pause(c);
    } else {
        connection_fail(l, c, FAILURE_CONNECT, err_text(errno));
    }
    c->to_send = c->n * l->request_len;
}

static void connection_send(struct load *l, struct connection *c)
{
    while (c->to_send > 0 && !c->is_broken) {
        size_t len = l->copies * l->request_len - c->at;
        if (len > c->to_send)
            len = c->to_send;
        ssize_t n = send(c->fd, l->requests + c->at, len, MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN)
            break;
        if (n < 0) {
            c->is_broken = true; /* reading tells whether there is an answer all the same */
            break;
        }
        c->to_send -= (size_t)n;
        c->at = (c->at + (size_t)n) % l->request_len;
    }
    bool waits = c->to_send > 0 && !c->is_broken;
    if (waits != c->waits_for_room) {
        c->waits_for_room = waits;
        watch(l, c, EPOLL_CTL_MOD, EPOLLIN | (waits ? (uint32_t)EPOLLOUT : 0));
    }
}

/* Sends what was begun, over a new connection when there is none. */
static void connection_go(struct load *l, struct connection *c)
{
    if (c->n == 0 || c->state == CONNECTING || c->retry_ns != 0)
        return;
    if (c->state == CLOSED) {
        l->report.reconnects++;
        connection_open(l, c);
    }
    if (c->state == OPEN)
        connection_send(l, c);
}

/* Closed loop: keeps the connection busy while there is something to do. */
static void connection_feed(struct load *l, struct connection *c)
{
    if (!l->idle && c->retry_ns == 0) {
        uint64_t now_ns = clock_monotonic_ns();
        while (c->n < l->depth && l->begun < l->begun_max && now_ns < l->end_ns)
            request_begin(l, c, now_ns);
    }
    connection_go(l, c);
}

/* ---- Answers ----------------------------------------------------------------------------------
 */

/* A complete answer; false when the connection is not used any more. */
static bool answer_over(struct load *l, struct connection *c)
{
    struct http_answer *a = &c->answer;
    unsigned long long number = l->report.requests;
    uint64_t latency_ns = request_over(l, c);

    if (a->status != l->o.status.value) {
        load_report_failure(&l->report, FAILURE_STATUS, "request %llu: %d instead of %d", number,
                            a->status, (int)l->o.status.value);
    } else if (a->is_body_wrong) {
        load_report_failure(&l->report, FAILURE_BODY, "request %llu: %llu bytes, %zu expected",
                            number, (unsigned long long)a->body_bytes, l->expected.len);
    }
    load_report_latency(&l->report, latency_ns);
    l->report.body_bytes += a->body_bytes;
    /* An answer before the request was sent as a whole, too, ends the connection. */
    bool is_sent = c->to_send <= c->n * l->request_len && !c->is_broken;
    bool is_last = a->is_last || l->o.is_close || !is_sent;
    http_answer_begin(a);
    if (!is_last) {
        if (c->n == 0)
            idle_add(l, c);
        return true;
    }
    /* What was sent after a request that was the last one is sent again, elsewhere. */
    connection_close(c);
    c->to_send = c->n * l->request_len;
    if (c->n == 0)
        idle_add(l, c);
    return false;
}

/* The connection has ended on the other side. */
static void connection_ended(struct load *l, struct connection *c, int error)
{
    if (c->n == 0) {
        connection_close(c); /* as a server may between two requests */
        return;
    }
    if (error == 0 && http_answer_end(&c->answer, &l->expected)) {
        answer_over(l, c);
    } else if (c->answer.status != 0) {
        connection_fail(l, c, FAILURE_SHORT, error ? err_text(error) : "closed in the answer");
    } else {
        connection_fail(l, c, FAILURE_RESET, error ? err_text(error) : "closed without an answer");
    }
    connection_feed(l, c);
}

static void connection_read(struct load *l, struct connection *c)
{
    ssize_t n = recv(c->fd, l->received, sizeof(l->received), 0);

    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) {
        connection_ended(l, c, n < 0 ? errno : 0);
        return;
    }
    l->report.bytes += (uint64_t)n;
    size_t used = 0;
    while (used < (size_t)n) {
        if (c->n == 0) {
            l->report.requests++;
            load_report_failure(&l->report, FAILURE_ANSWER, "bytes that no request asked for");
            connection_close(c);
            break;
        }
        ssize_t took =
            http_answer_take(&c->answer, &l->expected, l->received + used, (size_t)n - used);
        if (took < 0) {
            connection_fail(l, c, FAILURE_ANSWER, c->answer.mistake);
            break;
        }
        used += (size_t)took;
        if (c->answer.state == ANSWER_COMPLETE && !answer_over(l, c))
            break;
    }
    connection_feed(l, c);
}

static void connection_event(struct load *l, struct connection *c, uint32_t events)
{
    int error = 0;
    socklen_t len = sizeof(error);

    if (c->state == CONNECTING) {
        getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len);
        if (error != 0) {
            connection_fail(l, c, FAILURE_CONNECT, err_text(error));
            return;
        }
        c->state = OPEN;
        watch(l, c, EPOLL_CTL_MOD, EPOLLIN);
        connection_go(l, c);
    } else if (c->state == OPEN && (events & (EPOLLIN | EPOLLHUP | EPOLLERR))) {
        connection_read(l, c);
    } else if (c->state == OPEN) {
        connection_send(l, c);
    }
}

/* ---- The loop ---------------------------------------------------------------------------------
 */

static uint64_t due_ns(const struct load *l, uint64_t number)
{
    return l->start_ns + (uint64_t)((double)number * 1e9 / (double)l->o.rate.value);
}

/* Open loop: gives what is due to connections that are free. */
static void give_due(struct load *l, uint64_t now_ns)
{
    while (l->begun < l->begun_max && l->n_idle > 0 && due_ns(l, l->begun) <= now_ns) {
        struct connection *c = &l->connections[l->idle[l->idle_first]];
        l->idle_first = (l->idle_first + 1) % l->n_connections;
        l->n_idle--;
        request_begin(l, c, due_ns(l, l->begun));
        connection_go(l, c);
    }
}

/* Timeouts, of requests in flight and of those that found no connection; ends of pauses. */
static void scan(struct load *l, uint64_t now_ns)
{
    uint64_t timeout_ns = (uint64_t)l->o.timeout_ms.value * 1000000;

    for (uint32_t i = 0; i < l->n_connections; i++) {
        struct connection *c = &l->connections[i];
        if (c->retry_ns != 0 && c->retry_ns <= now_ns) {
            c->retry_ns = 0;
            connection_feed(l, c);
        }
        if (c->n > 0 && c->begun_ns[c->first] + timeout_ns < now_ns)
            connection_fail(l, c, FAILURE_TIMEOUT,
                            c->state == OPEN ? "no answer" : "no connection");
    }
    while (l->idle && l->begun < l->begun_max && due_ns(l, l->begun) + timeout_ns < now_ns) {
        load_report_latency(&l->report, now_ns - due_ns(l, l->begun));
        load_report_failure(&l->report, FAILURE_TIMEOUT, "request %llu: no free connection",
                            (unsigned long long)l->report.requests);
        l->begun++;
        l->report.requests++;
    }
}

static bool is_over(const struct load *l, uint64_t now_ns)
{
    bool is_all_begun = l->begun >= l->begun_max || (!l->idle && now_ns >= l->end_ns);

    return is_all_begun && l->in_flight == 0;
}

/* How long to wait for events: until something is due, or the next scan. */
static struct timespec wait_time(const struct load *l, uint64_t now_ns, uint64_t scan_ns)
{
    uint64_t until_ns = scan_ns;

    if (l->idle && l->n_idle > 0 && l->begun < l->begun_max && due_ns(l, l->begun) < until_ns)
        until_ns = due_ns(l, l->begun);
    uint64_t ns = until_ns > now_ns ? until_ns - now_ns : 0;
    return (struct timespec){.tv_sec = (time_t)(ns / 1000000000),
                             .tv_nsec = (long)(ns % 1000000000)};
}

static void handle_events(struct load *l, struct timespec wait)
{
    struct epoll_event events[EVENTS_MAX];
    int n = epoll_pwait2(l->epoll, events, EVENTS_MAX, &wait, NULL);

    for (int i = 0; i < n; i++)
        connection_event(l, &l->connections[events[i].data.u32], events[i].events);
}

static void run(struct load *l)
{
    struct rusage before, after;

    getrusage(RUSAGE_SELF, &before);
    l->start_ns = l->last_ns = clock_monotonic_ns();
    l->end_ns = l->start_ns + (uint64_t)l->o.duration_ms.value * 1000000;
    uint64_t scan_ns = l->start_ns + SCAN_NS;
    for (uint32_t i = 0; i < l->n_connections && !l->idle; i++)
        connection_feed(l, &l->connections[i]);
    for (;;) {
        uint64_t now_ns = clock_monotonic_ns();
        if (is_asked_to_stop)
            l->begun_max = l->begun;
        if (l->idle)
            give_due(l, now_ns);
        if (now_ns >= scan_ns) {
            scan(l, now_ns);
            scan_ns = now_ns + SCAN_NS;
        }
        if (is_over(l, now_ns))
            break;
        handle_events(l, wait_time(l, now_ns, scan_ns));
    }
    getrusage(RUSAGE_SELF, &after);
    l->report.wall_ns = l->last_ns - l->start_ns;
    l->report.cpu_ns = (uint64_t)((after.ru_utime.tv_sec - before.ru_utime.tv_sec +
                                   after.ru_stime.tv_sec - before.ru_stime.tv_sec) *
                                      1000000000LL +
                                  (after.ru_utime.tv_usec - before.ru_utime.tv_usec +
                                   after.ru_stime.tv_usec - before.ru_stime.tv_usec) *
                                      1000LL);
}

/* Makes the first connections; those that cannot be had in time are left to their requests. */
static void connect_all(struct load *l)
{
    uint64_t until_ns = clock_monotonic_ns() + CONNECT_WAIT_NS;
    uint32_t next = 0;

    for (;;) {
        uint32_t connecting = 0;
        for (uint32_t i = 0; i < next; i++)
            connecting += l->connections[i].state == CONNECTING;
        while (next < l->n_connections && connecting < CONNECTING_MAX) {
            connection_open(l, &l->connections[next]);
            connecting += l->connections[next++].state == CONNECTING;
        }
        if (connecting == 0 || clock_monotonic_ns() > until_ns)
            break;
        handle_events(l, (struct timespec){.tv_nsec = PAUSE_NS});
    }
}

/* ---- Starting ---------------------------------------------------------------------------------
 */

/* The request, and as many copies of it as pipelining sends at once. */
static void requests_make(struct load *l)
{
    struct buf b = BUF_INIT;
    size_t body_len = (size_t)l->o.body_bytes.value;

    buf_addf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\n", body_len > 0 ? "POST" : "GET", l->o.path,
             l->o.host);
    if (body_len > 0)
        buf_addf(&b, "Content-Length: %zu\r\n", body_len);
    if (l->o.is_close)
        buf_addstr(&b, "Connection: close\r\n");
    buf_addstr(&b, "\r\n");
    size_t head_len = b.len;
    char *body = buf_reserve(&b, body_len);
    for (size_t i = 0; i < body_len; i++)
        body[i] = (char)('!' + (i * 7 + i / 97) % 93); /* no two parts alike, so a gap shows */
    b.len += body_len;
    buf_terminate(&b);

    l->request_len = b.len;
    l->copies = l->depth;
    while (l->copies > 1 && l->copies * l->request_len > SEND_BYTES)
        l->copies--;
    for (size_t i = 1; i < l->copies; i++) {
        buf_reserve(&b, l->request_len);
        buf_add(&b, b.data, l->request_len);
    }
    l->requests = buf_take(&b);
    if (l->o.is_echo)
        l->expected = (struct http_expected){l->requests + head_len, body_len};
    else if (l->o.expect_body)
        l->expected = (struct http_expected){l->o.expect_body, strlen(l->o.expect_body)};
}

static int load_init(struct load *l, struct err *e)
{
    l->n_connections = (uint32_t)l->o.connections.value;
    l->depth = (uint32_t)l->o.pipeline.value;
    fds_make_room(l->n_connections + 16);
    l->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (l->epoll < 0)
        return err_errno(e, -errno, "NoEpoll", "epoll");
    prctl(PR_SET_TIMERSLACK, 1UL);
    sigaction(SIGTERM, &(struct sigaction){.sa_handler = ask_to_stop}, NULL);
    requests_make(l);
    l->begun_max = (uint64_t)l->o.requests.value;
    if (l->o.rate.is_set) {
        uint64_t scheduled = (uint64_t)(l->o.rate.value * l->o.duration_ms.value) / 1000;
        if (l->begun_max > scheduled)
            l->begun_max = scheduled > 0 ? scheduled : 1;
        l->idle = xcalloc(l->n_connections, sizeof(*l->idle));
    }
    l->connections = xcalloc(l->n_connections, sizeof(*l->connections));
    for (uint32_t i = 0; i < l->n_connections; i++) {
        l->connections[i].fd = -EBADF;
        l->connections[i].begun_ns = xcalloc(l->depth, sizeof(uint64_t));
        idle_add(l, &l->connections[i]);
    }
    return 0;
}

static void load_done(struct load *l)
{
    for (uint32_t i = 0; i < l->n_connections && l->connections; i++) {
        connection_close(&l->connections[i]);
        http_answer_done(&l->connections[i].answer);
        free(l->connections[i].begun_ns);
    }
    close(l->epoll);
    free(l->connections);
    free(l->idle);
    free(l->requests);
    free(l);
}

static int show(const struct load *l)
{
    autobuf out = BUF_INIT;
    struct err e = ERR_INIT;

    if (l->o.is_json)
        load_report_encode(&l->report, &out);
    else
        load_report_format(&l->report, &out);
    if (fd_write_all(STDOUT_FILENO, out.data, out.len, &e) < 0)
        return 2;
    return load_report_failures(&l->report) > 0;
}

int main(int argc, char **argv)
{
    struct load *l = xcalloc(1, sizeof(*l));
    struct err e = ERR_INIT;
    int status = 2;

    l->epoll = -EBADF;
    int r = load_options_parse(argc, argv, &l->o, &e);
    if (r > 0) {
        load_options_help();
        status = 0;
    } else if (r < 0 || load_init(l, &e) < 0) {
        fprintf(stderr, "http_load: %s\n", e.msg);
    } else {
        if (!l->o.is_close)
            connect_all(l);
        run(l);
        status = show(l);
    }
    load_options_done(&l->o);
    load_done(l);
    return status;
}
