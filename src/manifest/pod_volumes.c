/* SPDX-License-Identifier: Apache-2.0 */
#include "manifest/names.h"
#include "manifest/pod_parts.h"

/* Of files that come from objects, as Kubernetes has it. */
#define MODE_DEFAULT 0644

bool pod_path_is_inside(const char *path)
{
    if (!*path || *path == '/')
        return false;
    while (*path) {
        size_t len = strcspn(path, "/");

        if (len == 2 && !strncmp(path, "..", 2))
            return false;
        path += len + (path[len] == '/');
    }
    return true;
}

int pod_absolute_check(struct decode *d, const char *at, const char *path)
{
    if (*path != '/')
        return decode_bad(d, -EINVAL, at, "'%.80s' is no absolute path; begin it with '/'", path);
    path += strspn(path, "/");
    if (*path && !pod_path_is_inside(path))
        return decode_bad(d, -EINVAL, at, "'/%.80s' has '..' in it; write the path in full", path);
    return 0;
}

static int downward_item_decode(struct decode *d, const char *at, const struct raw_item *raw,
                                struct pod_spec *s, struct pod_item *item)
{
    if (raw->has_field == raw->has_resource)
        return decode_bad(d, -EINVAL, at, "one of fieldRef and resourceFieldRef was expected");
    if (raw->has_field) {
        item->key = arena_strdup(s->arena, raw->field.path);
        return pod_field_check(d, decode_path(d, "%s.fieldRef", at), &raw->field, true);
    }
    at = decode_path(d, "%s.resourceFieldRef", at);
    if (!raw->resource.container)
        return decode_bad(d, -EINVAL, at,
                          "containerName is missing: a file belongs to no container");
    item->key = arena_strdup(s->arena, raw->resource.resource);
    item->container = arena_strdup(s->arena, raw->resource.container);
    return pod_resource_ref_check(d, at, &raw->resource, &item->divisor);
}

static int item_decode(struct decode *d, const char *at, enum pod_volume_kind kind,
                       const struct raw_item *raw, struct pod_spec *s, struct pod_item *item)
{
    if (!pod_path_is_inside(raw->path))
        return decode_bad(d, -EINVAL, decode_path(d, "%s.path", at),
                          "'%.80s' is no relative path without '..'", raw->path);
    item->path = arena_strdup(s->arena, raw->path);
    item->mode = raw->has_mode ? (int)raw->mode : -1;
    if (kind == POD_VOLUME_DOWNWARD)
        return downward_item_decode(d, at, raw, s, item);
    item->key = arena_strdup(s->arena, raw->key);
    return decode_name(d, decode_path(d, "%s.key", at), raw->key, name_is_key, NAME_KEY_RULE);
}

static int projection_decode(struct decode *d, const char *at, enum pod_volume_kind kind,
                             const struct raw_projection *raw, struct pod_spec *s,
                             struct pod_projection *p)
{
    p->kind = kind;
    p->is_optional = raw->is_optional;
    if (kind != POD_VOLUME_DOWNWARD)
        TRY(decode_name(d, at, raw->name, name_is_subdomain, NAME_SUBDOMAIN_RULE));
    p->object = arena_strdup(s->arena, raw->name);
    p->n_items = raw->n_items;
    p->items = arena_array(s->arena, raw->n_items, sizeof(*p->items));
    for (size_t i = 0; i < raw->n_items; i++)
        TRY(item_decode(d, decode_path(d, "%s.items[%zu]", at, i), kind, &raw->items[i], s,
                        &p->items[i]));
    return 0;
}

static int projected_decode(struct decode *d, const char *at, const struct raw_projections *raw,
                            struct pod_spec *s, struct pod_volume *v)
{
    v->mode = raw->has_mode ? (int)raw->mode : MODE_DEFAULT;
    v->n_projections = raw->n_sources;
    v->projections = arena_array(s->arena, raw->n_sources, sizeof(*v->projections));
    for (size_t i = 0; i < raw->n_sources; i++) {
        const struct raw_projected *one = &raw->sources[i];
        const char *here = decode_path(d, "%s.sources[%zu]", at, i);

        if (one->has_config + one->has_secret + one->has_downward != 1)
            return decode_bad(d, -EINVAL, here,
                              "one of configMap, secret and downwardAPI was expected");
        if (one->has_config)
            TRY(projection_decode(d, decode_path(d, "%s.configMap", here), POD_VOLUME_CONFIG,
                                  &one->config, s, &v->projections[i]));
        else if (one->has_secret)
            TRY(projection_decode(d, decode_path(d, "%s.secret", here), POD_VOLUME_SECRET,
                                  &one->secret, s, &v->projections[i]));
        else
            TRY(projection_decode(d, decode_path(d, "%s.downwardAPI", here), POD_VOLUME_DOWNWARD,
                                  &one->downward, s, &v->projections[i]));
    }
    return 0;
}

static int single_decode(struct decode *d, const char *at, const struct raw_projection *raw,
                         struct pod_spec *s, struct pod_volume *v)
{
    v->mode = raw->has_mode ? (int)raw->mode : MODE_DEFAULT;
    v->n_projections = 1;
    v->projections = arena_array(s->arena, 1, sizeof(*v->projections));
    return projection_decode(d, at, v->kind, raw, s, v->projections);
}

static int empty_decode(struct decode *d, const char *at, const struct raw_empty *raw,
                        struct pod_volume *v)
{
    static const char *const media[] = {"", "Memory", NULL};
    int medium;

    TRY(decode_word(d, decode_path(d, "%s.medium", at), raw->medium, media, 0, &medium));
    v->is_memory = medium == 1;
    if (!raw->limit)
        return 0;
    return pod_quantity_decode(d, decode_path(d, "%s.sizeLimit", at), raw->limit, 1,
                               &v->limit_bytes);
}

static int host_path_decode(struct decode *d, const char *at, const struct raw_host_path *raw,
                            struct pod_spec *s, struct pod_volume *v)
{
    /* In the order of the enumeration. */
    static const char *const types[] = {
        "",           "DirectoryOrCreate", "Directory", "FileOrCreate", "File", "Socket",
        "CharDevice", "BlockDevice",       NULL};
    int type;

    TRY(pod_absolute_check(d, decode_path(d, "%s.path", at), raw->path));
    TRY(decode_word(d, decode_path(d, "%s.type", at), raw->type, types, 0, &type));
    v->path = arena_strdup(s->arena, raw->path);
    v->host_path_type = (enum pod_host_path_type)type;
    return 0;
}

static int claim_decode(struct decode *d, const char *at, const struct raw_claim_ref *raw,
                        struct pod_spec *s, struct pod_volume *v)
{
    TRY(decode_name(d, decode_path(d, "%s.claimName", at), raw->name, name_is_subdomain,
                    NAME_SUBDOMAIN_RULE));
    v->claim = arena_strdup(s->arena, raw->name);
    v->is_read_only = raw->is_read_only;
    return 0;
}

/* Without any it is an emptyDir, as the API server has it. */
static int kind_decode(struct decode *d, const char *at, const struct raw_volume *raw,
                       struct pod_spec *s, struct pod_volume *v)
{
    const struct {
        bool is_there;
        enum pod_volume_kind kind;
        const char *name;
    } kinds[] = {
        {raw->has_empty,     POD_VOLUME_EMPTY,     "emptyDir"             },
        {raw->has_host_path, POD_VOLUME_HOST_PATH, "hostPath"             },
        {raw->has_config,    POD_VOLUME_CONFIG,    "configMap"            },
        {raw->has_secret,    POD_VOLUME_SECRET,    "secret"               },
        {raw->has_downward,  POD_VOLUME_DOWNWARD,  "downwardAPI"          },
        {raw->has_projected, POD_VOLUME_PROJECTED, "projected"            },
        {raw->has_claim,     POD_VOLUME_CLAIM,     "persistentVolumeClaim"},
    };
    const char *name = NULL;

    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        if (!kinds[i].is_there)
            continue;
        if (name)
            return decode_bad(d, -EINVAL, at, "it has %s and %s; a volume is of one kind", name,
                              kinds[i].name);
        v->kind = kinds[i].kind;
        name = kinds[i].name;
    }
    at = decode_path(d, "%s.%s", at, name ? name : "emptyDir");
    switch (v->kind) {
    case POD_VOLUME_EMPTY:
        return empty_decode(d, at, &raw->empty, v);
    case POD_VOLUME_HOST_PATH:
        return host_path_decode(d, at, &raw->host_path, s, v);
    case POD_VOLUME_CONFIG:
        return single_decode(d, at, &raw->config, s, v);
    case POD_VOLUME_SECRET:
        return single_decode(d, at, &raw->secret, s, v);
    case POD_VOLUME_DOWNWARD:
        return single_decode(d, at, &raw->downward, s, v);
    case POD_VOLUME_PROJECTED:
        return projected_decode(d, at, &raw->projected, s, v);
    case POD_VOLUME_CLAIM:
        return claim_decode(d, at, &raw->claim, s, v);
    }
    return 0;
}

int pod_volumes_decode(struct decode *d, const struct raw_pod_spec *raw, struct pod_spec *s)
{
    s->volumes = arena_array(s->arena, raw->n_volumes, sizeof(*s->volumes));
    for (size_t i = 0; i < raw->n_volumes; i++) {
        const char *at = decode_path(d, "$.spec.volumes[%zu]", i);
        const char *name = raw->volumes[i].name;

        TRY(decode_name(d, decode_path(d, "%s.name", at), name, name_is_label, NAME_LABEL_RULE));
        if (pod_volume_find(s, name))
            return decode_bad(d, -EINVAL, decode_path(d, "%s.name", at),
                              "there is another volume '%.63s'", name);
        s->volumes[i].name = arena_strdup(s->arena, name);
        s->n_volumes = i + 1;
        TRY(kind_decode(d, at, &raw->volumes[i], s, &s->volumes[i]));
    }
    return 0;
}
