/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "base/util.h"
#include "cli/commands.h"
#include "cli/serve_options.h"

static void test_addresses(void **state)
{
    static const struct {
        const char *text, *shown;
        bool is_dual;
    } good[] = {
        {"8080",             "127.0.0.1:8080",   false},
        {"0",                "127.0.0.1:0",      false},
        {":8080",            "[::]:8080",        true },
        {"*:8080",           "[::]:8080",        true },
        {"127.0.0.1:0",      "127.0.0.1:0",      false},
        {"0.0.0.0:80",       "0.0.0.0:80",       false},
        {"[::1]:80",         "[::1]:80",         false},
        {"[::]:80",          "[::]:80",          false},
        {"[0:0::1]:80",      "[::1]:80",         false},
        {"localhost:8080",   "127.0.0.1:8080",   false},
        {"LocalHost:65535",  "127.0.0.1:65535",  false},
        {"unix:/run/x.sock", "unix:/run/x.sock", false},
        {"unix:a:8080",      "unix:a:8080",      false},
    };
    struct listen_address a;
    struct err e = ERR_INIT;
    char text[LISTEN_TEXT_SIZE];

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        assert_ok(listen_address_parse("--listen", good[i].text, &a, &e));
        listen_address_format(&a, text);
        assert_string_equal(text, good[i].shown);
        assert_int_equal(a.is_dual, good[i].is_dual);
    }
}

/* The message says what to write instead. */
static void test_addresses_refused(void **state)
{
    static const struct {
        const char *text, *message;
    } bad[] = {
        {"",                "has no port; write :8080"         },
        {"127.0.0.1",       "has no port; write 127.0.0.1:8080"},
        {"[::1]",           "has no port; write [::1]:8080"    },
        {"localhost",       "write localhost:8080"             },
        {"/run/x.sock",     "write unix:/run/x.sock"           },
        {"http://a:80",     "write the address alone, a:80"    },
        {"::1:80",          "write an IPv6 address in brackets"},
        {"::1",             "write an IPv6 address in brackets"},
        {"65536",           "'65536' is not a port, 0 to 65535"},
        {"127.0.0.1:65536", "'65536' is not a port"            },
        {"127.0.0.1:",      "'' is not a port"                 },
        {"127.0.0.1:-1",    "'-1' is not a port"               },
        {"127.0.0.1:80x",   "'80x' is not a port"              },
        {":http",           "'http' is not a port"             },
        {"256.0.0.1:80",    "or :80 for all"                   },
        {"example.com:80",  "'example.com' is not an address"  },
        {"[::1:80",         "'[::1' is not an address"         },
        {"[]:80",           "'[]' is not an address"           },
        {"[:80",            "'[' is not an address"            },
        {"unix:",           "write unix:/PATH"                 },
        {"unix:\xff",       "not UTF-8"                        },
    };
    struct listen_address a;
    struct err e = ERR_INIT;
    char path[200];

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        if (listen_address_parse("--metrics", bad[i].text, &a, &e) != -EINVAL)
            fail_msg("'%s' was accepted", bad[i].text);
        assert_string_equal(e.reason, "BadUsage");
        assert_contains(e.msg, bad[i].message);
        assert_contains(e.msg, "--metrics");
    }
    memset(path, 'x', sizeof(path));
    memcpy(path, "unix:", 5);
    path[5 + 107] = 0;
    assert_ok(listen_address_parse("--listen", path, &a, &e));
    path[5 + 107] = 'x';
    path[5 + 108] = 0;
    assert_fails(listen_address_parse("--listen", path, &a, &e), -E2BIG, "BadUsage");
}

static void test_addresses_together(void **state)
{
    static const struct {
        const char *first, *second;
        bool is_refused;
    } rows[] = {
        {"8080",        "127.0.0.1:8080", true },
        {"8080",        "127.0.0.1:8081", false},
        {":8080",       "127.0.0.1:8080", true },
        {":8080",       "[::1]:8080",     true },
        {"0.0.0.0:80",  "127.0.0.1:80",   true },
        {"0.0.0.0:80",  "[::]:80",        false},
        {"127.0.0.1:0", "127.0.0.1:0",    false},
        {"127.0.0.1:1", "127.0.0.2:1",    false},
        {"[::1]:1",     "[0::1]:1",       true },
        {"unix:a",      "unix:a",         true },
        {"unix:a",      "unix:b",         false},
        {"unix:a",      ":80",            false},
    };
    struct err e = ERR_INIT;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        autostrv texts = STRV_INIT;
        struct listen_addresses a = {0};

        strv_add(&texts, rows[i].first);
        assert_int_equal(listen_addresses_parse(&texts, rows[i].second, &a, &e) < 0,
                         rows[i].is_refused);
        assert_int_equal(a.has_metrics, !rows[i].is_refused);
        listen_addresses_done(&a);
        strv_add(&texts, rows[i].second);
        assert_int_equal(listen_addresses_parse(&texts, NULL, &a, &e) < 0, rows[i].is_refused);
        assert_int_equal(a.n, rows[i].is_refused ? 0 : 2);
        listen_addresses_done(&a);
    }
}

static void test_routes(void **state)
{
    static const struct {
        const char *text, *path, *file;
    } good[] = {
        {"/=a.wasm",           "/",            "a.wasm"       },
        {"/api=/srv/a=b.wasm", "/api",         "/srv/a=b.wasm"},
        {"//api///v1/=a",      "/api/v1",      "a"            },
        {"/%61%2f%c3%a9~=a",   "/a%2F%C3%A9~", "a"            },
        {"/...=a",             "/...",         "a"            },
        {"/a:b@c;d,e!=a",      "/a:b@c;d,e!",  "a"            },
    };
    struct serve_route r;
    struct err e = ERR_INIT;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        assert_ok(serve_route_parse(good[i].text, &r, &e));
        assert_null(r.host);
        assert_string_equal(r.path, good[i].path);
        assert_string_equal(r.file, good[i].file);
        serve_route_done(&r);
    }
}

static void test_routes_refused(void **state)
{
    static const struct {
        const char *text, *message;
    } bad[] = {
        {"",            "names no program; write /PATH=FILE"},
        {"/api",        "names no program"                  },
        {"/api=",       "names no program behind the ="     },
        {"api=a",       "write --host NAME=FILE"            },
        {"=a",          "write /PATH=FILE"                  },
        {"/a?b=c",      "neither a query"                   },
        {"/a#b=c",      "neither a query"                   },
        {"/a b=c",      "%XX"                               },
        {"/\xc3\xa9=c", "%XX"                               },
        {"/%4=c",       "two hexadecimal digits"            },
        {"/%=c",        "two hexadecimal digits"            },
        {"/%zz=c",      "two hexadecimal digits"            },
        {"/a/../b=c",   "clients resolve . and .."          },
        {"/a/%2e=c",    "clients resolve . and .."          },
        {"/..=c",       "clients resolve . and .."          },
        {"/a=\xff",     "not UTF-8"                         },
    };
    autofree char *large = xcalloc(SERVE_ROUTE_LIMIT + 10, 1);
    struct serve_route r;
    struct err e = ERR_INIT;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        if (serve_route_parse(bad[i].text, &r, &e) != -EINVAL)
            fail_msg("'%s' was accepted", bad[i].text);
        assert_contains(e.msg, "--route");
        assert_contains(e.msg, bad[i].message);
    }
    memset(large, 'x', SERVE_ROUTE_LIMIT + 3);
    large[0] = '/';
    large[SERVE_ROUTE_LIMIT] = '=';
    assert_ok(serve_route_parse(large, &r, &e));
    serve_route_done(&r);
    large[SERVE_ROUTE_LIMIT] = 'x';
    large[SERVE_ROUTE_LIMIT + 1] = '=';
    assert_fails(serve_route_parse(large, &r, &e), -EINVAL, "BadUsage");
}

static void test_hosts(void **state)
{
    static const struct {
        const char *text, *host, *path;
    } good[] = {
        {"A.Example=a",       "a.example",       "/"   },
        {"a.example.=a",      "a.example",       "/"   },
        {"a.example/=a",      "a.example",       "/"   },
        {"a.example/api/=a",  "a.example",       "/api"},
        {"10.0.0.1=a",        "10.0.0.1",        "/"   },
        {"[0::1]/x=a",        "[::1]",           "/x"  },
        {"xn--bcher-kva_1=a", "xn--bcher-kva_1", "/"   },
    };
    static const struct {
        const char *text, *message;
    } bad[] = {
        {"",               "names no program"             },
        {"a.example",      "names no program"             },
        {"a.example=",     "names no program behind the ="},
        {"=a",             "names no host"                },
        {"/x=a",           "names no host"                },
        {"a.example:80=a", "leave the port out"           },
        {"[::1]:80=a",     "leave the port out"           },
        {"*=a",            "write --route /PATH=FILE"     },
        {"*.example=a",    "is not a host name"           },
        {"a..b=a",         "is not a host name"           },
        {".=a",            "is not a host name"           },
        {"a b=a",          "is not a host name"           },
        {"b\xc3\xbc=a",    "xn-- form"                    },
        {"a/../b=a",       "bad path"                     },
    };
    struct serve_route r;
    struct err e = ERR_INIT;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        assert_ok(serve_host_parse(good[i].text, &r, &e));
        assert_string_equal(r.host, good[i].host);
        assert_string_equal(r.path, good[i].path);
        serve_route_done(&r);
    }
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        if (serve_host_parse(bad[i].text, &r, &e) != -EINVAL)
            fail_msg("'%s' was accepted", bad[i].text);
        assert_contains(e.msg, "--host");
        assert_contains(e.msg, bad[i].message);
    }
}

static void test_routes_together(void **state)
{
    autostrv routes = STRV_INIT;
    autostrv hosts = STRV_INIT;
    autostrv none = STRV_INIT;
    struct serve_routes r = {0};
    struct err e = ERR_INIT;

    (void)state;
    assert_fails(serve_routes_collect(NULL, &none, &none, &r, &e), -EINVAL, "BadUsage");
    assert_contains(e.msg, "FILE is missing");
    strv_add(&routes, "/api=api.wasm");
    strv_add(&hosts, "a.example=a.wasm");
    strv_add(&hosts, "b.example=b.wasm");
    strv_add(&hosts, "a.example/api=aa.wasm");
    assert_ok(serve_routes_collect("main.wasm", &routes, &hosts, &r, &e));
    assert_int_equal(r.n, 5);
    assert_string_equal(r.items[4].path, "/");
    assert_string_equal(r.items[4].file, "main.wasm");
    assert_null(r.items[4].host);
    serve_routes_done(&r);
    assert_ok(serve_routes_collect(NULL, &routes, &none, &r, &e));
    assert_int_equal(r.n, 1);
    serve_routes_done(&r);

    strv_add(&routes, "/api/=again.wasm");
    assert_fails(serve_routes_collect(NULL, &routes, &none, &r, &e), -EINVAL, "BadUsage");
    assert_contains(e.msg, "the path /api has two programs, 'api.wasm' and 'again.wasm'");
    strv_add(&hosts, "B.example.=c.wasm");
    assert_fails(serve_routes_collect("x", &none, &hosts, &r, &e), -EINVAL, "BadUsage");
    assert_contains(e.msg, "b.example/ has two programs, 'b.wasm' and 'c.wasm'");
    strv_add(&none, "/=root.wasm");
    hosts.n--;
    free(hosts.v[hosts.n]);
    hosts.v[hosts.n] = NULL;
    assert_fails(serve_routes_collect("main.wasm", &none, &hosts, &r, &e), -EINVAL, "BadUsage");
    assert_null(r.items);
}

/* What --help says is what the worker does when it is told nothing. */
static void test_defaults_are_those_of_the_spec(void **state)
{
    char *argv[] = {(char *)"serve"};
    struct serve_options o = {0};
    autostrv operands = STRV_INIT;
    struct serve_spec s;
    struct err e = ERR_INIT;

    (void)state;
    serve_spec_init(&s);
    assert_ok(options_parse(&command_serve, 1, argv, &o, &operands, &e));
    const struct {
        const struct option_number *option;
        int64_t value;
    } rows[] = {
        {&o.reuse,        s.reuse              },
        {&o.header_bytes, s.limits.header_bytes},
        {&o.headers,      s.limits.headers     },
        {&o.body_bytes,   s.limits.body_bytes  },
        {&o.requests,     s.limits.requests    },
        {&o.queue,        s.limits.queue       },
        {&o.connections,  s.limits.connections },
        {&o.idle_ms,      s.limits.idle_ms     },
        {&o.read_ms,      s.limits.read_ms     },
        {&o.write_ms,     s.limits.write_ms    },
        {&o.request_ms,   s.limits.request_ms  },
        {&o.cpu_ms,       s.limits.cpu_ms      },
        {&o.drain_ms,     s.limits.drain_ms    },
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        assert_false(rows[i].option->is_set);
        assert_int_equal(rows[i].option->value, rows[i].value);
    }
    assert_int_equal(o.memory_bytes.value, 128 << 20);
    options_done(&command_serve, &o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_addresses_refused),
        cmocka_unit_test(test_addresses_together),
        cmocka_unit_test(test_routes),
        cmocka_unit_test(test_routes_refused),
        cmocka_unit_test(test_hosts),
        cmocka_unit_test(test_routes_together),
        cmocka_unit_test(test_defaults_are_those_of_the_spec),
    };
    return cmocka_run_group_tests_name("serve_options", tests, NULL, NULL);
}
