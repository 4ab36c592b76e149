/* SPDX-License-Identifier: Apache-2.0 */
#include "manifest/objects.h"

#include "base/hash.h"
#include "base/json.h"
#include "base/secret.h"
#include "manifest/decode.h"
#include "manifest/document.h"

static const struct {
    const char *name;
    int (*decode)(struct decode *d, struct object *o);
} kinds[OBJECT_KINDS] = {
    [OBJECT_POD] = {"Pod",                   object_pod_decode   },
    [OBJECT_CONFIG] = {"ConfigMap",             object_config_decode},
    [OBJECT_SECRET] = {"Secret",                object_secret_decode},
    [OBJECT_CLAIM] = {"PersistentVolumeClaim", object_claim_decode },
};
#define KINDS_TEXT "Pod, ConfigMap, Secret, PersistentVolumeClaim and List, of apiVersion v1"

const char *object_kind_name(enum object_kind kind)
{
    return kinds[kind].name;
}

struct object *object_ref(struct object *o)
{
    o->refs++;
    return o;
}

void object_unref(struct object *o)
{
    struct arena *a;

    if (!o || --o->refs)
        return;
    if (o->kind == OBJECT_POD)
        pod_spec_unref(o->pod);
    a = o->arena;
    arena_wipe(a);
    arena_free(a);
}

static void object_cleanup(struct object **o)
{
    object_unref(*o);
}

const struct object_datum *object_datum_find(const struct object_data *d, const char *key)
{
    for (size_t i = 0; i < d->n; i++)
        if (str_eq(d->v[i].key, key))
            return &d->v[i];
    return NULL;
}

void object_stamp(struct object *o, const char *uid, const char *version, const char *created)
{
    BUG_ON(o->refs != 1 || (o->kind == OBJECT_POD && o->pod->refs != 1));
    if (uid)
        o->uid = arena_strdup(o->arena, uid);
    if (uid && o->kind == OBJECT_POD)
        o->pod->uid = arena_strdup(o->pod->arena, uid);
    if (version)
        o->version = arena_strdup(o->arena, version);
    if (created)
        o->created = arena_strdup(o->arena, created);
}

void object_stamp_deleted(struct object *o, const char *deleted, int64_t grace_s)
{
    o->deleted = arena_strdup(o->arena, deleted);
    o->deletion_grace_s = grace_s;
}

uint64_t object_key_hash(enum object_kind kind, const char *space, const char *name)
{
    uint64_t h = hash_add_str(HASH_INIT ^ (unsigned)kind, space);

    return hash_fold(hash_add_str(h, name));
}

/* ---- Rows of objects ---- */

/* The slot of the table where this key is, or would be. */
static size_t *slot_find(const struct objects *s, enum object_kind kind, const char *space,
                         const char *name)
{
    size_t at = (size_t)object_key_hash(kind, space, name) & (s->n_table - 1);

    for (; s->table[at]; at = (at + 1) & (s->n_table - 1)) {
        const struct object *o = s->v[s->table[at] - 1];

        if (o->kind == kind && str_eq(o->space, space) && str_eq(o->name, name))
            break;
    }
    return &s->table[at];
}

/* Anew for `size` slots, a power of two. */
static void table_fill(struct objects *s, size_t size)
{
    free(s->table);
    s->table = xcalloc(size, sizeof(*s->table));
    s->n_table = size;
    for (size_t i = 0; i < s->n; i++)
        *slot_find(s, s->v[i]->kind, s->v[i]->space, s->v[i]->name) = i + 1;
}

const struct object *objects_find(const struct objects *s, enum object_kind kind, const char *space,
                                  const char *name)
{
    const size_t *slot = s->n_table ? slot_find(s, kind, space, name) : NULL;

    return slot && *slot ? s->v[*slot - 1] : NULL;
}

static int objects_add(struct objects *s, struct object *o, struct err *e)
{
    const struct object *other;

    if (s->n == OBJECT_LIMIT)
        return err_set(e, -EFBIG, "TooLarge", "%.150s:%u: more than %d objects", o->file, o->line,
                       OBJECT_LIMIT);
    other = objects_find(s, o->kind, o->space, o->name);
    if (other)
        return err_set(
            e, -EEXIST, "Duplicate",
            "%.120s:%u: the %s '%.80s' of namespace '%.63s' is also in %.120s:%u; give one of "
            "them another name",
            o->file, o->line, object_kind_name(o->kind), o->name, o->space, other->file,
            other->line);
    if (s->n == s->cap) {
        s->cap = s->cap ? 2 * s->cap : 16;
        s->v = xrealloc(s->v, s->cap, sizeof(struct object *));
    }
    s->v[s->n++] = o;
    if (2 * s->n > s->n_table)
        table_fill(s, s->n_table ? 2 * s->n_table : 64);
    else
        *slot_find(s, o->kind, o->space, o->name) = s->n;
    return 0;
}

static void objects_shrink(struct objects *s, size_t n)
{
    if (s->n == n)
        return;
    while (s->n > n)
        object_unref(s->v[--s->n]);
    table_fill(s, s->n_table);
}

void objects_done(struct objects *s)
{
    while (s->n)
        object_unref(s->v[--s->n]);
    free(s->v);
    free(s->table);
    *s = (struct objects){0};
}

/* ---- From documents ---- */

static const char *string_find(const struct document_node *map, const char *key)
{
    const struct document_node *n = document_find(map, key);

    return n && n->type == DOCUMENT_STRING ? n->text : NULL;
}

static int kind_find(struct decode *d, enum object_kind *ret)
{
    const char *kind = string_find(d->root, "kind");
    const char *version = string_find(d->root, "apiVersion");

    if (d->root->type != DOCUMENT_MAP)
        return decode_bad(d, -EINVAL, "$",
                          "an object of Kubernetes was expected: a map that has "
                          "apiVersion, kind and metadata");
    if (!kind || !version)
        return decode_bad(d, -EINVAL, kind ? "$.apiVersion" : "$.kind",
                          "is missing, or is no string; known are " KINDS_TEXT);
    for (int i = 0; i < OBJECT_KINDS; i++) {
        if (!str_eq(kind, kinds[i].name) || !str_eq(version, "v1"))
            continue;
        *ret = (enum object_kind)i;
        return 0;
    }
    return decode_bad(d, -ENOENT, "$.kind",
                      "'%.60s' of apiVersion '%.60s' is not known here; known are " KINDS_TEXT,
                      kind, version);
}

/* Neither what is the same for all objects nor what is said about them. */
static bool is_part(const char *key)
{
    return !str_eq(key, "apiVersion") && !str_eq(key, "kind") && !str_eq(key, "metadata") &&
           !str_eq(key, "status");
}

static void part_add(struct object *o, const char *key, const char *json, size_t len)
{
    struct object_part *p = &o->parts[o->n_parts++];

    p->key = arena_strdup(o->arena, key);
    p->json = arena_strndup(o->arena, json, len);
    p->len = len;
}

static void parts_make(struct decode *d, struct object *o)
{
    const struct document_node *root = d->root;

    o->parts = arena_array(o->arena, root->n + d->n_edits, sizeof(*o->parts));
    for (size_t i = 0; i < root->n; i++) {
        const char *key = root->entries[i].key;
        autosecretbuf json = BUF_INIT;
        bool is_edited = false;

        for (size_t j = 0; j < d->n_edits; j++)
            is_edited |= str_eq(d->edits[j].path, "$") && str_eq(d->edits[j].key, key);
        if (is_edited || !is_part(key))
            continue;
        document_json_add(root->entries[i].value, decode_path(d, "$.%s", key), d->edits, d->n_edits,
                          &json);
        part_add(o, key, buf_str(&json), json.len);
    }
    for (size_t j = 0; j < d->n_edits; j++)
        if (str_eq(d->edits[j].path, "$") && d->edits[j].json)
            part_add(o, d->edits[j].key, d->edits[j].json, strlen(d->edits[j].json));
}

static int object_decode(struct decode *d, struct objects *into)
{
    struct arena *a;
    __attribute__((cleanup(object_cleanup))) struct object *o = NULL;
    enum object_kind kind = OBJECT_POD;
    unsigned limit = OBJECT_LIMIT_BYTES * (d->options->is_stored ? 2 : 1);

    TRY(kind_find(d, &kind));
    if (d->root->bytes > limit)
        return decode_bad(d, -EFBIG, "$", "the object is larger than %u MiB", limit >> 20);
    a = arena_new();
    o = arena_alloc(a, sizeof(*o));
    *o = (struct object){.refs = 1, .arena = a, .kind = kind, .deletion_grace_s = -1};
    o->file = arena_strdup(a, d->options->file);
    o->line = d->root->line;
    TRY(kinds[kind].decode(d, o));
    parts_make(d, o);
    TRY(objects_add(into, o, d->e));
    o = NULL;
    return 0;
}

static int tree_decode(const struct objects_options *options, const struct document_node *root,
                       struct objects *into, struct err *e)
{
    struct decode d = {.options = options, .root = root, .scratch = arena_new(), .e = e};
    int r = object_decode(&d, into);

    free(d.edits);
    arena_wipe(d.scratch);
    arena_free(d.scratch);
    return r;
}

static int list_decode(const struct objects_options *options, const struct document_node *root,
                       struct objects *into, struct err *e)
{
    struct decode d = {.options = options, .root = root, .e = e};
    const struct document_node *items = document_find(root, "items");

    for (size_t i = 0; i < root->n; i++)
        if (is_part(root->entries[i].key) && !str_eq(root->entries[i].key, "items"))
            return decode_bad(&d, -EINVAL, "$", "'%.60s' is no field of a List",
                              root->entries[i].key);
    if (!items || items->type != DOCUMENT_LIST)
        return decode_bad(&d, -EINVAL, "$.items", "a list of objects was expected");
    for (size_t i = 0; i < items->n; i++)
        TRY(tree_decode(options, items->entries[i].value, into, e));
    return 0;
}

static bool is_list(const struct document_node *root)
{
    const char *kind = string_find(root, "kind"), *version = string_find(root, "apiVersion");

    return kind && str_eq(kind, "List") && version && str_eq(version, "v1");
}

static int documents_decode(struct document_reader *reader, const struct objects_options *options,
                            struct objects *into, struct err *e)
{
    for (;;) {
        AUTO(document) d = NULL;

        TRY(document_next(reader, &d, e));
        if (!d)
            return 0;
        if (is_list(d->root))
            TRY(list_decode(options, d->root, into, e));
        else
            TRY(tree_decode(options, d->root, into, e));
    }
}

int objects_parse(struct text text, const struct objects_options *options, struct objects *into,
                  struct err *e)
{
    AUTO(document_reader) reader = NULL;
    size_t before = into->n;
    int r;

    TRY(document_reader_open(text, options->file, &reader, e));
    r = documents_decode(reader, options, into, e);
    if (r < 0)
        objects_shrink(into, before);
    return r;
}
