/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "image/rootfs.h"

static struct rootfs *files;
static unsigned layer, entry;

static int setup(void **state)
{
    (void)state;
    files = rootfs_new();
    layer = entry = 0;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    rootfs_free(files);
    return 0;
}

static void add(enum rootfs_kind kind, const char *name, const char *link)
{
    struct err e = ERR_INIT;

    assert_ok(rootfs_add(files, (struct rootfs_place){layer, entry++}, kind, name, link, &e));
}

static void next_layer(void)
{
    layer++;
    entry = 0;
}

static void assert_at(const char *path, unsigned in_layer, unsigned number)
{
    struct rootfs_place found = {99, 99};
    struct err e = ERR_INIT;

    assert_ok(rootfs_find(files, path, &found, &e));
    if (found.layer != in_layer || found.entry != number)
        fail_msg("%s is at %u, %u instead of %u, %u", path, found.layer, found.entry, in_layer,
                 number);
}

static void assert_none(const char *path)
{
    struct rootfs_place found;
    struct err e = ERR_INIT;

    assert_int_equal(rootfs_find(files, path, &found, &e), 0);
}

static void assert_bad(const char *path, int code, const char *reason, const char *says)
{
    struct rootfs_place found;
    struct err e = ERR_INIT;

    assert_fails(rootfs_find(files, path, &found, &e), code, reason);
    assert_contains(e.msg, says);
}

static void test_spellings(void **state)
{
    (void)state;
    add(ROOTFS_FILE, "./app.wasm", NULL);
    add(ROOTFS_FILE, "bin//a/./b", NULL);
    add(ROOTFS_FOLDER, "./", NULL);
    add(ROOTFS_FILE, "app.wasm", NULL);
    assert_at("/app.wasm", 0, 3);
    assert_at("app.wasm", 0, 3);
    assert_at("/./bin/../app.wasm", 0, 3);
    assert_at("/bin/a/b", 0, 1);
    assert_at("//bin/a//b/", 0, 1);
    assert_none("/b");
    assert_none("/bin/a/b.wasm");
    assert_none("/");
    assert_bad("/app.wasm/x", -ENOEXEC, "NotRunnable", "'/app.wasm' in it is a file with");
    assert_bad("/../app.wasm", -EINVAL, "BadImage", "out of the image");
}

static void test_names(void **state)
{
    (void)state;
    assert_true(rootfs_is_name_of("./a//b", "/a/b"));
    assert_true(rootfs_is_name_of("a/b", "//a/c/../b"));
    assert_false(rootfs_is_name_of("/a/b", "/a/b"));
    assert_false(rootfs_is_name_of("../a/b", "/a/b"));
    assert_false(rootfs_is_name_of("a", "/a/b"));
    assert_false(rootfs_is_name_of("a/b", "/../a/b"));
}

static void test_layers(void **state)
{
    (void)state;
    add(ROOTFS_FILE, "a", NULL);
    add(ROOTFS_FILE, "removed", NULL);
    add(ROOTFS_FILE, "again", NULL);
    add(ROOTFS_FOLDER, "folder", NULL);
    add(ROOTFS_FILE, "folder/x", NULL);
    add(ROOTFS_FILE, "opaque/x", NULL);
    add(ROOTFS_FILE, "opaque/deep/x", NULL);
    add(ROOTFS_FILE, "replaced/x", NULL);
    next_layer();
    add(ROOTFS_FILE, "a", NULL);
    add(ROOTFS_FILE, ".wh.removed", NULL);
    add(ROOTFS_FILE, ".wh.folder", NULL);
    add(ROOTFS_FILE, "again", NULL); /* a whiteout is about lower layers only */
    add(ROOTFS_FILE, ".wh.again", NULL);
    add(ROOTFS_FILE, "opaque/y", NULL);
    add(ROOTFS_FILE, "opaque/.wh..wh..opq", NULL);
    add(ROOTFS_FILE, "replaced", NULL);
    next_layer();
    add(ROOTFS_FOLDER, "replaced", NULL);
    add(ROOTFS_FILE, "folder/z", NULL);
    add(ROOTFS_FILE, ".wh..wh.plnk", NULL);
    assert_at("/a", 1, 0);
    assert_none("/removed");
    assert_none("/folder/x");
    assert_at("/folder/z", 2, 1);
    assert_at("/again", 1, 3);
    assert_none("/opaque/x");
    assert_none("/opaque/deep/x");
    assert_at("/opaque/y", 1, 5);
    assert_none("/replaced/x");
    assert_none("/.wh.removed");
    next_layer();
    add(ROOTFS_FILE, ".wh..wh..opq", NULL);
    add(ROOTFS_FILE, "new", NULL);
    assert_none("/a");
    assert_at("/new", 3, 1);
}

static void test_links(void **state)
{
    (void)state;
    add(ROOTFS_FILE, "usr/bin/app", NULL);
    add(ROOTFS_SYMLINK, "bin", "usr/bin");
    add(ROOTFS_SYMLINK, "usr/bin/next", "app");
    add(ROOTFS_SYMLINK, "absolute", "/bin/next");
    add(ROOTFS_SYMLINK, "usr/up", "../bin/../up2");
    add(ROOTFS_SYMLINK, "usr/up2", "bin/app");
    add(ROOTFS_HARD_LINK, "hard", "usr/bin/app");
    add(ROOTFS_HARD_LINK, "hard2", "./hard");
    add(ROOTFS_SYMLINK, "out", "../../etc/passwd");
    add(ROOTFS_SYMLINK, "dangling", "/etc/passwd");
    add(ROOTFS_SYMLINK, "loop", "loop2");
    add(ROOTFS_SYMLINK, "loop2", "loop");
    add(ROOTFS_HARD_LINK, "self", "self");
    add(ROOTFS_SYMLINK, "longer", "longer/longer");
    assert_at("/bin/app", 0, 0);
    assert_at("/bin/next", 0, 0);
    assert_at("/absolute", 0, 0);
    assert_at("/usr/up", 0, 0);
    assert_at("/hard2", 0, 0);
    assert_none("/dangling");
    assert_bad("/out", -EINVAL, "BadImage", "leads to '/../../etc/passwd'");
    assert_bad("/loop", -ELOOP, "BadImage", "'/loop' leads to have no end");
    assert_bad("/self", -ELOOP, "BadImage", "have no end");
    assert_bad("/longer", -ELOOP, "BadImage", "have no end");
    /* A hard link is to what there was. */
    next_layer();
    add(ROOTFS_HARD_LINK, "kept", "usr/bin/app");
    add(ROOTFS_FILE, "usr/bin/app", NULL);
    next_layer();
    add(ROOTFS_FILE, "usr/bin/.wh.app", NULL);
    assert_none("/bin/app");
    assert_at("/kept", 0, 0);
    assert_at("/hard", 0, 0);
}

static void test_bad(void **state)
{
    char name[ROOTFS_NAME_LIMIT + 2];

    (void)state;
    add(ROOTFS_FILE, "/absolute", NULL);
    add(ROOTFS_FILE, "../up", NULL);
    add(ROOTFS_FILE, "a/../../b", NULL);
    add(ROOTFS_FILE, "c/../in", NULL);
    add(ROOTFS_OTHER, "device", NULL);
    add(ROOTFS_FOLDER, "folder", NULL);
    add(ROOTFS_HARD_LINK, "hard", "/etc/passwd");
    add(ROOTFS_HARD_LINK, "hard2", "../etc/passwd");
    add(ROOTFS_FILE, "", NULL);
    add(ROOTFS_FILE, "..", NULL);
    add(ROOTFS_FOLDER, "/", NULL);
    assert_bad("/absolute", -EINVAL, "BadImage", "leads to '/absolute', which is out of");
    assert_bad("/up", -EINVAL, "BadImage", "leads to '../up'");
    assert_bad("/b", -EINVAL, "BadImage", "leads to 'a/../../b'");
    assert_at("/in", 0, 3);
    assert_bad("/device", -ENOEXEC, "NotRunnable", "a device");
    assert_bad("/device/x", -ENOEXEC, "NotRunnable", "a device");
    assert_bad("/folder", -ENOEXEC, "NotRunnable", "a folder");
    assert_bad("/hard", -EINVAL, "BadImage", "'/etc/passwd'");
    assert_bad("/hard2", -EINVAL, "BadImage", "'../etc/passwd'");
    memset(name, 'x', sizeof(name) - 1);
    name[sizeof(name) - 1] = 0;
    add(ROOTFS_FILE, name, NULL);
    assert_none(name);
    for (size_t i = 1; i < sizeof(name) - 1; i += 2)
        name[i] = '/';
    name[ROOTFS_NAME_LIMIT] = 0;
    add(ROOTFS_FILE, name, NULL);
    assert_bad(name, -EINVAL, "BadImage", "too deep");
}

static void test_limit(void **state)
{
    struct err e = ERR_INIT;
    char name[32];

    (void)state;
    for (unsigned i = 0; i < ROOTFS_ENTRY_LIMIT; i++) {
        snprintf(name, sizeof(name), "%u", i);
        add(ROOTFS_FILE, name, NULL);
    }
    assert_at("/4711", 0, 4711);
    assert_fails(rootfs_add(files, (struct rootfs_place){1, 0}, ROOTFS_FILE, "x", NULL, &e), -E2BIG,
                 "TooLarge");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_spellings, setup, teardown),
        cmocka_unit_test_setup_teardown(test_names, setup, teardown),
        cmocka_unit_test_setup_teardown(test_layers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_links, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bad, setup, teardown),
        cmocka_unit_test_setup_teardown(test_limit, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
