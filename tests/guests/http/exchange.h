/* SPDX-License-Identifier: Apache-2.0 */

/*
 * One HTTP request and the answer to it, over wasi:http 0.2.
 *
 * An answer is started once, written any number of times and then either ended or cut off. Writing
 * waits for the host to take what is written. What fails because the client has gone returns false;
 * what no host may refuse traps.
 */

#pragma once

#include "guest.h"

struct exchange {
    wasi_http_types_own_incoming_request_t request;
    wasi_http_types_own_response_outparam_t out; /* given away by answer_start() */
    char *target;                                /* path and query, or "" */
    const char *name;                            /* the last segment of the path */
    const char *query;                           /* what follows the first '?', or "" */
    wasi_http_types_own_outgoing_body_t body;
    wasi_io_streams_own_output_stream_t stream;
    char *text; /* collected by text_add() */
    size_t text_size;
};

void exchange_init(struct exchange *x, wasi_http_types_own_incoming_request_t request,
                   wasi_http_types_own_response_outparam_t out);

/* Everything but `out`, `body` and `stream`, of which the answer disposes. */
void exchange_done(struct exchange *x);

/* With one header, or none where `name` is NULL. */
wasi_http_types_own_fields_t headers_new(const char *name, const char *value);

/* Adds what `from` has by this name, if anything. */
void headers_copy(wasi_http_types_own_fields_t to, wasi_http_types_own_fields_t from,
                  const char *name);

/* Sends the head; takes `headers`. False, with nothing sent, when the host refuses the status. */
bool answer_start(struct exchange *x, unsigned status, wasi_http_types_own_fields_t headers);

bool answer_write(struct exchange *x, const void *data, size_t size);

/* Sees to it that what was written leaves before what will be. */
bool answer_flush(struct exchange *x);

/* `trailers` may be NULL; they are taken. */
void answer_end(struct exchange *x, wasi_http_types_own_fields_t *trailers);

/* Leaves the body unfinished, so that the host has to treat it as broken. */
void answer_cut_off(struct exchange *x);

/* The whole of an answer in text/plain, with a formatted body. */
__attribute__((format(printf, 3, 4))) void answer_text(struct exchange *x, unsigned status,
                                                       const char *format, ...);

/* Collects text; answer_collected() answers with all of it. */
__attribute__((format(printf, 2, 3))) void text_add(struct exchange *x, const char *format, ...);
void answer_collected(struct exchange *x, unsigned status);

/* Blocks until the pollable is ready; takes it. */
void wait(wasi_io_poll_own_pollable_t pollable);
