/* SPDX-License-Identifier: Apache-2.0 */
/* The note in a bundle about what was made for its container. */
#include "unit.h"

#include <fcntl.h>

#include "base/fds.h"
#include "shim/bundle/record.h"

static char *folder;
static int fd;

static int before(void **state)
{
    (void)state;
    folder = unit_temp_dir();
    fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return 0;
}

static int after(void **state)
{
    (void)state;
    close(fd);
    unit_remove(folder);
    return 0;
}

static void what_was_saved_is_loaded(void **state)
{
    struct record saved = {.kind = RECORD_NATIVE,
                           .cgroup = (char *)"system.slice:cri:\"x\"",
                           .has_systemd = true,
                           .runtime = (char *)"crun",
                           .runtime_root = (char *)"/r",
                           .pid = 4194304};
    struct record r;
    struct err e = ERR_INIT;

    (void)state;
    assert_ok(record_save(fd, &saved, &e));
    assert_int_equal(record_load(fd, &r, &e), 1);
    assert_int_equal(r.kind, RECORD_NATIVE);
    assert_string_equal(r.cgroup, saved.cgroup);
    assert_true(r.has_systemd);
    assert_string_equal(r.runtime, "crun");
    assert_string_equal(r.runtime_root, "/r");
    assert_int_equal(r.pid, 4194304);
    record_done(&r);
}

static void what_was_not_said_stays_so(void **state)
{
    const struct record saved = {.kind = RECORD_SANDBOX};
    struct record r;
    struct err e = ERR_INIT;

    (void)state;
    assert_ok(record_save(fd, &saved, &e));
    assert_int_equal(record_load(fd, &r, &e), 1);
    assert_int_equal(r.kind, RECORD_SANDBOX);
    assert_null(r.cgroup);
    assert_null(r.runtime);
    record_done(&r);
}

static void a_bundle_without_one_is_no_error(void **state)
{
    const struct record saved = {.kind = RECORD_GUEST};
    struct record r;
    struct err e = ERR_INIT;

    (void)state;
    assert_int_equal(record_load(fd, &r, &e), 0);
    assert_ok(record_save(fd, &saved, &e));
    record_drop(fd);
    assert_int_equal(record_load(fd, &r, &e), 0);
}

static void one_that_cannot_be_understood_is_named(void **state)
{
    static const char *const bad[] = {"", "{}", "{\"kind\":\"vm\"}", "{\"kind\":\"guest\",",
                                      "{\"kind\":\"guest\",\"cgroup\":1}"};
    struct record r = {.runtime = folder};
    struct err e = ERR_INIT;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        assert_ok(file_write_at(fd, "wherry.json", bad[i], strlen(bad[i]), 0600, 0, &e));
        assert_true(record_load(fd, &r, &e) < 0);
        assert_string_equal(e.reason, "BadRecord");
        assert_contains(e.msg, "wherry.json");
    }
    assert_ptr_equal(r.runtime, folder);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, before, after)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_was_saved_is_loaded),
        TEST(what_was_not_said_stays_so),
        TEST(a_bundle_without_one_is_no_error),
        TEST(one_that_cannot_be_understood_is_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
