/* SPDX-License-Identifier: Apache-2.0 */
/* What is read of containerd's configuration, and the file that adds our runtime to it. */
#include "unit.h"

#include <sys/stat.h>

#include "base/fds.h"
#include "base/paths.h"
#include "cli/containerd_drop_in.h"

static char *folder;

static int set_up(void **state)
{
    (void)state;
    folder = unit_temp_dir();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    unit_remove(folder);
    return 0;
}

/* Its path, heap. */
static char *file_put(const char *name, const char *text)
{
    char *path = path_join(folder, name);
    autofree char *dir = path_dir(path);
    struct err e = ERR_INIT;

    assert_ok(path_mkdir_p(dir, 0755, &e));
    assert_ok(file_write(path, text, strlen(text), 0644, 0, &e));
    return path;
}

/* config.toml with this text is loaded; ours is conf.d/wherry.toml. */
static void load(const char *text, struct containerd_config *ret)
{
    autofree char *path = file_put("config.toml", text);
    autofree char *own = path_join(folder, "conf.d/wherry.toml");
    struct err e = ERR_INIT;

    assert_ok(containerd_config_load(path, own, ret, &e));
}

static void refused(const char *text, const char *reason)
{
    autocontainerd_file f = {0};
    struct err e = ERR_INIT;

    assert_fails(containerd_file_parse("config.toml", text, strlen(text), &f, &e), -EINVAL, reason);
    assert_null(f.path);
}

static void write_for(int major, int minor, const char *config, struct containerd_drop_in d,
                      struct buf *out)
{
    autocontainerd_config c = {0};

    load(config, &c);
    d.version = (struct containerd_version){major, minor};
    d.runtime = "wherry";
    d.has_systemd_cgroup = containerd_has_systemd_cgroup(&c);
    containerd_drop_in_add(&d, &c, out);
}

#define USERS                                                                                      \
    "version = 2\nroot = '/data'\n"                                                                \
    "[plugins.\"io.containerd.gc.v1.scheduler\"]\n  pause_threshold = 0.02\n"                      \
    "[plugins.\"io.containerd.grpc.v1.cri\"]\n  sandbox_image = \"my/pause:1\" # ours\n"           \
    "[plugins.'io.containerd.grpc.v1.cri' . containerd]\n  default_runtime_name = \"crun\"\n"      \
    "[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.crun]\n"                           \
    "  runtime_type = \"io.containerd.runc.v2\"\n  pod_annotations = [\n    \"a\", # [\n  ]\n"     \
    "[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.crun.options]\n"                   \
    "  SystemdCgroup = true\n"                                                                     \
    "[debug]\n  level = \"info\"\n"

static void test_version(void **state)
{
    static const struct {
        const char *text;
        int major, minor;
    } good[] = {
        {"containerd github.com/containerd/containerd 1.6.20~ds1 1.6.20~ds1-1+deb12u3\n", 1, 6},
        {"containerd github.com/containerd/containerd/v2 2.4.2+unknown \n",               2, 4},
        {"containerd github.com/k3s-io/containerd v2.1.5-k3s1 abc",                       2, 1},
        {"1.7",                                                                           1, 7},
    };
    struct containerd_version v = {7, 7};
    struct err e = ERR_INIT;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        assert_ok(containerd_version_parse(good[i].text, &v, &e));
        assert_int_equal(v.major, good[i].major);
        assert_int_equal(v.minor, good[i].minor);
    }
    v = (struct containerd_version){7, 7};
    assert_fails(containerd_version_parse("runc version one", &v, &e), -EINVAL, "BadVersion");
    assert_int_equal(v.major, 7);
}

static void test_1_repeats_the_users_settings(void **state)
{
    autobuf out = BUF_INIT;

    (void)state;
    write_for(1, 7, USERS, (struct containerd_drop_in){.shim_path = "/opt/a\"b"}, &out);
    assert_contains(buf_str(&out), "sandbox_image = \"my/pause:1\" # ours\n");
    assert_contains(buf_str(&out), "default_runtime_name = \"crun\"\n");
    assert_contains(buf_str(&out), "    \"a\", # [\n  ]\n");
    assert_null(strstr(buf_str(&out), "pause_threshold")); /* nothing of others */
    assert_null(strstr(buf_str(&out), "[debug]"));
    assert_null(strstr(buf_str(&out), "/data"));
    assert_null(strstr(buf_str(&out), "runtimes.runc"));
    assert_non_null(strstr(buf_str(&out),
                           "\n[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.wherry]\n"
                           "  runtime_type = \"io.containerd.wherry.v1\"\n"
                           "  runtime_path = \"/opt/a\\\"b\"\n"));
    assert_contains(buf_str(&out), "runtimes.wherry.options]\n  SystemdCgroup = true\n");
    assert_contains(buf_str(&out), "\nversion = 2\n");
}

static void test_1_keeps_runc_where_nobody_named_a_runtime(void **state)
{
    autobuf out = BUF_INIT;

    (void)state;
    write_for(1, 7, "version = 2\n", (struct containerd_drop_in){0}, &out);
    assert_contains(buf_str(&out), "containerd.runtimes.runc]\n");
    assert_contains(buf_str(&out), "SystemdCgroup = false\n");
    assert_null(strstr(buf_str(&out), "runtime_path"));
}

static void test_1_6_is_told_the_shim_as_a_type(void **state)
{
    autobuf out = BUF_INIT;

    (void)state;
    write_for(1, 6, "version = 2\n",
              (struct containerd_drop_in){.shim_path = "/opt/containerd-shim-wherry-v1"}, &out);
    assert_contains(buf_str(&out), "  runtime_type = \"/opt/containerd-shim-wherry-v1\"\n");
    assert_null(strstr(buf_str(&out), "runtime_path"));
    assert_true(
        containerd_dump_has(buf_str(&out), out.len, "wherry", WHERRY_RUNTIME_TYPE, WHERRY_SHIM));
}

static void test_2_has_our_tables_only(void **state)
{
    autobuf out = BUF_INIT;
    autocontainerd_file f = {0};
    struct err e = ERR_INIT;

    (void)state;
    write_for(2, 4, USERS, (struct containerd_drop_in){.sandboxer = "shim", .has_made_dir = true},
              &out);
    assert_ok(containerd_file_parse("ours", buf_str(&out), out.len, &f, &e));
    assert_int_equal(f.version, 3);
    assert_int_equal(f.n, 2);
    assert_true(containerd_is_cri(&f.tables[0], "io.containerd.cri.v1.runtime"));
    assert_contains(buf_str(&out), "  sandboxer = \"shim\"\n");
    assert_contains(buf_str(&out), "\"io.kubernetes.container.ports\"");
    /* The driver of control groups is found in a configuration of version 2, too. */
    assert_contains(buf_str(&out), "SystemdCgroup = true\n");
    assert_true(containerd_drop_in_is_ours(buf_str(&out)));
    assert_true(containerd_drop_in_has_made_dir(buf_str(&out)));
    assert_false(containerd_drop_in_is_ours("# Written by somebody\n"));
}

static void test_a_file_is_imported_by_its_pattern_before_it_is_there(void **state)
{
    autocontainerd_config with = {0}, without = {0};
    autofree char *config = path_join(folder, "config.toml");
    autofree char *dir = NULL;
    autofree char *wanted = path_join(folder, "conf.d");

    (void)state;
    load("version = 2\nimports = [\"conf.d/*.toml\"]\n", &with);
    assert_true(with.is_imported);
    assert_int_equal(with.files[0].imports_line, 2);
    dir = containerd_drop_in_dir(&with, config);
    assert_string_equal(dir, wanted);
    load("version = 2\nimports = [\"other/*.toml\"]\n", &without);
    assert_false(without.is_imported);
}

static void test_files_are_read_in_containerds_order(void **state)
{
    autofree char *a = file_put("conf.d/a.toml", "version = 2\n[plugins.\"" CRI_PLUGIN_1 "\"]\n");
    autofree char *z = file_put(
        "conf.d/z.toml", "imports = [\"../config.toml\"]\n[plugins.\"" CRI_PLUGIN_1 "\".cni]\n");
    autocontainerd_config c = {0};

    (void)state;
    load("version = 2\nimports = [\"conf.d/*.toml\"]\n", &c);
    assert_int_equal(c.n, 3); /* each once, whatever its path is written like */
    assert_string_equal(c.files[1].path, a);
    assert_int_equal(c.own_at, 2);
    assert_string_equal(containerd_cri_file(&c)->path, z);
}

static void test_a_handler_of_others_is_found_with_its_line(void **state)
{
    const struct containerd_file *f = NULL;
    const struct containerd_table *t;
    autocontainerd_config c = {0};

    (void)state;
    load(USERS, &c);
    t = containerd_runtime_find(&c, "crun", false, &f);
    assert_non_null(t);
    assert_int_equal(t->line, 9);
    assert_ptr_equal(f, &c.files[0]);
    assert_null(containerd_runtime_find(&c, "wherry", false, NULL));
}

static void test_that_cri_is_disabled_is_seen(void **state)
{
    autocontainerd_config c = {0};

    (void)state;
    load("disabled_plugins = [\"cri\"]\n", &c);
    assert_true(c.files[0].is_cri_disabled);
    assert_int_equal(c.files[0].version, 0);
}

static void test_what_is_not_understood_is_refused(void **state)
{
    (void)state;
    refused("[a\n", "BadContainerdConfig");
    refused("[a] b\n", "BadContainerdConfig");
    refused("[[a]\n", "BadContainerdConfig");
    refused("[]\n", "BadContainerdConfig");
    refused("[a.]\n", "BadContainerdConfig");
    refused("[\"a]\n", "BadContainerdConfig");
    refused("[a]\nx = \"\"\"\n[b]\n\"\"\"\n", "BadContainerdConfig");
    refused("plugins.cri.x = 1\n", "BadContainerdConfig");
    refused("[plugins]\ncri = {x = 1}\n", "BadContainerdConfig");
    refused("version = \n", "BadToml");
}

static void test_the_dump_tells_whether_the_handler_is_there(void **state)
{
    static const char v1[] = "[plugins]\n  [plugins.\"io.containerd.grpc.v1.cri\"]\n"
                             "    [plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.w]\n"
                             "      runtime_type = \"io.containerd.wherry.v1\"\n";
    static const char v2[] =
        "x = 1\n[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.w]\n"
        "runtime_type = 'io.containerd.runc.v2'\n";

    (void)state;
    assert_true(containerd_dump_has(v1, strlen(v1), "w", WHERRY_RUNTIME_TYPE, WHERRY_SHIM));
    assert_false(containerd_dump_has(v1, strlen(v1), "v", WHERRY_RUNTIME_TYPE, WHERRY_SHIM));
    assert_false(containerd_dump_has(v2, strlen(v2), "w", WHERRY_RUNTIME_TYPE, WHERRY_SHIM));
    assert_true(containerd_dump_has(v2, strlen(v2), "w", "io.containerd.runc.v2", ""));
}

#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(version),
        TEST(1_repeats_the_users_settings),
        TEST(1_keeps_runc_where_nobody_named_a_runtime),
        TEST(1_6_is_told_the_shim_as_a_type),
        TEST(2_has_our_tables_only),
        TEST(a_file_is_imported_by_its_pattern_before_it_is_there),
        TEST(files_are_read_in_containerds_order),
        TEST(a_handler_of_others_is_found_with_its_line),
        TEST(that_cri_is_disabled_is_seen),
        TEST(what_is_not_understood_is_refused),
        TEST(the_dump_tells_whether_the_handler_is_there),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
