/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/api_exec.h"

#include <fcntl.h>

#include "agent/api/api_session.h"
#include "agent/api/terminal.h"
#include "base/paths.h"

/* What may be typed, beyond what the kernel keeps (4 KiB), to a guest that does not read. Then the
 * client waits, and cannot interrupt it any more. */
#define TYPED_AHEAD_LIMIT 65536u

enum { LANE_STDIN = CHANNEL_STDIN, LANE_STDOUT = CHANNEL_STDOUT, LANE_STDERR = CHANNEL_STDERR };

struct exec {
    struct session session; /* first */
    struct lane lanes[3];   /* by the channel */
    bool is_asked[3];       /* for that lane */
    bool is_tty;            /* the lane of stdout is the terminal, for both directions */
    bool is_interrupted;    /* by what was typed */
    int master;             /* the lane's, while it has a stream */
    size_t n_typed;         /* since nothing waited: what waits at most */
    struct channel_size size;
    char *container, *program;
    struct strv command;
    struct pod_exec *guest; /* NULL: not started */
    bool is_ended;          /* `status` is known */
    struct channel_status status;
};

static void exec_destroy(struct session *s)
{
    struct exec *x = (struct exec *)s;

    if (x->guest)
        pod_exec_free(x->guest);
    free(x->container);
    free(x->program);
    strv_done(&x->command);
    channel_status_done(&x->status);
    free(x);
}

/* ---- The end: when it is known how, and all output has been read ---- */

static void end_if_complete(struct exec *x)
{
    autobuf status = BUF_INIT;

    if (!x->is_ended || x->lanes[LANE_STDOUT].stream || x->lanes[LANE_STDERR].stream ||
        x->session.is_finishing)
        return;
    channel_status_add(&x->status, &status);
    session_send(&x->session, CHANNEL_STATUS, status.data, status.len);
    session_finish(&x->session);
}

static void on_guest_ended(void *ctx, const struct guest_status *g)
{
    struct exec *x = ctx;
    bool is_plain = str_eq(g->reason, "Completed") || str_eq(g->reason, "Error");

    if (x->is_ended)
        return;
    x->is_ended = true;
    if (x->is_interrupted && !g->is_guest_exit) {
        x->status = (struct channel_status){.is_exit = true, .exit_code = GUEST_EXIT_SIGINT};
        end_if_complete(x);
        return;
    }
    x->status.is_exit = g->started_at || g->is_guest_exit;
    x->status.exit_code = g->exit_code;
    if (!is_plain || !x->status.is_exit) {
        x->status.reason = xstrdup(g->reason);
        x->status.message = xstrdup(g->message ? g->message : g->reason);
    }
    end_if_complete(x);
}

static void exec_lane_over(struct session *s, struct lane *l, const struct err *e)
{
    (void)e;
    lane_close(l);
    end_if_complete((struct exec *)s);
}

/* ---- The beginning ---- */

/* A pipe with our end in the lane and the guest's in *ret; -1 for a lane that nobody asked for. */
static int lane_make(struct exec *x, size_t i, int *ret, struct err *e)
{
    int ours = i == LANE_STDIN ? 1 : 0, fds[2];
    autofd guests = -EBADF;

    *ret = -1;
    if (!x->is_asked[i])
        return 0;
    if (pipe2(fds, O_CLOEXEC) < 0)
        return err_errno(e, -errno, "StartFailed", "cannot make a pipe for the command");
    guests = fds[!ours];
    TRY(lane_open(&x->lanes[i], fds[ours], e));
    *ret = take_fd(&guests);
    return 0;
}

static int streams_make(struct exec *x, int ret[3], struct err *e)
{
    if (!x->is_tty) {
        for (size_t i = 0; i < ARRAY_SIZE(x->lanes); i++)
            TRY(lane_make(x, i, &ret[i], e));
        return 0;
    }
    TRY(terminal_open(x->size, &x->master, ret, e));
    return lane_open(&x->lanes[LANE_STDOUT], x->master, e);
}

/* What a program on a terminal looks for. The type is the one that docker says. */
static void terminal_env(const struct exec *x, struct strv *env)
{
    if (!x->is_tty)
        return;
    strv_add(env, "TERM=xterm");
    if (!x->size.width)
        return;
    strv_add_owned(env, xasprintf("COLUMNS=%u", x->size.width));
    strv_add_owned(env, xasprintf("LINES=%u", x->size.height));
}

static int guest_start(struct exec *x, struct err *e)
{
    int fds[3] = {-1, -1, -1}, r;
    autostrv env = STRV_INIT;
    struct pod_exec_options o = {
        .container = x->container,
        .program = x->program,
        .args = strv_array(&x->command),
        .ended = on_guest_ended,
        .ctx = x,
    };

    terminal_env(x, &env);
    o.env = strv_array(&env);
    r = streams_make(x, fds, e);
    if (r < 0) {
        for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
            close_cleanup_(&fds[i]);
        return r;
    }
    o.stdin_fd = fds[LANE_STDIN];
    o.stdout_fd = fds[LANE_STDOUT];
    o.stderr_fd = fds[LANE_STDERR];
    return pod_exec_start(x->session.pod, &o, &x->guest, e);
}

static void exec_opened(struct session *s)
{
    struct exec *x = (struct exec *)s;
    struct err e = ERR_INIT;

    /* As a kubelet does: an empty message says that it has begun. */
    session_send(s, x->is_asked[LANE_STDOUT] ? CHANNEL_STDOUT : CHANNEL_STATUS, "", 0);
    if (guest_start(x, &e) >= 0)
        return;
    for (size_t i = 0; i < ARRAY_SIZE(x->lanes); i++)
        lane_close(&x->lanes[i]);
    x->is_ended = true;
    x->status = (struct channel_status){.reason = xstrdup(e.reason), .message = xstrdup(e.msg)};
    end_if_complete(x);
}

static void terminal_type(struct exec *x, struct text data)
{
    struct lane *l = &x->lanes[LANE_STDOUT];

    x->n_typed = l->is_waiting ? x->n_typed + data.len : data.len;
    lane_write(l, data);
    /* An interrupt comes behind what waits, and has to be seen. */
    if (l->is_waiting && x->n_typed < TYPED_AHEAD_LIMIT)
        websocket_resume(x->session.websocket);
    if (x->guest && terminal_interrupts(x->master, data)) {
        x->is_interrupted = true;
        pod_exec_stop(x->guest);
    }
}

static void terminal_message(struct exec *x, const struct channel_message *m)
{
    struct lane *l = &x->lanes[LANE_STDOUT];
    struct channel_size size;
    struct err ignored = ERR_INIT;

    if (!l->stream)
        return; /* it is over */
    if (m->channel == CHANNEL_RESIZE && !m->is_close) {
        /* As a kubelet: what is no size changes none. */
        if (channel_size_parse(m->data, &size, &ignored) >= 0)
            terminal_resize(x->master, size);
    } else if (m->channel == CHANNEL_STDIN && x->is_asked[LANE_STDIN]) {
        terminal_type(x, m->is_close ? (struct text)TEXT(TERMINAL_END) : m->data);
    }
}

static void exec_message(struct session *s, const struct channel_message *m)
{
    struct exec *x = (struct exec *)s;

    if (x->is_tty)
        terminal_message(x, m);
    if (x->is_tty || m->channel != CHANNEL_STDIN)
        return;
    if (m->is_close)
        lane_shut(&x->lanes[LANE_STDIN]);
    else
        lane_write(&x->lanes[LANE_STDIN], m->data);
}

/* ---- The request ---- */

static bool is_true(const struct http_exchange *x, const char *key)
{
    const char *value = http_exchange_query(x, key);

    return value && (str_eq(value, "true") || str_eq(value, "1"));
}

static void command_add(void *ctx, const char *value)
{
    strv_add(ctx, value);
}

static int bad_request(struct http_exchange *x, struct err *e, const char *text)
{
    err_set(e, -EINVAL, "BadRequest", "%s", text);
    return session_refuse(x, 400, e);
}

/* What the query asks for, into `exec`; a failure is answered. */
static int request_read(struct exec *exec, const char *container, struct http_exchange *x,
                        struct err *e)
{
    static const char *const lanes[] = {"stdin", "stdout", "stderr"};
    const struct pod_spec *spec = pod_spec_of(exec->session.pod);
    const char *program = http_exchange_query(x, "program");
    const char *size = http_exchange_query(x, "size");

    for (size_t i = 0; i < ARRAY_SIZE(lanes); i++)
        exec->is_asked[i] = is_true(x, lanes[i]);
    http_exchange_query_each(x, "command", command_add, &exec->command);
    exec->is_tty = is_true(x, "tty");
    /* As a kubelet: a terminal has no stream of its own for errors, whoever asks for it. */
    if (exec->is_tty)
        exec->is_asked[LANE_STDERR] = false;
    if (!exec->is_asked[0] && !exec->is_asked[1] && !exec->is_asked[2])
        return bad_request(x, e, "ask for at least one of stdin, stdout and stderr");
    if (exec->is_tty)
        exec->is_asked[LANE_STDOUT] = true; /* what is typed is echoed, so somebody has to read */
    if (exec->is_tty && size && channel_size_parse(text_of(size), &exec->size, e) < 0)
        return session_refuse(x, 400, e);
    if (program && program[0] != '/')
        return bad_request(x, e, "program has to be an absolute path on the agent's machine");
    if (program && !exec->command.n)
        strv_add(&exec->command, path_base(program));
    if (!exec->command.n)
        return bad_request(x, e, "command is missing: command=ls&command=-l");
    if (http_exchange_query(x, "container"))
        container = http_exchange_query(x, "container");
    if (!container || !pod_container_find(spec, container)) {
        err_set(e, -ENOENT, "NotFound", "pod '%s' has no container '%s'", spec->name,
                container ? container : "");
        return session_refuse(x, 404, e);
    }
    exec->container = xstrdup(container);
    exec->program = program ? xstrdup(program) : NULL;
    return 0;
}

int api_exec_begin(struct api_streams *set, struct pod *p, const char *default_container,
                   struct http_exchange *x, struct err *e)
{
    static const struct session_kind kind = {
        .protocols = channel_exec_protocols,
        .opened = exec_opened,
        .message = exec_message,
        .lane_over = exec_lane_over,
        .destroy = exec_destroy,
    };
    struct exec *exec = xcalloc(1, sizeof(*exec));
    int r;

    exec->session = (struct session){
        .kind = &kind, .pod = p, .lanes = exec->lanes, .n_lanes = ARRAY_SIZE(exec->lanes)};
    for (size_t i = 0; i < ARRAY_SIZE(exec->lanes); i++)
        exec->lanes[i] = (struct lane){.session = &exec->session, .channel = (uint8_t)i};
    r = request_read(exec, default_container, x, e);
    if (r < 0) {
        exec_destroy(&exec->session);
        return r;
    }
    return session_begin(set, &exec->session, x, e);
}
