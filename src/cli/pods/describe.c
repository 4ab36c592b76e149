/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/pods/describe.h"

#include <inttypes.h>
#include <stdarg.h>

#include "base/clock.h"
#include "cli/pods/ages.h"
#include "cli/pods/command.h"
#include "cli/pods/printers.h"
#include "cli/pods/table.h"

#define WIDTH 14

void describe_line(struct buf *out, int indent, int width, const char *key, const char *value)
{
    autofree char *label = xasprintf("%s:", key);

    if (value && !*value)
        buf_addf(out, "%*s%s\n", indent, "", label);
    else
        buf_addf(out, "%*s%-*s %s\n", indent, "", width - 1, label, value ? value : "<none>");
}

void describe_linef(struct buf *out, int indent, int width, const char *key, const char *fmt, ...)
{
    autobuf text = BUF_INIT;
    va_list ap;

    va_start(ap, fmt);
    buf_vaddf(&text, fmt, ap);
    va_end(ap);
    describe_line(out, indent, width, key, buf_str(&text));
}

void describe_map(struct buf *out, int width, const char *key, const struct json_value *map)
{
    struct json_value_each i = {0};
    bool is_first = true;

    if (!json_value_count(map))
        describe_line(out, 0, width, key, "<none>");
    while (json_value_next(map, &i)) {
        const char *value = json_value_str(i.value, "");
        autofree char *text = xasprintf("%s=%s", i.key, value ? value : "");

        if (is_first)
            describe_line(out, 0, width, key, text);
        else
            buf_addf(out, "%*s%s\n", width, "", text);
        is_first = false;
    }
}

/* ---- Pods ---- */

static void status_describe(struct buf *out, const struct json_value *pod, int64_t now_ns)
{
    const char *deleted = json_value_str(pod, "metadata.deletionTimestamp");
    const char *reason = json_value_str(pod, "status.reason");
    const char *message = json_value_str(pod, "status.message");
    char age[AGE_SIZE];

    age_since(deleted, now_ns, age);
    if (deleted) {
        describe_linef(out, 0, WIDTH, "Status", "Terminating (since %s)", age);
        describe_linef(out, 0, WIDTH, "Grace Period", "%" PRId64 "s",
                       json_value_int(pod, "metadata.deletionGracePeriodSeconds", 0));
    } else {
        describe_line(out, 0, WIDTH, "Status", json_value_str(pod, "status.phase"));
    }
    if (reason && *reason)
        describe_line(out, 0, WIDTH, "Reason", reason);
    if (message && *message)
        describe_line(out, 0, WIDTH, "Message", message);
    describe_line(out, 0, WIDTH, "IP", json_value_str(pod, "status.podIP"));
}

static void conditions_describe(struct buf *out, const struct json_value *list)
{
    const struct json_value *c;
    autotable t = {.n_columns = 2};

    if (!json_value_count(list))
        return;
    buf_addstr(out, "Conditions:\n");
    table_add(&t, "  Type");
    table_add(&t, "Status");
    for (size_t i = 0; (c = json_value_item(list, i)); i++) {
        const char *type = json_value_str(c, "type");

        table_addf(&t, "  %s", type ? type : "");
        table_add(&t, json_value_str(c, "status"));
    }
    table_print(&t, out);
}

/* What a volume is, in the words of its own field. */
static void volume_describe(struct buf *out, const struct json_value *volume)
{
    const char *name = json_value_str(volume, "name");
    struct json_value_each i = {0}, k = {0};

    buf_addf(out, "  %s:\n", name ? name : "");
    while (json_value_next(volume, &i)) {
        if (str_eq(i.key, "name"))
            continue;
        describe_line(out, 4, 12, "Type", i.key);
        while (json_value_next(i.value, &k)) {
            autobuf text = BUF_INIT;
            const char *plain = json_value_str(k.value, "");

            json_value_write(k.value, false, &text);
            describe_line(out, 4, 12, k.key, plain ? plain : buf_str(&text));
        }
    }
}

static void volumes_describe(struct buf *out, const struct json_value *list)
{
    const struct json_value *v;

    describe_line(out, 0, WIDTH, "Volumes", json_value_count(list) ? "" : "<none>");
    for (size_t i = 0; (v = json_value_item(list, i)); i++)
        volume_describe(out, v);
}

void describe_pod(struct buf *out, const struct json_value *pod, int64_t now_ns)
{
    const char *node = json_value_str(pod, "spec.nodeName");

    describe_line(out, 0, WIDTH, "Name", json_value_str(pod, "metadata.name"));
    describe_line(out, 0, WIDTH, "Namespace", json_value_str(pod, "metadata.namespace"));
    if (node)
        describe_line(out, 0, WIDTH, "Node", node);
    describe_line(out, 0, WIDTH, "Start Time", json_value_str(pod, "status.startTime"));
    describe_map(out, WIDTH, "Labels", json_value_at(pod, "metadata.labels"));
    describe_map(out, WIDTH, "Annotations", json_value_at(pod, "metadata.annotations"));
    status_describe(out, pod, now_ns);
    describe_containers(out, "Init Containers", json_value_at(pod, "spec.initContainers"),
                        json_value_at(pod, "status.initContainerStatuses"));
    describe_containers(out, "Containers", json_value_at(pod, "spec.containers"),
                        json_value_at(pod, "status.containerStatuses"));
    conditions_describe(out, json_value_at(pod, "status.conditions"));
    volumes_describe(out, json_value_at(pod, "spec.volumes"));
    describe_line(out, 0, WIDTH, "QoS Class", json_value_str(pod, "status.qosClass"));
}

/* ---- The others ---- */

static void datum_describe(struct buf *out, const struct json_value_each *i, bool is_secret)
{
    const char *text = json_value_str(i->value, "");
    size_t len = text ? strlen(text) : 0;

    if (!is_secret) {
        buf_addf(out, "%s:\n----\n%s\n\n", i->key, text ? text : "");
        return;
    }
    /* Of base64, which is all that may be said of it. */
    buf_addf(out, "%s:  %zu bytes\n", i->key,
             len / 4 * 3 - (len && text[len - 1] == '=') - (len > 1 && text[len - 2] == '='));
}

static void object_describe(struct buf *out, enum resource_kind kind, const struct json_value *v)
{
    struct json_value_each i = {0};
    bool is_secret = kind == RESOURCE_SECRET;

    describe_line(out, 0, WIDTH, "Name", json_value_str(v, "metadata.name"));
    describe_line(out, 0, WIDTH, "Namespace", json_value_str(v, "metadata.namespace"));
    describe_map(out, WIDTH, "Labels", json_value_at(v, "metadata.labels"));
    describe_map(out, WIDTH, "Annotations", json_value_at(v, "metadata.annotations"));
    if (is_secret)
        describe_line(out, 0, WIDTH, "Type", json_value_str(v, "type"));
    if (kind == RESOURCE_CLAIM) {
        describe_line(out, 0, WIDTH, "Status", json_value_str(v, "status.phase"));
        describe_line(out, 0, WIDTH, "Capacity",
                      json_value_str(v, "spec.resources.requests.storage"));
    }
    if (json_value_member(v, "data"))
        buf_addstr(out, "\nData\n====\n");
    while (json_value_next(json_value_member(v, "data"), &i))
        datum_describe(out, &i, is_secret);
}

/* ---- Events ---- */

void describe_events(struct buf *out, const struct json_value *events, int64_t now_ns)
{
    const struct json_value *v;
    autotable t = {.n_columns = 5};
    static const char *const head[] = {"  Type", "Reason", "Age",  "From", "Message",
                                       "  ----", "------", "----", "----", "-------"};

    if (!json_value_count(events)) {
        describe_line(out, 0, WIDTH, "Events", "<none>");
        return;
    }
    buf_addstr(out, "Events:\n");
    for (size_t i = 0; i < ARRAY_SIZE(head); i++)
        table_add(&t, head[i]);
    for (size_t i = 0; (v = json_value_item(events, i)); i++) {
        const char *type = json_value_str(v, "type"), *from = json_value_str(v, "source.component");
        int64_t count = json_value_int(v, "count", 1);
        char age[AGE_SIZE], first[AGE_SIZE];

        age_since(event_last_seen(v), now_ns, age);
        age_since(json_value_str(v, "firstTimestamp"), now_ns, first);
        table_addf(&t, "  %s", type ? type : "");
        table_add(&t, json_value_str(v, "reason"));
        if (count > 1)
            table_addf(&t, "%s (x%" PRId64 " over %s)", age, count, first);
        else
            table_add(&t, age);
        table_add(&t, from);
        table_add(&t, json_value_str(v, "message"));
    }
    table_print(&t, out);
}

/* ---- The command ---- */

static int one_describe(const struct pods_context *x, const struct resource *r,
                        const struct json_value *v, struct buf *out, struct err *e)
{
    int64_t now_ns = (int64_t)clock_realtime_ns();
    const char *name = json_value_str(v, "metadata.name");
    AUTO(json_value) events = NULL;
    autobuf path = BUF_INIT;

    resource_path_add(&path, resource_of(RESOURCE_EVENT), x->space, NULL);
    resource_query_addf(&path, "fieldSelector", "involvedObject.kind=%s,involvedObject.name=%s",
                        r->name, name ? name : "");
    TRY(pods_fetch(x->client, &path, &events, e));
    if (r->kind == RESOURCE_POD)
        describe_pod(out, v, now_ns);
    else
        object_describe(out, r->kind, v);
    describe_events(out, json_value_member(events, "items"), now_ns);
    return 0;
}

int pods_describe(const struct pods_context *x, struct err *e)
{
    const struct describe_options *o = x->options;
    struct pods_query q = {.space = x->space, .selector = o->selector};
    autobuf out = BUF_INIT;
    autorefs refs = {0};
    autofound found = {0};
    size_t n_missing;
    int status;

    TRY(resource_refs_parse(x->operands, NULL, &refs, e));
    TRY(pods_find(x, &refs, &q, &found, &n_missing, e));
    for (size_t i = 0; i < found.n; i++) {
        buf_addstr(&out, i ? "\n\n" : "");
        TRY(one_describe(x, found.resources[i], found.v[i], &out, e));
    }
    status = pods_print(&out);
    return status ? status : n_missing != 0;
}
