/* SPDX-License-Identifier: Apache-2.0 */
/* A Pod, from its document to a spec. */
#include <arpa/inet.h>

#include "manifest/names.h"
#include "manifest/pod_parts.h"

#define GRACE_DEFAULT_S 30

static int aliases_decode(struct decode *d, const struct raw_pod_spec *raw, struct pod_spec *s)
{
    s->host_aliases.n = raw->n_aliases;
    s->host_aliases.v = arena_array(s->arena, raw->n_aliases, sizeof(*s->host_aliases.v));
    for (size_t i = 0; i < raw->n_aliases; i++) {
        const struct raw_alias *alias = &raw->aliases[i];
        const char *at = decode_path(d, "$.spec.hostAliases[%zu]", i);
        unsigned char address[16];
        autobuf names = BUF_INIT;

        if (inet_pton(AF_INET, alias->address, address) != 1 &&
            inet_pton(AF_INET6, alias->address, address) != 1)
            return decode_bad(d, -EINVAL, decode_path(d, "%s.ip", at), "'%.60s' is no address",
                              alias->address);
        for (size_t j = 0; j < alias->names.n; j++) {
            TRY(decode_name(d, decode_path(d, "%s.hostnames[%zu]", at, j), alias->names.v[j],
                            name_is_subdomain, NAME_SUBDOMAIN_RULE));
            buf_addf(&names, "%s%s", j ? " " : "", alias->names.v[j]);
        }
        s->host_aliases.v[i] = (struct pod_pair){arena_strdup(s->arena, alias->address),
                                                 arena_strdup(s->arena, buf_str(&names))};
    }
    return 0;
}

static int host_check(struct decode *d, const struct raw_pod_spec *raw)
{
    if (raw->has_is_host_network && !raw->is_host_network)
        return decode_bad(d, -ENOTSUP, "$.spec.hostNetwork",
                          "not supported: pods use the network of the host; leave it out");
    if (raw->is_host_pid || raw->is_host_ipc)
        return decode_bad(d, -ENOTSUP, raw->is_host_pid ? "$.spec.hostPID" : "$.spec.hostIPC",
                          "not supported: guests see no processes; leave it out");
    if (raw->is_process_shared)
        return decode_bad(d, -ENOTSUP, "$.spec.shareProcessNamespace",
                          "not supported: guests are no processes; leave it out");
    return 0;
}

static int settings_decode(struct decode *d, const struct raw_pod_spec *raw, struct pod_spec *s)
{
    /* In the order of the enumeration. */
    static const char *const restarts[] = {"Always", "OnFailure", "Never", NULL};
    int restart;

    TRY(host_check(d, raw));
    TRY(decode_word(d, "$.spec.restartPolicy", raw->restart, restarts, 0, &restart));
    s->restart = (enum pod_restart)restart;
    s->grace_ms = (raw->has_grace ? raw->grace : GRACE_DEFAULT_S) * 1000;
    s->active_deadline_ms = raw->has_deadline ? raw->deadline * 1000 : 0;
    if (raw->hostname)
        TRY(decode_name(d, "$.spec.hostname", raw->hostname, name_is_label, NAME_LABEL_RULE));
    s->hostname = arena_strdup(s->arena, raw->hostname);
    s->node = arena_strdup(s->arena, raw->node);
    s->service_account = arena_strdup(s->arena, raw->account);
    s->is_host_network = true;
    if (!raw->restart)
        decode_edit_string(d, "$.spec", "restartPolicy", restarts[restart]);
    if (!raw->has_grace)
        decode_edit(d, "$.spec", "terminationGracePeriodSeconds",
                    decode_path(d, "%d", GRACE_DEFAULT_S));
    return aliases_decode(d, raw, s);
}

static int containers_decode(struct decode *d, const struct raw_pod_spec *raw, struct pod_spec *s)
{
    size_t n = raw->n_inits + raw->n_containers;

    if (!raw->n_containers)
        return decode_bad(d, -EINVAL, "$.spec.containers", "a pod needs at least one container");
    if (n > POD_CONTAINER_LIMIT)
        return decode_bad(d, -EFBIG, "$.spec.containers", "more than %d containers in all",
                          POD_CONTAINER_LIMIT);
    s->containers = arena_array(s->arena, n, sizeof(*s->containers));
    s->n_first = raw->n_inits;
    for (size_t i = 0; i < n; i++) {
        bool is_init = i < raw->n_inits;
        size_t place = is_init ? i : i - raw->n_inits;
        const char *at = is_init ? decode_path(d, "$.spec.initContainers[%zu]", place)
                                 : decode_path(d, "$.spec.containers[%zu]", place);

        TRY(pod_container_decode(d, at, is_init ? &raw->inits[place] : &raw->containers[place],
                                 is_init, s, &s->containers[i]));
        s->n_containers = i + 1;
    }
    return 0;
}

static int variables_check(struct decode *d, const struct pod_spec *s, size_t place)
{
    const struct pod_container *c = &s->containers[place];
    const char *at = place < s->n_first
                         ? decode_path(d, "$.spec.initContainers[%zu].env", place)
                         : decode_path(d, "$.spec.containers[%zu].env", place - s->n_first);

    for (size_t i = 0; i < c->n_variables; i++) {
        const struct pod_variable *v = &c->variables[i];

        if (v->source == POD_VARIABLE_RESOURCE && v->object && !pod_container_find(s, v->object))
            return decode_bad(d, -EINVAL, at,
                              "'%.60s' refers to the container '%.63s', which is not there",
                              v->name, v->object);
    }
    return 0;
}

/* References to the resources of containers, once all containers are known. */
static int references_check(struct decode *d, const struct pod_spec *s)
{
    for (size_t i = 0; i < s->n_containers; i++)
        TRY(variables_check(d, s, i));
    for (size_t i = 0; i < s->n_volumes; i++)
        for (size_t j = 0; j < s->volumes[i].n_projections; j++) {
            const struct pod_projection *p = &s->volumes[i].projections[j];

            for (size_t k = 0; k < p->n_items; k++)
                if (p->items[k].container && !pod_container_find(s, p->items[k].container))
                    return decode_bad(d, -EINVAL, decode_path(d, "$.spec.volumes[%zu]", i),
                                      "'%.60s' refers to the container '%.63s', which is not there",
                                      p->items[k].path, p->items[k].container);
        }
    return 0;
}

static void pairs_copy(struct arena *a, const struct pod_pairs *from, struct pod_pairs *to)
{
    to->n = from->n;
    to->v = arena_array(a, from->n, sizeof(*to->v));
    for (size_t i = 0; i < from->n; i++)
        to->v[i] =
            (struct pod_pair){arena_strdup(a, from->v[i].name), arena_strdup(a, from->v[i].value)};
}

static int pod_decode(struct decode *d, const struct raw_pod *raw, struct object *o)
{
    struct pod_spec *s;

    TRY(object_head_decode(d, &raw->head, o));
    s = o->pod = pod_spec_new();
    s->space = arena_strdup(s->arena, o->space);
    s->name = arena_strdup(s->arena, o->name);
    s->uid = arena_strdup(s->arena, o->uid);
    pairs_copy(s->arena, &o->labels, &s->labels);
    pairs_copy(s->arena, &o->annotations, &s->annotations);
    TRY(settings_decode(d, &raw->spec, s));
    TRY(pod_volumes_decode(d, &raw->spec, s));
    TRY(containers_decode(d, &raw->spec, s));
    TRY(references_check(d, s));
    return pod_grants_decode(d, s);
}

int object_pod_decode(struct decode *d, struct object *o)
{
    struct raw_pod raw = {0};
    int r;

    TRY(decode_fields(d, raw_pod_fields, &raw));
    r = pod_decode(d, &raw, o);
    json_fields_done(raw_pod_fields, &raw);
    return r;
}
