/* SPDX-License-Identifier: Apache-2.0 */
/* A configuration file of containerd, and the file that repeats its settings of CRI. */
#include "cli/containerd_drop_in.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    autocontainerd_file f = {0};
    autobuf out = BUF_INIT;
    struct err e = ERR_INIT;

    containerd_dump_has((const char *)data, size, "wherry", WHERRY_RUNTIME_TYPE, WHERRY_SHIM);
    if (containerd_file_parse("config.toml", (const char *)data, size, &f, &e) < 0)
        return 0;
    struct containerd_config c = {.files = &f, .n = 1};
    struct containerd_drop_in d = {
        .version = {1, 7},
        .runtime = "wherry",
        .has_systemd_cgroup = containerd_has_systemd_cgroup(&c),
    };
    containerd_drop_in_add(&d, &c, &out);
    return 0;
}
