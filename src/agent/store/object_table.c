/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/store/object_table.h"

static int key_compare(const struct object *o, const char *space, const char *name)
{
    int r = strcmp(o->space, space);

    return r ? r : strcmp(o->name, name);
}

/* Where it is, or would be. */
static size_t place_find(const struct object_row *row, const char *space, const char *name,
                         bool *ret_is_there)
{
    size_t low = 0, high = row->n;

    /* Many come in their order: out of a journal that was rewritten, or numbered. */
    if (row->n && key_compare(row->v[row->n - 1].object, space, name) < 0)
        low = row->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (key_compare(row->v[middle].object, space, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *ret_is_there = low < row->n && !key_compare(row->v[low].object, space, name);
    return low;
}

struct object *object_table_find(const struct object_table *t, enum object_kind kind,
                                 const char *space, const char *name)
{
    bool is_there = false;
    size_t at = place_find(&t->rows[kind], space, name, &is_there);

    return is_there ? t->rows[kind].v[at].object : NULL;
}

bool object_table_put(struct object_table *t, struct object *o, size_t bytes)
{
    struct object_row *row = &t->rows[o->kind];
    bool is_there = false;
    size_t at = place_find(row, o->space, o->name, &is_there);

    if (is_there) {
        t->bytes -= row->v[at].bytes;
        object_unref(row->v[at].object);
    } else {
        if (row->n == row->cap) {
            row->cap = row->cap ? 2 * row->cap : 16;
            row->v = xrealloc(row->v, row->cap, sizeof(*row->v));
        }
        memmove(&row->v[at + 1], &row->v[at], (row->n - at) * sizeof(*row->v));
        row->n++;
        t->n++;
    }
    row->v[at] = (struct object_entry){o, bytes};
    t->bytes += bytes;
    return is_there;
}

struct object *object_table_take(struct object_table *t, enum object_kind kind, const char *space,
                                 const char *name)
{
    struct object_row *row = &t->rows[kind];
    bool is_there = false;
    size_t at = place_find(row, space, name, &is_there);
    struct object *o;

    if (!is_there)
        return NULL;
    o = row->v[at].object;
    t->bytes -= row->v[at].bytes;
    memmove(&row->v[at], &row->v[at + 1], (row->n - at - 1) * sizeof(*row->v));
    row->n--;
    t->n--;
    return o;
}

void object_table_each(const struct object_table *t, enum object_kind kind, const char *space,
                       void (*each)(void *ctx, struct object *o), void *ctx)
{
    const struct object_row *row = &t->rows[kind];
    bool is_there = false;
    size_t i = space ? place_find(row, space, "", &is_there) : 0;

    for (; i < row->n && (!space || str_eq(row->v[i].object->space, space)); i++)
        each(ctx, row->v[i].object);
}

void object_table_done(struct object_table *t)
{
    for (size_t kind = 0; kind < OBJECT_KINDS; kind++) {
        struct object_row *row = &t->rows[kind];

        while (row->n)
            object_unref(row->v[--row->n].object);
        free(row->v);
    }
    *t = (struct object_table){0};
}

int object_kind_find(const char *name)
{
    for (int kind = 0; kind < OBJECT_KINDS; kind++)
        if (str_eq(name, object_kind_name((enum object_kind)kind)))
            return kind;
    return -ENOENT;
}
