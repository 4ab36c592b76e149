/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/pods/followers.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>

#include "base/child.h"
#include "base/clock.h"
#include "base/fds.h"
#include "cli/agent_client.h"

#define FOLLOWERS_LIMIT 512
#define PIECE_BYTES     (64u << 10)

struct follower {
    struct follower_options o;
    pid_t pid;
    int data_fd, fault_fd; /* the reading ends */
    bool is_gone;          /* to be removed when nobody walks over the list */
};

struct followers {
    struct follower *v[FOLLOWERS_LIMIT];
    size_t n;
    int signal_fd;
    uint64_t (*tick)(void *ctx); /* NULL: none */
    void *tick_ctx;
    bool is_stopped;
};

int followers_open(struct followers **ret, struct err *e)
{
    (void)e;
    *ret = xcalloc(1, sizeof(**ret));
    (*ret)->signal_fd = -EBADF;
    return 0;
}

static void child_end(struct follower *w)
{
    close(w->data_fd);
    close(w->fault_fd);
    kill(w->pid, SIGKILL);
    child_wait(w->pid, NULL);
}

void followers_free(struct followers *f)
{
    for (size_t i = 0; f && i < f->n; i++) {
        if (!f->v[i]->is_gone)
            child_end(f->v[i]);
        free(f->v[i]);
    }
    if (f && f->signal_fd >= 0)
        close(f->signal_fd);
    free(f);
}

int followers_signals_catch(struct followers *f, struct err *e)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigprocmask(SIG_BLOCK, &set, NULL);
    f->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (f->signal_fd < 0)
        return err_errno(e, -errno, "LoopFailed", "cannot wait for signals");
    return 0;
}

/* ---- The child ---- */

static int to_pipe(void *ctx, const void *data, size_t len, struct err *e)
{
    return fd_write_all(*(int *)ctx, data, len, e);
}

static _Noreturn void child_run(const char *target, int data_fd, int fault_fd, pid_t parent)
{
    AUTO(agent_client) client = NULL;
    struct err e = ERR_INIT, ignored = ERR_INIT;

    if (!child_end_with(parent, SIGKILL))
        _exit(0);
    if (agent_client_open(NULL, &client, &e) < 0 ||
        agent_client_follow(client, target, to_pipe, &data_fd, &e) < 0)
        fd_write_all(fault_fd, &e, sizeof(e), &ignored);
    _exit(0);
}

int followers_add(struct followers *f, const struct follower_options *o, struct follower **ret,
                  struct err *e)
{
    int data[2], fault[2];
    pid_t parent = getpid(), pid;
    struct follower *w;

    if (f->n == FOLLOWERS_LIMIT)
        return err_set(e, -EMFILE, "TooMany", "more than %d containers cannot be followed at once",
                       FOLLOWERS_LIMIT);
    if (pipe2(data, O_CLOEXEC) < 0)
        return err_errno(e, -errno, "StartFailed", "cannot make a pipe");
    if (pipe2(fault, O_CLOEXEC) < 0) {
        err_errno(e, -errno, "StartFailed", "cannot make a pipe");
        close(data[0]);
        close(data[1]);
        return e->code;
    }
    pid = fork();
    if (pid == 0)
        child_run(o->target, data[1], fault[1], parent);
    if (pid < 0)
        err_errno(e, -errno, "StartFailed", "cannot start a process that follows");
    close(data[1]);
    close(fault[1]);
    if (pid < 0) {
        close(data[0]);
        close(fault[0]);
        return e->code;
    }
    w = xcalloc(1, sizeof(*w));
    *w = (struct follower){.o = *o, .pid = pid, .data_fd = data[0], .fault_fd = fault[0]};
    w->o.target = NULL;
    f->v[f->n++] = w;
    if (ret)
        *ret = w;
    return 0;
}

void follower_free(struct followers *f, struct follower *w)
{
    (void)f;
    if (!w || w->is_gone)
        return;
    child_end(w);
    w->is_gone = true;
}

/* ---- Waiting ---- */

void followers_tick_set(struct followers *f, uint64_t (*tick)(void *ctx), void *ctx)
{
    f->tick = tick;
    f->tick_ctx = ctx;
}

/* Why it ended: the child has said so, or has said nothing. */
static void ended(struct follower *w)
{
    struct err e = ERR_INIT;

    /* The child is a copy of this process: what e.reason points to is here too. */
    if (read(w->fault_fd, &e, sizeof(e)) != (ssize_t)sizeof(e))
        e = ERR_INIT;
    child_end(w);
    w->is_gone = true;
    if (w->o.ended)
        w->o.ended(w->o.ctx, &e);
}

static void read_some(struct follower *w)
{
    static char piece[PIECE_BYTES];
    ssize_t n = read(w->data_fd, piece, sizeof(piece));

    if (n > 0)
        w->o.data(w->o.ctx, piece, (size_t)n);
    else if (n == 0 || errno != EINTR)
        ended(w);
}

static void gone_remove(struct followers *f)
{
    size_t kept = 0;

    for (size_t i = 0; i < f->n; i++) {
        if (f->v[i]->is_gone)
            free(f->v[i]);
        else
            f->v[kept++] = f->v[i];
    }
    f->n = kept;
}

static bool signal_came(const struct followers *f)
{
    struct signalfd_siginfo info;

    return f->signal_fd >= 0 && read(f->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info);
}

int followers_run(struct followers *f, uint64_t deadline_ns, struct err *e)
{
    struct pollfd p[FOLLOWERS_LIMIT + 1];

    f->is_stopped = false;
    for (;;) {
        uint64_t wake_ns = f->tick && !f->is_stopped ? f->tick(f->tick_ctx) : 0;
        size_t n;

        gone_remove(f);
        n = f->n;
        if (f->is_stopped)
            return FOLLOWERS_STOPPED;
        if (!n)
            return FOLLOWERS_ALL_ENDED;
        for (size_t i = 0; i < n; i++)
            p[i] = (struct pollfd){.fd = f->v[i]->data_fd, .events = POLLIN};
        p[n] = (struct pollfd){.fd = f->signal_fd, .events = POLLIN};
        if (!wake_ns || (deadline_ns && deadline_ns < wake_ns))
            wake_ns = deadline_ns;
        if (poll(p, n + 1, clock_wait_ms(wake_ns)) < 0 && errno != EINTR)
            return err_errno(e, -errno, "LoopFailed", "cannot wait for the agent");
        if (signal_came(f))
            return FOLLOWERS_SIGNAL;
        if (deadline_ns && clock_monotonic_ns() >= deadline_ns)
            return FOLLOWERS_TIMEOUT;
        for (size_t i = 0; i < n && !f->is_stopped; i++)
            if (p[i].revents && !f->v[i]->is_gone)
                read_some(f->v[i]);
    }
}

void followers_stop(struct followers *f)
{
    f->is_stopped = true;
}

/* ---- Lines ---- */

void followed_lines_add(struct followed_lines *l, const void *data, size_t len)
{
    size_t at = 0;
    char *end;

    buf_add(&l->rest, data, len);
    while (at < l->rest.len && (end = memchr(l->rest.data + at, '\n', l->rest.len - at))) {
        char *line = l->rest.data + at;

        *end = 0;
        at += (size_t)(end - line) + 1;
        l->line(l->ctx, line, (size_t)(end - line));
    }
    buf_consume(&l->rest, at);
    if (l->rest.len > FOLLOWED_LINE_LIMIT) {
        l->line(l->ctx, l->rest.data, l->rest.len);
        buf_clear(&l->rest);
    }
}

void followed_lines_end(struct followed_lines *l)
{
    if (l->rest.len)
        l->line(l->ctx, l->rest.data, l->rest.len);
    buf_done(&l->rest);
}
