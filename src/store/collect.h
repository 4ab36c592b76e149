/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "store/images.h"
#include "store/inventory.h"

/*
 * Removing from the image store what nothing needs: names first, and for good, then the blobs that
 * no name leads to and nobody has leased; so whoever is killed leaves a store in which every name
 * leads to what is there. One process collects at a time. Others pull, tag and run meanwhile: a
 * blob is locked alone, then all names are read again, then it goes; who pulls just that blob waits
 * for that moment and fetches it anew.
 */

enum collected {
    COLLECTED_NAME,
    COLLECTED_BLOB,
    COLLECTED_PART,      /* of a blob, by a pull that has ended */
    COLLECTED_TEMPORARY, /* of who was killed */
};

struct collect_options {
    bool is_dry_run; /* nothing is removed, but told of */

    /* Told of all that is removed; may be NULL. */
    void (*removed)(void *ctx, enum collected what, const char *name, int64_t bytes);
    void *ctx;
};

struct collector;

/* Waits for another collector, or (`is_waiting` false) returns 0 when there is one. 1 with the
 * collector, which goes before the store does. */
int collector_open(struct images *s, const struct collect_options *o, bool is_waiting,
                   struct collector **ret, struct err *e);
void collector_free(struct collector *c);
DEFINE_AUTO(collector);

/* Removes a name, and has what it led to removed by collector_sweep(). 1, 0 when it is not known.
 */
int collector_unname(struct collector *c, const struct reference *r, struct err *e);

/* Has blobs removed that no name leads to, and removes parts of blobs: those that were not used
 * since then (realtime). Also removes other files that were left over. */
int collector_leftovers(struct collector *c, int64_t before_ns, struct err *e);

/* Removes what of all that nothing needs. "BadImage" when that is not known: inventory_check(). */
int collector_sweep(struct collector *c, struct err *e);

/* Bytes that were removed so far. */
int64_t collector_bytes(const struct collector *c);

/* When the last collector_leftovers() ended: realtime, 0 for never. */
int64_t images_collected_at_ns(struct images *s);
