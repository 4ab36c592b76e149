/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/object_tools.h"

#include <stdio.h>
#include <sys/random.h>

#include "base/json.h"
#include "base/secret.h"
#include "manifest/document.h"

#define OWN_PREFIX "wherry.dev/"

int object_copy(const struct object *o, struct object **ret, struct err *e)
{
    struct objects_options options = {.file = "the state", .space = o->space, .is_stored = true};
    autosecretbuf json = BUF_INIT;
    autoobjects copies = {0};

    object_encode(o, NULL, &json);
    TRY(objects_parse((struct text){json.data, json.len}, &options, &copies, e));
    if (copies.n != 1)
        return err_set(e, -EINVAL, "BadStored", "the %s '%.100s' is stored as %zu objects",
                       object_kind_name(o->kind), o->name, copies.n);
    *ret = take_ptr(copies.v[0]);
    return 0;
}

/* ---- Comparing ---- */

static bool node_is_same(const struct document_node *a, const struct document_node *b)
{
    if (a->type != b->type || a->n != b->n)
        return false;
    if (a->type != DOCUMENT_LIST && a->type != DOCUMENT_MAP)
        return str_eq(a->text, b->text);
    for (size_t i = 0; i < a->n; i++) {
        const struct document_node *other =
            a->type == DOCUMENT_LIST ? b->entries[i].value : document_find(b, a->entries[i].key);

        if (!other || !node_is_same(a->entries[i].value, other))
            return false;
    }
    return true;
}

/* NULL for what is no document of a list or map: such a part is compared as its text. */
static struct document *part_read(const struct object_part *p)
{
    struct err e = ERR_INIT;
    AUTO(document_reader) reader = NULL;
    struct document *d = NULL;

    if (document_reader_open((struct text){p->json, p->len}, "part", &reader, &e) < 0 ||
        document_next(reader, &d, &e) < 0)
        return NULL;
    return d;
}

static bool part_is_same(const struct object_part *a, const struct object_part *b)
{
    AUTO(document) x = NULL;
    AUTO(document) y = NULL;

    if (a->len == b->len && !memcmp(a->json, b->json, a->len))
        return true;
    x = part_read(a);
    y = part_read(b);
    return x && y && node_is_same(x->root, y->root);
}

static const struct object_part *part_find(const struct object *o, const char *key)
{
    for (size_t i = 0; i < o->n_parts; i++)
        if (str_eq(o->parts[i].key, key))
            return &o->parts[i];
    return NULL;
}

static bool is_own(const char *name)
{
    return str_starts(name, OWN_PREFIX);
}

/* Every pair of `a` (only wherry's own) is in `b`. */
static bool pairs_are_in(const struct pod_pairs *a, const struct pod_pairs *b, bool is_own_only,
                         const char *but)
{
    for (size_t i = 0; i < a->n; i++) {
        const char *other;

        if ((is_own_only && !is_own(a->v[i].name)) || (but && str_eq(a->v[i].name, but)))
            continue;
        other = pod_pair_find(b, a->v[i].name);
        if (!other || !str_eq(other, a->v[i].value))
            return false;
    }
    return true;
}

bool object_spec_is_same(const struct object *a, const struct object *b)
{
    if (a->n_parts != b->n_parts || !pairs_are_in(&a->annotations, &b->annotations, true, NULL) ||
        !pairs_are_in(&b->annotations, &a->annotations, true, NULL))
        return false;
    for (size_t i = 0; i < a->n_parts; i++) {
        const struct object_part *other = part_find(b, a->parts[i].key);

        if (!other || !part_is_same(&a->parts[i], other))
            return false;
    }
    return true;
}

bool object_is_same(const struct object *a, const struct object *b, const char *but)
{
    return pairs_are_in(&a->labels, &b->labels, false, NULL) &&
           pairs_are_in(&b->labels, &a->labels, false, NULL) &&
           pairs_are_in(&a->annotations, &b->annotations, false, but) &&
           pairs_are_in(&b->annotations, &a->annotations, false, but) && object_spec_is_same(a, b);
}

/* ---- Changing ---- */

void object_annotate(struct object *o, const char *name, const char *value)
{
    struct pod_pairs *p = &o->annotations;
    struct pod_pair *v = arena_array(o->arena, p->n + 1, sizeof(*v));
    size_t n = 0;

    BUG_ON(o->refs != 1);
    for (size_t i = 0; i < p->n; i++)
        if (!str_eq(p->v[i].name, name))
            v[n++] = p->v[i];
    if (value)
        v[n++] = (struct pod_pair){arena_strdup(o->arena, name), arena_strdup(o->arena, value)};
    *p = (struct pod_pairs){v, n};
}

static void capacity_format(int64_t bytes, char *ret, size_t size)
{
    static const char *const units[] = {"", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"};
    size_t i = 0;

    for (; i + 1 < ARRAY_SIZE(units) && bytes && bytes % 1024 == 0; i++)
        bytes /= 1024;
    snprintf(ret, size, "%lld%s", (long long)bytes, units[i]);
}

void object_claim_status_write(const struct object *o, struct buf *out)
{
    char capacity[32];
    struct json_writer w;

    capacity_format(o->claim.bytes, capacity, sizeof(capacity));
    json_writer_init(&w, out, false);
    json_begin_object(&w);
    json_key_str(&w, "phase", "Bound");
    json_key(&w, "accessModes");
    json_begin_array(&w);
    for (size_t i = 0; i < o->claim.access_modes.n; i++)
        json_str(&w, o->claim.access_modes.v[i]);
    json_end_array(&w);
    json_key(&w, "capacity");
    json_begin_object(&w);
    json_key_str(&w, "storage", capacity);
    json_end_object(&w);
    json_end_object(&w);
}

void uuid_new(char ret[static UUID_SIZE])
{
    uint8_t b[16];

    BUG_ON(getrandom(b, sizeof(b), 0) != sizeof(b));
    b[6] = (uint8_t)((b[6] & 0x0f) | 0x40);
    b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
    snprintf(ret, UUID_SIZE, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x",
             b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13],
             b[14], b[15]);
}
