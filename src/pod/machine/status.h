/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/arena.h"
#include "base/json.h"
#include "pod/machine/machine.h"

/*
 * What is shown of a pod: a pure function of its spec, its machine and its addresses, so that equal
 * input gives equal status. All of it lives in one arena. NULL and "" mean "not known". Times are
 * RFC 3339 in seconds.
 */

enum pod_shown { POD_SHOWN_WAITING, POD_SHOWN_RUNNING, POD_SHOWN_TERMINATED };

struct pod_shown_state {
    enum pod_shown kind;
    const char *reason, *message; /* WAITING, TERMINATED */
    const char *started_at;       /* RUNNING, TERMINATED */
    const char *finished_at;      /* TERMINATED, and the rest too */
    int64_t exit_code;
    const char *container_id;
};

struct pod_container_status {
    const char *name, *image, *image_id;
    const char *container_id; /* of the run that is or was last, "wherry://ID" */
    bool is_ready, is_started;
    int64_t restart_count;
    struct pod_shown_state state;
    struct pod_shown_state last; /* has_last */
    bool has_last;
};

struct pod_shown_condition {
    const char *type;
    bool is_true;
    const char *reason, *message;
    const char *changed_at;
};

enum pod_quality { POD_BEST_EFFORT, POD_BURSTABLE, POD_GUARANTEED };

struct pod_status {
    struct arena *arena;
    enum pod_phase phase;
    const char *reason, *message;
    const char *host_ip, *pod_ip;
    const char *started_at;
    enum pod_quality quality;
    struct pod_shown_condition *conditions;
    size_t n_conditions;
    /* As in the spec: n_first of them are of init and sidecar containers. */
    struct pod_container_status *containers;
    size_t n_containers, n_first;
};

struct pod_addresses {
    const char *host_ip, *pod_ip; /* NULL: none yet */
};

struct pod_status *pod_status_new(const struct pod_machine *m, struct pod_addresses addresses);
void pod_status_free(struct pod_status *s); /* NULL is fine */
DEFINE_AUTO(pod_status);

/* By requests and limits of all containers. */
enum pod_quality pod_quality_of(const struct pod_spec *spec);

/* As the status of a Kubernetes v1 Pod (status_encode.c). */
void pod_status_encode(const struct pod_status *s, struct json_writer *w);
