/* SPDX-License-Identifier: Apache-2.0 */
/* What is read from the documents of an OCI bundle, and what is refused. */
#include "unit.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "base/fds.h"
#include "container/oci/oci_config.h"

/* As containerd writes it for a pod's container, with what else the specification knows. */
static const char full[] =
    "{\"ociVersion\":\"1.2.1\",\"futureMember\":{\"deep\":[[[1.5e3,null]]]},"
    "\"process\":{\"terminal\":true,\"consoleSize\":{\"height\":24,\"width\":80},"
    "\"user\":{\"uid\":1000,\"gid\":2000,\"umask\":18,\"additionalGids\":[5,4294967294,10],"
    "\"username\":\"x\"},"
    "\"args\":[\"/app.wasm\",\"\",\"b\\u00e9\"],\"env\":[\"PATH=/bin\",\"A=\"],\"cwd\":\"/work\","
    "\"capabilities\":{\"bounding\":[\"CAP_CHOWN\",\"CAP_KILL\"],\"effective\":[\"CAP_CHOWN\"],"
    "\"inheritable\":[\"CAP_KILL\"],\"permitted\":[\"CAP_CHOWN\"],\"ambient\":[\"CAP_KILL\"]},"
    "\"rlimits\":[{\"type\":\"RLIMIT_NOFILE\",\"hard\":18446744073709551615,\"soft\":1024},"
    "{\"type\":\"RLIMIT_CORE\",\"hard\":9223372036854775808,\"soft\":0}],"
    "\"noNewPrivileges\":true,\"apparmorProfile\":\"cri-containerd.apparmor.d\","
    "\"selinuxLabel\":\"system_u:system_r:svirt_lxc_net_t:s0:c124,c675\",\"oomScoreAdj\":-998},"
    "\"root\":{\"path\":\"rootfs\",\"readonly\":true},\"hostname\":\"h\",\"domainname\":\"d.net\","
    "\"mounts\":[{\"destination\":\"/proc\",\"type\":\"proc\",\"source\":\"proc\","
    "\"options\":[\"nosuid\",\"noexec\"]},{\"destination\":\"/data\"}],"
    "\"hooks\":{\"prestart\":[{\"path\":\"/p\"}],\"createRuntime\":[{\"path\":\"/r\","
    "\"args\":[\"r\",\"1\"],\"env\":[\"K=V\"],\"timeout\":5},{\"path\":\"/r2\"}],"
    "\"createContainer\":[{\"path\":\"/c\"}],\"startContainer\":[{\"path\":\"/s\"}],"
    "\"poststart\":[{\"path\":\"/ps\"}],\"poststop\":[{\"path\":\"/pp\"}]},"
    "\"annotations\":{\"io.kubernetes.cri.container-type\":\"container\",\"a\":\"\"},"
    "\"linux\":{\"namespaces\":[{\"type\":\"pid\"},{\"type\":\"network\",\"path\":\"/var/run/n\"}],"
    "\"uidMappings\":[{\"containerID\":0,\"hostID\":1000,\"size\":4294967295}],"
    "\"gidMappings\":[{\"containerID\":1,\"hostID\":2,\"size\":3}],"
    "\"sysctl\":{\"net.ipv4.ip_forward\":\"1\"},\"cgroupsPath\":\"/kubepods/x\","
    "\"resources\":{\"devices\":[{\"allow\":false,\"access\":\"rwm\"}],"
    "\"memory\":{\"limit\":268435456,\"reservation\":-1,\"swap\":18446744073709551615,"
    "\"swappiness\":60},"
    "\"cpu\":{\"shares\":1024,\"quota\":-1,\"period\":100000,\"cpus\":\"0-1\",\"mems\":\"0\"},"
    "\"pids\":{\"limit\":32771},\"blockIO\":{\"weight\":10},"
    "\"unified\":{\"memory.high\":\"1000\",\"hugetlb.1GB.max\":\"max\"}},"
    "\"seccomp\":{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"defaultErrnoRet\":38,"
    "\"architectures\":[\"SCMP_ARCH_X86_64\"],\"flags\":[\"SECCOMP_FILTER_FLAG_LOG\"],"
    "\"listenerPath\":\"/l\",\"syscalls\":[{\"names\":[\"read\",\"write\"],"
    "\"action\":\"SCMP_ACT_ALLOW\"},{\"names\":[\"clone\"],\"action\":\"SCMP_ACT_ERRNO\","
    "\"errnoRet\":1,\"args\":[{\"index\":5,\"value\":18446744073709551615,"
    "\"valueTwo\":9223372036854775809,\"op\":\"SCMP_CMP_MASKED_EQ\"}]}]},"
    "\"rootfsPropagation\":\"rslave\",\"mountLabel\":\"l\",\"maskedPaths\":[\"/proc/kcore\"],"
    "\"readonlyPaths\":[\"/proc/sys\",\"/proc/irq\"]}}";

static void decode_full(struct oci_config *c)
{
    struct err e = ERR_INIT;

    memset(c, 0xa5, sizeof(*c));
    assert_ok(oci_config_decode(full, sizeof(full) - 1, c, &e));
}

static void a_process_is_read_with_all_that_it_says(void **state)
{
    struct oci_config c;
    struct oci_process *p = &c.process;

    (void)state;
    decode_full(&c);
    assert_true(c.has_process && p->terminal && p->no_new_privileges);
    assert_int_equal(p->console_width, 80);
    assert_int_equal(p->console_height, 24);
    assert_int_equal(p->user.uid, 1000);
    assert_int_equal(p->user.gid, 2000);
    assert_true(p->user.has_umask);
    assert_int_equal(p->user.umask, 022);
    assert_int_equal(p->user.n_additional_gids, 3);
    assert_int_equal(p->user.additional_gids[1], 4294967294);
    assert_int_equal(p->args.n, 3);
    assert_string_equal(p->args.v[1], "");
    assert_string_equal(p->args.v[2], "b\xc3\xa9");
    assert_string_equal(p->env.v[1], "A=");
    assert_string_equal(p->cwd, "/work");
    assert_true(p->has_capabilities);
    assert_int_equal(p->capabilities.bounding.n, 2);
    assert_string_equal(p->capabilities.effective.v[0], "CAP_CHOWN");
    assert_string_equal(p->capabilities.inheritable.v[0], "CAP_KILL");
    assert_string_equal(p->capabilities.permitted.v[0], "CAP_CHOWN");
    assert_string_equal(p->capabilities.ambient.v[0], "CAP_KILL");
    assert_string_equal(p->apparmor_profile, "cri-containerd.apparmor.d");
    assert_contains(p->selinux_label, "svirt");
    assert_true(p->has_oom_score_adj);
    assert_int_equal(p->oom_score_adj, -998);
    oci_config_done(&c);
    assert_null(c.process.args.v);
}

static void no_value_of_64_bits_is_lost(void **state)
{
    const struct oci_syscall_arg *arg;
    struct oci_config c;

    (void)state;
    decode_full(&c);
    assert_int_equal(c.process.n_rlimits, 2);
    assert_true(c.process.rlimits[0].hard == UINT64_MAX);
    assert_true(c.process.rlimits[0].soft == 1024);
    assert_true(c.process.rlimits[1].hard == 1ULL << 63);
    assert_true(c.linux_.resources.has_memory_swap);
    assert_int_equal(c.linux_.resources.memory_swap, -1);
    arg = &c.linux_.seccomp.syscalls[1].args[0];
    assert_int_equal(arg->index, 5);
    assert_true(arg->value == UINT64_MAX);
    assert_true(arg->value_two == (1ULL << 63) + 1);
    assert_string_equal(arg->op, "SCMP_CMP_MASKED_EQ");
    oci_config_done(&c);
}

static void the_bundle_is_read_with_its_mounts_and_hooks(void **state)
{
    struct oci_config c;

    (void)state;
    decode_full(&c);
    assert_string_equal(c.oci_version, "1.2.1");
    assert_string_equal(c.root_path, "rootfs");
    assert_true(c.root_readonly);
    assert_string_equal(c.hostname, "h");
    assert_string_equal(c.domainname, "d.net");
    assert_int_equal(c.n_mounts, 2);
    assert_string_equal(c.mounts[0].options.v[1], "noexec");
    assert_string_equal(c.mounts[1].destination, "/data");
    assert_null(c.mounts[1].type);
    assert_int_equal(c.hooks.create_runtime.n, 2);
    assert_int_equal(c.hooks.create_runtime.v[0].timeout_s, 5);
    assert_string_equal(c.hooks.create_runtime.v[0].args.v[1], "1");
    assert_string_equal(c.hooks.create_runtime.v[0].env.v[0], "K=V");
    assert_int_equal(c.hooks.create_runtime.v[1].timeout_s, 0);
    assert_string_equal(c.hooks.prestart.v[0].path, "/p");
    assert_string_equal(c.hooks.create_container.v[0].path, "/c");
    assert_string_equal(c.hooks.start_container.v[0].path, "/s");
    assert_string_equal(c.hooks.poststart.v[0].path, "/ps");
    assert_string_equal(c.hooks.poststop.v[0].path, "/pp");
    assert_string_equal(oci_config_annotation(&c, "io.kubernetes.cri.container-type"), "container");
    assert_string_equal(oci_config_annotation(&c, "a"), "");
    assert_null(oci_config_annotation(&c, "b"));
    oci_config_done(&c);
}

static void linux_is_read_with_its_resources_and_calls(void **state)
{
    struct oci_config c;
    struct oci_linux *l = &c.linux_;

    (void)state;
    decode_full(&c);
    assert_null(oci_config_namespace(&c, "pid")->path);
    assert_string_equal(oci_config_namespace(&c, "network")->path, "/var/run/n");
    assert_null(oci_config_namespace(&c, "user"));
    assert_int_equal(l->uid_mappings[0].size, 4294967295);
    assert_int_equal(l->gid_mappings[0].host_id, 2);
    assert_string_equal(l->sysctl.v[0].name, "net.ipv4.ip_forward");
    assert_string_equal(l->cgroups_path, "/kubepods/x");
    assert_int_equal(l->resources.memory_limit, 268435456);
    assert_int_equal(l->resources.memory_reservation, -1);
    assert_int_equal(l->resources.cpu_quota_us, -1);
    assert_int_equal(l->resources.cpu_period_us, 100000);
    assert_int_equal(l->resources.cpu_shares, 1024);
    assert_string_equal(l->resources.cpuset_cpus, "0-1");
    assert_string_equal(l->resources.cpuset_mems, "0");
    assert_int_equal(l->resources.pids_limit, 32771);
    assert_int_equal(l->resources.blkio_weight, 10);
    assert_string_equal(l->resources.unified.v[1].value, "max");
    assert_true(l->has_seccomp && l->seccomp.has_default_errno_ret);
    assert_int_equal(l->seccomp.default_errno_ret, 38);
    assert_string_equal(l->seccomp.listener_path, "/l");
    assert_string_equal(l->seccomp.syscalls[0].names.v[1], "write");
    assert_false(l->seccomp.syscalls[0].has_errno_ret);
    assert_int_equal(l->seccomp.syscalls[1].errno_ret, 1);
    assert_string_equal(l->rootfs_propagation, "rslave");
    assert_string_equal(l->mount_label, "l");
    assert_string_equal(l->masked_paths.v[0], "/proc/kcore");
    assert_string_equal(l->readonly_paths.v[1], "/proc/irq");
    oci_config_done(&c);
}

static void absent_and_zero_differ(void **state)
{
    static const char resources[] = "{\"memory\":{\"limit\":0},\"cpu\":null,\"pids\":{}}";
    struct err e = ERR_INIT;
    struct oci_resources r;
    struct oci_config c;

    (void)state;
    assert_ok(oci_resources_decode(resources, strlen(resources), &r, &e));
    assert_true(r.has_memory_limit);
    assert_false(r.has_memory_swap || r.has_cpu_shares || r.has_pids_limit);
    oci_resources_done(&r);
    assert_ok(oci_config_decode("{}", 2, &c, &e));
    assert_false(c.has_process || c.linux_.has_seccomp);
    assert_null(c.linux_.cgroups_path);
    oci_config_done(&c);
}

static void what_is_wrong_is_named_with_its_place(void **state)
{
    static const char *const rows[][2] = {
        {"{\"process\":{\"args\":[\"a\"]}}",                                                        "$.process.cwd: is missing"                },
        {"{\"process\":{\"cwd\":\"/\"}}",                                                           "$.process.args: is missing"               },
        {"{\"process\":{\"cwd\":\"/\",\"args\":[]}}",                                               "$.process: args: the first one"           },
        {"{\"process\":{\"cwd\":\"/\",\"args\":[\"\"]}}",                                           "$.process: args: the first one"           },
        {"{\"process\":{\"cwd\":\"x\",\"args\":[\"a\"]}}",                                          "cwd: 'x' is not an absolute path"         },
        {"{\"process\":{\"cwd\":\"/\",\"args\":[\"a\",1]}}",
         "$.process.args[1]: expected a string"                                                                                                },
        {"{\"process\":{\"user\":{\"uid\":-1}}}",                                                   "$.process.user.uid: -1 is not between"    },
        {"{\"process\":{\"user\":{\"additionalGids\":[0,4294967295]}}}",
         "$.process.user.additionalGids[1]: 4294967295 is not between"                                                                         },
        {"{\"process\":{\"args\":[\"a\"],\"cwd\":\"/\",\"rlimits\":[{\"type\":\"RLIMIT_CORE\"}]}}",
         "$.process.rlimits[0].soft: is missing"                                                                                               },
        {"{\"linux\":{\"resources\":{\"memory\":{\"limit\":9223372036854775808}}}}",
         "$.linux.resources.memory.limit:"                                                                                                     },
        {"{\"linux\":{\"seccomp\":{}}}",                                                            "$.linux.seccomp.defaultAction: is missing"},
        {"{\"hooks\":{\"poststop\":[{\"path\":\"/a\"},{\"path\":\"b\"}]}}",
         "$.hooks.poststop[1].path: 'b' is not an absolute path"                                                                               },
        {"{\"ociVersion\":\"2.0.0\"}",                                                              "$.ociVersion: '2.0.0' is not supported"   },
        {"{\"annotations\":{\"a\":1}}",                                                             "$.annotations.a: expected a string"       },
        {"{\"hostname\":\"a\\u0000b\"}",                                                            "line 1"                                   },
        {"[]",                                                                                      "$: expected an object"                    },
        {"",                                                                                        "line 1"                                   },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct oci_config c, untouched;
        struct err e = ERR_INIT;

        memset(&c, 0x5a, sizeof(c));
        memcpy(&untouched, &c, sizeof(c));
        assert_true(oci_config_decode(rows[i][0], strlen(rows[i][0]), &c, &e) < 0);
        assert_string_equal(e.reason, "BadConfig");
        assert_contains(e.msg, "config.json of the bundle");
        assert_contains(e.msg, rows[i][1]);
        assert_memory_equal(&c, &untouched, sizeof(c));
    }
}

static void a_process_to_execute_is_read_by_itself(void **state)
{
    static const char good[] = "{\"args\":[\"ls\"],\"cwd\":\"/\",\"user\":{\"uid\":1,\"gid\":2}}";
    struct err e = ERR_INIT;
    struct oci_process p;

    (void)state;
    assert_ok(oci_process_decode(good, sizeof(good) - 1, &p, &e));
    assert_string_equal(p.args.v[0], "ls");
    assert_int_equal(p.user.gid, 2);
    assert_false(p.has_capabilities || p.has_oom_score_adj || p.user.has_umask);
    oci_process_done(&p);
    assert_fails(oci_process_decode("{\"args\":[\"ls\"],\"cwd\":\"\"}", 24, &p, &e), -EINVAL,
                 "BadConfig");
    assert_contains(e.msg, "the process to execute");
}

static void a_file_is_read_unless_it_is_too_large_or_none(void **state)
{
    autofree char *dir = unit_temp_dir();
    autofd dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct err e = ERR_INIT;
    struct oci_config c;
    int fd;

    (void)state;
    assert_fails(oci_config_read(dir_fd, &c, &e), -ENOENT, "NotFound");
    assert_ok(file_write_at(dir_fd, "config.json", full, sizeof(full) - 1, 0600, 0, &e));
    assert_ok(oci_config_read(dir_fd, &c, &e));
    assert_string_equal(c.hostname, "h");
    oci_config_done(&c);
    /* 100 MB: refused before it is read. */
    fd = openat(dir_fd, "config.json", O_WRONLY | O_CLOEXEC);
    assert_int_equal(ftruncate(fd, 100000000), 0);
    close(fd);
    assert_fails(oci_config_read(dir_fd, &c, &e), -EFBIG, "TooLarge");
    assert_int_equal(unlinkat(dir_fd, "config.json", 0), 0);
    assert_int_equal(mkfifoat(dir_fd, "config.json", 0600), 0);
    assert_fails(oci_config_read(dir_fd, &c, &e), -EINVAL, "BadConfig");
    assert_int_equal(unlinkat(dir_fd, "config.json", 0), 0);
    assert_int_equal(rmdir(dir), 0);
}

static void a_list_is_no_longer_than_its_limit(void **state)
{
    struct err e = ERR_INIT;
    autobuf text = BUF_INIT;
    struct oci_config c;

    (void)state;
    buf_addstr(&text, "{\"linux\":{\"uidMappings\":[");
    for (int i = 0; i < 65537; i++)
        buf_addstr(&text, i ? ",{}" : "{}");
    buf_addstr(&text, "]}}");
    assert_fails(oci_config_decode(buf_str(&text), text.len, &c, &e), -EFBIG, "TooLarge");
}

static void the_state_of_a_container_is_a_document_for_its_hooks(void **state)
{
    struct oci_config c;
    autobuf text = BUF_INIT;

    (void)state;
    decode_full(&c);
    oci_state_encode(&c, "x", "created", 42, "/b\xff", &text);
    assert_string_equal(buf_str(&text),
                        "{\"ociVersion\":\"1.2.1\",\"id\":\"x\",\"status\":\"created\",\"pid\":42,"
                        "\"bundle\":\"/b\xef\xbf\xbd\",\"annotations\":{"
                        "\"io.kubernetes.cri.container-type\":\"container\",\"a\":\"\"}}");
    oci_config_done(&c);
    buf_clear(&text);
    oci_state_encode(&c, "x", "stopped", 0, "/b", &text);
    assert_string_equal(buf_str(&text), "{\"ociVersion\":\"1.0.2\",\"id\":\"x\","
                                        "\"status\":\"stopped\",\"bundle\":\"/b\"}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_process_is_read_with_all_that_it_says),
        cmocka_unit_test(no_value_of_64_bits_is_lost),
        cmocka_unit_test(the_bundle_is_read_with_its_mounts_and_hooks),
        cmocka_unit_test(linux_is_read_with_its_resources_and_calls),
        cmocka_unit_test(absent_and_zero_differ),
        cmocka_unit_test(what_is_wrong_is_named_with_its_place),
        cmocka_unit_test(a_process_to_execute_is_read_by_itself),
        cmocka_unit_test(a_file_is_read_unless_it_is_too_large_or_none),
        cmocka_unit_test(a_list_is_no_longer_than_its_limit),
        cmocka_unit_test(the_state_of_a_container_is_a_document_for_its_hooks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
