/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/stdio/task_stdio.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/paths.h"
#include "base/pty.h"
#include "shim/stdio/fifo_readers.h"
#include "shim/stdio/stdio_parts.h"

enum stdio_phase {
    PHASE_OPENING,
    PHASE_OPEN,
    PHASE_DRAINING, /* what is copied */
    PHASE_LOGGER,   /* it has its end of input */
    PHASE_OVER,     /* to be told, or it was */
};

/* What the opening needs, until it is over. */
struct opening {
    struct stdio_uri uris[3];
    char *container_id, *ns;
    int logger_ready_ms, logger_quit_ms;
    struct fifo_readers *readers;
};

struct stdio {
    struct loop *loop;
    struct opening opening;
    enum stdio_phase phase;
    enum stdio_terminal terminal_kind;
    /* Ours until stdio_started(): what the process gets. -EBADF: closed. */
    int fds[3];
    int holds[3]; /* both ends of each FIFO */
    bool is_copied;
    struct terminal *terminal;
    struct terminal *copies[3]; /* of outputs, without a terminal */
    size_t n_copying;           /* of all those, which have not ended, or still have output */
    struct logger *logger;
    struct loop_timer *timer; /* by the phase: to tell of the opening, of the end, or not to wait */
    uint16_t width, height;
    uid_t uid;
    gid_t gid;
    int drain_ms;
    struct err failure; /* of the opening */
    void (*opened)(void *ctx, const struct err *e);
    void *opened_ctx;
    void (*ended)(void *ctx);
    void *ended_ctx;
};

static const char *const names[] = {"stdin", "stdout", "stderr"};

static void fd_close(int *fd)
{
    close_cleanup_(fd);
    *fd = -EBADF;
}

static void fds_close(int fds[3])
{
    for (size_t i = 0; i < 3; i++)
        fd_close(&fds[i]);
}

/* ---- What has a name ---- */

/* Where it is not allowed, as in a user namespace, the process does without opening it again. */
static void own(const struct stdio *s, int fd)
{
    int ignored = fchown(fd, s->uid, s->gid);
    (void)ignored;
}

/* Opening a FIFO at one end waits for the other, so it is opened at both first. The process's end
 * is opened by that, not by its name, which could be another file's by now. */
static int fifo_open(struct stdio *s, size_t i, const char *path, struct err *e)
{
    char name[32];
    struct stat st;
    autofd hold = open(path, O_RDWR | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (hold < 0)
        return err_errno(e, -errno, "BadStdio", "cannot open the FIFO '%s' for %s", path, names[i]);
    if (fstat(hold, &st) < 0 || !S_ISFIFO(st.st_mode))
        return err_set(e, -EINVAL, "BadStdio", "'%s' for %s is no FIFO; make one, or say file://%s",
                       path, names[i], path);
    (void)snprintf(name, sizeof name, "/proc/self/fd/%d", hold);
    int fd = open(name, (i == STDIN_FILENO ? O_RDONLY : O_WRONLY) | O_CLOEXEC);
    if (fd < 0)
        return err_errno(e, -errno, "BadStdio", "cannot open an end of the FIFO '%s' for %s", path,
                         names[i]);
    if (s->terminal_kind == STDIO_NO_TERMINAL)
        own(s, fd);
    s->fds[i] = fd;
    s->holds[i] = take_fd(&hold);
    return 0;
}

static int file_open(struct stdio *s, size_t i, const char *path, struct err *e)
{
    autofree char *dir = path_dir(path);
    struct stat st;
    if (path_mkdir_p(dir, 0755, e) < 0) {
        e->reason = "BadStdio";
        return err_prefix(e, "cannot make the folder for %s", names[i]);
    }
    /* Without waiting, should it be no file. */
    int flags = O_WRONLY | O_APPEND | O_CREAT | O_NOCTTY | O_CLOEXEC;
    autofd fd = open(path, flags | O_NONBLOCK, 0644);
    if (fd < 0)
        return err_errno(e, -errno, "BadStdio", "cannot open the file '%s' for %s", path, names[i]);
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return err_set(e, -EINVAL, "BadStdio", "'%s' for %s is no regular file", path, names[i]);
    if (fcntl(fd, F_SETFL, O_APPEND) < 0)
        return err_errno(e, -errno, "BadStdio", "cannot use the file '%s' for %s", path, names[i]);
    s->fds[i] = take_fd(&fd);
    return 0;
}

static int null_open(struct stdio *s, size_t i, struct err *e)
{
    s->fds[i] = open("/dev/null", (i == STDIN_FILENO ? O_RDONLY : O_WRONLY) | O_CLOEXEC);
    if (s->fds[i] < 0)
        return err_errno(e, -errno, "StartFailed", "cannot open /dev/null for %s", names[i]);
    return 0;
}

static int stream_open(struct stdio *s, size_t i, const struct stdio_uri *u, struct err *e)
{
    switch (u->kind) {
    case STDIO_FIFO:
        return fifo_open(s, i, u->path, e);
    case STDIO_FILE:
        return file_open(s, i, u->path, e);
    case STDIO_LOGGER:
        return 0; /* when all else has been opened */
    case STDIO_NULL:
    default:
        return s->terminal_kind == STDIO_NO_TERMINAL ? null_open(s, i, e) : 0;
    }
}

/* ---- The logger ---- */

static void on_logger_ready(void *ctx, const struct err *e)
{
    struct stdio *s = ctx;
    s->phase = PHASE_OPEN;
    /* One that never was ready has no end to wait for. */
    if (e)
        logger_free(take_ptr(s->logger));
    s->opened(s->opened_ctx, e);
}

static void on_logger_ended(void *ctx)
{
    struct stdio *s = ctx;
    s->phase = PHASE_OVER;
    s->ended(s->ended_ctx);
}

static int logger_open(struct stdio *s, struct err *e)
{
    const struct opening *o = &s->opening;
    struct logger_options g = {
        .uri = &o->uris[STDOUT_FILENO],
        .container_id = o->container_id,
        .ns = o->ns,
        .ready_ms = o->logger_ready_ms ? o->logger_ready_ms : STDIO_LOGGER_READY_MS,
        .quit_ms = o->logger_quit_ms ? o->logger_quit_ms : STDIO_LOGGER_QUIT_MS,
        .ready = on_logger_ready,
        .ctx = s,
    };
    int writers[2];
    TRY(logger_start(s->loop, &g, writers, &s->logger, e));
    own(s, writers[0]);
    own(s, writers[1]);
    s->fds[STDOUT_FILENO] = writers[0];
    if (s->terminal_kind == STDIO_NO_TERMINAL && o->uris[STDERR_FILENO].kind == STDIO_LOGGER)
        s->fds[STDERR_FILENO] = writers[1];
    else
        close(writers[1]);
    return 0;
}

/* ---- The terminal ---- */

static void outputs_over(struct stdio *s);

static void on_copied(void *ctx)
{
    struct stdio *s = ctx;
    s->n_copying--;
    if (s->n_copying == 0 && s->phase == PHASE_DRAINING)
        outputs_over(s);
}

static int slave_give(struct stdio *s, int slave, struct err *e)
{
    own(s, slave);
    s->fds[STDIN_FILENO] = slave;
    for (size_t i = STDOUT_FILENO; i <= STDERR_FILENO; i++) {
        s->fds[i] = fcntl(slave, F_DUPFD_CLOEXEC, 3);
        if (s->fds[i] < 0)
            return err_errno(e, -errno, "StartFailed", "cannot share a terminal");
    }
    return 0;
}

static int terminal_open(struct stdio *s, struct err *e)
{
    int in = take_fd(&s->fds[STDIN_FILENO]), out = take_fd(&s->fds[STDOUT_FILENO]);
    TRY(terminal_new(s->loop, in, out, on_copied, s, &s->terminal, e));
    s->n_copying++;
    if (s->terminal_kind == STDIO_GIVEN_TERMINAL)
        return 0;
    autofd master = -EBADF;
    int slave;
    int r = pty_open(0, &master, &slave);
    if (r < 0)
        return err_errno(e, r, "StartFailed", "cannot make a terminal");
    TRY(slave_give(s, slave, e));
    return stdio_console_set(s, take_fd(&master), e);
}

/* The process gets a pipe, and what it says goes on to where it would have gone. */
static int copy_open(struct stdio *s, size_t i, struct err *e)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return err_errno(e, -errno, "StartFailed", "cannot make a pipe for %s", names[i]);
    int out = s->fds[i];
    s->fds[i] = ends[1];
    own(s, ends[1]);
    int r = terminal_new(s->loop, -EBADF, out, on_copied, s, &s->copies[i], e);
    if (r < 0) {
        close(ends[0]);
        return r;
    }
    s->n_copying++;
    return terminal_master_set(s->copies[i], ends[0], e);
}

int stdio_console_set(struct stdio *s, int master, struct err *e)
{
    TRY(terminal_master_set(s->terminal, master, e));
    if (s->width || s->height)
        terminal_size_set(s->terminal, s->width, s->height);
    return 0;
}

void stdio_resize(struct stdio *s, uint16_t width, uint16_t height)
{
    s->width = width;
    s->height = height;
    if (s->terminal)
        terminal_size_set(s->terminal, width, height);
}

/* ---- Opening ---- */

static void opening_done(struct opening *o)
{
    for (size_t i = 0; i < 3; i++)
        stdio_uri_done(&o->uris[i]);
    fifo_readers_free(o->readers);
    free(o->container_id);
    free(o->ns);
    *o = (struct opening){0};
}

/* The forms, as they go together. */
static int uris_check(const struct stdio_options *o, const char *const texts[3],
                      struct stdio_uri uris[3], struct err *e)
{
    const struct stdio_uri *in = &uris[STDIN_FILENO], *out = &uris[STDOUT_FILENO];
    struct stdio_uri *err = &uris[STDERR_FILENO];
    if (in->kind != STDIO_NULL && in->kind != STDIO_FIFO)
        return err_set(e, -EINVAL, "BadStdio", "stdin can only be a FIFO, and not '%.200s'",
                       texts[STDIN_FILENO]);
    if (o->terminal != STDIO_NO_TERMINAL)
        return 0;
    /* As containerd's shim does: a logger for stdout has both. */
    if (out->kind == STDIO_LOGGER && err->kind == STDIO_NULL)
        err->kind = STDIO_LOGGER;
    else if (err->kind == STDIO_LOGGER &&
             (out->kind != STDIO_LOGGER || !str_eq(texts[STDOUT_FILENO], texts[STDERR_FILENO])))
        return err_set(e, -EINVAL, "BadStdio",
                       "a logger is for both outputs: '%.200s' for stderr has to be stdout's too",
                       texts[STDERR_FILENO]);
    return 0;
}

/* A terminal has one output. */
static size_t streams(const struct stdio *s)
{
    return s->terminal_kind == STDIO_NO_TERMINAL ? 3 : 2;
}

static int uris_parse(struct stdio *s, const struct stdio_options *o, struct err *e)
{
    const char *const texts[] = {o->stdin_uri, o->stdout_uri, o->stderr_uri};

    for (size_t i = 0; i < streams(s); i++)
        if (stdio_uri_parse(texts[i], &s->opening.uris[i], e) < 0)
            return err_prefix(e, "%s", names[i]);
    return uris_check(o, texts, s->opening.uris, e);
}

static int streams_open(struct stdio *s, struct err *e)
{
    const struct stdio_uri *uris = s->opening.uris;

    for (size_t i = 0; i < streams(s); i++)
        TRY(stream_open(s, i, &uris[i], e));
    if (uris[STDOUT_FILENO].kind == STDIO_LOGGER)
        TRY(logger_open(s, e));
    if (s->terminal_kind != STDIO_NO_TERMINAL)
        return terminal_open(s, e);
    for (size_t i = STDOUT_FILENO; s->is_copied && i < streams(s); i++)
        if (uris[i].kind == STDIO_FIFO)
            TRY(copy_open(s, i, e));
    return 0;
}

static void on_readers(void *ctx)
{
    struct stdio *s = ctx;
    int r = streams_open(s, &s->failure);

    opening_done(&s->opening);
    if (r < 0)
        logger_free(take_ptr(s->logger));
    if (!s->logger)
        loop_timer_set(s->timer, 0);
}

/* Without any output to wait for they are there at once. */
static void readers_await(struct stdio *s, int limit_ms)
{
    const char *paths[3];
    size_t n = 0;

    for (size_t i = STDOUT_FILENO; i < streams(s); i++)
        if (s->opening.uris[i].kind == STDIO_FIFO)
            paths[n++] = s->opening.uris[i].path;
    s->opening.readers = fifo_readers_await(
        s->loop, paths, n, (uint64_t)(limit_ms ? limit_ms : STDIO_READER_MS), on_readers, s);
}

static void on_timer(void *ctx)
{
    struct stdio *s = ctx;
    if (s->phase == PHASE_OPENING) {
        s->phase = PHASE_OPEN;
        s->opened(s->opened_ctx, s->failure.code ? &s->failure : NULL);
    } else if (s->phase == PHASE_DRAINING) {
        outputs_over(s);
    } else {
        s->ended(s->ended_ctx);
    }
}

struct stdio *stdio_open(struct loop *l, const struct stdio_options *o,
                         void (*done)(void *ctx, const struct err *e), void *ctx)
{
    struct stdio *s = xcalloc(1, sizeof *s);
    *s = (struct stdio){
        .loop = l,
        .terminal_kind = o->terminal,
        .is_copied = o->is_copied,
        .fds = {-EBADF, -EBADF, -EBADF},
        .holds = {-EBADF, -EBADF, -EBADF},
        .timer = loop_timer_new(l, on_timer, s),
        .width = o->width,
        .height = o->height,
        .uid = o->uid,
        .gid = o->gid,
        .drain_ms = o->drain_ms ? o->drain_ms : STDIO_DRAIN_MS,
        .opened = done,
        .opened_ctx = ctx,
    };
    s->opening = (struct opening){.container_id = xstrdup(o->container_id ? o->container_id : ""),
                                  .ns = xstrdup(o->ns ? o->ns : ""),
                                  .logger_ready_ms = o->logger_ready_ms,
                                  .logger_quit_ms = o->logger_quit_ms};
    if (uris_parse(s, o, &s->failure) < 0)
        loop_timer_set(s->timer, 0);
    else
        readers_await(s, o->reader_ms);
    return s;
}

void stdio_fds(const struct stdio *s, int ret[3])
{
    memcpy(ret, s->fds, sizeof s->fds);
}

void stdio_started(struct stdio *s)
{
    fds_close(s->fds);
}

void stdio_close_stdin(struct stdio *s)
{
    if (!s->terminal)
        fd_close(&s->holds[STDIN_FILENO]);
}

/* ---- The end ---- */

static void terminals_free(struct stdio *s)
{
    terminal_free(take_ptr(s->terminal));
    for (size_t i = 0; i < 3; i++)
        terminal_free(take_ptr(s->copies[i]));
}

/* All output is where it goes, or never will be. */
static void outputs_over(struct stdio *s)
{
    loop_timer_clear(s->timer);
    terminals_free(s);
    fds_close(s->holds);
    if (s->logger) {
        s->phase = PHASE_LOGGER;
        logger_end(s->logger, on_logger_ended);
    } else {
        s->phase = PHASE_OVER;
        loop_timer_set(s->timer, 0);
    }
}

void stdio_end(struct stdio *s, void (*done)(void *ctx), void *ctx)
{
    BUG_ON(s->phase != PHASE_OPEN);
    s->ended = done;
    s->ended_ctx = ctx;
    s->phase = PHASE_DRAINING;
    fds_close(s->fds);
    fd_close(&s->holds[STDIN_FILENO]);
    if (s->terminal)
        terminal_end(s->terminal);
    if (s->n_copying == 0)
        outputs_over(s);
}

void stdio_hurry(struct stdio *s)
{
    if (s->phase == PHASE_DRAINING && !loop_timer_is_set(s->timer))
        loop_timer_set(s->timer, clock_monotonic_ns() + (uint64_t)s->drain_ms * 1000000);
}

void stdio_free(struct stdio *s)
{
    if (!s)
        return;
    terminals_free(s);
    logger_free(s->logger);
    opening_done(&s->opening);
    loop_timer_free(s->timer);
    fds_close(s->fds);
    fds_close(s->holds);
    free(s);
}
