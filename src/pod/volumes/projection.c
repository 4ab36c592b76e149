/* SPDX-License-Identifier: Apache-2.0 */
#include "pod/volumes/projection.h"

#include "base/secret.h"

#define REASON "BadProjection"

static void file_done(struct projection_file *f)
{
    if (f->data)
        explicit_bzero(f->data, f->len);
    free(f->data);
    free(f->path);
}

void projection_done(struct projection *p)
{
    for (size_t i = 0; i < p->n; i++)
        file_done(&p->v[i]);
    free(p->v);
    *p = (struct projection){0};
}

static int part_add(const char *path, const char *part, size_t len, struct buf *out, struct err *e)
{
    if (!len || (len == 1 && *part == '.'))
        return 0;
    if (len == 2 && !strncmp(part, "..", 2))
        return err_set(e, -EINVAL, REASON, "the path '%.200s' must not contain '..'", path);
    /* The writer's own names begin so. */
    if (!out->len && len >= 2 && !strncmp(part, "..", 2))
        return err_set(e, -EINVAL, REASON, "the path '%.200s' must not start with '..'", path);
    if (len > PROJECTION_NAME_LIMIT)
        return err_set(e, -ENAMETOOLONG, REASON,
                       "a part of the path '%.200s' has more than %d bytes", path,
                       PROJECTION_NAME_LIMIT);
    if (out->len)
        buf_addc(out, '/');
    buf_add(out, part, len);
    return 0;
}

/* The path without "." and doubled slashes. */
static int path_clean(const char *path, char **ret, struct err *e)
{
    autobuf out = BUF_INIT;

    if (*path == '/')
        return err_set(e, -EINVAL, REASON, "the path '%.200s' must be relative", path);
    if (strlen(path) >= PROJECTION_PATH_LIMIT)
        return err_set(e, -ENAMETOOLONG, REASON, "the path '%.200s...' has more than %d bytes",
                       path, PROJECTION_PATH_LIMIT - 1);
    for (const char *p = path; *p;) {
        size_t len = strcspn(p, "/");

        TRY(part_add(path, p, len, &out, e));
        p += len + (p[len] == '/');
    }
    if (!out.len)
        return err_set(e, -EINVAL, REASON, "the path '%.200s' names no file", path);
    *ret = buf_take(&out);
    return 0;
}

static int put(struct projection *p, const char *path, const void *data, size_t len, int mode,
               struct err *e)
{
    struct projection_file f = {.len = len, .mode = mode & 07777, .order = p->n};

    if (p->n >= PROJECTION_LIMIT || len > PROJECTION_LIMIT_BYTES - p->bytes)
        return err_set(e, -E2BIG, REASON, "its files are more than %d, or more than %u bytes",
                       PROJECTION_LIMIT, PROJECTION_LIMIT_BYTES);
    TRY(path_clean(path, &f.path, e));
    f.data = xcalloc(len + 1, 1);
    if (len)
        memcpy(f.data, data, len);
    if (!(p->n & (p->n + 1)))
        p->v = xrealloc(p->v, (p->n + 1) * 2, sizeof(*p->v));
    p->v[p->n++] = f;
    p->bytes += len;
    return 0;
}

static int object_put(struct projection *p, const struct pod_fields *f,
                      const struct pod_projection *from, const struct pod_objects *o, int mode,
                      struct err *e)
{
    bool is_config = from->kind == POD_VOLUME_CONFIG;
    enum pod_object_kind kind = is_config ? POD_OBJECT_CONFIG : POD_OBJECT_SECRET;
    const struct pod_object *object = NULL;
    int r = pod_object_find(o, kind, f->spec->space, from->object, from->is_optional, &object, e);

    if (r <= 0)
        return r;
    for (size_t i = 0; !from->n_items && i < object->n_keys; i++)
        TRY(put(p, object->keys[i].name, object->keys[i].data, object->keys[i].len, mode, e));
    for (size_t i = 0; i < from->n_items; i++) {
        const struct pod_item *item = &from->items[i];
        const struct pod_object_key *k = pod_object_key_find(object, item->key);

        if (k)
            TRY(put(p, item->path, k->data, k->len, item->mode < 0 ? mode : item->mode, e));
        else if (!from->is_optional)
            return err_set(e, -ENOENT, "ObjectMissing", "couldn't find key %s in %s %s/%s",
                           item->key, is_config ? "ConfigMap" : "Secret", f->spec->space,
                           from->object);
    }
    return 0;
}

static int downward_put(struct projection *p, const struct pod_fields *f,
                        const struct pod_projection *from, int mode, struct err *e)
{
    for (size_t i = 0; i < from->n_items; i++) {
        const struct pod_item *item = &from->items[i];
        const struct pod_container *c =
            item->container ? pod_container_find(f->spec, item->container) : NULL;
        autobuf value = BUF_INIT;

        if (item->container && !c)
            return err_set(e, -EINVAL, REASON, "the pod has no container '%s'", item->container);
        if (c)
            TRY(pod_resource_add(f, c, item->key, item->divisor, &value, e));
        else
            TRY(pod_field_add(f, item->key, POD_FIELD_FILE, &value, e));
        TRY(put(p, item->path, buf_str(&value), value.len, item->mode < 0 ? mode : item->mode, e));
    }
    return 0;
}

static int file_compare(const void *a, const void *b)
{
    const struct projection_file *x = a, *y = b;
    int r = strcmp(x->path, y->path);

    return r ? r : x->order < y->order ? -1 : 1;
}

static int path_compare(const void *key, const void *b)
{
    return strcmp(key, ((const struct projection_file *)b)->path);
}

/* Of one path the last file stays. */
static void settle(struct projection *p)
{
    size_t kept = 0;

    if (p->n)
        qsort(p->v, p->n, sizeof(*p->v), file_compare);
    for (size_t i = 0; i < p->n; i++)
        if (i + 1 < p->n && str_eq(p->v[i].path, p->v[i + 1].path)) {
            p->bytes -= p->v[i].len;
            file_done(&p->v[i]);
        } else {
            p->v[kept++] = p->v[i];
        }
    p->n = kept;
}

static int check_folders(const struct projection *p, struct err *e)
{
    for (size_t i = 0; i < p->n; i++) {
        autofree char *path = xstrdup(p->v[i].path);

        for (char *slash = strrchr(path, '/'); slash; slash = strrchr(path, '/')) {
            *slash = 0;
            if (bsearch(path, p->v, p->n, sizeof(*p->v), path_compare))
                return err_set(e, -EINVAL, REASON,
                               "the path '%.150s' is a file and also the folder of '%.150s'", path,
                               p->v[i].path);
        }
    }
    return 0;
}

static int gather(const struct pod_fields *f, const struct pod_volume *v,
                  const struct pod_objects *o, struct projection *p, struct err *e)
{
    int mode = v->mode < 0 ? PROJECTION_MODE : v->mode;

    for (size_t i = 0; i < v->n_projections; i++) {
        const struct pod_projection *from = &v->projections[i];

        if (from->kind == POD_VOLUME_DOWNWARD)
            TRY(downward_put(p, f, from, mode, e));
        else
            TRY(object_put(p, f, from, o, mode, e));
    }
    settle(p);
    return check_folders(p, e);
}

int projection_gather(const struct pod_fields *f, const struct pod_volume *v,
                      const struct pod_objects *o, struct projection *ret, struct err *e)
{
    struct projection p = {0};
    int r = gather(f, v, o, &p, e);

    if (r < 0)
        projection_done(&p);
    else
        *ret = p;
    return r;
}
