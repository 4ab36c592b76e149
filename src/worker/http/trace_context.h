/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Which trace a request belongs to: the `traceparent` header of W3C Trace Context, and the ids of
 * requests. https://www.w3.org/TR/trace-context/
 *
 * Ids are unique, not secret. Each thread makes its own, seeded from the kernel at its first one; a
 * process that forks after that would make the same ids in both. May be used from any thread.
 */

enum trace_flags {
    TRACE_SAMPLED = 1 << 0, /* the caller may have recorded this trace */
    TRACE_RANDOM = 1 << 1,  /* level 2: the trace id was made at random */
};

/* Neither id is all zero. */
struct trace_context {
    uint8_t trace_id[16];
    uint8_t parent_id[8]; /* of the request that this context was sent with */
    uint8_t flags;        /* enum trace_flags; others are not passed on (section 3.2.2.5) */
};

/* "00-<32 hex digits: trace id>-<16: parent id>-<2: flags>" and its NUL. */
#define TRACE_CONTEXT_SIZE 56
#define TRACE_ID_OFFSET    3 /* of the trace id in that text */
#define TRACE_ID_LENGTH    32

/*
 * Reads the value of a traceparent header. False when it is not valid (sections 3.2.2 and 4.3),
 * which is no error: the receiver starts a trace of its own. A version above 00 may have more
 * behind the known fields, and of its flags only TRACE_SAMPLED is known.
 */
bool trace_context_parse(const char *text, size_t len, struct trace_context *ret);

/* Always in version 00. */
void trace_context_format(const struct trace_context *t, char ret[static TRACE_CONTEXT_SIZE]);

/* A new trace, TRACE_SAMPLED. */
void trace_context_start(struct trace_context *ret);

/* The same trace for what is sent on, with a parent id of its own. */
void trace_context_child(const struct trace_context *parent, struct trace_context *ret);

/* 16 hex digits and a NUL. */
#define REQUEST_ID_SIZE  17
#define REQUEST_ID_LIMIT 64 /* bytes of a client's own */

void request_id_make(char ret[static REQUEST_ID_SIZE]);

/* True when a client's id may be taken over into headers and logs: 1 to REQUEST_ID_LIMIT ASCII
 * letters, digits, '.', '_' and '-'. */
bool request_id_is_sane(const char *text, size_t len);
