/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/util.h"

/*
 * A ring of members with a head: what is in a list carries a `struct link`. A link that is in no
 * list is empty, and removing it has no effect; link_init() comes before all.
 */
struct link {
    struct link *prev, *next;
};

static inline void link_init(struct link *l)
{
    l->prev = l->next = l;
}

static inline bool link_is_empty(const struct link *l)
{
    return l->next == l;
}

static inline void link_remove(struct link *l)
{
    l->prev->next = l->next;
    l->next->prev = l->prev;
    link_init(l);
}

/* At the end, after it was removed from where it is. */
static inline void link_append(struct link *head, struct link *l)
{
    link_remove(l);
    l->prev = head->prev;
    l->next = head;
    head->prev->next = l;
    head->prev = l;
}

/* The first one, or NULL. */
#define LINK_FIRST(head, type, member)                                                             \
    (link_is_empty(head) ? NULL : LINK_OF(type, member, (head)->next))

/* Each one, also when the body removes it; not when the body removes the one after it. */
#define LINK_EACH(it, head, type, member)                                                          \
    for (struct link *it##_at = (head)->next, *it##_then = it##_at->next;                          \
         it##_at != (head) && ((it) = LINK_OF(type, member, it##_at), true);                       \
         it##_at = it##_then, it##_then = it##_at->next)
