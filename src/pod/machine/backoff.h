/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdint.h>

/*
 * How long a container waits before something is tried again: 10 seconds, doubling to 5 minutes, as
 * a kubelet does. The count of failures in a row is all there is to keep.
 */
#define BACKOFF_FIRST_NS 10000000000ull
#define BACKOFF_LIMIT_NS 300000000000ull
/* What ran this long was well: its next failure counts as the first. */
#define BACKOFF_RESET_NS 600000000000ull
/* More failures than this are not told apart. */
#define BACKOFF_COUNT_LIMIT 1000000

struct backoff {
    int64_t failures; /* in a row; 0 to BACKOFF_COUNT_LIMIT */
};

/* Counts a failure. The wait: 10 s for the first. */
uint64_t backoff_failed(struct backoff *b);

/* Counts an end after a run of this length. The first in a row waits for nothing, the second 10 s.
 */
uint64_t backoff_ended(struct backoff *b, uint64_t ran_ns);

void backoff_reset(struct backoff *b);
