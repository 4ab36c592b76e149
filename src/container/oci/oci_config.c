/* SPDX-License-Identifier: Apache-2.0 */
#include "container/oci/oci_config.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "base/fds.h"
#include "base/secret.h"
#include "base/text.h"
#include "container/oci/oci_fields.h"

#define DEPTH_LIMIT   64
#define STATE_VERSION "1.0.2" /* for a bundle that says none */

/* ---- Tables ---- */

static const struct json_field rlimit_fields[] = {
    JSON_REQUIRED("type", FIELD_STRING, struct oci_rlimit, type),
    JSON_REQUIRED("soft", FIELD_UINT64, struct oci_rlimit, soft),
    JSON_REQUIRED("hard", FIELD_UINT64, struct oci_rlimit, hard),
    {0},
};

static const struct json_field user_fields[] = {
    OCI_NUMBER("uid", struct oci_user, uid, 0, OCI_ID_MAX),
    OCI_NUMBER("gid", struct oci_user, gid, 0, OCI_ID_MAX),
    OCI_NUMBER_HAS("umask", struct oci_user, umask, 0, 07777),
    {.name = "additionalGids",
                                                 .type = FIELD_INT64S,
                                                 .offset = offsetof(struct oci_user, additional_gids),
                                                 .count_offset = offsetof(struct oci_user, n_additional_gids),
                                                 .limit = OCI_LIST_LIMIT,
                                                 .min = 0,
                                                 .max = OCI_ID_MAX},
    {0},
};

static const struct json_field capabilities_fields[] = {
    OCI_STRINGS("bounding", struct oci_capabilities, bounding),
    OCI_STRINGS("effective", struct oci_capabilities, effective),
    OCI_STRINGS("inheritable", struct oci_capabilities, inheritable),
    OCI_STRINGS("permitted", struct oci_capabilities, permitted),
    OCI_STRINGS("ambient", struct oci_capabilities, ambient),
    {0},
};

/* As struct winsize holds them. */
static const struct json_field console_fields[] = {
    OCI_NUMBER("width", struct oci_process, console_width, 0, UINT16_MAX),
    OCI_NUMBER("height", struct oci_process, console_height, 0, UINT16_MAX),
    {0},
};

static const struct json_field process_fields[] = {
    JSON_FIELD("terminal", FIELD_BOOL, struct oci_process, terminal),
    OCI_INSIDE("consoleSize", console_fields),
    OCI_OBJECT("user", struct oci_process, user, user_fields),
    {.name = "args",
                                                     .type = FIELD_STRINGS,
                                                     .offset = offsetof(struct oci_process, args),
                                                     .is_required = true,
                                                     .limit = OCI_LIST_LIMIT},
    OCI_STRINGS("env", struct oci_process, env),
    JSON_REQUIRED("cwd", FIELD_STRING, struct oci_process, cwd),
    {.name = "capabilities",
                                                     .type = FIELD_OBJECT,
                                                     .offset = offsetof(struct oci_process, capabilities),
                                                     .has_flag = true,
                                                     .has_offset = offsetof(struct oci_process, has_capabilities),
                                                     .fields = capabilities_fields},
    OCI_OBJECTS("rlimits", struct oci_process, rlimits, n_rlimits, rlimit_fields),
    JSON_FIELD("noNewPrivileges", FIELD_BOOL, struct oci_process, no_new_privileges),
    JSON_FIELD("apparmorProfile", FIELD_STRING, struct oci_process, apparmor_profile),
    JSON_FIELD("selinuxLabel", FIELD_STRING, struct oci_process, selinux_label),
    OCI_NUMBER_HAS("oomScoreAdj", struct oci_process, oom_score_adj, -1000, 1000),
    {0                  },
};

static const struct json_field root_fields[] = {
    JSON_FIELD("path", FIELD_STRING, struct oci_config, root_path),
    JSON_FIELD("readonly", FIELD_BOOL, struct oci_config, root_readonly),
    {0},
};

static const struct json_field mount_fields[] = {
    JSON_REQUIRED("destination", FIELD_STRING, struct oci_mount, destination),
    JSON_FIELD("type", FIELD_STRING, struct oci_mount, type),
    JSON_FIELD("source", FIELD_STRING, struct oci_mount, source),
    OCI_STRINGS("options", struct oci_mount, options),
    {0},
};

static const struct json_field hook_fields[] = {
    JSON_REQUIRED("path", FIELD_STRING, struct oci_hook, path),
    OCI_STRINGS("args", struct oci_hook, args),
    OCI_STRINGS("env", struct oci_hook, env),
    OCI_NUMBER("timeout", struct oci_hook, timeout_s, 0, INT64_MAX),
    {0},
};

#define HOOKS(name, member) OCI_OBJECTS(name, struct oci_hooks, member.v, member.n, hook_fields)

static const struct json_field hooks_fields[] = {
    HOOKS("prestart", prestart),
    HOOKS("createRuntime", create_runtime),
    HOOKS("createContainer", create_container),
    HOOKS("startContainer", start_container),
    HOOKS("poststart", poststart),
    HOOKS("poststop", poststop),
    {0},
};

static const struct json_field config_fields[] = {
    JSON_FIELD("ociVersion", FIELD_STRING, struct oci_config, oci_version),
    {.name = "process",
                                                                  .type = FIELD_OBJECT,
                                                                  .offset = offsetof(struct oci_config, process),
                                                                  .has_flag = true,
                                                                  .has_offset = offsetof(struct oci_config, has_process),
                                                                  .fields = process_fields},
    OCI_INSIDE("root", root_fields),
    JSON_FIELD("hostname", FIELD_STRING, struct oci_config, hostname),
    JSON_FIELD("domainname", FIELD_STRING, struct oci_config, domainname),
    OCI_OBJECTS("mounts", struct oci_config, mounts, n_mounts, mount_fields),
    OCI_OBJECT("hooks", struct oci_config, hooks, hooks_fields),
    OCI_PAIRS("annotations", struct oci_config, annotations),
    OCI_OBJECT("linux", struct oci_config, linux_, oci_linux_fields),
    {0},
};

/* ---- What a table cannot say ---- */

static int process_check(const struct oci_process *p, struct err *e)
{
    if (!p->args.n || !*p->args.v[0])
        return err_set(e, -EINVAL, "BadConfig",
                       "args: the first one, the program, is missing or empty");
    if (*p->cwd != '/')
        return err_set(e, -EINVAL, "BadConfig", "cwd: '%.200s' is not an absolute path", p->cwd);
    return 0;
}

static int hook_list_check(const struct oci_hook_list *list, const char *name, struct err *e)
{
    for (size_t i = 0; i < list->n; i++)
        if (*list->v[i].path != '/')
            return err_set(e, -EINVAL, "BadConfig",
                           "$.hooks.%s[%zu].path: '%.200s' is not an absolute path", name, i,
                           list->v[i].path);
    return 0;
}

static int config_check(const struct oci_config *c, struct err *e)
{
    const struct oci_hooks *h = &c->hooks;

    if (c->oci_version && !str_starts(c->oci_version, "1."))
        return err_set(e, -ENOTSUP, "BadConfig",
                       "$.ociVersion: '%.40s' is not supported, but 1.0 to 1.3 are",
                       c->oci_version);
    if (c->has_process && process_check(&c->process, e) < 0)
        return err_prefix(e, "$.process");
    TRY(hook_list_check(&h->prestart, "prestart", e));
    TRY(hook_list_check(&h->create_runtime, "createRuntime", e));
    TRY(hook_list_check(&h->create_container, "createContainer", e));
    TRY(hook_list_check(&h->start_container, "startContainer", e));
    TRY(hook_list_check(&h->poststart, "poststart", e));
    return hook_list_check(&h->poststop, "poststop", e);
}

/* ---- Decoding ---- */

static int decode(const char *json, size_t len, const struct json_field *fields, void *target,
                  struct err *e)
{
    struct json_limits limits = {OCI_CONFIG_LIMIT_BYTES, DEPTH_LIMIT};
    int r = json_decode(json, len, limits, fields, JSON_WRAP_UINT64, target, e);

    if (r < 0 && !str_eq(e->reason, "TooLarge"))
        e->reason = "BadConfig";
    return r;
}

int oci_config_decode(const char *json, size_t len, struct oci_config *ret, struct err *e)
{
    struct oci_config c = {0};
    int r = decode(json, len, config_fields, &c, e);

    if (r >= 0)
        r = config_check(&c, e);
    if (r < 0) {
        oci_config_done(&c);
        return err_prefix(e, "config.json of the bundle");
    }
    *ret = c;
    return 0;
}

int oci_process_decode(const char *json, size_t len, struct oci_process *ret, struct err *e)
{
    struct oci_process p = {0};
    int r = decode(json, len, process_fields, &p, e);

    if (r >= 0 && (r = process_check(&p, e)) < 0)
        err_prefix(e, "$");
    if (r < 0) {
        oci_process_done(&p);
        return err_prefix(e, "the process to execute");
    }
    *ret = p;
    return 0;
}

int oci_resources_decode(const char *json, size_t len, struct oci_resources *ret, struct err *e)
{
    struct oci_resources r = {0};

    if (decode(json, len, oci_resources_fields, &r, e) < 0)
        return err_prefix(e, "the new resources");
    *ret = r;
    return 0;
}

int oci_config_read(int bundle_fd, struct oci_config *ret, struct err *e)
{
    /* Not to wait for who opens the other end, should it be a FIFO. */
    autofd fd = openat(bundle_fd, "config.json", O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    autosecretbuf text = BUF_INIT;
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0)
        return err_errno(e, -errno, errno == ENOENT ? "NotFound" : "OpenFailed",
                         "cannot open config.json of the bundle");
    if (!S_ISREG(st.st_mode))
        return err_set(e, -EINVAL, "BadConfig", "config.json of the bundle is no regular file");
    if (st.st_size > OCI_CONFIG_LIMIT_BYTES)
        return err_set(e, -EFBIG, "TooLarge",
                       "config.json of the bundle is larger than %u MiB; make it smaller",
                       OCI_CONFIG_LIMIT_BYTES >> 20);
    buf_reserve(&text, (size_t)st.st_size);
    if (fd_read_all(fd, OCI_CONFIG_LIMIT_BYTES, &text, e) < 0)
        return err_prefix(e, "config.json of the bundle");
    return oci_config_decode(buf_str(&text), text.len, ret, e);
}

void oci_config_done(struct oci_config *c)
{
    json_fields_done(config_fields, c);
    *c = (struct oci_config){0};
}

void oci_process_done(struct oci_process *p)
{
    json_fields_done(process_fields, p);
    *p = (struct oci_process){0};
}

void oci_resources_done(struct oci_resources *r)
{
    json_fields_done(oci_resources_fields, r);
    *r = (struct oci_resources){0};
}

/* ---- Use ---- */

const char *oci_config_annotation(const struct oci_config *c, const char *key)
{
    for (size_t i = 0; i < c->annotations.n; i++)
        if (str_eq(c->annotations.v[i].name, key))
            return c->annotations.v[i].value;
    return NULL;
}

const struct oci_namespace *oci_config_namespace(const struct oci_config *c, const char *type)
{
    for (size_t i = 0; i < c->linux_.n_namespaces; i++)
        if (str_eq(c->linux_.namespaces[i].type, type))
            return &c->linux_.namespaces[i];
    return NULL;
}

bool oci_mount_is_bind(const struct oci_mount *m)
{
    return (m->type && str_eq(m->type, "bind")) || strv_contains(&m->options, "bind") ||
           strv_contains(&m->options, "rbind");
}

static void text_write(struct json_writer *w, const char *key, const char *text)
{
    autobuf valid = BUF_INIT;

    text_lossy_add(text_of(text), &valid);
    json_key_str(w, key, buf_str(&valid));
}

void oci_state_encode(const struct oci_config *c, const char *id, const char *status, pid_t pid,
                      const char *bundle, struct buf *ret)
{
    struct err ignored = ERR_INIT;
    struct json_writer w;

    json_writer_init(&w, ret, false);
    json_begin_object(&w);
    text_write(&w, "ociVersion", c->oci_version ? c->oci_version : STATE_VERSION);
    text_write(&w, "id", id);
    text_write(&w, "status", status);
    if (pid)
        json_key_int(&w, "pid", pid);
    text_write(&w, "bundle", bundle);
    if (c->annotations.n) {
        json_key(&w, "annotations");
        json_begin_object(&w);
        for (size_t i = 0; i < c->annotations.n; i++)
            json_key_str(&w, c->annotations.v[i].name, c->annotations.v[i].value);
        json_end_object(&w);
    }
    json_end_object(&w);
    BUG_ON(json_writer_finish(&w, &ignored) < 0);
}
