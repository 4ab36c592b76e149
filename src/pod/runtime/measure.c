/* SPDX-License-Identifier: Apache-2.0 */
/* Figures of a pod's containers, which their worker is asked for. */
#include "base/clock.h"
#include "pod/runtime/pod_internal.h"

#define LATE_NS 2000000000ull

/* One question. It is answered when all answers are there, or after LATE_NS with those that are,
 * from a call of its own: so whoever is told may close the pod. */
struct measure_all {
    struct link link; /* in the pod's measures */
    struct pod *pod;  /* NULL: it was closed, and nobody is told any more */
    void (*measured)(void *ctx, const char *container, const struct message_figures *f);
    void *ctx;
    struct loop_timer *late;
    bool is_told, is_telling;
    size_t n_due, n;
    struct measure_one {
        struct measure_all *all;
        const struct container *container; /* whose answer is due */
        const char *name;                  /* NULL: it does not run */
        struct message_figures figures;
    } one[];
};

static void all_free(struct measure_all *all)
{
    loop_timer_free(all->late);
    link_remove(&all->link);
    free(all);
}

static void all_tell(struct measure_all *all)
{
    all->is_told = all->is_telling = true;
    for (size_t i = 0; i < all->n && all->pod; i++)
        if (all->one[i].name && !all->one[i].container)
            all->measured(all->ctx, all->one[i].name, &all->one[i].figures);
    if (all->pod)
        all->measured(all->ctx, NULL, NULL);
    all->is_telling = false;
}

static void all_end(void *ctx)
{
    struct measure_all *all = ctx;

    if (!all->is_told)
        all_tell(all);
    all_free(all);
}

/* The worker does not answer. It stays until it does, or its guests have gone. */
static void on_late(void *ctx)
{
    struct measure_all *all = ctx;

    all_tell(all);
    if (!all->pod && all->n_due)
        all_free(all);
}

static void all_check(struct measure_all *all)
{
    if (!all->n_due)
        loop_defer(all->pod->set->o.loop, all_end, all);
}

static void answered(struct measure_one *one, const struct message_figures *f)
{
    one->container = NULL;
    if (f)
        one->figures = *f;
    else
        one->name = NULL;
    one->all->n_due--;
    all_check(one->all);
}

static void measured_one(void *ctx, const struct message_figures *f)
{
    answered(ctx, f);
}

/* An earlier question has no answer yet: another one would only wait behind it. */
static bool is_stuck(const struct pod *p, const struct container *c)
{
    const struct measure_all *all;

    LINK_EACH(all, &p->measures, struct measure_all, link)
    for (size_t i = 0; all->is_told && i < all->n; i++)
        if (all->one[i].container == c)
            return true;
    return false;
}

void pod_measure(struct pod *p,
                 void (*measured)(void *ctx, const char *container,
                                  const struct message_figures *f),
                 void *ctx)
{
    size_t n = p->spec->n_containers;
    struct measure_all *all = xcalloc(1, sizeof(*all) + n * sizeof(all->one[0]));

    *all = (struct measure_all){.pod = p, .measured = measured, .ctx = ctx, .n = n};
    all->late = loop_timer_new(p->set->o.loop, on_late, all);
    loop_timer_set(all->late, clock_monotonic_ns() + LATE_NS);
    link_init(&all->link);
    link_append(&p->measures, &all->link);
    for (size_t i = 0; i < n; i++) {
        struct pod_run *r = &p->runs[i];

        if (!r->container || is_stuck(p, r->container))
            continue;
        all->one[i] =
            (struct measure_one){.all = all, .container = r->container, .name = run_spec(r)->name};
        all->n_due++;
        container_measure(r->container, measured_one, &all->one[i]);
    }
    all_check(all);
}

void measures_drop(struct pod *p, const struct container *c)
{
    struct measure_all *all;

    LINK_EACH(all, &p->measures, struct measure_all, link)
    for (size_t i = 0; i < all->n; i++)
        if (all->one[i].container == c)
            answered(&all->one[i], NULL);
}

/* Its containers are freed next, so that no answer comes to what is freed here. */
void measures_free(struct pod *p)
{
    struct measure_all *all;

    while ((all = LINK_FIRST(&p->measures, struct measure_all, link))) {
        link_remove(&all->link);
        all->pod = NULL;
        if (all->n_due && !all->is_telling)
            all_free(all);
    }
}
