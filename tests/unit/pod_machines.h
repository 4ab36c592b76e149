/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "unit.h"

#include "pod/machine/machine.h"

/* A pod for the tests of its machine: containers are added by role, and a rig feeds a machine with
 * a clock of its own. Places: inits and sidecars must be added before mains. */

#define SECOND 1000000000ull
#define MINUTE (60 * SECOND)
/* 2026-11-27T00:00:00Z */
#define RIG_EPOCH (1795737600 * SECOND)

struct rig {
    struct pod_spec *spec;
    struct pod_machine *m;
    struct pod_now now;
    struct pod_orders orders; /* of the last call */
};

static inline struct pod_spec *rig_spec(enum pod_restart restart)
{
    struct pod_spec *s = pod_spec_new();

    s->space = "shop";
    s->name = "web";
    s->uid = "u-1";
    s->restart = restart;
    s->grace_ms = 30000;
    s->containers = arena_array(s->arena, POD_CONTAINER_LIMIT, sizeof(*s->containers));
    return s;
}

static inline struct pod_container *rig_add(struct pod_spec *s, enum pod_container_role role,
                                            const char *name)
{
    struct pod_container *c = &s->containers[s->n_containers++];

    if (role != POD_ROLE_MAIN)
        s->n_first = s->n_containers;
    c->name = name;
    c->role = role;
    c->image = arena_printf(s->arena, "registry.test/%s:1", name);
    return c;
}

static inline struct pod_probe *rig_probe(struct pod_spec *s, int64_t grace_ms)
{
    struct pod_probe *p = arena_alloc(s->arena, sizeof(*p));

    p->grace_ms = grace_ms;
    return p;
}

/* Takes the spec over. */
static inline void rig_open(struct rig *r, struct pod_spec *spec)
{
    *r = (struct rig){
        .spec = spec, .now = {1000 * SECOND, RIG_EPOCH}
    };
    r->m = pod_machine_new(spec, r->now);
    pod_machine_begin(r->m, r->now, &r->orders);
}

static inline void rig_done(struct rig *r)
{
    pod_machine_free(r->m);
    pod_orders_done(&r->orders);
    pod_spec_unref(r->spec);
}

static inline void rig_pass(struct rig *r, uint64_t ns)
{
    r->now.monotonic_ns += ns;
    r->now.realtime_ns += ns;
}

static inline void rig_set_up(struct rig *r)
{
    pod_orders_clear(&r->orders);
    pod_machine_set_up(r->m, r->now, NULL, &r->orders);
}

static inline void rig_feed(struct rig *r, const struct pod_input *in)
{
    pod_orders_clear(&r->orders);
    pod_machine_feed(r->m, r->now, in, &r->orders);
}

static inline void rig_event(struct rig *r, size_t i, enum pod_event event)
{
    struct err e = {-EIO, "BadLuck", "no luck"};
    struct guest_status status = {.reason = (char *)"Completed"};

    rig_feed(r, &(struct pod_input){.event = event,
                                    .container = i,
                                    .error = &e,
                                    .status = &status,
                                    .message = event == POD_EVENT_UNREADY ? "no luck" : NULL});
}

static inline void rig_exit(struct rig *r, size_t i, int code)
{
    struct guest_status status = {.reason = (char *)(code ? "Error" : "Completed"),
                                  .exit_code = code};

    rig_feed(r, &(struct pod_input){.event = POD_EVENT_EXITED, .container = i, .status = &status});
}

static inline void rig_fail(struct rig *r, size_t i, enum pod_event event, const char *reason)
{
    const struct err e = {-EIO, reason, "no luck"};

    rig_feed(r, &(struct pod_input){.event = event, .container = i, .error = &e});
}

/* From its turn to the order to start it. */
static inline void rig_prepare(struct rig *r, size_t i)
{
    rig_event(r, i, POD_EVENT_IMAGE_OK);
    rig_event(r, i, POD_EVENT_CONFIG_OK);
}

/* From its turn to its run. */
static inline void rig_run(struct rig *r, size_t i)
{
    rig_prepare(r, i);
    rig_event(r, i, POD_EVENT_STARTED);
}

static inline void rig_timer(struct rig *r, uint64_t pass_ns)
{
    rig_pass(r, pass_ns);
    pod_orders_clear(&r->orders);
    pod_machine_timer(r->m, r->now, &r->orders);
}

static inline void rig_delete(struct rig *r, int64_t grace_ms)
{
    pod_orders_clear(&r->orders);
    pod_machine_delete(r->m, r->now, grace_ms, &r->orders);
}

static inline const char *rig_record(const struct rig *r, struct buf *out)
{
    struct json_writer w;
    struct err e = ERR_INIT;

    buf_clear(out);
    json_writer_init(&w, out, false);
    pod_machine_encode(r->m, r->now, &w);
    assert_ok(json_writer_finish(&w, &e));
    return buf_str(out);
}

/* As if the supervisor had been killed: only the record is left. */
static inline void rig_restore(struct rig *r)
{
    struct err e = ERR_INIT;
    autobuf record = BUF_INIT;

    rig_record(r, &record);
    pod_machine_free(r->m);
    r->m = NULL;
    assert_ok(pod_machine_decode(r->spec, r->now, record.data, record.len, &r->m, &e));
    pod_orders_clear(&r->orders);
    pod_machine_begin(r->m, r->now, &r->orders);
}

/* The orders of the last call, but for STATUS and EVENT: "persist start:app#1". */
static inline const char *rig_orders(const struct rig *r)
{
    static const char *const names[] = {
        "persist",  "setup", "resolve",   "prepare", "start", "post-start", "probe",    "unprobe",
        "pre-stop", "tell",  "interrupt", "forget",  NULL,    NULL,         "teardown", "gone",
    };
    static char text[4096];
    size_t n = 0;

    *text = 0;
    for (size_t i = 0; i < r->orders.n; i++) {
        const struct pod_order *o = &r->orders.v[i];

        if (!names[o->kind])
            continue;
        n += snprintf(text + n, sizeof(text) - n, "%s%s", n ? " " : "", names[o->kind]);
        if (o->container != POD_ORDER_OF_POD)
            n +=
                snprintf(text + n, sizeof(text) - n, ":%s", r->spec->containers[o->container].name);
        if (o->kind == POD_ORDER_START || o->kind == POD_ORDER_FORGET)
            n += snprintf(text + n, sizeof(text) - n, "#%d", (int)o->attempt);
    }
    return text;
}

/* The events for people of the last call: "Reason: text\n". */
static inline const char *rig_said(const struct rig *r)
{
    static char text[8192];
    size_t n = 0;

    *text = 0;
    for (size_t i = 0; i < r->orders.n; i++)
        if (r->orders.v[i].kind == POD_ORDER_EVENT)
            n += snprintf(text + n, sizeof(text) - n, "%s: %s\n", r->orders.v[i].reason,
                          r->orders.v[i].text);
    return text;
}

#define assert_orders(rig, text) assert_string_equal(rig_orders(rig), (text))
#define assert_state(rig, i, state)                                                                \
    assert_string_equal(pod_state_name(pod_machine_state((rig)->m, (i))), pod_state_name(state))
#define assert_phase(rig, phase)                                                                   \
    assert_string_equal(pod_phase_name(pod_machine_phase((rig)->m)), pod_phase_name(phase))
#define assert_waits(rig, ns)                                                                      \
    assert_int_equal(pod_machine_timer_ns((rig)->m), (rig)->now.monotonic_ns + (ns))

/* A pod of one container, set up. */
static inline void rig_open_one(struct rig *r, enum pod_restart restart)
{
    struct pod_spec *s = rig_spec(restart);

    rig_add(s, POD_ROLE_MAIN, "app");
    rig_open(r, s);
    rig_set_up(r);
}
