/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "container/list.h"
#include "container/oci/oci_config.h"
#include "shim/messages/messages.h"
#include "shim/shim.h"
#include "wire/ttrpc.h"

/*
 * A pod by containerd's sandbox API (containerd, api/runtime/sandbox/v1/sandbox.proto, from 2.0 on;
 * `sandboxer = "shim"`): there is no container for it, its bundle has no config.json, and what a
 * pod is to have is made here of CRI's description. docs/internals/sandbox.md
 */
enum sandbox_state { SANDBOX_CREATED, SANDBOX_READY, SANDBOX_STOPPED };

struct sandbox {
    char *id, *bundle, *cgroup_parent;
    bool has_host_ipc;
    enum sandbox_state state;
    uint64_t created_at_ns, exited_at_ns; /* clock_realtime_ns() */
    struct link waits;                    /* calls that wait for its end */
};

extern const struct ttrpc_method sandbox_methods[];
extern const size_t n_sandbox_methods;

void sandbox_free(struct sandbox *b);
DEFINE_AUTO(sandbox);

/* ---- sandbox_files.c ---- */

/* hostname, hosts, resolv.conf and shm of the pod, in its bundle. `c` may be NULL. "FilesFailed" */
int sandbox_files_make(const struct sandbox *b, const Cri__PodSandboxConfig *c, int bundle_fd,
                       struct err *e);
/* What is mounted in the bundle; nothing is fine. */
void sandbox_files_unmount(const char *bundle);
/* Has the document of a container name them, where it has no mount of its own. */
int sandbox_files_add(const struct sandbox *b, int bundle_fd, const struct oci_config *c,
                      struct err *e);
