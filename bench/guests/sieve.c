/* SPDX-License-Identifier: Apache-2.0 */

/* Sieve of Eratosthenes over 16 MiB: memory that no cache holds. Argument: rounds. */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIMIT (16 * 1024 * 1024)

static uint8_t is_composite[LIMIT];

static long sieve(void)
{
    long n_primes = 0;

    memset(is_composite, 0, sizeof(is_composite));
    for (uint32_t i = 2; i < LIMIT; i++) {
        if (is_composite[i])
            continue;
        n_primes++;
        for (uint64_t k = (uint64_t)i * i; k < LIMIT; k += i)
            is_composite[k] = 1;
    }
    return n_primes;
}

int main(int argc, char **argv)
{
    int n_rounds = argc > 1 ? atoi(argv[1]) : 16;
    long sum = 0;

    for (int i = 0; i < n_rounds; i++)
        sum += sieve();
    printf("%ld\n", sum);
    return 0;
}
