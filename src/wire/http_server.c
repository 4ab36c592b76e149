/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/http_server.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/fds.h"
#include "loop/loop.h"
#include "wire/http_exchange.h"

enum {
    ACCEPT_ROUND = 64,        /* connections accepted before the loop may do something else */
    ACCEPT_RETRY_MS = 500,    /* without a descriptor or memory for one more */
    HEAD_LIMIT_BYTES = 32768, /* of a connection's pool: the request's head, and the response's */
    GONE_ROUND = 64,
};

struct listener {
    int fd;
    struct loop_watch *watch;
    struct http_server *server;
    struct listener *next;
};

/* A connection that is to be given away, or could not be. */
struct handed_over {
    int fd;
    struct buf rest;
    void (*taken)(void *ctx, int fd, const void *rest, size_t len);
    void *ctx;
    struct handed_over *next;
};

struct http_server {
    struct http_server_options o;
    struct MHD_Daemon *daemon;
    struct loop_watch *watch; /* of the daemon's epoll descriptor */
    /* When the library wants to run without an event; 0 is "next". A timer and not loop_defer(),
     * because it can be taken back. */
    struct loop_timer *due;
    /* Tells that a client has gone, edge-triggered: the library does not look at a connection that
     * is suspended, and what a client sends meanwhile must not wake anybody. */
    int gone_fd;
    struct loop_watch *gone;
    struct listener *listeners;
    struct loop_timer *retry;
    bool is_accepting;
    unsigned n_connections;
    struct http_exchange *exchanges;
    struct handed_over *handed_over, **handed_over_end;
    bool wants_run;  /* MHD_get_timeout() does not know of what was resumed since */
    unsigned depth;  /* of calls that the server is needed in afterwards */
    bool is_closing; /* freed, as far as the caller is concerned */
};

const struct http_server_options *http_server_options(const struct http_server *s)
{
    return &s->o;
}

bool http_server_is_closing(const struct http_server *s)
{
    return s->is_closing;
}

void http_server_add_exchange(struct http_server *s, struct http_exchange *x)
{
    x->next = s->exchanges;
    if (x->next)
        x->next->prev = x;
    s->exchanges = x;
}

void http_server_remove_exchange(struct http_server *s, struct http_exchange *x)
{
    if (x->next)
        x->next->prev = x->prev;
    if (x->prev)
        x->prev->next = x->next;
    else
        s->exchanges = x->next;
}

void http_server_hand_over(struct http_server *s, struct http_exchange *x, int fd, const void *rest,
                           size_t len)
{
    struct handed_over *h = xcalloc(1, sizeof(*h));

    *h = (struct handed_over){.fd = fd, .taken = x->taken, .ctx = x->taken_ctx};
    x->taken = NULL;
    if (len)
        buf_add(&h->rest, rest, len);
    *s->handed_over_end = h;
    s->handed_over_end = &h->next;
}

static void deliver(struct http_server *s)
{
    struct handed_over *h;

    while ((h = s->handed_over)) {
        s->handed_over = h->next;
        if (!s->handed_over)
            s->handed_over_end = &s->handed_over;
        h->taken(h->ctx, h->fd, h->rest.data, h->rest.len);
        buf_done(&h->rest);
        free(h);
    }
}

/* ---- The library's runs ---- */

static void accepting_set(struct http_server *s, bool is_accepting)
{
    if (s->is_accepting == is_accepting)
        return;
    s->is_accepting = is_accepting;
    for (struct listener *l = s->listeners; l; l = l->next)
        loop_watch_set(l->watch, is_accepting ? LOOP_READABLE : 0);
}

static void plan(struct http_server *s)
{
    MHD_UNSIGNED_LONG_LONG ms;

    if (s->wants_run)
        loop_timer_set(s->due, 0);
    else if (MHD_get_timeout(s->daemon, &ms) != MHD_YES)
        loop_timer_clear(s->due);
    else
        loop_timer_set(s->due, ms ? clock_monotonic_ns() + ms * 1000000 : 0);
}

static void stop(struct http_server *s);

static void enter(struct http_server *s)
{
    s->depth++;
}

static void leave(struct http_server *s)
{
    if (--s->depth == 0 && s->is_closing)
        stop(s);
}

static void run(void *ctx)
{
    struct http_server *s = ctx;

    enter(s);
    s->wants_run = false;
    MHD_run(s->daemon);
    if (!s->is_closing) {
        if (s->n_connections < s->o.connections && !loop_timer_is_set(s->retry))
            accepting_set(s, true);
        deliver(s);
    }
    if (!s->is_closing)
        plan(s);
    leave(s);
}

static void on_library_ready(void *ctx, unsigned events)
{
    (void)events;
    run(ctx);
}

/* ---- Connections ---- */

static void want_run(struct http_server *s)
{
    if (s->is_closing || s->wants_run)
        return;
    s->wants_run = true;
    loop_timer_set(s->due, 0);
}

void http_connection_suspend(struct http_connection *c)
{
    c->is_suspended = true;
    MHD_suspend_connection(c->mhd);
}

void http_connection_resume(struct http_connection *c)
{
    if (!c->is_suspended)
        return;
    c->is_suspended = false;
    MHD_resume_connection(c->mhd);
    want_run(c->server);
}

static void connection_forget(struct http_connection *c)
{
    epoll_ctl(c->server->gone_fd, EPOLL_CTL_DEL, c->fd, NULL);
}

void http_connection_release(struct http_connection *c)
{
    connection_forget(c);
    want_run(c->server);
}

/* The end of input says that a TCP client has gone, or has only shut that side: it is taken for
 * gone. On a unix socket the two differ. */
static void connection_watch(struct http_connection *c)
{
    struct epoll_event event = {.events = EPOLLET, .data.ptr = c};
    int domain = 0;
    socklen_t len = sizeof(domain);

    if (getsockopt(c->fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) < 0 || domain != AF_UNIX)
        event.events |= EPOLLRDHUP;
    /* Out of memory: that this client goes is noticed when the next is sent to it. */
    epoll_ctl(c->server->gone_fd, EPOLL_CTL_ADD, c->fd, &event);
}

static void on_connection(void *ctx, struct MHD_Connection *mhd, void **place,
                          enum MHD_ConnectionNotificationCode what)
{
    struct http_server *s = ctx;
    struct http_connection *c = *place;

    if (what == MHD_CONNECTION_NOTIFY_CLOSED) {
        connection_forget(c);
        s->n_connections--;
        *place = NULL;
        free(c);
        return;
    }
    c = xcalloc(1, sizeof(*c));
    *c = (struct http_connection){
        .server = s,
        .mhd = mhd,
        .fd = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd,
    };
    s->n_connections++;
    *place = c;
    connection_watch(c);
}

static void on_gone(void *ctx, unsigned events)
{
    struct http_server *s = ctx;
    struct epoll_event gone[GONE_ROUND];
    int n = epoll_wait(s->gone_fd, gone, GONE_ROUND, 0);

    (void)events;
    enter(s);
    for (int i = 0; i < n && !s->is_closing; i++) {
        struct http_connection *c = gone[i].data.ptr;

        c->is_gone = true;
        if (!c->is_suspended)
            continue;
        if (c->x)
            http_exchange_lose(c->x);
        http_connection_resume(c);
    }
    leave(s);
}

static void on_retry(void *ctx)
{
    struct http_server *s = ctx;

    if (s->n_connections < s->o.connections)
        accepting_set(s, true);
}

static bool is_passing(int error)
{
    return error == EINTR || error == ECONNABORTED || error == EPROTO;
}

static void on_acceptable(void *ctx, unsigned events)
{
    struct listener *l = ctx;
    struct http_server *s = l->server;

    (void)events;
    for (int i = 0; i < ACCEPT_ROUND && s->n_connections < s->o.connections; i++) {
        struct sockaddr_storage address = {0};
        socklen_t len = sizeof(address);
        int fd = accept4(l->fd, (struct sockaddr *)&address, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd < 0 && is_passing(errno))
            continue;
        if (fd < 0 && errno != EAGAIN) {
            /* The connection that cannot be had would wake the loop for ever. */
            accepting_set(s, false);
            loop_timer_set(s->retry, clock_monotonic_ns() + ACCEPT_RETRY_MS * 1000000ULL);
        }
        if (fd < 0)
            break;
        /* It shuts the descriptor when it fails. */
        MHD_add_connection(s->daemon, fd, (struct sockaddr *)&address, len);
    }
    if (s->n_connections >= s->o.connections)
        accepting_set(s, false);
    run(s);
}

/* ---- The server ---- */

static void listeners_free(struct http_server *s)
{
    struct listener *l;

    while ((l = s->listeners)) {
        s->listeners = l->next;
        loop_watch_free(l->watch);
        close(l->fd);
        free(l);
    }
}

/* Nothing is under way in the library. */
static void stop(struct http_server *s)
{
    if (s->daemon)
        MHD_stop_daemon(s->daemon);
    deliver(s);
    while (s->exchanges)
        http_exchange_free(s->exchanges);
    if (s->gone_fd >= 0)
        close(s->gone_fd);
    free(s);
}

void http_server_free(struct http_server *s)
{
    if (!s || s->is_closing)
        return;
    s->is_closing = true;
    enter(s);
    listeners_free(s);
    loop_watch_free(s->watch);
    loop_watch_free(s->gone);
    loop_timer_free(s->due);
    loop_timer_free(s->retry);
    /* A callback may end other exchanges: from the start again after each. */
    for (struct http_exchange *x = s->exchanges; x;) {
        bool is_held = x->is_held;

        if (x->c)
            http_connection_resume(x->c);
        if (x->taken)
            http_server_hand_over(s, x, -1, NULL, 0);
        http_exchange_lose(x);
        x = is_held ? s->exchanges : x->next;
    }
    deliver(s);
    leave(s);
}

static int daemon_start(struct http_server *s, struct err *e)
{
    s->daemon = MHD_start_daemon(
        MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_ALLOW_UPGRADE | MHD_USE_NO_LISTEN_SOCKET, 0,
        NULL, NULL, http_exchange_on_request, s, MHD_OPTION_URI_LOG_CALLBACK,
        http_exchange_on_target, s, MHD_OPTION_NOTIFY_COMPLETED, http_exchange_on_completed, s,
        MHD_OPTION_NOTIFY_CONNECTION, on_connection, s, MHD_OPTION_CONNECTION_LIMIT,
        s->o.connections, MHD_OPTION_CONNECTION_TIMEOUT, (s->o.idle_ms + 999) / 1000,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HEAD_LIMIT_BYTES, MHD_OPTION_STRICT_FOR_CLIENT,
        1, MHD_OPTION_END);
    if (!s->daemon)
        return err_errno(e, errno ? -errno : -ENOMEM, "ServerFailed",
                         "cannot start an HTTP server");
    return 0;
}

int http_server_new(const struct http_server_options *o, struct http_server **ret, struct err *e)
{
    AUTO(http_server) s = xcalloc(1, sizeof(*s));

    s->o = *o;
    s->is_accepting = true;
    s->handed_over_end = &s->handed_over;
    s->gone_fd = epoll_create1(EPOLL_CLOEXEC);
    if (s->gone_fd < 0)
        return err_errno(e, -errno, "ServerFailed", "cannot start an HTTP server");
    TRY(daemon_start(s, e));
    TRY(loop_watch_new(o->loop, MHD_get_daemon_info(s->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd,
                       on_library_ready, s, &s->watch, e));
    TRY(loop_watch_new(o->loop, s->gone_fd, on_gone, s, &s->gone, e));
    loop_watch_set(s->watch, LOOP_READABLE);
    loop_watch_set(s->gone, LOOP_READABLE);
    s->due = loop_timer_new(o->loop, run, s);
    s->retry = loop_timer_new(o->loop, on_retry, s);
    *ret = take_ptr(s);
    return 0;
}

int http_server_listen(struct http_server *s, int fd, struct err *e)
{
    struct listener *l;
    autofd own = fd;

    if (fd_nonblock_set(fd) < 0)
        return err_errno(e, -errno, "ServerFailed", "cannot accept connections");
    l = xcalloc(1, sizeof(*l));
    *l = (struct listener){.fd = fd, .server = s};
    if (loop_watch_new(s->o.loop, fd, on_acceptable, l, &l->watch, e) < 0) {
        free(l);
        return err_prefix(e, "cannot accept connections");
    }
    l->fd = take_fd(&own);
    l->next = s->listeners;
    s->listeners = l;
    loop_watch_set(l->watch, s->is_accepting ? LOOP_READABLE : 0);
    return 0;
}
