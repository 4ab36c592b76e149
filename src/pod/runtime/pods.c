/* SPDX-License-Identifier: Apache-2.0 */
/* All pods of a supervisor. */
#include "base/clock.h"
#include "base/paths.h"
#include "pod/runtime/pod_internal.h"

/* ---- Rounds ---- */

void pods_round_soon(struct pods *s)
{
    if (!link_is_empty(&s->due) || !link_is_empty(&s->changed))
        loop_timer_set(s->round, clock_monotonic_ns());
}

/* What these cause is due in the next round. */
static void take_all(struct link *from, struct link *batch)
{
    link_init(batch);
    if (link_is_empty(from))
        return;
    *batch = *from;
    batch->next->prev = batch->prev->next = batch;
    link_init(from);
}

static void round_fired(void *ctx)
{
    struct pods *s = ctx;
    struct link batch;
    struct pod *p;

    s->refs++; /* a callback may close it */
    take_all(&s->due, &batch);
    while ((p = LINK_FIRST(&batch, struct pod, in_due))) {
        link_remove(&p->in_due);
        pod_round(p);
    }
    take_all(&s->changed, &batch);
    while ((p = LINK_FIRST(&batch, struct pod, in_changed))) {
        link_remove(&p->in_changed);
        if (s->o.changed)
            s->o.changed(s->o.ctx, p);
    }
    if (!s->is_closed)
        pods_round_soon(s);
    pods_unref(s);
}

/* ---- Life ---- */

static void node_copy(struct pods *s, const struct pod_fields *node)
{
    strv_addv(&s->host_ips, node->host_ips.v);
    strv_addv(&s->pod_ips, node->pod_ips.v);
    s->node = *node;
    s->node.host_ips = s->host_ips; /* lent */
    s->node.pod_ips = s->pod_ips;
}

/* The tool box is installed beside the other programs. */
static char *toolbox_path(const char *image_program)
{
    autofree char *dir = path_dir(image_program);

    return path_join(dir, "toolbox.wasm");
}

int pods_open(const struct pods_options *o, struct pods **ret, struct err *e)
{
    autofree char *pods = NULL;
    struct cpu_limits *cpu = NULL;
    struct pods *s;

    if (o->state_dir[0] != '/' || o->logs_dir[0] != '/')
        return err_set(e, -EINVAL, "BadPath",
                       "the folders '%s' and '%s' of pods are not both absolute paths",
                       o->state_dir, o->logs_dir);
    pods = path_join(o->state_dir, "pods");
    TRY(path_mkdir_p(pods, 0700, e));
    TRY(path_mkdir_p(o->logs_dir, 0755, e));
    TRY(cpu_limits_open(o->loop, o->cpu_limit, pods, &cpu, e));
    s = xcalloc(1, sizeof(*s));
    s->o = *o;
    s->cpu = cpu;
    s->o.state_dir = xstrdup(o->state_dir);
    s->o.logs_dir = xstrdup(o->logs_dir);
    s->o.memory_dir = o->memory_dir ? xstrdup(o->memory_dir) : NULL;
    s->o.image_program = s->o.worker = s->o.cache_dir = NULL; /* those who use them have them */
    s->o.store_dir = xstrdup(o->store_dir);
    s->places = (struct volumes_places){s->o.state_dir, s->o.memory_dir};
    s->launches = (struct launch_places){s->o.store_dir, s->o.logs_dir, &s->places};
    node_copy(s, o->node);
    s->o.node = &s->node;
    s->toolbox = toolbox_path(o->image_program);
    s->refs = 1;
    link_init(&s->pods);
    link_init(&s->due);
    link_init(&s->changed);
    link_init(&s->orphans);
    s->round = loop_timer_new(o->loop, round_fired, s);
    s->images = image_finder_new(o->loop, o->image_program, o->store_dir);
    s->compiles = compiles_new(o->loop, o->worker, o->cache_dir);
    *ret = s;
    return 0;
}

static void string_free(const char *s)
{
    free((char *)(uintptr_t)s);
}

void pods_unref(struct pods *s)
{
    if (--s->refs)
        return;
    cpu_limits_close(take_ptr(s->cpu)); /* now that restore.c looks no more */
    string_free(s->o.state_dir);
    string_free(s->o.logs_dir);
    string_free(s->o.memory_dir);
    string_free(s->o.store_dir);
    strv_done(&s->host_ips);
    strv_done(&s->pod_ips);
    free(s->toolbox);
    name_index_done(&s->uids);
    free(s);
}

void pods_close(struct pods *s)
{
    struct pod *p;

    s->is_closed = true;
    while ((p = LINK_FIRST(&s->pods, struct pod, in_set)))
        pod_close(p);
    orphans_free(s);
    loop_timer_free(take_ptr(s->round));
    image_finder_free(take_ptr(s->images));
    compiles_free(take_ptr(s->compiles));
    pods_unref(s);
}

/* ---- Pods ---- */

struct pod *pods_find(const struct pods *s, const char *uid)
{
    struct name_link *l = name_index_find(&s->uids, uid);

    return l ? LINK_OF(struct pod, by_uid, l) : NULL;
}

size_t pods_count(const struct pods *s)
{
    return s->n_pods;
}

struct pod *pods_add(struct pods *s, struct pod_spec *spec)
{
    struct pod *p;

    BUG_ON(pods_find(s, spec->uid));
    p = pod_new(s, spec);
    if (s->is_restored)
        pod_begin(p);
    return p;
}

void pods_restore(struct pods *s)
{
    restore_start(s);
}

void pods_restored(struct pods *s)
{
    struct pod *p;

    s->is_restored = true;
    LINK_EACH(p, &s->pods, struct pod, in_set)
    if (!p->has_begun)
        pod_begin(p);
    /* All of them, before anything is started. */
    LINK_EACH(p, &s->pods, struct pod, in_set)
    pod_claim(p);
    containers_end_unclaimed(s->o.containers);
}

/* ---- Objects ---- */

static enum pod_volume_kind volume_kind_of(enum pod_object_kind kind)
{
    return kind == POD_OBJECT_CONFIG   ? POD_VOLUME_CONFIG
           : kind == POD_OBJECT_SECRET ? POD_VOLUME_SECRET
                                       : POD_VOLUME_CLAIM;
}

static bool volume_has(const struct pod_volume *v, enum pod_object_kind kind, const char *name)
{
    if (v->kind == POD_VOLUME_CLAIM)
        return kind == POD_OBJECT_CLAIM && str_eq(v->claim, name);
    for (size_t i = 0; i < v->n_projections; i++)
        if (v->projections[i].kind == volume_kind_of(kind) &&
            str_eq(v->projections[i].object, name))
            return true;
    return false;
}

static bool variable_has(const struct pod_variable *v, enum pod_object_kind kind, const char *name)
{
    bool is_config = v->source == POD_VARIABLE_CONFIG_KEY || v->source == POD_VARIABLE_ALL_CONFIG;
    bool is_secret = v->source == POD_VARIABLE_SECRET_KEY || v->source == POD_VARIABLE_ALL_SECRET;

    return ((is_config && kind == POD_OBJECT_CONFIG) || (is_secret && kind == POD_OBJECT_SECRET)) &&
           str_eq(v->object, name);
}

static bool has_variable(const struct pod_spec *s, enum pod_object_kind kind, const char *name)
{
    for (size_t i = 0; i < s->n_containers; i++)
        for (size_t k = 0; k < s->containers[i].n_variables; k++)
            if (variable_has(&s->containers[i].variables[k], kind, name))
                return true;
    return false;
}

static bool has_volume(const struct pod_spec *s, enum pod_object_kind kind, const char *name)
{
    for (size_t i = 0; i < s->n_volumes; i++)
        if (volume_has(&s->volumes[i], kind, name))
            return true;
    return false;
}

void pods_object_changed(struct pods *s, enum pod_object_kind kind, const char *space,
                         const char *name)
{
    struct pod *p;

    LINK_EACH(p, &s->pods, struct pod, in_set)
    {
        bool is_mounted = has_volume(p->spec, kind, name);

        if (!p->has_begun || !str_eq(p->spec->space, space) ||
            (!is_mounted && !has_variable(p->spec, kind, name)))
            continue;
        if (is_mounted && p->is_set_up)
            pod_volumes_update(p);
        pod_machine_retry(p->m, pod_now(), &p->orders);
        pod_moved(p);
    }
}
