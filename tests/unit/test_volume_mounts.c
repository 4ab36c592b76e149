/* SPDX-License-Identifier: Apache-2.0 */
/* What a container is given of the volumes of its pod. */
#include "unit.h"

#include "pod_volumes.h"

static void a_sub_path_is_a_part_and_is_made(void **state)
{
    automounts m = {0};
    struct err e = ERR_INIT;
    autofd root = -EBADF;

    (void)state;
    volume("data", POD_VOLUME_EMPTY);
    mounted("data", "/a", "new/./folder/");
    mounted("data", "/b", ".");
    prepared();
    assert_ok(open_mounts(&m, &e));
    root = volume_fd("data");
    file_put(m.v[0].fd, "file", "x");
    assert_file(root, "new/folder/file", "x");
    assert_file(m.v[1].fd, "new/folder/file", "x");
    assert_int_equal(mode_of(m.v[0].fd), 0777);
}

static void a_sub_path_cannot_leave_its_volume(void **state)
{
    static const char *const paths[] = {"up",        "up/x", "abs",  "deep/up", "../x",
                                        "a/../../x", "/etc", "loop", "proc"};
    autofd root = -EBADF;

    (void)state;
    volume("data", POD_VOLUME_EMPTY);
    prepared();
    root = volume_fd("data");
    assert_int_equal(symlinkat("..", root, "up"), 0);
    assert_int_equal(symlinkat("/etc", root, "abs"), 0);
    assert_int_equal(symlinkat("/proc/self/cwd", root, "proc"), 0);
    assert_int_equal(symlinkat("loop", root, "loop"), 0);
    assert_int_equal(mkdirat(root, "deep", 0755), 0);
    assert_int_equal(symlinkat("../../..", root, "deep/up"), 0);
    for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
        automounts m = {0};
        struct err e = ERR_INIT;

        container.n_mounts = 0;
        mounted("data", "/a", paths[i]);
        assert_true(open_mounts(&m, &e) < 0);
        assert_string_equal(e.reason, "CreateContainerConfigError");
        assert_contains(e.msg, "subPath");
        assert_contains(e.msg, "mount '/a' of volume 'data' in container 'main'");
    }
    assert_false(is_there("state/pods/11-22/x") || is_there("state/pods/x"));
}

static void a_sub_path_may_use_links_inside_its_volume(void **state)
{
    automounts m = {0};
    struct err e = ERR_INIT;
    autofd root = -EBADF;

    (void)state;
    volume("data", POD_VOLUME_EMPTY);
    prepared();
    root = volume_fd("data");
    assert_int_equal(mkdirat(root, "real", 0755), 0);
    assert_int_equal(symlinkat("real", root, "link"), 0);
    mounted("data", "/a", "link/new");
    assert_ok(open_mounts(&m, &e));
    assert_true(is_there("state/pods/11-22/volumes/data/real/new"));
}

static void a_sub_path_with_variables_is_expanded(void **state)
{
    automounts m = {0};
    autostrv env = STRV_INIT;
    struct err e = ERR_INIT;

    (void)state;
    volume("data", POD_VOLUME_EMPTY);
    mounted("data", "/a", "logs/$(NAME)")->is_sub_path_expanded = true;
    prepared();
    assert_open_fails(-EINVAL, "CreateContainerConfigError", "missing value for \"NAME\"");
    strv_add(&env, "NAME=pod-1");
    assert_ok(open_with(&env, &m, &e));
    assert_true(is_there("state/pods/11-22/volumes/data/logs/pod-1"));
    strv_variable_put(&env, xstrdup("NAME=../../x"));
    volume_mounts_done(&m);
    assert_fails(open_with(&env, &m, &e), -EINVAL, "CreateContainerConfigError");
}

static void nothing_is_made_in_a_read_only_volume(void **state)
{
    (void)state;
    projected("config", POD_VOLUME_CONFIG, "c");
    text_set(POD_OBJECT_CONFIG, "c", "conf", "1");
    mounted("config", "/a", "none");
    prepared();
    assert_open_fails(-ENOENT, "CreateContainerConfigError", "cannot open subPath 'none'");
}

/* ---- Single files ---- */

static void a_file_is_given_in_a_folder_that_shows_only_it(void **state)
{
    automounts m = {0};
    struct err e = ERR_INIT;
    bool is_changed;

    (void)state;
    projected("config", POD_VOLUME_CONFIG, "c");
    text_set(POD_OBJECT_CONFIG, "c", "conf", "1");
    text_set(POD_OBJECT_CONFIG, "c", "other", "x");
    text_set(POD_OBJECT_CONFIG, "c", "third", "3");
    mounted("config", "/etc/app/conf.toml", "conf");
    mounted("config", "/all", NULL);
    mounted("config", "/etc/app/third", "third");
    prepared();
    assert_ok(open_mounts(&m, &e));
    assert_int_equal(m.n, 2);
    assert_string_equal(m.v[0].path, "/etc/app");
    assert_true(m.v[0].is_read_only);
    assert_file(m.v[0].fd, "conf.toml", "1");
    assert_file(m.v[0].fd, "third", "3");
    assert_int_equal(faccessat(m.v[0].fd, "other", F_OK, 0), -1);
    /* As in Kubernetes a part of a volume is not updated. */
    text_set(POD_OBJECT_CONFIG, "c", "conf", "2");
    assert_ok(update(&is_changed, &e));
    assert_file(m.v[0].fd, "conf.toml", "1");
    assert_file(m.v[1].fd, "conf", "2");
}

static void a_file_is_opened_anew_for_the_next_container(void **state)
{
    struct err e = ERR_INIT;

    (void)state;
    projected("config", POD_VOLUME_CONFIG, "c");
    mounted("config", "/etc/app/conf", "conf");
    for (int i = 0; i < 3; i++) {
        automounts m = {0};
        const char *text = i & 1 ? "odd" : "even";

        text_set(POD_OBJECT_CONFIG, "c", "conf", text);
        prepared();
        assert_ok(open_mounts(&m, &e));
        assert_file(m.v[0].fd, "conf", text);
    }
}

static void writing_to_a_single_file_reaches_the_volume(void **state)
{
    automounts m = {0};
    struct err e = ERR_INIT;
    autofd root = -EBADF, file = -EBADF;

    (void)state;
    volume("data", POD_VOLUME_EMPTY);
    mounted("data", "/var/state", "file");
    prepared();
    root = volume_fd("data");
    file_put(root, "file", "old");
    assert_ok(open_mounts(&m, &e));
    assert_false(m.v[0].is_read_only);
    file = openat(m.v[0].fd, "state", O_WRONLY | O_TRUNC | O_CLOEXEC);
    assert_int_equal(write(file, "new", 3), 3);
    assert_file(root, "file", "new");
}

static void use_foreign_file(void)
{
    automounts m = {0}, none = {0};
    struct err e = ERR_INIT;
    autofree char *file = path_join(host, "file");
    autobuf b = BUF_INIT;

    child_check(!mkdir(host, 0755) && !mount("host", host, "tmpfs", 0, NULL));
    child_check(!file_write(file, "x", 1, 0644, 0, &e));
    volume("host", POD_VOLUME_HOST_PATH)->path = file;
    mounted("host", "/etc/app/file", NULL);
    child_check(!prepare(&e) && !open_mounts(&m, &e));
    child_check(!file_read_at(m.v[0].fd, "file", 10, &b, &e) && str_eq(buf_str(&b), "x"));
    child_check(!volumes_remove(&places, spec.uid, &e) && is_there("host/file"));
    give_up_mounting();
    child_check(!prepare(&e) && open_mounts(&none, &e) == -ENOTSUP);
    child_check(str_eq(e.reason, "FileMountUnsupported"));
}

static void a_file_of_another_file_system_is_mounted_or_refused(void **state)
{
    (void)state;
    own_mounts_run(use_foreign_file);
}

static void what_no_guest_can_be_given_is_refused(void **state)
{
    automounts m = {0};
    struct err e = ERR_INIT;

    (void)state;
    volume("null", POD_VOLUME_HOST_PATH)->path = "/dev/null";
    mounted("null", "/dev/zero", NULL);
    prepared();
    assert_open_fails(-ENOTSUP, "FileMountUnsupported", "a socket, a device or a pipe");
    /* A process can. */
    container.kind = POD_CONTAINER_NATIVE;
    assert_ok(open_mounts(&m, &e));
    assert_string_equal(m.v[0].path, "/dev/zero");
}

static void files_that_cannot_share_a_folder_are_refused(void **state)
{
    autofd root = -EBADF;

    (void)state;
    volume("data", POD_VOLUME_EMPTY);
    prepared();
    root = volume_fd("data");
    file_put(root, "a", "x");
    file_put(root, "b", "x");
    mounted("data", "/etc/a", "a")->is_read_only = true;
    mounted("data", "/etc/b", "b");
    assert_open_fails(-ENOTSUP, "FileMountUnsupported", "both or none of them can be read-only");
    container.n_mounts = 1;
    mounted("data", "/etc", NULL);
    assert_open_fails(-ENOTSUP, "FileMountUnsupported", "folders only");
    container.n_mounts = 0;
    mounted("data", "/a", NULL);
    mounted("data", "/a/", NULL);
    assert_open_fails(-EINVAL, "CreateContainerConfigError", "another volume is mounted there");
}

static void mounts_inside_mounts_are_separate_folders(void **state)
{
    automounts m = {0};
    struct err e = ERR_INIT;

    (void)state;
    volume("outer", POD_VOLUME_EMPTY);
    volume("inner", POD_VOLUME_EMPTY)->is_read_only = true;
    mounted("outer", "/data", NULL);
    mounted("inner", "/data/inner", NULL);
    prepared();
    assert_ok(open_mounts(&m, &e));
    assert_int_equal(m.n, 2);
    assert_string_equal(m.v[1].path, "/data/inner");
    assert_false(m.v[0].is_read_only);
    assert_true(m.v[1].is_read_only);
}

static void a_missing_volume_is_named(void **state)
{
    (void)state;
    volume("data", POD_VOLUME_EMPTY);
    mounted("none", "/a", NULL);
    prepared();
    assert_open_fails(-EINVAL, "CreateContainerConfigError", "the pod has no volume 'none'");
    container.n_mounts = 0;
    mounted("data", "a", NULL);
    assert_open_fails(-EINVAL, "CreateContainerConfigError", "must be absolute");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_sub_path_is_a_part_and_is_made),
        TEST(a_sub_path_cannot_leave_its_volume),
        TEST(a_sub_path_may_use_links_inside_its_volume),
        TEST(a_sub_path_with_variables_is_expanded),
        TEST(nothing_is_made_in_a_read_only_volume),
        TEST(a_file_is_given_in_a_folder_that_shows_only_it),
        TEST(a_file_is_opened_anew_for_the_next_container),
        TEST(writing_to_a_single_file_reaches_the_volume),
        TEST(a_file_of_another_file_system_is_mounted_or_refused),
        TEST(what_no_guest_can_be_given_is_refused),
        TEST(files_that_cannot_share_a_folder_are_refused),
        TEST(mounts_inside_mounts_are_separate_folders),
        TEST(a_missing_volume_is_named),
    };
    return cmocka_run_group_tests_name("volume_mounts", tests, NULL, NULL);
}
