/* SPDX-License-Identifier: Apache-2.0 */
#include "credentials_place.h"

#include <sys/wait.h>

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
        TEST(test_store_keeps_everything_else),
        TEST(test_store_makes_private_files_and_folders),
        TEST(test_a_link_stays_a_link),
        TEST(test_tokens_and_odd_texts_survive),
        TEST(test_a_bad_file_is_not_replaced),
        TEST(test_erase_forgets_all_names_of_a_registry),
        TEST(test_parallel_logins_lose_nothing),
    };

    return cmocka_run_group_tests_name("credentials", tests, NULL, NULL);
}
