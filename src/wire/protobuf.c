/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/protobuf.h"

struct budget {
    struct arena *arena;
    size_t left;
    bool is_spent;
};

static void *budget_alloc(void *data, size_t size)
{
    struct budget *b = data;
    if (size > b->left) {
        b->is_spent = true;
        return NULL;
    }
    b->left -= size;
    return arena_alloc(b->arena, size);
}

/* The arena gives everything back. */
static void budget_free(void *data, void *p)
{
    (void)data;
    (void)p;
}

void protobuf_add(const ProtobufCMessage *m, struct buf *out)
{
    size_t len = protobuf_c_message_get_packed_size(m);
    out->len += protobuf_c_message_pack(m, (uint8_t *)buf_reserve(out, len));
    buf_terminate(out);
}

int protobuf_unpack(const ProtobufCMessageDescriptor *d, struct text bytes, struct arena *a,
                    void *ret, struct err *e)
{
    struct budget budget = {.arena = a, .left = PROTOBUF_MEMORY_LIMIT};
    ProtobufCAllocator allocator = {budget_alloc, budget_free, &budget};
    ProtobufCMessage *m =
        protobuf_c_message_unpack(d, &allocator, bytes.len, (const uint8_t *)bytes.data);
    if (!m && budget.is_spent)
        return err_set(e, -EFBIG, "MessageTooLarge",
                       "a message %s of %zu bytes needs more than %u bytes of memory",
                       d->short_name, bytes.len, PROTOBUF_MEMORY_LIMIT);
    if (!m)
        return err_set(e, -EBADMSG, "BadMessage", "%zu bytes are no message %s", bytes.len,
                       d->short_name);
    void *message = m;
    memcpy(ret, &message, sizeof(message));
    return 0;
}
