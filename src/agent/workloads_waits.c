/* SPDX-License-Identifier: Apache-2.0 */
/* Requests about an object that another request is changing: they come after it. */
#include "agent/workloads_parts.h"

struct change_wait {
    struct change_wait *next;
    enum object_kind kind;
    char *space, *name;
    workloads_then *then;
    void *ctx;
};

static void wait_end(struct change_wait *w, const struct err *failed)
{
    w->then(w->ctx, w->space, w->name, failed);
    free(w->space);
    free(w->name);
    free(w);
}

void workloads_wait(struct workloads *s, enum object_kind kind, const char *space, const char *name,
                    workloads_then *then, void *ctx)
{
    struct change_wait *w = xcalloc(1, sizeof(*w)), **last = &s->waits;

    *w = (struct change_wait){
        .kind = kind, .space = xstrdup(space), .name = xstrdup(name), .then = then, .ctx = ctx};
    while (*last)
        last = &(*last)->next;
    *last = w;
}

void workloads_waits_end(struct workloads *s, enum object_kind kind, const char *space,
                         const char *name)
{
    struct change_wait *mine = NULL, **at = &s->waits, **last = &mine, *w;

    while ((w = *at)) {
        if (w->kind != kind || !str_eq(w->name, name) || !str_eq(w->space, space)) {
            at = &w->next;
            continue;
        }
        *at = take_ptr(w->next);
        *last = w;
        last = &w->next;
    }
    /* The first of them may be a change that the others wait for again. */
    while ((w = mine)) {
        mine = w->next;
        wait_end(w, NULL);
    }
}

void workloads_waits_abandon(struct workloads *s)
{
    struct change_wait *w;
    struct err e = ERR_INIT;

    err_set(&e, -ESHUTDOWN, "ShuttingDown", "the agent is being stopped");
    while ((w = s->waits)) {
        s->waits = w->next;
        wait_end(w, &e);
    }
}
