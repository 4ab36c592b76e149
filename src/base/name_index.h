/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/*
 * Finds members of a set by their names without looking at all of them. What is in the set carries
 * a `struct name_link`, all zero at first, whose name belongs to the member and does not change
 * while it is in. Of several with one name the one that was added last is found.
 */
struct name_link {
    struct name_link *next;
    const char *name; /* NULL: in no index */
    uint64_t hash;
};

struct name_index {
    struct name_link **buckets;
    size_t n_buckets, n; /* a power of two, or 0 */
};

void name_index_add(struct name_index *x, struct name_link *l, const char *name);
void name_index_remove(struct name_index *x, struct name_link *l); /* one that is not in is fine */
struct name_link *name_index_find(const struct name_index *x, const char *name); /* or NULL */
void name_index_done(struct name_index *x); /* the members stay as they are */
