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

#define OBJECT_STORE_LIMIT         50000       /* objects */
#define OBJECT_STORE_LIMIT_WAITING (64u << 20) /* bytes of changes that are not on the disk yet */

enum object_change { OBJECT_ADDED, OBJECT_MODIFIED, OBJECT_DELETED };

struct object_store_options {
    struct loop *loop;
    const char *state_dir; /* made (0700) if it is not there; not for group and others to write */
    /* After it is on the disk: the object as it is now (DELETED: was), before the `done` of the
     * same change. object_store_version() is that of this change meanwhile. Not for what is there
     * when the store is opened. */
    void (*changed)(void *ctx, enum object_change change, struct object *o);
    /* What whoever operates the machine should know and is no error: the end of the journal was cut
     * off, or it cannot be rewritten. Also while it is opened. NULL: not told. */
    void (*note)(void *ctx, const char *text);
    void *ctx;
};

/* "StateLocked" (-EBUSY) names the other process; "StateDamaged" (-EBADMSG) the place;
 * "StateFull", "StateFailed", "UntrustedFolder". Blocks until all is read. */
int object_store_open(const struct object_store_options *o, struct object_store **ret,
                      struct err *e);
/* What waits is written first: this blocks, and calls. Not from a callback of the store. The loop
 * has to run once more before it is freed, as after any loop_work(). NULL is fine. */
void object_store_close(struct object_store *s);

/*
 * Takes the reference, which is the only one, and stamps it with a version, and with a uid and a
 * time of creation if it has none; what replaces another is given that one's before. `done` from
 * the loop, in the order of the changes, when it is on the disk (NULL), or why it cannot be; then
 * nothing has changed: "StateFull" (also: too many objects), "StateFailed", "TooLarge", "StateBusy"
 * (-EAGAIN: too much waits), and "StateBroken", after a failure that could not be undone, for all
 * changes until the store is opened anew.
 */
void object_store_put(struct object_store *s, struct object *o,
                      void (*done)(void *ctx, const struct err *failed), void *ctx);
/* Also "NotFound" (-ENOENT), after all changes before it. */
void object_store_delete(struct object_store *s, enum object_kind kind, const char *space,
                         const char *name, void (*done)(void *ctx, const struct err *failed),
                         void *ctx);

/* As acknowledged. NULL when there is none. Whoever keeps it takes a reference. */
struct object *object_store_find(const struct object_store *s, enum object_kind kind,
                                 const char *space, const char *name);
/* In the order of namespace and name; `space` NULL: all. `each` may change objects, which comes
 * later as always. */
void object_store_each(const struct object_store *s, enum object_kind kind, const char *space,
                       void (*each)(void *ctx, struct object *o), void *ctx);
/* Of the last change. Numbers of changes that failed are left out. */
uint64_t object_store_version(const struct object_store *s);

struct object_store_figures {
    size_t objects;
    uint64_t journal_bytes, live_bytes;
    uint64_t commits, failed_commits, rewrites; /* since it was opened */
};
void object_store_figures(const struct object_store *s, struct object_store_figures *ret);
