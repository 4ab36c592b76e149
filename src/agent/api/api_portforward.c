/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <sys/socket.h>

#include "agent/api/api_session.h"

/* Channels 2i and 2i+1 are the i-th port's. */
struct forward {
    struct session session; /* first */
    uint16_t ports[API_FORWARD_PORTS_LIMIT];
    size_t n_ports;
    struct lane lanes[API_FORWARD_PORTS_LIMIT];
    bool is_out_over[API_FORWARD_PORTS_LIMIT]; /* the client says no more to it */
    size_t n_over;
};

static void forward_destroy(struct session *s)
{
    free(s);
}

static size_t index_of(const struct forward *f, const struct lane *l)
{
    return (size_t)(l - f->lanes);
}

static void port_over(struct forward *f, size_t i)
{
    lane_close(&f->lanes[i]);
    if (++f->n_over == f->n_ports)
        session_finish(&f->session);
}

static void port_fail(struct forward *f, size_t i, int code)
{
    const struct pod_spec *spec = pod_spec_of(f->session.pod);
    autofree char *text =
        xasprintf("pod '%s': the connection to its port %u failed: %s", spec->name, f->ports[i],
                  err_text(-code) ? err_text(-code) : "unknown error");

    session_send(&f->session, (uint8_t)(2 * i + 1), text, strlen(text));
    port_over(f, i);
}

static void over_if_both(struct forward *f, size_t i)
{
    struct lane *l = &f->lanes[i];

    if (l->stream && l->is_in_over && f->is_out_over[i] && !l->is_waiting)
        port_over(f, i);
}

static void forward_lane_over(struct session *s, struct lane *l, const struct err *e)
{
    struct forward *f = (struct forward *)s;
    size_t i = index_of(f, l);

    if (e->code) {
        port_fail(f, i, e->code);
        return;
    }
    if (s->can_close)
        session_send(s, CHANNEL_CLOSE, &l->channel, 1);
    else
        f->is_out_over[i] = true; /* there is no other way to say that it is over */
    over_if_both(f, i);
}

static void forward_lane_drained(struct session *s, struct lane *l)
{
    struct forward *f = (struct forward *)s;

    over_if_both(f, index_of(f, l));
}

static void forward_message(struct session *s, const struct channel_message *m)
{
    struct forward *f = (struct forward *)s;
    size_t i = m->channel / 2;

    if (m->channel % 2 || i >= f->n_ports)
        return;
    if (!m->is_close) {
        lane_write(&f->lanes[i], m->data);
        return;
    }
    f->is_out_over[i] = true;
    lane_shut(&f->lanes[i]);
    over_if_both(f, i);
}

/* The socket connects while the lane has it already: nothing can be read or written until then, and
 * that it fails is told as the end. */
static int port_open(struct forward *f, size_t i)
{
    const struct sockaddr_in to = {.sin_family = AF_INET,
                                   .sin_port = htons(f->ports[i]),
                                   .sin_addr = {htonl(INADDR_LOOPBACK)}};
    autofd fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct err e = ERR_INIT;

    if (fd < 0 ||
        (connect(fd, (const struct sockaddr *)&to, sizeof(to)) < 0 && errno != EINPROGRESS))
        return -errno;
    return lane_open(&f->lanes[i], take_fd(&fd), &e);
}

static void forward_opened(struct session *s)
{
    struct forward *f = (struct forward *)s;

    for (size_t i = 0; i < f->n_ports; i++) {
        const uint8_t head[] = {f->ports[i] & 0xff, f->ports[i] >> 8};

        session_send(s, (uint8_t)(2 * i), head, sizeof(head));
        session_send(s, (uint8_t)(2 * i + 1), head, sizeof(head));
    }
    for (size_t i = 0; i < f->n_ports; i++) {
        int r = port_open(f, i);

        if (r < 0)
            port_fail(f, i, r);
    }
}

struct ports {
    struct forward *f;
    struct err *e;
};

static void ports_add(void *ctx, const char *value)
{
    struct ports *p = ctx;

    if (!p->e->code)
        channel_ports_parse(value, p->f->ports, API_FORWARD_PORTS_LIMIT, &p->f->n_ports, p->e);
}

/* A failure is answered. */
static int request_read(struct forward *f, struct http_exchange *x, struct err *e)
{
    const struct pod_spec *spec = pod_spec_of(f->session.pod);
    enum pod_phase phase = pod_machine_phase(pod_machine_of(f->session.pod));
    struct ports ports = {f, e};

    http_exchange_query_each(x, "ports", ports_add, &ports);
    if (!e->code && !f->n_ports)
        err_set(e, -EINVAL, "BadRequest", "a port is missing: ports=8080");
    if (e->code)
        return session_refuse(x, 400, e);
    if (phase == POD_IS_RUNNING)
        return 0;
    err_set(e, -EBUSY, "Conflict", "pod '%s' is not running but %s, so it has no ports", spec->name,
            pod_phase_name(phase));
    return session_refuse(x, 409, e);
}

int api_portforward_begin(struct api_streams *set, struct pod *p, struct http_exchange *x,
                          struct err *e)
{
    static const struct session_kind kind = {
        .protocols = channel_forward_protocols,
        .opened = forward_opened,
        .message = forward_message,
        .lane_over = forward_lane_over,
        .lane_drained = forward_lane_drained,
        .destroy = forward_destroy,
    };
    struct forward *f = xcalloc(1, sizeof(*f));
    int r;

    f->session = (struct session){.kind = &kind, .pod = p, .lanes = f->lanes};
    *e = ERR_INIT;
    r = request_read(f, x, e);
    if (r < 0) {
        free(f);
        return r;
    }
    f->session.n_lanes = f->n_ports;
    for (size_t i = 0; i < f->n_ports; i++)
        f->lanes[i] = (struct lane){.session = &f->session, .channel = (uint8_t)(2 * i)};
    return session_begin(set, &f->session, x, e);
}
