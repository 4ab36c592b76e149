/* SPDX-License-Identifier: Apache-2.0 */
/* What registries.conf says about names. */
#include "unit.h"

#include "base/buf.h"
#include "base/fds.h"
#include "base/paths.h"
#include "store/registries.h"

#define HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void add(struct registries *c, const char *text)
{
    struct err e = ERR_INIT;

    assert_ok(registries_add(c, text_of(text), "f", &e));
}

/* ---- Short names ---- */

static void check_names(const struct registries *c, const char *text,
                        enum registries_names_for what, const char *wanted)
{
    struct err e = ERR_INIT;
    autostrv names = STRV_INIT;
    autobuf shown = BUF_INIT;

    assert_ok(registries_names(c, text, what, &names, &e));
    for (size_t i = 0; i < names.n; i++)
        buf_addf(&shown, "%s%s", i ? " " : "", names.v[i]);
    assert_string_equal(buf_str(&shown), wanted);
}

static void test_names_without_a_file(void **state)
{
    autoregistries c = {0};

    (void)state;
    check_names(&c, "alpine", NAMES_TO_FETCH, "docker.io/library/alpine:latest");
    check_names(&c, "a/b:1", NAMES_STORED, "docker.io/a/b:1");
    check_names(&c, "quay.io/a:1", NAMES_TO_FETCH, "quay.io/a:1");
}

static void test_search_registries(void **state)
{
    autoregistries c = {0};
    autostrv names = STRV_INIT;
    struct err e = ERR_INIT;

    (void)state;
    add(&c, "unqualified-search-registries = ['one.example', 'two.example:5000/team/']");
    check_names(&c, "a:1", NAMES_TO_FETCH, "one.example/a:1 two.example:5000/team/a:1");
    check_names(&c, "a:1", NAMES_STORED,
                "one.example/a:1 two.example:5000/team/a:1 docker.io/library/a:1");
    check_names(&c, "quay.io/a:1", NAMES_STORED, "quay.io/a:1");
    add(&c, "short-name-mode = 'enforcing'");
    assert_fails(registries_names(&c, "a:1", NAMES_TO_FETCH, &names, &e), -EINVAL, "AmbiguousName");
    assert_contains(e.msg, "one.example/a:1, two.example:5000/team/a:1");
    check_names(&c, "a:1", NAMES_STORED,
                "one.example/a:1 two.example:5000/team/a:1 docker.io/library/a:1");
    add(&c, "unqualified-search-registries = ['docker.io']");
    check_names(&c, "a", NAMES_TO_FETCH, "docker.io/library/a:latest");
    check_names(&c, "a", NAMES_STORED, "docker.io/library/a:latest");
    add(&c, "unqualified-search-registries = []");
    check_names(&c, "a", NAMES_TO_FETCH, "docker.io/library/a:latest");
}

static void test_aliases(void **state)
{
    autoregistries c = {0};

    (void)state;
    add(&c, "unqualified-search-registries = ['one.example', 'two.example']\n"
            "short-name-mode = 'enforcing'\n"
            "[aliases]\na = 'quay.io/team/a'\n'b/c' = 'localhost:5000/c'\nd = 'docker.io/d'\n");
    check_names(&c, "a", NAMES_TO_FETCH, "quay.io/team/a:latest");
    check_names(&c, "a:1@sha256:" HEX, NAMES_TO_FETCH, "quay.io/team/a:1@sha256:" HEX);
    check_names(&c, "b/c:2", NAMES_STORED, "localhost:5000/c:2 docker.io/b/c:2");
    check_names(&c, "d", NAMES_TO_FETCH, "docker.io/library/d:latest");
    add(&c, "[aliases]\na = 'quay.io/other/a'\nd = ''\nunqualified = 'x.example/y'");
    check_names(&c, "a", NAMES_TO_FETCH, "quay.io/other/a:latest");
    check_names(&c, "b/c", NAMES_TO_FETCH, "localhost:5000/c:latest");
    add(&c, "unqualified-search-registries = ['one.example']");
    check_names(&c, "d", NAMES_TO_FETCH, "one.example/d:latest");
}

/* ---- Where an image is ---- */

static void check_sources(const struct registries *c, const char *text, const char *wanted)
{
    __attribute__((cleanup(reference_done))) struct reference r = {0};
    struct err e = ERR_INIT;
    autosources sources = {0};
    autobuf shown = BUF_INIT;

    assert_ok(reference_parse(text, &r, &e));
    assert_ok(registries_sources(c, &r, &sources, &e));
    for (size_t i = 0; i < sources.n; i++) {
        autofree char *name = reference_format(&sources.v[i].reference);

        buf_addf(&shown, "%s%s%s", i ? " " : "", name,
                 sources.v[i].is_insecure ? " (insecure)" : "");
    }
    assert_string_equal(buf_str(&shown), wanted);
}

static void check_blocked(const struct registries *c, const char *text, const char *place)
{
    __attribute__((cleanup(reference_done))) struct reference r = {0};
    struct err e = ERR_INIT;
    autosources sources = {0};
    bool is_insecure;

    assert_ok(reference_parse(text, &r, &e));
    assert_fails(registries_sources(c, &r, &sources, &e), -EPERM, "RegistryBlocked");
    assert_contains(e.msg, place);
    e = ERR_INIT;
    assert_fails(registries_direct(c, &r, &is_insecure, &e), -EPERM, "RegistryBlocked");
}

static void test_mirrors(void **state)
{
    autoregistries c = {0};

    (void)state;
    /* The example of the manual page. */
    add(&c, "unqualified-search-registries = [\"example.com\"]\n"
            "[[registry]]\nprefix = \"example.com/foo\"\ninsecure = false\nblocked = false\n"
            "location = \"internal-registry-for-example.com/bar\"\n"
            "[[registry.mirror]]\nlocation = \"example-mirror-0.local/mirror-for-foo\"\n"
            "[[registry.mirror]]\nlocation = \"example-mirror-1.local/mirrors/foo\"\n"
            "insecure = true\n"
            "[[registry]]\nlocation = \"registry.com\"\n"
            "[[registry.mirror]]\nlocation = \"mirror.registry.com\"\n");
    check_sources(&c, "example.com/foo/image:latest",
                  "example-mirror-0.local/mirror-for-foo/image:latest "
                  "example-mirror-1.local/mirrors/foo/image:latest (insecure) "
                  "internal-registry-for-example.com/bar/image:latest");
    check_sources(&c, "example.com/foo:1",
                  "example-mirror-0.local/mirror-for-foo:1 "
                  "example-mirror-1.local/mirrors/foo:1 (insecure) "
                  "internal-registry-for-example.com/bar:1");
    check_sources(&c, "example.com/fools:1", "example.com/fools:1");
    check_sources(&c, "registry.com/a@sha256:" HEX,
                  "mirror.registry.com/a@sha256:" HEX " registry.com/a@sha256:" HEX);
    check_sources(&c, "registry.com:5000/a:1",
                  "mirror.registry.com:5000/a:1 registry.com:5000/a:1");
    check_sources(&c, "other.com/a:1", "other.com/a:1");
}

static void test_mirrors_by_kind_of_name(void **state)
{
    autoregistries c = {0};

    (void)state;
    add(&c, "[[registry]]\nlocation = 'a.example'\nmirror-by-digest-only = true\n"
            "mirror = [{location = 'm.example'}]\n"
            "[[registry]]\nlocation = 'b.example'\n"
            "[[registry.mirror]]\nlocation = 'd.example'\npull-from-mirror = 'digest-only'\n"
            "[[registry.mirror]]\nlocation = 't.example'\npull-from-mirror = 'tag-only'\n"
            "[[registry.mirror]]\nlocation = 'm.example'\npull-from-mirror = 'all'\n");
    check_sources(&c, "a.example/x:1", "a.example/x:1");
    check_sources(&c, "a.example/x@sha256:" HEX,
                  "m.example/x@sha256:" HEX " a.example/x@sha256:" HEX);
    check_sources(&c, "b.example/x:1", "t.example/x:1 m.example/x:1 b.example/x:1");
    check_sources(&c, "b.example/x@sha256:" HEX,
                  "d.example/x@sha256:" HEX " m.example/x@sha256:" HEX " b.example/x@sha256:" HEX);
}

static void test_the_longest_prefix(void **state)
{
    autoregistries c = {0};

    (void)state;
    add(&c, "[[registry]]\nprefix = '*.example.com'\ninsecure = true\n"
            "[[registry.mirror]]\nlocation = 'm.local'\n"
            "[[registry]]\nprefix = '*.b.example.com'\nlocation = 'b.local/x'\n"
            "[[registry]]\nlocation = 'docker.io/library'\nblocked = true\n"
            "[[registry]]\nprefix = 'docker.io/library/good'\nlocation = 'docker.io/library/good'\n"
            "[[registry]]\nprefix = 'quay.io/a:1'\nlocation = 'quay.io/a:2'\n");
    check_sources(&c, "x.example.com/a:1", "m.local/a:1 x.example.com/a:1 (insecure)");
    check_sources(&c, "y.x.example.com/a:1", "m.local/a:1 y.x.example.com/a:1 (insecure)");
    check_sources(&c, "x.b.example.com/a:1", "b.local/x/a:1");
    check_sources(&c, "example.com/a:1", "example.com/a:1");
    check_sources(&c, "myexample.com/a:1", "myexample.com/a:1");
    check_sources(&c, "x.example.com.evil/a:1", "x.example.com.evil/a:1");
    check_sources(&c, "quay.io/a:1", "quay.io/a:2");
    check_sources(&c, "quay.io/a:12", "quay.io/a:12");
    check_blocked(&c, "alpine", "f:9");
    check_sources(&c, "good", "docker.io/library/good:latest");
    /* A later file takes a rule's place by its prefix. */
    add(&c, "[[registry]]\nprefix = '*.example.com'\nblocked = true\n"
            "[[registry]]\nlocation = 'docker.io/library'");
    check_blocked(&c, "x.example.com/a", "f:1");
    check_sources(&c, "alpine", "docker.io/library/alpine:latest");
}

static void test_direct(void **state)
{
    __attribute__((cleanup(reference_done))) struct reference r = {0};
    autoregistries c = {0};
    struct err e = ERR_INIT;
    bool is_insecure = false;

    (void)state;
    add(&c, "[[registry]]\nlocation = 'a.example'\ninsecure = true\n"
            "[[registry.mirror]]\nlocation = 'm.example'\n");
    assert_ok(reference_parse("a.example/x", &r, &e));
    assert_ok(registries_direct(&c, &r, &is_insecure, &e));
    assert_true(is_insecure);
}

/* ---- Files ---- */

static void test_refused(void **state)
{
    static const struct {
        const char *text, *said;
    } cases[] = {
        {"[registries.search]\nregistries = ['a']",                                           "version 1"                                 },
        {"\nunqualified-search-registries = 'a'",
         "f:2: 'unqualified-search-registries' has to be an array"                                                                        },
        {"unqualified-search-registries = [true]",                                            "has to be a string"                        },
        {"unqualified-search-registries = ['https://a']",                                     "without http://"                           },
        {"unqualified-search-registries = ['/']",                                             "empty"                                     },
        {"short-name-mode = 'x'",                                                             "f:1: 'short-name-mode' has to be enforcing"},
        {"registry = 'a'",                                                                    "has to be an array"                        },
        {"registry = ['a']",                                                                  "has to be a table"                         },
        {"[[registry]]\nblocked = 'yes'\nlocation = 'a'",                                     "f:2: 'blocked' has to be true or false"    },
        {"[[registry]]\nprefix = 'a'",                                                        "f:1: a registry needs a location"          },
        {"[[registry]]\nlocation = ''",                                                       "needs a location"                          },
        {"[[registry]]\nlocation = 'http://a'",                                               "without http://"                           },
        {"[[registry]]\nprefix = 'a.*.b'\nlocation = 'a'",                                    "*.example.com"                             },
        {"[[registry]]\nprefix = '*.b/c'\nlocation = 'a'",                                    "*.example.com"                             },
        {"[[registry]]\nlocation = 'a'\n[[registry.mirror]]\ninsecure = true",
         "f:3: a mirror needs"                                                                                                            },
        {"[[registry]]\nlocation = 'a'\nmirror = ['b']",                                      "f:3: a mirror has to be a table"           },
        {"[[registry]]\nlocation = 'a'\nmirror = [{location = 'b', pull-from-mirror = 'x'}]",
         "digest-only or tag-only"                                                                                                        },
        {"[[registry]]\nlocation = 'a'\nmirror-by-digest-only = true\n"
         "mirror = [{location = 'b', pull-from-mirror = 'all'}]",                    "exclude each other"                        },
        {"[aliases]\na = true",                                                               "has to stand for a string"                 },
        {"[aliases]\n'quay.io/a' = 'quay.io/b'",                                              "f:2: 'quay.io/a' is no short name"         },
        {"[aliases]\n'a:1' = 'quay.io/b'",                                                    "is no short name"                          },
        {"[aliases]\na = 'b'",                                                                "with a registry"                           },
        {"[aliases]\na = 'quay.io/b:1'",                                                      "without tag"                               },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct err e = ERR_INIT;
        autoregistries c = {0};

        assert_fails(registries_add(&c, text_of(cases[i].text), "f", &e), -EINVAL,
                     "BadRegistriesConf");
        assert_contains(e.msg, cases[i].said);
    }
}

static void test_a_bad_location_is_told_when_it_is_used(void **state)
{
    __attribute__((cleanup(reference_done))) struct reference r = {0};
    struct err e = ERR_INIT;
    autoregistries c = {0};
    autosources sources = {0};

    (void)state;
    add(&c, "\n[[registry]]\nprefix = 'a.example'\nlocation = 'b.example/Capital'");
    assert_ok(reference_parse("a.example/x", &r, &e));
    assert_fails(registries_sources(&c, &r, &sources, &e), -EINVAL, "BadReference");
    assert_contains(e.msg, "f:2: ");
}

static void test_what_is_not_known_is_passed_over(void **state)
{
    autoregistries c = {0};

    (void)state;
    add(&c, "credential-helpers = ['x']\nnew = {}\n[[registry]]\nlocation = 'a.example'\nblockd = "
            "true");
    assert_int_equal(c.warnings.n, 2);
    assert_string_equal(c.warnings.v[0], "f:2: 'new' is not known here");
    assert_string_equal(c.warnings.v[1], "f:5: 'blockd' is not known here");
    check_sources(&c, "a.example/x", "a.example/x:latest");
}

static void test_credential_helpers(void **state)
{
    autoregistries c = {0};
    struct err e = ERR_INIT;
    static const char *const bad[] = {"credential-helpers = 'x'", "credential-helpers = [true]"};

    (void)state;
    add(&c, "credential-helpers = ['a', 'containers-auth.json']");
    assert_int_equal(c.helpers.n, 2);
    assert_string_equal(c.helpers.v[1], REGISTRIES_AUTH_FILES);
    assert_string_equal(c.helpers_place, "f:1");
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_fails(registries_add(&c, (struct text){bad[i], strlen(bad[i])}, "f", &e), -EINVAL,
                     "BadRegistriesConf");
    assert_int_equal(c.helpers.n, 2);
    /* A list takes the place of what came before it, an empty one too. */
    add(&c, "short-name-mode = 'disabled'");
    assert_int_equal(c.helpers.n, 2);
    add(&c, "\ncredential-helpers = ['b']");
    assert_string_equal(c.helpers.v[0], "b");
    assert_string_equal(c.helpers_place, "f:2");
    add(&c, "credential-helpers = []");
    assert_int_equal(c.helpers.n, 0);
    assert_null(c.helpers_place);
}

static void file_make(const char *folder, const char *name, const char *text)
{
    autofree char *path = path_join(folder, name), *dir = path_dir(path);
    struct err e = ERR_INIT;

    assert_ok(path_mkdir_p(dir, 0700, &e));
    assert_ok(file_write(path, text, strlen(text), 0644, 0, &e));
}

static void read_files(struct registries *c)
{
    struct err e = ERR_INIT;

    registries_done(c);
    assert_ok(registries_read(c, &e));
}

static void test_files_and_their_order(void **state)
{
    char *home = unit_temp_dir();
    autofree char *named = path_join(home, "named.conf");
    autoregistries c = {0};
    struct err e = ERR_INIT;

    (void)state;
    setenv("HOME", home, 1);
    unsetenv("CONTAINERS_REGISTRIES_CONF");
    file_make(home, ".config/containers/registries.conf",
              "unqualified-search-registries = ['main.example']\n"
              "[aliases]\nwherry-a = 'main.example/a'\nwherry-b = 'main.example/b'");
    file_make(home, ".config/containers/registries.conf.d/20.conf",
              "[aliases]\nwherry-a = 'second.example/a'");
    file_make(home, ".config/containers/registries.conf.d/10.conf",
              "[aliases]\nwherry-a = 'first.example/a'");
    file_make(home, ".config/containers/registries.conf.d/30.conf.off", "no TOML");
    read_files(&c);
    check_names(&c, "wherry-a", NAMES_TO_FETCH, "second.example/a:latest");
    check_names(&c, "wherry-b", NAMES_TO_FETCH, "main.example/b:latest");
    check_names(&c, "wherry-c", NAMES_TO_FETCH, "main.example/wherry-c:latest");

    setenv("CONTAINERS_REGISTRIES_CONF", named, 1);
    assert_fails(registries_read(&c, &e), -ENOENT, "NotFound");
    e = ERR_INIT;
    file_make(home, "named.conf", "unqualified-search-registries = ['named.example']");
    read_files(&c);
    check_names(&c, "wherry-c", NAMES_TO_FETCH, "named.example/wherry-c:latest");
    check_names(&c, "wherry-a", NAMES_TO_FETCH, "second.example/a:latest");

    file_make(home, "named.conf", "unqualified-search-registries = ['named.example'");
    assert_fails(registries_read(&c, &e), -EINVAL, "BadToml");
    assert_contains(e.msg, "named.conf:1: ");
    unsetenv("CONTAINERS_REGISTRIES_CONF");
    unit_remove(home);
}

/* Debian's golang-github-containers-common, which podman, buildah and skopeo bring. */
static void test_the_files_that_podman_ships(void **state)
{
    static const char *const paths[] = {"/etc/containers/registries.conf",
                                        "/etc/containers/registries.conf.d/shortnames.conf"};
    autoregistries c = {0};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
        struct err e = ERR_INIT;
        autobuf text = BUF_INIT;

        if (access(paths[i], R_OK) < 0)
            skip();
        assert_ok(file_read(paths[i], 1 << 20, &text, &e));
        assert_ok(registries_add(&c, (struct text){text.data, text.len}, paths[i], &e));
    }
    assert_int_equal(c.warnings.n, 0);
    check_names(&c, "ubi8/ubi:8", NAMES_TO_FETCH, "registry.access.redhat.com/ubi8/ubi:8");
    check_names(&c, "debian", NAMES_TO_FETCH, "docker.io/library/debian:latest");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_without_a_file),
        cmocka_unit_test(test_search_registries),
        cmocka_unit_test(test_aliases),
        cmocka_unit_test(test_mirrors),
        cmocka_unit_test(test_mirrors_by_kind_of_name),
        cmocka_unit_test(test_the_longest_prefix),
        cmocka_unit_test(test_direct),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_a_bad_location_is_told_when_it_is_used),
        cmocka_unit_test(test_what_is_not_known_is_passed_over),
        cmocka_unit_test(test_credential_helpers),
        cmocka_unit_test(test_files_and_their_order),
        cmocka_unit_test(test_the_files_that_podman_ships),
    };

    return cmocka_run_group_tests_name("registries", tests, NULL, NULL);
}
