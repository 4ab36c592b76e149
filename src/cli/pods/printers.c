/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/pods/printers.h"

#include <inttypes.h>

#include "cli/pods/ages.h"

#define COLUMNS 10

struct printer {
    const char *columns[COLUMNS];
    const char *wide[COLUMNS];
    void (*row)(struct table *t, const struct json_value *object, const struct print_options *o);
};

static const char *or_none(const char *text)
{
    return text && *text ? text : "<none>";
}

static void age_add(struct table *t, const char *since, const struct print_options *o)
{
    char age[AGE_SIZE];

    age_since(since, o->now_ns, age);
    table_add(t, age);
}

static void object_age_add(struct table *t, const struct json_value *v,
                           const struct print_options *o)
{
    age_add(t, json_value_str(v, "metadata.creationTimestamp"), o);
}

static void pod_row(struct table *t, const struct json_value *pod, const struct print_options *o)
{
    struct pod_shown_summary s;
    char ago[AGE_SIZE];

    pod_summarize(pod, &s);
    table_addf(t, "%" PRId64 "/%" PRId64, s.ready, s.total);
    table_add(t, s.status);
    age_since(s.restarted_at, o->now_ns, ago);
    if (s.restarts && s.restarted_at)
        table_addf(t, "%" PRId64 " (%s ago)", s.restarts, ago);
    else
        table_addf(t, "%" PRId64, s.restarts);
    object_age_add(t, pod, o);
    if (!o->is_wide)
        return;
    table_add(t, or_none(json_value_str(pod, "status.podIP")));
    table_add(t, or_none(json_value_str(pod, "spec.nodeName")));
}

static void config_row(struct table *t, const struct json_value *v, const struct print_options *o)
{
    table_addf(t, "%zu",
               json_value_count(json_value_at(v, "data")) +
                   json_value_count(json_value_at(v, "binaryData")));
    object_age_add(t, v, o);
}

static void secret_row(struct table *t, const struct json_value *v, const struct print_options *o)
{
    table_add(t, or_none(json_value_str(v, "type")));
    table_addf(t, "%zu", json_value_count(json_value_at(v, "data")));
    object_age_add(t, v, o);
}

/* "RWO,ROX" */
static void modes_add(struct table *t, const struct json_value *modes)
{
    static const char *const names[][2] = {
        {"ReadWriteOnce",    "RWO" },
        {"ReadOnlyMany",     "ROX" },
        {"ReadWriteMany",    "RWX" },
        {"ReadWriteOncePod", "RWOP"}
    };
    autobuf out = BUF_INIT;

    for (size_t i = 0; i < json_value_count(modes); i++) {
        const char *mode = json_value_str(json_value_item(modes, i), "");

        for (size_t k = 0; mode && k < ARRAY_SIZE(names); k++)
            if (str_eq(mode, names[k][0]))
                buf_addf(&out, "%s%s", out.len ? "," : "", names[k][1]);
    }
    table_add(t, buf_str(&out));
}

static void claim_row(struct table *t, const struct json_value *v, const struct print_options *o)
{
    const char *capacity = json_value_str(v, "status.capacity.storage");
    const char *phase = json_value_str(v, "status.phase");

    /* A claim of one machine is a folder: it is bound from the beginning. */
    table_add(t, phase ? phase : "Bound");
    table_add(t, json_value_str(v, "spec.volumeName"));
    table_add(t, capacity ? capacity : json_value_str(v, "spec.resources.requests.storage"));
    modes_add(t, json_value_at(v, "spec.accessModes"));
    table_add(t, json_value_str(v, "spec.storageClassName"));
    object_age_add(t, v, o);
    if (o->is_wide)
        table_add(t, or_none(json_value_str(v, "spec.volumeMode")));
}

const char *event_last_seen(const struct json_value *v)
{
    const char *t = json_value_str(v, "series.lastObservedTime");

    if (!t)
        t = json_value_str(v, "lastTimestamp");
    if (!t)
        t = json_value_str(v, "eventTime");
    if (!t)
        t = json_value_str(v, "firstTimestamp");
    return t ? t : json_value_str(v, "metadata.creationTimestamp");
}

static void event_row(struct table *t, const struct json_value *v, const struct print_options *o)
{
    const char *kind = json_value_str(v, "involvedObject.kind");
    const char *name = json_value_str(v, "involvedObject.name");
    autofree char *lower = xstrdup(kind ? kind : "object");

    for (char *c = lower; *c; c++)
        *c = *c >= 'A' && *c <= 'Z' ? (char)(*c + 32) : *c;
    age_add(t, event_last_seen(v), o);
    table_add(t, json_value_str(v, "type"));
    table_add(t, json_value_str(v, "reason"));
    table_addf(t, "%s/%s", lower, name ? name : "");
    if (o->is_wide)
        table_addf(t, "%" PRId64, json_value_int(v, "count", 1));
    table_add(t, json_value_str(v, "message"));
}

static const struct printer printers[] = {
    [RESOURCE_POD] = {{"NAME", "READY", "STATUS", "RESTARTS", "AGE"},
                      {"NAME", "READY", "STATUS", "RESTARTS", "AGE", "IP", "NODE"},
                      pod_row                                                                                  },
    [RESOURCE_CONFIG] = {{"NAME", "DATA", "AGE"},                              {"NAME", "DATA", "AGE"}, config_row},
    [RESOURCE_SECRET] = {{"NAME", "TYPE", "DATA", "AGE"},
                      {"NAME", "TYPE", "DATA", "AGE"},
                      secret_row                                                                               },
    [RESOURCE_CLAIM] = {{"NAME", "STATUS", "VOLUME", "CAPACITY", "ACCESS MODES", "STORAGECLASS",
                         "AGE"},
                      {"NAME", "STATUS", "VOLUME", "CAPACITY", "ACCESS MODES", "STORAGECLASS",
                         "AGE", "VOLUMEMODE"},
                      claim_row                                                                                },
 /* An event's own name says nothing to anybody. */
    [RESOURCE_EVENT] = {{"LAST SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"},
                      {"LAST SEEN", "TYPE", "REASON", "OBJECT", "COUNT", "MESSAGE"},
                      event_row                                                                                },
};

void print_header(struct table *t, enum resource_kind kind, const struct print_options *o,
                  bool has_header)
{
    const struct printer *p = &printers[kind];
    const char *const *columns = o->is_wide ? p->wide : p->columns;
    size_t n = 0;

    while (n < COLUMNS && columns[n])
        n++;
    t->n_columns = n + o->has_space + o->has_labels;
    if (!has_header)
        return;
    if (o->has_space)
        table_add(t, "NAMESPACE");
    for (size_t i = 0; i < n; i++)
        table_add(t, columns[i]);
    if (o->has_labels)
        table_add(t, "LABELS");
}

void print_labels(const struct json_value *labels, struct buf *out)
{
    struct json_value_each i = {0};
    bool has_some = false;

    while (json_value_next(labels, &i)) {
        const char *value = json_value_str(i.value, "");

        buf_addf(out, "%s%s=%s", has_some ? "," : "", i.key, value ? value : "");
        has_some = true;
    }
    if (!has_some)
        buf_addstr(out, "<none>");
}

void print_row(struct table *t, enum resource_kind kind, const struct json_value *object,
               const struct print_options *o)
{
    const char *name = json_value_str(object, "metadata.name");
    autobuf labels = BUF_INIT;

    if (o->has_space)
        table_add(t, json_value_str(object, "metadata.namespace"));
    if (kind != RESOURCE_EVENT && o->has_kind)
        table_addf(t, "%s/%s", resource_of(kind)->singular, name ? name : "");
    else if (kind != RESOURCE_EVENT)
        table_add(t, name);
    printers[kind].row(t, object, o);
    print_labels(json_value_at(object, "metadata.labels"), &labels);
    if (o->has_labels)
        table_add(t, buf_str(&labels));
}
