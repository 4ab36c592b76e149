/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "base/err.h"

/*
 * Time, durations and sizes: reading them from the system and from people.
 */

uint64_t clock_monotonic_ns(void); /* CLOCK_MONOTONIC; only for differences */
/* What poll(2) is to wait for a moment of clock_monotonic_ns(): milliseconds, rounded up and at
 * most 1,000,000; 0 for one that has passed, -1 (for ever) for 0. */
int clock_wait_ms(uint64_t deadline_ns);

uint64_t clock_realtime_ns(void); /* nanoseconds since 1970 */

/* Of a file's times: nanoseconds since 1970. A file system can hold times that are further away
 * than 292 years; those are the nearest that can be said. */
int64_t clock_timespec_ns(struct timespec t);

/* "2026-11-24T00:31:02.123456789Z" and its NUL. */
#define CLOCK_RFC3339NANO_SIZE 31

/* Writes the UTC time in RFC 3339 with nine digits of fraction, always 30 characters and a NUL.
 * Only the second is computed anew when it changes, so this is cheap enough for each log line. */
void clock_rfc3339nano_format(uint64_t realtime_ns, char ret[static CLOCK_RFC3339NANO_SIZE]);

/* The UTC time in seconds: "2026-11-24T00:31:02Z". */
#define CLOCK_RFC3339_SIZE 32
void clock_rfc3339_format(int64_t realtime_ns, char ret[static CLOCK_RFC3339_SIZE]);

/* A time of RFC 3339 with up to nine digits of fraction, in UTC (Z) or any zone, between 1970 and
 * 2200. False when it is none; *ret_realtime_ns is untouched then. */
bool clock_rfc3339_parse(const char *text, size_t len, int64_t *ret_realtime_ns);

/*
 * A duration in milliseconds: "90" and "90s" are seconds, further units are ms, s, m, h; fractions
 * ("1.5s") and sums in falling order ("1h30m") are allowed. Negative, empty, unknown units and more
 * than INT64_MAX ms are refused ("BadDuration", -EINVAL or -ERANGE). What is under 1 ms and not
 * zero becomes 1 ms, so that a tiny limit never turns into none.
 */
int duration_ms_parse(const char *text, int64_t *ret_ms, struct err *e);

/* Short text such as "1.5s", "250ms", "1h30m"; duration_ms_parse() reads it back to the same. */
#define DURATION_SIZE 40
void duration_ms_format(int64_t ms, char ret[static DURATION_SIZE]);

/*
 * A number of bytes: plain ("65536"), decimal (k K M G T P E as in Kubernetes quantities: "64M" is
 * 64,000,000), binary ("64Mi", "64MiB"), and docker's lower-case letters, which are binary ("64m"
 * is "64Mi"; b is 1; "kb", "mb", "gb" too). A fraction is allowed where the result is whole bytes
 * ("1.5Gi"). Refused: negative, empty, unknown suffix ("BadSize", -EINVAL), more than INT64_MAX
 * (-ERANGE).
 */
int size_bytes_parse(const char *text, int64_t *ret_bytes, struct err *e);

/* "64 MiB", "1.5 GiB", "100 B": for people. */
#define SIZE_TEXT_SIZE 24
void size_bytes_format(uint64_t bytes, char ret[static SIZE_TEXT_SIZE]);
