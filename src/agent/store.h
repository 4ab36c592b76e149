/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "loop/loop.h"
#include "manifest/objects.h"

/*
 * The objects that were asked for, on the disk before it is acknowledged: a journal of what was put
 * and deleted, one checked record each, which several changes share one fsync of (group commit). It
 * is replayed at the start, and rewritten when most of it is outdated. A record that was cut off at
 * its end by a crash was never acknowledged and is dropped; damage anywhere else is an error that
 * says where. Another process that has the store open is refused ("StateLocked").
 *
 * Every change has a number that only grows (resourceVersion), also over restarts.
 */
struct object_store;

enum object_change { OBJECT_ADDED, OBJECT_MODIFIED, OBJECT_DELETED };

struct object_store_options {
    struct loop *loop;
    const char *state_dir;
    /* After it is on the disk: the object as it is now (DELETED: was). */
    void (*changed)(void *ctx, enum object_change change, struct object *o);
    void *ctx;
};

int object_store_open(const struct object_store_options *o, struct object_store **ret,
                      struct err *e);
void object_store_close(struct object_store *s); /* what is under way is written first */

/* Takes the reference and stamps it with a version (and uid and time of creation if it has none).
 * `done` from the loop when it is on the disk, or why it cannot be (full disk: "StateFull"); then
 * nothing has changed. */
void object_store_put(struct object_store *s, struct object *o,
                      void (*done)(void *ctx, const struct err *failed), void *ctx);
void object_store_delete(struct object_store *s, enum object_kind kind, const char *space,
                         const char *name, void (*done)(void *ctx, const struct err *failed),
                         void *ctx);

/* As acknowledged. NULL when there is none. */
struct object *object_store_find(const struct object_store *s, enum object_kind kind,
                                 const char *space, const char *name);
/* In the order of namespace and name; `space` NULL: all. */
void object_store_each(const struct object_store *s, enum object_kind kind, const char *space,
                       void (*each)(void *ctx, struct object *o), void *ctx);
/* Of the last change. */
uint64_t object_store_version(const struct object_store *s);
