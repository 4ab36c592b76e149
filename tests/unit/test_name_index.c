/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include <stdio.h>

#include "base/name_index.h"

#define MEMBERS 1000

struct member {
    struct name_link link;
    char name[16];
};

static void members_add(struct name_index *x, struct member *m)
{
    for (int i = 0; i < MEMBERS; i++) {
        snprintf(m[i].name, sizeof(m[i].name), "name-%d", i);
        name_index_add(x, &m[i].link, m[i].name);
    }
}

static void every_member_is_found_until_it_is_removed(void **state)
{
    static struct member m[MEMBERS];
    struct name_index x = {0};

    (void)state;
    assert_null(name_index_find(&x, "name-0"));
    members_add(&x, m);
    assert_null(name_index_find(&x, "name-1000"));
    for (int i = 0; i < MEMBERS; i++)
        assert_ptr_equal(name_index_find(&x, m[i].name), &m[i].link);
    for (int i = 0; i < MEMBERS; i += 2)
        name_index_remove(&x, &m[i].link);
    for (int i = 0; i < MEMBERS; i++)
        assert_ptr_equal(name_index_find(&x, m[i].name), i % 2 ? &m[i].link : NULL);
    name_index_remove(&x, &m[0].link); /* not in it any more */
    assert_int_equal(x.n, MEMBERS / 2);
    name_index_done(&x);
}

static void of_one_name_the_last_is_found_and_then_the_one_before(void **state)
{
    static struct member m[MEMBERS];
    struct name_link first = {0}, last = {0};
    struct name_index x = {0};

    (void)state;
    name_index_add(&x, &first, "twice");
    name_index_add(&x, &last, "twice");
    members_add(&x, m); /* it grows */
    assert_ptr_equal(name_index_find(&x, "twice"), &last);
    name_index_remove(&x, &last);
    assert_ptr_equal(name_index_find(&x, "twice"), &first);
    name_index_done(&x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_member_is_found_until_it_is_removed),
        cmocka_unit_test(of_one_name_the_last_is_found_and_then_the_one_before),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
