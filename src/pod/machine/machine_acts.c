/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>

#include "container/container.h"
#include "pod/machine/machine_state.h"

/* What the table's acts do, and the judgement of ends. */

#define EXIT_REFUSED_REASON "StartError"
/* What a container gets to end by itself when others or its hook used up the grace, as from a
 * kubelet. */
#define LAST_GRACE_NS 2000000000ull

/* What one act works on. */
struct act {
    struct pod_turn *t;
    struct pod_container_state *c;
    const struct pod_container *spec;
    size_t i;
    enum pod_event event;
    const struct pod_input *in; /* may be NULL */
    enum pod_state from;
};

static const char *message_of(const struct act *a)
{
    if (a->in && a->in->error)
        return a->in->error->msg;
    return a->in ? a->in->message : NULL;
}

static void order(const struct act *a, enum pod_order_kind kind)
{
    pod_order_add(a->t, kind, a->i);
}

static void set_wait(const struct act *a, const char *reason, const char *message)
{
    free(a->c->wait_reason);
    free(a->c->wait_message);
    a->c->wait_reason = pod_text_copy(reason);
    a->c->wait_message = pod_text_copy(message);
}

/* As Go writes durations: "10s", "1m20s", "5m0s". */
static void format_wait(uint64_t ns, char *ret, size_t size)
{
    uint64_t s = ns / 1000000000;

    if (s < 60)
        snprintf(ret, size, "%" PRIu64 "s", s);
    else
        snprintf(ret, size, "%" PRIu64 "m%" PRIu64 "s", s / 60, s % 60);
}

/* ---- Before it runs ---- */

static void ignore(const struct act *a)
{
    (void)a;
}

static void resolve(const struct act *a)
{
    a->c->is_pulling = false;
    order(a, POD_ORDER_RESOLVE);
}

static void say_pulling(const struct act *a)
{
    if (!a->c->is_pulling)
        pod_say(a->t, false, a->i, "Pulling", "Pulling image \"%s\"", a->spec->image);
    a->c->is_pulling = true;
}

static void pull_failed(const struct act *a)
{
    /* Of these the wait is not the news. */
    static const char *const kept[] = {"ErrImageNeverPull", "InvalidImageName"};
    const char *reason = "ErrImagePull", *message = message_of(a);
    autofree char *again = NULL;

    a->c->due_ns = a->t->now.monotonic_ns + backoff_failed(&a->c->pulls);
    for (size_t i = 0; a->in && a->in->error && i < ARRAY_SIZE(kept); i++)
        if (str_eq(a->in->error->reason, kept[i]))
            reason = kept[i];
    pod_say(a->t, true, a->i, "Failed", "Failed to pull image \"%s\": %s", a->spec->image,
            message ? message : "no cause was given");
    pod_say(a->t, true, a->i, "Failed", "Error: %s", reason);
    if (a->c->pulls.failures == 1 || !str_eq(reason, "ErrImagePull")) {
        set_wait(a, reason, message);
        return;
    }
    again = xasprintf("Back-off pulling image \"%s\": ErrImagePull: %s", a->spec->image,
                      message ? message : "no cause was given");
    set_wait(a, "ImagePullBackOff", again);
    pod_say(a->t, false, a->i, "BackOff", "Back-off pulling image \"%s\"", a->spec->image);
}

static void prepare(const struct act *a)
{
    free(a->c->image_id);
    a->c->image_id = pod_text_copy(a->in ? a->in->image_id : NULL);
    backoff_reset(&a->c->pulls);
    if (a->c->is_pulling)
        pod_say(a->t, false, a->i, "Pulled", "Successfully pulled image \"%s\"", a->spec->image);
    else
        pod_say(a->t, false, a->i, "Pulled", "Container image \"%s\" already present on machine",
                a->spec->image);
    order(a, POD_ORDER_PREPARE);
}

static void config_failed(const struct act *a)
{
    static const char *const known[] = {"CreateContainerConfigError", "CreateContainerError"};
    const char *reason = known[0], *message = message_of(a);

    for (size_t i = 0; a->in && a->in->error && i < ARRAY_SIZE(known); i++)
        if (str_eq(a->in->error->reason, known[i]))
            reason = known[i];
    a->c->due_ns = a->t->now.monotonic_ns + backoff_failed(&a->c->configs);
    set_wait(a, reason, message);
    pod_say(a->t, true, a->i, "Failed", "Error: %s", message ? message : reason);
}

static void start(const struct act *a)
{
    struct pod_container_state *c = a->c;

    backoff_reset(&c->configs);
    if (!c->attempt || c->is_accepted)
        c->attempt++;
    c->is_accepted = c->is_hooked = c->is_started = c->is_ready = false;
    c->cause = POD_CAUSE_NONE;
    c->due_ns = 0;
    c->running_ns = a->t->now.monotonic_ns;
    order(a, POD_ORDER_START);
}

/* ---- While it runs ---- */

static bool has_probe(const struct act *a)
{
    return a->spec->startup || a->spec->liveness || a->spec->readiness;
}

static void started_up(const struct act *a)
{
    if (!a->c->is_hooked || a->c->is_started)
        return;
    a->c->is_started = a->c->was_started = true;
    a->t->is_changed = true;
    if (a->spec->liveness || a->spec->readiness)
        order(a, POD_ORDER_PROBE);
}

static void hooked(const struct act *a)
{
    if (a->c->is_hooked)
        return;
    a->c->is_hooked = true;
    a->t->is_changed = true;
    if (a->spec->startup)
        order(a, POD_ORDER_PROBE);
    else
        started_up(a);
}

static void run(const struct act *a)
{
    a->c->is_accepted = true;
    a->c->is_unclaimed = false;
    a->c->running_ns = a->t->now.monotonic_ns;
    pod_time_set(&a->c->started_at, a->t->now);
    if (a->c->cause == POD_CAUSE_NONE)
        a->c->due_ns = 0;
    pod_say(a->t, false, a->i, "Created", "Created container: %s", a->spec->name);
    pod_say(a->t, false, a->i, "Started", "Started container %s", a->spec->name);
    if (a->spec->post_start)
        order(a, POD_ORDER_POST_START);
    else
        hooked(a);
}

static void adopt(const struct act *a)
{
    a->c->is_unclaimed = false;
    /* Hooks run at least once. */
    if (a->from == POD_STATE_PRE_STOPPING && a->spec->pre_stop)
        order(a, POD_ORDER_PRE_STOP);
    else if (a->from == POD_STATE_PRE_STOPPING)
        pod_step(a->t, a->i, POD_EVENT_PRE_STOP_DONE, NULL);
    else if (a->from == POD_STATE_TOLD)
        order(a, POD_ORDER_TELL);
    else if (a->from == POD_STATE_INTERRUPTED)
        order(a, POD_ORDER_INTERRUPT);
    else if (!a->c->is_hooked && a->spec->post_start)
        order(a, POD_ORDER_POST_START);
    else if (!a->c->is_hooked)
        hooked(a);
    else if (has_probe(a))
        order(a, POD_ORDER_PROBE);
}

static void ready(const struct act *a)
{
    a->t->is_changed |= !a->c->is_ready;
    a->c->is_ready = true;
}

static void unready(const struct act *a)
{
    const char *message = message_of(a);

    a->t->is_changed |= a->c->is_ready;
    a->c->is_ready = false;
    if (message)
        pod_say(a->t, true, a->i, "Unhealthy", "Readiness probe failed: %s", message);
}

/* ---- While it ends ---- */

static int64_t grace_ms(const struct act *a)
{
    const struct pod_probe *probe = NULL;

    if (a->c->cause == POD_CAUSE_POD)
        return a->t->m->grace_ms;
    if (a->c->cause == POD_CAUSE_STARTUP)
        probe = a->spec->startup;
    else if (a->c->cause == POD_CAUSE_LIVENESS)
        probe = a->spec->liveness;
    return probe && probe->grace_ms >= 0 ? probe->grace_ms : a->t->m->spec->grace_ms;
}

static enum pod_cause cause_of(enum pod_event event)
{
    switch ((int)event) {
    case POD_EVENT_POST_START_FAILED:
        return POD_CAUSE_POST_START;
    case POD_EVENT_STARTUP_FAILED:
        return POD_CAUSE_STARTUP;
    case POD_EVENT_LIVENESS_FAILED:
        return POD_CAUSE_LIVENESS;
    case POD_EVENT_RESTART:
        return POD_CAUSE_RESTART;
    default:
        return POD_CAUSE_POD;
    }
}

static void say_why_killed(const struct act *a)
{
    const char *message = message_of(a), *name = a->spec->name;
    const char *after = a->t->m->spec->restart == POD_RESTART_NEVER ? "" : ", will be restarted";

    if (!message)
        message = "no cause was given";
    switch (a->c->cause) {
    case POD_CAUSE_POST_START:
        pod_say(a->t, true, a->i, "FailedPostStartHook", "PostStartHook failed: %s", message);
        pod_say(a->t, false, a->i, "Killing", "FailedPostStartHook");
        break;
    case POD_CAUSE_STARTUP:
        pod_say(a->t, true, a->i, "Unhealthy", "Startup probe failed: %s", message);
        pod_say(a->t, false, a->i, "Killing", "Container %s failed startup probe%s", name, after);
        break;
    case POD_CAUSE_LIVENESS:
        pod_say(a->t, true, a->i, "Unhealthy", "Liveness probe failed: %s", message);
        pod_say(a->t, false, a->i, "Killing", "Container %s failed liveness probe%s", name, after);
        break;
    case POD_CAUSE_NONE:
    case POD_CAUSE_RESTART:
    case POD_CAUSE_POD:
        pod_say(a->t, false, a->i, "Killing", "Stopping container %s", name);
        break;
    }
}

static void pre_stop(const struct act *a)
{
    uint64_t now = a->t->now.monotonic_ns;

    a->c->cause = cause_of(a->event);
    a->c->is_ready = false;
    a->t->is_changed = true;
    say_why_killed(a);
    order(a, POD_ORDER_UNPROBE);
    a->c->due_ns =
        a->c->cause == POD_CAUSE_POD ? a->t->m->stop_due_ns : now + pod_ms_to_ns(grace_ms(a));
    if (a->spec->pre_stop && a->c->due_ns > now)
        order(a, POD_ORDER_PRE_STOP);
    else
        pod_step(a->t, a->i, POD_EVENT_PRE_STOP_DONE, NULL);
}

static void tell(const struct act *a)
{
    uint64_t now = a->t->now.monotonic_ns, grace = pod_ms_to_ns(grace_ms(a));
    uint64_t least = now + (grace < LAST_GRACE_NS ? grace : LAST_GRACE_NS);
    const char *message = message_of(a);

    if (message)
        pod_say(a->t, true, a->i, "FailedPreStopHook", "PreStopHook failed: %s", message);
    if (a->event == POD_EVENT_GRACE_ENDED)
        pod_say(a->t, true, a->i, "FailedPreStopHook",
                "PreStopHook failed: it had not ended when the grace of the container was over");
    if (!grace) {
        pod_step(a->t, a->i, POD_EVENT_GRACE_ENDED, NULL);
        return;
    }
    if (a->c->due_ns < least)
        a->c->due_ns = least;
    order(a, POD_ORDER_TELL);
}

static void interrupt(const struct act *a)
{
    a->c->due_ns = 0;
    order(a, POD_ORDER_INTERRUPT);
}

static void note_stop(const struct act *a)
{
    uint64_t due = a->t->m->stop_due_ns;

    a->c->cause = POD_CAUSE_POD;
    a->t->is_changed = true;
    /* Where nothing is waited for any more there is nothing to make shorter. */
    if (a->from == POD_STATE_INTERRUPTED)
        return;
    if (!a->c->due_ns || due < a->c->due_ns)
        a->c->due_ns = due;
}

/* ---- What follows an end ---- */

/* Cut to seconds, as Kubernetes shows times; what does not look like one is not known. */
static bool time_take(const char *text, struct pod_time *ret)
{
    static const char shape[] = "0000-00-00T00:00:00";

    if (!text || strnlen(text, CLOCK_RFC3339_SIZE) < sizeof(shape))
        return false;
    for (size_t i = 0; i < sizeof(shape) - 1; i++)
        if (shape[i] == '0' ? !isdigit((unsigned char)text[i]) : text[i] != shape[i])
            return false;
    snprintf(ret->text, sizeof(ret->text), "%.*sZ", (int)sizeof(shape) - 1, text);
    return true;
}

/* A new last end; the one before it moves. */
static struct pod_end *end_new(const struct act *a, const char *reason, const char *message)
{
    struct pod_end *end = &a->c->end;

    free(a->c->previous.reason);
    free(a->c->previous.message);
    a->c->previous = *end;
    *end = (struct pod_end){
        .attempt = a->c->attempt,
        .reason = pod_text_copy(reason),
        .message = pod_text_copy(message),
        .started_at = a->c->started_at,
    };
    pod_time_set(&end->finished_at, a->t->now);
    return end;
}

static enum pod_event after_failure(const struct act *a)
{
    uint64_t now = a->t->now.monotonic_ns, ran = 0, wait;

    if (a->event == POD_EVENT_REFUSED) {
        wait = backoff_failed(&a->c->crashes);
    } else {
        /* Of what was found ended after a claim the beginning may not be known. */
        if (a->from != POD_STATE_STARTING && a->c->running_ns < now)
            ran = now - a->c->running_ns;
        wait = backoff_ended(&a->c->crashes, ran);
    }
    a->c->due_ns = wait ? now + wait : 0;
    return wait ? POD_EVENT_LATER : POD_EVENT_AGAIN;
}

static enum pod_event judge(const struct act *a)
{
    struct pod_container_state *c = a->c;
    enum pod_restart policy = a->t->m->spec->restart;
    bool was_killed = c->cause != POD_CAUSE_NONE;

    if (a->t->m->is_ending || c->cause == POD_CAUSE_POD)
        return POD_EVENT_FOR_GOOD;
    if (c->cause == POD_CAUSE_RESTART) {
        backoff_reset(&c->crashes);
        return POD_EVENT_AGAIN;
    }
    if (a->spec->role == POD_ROLE_SIDECAR)
        return after_failure(a);
    if (policy == POD_RESTART_NEVER)
        return POD_EVENT_FOR_GOOD;
    /* A probe's verdict counts more than a clean exit. */
    if (!c->end.exit_code && !was_killed &&
        (a->spec->role == POD_ROLE_INIT || policy == POD_RESTART_ON_FAILURE))
        return POD_EVENT_FOR_GOOD;
    return after_failure(a);
}

static void ended(const struct act *a, enum pod_event verdict)
{
    a->c->is_unclaimed = false;
    a->c->is_started = a->c->is_ready = false;
    if (a->from == POD_STATE_RUNNING)
        order(a, POD_ORDER_UNPROBE);
    if (a->c->is_accepted)
        order(a, POD_ORDER_FORGET);
    pod_step(a->t, a->i, verdict, a->in);
    a->c->started_at = (struct pod_time){0};
}

static void end_exited(const struct act *a)
{
    const struct guest_status *s = a->in ? a->in->status : NULL;
    struct pod_end *end;

    BUG_ON(!s);
    a->c->is_accepted = true;
    a->c->due_ns = 0;
    end = end_new(a, s->reason, s->message);
    end->exit_code = s->exit_code;
    time_take(s->started_at, &end->started_at);
    time_take(s->finished_at, &end->finished_at);
    ended(a, judge(a));
}

static void end_lost(const struct act *a)
{
    const char *message = message_of(a);

    a->c->is_accepted = true;
    a->c->due_ns = 0;
    end_new(a, CONTAINER_REASON_LOST, message)->exit_code = CONTAINER_EXIT_LOST;
    pod_say(a->t, true, a->i, CONTAINER_REASON_LOST, "Lost container %s: %s", a->spec->name,
            message ? message : "its worker has gone without a record of its end");
    ended(a, judge(a));
}

/* There was no worker to say no: nothing was tried that could count. */
static bool is_unreached(const struct err *e)
{
    static const char *const reasons[] = {CONTAINER_REASON_WORKER, CONTAINER_REASON_CONNECTION,
                                          CONTAINER_REASON_SHUT_DOWN};

    for (size_t i = 0; i < ARRAY_SIZE(reasons); i++)
        if (str_eq(e->reason, reasons[i]))
            return true;
    return false;
}

static void end_refused(const struct act *a)
{
    const struct err *e = a->in ? a->in->error : NULL;
    autofree char *message = NULL;

    BUG_ON(!e);
    a->c->due_ns = 0;
    /* Kubernetes has one reason for all of them, so ours begins the message. */
    message = xasprintf("%s: %s", e->reason, e->msg);
    end_new(a, EXIT_REFUSED_REASON, message)->exit_code = guest_exit_for(e);
    pod_say(a->t, true, a->i, "Failed", "Error: %s", message);
    ended(a, judge(a));
    a->c->is_accepted = !is_unreached(e);
}

/* Nothing of it happened: no end, no failure, and the number is used again. */
static void end_never(const struct act *a)
{
    if (a->c->is_accepted) {
        end_lost(a);
        return;
    }
    a->c->due_ns = 0;
    ended(a, a->t->m->is_ending ? POD_EVENT_FOR_GOOD : POD_EVENT_AGAIN);
}

static void wait(const struct act *a)
{
    const struct pod_spec *pod = a->t->m->spec;
    char text[32];
    autofree char *message = NULL;

    format_wait(a->c->due_ns - a->t->now.monotonic_ns, text, sizeof(text));
    message = xasprintf("back-off %s restarting failed container=%s pod=%s_%s(%s)", text,
                        a->spec->name, pod->name, pod->space, pod->uid);
    /* The first time the cause is the news, then the wait. */
    if (str_eq(a->c->end.reason, EXIT_REFUSED_REASON) && a->c->crashes.failures == 1)
        set_wait(a, "RunContainerError", a->c->end.message);
    else
        set_wait(a, "CrashLoopBackOff", message);
    pod_say(a->t, true, a->i, "BackOff", "Back-off restarting failed container %s in pod %s_%s(%s)",
            a->spec->name, pod->name, pod->space, pod->uid);
}

static void wait_over(const struct act *a)
{
    a->c->due_ns = 0;
    /* Who asks for it does not want what failed before to count. */
    if (a->event == POD_EVENT_RESTART)
        backoff_reset(&a->c->crashes);
}

static void finish(const struct act *a)
{
    a->c->due_ns = 0;
    set_wait(a, NULL, NULL);
}

static bool is_recorded(enum pod_state state)
{
    /* The transient one is left at once, the other two are begun anew after a restart. */
    return state != POD_STATE_ENDED && state != POD_STATE_RESOLVING && state != POD_STATE_PREPARING;
}

void pod_step(struct pod_turn *t, size_t container, enum pod_event event,
              const struct pod_input *in)
{
    static void (*const acts[POD_ACTS])(const struct act *a) = {
        [POD_ACT_IGNORE] = ignore,
        [POD_ACT_RESOLVE] = resolve,
        [POD_ACT_SAY_PULLING] = say_pulling,
        [POD_ACT_PULL_FAILED] = pull_failed,
        [POD_ACT_PREPARE] = prepare,
        [POD_ACT_CONFIG_FAILED] = config_failed,
        [POD_ACT_START] = start,
        [POD_ACT_RUN] = run,
        [POD_ACT_ADOPT] = adopt,
        [POD_ACT_HOOKED] = hooked,
        [POD_ACT_STARTED_UP] = started_up,
        [POD_ACT_READY] = ready,
        [POD_ACT_UNREADY] = unready,
        [POD_ACT_PRE_STOP] = pre_stop,
        [POD_ACT_TELL] = tell,
        [POD_ACT_INTERRUPT] = interrupt,
        [POD_ACT_NOTE_STOP] = note_stop,
        [POD_ACT_END_EXITED] = end_exited,
        [POD_ACT_END_LOST] = end_lost,
        [POD_ACT_END_REFUSED] = end_refused,
        [POD_ACT_END_NEVER] = end_never,
        [POD_ACT_WAIT] = wait,
        [POD_ACT_WAIT_OVER] = wait_over,
        [POD_ACT_FINISH] = finish,
    };
    struct pod_container_state *c = &t->m->c[container];
    const struct pod_cell *cell = pod_cell(c->state, event);
    struct act a = {t, c, pod_container_at(t->m, container), container, event, in, c->state};

    BUG_ON(cell->act == POD_ACT_BUG);
    c->state = cell->next;
    if (c->state != a.from && is_recorded(c->state))
        t->is_changed = true;
    acts[cell->act](&a);
}
