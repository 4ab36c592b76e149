/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "manifest/objects.h"

/*
 * Objects by kind, namespace and name, one reference each; per kind a row in the order of
 * namespace and name. Finding takes log n steps; a new one moves those behind it, 8 bytes each.
 */
struct object_entry {
    struct object *object;
    size_t bytes; /* of its JSON */
};

struct object_table {
    struct object_row {
        struct object_entry *v;
        size_t n, cap;
    } rows[OBJECT_KINDS];
    size_t n;       /* of all kinds */
    uint64_t bytes; /* of all */
};

struct object *object_table_find(const struct object_table *t, enum object_kind kind,
                                 const char *space, const char *name);
/* Takes the reference; true when it replaced one, which is released. */
bool object_table_put(struct object_table *t, struct object *o, size_t bytes);
/* Gives the reference away; NULL when there is none. */
struct object *object_table_take(struct object_table *t, enum object_kind kind, const char *space,
                                 const char *name);
/* In the order of namespace and name; `space` NULL: all. `each` must not change the table. */
void object_table_each(const struct object_table *t, enum object_kind kind, const char *space,
                       void (*each)(void *ctx, struct object *o), void *ctx);
void object_table_done(struct object_table *t);

/* A name of enum object_kind, "Pod" and so on; -ENOENT. */
int object_kind_find(const char *name);
