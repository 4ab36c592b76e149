/* SPDX-License-Identifier: Apache-2.0 */
/* Probes and hooks. */
#include "manifest/pod_parts.h"

#define SECOND_MS 1000

static int port_decode(struct decode *d, const char *at, const char *json,
                       const struct pod_container *c, int64_t *ret)
{
    const struct pod_port *port;
    char *end;
    const char *name;

    if (*json != '"') {
        *ret = strtoll(json, &end, 10);
        if (*end || *ret < 1 || *ret > 65535)
            return decode_bad(d, -ERANGE, at, "%.40s is no port; write 1 to 65535 or a port's name",
                              json);
        return 0;
    }
    /* No escape is part of a name. */
    name = arena_strndup(d->scratch, json + 1, strlen(json) - 2);
    port = pod_port_find(c, name);
    if (!port)
        return decode_bad(d, -EINVAL, at,
                          "the container '%.63s' has no port of the name '%.40s'; name one in its "
                          "ports, or write a number without quotes",
                          c->name, name);
    *ret = port->port;
    return 0;
}

static int http_decode(struct decode *d, const char *at, const struct raw_http *raw,
                       struct pod_spec *s, const struct pod_container *c, struct pod_action *a)
{
    static const char *const schemes[] = {"HTTP", "HTTPS", NULL};
    int scheme;

    a->kind = POD_ACTION_HTTP;
    TRY(port_decode(d, decode_path(d, "%s.port", at), raw->port, c, &a->port));
    TRY(decode_word(d, decode_path(d, "%s.scheme", at), raw->scheme, schemes, 0, &scheme));
    a->is_https = scheme == 1;
    /* A slash is put before a path without one, as a kubelet does. */
    a->path = arena_printf(s->arena, "%s%s", raw->path && *raw->path == '/' ? "" : "/",
                           raw->path ? raw->path : "");
    for (const char *p = a->path; *p; p++)
        if (*p <= ' ' || *p > '~')
            return decode_bad(
                d, -EINVAL, decode_path(d, "%s.path", at),
                "there are blanks or other than ASCII characters; encode them with %%");
    a->host = arena_strdup(s->arena, raw->host && *raw->host ? raw->host : NULL);
    a->headers.n = raw->n_headers;
    a->headers.v = arena_array(s->arena, raw->n_headers, sizeof(*a->headers.v));
    for (size_t i = 0; i < raw->n_headers; i++) {
        const struct raw_header *h = &raw->headers[i];

        if (!*h->name || strpbrk(h->name, " \t\r\n:") || strpbrk(h->value, "\r\n"))
            return decode_bad(d, -EINVAL, decode_path(d, "%s.httpHeaders[%zu]", at, i),
                              "'%.60s' is no header of HTTP, or its value has several lines",
                              h->name);
        a->headers.v[i] =
            (struct pod_pair){arena_strdup(s->arena, h->name), arena_strdup(s->arena, h->value)};
    }
    return 0;
}

/* The one that is there; `kinds` names those that may be. */
static int action_decode(struct decode *d, const char *at, const struct raw_action *raw,
                         const char *kinds, struct pod_spec *s, const struct pod_container *c,
                         struct pod_action *a)
{
    int n = raw->has_http + raw->has_tcp + raw->has_grpc + raw->has_exec + raw->has_sleep;

    if (n != 1)
        return decode_bad(d, -EINVAL, at, "%s: one of %s",
                          n ? "says several things" : "says nothing to do", kinds);
    if (raw->has_http)
        return http_decode(d, decode_path(d, "%s.httpGet", at), &raw->http, s, c, a);
    if (raw->has_tcp) {
        a->kind = POD_ACTION_TCP;
        a->host = arena_strdup(s->arena, raw->tcp.host && *raw->tcp.host ? raw->tcp.host : NULL);
        return port_decode(d, decode_path(d, "%s.tcpSocket.port", at), raw->tcp.port, c, &a->port);
    }
    if (raw->has_grpc) {
        a->kind = POD_ACTION_GRPC;
        a->port = raw->grpc.port;
        a->service = arena_strdup(s->arena, raw->grpc.service ? raw->grpc.service : "");
        return 0;
    }
    if (raw->has_sleep) {
        a->kind = POD_ACTION_SLEEP;
        a->sleep_ms = raw->sleep.seconds * SECOND_MS;
        return 0;
    }
    a->kind = POD_ACTION_EXEC;
    decode_words(s->arena, &raw->exec.command, &a->command);
    if (!a->command.n)
        return decode_bad(d, -EINVAL, decode_path(d, "%s.exec.command", at), "is missing");
    return 0;
}

/* 0 is what nobody said. */
static int64_t or_default(int64_t value, int64_t otherwise)
{
    return value ? value : otherwise;
}

static int probe_decode(struct decode *d, const char *at, const struct raw_probe *raw,
                        bool is_readiness, struct pod_spec *s, const struct pod_container *c,
                        struct pod_probe **ret)
{
    struct pod_probe *p = arena_alloc(s->arena, sizeof(*p));

    TRY(action_decode(d, at, &raw->action, "httpGet, tcpSocket, grpc and exec was expected", s, c,
                      &p->action));
    p->initial_delay_ms = raw->initial_delay * SECOND_MS;
    p->period_ms = or_default(raw->period, 10) * SECOND_MS;
    p->timeout_ms = or_default(raw->timeout, 1) * SECOND_MS;
    p->success_threshold = or_default(raw->success, 1);
    p->failure_threshold = or_default(raw->failure, 3);
    p->grace_ms = raw->has_grace ? raw->grace * SECOND_MS : -1;
    if (!is_readiness && p->success_threshold != 1)
        return decode_bad(d, -EINVAL, decode_path(d, "%s.successThreshold", at),
                          "has to be 1 here; only a readinessProbe may have more");
    if (is_readiness && raw->has_grace)
        return decode_bad(d, -EINVAL, decode_path(d, "%s.terminationGracePeriodSeconds", at),
                          "means nothing here: a readinessProbe stops no container");
    *ret = p;
    return 0;
}

static int hook_decode(struct decode *d, const char *at, const struct raw_action *raw,
                       struct pod_spec *s, const struct pod_container *c, struct pod_action **ret)
{
    struct pod_action *a = arena_alloc(s->arena, sizeof(*a));

    TRY(action_decode(d, at, raw, "httpGet, tcpSocket, exec and sleep was expected", s, c, a));
    *ret = a;
    return 0;
}

int pod_actions_decode(struct decode *d, const char *at, const struct raw_container *raw,
                       struct pod_spec *s, struct pod_container *c)
{
    const struct raw_lifecycle *l = &raw->lifecycle;
    bool has_any = raw->has_startup || raw->has_liveness || raw->has_readiness ||
                   l->has_post_start || l->has_pre_stop;

    if (has_any && c->role == POD_ROLE_INIT)
        return decode_bad(d, -EINVAL, at,
                          "an init container has neither probes nor lifecycle; with restartPolicy: "
                          "Always it is a sidecar, which may");
    if (raw->has_startup)
        TRY(probe_decode(d, decode_path(d, "%s.startupProbe", at), &raw->startup, false, s, c,
                         &c->startup));
    if (raw->has_liveness)
        TRY(probe_decode(d, decode_path(d, "%s.livenessProbe", at), &raw->liveness, false, s, c,
                         &c->liveness));
    if (raw->has_readiness)
        TRY(probe_decode(d, decode_path(d, "%s.readinessProbe", at), &raw->readiness, true, s, c,
                         &c->readiness));
    if (l->has_post_start)
        TRY(hook_decode(d, decode_path(d, "%s.lifecycle.postStart", at), &l->post_start, s, c,
                        &c->post_start));
    if (l->has_pre_stop)
        TRY(hook_decode(d, decode_path(d, "%s.lifecycle.preStop", at), &l->pre_stop, s, c,
                        &c->pre_stop));
    return 0;
}
