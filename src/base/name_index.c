/* SPDX-License-Identifier: Apache-2.0 */
#include "base/name_index.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <sys/random.h>

#include "base/err.h"
#include "base/hash.h"
#include "base/util.h"

/* FNV-1a from a start that nobody outside knows: names come from strangers, who must not be able to
 * choose those that meet. */
static uint64_t name_hash(const char *name)
{
    static _Atomic uint64_t seed;
    uint64_t h = seed;

    if (!h) {
        if (getrandom(&h, sizeof(h), GRND_NONBLOCK) != sizeof(h) || !h)
            h = HASH_INIT;
        /* Another thread may have been first; its seed counts. */
        uint64_t none = 0;
        h = atomic_compare_exchange_strong(&seed, &none, h) ? h : none;
    }
    return hash_fold(hash_add(h, name, strlen(name)));
}

static struct name_link **bucket_of(const struct name_index *x, uint64_t hash)
{
    return &x->buckets[hash & (x->n_buckets - 1)];
}

static void grow(struct name_index *x)
{
    struct name_index larger = {.n_buckets = x->n_buckets ? 2 * x->n_buckets : 16, .n = x->n};

    larger.buckets = xcalloc(larger.n_buckets, sizeof(struct name_link *));
    for (size_t i = 0; i < x->n_buckets; i++) {
        struct name_link **end[2] = {bucket_of(&larger, i), bucket_of(&larger, i + x->n_buckets)};

        /* In their order, so that of one name the last stays the first. */
        for (struct name_link *l = x->buckets[i], *next; l; l = next) {
            struct name_link ***to = &end[(l->hash & x->n_buckets) != 0];

            next = l->next;
            l->next = NULL;
            **to = l;
            *to = &l->next;
        }
    }
    free(x->buckets);
    *x = larger;
}

void name_index_add(struct name_index *x, struct name_link *l, const char *name)
{
    struct name_link **bucket;

    BUG_ON(l->name);
    if (x->n == x->n_buckets)
        grow(x);
    l->name = name;
    l->hash = name_hash(name);
    bucket = bucket_of(x, l->hash);
    l->next = *bucket;
    *bucket = l;
    x->n++;
}

void name_index_remove(struct name_index *x, struct name_link *l)
{
    struct name_link **at;

    if (!l->name)
        return;
    for (at = bucket_of(x, l->hash); *at != l; at = &(*at)->next)
        BUG_ON(!*at);
    *at = l->next;
    *l = (struct name_link){0};
    x->n--;
}

struct name_link *name_index_find(const struct name_index *x, const char *name)
{
    uint64_t hash;

    if (!x->n)
        return NULL;
    hash = name_hash(name);
    for (struct name_link *l = *bucket_of(x, hash); l; l = l->next)
        if (l->hash == hash && str_eq(l->name, name))
            return l;
    return NULL;
}

void name_index_done(struct name_index *x)
{
    free(x->buckets);
    *x = (struct name_index){0};
}
