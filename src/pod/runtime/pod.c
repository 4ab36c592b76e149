/* SPDX-License-Identifier: Apache-2.0 */
/* One pod: its life, and the queue of what its machine orders. */
#include <limits.h>

#include "base/clock.h"
#include "base/paths.h"
#include "pod/machine/status.h"
#include "pod/runtime/pod_internal.h"

struct pod_now pod_now(void)
{
    return (struct pod_now){clock_monotonic_ns(), clock_realtime_ns()};
}

/* ---- The queue ---- */

void pod_moved(struct pod *p)
{
    uint64_t due;

    if (p->is_closed)
        return;
    for (size_t i = 0; i < p->spec->n_containers; i++)
        run_check(&p->runs[i]);
    due = pod_machine_timer_ns(p->m);
    if (due == UINT64_MAX)
        loop_timer_clear(p->timer);
    else
        loop_timer_set(p->timer, due);
    /* Nothing is carried out while a record is on its way; when it is there this is called again.
     */
    if (!p->is_recording && p->head < p->orders.n && link_is_empty(&p->in_due)) {
        link_append(&p->set->due, &p->in_due);
        pods_round_soon(p->set);
    }
}

/* What was carried out goes when it is more than half. */
static void orders_shift(struct pod *p)
{
    struct pod_orders *o = &p->orders;

    if (p->head < o->n && p->head < o->n / 2)
        return;
    memmove(o->v, o->v + p->head, (o->n - p->head) * sizeof(*o->v));
    o->n -= p->head;
    p->head = 0;
}

void pod_round(struct pod *p)
{
    p->refs++; /* what is told may close it */
    while (!p->is_closed && !p->is_recording && p->head < p->orders.n) {
        struct pod_order o = p->orders.v[p->head];

        p->orders.v[p->head++].text = NULL;
        p->taken++;
        pod_carry_out(p, &o);
        free(o.text);
    }
    if (!p->is_closed) {
        orders_shift(p);
        pod_moved(p);
    }
    pod_unref(p);
}

static void timer_fired(void *ctx)
{
    struct pod *p = ctx;

    pod_machine_timer(p->m, pod_now(), &p->orders);
    pod_moved(p);
}

void pod_feed(struct pod *p, const struct pod_input *in)
{
    pod_machine_feed(p->m, pod_now(), in, &p->orders);
    pod_moved(p);
}

void pod_fail(struct pod *p, const char *reason, const char *message)
{
    pod_machine_fail(p->m, pod_now(), reason, message, &p->orders);
    pod_moved(p);
}

void pod_event(struct pod *p, const char *container, bool is_warning, const char *reason,
               const char *fmt, ...)
{
    autobuf text = BUF_INIT;
    va_list ap;

    va_start(ap, fmt);
    buf_vaddf(&text, fmt, ap);
    va_end(ap);
    if (p->set->o.event)
        p->set->o.event(p->set->o.ctx, p, container, is_warning, reason, buf_str(&text));
}

/* ---- Life ---- */

static void record_retried(void *ctx)
{
    pod_record(ctx);
}

struct pod *pod_new(struct pods *s, struct pod_spec *spec)
{
    struct pod *p = xcalloc(1, sizeof(*p));

    p->set = s;
    s->refs++;
    s->n_pods++;
    p->refs = 1;
    p->spec = pod_spec_ref(spec);
    p->fields = s->node;
    p->fields.spec = spec;
    p->m = pod_machine_new(spec, pod_now());
    p->timer = loop_timer_new(s->o.loop, timer_fired, p);
    p->record_timer = loop_timer_new(s->o.loop, record_retried, p);
    link_init(&p->in_set);
    link_init(&p->in_due);
    link_init(&p->in_changed);
    link_init(&p->records.queue);
    link_init(&p->volumes.queue);
    link_init(&p->execs);
    link_init(&p->measures);
    p->runs = xcalloc(spec->n_containers, sizeof(*p->runs));
    for (size_t i = 0; i < spec->n_containers; i++)
        run_init(&p->runs[i], p, i);
    link_append(&s->pods, &p->in_set);
    name_index_add(&s->uids, &p->by_uid, p->spec->uid);
    return p;
}

void pod_unref(struct pod *p)
{
    struct pods *s = p->set;

    if (--p->refs)
        return;
    pod_machine_free(p->m);
    pod_orders_done(&p->orders);
    free(p->runs);
    pod_spec_unref(p->spec);
    free(p);
    pods_unref(s);
}

void pod_close(struct pod *p)
{
    p->is_closed = true;
    measures_free(p);
    for (size_t i = 0; i < p->spec->n_containers; i++)
        run_done(&p->runs[i]);
    execs_end(p, SIZE_MAX);
    lane_clear(&p->records);
    lane_clear(&p->volumes);
    loop_timer_free(take_ptr(p->timer));
    loop_timer_free(take_ptr(p->record_timer));
    loop_timer_free(take_ptr(p->usage_timer));
    link_remove(&p->in_set);
    name_index_remove(&p->set->uids, &p->by_uid);
    link_remove(&p->in_due);
    link_remove(&p->in_changed);
    p->set->n_pods--;
    pod_unref(p);
}

void pod_begin(struct pod *p)
{
    p->has_begun = true;
    pod_machine_begin(p->m, pod_now(), &p->orders);
    if (p->is_delete_wanted)
        pod_machine_delete(p->m, pod_now(), p->delete_grace_ms, &p->orders);
    pod_moved(p);
}

void pod_claim(struct pod *p)
{
    for (size_t i = 0; i < p->spec->n_containers; i++)
        if (pod_machine_is_unclaimed(p->m, i))
            run_claim(&p->runs[i], pod_machine_attempt(p->m, i));
}

/* ---- What others see and ask for ---- */

const struct pod_spec *pod_spec_of(const struct pod *p)
{
    return p->spec;
}

const struct pod_machine *pod_machine_of(const struct pod *p)
{
    return p->m;
}

void pod_user_set(struct pod *p, void *user)
{
    p->user = user;
}

void *pod_user(const struct pod *p)
{
    return p->user;
}

void pod_status_write(const struct pod *p, struct json_writer *w)
{
    const struct pod_fields *f = &p->fields;
    AUTO(pod_status)
    s = pod_status_new(p->m, (struct pod_addresses){
                                 .host_ip = f->host_ips.n ? f->host_ips.v[0] : NULL,
                                 .pod_ip = f->pod_ips.n ? f->pod_ips.v[0] : NULL,
                             });

    pod_status_encode(s, w);
}

static int64_t grace_of(const struct pod *p, int64_t grace_ms)
{
    return grace_ms < 0 ? p->spec->grace_ms : grace_ms;
}

void pod_delete(struct pod *p, int64_t grace_ms)
{
    if (p->has_begun) {
        pod_machine_delete(p->m, pod_now(), grace_ms, &p->orders);
        pod_moved(p);
        return;
    }
    if (!p->is_delete_wanted || grace_of(p, grace_ms) < p->delete_grace_ms)
        p->delete_grace_ms = grace_of(p, grace_ms);
    p->is_delete_wanted = true;
}

int pod_restart(struct pod *p, const char *container, struct err *e)
{
    if (container && !pod_container_find(p->spec, container))
        return err_set(e, -ENOENT, "NotFound", "pod '%s/%s' has no container '%s'", p->spec->space,
                       p->spec->name, container);
    for (size_t i = 0; p->has_begun && i < p->spec->n_containers; i++) {
        const struct pod_container *c = &p->spec->containers[i];

        if (container ? str_eq(c->name, container) : c->role == POD_ROLE_MAIN)
            pod_feed(p, &(struct pod_input){.event = POD_EVENT_RESTART, .container = i});
    }
    return 0;
}

/* ---- Logs ---- */

char *pod_log_folder(const struct pod_spec *s)
{
    size_t others = strlen(s->space) + strlen(s->uid) + 2;
    size_t room = others < NAME_MAX ? NAME_MAX - others : 0;

    return xasprintf("%s_%.*s_%s", s->space, (int)room, s->name, s->uid);
}

char *pod_log_file(const struct pods *set, const struct pod_spec *s, const char *container,
                   int64_t number)
{
    autofree char *folder = pod_log_folder(s);

    return xasprintf("%s/%s/%s/%lld.log", set->o.logs_dir, folder, container, (long long)number);
}

int pod_log_path(const struct pod *p, const char *container, bool is_previous, char **ret,
                 struct err *e)
{
    const struct pod_container *c = pod_container_find(p->spec, container);
    int64_t number;
    autofree char *path = NULL;

    if (!c)
        return err_set(e, -ENOENT, "NotFound", "pod '%s/%s' has no container '%s'", p->spec->space,
                       p->spec->name, container);
    number = pod_machine_restart_count(p->m, (size_t)(c - p->spec->containers)) - is_previous;
    path = pod_log_file(p->set, p->spec, container, number);
    /* The worker makes the file of a run that says something. */
    if (is_previous ? number < 0 || access(path, F_OK) < 0
                    : !pod_machine_attempt(p->m, (size_t)(c - p->spec->containers)))
        return err_set(e, -ENOENT, "NotFound",
                       is_previous ? "there is no earlier run of container '%s' of pod '%s/%s'"
                                   : "container '%s' of pod '%s/%s' has not run yet",
                       container, p->spec->space, p->spec->name);
    *ret = take_ptr(path);
    return 0;
}
