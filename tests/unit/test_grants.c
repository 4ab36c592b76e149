/* SPDX-License-Identifier: Apache-2.0 */
/* What a guest's socket calls are answered, also for names and the addresses that they had. */
#include "unit.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "worker/grants.h"

static struct engine_network network(struct grants **g, const char *a, const char *b)
{
    struct engine_network n = {0};
    autostrv texts = STRV_INIT;
    struct err e = ERR_INIT;

    if (a)
        strv_add(&texts, a);
    if (b)
        strv_add(&texts, b);
    assert_ok(grants_new(&texts, -1, g, &e));
    grants_attach(*g, &n);
    return n;
}

static const struct sockaddr *v4(const char *text, int port)
{
    static struct sockaddr_in s;

    s = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    assert_int_equal(inet_pton(AF_INET, text, &s.sin_addr), 1);
    return (const struct sockaddr *)&s;
}

static void test_nothing_by_default(void **state)
{
    AUTO(grants) g = NULL;
    struct engine_network n = network(&g, NULL, NULL);

    (void)state;
    for (int use = ENGINE_TCP_BIND; use <= ENGINE_UDP_RECEIVE; use++)
        assert_false(n.may_use(n.ctx, v4("127.0.0.1", 0), (enum engine_socket_use)use));
    assert_false(n.may_resolve(n.ctx, "localhost"));
}

static void test_address(void **state)
{
    AUTO(grants) g = NULL;
    struct engine_network n = network(&g, "127.0.0.1:80", "10.0.0.0/8:443");

    (void)state;
    assert_true(n.may_use(n.ctx, v4("127.0.0.1", 80), ENGINE_TCP_CONNECT));
    assert_true(n.may_use(n.ctx, v4("10.1.1.1", 443), ENGINE_UDP_SEND));
    assert_false(n.may_use(n.ctx, v4("127.0.0.1", 443), ENGINE_TCP_CONNECT));
    /* Binding is for connecting only: no port of one's own, and no listening. */
    assert_true(n.may_use(n.ctx, v4("0.0.0.0", 0), ENGINE_TCP_BIND));
    assert_false(n.may_use(n.ctx, v4("127.0.0.1", 80), ENGINE_TCP_BIND));
    assert_false(n.may_use(n.ctx, v4("127.0.0.1", 80), ENGINE_TCP_LISTEN));
    assert_false(n.may_use(n.ctx, v4("127.0.0.1", 80), ENGINE_TCP_ACCEPT));
    assert_false(n.may_resolve(n.ctx, "localhost"));
}

static void test_names(void **state)
{
    AUTO(grants) g = NULL;
    struct engine_network n = network(&g, "one.example:80", "two.example:443");

    (void)state;
    assert_true(n.may_resolve(n.ctx, "ONE.example."));
    assert_false(n.may_resolve(n.ctx, "three.example"));
    assert_false(n.may_use(n.ctx, v4("1.2.3.4", 80), ENGINE_TCP_CONNECT));
    n.resolved(n.ctx, "one.example", v4("1.2.3.4", 0));
    assert_true(n.may_use(n.ctx, v4("1.2.3.4", 80), ENGINE_TCP_CONNECT));
    /* The address gains the port of its own name only. */
    assert_false(n.may_use(n.ctx, v4("1.2.3.4", 443), ENGINE_TCP_CONNECT));
    assert_false(n.may_use(n.ctx, v4("1.2.3.5", 80), ENGINE_TCP_CONNECT));
    n.resolved(n.ctx, "three.example", v4("1.2.3.5", 0));
    assert_false(n.may_use(n.ctx, v4("1.2.3.5", 80), ENGINE_TCP_CONNECT));
}

/* A name with very many addresses costs bounded memory; the latest ones count. */
static void test_many_addresses(void **state)
{
    AUTO(grants) g = NULL;
    struct engine_network n = network(&g, "one.example:80", NULL);
    char text[32];

    (void)state;
    for (int i = 0; i < 3000; i++) {
        snprintf(text, sizeof(text), "9.1.%d.%d", i / 250, i % 250);
        n.resolved(n.ctx, "one.example", v4(text, 0));
    }
    assert_true(n.may_use(n.ctx, v4(text, 80), ENGINE_TCP_CONNECT));
    assert_false(n.may_use(n.ctx, v4("9.1.0.0", 80), ENGINE_TCP_CONNECT));
}

static void test_bad_grant(void **state)
{
    autostrv texts = STRV_INIT;
    struct grants *g = NULL;
    struct err e = ERR_INIT;

    (void)state;
    strv_add(&texts, "a.example:80");
    strv_add(&texts, "b.example");
    assert_fails(grants_new(&texts, -1, &g, &e), -EINVAL, "BadUsage");
    assert_null(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_by_default),
        cmocka_unit_test(test_address),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_many_addresses),
        cmocka_unit_test(test_bad_grant),
    };
    return cmocka_run_group_tests_name("grants", tests, NULL, NULL);
}
