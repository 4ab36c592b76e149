/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <protobuf-c/protobuf-c.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/text.h"

/*
 * Messages of Protocol Buffers, by the code that protoc-c makes of .proto files: packing into our
 * buffers, and unpacking what strangers sent into an arena, so that a message is given back with
 * everything else that its request needed.
 *
 * What the library lets through: a string ends at its first NUL byte and may hold bytes that are no
 * UTF-8; fields that are not known are skipped.
 */

/* What one message may take of memory while it is unpacked: a field of two bytes can ask for
 * fifty times as many. */
#define PROTOBUF_MEMORY_LIMIT (16u << 20)

/* Appends the packed message: `protobuf_add(&m.base, out)`. */
void protobuf_add(const ProtobufCMessage *m, struct buf *out);

/* `ret` is a pointer to a pointer to the descriptor's struct, which lives as long as the arena. No
 * bytes at all are a message without fields. "BadMessage" (-EBADMSG), "MessageTooLarge" (-EFBIG:
 * PROTOBUF_MEMORY_LIMIT). */
int protobuf_unpack(const ProtobufCMessageDescriptor *d, struct text bytes, struct arena *a,
                    void *ret, struct err *e);
