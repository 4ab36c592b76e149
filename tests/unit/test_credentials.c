/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/fds.h"
#include "base/paths.h"
#include "base/util.h"
#include "image/credentials.h"

/* Base 64 of "user:pass". YTox, Yjoy and Yzoz are "a:1", "b:2" and "c:3". */
#define USER_PASS       "dXNlcjpwYXNz"
#define AUTH(key, auth) "\"" key "\":{\"auth\":\"" auth "\"}"

/* A folder in which every place that is looked at lies. */
struct place {
    char *dir;
    char *authfile;
    struct credentials_options named; /* --authfile */
    struct credentials_options plain;
};

static char *below(const struct place *p, const char *name)
{
    return path_join(p->dir, name);
}

static void put(const struct place *p, const char *name, const char *text, mode_t mode)
{
    autofree char *path = below(p, name);
    autofree char *dir = path_dir(path);
    struct err e = ERR_INIT;

    assert_ok(path_mkdir_p(dir, 0755, &e));
    assert_ok(file_write(path, text, strlen(text), mode, 0, &e));
}

static void program_put(const struct place *p, const char *name, const char *text)
{
    autofree char *path = below(p, name);

    put(p, name, text, 0755);
    assert_int_equal(chmod(path, 0755), 0);
}

static char *got(const struct place *p, const char *name)
{
    autofree char *path = below(p, name);
    autobuf text = BUF_INIT;
    struct err e = ERR_INIT;

    assert_ok(file_read(path, 1 << 21, &text, &e));
    return buf_take(&text);
}

static void assert_got(const struct place *p, const char *name, const char *expected)
{
    autofree char *text = got(p, name);

    assert_string_equal(text, expected);
}

/* A helper that keeps one credential in a file beside it, and does not know "none.example". */
static const char helper_text[] =
    "#!/bin/sh\n"
    "set -eu\n"
    "store=${0%/*}/kept.json\n"
    "none() { echo 'credentials not found in native keychain'; exit 1; }\n"
    "echo \"$1\" >>\"${0%/*}/calls\"\n"
    "case $1 in\n"
    "get) read -r url || :; echo \"$url\" >>\"${0%/*}/calls\"\n"
    "     [ \"$url\" != none.example ] || none; [ -f \"$store\" ] || none; cat \"$store\" ;;\n"
    "store) cat >\"$store\" ;;\n"
    "erase) [ -f \"$store\" ] || none; rm \"$store\" ;;\n"
    "esac\n";

static int setup(void **state)
{
    static const char *const variables[] = {"REGISTRY_AUTH_FILE", "DOCKER_CONFIG"};
    struct place *p = xcalloc(1, sizeof(*p));
    autofree char *runtime = NULL, *config = NULL, *path = NULL;

    p->dir = unit_temp_dir();
    p->authfile = below(p, "auth.json");
    p->named.authfile = p->authfile;
    p->named.helper_timeout_ms = p->plain.helper_timeout_ms = 10000;
    for (size_t i = 0; i < ARRAY_SIZE(variables); i++)
        unsetenv(variables[i]);
    runtime = below(p, "run");
    config = below(p, "config");
    path = xasprintf("%s/bin:/usr/bin:/bin", p->dir);
    setenv("XDG_RUNTIME_DIR", runtime, 1);
    setenv("XDG_CONFIG_HOME", config, 1);
    setenv("HOME", p->dir, 1);
    setenv("PATH", path, 1);
    program_put(p, "bin/docker-credential-kept", helper_text);
    *state = p;
    return 0;
}

static int teardown(void **state)
{
    struct place *p = *state;

    unit_remove(p->dir);
    free(p->authfile);
    free(p);
    return 0;
}

/* What is found as "username password token", with - for what is not there. */
static void assert_found(const struct credentials_options *o, const char *registry,
                         const char *repository, const char *expected)
{
    struct credential c = {0};
    struct err e = ERR_INIT;
    autofree char *text = NULL;
    int r = credentials_find(o, registry, repository, &c, &e);

    if (r < 0)
        fail_msg("%s/%s: %s", registry, repository ? repository : "", e.msg);
    text = r ? xasprintf("%s %s %s", c.username ? c.username : "-", c.password ? c.password : "-",
                         c.identity_token ? c.identity_token : "-")
             : xstrdup("none");
    assert_string_equal(text, expected);
    credential_done(&c);
    assert_null(c.username);
}

static void assert_refused(const struct credentials_options *o, const char *registry, int code,
                           const char *reason, const char *part)
{
    struct credential c = {0};
    struct err e = ERR_INIT;

    assert_fails(credentials_find(o, registry, NULL, &c, &e), code, reason);
    assert_contains(e.msg, part);
    assert_null(strstr(e.msg, "pass"));
    assert_null(strstr(e.msg, USER_PASS));
    assert_null(c.username);
}

static int store(const struct credentials_options *o, const char *registry, const char *username,
                 const char *password, const char *token, struct err *e)
{
    const struct credential c = {(char *)(uintptr_t)username, (char *)(uintptr_t)password,
                                 (char *)(uintptr_t)token};

    autofree char *where = NULL;

    return credentials_store(o, registry, &c, &where, e);
}

/* ---- Files ---- */

static void test_files_are_read_in_order(void **state)
{
    struct place *p = *state;

    assert_found(&p->plain, "r.example", NULL, "none");
    put(p, ".docker/config.json", "{\"auths\":{" AUTH("r.example", "YTox") "}}", 0600);
    assert_found(&p->plain, "r.example", NULL, "a 1 -");
    put(p, "config/containers/auth.json", "{\"auths\":{" AUTH("r.example", "Yjoy") "}}", 0600);
    assert_found(&p->plain, "r.example", NULL, "b 2 -");
    put(p, "run/containers/auth.json", "{\"auths\":{" AUTH("r.example", "Yzoz") "}}", 0644);
    assert_found(&p->plain, "r.example", NULL, "c 3 -");
    /* One without an entry does not hide the next. */
    put(p, "run/containers/auth.json", "{\"auths\":{\"r.example\":{}}}", 0600);
    put(p, "config/containers/auth.json", " \n", 0600);
    assert_found(&p->plain, "r.example", NULL, "a 1 -");
}

static void test_docker_config_and_home_name_folders(void **state)
{
    struct place *p = *state;
    autofree char *docker = below(p, "docker");

    put(p, ".config/containers/auth.json", "{\"auths\":{" AUTH("r.example", "YTox") "}}", 0600);
    put(p, "docker/config.json", "{\"auths\":{" AUTH("s.example", "Yjoy") "}}", 0600);
    assert_found(&p->plain, "r.example", NULL, "none");
    unsetenv("XDG_CONFIG_HOME");
    assert_found(&p->plain, "r.example", NULL, "a 1 -");
    assert_found(&p->plain, "s.example", NULL, "none");
    setenv("DOCKER_CONFIG", docker, 1);
    assert_found(&p->plain, "s.example", NULL, "b 2 -");
}

static void test_a_named_file_is_the_only_one(void **state)
{
    struct place *p = *state;

    put(p, "run/containers/auth.json", "{\"auths\":{" AUTH("r.example", "YTox") "}}", 0600);
    setenv("REGISTRY_AUTH_FILE", p->authfile, 1);
    assert_refused(&p->plain, "r.example", -ENOENT, "NotFound", p->authfile);
    put(p, "auth.json", "{}", 0600);
    assert_found(&p->plain, "r.example", NULL, "none");
    put(p, "auth.json", "{\"auths\":{" AUTH("r.example", "Yjoy") "}}", 0600);
    assert_found(&p->plain, "r.example", NULL, "b 2 -");
    setenv("REGISTRY_AUTH_FILE", "/nowhere", 1);
    assert_found(&p->named, "r.example", NULL, "b 2 -");
}

static void test_the_file_that_is_written(void **state)
{
    struct place *p = *state;
    struct err e = ERR_INIT;
    autofree char *runtime = below(p, "run/containers/auth.json"), *config = NULL;
    autofree char *path = NULL, *second = NULL, *third = NULL, *fourth = NULL;

    assert_ok(credentials_path(&p->plain, &path, &e));
    assert_string_equal(path, runtime);
    unsetenv("XDG_RUNTIME_DIR");
    config = geteuid() == 0 ? xstrdup("/run/containers/0/auth.json")
                            : below(p, "config/containers/auth.json");
    assert_ok(credentials_path(&p->plain, &second, &e));
    assert_string_equal(second, config);
    setenv("REGISTRY_AUTH_FILE", "/named", 1);
    assert_ok(credentials_path(&p->plain, &third, &e));
    assert_string_equal(third, "/named");
    assert_ok(credentials_path(&p->named, &fourth, &e));
    assert_string_equal(fourth, p->authfile);
}

/* ---- Keys ---- */

static void test_the_most_specific_key_wins(void **state)
{
    struct place *p = *state;

    put(p, "auth.json",
        "{\"auths\":{" AUTH("r.example/a/b", "YTox") "," AUTH("r.example/a", "Yjoy") "," AUTH(
            "r.example", "Yzoz") "," AUTH("s.example:5000/x", USER_PASS) "}}",
        0600);
    assert_found(&p->named, "r.example", "a/b", "a 1 -");
    assert_found(&p->named, "r.example", "a/b/c", "a 1 -");
    assert_found(&p->named, "r.example", "a/bc", "b 2 -");
    assert_found(&p->named, "r.example", "ab", "c 3 -");
    assert_found(&p->named, "r.example", NULL, "c 3 -");
    assert_found(&p->named, "s.example:5000", "x/y", "user pass -");
    assert_found(&p->named, "s.example:5000", "y", "none");
    assert_found(&p->named, "s.example", "x", "none");
}

static void test_urls_are_names_of_registries(void **state)
{
    static const char *const names[] = {"docker.io", "index.docker.io", "registry-1.docker.io"};
    static const char *const keys[] = {"docker.io", "index.docker.io",
                                       "https://index.docker.io/v1/", "http://docker.io"};
    struct place *p = *state;

    put(p, "auth.json",
        "{\"auths\":{" AUTH("https://r.example/v1/", "YTox") "," AUTH(
            "http://s.example:5000", "Yjoy") "," AUTH("t.example/v1", "Yzoz") "}}",
        0600);
    assert_found(&p->named, "r.example", "a/b", "a 1 -");
    assert_found(&p->named, "s.example:5000", "a/b", "b 2 -");
    assert_found(&p->named, "t.example", "a/b", "none");
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        autofree char *text =
            xasprintf("{\"auths\":{\"%s\":{\"auth\":\"%s\"}}}", keys[i], USER_PASS);

        put(p, "auth.json", text, 0600);
        for (size_t j = 0; j < ARRAY_SIZE(names); j++)
            assert_found(&p->named, names[j], "library/alpine", "user pass -");
    }
    /* The exact name first. */
    put(p, "auth.json",
        "{\"auths\":{" AUTH("https://index.docker.io/v1/", "YTox") "," AUTH("docker.io",
                                                                            "Yjoy") "}}",
        0600);
    assert_found(&p->named, "docker.io", NULL, "b 2 -");
}

static void test_names_that_are_no_registry(void **state)
{
    static const char *const names[] = {
        "",    "/",   "https://r.example", "r.example/a", "r.example@x",
        "a b", "a'b", "\xc3\xa9",          "r.example\n"};
    struct place *p = *state;
    struct err e = ERR_INIT;

    put(p, "auth.json", "{}", 0600);
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        assert_refused(&p->named, names[i], -EINVAL, "BadRegistry", "is no registry");
    assert_fails(store(&p->named, "r.example/a:tag", "u", "p", NULL, &e), -EINVAL, "BadRegistry");
    assert_fails(store(&p->named, "r.example/", "u", "p", NULL, &e), -EINVAL, "BadRegistry");
    assert_fails(store(&p->named, "r.example//a", "u", "p", NULL, &e), -EINVAL, "BadRegistry");
}

/* ---- Entries ---- */

static void test_forms_of_an_entry(void **state)
{
    static const struct {
        const char *entry, *expected;
    } rows[] = {
        {"{\"auth\":\"dXNlcjpwYTpzcw==\"}",                             "user pa:ss -"},
        {"{\"auth\":\"dXNlcjpwYXNzAAA=\"}",                             "user pass -" },
        {"{\"auth\":\"dXNlcjo=\"}",                                     "user  -"     },
        {"{\"auth\":\"OnBhc3M=\"}",                                     " pass -"     },
        {"{\"auth\":\"" USER_PASS "\",\"username\":\"x\",\"email\":1}", "user pass -" },
        {"{\"username\":\"u\",\"password\":\"p\"}",                     "u p -"       },
        {"{\"username\":\"u\"}",                                        "u  -"        },
        {"{\"auth\":\"\",\"identitytoken\":\"tok\"}",                   "- - tok"     },
        {"{\"auth\":\"dXNlcjo=\",\"identitytoken\":\"tok\"}",           "user  tok"   },
        {"{\"auth\":\"Og==\"}",                                         "none"        },
        {"{\"auth\":null}",                                             "none"        },
        {"null",                                                        "none"        },
        {"{}",                                                          "none"        },
    };
    struct place *p = *state;

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        autofree char *text = xasprintf("{\"auths\":{\"r.example\":%s}}", rows[i].entry);

        put(p, "auth.json", text, 0600);
        assert_found(&p->named, "r.example", "a", rows[i].expected);
    }
}

static void test_bad_files_name_the_place(void **state)
{
    static const struct {
        const char *text, *place;
    } rows[] = {
        {"[]",                                                             "$: expected an object"                     },
        {"{\"auths\":[]}",                                                 "$.auths: expected an object"               },
        {"{\"auths\":{\n\"r.example\":{\"auth\":pass}}}",                  "line 2, column"                            },
        {"{\"auths\":{\"r.example\":{\"auth\":\"" USER_PASS "\" \"x\"}}}", "line 1, column"                            },
        {"{\"auths\":{\"r.example\":{\"auth\":7}}}",                       "$.auths.r.example.auth: expected a string" },
        {"{\"auths\":{\"r.example\":\"pass\"}}",                           "$.auths.r.example: expected an object"     },
        {"{\"auths\":{\"r.example\":{\"auth\":\"dXNlcj*wYXNz\"}}}",
         "$.auths.r.example.auth: no base 64 at character 7"                                                           },
        {"{\"auths\":{\"r.example\":{\"auth\":\"dXNlcg==\"}}}",
         "$.auths.r.example.auth: there is no colon"                                                                   },
        {"{\"auths\":{\"r.example\":{\"auth\":\"dToAcGFzcw==\"}}}",
         "$.auths.r.example.auth: there is a NUL"                                                                      },
        {"{\"credHelpers\":{\"r.example\":1}}",                            "$.credHelpers.r.example: expected a string"},
        {"{\"credHelpers\":\"pass\"}",                                     "$.credHelpers: expected an object"         },
        {"{\"credsStore\":{}}",                                            "$.credsStore: expected a string"           },
    };
    struct place *p = *state;
    autofree char *large = xcalloc(1, CREDENTIALS_FILE_LIMIT_BYTES + 2);

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        put(p, "auth.json", rows[i].text, 0600);
        assert_refused(&p->named, "r.example", -EINVAL, "BadAuthFile", rows[i].place);
        assert_refused(&p->named, "r.example", -EINVAL, "BadAuthFile", p->authfile);
    }
    /* What is wrong elsewhere hinders nobody. */
    put(p, "auth.json", "{\"auths\":{\"s.example\":7," AUTH("r.example", "YTox") "},\"x\":[1]}",
        0600);
    assert_found(&p->named, "r.example", NULL, "a 1 -");
    memset(large, ' ', CREDENTIALS_FILE_LIMIT_BYTES + 1);
    put(p, "auth.json", large, 0600);
    assert_refused(&p->named, "r.example", -EINVAL, "BadAuthFile", "larger than");
    large[CREDENTIALS_FILE_LIMIT_BYTES] = 0;
    put(p, "auth.json", large, 0600);
    assert_found(&p->named, "r.example", NULL, "none");
}

/* ---- Helpers ---- */

static void test_a_helper_is_asked(void **state)
{
    struct place *p = *state;

    put(p, "auth.json",
        "{\"auths\":{" AUTH("r.example", "YTox") "," AUTH(
            "none.example",
            "YTox") "},"
                    "\"credHelpers\":{\"r.example\":\"kept\",\"none.example\":\"kept\"}}",
        0600);
    put(p, "bin/kept.json", "{\"ServerURL\":\"r\",\"Username\":\"hu\",\"Secret\":\"hs\"}", 0600);
    assert_found(&p->named, "r.example", "a/b", "hu hs -");
    /* Its word is final for this file. */
    assert_found(&p->named, "none.example", "a/b", "none");
    put(p, "bin/kept.json", "{\"ServerURL\":\"r\",\"Username\":\"<token>\",\"Secret\":\"tok\"}",
        0600);
    assert_found(&p->named, "r.example", NULL, "- - tok");
    put(p, "bin/kept.json", "{}\n", 0600);
    assert_found(&p->named, "r.example", NULL, "none");
    assert_got(p, "bin/calls",
               "get\nr.example\nget\nnone.example\nget\nr.example\nget\nr.example\n");
}

static void test_a_store_is_asked_before_the_file(void **state)
{
    struct place *p = *state;

    put(p, "auth.json",
        "{\"auths\":{" AUTH("none.example", "YTox") "," AUTH(
            "file.example",
            "Yjoy") "},"
                    "\"credsStore\":\"kept\",\"credHelpers\":{\"file.example\":\"\"}}",
        0600);
    put(p, "bin/kept.json", "{\"Username\":\"hu\",\"Secret\":\"hs\"}", 0600);
    assert_found(&p->named, "docker.io", "library/alpine", "hu hs -");
    assert_found(&p->named, "none.example", NULL, "a 1 -");
    assert_found(&p->named, "file.example", NULL, "b 2 -");
    assert_got(p, "bin/calls", "get\nhttps://index.docker.io/v1/\nget\nnone.example\n");
}

static void helper_use(const struct place *p, const char *text)
{
    program_put(p, "bin/docker-credential-x", text);
    put(p, "auth.json", "{\"credHelpers\":{\"r.example\":\"x\"}}", 0600);
}

static void test_a_helper_that_fails_is_an_error(void **state)
{
    struct place *p = *state;

    helper_use(p, "#!/bin/sh\necho 'the keyring is locked'\nexit 3\n");
    assert_refused(&p->named, "r.example", -EIO, "HelperFailed",
                   "docker-credential-x' failed at 'get' for the registry 'r.example': exit status "
                   "3, it said: the keyring is locked; run it by hand");
    assert_refused(&p->named, "r.example", -EIO, "HelperFailed", p->authfile);
    helper_use(p, "#!/bin/sh\necho '{\"Secret\":\"pass\"}'\nexit 3\n");
    assert_refused(&p->named, "r.example", -EIO, "HelperFailed", "exit status 3; run");
    helper_use(p, "#!/bin/sh\nkill -9 $$\n");
    assert_refused(&p->named, "r.example", -EIO, "HelperFailed", "it died of signal 9");
    helper_use(p, "#!/bin/sh\necho pass\n");
    assert_refused(&p->named, "r.example", -EINVAL, "BadHelper", "what is not of the protocol");
    helper_use(p, "#!/bin/sh\nexec cat /dev/zero\n");
    assert_refused(&p->named, "r.example", -EIO, "HelperFailed", "it said too much");
    helper_use(p, "#!/nowhere/sh\n");
    assert_refused(&p->named, "r.example", -EIO, "HelperFailed", "No such file");
}

static void test_a_helper_that_is_missing_or_has_a_path(void **state)
{
    struct place *p = *state;

    put(p, "auth.json", "{\"credsStore\":\"desktop.exe\"}", 0600);
    assert_refused(&p->named, "r.example", -ENOENT, "HelperMissing",
                   "'docker-credential-desktop.exe' for the registry 'r.example' is not in PATH; "
                   "install it, or take it out of");
    put(p, "auth.json", "{\"credsStore\":\"../kept\"}", 0600);
    assert_refused(&p->named, "r.example", -EINVAL, "BadHelper", "names '../kept'");
    /* Not from the current folder. */
    put(p, "auth.json", "{\"credsStore\":\"kept\"}", 0600);
    {
        autofree char *bin = below(p, "bin");

        assert_int_equal(chdir(bin), 0);
    }
    setenv("PATH", ".::", 1);
    assert_refused(&p->named, "r.example", -ENOENT, "HelperMissing", "not in PATH");
    assert_int_equal(chdir("/"), 0);
}

static void test_a_helper_has_a_time_limit(void **state)
{
    struct credentials_options o = {.helper_timeout_ms = 100};
    struct place *p = *state;
    uint64_t start = clock_monotonic_ns();

    o.authfile = p->authfile;
    helper_use(p, "#!/bin/sh\nexec sleep 60\n");
    assert_refused(&o, "r.example", -ETIMEDOUT, "HelperTimeout", "within 100 ms");
    assert_true(clock_monotonic_ns() - start < 30000000000ull);
}

static void test_what_a_helper_leaves_behind_is_not_waited_for(void **state)
{
    struct place *p = *state;
    uint64_t start = clock_monotonic_ns();

    helper_use(p, "#!/bin/sh\nsleep 8 &\necho '{\"Username\":\"u\",\"Secret\":\"s\"}'\n");
    assert_found(&p->named, "r.example", NULL, "u s -");
    assert_true(clock_monotonic_ns() - start < 6000000000ull);
}

/* ---- The helpers of registries.conf ---- */

/* The options with what a registries.conf says. */
static struct credentials_options with_conf(const struct credentials_options *o,
                                            struct registries *c, const char *text)
{
    struct credentials_options options = *o;
    struct err e = ERR_INIT;

    assert_ok(registries_add(c, (struct text){text, strlen(text)}, "/r.conf", &e));
    options.registries = c;
    return options;
}

static void test_the_first_helper_that_knows_it_wins(void **state)
{
    struct place *p = *state;
    autoregistries c = {0};
    struct credentials_options o =
        with_conf(&p->plain, &c, "credential-helpers = ['x', 'containers-auth.json', 'kept']");

    program_put(p, "bin/docker-credential-x", helper_text);
    put(p, "bin/kept.json", "{\"Username\":\"hu\",\"Secret\":\"hs\"}", 0600);
    put(p, ".docker/config.json", "{\"auths\":{" AUTH("none.example", "YTox") "}}", 0600);
    /* By the name of the registry, of Docker's too, and without the path. */
    assert_found(&o, "docker.io", "library/alpine", "hu hs -");
    assert_got(p, "bin/calls", "get\ndocker.io\n");
    assert_found(&o, "none.example", "a/b", "a 1 -");
    put(p, ".docker/config.json", "{}", 0600);
    assert_found(&o, "none.example", "a/b", "none");
    assert_got(p, "bin/calls",
               "get\ndocker.io\nget\nnone.example\nget\nnone.example\nget\nnone.example\n");
    put(p, "bin/kept.json", "{\"Username\":\"<token>\",\"Secret\":\"tok\"}", 0600);
    assert_found(&o, "r.example", NULL, "- - tok");
}

static void test_the_files_are_one_of_the_helpers(void **state)
{
    struct place *p = *state;
    autoregistries first = {0}, without = {0}, empty = {0};
    struct credentials_options o =
        with_conf(&p->named, &first, "credential-helpers = ['containers-auth.json', 'kept']");

    put(p, "auth.json", "{\"auths\":{" AUTH("r.example/a", "YTox") "}}", 0600);
    put(p, "bin/kept.json", "{\"Username\":\"hu\",\"Secret\":\"hs\"}", 0600);
    assert_found(&o, "r.example", "a/b", "a 1 -");
    assert_found(&o, "r.example", "b", "hu hs -");
    /* A file that is named is not read either when it is not one of them. */
    o = with_conf(&p->named, &without, "credential-helpers = ['kept']");
    assert_found(&o, "r.example", "a/b", "hu hs -");
    assert_found(&o, "none.example", NULL, "none");
    o = with_conf(&p->named, &empty, "credential-helpers = []");
    assert_found(&o, "r.example", "a/b", "a 1 -");
    assert_found(&o, "r.example", "b", "none");
}

static void test_helpers_that_fail_are_passed_over(void **state)
{
    struct place *p = *state;
    autoregistries c = {0};
    struct credentials_options o = with_conf(
        &p->named, &c, "\ncredential-helpers = ['x', 'gone', 'containers-auth.json', 'kept']");

    program_put(p, "bin/docker-credential-x", "#!/bin/sh\necho 'it is locked'\nexit 3\n");
    put(p, "auth.json", "{\"auths\":", 0600);
    put(p, "bin/kept.json", "{\"Username\":\"hu\",\"Secret\":\"hs\"}", 0600);
    assert_found(&o, "r.example", NULL, "hu hs -");
    /* Nobody has any, and it is said what failed. */
    assert_refused(&o, "none.example", -EIO, "HelperFailed",
                   "docker-credential-x' failed at 'get'");
    assert_refused(&o, "none.example", -EIO, "HelperFailed", "docker-credential-gone' for the");
    put(p, "auth.json", "{}", 0600);
    program_put(p, "bin/docker-credential-x", helper_text);
    assert_refused(&o, "none.example", -ENOENT, "HelperMissing", "take it out of '/r.conf:2'");
}

static void test_a_login_goes_to_the_first_helper_that_takes_it(void **state)
{
    const struct credential user = {(char *)(uintptr_t) "u", (char *)(uintptr_t) "secret", NULL};
    struct place *p = *state;
    autoregistries c = {0}, alone = {0};
    struct credentials_options o =
        with_conf(&p->named, &c, "credential-helpers = ['gone', 'kept', 'containers-auth.json']");
    autofree char *where = NULL, *file = NULL, *other = NULL;
    struct err e = ERR_INIT;

    assert_ok(credentials_store(&o, "docker.io", &user, &where, &e));
    assert_string_equal(where, "the credential helper 'kept'");
    assert_got(p, "bin/kept.json",
               "{\"ServerURL\":\"docker.io\",\"Username\":\"u\",\"Secret\":\"secret\"}");
    assert_found(&o, "docker.io", "library/a", "u secret -");
    assert_int_equal(access(p->authfile, F_OK), -1);
    /* Helpers know no paths: the file has them. */
    assert_ok(credentials_store(&o, "r.example/team", &user, &file, &e));
    assert_string_equal(file, p->authfile);

    /* A logout is from all of them. What is missing is told, after that. */
    assert_ok(credentials_store(&p->named, "docker.io", &user, &other, &e));
    assert_fails(credentials_erase(&o, "docker.io", &e), -ENOENT, "HelperMissing");
    assert_found(&p->named, "docker.io", "library/a", "none");
    o = with_conf(&p->named, &alone, "credential-helpers = ['kept']");
    assert_int_equal(credentials_erase(&o, "docker.io", &e), 0);
    assert_int_equal(credentials_erase(&o, "r.example/team", &e), 0);
    assert_fails(store(&o, "r.example/team", "u", "secret", NULL, &e), -EINVAL, "BadRegistry");
    assert_contains(e.msg, "knows no paths");
    program_put(p, "bin/docker-credential-kept", "#!/bin/sh\ncat\nexit 1\n");
    assert_fails(store(&o, "r.example", "u", "secret", NULL, &e), -EIO, "HelperFailed");
    assert_null(strstr(e.msg, "secret"));
}

/* ---- Storing ---- */

static void test_store_keeps_everything_else(void **state)
{
    struct place *p = *state;
    struct err e = ERR_INIT;
    autofree char *text = NULL;

    put(p, "auth.json",
        "{\"HttpHeaders\": {\"n\":1.10, \"big\": 1e5},\"auths\":{"
        "\"s.example\":{\"auth\":\"YTox\",\"email\":\"\\u00e9/"
        "\"},\"r.example\":{\"auth\":\"Yjoy\"}},"
        "\"psFormat\":\"table {{.ID}}\\t\",\"credHelpers\":{\"h.example\":\"kept\"}}",
        0644);
    assert_ok(store(&p->named, "r.example", "user", "pass", NULL, &e));
    assert_got(p, "auth.json",
               "{\n"
               "  \"HttpHeaders\": {\"n\":1.10, \"big\": 1e5},\n"
               "  \"auths\": {\n"
               "    \"s.example\": {\"auth\":\"YTox\",\"email\":\"\\u00e9/\"},\n"
               "    \"r.example\": {\n"
               "      \"auth\": \"" USER_PASS "\"\n"
               "    }\n"
               "  },\n"
               "  \"psFormat\": \"table {{.ID}}\\t\",\n"
               "  \"credHelpers\": {\"h.example\":\"kept\"}\n"
               "}\n");
    assert_found(&p->named, "r.example", "a", "user pass -");
    assert_found(&p->named, "s.example", "a", "a 1 -");
    assert_ok(store(&p->named, "r.example/team", "t", ":x", NULL, &e));
    assert_found(&p->named, "r.example", "team/a", "t :x -");
    assert_found(&p->named, "r.example", "a", "user pass -");

    /* And away again. */
    assert_int_equal(credentials_erase(&p->named, "r.example/team", &e), 1);
    assert_int_equal(credentials_erase(&p->named, "r.example", &e), 1);
    assert_int_equal(credentials_erase(&p->named, "r.example", &e), 0);
    text = got(p, "auth.json");
    assert_null(strstr(text, "r.example"));
    assert_contains(text, "\"email\":\"\\u00e9/\"");
    assert_contains(text, "1.10, \"big\": 1e5");
}

static void test_store_makes_private_files_and_folders(void **state)
{
    struct place *p = *state;
    struct err e = ERR_INIT;
    autofree char *dir = below(p, "run/containers"), *path = below(p, "run/containers/auth.json");
    autofree char *lock = below(p, "run/containers/.auth.json.lock");
    struct stat st;
    mode_t mask = umask(0);

    assert_int_equal(credentials_erase(&p->plain, "r.example", &e), 0);
    assert_int_equal(stat(dir, &st), -1);
    assert_ok(store(&p->plain, "r.example", "user", "pass", NULL, &e));
    umask(mask);
    assert_int_equal(stat(dir, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(stat(lock, &st), -1);
    assert_found(&p->plain, "r.example", NULL, "user pass -");
    /* One that others could read is private from then on. */
    assert_int_equal(chmod(path, 0644), 0);
    assert_found(&p->plain, "r.example", NULL, "user pass -");
    assert_ok(store(&p->plain, "s.example", "user", "pass", NULL, &e));
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
}

static void test_a_link_stays_a_link(void **state)
{
    struct place *p = *state;
    struct err e = ERR_INIT;
    autofree char *target = below(p, "elsewhere/real.json");
    struct stat st;

    put(p, "elsewhere/real.json", "{\"x\":1}", 0600);
    assert_int_equal(symlink(target, p->authfile), 0);
    assert_ok(store(&p->named, "r.example", "user", "pass", NULL, &e));
    assert_int_equal(lstat(p->authfile, &st), 0);
    assert_true(S_ISLNK(st.st_mode));
    assert_found(&p->named, "r.example", NULL, "user pass -");
}

static void test_tokens_and_odd_texts_survive(void **state)
{
    struct place *p = *state;
    struct err e = ERR_INIT;

    assert_ok(store(&p->named, "docker.io", "user", "pass", "t\"o\\k\n", &e));
    assert_found(&p->named, "docker.io", "library/a", "user  t\"o\\k\n");
    assert_ok(store(&p->named, "index.docker.io", NULL, NULL, "tok", &e));
    assert_found(&p->named, "docker.io", "library/a", "- - tok");
    assert_ok(store(&p->named, "r.example", "\xc3\xa9", "p\xff \"", NULL, &e));
    assert_found(&p->named, "r.example", NULL, "\xc3\xa9 p\xff \" -");
    assert_fails(store(&p->named, "r.example", "a:b", "p", NULL, &e), -EINVAL, "BadCredential");
    assert_fails(store(&p->named, "r.example", "a", NULL, NULL, &e), -EINVAL, "BadCredential");
    assert_found(&p->named, "r.example", NULL, "\xc3\xa9 p\xff \" -");
}

static void test_a_bad_file_is_not_replaced(void **state)
{
    struct place *p = *state;
    struct err e = ERR_INIT;

    put(p, "auth.json", "{\"auths\":", 0600);
    assert_fails(store(&p->named, "r.example", "user", "pass", NULL, &e), -EINVAL, "BadAuthFile");
    assert_contains(e.msg, p->authfile);
    assert_fails(credentials_erase(&p->named, "r.example", &e), -EINVAL, "BadAuthFile");
    assert_got(p, "auth.json", "{\"auths\":");
    put(p, "auth.json", "", 0600);
    assert_ok(store(&p->named, "r.example", "user", "pass", NULL, &e));
    assert_found(&p->named, "r.example", NULL, "user pass -");
}

static void test_erase_forgets_all_names_of_a_registry(void **state)
{
    struct place *p = *state;
    struct err e = ERR_INIT;

    put(p, "auth.json",
        "{\"auths\":{" AUTH("https://index.docker.io/v1/", "YTox") "," AUTH(
            "docker.io", "Yjoy") "," AUTH("docker.io/team", "Yzoz") "," AUTH("r.example",
                                                                             "Yzoz") "}}",
        0600);
    assert_int_equal(credentials_erase(&p->named, "docker.io", &e), 1);
    assert_found(&p->named, "docker.io", "library/alpine", "none");
    assert_found(&p->named, "docker.io", "team/a", "c 3 -");
    assert_found(&p->named, "r.example", NULL, "c 3 -");
}

static void test_a_helper_stores_and_erases(void **state)
{
    static const char text[] = "{\"credHelpers\":{\"r.example\":\"kept\"},\"auths\":{}}";
    struct place *p = *state;
    struct err e = ERR_INIT;

    put(p, "auth.json", text, 0600);
    assert_ok(store(&p->named, "r.example", "u\"", "s\n", NULL, &e));
    assert_got(p, "bin/kept.json",
               "{\"ServerURL\":\"r.example\",\"Username\":\"u\\\"\",\"Secret\":\"s\\n\"}");
    assert_found(&p->named, "r.example", NULL, "u\" s\n -");
    assert_ok(store(&p->named, "r.example", "u", "p", "tok", &e));
    assert_found(&p->named, "r.example", NULL, "- - tok");
    assert_got(p, "auth.json", text);
    assert_fails(store(&p->named, "r.example/a", "u", "p", NULL, &e), -EINVAL, "BadRegistry");
    assert_contains(e.msg, "which knows no paths");
    assert_int_equal(credentials_erase(&p->named, "r.example", &e), 1);
    assert_int_equal(credentials_erase(&p->named, "r.example", &e), 0);
    assert_found(&p->named, "r.example", NULL, "none");
}

static void test_a_helper_that_cannot_store_tells_no_secret(void **state)
{
    struct place *p = *state;
    struct err e = ERR_INIT;

    helper_use(p, "#!/bin/sh\ncat | tr -d '{}'\nexit 1\n");
    assert_fails(store(&p->named, "r.example", "u", "secret", NULL, &e), -EIO, "HelperFailed");
    assert_null(strstr(e.msg, "secret"));
    assert_contains(e.msg, "exit status 1");
}

static void store_one(const struct place *p, int i)
{
    autofree char *registry = xasprintf("r%d.example", i);
    struct err e = ERR_INIT;

    _exit(store(&p->named, registry, "user", "pass", NULL, &e) < 0);
}

static void test_parallel_logins_lose_nothing(void **state)
{
    struct place *p = *state;
    int status;

    for (int i = 0; i < 16; i++)
        if (fork() == 0)
            store_one(p, i);
    for (int i = 0; i < 16; i++) {
        assert_true(wait(&status) > 0);
        assert_int_equal(status, 0);
    }
    for (int i = 0; i < 16; i++) {
        autofree char *registry = xasprintf("r%d.example", i);

        assert_found(&p->named, registry, NULL, "user pass -");
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_files_are_read_in_order),
        TEST(test_docker_config_and_home_name_folders),
        TEST(test_a_named_file_is_the_only_one),
        TEST(test_the_file_that_is_written),
        TEST(test_the_most_specific_key_wins),
        TEST(test_urls_are_names_of_registries),
        TEST(test_names_that_are_no_registry),
        TEST(test_forms_of_an_entry),
        TEST(test_bad_files_name_the_place),
        TEST(test_a_helper_is_asked),
        TEST(test_a_store_is_asked_before_the_file),
        TEST(test_a_helper_that_fails_is_an_error),
        TEST(test_a_helper_that_is_missing_or_has_a_path),
        TEST(test_a_helper_has_a_time_limit),
        TEST(test_what_a_helper_leaves_behind_is_not_waited_for),
        TEST(test_the_first_helper_that_knows_it_wins),
        TEST(test_the_files_are_one_of_the_helpers),
        TEST(test_helpers_that_fail_are_passed_over),
        TEST(test_a_login_goes_to_the_first_helper_that_takes_it),
        TEST(test_store_keeps_everything_else),
        TEST(test_store_makes_private_files_and_folders),
        TEST(test_a_link_stays_a_link),
        TEST(test_tokens_and_odd_texts_survive),
        TEST(test_a_bad_file_is_not_replaced),
        TEST(test_erase_forgets_all_names_of_a_registry),
        TEST(test_a_helper_stores_and_erases),
        TEST(test_a_helper_that_cannot_store_tells_no_secret),
        TEST(test_parallel_logins_lose_nothing),
    };

    return cmocka_run_group_tests_name("credentials", tests, NULL, NULL);
}
