/* SPDX-License-Identifier: Apache-2.0 */
/* What containers use now: two measurements, of which the difference is told. */
#include <stdio.h>

#include "agent/api/api_parts.h"
#include "base/clock.h"

#define WINDOW_NS 500000000ull

struct sample {
    char *container;
    int64_t cpu_ns[2], memory_bytes; /* cpu -1: not measured */
    uint64_t at_ns[2];
};

struct top_pod {
    struct top *top;
    char *uid;
    bool is_asked; /* its answer comes yet */
    struct sample *samples;
    size_t n;
};

/* One request. */
struct top {
    struct top *next, *prev;
    struct api *api;
    struct http_exchange *x; /* NULL: the client has gone */
    struct top_pod *pods;
    size_t n, cap;
    size_t waiting; /* answers that come yet */
    int round;
    bool is_list;
    struct loop_timer *timer;
};

static void top_free(struct top *t)
{
    *(t->prev ? &t->prev->next : &t->api->tops) = t->next;
    if (t->next)
        t->next->prev = t->prev;
    for (size_t i = 0; i < t->n; i++) {
        for (size_t j = 0; j < t->pods[i].n; j++)
            free(t->pods[i].samples[j].container);
        free(t->pods[i].samples);
        free(t->pods[i].uid);
    }
    loop_timer_free(t->timer);
    free(t->pods);
    free(t);
}

static void on_closed(void *ctx)
{
    struct top *t = ctx;

    t->x = NULL;
    /* Between the rounds nobody else comes back to it. */
    if (loop_timer_is_set(t->timer))
        top_free(t);
}

/* ---- The answer: metrics.k8s.io/v1beta1 ---- */

static void usage_write(const struct sample *s, struct json_writer *w)
{
    uint64_t window = s->at_ns[1] - s->at_ns[0];
    char text[32];

    json_begin_object(w);
    json_key_str(w, "name", s->container);
    json_key(w, "usage");
    json_begin_object(w);
    snprintf(text, sizeof(text), "%lldn",
             window ? (long long)((double)(s->cpu_ns[1] - s->cpu_ns[0]) * 1e9 / (double)window)
                    : 0);
    json_key_str(w, "cpu", text);
    snprintf(text, sizeof(text), "%lldKi", (long long)((s->memory_bytes + 1023) / 1024));
    json_key_str(w, "memory", text);
    json_end_object(w);
    json_end_object(w);
}

static void pod_write(const struct top_pod *t, const struct pod_spec *s, struct json_writer *w)
{
    char now[CLOCK_RFC3339_SIZE];

    clock_rfc3339_format((int64_t)clock_realtime_ns(), now);
    json_begin_object(w);
    json_key_str(w, "kind", "PodMetrics");
    json_key_str(w, "apiVersion", "metrics.k8s.io/v1beta1");
    json_key(w, "metadata");
    json_begin_object(w);
    json_key_str(w, "name", s->name);
    json_key_str(w, "namespace", s->space);
    json_key_str(w, "creationTimestamp", now);
    json_end_object(w);
    json_key_str(w, "timestamp", now);
    json_key_str(w, "window", "500ms");
    json_key(w, "containers");
    json_begin_array(w);
    for (size_t i = 0; i < t->n; i++)
        if (t->samples[i].cpu_ns[0] >= 0 && t->samples[i].cpu_ns[1] >= t->samples[i].cpu_ns[0])
            usage_write(&t->samples[i], w);
    json_end_array(w);
    json_end_object(w);
}

static void top_answer(struct top *t)
{
    struct api_call c = {.api = t->api, .x = t->x};
    autobuf body = BUF_INIT;
    struct json_writer w;

    json_writer_init(&w, &body, false);
    if (t->is_list) {
        json_begin_object(&w);
        json_key_str(&w, "kind", "PodMetricsList");
        json_key_str(&w, "apiVersion", "metrics.k8s.io/v1beta1");
        json_key(&w, "metadata");
        json_begin_object(&w);
        json_end_object(&w);
        json_key(&w, "items");
        json_begin_array(&w);
    }
    for (size_t i = 0; i < t->n; i++) {
        const struct pod *p = workloads_pod_of_uid(t->api->workloads, t->pods[i].uid);

        if (p)
            pod_write(&t->pods[i], pod_spec_of(p), &w);
    }
    if (t->is_list) {
        json_end_array(&w);
        json_end_object(&w);
    }
    if (body.len)
        api_answer(&c, 200, API_JSON, body.data, body.len);
    else
        api_answer_fail(&c, "NotFound", "the pod has gone meanwhile");
}

/* ---- Measuring ---- */

static struct sample *sample_of(struct top_pod *t, const char *container)
{
    struct sample *s;

    for (size_t i = 0; i < t->n; i++)
        if (str_eq(t->samples[i].container, container))
            return &t->samples[i];
    t->samples = xrealloc(t->samples, t->n + 1, sizeof(*t->samples));
    s = &t->samples[t->n++];
    *s = (struct sample){
        .container = xstrdup(container), .cpu_ns = {-1, -1}
    };
    return s;
}

static void round_end(struct top *t)
{
    if (--t->waiting)
        return;
    if (t->x && t->round == 0) {
        t->round = 1;
        loop_timer_set(t->timer, clock_monotonic_ns() + WINDOW_NS);
        return;
    }
    if (t->x)
        top_answer(t);
    top_free(t);
}

static void on_measured(void *ctx, const char *container, const struct message_figures *f)
{
    struct top_pod *p = ctx;
    struct top *t = p->top;
    struct sample *s;

    if (!container) {
        p->is_asked = false;
        round_end(t);
        return;
    }
    if (!f)
        return;
    s = sample_of(p, container);
    s->cpu_ns[t->round] = f->cpu_ns;
    s->at_ns[t->round] = clock_monotonic_ns();
    s->memory_bytes = f->memory_bytes;
}

static void round_begin(struct top *t)
{
    /* One more, so that an answer within the call does not end the round. */
    t->waiting = t->n + 1;
    for (size_t i = 0; i < t->n; i++) {
        struct pod *p = workloads_pod_of_uid(t->api->workloads, t->pods[i].uid);

        t->pods[i].is_asked = p;
        if (p)
            pod_measure(p, on_measured, &t->pods[i]);
        else
            t->waiting--;
    }
    round_end(t);
}

static void on_timer(void *ctx)
{
    struct top *t = ctx;

    round_begin(t);
}

/* No answer comes for it any more. */
void api_tops_pod_gone(struct api *a, const struct pod *p)
{
    const char *uid = pod_spec_of(p)->uid;
    struct top *next;

    for (struct top *t = a->tops; t; t = next) {
        next = t->next;
        for (size_t i = 0; i < t->n; i++)
            if (t->pods[i].is_asked && str_eq(t->pods[i].uid, uid)) {
                t->pods[i].is_asked = false;
                round_end(t);
                break;
            }
    }
}

void api_tops_free(struct api *a)
{
    while (a->tops)
        top_free(a->tops);
}

static void pod_add(void *ctx, struct pod *p)
{
    struct top *t = ctx;

    if (t->n == t->cap) {
        t->cap = t->cap ? 2 * t->cap : 16;
        t->pods = xrealloc(t->pods, t->cap, sizeof(*t->pods));
    }
    t->pods[t->n++] = (struct top_pod){.top = t, .uid = xstrdup(pod_spec_of(p)->uid)};
}

static struct top *top_new(struct api_call *c)
{
    struct top *t = xcalloc(1, sizeof(*t));

    *t = (struct top){.next = c->api->tops, .api = c->api, .x = take_ptr(c->x)};
    if (t->next)
        t->next->prev = t;
    c->api->tops = t;
    t->timer = loop_timer_new(c->api->loop, on_timer, t);
    http_exchange_on_close(t->x, on_closed, t);
    return t;
}

void api_top(struct api_call *c)
{
    struct top *t = top_new(c);

    t->is_list = true;
    workloads_each_pod(c->api->workloads, c->space, pod_add, t);
    round_begin(t);
}

void api_top_pod(struct api_call *c)
{
    struct pod *p = api_call_pod(c);
    struct top *t;

    if (!p)
        return;
    t = top_new(c);
    pod_add(t, p);
    round_begin(t);
}
