/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as the runtime's options of Create: the first says of which type, and whether they are
 * the table itself. */
#include <stdint.h>

#include "shim/service/options.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const types[] = {MESSAGE_RUNC_OPTIONS, MESSAGE_RUNTIME_OPTIONS,
                                        MESSAGE_RUNTIME_OPTIONS};
    Options__Runtime table = OPTIONS__RUNTIME__INIT;
    struct task_options o = {0};
    autobuf packed = BUF_INIT;
    struct err e = ERR_INIT;
    Types__Any any;
    size_t type;

    if (!size)
        return 0;
    type = data[0] % ARRAY_SIZE(types);
    table.config_body.data = (uint8_t *)(uintptr_t)(data + 1);
    table.config_body.len = size - 1;
    if (type == 2)
        protobuf_add(&table.base, &packed);
    else
        buf_add(&packed, data + 1, size - 1);
    any = message_any(types[type], &packed);
    if (task_options_decode(&any, &o, &e) < 0) {
        BUG_ON(!str_eq(e.reason, "BadOptions") || !*e.msg || o.runtime || o.runtime_root);
        return 0;
    }
    BUG_ON((o.runtime && !*o.runtime) || (o.runtime_root && !*o.runtime_root));
    free(o.runtime);
    free(o.runtime_root);
    return 0;
}
