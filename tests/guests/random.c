/* SPDX-License-Identifier: Apache-2.0 */

/* Random numbers: the length asked for, no byte more, and never the same twice. */

#include "check.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <wasi/api.h>

#define BULK (64 * 1024)

static void check_lengths(void)
{
    static const size_t lengths[] = {0, 1, 2, 7, 16, 63, 255, 256};
    unsigned char buf[258];
    bool is_kept = true, is_given = true;

    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        memset(buf, 0xa5, sizeof(buf));
        is_given = is_given && getentropy(buf + 1, lengths[i]) == 0;
        is_kept = is_kept && buf[0] == 0xa5 && buf[lengths[i] + 1] == 0xa5;
    }
    CHECK("gives every length up to 256", is_given);
    CHECK("writes no byte beside the buffer", is_kept);
    CHECK_FAILS("refuses 257", getentropy(buf, 257), EIO);
}

static void check_draws(void)
{
    unsigned char one[32] = {0}, two[32] = {0};
    static unsigned char bulk[BULK];
    int n_set = 0, n_bits = BULK * 8;

    getentropy(one, sizeof(one));
    getentropy(two, sizeof(two));
    CHECK("two draws differ", memcmp(one, two, sizeof(one)) != 0);
    CHECK("gives 64 KiB at once", __wasi_random_get(bulk, sizeof(bulk)) == 0);
    for (size_t i = 0; i < sizeof(bulk); i++)
        n_set += __builtin_popcount(bulk[i]);
    /* Fourteen standard deviations: a sound source never leaves this. */
    CHECK("half of the bits are set", n_set > n_bits * 49 / 100 && n_set < n_bits / 100 * 51);
}

int main(void)
{
    check_lengths();
    check_draws();
    return check_status();
}
