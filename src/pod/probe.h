/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/err.h"
#include "loop/loop.h"
#include "pod/spec.h"

/*
 * Carries out actions of probes and hooks, and repeats probes in their period, as a kubelet does
 * (pkg/kubelet/prober, pkg/probe): HTTP by GET, 200 to 399 is success, and so is a redirection to
 * another host, which is not followed; TCP by connecting; gRPC by grpc.health.v1.Health/Check,
 * SERVING is success; exec by a callback, status 0 is success. More in docs/internals/probes.md.
 *
 * What the options point to and the parts of specs that are given here must outlive the action or
 * prober.
 */
struct actions_options {
    struct loop *loop;
    const char *host; /* of actions that name none: the pod's address */
    /* Runs a command in the container; calls `done` exactly once, here or later, also when it was
     * not waited for: with its exit status, or with less than 0 and the reason as output when there
     * is none, since it could not start or did not end within the time. */
    void (*exec)(void *ctx, const struct pod_words *command, uint64_t timeout_ms,
                 void (*done)(void *done_ctx, int exit_code, const char *output), void *done_ctx);
    void *ctx;
};

/* One action. `done` once, from the loop and never before this returns: NULL when it went well,
 * else why not, for people. It may free anything. `timeout_ms` is not of POD_ACTION_SLEEP. */
struct action_run;
struct action_run *action_start(const struct actions_options *o, const struct pod_action *a,
                                uint64_t timeout_ms, void (*done)(void *ctx, const char *failure),
                                void *ctx);
/* Before `done` was called, which then is not. A command goes on, and nobody hears of it. */
void action_cancel(struct action_run *r);

enum probe_kind { PROBE_STARTUP, PROBE_LIVENESS, PROBE_READINESS };

/* The probes of one run of a container. Tells changes only: STARTUP once it has succeeded or failed
 * for good, LIVENESS when it has failed, READINESS whenever it changes (it begins as not ready).
 * STARTUP and LIVENESS end with that. Both callbacks come from the loop and may free the prober. */
struct prober;
struct prober *
prober_new(const struct actions_options *o, const struct pod_container *c, uint64_t started_ns,
           void (*told)(void *ctx, enum probe_kind kind, bool is_ok, const char *message),
           /* each failure, for an event ("Unhealthy"); before `told`. NULL: nobody */
           void (*failed)(void *ctx, enum probe_kind kind, const char *message), void *ctx);
/* The startup probe has succeeded (or there is none): the other two begin. */
void prober_started(struct prober *p);
void prober_free(struct prober *p);
DEFINE_AUTO(prober);
