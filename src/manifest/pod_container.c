/* SPDX-License-Identifier: Apache-2.0 */
#include "manifest/names.h"
#include "manifest/pod_parts.h"
#include "manifest/quantity.h"

#define IMAGE_LIMIT 512

/* ---- Image ---- */

static bool is_path(const char *image)
{
    return *image == '/' || str_starts(image, "./") || str_starts(image, "../");
}

static int path_resolve(struct decode *d, const char *at, const char *image, struct pod_spec *s,
                        struct pod_container *c)
{
    const char *base = d->options->base_dir;

    c->is_file = true;
    if (*image == '/') {
        c->image = arena_strdup(s->arena, image);
        return 0;
    }
    if (!base)
        return decode_bad(
            d, -EINVAL, decode_path(d, "%s.image", at),
            "'%.80s' is relative, and what comes from no file has no folder; write the "
            "path in full",
            image);
    /* A ".." stays: what it leads to, symbolic links decide. */
    while (str_starts(image, "./"))
        image += 1 + strspn(image + 1, "/");
    c->image =
        arena_printf(s->arena, "%s%s%s", base, base[strlen(base) - 1] == '/' ? "" : "/", image);
    decode_edit_string(d, at, "image", c->image);
    return 0;
}

/* Kubernetes asks a registry again at each start for what may have changed. */
static bool is_latest(const char *image)
{
    const char *last = strrchr(image, '/'), *tag = strchr(last ? last : image, ':');

    return !strchr(image, '@') && (!tag || str_eq(tag, ":latest"));
}

static int image_decode(struct decode *d, const char *at, const struct raw_container *raw,
                        struct pod_spec *s, struct pod_container *c)
{
    /* In the order of the enumeration. */
    static const char *const pulls[] = {"IfNotPresent", "Always", "Never", NULL};
    const char *here = decode_path(d, "%s.image", at);
    const char *image = raw->image;
    int pull;

    if (!*image)
        return decode_bad(d, -EINVAL, here, "is empty; write the name of an image or a path");
    for (const char *p = image; *p; p++)
        if ((unsigned char)*p < ' ' || *p == 0x7f || (*p == ' ' && !is_path(image)))
            return decode_bad(d, -EINVAL, here, "has blanks or control characters in it");
    if (is_path(image)) {
        TRY(path_resolve(d, at, image, s, c));
    } else {
        if (strlen(image) > IMAGE_LIMIT)
            return decode_bad(d, -EFBIG, here, "longer than %d bytes", IMAGE_LIMIT);
        c->image = arena_strdup(s->arena, image);
    }
    TRY(decode_word(d, decode_path(d, "%s.imagePullPolicy", at), raw->pull, pulls,
                    !c->is_file && is_latest(image) ? POD_PULL_ALWAYS : POD_PULL_MISSING, &pull));
    c->pull = (enum pod_pull)pull;
    if (!raw->pull)
        decode_edit_string(d, at, "imagePullPolicy", pulls[pull]);
    return 0;
}

/* ---- Ports and mounts ---- */

static int port_decode(struct decode *d, const char *at, const struct raw_port *raw,
                       struct pod_spec *s, const struct pod_container *c, struct pod_port *p)
{
    static const char *const protocols[] = {"TCP", "UDP", NULL};
    int protocol;

    p->port = raw->port;
    p->host_port = raw->host_port;
    if (raw->name) {
        const char *here = decode_path(d, "%s.name", at);

        TRY(decode_name(d, here, raw->name, name_is_port, NAME_PORT_RULE));
        if (pod_port_find(c, raw->name))
            return decode_bad(d, -EINVAL, here, "the container has another port '%.20s'",
                              raw->name);
        p->name = arena_strdup(s->arena, raw->name);
    }
    if (raw->host_port && raw->host_port != raw->port)
        return decode_bad(d, -EINVAL, decode_path(d, "%s.hostPort", at),
                          "is another number than containerPort, %lld; pods use the network of the "
                          "host, where it is the same port",
                          (long long)raw->port);
    TRY(decode_word(d, decode_path(d, "%s.protocol", at), raw->protocol, protocols, 0, &protocol));
    p->protocol = (enum pod_protocol)protocol;
    return 0;
}

static int mount_check(struct decode *d, const char *at, const struct raw_mount *raw,
                       const struct pod_spec *s, const struct pod_container *c)
{
    if (!pod_volume_find(s, raw->volume))
        return decode_bad(d, -EINVAL, decode_path(d, "%s.name", at),
                          "the pod has no volume '%.63s'; name one in its volumes", raw->volume);
    TRY(pod_absolute_check(d, decode_path(d, "%s.mountPath", at), raw->path));
    for (size_t i = 0; i < c->n_mounts; i++)
        if (str_eq(c->mounts[i].path, raw->path))
            return decode_bad(d, -EINVAL, decode_path(d, "%s.mountPath", at),
                              "another volume is mounted at '%.80s'", raw->path);
    if (raw->sub_path && raw->sub_path_expr && *raw->sub_path && *raw->sub_path_expr)
        return decode_bad(d, -EINVAL, decode_path(d, "%s.subPathExpr", at),
                          "there is a subPath too; write one of them");
    if (raw->sub_path && *raw->sub_path && !pod_path_is_inside(raw->sub_path))
        return decode_bad(d, -EINVAL, decode_path(d, "%s.subPath", at),
                          "'%.80s' is no relative path without '..'", raw->sub_path);
    if (raw->sub_path_expr && *raw->sub_path_expr && !pod_path_is_inside(raw->sub_path_expr))
        return decode_bad(d, -EINVAL, decode_path(d, "%s.subPathExpr", at),
                          "'%.80s' is no relative path without '..'", raw->sub_path_expr);
    if (raw->propagation && !str_eq(raw->propagation, "None"))
        return decode_bad(
            d, -ENOTSUP, decode_path(d, "%s.mountPropagation", at),
            "not supported: a guest sees no mounts that are made later; leave it out");
    if (raw->recursive && !str_eq(raw->recursive, "Disabled") &&
        !str_eq(raw->recursive, "IfPossible"))
        return decode_bad(d, -ENOTSUP, decode_path(d, "%s.recursiveReadOnly", at),
                          "not supported: write readOnly alone");
    return 0;
}

static int mount_decode(struct decode *d, const char *at, const struct raw_mount *raw,
                        struct pod_spec *s, struct pod_container *c)
{
    bool is_expanded = raw->sub_path_expr && *raw->sub_path_expr;
    const char *sub = is_expanded ? raw->sub_path_expr : raw->sub_path;

    TRY(mount_check(d, at, raw, s, c));
    c->mounts[c->n_mounts++] = (struct pod_mount){
        .volume = arena_strdup(s->arena, raw->volume),
        .path = arena_strdup(s->arena, raw->path),
        .sub_path = arena_strdup(s->arena, sub && *sub ? sub : NULL),
        .is_sub_path_expanded = is_expanded,
        .is_read_only = raw->is_read_only,
    };
    return 0;
}

/* ---- Resources ---- */

static int resource_decode(struct decode *d, const char *at, const struct json_pair *raw,
                           int64_t *memory, int64_t *cpu)
{
    bool is_memory = str_eq(raw->name, "memory");
    struct err inner = ERR_INIT;

    at = decode_path(d, "%s.%s", at, raw->name);
    if (!is_memory && !str_eq(raw->name, "cpu"))
        return decode_bad(d, -ENOTSUP, at, "not supported: there are cpu and memory");
    if (quantity_parse(raw->value, is_memory ? 1 : 1000, is_memory ? memory : cpu, &inner) < 0)
        return decode_bad_at(d, at, &inner);
    return 0;
}

static int resources_decode(struct decode *d, const char *at, const struct raw_resources *raw,
                            struct pod_resources *r)
{
    const char *limits = decode_path(d, "%s.resources.limits", at);
    const char *requests = decode_path(d, "%s.resources.requests", at);

    for (size_t i = 0; i < raw->limits.n; i++)
        TRY(resource_decode(d, limits, &raw->limits.v[i], &r->memory_limit_bytes,
                            &r->cpu_limit_milli));
    for (size_t i = 0; i < raw->requests.n; i++)
        TRY(resource_decode(d, requests, &raw->requests.v[i], &r->memory_request_bytes,
                            &r->cpu_request_milli));
    if (r->memory_limit_bytes && r->memory_request_bytes > r->memory_limit_bytes)
        return decode_bad(d, -EINVAL, decode_path(d, "%s.memory", requests),
                          "is more than the limit of memory");
    if (r->cpu_limit_milli && r->cpu_request_milli > r->cpu_limit_milli)
        return decode_bad(d, -EINVAL, decode_path(d, "%s.cpu", requests),
                          "is more than the limit of cpu");
    if (!r->memory_request_bytes)
        r->memory_request_bytes = r->memory_limit_bytes;
    if (!r->cpu_request_milli)
        r->cpu_request_milli = r->cpu_limit_milli;
    return 0;
}

/* ---- Security ---- */

static int security_check(struct decode *d, const char *at, const struct raw_security *raw)
{
    at = decode_path(d, "%s.securityContext", at);
    if (raw->is_privileged)
        return decode_bad(
            d, -ENOTSUP, decode_path(d, "%s.privileged", at),
            "not supported: a guest has what is mounted and granted, and no privileges");
    if (raw->capabilities.add.n)
        return decode_bad(d, -ENOTSUP, decode_path(d, "%s.capabilities.add", at),
                          "not supported: a guest has no capabilities");
    if (raw->proc_mount && !str_eq(raw->proc_mount, "Default"))
        return decode_bad(d, -ENOTSUP, decode_path(d, "%s.procMount", at),
                          "not supported: a guest has no /proc");
    return 0;
}

/* ---- The container ---- */

static int role_decode(struct decode *d, const char *at, const char *restart, bool is_init,
                       struct pod_container *c)
{
    c->role = is_init ? POD_ROLE_INIT : POD_ROLE_MAIN;
    if (!restart)
        return 0;
    if (!is_init)
        return decode_bad(
            d, -ENOTSUP, decode_path(d, "%s.restartPolicy", at),
            "not supported: write it for the pod; only an init container has one of its "
            "own");
    if (!str_eq(restart, "Always"))
        return decode_bad(d, -ENOTSUP, decode_path(d, "%s.restartPolicy", at),
                          "'%.40s' is not supported: of an init container it is Always, or absent",
                          restart);
    c->role = POD_ROLE_SIDECAR;
    return 0;
}

static int message_decode(struct decode *d, const char *at, const struct raw_container *raw,
                          struct pod_spec *s, struct pod_container *c)
{
    static const char *const policies[] = {"File", "FallbackToLogsOnError", NULL};
    const char *path =
        raw->message_path && *raw->message_path ? raw->message_path : "/dev/termination-log";
    int policy;

    TRY(pod_absolute_check(d, decode_path(d, "%s.terminationMessagePath", at), path));
    TRY(decode_word(d, decode_path(d, "%s.terminationMessagePolicy", at), raw->message_policy,
                    policies, 0, &policy));
    c->message_path = arena_strdup(s->arena, path);
    c->message_policy = (enum pod_termination_message)policy;
    if (!raw->message_path)
        decode_edit_string(d, at, "terminationMessagePath", path);
    if (!raw->message_policy)
        decode_edit_string(d, at, "terminationMessagePolicy", policies[policy]);
    return 0;
}

static int lists_decode(struct decode *d, const char *at, const struct raw_container *raw,
                        struct pod_spec *s, struct pod_container *c)
{
    c->ports = arena_array(s->arena, raw->n_ports, sizeof(*c->ports));
    for (size_t i = 0; i < raw->n_ports; i++) {
        TRY(port_decode(d, decode_path(d, "%s.ports[%zu]", at, i), &raw->ports[i], s, c,
                        &c->ports[i]));
        c->n_ports = i + 1;
    }
    c->mounts = arena_array(s->arena, raw->n_mounts, sizeof(*c->mounts));
    for (size_t i = 0; i < raw->n_mounts; i++)
        TRY(mount_decode(d, decode_path(d, "%s.volumeMounts[%zu]", at, i), &raw->mounts[i], s, c));
    return 0;
}

int pod_container_decode(struct decode *d, const char *at, const struct raw_container *raw,
                         bool is_init, struct pod_spec *s, struct pod_container *c)
{
    const char *name_at = decode_path(d, "%s.name", at);

    TRY(decode_name(d, name_at, raw->name, name_is_label, NAME_LABEL_RULE));
    if (pod_container_find(s, raw->name))
        return decode_bad(d, -EINVAL, name_at, "there is another container '%.63s'", raw->name);
    c->name = arena_strdup(s->arena, raw->name);
    c->kind = POD_CONTAINER_GUEST;
    c->working_dir = arena_strdup(s->arena, raw->working_dir);
    c->has_command = raw->has_command && raw->command.n;
    c->has_args = raw->has_args && raw->args.n;
    decode_words(s->arena, &raw->command, &c->command);
    decode_words(s->arena, &raw->args, &c->args);
    c->has_stdin = raw->has_stdin;
    c->is_stdin_once = raw->is_stdin_once;
    c->has_tty = raw->has_tty;
    TRY(role_decode(d, at, raw->restart, is_init, c));
    TRY(image_decode(d, at, raw, s, c));
    TRY(lists_decode(d, at, raw, s, c));
    TRY(pod_variables_decode(d, at, raw, s, c));
    TRY(resources_decode(d, at, &raw->resources, &c->resources));
    TRY(security_check(d, at, &raw->security));
    TRY(message_decode(d, at, raw, s, c));
    return pod_actions_decode(d, at, raw, s, c);
}
