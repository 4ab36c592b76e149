/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/command/info.h"

#include "base/fds.h"
#include "base/version.h"
#include "shim/messages/messages.h"

/* The type of what is in `features`: an OCI features structure (features.md), as JSON. */
#define FEATURES_TYPE "types.containerd.io/opencontainers/runtime-spec/1/features/Features"

static const char features[] =
    "{\"ociVersionMin\":\"1.0.0\",\"ociVersionMax\":\"1.3.0\","
    "\"hooks\":[\"prestart\",\"createRuntime\",\"createContainer\",\"startContainer\","
    "\"poststart\",\"poststop\"],"
    "\"linux\":{\"namespaces\":[\"cgroup\",\"ipc\",\"mount\",\"network\",\"pid\",\"user\","
    "\"uts\"],"
    "\"cgroup\":{\"v1\":true,\"v2\":true,\"systemd\":true,\"systemdUser\":false},"
    "\"seccomp\":{\"enabled\":true},\"apparmor\":{\"enabled\":true},"
    "\"selinux\":{\"enabled\":true}}}";

int shim_info(struct err *e)
{
    Bootstrap__RuntimeInfo info = BOOTSTRAP__RUNTIME_INFO__INIT;
    Bootstrap__RuntimeVersion version = BOOTSTRAP__RUNTIME_VERSION__INIT;
    Types__Any any = TYPES__ANY__INIT;
    autobuf packed = BUF_INIT;

    version.version = (char *)wherry_version;
    any.type_url = (char *)FEATURES_TYPE;
    any.value.data = (uint8_t *)(uintptr_t)features;
    any.value.len = sizeof(features) - 1;
    info.name = (char *)"io.containerd.wherry.v1";
    info.version = &version;
    info.features = &any;
    protobuf_add(&info.base, &packed);
    return fd_write_all(STDOUT_FILENO, packed.data, packed.len, e);
}
