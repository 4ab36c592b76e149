/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>

#include "pod/machine/machine_state.h"

/* The pod as a whole: whose turn it is, when it ends, and what it lets in. */

/* ---- Whose turn it is ---- */

static void begin_ending(struct pod_turn *t, int64_t grace_ms)
{
    struct pod_machine *m = t->m;
    uint64_t due = t->now.monotonic_ns + pod_ms_to_ns(grace_ms);

    if (!m->is_ending || due < m->stop_due_ns) {
        m->grace_ms = grace_ms;
        m->stop_due_ns = due;
    }
    m->is_ending = t->is_changed = true;
}

static void give_turn(struct pod_turn *t, size_t i)
{
    if (t->m->c[i].state == POD_STATE_WAITING)
        pod_step(t, i, POD_EVENT_TURN, NULL);
}

/* False when a later container has to wait. */
static bool start_first(struct pod_turn *t)
{
    struct pod_machine *m = t->m;

    for (size_t i = 0; i < m->spec->n_first; i++) {
        give_turn(t, i);
        if (pod_container_is_initialized(m, i))
            continue;
        if (pod_container_at(m, i)->role == POD_ROLE_INIT && m->c[i].state == POD_STATE_FINISHED) {
            m->has_failed_init = true;
            begin_ending(t, m->spec->grace_ms);
        }
        return false;
    }
    return true;
}

static void start_turns(struct pod_turn *t)
{
    struct pod_machine *m = t->m;
    bool is_over = true;

    if (!m->is_set_up || !start_first(t))
        return;
    if (!m->is_initialized)
        m->is_initialized = t->is_changed = true;
    for (size_t i = m->spec->n_first; i < m->spec->n_containers; i++) {
        give_turn(t, i);
        is_over &= m->c[i].state == POD_STATE_FINISHED;
    }
    if (is_over)
        begin_ending(t, m->spec->grace_ms);
}

/* Told once, and once more when it came to run meanwhile. */
static void stop_one(struct pod_turn *t, size_t i)
{
    const struct pod_container_state *c = &t->m->c[i];

    if (c->is_unclaimed || c->state == POD_STATE_FINISHED)
        return;
    if (c->cause != POD_CAUSE_POD || c->state == POD_STATE_RUNNING)
        pod_step(t, i, POD_EVENT_STOP, NULL);
}

/* True when all have ended: the mains and inits together, then the sidecars, the last one first. */
static bool stop_turns(struct pod_turn *t)
{
    struct pod_machine *m = t->m;
    bool is_over = true;

    for (size_t i = 0; i < m->spec->n_containers; i++) {
        if (pod_container_at(m, i)->role == POD_ROLE_SIDECAR)
            continue;
        stop_one(t, i);
        is_over &= m->c[i].state == POD_STATE_FINISHED;
    }
    for (size_t i = m->spec->n_first; is_over && i--;) {
        stop_one(t, i);
        is_over = m->c[i].state == POD_STATE_FINISHED;
    }
    return is_over;
}

static void settle(struct pod_turn *t)
{
    struct pod_machine *m = t->m;

    if (!m->is_ending)
        start_turns(t);
    if (m->is_ending && !m->is_over && stop_turns(t)) {
        m->is_over = t->is_changed = true;
        pod_order_add(t, POD_ORDER_TEARDOWN, POD_ORDER_OF_POD);
    }
    pod_phase_update(t);
}

/* ---- Calls ---- */

/* Orders of a call: the record first, so that it runs ahead of all that follows. */
static void turn_end(struct pod_turn *t, size_t n_before)
{
    struct pod_machine *m = t->m;
    struct pod_orders *o = t->orders;
    bool is_going;

    settle(t);
    is_going = m->is_over && m->is_deleting && !m->is_gone;
    if (t->is_changed) {
        struct pod_order persist;

        pod_order_add(t, POD_ORDER_PERSIST, POD_ORDER_OF_POD);
        persist = o->v[o->n - 1];
        memmove(o->v + n_before + 1, o->v + n_before, (o->n - 1 - n_before) * sizeof(*o->v));
        o->v[n_before] = persist;
        pod_order_add(t, POD_ORDER_STATUS, POD_ORDER_OF_POD);
    }
    if (is_going) {
        m->is_gone = true;
        pod_order_add(t, POD_ORDER_GONE, POD_ORDER_OF_POD);
    }
}

void pod_machine_begin(struct pod_machine *m, struct pod_now now, struct pod_orders *orders)
{
    struct pod_turn t = {m, now, orders, true};
    size_t before = orders->n;

    if (m->is_over)
        pod_order_add(&t, POD_ORDER_TEARDOWN, POD_ORDER_OF_POD);
    else
        pod_order_add(&t, POD_ORDER_SETUP, POD_ORDER_OF_POD);
    turn_end(&t, before);
}

void pod_machine_set_up(struct pod_machine *m, struct pod_now now, const struct err *failed,
                        struct pod_orders *orders)
{
    struct pod_turn t = {m, now, orders, false};
    size_t before = orders->n;

    /* An answer that comes late: nothing is ordered after GONE. */
    if (m->is_over)
        return;
    if (failed) {
        m->setup_due_ns = now.monotonic_ns + backoff_failed(&m->setups);
        pod_say(&t, true, POD_ORDER_OF_POD, failed->reason, "%s", failed->msg);
    } else {
        t.is_changed = !m->was_set_up;
        m->is_set_up = m->was_set_up = true;
        m->setup_due_ns = 0;
        backoff_reset(&m->setups);
    }
    turn_end(&t, before);
}

/* Until it is known what became of a run, nothing else can be said about it. */
static bool is_claim(enum pod_event event)
{
    return event == POD_EVENT_STARTED || event == POD_EVENT_EXITED || event == POD_EVENT_LOST ||
           event == POD_EVENT_NEVER;
}

void pod_machine_feed(struct pod_machine *m, struct pod_now now, const struct pod_input *in,
                      struct pod_orders *orders)
{
    struct pod_turn t = {m, now, orders, false};
    size_t before = orders->n;
    const struct pod_container_state *c;

    BUG_ON(in->container >= m->spec->n_containers || in->event >= POD_EVENT_TURN);
    c = &m->c[in->container];
    if ((in->attempt && in->attempt != c->attempt) || (c->is_unclaimed && !is_claim(in->event)))
        return;
    /* What ends anyhow is not begun again by those who do not know yet. */
    if (!m->is_ending || in->event != POD_EVENT_RESTART)
        pod_step(&t, in->container, in->event, in);
    turn_end(&t, before);
}

static void setup_again(struct pod_turn *t)
{
    t->m->setup_due_ns = 0;
    if (!t->m->is_ending)
        pod_order_add(t, POD_ORDER_SETUP, POD_ORDER_OF_POD);
}

void pod_machine_retry(struct pod_machine *m, struct pod_now now, struct pod_orders *orders)
{
    struct pod_turn t = {m, now, orders, false};
    size_t before = orders->n;

    if (m->setup_due_ns)
        setup_again(&t);
    for (size_t i = 0; i < m->spec->n_containers; i++)
        if (m->c[i].state == POD_STATE_CONFIG_BACKOFF)
            pod_step(&t, i, POD_EVENT_RETRY, NULL);
    turn_end(&t, before);
}

/* Containers that were told hear of the grace that may be shorter now. */
static void shorten(struct pod_turn *t)
{
    for (size_t i = 0; i < t->m->spec->n_containers; i++) {
        const struct pod_container_state *c = &t->m->c[i];

        if (c->cause == POD_CAUSE_POD && c->due_ns && !c->is_unclaimed)
            pod_step(t, i, POD_EVENT_STOP, NULL);
    }
}

void pod_machine_delete(struct pod_machine *m, struct pod_now now, int64_t grace_ms,
                        struct pod_orders *orders)
{
    struct pod_turn t = {m, now, orders, !m->is_deleting};
    size_t before = orders->n;

    m->is_deleting = true;
    if (!m->is_over) {
        begin_ending(&t, grace_ms < 0 ? m->spec->grace_ms : grace_ms);
        shorten(&t);
    }
    turn_end(&t, before);
}

static void fail(struct pod_turn *t, const char *reason, const char *message)
{
    struct pod_machine *m = t->m;

    m->reason = pod_text_copy(reason);
    m->message = pod_text_copy(message);
    begin_ending(t, m->spec->grace_ms);
}

void pod_machine_fail(struct pod_machine *m, struct pod_now now, const char *reason,
                      const char *message, struct pod_orders *orders)
{
    struct pod_turn t = {m, now, orders, false};
    size_t before = orders->n;

    if (!m->is_ending)
        fail(&t, reason, message);
    turn_end(&t, before);
}

/* ---- Time ---- */

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return b && b < a ? b : a;
}

uint64_t pod_machine_timer_ns(const struct pod_machine *m)
{
    uint64_t due = UINT64_MAX;

    for (size_t i = 0; i < m->spec->n_containers; i++)
        if (!m->c[i].is_unclaimed)
            due = earlier(due, m->c[i].due_ns);
    if (!m->is_ending) {
        due = earlier(due, m->deadline_ns);
        due = earlier(due, m->setup_due_ns);
    }
    return due;
}

void pod_machine_timer(struct pod_machine *m, struct pod_now now, struct pod_orders *orders)
{
    static const char late[] = "Pod was active on the node longer than the specified deadline";
    struct pod_turn t = {m, now, orders, false};
    size_t before = orders->n;

    if (!m->is_ending && m->deadline_ns && m->deadline_ns <= now.monotonic_ns) {
        pod_say(&t, false, POD_ORDER_OF_POD, "DeadlineExceeded", "%s", late);
        fail(&t, "DeadlineExceeded", late);
    }
    if (m->setup_due_ns && m->setup_due_ns <= now.monotonic_ns)
        setup_again(&t);
    for (size_t i = 0; i < m->spec->n_containers; i++) {
        struct pod_container_state *c = &m->c[i];
        bool is_wait = c->state == POD_STATE_PULL_BACKOFF || c->state == POD_STATE_CONFIG_BACKOFF ||
                       c->state == POD_STATE_CRASH_BACKOFF;

        if (c->due_ns && c->due_ns <= now.monotonic_ns && !c->is_unclaimed)
            pod_step(&t, i, is_wait ? POD_EVENT_TIMER : POD_EVENT_GRACE_ENDED, NULL);
    }
    turn_end(&t, before);
}

/* ---- Life ---- */

struct pod_machine *pod_machine_new(struct pod_spec *spec, struct pod_now now)
{
    struct pod_machine *m = xcalloc(1, sizeof(*m));

    BUG_ON(!spec->n_containers || spec->n_containers > POD_CONTAINER_LIMIT ||
           spec->n_first >= spec->n_containers);
    m->spec = pod_spec_ref(spec);
    m->c = xcalloc(spec->n_containers, sizeof(*m->c));
    m->grace_ms = spec->grace_ms;
    pod_time_set(&m->started_at, now);
    if (spec->active_deadline_ms > 0)
        m->deadline_ns = now.monotonic_ns + pod_ms_to_ns(spec->active_deadline_ms);
    return m;
}

void pod_machine_free(struct pod_machine *m)
{
    if (!m)
        return;
    for (size_t i = 0; i < m->spec->n_containers; i++) {
        struct pod_container_state *c = &m->c[i];

        free(c->image_id);
        free(c->wait_reason);
        free(c->wait_message);
        free(c->end.reason);
        free(c->end.message);
        free(c->previous.reason);
        free(c->previous.message);
    }
    free(m->c);
    free(m->reason);
    free(m->message);
    pod_spec_unref(m->spec);
    free(m);
}

/* ---- What it knows ---- */

static const struct pod_container_state *at(const struct pod_machine *m, size_t container)
{
    BUG_ON(container >= m->spec->n_containers);
    return &m->c[container];
}

struct pod_spec *pod_machine_spec(const struct pod_machine *m)
{
    return m->spec;
}

enum pod_phase pod_machine_phase(const struct pod_machine *m)
{
    return m->phase;
}

enum pod_state pod_machine_state(const struct pod_machine *m, size_t container)
{
    return at(m, container)->state;
}

int64_t pod_machine_attempt(const struct pod_machine *m, size_t container)
{
    return at(m, container)->attempt;
}

int64_t pod_machine_restart_count(const struct pod_machine *m, size_t container)
{
    const struct pod_container_state *c = at(m, container);
    int64_t accepted = c->is_accepted ? c->attempt : c->attempt - 1;

    return accepted > 1 ? accepted - 1 : 0;
}

bool pod_machine_is_ready(const struct pod_machine *m, size_t container)
{
    return pod_container_is_ready(m, at(m, container) - m->c);
}

bool pod_machine_is_started(const struct pod_machine *m, size_t container)
{
    return at(m, container)->is_started;
}

bool pod_machine_is_ending(const struct pod_machine *m)
{
    return m->is_ending;
}

bool pod_machine_is_over(const struct pod_machine *m)
{
    return m->is_over;
}

bool pod_machine_is_unclaimed(const struct pod_machine *m, size_t container)
{
    return at(m, container)->is_unclaimed;
}

char *pod_attempt_id(const struct pod_spec *spec, size_t container, int64_t attempt)
{
    BUG_ON(container >= spec->n_containers);
    return xasprintf("%s-%s-%" PRId64, spec->uid, spec->containers[container].name, attempt);
}
