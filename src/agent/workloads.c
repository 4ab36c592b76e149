/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/workloads_parts.h"

#include <fcntl.h>
#include <stdio.h>

#include "agent/api/object_tools.h"
#include "base/clock.h"
#include "base/fds.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/log.h"
#include "base/paths.h"
#include "base/secret.h"
#include "base/text.h"

#define STARTS_SHIFT 40

uint64_t workloads_version_next(void *ctx)
{
    struct workloads *s = ctx;

    return ++s->version;
}

struct watch_feed *workloads_feed(const struct workloads *s, enum workloads_resource r)
{
    return s->feeds[r];
}

const char *const *workloads_fields(enum workloads_resource r)
{
    static const char *const plain[] = {"metadata.name", "metadata.namespace", NULL};
    static const char *const of_pods[] = {"metadata.name", "metadata.namespace",
                                          "status.phase",  "spec.restartPolicy",
                                          "spec.nodeName", NULL};
    static const char *const of_secrets[] = {"metadata.name", "metadata.namespace", "type", NULL};

    switch (r) {
    case WORKLOADS_PODS:
        return of_pods;
    case WORKLOADS_SECRETS:
        return of_secrets;
    case WORKLOADS_EVENTS:
        return event_fields;
    case WORKLOADS_CONFIGS:
    case WORKLOADS_CLAIMS:
        break;
    }
    return plain;
}

/* ---- What is shown ---- */

static const char *restart_name(enum pod_restart r)
{
    return r == POD_RESTART_NEVER ? "Never" : r == POD_RESTART_ALWAYS ? "Always" : "OnFailure";
}

static const char *phase_of(const struct workload *w)
{
    if (w->refused)
        return "Failed";
    return w->pod ? pod_phase_name(pod_machine_phase(pod_machine_of(w->pod))) : "Pending";
}

static void refused_write(const struct workload *w, struct json_writer *out)
{
    size_t len = strcspn(w->refused, ":");
    const char *text = w->refused + len;

    json_begin_object(out);
    json_key_str(out, "phase", "Failed");
    json_key(out, "reason");
    json_strn(out, w->refused, len);
    json_key_str(out, "message", str_starts(text, ": ") ? text + 2 : text);
    json_key_str(out, "startTime", w->object->created);
    json_end_object(out);
}

static void status_write(const struct workload *w, struct buf *out)
{
    struct json_writer j;

    json_writer_init(&j, out, false);
    if (w->refused) {
        refused_write(w, &j);
    } else if (w->pod) {
        pod_status_write(w->pod, &j);
    } else {
        json_begin_object(&j);
        json_key_str(&j, "phase", "Pending");
        json_end_object(&j);
    }
}

/* The object as it is, with this status, as one more version. */
static struct watch_item *item_make(struct workloads *s, const struct object *o,
                                    const struct workload *w, const char *status)
{
    const char *values[8] = {o->name, o->space};
    const char *const *names = workloads_fields((enum workloads_resource)o->kind);
    struct pod_pair pairs[8];
    struct pod_pairs fields = {pairs, 0};
    struct object shown = *o;
    char version[TEXT_UINT_SIZE + 1] = "";
    struct buf json = BUF_INIT;
    uint64_t number = workloads_version_next(s);

    if (o->kind == OBJECT_POD) {
        values[2] = w ? phase_of(w) : "Failed";
        values[3] = restart_name(o->pod->restart);
        values[4] = s->options.node_name;
    } else if (o->kind == OBJECT_SECRET) {
        values[2] = o->data.type ? o->data.type : "Opaque";
    }
    for (; names[fields.n]; fields.n++)
        pairs[fields.n] = (struct pod_pair){names[fields.n], values[fields.n]};
    snprintf(version, sizeof(version), "%llu", (unsigned long long)number);
    shown.version = version;
    object_encode(&shown, status, &json);
    return watch_item_new(number, &o->labels, &fields, &json);
}

/* The status of what has one; secrets have none, so that it need not be wiped. */
static void plain_status_write(const struct object *o, struct buf *out)
{
    if (o->kind == OBJECT_CLAIM)
        object_claim_status_write(o, out);
}

static void object_show(struct workloads *s, const struct object *o)
{
    autobuf status = BUF_INIT;

    plain_status_write(o, &status);
    watch_feed_put(s->feeds[o->kind], item_make(s, o, NULL, status.data));
}

static void dirty_link(struct workload *w)
{
    struct workloads *s = w->owner;

    if (w->dirty_back)
        return;
    w->next_dirty = s->dirty;
    w->dirty_back = &s->dirty;
    if (s->dirty)
        s->dirty->dirty_back = &w->next_dirty;
    s->dirty = w;
}

static void dirty_unlink(struct workload *w)
{
    if (!w->dirty_back)
        return;
    *w->dirty_back = w->next_dirty;
    if (w->next_dirty)
        w->next_dirty->dirty_back = w->dirty_back;
    w->next_dirty = NULL;
    w->dirty_back = NULL;
}

/* Anew if the status is another than what is shown. */
static void workload_refresh(struct workload *w, bool is_object_new)
{
    struct workloads *s = w->owner;
    autobuf status = BUF_INIT;
    uint64_t hash;

    dirty_unlink(w);
    if (!w->object || w->is_gone)
        return;
    status_write(w, &status);
    hash = hash_add(HASH_INIT, status.data, status.len);
    if (hash == w->shown_hash && !is_object_new)
        return;
    w->shown_hash = hash;
    watch_feed_put(s->feeds[WORKLOADS_PODS], item_make(s, w->object, w, status.data));
}

/* ---- Claims ---- */

static bool claim_is_used(const struct workloads *s, const struct object *claim)
{
    for (const struct workload *w = s->first; w; w = w->next) {
        if (!str_eq(w->space, claim->space))
            continue;
        for (size_t i = 0; i < w->spec->n_volumes; i++) {
            const struct pod_volume *v = &w->spec->volumes[i];

            if (v->kind == POD_VOLUME_CLAIM && str_eq(v->claim, claim->name))
                return true;
        }
    }
    return false;
}

static void claim_check(void *ctx, struct object *o)
{
    struct workloads *s = ctx;

    if (o->deleted && !claim_is_used(s, o) &&
        !workloads_is_busy(s, OBJECT_CLAIM, o->space, o->name))
        workloads_claim_forget(s, o);
}

static void claims_check(struct workloads *s)
{
    s->is_claims_check_due = false;
    object_store_each(s->store, OBJECT_CLAIM, NULL, claim_check, s);
}

/* ---- Later in the same round of the loop ---- */

static void on_flush(void *ctx)
{
    struct workloads *s = ctx;

    s->is_flush_due = false;
    if (s->is_freed) {
        workloads_return(s);
        return;
    }
    while (s->dirty)
        workload_refresh(s->dirty, false);
    workloads_afters_make(s);
    if (s->is_claims_check_due)
        claims_check(s);
    workloads_return(s);
}

void workloads_flush_later(struct workloads *s, bool is_for_claims)
{
    s->is_claims_check_due |= is_for_claims;
    if (s->is_flush_due)
        return;
    s->is_flush_due = true;
    s->deferred++;
    loop_defer(s->options.pods.loop, on_flush, s);
}

/* ---- Pods ---- */

struct workload *workload_find(const struct workloads *s, const char *space, const char *name)
{
    autofree char *key = xasprintf("%s/%s", space, name);
    struct name_link *l = name_index_find(&s->keys, key);

    return l ? (struct workload *)(void *)((char *)l - offsetof(struct workload, by_key)) : NULL;
}

struct pod *workloads_pod(const struct workloads *s, const char *space, const char *name)
{
    struct workload *w = workload_find(s, space, name);

    return w ? w->pod : NULL;
}

struct pod *workloads_pod_of_uid(const struct workloads *s, const char *uid)
{
    return pods_find(s->pods, uid);
}

void workloads_each_pod(const struct workloads *s, const char *space,
                        void (*each)(void *ctx, struct pod *p), void *ctx)
{
    for (struct workload *w = s->first; w; w = w->next)
        if (w->pod && (!space || str_eq(w->space, space)))
            each(ctx, w->pod);
}

/* A row of those that take room. */
static const struct pod_spec *next_spec(void *ctx)
{
    struct workload **at = ctx;

    while (*at) {
        const struct workload *w = *at;

        *at = w->next;
        if (!w->refused && !w->is_gone && !(w->pod && pod_machine_is_over(pod_machine_of(w->pod))))
            return w->spec;
    }
    return NULL;
}

static struct workload *workload_add(struct workloads *s, const struct object *o)
{
    struct workload *w = xcalloc(1, sizeof(*w));

    *w = (struct workload){.owner = s,
                           .space = xstrdup(o->space),
                           .name = xstrdup(o->name),
                           .uid = xstrdup(o->uid),
                           .key = xasprintf("%s/%s", o->space, o->name),
                           .spec = o->pod,
                           .prev = s->last};
    *(s->last ? &s->last->next : &s->first) = w;
    s->last = w;
    name_index_add(&s->keys, &w->by_key, w->key);
    return w;
}

struct workload *workload_new(struct workloads *s, struct object *o)
{
    struct workload *others = s->first, *w;
    struct err e = ERR_INIT;

    object_annotate(o, WORKLOAD_REFUSED, NULL);
    if (admission_check(&s->options.capacity, o->pod, next_spec, &others, &e) < 0) {
        autofree char *text = xasprintf("%s: %s", e.reason, e.msg);

        object_annotate(o, WORKLOAD_REFUSED, text);
    }
    w = workload_add(s, o);
    if (e.code)
        w->refused = xasprintf("%s: %s", e.reason, e.msg);
    return w;
}

void workload_free(struct workload *w)
{
    struct workloads *s = w->owner;

    *(w->prev ? &w->prev->next : &s->first) = w->next;
    *(w->next ? &w->next->prev : &s->last) = w->prev;
    name_index_remove(&s->keys, &w->by_key);
    dirty_unlink(w);
    if (w->object) {
        pod_spec_unref(w->spec);
        object_unref(w->object);
    }
    free(w->key);
    free(w->space);
    free(w->name);
    free(w->uid);
    free(w->refused);
    free(w);
}

static struct event_subject subject_of(const struct workload *w, const char *container)
{
    return (struct event_subject){"Pod", w->space, w->name, w->uid, container};
}

static void refusal_tell(struct workload *w)
{
    struct event_subject about = subject_of(w, NULL);
    autofree char *reason = xstrndup(w->refused, strcspn(w->refused, ":"));
    const char *text = w->refused + strlen(reason);

    events_add(w->owner->events, &about, true, reason, *text ? text + 2 : "");
}

/* What is left of the time to the moment that the object says; the whole grace without one. */
static int64_t grace_left_ms(const struct object *o)
{
    int64_t when_ns, left;

    if (!o->deleted || !clock_rfc3339_parse(o->deleted, strlen(o->deleted), &when_ns))
        return -1;
    left = (when_ns / 1000000000 - (int64_t)(clock_realtime_ns() / 1000000000)) * 1000;
    return left < 0 ? 0 : left;
}

static void workload_object_set(struct workload *w, struct object *o)
{
    bool is_first = !w->object;

    object_ref(o);
    object_unref(w->object);
    w->object = o;
    if (is_first)
        w->spec = pod_spec_ref(o->pod);
}

/* It is stored: now it may run. */
static void workload_start(struct workload *w)
{
    if (w->refused)
        return;
    w->pod = pods_add(w->owner->pods, w->object->pod);
    pod_user_set(w->pod, w);
}

static void pod_put(struct workloads *s, struct object *o)
{
    struct workload *w = workload_find(s, o->space, o->name);
    bool is_new;

    BUG_ON(!w || !str_eq(w->uid, o->uid));
    is_new = !w->object;
    workload_object_set(w, o);
    if (is_new)
        workload_start(w);
    if (is_new && w->refused)
        refusal_tell(w);
    if (o->deleted && w->pod)
        pod_delete(w->pod, o->deletion_grace_s < 0 ? -1 : o->deletion_grace_s * 1000);
    workload_refresh(w, true);
}

static void pod_remove(struct workloads *s, struct object *o)
{
    struct workload *w = workload_find(s, o->space, o->name);
    struct change_call *after = w->after;
    autobuf status = BUF_INIT;

    if (w->refused)
        status_write(w, &status);
    watch_feed_remove(s->feeds[WORKLOADS_PODS], item_make(s, o, w, status.data));
    workload_free(w);
    if (after) {
        after->next = s->afters;
        s->afters = after;
    }
    workloads_flush_later(s, true);
}

/* ---- Told by the store ---- */

static void refer_tell(struct workloads *s, const struct object *o)
{
    static const enum pod_object_kind kinds[OBJECT_KINDS] = {
        [OBJECT_CONFIG] = POD_OBJECT_CONFIG,
        [OBJECT_SECRET] = POD_OBJECT_SECRET,
        [OBJECT_CLAIM] = POD_OBJECT_CLAIM,
    };

    pods_object_changed(s->pods, kinds[o->kind], o->space, o->name);
}

static void on_object(void *ctx, enum object_change change, struct object *o)
{
    struct workloads *s = ctx;

    if (s->is_closing)
        return;
    if (o->kind == OBJECT_POD) {
        (change == OBJECT_DELETED ? pod_remove : pod_put)(s, o);
        return;
    }
    if (change == OBJECT_DELETED) {
        autobuf status = BUF_INIT;

        plain_status_write(o, &status);
        watch_feed_remove(s->feeds[o->kind], item_make(s, o, NULL, status.data));
    } else {
        object_show(s, o);
    }
    refer_tell(s, o);
    if (o->kind == OBJECT_CLAIM && change == OBJECT_MODIFIED && o->deleted)
        workloads_flush_later(s, true);
}

/* ---- Told by the runtime ---- */

static void on_pod_changed(void *ctx, struct pod *p)
{
    struct workloads *s = ctx;
    struct workload *w = pod_user(p);

    dirty_link(w);
    workloads_flush_later(s, false);
    if (s->options.pod_changed)
        s->options.pod_changed(s->options.ctx, p);
}

static void on_pod_event(void *ctx, struct pod *p, const char *container, bool is_warning,
                         const char *reason, const char *text)
{
    struct workloads *s = ctx;
    struct event_subject about = subject_of(pod_user(p), container);

    events_add(s->events, &about, is_warning, reason, text);
}

static void on_pod_gone(void *ctx, struct pod *p)
{
    struct workloads *s = ctx;
    struct workload *w = pod_user(p);

    /* The last that is seen of it. */
    workload_refresh(w, false);
    if (s->options.pod_gone)
        s->options.pod_gone(s->options.ctx, p);
    w->pod = NULL;
    w->is_gone = true;
    workload_forget(w);
}

/* ---- Opening and closing ---- */

static void workloads_free(struct workloads *s)
{
    free(s->state_dir);
    free(s->memory_dir);
    free(s->node_name);
    name_index_done(&s->keys);
    free(s);
}

void workloads_return(struct workloads *s)
{
    if (!--s->deferred && s->is_freed)
        workloads_free(s);
}

static void on_retry(void *ctx)
{
    struct workloads *s = ctx;

    for (struct workload *w = s->first; w; w = w->next)
        if (w->is_gone && !workloads_is_busy(s, OBJECT_POD, w->space, w->name))
            workload_forget(w);
    claims_check(s);
}

static int starts_failed(int code, const char *state_dir, struct err *e)
{
    if (errno_is_disk_full(code))
        return err_errno(e, code, "StateFull",
                         "cannot write to the state folder '%.300s'; make room on its file system",
                         state_dir);
    return err_errno(e, code, "StateFailed",
                     "cannot write to the state folder '%.300s'; make it writable, or name another "
                     "one by --state-dir",
                     state_dir);
}

/* Where there is no room for a new file, over the old one, which is as long but for a digit. What
 * is cut off there by a crash is a number of its own, as the sector is written as a whole. */
static int starts_overwrite(const char *path, const char *text)
{
    autofd fd = open(path, O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
    ssize_t len = (ssize_t)strlen(text);

    if (fd < 0 || pwrite(fd, text, (size_t)len, 0) != len || fdatasync(fd) < 0)
        return -EIO;
    return 0;
}

/* An agent that starts on a full disk has pods to go on with. */
static int starts_write(const char *path, const char *text, bool is_there, struct err *e)
{
    int r = file_write(path, text, strlen(text), 0600, FILE_WRITE_SYNC, e);

    if (r >= 0 || !is_there || !errno_is_disk_full(r) || starts_overwrite(path, text) < 0)
        return r;
    log_warn("%s; pods go on, and no change can be accepted before there is room", e->msg);
    *e = ERR_INIT;
    return 0;
}

/* Counts this start, on the disk. */
static int starts_count(const char *state_dir, uint64_t *ret, struct err *e)
{
    autofree char *path = path_join(state_dir, WORKLOADS_STARTS);
    autobuf text = BUF_INIT;
    unsigned long long n = 0;
    char next[32], *end;
    int r = file_read(path, 64, &text, e);

    if (r < 0 && r != -ENOENT)
        return r;
    n = strtoull(buf_str(&text), &end, 10);
    if (!r && (!str_eq(end, "\n") || end == buf_str(&text) || n >= 1u << (63 - STARTS_SHIFT)))
        return err_set(
            e, -EINVAL, "BadState",
            "'%.300s' is to hold the number of starts and does not; put a number into it "
            "that is larger than all before, such as 1000",
            path);
    snprintf(next, sizeof(next), "%llu\n", n + 1);
    r = starts_write(path, next, !r, e);
    if (r < 0)
        return starts_failed(r, state_dir, e);
    *ret = n + 1;
    return 0;
}

struct row {
    struct object **v;
    size_t n, cap;
};

static void row_add(void *ctx, struct object *o)
{
    struct row *r = ctx;

    if (r->n == r->cap) {
        r->cap = r->cap ? 2 * r->cap : 64;
        r->v = xrealloc(r->v, r->cap, sizeof(struct object *));
    }
    r->v[r->n++] = o;
}

/* By creation, so that pods come back in the order in which they came. */
static int row_compare(const void *a, const void *b)
{
    const struct object *x = *(struct object *const *)a, *y = *(struct object *const *)b;
    int order = strcmp(x->created ? x->created : "", y->created ? y->created : "");

    return order ? order : strcmp(x->uid, y->uid);
}

static void pod_restore(struct workloads *s, struct object *o)
{
    struct workload *w = workload_add(s, o);
    const char *refused = pod_pair_find(&o->annotations, WORKLOAD_REFUSED);

    if (refused)
        w->refused = xstrdup(refused);
    workload_object_set(w, o);
    workload_start(w);
    workload_refresh(w, true);
}

static void show_one(void *ctx, struct object *o)
{
    object_show(ctx, o);
}

static void restore(struct workloads *s)
{
    struct row pods = {0};
    struct workload *next;

    for (int kind = 0; kind < OBJECT_KINDS; kind++)
        object_store_each(s->store, (enum object_kind)kind, NULL,
                          kind == OBJECT_POD ? row_add : show_one,
                          kind == OBJECT_POD ? (void *)&pods : s);
    if (pods.n)
        qsort(pods.v, pods.n, sizeof(struct object *), row_compare);
    for (size_t i = 0; i < pods.n; i++)
        pod_restore(s, pods.v[i]);
    free(pods.v);
    pods_restore(s->pods);
    for (struct workload *w = s->first; w; w = next) {
        next = w->next;
        if (w->object->deleted && w->pod)
            pod_delete(w->pod, grace_left_ms(w->object));
        else if (w->object->deleted)
            workload_forget(w);
    }
    claims_check(s);
}

static void on_note(void *ctx, const char *text)
{
    (void)ctx;
    log_warn("%s", text);
}

static int parts_open(struct workloads *s, struct err *e)
{
    struct object_store_options store = {.loop = s->options.pods.loop,
                                         .state_dir = s->options.pods.state_dir,
                                         .changed = on_object,
                                         .note = on_note,
                                         .ctx = s};
    struct pods_options pods = s->options.pods;
    struct events_options events = {.loop = pods.loop,
                                    .host = s->options.node_name,
                                    .feed = s->feeds[WORKLOADS_EVENTS],
                                    .version = workloads_version_next,
                                    .ctx = s};

    s->events = events_new(&events);
    TRY(object_store_open(&store, &s->store, e));
    pods.objects = (struct pod_objects){workloads_lookup, s};
    pods.changed = on_pod_changed;
    pods.event = on_pod_event;
    pods.gone = on_pod_gone;
    pods.ctx = s;
    return pods_open(&pods, &s->pods, e);
}

int workloads_open(const struct workloads_options *o, struct workloads **ret, struct err *e)
{
    struct workloads *s;
    uint64_t starts = 0;
    int r;

    s = xcalloc(1, sizeof(*s));
    s->options = *o;
    s->options.pods.state_dir = s->state_dir = xstrdup(o->pods.state_dir);
    if (o->pods.memory_dir)
        s->options.pods.memory_dir = s->memory_dir = xstrdup(o->pods.memory_dir);
    s->options.node_name = s->node_name = xstrdup(o->node_name);
    s->retry = loop_timer_new(o->pods.loop, on_retry, s);
    r = starts_count(o->pods.state_dir, &starts, e);
    if (r >= 0) {
        s->version = starts << STARTS_SHIFT;
        for (int i = 0; i < WORKLOADS_RESOURCES; i++)
            s->feeds[i] = watch_feed_new(s->version);
        r = parts_open(s, e);
    }
    if (r < 0) {
        workloads_close(s);
        return r;
    }
    restore(s);
    *ret = s;
    return 0;
}

void workloads_close(struct workloads *s)
{
    if (!s)
        return;
    s->is_closing = true;
    /* What the store still writes is told to nobody. */
    if (s->store)
        object_store_close(s->store);
    if (s->pods)
        pods_close(s->pods);
    workloads_calls_free(s);
    while (s->first) {
        if (s->first->after)
            change_call_abandon(s->first->after);
        workload_free(s->first);
    }
    events_free(s->events);
    loop_timer_free(s->retry);
    for (int i = 0; i < WORKLOADS_RESOURCES; i++)
        watch_feed_free(s->feeds[i]);
    s->is_freed = true;
    s->deferred++;
    workloads_return(s);
}
