/* SPDX-License-Identifier: Apache-2.0 */
#include "container/oci/hooks.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

#include "base/child.h"
#include "base/clock.h"
#include "base/fds.h"
#include "base/text.h"
#include "container/oci/hook_child.h"

#define TAIL_BYTES      4096 /* of its output */
#define SHOWN_BYTES     200
#define TIMEOUT_MAX_S   1000000000
#define READS_PER_ROUND 16

struct hooks {
    struct hooks_options o;
    size_t next; /* in the list */
    /* Of a hook that runs its timeout; otherwise what starts the next one. */
    struct loop_timer *timer;
    /* The hook that runs; pid 0: none. */
    pid_t pid;
    int output, report; /* -EBADF without it */
    struct loop_child *child;
    struct loop_watch *output_watch;
    char tail[TAIL_BYTES];
    size_t tail_len;
    bool is_late, is_cancelled, has_failed;
    struct err first; /* of the failures */
};

/* Leaves it all to whoever reaps. */
static void running_drop(struct hooks *h)
{
    loop_child_free(take_ptr(h->child));
    loop_watch_free(take_ptr(h->output_watch));
    close_cleanup_(&h->output);
    close_cleanup_(&h->report);
    h->output = h->report = -EBADF;
    h->pid = 0;
}

static void hooks_free(struct hooks *h)
{
    running_drop(h);
    loop_timer_free(h->timer);
    free(h);
}

static void finish(struct hooks *h)
{
    struct hooks_options o = h->o;
    struct err first = h->first;
    bool has_failed = h->has_failed;

    hooks_free(h);
    o.done(o.ctx, has_failed ? &first : NULL);
}

/* After a hook has ended, or could not begin. */
static void proceed(struct hooks *h, const struct err *e)
{
    running_drop(h);
    if (e && !h->has_failed) {
        h->has_failed = true;
        h->first = *e;
    }
    if (h->next == h->o.list->n || (e && !h->o.goes_on))
        finish(h);
    else
        loop_timer_set(h->timer, 0);
}

/* ---- Output ---- */

static void tail_add(struct hooks *h, const char *data, size_t len)
{
    size_t dropped;

    if (len > TAIL_BYTES) {
        data += len - TAIL_BYTES;
        len = TAIL_BYTES;
    }
    dropped = h->tail_len + len > TAIL_BYTES ? h->tail_len + len - TAIL_BYTES : 0;
    memmove(h->tail, h->tail + dropped, h->tail_len - dropped);
    h->tail_len -= dropped;
    memcpy(h->tail + h->tail_len, data, len);
    h->tail_len += len;
}

/* What is there, but not for ever what an endless writer adds. */
static void output_read(struct hooks *h)
{
    char data[TAIL_BYTES];

    for (int i = 0; i < READS_PER_ROUND && h->output >= 0; i++) {
        ssize_t n = read(h->output, data, sizeof(data));

        if (n > 0)
            tail_add(h, data, (size_t)n);
        else if (n < 0 && errno == EINTR)
            continue;
        else if (n < 0 && errno == EAGAIN)
            return;
        else {
            loop_watch_free(take_ptr(h->output_watch));
            close(take_fd(&h->output));
        }
    }
}

static void output_ready(void *ctx, unsigned events)
{
    (void)events;
    output_read(ctx);
}

/* ": <the last line that is not empty>", or nothing. */
static void last_line_add(const struct hooks *h, struct buf *out)
{
    size_t end = h->tail_len, begin;
    autobuf line = BUF_INIT;

    while (end && strchr(" \t\r\n", h->tail[end - 1]))
        end--;
    for (begin = end; begin && h->tail[begin - 1] != '\n'; begin--)
        ;
    if (begin == end)
        return;
    if (end - begin > SHOWN_BYTES)
        end = begin + SHOWN_BYTES;
    text_lossy_add((struct text){h->tail + begin, end - begin}, &line);
    text_mute(line.data, line.len, false);
    buf_addf(out, ": %s", buf_str(&line));
}

/* ---- End ---- */

static int failed(const struct hooks *h, struct err *e, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static int failed(const struct hooks *h, struct err *e, const char *fmt, ...)
{
    const struct oci_hook *hook = &h->o.list->v[h->next - 1];
    autobuf why = BUF_INIT;
    va_list ap;

    va_start(ap, fmt);
    buf_vaddf(&why, fmt, ap);
    va_end(ap);
    return err_set(e, -EIO, "HookFailed", "the %s hook %zu, '%.100s', %s", h->o.moment, h->next,
                   hook->path, buf_str(&why));
}

/* What the child says when it did not get as far as the program. */
static bool has_report(const struct hooks *h, struct hook_report *ret)
{
    return read(h->report, ret, sizeof(*ret)) == (ssize_t)sizeof(*ret);
}

static int ended(struct hooks *h, int status, struct err *e)
{
    const struct oci_hook *hook = &h->o.list->v[h->next - 1];
    struct hook_report report;
    autobuf said = BUF_INIT;

    if (has_report(h, &report))
        return failed(h, e, "could not be started: %s: %s", hook_step_text(report.step),
                      err_text(report.code) ? err_text(report.code) : "unknown error");
    last_line_add(h, &said);
    if (h->is_late)
        return failed(h, e, "took longer than its timeout of %lld s and was killed%s",
                      (long long)hook->timeout_s, buf_str(&said));
    if (WIFSIGNALED(status))
        return failed(h, e, "was ended by signal %d%s", WTERMSIG(status), buf_str(&said));
    if (WEXITSTATUS(status))
        return failed(h, e, "ended with status %d%s", WEXITSTATUS(status), buf_str(&said));
    return 0;
}

static void end_told(void *ctx, int status)
{
    struct hooks *h = ctx;
    struct err e = ERR_INIT;

    if (h->is_cancelled) {
        hooks_free(h);
        return;
    }
    loop_timer_clear(h->timer);
    output_read(h);
    proceed(h, ended(h, status, &e) < 0 ? &e : NULL);
}

/* ---- Start ---- */

/* Its group is there when it has become the leader; until then it has no children. */
static void running_kill(const struct hooks *h)
{
    kill(-h->pid, SIGKILL);
    kill(h->pid, SIGKILL);
}

static int running_watch(struct hooks *h, struct err *e)
{
    TRY(loop_watch_new(h->o.loop, h->output, output_ready, h, &h->output_watch, e));
    /* Last: a child that the loop has is nobody else's to wait for. */
    TRY(loop_child_adopt(h->o.loop, h->pid, end_told, h, &h->child, e));
    loop_watch_set(h->output_watch, LOOP_READABLE);
    return 0;
}

/* A pipe beyond the standard descriptors, whose reading end does not block. */
static int pipe_make(int ret[static 2], struct err *e)
{
    autofd from = -EBADF, to = -EBADF;
    int fds[2];

    if (pipe2(fds, O_CLOEXEC) < 0)
        return err_errno(e, -errno, "HookFailed", "cannot make a pipe");
    from = fds[0];
    to = fds[1];
    TRY(fd_move_above(&from, STDERR_FILENO + 1, e));
    TRY(fd_move_above(&to, STDERR_FILENO + 1, e));
    if (fd_nonblock_set(from) < 0)
        return err_set(e, -EIO, "HookFailed", "cannot read from a pipe without waiting");
    ret[0] = take_fd(&from);
    ret[1] = take_fd(&to);
    return 0;
}

static int start(struct hooks *h, struct err *e)
{
    const struct oci_hook *hook = &h->o.list->v[h->next - 1];
    const char *const alone[] = {hook->path, NULL};
    autofd input = -EBADF, output = -EBADF, report = -EBADF;
    struct hook_child child = {
        .path = hook->path,
        .argv = hook->args.n ? strv_array(&hook->args) : alone,
        .env = strv_array(&hook->env),
        .cwd = h->o.cwd,
        .ns_fds = h->o.ns_fds,
        .n_ns_fds = h->o.n_ns_fds,
        .enter = h->o.enter,
        .enter_ctx = h->o.enter_ctx,
    };
    int fds[2];
    int r;

    TRY(memfd_from("hook-state", h->o.state, strlen(h->o.state), &input, e));
    TRY(fd_move_above(&input, STDERR_FILENO + 1, e));
    TRY(pipe_make(fds, e));
    h->output = fds[0];
    output = fds[1];
    TRY(pipe_make(fds, e));
    h->report = fds[0];
    report = fds[1];
    child.input = input;
    child.output = output;
    child.report = report;
    r = hook_child_start(&child, &h->pid);
    if (r < 0)
        return err_errno(e, r, "HookFailed", "cannot start a process");
    r = running_watch(h, e);
    if (r < 0) {
        /* Nobody would learn of its end, so it must not run. */
        running_kill(h);
        child_wait(h->pid, NULL);
    }
    return r;
}

static void next_start(struct hooks *h)
{
    int64_t timeout_s = h->o.list->v[h->next++].timeout_s;
    struct err inner = ERR_INIT, e = ERR_INIT;

    h->tail_len = 0;
    h->is_late = false;
    if (start(h, &inner) < 0) {
        failed(h, &e, "could not be started: %s", inner.msg);
        proceed(h, &e);
        return;
    }
    if (timeout_s > TIMEOUT_MAX_S)
        timeout_s = TIMEOUT_MAX_S;
    if (timeout_s)
        loop_timer_set(h->timer, clock_monotonic_ns() + (uint64_t)timeout_s * 1000000000);
}

static void timer_fired(void *ctx)
{
    struct hooks *h = ctx;

    if (h->pid) {
        h->is_late = true;
        running_kill(h);
    } else if (h->next == h->o.list->n) {
        finish(h);
    } else {
        next_start(h);
    }
}

struct hooks *hooks_run(const struct hooks_options *o)
{
    struct hooks *h = xcalloc(1, sizeof(*h));

    *h = (struct hooks){.o = *o, .output = -EBADF, .report = -EBADF};
    h->timer = loop_timer_new(o->loop, timer_fired, h);
    loop_timer_set(h->timer, 0);
    return h;
}

void hooks_cancel(struct hooks *h)
{
    if (!h->pid) {
        hooks_free(h);
        return;
    }
    h->is_cancelled = true;
    loop_timer_free(take_ptr(h->timer));
    running_kill(h);
}
