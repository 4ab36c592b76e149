/* SPDX-License-Identifier: Apache-2.0 */
#include "pod/machine/backoff.h"

static uint64_t wait_ns(int64_t nth)
{
    uint64_t wait = BACKOFF_FIRST_NS;

    for (int64_t i = 1; i < nth && wait < BACKOFF_LIMIT_NS; i++)
        wait *= 2;
    return wait < BACKOFF_LIMIT_NS ? wait : BACKOFF_LIMIT_NS;
}

static void count(struct backoff *b)
{
    if (b->failures < BACKOFF_COUNT_LIMIT)
        b->failures++;
}

uint64_t backoff_failed(struct backoff *b)
{
    count(b);
    return wait_ns(b->failures);
}

uint64_t backoff_ended(struct backoff *b, uint64_t ran_ns)
{
    if (ran_ns >= BACKOFF_RESET_NS)
        backoff_reset(b);
    count(b);
    return b->failures == 1 ? 0 : wait_ns(b->failures - 1);
}

void backoff_reset(struct backoff *b)
{
    b->failures = 0;
}
