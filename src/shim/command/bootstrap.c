/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/command/bootstrap.h"

#include "base/json.h"
#include "shim/messages/messages.h"

/* Where containerd's own helper puts a shim's socket (defaults.DefaultStateDir). */
#define SOCKET_DIR "/run/containerd/s"

/* From containerd 1.7 on; before there is only TTRPC_ADDRESS. */
#define GRPC_VARIABLE  "GRPC_ADDRESS"
#define TTRPC_VARIABLE "TTRPC_ADDRESS"

static char *env_copy(const char *name)
{
    const char *value = getenv(name);

    return value && *value ? xstrdup(value) : NULL;
}

static void string_take(const char *text, char **ret)
{
    if (!text || !*text)
        return;
    free(*ret);
    *ret = xstrdup(text);
}

/* An Any, which came before BootstrapParams, decodes as that as well: its first field is a type's
 * name and not our id. */
static bool params_are(const Bootstrap__Params *p, const struct shim_flags *f)
{
    return str_eq(p->instance_id, f->id) && str_eq(p->namespace_, f->namespace);
}

int bootstrap_parse(const struct shim_flags *f, const void *input, size_t len,
                    struct bootstrap *ret, struct err *e)
{
    AUTO(arena) a = arena_new();
    struct bootstrap b = {.version = 2};
    Bootstrap__Params *p = NULL;
    struct err ignored = ERR_INIT;

    if (len > BOOTSTRAP_LIMIT_BYTES)
        return err_set(e, -EFBIG, "BadBootstrap", "standard input is larger than %u bytes",
                       BOOTSTRAP_LIMIT_BYTES);
    b.ttrpc_address = env_copy(TTRPC_VARIABLE);
    b.grpc_address = env_copy(GRPC_VARIABLE);
    b.is_plain = !b.grpc_address;
    string_take(SOCKET_DIR, &b.socket_dir);
    if (!b.grpc_address && f->address)
        string_take(f->address, &b.grpc_address);
    if (protobuf_unpack(&bootstrap__params__descriptor, (struct text){input, len}, a, &p,
                        &ignored) >= 0 &&
        params_are(p, f)) {
        string_take(p->ttrpc_address, &b.ttrpc_address);
        string_take(p->grpc_address, &b.grpc_address);
        string_take(p->socket_dir, &b.socket_dir);
        b.is_plain = false;
        b.version = 3;
    }
    *ret = b;
    return 0;
}

void bootstrap_done(struct bootstrap *b)
{
    free(b->ttrpc_address);
    free(b->grpc_address);
    free(b->socket_dir);
    *b = (struct bootstrap){0};
}

void bootstrap_answer(const struct bootstrap *b, const char *socket_path, struct buf *ret)
{
    autofree char *address = xasprintf("unix://%s", socket_path);
    struct json_writer w;

    if (b->is_plain) {
        buf_addf(ret, "%s", address);
        return;
    }
    json_writer_init(&w, ret, false);
    json_begin_object(&w);
    json_key_int(&w, "version", b->version);
    json_key_str(&w, "address", address);
    json_key_str(&w, "protocol", "ttrpc");
    json_end_object(&w);
}
