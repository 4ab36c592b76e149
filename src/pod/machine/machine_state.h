/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/clock.h"
#include "pod/machine/backoff.h"
#include "pod/machine/machine.h"

/* What the files of the machine and the status share; nobody else includes it. */

/* Longer texts from outside are cut: Kubernetes' limit of a termination message. */
#define POD_TEXT_LIMIT 4096

/* RFC 3339; "": not known. */
struct pod_time {
    char text[CLOCK_RFC3339_SIZE];
};

/* How an attempt ended. */
struct pod_end {
    int64_t attempt; /* 0: there was none */
    int64_t exit_code;
    char *reason;  /* heap */
    char *message; /* heap, or NULL */
    struct pod_time started_at, finished_at;
};

/* Why a container is made to end; a later one replaces only a smaller one. */
enum pod_cause {
    POD_CAUSE_NONE,
    POD_CAUSE_POST_START,
    POD_CAUSE_STARTUP,
    POD_CAUSE_LIVENESS,
    POD_CAUSE_RESTART,
    POD_CAUSE_POD, /* the pod ends */
};
#define POD_CAUSES (POD_CAUSE_POD + 1)

struct pod_container_state {
    enum pod_state state;
    enum pod_cause cause;
    int64_t attempt;  /* 0: none yet */
    bool is_accepted; /* the attempt was, or was refused: the next one has another number */
    bool is_hooked;   /* postStart is done, or there is none */
    bool is_started;  /* and so is the startup probe */
    bool was_started; /* some attempt got that far */
    bool is_ready;    /* what the readiness probe said last */
    struct backoff pulls, configs, crashes;
    uint64_t due_ns;     /* end of a wait or of a grace, monotonic; 0: none */
    uint64_t running_ns; /* since when it runs or its start was sent, monotonic */
    struct pod_time started_at;
    char *image_id;                   /* heap, or NULL */
    char *wait_reason, *wait_message; /* of a back-off; heap, or NULL */
    struct pod_end end, previous;     /* the last one and the one before it */
    /* Not recorded. */
    bool is_pulling;
    bool is_unclaimed;
};

enum pod_condition {
    POD_CONDITION_SCHEDULED,
    POD_CONDITION_READY_TO_START,
    POD_CONDITION_INITIALIZED,
    POD_CONDITION_CONTAINERS_READY,
    POD_CONDITION_READY,
};
#define POD_CONDITIONS (POD_CONDITION_READY + 1)

struct pod_condition_state {
    bool is_true;
    struct pod_time changed_at;
};

struct pod_machine {
    struct pod_spec *spec;
    enum pod_phase phase;
    char *reason, *message; /* why it failed as a whole; heap, or NULL */
    struct pod_time started_at;
    bool is_initialized; /* the init containers are through */
    bool was_set_up;     /* once */
    bool is_ending, is_deleting, is_over;
    bool has_failed_init;
    int64_t grace_ms;     /* while it is ending */
    uint64_t stop_due_ns; /* when that is over, monotonic */
    uint64_t deadline_ns; /* of activity; 0: none */
    struct pod_condition_state conditions[POD_CONDITIONS];
    struct pod_container_state *c; /* one for each of the spec's */
    /* Not recorded. */
    bool is_set_up;
    bool is_gone;
    struct backoff setups;
    uint64_t setup_due_ns; /* 0: none */
};

/* One call of the machine. */
struct pod_turn {
    struct pod_machine *m;
    struct pod_now now;
    struct pod_orders *orders;
    bool is_changed; /* what is recorded and shown */
};

/* machine_acts.c: one event of a container. `in` may be NULL for the machine's own. */
void pod_step(struct pod_turn *t, size_t container, enum pod_event event,
              const struct pod_input *in);

/* machine_orders.c */
struct pod_order *pod_order_add(struct pod_turn *t, enum pod_order_kind kind, size_t container);
/* An event for people. */
void pod_say(struct pod_turn *t, bool is_warning, size_t container, const char *reason,
             const char *fmt, ...) __attribute__((format(printf, 5, 6)));

/* machine_phase.c: brings phase and conditions up to date. */
void pod_phase_update(struct pod_turn *t);
bool pod_container_is_ready(const struct pod_machine *m, size_t container);
bool pod_container_is_initialized(const struct pod_machine *m, size_t container);
/* Some attempt of it was accepted or refused. */
bool pod_container_was_tried(const struct pod_container_state *c);

/* An attempt may exist. */
static inline bool pod_state_is_live(enum pod_state s)
{
    return s >= POD_STATE_STARTING && s <= POD_STATE_INTERRUPTED;
}

static inline bool pod_end_is_good(const struct pod_end *e)
{
    return e->attempt && !e->exit_code;
}

static inline const struct pod_container *pod_container_at(const struct pod_machine *m, size_t i)
{
    return &m->spec->containers[i];
}

/* A copy that is UTF-8 and not too long; NULL for NULL. */
char *pod_text_copy(const char *text);

/* More than 30 years are not told apart, so that sums stay in range. */
static inline uint64_t pod_ms_to_ns(int64_t ms)
{
    int64_t limit = 1000000000000;

    return ms <= 0 ? 0 : (uint64_t)(ms < limit ? ms : limit) * 1000000;
}

static inline void pod_time_set(struct pod_time *t, struct pod_now now)
{
    clock_rfc3339_format((int64_t)now.realtime_ns, t->text);
}
