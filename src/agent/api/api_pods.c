/* SPDX-License-Identifier: Apache-2.0 */
/* What is asked of a pod that runs. */
#include "agent/api/api_exec.h"
#include "agent/api/api_parts.h"

#define DEFAULT_CONTAINER "kubectl.kubernetes.io/default-container"

struct pod *api_call_pod(struct api_call *c)
{
    struct pod *p = workloads_pod(c->api->workloads, c->space, c->name);

    if (p)
        return p;
    if (watch_feed_find(workloads_feed(c->api->workloads, WORKLOADS_PODS), c->space, c->name))
        api_answer_fail(c, "BadRequest",
                        "the pod \"%.253s\" does not run and never did: see its status", c->name);
    else
        api_answer_fail(c, "NotFound", "pods \"%.253s\" not found", c->name);
    return NULL;
}

static const char *default_container(const struct pod_spec *s)
{
    const char *name = pod_pair_find(&s->annotations, DEFAULT_CONTAINER);

    if (name && pod_container_find(s, name))
        return name;
    return s->n_containers == 1 ? s->containers[0].name : NULL;
}

const struct pod_container *api_call_container(struct api_call *c, const struct pod *p)
{
    const struct pod_spec *s = pod_spec_of(p);
    const char *name = http_exchange_query(c->x, "container");
    const struct pod_container *found;
    autobuf names = BUF_INIT;

    if (!name || !*name)
        name = default_container(s);
    if (!name) {
        for (size_t i = 0; i < s->n_containers; i++)
            buf_addf(&names, "%s%s", i ? " " : "", s->containers[i].name);
        api_answer_fail(
            c, "BadRequest",
            "a container name must be specified for pod %.150s, choose one of: [%.200s]", s->name,
            buf_str(&names));
        return NULL;
    }
    found = pod_container_find(s, name);
    if (!found)
        api_answer_fail(c, "BadRequest", "container %.100s is not valid for pod %.253s", name,
                        s->name);
    return found;
}

void api_restart(struct api_call *c)
{
    const char *container = http_exchange_query(c->x, "container");
    struct pod *p = api_call_pod(c);
    struct err e = ERR_INIT;

    if (!p)
        return;
    if (pod_restart(p, container && *container ? container : NULL, &e) < 0)
        api_answer_error(c, &e);
    else
        api_answer_success(c);
}

/* ---- WebSockets ---- */

void api_exec(struct api_call *c)
{
    struct pod *p = api_call_pod(c);
    struct err e = ERR_INIT;
    const struct pod_spec *s;
    const char *name;

    if (!p)
        return;
    s = pod_spec_of(p);
    name = default_container(s);
    /* It answers whatever happens. */
    if (api_exec_begin(c->api->streams, p, name ? name : s->containers[s->n_first].name,
                       take_ptr(c->x), &e) >= 0)
        api_count(c->api, 101);
}

void api_portforward(struct api_call *c)
{
    struct pod *p = api_call_pod(c);
    struct err e = ERR_INIT;

    if (p && api_portforward_begin(c->api->streams, p, take_ptr(c->x), &e) >= 0)
        api_count(c->api, 101);
}
