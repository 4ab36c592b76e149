/* SPDX-License-Identifier: Apache-2.0 */
#include "toolbox/net.h"
#include "toolbox/toolbox.h"

#define BLOCK_BYTES 16384
#define USAGE       "usage: nc [-z] [-v] [-w SECONDS] HOST PORT"

/* Input to the connection, and back, until the other side has closed. */
struct relay {
    struct job *j;
    struct net_connection c;
    uint64_t timeout_ns; /* of silence; 0: none */
    wasi_handle input, input_ready;
    struct buf unsent;
    bool has_ended;    /* the input */
    bool is_finishing; /* what was written is on its way, then this side closes */
    bool is_received;  /* all of it */
    int status;
};

static void sending_fail(struct relay *r)
{
    r->status = job_error(r->j, "the other side takes no more");
    r->has_ended = true;
    r->is_finishing = false;
    buf_clear(&r->unsent);
}

static void input_take(struct relay *r)
{
    ssize_t n = stream_read(r->j->in, buf_reserve(&r->unsent, BLOCK_BYTES), BLOCK_BYTES);

    if (n > 0) {
        r->unsent.len = (size_t)n;
        buf_terminate(&r->unsent);
        return;
    }
    if (n < 0)
        r->status = job_error(r->j, "standard input: %s", errno_text((int)-n));
    r->has_ended = r->is_finishing = true;
}

/* The connection takes more: there is something, or, when all before is on its way, its end. */
static void send_some(struct relay *r)
{
    struct wasi_done done;
    ssize_t n;

    if (r->unsent.len > 0) {
        n = net_send(&r->c, r->unsent.data, r->unsent.len);
        if (n < 0)
            sending_fail(r);
        else
            buf_consume(&r->unsent, (size_t)n);
    } else if (net_has_sent(&r->c)) {
        wasi_tcp_shutdown(r->c.socket, WASI_SHUTDOWN_SEND, &done);
        r->is_finishing = false;
    }
}

static void receive(struct relay *r)
{
    autobuf got = BUF_INIT;
    ssize_t n = net_take(&r->c, &got);

    if (n == -EAGAIN)
        return;
    if (n < 0)
        r->status = job_error(r->j, "the connection broke");
    r->is_received = n <= 0;
    if (n > 0 && (stream_write(r->j->out, got.data, got.len) < 0 || stream_flush(r->j->out) < 0)) {
        r->is_received = true;
        r->status = 1;
    }
}

static void relay_run(struct relay *r)
{
    while (!r->is_received) {
        wasi_handle waits[2] = {r->c.input_ready};
        bool ready[2];
        size_t n = 1;
        bool is_sending;

        if (!r->has_ended && r->unsent.len == 0 && !stream_may_wait(r->j->in))
            input_take(r);
        is_sending = r->unsent.len > 0 || r->is_finishing;
        if (is_sending)
            waits[n++] = r->c.output_ready;
        else if (!r->has_ended)
            waits[n++] = r->input_ready;
        if (!net_wait(waits, n, r->timeout_ns, ready))
            return;
        if (ready[0])
            receive(r);
        if (n < 2 || !ready[1])
            continue;
        if (is_sending)
            send_some(r);
        else
            input_take(r);
    }
}

static int relay(struct job *j, const struct net_connection *c, uint64_t timeout_ns)
{
    struct relay r = {.j = j, .c = *c, .timeout_ns = timeout_ns};

    r.input = wasi_stdin();
    r.input_ready = wasi_input_subscribe(r.input);
    relay_run(&r);
    wasi_pollable_drop(r.input_ready);
    wasi_input_drop(r.input);
    buf_done(&r.unsent);
    return r.status;
}

int tool_nc(struct job *j)
{
    struct opts o = OPTS(j, "zvNw:");
    bool is_check = false, is_verbose = false;
    long long seconds = 0, port;
    struct net_connection c;
    uint64_t timeout_ns;
    const char *why = NULL;
    int status = 0, letter;

    while ((letter = opts_next(&o)) > 0) {
        if (letter == '?')
            return job_error(j, USAGE);
        if (letter == 'z')
            is_check = true;
        else if (letter == 'v')
            is_verbose = true;
        else if (letter == 'w' && (!number_parse(o.value, 1000000000, &seconds) || !seconds))
            return job_error(j, "-w takes a number of seconds, 1 or more, not '%s'", o.value);
    }
    if (j->argc - o.next != 2)
        return job_error(j, USAGE);
    if (!number_parse(j->argv[o.next + 1], 65535, &port) || !port)
        return job_error(j, "'%s' is no port, which is 1 to 65535", j->argv[o.next + 1]);
    timeout_ns = (uint64_t)seconds * 1000000000;
    if (!net_connect(j->argv[o.next], (uint16_t)port, timeout_ns, &c, &why))
        return job_error(j, "cannot connect to %s port %lld: %s", j->argv[o.next], port, why);
    if (is_verbose)
        job_error(j, "connected to %s port %lld", j->argv[o.next], port);
    if (!is_check)
        status = relay(j, &c, timeout_ns);
    net_close(&c);
    return status;
}
