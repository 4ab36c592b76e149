/* SPDX-License-Identifier: Apache-2.0 */
#include "pod/probe.h"

#include "base/clock.h"

#define N_KINDS 3

/*
 * A probe falls due at fixed moments: the first one and every period after it. When an attempt
 * takes longer than that, the next one follows at once, and moments that were missed beside it are
 * left out: what a Go ticker does for a kubelet. So attempts never overlap, and a time-out as long
 * as the period does not halve their number.
 */
struct track {
    struct prober *prober;
    const struct pod_probe *probe; /* NULL: there is none, or it has ended */
    struct action_run *run;        /* the attempt that is under way */
    uint64_t due_ns;               /* the next one; 0: not begun */
    int64_t n_same;                /* attempts in a row that ended like the last one */
    bool was_ok;                   /* the last one */
    bool is_ready;                 /* READINESS: as told */
};

struct prober {
    struct actions_options options;
    struct track tracks[N_KINDS];
    struct loop_timer *timer;
    uint64_t started_ns;
    void (*told)(void *ctx, enum probe_kind kind, bool is_ok, const char *message);
    void (*failed)(void *ctx, enum probe_kind kind, const char *message);
    void *ctx;
    bool is_telling; /* a callback runs: the memory stays until it returns */
    bool is_gone;    /* freed meanwhile */
};

static uint64_t ns_of(int64_t ms)
{
    return (uint64_t)ms * 1000000;
}

static enum probe_kind kind_of(const struct track *t)
{
    return (enum probe_kind)(t - t->prober->tracks);
}

static void timer_update(struct prober *p)
{
    uint64_t due_ns = 0;

    for (int i = 0; i < N_KINDS; i++) {
        const struct track *t = &p->tracks[i];

        if (t->probe && t->due_ns && !t->run && (!due_ns || t->due_ns < due_ns))
            due_ns = t->due_ns;
    }
    if (due_ns)
        loop_timer_set(p->timer, due_ns);
    else
        loop_timer_clear(p->timer);
}

/* ---- Results ---- */

/* Counts the result; true when it is news, as the thresholds have it. */
static bool is_news(struct track *t, bool is_ok)
{
    const struct pod_probe *probe = t->probe;

    t->n_same = t->n_same && t->was_ok == is_ok ? t->n_same + 1 : 1;
    t->was_ok = is_ok;
    if (t->n_same < (is_ok ? probe->success_threshold : probe->failure_threshold))
        return false;
    switch (kind_of(t)) {
    case PROBE_STARTUP:
        return true;
    case PROBE_LIVENESS:
        return !is_ok;
    case PROBE_READINESS:
        return t->is_ready != is_ok;
    }
    return false;
}

static void on_result(void *ctx, const char *failure)
{
    struct track *t = ctx;
    struct prober *p = t->prober;
    enum probe_kind kind = kind_of(t);
    bool is_ok = !failure, is_told = is_news(t, is_ok);

    t->run = NULL;
    if (is_told) {
        t->is_ready = is_ok;
        if (kind != PROBE_READINESS)
            t->probe = NULL;
    }
    timer_update(p);
    p->is_telling = true;
    if (failure && p->failed)
        p->failed(p->ctx, kind, failure);
    if (is_told && !p->is_gone)
        p->told(p->ctx, kind, is_ok, failure ? failure : "");
    p->is_telling = false;
    if (p->is_gone)
        free(p);
}

/* ---- Attempts ---- */

static void attempt(struct track *t, uint64_t now_ns)
{
    uint64_t period_ns = ns_of(t->probe->period_ms);

    t->due_ns += ((now_ns - t->due_ns) / period_ns + 1) * period_ns;
    t->run = action_start(&t->prober->options, &t->probe->action, (uint64_t)t->probe->timeout_ms,
                          on_result, t);
}

static void on_due(void *ctx)
{
    struct prober *p = ctx;
    uint64_t now_ns = clock_monotonic_ns();

    for (int i = 0; i < N_KINDS; i++) {
        struct track *t = &p->tracks[i];

        if (t->probe && t->due_ns && !t->run && t->due_ns <= now_ns)
            attempt(t, now_ns);
    }
    timer_update(p);
}

static void track_begin(struct track *t)
{
    uint64_t now_ns = clock_monotonic_ns(), first_ns;

    if (!t->probe || t->due_ns)
        return;
    first_ns = t->prober->started_ns + ns_of(t->probe->initial_delay_ms);
    t->due_ns = first_ns > now_ns ? first_ns : now_ns;
}

struct prober *
prober_new(const struct actions_options *o, const struct pod_container *c, uint64_t started_ns,
           void (*told)(void *ctx, enum probe_kind kind, bool is_ok, const char *message),
           void (*failed)(void *ctx, enum probe_kind kind, const char *message), void *ctx)
{
    struct prober *p = xcalloc(1, sizeof(*p));

    *p = (struct prober){
        .options = *o,
        .tracks = {[PROBE_STARTUP] = {.probe = c->startup},
                   [PROBE_LIVENESS] = {.probe = c->liveness},
                   [PROBE_READINESS] = {.probe = c->readiness}},
        .started_ns = started_ns,
        .told = told,
        .failed = failed,
        .ctx = ctx,
    };
    for (int i = 0; i < N_KINDS; i++) {
        BUG_ON(p->tracks[i].probe && p->tracks[i].probe->period_ms <= 0);
        p->tracks[i].prober = p;
    }
    p->timer = loop_timer_new(o->loop, on_due, p);
    track_begin(&p->tracks[PROBE_STARTUP]);
    timer_update(p);
    return p;
}

void prober_started(struct prober *p)
{
    track_begin(&p->tracks[PROBE_LIVENESS]);
    track_begin(&p->tracks[PROBE_READINESS]);
    timer_update(p);
}

void prober_free(struct prober *p)
{
    if (!p)
        return;
    for (int i = 0; i < N_KINDS; i++)
        if (p->tracks[i].run)
            action_cancel(p->tracks[i].run);
    loop_timer_free(p->timer);
    p->is_gone = true;
    if (!p->is_telling)
        free(p);
}
