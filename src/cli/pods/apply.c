/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/pods/apply.h"

#include "base/secret.h"
#include "cli/pods/manifests.h"

/* What pods refer to comes before them. */
static const struct {
    enum object_kind kind;
    enum resource_kind resource;
} order[] = {
    {OBJECT_CONFIG, RESOURCE_CONFIG},
    {OBJECT_SECRET, RESOURCE_SECRET},
    {OBJECT_CLAIM,  RESOURCE_CLAIM },
    {OBJECT_POD,    RESOURCE_POD   },
};

const struct resource *apply_resource(enum object_kind kind)
{
    for (size_t i = 0; i < ARRAY_SIZE(order); i++)
        if (order[i].kind == kind)
            return resource_of(order[i].resource);
    return NULL;
}

static bool is_equal(const struct json_value *a, const struct json_value *b, const char *path)
{
    autosecretbuf of_a = BUF_INIT, of_b = BUF_INIT;

    json_value_write(json_value_at(a, path), false, &of_a);
    json_value_write(json_value_at(b, path), false, &of_b);
    return str_eq(buf_str(&of_a), buf_str(&of_b));
}

/* A pod has another version when only its status has changed meanwhile. */
static bool is_unchanged(const struct json_value *before, const struct json_value *after)
{
    static const char *const parts[] = {"kind", "metadata.uid", "metadata.labels",
                                        "metadata.annotations", "spec"};

    if (is_equal(before, after, "metadata.resourceVersion"))
        return true;
    if (!json_value_member(after, "spec") || !json_value_member(after, "status"))
        return false;
    for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
        if (!is_equal(before, after, parts[i]))
            return false;
    return true;
}

static int object_apply(struct agent_client *c, const struct object *o, struct err *e)
{
    const struct resource *r = apply_resource(o->kind);
    AUTO(json_value) before = NULL;
    AUTO(json_value) after = NULL;
    autosecretbuf body = BUF_INIT;
    autobuf path = BUF_INIT;

    resource_path_add(&path, r, o->space, o->name);
    if (pods_fetch_maybe(c, &path, &before, e) < 0)
        return e->code;
    object_encode(o, NULL, &body);
    if (pods_send(c, "PATCH", buf_str(&path), "application/apply-patch+yaml", &body, &after, NULL,
                  e) < 0)
        return err_prefix(e, "%s:%u: %s/%s", o->file ? o->file : "?", o->line, r->singular,
                          o->name);
    if (!before)
        return pods_say(r->singular, o->name, "created");
    return pods_say(r->singular, o->name, is_unchanged(before, after) ? "unchanged" : "configured");
}

int apply_objects(struct agent_client *c, const struct objects *s, struct err *e)
{
    for (size_t k = 0; k < ARRAY_SIZE(order); k++)
        for (size_t i = 0; i < s->n; i++)
            if (s->v[i]->kind == order[k].kind)
                TRY(object_apply(c, s->v[i], e));
    return 0;
}

static int dry_run(const struct objects *s)
{
    for (size_t k = 0; k < ARRAY_SIZE(order); k++)
        for (size_t i = 0; i < s->n; i++)
            if (s->v[i]->kind == order[k].kind)
                pods_say(apply_resource(s->v[i]->kind)->singular, s->v[i]->name, "is valid");
    return 0;
}

int pods_apply(const struct pods_context *x, struct err *e)
{
    const struct apply_options *o = x->options;
    autoobjects objects = {0};

    TRY(manifests_read(&o->manifest, x->space, x->is_space_given, &objects, e));
    return o->is_dry_run ? dry_run(&objects) : apply_objects(x->client, &objects, e);
}
