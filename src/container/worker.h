/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/name_index.h"
#include "container/container.h"
#include "container/list.h"

/*
 * One worker and the guests in it: private to this folder. docs/internals/containers.md has the
 * states and why.
 *
 * Nothing here calls the user: what is to be told is marked in the container, which is put into the
 * set's list of those that are due, and containers.c tells from a round of its own. So no code of
 * a worker has to expect that a container goes away under it.
 */

/* How long a worker that runs may take to say hello and what it has, and one that was started now.
 */
#define CONTAINER_HELLO_WAIT_MS 5000u
#define CONTAINER_START_WAIT_MS 30000u

/* Guests that a worker may tell of when it is adopted: those that it may have. Of records, as many
 * again are read in advance; the others when they are claimed. */
#define WORKER_GUEST_LIMIT  4096u
#define WORKER_RECORD_LIMIT 8192u

enum container_state {
    CONTAINER_WAITING, /* its START was not sent: it is nowhere yet */
    CONTAINER_SENT,    /* not answered: nobody knows */
    CONTAINER_RUNNING,
    CONTAINER_ENDED, /* `status` is valid */
    CONTAINER_REFUSED,
};

struct measure {
    void (*measured)(void *ctx, const struct message_figures *f);
    void *ctx;
};

struct container {
    struct containers *set;
    struct worker *worker; /* NULL for one that was refused before there was any */
    struct link in_worker, in_starts, in_due;
    struct name_link by_id; /* of the worker */
    char *id;
    enum container_state state;
    bool is_claimed; /* somebody holds it; otherwise it is only known */
    bool is_orphan;  /* nobody wanted it: it is stopped, and forgotten when it has ended */
    bool is_stopping;
    int64_t grace_ms;   /* of that */
    bool is_in_worker;  /* the worker keeps something for it until FORGET */
    bool is_unrecorded; /* its loss could not be written down yet */
    bool is_seen;       /* by LIST, while that goes on */
    bool is_forgotten;
    bool is_telling, is_dropped; /* to be freed when its callback has returned */
    uint64_t started_ns;         /* clock_realtime_ns(); 0: unknown */

    /* WAITING: the encoded START, and what it sends. */
    struct buf body;
    int *fds;
    size_t n_fds;

    const struct container_events *events;
    void *ctx;
    bool is_start_due, is_end_due;
    struct err refusal;
    struct guest_status status;

    struct measure *measures;     /* one MEASURE is under way for all of them */
    size_t n_measures, n_telling; /* the latter: of those that are being told */
    bool is_measure_due, has_figures;
    struct message_figures figures;
};

struct request {
    struct link link;
    enum message_type type;
    char *id;
    int64_t grace_ms; /* of a STOP */
};

enum worker_state {
    WORKER_NONE,     /* no process: never started, or it died */
    WORKER_GREETING, /* connected; its hello is awaited */
    WORKER_LISTING,  /* it was asked what it has, after adoption or a new connection */
    WORKER_READY,
    WORKER_BROKEN,  /* the connection is gone: most likely the process goes too */
    WORKER_LEAVING, /* it was told to shut down */
    WORKER_KILLED,  /* its death is awaited */
};

struct worker {
    struct containers *set;
    struct link in_set;
    char *tenant;
    enum worker_state state;
    int dir_fd;             /* its folder */
    struct link containers; /* all that are known */
    struct name_index ids;  /* of those */
    struct link starts;     /* those in the state WAITING, in order */
    struct link requests;   /* other messages, not sent yet */
    size_t n_active;        /* WAITING, SENT or RUNNING */
    size_t n_unanswered;    /* STARTs */
    bool is_adopting;       /* containers_adopt() waits for it */
    bool is_unseen;     /* there may be a process that nobody knows: none is started beside it */
    bool was_found;     /* by containers_adopt() */
    bool was_ready;     /* since its process started */
    unsigned fruitless; /* connections in a row that broke before they served anything */
    const char *kill_reason; /* static; NULL: it was not killed */
    bool is_full;            /* the last message that was tried found no room */

    /* Valid while there is a process. */
    pid_t pid;
    struct loop_child *child; /* NULL: an earlier supervisor's */
    int pid_fd;               /* -EBADF: not known */
    struct loop_watch *pid_watch;
    struct channel channel; /* fd is -EBADF without a connection */
    unsigned n_connected;   /* which connection it is */
    struct loop_watch *watch;
    struct loop_timer *timer; /* hello and list, idleness, leaving */
    off_t log_from;           /* of worker.log: what this process says comes after it */
    int log_fd;
};

struct containers {
    struct containers_options o; /* its strings are ours */
    int run_fd, lock_fd;
    struct link workers;
    struct link due;
    struct loop_timer *due_timer;
    size_t n_claimed;
    bool is_adopted, is_shutting_down;
    /* What an earlier supervisor may have started: see "Nothing runs twice" in
     * docs/internals/containers.md. */
    bool was_settled, is_settled, is_loss_unnoted;
    struct strv had_worker;                               /* tenants */
    void (*adopted)(void *ctx, const struct err *failed); /* NULL: not waited for */
    void *adopted_ctx;
    struct err adopt_failed; /* its code is 0 as long as it did not */
    void (*shut)(void *ctx);
    void *shut_ctx;
};

/* ---- containers.c ---- */

/* Whether an earlier supervisor may have had one for this tenant, which may have accepted guests.
 */
bool containers_had_worker(const struct containers *s, const char *tenant);
/* A loss could not be noted: the next supervisor has to suppose the worst. */
void containers_unsettle(struct containers *s);

/* ---- worker.c ---- */

/* NULL: the tenant has none. */
struct worker *worker_find(const struct containers *s, const char *tenant);
/* One without a process; makes the folder when it is missing. "RunFolder". */
int worker_new(struct containers *s, const char *tenant, struct worker **ret, struct err *e);
/* Leaves a process that runs to itself, and drops the containers, which nobody may hold. */
void worker_free(struct worker *w);

/* Something has changed: starts the process, sends what waits, minds idleness. */
void worker_kick(struct worker *w);
void worker_ask(struct worker *w, enum message_type type, const char *id);
void worker_ask_stop(struct worker *w, const char *id, int64_t grace_ms);
/* Told to end its guests and itself, and killed when it takes too long. */
void worker_leave(struct worker *w);
void worker_kill(struct worker *w, const char *why);
/* `how` is a phrase such as "was ended by signal 9". */
void worker_died(struct worker *w, const char *how);
/* After its connection was opened: hello is awaited for so long. */
void worker_greet(struct worker *w, uint64_t wait_ms);
void worker_tell(const struct worker *w, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* After its connection broke, in a round that may still use it. */
void worker_broken(struct worker *w, const struct err *e);

/* ---- worker_start.c ---- */

int worker_launch(struct worker *w, struct err *e);
/* Finds the one that an earlier supervisor has started; without one its records are read. Fails by
 * containers_adopt_failed(). */
void worker_adopt(struct worker *w);
int worker_connect(struct worker *w, struct err *e);
/* Of a process that is not our child: watches its pid_fd for its end. */
int worker_watch_process(struct worker *w, struct err *e);
/* At the end of adoption: makes an ended container of each record whose guest is not known. */
void worker_records_read(struct worker *w);
/* The same of one. Errors as of record_read(). */
int worker_record_know(struct worker *w, const char *id, struct container **ret, struct err *e);

/* ---- worker_messages.c ---- */

/* Reads the connection and acts on what came: 1 when the worker has closed it. Errors as of
 * channel_read() and channel_next(). */
int worker_read(struct worker *w, struct err *e);
/* Sends what waits, as far as there is room. */
int worker_send(struct worker *w, struct err *e);

/* ---- container.c ---- */

struct container *container_find(const struct worker *w, const char *id);
/* One that nobody has claimed. */
struct container *container_known(struct worker *w, const char *id, enum container_state state);
void container_destroy(struct container *c);
void container_set_running(struct container *c);
/* Takes the status. */
void container_set_ended(struct container *c, struct guest_status *status);
void container_set_refused(struct container *c, const struct err *e);
/* Ends by the record, without one as lost. */
void container_settle(struct container *c, const char *why);
void container_set_sent(struct container *c);
void container_measured(struct container *c, const struct message_figures *f); /* NULL: none */
bool container_is_active(const struct container *c);
/* Stops or forgets what nobody wanted. */
void container_disown(struct container *c);
/* Calls the next thing that is due of it. */
void container_tell(struct container *c);
bool container_is_due(const struct container *c);

/* ---- containers.c ---- */

void containers_due(struct container *c);
/* Something of a tenant (NULL: which there are) could not be found out. For want of descriptors or
 * memory adoption fails, since a guest might be run twice; what a worker has made unreadable is its
 * own loss, and told. */
void containers_adopt_failed(struct containers *s, const char *tenant, const struct err *e);
/* Something that `adopt` or `shut_down` waits for, or a worker without use, may be there. */
void containers_check(struct containers *s);
