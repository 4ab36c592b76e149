/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>

#include "cli/pods/command.h"
#include "cli/pods/table.h"
#include "manifest/quantity.h"

struct usage {
    int64_t milli_cpu, bytes;
};

static int64_t amount(const struct json_value *container, const char *path, int64_t scale)
{
    const char *text = json_value_str(container, path);
    struct err e = ERR_INIT;
    int64_t value = 0;

    if (text && quantity_parse(text, scale, &value, &e) < 0)
        value = 0;
    return value;
}

static void row_add(struct table *t, const struct top_options *o, const struct json_value *pod,
                    const char *container, struct usage u)
{
    if (o->is_everywhere)
        table_add(t, json_value_str(pod, "metadata.namespace"));
    table_add(t, json_value_str(pod, "metadata.name"));
    if (o->has_containers)
        table_add(t, container);
    table_addf(t, "%" PRId64 "m", u.milli_cpu);
    table_addf(t, "%" PRId64 "Mi", u.bytes >> 20);
}

static void pod_add(struct table *t, const struct top_options *o, const struct json_value *pod)
{
    const struct json_value *list = json_value_member(pod, "containers"), *c;
    struct usage sum = {0};

    for (size_t i = 0; (c = json_value_item(list, i)); i++) {
        struct usage u = {amount(c, "usage.cpu", 1000), amount(c, "usage.memory", 1)};

        if (o->has_containers)
            row_add(t, o, pod, json_value_str(c, "name"), u);
        sum.milli_cpu += u.milli_cpu;
        sum.bytes += u.bytes;
    }
    if (!o->has_containers)
        row_add(t, o, pod, NULL, sum);
}

static void header_add(struct table *t, const struct top_options *o)
{
    t->n_columns = 3 + (size_t)o->is_everywhere + (size_t)o->has_containers;
    if (o->is_headless)
        return;
    if (o->is_everywhere)
        table_add(t, "NAMESPACE");
    table_add(t, o->has_containers ? "POD" : "NAME");
    if (o->has_containers)
        table_add(t, "NAME");
    table_add(t, "CPU(cores)");
    table_add(t, "MEMORY(bytes)");
}

static void list_path(struct buf *path, const char *space)
{
    buf_addstr(path, "/api/v1/");
    if (space)
        buf_addf(path, "namespaces/%s/", space);
    buf_addstr(path, "top");
}

static int all_add(const struct pods_context *x, struct table *t, struct err *e)
{
    const struct top_options *o = x->options;
    AUTO(json_value) v = NULL;
    const struct json_value *items;
    autobuf path = BUF_INIT;

    list_path(&path, o->is_everywhere ? NULL : x->space);
    TRY(pods_fetch(x->client, &path, &v, e));
    items = json_value_member(v, "items");
    for (size_t i = 0; i < json_value_count(items); i++)
        pod_add(t, o, json_value_item(items, i));
    return 0;
}

int pods_top(const struct pods_context *x, struct err *e)
{
    const struct top_options *o = x->options;
    const struct resource *pods = resource_of(RESOURCE_POD), *named;
    struct err ignored = ERR_INIT;
    const char *const *words = strv_array(x->operands);
    autotable t = {0};
    autobuf out = BUF_INIT;

    if (*words && resource_find(*words, &named, &ignored) >= 0 && named == pods)
        words++;
    if (*words && o->is_everywhere)
        return err_set(e, -EINVAL, "BadUsage",
                       "a pod is named, '%.60s': leave out --all-namespaces", *words);
    header_add(&t, o);
    if (!*words)
        TRY(all_add(x, &t, e));
    for (; *words; words++) {
        AUTO(json_value) v = NULL;
        autobuf path = BUF_INIT;

        resource_path_add(&path, pods, x->space,
                          str_starts(*words, "pod/") ? *words + strlen("pod/") : *words);
        buf_addstr(&path, "/top");
        TRY(pods_fetch(x->client, &path, &v, e));
        pod_add(&t, o, v);
    }
    table_print(&t, &out);
    return pods_print(&out);
}
