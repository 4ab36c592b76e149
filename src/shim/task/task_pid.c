/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The PID namespace of native containers. The manager writes it as that of a process: of the pod's
 * sandbox, which is this shim, or of another container. The shim and its guests are in the
 * machine's, where no container may get by accident.
 */
#include <stdlib.h>
#include <sys/stat.h>

#include "shim/bundle/config_edit.h"
#include "shim/task/task_parts.h"

#define OWN_NAMESPACE "/proc/self/ns/pid"

/* The process that the path names, or 0. */
static pid_t path_process(const char *path)
{
    const char *number = str_starts(path, "/proc/") ? path + strlen("/proc/") : "";
    char *end;
    long pid = strtol(number, &end, 10);

    return end != number && *number != '-' && str_eq(end, "/ns/pid") && pid <= INT32_MAX
               ? (pid_t)pid
               : 0;
}

static int is_own(const char *path, struct err *e)
{
    struct stat own, it;

    if (stat(OWN_NAMESPACE, &own) < 0)
        return err_errno(e, -errno, "NamespaceFailed", "cannot look at '" OWN_NAMESPACE "'");
    if (stat(path, &it) < 0)
        return err_errno(e, -errno, "NamespaceFailed", "cannot look at the PID namespace '%s'",
                         path);
    return own.st_dev == it.st_dev && own.st_ino == it.st_ino;
}

static int path_change(struct task *t, size_t index, const char *path, struct err *e)
{
    autobuf json = BUF_INIT, changed = BUF_INIT;

    TRY(config_text_read(t->bundle_fd, &json, e));
    TRY(config_edit_namespace(&json, index, path, &changed, e));
    return config_text_write(t->bundle_fd, &changed, e);
}

int task_pid_prepare(struct task *t, struct err *e)
{
    const struct shim *s = t->shim;
    const struct oci_namespace *n = oci_config_namespace(&t->config, "pid");
    const char *path;
    pid_t pid;
    int own;

    if (!n || !n->path || !*n->path)
        return 0;
    own = is_own(n->path, e);
    TRY(own);
    pid = path_process(n->path);
    /* A pod that is to be in the machine's, and who names that without a pod. */
    if (!own || s->pod.has_host_pid || (!s->pod.is_there && pid <= 1))
        return 0;
    if (!s->pod.is_there || pid != getpid())
        return err_set(e, -EOPNOTSUPP, "Unsupported",
                       "'%s' cannot join the PID namespace of process %d: a WebAssembly container "
                       "has no PID namespace; name another container, or none",
                       t->id, (int)pid);
    TRY(shim_pod_pid_path(&t->shim->pod, &path, e));
    return path_change(t, (size_t)(n - t->config.linux_.namespaces), path, e);
}

bool task_pid_is_private(const struct task *t)
{
    const struct oci_namespace *n = oci_config_namespace(&t->config, "pid");

    return n && (!n->path || !*n->path);
}
