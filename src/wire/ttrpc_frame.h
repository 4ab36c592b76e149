/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/buf.h"
#include "base/text.h"

/*
 * The frames of ttrpc, without I/O: a header of ten bytes (length of the payload and stream id,
 * both 32 bits and big-endian, a type and flags of one byte each), then the payload. Source: the
 * ttrpc project's PROTOCOL.md.
 */
#define TTRPC_HEADER_SIZE   10u
#define TTRPC_PAYLOAD_LIMIT (4u << 20)

enum ttrpc_type { TTRPC_REQUEST = 1, TTRPC_RESPONSE = 2, TTRPC_DATA = 3 };

enum ttrpc_flags {
    TTRPC_REMOTE_CLOSED = 1 << 0, /* its sender sends no data after it */
    TTRPC_REMOTE_OPEN = 1 << 1,   /* its sender sends data after it */
    TTRPC_NO_DATA = 1 << 2,
};

struct ttrpc_frame {
    uint32_t stream_id;
    uint8_t type, flags;
    struct text payload; /* valid until the next call of the reader; none when it is_too_large */
    uint32_t len;        /* that the header says */
    bool is_too_large;   /* more than TTRPC_PAYLOAD_LIMIT, which is skipped */
};

/* Cuts what comes into frames. There is nothing that it cannot read; it holds at most one payload,
 * and no more of it than has come. */
struct ttrpc_reader {
    struct buf pending; /* the start of a frame */
    bool is_taken;      /* `pending` is the frame that was returned last */
    uint32_t skip;      /* bytes to come of a payload that is too large */
};

#define TTRPC_READER_INIT ((struct ttrpc_reader){0})

/* Whether there is a frame; moves the start of *in behind what was used, which is all of it when
 * there is none. */
bool ttrpc_reader_next(struct ttrpc_reader *r, struct text *in, struct ttrpc_frame *ret);
void ttrpc_reader_done(struct ttrpc_reader *r);

/* Makes room for a header at the end of `out`, behind which the payload is added; then the header
 * is filled. Returns where the frame begins. */
size_t ttrpc_frame_begin(struct buf *out);
void ttrpc_frame_end(struct buf *out, size_t begin, uint32_t stream_id, enum ttrpc_type type,
                     unsigned flags);
