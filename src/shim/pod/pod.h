/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/err.h"
#include "base/util.h"
#include "container/oci/oci_config.h"

/*
 * The pod whose containers the daemon has: this process is in its namespaces itself, but for that
 * of PIDs, which a process of its own holds once a container wants it (docs/internals/sandbox.md).
 */
struct shim_pod {
    bool is_there;             /* false for one container by itself */
    bool has_host_pid;         /* its containers are to be in the machine's PID namespace */
    int bundle_fd;             /* of its sandbox */
    struct pid_holder *holder; /* of the PID namespace that they share; NULL: none needed it yet */
};

#define SHIM_POD_INIT ((struct shim_pod){.bundle_fd = -EBADF})

/* The bundle's descriptor is copied. "StartFailed" */
int shim_pod_begin(struct shim_pod *p, bool has_host_pid, int bundle_fd, struct err *e);
/* Ends the processes that share a PID namespace. Of a pod that is not there: nothing. */
void shim_pod_end(struct shim_pod *p);

/* The path of the PID namespace that the containers share, which is made when it is asked for
 * first. "NamespaceFailed" */
int shim_pod_pid_path(struct shim_pod *p, const char **ret, struct err *e);

/* Puts this process into the namespaces that the document of a sandbox names, new ones and others,
 * and sets what belongs to them. "Unsupported", "NamespaceFailed", "SysctlFailed" */
int shim_pod_enter(const struct oci_config *c, struct err *e);
