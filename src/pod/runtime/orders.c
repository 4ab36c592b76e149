/* SPDX-License-Identifier: Apache-2.0 */
/* What becomes of each order of a pod's machine. */
#include <fcntl.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/fds.h"
#include "base/paths.h"
#include "pod/runtime/pod_internal.h"
#include "pod/volumes/tree.h"

#define RECORD_NAME        "record.json"
#define RECORD_RETRY_NS    UINT64_C(1000000000)
#define RECORD_RETRY_LIMIT 6 /* doublings */

/* ---- The record ---- */

struct record_chore {
    struct chore chore;
    struct buf text;
    bool is_synced;
    uint64_t covers; /* records that were ordered before this order */
    int r;
    struct err e;
};

static int folder_sync(const char *path, struct err *e)
{
    autofd fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0 || fsync(fd) < 0)
        return err_errno(e, -errno, "WriteFailed", "cannot sync the folder '%s'", path);
    return 0;
}

static int record_write(const struct record_chore *r, struct err *e)
{
    const struct pods *s = r->chore.pod->set;
    autofree char *pods = path_join(s->o.state_dir, "pods");
    autofree char *dir = path_join(pods, r->chore.pod->spec->uid);
    autofree char *file = path_join(dir, RECORD_NAME);
    int flags = r->is_synced ? FILE_WRITE_SYNC : 0;
    int written = file_write(file, buf_str(&r->text), r->text.len, 0600, flags, e);

    /* The first one, or somebody has removed the folder. */
    if (written == -ENOENT) {
        TRY(path_mkdir_p(dir, 0700, e));
        written = file_write(file, buf_str(&r->text), r->text.len, 0600, flags, e);
    }
    TRY(written);
    return r->is_synced ? folder_sync(pods, e) : 0;
}

static void record_work(struct chore *c)
{
    struct record_chore *r = (struct record_chore *)c;

    r->r = record_write(r, &r->e);
}

static void record_failed(struct pod *p, const struct err *e)
{
    unsigned n = p->record_failures < RECORD_RETRY_LIMIT ? p->record_failures : RECORD_RETRY_LIMIT;

    p->record_failures++;
    loop_timer_set(p->record_timer, clock_monotonic_ns() + (RECORD_RETRY_NS << n));
    pod_event(p, NULL, true, "RecordFailed",
              "the state of the pod cannot be written, and nothing is done with it before: %s",
              e->msg);
}

static void record_done(struct chore *c)
{
    struct record_chore *r = (struct record_chore *)c;
    struct pod *p = c->pod;

    if (!chore_is_void(c)) {
        if (r->r < 0) {
            record_failed(p, &r->e);
        } else {
            p->record_failures = 0;
            p->recorded = r->covers;
            p->is_recording = false;
            pod_moved(p);
        }
    }
    buf_done(&r->text);
    free(r);
}

/* As it is now: that covers every record that was ordered up to now. */
void pod_record(struct pod *p)
{
    struct record_chore *r = xcalloc(1, sizeof(*r));
    struct json_writer w;

    *r = (struct record_chore){
        .chore = {.work = record_work, .done = record_done},
        .is_synced = pod_machine_is_over(p->m),
        .covers = p->taken + (p->orders.n - p->head),
    };
    p->is_recording = true;
    json_writer_init(&w, &r->text, false);
    pod_machine_encode(p->m, pod_now(), &w);
    if (json_writer_finish(&w, &r->e) < 0) {
        struct err e = r->e;

        buf_done(&r->text);
        free(r);
        record_failed(p, &e);
        return;
    }
    lane_add(&p->records, p, &r->chore);
}

/* Whether another record is sure to be ordered before anything is done that cannot be done again:
 * nothing was started so far, and what waits only leads up to a start. */
static bool is_prelude(const struct pod *p)
{
    bool goes_on = false;

    for (size_t i = 0; i < p->spec->n_containers; i++)
        if (pod_machine_attempt(p->m, i))
            return false;
    for (size_t i = p->head; i < p->orders.n; i++) {
        enum pod_order_kind kind = p->orders.v[i].kind;
        bool leads_up =
            kind == POD_ORDER_SETUP || kind == POD_ORDER_RESOLVE || kind == POD_ORDER_PREPARE;

        goes_on |= leads_up;
        if (!leads_up && kind != POD_ORDER_PERSIST && kind != POD_ORDER_EVENT &&
            kind != POD_ORDER_STATUS)
            return false;
    }
    return goes_on && !pod_machine_is_ending(p->m);
}

static void persist(struct pod *p)
{
    /* `taken` counts this order already. */
    if (p->taken > p->recorded && !is_prelude(p))
        pod_record(p);
}

/* ---- Volumes ---- */

struct volumes_chore {
    struct chore chore;
    struct volumes_content *content;
    bool is_update;
    int r;
    struct err e;
};

static void volumes_work(struct chore *c)
{
    struct volumes_chore *v = (struct volumes_chore *)c;
    const struct volumes_places *places = &c->pod->set->places;
    bool is_changed;

    v->r = v->is_update ? volumes_update(places, c->pod->spec, v->content, &is_changed, &v->e)
                        : volumes_prepare(places, c->pod->spec, v->content, &v->e);
}

static void volumes_done(struct chore *c)
{
    struct volumes_chore *v = (struct volumes_chore *)c;
    struct pod *p = c->pod;

    if (!chore_is_void(c) && v->is_update && v->r < 0) {
        pod_event(p, NULL, true, v->e.reason, "%s", v->e.msg);
    } else if (!chore_is_void(c) && !v->is_update) {
        p->is_set_up |= v->r >= 0;
        if (v->r >= 0)
            usage_start(p);
        pod_machine_set_up(p->m, pod_now(), v->r < 0 ? &v->e : NULL, &p->orders);
        pod_moved(p);
    }
    volumes_content_free(v->content);
    free(v);
}

/* False with an error. */
static bool volumes_begin(struct pod *p, bool is_update, struct err *e)
{
    struct volumes_content *content;
    struct volumes_chore *v;

    if (volumes_gather(&p->fields, &p->set->o.objects, &content, e) < 0)
        return false;
    v = xcalloc(1, sizeof(*v));
    *v = (struct volumes_chore){
        .chore = {.work = volumes_work, .done = volumes_done},
        .content = content,
        .is_update = is_update
    };
    lane_add(&p->volumes, p, &v->chore);
    return true;
}

static void set_up(struct pod *p)
{
    struct err e = ERR_INIT;

    /* Nothing of it will start any more. */
    if (pod_machine_is_ending(p->m))
        return;
    p->is_set_up |= !p->spec->n_volumes;
    if (p->spec->n_volumes && volumes_begin(p, false, &e))
        return;
    pod_machine_set_up(p->m, pod_now(), e.code ? &e : NULL, &p->orders);
    pod_moved(p);
}

/* Of an object that is gone the volume keeps what it has. */
void pod_volumes_update(struct pod *p)
{
    struct err e = ERR_INIT;

    if (!pod_machine_is_ending(p->m))
        volumes_begin(p, true, &e);
}

/* ---- The end ---- */

struct removal_chore {
    struct chore chore;
    bool is_all; /* record and logs too */
    int r;
    struct err e;
};

static int below_remove(const char *dir, const char *name, struct err *e)
{
    autofd fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return errno == ENOENT ? 0 : err_errno(e, -errno, "RemoveFailed", "cannot open '%s'", dir);
    return tree_remove(fd, name, e);
}

static int removal(const struct removal_chore *r, struct err *e)
{
    const struct pod *p = r->chore.pod;
    const struct pods *s = p->set;
    autofree char *pods = path_join(s->o.state_dir, "pods");
    autofree char *dir = path_join(pods, p->spec->uid), *logs = pod_log_folder(p->spec);

    TRY(below_remove(dir, "messages", e));
    TRY(volumes_remove(&s->places, p->spec->uid, e));
    if (!r->is_all)
        return 0;
    TRY(below_remove(pods, p->spec->uid, e));
    return below_remove(s->o.logs_dir, logs, e);
}

static void removal_work(struct chore *c)
{
    struct removal_chore *r = (struct removal_chore *)c;

    r->r = removal(r, &r->e);
}

static void removal_done(struct chore *c)
{
    struct removal_chore *r = (struct removal_chore *)c;
    struct pod *p = c->pod;

    if (!chore_is_void(c)) {
        if (r->r < 0)
            pod_event(p, NULL, true, r->e.reason, "%s", r->e.msg);
        if (r->is_all && !p->is_closed) {
            struct pods *s = p->set;

            s->refs++;
            if (s->o.gone)
                s->o.gone(s->o.ctx, p);
            if (!p->is_closed)
                pod_close(p);
            pods_unref(s);
        }
    }
    free(r);
}

static void remove_begin(struct pod *p, bool is_all)
{
    struct removal_chore *r = xcalloc(1, sizeof(*r));

    *r = (struct removal_chore){
        .chore = {.work = removal_work, .done = removal_done},
          .is_all = is_all
    };
    loop_timer_free(take_ptr(p->usage_timer));
    p->is_set_up = false;
    execs_end(p, SIZE_MAX);
    lane_add(&p->volumes, p, &r->chore);
}

/* ---- All ---- */

static void status_changed(struct pod *p)
{
    if (!link_is_empty(&p->in_changed))
        return;
    link_append(&p->set->changed, &p->in_changed);
    pods_round_soon(p->set);
}

static void of_container(struct pod_run *r, const struct pod_order *o)
{
    switch ((int)o->kind) {
    case POD_ORDER_RESOLVE:
        run_resolve(r);
        break;
    case POD_ORDER_PREPARE:
        run_prepare(r);
        break;
    case POD_ORDER_START:
        run_start(r, o->attempt);
        break;
    case POD_ORDER_POST_START:
        run_hook(r, run_spec(r)->post_start, false);
        break;
    case POD_ORDER_PROBE:
        run_probe(r);
        break;
    case POD_ORDER_UNPROBE:
        run_unprobe(r);
        break;
    case POD_ORDER_PRE_STOP:
        run_hook(r, run_spec(r)->pre_stop, true);
        break;
    case POD_ORDER_TELL:
        run_tell(r);
        break;
    case POD_ORDER_INTERRUPT:
        run_interrupt(r);
        break;
    case POD_ORDER_FORGET:
        run_forget(r, o->attempt);
        break;
    default:
        BUG_ON(true);
    }
}

void pod_carry_out(struct pod *p, const struct pod_order *o)
{
    const char *name =
        o->container == POD_ORDER_OF_POD ? NULL : p->spec->containers[o->container].name;

    switch ((int)o->kind) {
    case POD_ORDER_PERSIST:
        persist(p);
        break;
    case POD_ORDER_SETUP:
        set_up(p);
        break;
    case POD_ORDER_EVENT:
        pod_event(p, name, o->is_warning, o->reason, "%s", o->text);
        break;
    case POD_ORDER_STATUS:
        status_changed(p);
        break;
    case POD_ORDER_TEARDOWN:
        remove_begin(p, false);
        break;
    case POD_ORDER_GONE:
        remove_begin(p, true);
        break;
    default:
        of_container(&p->runs[o->container], o);
    }
}
