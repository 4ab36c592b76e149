/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The states of a container, what can happen to it, and the table that says what follows. The table
 * knows neither policies nor times: what depends on those is decided in the state ENDED, which is
 * left again within the same call (machine_acts.c).
 */
enum pod_state {
    POD_STATE_WAITING,        /* for its turn, or for the pod's volumes and network */
    POD_STATE_RESOLVING,      /* its image is looked up, and pulled when it is missing */
    POD_STATE_PULL_BACKOFF,   /* that failed */
    POD_STATE_PREPARING,      /* its environment and mounts are made */
    POD_STATE_CONFIG_BACKOFF, /* that failed */
    POD_STATE_STARTING,       /* its start was recorded, and may have been sent */
    POD_STATE_RUNNING,        /* its start was accepted */
    POD_STATE_PRE_STOPPING,   /* its preStop hook runs */
    POD_STATE_TOLD,           /* it was told to end */
    POD_STATE_INTERRUPTED,    /* its grace is over: it is made to end */
    POD_STATE_ENDED,          /* only while it is decided what follows an end */
    POD_STATE_CRASH_BACKOFF,  /* it ended and will be started again later */
    POD_STATE_FINISHED,       /* it never starts again */
};
#define POD_STATES (POD_STATE_FINISHED + 1)

enum pod_event {
    /* Of an image, an environment, a run: told by whoever carries out orders. */
    POD_EVENT_PULLING, /* the image is missing and is being pulled */
    POD_EVENT_IMAGE_OK,
    POD_EVENT_IMAGE_FAILED,
    POD_EVENT_CONFIG_OK,
    POD_EVENT_CONFIG_FAILED,
    POD_EVENT_STARTED, /* accepted; of one that was claimed: it still runs */
    POD_EVENT_REFUSED, /* it never was there, for a reason */
    POD_EVENT_EXITED,
    POD_EVENT_LOST,  /* it was accepted, and how it ended is not known */
    POD_EVENT_NEVER, /* of one that was claimed: it never was accepted */
    POD_EVENT_POST_START_OK,
    POD_EVENT_POST_START_FAILED,
    POD_EVENT_STARTUP_OK, /* the startup probe; the other probes follow */
    POD_EVENT_STARTUP_FAILED,
    POD_EVENT_LIVENESS_FAILED,
    POD_EVENT_READY, /* readiness probe */
    POD_EVENT_UNREADY,
    POD_EVENT_PRE_STOP_DONE, /* well or not: a message says that it failed */
    /* Asked for. */
    POD_EVENT_RESTART, /* by a person: at once, whatever the policy */
    POD_EVENT_RETRY,   /* what was missing may be there now */
    /* The machine's own; pod_machine_feed() does not take them. */
    POD_EVENT_TURN,
    POD_EVENT_TIMER,       /* a wait is over */
    POD_EVENT_GRACE_ENDED, /* the time to end by itself is over */
    POD_EVENT_STOP,        /* the pod ends */
    POD_EVENT_AGAIN,       /* an end was judged: start again now */
    POD_EVENT_LATER,       /* start again after a wait */
    POD_EVENT_FOR_GOOD,    /* never again */
};
#define POD_EVENTS (POD_EVENT_FOR_GOOD + 1)

/* What is done besides changing the state. */
enum pod_act {
    POD_ACT_IGNORE, /* it may happen (late, or twice) and means nothing now */
    POD_ACT_BUG,    /* cannot happen: the machine itself would be wrong */
    POD_ACT_RESOLVE,
    POD_ACT_SAY_PULLING,
    POD_ACT_PULL_FAILED,
    POD_ACT_PREPARE,
    POD_ACT_CONFIG_FAILED,
    POD_ACT_START,
    POD_ACT_RUN,
    POD_ACT_ADOPT, /* what the state had ordered is ordered again */
    POD_ACT_HOOKED,
    POD_ACT_STARTED_UP,
    POD_ACT_READY,
    POD_ACT_UNREADY,
    POD_ACT_PRE_STOP,
    POD_ACT_TELL,
    POD_ACT_INTERRUPT,
    POD_ACT_NOTE_STOP, /* it is ending already, or cannot yet; its grace may become shorter */
    POD_ACT_END_EXITED,
    POD_ACT_END_LOST,
    POD_ACT_END_REFUSED,
    POD_ACT_END_NEVER,
    POD_ACT_WAIT,
    POD_ACT_WAIT_OVER,
    POD_ACT_FINISH,
};
#define POD_ACTS (POD_ACT_FINISH + 1)

struct pod_cell {
    enum pod_state next;
    enum pod_act act;
};

const struct pod_cell *pod_cell(enum pod_state state, enum pod_event event);

/* "waiting", "crash-back-off": for records and the log. */
const char *pod_state_name(enum pod_state state);
