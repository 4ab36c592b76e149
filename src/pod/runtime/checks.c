/* SPDX-License-Identifier: Apache-2.0 */
/* Probes and hooks of a container that runs. */
#include "base/clock.h"
#include "pod/runtime/pod_internal.h"

static void actions_fill(struct pod_run *r, struct actions_options *o)
{
    const struct pod_fields *f = &r->pod->fields;

    *o = (struct actions_options){.loop = r->pod->set->o.loop,
                                  .host = f->pod_ips.n ? f->pod_ips.v[0] : "127.0.0.1",
                                  .exec = exec_action,
                                  .ctx = r};
}

static void feed(struct pod_run *r, enum pod_event event, const char *failure)
{
    struct pod_input in = {.event = event, .container = r->index, .attempt = r->attempt};
    struct err e = ERR_INIT;

    if (failure)
        err_set(&e, -EIO, "ProbeFailed", "%s", failure);
    if (event == POD_EVENT_PRE_STOP_DONE)
        in.message = failure;
    else
        in.error = failure ? &e : NULL;
    pod_feed(r->pod, &in);
}

static void told(void *ctx, enum probe_kind kind, bool is_ok, const char *message)
{
    struct pod_run *r = ctx;

    if (!is_ok && !message)
        message = "no cause was given";
    switch (kind) {
    case PROBE_STARTUP:
        feed(r, is_ok ? POD_EVENT_STARTUP_OK : POD_EVENT_STARTUP_FAILED, is_ok ? NULL : message);
        break;
    case PROBE_LIVENESS:
        if (!is_ok)
            feed(r, POD_EVENT_LIVENESS_FAILED, message);
        break;
    case PROBE_READINESS:
        /* The failure itself was told already. */
        feed(r, is_ok ? POD_EVENT_READY : POD_EVENT_UNREADY, NULL);
        break;
    }
}

static void failed(void *ctx, enum probe_kind kind, const char *message)
{
    static const char *const names[] = {
        [PROBE_STARTUP] = "Startup",
        [PROBE_LIVENESS] = "Liveness",
        [PROBE_READINESS] = "Readiness",
    };
    struct pod_run *r = ctx;

    pod_event(r->pod, run_spec(r)->name, true, "Unhealthy", "%s probe failed: %s", names[kind],
              message);
}

void run_probe(struct pod_run *r)
{
    struct actions_options o;

    if (!r->container)
        return;
    actions_fill(r, &o);
    if (!r->prober)
        r->prober = prober_new(&o, run_spec(r), clock_monotonic_ns(), told, failed, r);
    if (pod_machine_is_started(r->pod->m, r->index))
        prober_started(r->prober);
}

void run_unprobe(struct pod_run *r)
{
    struct prober *p = take_ptr(r->prober);

    if (p)
        prober_free(p);
    run_hook_cancel(r);
}

/* ---- Hooks ---- */

void run_hook_cancel(struct pod_run *r)
{
    struct action_run *hook = take_ptr(r->hook);

    if (hook)
        action_cancel(hook);
}

static void post_start_done(void *ctx, const char *failure)
{
    struct pod_run *r = ctx;

    r->hook = NULL;
    feed(r, failure ? POD_EVENT_POST_START_FAILED : POD_EVENT_POST_START_OK, failure);
}

static void pre_stop_done(void *ctx, const char *failure)
{
    struct pod_run *r = ctx;

    r->hook = NULL;
    feed(r, POD_EVENT_PRE_STOP_DONE, failure);
}

#define HOOK_TIMEOUT_MS UINT64_C(86400000)

/* Hooks have no time of their own: the grace ends preStop, and postStart is waited for. */
void run_hook(struct pod_run *r, const struct pod_action *a, bool is_pre_stop)
{
    struct actions_options o;

    run_hook_cancel(r);
    if (!r->container)
        return;
    actions_fill(r, &o);
    r->hook =
        action_start(&o, a, HOOK_TIMEOUT_MS, is_pre_stop ? pre_stop_done : post_start_done, r);
}
