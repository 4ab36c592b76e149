/* SPDX-License-Identifier: Apache-2.0 */
/* Environment variables, and references to what the pod itself says. */
#include "manifest/names.h"
#include "manifest/pod_parts.h"
#include "manifest/quantity.h"

int pod_quantity_decode(struct decode *d, const char *at, const char *json, int64_t scale,
                        int64_t *ret)
{
    struct err inner = ERR_INIT;
    size_t len = strlen(json);
    /* No escape is part of a quantity. */
    const char *text = *json == '"' ? arena_strndup(d->scratch, json + 1, len - 2) : json;

    return quantity_parse(text, scale, ret, &inner) < 0 ? decode_bad_at(d, at, &inner) : 0;
}

/* metadata.labels['KEY'] */
static bool is_keyed(const char *path, const char *map)
{
    size_t len = strlen(path), before = strlen(map);

    return str_starts(path, map) && str_starts(path + before, "['") && len > before + 4 &&
           str_eq(path + len - 2, "']");
}

int pod_field_check(struct decode *d, const char *at, const struct raw_field_ref *raw, bool is_file)
{
    static const char *const both[] = {"metadata.name", "metadata.namespace", "metadata.uid"};
    static const char *const variables[] = {"spec.nodeName", "spec.serviceAccountName",
                                            "status.hostIP", "status.hostIPs",
                                            "status.podIP",  "status.podIPs"};
    static const char *const files[] = {"metadata.labels", "metadata.annotations"};
    const char *const *more = is_file ? files : variables;
    size_t n_more = is_file ? ARRAY_SIZE(files) : ARRAY_SIZE(variables);

    if (raw->version && !str_eq(raw->version, "v1"))
        return decode_bad(d, -EINVAL, decode_path(d, "%s.apiVersion", at), "'%.40s' is not v1",
                          raw->version);
    for (size_t i = 0; i < ARRAY_SIZE(both); i++)
        if (str_eq(raw->path, both[i]))
            return 0;
    for (size_t i = 0; i < n_more; i++)
        if (str_eq(raw->path, more[i]))
            return 0;
    if (is_keyed(raw->path, "metadata.labels") || is_keyed(raw->path, "metadata.annotations"))
        return 0;
    return decode_bad(d, -EINVAL, decode_path(d, "%s.fieldPath", at),
                      "'%.60s' is no field for %s; there are metadata.name, .namespace, .uid, "
                      "metadata.labels['KEY'], metadata.annotations['KEY'], %s",
                      raw->path, is_file ? "a file" : "a variable",
                      is_file
                          ? "metadata.labels and metadata.annotations"
                          : "spec.nodeName, spec.serviceAccountName, status.hostIP, status.podIP");
}

int pod_resource_ref_check(struct decode *d, const char *at, const struct raw_resource_ref *raw,
                           int64_t *ret_divisor)
{
    static const char *const words[] = {"limits.cpu", "limits.memory", "requests.cpu",
                                        "requests.memory", NULL};
    int which;

    *ret_divisor = 0;
    TRY(decode_word(d, decode_path(d, "%s.resource", at), raw->resource, words, 0, &which));
    if (!raw->divisor)
        return 0;
    return pod_quantity_decode(d, decode_path(d, "%s.divisor", at), raw->divisor,
                               which % 2 ? 1 : 1000, ret_divisor);
}

static void ref_take(struct arena *a, const struct raw_key_ref *ref, struct pod_variable *v)
{
    v->object = arena_strdup(a, ref->name);
    v->key = arena_strdup(a, ref->key);
    v->is_optional = ref->is_optional;
}

static int ref_check(struct decode *d, const char *at, const struct raw_key_ref *ref)
{
    TRY(decode_name(d, decode_path(d, "%s.name", at), ref->name, name_is_subdomain,
                    NAME_SUBDOMAIN_RULE));
    if (ref->key)
        TRY(decode_name(d, decode_path(d, "%s.key", at), ref->key, name_is_key, NAME_KEY_RULE));
    return 0;
}

static int source_decode(struct decode *d, const char *at, const struct raw_source *raw,
                         struct pod_spec *s, struct pod_variable *v)
{
    if (raw->has_field + raw->has_resource + raw->has_config + raw->has_secret != 1)
        return decode_bad(d, -EINVAL, at,
                          "one of fieldRef, resourceFieldRef, configMapKeyRef and secretKeyRef was "
                          "expected");
    if (raw->has_field) {
        TRY(pod_field_check(d, decode_path(d, "%s.fieldRef", at), &raw->field, false));
        v->source = POD_VARIABLE_FIELD;
        v->key = arena_strdup(s->arena, raw->field.path);
        return 0;
    }
    if (raw->has_resource) {
        TRY(pod_resource_ref_check(d, decode_path(d, "%s.resourceFieldRef", at), &raw->resource,
                                   &v->divisor));
        v->source = POD_VARIABLE_RESOURCE;
        v->key = arena_strdup(s->arena, raw->resource.resource);
        v->object = arena_strdup(s->arena, raw->resource.container);
        return 0;
    }
    v->source = raw->has_config ? POD_VARIABLE_CONFIG_KEY : POD_VARIABLE_SECRET_KEY;
    ref_take(s->arena, raw->has_config ? &raw->config : &raw->secret, v);
    return ref_check(
        d, decode_path(d, "%s.%s", at, raw->has_config ? "configMapKeyRef" : "secretKeyRef"),
        raw->has_config ? &raw->config : &raw->secret);
}

static int all_decode(struct decode *d, const char *at, const struct raw_variables_from *raw,
                      struct pod_spec *s, struct pod_variable *v)
{
    if (raw->has_config + raw->has_secret != 1)
        return decode_bad(d, -EINVAL, at, "one of configMapRef and secretRef was expected");
    if (raw->prefix && *raw->prefix)
        TRY(decode_name(d, decode_path(d, "%s.prefix", at), raw->prefix, name_is_variable,
                        NAME_VARIABLE_RULE));
    v->source = raw->has_config ? POD_VARIABLE_ALL_CONFIG : POD_VARIABLE_ALL_SECRET;
    v->name = arena_strdup(s->arena, raw->prefix);
    ref_take(s->arena, raw->has_config ? &raw->config : &raw->secret, v);
    return ref_check(d, decode_path(d, "%s.%s", at, raw->has_config ? "configMapRef" : "secretRef"),
                     raw->has_config ? &raw->config : &raw->secret);
}

static int variable_decode(struct decode *d, const char *at, const struct raw_variable *raw,
                           struct pod_spec *s, struct pod_variable *v)
{
    TRY(decode_name(d, decode_path(d, "%s.name", at), raw->name, name_is_variable,
                    NAME_VARIABLE_RULE));
    v->name = arena_strdup(s->arena, raw->name);
    if (raw->has_source && raw->value && *raw->value)
        return decode_bad(d, -EINVAL, at, "it has a value and a valueFrom; write one of them");
    if (raw->has_source)
        return source_decode(d, decode_path(d, "%s.valueFrom", at), &raw->source, s, v);
    v->source = POD_VARIABLE_VALUE;
    v->value = arena_strdup(s->arena, raw->value ? raw->value : "");
    return 0;
}

int pod_variables_decode(struct decode *d, const char *at, const struct raw_container *raw,
                         struct pod_spec *s, struct pod_container *c)
{
    size_t n = raw->n_variables_from;

    /* Single variables win over those that come in one go, whose order is theirs. */
    c->n_variables = n + raw->n_variables;
    c->variables = arena_array(s->arena, c->n_variables, sizeof(*c->variables));
    for (size_t i = 0; i < n; i++)
        TRY(all_decode(d, decode_path(d, "%s.envFrom[%zu]", at, i), &raw->variables_from[i], s,
                       &c->variables[i]));
    for (size_t i = 0; i < raw->n_variables; i++)
        TRY(variable_decode(d, decode_path(d, "%s.env[%zu]", at, i), &raw->variables[i], s,
                            &c->variables[n + i]));
    return 0;
}
