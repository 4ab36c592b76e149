/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdint.h>

#include "base/buf.h"
#include "base/text.h"

/*
 * One line of the access log for each request, as text or as JSON. The texts come from strangers:
 * whatever bytes they hold, a line stays one line of printable text, and its fields keep their
 * places.
 */
struct access_record {
    uint64_t realtime_ns; /* end of the request, since 1970 */
    struct text peer;     /* address of the client */
    struct text method;
    struct text path;     /* as it was sent, with its query */
    struct text protocol; /* "HTTP/1.1" */
    struct text host, user_agent, referer;
    struct text request_id, trace_id;
    struct text reason;  /* CamelCase word for what went wrong; no text when nothing did */
    struct text service; /* name of the program that answered */
    unsigned status;
    uint64_t body_in_bytes, body_out_bytes;
    uint64_t duration_us, cpu_us;
};

/*
 * Appends the combined format of Apache and NGINX, in UTC, with four more words behind it:
 *
 *   192.0.2.1 - - [26/Nov/2026:10:52:24 +0000] "GET /a?b HTTP/1.1" 200 5 "-" "curl/8"
 *   request_id=0011223344556677 duration_us=1234 cpu_us=567 reason=-
 *
 * (one line). "-" stands for an absent or empty text. '"', '\' and every byte that is not printable
 * ASCII are written as \xHH, as NGINX does; outside of quotes a space is, too.
 */
void access_log_text(const struct access_record *r, struct buf *out);

/*
 * Appends one JSON object. The names are those of the struct, except for "time" (RFC 3339, UTC,
 * nanoseconds), and stay as they are; others may be added. An absent text has no member. What is
 * not UTF-8 is replaced by U+FFFD.
 */
void access_log_json(const struct access_record *r, struct buf *out);
