/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/text.h"

/*
 * The parts of gRPC that need no connection: messages in a stream of bytes ("Length-Prefixed-
 * Message"), and the status at its end.
 */

/* Appends the header of a message of so many bytes. */
void grpc_prefix_add(size_t len, struct buf *out);

/* 1 with the first message of `in` in *ret (which points into it), and how many bytes it takes of
 * it; 0: more is needed. "MessageTooLarge", "BadResponse": it is compressed, though that was not
 * asked for. */
int grpc_message_next(struct text in, size_t limit, struct text *ret, size_t *ret_taken,
                      struct err *e);

/* What headers and trailers say. */
struct grpc_status {
    int http_status; /* 0: not said */
    bool has_type;   /* the content type is that of gRPC */
    bool has_code;
    int code;
    struct buf message;
};
#define GRPC_STATUS_INIT ((struct grpc_status){0})
void grpc_status_done(struct grpc_status *s);
void grpc_status_field(struct grpc_status *s, struct text name, struct text value);

/* 0 when all is well, or the error that it means. `http2_code` is what the stream was ended with.
 */
int grpc_status_err(const struct grpc_status *s, uint32_t http2_code, struct err *e);
