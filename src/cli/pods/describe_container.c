/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>

#include "cli/pods/describe.h"

#define INDENT 4
#define WIDTH  16

static const struct json_value *named_find(const struct json_value *list, const char *name)
{
    const struct json_value *c;

    for (size_t i = 0; (c = json_value_item(list, i)); i++) {
        const char *of = json_value_str(c, "name");

        if (of && name && str_eq(of, name))
            return c;
    }
    return NULL;
}

static void words_add(struct buf *out, const char *key, const struct json_value *words)
{
    if (!json_value_count(words))
        return;
    describe_line(out, INDENT, WIDTH, key, "");
    for (size_t i = 0; i < json_value_count(words); i++) {
        const char *word = json_value_str(json_value_item(words, i), "");

        buf_addf(out, "      %s\n", word ? word : "");
    }
}

static void ports_add(struct buf *out, const struct json_value *ports)
{
    autobuf inner = BUF_INIT, host = BUF_INIT;

    for (size_t i = 0; i < json_value_count(ports); i++) {
        const struct json_value *p = json_value_item(ports, i);
        const char *protocol = json_value_str(p, "protocol"), *name = json_value_str(p, "name");

        buf_addf(&inner, "%s%" PRId64 "/%s", i ? ", " : "", json_value_int(p, "containerPort", 0),
                 protocol ? protocol : "TCP");
        if (name)
            buf_addf(&inner, " (%s)", name);
        buf_addf(&host, "%s%" PRId64 "/%s", i ? ", " : "", json_value_int(p, "hostPort", 0),
                 protocol ? protocol : "TCP");
    }
    describe_line(out, INDENT, WIDTH, inner.len ? "Ports" : "Port",
                  inner.len ? buf_str(&inner) : "<none>");
    if (host.len)
        describe_line(out, INDENT, WIDTH, "Host Ports", buf_str(&host));
}

static void line_maybe(struct buf *out, int indent, const char *key, const char *value)
{
    if (value && *value)
        describe_line(out, indent, WIDTH + INDENT - indent, key, value);
}

static void state_add(struct buf *out, const char *key, const struct json_value *state)
{
    const struct json_value *running = json_value_member(state, "running");
    const struct json_value *waiting = json_value_member(state, "waiting");
    const struct json_value *ended = json_value_member(state, "terminated");
    const struct json_value *v = running ? running : waiting ? waiting : ended;

    describe_line(out, INDENT, WIDTH, key,
                  running   ? "Running"
                  : ended   ? "Terminated"
                  : waiting ? "Waiting"
                            : "Waiting");
    line_maybe(out, INDENT + 2, "Reason", json_value_str(v, "reason"));
    line_maybe(out, INDENT + 2, "Message", json_value_str(v, "message"));
    if (ended)
        describe_linef(out, INDENT + 2, WIDTH - 2, "Exit Code", "%" PRId64,
                       json_value_int(ended, "exitCode", 0));
    line_maybe(out, INDENT + 2, "Started", json_value_str(v, "startedAt"));
    line_maybe(out, INDENT + 2, "Finished", json_value_str(v, "finishedAt"));
}

static void amounts_add(struct buf *out, const char *key, const struct json_value *map)
{
    struct json_value_each i = {0};

    if (!json_value_count(map))
        return;
    describe_line(out, INDENT, WIDTH, key, "");
    while (json_value_next(map, &i)) {
        autobuf number = BUF_INIT;
        const char *text = json_value_str(i.value, "");

        if (!text && json_value_type(i.value) == JSON_VALUE_NUMBER)
            json_value_number_add(i.value, &number);
        describe_line(out, INDENT + 2, WIDTH - 2, i.key, text ? text : buf_str(&number));
    }
}

static const char *text_at(const struct json_value *v, const char *path, struct buf *number)
{
    const struct json_value *at = json_value_at(v, path);

    buf_clear(number);
    if (json_value_type(at) == JSON_VALUE_NUMBER)
        json_value_number_add(at, number);
    return json_value_str(at, "") ? json_value_str(at, "") : buf_str(number);
}

/* "http-get http://:8080/healthz delay=0s timeout=1s period=10s #success=1 #failure=3" */
static void probe_add(struct buf *out, const char *key, const struct json_value *probe)
{
    const struct json_value *http = json_value_member(probe, "httpGet");
    const struct json_value *words = json_value_at(probe, "exec.command");
    autobuf text = BUF_INIT, number = BUF_INIT;

    if (!probe)
        return;
    if (http) {
        const char *scheme = json_value_str(http, "scheme");
        const char *host = json_value_str(http, "host"), *path = json_value_str(http, "path");

        buf_addf(&text, "http-get %s://%s:%s%s",
                 scheme && str_eq(scheme, "HTTPS") ? "https" : "http", host ? host : "",
                 text_at(http, "port", &number), path ? path : "/");
    } else if (json_value_member(probe, "tcpSocket")) {
        buf_addf(&text, "tcp-socket :%s", text_at(probe, "tcpSocket.port", &number));
    } else if (json_value_member(probe, "grpc")) {
        buf_addf(&text, "grpc <pod>:%s", text_at(probe, "grpc.port", &number));
    } else {
        buf_addstr(&text, "exec [");
        for (size_t i = 0; i < json_value_count(words); i++)
            buf_addf(&text, "%s%s", i ? " " : "", json_value_str(json_value_item(words, i), ""));
        buf_addc(&text, ']');
    }
    describe_linef(
        out, INDENT, WIDTH, key,
        "%s delay=%" PRId64 "s timeout=%" PRId64 "s period=%" PRId64 "s #success=%" PRId64
        " #failure=%" PRId64,
        buf_str(&text), json_value_int(probe, "initialDelaySeconds", 0),
        json_value_int(probe, "timeoutSeconds", 1), json_value_int(probe, "periodSeconds", 10),
        json_value_int(probe, "successThreshold", 1), json_value_int(probe, "failureThreshold", 3));
}

/* Where a variable's value comes from, when it is not written there. */
static void source_add(struct buf *text, const struct json_value *from)
{
    const struct json_value *key = json_value_member(from, "configMapKeyRef");
    const char *kind = "config map", *name, *of, *path = json_value_str(from, "fieldRef.fieldPath");

    if (!key) {
        key = json_value_member(from, "secretKeyRef");
        kind = "secret";
    }
    name = json_value_str(key, "name");
    of = json_value_str(key, "key");
    if (key)
        buf_addf(text, "<set to the key '%s' in %s '%s'>", of ? of : "", kind, name ? name : "");
    else
        buf_addf(text, "(%s)", path ? path : json_value_str(from, "resourceFieldRef.resource"));
}

static void environment_add(struct buf *out, const struct json_value *env)
{
    describe_line(out, INDENT, WIDTH, "Environment", json_value_count(env) ? "" : "<none>");
    for (size_t i = 0; i < json_value_count(env); i++) {
        const struct json_value *v = json_value_item(env, i);
        const char *name = json_value_str(v, "name"), *value = json_value_str(v, "value");
        autobuf text = BUF_INIT;

        if (json_value_member(v, "valueFrom"))
            source_add(&text, json_value_member(v, "valueFrom"));
        else
            buf_addstr(&text, value ? value : "");
        describe_line(out, INDENT + 2, WIDTH - 2, name ? name : "", buf_str(&text));
    }
}

static void mounts_add(struct buf *out, const struct json_value *mounts)
{
    describe_line(out, INDENT, WIDTH, "Mounts", json_value_count(mounts) ? "" : "<none>");
    for (size_t i = 0; i < json_value_count(mounts); i++) {
        const struct json_value *m = json_value_item(mounts, i);
        const char *path = json_value_str(m, "mountPath"), *name = json_value_str(m, "name");
        const char *sub = json_value_str(m, "subPath");

        buf_addf(out, "      %s from %s (%s%s%s)\n", path ? path : "", name ? name : "",
                 json_value_bool(m, "readOnly") ? "ro" : "rw", sub ? ",path=" : "", sub ? sub : "");
    }
}

static void container_describe(struct buf *out, const struct json_value *spec,
                               const struct json_value *status)
{
    const char *name = json_value_str(spec, "name");
    const struct json_value *last = json_value_member(status, "lastState");

    buf_addf(out, "  %s:\n", name ? name : "");
    line_maybe(out, INDENT, "Container ID", json_value_str(status, "containerID"));
    describe_line(out, INDENT, WIDTH, "Image", json_value_str(spec, "image"));
    line_maybe(out, INDENT, "Image ID", json_value_str(status, "imageID"));
    ports_add(out, json_value_member(spec, "ports"));
    words_add(out, "Command", json_value_member(spec, "command"));
    words_add(out, "Args", json_value_member(spec, "args"));
    state_add(out, "State", json_value_member(status, "state"));
    if (json_value_count(last))
        state_add(out, "Last State", last);
    describe_line(out, INDENT, WIDTH, "Ready", json_value_bool(status, "ready") ? "True" : "False");
    describe_linef(out, INDENT, WIDTH, "Restart Count", "%" PRId64,
                   json_value_int(status, "restartCount", 0));
    amounts_add(out, "Limits", json_value_at(spec, "resources.limits"));
    amounts_add(out, "Requests", json_value_at(spec, "resources.requests"));
    probe_add(out, "Liveness", json_value_member(spec, "livenessProbe"));
    probe_add(out, "Readiness", json_value_member(spec, "readinessProbe"));
    probe_add(out, "Startup", json_value_member(spec, "startupProbe"));
    environment_add(out, json_value_member(spec, "env"));
    mounts_add(out, json_value_member(spec, "volumeMounts"));
}

void describe_containers(struct buf *out, const char *title, const struct json_value *specs,
                         const struct json_value *statuses)
{
    const struct json_value *spec;

    if (!json_value_count(specs))
        return;
    buf_addf(out, "%s:\n", title);
    for (size_t i = 0; (spec = json_value_item(specs, i)); i++)
        container_describe(out, spec, named_find(statuses, json_value_str(spec, "name")));
}
