/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/ttrpc_frame.h"

#include <endian.h>

/* What a reader keeps of its memory from frame to frame. */
#define KEPT_BYTES 4096

/* As it is on the wire. */
struct header {
    uint32_t len, stream_id;
    uint8_t type, flags;
} __attribute__((packed));

_Static_assert(sizeof(struct header) == TTRPC_HEADER_SIZE, "the header has ten bytes");

static void drop(struct text *in, size_t len)
{
    in->data += len;
    in->len -= len;
}

/* Adds to `pending` what it lacks of `len` bytes; whether it has them now. */
static bool fill(struct ttrpc_reader *r, struct text *in, size_t len)
{
    size_t missing = len > r->pending.len ? len - r->pending.len : 0;
    size_t n = missing < in->len ? missing : in->len;
    if (n) {
        buf_add(&r->pending, in->data, n);
        drop(in, n);
    }
    return n == missing;
}

static void header_read(const char *bytes, struct ttrpc_frame *ret)
{
    struct header h;
    memcpy(&h, bytes, sizeof(h));
    *ret = (struct ttrpc_frame){
        .stream_id = be32toh(h.stream_id), .type = h.type, .flags = h.flags, .len = be32toh(h.len)};
    ret->is_too_large = ret->len > TTRPC_PAYLOAD_LIMIT;
}

static void forget(struct ttrpc_reader *r)
{
    if (r->pending.cap > KEPT_BYTES)
        buf_done(&r->pending);
    else
        buf_clear(&r->pending);
    r->is_taken = false;
}

bool ttrpc_reader_next(struct ttrpc_reader *r, struct text *in, struct ttrpc_frame *ret)
{
    struct ttrpc_frame f;
    if (r->is_taken)
        forget(r);
    size_t skipped = r->skip < in->len ? r->skip : in->len;
    if (skipped) {
        drop(in, skipped);
        r->skip -= (uint32_t)skipped;
    }
    if (!in->len || !fill(r, in, TTRPC_HEADER_SIZE))
        return false;
    header_read(r->pending.data, &f);
    if (f.is_too_large) {
        r->skip = f.len;
    } else if (r->pending.len == TTRPC_HEADER_SIZE && in->len >= f.len) {
        f.payload = (struct text){in->data, f.len}; /* no copy of what came in one piece */
        drop(in, f.len);
    } else if (fill(r, in, TTRPC_HEADER_SIZE + (size_t)f.len)) {
        f.payload = (struct text){r->pending.data + TTRPC_HEADER_SIZE, f.len};
    } else {
        return false;
    }
    r->is_taken = true;
    *ret = f;
    return true;
}

void ttrpc_reader_done(struct ttrpc_reader *r)
{
    buf_done(&r->pending);
}

size_t ttrpc_frame_begin(struct buf *out)
{
    size_t begin = out->len;
    buf_add(out, &(struct header){0}, TTRPC_HEADER_SIZE);
    return begin;
}

void ttrpc_frame_end(struct buf *out, size_t begin, uint32_t stream_id, enum ttrpc_type type,
                     unsigned flags)
{
    struct header h = {.len = htobe32((uint32_t)(out->len - begin - TTRPC_HEADER_SIZE)),
                       .stream_id = htobe32(stream_id),
                       .type = (uint8_t)type,
                       .flags = (uint8_t)flags};
    memcpy(out->data + begin, &h, sizeof(h));
}
