/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"
#include "cli/pods/apply.h"
#include "cli/pods/manifests.h"
#include "cli/pods/up_agent.h"
#include "cli/pods/up_pods.h"

/* An agent that was started for these pods goes with them, unless somebody else has pods there. */
static void agent_leave(const struct pods_context *x, pid_t pid)
{
    AUTO(json_value) list = NULL;
    struct err e = ERR_INIT;
    autobuf path = BUF_INIT;

    resource_path_add(&path, resource_of(RESOURCE_POD), NULL, NULL);
    if (pods_fetch(x->client, &path, &list, &e) < 0)
        log_warn("the agent, process %d, was left running: %s", (int)pid, e.msg);
    else if (!json_value_count(json_value_member(list, "items")))
        up_agent_stop(pid);
}

int pods_up(const struct pods_context *x, struct err *e)
{
    const struct up_options *o = x->options;
    autoobjects objects = {0};
    struct up_pods_options u = {
        .client = x->client,
        .objects = &objects,
        .has_logs = !o->is_detached,
        .timeout_ms = o->timeout_ms.value,
    };
    pid_t pid;
    int r;

    TRY(manifests_read(&o->manifest, x->space, x->is_space_given, &objects, e));
    TRY(up_agent_ensure(x->client, &pid, e));
    r = apply_objects(x->client, &objects, e);
    if (r >= 0)
        r = up_pods_run(&u, e);
    if (pid && !o->is_detached)
        agent_leave(x, pid);
    return r;
}
