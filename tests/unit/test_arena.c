/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdalign.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/arena.h"

static void pieces_are_zeroed_aligned_and_apart(void **state)
{
    AUTO(arena) a = arena_new();
    char *last = NULL;

    (void)state;
    for (size_t size = 1; size < 20000; size = size * 2 + 1) {
        char *p = arena_alloc(a, size);

        assert_int_equal((uintptr_t)p % alignof(max_align_t), 0);
        for (size_t i = 0; i < size; i++)
            assert_int_equal(p[i], 0);
        memset(p, 0xff, size);
        assert_true(p != last);
        last = p;
    }
}

static void small_pieces_share_a_block_beside_large_ones(void **state)
{
    AUTO(arena) a = arena_new();
    char *first = arena_alloc(a, 16), *large = arena_alloc(a, 100000), *second;

    (void)state;
    memset(large, 1, 100000);
    second = arena_alloc(a, 16);
    assert_ptr_equal(second, first + 16);
    assert_int_equal(arena_used(a), 100032);
}

static void wiped_pieces_hold_nothing(void **state)
{
    AUTO(arena) a = arena_new();
    char *small = arena_strdup(a, "secret"), *large = arena_alloc(a, 100000);

    (void)state;
    memset(large, 1, 100000);
    arena_wipe(a);
    assert_int_equal(small[0], 0);
    assert_int_equal(large[99999], 0);
}

static void texts_are_copies(void **state)
{
    AUTO(arena) a = arena_new();
    char text[] = "abcdef";
    char *whole = arena_strdup(a, text), *part = arena_strndup(a, text, 3);

    (void)state;
    text[0] = 'x';
    assert_string_equal(whole, "abcdef");
    assert_string_equal(part, "abc");
    assert_null(arena_strdup(a, NULL));
    assert_string_equal(arena_printf(a, "%s-%d", part, 7), "abc-7");
    assert_null(arena_array(a, 0, 8));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_are_zeroed_aligned_and_apart),
        cmocka_unit_test(small_pieces_share_a_block_beside_large_ones),
        cmocka_unit_test(wiped_pieces_hold_nothing),
        cmocka_unit_test(texts_are_copies),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
