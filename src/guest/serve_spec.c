/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/serve_spec.h"

#include <limits.h>

#include "guest/command.h"
#include "guest/spec.h"

#define NAME_LIMIT 1024

#define TEXT(name_, struct_, member_, limit_)                                                      \
    {                                                                                              \
        .name = (name_), .type = FIELD_STRING, .offset = offsetof(struct_, member_),               \
        .limit = (limit_)                                                                          \
    }
#define TEXT_REQUIRED(name_, struct_, member_, limit_)                                             \
    {                                                                                              \
        .name = (name_), .type = FIELD_STRING, .offset = offsetof(struct_, member_),               \
        .is_required = true, .limit = (limit_)                                                     \
    }
#define FD(struct_)                                                                                \
    {                                                                                              \
        .name = "fd", .type = FIELD_INT64, .offset = offsetof(struct_, fd), .is_required = true,   \
        .max = INT_MAX                                                                             \
    }
#define NUMBER(name_, struct_, member_, min_, max_)                                                \
    {                                                                                              \
        .name = (name_), .type = FIELD_INT64, .offset = offsetof(struct_, member_), .min = (min_), \
        .max = (max_)                                                                              \
    }
#define LIMIT(member_, min_) NUMBER(#member_, struct serve_limits, member_, min_, INT64_MAX)

static const struct json_field app_fields[] = {
    FD(struct serve_app),
    TEXT("image", struct serve_app, image, GUEST_IMAGE_LIMIT),
    JSON_FIELD("command", FIELD_RAW, struct serve_app, command),
    TEXT_REQUIRED("path", struct serve_app, path, PATH_MAX),
    TEXT_REQUIRED("name", struct serve_app, name, PATH_MAX),
    TEXT_REQUIRED("route", struct serve_app, route, SERVE_ROUTE_LIMIT),
    TEXT("host", struct serve_app, host, SERVE_HOST_LIMIT),
    {0},
};

static const struct json_field listener_fields[] = {
    FD(struct serve_listener),
    TEXT_REQUIRED("url", struct serve_listener, url, NAME_LIMIT),
    {.name = "thread",
                                                     .type = FIELD_INT64,
                                                     .offset = offsetof(struct serve_listener, thread),
                                                     .is_required = true,
                                                     .min = -1,
                                                     .max = SERVE_THREAD_LIMIT - 1},
    JSON_FIELD("tls", FIELD_BOOL, struct serve_listener, is_tls),
    {0},
};

static const struct json_field limit_fields[] = {
    LIMIT(header_bytes, 1),
    LIMIT(headers, 1),
    LIMIT(body_bytes, 0),
    LIMIT(requests, 1),
    LIMIT(queue, 0),
    LIMIT(connections, 1),
    LIMIT(idle_ms, 1),
    LIMIT(read_ms, 1),
    LIMIT(write_ms, 1),
    LIMIT(request_ms, 0),
    LIMIT(cpu_ms, 0),
    LIMIT(drain_ms, 0),
    {0},
};

#define LIST(name_, member_, count_, struct_, fields_, limit_)                                     \
    {                                                                                              \
        .name = (name_), .type = FIELD_OBJECTS, .offset = offsetof(struct serve_spec, member_),    \
        .is_required = true, .count_offset = offsetof(struct serve_spec, count_),                  \
        .elem_size = sizeof(struct_), .fields = (fields_), .limit = (limit_)                       \
    }

static const struct json_field spec_fields[] = {
    LIST("apps", apps, n_apps, struct serve_app, app_fields, SERVE_APP_LIMIT),
    LIST("listeners", listeners, n_listeners, struct serve_listener, listener_fields,
         SERVE_LISTENER_LIMIT),
    NUMBER("threads", struct serve_spec, threads, 1, SERVE_THREAD_LIMIT),
    NUMBER("reuse", struct serve_spec, reuse, 1, INT64_MAX),
    TEXT("tls_cert", struct serve_spec, tls_cert, PATH_MAX),
    TEXT("tls_key", struct serve_spec, tls_key, PATH_MAX),
    NUMBER("metrics_fd", struct serve_spec, metrics_fd, -1, INT_MAX),
    TEXT("access_log", struct serve_spec, access_log, NAME_LIMIT),
    {.name = "limits",
                                                               .type = FIELD_OBJECT,
                                                               .offset = offsetof(struct serve_spec, limits),
                                                               .fields = limit_fields},
    {0},
};

void serve_spec_init(struct serve_spec *s)
{
    *s = (struct serve_spec){
        .threads = 1,
        .reuse = 1,
        .metrics_fd = -1,
        .limits =
            {
                     .header_bytes = 32 << 10,
                     .headers = 100,
                     .body_bytes = 64 << 20,
                     .requests = 512,
                     .queue = 512,
                     .connections = 16384,
                     .idle_ms = 60000,
                     .read_ms = 15000,
                     .write_ms = 30000,
                     .request_ms = 60000,
                     .cpu_ms = 10000,
                     .drain_ms = 30000,
                     },
    };
}

void serve_spec_done(struct serve_spec *s)
{
    json_fields_done(spec_fields, s);
}

void serve_spec_app_add(struct serve_spec *s, int fd, const char *image, const char *command,
                        const char *path, const char *name, const char *host, const char *route)
{
    s->apps = xrealloc(s->apps, s->n_apps + 1, sizeof(*s->apps));
    s->apps[s->n_apps++] = (struct serve_app){
        .fd = fd,
        .image = image ? xstrdup(image) : NULL,
        .command = command ? xstrdup(command) : NULL,
        .path = xstrdup(path),
        .name = xstrdup(name),
        .route = xstrdup(route),
        .host = host ? xstrdup(host) : NULL,
    };
}

void serve_spec_listener_add(struct serve_spec *s, int fd, const char *url, int64_t thread,
                             bool is_tls)
{
    s->listeners = xrealloc(s->listeners, s->n_listeners + 1, sizeof(*s->listeners));
    s->listeners[s->n_listeners++] =
        (struct serve_listener){.fd = fd, .url = xstrdup(url), .thread = thread, .is_tls = is_tls};
}

static void limits_encode(const struct serve_limits *l, struct json_writer *w)
{
    json_begin_object(w);
    for (const struct json_field *f = limit_fields; f->name; f++)
        json_key_int(w, f->name, *(const int64_t *)(const void *)((const char *)l + f->offset));
    json_end_object(w);
}

void serve_spec_encode(const struct serve_spec *s, struct json_writer *w)
{
    json_begin_object(w);
    json_key(w, "apps");
    json_begin_array(w);
    for (size_t i = 0; i < s->n_apps; i++) {
        json_begin_object(w);
        json_key_int(w, "fd", s->apps[i].fd);
        json_key_str(w, "image", s->apps[i].image);
        guest_command_text_encode(s->apps[i].command, w);
        json_key_str(w, "path", s->apps[i].path);
        json_key_str(w, "name", s->apps[i].name);
        json_key_str(w, "route", s->apps[i].route);
        json_key_str(w, "host", s->apps[i].host);
        json_end_object(w);
    }
    json_end_array(w);
    json_key(w, "listeners");
    json_begin_array(w);
    for (size_t i = 0; i < s->n_listeners; i++) {
        json_begin_object(w);
        json_key_int(w, "fd", s->listeners[i].fd);
        json_key_str(w, "url", s->listeners[i].url);
        json_key_int(w, "thread", s->listeners[i].thread);
        json_key_bool(w, "tls", s->listeners[i].is_tls);
        json_end_object(w);
    }
    json_end_array(w);
    json_key_int(w, "threads", s->threads);
    json_key_int(w, "reuse", s->reuse);
    json_key_str(w, "tls_cert", s->tls_cert);
    json_key_str(w, "tls_key", s->tls_key);
    json_key_int(w, "metrics_fd", s->metrics_fd);
    json_key_str(w, "access_log", s->access_log);
    json_key(w, "limits");
    limits_encode(&s->limits, w);
    json_end_object(w);
}

static int app_check(const struct serve_app *a, size_t i, struct err *e)
{
    size_t len = strlen(a->route);

    if (a->path[0] != '/')
        return err_set(e, -EINVAL, "BadSpec", "$.apps[%zu].path: not absolute", i);
    if (a->route[0] != '/')
        return err_set(e, -EINVAL, "BadSpec", "$.apps[%zu].route: does not begin with '/'", i);
    if (len > 1 && a->route[len - 1] == '/')
        return err_set(e, -EINVAL, "BadSpec", "$.apps[%zu].route: ends with '/'", i);
    return 0;
}

static int spec_check(const struct serve_spec *s, struct err *e)
{
    if (!s->n_apps || !s->n_listeners)
        return err_set(e, -EINVAL, "BadSpec", "$.%s: empty", s->n_apps ? "listeners" : "apps");
    for (size_t i = 0; i < s->n_apps; i++)
        TRY(app_check(&s->apps[i], i, e));
    if (!s->tls_cert != !s->tls_key)
        return err_set(e, -EINVAL, "BadSpec", "$.tls_cert and $.tls_key: one without the other");
    for (size_t i = 0; i < s->n_listeners; i++) {
        if (s->listeners[i].thread >= s->threads)
            return err_set(e, -EINVAL, "BadSpec", "$.listeners[%zu].thread: there are %lld threads",
                           i, (long long)s->threads);
        if (s->listeners[i].is_tls && !s->tls_cert)
            return err_set(e, -EINVAL, "BadSpec", "$.listeners[%zu].tls: without $.tls_cert", i);
    }
    if (s->access_log && !str_eq(s->access_log, "text") && !str_eq(s->access_log, "json"))
        return err_set(e, -EINVAL, "BadSpec", "$.access_log: neither text nor json");
    return 0;
}

int serve_spec_decode(const char *json, size_t len, struct serve_spec *s, struct err *e)
{
    struct json_limits limits = {.bytes = SERVE_SPEC_LIMIT_BYTES, .depth = 6};
    struct serve_spec decoded;
    int r;

    serve_spec_init(&decoded);
    TRY(json_decode(json, len, limits, spec_fields, 0, &decoded, e));
    r = spec_check(&decoded, e);
    if (r < 0) {
        serve_spec_done(&decoded);
        return r;
    }
    serve_spec_done(s);
    *s = decoded;
    return 0;
}
