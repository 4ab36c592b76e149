/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/pods/delete.h"

#include <stdio.h>

#include "cli/cli.h"
#include "cli/pods/apply.h"
#include "cli/pods/manifests.h"

/* Forgets the target when it is gone already. */
static int one_delete(struct agent_client *c, const struct waiting_target *t,
                      const struct delete_way *way, struct waiting_targets *left, struct err *e)
{
    AUTO(json_value) answer = NULL;
    autobuf path = BUF_INIT;

    resource_path_add(&path, t->resource, t->space, t->name);
    if (way->grace_s >= 0)
        resource_query_addf(&path, "gracePeriodSeconds", "%lld", (long long)way->grace_s);
    TRY(pods_send(c, "DELETE", buf_str(&path), NULL, NULL, &answer, NULL, e));
    waiting_targets_add(left, t->resource, t->space, t->name,
                        json_value_str(answer, "metadata.uid"));
    pods_say(t->resource->singular, t->name, "deleted");
    return 0;
}

int delete_targets(struct agent_client *c, const struct waiting_targets *t,
                   const struct delete_way *way, struct err *e)
{
    struct waiting_condition gone = {.kind = WAITING_GONE};
    autotargets left = {0};
    int status = 0;

    for (size_t i = 0; i < t->n; i++) {
        int r = one_delete(c, &t->v[i], way, &left, e);

        if (r == -ENOENT && str_eq(e->reason, "NotFound")) {
            if (!way->is_tolerant)
                status = cli_fail("delete", e, 1);
            *e = ERR_INIT;
        } else if (r < 0) {
            return err_prefix(e, "%s/%s", t->v[i].resource->singular, t->v[i].name);
        }
    }
    if (way->is_waited)
        TRY(waiting_run(c, &left, &gone, way->timeout_ms ? way->timeout_ms : -1, NULL, NULL, e));
    return status;
}

void delete_targets_add(struct waiting_targets *t, const struct objects *s, bool has_claims)
{
    static const enum object_kind order[] = {OBJECT_POD, OBJECT_CONFIG, OBJECT_SECRET,
                                             OBJECT_CLAIM};

    for (size_t k = 0; k < ARRAY_SIZE(order) - !has_claims; k++)
        for (size_t i = 0; i < s->n; i++)
            if (s->v[i]->kind == order[k])
                waiting_targets_add(t, apply_resource(order[k]), s->v[i]->space, s->v[i]->name,
                                    NULL);
}

/* ---- delete ---- */

static int named_find(const struct pods_context *x, const struct delete_options *o,
                      struct waiting_targets *ret, struct err *e)
{
    struct pods_query q = {.space = x->space, .selector = o->selector};
    autofound found = {0};
    autorefs refs = {0};
    size_t n_missing;

    TRY(resource_refs_parse(x->operands, NULL, &refs, e));
    for (size_t i = 0; i < refs.n; i++) {
        if (refs.v[i].name && o->is_all)
            return err_set(e, -EINVAL, "BadUsage", "'%.60s' and --all: leave one of them out",
                           refs.v[i].name);
        if (!refs.v[i].name && !o->selector && !o->is_all)
            return err_set(e, -EINVAL, "BadUsage",
                           "say which of the %s: names, --selector or --all",
                           refs.v[i].resource->plural);
        if (refs.v[i].name) {
            waiting_targets_add(ret, refs.v[i].resource, x->space, refs.v[i].name, NULL);
            refs.v[i--] = refs.v[--refs.n];
        }
    }
    TRY(pods_find(x, &refs, &q, &found, &n_missing, e));
    waiting_targets_add_found(ret, &found, x->space);
    if (!ret->n)
        fprintf(stderr, "No resources found in %s namespace.\n", x->space);
    return 0;
}

int pods_delete(const struct pods_context *x, struct err *e)
{
    const struct delete_options *o = x->options;
    struct delete_way way = {
        .grace_s = o->is_now           ? 1
                   : o->grace_s.is_set ? o->grace_s.value
                                       : -1,
        .is_waited = str_eq(o->wait, "true"),
        .timeout_ms = o->timeout_ms.value,
    };
    autotargets targets = {0};
    autoobjects objects = {0};

    if (o->is_now && o->grace_s.is_set)
        return err_set(e, -EINVAL, "BadUsage", "--now is --grace-period 1: leave one of them out");
    if (o->manifest.files.n && x->operands->n)
        return err_set(e, -EINVAL, "BadUsage",
                       "'%.60s' and a manifest: delete them by two commands", x->operands->v[0]);
    if (!o->manifest.files.n) {
        TRY(named_find(x, o, &targets, e));
    } else {
        TRY(manifests_read(&o->manifest, x->space, x->is_space_given, &objects, e));
        delete_targets_add(&targets, &objects, true);
    }
    return delete_targets(x->client, &targets, &way, e);
}

/* ---- down ---- */

int pods_down(const struct pods_context *x, struct err *e)
{
    const struct down_options *o = x->options;
    struct delete_way way = {
        .grace_s = o->grace_s.is_set ? o->grace_s.value : -1,
        .is_waited = true,
        .timeout_ms = o->timeout_ms.value,
        .is_tolerant = true,
    };
    autotargets targets = {0};
    autoobjects objects = {0};

    TRY(manifests_read(&o->manifest, x->space, x->is_space_given, &objects, e));
    delete_targets_add(&targets, &objects, o->has_volumes);
    return delete_targets(x->client, &targets, &way, e);
}

/* ---- stop ---- */

int pods_stop(const struct pods_context *x, struct err *e)
{
    const struct stop_options *o = x->options;
    struct delete_way way = {
        .grace_s = o->grace_s.is_set ? o->grace_s.value : -1,
        .is_waited = true,
        .timeout_ms = o->timeout_ms.value,
    };
    autotargets targets = {0};
    autorefs refs = {0};

    TRY(resource_refs_parse(x->operands, resource_of(RESOURCE_POD), &refs, e));
    for (size_t i = 0; i < refs.n; i++) {
        if (refs.v[i].resource->kind != RESOURCE_POD)
            return err_set(e, -EINVAL, "BadUsage", "only pods can be stopped, not a %s",
                           refs.v[i].resource->singular);
        waiting_targets_add(&targets, refs.v[i].resource, x->space, refs.v[i].name, NULL);
    }
    return delete_targets(x->client, &targets, &way, e);
}
