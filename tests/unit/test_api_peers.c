/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include <grp.h>

#include "agent/api/api_peers.h"

/* Nobody has it. */
enum { STRANGER = 54321 };

static void root_and_the_own_user_are_let_in(void **state)
{
    struct api_peers *p = api_peers_new(NULL);

    (void)state;
    assert_true(api_peers_allow(p, 0, 0));
    assert_true(api_peers_allow(p, geteuid(), getegid()));
    api_peers_free(p);
}

static void others_are_not_without_a_group(void **state)
{
    struct api_peers *p = api_peers_new(NULL), *q = api_peers_new("there-is-no-such-group");

    (void)state;
    assert_false(api_peers_allow(p, STRANGER, STRANGER));
    assert_false(api_peers_allow(q, STRANGER, STRANGER));
    assert_false(api_peers_allow(q, STRANGER, STRANGER));
    api_peers_free(p);
    api_peers_free(q);
}

static void members_of_the_group_are_and_that_is_remembered(void **state)
{
    const struct group *g = getgrnam("daemon");
    struct api_peers *p = api_peers_new("daemon");

    (void)state;
    if (!g) {
        api_peers_free(p);
        skip();
        return; /* skip() does not come back, which analysers do not know */
    }
    assert_true(api_peers_allow(p, STRANGER, g->gr_gid));
    assert_true(api_peers_allow(p, STRANGER, STRANGER));
    for (uid_t uid = STRANGER + 1; uid < STRANGER + 100; uid++)
        assert_false(api_peers_allow(p, uid, STRANGER));
    assert_false(api_peers_allow(p, STRANGER, STRANGER));
    api_peers_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(root_and_the_own_user_are_let_in),
        cmocka_unit_test(others_are_not_without_a_group),
        cmocka_unit_test(members_of_the_group_are_and_that_is_remembered),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
