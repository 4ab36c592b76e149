/* SPDX-License-Identifier: Apache-2.0 */
/* What `kubectl get pods` says of a pod: printPod() in printers.go, in its order. */
#include <inttypes.h>
#include <stdio.h>

#include "cli/pods/ages.h"
#include "cli/pods/printers.h"

const struct json_value *pod_condition(const struct json_value *pod, const char *type)
{
    const struct json_value *list = json_value_at(pod, "status.conditions"), *c;

    for (size_t i = 0; (c = json_value_item(list, i)); i++) {
        const char *of = json_value_str(c, "type");

        if (of && str_eq(of, type))
            return c;
    }
    return NULL;
}

bool pod_has_condition(const struct json_value *pod, const char *type)
{
    const char *status = json_value_str(pod_condition(pod, type), "status");

    return status && str_eq(status, "True");
}

static bool is_sidecar(const struct json_value *pod, const char *name)
{
    const struct json_value *list = json_value_at(pod, "spec.initContainers"), *c;

    for (size_t i = 0; (c = json_value_item(list, i)); i++) {
        const char *of = json_value_str(c, "name"), *policy = json_value_str(c, "restartPolicy");

        if (of && name && str_eq(of, name))
            return policy && str_eq(policy, "Always");
    }
    return false;
}

static void status_set(struct pod_shown_summary *s, const char *prefix, const char *word)
{
    snprintf(s->status, sizeof(s->status), "%s%s", prefix, word);
}

/* Counts the container's restarts, and remembers the last of all. */
static void restarts_add(const struct json_value *c, int64_t *restarts, const char **at)
{
    const char *finished = json_value_str(c, "lastState.terminated.finishedAt");
    int64_t before_ns = INT64_MIN, ns;
    struct err e = ERR_INIT;

    *restarts += json_value_int(c, "restartCount", 0);
    if (!finished || age_time_parse(finished, &ns, &e) < 0)
        return;
    if (*at && age_time_parse(*at, &before_ns, &e) < 0)
        before_ns = INT64_MIN;
    if (ns > before_ns)
        *at = finished;
}

/* "Error", "Signal:9" or "ExitCode:1". */
static void terminated_set(struct pod_shown_summary *s, const char *prefix,
                           const struct json_value *terminated)
{
    const char *reason = json_value_str(terminated, "reason");
    int64_t signal = json_value_int(terminated, "signal", 0);

    if (reason && *reason)
        status_set(s, prefix, reason);
    else if (signal)
        snprintf(s->status, sizeof(s->status), "%sSignal:%" PRId64, prefix, signal);
    else
        snprintf(s->status, sizeof(s->status), "%sExitCode:%" PRId64, prefix,
                 json_value_int(terminated, "exitCode", 0));
}

/* True when the first containers are not done at this one. */
static bool init_look(const struct json_value *pod, const struct json_value *c, size_t i,
                      struct pod_shown_summary *s)
{
    const struct json_value *terminated = json_value_at(c, "state.terminated");
    const char *waiting = json_value_str(c, "state.waiting.reason");
    const char *name = json_value_str(c, "name");

    if (terminated && !json_value_int(terminated, "exitCode", 0))
        return false;
    if (is_sidecar(pod, name) && json_value_bool(c, "started")) {
        s->ready += json_value_bool(c, "ready");
        return false;
    }
    if (terminated)
        terminated_set(s, "Init:", terminated);
    else if (waiting && *waiting && !str_eq(waiting, "PodInitializing"))
        status_set(s, "Init:", waiting);
    else
        snprintf(s->status, sizeof(s->status), "Init:%zu/%zu", i,
                 json_value_count(json_value_at(pod, "spec.initContainers")));
    return true;
}

static void main_look(const struct json_value *c, struct pod_shown_summary *s, bool *has_running)
{
    const struct json_value *terminated = json_value_at(c, "state.terminated");
    const char *waiting = json_value_str(c, "state.waiting.reason");

    if (waiting && *waiting) {
        status_set(s, "", waiting);
    } else if (terminated) {
        terminated_set(s, "", terminated);
    } else if (json_value_bool(c, "ready") && json_value_at(c, "state.running")) {
        *has_running = true;
        s->ready++;
    }
}

static void mains_look(const struct json_value *pod, struct pod_shown_summary *s)
{
    const struct json_value *list = json_value_at(pod, "status.containerStatuses");
    bool has_running = false;

    for (size_t i = json_value_count(list); i--;) {
        const struct json_value *c = json_value_item(list, i);

        restarts_add(c, &s->restarts, &s->restarted_at);
        main_look(c, s, &has_running);
    }
    if (str_eq(s->status, "Completed") && has_running)
        status_set(s, "", pod_has_condition(pod, "Ready") ? "Running" : "NotReady");
}

static int64_t containers_count(const struct json_value *pod)
{
    const struct json_value *list = json_value_at(pod, "spec.initContainers");
    size_t n = json_value_count(json_value_at(pod, "spec.containers"));

    for (size_t i = 0; i < json_value_count(list); i++)
        n += is_sidecar(pod, json_value_str(json_value_item(list, i), "name"));
    return (int64_t)n;
}

void pod_summarize(const struct json_value *pod, struct pod_shown_summary *ret)
{
    const struct json_value *list = json_value_at(pod, "status.initContainerStatuses"), *c;
    const char *phase = json_value_str(pod, "status.phase");
    const char *reason = json_value_str(pod, "status.reason");
    struct pod_shown_summary s = {.total = containers_count(pod)};
    int64_t sidecar_restarts = 0;
    const char *sidecar_at = NULL;
    bool is_initializing = false;

    status_set(&s, "", reason && *reason ? reason : phase ? phase : "Unknown");
    for (size_t i = 0; !is_initializing && (c = json_value_item(list, i)); i++) {
        restarts_add(c, &s.restarts, &s.restarted_at);
        if (is_sidecar(pod, json_value_str(c, "name")))
            restarts_add(c, &sidecar_restarts, &sidecar_at);
        is_initializing = init_look(pod, c, i, &s);
    }
    if (!is_initializing || pod_has_condition(pod, "Initialized")) {
        s.restarts = sidecar_restarts;
        s.restarted_at = sidecar_at;
        mains_look(pod, &s);
    }
    if (json_value_str(pod, "metadata.deletionTimestamp") &&
        !(phase && (str_eq(phase, "Succeeded") || str_eq(phase, "Failed"))))
        status_set(&s, "", "Terminating");
    *ret = s;
}
