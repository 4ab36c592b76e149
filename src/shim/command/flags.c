/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/command/flags.h"

#include <string.h>

#include "base/util.h"

const char shim_usage[] =
    "containerd-shim-wherry-v1 is started by containerd, for containers of the runtime\n"
    "io.containerd.wherry.v1; 'wherry install containerd' tells containerd of it.\n"
    "\n"
    "usage: containerd-shim-wherry-v1 [flags] start | delete\n"
    "  -namespace NAME        containerd's namespace\n"
    "  -id ID                 the container\n"
    "  -bundle DIR            its bundle; else the current folder\n"
    "  -address PATH          containerd's gRPC socket\n"
    "  -publish-binary PATH   publishes events when there is no TTRPC_ADDRESS\n"
    "  -socket PATH           ignored\n"
    "  -debug                 log more\n"
    "  -info                  what the runtime can do, as a protobuf message\n"
    "  -v                     version\n";

/* A flag with a value, or one that stands for an action, or -debug. */
struct flag {
    const char *name;
    bool has_value;
    size_t offset; /* of the value */
    enum shim_action action;
};

#define AT(field) offsetof(struct shim_flags, field)

static const struct flag flags[] = {
    {"namespace",      true,  AT(namespace),      SHIM_NONE   },
    {"id",             true,  AT(id),             SHIM_NONE   },
    {"bundle",         true,  AT(bundle),         SHIM_NONE   },
    {"address",        true,  AT(address),        SHIM_NONE   },
    {"publish-binary", true,  AT(publish_binary), SHIM_NONE   },
    {"socket",         true,  AT(socket),         SHIM_NONE   },
    {"v",              false, 0,                  SHIM_VERSION},
    {"version",        false, 0,                  SHIM_VERSION},
    {"info",           false, 0,                  SHIM_INFO   },
    {"h",              false, 0,                  SHIM_HELP   },
    {"help",           false, 0,                  SHIM_HELP   },
    {"debug",          false, 0,                  SHIM_NONE   },
};

/* "-id", "--id" and "-id=VALUE" are the same flag. */
static const struct flag *flag_find(const char *arg, const char **ret_value)
{
    const char *name = arg + (str_starts(arg, "--") ? 2 : 1);
    size_t len = strcspn(name, "=");

    for (size_t i = 0; i < ARRAY_SIZE(flags); i++)
        if (strlen(flags[i].name) == len && !strncmp(flags[i].name, name, len)) {
            *ret_value = name[len] ? name + len + 1 : NULL;
            return &flags[i];
        }
    return NULL;
}

static int action_parse(const char *word, struct shim_flags *f, struct err *e)
{
    if (str_eq(word, "start"))
        f->action = SHIM_START;
    else if (str_eq(word, "delete"))
        f->action = SHIM_DELETE;
    else
        return err_set(e, -EINVAL, "BadUsage", "there is no action '%.60s': start or delete", word);
    return 0;
}

int shim_flags_parse(int argc, char **argv, struct shim_flags *ret, struct err *e)
{
    struct shim_flags f = {0};
    int i = 1;

    for (; i < argc && argv[i][0] == '-' && argv[i][1]; i++) {
        const char *value = NULL;
        const struct flag *flag = flag_find(argv[i], &value);

        if (str_eq(argv[i], "--")) {
            i++;
            break;
        }
        if (!flag)
            return err_set(e, -EINVAL, "BadUsage", "there is no flag '%.60s'; -h lists them",
                           argv[i]);
        if (!flag->has_value) {
            if (flag->action)
                f.action = flag->action;
            else
                f.is_debug = !value || !str_eq(value, "false");
            continue;
        }
        if (!value && ++i < argc)
            value = argv[i];
        if (!value)
            return err_set(e, -EINVAL, "BadUsage", "-%s wants a value", flag->name);
        *(const char **)((char *)&f + flag->offset) = value;
    }
    if (!f.action) {
        if (i == argc)
            return err_set(e, -EINVAL, "BadUsage", "no action is given: start or delete");
        TRY(action_parse(argv[i], &f, e));
        if (!f.id || !*f.id || !f.namespace || !*f.namespace)
            return err_set(e, -EINVAL, "BadUsage", "%s wants -namespace and -id", argv[i]);
    }
    *ret = f;
    return 0;
}
