/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "base/hash.h"

static void bytes_hash_as_the_definition_of_fnv_1a_says(void **state)
{
    (void)state;
    assert_true(hash_add(HASH_INIT, "", 0) == UINT64_C(0xcbf29ce484222325));
    assert_true(hash_add(HASH_INIT, "a", 1) == UINT64_C(0xaf63dc4c8601ec8c));
    assert_true(hash_add(HASH_INIT, "foobar", 6) == UINT64_C(0x85944171f73967e8));
    assert_true(hash_add(hash_add(HASH_INIT, "foo", 3), "bar", 3) ==
                hash_add(HASH_INIT, "foobar", 6));
}

static void where_one_text_ends_and_the_next_begins_counts(void **state)
{
    (void)state;
    assert_true(hash_add_str(hash_add_str(HASH_INIT, "ab"), "c") !=
                hash_add_str(hash_add_str(HASH_INIT, "a"), "bc"));
    assert_true(hash_add_str(hash_add_str(HASH_INIT, ""), "a") !=
                hash_add_str(hash_add_str(HASH_INIT, "a"), ""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_hash_as_the_definition_of_fnv_1a_says),
        cmocka_unit_test(where_one_text_ends_and_the_next_begins_counts),
    };
    return cmocka_run_group_tests_name("hash", tests, NULL, NULL);
}
