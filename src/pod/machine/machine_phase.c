/* SPDX-License-Identifier: Apache-2.0 */
#include "pod/machine/machine_state.h"

const char *pod_phase_name(enum pod_phase phase)
{
    static const char *const names[] = {
        [POD_PENDING] = "Pending",
        [POD_IS_RUNNING] = "Running",
        [POD_SUCCEEDED] = "Succeeded",
        [POD_FAILED] = "Failed",
    };

    BUG_ON(phase >= ARRAY_SIZE(names));
    return names[phase];
}

bool pod_container_was_tried(const struct pod_container_state *c)
{
    return c->is_accepted || c->attempt > 1 || c->end.attempt;
}

bool pod_container_is_ready(const struct pod_machine *m, size_t container)
{
    const struct pod_container *spec = pod_container_at(m, container);
    const struct pod_container_state *c = &m->c[container];

    if (spec->role == POD_ROLE_INIT)
        return c->state == POD_STATE_FINISHED && pod_end_is_good(&c->end);
    return c->state == POD_STATE_RUNNING && c->is_started && (!spec->readiness || c->is_ready);
}

bool pod_container_is_initialized(const struct pod_machine *m, size_t container)
{
    if (pod_container_at(m, container)->role == POD_ROLE_SIDECAR)
        return m->c[container].was_started;
    return pod_container_is_ready(m, container);
}

static enum pod_phase phase_at_end(const struct pod_machine *m)
{
    if (m->reason || m->has_failed_init)
        return POD_FAILED;
    for (size_t i = m->spec->n_first; i < m->spec->n_containers; i++)
        if (!pod_end_is_good(&m->c[i].end))
            return POD_FAILED;
    return POD_SUCCEEDED;
}

static enum pod_phase phase_now(const struct pod_machine *m)
{
    if (m->is_over)
        return phase_at_end(m);
    if (!m->is_initialized)
        return POD_PENDING;
    for (size_t i = m->spec->n_first; i < m->spec->n_containers; i++)
        if (!pod_container_was_tried(&m->c[i]))
            return POD_PENDING;
    return POD_IS_RUNNING;
}

static bool are_containers_ready(const struct pod_machine *m)
{
    for (size_t i = 0; i < m->spec->n_containers; i++)
        if (pod_container_at(m, i)->role != POD_ROLE_INIT && !pod_container_is_ready(m, i))
            return false;
    return true;
}

static bool is_condition_true(const struct pod_machine *m, enum pod_condition condition)
{
    switch (condition) {
    case POD_CONDITION_SCHEDULED:
        return true;
    case POD_CONDITION_READY_TO_START:
        return m->was_set_up && !m->is_over;
    case POD_CONDITION_INITIALIZED:
        /* Without init containers there is nothing to wait for. */
        return m->is_initialized || !m->spec->n_first;
    case POD_CONDITION_CONTAINERS_READY:
    case POD_CONDITION_READY:
        return m->is_initialized && are_containers_ready(m);
    }
    return false;
}

void pod_phase_update(struct pod_turn *t)
{
    struct pod_machine *m = t->m;
    enum pod_phase phase = phase_now(m);

    /* The order of the phases is the one that they are gone through in. */
    if (phase > m->phase) {
        m->phase = phase;
        t->is_changed = true;
    }
    for (enum pod_condition i = 0; i < POD_CONDITIONS; i++) {
        struct pod_condition_state *c = &m->conditions[i];
        bool is_true = is_condition_true(m, i);

        if (is_true == c->is_true && *c->changed_at.text)
            continue;
        c->is_true = is_true;
        pod_time_set(&c->changed_at, t->now);
        t->is_changed = true;
    }
}
