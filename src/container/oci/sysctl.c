/* SPDX-License-Identifier: Apache-2.0 */
#include "container/oci/sysctl.h"

#include <ctype.h>

#define FOLDER "/proc/sys/"

static bool is_of_ipc(const char *name)
{
    static const char *const names[] = {"kernel.msgmax", "kernel.msgmnb",         "kernel.msgmni",
                                        "kernel.sem",    "kernel.shmall",         "kernel.shmmax",
                                        "kernel.shmmni", "kernel.shm_rmid_forced"};

    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (str_eq(name, names[i]))
            return true;
    return str_starts(name, "fs.mqueue.");
}

static bool is_named_well(const char *name)
{
    for (const char *p = name; *p; p++)
        if (!isalnum((unsigned char)*p) && !strchr("._-/", *p))
            return false;
    return !strstr(name, "..") && *name != '.' && *name != '/';
}

int oci_sysctl_path(const struct oci_config *c, const char *name, char **ret, struct err *e)
{
    autofree char *dotted = xstrdup(name), *path = xasprintf(FOLDER "%s", name);
    bool has_slashes = strchr(name, '/');
    const char *type;

    for (char *p = dotted; *p; p++)
        *p = (char)(*p == '/' ? '.' : *p);
    for (char *p = path + strlen(FOLDER); *p && !has_slashes; p++)
        *p = (char)(*p == '.' ? '/' : *p);
    type = str_starts(dotted, "net.") ? "network" : is_of_ipc(dotted) ? "ipc" : NULL;
    if (!type || !is_named_well(name) || strstr(path, "//"))
        return err_set(e, -EINVAL, "BadConfig",
                       "the sysctl '%.150s' is not one of a container's own", name);
    if (!oci_config_namespace(c, type))
        return err_set(e, -EINVAL, "BadConfig",
                       "the sysctl '%.150s' needs the %s namespace: it would change the host's",
                       name, type);
    *ret = take_ptr(path);
    return 0;
}
