/* SPDX-License-Identifier: Apache-2.0 */
/* Names of groups, and the files of both versions, in plain folders: what the machine of the test
 * does not have. */
#include "unit.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/fds.h"
#include "base/paths.h"
#include "container/cgroup/cgroup_parts.h"

static const char hybrid[] =
    "25 23 0:22 / /sys rw,nosuid - sysfs sysfs rw\n"
    "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct\n"
    "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n"
    "36 31 0:33 / /sys/fs/cgroup/devices rw,relatime - cgroup cgroup rw,devices\n"
    "40 31 0:37 / /sys/fs/cgroup/sys\\040temd rw - cgroup cgroup rw,xattr,name=systemd\n"
    "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n"
    "50 31 0:32 / /mnt/again rw,relatime - cgroup cgroup rw,memory\n";

static const char unified[] = "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n";

/* In a container without a cgroup namespace of its own. */
static const char in_container[] =
    "30 23 0:26 /docker/abc /sys/fs/cgroup ro - cgroup2 cgroup rw,nsdelegate\n";

static void opened(const char *mounts, const char *self, const char *path, bool is_systemd,
                   struct cgroup_host *h, struct cgroup **ret)
{
    struct err e = ERR_INIT;

    cgroup_host_parse(mounts, h);
    assert_ok(cgroup_open_on(h, self, "0::/init.scope\n", path, is_systemd, "id1", ret, &e));
}

/* ---- Mounts ---- */

static void a_hybrid_machine_is_version_1_where_its_controllers_are(void **state)
{
    struct cgroup_host h;
    AUTO(cgroup) c = NULL;

    (void)state;
    opened(hybrid, "", "/k8s.io//./id1", false, &h, &c);
    assert_int_equal(cgroup_version(c), 1);
    assert_string_equal(cgroup_path(c), "/k8s.io/id1");
    assert_string_equal(cgroup_dir(c, CGROUP_CPU), "/sys/fs/cgroup/cpu,cpuacct/k8s.io/id1");
    assert_string_equal(cgroup_dir(c, CGROUP_CPUACCT), cgroup_dir(c, CGROUP_CPU));
    assert_string_equal(cgroup_dir(c, CGROUP_MEMORY), "/sys/fs/cgroup/memory/k8s.io/id1");
    assert_string_equal(cgroup_dir(c, CGROUP_SYSTEMD), "/sys/fs/cgroup/sys temd/k8s.io/id1");
    assert_null(cgroup_dir(c, CGROUP_PIDS));
    cgroup_host_done(&h);
}

static void a_relative_path_is_below_the_own_group_of_each_hierarchy(void **state)
{
    static const char self[] = "2:cpu,cpuacct:/a\n4:memory:/b/c\n9:name=systemd:/\n0::/x\n";
    struct cgroup_host h;
    AUTO(cgroup) c = NULL;

    (void)state;
    opened(hybrid, self, NULL, false, &h, &c);
    assert_string_equal(cgroup_dir(c, CGROUP_CPU), "/sys/fs/cgroup/cpu,cpuacct/a/id1");
    assert_string_equal(cgroup_dir(c, CGROUP_MEMORY), "/sys/fs/cgroup/memory/b/c/id1");
    assert_string_equal(cgroup_dir(c, CGROUP_SYSTEMD), "/sys/fs/cgroup/sys temd/id1");
    cgroup_host_done(&h);
}

static void a_relative_path_of_version_2_is_beside_the_own_group(void **state)
{
    struct cgroup_host h;
    AUTO(cgroup) c = NULL;

    (void)state;
    opened(unified, "0::/user.slice/shell.scope\n", "w/id", false, &h, &c);
    assert_int_equal(cgroup_version(c), 2);
    assert_string_equal(cgroup_dir(c, CGROUP_MEMORY), "/sys/fs/cgroup/user.slice/w/id");
    cgroup_host_done(&h);
}

static void in_a_container_its_group_is_at_the_mount_point(void **state)
{
    struct cgroup_host h;
    AUTO(cgroup) c = NULL;
    autofree char *own = NULL, *outside = NULL;

    (void)state;
    opened(in_container, "0::/docker/abc/init\n", "id", false, &h, &c);
    assert_string_equal(cgroup_dir(c, CGROUP_MEMORY), "/sys/fs/cgroup/id");
    own = cgroup_hierarchy_dir(&h.v[0], "0::/docker/abc\n");
    assert_string_equal(own, "/sys/fs/cgroup");
    /* Never out of the mount point. */
    outside = cgroup_hierarchy_dir(&h.v[0], "0::/../other\n");
    assert_string_equal(outside, "/sys/fs/cgroup");
    cgroup_host_done(&h);
}

static void mounts_are_read_until_every_hierarchy_of_the_process_is_found(void **state)
{
    static const struct {
        const char *groups;
        bool is_complete;
    } rows[] = {
        {"5:devices:/\n4:memory:/b\n2:cpu,cpuacct:/\n9:name=systemd:/\n0::/x\n", true },
        {"0::/",                                                                 true },
        {"7:pids:/\n0::/\n",                                                     false},
        {"2:cpu:/\n3:cpuacct:/\n",                                               false},
        {"nothing of the kind\n",                                                false},
        {"",                                                                     false},
    };
    struct cgroup_host h;

    (void)state;
    cgroup_host_parse(hybrid, &h);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        assert_int_equal(cgroup_host_is_complete(&h, rows[i].groups), rows[i].is_complete);
    cgroup_host_done(&h);
}

static void paths_that_lead_elsewhere_are_refused(void **state)
{
    static const char *const bad[] = {"/", "//.", "..", "/a/../../b", "/a/..", "./"};
    struct cgroup_host h;
    AUTO(cgroup) c = NULL;
    struct err e = ERR_INIT;
    char long_one[2000];

    (void)state;
    cgroup_host_parse(unified, &h);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_fails(cgroup_open_on(&h, "", "", bad[i], false, "id", &c, &e), -EINVAL,
                     "BadCgroupPath");
    memset(long_one, 'a', sizeof(long_one) - 1);
    long_one[sizeof(long_one) - 1] = 0;
    assert_fails(cgroup_open_on(&h, "", "", long_one, false, "id", &c, &e), -EINVAL,
                 "BadCgroupPath");
    assert_null(c);
    cgroup_host_done(&h);
}

/* ---- systemd ---- */

static void a_unit_lies_in_the_folders_of_its_slice(void **state)
{
    static const struct {
        const char *path, *dir;
    } rows[] = {
        {NULL,                                         "/system.slice/wherry-id1.scope"          },
        {":cri:7",                                     "/system.slice/cri-7.scope"               },
        {"-.slice::7",                                 "/7.scope"                                },
        {"kubepods-besteffort.slice:cri-containerd:7",
         "/kubepods.slice/kubepods-besteffort.slice/cri-containerd-7.scope"                      },
        {"a-b-c.slice:p:7",                            "/a.slice/a-b.slice/a-b-c.slice/p-7.scope"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct cgroup_host h;
        AUTO(cgroup) c = NULL;

        opened(unified, "", rows[i].path, true, &h, &c);
        assert_string_equal(cgroup_path(c), rows[i].dir);
        cgroup_host_done(&h);
    }
}

static void what_is_no_unit_is_refused(void **state)
{
    static const char *const bad[] = {
        "/kubepods/x",   "a.slice:b",     "a.slice:b:c:d",   "a.slice:b:",
        "a:b:c",         "-a.slice:b:c",  "a-.slice:b:c",    "a--b.slice:b:c",
        "a/b.slice:b:c", "a.slice:b/c:d", "a.slice:b:/../d", ".slice:b:c",
    };
    struct cgroup_host h;
    AUTO(cgroup) c = NULL;
    struct err e = ERR_INIT;

    (void)state;
    cgroup_host_parse(unified, &h);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_fails(cgroup_open_on(&h, "", "", bad[i], true, "id", &c, &e), -EINVAL,
                     "BadCgroupPath");
    cgroup_host_done(&h);
}

static void systemd_is_told_the_limits_in_its_words(void **state)
{
    struct oci_resources r = {.memory_limit = 1048576,
                              .has_memory_limit = true,
                              .cpu_shares = 1024,
                              .has_cpu_shares = true,
                              .cpu_quota_us = 25500,
                              .has_cpu_quota_us = true,
                              .pids_limit = -1,
                              .has_pids_limit = true,
                              .cpuset_cpus = "0-1"};
    autostrv p = STRV_INIT;
    static const char *const expected[] = {"MemoryMax=1048576", "CPUWeight=100",
                                           "CPUQuota=26%",      "CPUQuotaPeriodSec=100000us",
                                           "TasksMax=infinity", "AllowedCPUs=0-1"};

    (void)state;
    cgroup_systemd_properties(&r, 2, &p);
    assert_int_equal(p.n, ARRAY_SIZE(expected));
    for (size_t i = 0; i < p.n; i++)
        assert_string_equal(p.v[i], expected[i]);
}

/* ---- Version 2 in a folder ---- */

struct tree {
    char *dir, *group;
    struct cgroup_host h;
    struct cgroup *c;
};

static void put(const char *dir, const char *name, const char *text)
{
    autofree char *path = path_join(dir, name);
    struct err e = ERR_INIT;

    assert_ok(file_write(path, text, strlen(text), 0644, 0, &e));
}

static void is(const struct tree *t, const char *name, const char *value)
{
    autofree char *path = path_join(t->group, name);
    autobuf text = BUF_INIT;
    struct err e = ERR_INIT;

    assert_ok(file_read(path, 65536, &text, &e));
    assert_string_equal(buf_str(&text), value);
}

/* A root with these controllers, and a group in it that has the files `names`. */
static void tree_make(int version, const char *const *names, struct tree *ret)
{
    autofree char *mounts = NULL;
    struct err e = ERR_INIT;

    ret->dir = unit_temp_dir();
    ret->group = path_join(ret->dir, "g");
    assert_int_equal(mkdir(ret->group, 0755), 0);
    put(ret->dir, "cgroup.controllers", "cpuset cpu io memory pids\n");
    put(ret->dir, "cgroup.subtree_control", "cpuset cpu io memory\n");
    put(ret->group, "cgroup.procs", "");
    for (; *names; names++)
        put(ret->group, *names, "");
    mounts = version == 2 ? xasprintf("1 2 0:1 / %s rw - cgroup2 cgroup rw\n", ret->dir)
                          : xasprintf("1 2 0:1 / %s rw - cgroup cgroup "
                                      "rw,cpu,cpuacct,memory,pids,blkio,freezer\n",
                                      ret->dir);
    cgroup_host_parse(mounts, &ret->h);
    assert_ok(cgroup_open_on(&ret->h, "", "", "/g", false, "id", &ret->c, &e));
}

static void tree_remove(struct tree *t)
{
    cgroup_free(t->c);
    cgroup_host_done(&t->h);
    free(t->group);
    unit_remove(t->dir);
}

static struct json_pair high[] = {
    {"memory.high", "9000"                   },
    {"io.max",      "8:0 rbps=1\n8:16 wbps=2"},
};

static struct oci_resources all = {
    .memory_limit = 1000,
    .has_memory_limit = true,
    .memory_reservation = 500,
    .has_memory_reservation = true,
    .memory_swap = 1500,
    .has_memory_swap = true,
    .cpu_shares = 1024,
    .has_cpu_shares = true,
    .cpu_quota_us = 20000,
    .has_cpu_quota_us = true,
    .cpuset_cpus = "0",
    .cpuset_mems = "0",
    .pids_limit = 5,
    .has_pids_limit = true,
    .blkio_weight = 1000,
    .has_blkio_weight = true,
};

static const char *const v2_files[] = {"memory.max", "memory.low",  "memory.swap.max", "cpu.weight",
                                       "cpu.max",    "cpuset.cpus", "cpuset.mems",     "pids.max",
                                       "io.weight",  "memory.high", "io.max",          NULL};

static void version_2_is_limited_in_its_own_words(void **state)
{
    struct oci_resources r = all;
    struct err e = ERR_INIT;
    autobuf enabled = BUF_INIT;
    struct tree t;

    (void)state;
    tree_make(2, v2_files, &t);
    r.unified = (struct json_pairs){high, 2};
    put(t.group, "cpu.max", "max 50000\n");
    assert_ok(cgroup_create(t.c, &r, &e));
    is(&t, "memory.max", "1000");
    is(&t, "memory.low", "500");
    is(&t, "memory.swap.max", "500"); /* without the memory in it */
    is(&t, "cpu.weight", "100");
    is(&t, "cpu.max", "20000 50000"); /* the period was not said */
    is(&t, "cpuset.cpus", "0");
    is(&t, "cpuset.mems", "0");
    is(&t, "pids.max", "5");
    is(&t, "io.weight", "10000");
    is(&t, "memory.high", "9000");
    is(&t, "io.max", "8:16 wbps=2"); /* a plain file keeps the last line */
    /* Only what was not enabled is. */
    assert_ok(cgroup_file_read(t.dir, "cgroup.subtree_control", &enabled, &e));
    assert_string_equal(buf_str(&enabled), "+pids");
    tree_remove(&t);
}

static void limits_are_lifted_by_minus_one(void **state)
{
    struct oci_resources r = {.memory_limit = -1,
                              .has_memory_limit = true,
                              .cpu_quota_us = -1,
                              .has_cpu_quota_us = true,
                              .pids_limit = -1,
                              .has_pids_limit = true};
    struct err e = ERR_INIT;
    struct tree t;

    (void)state;
    tree_make(2, v2_files, &t);
    assert_ok(cgroup_update(t.c, &r, &e));
    is(&t, "memory.max", "max");
    is(&t, "memory.swap.max", "max");
    is(&t, "cpu.max", "max 100000");
    is(&t, "pids.max", "max");
    tree_remove(&t);
}

static void a_controller_is_missed_only_by_a_limit(void **state)
{
    static const char *const none[] = {NULL};
    struct oci_resources r = {.pids_limit = 0, .has_pids_limit = true};
    struct err e = ERR_INIT;
    struct tree t;

    (void)state;
    tree_make(2, none, &t);
    assert_ok(cgroup_create(t.c, &r, &e));
    r.memory_limit = 1000;
    r.has_memory_limit = true;
    assert_fails(cgroup_update(t.c, &r, &e), -ENOENT, "CgroupControllerMissing");
    assert_contains(e.msg, "memory.max");
    assert_contains(e.msg, "subtree_control");
    tree_remove(&t);
}

static void unified_names_only_files_of_controllers(void **state)
{
    static const char *const bad[] = {"../x.y", "a/b.c", "cgroup.procs", "memory..max",
                                      "memory", ".max",  "memory."};
    struct err e = ERR_INIT;
    struct tree t;

    (void)state;
    tree_make(2, v2_files, &t);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct json_pair p = {(char *)bad[i], "1"};
        struct oci_resources r = {
            .unified = {&p, 1}
        };

        assert_fails(cgroup_update(t.c, &r, &e), -EINVAL, "BadResources");
    }
    tree_remove(&t);
}

static void swap_below_memory_is_refused(void **state)
{
    struct oci_resources r = {.memory_limit = 1000,
                              .has_memory_limit = true,
                              .memory_swap = 999,
                              .has_memory_swap = true};
    struct err e = ERR_INIT;
    struct tree t;

    (void)state;
    tree_make(2, v2_files, &t);
    assert_fails(cgroup_update(t.c, &r, &e), -EINVAL, "BadResources");
    tree_remove(&t);
}

static void values_out_of_range_change_nothing(void **state)
{
    const struct oci_resources bad[] = {
        {.cpu_shares = -1,          .has_cpu_shares = true   },
        {.cpu_period_us = 1,        .has_cpu_period_us = true},
        {.cpu_quota_us = INT64_MAX, .has_cpu_quota_us = true },
        {.blkio_weight = 9,         .has_blkio_weight = true },
    };
    struct err e = ERR_INIT;
    struct tree t;

    (void)state;
    tree_make(2, v2_files, &t);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct oci_resources r = bad[i];

        r.pids_limit = 5;
        r.has_pids_limit = true;
        assert_fails(cgroup_update(t.c, &r, &e), -EINVAL, "BadResources");
        is(&t, "pids.max", "");
    }
    tree_remove(&t);
}

static void unified_is_refused_in_version_1(void **state)
{
    static const char *const none[] = {NULL};
    struct oci_resources r = {
        .unified = {high, 1}
    };
    struct err e = ERR_INIT;
    struct tree t;

    (void)state;
    tree_make(1, none, &t);
    assert_fails(cgroup_update(t.c, &r, &e), -EINVAL, "BadResources");
    tree_remove(&t);
}

static void weights_follow_the_shares(void **state)
{
    (void)state;
    assert_int_equal(cgroup_v2_weight(2), 1);
    assert_int_equal(cgroup_v2_weight(1024), 100);
    assert_int_equal(cgroup_v2_weight(262144), 10000);
    for (int64_t shares = 3; shares < 262144; shares += 97)
        assert_true(cgroup_v2_weight(shares) >= cgroup_v2_weight(shares - 1));
}

/* ---- Figures ---- */

static void figures_of_version_2_are_read(void **state)
{
    static const char *const files[] = {"memory.swap.current", NULL};
    struct cgroup_stats s;
    struct err e = ERR_INIT;
    struct tree t;

    (void)state;
    tree_make(2, files, &t);
    put(t.group, "pids.current", "3\n");
    put(t.group, "pids.max", "max\n");
    put(t.group, "cpu.stat",
        "usage_usec 10\nuser_usec 6\nsystem_usec 4\nnr_periods 3\nnr_throttled 2\n"
        "throttled_usec 1\n");
    put(t.group, "memory.current", "8192\n");
    put(t.group, "memory.max", "16384\n");
    put(t.group, "memory.stat",
        "anon 4096\nfile 2048\ninactive_file 1024\nworkingset_refault_anon 1\n"
        "workingset_refault_file 2\npgfault 7\nfuture_word 9\n");
    put(t.group, "memory.events", "low 1\nhigh 2\nmax 3\noom 4\noom_kill 5\noom_group_kill 6\n");
    put(t.group, "io.stat",
        "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6\n253:1 wbytes=7\n7:0\n");
    assert_ok(cgroup_stats_read(t.c, &s, &e));
    assert_true(s.pids.is_there && s.pids.current == 3 && s.pids.limit == CGROUP_NO_LIMIT);
    assert_true(s.cpu.is_there && s.cpu.usage_us == 10 && s.cpu.user_us == 6);
    assert_true(s.cpu.n_periods == 3 && s.cpu.n_throttled == 2 && s.cpu.throttled_us == 1);
    assert_true(s.memory.is_there && s.memory.usage_bytes == 8192);
    assert_true(s.memory.limit_bytes == 16384 && s.memory.swap_limit_bytes == CGROUP_NO_LIMIT);
    assert_true(s.memory.inactive_file_bytes == 1024 && s.memory.pgfault == 7);
    assert_int_equal(s.memory.workingset_refault, 3);
    assert_true(s.memory_events.low == 1 && s.memory_events.oom_kill == 5);
    assert_int_equal(s.n_io, 2);
    assert_true(s.io[0].major == 8 && s.io[0].read_bytes == 1 && s.io[0].writes == 4);
    assert_true(s.io[1].major == 253 && s.io[1].minor == 1 && s.io[1].written_bytes == 7);
    assert_int_equal(cgroup_oom_kills(t.c), 5);
    tree_remove(&t);
}

static void figures_of_version_1_are_translated(void **state)
{
    static const char *const none[] = {NULL};
    struct cgroup_stats s;
    struct err e = ERR_INIT;
    struct tree t;

    (void)state;
    tree_make(1, none, &t);
    put(t.group, "cpuacct.usage", "7000000\n");
    put(t.group, "cpuacct.usage_user", "5000000\n");
    put(t.group, "cpuacct.usage_sys", "2000000\n");
    put(t.group, "cpu.stat", "nr_periods 3\nnr_throttled 2\nthrottled_time 9000\n");
    put(t.group, "memory.usage_in_bytes", "8192\n");
    put(t.group, "memory.limit_in_bytes", "9223372036854771712\n");
    put(t.group, "memory.memsw.limit_in_bytes", "9223372036854771712\n");
    put(t.group, "memory.failcnt", "6\n");
    put(t.group, "memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n");
    put(t.group, "memory.stat",
        "cache 1\nrss 1\ninactive_file 1\ntotal_cache 4096\ntotal_rss 2048\n"
        "total_inactive_file 1024\ntotal_pgmajfault 5\n");
    put(t.group, "blkio.throttle.io_service_bytes_recursive",
        "8:0 Read 10\n8:0 Write 20\n8:0 Sync 1\n8:0 Total 30\nTotal 30\n");
    put(t.group, "blkio.throttle.io_serviced_recursive", "8:0 Read 1\n8:0 Write 2\nTotal 3\n");
    assert_ok(cgroup_stats_read(t.c, &s, &e));
    assert_true(s.cpu.usage_us == 7000 && s.cpu.user_us == 5000 && s.cpu.system_us == 2000);
    assert_true(s.cpu.n_throttled == 2 && s.cpu.throttled_us == 9);
    assert_true(s.memory.usage_bytes == 8192 && s.memory.limit_bytes == CGROUP_NO_LIMIT);
    assert_true(s.memory.swap_limit_bytes == CGROUP_NO_LIMIT);
    assert_true(s.memory.file_bytes == 4096 && s.memory.anon_bytes == 2048);
    assert_true(s.memory.inactive_file_bytes == 1024 && s.memory.pgmajfault == 5);
    assert_true(s.memory_events.max == 6 && s.memory_events.oom_kill == 2);
    assert_false(s.pids.is_there);
    assert_int_equal(s.n_io, 1);
    assert_true(s.io[0].read_bytes == 10 && s.io[0].written_bytes == 20);
    assert_true(s.io[0].reads == 1 && s.io[0].writes == 2);
    tree_remove(&t);
}

/* ---- Processes in a folder ---- */

static void pausing_version_2_waits_for_its_event(void **state)
{
    static const char *const files[] = {"cgroup.freeze", NULL};
    struct err e = ERR_INIT;
    struct tree t;

    (void)state;
    tree_make(2, files, &t);
    put(t.group, "cgroup.events", "populated 1\nfrozen 1\n");
    assert_ok(cgroup_freeze(t.c, &e));
    is(&t, "cgroup.freeze", "1");
    assert_ok(cgroup_thaw(t.c, &e));
    is(&t, "cgroup.freeze", "0");
    tree_remove(&t);
}

static void killing_version_2_is_one_write(void **state)
{
    static const char *const files[] = {"cgroup.kill", NULL};
    struct err e = ERR_INIT;
    struct tree t;

    (void)state;
    tree_make(2, files, &t);
    assert_ok(cgroup_kill_all(t.c, &e));
    is(&t, "cgroup.kill", "1");
    tree_remove(&t);
}

struct watched {
    struct loop *loop;
    int fired;
};

static void kill_seen(void *ctx)
{
    struct watched *w = ctx;

    w->fired++;
    loop_stop(w->loop);
}

static void stop(void *ctx)
{
    loop_stop(ctx);
}

static void file_change(const struct tree *t, const char *name, const char *text)
{
    struct err e = ERR_INIT;

    assert_ok(cgroup_file_write(t->group, name, text, &e));
}

static void only_a_kill_of_version_2_is_told(void **state)
{
    static const char *const files[] = {"memory.events", NULL};
    struct watched w = {0};
    struct cgroup_oom *o = NULL;
    AUTO(loop) l = NULL;
    struct err e = ERR_INIT;
    struct tree t;

    (void)state;
    tree_make(2, files, &t);
    file_change(&t, "memory.events", "oom_kill 1\n");
    assert_ok(loop_open(&l, &e));
    w.loop = l;
    assert_ok(cgroup_oom_watch(t.c, l, kill_seen, &w, &o, &e));
    file_change(&t, "memory.events", "max 9\noom_kill 1\n");
    loop_defer(l, stop, l);
    loop_run(l);
    assert_int_equal(w.fired, 0);
    file_change(&t, "memory.events", "max 9\noom_kill 2\n");
    loop_run(l);
    assert_int_equal(w.fired, 1);
    cgroup_oom_free(o);
    tree_remove(&t);
}

static void what_a_process_list_says_is_not_believed(void **state)
{
    static const char *const files[] = {NULL};
    struct err e = ERR_INIT;
    autofree pid_t *pids = NULL;
    size_t n = 0;
    struct tree t;

    (void)state;
    tree_make(2, files, &t);
    put(t.group, "cgroup.procs", "1\nx\n");
    assert_fails(cgroup_pids(t.c, &pids, &n, &e), -EINVAL, "CgroupFailed");
    put(t.group, "cgroup.procs", "0\n5\n0\n"); /* 0: of another namespace */
    assert_ok(cgroup_pids(t.c, &pids, &n, &e));
    assert_int_equal(n, 1);
    assert_int_equal(pids[0], 5);
    tree_remove(&t);
}

/* ---- The systemd driver, with a program in the place of systemd-run ---- */

/* Leaves the arguments in a file, and does with the command what --scope does. */
static const char stand_in[] = "#!/bin/sh\n"
                               "printf '%s\\n' \"$@\" > \"${0%/*}/args\"\n"
                               "while [ \"$1\" != -- ]; do shift; done\n"
                               "shift\n"
                               "exec \"$@\"\n";

/* A tree with the folders of the scope "system.slice/p-7.scope", and a program of this text as the
 * only one that is found, but for those of /bin. */
static void scope_make(const char *program, struct tree *ret)
{
    static const char *const none[] = {NULL};
    autofree char *slice = NULL, *scope = NULL, *path = NULL;
    struct err e = ERR_INIT;

    tree_make(2, none, ret);
    slice = path_join(ret->dir, "system.slice");
    scope = path_join(slice, "p-7.scope");
    path = path_join(ret->dir, "systemd-run");
    assert_int_equal(mkdir(slice, 0755) | mkdir(scope, 0755), 0);
    put(slice, "cgroup.controllers", "");
    put(slice, "cgroup.subtree_control", "");
    put(scope, "cgroup.procs", "");
    put(scope, "pids.max", "");
    if (program) {
        put(ret->dir, "systemd-run", program);
        assert_int_equal(chmod(path, 0755), 0);
    }
    setenv("PATH", ret->dir, 1);
    cgroup_free(ret->c);
    assert_ok(cgroup_open_on(&ret->h, "", "0::/init.scope\n", ":p:7", true, "id", &ret->c, &e));
}

static void a_scope_is_held_until_the_container_is_in(void **state)
{
    struct oci_resources r = {.pids_limit = 5, .has_pids_limit = true};
    struct err e = ERR_INIT;
    autobuf args = BUF_INIT;
    struct tree t;
    autofd keeper = -EBADF;

    (void)state;
    scope_make(stand_in, &t);
    assert_ok(cgroup_create(t.c, &r, &e));
    assert_ok(cgroup_file_read(t.dir, "args", &args, &e));
    assert_contains(args.data, "--scope\n");
    assert_contains(args.data, "--unit=p-7.scope\n--slice=system.slice\n");
    assert_contains(args.data, "--property=Delegate=yes\n--property=TasksMax=5\n--\n");
    keeper = fcntl(t.c->keeper_pidfd, F_DUPFD_CLOEXEC, 0);
    assert_int_equal(pidfd_send_signal(keeper, 0, NULL, 0), 0);
    cgroup_settle(t.c);
    assert_int_equal(pidfd_send_signal(keeper, 0, NULL, 0), -1);
    assert_int_equal(errno, ESRCH);
    tree_remove(&t);
}

/* By the loop, as an orphan: its number may be another process's by then. */
static void what_holds_a_scope_may_be_reaped_by_somebody_else(void **state)
{
    struct oci_resources none = {0};
    struct err e = ERR_INIT;
    siginfo_t info;
    struct tree t;

    (void)state;
    scope_make(stand_in, &t);
    assert_ok(cgroup_create(t.c, &none, &e));
    assert_int_equal(pidfd_send_signal(t.c->keeper_pidfd, SIGKILL, NULL, 0), 0);
    assert_int_equal(waitid(P_ALL, 0, &info, WEXITED), 0);
    cgroup_settle(t.c);
    assert_int_equal(t.c->keeper_pidfd, -EBADF);
    tree_remove(&t);
}

static void a_limit_that_systemd_refuses_is_an_error(void **state)
{
    struct oci_resources r = {.pids_limit = 5, .has_pids_limit = true};
    autofree char *path = NULL;
    struct err e = ERR_INIT;
    struct tree t;

    (void)state;
    scope_make(stand_in, &t);
    path = path_join(t.dir, "systemctl");
    put(t.dir, "systemctl", "#!/bin/sh\n[ \"$4\" = TasksMax=5 ]\n");
    assert_int_equal(chmod(path, 0755), 0);
    assert_ok(cgroup_update(t.c, &r, &e));
    r.pids_limit = 6;
    assert_true(cgroup_update(t.c, &r, &e) < 0);
    assert_string_equal(e.reason, "SystemdFailed");
    assert_contains(e.msg, "p-7.scope");
    tree_remove(&t);
}

static void a_scope_that_cannot_be_made_is_an_error(void **state)
{
    static const char *const programs[] = {"#!/bin/sh\nexit 1\n", NULL};
    struct oci_resources none = {0};
    struct err e = ERR_INIT;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(programs); i++) {
        struct tree t;

        scope_make(programs[i], &t);
        assert_true(cgroup_create(t.c, &none, &e) < 0);
        assert_string_equal(e.reason, "SystemdFailed");
        assert_contains(e.msg, programs[i] ? "p-7.scope" : "SystemdCgroup = false");
        assert_int_equal(t.c->keeper_pidfd, -EBADF);
        tree_remove(&t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hybrid_machine_is_version_1_where_its_controllers_are),
        cmocka_unit_test(a_relative_path_is_below_the_own_group_of_each_hierarchy),
        cmocka_unit_test(a_relative_path_of_version_2_is_beside_the_own_group),
        cmocka_unit_test(in_a_container_its_group_is_at_the_mount_point),
        cmocka_unit_test(mounts_are_read_until_every_hierarchy_of_the_process_is_found),
        cmocka_unit_test(paths_that_lead_elsewhere_are_refused),
        cmocka_unit_test(a_unit_lies_in_the_folders_of_its_slice),
        cmocka_unit_test(what_is_no_unit_is_refused),
        cmocka_unit_test(systemd_is_told_the_limits_in_its_words),
        cmocka_unit_test(version_2_is_limited_in_its_own_words),
        cmocka_unit_test(limits_are_lifted_by_minus_one),
        cmocka_unit_test(a_controller_is_missed_only_by_a_limit),
        cmocka_unit_test(unified_names_only_files_of_controllers),
        cmocka_unit_test(swap_below_memory_is_refused),
        cmocka_unit_test(values_out_of_range_change_nothing),
        cmocka_unit_test(unified_is_refused_in_version_1),
        cmocka_unit_test(weights_follow_the_shares),
        cmocka_unit_test(figures_of_version_2_are_read),
        cmocka_unit_test(figures_of_version_1_are_translated),
        cmocka_unit_test(pausing_version_2_waits_for_its_event),
        cmocka_unit_test(killing_version_2_is_one_write),
        cmocka_unit_test(only_a_kill_of_version_2_is_told),
        cmocka_unit_test(what_a_process_list_says_is_not_believed),
        cmocka_unit_test(a_scope_is_held_until_the_container_is_in),
        cmocka_unit_test(what_holds_a_scope_may_be_reaped_by_somebody_else),
        cmocka_unit_test(a_limit_that_systemd_refuses_is_an_error),
        cmocka_unit_test(a_scope_that_cannot_be_made_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
