/* SPDX-License-Identifier: Apache-2.0 */
/* What a guest finds of a request in its environment. */
#include "unit.h"

#include "base/version.h"
#include "worker/http/cgi.h"

static struct cgi_request request(const char *script_name, const char *path)
{
    return (struct cgi_request){
        .method = TEXT("POST"),
        .path = text_of(path),
        .query = TEXT("q=%20&r"),
        .host = TEXT("example.com:8080"),
        .protocol = TEXT("HTTP/1.1"),
        .scheme = TEXT("http"),
        .remote_addr = TEXT("192.0.2.1"),
        .content_type = TEXT("text/plain"),
        .script_name = text_of(script_name),
        .server_port = 8080,
        .content_length = 5,
    };
}

/* The value of one variable; NULL when there is none. */
static const char *get(const struct strv *env, const char *name)
{
    for (size_t i = 0; i < env->n; i++)
        if (str_starts(env->v[i], name) && env->v[i][strlen(name)] == '=')
            return env->v[i] + strlen(name) + 1;
    return NULL;
}

static void test_meta_variables(void **state)
{
    const struct cgi_request r = request("/shop", "/shop/a%2fb%20c");
    static const char *const expected[] = {
        "AUTH_TYPE=",
        "CONTENT_LENGTH=5",
        "CONTENT_TYPE=text/plain",
        "GATEWAY_INTERFACE=CGI/1.1",
        "PATH_INFO=/a/b c",
        "PATH_TRANSLATED=/a/b c",
        "QUERY_STRING=q=%20&r",
        "REMOTE_ADDR=192.0.2.1",
        "REMOTE_HOST=192.0.2.1",
        "REQUEST_METHOD=POST",
        "SCRIPT_NAME=/shop",
        "SERVER_NAME=example.com",
        "SERVER_PORT=8080",
        "SERVER_PROTOCOL=HTTP/1.1",
        "X_MATCHED_ROUTE=/shop/...",
        "X_RAW_PATH_INFO=/a%2fb%20c",
        "X_FULL_URL=http://example.com:8080/shop/a%2fb%20c?q=%20&r",
    };
    autostrv env = STRV_INIT;
    struct err e = ERR_INIT;

    (void)state;
    assert_ok(cgi_environment(&r, &env, &e));
    for (size_t i = 0; i < ARRAY_SIZE(expected); i++)
        if (!strv_contains(&env, expected[i]))
            fail_msg("'%s' is missing", expected[i]);
    assert_int_equal(env.n, ARRAY_SIZE(expected) + 1);
    assert_true(str_starts(get(&env, "SERVER_SOFTWARE"), "wherry/"));
    assert_contains(get(&env, "SERVER_SOFTWARE"), wherry_version);
}

/* SCRIPT_NAME and PATH_INFO together are the path. */
static void test_path_is_split(void **state)
{
    static const struct {
        const char *script, *path, *script_name, *path_info, *route;
    } cases[] = {
        {"/",     "/",        "",      "/",    "/..."     },
        {"",      "/a",       "",      "/a",   "/..."     },
        {"/",     "/a/",      "",      "/a/",  "/..."     },
        {"/shop", "/shop",    "/shop", "",     "/shop/..."},
        {"/shop", "/shop/",   "/shop", "/",    "/shop/..."},
        {"/a/b",  "/a/b/c//", "/a/b",  "/c//", "/a/b/..." },
    };
    struct err e = ERR_INIT;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const struct cgi_request r = request(cases[i].script, cases[i].path);
        autostrv env = STRV_INIT;

        assert_ok(cgi_environment(&r, &env, &e));
        assert_string_equal(get(&env, "SCRIPT_NAME"), cases[i].script_name);
        assert_string_equal(get(&env, "PATH_INFO"), cases[i].path_info);
        assert_string_equal(get(&env, "X_RAW_PATH_INFO"), cases[i].path_info);
        assert_string_equal(get(&env, "X_MATCHED_ROUTE"), cases[i].route);
    }
}

static void test_bad_paths(void **state)
{
    static const char *const bad[] = {
        "",          "*",         "shop",     "/shopping", "/sho",      "/shop/%",    "/shop/%4",
        "/shop/%4g", "/shop/%g4", "/shop/a%", "/shop/%0",  "/shop/%00", "/shop/a%00b"};
    struct err e = ERR_INIT;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        const struct cgi_request r = request("/shop", bad[i]);
        autostrv env = STRV_INIT;

        assert_fails(cgi_environment(&r, &env, &e), -EINVAL, "BadRequest");
        assert_int_equal(env.n, 0);
    }
}

static void test_nul_is_refused_anywhere(void **state)
{
    static const struct cgi_header header = {TEXT("X-A"), TEXT("a\0b")};
    struct cgi_request r = request("/", "/");
    autostrv env = STRV_INIT;
    struct err e = ERR_INIT;

    (void)state;
    r.query = (struct text)TEXT("a\0b");
    assert_fails(cgi_environment(&r, &env, &e), -EINVAL, "BadRequest");
    r = request("/", "/");
    r.headers = &header;
    r.n_headers = 1;
    assert_fails(cgi_environment(&r, &env, &e), -EINVAL, "BadRequest");
    assert_int_equal(env.n, 0);
}

static void test_body_that_is_not_there(void **state)
{
    struct cgi_request r = request("/", "/");
    autostrv env = STRV_INIT;
    struct err e = ERR_INIT;

    (void)state;
    r.content_length = -1;
    r.content_type = (struct text){0};
    r.query = (struct text){0};
    assert_ok(cgi_environment(&r, &env, &e));
    assert_null(get(&env, "CONTENT_LENGTH"));
    assert_null(get(&env, "CONTENT_TYPE"));
    assert_string_equal(get(&env, "QUERY_STRING"), "");
    assert_string_equal(get(&env, "X_FULL_URL"), "http://example.com:8080/");
}

static void test_server_name(void **state)
{
    static const struct {
        const char *host, *name, *url;
    } cases[] = {
        {"example.com", "example.com", "http://example.com/?q=%20&r"   },
        {"[::1]:8080",  "[::1]",       "http://[::1]:8080/?q=%20&r"    },
        {"[::1]",       "[::1]",       "http://[::1]/?q=%20&r"         },
        {"[::1",        "[",           "http://[::1/?q=%20&r"          },
        {"",            "localhost",   "http://localhost:8080/?q=%20&r"},
        {NULL,          "localhost",   "http://localhost:8080/?q=%20&r"},
    };
    struct err e = ERR_INIT;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct cgi_request r = request("/", "/");
        autostrv env = STRV_INIT;

        r.host = text_of(cases[i].host);
        assert_ok(cgi_environment(&r, &env, &e));
        assert_string_equal(get(&env, "SERVER_NAME"), cases[i].name);
        assert_string_equal(get(&env, "X_FULL_URL"), cases[i].url);
    }
}

static void test_headers(void **state)
{
    static const struct cgi_header headers[] = {
        {TEXT("Accept"),              TEXT("text/html")          },
        {TEXT("cookie"),              TEXT("a=1")                },
        {TEXT("X-Forwarded-For"),     TEXT("10.0.0.1")           },
        {TEXT("ACCEPT"),              TEXT("*/*")                },
        {TEXT("Cookie"),              TEXT("b=2")                },
        {TEXT("Proxy"),               TEXT("http://evil.example")},
        {TEXT("proxy-authorization"), TEXT("Basic x")            },
        {TEXT("Authorization"),       TEXT("Basic x")            },
        {TEXT("Content-Length"),      TEXT("5")                  },
        {TEXT("Content-Type"),        TEXT("text/plain")         },
        {TEXT("Content-Encoding"),    TEXT("gzip")               },
        {TEXT("Connection"),          TEXT("close")              },
        {TEXT("Transfer-Encoding"),   TEXT("chunked")            },
        {TEXT("X_Forwarded-For"),     TEXT("127.0.0.1")          },
        {TEXT("X-=Y"),                TEXT("z")                  },
        {TEXT(""),                    TEXT("z")                  },
        {TEXT("X-Bytes"),             TEXT("a\xff")              },
        {TEXT("X-Empty"),             {0}                        },
    };
    struct cgi_request r = request("/", "/");
    size_t before;
    autostrv env = STRV_INIT, none = STRV_INIT;
    struct err e = ERR_INIT;

    (void)state;
    assert_ok(cgi_environment(&r, &none, &e));
    before = none.n;
    r.headers = headers;
    r.n_headers = ARRAY_SIZE(headers);
    assert_ok(cgi_environment(&r, &env, &e));
    assert_string_equal(get(&env, "HTTP_ACCEPT"), "text/html, */*");
    assert_string_equal(get(&env, "HTTP_COOKIE"), "a=1; b=2");
    assert_string_equal(get(&env, "HTTP_X_FORWARDED_FOR"), "10.0.0.1");
    assert_string_equal(get(&env, "HTTP_CONTENT_ENCODING"), "gzip");
    assert_string_equal(get(&env, "HTTP_X_BYTES"), "a\xef\xbf\xbd");
    assert_string_equal(get(&env, "HTTP_X_EMPTY"), "");
    assert_null(get(&env, "HTTP_PROXY"));
    assert_int_equal(env.n, before + 6);
}

static void test_what_is_not_utf8_is_replaced(void **state)
{
    const struct cgi_request r = request("/", "/%ff\xc3\xbc");
    autostrv env = STRV_INIT;
    struct err e = ERR_INIT;

    (void)state;
    assert_ok(cgi_environment(&r, &env, &e));
    assert_string_equal(get(&env, "PATH_INFO"), "/\xef\xbf\xbd\xc3\xbc");
    assert_string_equal(get(&env, "X_RAW_PATH_INFO"), "/%ff\xc3\xbc");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_meta_variables),
        cmocka_unit_test(test_path_is_split),
        cmocka_unit_test(test_bad_paths),
        cmocka_unit_test(test_nul_is_refused_anywhere),
        cmocka_unit_test(test_body_that_is_not_there),
        cmocka_unit_test(test_server_name),
        cmocka_unit_test(test_headers),
        cmocka_unit_test(test_what_is_not_utf8_is_replaced),
    };
    return cmocka_run_group_tests_name("cgi", tests, NULL, NULL);
}
