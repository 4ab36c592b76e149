/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as each of the messages that containerd sends; the first byte chooses which. What is
 * accepted is kept to the limit of memory and packs again. */
#include <stdint.h>

#include "shim/messages/messages.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const ProtobufCMessageDescriptor *const types[] = {
    &bootstrap__params__descriptor,
    &options__runc__descriptor,
    &options__runtime__descriptor,
    &sandbox__create_sandbox_request__descriptor,
    &sandbox__update_sandbox_request__descriptor,
    &task__checkpoint_task_request__descriptor,
    &task__create_task_request__descriptor,
    &task__exec_process_request__descriptor,
    &task__kill_request__descriptor,
    &task__resize_pty_request__descriptor,
    &task__update_task_request__descriptor,
    &types__any__descriptor,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size)
        return 0;
    AUTO(arena) a = arena_new();
    autobuf again = BUF_INIT;
    struct err e = ERR_INIT;
    ProtobufCMessage *m = NULL;
    struct text bytes = {(const char *)data + 1, size - 1};
    int r = protobuf_unpack(types[data[0] % ARRAY_SIZE(types)], bytes, a, &m, &e);
    BUG_ON(arena_used(a) > PROTOBUF_MEMORY_LIMIT);
    if (r < 0) {
        BUG_ON(m || !e.reason || !e.msg[0]);
        return 0;
    }
    protobuf_add(m, &again);
    return 0;
}
