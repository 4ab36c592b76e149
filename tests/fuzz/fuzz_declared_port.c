/* SPDX-License-Identifier: Apache-2.0 */
/* Any text as a pod's ports: an error that says so, or a port. */
#include "base/util.h"
#include "shim/task/declared_port.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    autofree char *text = xstrndup((const char *)data, size);
    struct err e = ERR_INIT;
    unsigned port = UINT32_MAX;

    if (declared_port(text, &port, &e) < 0)
        BUG_ON(!str_eq(e.reason, "BadPorts") || !*e.msg || port != UINT32_MAX);
    else
        BUG_ON(port > 65535);
    return 0;
}
