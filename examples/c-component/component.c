/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Makes the program fit to be wrapped by the adapter that turns it into a component.
 *
 * The adapter needs memory for itself. Where the program exports no cabi_realloc(), it grows the
 * memory before the first malloc(), and Debian 12's wasi-libc then takes all memory up to the end,
 * the adapter's pages too, as its first heap: larger blocks overwrite the adapter. With the export
 * the adapter asks the one allocator.
 */

#include <stdlib.h>

__attribute__((export_name("cabi_realloc"))) void *cabi_realloc(void *block, size_t old_size,
                                                                size_t align, size_t new_size)
{
    void *moved = realloc(block, new_size);

    (void)old_size;
    (void)align; /* never more than malloc() gives anyway */
    if (!moved && new_size != 0)
        abort(); /* the canonical ABI has no way to say no */
    return moved;
}
