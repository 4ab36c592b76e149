/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/bundle/record.h"

#include "base/fds.h"
#include "base/json.h"
#include "base/paths.h"

#define RECORD_NAME        "wherry.json"
#define RECORD_LIMIT_BYTES 65536u
#define RUNTIME_ROOT       "/run/containerd/runc"

static const char *const kinds[] = {
    [RECORD_SANDBOX] = "sandbox", [RECORD_GUEST] = "guest", [RECORD_NATIVE] = "native"};

static int kind_parse(const char *text, void *field, struct err *e)
{
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
        if (str_eq(text, kinds[i])) {
            *(enum record_kind *)field = (enum record_kind)i;
            return 0;
        }
    return err_set(e, -EINVAL, "BadRecord", "there is no kind '%.20s'", text);
}

static const struct json_field fields[] = {
    {.name = "kind",
     .type = FIELD_CUSTOM,
     .offset = offsetof(struct record, kind),
     .is_required = true,
     .parse = kind_parse},
    JSON_FIELD("cgroup", FIELD_STRING, struct record, cgroup),
    JSON_FIELD("systemd", FIELD_BOOL, struct record, has_systemd),
    JSON_FIELD("runtime", FIELD_STRING, struct record, runtime),
    JSON_FIELD("runtimeRoot", FIELD_STRING, struct record, runtime_root),
    JSON_FIELD("pid", FIELD_INT64, struct record, pid),
    {0},
};

int record_save(int bundle_fd, const struct record *r, struct err *e)
{
    autobuf text = BUF_INIT;
    struct json_writer w;

    json_writer_init(&w, &text, false);
    json_begin_object(&w);
    json_key_str(&w, "kind", kinds[r->kind]);
    json_key_str(&w, "cgroup", r->cgroup);
    json_key_bool(&w, "systemd", r->has_systemd);
    json_key_str(&w, "runtime", r->runtime);
    json_key_str(&w, "runtimeRoot", r->runtime_root);
    json_key_int(&w, "pid", r->pid);
    json_end_object(&w);
    TRY(json_writer_finish(&w, e));
    return file_write_at(bundle_fd, RECORD_NAME, text.data, text.len, 0600, 0, e);
}

int record_load(int bundle_fd, struct record *ret, struct err *e)
{
    struct json_limits limits = {.bytes = RECORD_LIMIT_BYTES, .depth = 2};
    struct record r = {0};
    autobuf text = BUF_INIT;
    int code = file_read_at(bundle_fd, RECORD_NAME, RECORD_LIMIT_BYTES, &text, e);

    if (code == -ENOENT)
        return 0;
    TRY(code);
    if (json_decode(buf_str(&text), text.len, limits, fields, 0, &r, e) < 0) {
        e->reason = "BadRecord";
        return err_prefix(e, "the bundle's " RECORD_NAME);
    }
    *ret = r;
    return 1;
}

void record_drop(int bundle_fd)
{
    unlinkat(bundle_fd, RECORD_NAME, 0);
}

void record_done(struct record *r)
{
    json_fields_done(fields, r);
}

char *record_runtime_root(const char *runtime_root, const char *namespace)
{
    return path_join(runtime_root ? runtime_root : RUNTIME_ROOT, namespace);
}
