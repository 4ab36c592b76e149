/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/service/options.h"

#include "base/toml.h"

static char *text_copy(const char *text)
{
    return text && *text ? xstrdup(text) : NULL;
}

static int runc_decode(const Types__Any *any, struct arena *a, struct task_options *ret,
                       struct err *e)
{
    Options__Runc *o;

    TRY(message_any_unpack(any, MESSAGE_RUNC_OPTIONS, &options__runc__descriptor, a, &o, e));
    *ret = (struct task_options){.has_systemd_cgroup = o->systemd_cgroup,
                                 .no_pivot_root = o->no_pivot_root,
                                 .no_new_keyring = o->no_new_keyring,
                                 .runtime = text_copy(o->binary_name),
                                 .runtime_root = text_copy(o->root)};
    return 0;
}

static bool is_true(const struct toml *table, const char *key)
{
    const struct toml *t = toml_find(table, key);

    return t && t->type == TOML_BOOL && t->is_true;
}

static char *string_of(const struct toml *table, const char *key)
{
    const struct toml *t = toml_find(table, key);

    return t && t->type == TOML_STRING ? text_copy(t->string) : NULL;
}

static int table_decode(const Types__Any *any, struct arena *a, struct task_options *ret,
                        struct err *e)
{
    autotoml table = {0};
    Options__Runtime *o;

    TRY(message_any_unpack(any, MESSAGE_RUNTIME_OPTIONS, &options__runtime__descriptor, a, &o, e));
    if (!o->config_body.len)
        return 0;
    TRY(toml_parse((struct text){(const char *)o->config_body.data, o->config_body.len},
                   "the runtime's options", &table, e));
    *ret = (struct task_options){.has_systemd_cgroup = is_true(&table, "SystemdCgroup"),
                                 .no_pivot_root = is_true(&table, "NoPivotRoot"),
                                 .no_new_keyring = is_true(&table, "NoNewKeyring"),
                                 .runtime = string_of(&table, "BinaryName"),
                                 .runtime_root = string_of(&table, "Root")};
    return 0;
}

int task_options_decode(const Types__Any *any, struct task_options *ret, struct err *e)
{
    AUTO(arena) a = arena_new();
    int r = 0;

    if (message_any_is(any, MESSAGE_RUNC_OPTIONS))
        r = runc_decode(any, a, ret, e);
    else if (message_any_is(any, MESSAGE_RUNTIME_OPTIONS))
        r = table_decode(any, a, ret, e);
    if (r < 0)
        e->reason = "BadOptions";
    return r;
}
