/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "base/util.h"
#include "worker/http/routes.h"

static struct serve_app apps[] = {
    {.route = (char *)"/",          .host = NULL                 },
    {.route = (char *)"/shop",      .host = NULL                 },
    {.route = (char *)"/shop/cart", .host = NULL                 },
    {.route = (char *)"/shop",      .host = (char *)"example.org"},
    {.route = (char *)"/",          .host = (char *)"[::1]"      },
};

static void chooses_the_longest_path_and_then_the_host(void **state)
{
    static const struct {
        const char *host, *path;
        ssize_t app;
    } rows[] = {
        {"",                 "/",              0},
        {"",                 "/other",         0},
        {"",                 "/shopping",      0},
        {"",                 "/shop",          1},
        {"",                 "/shop/",         1},
        {"",                 "/shop/x",        1},
        {"",                 "/shop/cart",     2},
        {"",                 "/shop/cart/7/a", 2},
        {"",                 "/shop/cartoon",  1},
        {"example.org",      "/shop/x",        3},
        {"EXAMPLE.org:8080", "/shop",          3},
        {"example.org.",     "/shop",          3},
        {"example.org",      "/shop/cart/1",   2},
        {"example.org",      "/",              0},
        {"example.com",      "/shop",          1},
        {"[::1]:80",         "/x",             4},
        {"",                 "*",              0},
        {"",                 "",               0},
    };
    struct err e = ERR_INIT;
    AUTO(routes) r = NULL;

    (void)state;
    assert_ok(routes_new(apps, ARRAY_SIZE(apps), &r, &e));
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        ssize_t found = routes_find(r, text_of(rows[i].host), text_of(rows[i].path));

        if (found != rows[i].app)
            fail_msg("'%s' '%s': %zd instead of %zd", rows[i].host, rows[i].path, found,
                     rows[i].app);
    }
}

static void finds_nothing_without_a_root(void **state)
{
    struct err e = ERR_INIT;
    AUTO(routes) r = NULL;

    (void)state;
    assert_ok(routes_new(apps + 1, 2, &r, &e));
    assert_int_equal(routes_find(r, text_of(""), text_of("/")), -1);
    assert_int_equal(routes_find(r, text_of(""), text_of("/sho")), -1);
    assert_int_equal(routes_find(r, text_of(""), text_of("/shop/x/y/z/x/y/z/x/y/z")), 0);
}

static void refuses_two_equal_ones(void **state)
{
    struct serve_app twice[] = {apps[1], apps[3], apps[1]};
    struct routes *r = NULL;
    struct err e = ERR_INIT;

    (void)state;
    assert_fails(routes_new(twice, 3, &r, &e), -EINVAL, "BadSpec");
    assert_contains(e.msg, "/shop");
    assert_null(r);
}

static void finds_each_of_many(void **state)
{
    enum { N = 4096 };
    struct serve_app *many = xcalloc(N, sizeof(*many));
    struct err e = ERR_INIT;
    AUTO(routes) r = NULL;

    (void)state;
    for (int i = 0; i < N; i++)
        many[i].route = xasprintf("/c%d", i);
    assert_ok(routes_new(many, N, &r, &e));
    for (int i = 0; i < N; i++) {
        autofree char *path = xasprintf("/c%d/below", i);

        assert_int_equal(routes_find(r, text_of("any"), text_of(path)), i);
    }
    for (int i = 0; i < N; i++)
        free(many[i].route);
    free(many);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chooses_the_longest_path_and_then_the_host),
        cmocka_unit_test(finds_nothing_without_a_root),
        cmocka_unit_test(refuses_two_equal_ones),
        cmocka_unit_test(finds_each_of_many),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
