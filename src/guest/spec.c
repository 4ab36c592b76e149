/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/spec.h"

#include <limits.h>

#include "guest/command.h"

#define TEXT_LIMIT (1u << 20)

static const struct json_field dir_fields[] = {
    {.name = "fd",
     .type = FIELD_INT64,
     .offset = offsetof(struct guest_dir, fd),
     .is_required = true,
     .max = INT_MAX},
    JSON_REQUIRED("path", FIELD_STRING, struct guest_dir, path),
    JSON_FIELD("read_only", FIELD_BOOL, struct guest_dir, is_read_only),
    {0},
};

static const struct json_field listener_fields[] = {
    {.name = "fd",
     .type = FIELD_INT64,
     .offset = offsetof(struct guest_listener, fd),
     .is_required = true,
     .max = INT_MAX},
    {.name = "url",
     .type = FIELD_STRING,
     .offset = offsetof(struct guest_listener, url),
     .is_required = true,
     .limit = TEXT_LIMIT},
    {0                     },
};

#define FD(name_, member_)                                                                         \
    {                                                                                              \
        .name = (name_), .type = FIELD_INT64, .offset = offsetof(struct guest_spec, member_),      \
        .min = -1, .max = INT_MAX                                                                  \
    }
#define COUNT(name_, member_)                                                                      \
    {                                                                                              \
        .name = (name_), .type = FIELD_INT64, .offset = offsetof(struct guest_spec, member_),      \
        .min = 0, .max = INT64_MAX                                                                 \
    }
#define TEXT(name_, member_)                                                                       \
    {                                                                                              \
        .name = (name_), .type = FIELD_STRING, .offset = offsetof(struct guest_spec, member_),     \
        .limit = TEXT_LIMIT                                                                        \
    }

const struct json_field guest_spec_fields[] = {
    {.name = "id",
     .type = FIELD_STRING,
     .offset = offsetof(struct guest_spec, id),
     .is_required = true,
     .limit = GUEST_ID_LIMIT},
    TEXT("name", name),
    FD("module_fd", module_fd),
    FD("code_fd", code_fd),
    {.name = "image",
     .type = FIELD_STRING,
     .offset = offsetof(struct guest_spec, image),
     .limit = GUEST_IMAGE_LIMIT},
    JSON_FIELD("command", FIELD_RAW, struct guest_spec, command),
    JSON_FIELD("image_defaults", FIELD_BOOL, struct guest_spec, has_image_defaults),
    JSON_FIELD("args", FIELD_STRINGS, struct guest_spec, args),
    JSON_FIELD("env", FIELD_STRINGS, struct guest_spec, env),
    {.name = "dirs",
     .type = FIELD_OBJECTS,
     .offset = offsetof(struct guest_spec, dirs),
     .count_offset = offsetof(struct guest_spec, n_dirs),
     .elem_size = sizeof(struct guest_dir),
     .fields = dir_fields,
     .limit = GUEST_DIR_LIMIT},
    TEXT("invoke", invoke),
    {.name = "listeners",
     .type = FIELD_OBJECTS,
     .offset = offsetof(struct guest_spec, listeners),
     .count_offset = offsetof(struct guest_spec, n_listeners),
     .elem_size = sizeof(struct guest_listener),
     .fields = listener_fields,
     .limit = GUEST_LISTENER_LIMIT},
    JSON_FIELD("optional_listeners", FIELD_BOOL, struct guest_spec, has_optional_listeners),
    {.name = "requests",
     .type = FIELD_INT64,
     .offset = offsetof(struct guest_spec, requests),
     .min = 1,
     .max = INT_MAX},
    JSON_FIELD("allow_net", FIELD_STRINGS, struct guest_spec, allow_net),
    TEXT("resolv_conf", resolv_conf),
    TEXT("hosts", hosts),
    FD("ca_fd", ca_fd),
    FD("stdin_fd", stdin_fd),
    FD("stdout_fd", stdout_fd),
    FD("stderr_fd", stderr_fd),
    FD("log_dir_fd", log_dir_fd),
    FD("cpu_group_fd", cpu_group_fd),
    {.name = "log_name",
     .type = FIELD_STRING,
     .offset = offsetof(struct guest_spec, log_name),
     .limit = NAME_MAX - 16},
    COUNT("log_limit_bytes", log_limit_bytes),
    COUNT("log_files", log_files),
    COUNT("cpu_milli", cpu_milli),
    COUNT("memory_bytes", memory_bytes),
    COUNT("timeout_ms", timeout_ms),
    COUNT("table_elements", table_elements),
    COUNT("tables", tables),
    COUNT("memories", memories),
    COUNT("instances", instances),
    COUNT("descriptors", descriptors),
    {0                                   },
};

void guest_spec_init(struct guest_spec *s)
{
    *s = (struct guest_spec){
        .module_fd = -1,
        .code_fd = -1,
        .ca_fd = -1,
        .stdin_fd = -1,
        .stdout_fd = -1,
        .stderr_fd = -1,
        .log_dir_fd = -1,
        .cpu_group_fd = -1,
        .requests = 128,
        .log_limit_bytes = 10 << 20, /* as the kubelet's containerLogMaxSize */
        .log_files = 5,              /* as its containerLogMaxFiles */
        .memory_bytes = INT64_C(4) << 30,
        .table_elements = 10000000,
        .tables = 10000,
        .memories = 10000,
        .instances = 10000,
        .descriptors = 1024,
    };
}

void guest_spec_done(struct guest_spec *s)
{
    json_fields_done(guest_spec_fields, s);
}

void guest_spec_dir_add(struct guest_spec *s, int fd, const char *path, bool is_read_only)
{
    s->dirs = xrealloc(s->dirs, s->n_dirs + 1, sizeof(*s->dirs));
    s->dirs[s->n_dirs++] =
        (struct guest_dir){.fd = fd, .path = xstrdup(path), .is_read_only = is_read_only};
}

void guest_spec_listener_add(struct guest_spec *s, int fd, const char *url)
{
    s->listeners = xrealloc(s->listeners, s->n_listeners + 1, sizeof(*s->listeners));
    s->listeners[s->n_listeners++] = (struct guest_listener){.fd = fd, .url = xstrdup(url)};
}

void guest_spec_encode(const struct guest_spec *s, struct json_writer *w)
{
    json_begin_object(w);
    json_key_str(w, "id", s->id);
    json_key_str(w, "name", s->name);
    json_key_int(w, "module_fd", s->module_fd);
    json_key_int(w, "code_fd", s->code_fd);
    json_key_str(w, "image", s->image);
    guest_command_text_encode(s->command, w);
    json_key_bool(w, "image_defaults", s->has_image_defaults);
    json_key_strings(w, "args", &s->args);
    json_key_strings(w, "env", &s->env);
    json_key(w, "dirs");
    json_begin_array(w);
    for (size_t i = 0; i < s->n_dirs; i++) {
        json_begin_object(w);
        json_key_int(w, "fd", s->dirs[i].fd);
        json_key_str(w, "path", s->dirs[i].path);
        json_key_bool(w, "read_only", s->dirs[i].is_read_only);
        json_end_object(w);
    }
    json_end_array(w);
    json_key_str(w, "invoke", s->invoke);
    json_key(w, "listeners");
    json_begin_array(w);
    for (size_t i = 0; i < s->n_listeners; i++) {
        json_begin_object(w);
        json_key_int(w, "fd", s->listeners[i].fd);
        json_key_str(w, "url", s->listeners[i].url);
        json_end_object(w);
    }
    json_end_array(w);
    json_key_bool(w, "optional_listeners", s->has_optional_listeners);
    json_key_int(w, "requests", s->requests);
    json_key_strings(w, "allow_net", &s->allow_net);
    json_key_str(w, "resolv_conf", s->resolv_conf);
    json_key_str(w, "hosts", s->hosts);
    json_key_int(w, "ca_fd", s->ca_fd);
    json_key_int(w, "stdin_fd", s->stdin_fd);
    json_key_int(w, "stdout_fd", s->stdout_fd);
    json_key_int(w, "stderr_fd", s->stderr_fd);
    json_key_int(w, "log_dir_fd", s->log_dir_fd);
    json_key_int(w, "cpu_group_fd", s->cpu_group_fd);
    json_key_str(w, "log_name", s->log_name);
    json_key_int(w, "log_limit_bytes", s->log_limit_bytes);
    json_key_int(w, "log_files", s->log_files);
    json_key_int(w, "cpu_milli", s->cpu_milli);
    json_key_int(w, "memory_bytes", s->memory_bytes);
    json_key_int(w, "timeout_ms", s->timeout_ms);
    json_key_int(w, "table_elements", s->table_elements);
    json_key_int(w, "tables", s->tables);
    json_key_int(w, "memories", s->memories);
    json_key_int(w, "instances", s->instances);
    json_key_int(w, "descriptors", s->descriptors);
    json_end_object(w);
}

static bool id_is_valid(const char *id)
{
    size_t len = strspn(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-");

    return len && !id[len] && id[0] != '.';
}

int guest_spec_words_check(const struct guest_spec *s, struct err *e)
{
    if (!id_is_valid(s->id))
        return err_set(e, -EINVAL, "BadSpec", "$.id: not of the characters A-Za-z0-9._-");
    if (s->log_name && (strchr(s->log_name, '/') || s->log_name[0] == '.'))
        return err_set(e, -EINVAL, "BadSpec", "$.log_name: must be a plain file name");
    return 0;
}

int guest_spec_check(const struct guest_spec *s, struct err *e)
{
    TRY(json_fields_check(guest_spec_fields, s, e));
    return guest_spec_words_check(s, e);
}

int guest_spec_decode(const char *json, size_t len, struct guest_spec *s, struct err *e)
{
    struct json_limits limits = {.bytes = GUEST_SPEC_LIMIT_BYTES, .depth = 8};
    struct guest_spec decoded;

    guest_spec_init(&decoded);
    TRY(json_decode(json, len, limits, guest_spec_fields, 0, &decoded, e));
    if (guest_spec_words_check(&decoded, e) < 0) {
        guest_spec_done(&decoded);
        return e->code;
    }
    guest_spec_done(s);
    *s = decoded;
    return 0;
}

void guest_spec_fds(struct guest_spec *s, void (*each)(void *ctx, int64_t *fd), void *ctx)
{
    int64_t *const single[] = {&s->module_fd, &s->code_fd,    &s->stdin_fd, &s->stdout_fd,
                               &s->stderr_fd, &s->log_dir_fd, &s->ca_fd,    &s->cpu_group_fd};

    for (size_t i = 0; i < ARRAY_SIZE(single); i++)
        if (*single[i] >= 0)
            each(ctx, single[i]);
    for (size_t i = 0; i < s->n_dirs; i++)
        each(ctx, &s->dirs[i].fd);
    for (size_t i = 0; i < s->n_listeners; i++)
        each(ctx, &s->listeners[i].fd);
}

struct attachment {
    const int *fds;
    size_t n_fds, n_named;
    bool *is_named;
    int64_t missing;
};

static void attach(void *ctx, int64_t *fd)
{
    struct attachment *a = ctx;

    if (*fd >= (int64_t)a->n_fds || a->is_named[*fd]) {
        a->missing = *fd;
        return;
    }
    a->is_named[*fd] = true;
    a->n_named++;
    *fd = a->fds[*fd];
}

int guest_spec_attach(struct guest_spec *s, const int *fds, size_t n_fds, struct err *e)
{
    autofree bool *is_named = xcalloc(n_fds + 1, sizeof(*is_named));
    struct attachment a = {.fds = fds, .n_fds = n_fds, .is_named = is_named, .missing = -1};

    guest_spec_fds(s, attach, &a);
    if (a.missing >= 0)
        return err_set(e, -EINVAL, "BadSpec", "descriptor %lld was %s", (long long)a.missing,
                       a.missing < (int64_t)n_fds ? "named twice" : "not sent with the message");
    if (a.n_named != n_fds)
        return err_set(e, -EINVAL, "BadSpec", "%zu descriptors came and %zu of them were named",
                       n_fds, a.n_named);
    return 0;
}
