/* SPDX-License-Identifier: Apache-2.0 */

#include "secret.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { page_size = 65536, plant_size = 4 * 1024 * 1024, look_size = 8 * 1024 * 1024 };

/* The mark, each letter plus one: spelled out, this file's own constant would be found. */
static const uint8_t coded[] = "xifssz.tfdsfu.";

enum { n_coded = sizeof(coded) - 1 };

static void fill(void *memory, size_t size, const char *mark)
{
    size_t mark_size = strlen(mark);

    for (size_t i = 0; i + mark_size <= size; i += mark_size)
        memcpy((char *)memory + i, mark, mark_size);
    __asm__ volatile("" : : "r"(memory) : "memory"); /* else what nobody reads is left out */
}

/* Grows by one page; NULL when the host refuses. */
static void *page_new(void)
{
    size_t page = __builtin_wasm_memory_grow(0, 1);

    return page == SIZE_MAX ? NULL : (void *)(page * page_size);
}

static __attribute__((noinline)) void stack_plant(const char *mark)
{
    char memory[24 * 1024];

    fill(memory, sizeof(memory), mark);
}

void secret_plant(const char *what)
{
    static char memory[page_size];
    char *mark = malloc(n_coded + strlen(what) + 1);
    void *page;

    if (!mark)
        abort();
    for (size_t i = 0; i < n_coded; i++)
        mark[i] = (char)(coded[i] - 1);
    strcpy(mark + n_coded, what);
    fill(memory, sizeof(memory), mark);
    stack_plant(mark);
    for (size_t n = 0; n < plant_size && (page = page_new()); n += page_size)
        fill(page, page_size, mark);
    /* The mark itself stays where it is, too. */
}

size_t secret_look(void)
{
    const volatile uint8_t *memory = NULL;
    size_t n_found = 0, size;

    while (__builtin_wasm_memory_size(0) * page_size < look_size && page_new())
        ;
    size = __builtin_wasm_memory_size(0) * page_size;
    __asm__("" : "+r"(memory)); /* address 0 is as good as any other here */
    for (size_t i = 0; i + n_coded <= size; i++) {
        size_t n_same = 0;

        while (n_same < n_coded && memory[i + n_same] == coded[n_same] - 1)
            n_same++;
        n_found += n_same == n_coded;
    }
    return n_found;
}
