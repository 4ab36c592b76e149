/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/buf.h"

/*
 * What a load has seen: counts, the first failures in words, and latencies in buckets that are no
 * wider than 1/128 of their value, so that any number of requests needs the same memory.
 */

enum load_failure {
    FAILURE_CONNECT,
    FAILURE_RESET,  /* the connection broke or was closed before an answer */
    FAILURE_STATUS, /* another status than expected */
    FAILURE_BODY,   /* another body than expected */
    FAILURE_SHORT,  /* the connection ended inside an answer */
    FAILURE_TIMEOUT,
    FAILURE_ANSWER, /* no HTTP, or malformed */
    FAILURE_KINDS,
};

#define LOAD_REASONS_MAX   5
#define LOAD_REASON_SIZE   160
#define LOAD_BUCKETS_SHIFT 7 /* 2^7 buckets for each power of two */
#define LOAD_BUCKETS       (58 << LOAD_BUCKETS_SHIFT)

struct load_report {
    uint64_t requests; /* answered or failed */
    uint64_t failures[FAILURE_KINDS];
    uint64_t reconnects; /* connections opened after the first ones */
    uint64_t bytes;      /* received */
    uint64_t body_bytes; /* received, of complete answers */
    uint64_t wall_ns, cpu_ns;
    char reasons[LOAD_REASONS_MAX][LOAD_REASON_SIZE];
    int n_reasons;
    uint64_t latency_n, latency_sum_ns, latency_max_ns;
    uint64_t buckets[LOAD_BUCKETS];
};

void load_report_latency(struct load_report *r, uint64_t latency_ns);

void load_report_failure(struct load_report *r, enum load_failure kind, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

uint64_t load_report_failures(const struct load_report *r);

/* For people, several lines; or one line of JSON. */
void load_report_format(const struct load_report *r, struct buf *out);
void load_report_encode(const struct load_report *r, struct buf *out);
