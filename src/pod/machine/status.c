/* SPDX-License-Identifier: Apache-2.0 */
#include "pod/machine/status.h"
#include "pod/machine/machine_state.h"

static const char *copy(struct pod_status *s, const char *text)
{
    return text && *text ? arena_strdup(s->arena, text) : NULL;
}

static const char *container_id(struct pod_status *s, const struct pod_machine *m, size_t i,
                                int64_t attempt)
{
    autofree char *id = NULL;

    if (attempt < 1)
        return NULL;
    id = pod_attempt_id(m->spec, i, attempt);
    return arena_printf(s->arena, "wherry://%s", id);
}

static struct pod_shown_state terminated(struct pod_status *s, const struct pod_machine *m,
                                         size_t i, const struct pod_end *end)
{
    return (struct pod_shown_state){
        .kind = POD_SHOWN_TERMINATED,
        .reason = copy(s, end->reason),
        .message = copy(s, end->message),
        .started_at = copy(s, end->started_at.text),
        .finished_at = copy(s, end->finished_at.text),
        .exit_code = end->exit_code,
        .container_id = container_id(s, m, i, end->attempt),
    };
}

static struct pod_shown_state waiting(struct pod_status *s, const struct pod_machine *m, size_t i)
{
    const struct pod_container_state *c = &m->c[i];
    bool is_failed = c->state == POD_STATE_PULL_BACKOFF || c->state == POD_STATE_CONFIG_BACKOFF ||
                     c->state == POD_STATE_CRASH_BACKOFF;

    if (is_failed)
        return (struct pod_shown_state){.reason = copy(s, c->wait_reason),
                                        .message = copy(s, c->wait_message)};
    /* A pod without init containers has nothing to initialize. */
    if (m->spec->n_first && !m->is_initialized)
        return (struct pod_shown_state){.reason = "PodInitializing"};
    return (struct pod_shown_state){.reason = "ContainerCreating"};
}

static void container_fill(struct pod_status *s, const struct pod_machine *m, size_t i)
{
    const struct pod_container *spec = pod_container_at(m, i);
    const struct pod_container_state *c = &m->c[i];
    struct pod_container_status *cs = &s->containers[i];
    const struct pod_end *last = &c->end;
    bool is_running = c->state > POD_STATE_STARTING && pod_state_is_live(c->state);

    *cs = (struct pod_container_status){
        .name = copy(s, spec->name),
        .image = copy(s, spec->image),
        .image_id = copy(s, c->image_id),
        .container_id = container_id(s, m, i, c->is_accepted ? c->attempt : c->end.attempt),
        .is_ready = pod_container_is_ready(m, i),
        .is_started = is_running && c->is_started,
        .restart_count = pod_machine_restart_count(m, i),
    };
    if (c->state == POD_STATE_FINISHED && c->end.attempt) {
        cs->state = terminated(s, m, i, &c->end);
        last = &c->previous;
    } else if (is_running) {
        cs->state = (struct pod_shown_state){.kind = POD_SHOWN_RUNNING,
                                             .started_at = copy(s, c->started_at.text)};
    } else {
        cs->state = waiting(s, m, i);
    }
    cs->has_last = last->attempt;
    if (cs->has_last)
        cs->last = terminated(s, m, i, last);
}

/* "containers with unready status: [a b]"; NULL when there are none. */
static const char *list(struct pod_status *s, const struct pod_machine *m, bool is_init,
                        const char *what)
{
    autobuf text = BUF_INIT;

    for (size_t i = 0; i < m->spec->n_containers; i++) {
        bool is_missing;

        if (is_init)
            is_missing = i < m->spec->n_first && !pod_container_is_initialized(m, i);
        else
            is_missing =
                pod_container_at(m, i)->role != POD_ROLE_INIT && !pod_container_is_ready(m, i);
        if (is_missing)
            buf_addf(&text, "%s%s", text.len ? " " : "", pod_container_at(m, i)->name);
    }
    return text.len ? arena_printf(s->arena, "%s: [%s]", what, buf_str(&text)) : NULL;
}

static void condition_fill(struct pod_status *s, const struct pod_machine *m,
                           enum pod_condition type)
{
    static const char *const names[POD_CONDITIONS] = {
        [POD_CONDITION_SCHEDULED] = "PodScheduled",
        [POD_CONDITION_READY_TO_START] = "PodReadyToStartContainers",
        [POD_CONDITION_INITIALIZED] = "Initialized",
        [POD_CONDITION_CONTAINERS_READY] = "ContainersReady",
        [POD_CONDITION_READY] = "Ready",
    };
    struct pod_shown_condition *c = &s->conditions[type];

    c->type = names[type];
    c->is_true = m->conditions[type].is_true;
    c->changed_at = copy(s, m->conditions[type].changed_at.text);
    if (type == POD_CONDITION_INITIALIZED && m->phase == POD_SUCCEEDED)
        c->reason = "PodCompleted";
    if (c->is_true || type == POD_CONDITION_SCHEDULED || type == POD_CONDITION_READY_TO_START)
        return;
    if (m->phase == POD_SUCCEEDED) {
        c->reason = "PodCompleted";
    } else if (m->phase == POD_FAILED && type != POD_CONDITION_INITIALIZED) {
        c->reason = "PodFailed";
    } else if (type == POD_CONDITION_INITIALIZED) {
        c->reason = "ContainersNotInitialized";
        c->message = list(s, m, true, "containers with incomplete status");
    } else {
        c->reason = "ContainersNotReady";
        c->message = list(s, m, false, "containers with unready status");
    }
}

enum pod_quality pod_quality_of(const struct pod_spec *spec)
{
    bool is_guaranteed = true, is_best_effort = true;

    for (size_t i = 0; i < spec->n_containers; i++) {
        const struct pod_resources *r = &spec->containers[i].resources;
        /* A limit without a request is a request too. */
        int64_t memory = r->memory_request_bytes ? r->memory_request_bytes : r->memory_limit_bytes;
        int64_t cpu = r->cpu_request_milli ? r->cpu_request_milli : r->cpu_limit_milli;

        if (memory || cpu)
            is_best_effort = false;
        if (!r->memory_limit_bytes || memory != r->memory_limit_bytes || !r->cpu_limit_milli ||
            cpu != r->cpu_limit_milli)
            is_guaranteed = false;
    }
    if (is_best_effort)
        return POD_BEST_EFFORT;
    return is_guaranteed ? POD_GUARANTEED : POD_BURSTABLE;
}

struct pod_status *pod_status_new(const struct pod_machine *m, struct pod_addresses addresses)
{
    struct arena *arena = arena_new();
    struct pod_status *s = arena_alloc(arena, sizeof(*s));

    s->arena = arena;
    s->phase = m->phase;
    s->reason = copy(s, m->reason);
    s->message = copy(s, m->message);
    s->host_ip = copy(s, addresses.host_ip);
    s->pod_ip = copy(s, addresses.pod_ip);
    s->started_at = copy(s, m->started_at.text);
    s->quality = pod_quality_of(m->spec);
    s->n_conditions = POD_CONDITIONS;
    s->conditions = arena_array(arena, POD_CONDITIONS, sizeof(*s->conditions));
    for (enum pod_condition i = 0; i < POD_CONDITIONS; i++)
        condition_fill(s, m, i);
    s->n_containers = m->spec->n_containers;
    s->n_first = m->spec->n_first;
    s->containers = arena_array(arena, s->n_containers, sizeof(*s->containers));
    for (size_t i = 0; i < s->n_containers; i++)
        container_fill(s, m, i);
    return s;
}

void pod_status_free(struct pod_status *s)
{
    if (s)
        arena_free(s->arena);
}
