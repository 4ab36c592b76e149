/* SPDX-License-Identifier: Apache-2.0 */
/* The mounts that make a root file system, in a mount namespace of the test. */
#include "unit.h"

#include "own_mounts.h"

#include <sys/stat.h>

#include "base/paths.h"
#include "shim/bundle/rootfs.h"

#define LAYERS 120

static char *folder, *rootfs;

static int before(void **state)
{
    (void)state;
    folder = unit_temp_dir();
    rootfs = path_join(folder, "rootfs");
    return 0;
}

static int after(void **state)
{
    (void)state;
    free(rootfs);
    unit_remove(folder);
    return 0;
}

/* In the folder of the test, on a file system of its own: overlays do not take every kind. */
static void place(void)
{
    child_check(!mount("tmpfs", folder, "tmpfs", 0, NULL));
}

static char *dir(const char *name)
{
    struct err e = ERR_INIT;
    char *path = path_join(folder, name);

    child_check(path_mkdir_p(path, 0755, &e) >= 0);
    return path;
}

static void file(const char *path, const char *text)
{
    struct err e = ERR_INIT;

    child_check(file_write(path, text, strlen(text), 0644, 0, &e) >= 0);
}

static bool is_there(const char *name)
{
    autofree char *path = path_join(rootfs, name);

    return !access(path, F_OK);
}

static bool is_mounted(void)
{
    struct stat inner, outer;

    child_check(!stat(rootfs, &inner) && !stat(folder, &outer));
    return inner.st_dev != outer.st_dev;
}

static struct rootfs_mount bind_of(const char *source, const char *option)
{
    struct rootfs_mount m = {.type = (char *)"bind", .source = (char *)source};

    strv_add(&m.options, "rbind");
    strv_add(&m.options, option);
    return m;
}

static void bind_body(void)
{
    struct err e = ERR_INIT;
    struct rootfs_mount m;
    char *source, *made;

    place();
    source = dir("source");
    made = path_join(source, "app");
    file(made, "x");
    m = bind_of(source, "ro");
    child_check(rootfs_mount_all(rootfs, &m, 1, &e) >= 0);
    child_check(is_there("app"));
    made = path_join(rootfs, "new");
    child_check(open(made, O_WRONLY | O_CREAT | O_CLOEXEC, 0600) < 0 && errno == EROFS);
    child_check(rootfs_unmount(rootfs, &e) >= 0 && !is_there("app"));
    /* Nothing there, and no such folder. */
    child_check(rootfs_unmount(rootfs, &e) >= 0);
    child_check(rootfs_unmount("/nowhere/rootfs", &e) >= 0);
}

static void a_read_only_bind_mount_is_one(void **state)
{
    (void)state;
    own_mounts_run(bind_body);
}

/* As containerd's snapshotter names them: more than a page of lower folders. */
static void layers_body(void)
{
    struct rootfs_mount m = {.type = (char *)"overlay", .source = (char *)"overlay"};
    autobuf lower = BUF_INIT;
    struct err e = ERR_INIT;
    char before_cwd[4096], after_cwd[4096], *name;

    place();
    child_check(getcwd(before_cwd, sizeof(before_cwd)));
    for (int i = 0; i < LAYERS; i++) {
        char *layer = dir(xasprintf("io.containerd.snapshotter.v1.overlayfs/snapshots/%d/fs", i));

        file(path_join(layer, xasprintf("file%d", i)), "x");
        buf_addf(&lower, "%s%s", i ? ":" : "lowerdir=", layer);
    }
    child_check(lower.len > 4096);
    strv_add(&m.options, "index=off");
    strv_add(&m.options, xasprintf("workdir=%s", dir("work")));
    strv_add(&m.options, xasprintf("upperdir=%s", dir("upper")));
    strv_add(&m.options, buf_str(&lower));
    strv_add(&m.options, "nosuid");
    if (rootfs_mount_all(rootfs, &m, 1, &e) < 0) {
        fprintf(stderr, "%s\n", e.msg);
        _exit(e.code == -EPERM ? OWN_MOUNTS_REFUSED : 1);
    }
    for (int i = 0; i < LAYERS; i++)
        child_check(is_there(xasprintf("file%d", i)));
    name = path_join(rootfs, "new");
    file(name, "y");
    child_check(!access(path_join(folder, "upper/new"), F_OK));
    child_check(getcwd(after_cwd, sizeof(after_cwd)) &&
                (str_eq(after_cwd, before_cwd) || str_eq(after_cwd, "/")));
    child_check(rootfs_unmount(rootfs, &e) >= 0 && !is_there("file0"));
}

static void an_overlay_of_more_layers_than_a_page_of_names_is_mounted(void **state)
{
    (void)state;
    own_mounts_run(layers_body);
}

static void failed_body(void)
{
    struct rootfs_mount m[2];
    struct err e = ERR_INIT;
    char *source;

    place();
    source = dir("source");
    m[0] = bind_of(source, "rw");
    m[1] = bind_of(path_join(folder, "missing"), "rw");
    child_check(rootfs_mount_all(rootfs, m, 2, &e) == -ENOENT);
    child_check(str_eq(e.reason, "MountFailed") && strstr(e.msg, "/missing"));
    child_check(!is_mounted());
}

static void when_one_fails_none_is_left(void **state)
{
    (void)state;
    own_mounts_run(failed_body);
}

static void target_body(void)
{
    struct rootfs_mount m[2];
    struct err e = ERR_INIT;
    char *source, *outside, *inside;

    place();
    source = dir("source");
    outside = dir("outside");
    inside = dir("source/inside");
    file(path_join(outside, "secret"), "x");
    child_check(!symlink(outside, path_join(source, "link")));
    child_check(!symlink("/inside", path_join(source, "absolute")));
    m[0] = bind_of(source, "rw");
    /* The link is looked up in the root file system, where there is no such folder. */
    m[1] = bind_of(outside, "rw");
    m[1].target = (char *)"link";
    child_check(rootfs_mount_all(rootfs, m, 2, &e) == -ENOENT);
    child_check(!is_mounted());
    m[1].target = (char *)"/absolute";
    child_check(rootfs_mount_all(rootfs, m, 2, &e) >= 0);
    child_check(is_there("inside/secret") && access(path_join(inside, "secret"), F_OK) < 0);
    child_check(rootfs_unmount(rootfs, &e) >= 0 && !is_mounted());
}

static void a_target_stays_within_the_root_file_system(void **state)
{
    (void)state;
    own_mounts_run(target_body);
}

static void stacked_body(void)
{
    struct rootfs_mount m;
    struct err e = ERR_INIT;

    place();
    m = bind_of(dir("source"), "rw");
    for (int i = 0; i < 5; i++)
        child_check(rootfs_mount_all(rootfs, &m, 1, &e) >= 0);
    child_check(rootfs_unmount(rootfs, &e) >= 0 && !is_mounted());
}

static void mounts_on_top_of_each_other_all_go(void **state)
{
    (void)state;
    own_mounts_run(stacked_body);
}

static void without_mounts_there_is_nothing_to_do(void **state)
{
    struct err e = ERR_INIT;

    (void)state;
    assert_ok(rootfs_mount_all("/nowhere/rootfs", NULL, 0, &e));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, before, after)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_read_only_bind_mount_is_one),
        TEST(an_overlay_of_more_layers_than_a_page_of_names_is_mounted),
        TEST(when_one_fails_none_is_left),
        TEST(a_target_stays_within_the_root_file_system),
        TEST(mounts_on_top_of_each_other_all_go),
        TEST(without_mounts_there_is_nothing_to_do),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
