/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/pods/waiting.h"

static void tell(void *ctx, const struct waiting_target *t)
{
    (void)ctx;
    pods_say(t->resource->singular, t->name, "condition met");
}

static int targets_find(const struct pods_context *x, const struct resource_refs *refs,
                        bool is_gone_fine, struct waiting_targets *ret, struct err *e)
{
    const struct wait_options *o = x->options;
    struct pods_query q = {.space = x->space, .selector = o->selector, .is_tolerant = is_gone_fine};
    autofound found = {0};
    size_t n_missing;

    for (size_t i = 0; i < refs->n; i++)
        if (!refs->v[i].name && !o->selector && !o->is_all)
            return err_set(e, -EINVAL, "BadUsage",
                           "say which of the %s: names, --selector or --all",
                           refs->v[i].resource->plural);
    TRY(pods_find(x, refs, &q, &found, &n_missing, e));
    if (n_missing && !is_gone_fine) {
        *e = ERR_INIT; /* told */
        return -ENOENT;
    }
    waiting_targets_add_found(ret, &found, x->space);
    if (!found.n && !is_gone_fine)
        return err_set(e, -ENOENT, "NotFound", "there is nothing to wait for in the namespace '%s'",
                       x->space);
    return 0;
}

int pods_wait(const struct pods_context *x, struct err *e)
{
    const struct wait_options *o = x->options;
    struct waiting_condition condition = {0};
    autotargets targets = {0};
    autorefs refs = {0};
    int r;

    if (!o->condition)
        return err_set(e, -EINVAL, "BadUsage",
                       "say what to wait for: --for condition=Ready, --for delete, or --for "
                       "jsonpath='{.status.phase}'=Succeeded");
    TRY(resource_refs_parse(x->operands, NULL, &refs, e));
    TRY(waiting_condition_parse(o->condition, &condition, e));
    r = targets_find(x, &refs, condition.kind == WAITING_GONE, &targets, e);
    if (r >= 0)
        r = waiting_run(x->client, &targets, &condition, o->timeout_ms.value, tell, NULL, e);
    waiting_condition_done(&condition);
    return r;
}
