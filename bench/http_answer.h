/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/buf.h"

/*
 * Reads HTTP/1.1 answers from the bytes of a connection as they come (RFC 9112), without keeping
 * bodies. Strict where a server must not be sloppy: an answer with two lengths, with a length and
 * chunks, or with a malformed line is an error.
 */

#define HTTP_ANSWER_HEAD_LIMIT 65536 /* bytes of a head, a chunk's line or a trailer */

/* What the body has to be; the same for all answers of a load. */
struct http_expected {
    const char *body; /* NULL: anything */
    size_t len;
};

enum http_answer_state {
    ANSWER_HEAD,
    ANSWER_LENGTH,     /* `left` bytes of body to come */
    ANSWER_UNTIL_END,  /* the body ends with the connection */
    ANSWER_CHUNK_LINE, /* a chunk's size comes next */
    ANSWER_CHUNK,      /* `left` bytes of a chunk */
    ANSWER_CHUNK_END,  /* the line end after a chunk */
    ANSWER_TRAILER,
    ANSWER_COMPLETE,
};

struct http_answer {
    enum http_answer_state state;
    int status;
    bool is_last;        /* the server closes after this answer */
    bool is_body_wrong;  /* not what was expected */
    uint64_t left;       /* see the state */
    uint64_t body_bytes; /* received so far */
    struct buf line;     /* the beginning of a head or line whose end has not come */
    const char *mistake; /* what is malformed; static text */
};

/* Before each answer; keeps memory. *a was zeroed before the first. */
void http_answer_begin(struct http_answer *a);
void http_answer_done(struct http_answer *a);

/*
 * Takes bytes of the connection until the answer is complete (state ANSWER_COMPLETE) or the bytes
 * are used up; returns how many it took, or -EBADMSG with `mistake`. Interim answers (1xx) are
 * skipped.
 */
ssize_t http_answer_take(struct http_answer *a, const struct http_expected *expected,
                         const char *data, size_t len);

/* The connection has ended: whether that completes the answer. */
bool http_answer_end(struct http_answer *a, const struct http_expected *expected);
