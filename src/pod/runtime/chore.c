/* SPDX-License-Identifier: Apache-2.0 */
/* What a pod has to do in the work pool, one thing after another. */
#include "pod/runtime/pod_internal.h"

bool chore_is_void(const struct chore *c)
{
    return !c->has_run || c->pod->is_closed;
}

static void chore_work(void *ctx)
{
    struct chore *c = ctx;

    c->work(c);
}

static void lane_next(struct lane *l);

static void chore_done(void *ctx)
{
    struct chore *c = ctx;
    struct lane *l = c->lane;
    struct pod *p = c->pod;

    l->is_busy = false;
    c->has_run = true;
    c->done(c);
    lane_next(l);
    pod_unref(p);
}

static void lane_next(struct lane *l)
{
    struct chore *c = LINK_FIRST(&l->queue, struct chore, link);

    if (l->is_busy || !c)
        return;
    link_remove(&c->link);
    l->is_busy = true;
    c->pod->refs++;
    loop_work(c->pod->set->o.loop, chore_work, chore_done, c);
}

void lane_add(struct lane *l, struct pod *p, struct chore *c)
{
    BUG_ON(p->is_closed);
    c->pod = p;
    c->lane = l;
    link_init(&c->link);
    link_append(&l->queue, &c->link);
    lane_next(l);
}

void lane_clear(struct lane *l)
{
    struct chore *c;

    while ((c = LINK_FIRST(&l->queue, struct chore, link))) {
        link_remove(&c->link);
        c->done(c);
    }
}
