/* SPDX-License-Identifier: Apache-2.0 */
#include "pod/spec.h"

struct pod_spec *pod_spec_new(void)
{
    struct arena *a = arena_new();
    struct pod_spec *s = arena_alloc(a, sizeof(*s));

    s->arena = a;
    s->refs = 1;
    return s;
}

struct pod_spec *pod_spec_ref(struct pod_spec *s)
{
    s->refs++;
    return s;
}

void pod_spec_unref(struct pod_spec *s)
{
    if (s && !--s->refs)
        arena_free(s->arena);
}

const struct pod_container *pod_container_find(const struct pod_spec *s, const char *name)
{
    for (size_t i = 0; i < s->n_containers; i++)
        if (str_eq(s->containers[i].name, name))
            return &s->containers[i];
    return NULL;
}

const struct pod_volume *pod_volume_find(const struct pod_spec *s, const char *name)
{
    for (size_t i = 0; i < s->n_volumes; i++)
        if (str_eq(s->volumes[i].name, name))
            return &s->volumes[i];
    return NULL;
}

const struct pod_port *pod_port_find(const struct pod_container *c, const char *name)
{
    for (size_t i = 0; i < c->n_ports; i++)
        if (c->ports[i].name && str_eq(c->ports[i].name, name))
            return &c->ports[i];
    return NULL;
}

const char *pod_pair_find(const struct pod_pairs *p, const char *name)
{
    for (size_t i = 0; i < p->n; i++)
        if (str_eq(p->v[i].name, name))
            return p->v[i].value;
    return NULL;
}
