/* SPDX-License-Identifier: Apache-2.0 */
/* Which file is a container's program, and what it is, in real folders. */
#include "unit.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "base/fds.h"
#include "base/paths.h"
#include "container/oci/entrypoint.h"

static char *folder, *root;
static int bundle_fd, root_fd;
static struct oci_config config;

/* In the bundle, whose root file system is the folder "rootfs". */
static void bundle_file(const char *name, const char *bytes, size_t len, mode_t mode)
{
    autofree char *path = path_join(folder, name), *dir = path_dir(path);
    struct err e = ERR_INIT;

    assert_ok(path_mkdir_p(dir, 0755, &e));
    assert_ok(file_write(path, bytes, len, mode, 0, &e));
}

static void file(const char *name, const char *bytes, size_t len, mode_t mode)
{
    autofree char *path = path_join("rootfs", name);

    bundle_file(path, bytes, len, mode);
}

static void wasm(const char *name)
{
    file(name, "\0asm\1\0\0\0", 8, 0644);
}

static void native(const char *name)
{
    file(name, "\177ELF\2\1\1", 7, 0755);
}

static int before(void **state)
{
    (void)state;
    folder = unit_temp_dir();
    root = path_join(folder, "rootfs");
    assert_int_equal(mkdir(root, 0755), 0);
    bundle_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    root_fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return 0;
}

static int after(void **state)
{
    (void)state;
    oci_config_done(&config);
    close(root_fd);
    close(bundle_fd);
    free(root);
    unit_remove(folder);
    return 0;
}

/* `path` and `cwd` may be NULL. */
static struct entrypoint find(const char *word, const char *path, const char *cwd)
{
    struct oci_process p = {.cwd = (char *)cwd};
    struct err e = ERR_INIT;
    struct entrypoint found;
    struct mount_view v;

    if (word)
        strv_add(&p.args, word);
    if (path)
        strv_add(&p.env, path);
    mount_view_init(&v, &config, root_fd, bundle_fd);
    assert_ok(entrypoint_find(&v, &p, &found, &e));
    mount_view_done(&v);
    strv_done(&p.args);
    strv_done(&p.env);
    assert_int_equal(found.fd >= 0, found.kind == ENTRYPOINT_WASM);
    return found;
}

static void expect_kind(const char *word, enum entrypoint_kind kind)
{
    struct entrypoint found = find(word, NULL, "/");

    if (found.kind != kind)
        fail_msg("'%s' is %d and not %d", word, (int)found.kind, (int)kind);
    assert_null(found.function);
    entrypoint_done(&found);
}

static void the_first_bytes_say_what_it_is(void **state)
{
    (void)state;
    wasm("app");
    native("elf");
    file("script.wasm", "#!/bin/sh\n", 10, 0755);
    file("empty", "", 0, 0755);
    file("short", "\0as", 3, 0755);
    expect_kind("/app", ENTRYPOINT_WASM);
    expect_kind("/elf", ENTRYPOINT_NATIVE);
    expect_kind("/script.wasm", ENTRYPOINT_NATIVE);
    expect_kind("/empty", ENTRYPOINT_NATIVE);
    expect_kind("/short", ENTRYPOINT_NATIVE);
    expect_kind("/missing", ENTRYPOINT_NONE);
    expect_kind("/app/below", ENTRYPOINT_NONE);
    expect_kind("", ENTRYPOINT_NONE);
    expect_kind(NULL, ENTRYPOINT_NONE);
}

/* An image of one file rarely has a mode that says so. */
static void a_program_needs_no_execute_bit(void **state)
{
    (void)state;
    file("app", "\0asm", 4, 0400);
    expect_kind("/app", ENTRYPOINT_WASM);
}

static void folders_and_devices_are_no_programs(void **state)
{
    autofree char *fifo = path_join(root, "fifo");

    (void)state;
    wasm("dir/app");
    assert_int_equal(mkfifo(fifo, 0600), 0);
    expect_kind("/dir", ENTRYPOINT_NATIVE);
    expect_kind("/fifo", ENTRYPOINT_NATIVE);
}

static void a_bare_name_is_looked_for_in_PATH_and_then_in_the_folder(void **state)
{
    struct entrypoint found;

    (void)state;
    wasm("opt/app");
    native("usr/bin/app");
    wasm("work/lone.wasm");
    found = find("app", "PATH=/missing:/opt:/usr/bin", "/work");
    assert_int_equal(found.kind, ENTRYPOINT_WASM);
    entrypoint_done(&found);
    found = find("app", NULL, "/work");
    assert_int_equal(found.kind, ENTRYPOINT_NATIVE); /* the usual folders */
    entrypoint_done(&found);
    found = find("lone.wasm", "PATH=/opt", "/work");
    assert_int_equal(found.kind, ENTRYPOINT_WASM);
    entrypoint_done(&found);
    found = find("lone.wasm", "PATH=/opt", "/");
    assert_int_equal(found.kind, ENTRYPOINT_NONE);
    entrypoint_done(&found);
}

static void a_relative_path_is_from_the_working_folder(void **state)
{
    struct entrypoint found;

    (void)state;
    wasm("work/bin/app");
    wasm("bin/other");
    found = find("bin/app", "PATH=/work", "/work");
    assert_int_equal(found.kind, ENTRYPOINT_WASM);
    entrypoint_done(&found);
    found = find("./bin/app", NULL, "/");
    assert_int_equal(found.kind, ENTRYPOINT_NONE);
    entrypoint_done(&found);
}

static void no_link_leads_out_of_the_root(void **state)
{
    autofree char *outside = unit_temp_dir(), *secret = path_join(outside, "app");
    autofree char *absolute = path_join(root, "absolute"), *up = path_join(root, "up"),
                  *inner = path_join(root, "inner");
    autofree char *climb = xasprintf("../../../../..%s", secret);
    struct err e = ERR_INIT;

    (void)state;
    assert_ok(file_write(secret, "\0asm", 4, 0644, 0, &e));
    assert_int_equal(symlink(secret, absolute), 0);
    assert_int_equal(symlink(climb, up), 0);
    assert_int_equal(symlink("/dir/app", inner), 0);
    wasm("dir/app");
    expect_kind("/absolute", ENTRYPOINT_NONE);
    expect_kind("/up", ENTRYPOINT_NONE);
    expect_kind(climb, ENTRYPOINT_NONE);
    expect_kind("/inner", ENTRYPOINT_WASM);
    unit_remove(take_ptr(outside));
}

static void a_function_is_named_behind_the_file(void **state)
{
    struct entrypoint found;

    (void)state;
    wasm("app.wasm");
    wasm("odd#name");
    found = find("/app.wasm#run", NULL, "/");
    assert_int_equal(found.kind, ENTRYPOINT_WASM);
    assert_string_equal(found.function, "run");
    entrypoint_done(&found);
    assert_null(found.function);
    found = find("/odd#name", NULL, "/");
    assert_int_equal(found.kind, ENTRYPOINT_WASM);
    assert_null(found.function);
    entrypoint_done(&found);
    found = find("/odd#name#f", NULL, "/");
    assert_string_equal(found.function, "f");
    entrypoint_done(&found);
    found = find("/app.wasm#", NULL, "/");
    assert_int_equal(found.kind, ENTRYPOINT_WASM);
    assert_null(found.function);
    entrypoint_done(&found);
    expect_kind("#run", ENTRYPOINT_NONE);
}

/* The native runtime has no use for it, and looks for a file of the whole name. */
static void a_function_of_a_native_program_is_not_kept(void **state)
{
    (void)state;
    native("bin/tool");
    expect_kind("/bin/tool#x", ENTRYPOINT_NATIVE);
}

/* ---- With mounts ---- */

/* `list` is that of config.json. */
static void mounts(const char *list)
{
    autofree char *json = xasprintf("{\"ociVersion\": \"1.0.2\", \"mounts\": [%s]}", list);
    struct err e = ERR_INIT;

    oci_config_done(&config);
    assert_ok(oci_config_decode(json, strlen(json), &config, &e));
}

#define BIND(source, destination)                                                                  \
    "{\"type\": \"bind\", \"source\": \"" source "\", \"destination\": \"" destination "\"}"

static void link_make(const char *target, const char *name)
{
    autofree char *path = path_join(folder, name);

    assert_int_equal(symlink(target, path), 0);
}

static void a_program_may_be_in_a_folder_that_is_mounted(void **state)
{
    struct entrypoint found;

    (void)state;
    native("data/app");
    bundle_file("volume/app", "\0asm", 4, 0644);
    bundle_file("volume/bin/tool", "\0asm", 4, 0644);
    mounts(BIND("volume", "/data") ", " BIND("volume", "/to/be/made"));
    expect_kind("/data/app", ENTRYPOINT_WASM);
    expect_kind("/to/be/made/app", ENTRYPOINT_WASM);
    expect_kind("/data/missing", ENTRYPOINT_NONE);
    expect_kind("/datax/app", ENTRYPOINT_NONE);
    found = find("./app", NULL, "/data");
    assert_int_equal(found.kind, ENTRYPOINT_WASM);
    entrypoint_done(&found);
    found = find("tool", "PATH=/usr/bin:/data/bin", "/");
    assert_int_equal(found.kind, ENTRYPOINT_WASM);
    entrypoint_done(&found);
    found = find("tool", "PATH=bin", "/data");
    assert_int_equal(found.kind, ENTRYPOINT_WASM);
    entrypoint_done(&found);
}

static void a_program_may_be_mounted_by_itself(void **state)
{
    autofree char *list = NULL;

    (void)state;
    bundle_file("one.wasm", "\0asm", 4, 0644);
    file("app", "", 0, 0644);
    /* As ctr says it, and with an absolute source. */
    list = xasprintf("{\"source\": \"%s/one.wasm\", \"destination\": \"/app\", "
                     "\"options\": [\"rbind\", \"ro\"]}",
                     folder);
    mounts(list);
    expect_kind("/app", ENTRYPOINT_WASM);
    expect_kind("/app/below", ENTRYPOINT_NONE);
    expect_kind("/app#", ENTRYPOINT_WASM);
}

static void the_last_mount_on_a_path_is_the_one_that_is_seen(void **state)
{
    (void)state;
    wasm("a/app");
    bundle_file("outer/app", "\0asm", 4, 0644);
    bundle_file("inner/app", "#!/bin/sh\n", 10, 0755);
    mounts(BIND("outer", "/a") ", " BIND("inner", "/a/b"));
    expect_kind("/a/app", ENTRYPOINT_WASM);
    expect_kind("/a/b/app", ENTRYPOINT_NATIVE);
    mounts(BIND("inner", "/a/b") ", " BIND("outer", "/a/"));
    expect_kind("/a/app", ENTRYPOINT_WASM);
    expect_kind("/a/b/app", ENTRYPOINT_NONE);
    mounts("{\"type\": \"tmpfs\", \"source\": \"tmpfs\", \"destination\": \"/a\"}");
    expect_kind("/a/app", ENTRYPOINT_NONE);
}

/* Kubernetes keeps the content of a ConfigMap behind links, and an image has /var/run as one. */
static void links_lead_from_one_mount_into_another(void **state)
{
    (void)state;
    bundle_file("volume/..one/app", "\0asm", 4, 0644);
    link_make("..one", "volume/..data");
    link_make("..data/app", "volume/app");
    link_make("/data/app", "volume/absolute");
    link_make("../usr/app", "volume/up");
    native("usr/app");
    file("var/x", "", 0, 0644);
    link_make("/run", "rootfs/var/run");
    link_make("/data/app", "rootfs/app");
    link_make("loop", "rootfs/loop");
    mounts(BIND("volume", "/data") ", " BIND("volume", "/var/run/v"));
    expect_kind("/data/app", ENTRYPOINT_WASM);
    expect_kind("/data/absolute", ENTRYPOINT_WASM);
    expect_kind("/data/up", ENTRYPOINT_NATIVE);
    expect_kind("/app", ENTRYPOINT_WASM);
    expect_kind("/var/run/v/app", ENTRYPOINT_WASM);
    expect_kind("/run/v/app", ENTRYPOINT_WASM);
    expect_kind("/loop", ENTRYPOINT_NATIVE);
}

static void no_link_leads_out_of_a_mount(void **state)
{
    autofree char *outside = unit_temp_dir(), *secret = path_join(outside, "app");
    autofree char *climb = xasprintf("../../../../..%s", secret);
    struct err e = ERR_INIT;

    (void)state;
    assert_ok(file_write(secret, "\0asm", 4, 0644, 0, &e));
    bundle_file("volume/x", "", 0, 0644);
    link_make(secret, "volume/absolute");
    link_make(climb, "volume/up");
    mounts(BIND("volume", "/data") ", " BIND("gone", "/gone"));
    expect_kind("/data/absolute", ENTRYPOINT_NONE);
    expect_kind("/data/up", ENTRYPOINT_NONE);
    expect_kind("/gone/app", ENTRYPOINT_NONE);
    unit_remove(take_ptr(outside));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, before, after)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_first_bytes_say_what_it_is),
        TEST(a_program_needs_no_execute_bit),
        TEST(folders_and_devices_are_no_programs),
        TEST(a_bare_name_is_looked_for_in_PATH_and_then_in_the_folder),
        TEST(a_relative_path_is_from_the_working_folder),
        TEST(no_link_leads_out_of_the_root),
        TEST(a_function_is_named_behind_the_file),
        TEST(a_function_of_a_native_program_is_not_kept),
        TEST(a_program_may_be_in_a_folder_that_is_mounted),
        TEST(a_program_may_be_mounted_by_itself),
        TEST(the_last_mount_on_a_path_is_the_one_that_is_seen),
        TEST(links_lead_from_one_mount_into_another),
        TEST(no_link_leads_out_of_a_mount),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
