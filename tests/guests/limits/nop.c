/* SPDX-License-Identifier: Apache-2.0 */

/* A reactor: nothing runs by itself, the host calls what it exports. It imports nothing. */

#include <stdint.h>

__attribute__((export_name("nop"))) void nop(void) {}

__attribute__((export_name("add"))) int32_t add(int32_t a, int32_t b)
{
    return (int32_t)((uint32_t)a + (uint32_t)b);
}

/* Doubly recursive: work that grows fast with n. */
__attribute__((export_name("fib"))) int64_t fib(int32_t n)
{
    return n < 2 ? n : fib(n - 1) + fib(n - 2);
}
