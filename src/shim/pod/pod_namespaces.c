/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/pod/pod.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>

#include "base/fds.h"
#include "container/oci/sysctl.h"

static const struct {
    const char *type;
    int flag;
} namespaces[] = {
    {"network", CLONE_NEWNET},
    {"ipc",     CLONE_NEWIPC},
    {"uts",     CLONE_NEWUTS},
};

static int namespace_enter(const struct oci_namespace *n, int flag, struct err *e)
{
    autofd fd = -EBADF;

    if (!n->path || !*n->path) {
        if (unshare(flag) < 0)
            return err_errno(e, -errno, "NamespaceFailed", "cannot make a new %s namespace",
                             n->type);
        return 0;
    }
    fd = open(n->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || setns(fd, flag) < 0)
        return err_errno(e, -errno, "NamespaceFailed", "cannot enter the %s namespace '%s'",
                         n->type, n->path);
    return 0;
}

static int sysctl_set(const struct oci_config *c, const struct json_pair *pair, struct err *e)
{
    autofree char *path = NULL;
    autofd fd = -EBADF;

    TRY(oci_sysctl_path(c, pair->name, &path, e));
    fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return err_errno(e, -errno, "SysctlFailed", "cannot open '%s' for the sysctl '%s'", path,
                         pair->name);
    if (fd_write_all(fd, pair->value, strlen(pair->value), e) < 0)
        return err_prefix(e, "the sysctl '%s'", pair->name);
    return 0;
}

int shim_pod_enter(const struct oci_config *c, struct err *e)
{
    bool has_uts = false;

    if (c->hostname && *c->hostname && !oci_config_namespace(c, "uts"))
        return err_set(e, -EINVAL, "BadConfig",
                       "the host name '%s' would be the machine's: give the pod a uts namespace",
                       c->hostname);
    for (size_t i = 0; i < c->linux_.n_namespaces; i++) {
        const struct oci_namespace *n = &c->linux_.namespaces[i];

        if (str_eq(n->type, "user"))
            return err_set(e, -EOPNOTSUPP, "Unsupported",
                           "a pod with a user namespace of its own needs a native runtime class");
        for (size_t k = 0; k < ARRAY_SIZE(namespaces); k++)
            if (str_eq(n->type, namespaces[k].type))
                TRY(namespace_enter(n, namespaces[k].flag, e));
        has_uts = has_uts || (str_eq(n->type, "uts") && (!n->path || !*n->path));
    }
    if (c->hostname && has_uts && sethostname(c->hostname, strlen(c->hostname)) < 0)
        return err_errno(e, -errno, "NamespaceFailed", "cannot set the host name '%s'",
                         c->hostname);
    for (size_t i = 0; i < c->linux_.sysctl.n; i++)
        TRY(sysctl_set(c, &c->linux_.sysctl.v[i], e));
    return 0;
}
