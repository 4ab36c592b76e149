/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "unit.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "base/fds.h"
#include "base/paths.h"
#include "base/util.h"
#include "image/credentials.h"

/* What the tests of credentials share: a folder with all places that are looked at, and a helper.
 */

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

static inline char *below(const struct place *p, const char *name)
{
    return path_join(p->dir, name);
}

static inline void put(const struct place *p, const char *name, const char *text, mode_t mode)
{
    autofree char *path = below(p, name);
    autofree char *dir = path_dir(path);
    struct err e = ERR_INIT;

    assert_ok(path_mkdir_p(dir, 0755, &e));
    assert_ok(file_write(path, text, strlen(text), mode, 0, &e));
}

static inline void program_put(const struct place *p, const char *name, const char *text)
{
    autofree char *path = below(p, name);

    put(p, name, text, 0755);
    assert_int_equal(chmod(path, 0755), 0);
}

static inline char *got(const struct place *p, const char *name)
{
    autofree char *path = below(p, name);
    autobuf text = BUF_INIT;
    struct err e = ERR_INIT;

    assert_ok(file_read(path, 1 << 21, &text, &e));
    return buf_take(&text);
}

static inline void assert_got(const struct place *p, const char *name, const char *expected)
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

static inline int setup(void **state)
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

static inline int teardown(void **state)
{
    struct place *p = *state;

    unit_remove(p->dir);
    free(p->authfile);
    free(p);
    return 0;
}

/* What is found as "username password token", with - for what is not there. */
static inline void assert_found(const struct credentials_options *o, const char *registry,
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

static inline void assert_refused(const struct credentials_options *o, const char *registry,
                                  int code, const char *reason, const char *part)
{
    struct credential c = {0};
    struct err e = ERR_INIT;

    assert_fails(credentials_find(o, registry, NULL, &c, &e), code, reason);
    assert_contains(e.msg, part);
    assert_null(strstr(e.msg, "pass"));
    assert_null(strstr(e.msg, USER_PASS));
    assert_null(c.username);
}

static inline int store(const struct credentials_options *o, const char *registry,
                        const char *username, const char *password, const char *token,
                        struct err *e)
{
    const struct credential c = {(char *)(uintptr_t)username, (char *)(uintptr_t)password,
                                 (char *)(uintptr_t)token};

    autofree char *where = NULL;

    return credentials_store(o, registry, &c, &where, e);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
