/* SPDX-License-Identifier: Apache-2.0 */
/* HOST:PORT permissions, and the judgement of addresses by them. */
#include "unit.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "base/util.h"
#include "guest/net_grant.h"

static struct sockaddr_storage address(const char *text, int port)
{
    struct sockaddr_storage s = {0};
    struct sockaddr_in *four = (struct sockaddr_in *)&s;
    struct sockaddr_in6 *six = (struct sockaddr_in6 *)&s;

    if (inet_pton(AF_INET, text, &four->sin_addr) == 1) {
        four->sin_family = AF_INET;
        four->sin_port = htons((uint16_t)port);
        return s;
    }
    assert_int_equal(inet_pton(AF_INET6, text, &six->sin6_addr), 1);
    six->sin6_family = AF_INET6;
    six->sin6_port = htons((uint16_t)port);
    return s;
}

static void test_covers(void **state)
{
    static const struct {
        const char *grant, *address;
        int port;
        bool is_covered;
    } rows[] = {
        {"127.0.0.1:80",    "127.0.0.1",        80,    true },
        {"127.0.0.1:80",    "127.0.0.1",        81,    false},
        {"127.0.0.1:80",    "127.0.0.2",        80,    false},
        {"127.0.0.1:*",     "127.0.0.1",        65535, true },
        {"127.0.0.1:80-90", "127.0.0.1",        90,    true },
        {"127.0.0.1:80-90", "127.0.0.1",        91,    false},
        {"10.0.0.0/8:443",  "10.200.3.4",       443,   true },
        {"10.0.0.0/8:443",  "11.0.0.1",         443,   false},
        {"10.1.2.0/23:1",   "10.1.3.255",       1,     true },
        {"10.1.2.0/23:1",   "10.1.4.0",         1,     false},
        {"0.0.0.0/0:1",     "8.8.8.8",          1,     true },
        {"0.0.0.0/0:1",     "::1",              1,     false},
        {"[::1]:80",        "::1",              80,    true },
        {"[::1]:80",        "::2",              80,    false},
        {"[fd00::/8]:80",   "fdab::1",          80,    true },
        {"[fd00::]/8:80",   "fe80::1",          80,    false},
        {"*:80",            "1.2.3.4",          80,    true },
        {"*:80",            "::1",              80,    true },
        {"*:80",            "::1",              81,    false},
        {"localhost:80",    "127.0.0.1",        80,    false}, /* a name is known by what it resolved to */
        {"127.0.0.1:80",    "::ffff:127.0.0.1", 80,    true }, /* reaches the IPv4 host */
        {"[::/0]:80",       "::ffff:127.0.0.1", 80,    false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct sockaddr_storage s = address(rows[i].address, rows[i].port);
        const struct sockaddr *addr = (const struct sockaddr *)&s;
        struct net_grant g;
        struct err e = ERR_INIT;

        assert_ok(net_grant_parse(rows[i].grant, &g, &e));
        if ((net_grant_has_address(&g, addr) && net_grant_has_port(&g, addr)) != rows[i].is_covered)
            fail_msg("%s and %s port %d", rows[i].grant, rows[i].address, rows[i].port);
    }
}

static void test_names(void **state)
{
    static const char *const good[][2] = {
        {"Example.COM:443", "example.com" },
        {"a.example.:1-2",  "a.example"   },
        {"3com.example:1",  "3com.example"},
        {"localhost:*",     "localhost"   }
    };
    struct net_grant g;
    struct err e = ERR_INIT;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        assert_ok(net_grant_parse(good[i][0], &g, &e));
        assert_int_equal(g.host, NET_NAME);
        assert_string_equal(g.name, good[i][1]);
    }
}

static void test_refused(void **state)
{
    static const char *const bad[] = {
        "",           "host",         ":80",          "host:",          "host:x",
        "host:65536", "host:9-3",     "host:-1",      "host:1-",        "::1:80",
        "[::1]",      "[::1:80",      "[::g]:80",     "10.0.0.0/33:80", "[::1/129]:80",
        "a b:80",     "1.2.3.4/x:80", "a..b:80",      "1.2.3.4/8/8:80", "ho/st:80",
        "*.a.com:80", "host:1:2",     "10.0.0.0/:80", "[1.2.3.4]:80",   "http://host:80",
    };
    char name[300];
    struct err e = ERR_INIT;
    struct net_grant g;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        if (net_grant_parse(bad[i], &g, &e) >= 0)
            fail_msg("accepted: '%s'", bad[i]);
        assert_int_equal(e.code, -EINVAL);
        assert_string_equal(e.reason, "BadUsage");
        assert_contains(e.msg, "--allow-net");
    }
    memset(name, 'a', sizeof(name));
    memcpy(name + 260, ":80", sizeof(":80"));
    assert_fails(net_grant_parse(name, &g, &e), -EINVAL, "BadUsage");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_covers),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests_name("net_grant", tests, NULL, NULL);
}
