/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/workloads_parts.h"
#include "base/json.h"

static const enum object_kind kinds[] = {
    [POD_OBJECT_CONFIG] = OBJECT_CONFIG,
    [POD_OBJECT_SECRET] = OBJECT_SECRET,
    [POD_OBJECT_CLAIM] = OBJECT_CLAIM,
};

/* The pod's runtime has returned. */
static void on_lookup_end(void *ctx)
{
    struct workloads *s = ctx;

    arena_free(s->lookups);
    s->lookups = NULL;
    s->is_lookup_end_due = false;
    workloads_return(s);
}

static struct arena *lookups_arena(struct workloads *s)
{
    if (!s->lookups)
        s->lookups = arena_new();
    if (!s->is_lookup_end_due) {
        s->is_lookup_end_due = true;
        s->deferred++;
        loop_defer(s->options.pods.loop, on_lookup_end, s);
    }
    return s->lookups;
}

/* The keys of a ConfigMap that it has in base 64. */
static void binary_mark(const struct object *o, struct pod_object_key *keys)
{
    struct json_limits limits = {OBJECT_LIMIT_BYTES, 8};
    struct json_members m = {0};
    struct err e = ERR_INIT;

    for (size_t i = 0; i < o->n_parts; i++) {
        const struct object_part *p = &o->parts[i];

        if (!str_eq(p->key, "binaryData") ||
            json_members_decode(p->json, p->len, limits, &m, &e) < 0)
            continue;
        for (size_t j = 0; j < o->data.n; j++)
            keys[j].is_binary = json_member_find(&m, keys[j].name);
        json_members_done(&m);
    }
}

int workloads_lookup(void *ctx, enum pod_object_kind kind, const char *space, const char *name,
                     const struct pod_object **ret, struct err *e)
{
    struct workloads *s = ctx;
    const struct object *o = object_store_find(s->store, kinds[kind], space, name);
    struct pod_object *to;
    struct pod_object_key *keys;

    if (!o)
        return -ENOENT;
    if (kind == POD_OBJECT_CLAIM && o->deleted)
        return err_set(e, -EBUSY, "ClaimDeleted",
                       "the persistentvolumeclaim '%.150s' is being deleted", name);
    to = arena_alloc(lookups_arena(s), sizeof(*to));
    if (kind != POD_OBJECT_CLAIM) {
        keys = arena_array(s->lookups, o->data.n, sizeof(*keys));
        for (size_t i = 0; i < o->data.n; i++)
            keys[i] = (struct pod_object_key){o->data.v[i].key, o->data.v[i].data, o->data.v[i].len,
                                              false};
        *to = (struct pod_object){keys, o->data.n};
        if (kind == POD_OBJECT_CONFIG)
            binary_mark(o, keys);
    }
    *ret = to;
    return 0;
}
