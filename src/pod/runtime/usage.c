/* SPDX-License-Identifier: Apache-2.0 */
/* Evicts pods whose emptyDir holds more than its limit, as a kubelet does. */
#include "base/clock.h"
#include "pod/runtime/pod_internal.h"

#define PERIOD_NS UINT64_C(60000000000)

struct usage_chore {
    struct chore chore;
    const struct pod_volume *excess; /* NULL: none */
};

static bool is_limited(const struct pod_volume *v)
{
    return v->kind == POD_VOLUME_EMPTY && v->limit_bytes;
}

static void usage_work(struct chore *c)
{
    struct usage_chore *u = (struct usage_chore *)c;
    const struct pod_spec *s = c->pod->spec;

    for (size_t i = 0; !u->excess && i < s->n_volumes; i++) {
        const struct pod_volume *v = &s->volumes[i];
        struct err e = ERR_INIT;
        int64_t bytes = 0;
        int r = is_limited(v) ? volumes_usage(&c->pod->set->places, s, v, &bytes, &e) : 0;

        if ((r >= 0 && bytes > v->limit_bytes && is_limited(v)) ||
            (r < 0 && str_eq(e.reason, "TooDeep")))
            u->excess = v;
    }
}

/* As Kubernetes writes it: "1Mi". */
static char *limit_text(int64_t bytes)
{
    static const char *const units[] = {"", "Ki", "Mi", "Gi", "Ti", "Pi"};
    size_t unit = 0;

    while (bytes && bytes % 1024 == 0 && unit + 1 < ARRAY_SIZE(units)) {
        bytes /= 1024;
        unit++;
    }
    return xasprintf("%lld%s", (long long)bytes, units[unit]);
}

static void usage_done(struct chore *c)
{
    struct usage_chore *u = (struct usage_chore *)c;
    struct pod *p = c->pod;

    if (!chore_is_void(c) && u->excess) {
        autofree char *limit = limit_text(u->excess->limit_bytes);
        autofree char *text = xasprintf("Usage of EmptyDir volume \"%s\" exceeds the limit \"%s\".",
                                        u->excess->name, limit);

        pod_event(p, NULL, true, "Evicted", "%s", text);
        if (!p->is_closed)
            pod_fail(p, "Evicted", text);
    } else if (!chore_is_void(c) && p->usage_timer) {
        loop_timer_set(p->usage_timer, clock_monotonic_ns() + PERIOD_NS);
    }
    free(u);
}

static void usage_due(void *ctx)
{
    struct pod *p = ctx;
    struct usage_chore *u = xcalloc(1, sizeof(*u));

    *u = (struct usage_chore){
        .chore = {.work = usage_work, .done = usage_done}
    };
    lane_add(&p->volumes, p, &u->chore);
}

void usage_start(struct pod *p)
{
    bool is_any = false;

    for (size_t i = 0; i < p->spec->n_volumes; i++)
        is_any |= is_limited(&p->spec->volumes[i]);
    if (!is_any || p->usage_timer)
        return;
    p->usage_timer = loop_timer_new(p->set->o.loop, usage_due, p);
    loop_timer_set(p->usage_timer, clock_monotonic_ns() + PERIOD_NS);
}
