/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include <sys/stat.h>

#include "base/paths.h"
#include "base/strv.h"

static void assert_joined(const char *a, const char *b, const char *want)
{
    autofree char *got = path_join(a, b);

    assert_string_equal(got, want);
}

static void assert_dir(const char *path, const char *want)
{
    autofree char *got = path_dir(path);

    assert_string_equal(got, want);
}

static void test_names(void **state)
{
    (void)state;
    assert_joined("a", "b", "a/b");
    assert_joined("a/", "/b", "a/b");
    assert_joined("/", "b", "/b");
    assert_dir("a", ".");
    assert_dir("/a", "/");
    assert_dir("/a/b", "/a");
    assert_dir("a//b", "a");
    assert_string_equal(path_base("/a/b"), "b");
    assert_string_equal(path_base("b"), "b");
}

static void test_cache_folder(void **state)
{
    struct err e = ERR_INIT;
    char *path = NULL;

    (void)state;
    setenv("HOME", "/home/x", 1);
    unsetenv("XDG_CACHE_HOME");
    assert_ok(paths_cache_dir(&path, &e));
    assert_string_equal(path, "/home/x/.cache/wherry");
    free(path);
    setenv("XDG_CACHE_HOME", "/c/", 1);
    assert_ok(paths_cache_dir(&path, &e));
    assert_string_equal(path, "/c/wherry");
    free(path);
    setenv("XDG_CACHE_HOME", "relative", 1);
    assert_ok(paths_cache_dir(&path, &e));
    assert_string_equal(path, "/home/x/.cache/wherry");
    free(path);
    unsetenv("XDG_CACHE_HOME");
    unsetenv("HOME");
    if (geteuid() == 0) {
        assert_ok(paths_cache_dir(&path, &e));
        assert_string_equal(path, "/var/cache/wherry");
        free(path);
    } else {
        assert_fails(paths_cache_dir(&path, &e), -ENOENT, "NoHome");
    }
}

static void test_private_folder(void **state)
{
    autofree char *dir = unit_temp_dir();
    autofree char *inner = path_join(dir, "a/b/c");
    struct err e = ERR_INIT;
    struct stat st;

    (void)state;
    {
        autofd fd = -EBADF;

        assert_ok(path_open_private(inner, &fd, &e));
        assert_int_equal(fstat(fd, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0700);
    }
    autofd refused = -EBADF;
    assert_int_equal(chmod(inner, 0777), 0);
    assert_fails(path_open_private(inner, &refused, &e), -EPERM, "UntrustedFolder");
    assert_contains(e.msg, "chmod go-w");
    assert_int_equal(refused, -EBADF);
    if (geteuid() == 0) {
        assert_int_equal(chmod(inner, 0700), 0);
        assert_int_equal(chown(inner, 12345, 0), 0);
        assert_fails(path_open_private(inner, &refused, &e), -EPERM, "UntrustedFolder");
    }
    rmdir(inner);
    autofree char *file = path_join(dir, "a/b/file");
    FILE *f = fopen(file, "w");
    assert_non_null(f);
    fclose(f);
    assert_fails(path_mkdir_p(file, 0700, &e), -ENOTDIR, "NotAFolder");
    unlink(file);
    autofree char *b = path_join(dir, "a/b");
    autofree char *a = path_join(dir, "a");
    rmdir(b);
    rmdir(a);
    rmdir(dir);
}

static void test_program(void **state)
{
    autofree char *dir = unit_temp_dir();
    autofree char *program = path_join(dir, "wherry-x");
    autofree char *found = NULL;
    struct err e = ERR_INIT;
    FILE *f;

    (void)state;
    setenv("WHERRY_EXEC_PATH", dir, 1);
    assert_fails(paths_program_find("wherry-x", &found, &e), -ENOENT, "ProgramMissing");
    assert_contains(e.msg, dir);
    f = fopen(program, "w");
    assert_non_null(f);
    fclose(f);
    assert_fails(paths_program_find("wherry-x", &found, &e), -ENOENT, "ProgramMissing");
    assert_int_equal(chmod(program, 0700), 0);
    assert_ok(paths_program_find("wherry-x", &found, &e));
    assert_string_equal(found, program);
    unlink(program);
    rmdir(dir);
}

static void a_relative_path_becomes_one_from_the_root(void **state)
{
    autofree char *here = getcwd(NULL, 0), *want = path_join(here, "a/b"), *got = NULL;
    autofree char *same = NULL, *kept = NULL;
    struct err e = ERR_INIT;

    (void)state;
    assert_ok(path_absolute("a/b", &got, &e));
    assert_string_equal(got, want);
    assert_ok(path_absolute("/x/../y", &same, &e));
    assert_string_equal(same, "/x/../y");

    /* A working folder that was removed has no name. */
    char dir[] = "/tmp/wherry-paths.XXXXXX";
    assert_non_null(mkdtemp(dir));
    assert_int_equal(chdir(dir), 0);
    assert_int_equal(rmdir(dir), 0);
    assert_fails(path_absolute("a", &kept, &e), -ENOENT, "NoWorkingFolder");
    assert_null(kept);
    assert_int_equal(chdir(here), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(a_relative_path_becomes_one_from_the_root),
        cmocka_unit_test(test_cache_folder),
        cmocka_unit_test(test_private_folder),
        cmocka_unit_test(test_program),
    };
    return cmocka_run_group_tests_name("paths", tests, NULL, NULL);
}
