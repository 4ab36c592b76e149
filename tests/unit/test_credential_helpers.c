/* SPDX-License-Identifier: Apache-2.0 */
#include "credentials_place.h"

#include "base/clock.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
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
        TEST(test_a_helper_stores_and_erases),
        TEST(test_a_helper_that_cannot_store_tells_no_secret),
    };

    return cmocka_run_group_tests_name("credential_helpers", tests, NULL, NULL);
}
