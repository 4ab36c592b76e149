/* SPDX-License-Identifier: Apache-2.0 */
#include "pod/machine/machine_state.h"

/*
 * A machine as JSON. Moments of the monotonic clock are written as moments of the real clock and
 * what was left of them: the first goes on over a restart, the second bounds it when the real clock
 * was set.
 */

/* Of pod_ms_to_ns(). */
#define LEFT_LIMIT_NS 1000000000000000000

struct due {
    int64_t at_ns, left_ns;
    bool has_at_ns;
};

struct record_container {
    char *name;
    struct pod_container_state c;
    struct due due;
    int64_t running_at_ns;
    bool has_running_at_ns;
};

struct record_condition {
    struct pod_condition_state c;
};

struct record {
    char *uid;
    struct pod_machine m; /* without containers and spec */
    struct due stop, deadline;
    struct record_condition *conditions;
    size_t n_conditions;
    struct record_container *containers;
    size_t n_containers;
};

/* ---- Words ---- */

static const char *const cause_names[POD_CAUSES] = {
    [POD_CAUSE_NONE] = "none",       [POD_CAUSE_POST_START] = "post-start",
    [POD_CAUSE_STARTUP] = "startup", [POD_CAUSE_LIVENESS] = "liveness",
    [POD_CAUSE_RESTART] = "restart", [POD_CAUSE_POD] = "pod",
};

static int state_parse(const char *text, void *field, struct err *e)
{
    for (enum pod_state i = 0; i < POD_STATES; i++)
        if (i != POD_STATE_ENDED && str_eq(pod_state_name(i), text)) {
            *(enum pod_state *)field = i;
            return 0;
        }
    return err_set(e, -EINVAL, "BadRecord", "'%s' is no state of a container", text);
}

static int cause_parse(const char *text, void *field, struct err *e)
{
    for (enum pod_cause i = 0; i < POD_CAUSES; i++)
        if (str_eq(cause_names[i], text)) {
            *(enum pod_cause *)field = i;
            return 0;
        }
    return err_set(e, -EINVAL, "BadRecord", "'%s' is no cause of a stop", text);
}

static int phase_parse(const char *text, void *field, struct err *e)
{
    for (enum pod_phase i = POD_PENDING; i <= POD_FAILED; i++)
        if (str_eq(pod_phase_name(i), text)) {
            *(enum pod_phase *)field = i;
            return 0;
        }
    return err_set(e, -EINVAL, "BadRecord", "'%s' is no phase of a pod", text);
}

static int time_parse(const char *text, void *field, struct err *e)
{
    struct pod_time *t = field;

    if (strlen(text) >= sizeof(t->text))
        return err_set(e, -EINVAL, "BadRecord", "'%.40s' is no time", text);
    memcpy(t->text, text, strlen(text) + 1);
    return 0;
}

/* ---- Tables ---- */

#define CUSTOM(name_, struct_, member_, parse_)                                                    \
    {                                                                                              \
        .name = (name_), .type = FIELD_CUSTOM, .offset = offsetof(struct_, member_),               \
        .parse = (parse_)                                                                          \
    }
#define NUMBER(name_, struct_, member_, max_)                                                      \
    {                                                                                              \
        .name = (name_), .type = FIELD_INT64, .offset = offsetof(struct_, member_), .max = (max_)  \
    }
#define OBJECT(name_, struct_, member_, fields_)                                                   \
    {                                                                                              \
        .name = (name_), .type = FIELD_OBJECT, .offset = offsetof(struct_, member_),               \
        .fields = (fields_)                                                                        \
    }
#define OBJECTS(name_, struct_, member_, count_, elem_, fields_, limit_)                           \
    {                                                                                              \
        .name = (name_), .type = FIELD_OBJECTS, .offset = offsetof(struct_, member_),              \
        .is_required = true, .limit = (limit_), .fields = (fields_), .elem_size = sizeof(elem_),   \
        .count_offset = offsetof(struct_, count_)                                                  \
    }

static const struct json_field due_fields[] = {
    JSON_OPTIONAL("at_ns", FIELD_INT64, struct due, at_ns),
    NUMBER("left_ns", struct due, left_ns, LEFT_LIMIT_NS),
    {0},
};

static const struct json_field end_fields[] = {
    NUMBER("attempt", struct pod_end, attempt, INT32_MAX),
    JSON_FIELD("exit_code", FIELD_INT64, struct pod_end, exit_code),
    JSON_FIELD("reason", FIELD_STRING, struct pod_end, reason),
    JSON_FIELD("message", FIELD_STRING, struct pod_end, message),
    CUSTOM("started_at", struct pod_end, started_at, time_parse),
    CUSTOM("finished_at", struct pod_end, finished_at, time_parse),
    {0},
};

static const struct json_field container_fields[] = {
    JSON_REQUIRED("name", FIELD_STRING, struct record_container, name),
    CUSTOM("state", struct record_container, c.state, state_parse),
    CUSTOM("cause", struct record_container, c.cause, cause_parse),
    NUMBER("attempt", struct record_container, c.attempt, INT32_MAX),
    JSON_FIELD("accepted", FIELD_BOOL, struct record_container, c.is_accepted),
    JSON_FIELD("hooked", FIELD_BOOL, struct record_container, c.is_hooked),
    JSON_FIELD("started", FIELD_BOOL, struct record_container, c.is_started),
    JSON_FIELD("was_started", FIELD_BOOL, struct record_container, c.was_started),
    JSON_FIELD("ready", FIELD_BOOL, struct record_container, c.is_ready),
    NUMBER("pull_failures", struct record_container, c.pulls.failures, BACKOFF_COUNT_LIMIT),
    NUMBER("config_failures", struct record_container, c.configs.failures, BACKOFF_COUNT_LIMIT),
    NUMBER("crashes", struct record_container, c.crashes.failures, BACKOFF_COUNT_LIMIT),
    OBJECT("due", struct record_container, due, due_fields),
    JSON_OPTIONAL("running_at_ns", FIELD_INT64, struct record_container, running_at_ns),
    CUSTOM("started_at", struct record_container, c.started_at, time_parse),
    JSON_FIELD("image_id", FIELD_STRING, struct record_container, c.image_id),
    JSON_FIELD("wait_reason", FIELD_STRING, struct record_container, c.wait_reason),
    JSON_FIELD("wait_message", FIELD_STRING, struct record_container, c.wait_message),
    OBJECT("end", struct record_container, c.end, end_fields),
    OBJECT("previous", struct record_container, c.previous, end_fields),
    {0},
};

static const struct json_field condition_fields[] = {
    JSON_FIELD("true", FIELD_BOOL, struct record_condition, c.is_true),
    CUSTOM("changed_at", struct record_condition, c.changed_at, time_parse),
    {0},
};

static const struct json_field fields[] = {
    JSON_REQUIRED("uid", FIELD_STRING, struct record, uid),
    CUSTOM("phase", struct record, m.phase, phase_parse),
    JSON_FIELD("reason", FIELD_STRING, struct record, m.reason),
    JSON_FIELD("message", FIELD_STRING, struct record, m.message),
    CUSTOM("started_at", struct record, m.started_at, time_parse),
    JSON_FIELD("initialized", FIELD_BOOL, struct record, m.is_initialized),
    JSON_FIELD("init_failed", FIELD_BOOL, struct record, m.has_failed_init),
    JSON_FIELD("set_up", FIELD_BOOL, struct record, m.was_set_up),
    JSON_FIELD("ending", FIELD_BOOL, struct record, m.is_ending),
    JSON_FIELD("deleting", FIELD_BOOL, struct record, m.is_deleting),
    JSON_FIELD("over", FIELD_BOOL, struct record, m.is_over),
    NUMBER("grace_ms", struct record, m.grace_ms, INT64_MAX),
    OBJECT("stop", struct record, stop, due_fields),
    OBJECT("deadline", struct record, deadline, due_fields),
    OBJECTS("conditions", struct record, conditions, n_conditions, struct record_condition,
            condition_fields, POD_CONDITIONS),
    OBJECTS("containers", struct record, containers, n_containers, struct record_container,
            container_fields, POD_CONTAINER_LIMIT),
    {0},
};

/* ---- Encoding ---- */

static void due_encode(struct json_writer *w, const char *key, uint64_t due_ns, struct pod_now now)
{
    uint64_t left = due_ns > now.monotonic_ns ? due_ns - now.monotonic_ns : 0;

    if (!due_ns)
        return;
    json_key(w, key);
    json_begin_object(w);
    json_key_int(w, "at_ns", (int64_t)(now.realtime_ns + left));
    json_key_int(w, "left_ns", (int64_t)left);
    json_end_object(w);
}

static void time_encode(struct json_writer *w, const char *key, const struct pod_time *t)
{
    if (*t->text)
        json_key_str(w, key, t->text);
}

static void text_encode(struct json_writer *w, const char *key, const char *text)
{
    if (text)
        json_key_str(w, key, text);
}

static void end_encode(struct json_writer *w, const char *key, const struct pod_end *end)
{
    if (!end->attempt)
        return;
    json_key(w, key);
    json_begin_object(w);
    json_key_int(w, "attempt", end->attempt);
    json_key_int(w, "exit_code", end->exit_code);
    text_encode(w, "reason", end->reason);
    text_encode(w, "message", end->message);
    time_encode(w, "started_at", &end->started_at);
    time_encode(w, "finished_at", &end->finished_at);
    json_end_object(w);
}

static void container_encode(struct json_writer *w, const char *name,
                             const struct pod_container_state *c, struct pod_now now)
{
    enum pod_state state = c->state;

    if (state == POD_STATE_RESOLVING || state == POD_STATE_PREPARING)
        state = POD_STATE_WAITING;
    json_begin_object(w);
    json_key_str(w, "name", name);
    json_key_str(w, "state", pod_state_name(state));
    json_key_str(w, "cause", cause_names[c->cause]);
    json_key_int(w, "attempt", c->attempt);
    json_key_bool(w, "accepted", c->is_accepted);
    json_key_bool(w, "hooked", c->is_hooked);
    json_key_bool(w, "started", c->is_started);
    json_key_bool(w, "was_started", c->was_started);
    json_key_bool(w, "ready", c->is_ready);
    json_key_int(w, "pull_failures", c->pulls.failures);
    json_key_int(w, "config_failures", c->configs.failures);
    json_key_int(w, "crashes", c->crashes.failures);
    due_encode(w, "due", c->due_ns, now);
    /* Before and after a run it does not matter. */
    if (pod_state_is_live(state))
        json_key_int(w, "running_at_ns",
                     (int64_t)(now.realtime_ns - (now.monotonic_ns - c->running_ns)));
    time_encode(w, "started_at", &c->started_at);
    text_encode(w, "image_id", c->image_id);
    text_encode(w, "wait_reason", c->wait_reason);
    text_encode(w, "wait_message", c->wait_message);
    end_encode(w, "end", &c->end);
    end_encode(w, "previous", &c->previous);
    json_end_object(w);
}

void pod_machine_encode(const struct pod_machine *m, struct pod_now now, struct json_writer *w)
{
    json_begin_object(w);
    json_key_str(w, "uid", m->spec->uid);
    json_key_str(w, "phase", pod_phase_name(m->phase));
    text_encode(w, "reason", m->reason);
    text_encode(w, "message", m->message);
    time_encode(w, "started_at", &m->started_at);
    json_key_bool(w, "initialized", m->is_initialized);
    json_key_bool(w, "init_failed", m->has_failed_init);
    json_key_bool(w, "set_up", m->was_set_up);
    json_key_bool(w, "ending", m->is_ending);
    json_key_bool(w, "deleting", m->is_deleting);
    json_key_bool(w, "over", m->is_over);
    json_key_int(w, "grace_ms", m->grace_ms);
    due_encode(w, "stop", m->stop_due_ns, now);
    due_encode(w, "deadline", m->deadline_ns, now);
    json_key(w, "conditions");
    json_begin_array(w);
    for (size_t i = 0; i < POD_CONDITIONS; i++) {
        json_begin_object(w);
        json_key_bool(w, "true", m->conditions[i].is_true);
        time_encode(w, "changed_at", &m->conditions[i].changed_at);
        json_end_object(w);
    }
    json_end_array(w);
    json_key(w, "containers");
    json_begin_array(w);
    for (size_t i = 0; i < m->spec->n_containers; i++)
        container_encode(w, pod_container_at(m, i)->name, &m->c[i], now);
    json_end_array(w);
    json_end_object(w);
}

/* ---- Decoding ---- */

static uint64_t due_decode(const struct due *d, struct pod_now now)
{
    int64_t left;

    if (!d->has_at_ns)
        return 0;
    if (__builtin_sub_overflow(d->at_ns, (int64_t)now.realtime_ns, &left) || left > d->left_ns)
        left = d->at_ns < (int64_t)now.realtime_ns ? 0 : d->left_ns;
    /* 0 would mean that there is none. */
    return now.monotonic_ns + (left > 0 ? (uint64_t)left : 0) + !now.monotonic_ns;
}

/* A start that is in the future on this clock counts as one just now. */
static uint64_t running_decode(const struct record_container *r, struct pod_now now)
{
    int64_t ago;

    if (!r->has_running_at_ns ||
        __builtin_sub_overflow((int64_t)now.realtime_ns, r->running_at_ns, &ago) || ago < 0)
        ago = 0;
    return (uint64_t)ago < now.monotonic_ns ? now.monotonic_ns - (uint64_t)ago : 1;
}

/* What the machine itself never writes would be a contradiction later. */
static int container_check(const struct record_container *r, const struct pod_container *spec,
                           const struct record *all, struct err *e)
{
    const struct pod_container_state *c = &r->c;
    bool is_waiting = c->state == POD_STATE_PULL_BACKOFF || c->state == POD_STATE_CONFIG_BACKOFF ||
                      c->state == POD_STATE_CRASH_BACKOFF;
    bool is_bounded = c->state == POD_STATE_STARTING || c->state == POD_STATE_PRE_STOPPING ||
                      c->state == POD_STATE_TOLD;

    if (!str_eq(r->name, spec->name))
        return err_set(e, -EINVAL, "BadRecord",
                       "the record's container '%.63s' is not the pod's container '%.63s'", r->name,
                       spec->name);
    if (c->state == POD_STATE_RESOLVING || c->state == POD_STATE_PREPARING)
        return err_set(e, -EINVAL, "BadRecord", "container '%.63s' is in a state that is not kept",
                       r->name);
    if (is_waiting != (r->due.has_at_ns && !is_bounded) ||
        (is_bounded && c->state != POD_STATE_STARTING && !r->due.has_at_ns))
        return err_set(e, -EINVAL, "BadRecord", "container '%.63s' waits in a state without a wait",
                       r->name);
    if ((pod_state_is_live(c->state) || c->is_accepted || c->end.attempt) && !c->attempt)
        return err_set(e, -EINVAL, "BadRecord", "container '%.63s' runs without an attempt",
                       r->name);
    if ((c->end.attempt && !c->end.reason) || (c->previous.attempt && !c->previous.reason) ||
        (c->previous.attempt && !c->end.attempt))
        return err_set(e, -EINVAL, "BadRecord", "container '%.63s' ended without a reason",
                       r->name);
    if (all->m.is_over && c->state != POD_STATE_FINISHED)
        return err_set(e, -EINVAL, "BadRecord",
                       "container '%.63s' has not finished, and its pod has", r->name);
    return 0;
}

static int record_check(const struct record *r, const struct pod_spec *spec, struct err *e)
{
    bool is_terminal = r->m.phase == POD_SUCCEEDED || r->m.phase == POD_FAILED;

    if (!str_eq(r->uid, spec->uid))
        return err_set(e, -EINVAL, "BadRecord", "the record is of the pod '%.63s', not of '%.63s'",
                       r->uid, spec->uid);
    if (r->n_containers != spec->n_containers || r->n_conditions != POD_CONDITIONS)
        return err_set(e, -EINVAL, "BadRecord",
                       "the record has %zu containers and %zu conditions, the pod %zu and %d",
                       r->n_containers, r->n_conditions, spec->n_containers, POD_CONDITIONS);
    if (r->m.is_over != is_terminal || (r->m.is_over && !r->m.is_ending) ||
        (r->m.is_ending && !r->stop.has_at_ns))
        return err_set(e, -EINVAL, "BadRecord", "a pod that is %s cannot be that far",
                       pod_phase_name(r->m.phase));
    for (size_t i = 0; i < r->n_containers; i++)
        TRY(container_check(&r->containers[i], &spec->containers[i], r, e));
    return 0;
}

static struct pod_machine *record_take(struct record *r, struct pod_spec *spec, struct pod_now now)
{
    struct pod_machine *m = xcalloc(1, sizeof(*m));

    *m = r->m;
    r->m.reason = r->m.message = NULL;
    m->spec = pod_spec_ref(spec);
    m->stop_due_ns = due_decode(&r->stop, now);
    m->deadline_ns = due_decode(&r->deadline, now);
    for (size_t i = 0; i < POD_CONDITIONS; i++)
        m->conditions[i] = r->conditions[i].c;
    m->c = xcalloc(spec->n_containers, sizeof(*m->c));
    for (size_t i = 0; i < spec->n_containers; i++) {
        struct pod_container_state *c = &m->c[i];

        *c = r->containers[i].c;
        r->containers[i].c = (struct pod_container_state){0};
        c->due_ns = due_decode(&r->containers[i].due, now);
        c->is_unclaimed = pod_state_is_live(c->state);
        if (c->is_unclaimed)
            c->running_ns = running_decode(&r->containers[i], now);
    }
    return m;
}

int pod_machine_decode(struct pod_spec *spec, struct pod_now now, const char *json, size_t len,
                       struct pod_machine **ret, struct err *e)
{
    struct json_limits limits = {.bytes = POD_RECORD_LIMIT_BYTES, .depth = 5};
    struct record r = {0};
    int result;

    TRY(json_decode(json, len, limits, fields, 0, &r, e));
    result = record_check(&r, spec, e);
    if (result >= 0)
        *ret = record_take(&r, spec, now);
    json_fields_done(fields, &r);
    return result < 0 ? result : 0;
}
