/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Standard streams with a process that has them, and the test as containerd and its client: FIFOs
 * "in", "out" and "err" in a folder, and a loop.
 */
#include "unit.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>

#include "base/buf.h"
#include "base/fds.h"
#include "base/paths.h"
#include "base/util.h"
#include "shim/stdio/task_stdio.h"

struct place {
    struct loop *l;
    struct stdio *s;
    size_t n_fds; /* of this process, before all of it */
    char *dir, *in, *out, *err;
    int opens, ends; /* of the stdio, that were told */
    struct err failure;
};

/* The process that has the streams, or another one that the test forks. */
struct process {
    struct place *p;
    pid_t pid;
    int pidfd;
    struct loop_watch *watch; /* NULL: it has ended */
    int status;
};

/* A client's end of an output. */
struct client {
    struct place *p;
    int fd;
    struct loop_watch *watch;
    struct buf got;
    const char *wanted; /* the loop stops when that has come; NULL: at the end */
    bool has_ended;
};

static inline size_t place_fds(void)
{
    size_t n = 0;
    DIR *d = opendir("/proc/self/fd");
    assert_non_null(d);
    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

static inline void place_init(struct place *p)
{
    struct err e = ERR_INIT;
    /* The first loop of a process opens descriptors that stay. */
    assert_ok(loop_open(&p->l, &e));
    loop_free(p->l);
    *p = (struct place){.n_fds = place_fds(), .dir = unit_temp_dir()};
    assert_ok(loop_open(&p->l, &e));
    char **const paths[] = {&p->in, &p->out, &p->err};
    static const char *const names[] = {"in", "out", "err"};
    for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
        *paths[i] = path_join(p->dir, names[i]);
        assert_int_equal(mkfifo(*paths[i], 0700), 0);
    }
}

/* Nothing is left open. */
static inline void place_done(struct place *p)
{
    stdio_free(p->s);
    loop_free(p->l);
    assert_int_equal(place_fds(), p->n_fds);
    free(p->in);
    free(p->out);
    free(p->err);
    unit_remove(p->dir);
}

/* ---- Of the stdio ---- */

static inline void place_opened(void *ctx, const struct err *e)
{
    struct place *p = ctx;
    p->opens++;
    p->failure = e ? *e : ERR_INIT;
    loop_stop(p->l);
}

static inline void place_ended(void *ctx)
{
    struct place *p = ctx;
    p->ends++;
    loop_stop(p->l);
}

static inline struct stdio_options place_options(const struct place *p)
{
    return (struct stdio_options){.stdin_uri = p->in,
                                  .stdout_uri = p->out,
                                  .stderr_uri = p->err,
                                  .container_id = "c1",
                                  .ns = "k8s.io",
                                  .uid = (uid_t)-1,
                                  .gid = (gid_t)-1,
                                  .reader_ms = 1};
}

/* Opens, and waits for what comes of it; never told from within. */
static inline void place_try(struct place *p, const struct stdio_options *o)
{
    p->opens = 0;
    p->s = stdio_open(p->l, o, place_opened, p);
    assert_int_equal(p->opens, 0);
    loop_run(p->l);
    assert_int_equal(p->opens, 1);
}

static inline void place_open(struct place *p, const struct stdio_options *o)
{
    place_try(p, o);
    if (p->failure.code)
        fail_msg("%s", p->failure.msg);
}

static inline void place_fails(struct place *p, const struct stdio_options *o, const char *reason,
                               const char *part)
{
    place_try(p, o);
    assert_true(p->failure.code < 0);
    assert_string_equal(p->failure.reason, reason);
    assert_contains(p->failure.msg, part);
    stdio_free(take_ptr(p->s));
}

static inline void place_end(struct place *p)
{
    stdio_end(p->s, place_ended, p);
    assert_int_equal(p->ends, 0);
    while (!p->ends)
        loop_run(p->l);
    assert_int_equal(p->ends, 1);
}

/* ---- Processes ---- */

static inline void process_ready(void *ctx, unsigned events)
{
    (void)events;
    struct process *c = ctx;
    assert_int_equal(waitpid(c->pid, &c->status, 0), c->pid);
    loop_watch_free(take_ptr(c->watch));
    close(c->pidfd);
    loop_stop(c->p->l);
}

static inline void process_watch(struct process *c, struct place *p, pid_t pid)
{
    struct err e = ERR_INIT;
    *c = (struct process){.p = p, .pid = pid, .pidfd = pidfd_open(pid, 0)};
    assert_true(pid > 0 && c->pidfd >= 0);
    assert_ok(loop_watch_new(p->l, c->pidfd, process_ready, c, &c->watch, &e));
    loop_watch_set(c->watch, LOOP_READABLE);
}

/* In the child: has these descriptors as a container's process has, and nothing else. */
static inline void child_streams(const int fds[3])
{
    int high[3];
    signal(SIGPIPE, SIG_DFL);
    for (int i = 0; i < 3; i++)
        high[i] = fcntl(fds[i], F_DUPFD, 100);
    for (int i = 0; i < 3; i++)
        if (dup2(high[i], i) < 0)
            _exit(127);
    close_range(3, ~0u, 0);
    if (isatty(0)) {
        setsid();
        ioctl(0, TIOCSCTTY, 0);
    }
}

/* Starts what has the streams; `run` returns its exit status. */
static inline void process_start_fds(struct process *c, struct place *p, const int fds[3],
                                     int (*run)(const char *arg), const char *arg)
{
    pid_t pid = fork();
    if (pid == 0) {
        child_streams(fds);
        _exit(run(arg));
    }
    process_watch(c, p, pid);
}

static inline void process_start(struct process *c, struct place *p, int (*run)(const char *arg),
                                 const char *arg)
{
    int fds[3];
    stdio_fds(p->s, fds);
    process_start_fds(c, p, fds, run, arg);
    stdio_started(p->s);
}

static inline int run_shell(const char *script)
{
    execl("/bin/sh", "sh", "-c", script, (char *)NULL);
    return 127;
}

static inline void process_wait(struct process *c)
{
    while (c->watch)
        loop_run(c->p->l);
}

static inline void process_wait_ok(struct process *c)
{
    process_wait(c);
    assert_true(WIFEXITED(c->status));
    assert_int_equal(WEXITSTATUS(c->status), 0);
}

/* ---- Clients ---- */

static inline void client_ready(void *ctx, unsigned events)
{
    (void)events;
    struct client *c = ctx;
    char data[4096];
    ssize_t n = read(c->fd, data, sizeof data);
    if (n < 0)
        return;
    buf_add(&c->got, data, (size_t)n);
    if (!n) {
        c->has_ended = true;
        loop_watch_set(c->watch, 0);
    }
    if (c->has_ended || (c->wanted && strstr(buf_str(&c->got), c->wanted)))
        loop_stop(c->p->l);
}

static inline void client_open(struct client *c, struct place *p, const char *path)
{
    struct err e = ERR_INIT;
    *c = (struct client){.p = p, .fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC)};
    assert_true(c->fd >= 0);
    assert_ok(loop_watch_new(p->l, c->fd, client_ready, c, &c->watch, &e));
    loop_watch_set(c->watch, LOOP_READABLE);
}

/* Until the text has come, or with NULL the end. */
static inline void client_wait(struct client *c, const char *text)
{
    c->wanted = text;
    while (!c->has_ended && !(text && strstr(buf_str(&c->got), text)))
        loop_run(c->p->l);
    if (text)
        assert_contains(buf_str(&c->got), text);
}

static inline void client_close(struct client *c)
{
    loop_watch_free(c->watch);
    close(c->fd);
    buf_done(&c->got);
}

/* Opens as a client does that writes, writes, and closes. */
static inline void client_write(const char *path, const char *text)
{
    autofd fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

/* ---- Much data: processes that write and read it ---- */

#define MUCH_BYTES (10u << 20)

static inline unsigned char much_byte(size_t i)
{
    return (unsigned char)((i * 2654435761u) >> 11);
}

static inline int much_write(const char *path)
{
    int fd = open(path, O_WRONLY);
    char data[65536];
    for (size_t at = 0; at < MUCH_BYTES; at += sizeof data) {
        struct err e = ERR_INIT;
        for (size_t i = 0; i < sizeof data; i++)
            data[i] = (char)much_byte(at + i);
        if (fd_write_all(fd, data, sizeof data, &e) < 0)
            return 1;
    }
    return 0;
}

/* Slowly: with a pause for every 64 KiB. */
static inline int much_read(const char *path)
{
    int fd = open(path, O_RDONLY);
    unsigned char data[65536];
    size_t at = 0, pause = sizeof data;
    ssize_t n;
    while ((n = read(fd, data, sizeof data)) > 0) {
        for (ssize_t i = 0; i < n; i++)
            if (data[i] != much_byte(at++))
                return 1;
        if (at >= pause) {
            usleep(1000);
            pause += sizeof data;
        }
    }
    return n < 0 || at != MUCH_BYTES;
}

/* A client that is a process. */
static inline void client_start(struct process *c, struct place *p, int (*run)(const char *path),
                                const char *path)
{
    pid_t pid = fork();
    if (pid == 0) {
        close_range(3, ~0u, 0);
        _exit(run(path));
    }
    process_watch(c, p, pid);
}
