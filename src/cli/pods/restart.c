/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/pods/command.h"

int pods_restart(const struct pods_context *x, struct err *e)
{
    const struct restart_options *o = x->options;
    autorefs refs = {0};

    TRY(resource_refs_parse(x->operands, resource_of(RESOURCE_POD), &refs, e));
    for (size_t i = 0; i < refs.n; i++) {
        const struct resource *r = refs.v[i].resource;
        autobuf path = BUF_INIT;

        if (r->kind != RESOURCE_POD)
            return err_set(e, -EINVAL, "BadUsage", "only pods can be restarted, not a %s",
                           r->singular);
        resource_path_add(&path, r, x->space, refs.v[i].name);
        buf_addstr(&path, "/restart");
        resource_query_add(&path, "container", o->container);
        TRY(pods_send(x->client, "POST", buf_str(&path), NULL, NULL, NULL, NULL, e));
        pods_say(r->singular, refs.v[i].name, "restarted");
    }
    return 0;
}
