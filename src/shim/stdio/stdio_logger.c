/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/fds.h"
#include "shim/stdio/stdio_parts.h"

/* What a logger has them by, as containerd's shim gives them. */
enum { FD_STDOUT = 3, FD_STDERR, FD_READY };

enum logger_phase {
    LOGGER_STARTING,
    LOGGER_FAILED, /* and to be told; or it was */
    LOGGER_READY,
    LOGGER_ENDING,  /* by itself */
    LOGGER_QUITTING /* after SIGTERM */
};

struct logger {
    struct loop *loop;
    struct loop_child *child; /* NULL: it has ended, with `status` */
    int status;
    enum logger_phase phase;
    int ready_fd, probe_fd; /* while it is starting; probe_fd is a writing end of its stdout */
    struct loop_watch *ready_watch;
    struct loop_timer *timer;
    char *path;
    int ready_ms, quit_ms;
    void (*ready)(void *ctx, const struct err *e);
    void (*ended)(void *ctx);
    void *ctx;
};

static void timer_set_ms(struct logger *g, int ms)
{
    loop_timer_set(g->timer, ms ? clock_monotonic_ns() + (uint64_t)ms * 1000000 : 0);
}

/* ---- The beginning ---- */

static void ready_unwatch(struct logger *g)
{
    loop_watch_free(take_ptr(g->ready_watch));
    close_cleanup_(&g->ready_fd);
    close_cleanup_(&g->probe_fd);
    g->ready_fd = g->probe_fd = -EBADF;
}

static void failed(struct logger *g, const char *how, int number)
{
    struct err e = ERR_INIT;
    ready_unwatch(g);
    loop_timer_clear(g->timer);
    g->phase = LOGGER_FAILED;
    if (how)
        err_set(&e, -ECHILD, "StartFailed",
                "the logger '%s' ended %s %d before it was ready; see why by running it by hand "
                "with the descriptors 3, 4 and 5",
                g->path, how, number);
    else
        err_set(&e, -ETIMEDOUT, "StartFailed",
                "the logger '%s' was not ready within %d ms; it has to close descriptor 5 when "
                "it is",
                g->path, g->ready_ms);
    g->ready(g->ctx, &e);
}

static void failed_by_end(struct logger *g)
{
    if (WIFSIGNALED(g->status))
        failed(g, "by signal", WTERMSIG(g->status));
    else
        failed(g, "with status", WEXITSTATUS(g->status));
}

/* Who reads what is logged; it may be a child of the logger. */
static bool has_reader(const struct logger *g)
{
    struct pollfd p = {.fd = g->probe_fd};
    return poll(&p, 1, 0) == 0;
}

/* A process that ends closes its descriptors, in any order, a moment before its end can be seen.
 * The kernel's flag for it is there before (proc_pid_stat(5), PF_EXITING of linux/sched.h). */
#define FLAG_EXITING 4u

static bool is_ending(const struct logger *g)
{
    struct err ignored = ERR_INIT;
    autobuf stat = BUF_INIT;
    char path[32];
    unsigned flags = 0;
    (void)snprintf(path, sizeof path, "/proc/%d/stat", loop_child_pid(g->child));
    if (file_read(path, 4096, &stat, &ignored) < 0)
        return false;
    /* Behind the name, which may have anything in it: state, 5 numbers, flags. */
    const char *at = strrchr(buf_str(&stat), ')');
    for (int i = 0; at && i < 7; i++)
        at = strchr(at + 1, ' ');
    if (at)
        flags = (unsigned)strtoul(at, NULL, 10);
    return flags & FLAG_EXITING;
}

static void on_ready_fd(void *ctx, unsigned events)
{
    (void)events;
    struct logger *g = ctx;
    if (g->child && (is_ending(g) || !has_reader(g))) {
        loop_watch_set(g->ready_watch, 0); /* its end, or the timer, comes */
    } else if (has_reader(g)) {
        ready_unwatch(g);
        g->phase = LOGGER_READY;
        loop_timer_clear(g->timer);
        g->ready(g->ctx, NULL);
    } else {
        failed_by_end(g);
    }
}

/* ---- The end ---- */

static void on_child_ended(void *ctx, int status)
{
    struct logger *g = ctx;
    loop_child_free(take_ptr(g->child));
    g->status = status;
    if (g->phase == LOGGER_STARTING && has_reader(g)) {
        loop_watch_set(g->ready_watch, LOOP_READABLE);
    } else if (g->phase == LOGGER_STARTING) {
        failed_by_end(g);
    } else if (g->phase == LOGGER_ENDING || g->phase == LOGGER_QUITTING) {
        loop_timer_clear(g->timer);
        g->ended(g->ctx);
    }
}

static void on_timer(void *ctx)
{
    struct logger *g = ctx;
    if (g->phase == LOGGER_STARTING) {
        failed(g, NULL, 0);
    } else if (!g->child) {
        g->ended(g->ctx);
    } else if (g->phase == LOGGER_ENDING) {
        g->phase = LOGGER_QUITTING;
        loop_child_kill(g->child, SIGTERM);
        timer_set_ms(g, STDIO_LOGGER_KILL_MS);
    } else {
        loop_child_kill(g->child, SIGKILL); /* its end will be told */
    }
}

void logger_end(struct logger *g, void (*ended)(void *ctx))
{
    BUG_ON(g->phase != LOGGER_READY);
    g->phase = LOGGER_ENDING;
    g->ended = ended;
    timer_set_ms(g, g->child ? g->quit_ms : 0);
}

/* ---- Life ---- */

/* A reading end in *ret_reader and a writing one in *ret_writer. */
static int pipe_make(int *ret_reader, int *ret_writer, struct err *e)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) < 0)
        return err_errno(e, -errno, "StartFailed", "cannot make a pipe for a logger");
    *ret_reader = fds[0];
    *ret_writer = fds[1];
    return 0;
}

static int spawn(struct logger *g, const struct logger_options *o, const int readers[2], int ready,
                 struct err *e)
{
    autostrv argv = STRV_INIT, env = STRV_INIT;
    const struct loop_child_fd fds[] = {
        {readers[0], FD_STDOUT},
        {readers[1], FD_STDERR},
        {ready,      FD_READY },
    };
    strv_add(&argv, g->path);
    strv_addv(&argv, o->uri->args.v);
    strv_addf(&env, "CONTAINER_ID=%s", o->container_id);
    strv_addf(&env, "CONTAINER_NAMESPACE=%s", o->ns);
    strv_addv(&env, o->uri->env.v);
    struct loop_child_options c = {
        .program = g->path,
        .argv = strv_array(&argv),
        .env = strv_array(&env),
        .fds = fds,
        .n_fds = ARRAY_SIZE(fds),
        .ended = on_child_ended,
        .ctx = g,
    };
    TRY(loop_child_start(g->loop, &c, &g->child, e));
    timer_set_ms(g, g->ready_ms);
    return 0;
}

int logger_start(struct loop *l, const struct logger_options *o, int ret_writers[2],
                 struct logger **ret, struct err *e)
{
    AUTO(logger) g = xcalloc(1, sizeof *g);
    autofd out = -EBADF, err = -EBADF, ready = -EBADF, out_writer = -EBADF, err_writer = -EBADF;
    *g = (struct logger){.loop = l,
                         .ready_fd = -EBADF,
                         .probe_fd = -EBADF,
                         .timer = loop_timer_new(l, on_timer, g),
                         .path = xstrdup(o->uri->path),
                         .ready_ms = o->ready_ms,
                         .quit_ms = o->quit_ms,
                         .ready = o->ready,
                         .ctx = o->ctx};
    TRY(pipe_make(&out, &out_writer, e));
    TRY(pipe_make(&err, &err_writer, e));
    TRY(pipe_make(&g->ready_fd, &ready, e));
    g->probe_fd = fcntl(out_writer, F_DUPFD_CLOEXEC, 3);
    if (g->probe_fd < 0)
        return err_errno(e, -errno, "StartFailed", "cannot watch a logger");
    TRY(loop_watch_new(l, g->ready_fd, on_ready_fd, g, &g->ready_watch, e));
    loop_watch_set(g->ready_watch, LOOP_READABLE);
    TRY(spawn(g, o, (int[]){out, err}, ready, e));
    ret_writers[0] = take_fd(&out_writer);
    ret_writers[1] = take_fd(&err_writer);
    *ret = take_ptr(g);
    return 0;
}

void logger_free(struct logger *g)
{
    if (!g)
        return;
    if (g->child && g->phase <= LOGGER_FAILED)
        loop_child_kill(g->child, SIGKILL);
    loop_child_free(g->child);
    ready_unwatch(g);
    loop_timer_free(g->timer);
    free(g->path);
    free(g);
}
