/* SPDX-License-Identifier: Apache-2.0 */
#include "pod/machine/status.h"

/* Kubernetes API v1 (core), PodStatus: what a kubelet writes. */

static void text_encode(struct json_writer *w, const char *key, const char *text)
{
    if (text)
        json_key_str(w, key, text);
}

static void state_encode(struct json_writer *w, const char *key, const struct pod_shown_state *s)
{
    static const char *const kinds[] = {
        [POD_SHOWN_WAITING] = "waiting",
        [POD_SHOWN_RUNNING] = "running",
        [POD_SHOWN_TERMINATED] = "terminated",
    };

    json_key(w, key);
    json_begin_object(w);
    json_key(w, kinds[s->kind]);
    json_begin_object(w);
    if (s->kind == POD_SHOWN_TERMINATED)
        json_key_int(w, "exitCode", s->exit_code);
    text_encode(w, "reason", s->reason);
    text_encode(w, "message", s->message);
    /* Of a start that was refused there is none, which is null there. */
    if (s->kind != POD_SHOWN_WAITING)
        json_key_str(w, "startedAt", s->started_at);
    text_encode(w, "finishedAt", s->finished_at);
    text_encode(w, "containerID", s->container_id);
    json_end_object(w);
    json_end_object(w);
}

static void container_encode(struct json_writer *w, const struct pod_container_status *c)
{
    json_begin_object(w);
    json_key_str(w, "name", c->name);
    state_encode(w, "state", &c->state);
    if (c->has_last) {
        state_encode(w, "lastState", &c->last);
    } else {
        json_key(w, "lastState");
        json_begin_object(w);
        json_end_object(w);
    }
    json_key_bool(w, "ready", c->is_ready);
    json_key_int(w, "restartCount", c->restart_count);
    json_key_str(w, "image", c->image);
    json_key_str(w, "imageID", c->image_id ? c->image_id : "");
    text_encode(w, "containerID", c->container_id);
    json_key_bool(w, "started", c->is_started);
    json_end_object(w);
}

static void containers_encode(struct json_writer *w, const char *key,
                              const struct pod_container_status *c, size_t n)
{
    if (!n)
        return;
    json_key(w, key);
    json_begin_array(w);
    for (size_t i = 0; i < n; i++)
        container_encode(w, &c[i]);
    json_end_array(w);
}

static void address_encode(struct json_writer *w, const char *key, const char *list_key,
                           const char *address)
{
    if (!address)
        return;
    json_key_str(w, key, address);
    json_key(w, list_key);
    json_begin_array(w);
    json_begin_object(w);
    json_key_str(w, "ip", address);
    json_end_object(w);
    json_end_array(w);
}

static void condition_encode(struct json_writer *w, const struct pod_shown_condition *c)
{
    json_begin_object(w);
    json_key_str(w, "type", c->type);
    json_key_str(w, "status", c->is_true ? "True" : "False");
    json_key(w, "lastProbeTime");
    json_null_value(w);
    json_key_str(w, "lastTransitionTime", c->changed_at);
    text_encode(w, "reason", c->reason);
    text_encode(w, "message", c->message);
    json_end_object(w);
}

void pod_status_encode(const struct pod_status *s, struct json_writer *w)
{
    static const char *const qualities[] = {
        [POD_BEST_EFFORT] = "BestEffort",
        [POD_BURSTABLE] = "Burstable",
        [POD_GUARANTEED] = "Guaranteed",
    };

    json_begin_object(w);
    json_key_str(w, "phase", pod_phase_name(s->phase));
    json_key(w, "conditions");
    json_begin_array(w);
    for (size_t i = 0; i < s->n_conditions; i++)
        condition_encode(w, &s->conditions[i]);
    json_end_array(w);
    text_encode(w, "message", s->message);
    text_encode(w, "reason", s->reason);
    address_encode(w, "hostIP", "hostIPs", s->host_ip);
    address_encode(w, "podIP", "podIPs", s->pod_ip);
    text_encode(w, "startTime", s->started_at);
    containers_encode(w, "initContainerStatuses", s->containers, s->n_first);
    containers_encode(w, "containerStatuses", s->containers + s->n_first,
                      s->n_containers - s->n_first);
    json_key_str(w, "qosClass", qualities[s->quality]);
    json_end_object(w);
}
