/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/buf.h"
#include "base/util.h"
#include "pod/spec.h"

/*
 * What the API shows of one resource: every object as it is now, as JSON, and the last changes, for
 * watches. A watcher has a place in the row of changes and takes them at its own speed; whoever is
 * so slow that the row has moved on is cut off. So a slow client costs no memory.
 *
 * Versions are given by the caller and only grow. What was before the first version of a feed is
 * not known to it.
 */
#define WATCH_LIMIT_CHANGES 4096
#define WATCH_LIMIT_BYTES   (8u << 20) /* of JSON in the row of changes */

/* One object at one version. Constant, counted, overwritten before it is freed. */
struct watch_item {
    unsigned refs;
    uint64_t version;
    const char *space, *name; /* among the fields */
    struct pod_pairs labels, fields;
    char *json; /* heap, with its NUL */
    size_t len;
    void *memory; /* of the pairs */
};

/* What fields of an object are: "metadata.name" and "metadata.namespace" come first. Copies all but
 * the JSON text, which it takes. */
struct watch_item *watch_item_new(uint64_t version, const struct pod_pairs *labels,
                                  const struct pod_pairs *fields, struct buf *json);
struct watch_item *watch_item_ref(struct watch_item *i);
void watch_item_unref(struct watch_item *i); /* NULL is fine */

struct watch_feed;

struct watch_feed *watch_feed_new(uint64_t first_version);
void watch_feed_free(struct watch_feed *f); /* no watcher may be left (BUG) */
DEFINE_AUTO(watch_feed);

/* Takes the reference: the object is this now, be it new or not. */
void watch_feed_put(struct watch_feed *f, struct watch_item *i);
/* It is gone; `last` is what it was, with the version of its end. */
void watch_feed_remove(struct watch_feed *f, struct watch_item *last);

struct watch_item *watch_feed_find(const struct watch_feed *f, const char *space, const char *name);
/* In the order of namespace and name. */
size_t watch_feed_count(const struct watch_feed *f);
struct watch_item *watch_feed_at(const struct watch_feed *f, size_t place);
uint64_t watch_feed_version(const struct watch_feed *f); /* of the last change */

/* ---- Watchers ---- */

struct watch_change {
    const struct watch_item *now;    /* what it is, or was at its end */
    const struct watch_item *before; /* NULL: it was not there */
    bool is_removal;
};

struct watcher;

/* Behind `version`; -ESTALE when that is not remembered, or has not been yet. `woken` tells that
 * there is something to take, from within watch_feed_put() and watch_feed_remove(), and must not
 * touch the feed or another watcher there. */
int watcher_new(struct watch_feed *f, uint64_t version, void (*woken)(void *ctx), void *ctx,
                struct watcher **ret);
/* The next change, valid until the feed's next: 1; 0 when there is none now; -ESTALE: too slow. */
int watcher_next(struct watcher *w, struct watch_change *ret);
void watcher_free(struct watcher *w);
