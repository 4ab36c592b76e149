/* SPDX-License-Identifier: Apache-2.0 */
/* Folders that others wrote into: removed and measured whatever they made there. */
#include "unit.h"

#include <sys/resource.h>
#include <sys/stat.h>

#include "own_mounts.h"
#include "pod/volumes/tree.h"

static char *dir;
static int at;

static int setup(void **state)
{
    (void)state;
    dir = unit_temp_dir();
    at = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(at >= 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    close(at);
    unit_remove(dir);
    return 0;
}

static void file_put(int in, const char *name, size_t len)
{
    autofd fd = openat(in, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    autofree char *data = xcalloc(len + 1, 1);
    struct err e = ERR_INIT;

    assert_true(fd >= 0);
    memset(data, 'x', len);
    assert_ok(fd_write_all(fd, data, len, &e));
}

static bool is_there(const char *name)
{
    return !faccessat(at, name, F_OK, AT_SYMLINK_NOFOLLOW);
}

static void removed(const char *name)
{
    struct err e = ERR_INIT;

    assert_ok(tree_remove(at, name, &e));
    assert_false(is_there(name));
}

static void what_is_not_there_is_removed(void **state)
{
    (void)state;
    removed("none");
    file_put(at, "file", 1);
    removed("file");
}

static void links_are_removed_and_not_followed(void **state)
{
    (void)state;
    assert_int_equal(mkdirat(at, "kept", 0755), 0);
    file_put(at, "kept/file", 1);
    assert_int_equal(mkdirat(at, "gone", 0755), 0);
    assert_int_equal(symlinkat("../kept", at, "gone/link"), 0);
    assert_int_equal(symlinkat(dir, at, "gone/up"), 0);
    removed("gone");
    assert_int_equal(symlinkat("kept", at, "link"), 0);
    removed("link");
    assert_true(is_there("kept/file"));
}

/* What many files take is a matter of memory and not of this machine's disk. */
static void tmpfs_enter(void)
{
    close(at);
    child_check(!mount("tree", dir, "tmpfs", 0, NULL));
    at = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    child_check(at >= 0);
}

static void remove_deep(void)
{
    struct rlimit few = {32, 32}, small = {256 << 10, 256 << 10};
    struct err e = ERR_INIT;
    int deep;

    tmpfs_enter();
    child_check(!setrlimit(RLIMIT_NOFILE, &few) && !setrlimit(RLIMIT_STACK, &small));
    deep = fcntl(at, F_DUPFD_CLOEXEC, 0);
    for (int i = 0; i < 20000; i++) {
        int next;

        child_check(!mkdirat(deep, "d", 0755));
        next = openat(deep, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        child_check(next >= 0 && (i % 100 || !mknodat(next, "file", S_IFREG | 0644, 0)));
        close(deep);
        deep = next;
    }
    close(deep);
    child_check(!tree_remove(at, "d", &e) && !is_there("d"));
}

/* A chain that is deeper than any path, the stack of calls and the limit of descriptors. */
static void depth_costs_neither_stack_nor_descriptors(void **state)
{
    (void)state;
    own_mounts_run(remove_deep);
}

static void remove_many(void)
{
    struct err e = ERR_INIT;
    char name[64];

    tmpfs_enter();
    child_check(!mkdirat(at, "many", 0755));
    for (int i = 0; i < 100000; i++) {
        snprintf(name, sizeof(name), "many/%d", i / 1000);
        child_check(i % 1000 || !mkdirat(at, name, 0755));
        snprintf(name, sizeof(name), "many/%d/%d", i / 1000, i);
        child_check(!mknodat(at, name, S_IFREG | 0644, 0));
    }
    child_check(!tree_remove(at, "many", &e) && !is_there("many"));
}

static void a_hundred_thousand_files_are_removed(void **state)
{
    (void)state;
    own_mounts_run(remove_many);
}

static void folders_that_may_not_be_read_are_removed(void **state)
{
    (void)state;
    assert_int_equal(mkdirat(at, "a", 0755), 0);
    assert_int_equal(mkdirat(at, "a/b", 0755), 0);
    assert_int_equal(mkdirat(at, "a/b/c", 0755), 0);
    file_put(at, "a/b/c/file", 1);
    assert_int_equal(fchmodat(at, "a/b/c", 0, 0), 0);
    assert_int_equal(fchmodat(at, "a/b", 0500, 0), 0);
    assert_int_equal(fchmodat(at, "a", 0, 0), 0);
    removed("a");
}

static void names_like_our_own_do_not_stop_it(void **state)
{
    (void)state;
    assert_int_equal(mkdirat(at, "a", 0755), 0);
    file_put(at, "a/.wherry-removed-0", 1);
    assert_int_equal(mkdirat(at, "a/.wherry-removed-1", 0755), 0);
    assert_int_equal(mkdirat(at, "a/.wherry-removed-1/.wherry-removed-0", 0755), 0);
    file_put(at, "a/.wherry-removed-1/.wherry-removed-0/file", 1);
    assert_int_equal(mkdirat(at, "a/.wherry-removed-1/x", 0755), 0);
    file_put(at, "a/.wherry-removed-1/x/file", 1);
    removed("a");
}

static void remove_mounted(void)
{
    autofree char *from = xasprintf("%s/kept", dir), *to = xasprintf("%s/gone/deep/er", dir);
    autofree char *file = xasprintf("%s/gone/file", dir), *kept = xasprintf("%s/kept/file", dir);
    struct err e = ERR_INIT;

    /* The folder as these mounts have it. */
    close(at);
    at = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    child_check(!mount(from, to, NULL, MS_BIND, NULL));
    child_check(!mount(kept, file, NULL, MS_BIND, NULL));
    child_check(!tree_remove(at, "gone", &e));
    child_check(!is_there("gone") && is_there("kept/file"));
}

static void what_is_mounted_is_detached_and_kept(void **state)
{
    (void)state;
    assert_int_equal(mkdirat(at, "kept", 0755), 0);
    file_put(at, "kept/file", 1);
    assert_int_equal(mkdirat(at, "gone", 0755), 0);
    assert_int_equal(mkdirat(at, "gone/deep", 0755), 0);
    assert_int_equal(mkdirat(at, "gone/deep/er", 0755), 0);
    file_put(at, "gone/file", 1);
    own_mounts_run(remove_mounted);
    assert_true(is_there("kept/file"));
}

static void usage_is_what_the_disk_holds(void **state)
{
    struct tree_size size = {0}, more = {0};
    struct err e = ERR_INIT;

    (void)state;
    assert_int_equal(mkdirat(at, "a", 0755), 0);
    file_put(at, "a/one", 100000);
    file_put(at, "two", 50000);
    assert_ok(tree_measure(at, 0, &size, &e));
    assert_int_equal(size.files, 2);
    assert_in_range(size.bytes, 150000, 190000);
    /* Another name is no other file, and a link is not followed. */
    assert_int_equal(linkat(at, "two", at, "a/again", 0), 0);
    assert_int_equal(symlinkat("/usr", at, "a/usr"), 0);
    assert_ok(tree_measure(at, 0, &more, &e));
    assert_int_equal(more.files, 4);
    assert_in_range(more.bytes, size.bytes - 1, size.bytes + 8192);
}

static void measuring_stops_at_the_limit(void **state)
{
    struct tree_size size = {0};
    struct err e = ERR_INIT;
    char name[16];

    (void)state;
    for (int i = 0; i < 100; i++) {
        snprintf(name, sizeof(name), "%d", i);
        file_put(at, name, 10000);
    }
    assert_ok(tree_measure(at, 50000, &size, &e));
    assert_in_range(size.bytes, 50001, 80000);
}

static void usage_cannot_be_hidden_in_the_depth(void **state)
{
    struct tree_size size = {0};
    struct err e = ERR_INIT;
    int deep = fcntl(at, F_DUPFD_CLOEXEC, 0);

    (void)state;
    for (int i = 0; i < TREE_DEPTH_LIMIT; i++) {
        int next;

        assert_int_equal(mkdirat(deep, "d", 0755), 0);
        next = openat(deep, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        close(deep);
        deep = next;
    }
    close(deep);
    assert_fails(tree_measure(at, 0, &size, &e), -ELOOP, "TooDeep");
    removed("d");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_not_there_is_removed),
        TEST(links_are_removed_and_not_followed),
        TEST(depth_costs_neither_stack_nor_descriptors),
        TEST(a_hundred_thousand_files_are_removed),
        TEST(folders_that_may_not_be_read_are_removed),
        TEST(names_like_our_own_do_not_stop_it),
        TEST(what_is_mounted_is_detached_and_kept),
        TEST(usage_is_what_the_disk_holds),
        TEST(measuring_stops_at_the_limit),
        TEST(usage_cannot_be_hidden_in_the_depth),
    };
    return cmocka_run_group_tests_name("tree", tests, NULL, NULL);
}
