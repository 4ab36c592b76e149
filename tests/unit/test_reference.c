/* SPDX-License-Identifier: Apache-2.0 */
/* Names of images in registries, as people write them. */
#include "unit.h"

#include "store/reference.h"

#define HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void test_names_in_full(void **state)
{
    static const struct {
        const char *text, *full;
    } cases[] = {
        {"alpine",                             "docker.io/library/alpine:latest"   },
        {"alpine:3",                           "docker.io/library/alpine:3"        },
        {"team/app",                           "docker.io/team/app:latest"         },
        {"docker.io/alpine",                   "docker.io/library/alpine:latest"   },
        {"index.docker.io/a/b:1",              "docker.io/a/b:1"                   },
        {"localhost/app",                      "localhost/app:latest"              },
        {"localhost:5000/app:v1",              "localhost:5000/app:v1"             },
        {"127.0.0.1:5000/a/b/c_d--e__f.g:V_1", "127.0.0.1:5000/a/b/c_d--e__f.g:V_1"},
        {"[::1]:5000/app",                     "[::1]:5000/app:latest"             },
        {"Registry/app",                       "Registry/app:latest"               },
        {"quay.io/a@sha256:" HEX,              "quay.io/a@sha256:" HEX             },
        {"a:1@sha256:" HEX,                    "docker.io/library/a:1@sha256:" HEX },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct reference r, again;
        struct err e = ERR_INIT;
        autofree char *full = NULL, *twice = NULL;

        assert_ok(reference_parse(cases[i].text, &r, &e));
        full = reference_format(&r);
        assert_string_equal(full, cases[i].full);
        assert_ok(reference_parse(full, &again, &e));
        twice = reference_format(&again);
        assert_string_equal(twice, full);
        reference_done(&r);
        reference_done(&again);
    }
}

static void test_bad_names(void **state)
{
    static const struct {
        const char *text, *place;
    } cases[] = {
        {"",                  "empty"         },
        {"App",               "character 1"   },
        {"a/App",             "capital letter"},
        {"a..b",              "character 2"   },
        {"a/",                "character 3"   },
        {"-a",                "character 1"   },
        {"a..b",              "character 2"   },
        {"a:",                "a tag begins"  },
        {"a:.x",              "a tag begins"  },
        {"a:b c",             "character 4"   },
        {"a@sha512:00",       "sha256:"       },
        {"a@sha256:00",       "64 hexadecimal"},
        {"localhost:0/a",     "port"          },
        {"localhost:65536/a", "port"          },
        {"localhost:/a",      "port"          },
        {"-x.y/a",            "no host name"  },
        {"x..y/a",            "no host name"  },
        {"[::1/a",            "no host name"  },
        {"../../etc/passwd",  "no image name" },
        {"quay.io/../x",      "character 9"   },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct reference r;
        struct err e = ERR_INIT;

        assert_fails(reference_parse(cases[i].text, &r, &e), -EINVAL, "BadReference");
        if (!strstr(e.msg, cases[i].place))
            fail_msg("'%s': '%s' has no '%s'", cases[i].text, e.msg, cases[i].place);
    }
}

static void test_a_path_is_no_longer_in_full(void **state)
{
    const size_t most = 255 - strlen("library/");
    char name[300];
    struct reference r;
    struct err e = ERR_INIT;

    (void)state;
    memset(name, 'a', sizeof(name));
    name[most] = 0;
    assert_ok(reference_parse(name, &r, &e));
    reference_done(&r);
    name[most] = 'a';
    name[most + 1] = 0;
    assert_fails(reference_parse(name, &r, &e), -EINVAL, "BadReference");
}

static void test_a_name_is_no_longer_in_full(void **state)
{
    char name[600] = "";
    struct reference r;
    struct err e = ERR_INIT;

    (void)state;
    for (size_t i = 0; i < 248; i++)
        name[i] = i % 2 ? '.' : 'a';
    name[248] = 'a';
    name[249] = '/';
    memset(name + 250, 'a', 255);
    assert_ok(reference_parse(name, &r, &e));
    reference_done(&r);
    memmove(name + 2, name, strlen(name) + 1); /* 507 bytes, to which come those of ":latest" */
    assert_fails(reference_parse(name, &r, &e), -EINVAL, "BadReference");
}

static void test_what_is_no_path(void **state)
{
    (void)state;
    assert_true(reference_is_plain("alpine:3"));
    assert_true(reference_is_plain("quay.io/a"));
    assert_true(reference_is_plain("localhost/a"));
    assert_false(reference_is_plain("alpine"));
    assert_false(reference_is_plain("build/hello"));
    assert_false(reference_is_plain("./a:b"));
    assert_false(reference_is_plain("/a:b"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_in_full),
        cmocka_unit_test(test_bad_names),
        cmocka_unit_test(test_a_path_is_no_longer_in_full),
        cmocka_unit_test(test_a_name_is_no_longer_in_full),
        cmocka_unit_test(test_what_is_no_path),
    };
    return cmocka_run_group_tests_name("reference", tests, NULL, NULL);
}
