/* SPDX-License-Identifier: Apache-2.0 */
/* The files of a container: as root, since they are mounts. */
#include "unit.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

#include "base/fds.h"
#include "base/paths.h"
#include "container/guest/guest_mounts.h"

static char *place; /* rootfs/, outside/ */

static void put(const char *path, const char *text)
{
    autofree char *full = xasprintf("%s/%s", place, path);
    struct err e = ERR_INIT;

    assert_ok(file_write(full, text, strlen(text), 0644, 0, &e));
}

static void folder(const char *path, mode_t mode)
{
    autofree char *full = xasprintf("%s/%s", place, path);

    assert_int_equal(mkdir(full, 0755), 0);
    assert_int_equal(chmod(full, mode), 0);
}

static void link_to(const char *path, const char *target)
{
    autofree char *full = xasprintf("%s/%s", place, path);

    assert_int_equal(symlink(target, full), 0);
}

static bool is_there(const char *path)
{
    autofree char *full = xasprintf("%s/%s", place, path);

    return !access(full, F_OK);
}

static int setup(void **state)
{
    (void)state;
    place = unit_temp_dir();
    folder("rootfs", 0755);
    folder("rootfs/etc", 0751);
    put("rootfs/etc/hosts", "of the image\n");
    put("rootfs/etc/passwd", "root\n");
    folder("outside", 0755);
    put("outside/hosts", "of the pod\n");
    folder("outside/data", 0755);
    put("outside/data/one", "1\n");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    unit_remove(place);
    return 0;
}

static int open_with(const char *members, struct guest_mounts **ret, struct err *e)
{
    autofree char *json = xasprintf("{\"ociVersion\":\"1.1.0\",%s}", members);
    autofd bundle = open(place, O_PATH | O_DIRECTORY | O_CLOEXEC);
    autofd root = openat(bundle, "rootfs", O_PATH | O_DIRECTORY | O_CLOEXEC);
    struct oci_config c = {0};
    int r = oci_config_decode(json, strlen(json), &c, e);

    assert_true(bundle >= 0 && root >= 0);
    if (r < 0)
        fail_msg("%s", e->msg);
    r = guest_mounts_open(&c, root, bundle, ret, e);
    oci_config_done(&c);
    return r;
}

#define ROOT    "\"root\":{\"path\":\"rootfs\"},\"mounts\":"
#define ROOT_RO "\"root\":{\"path\":\"rootfs\",\"readonly\":true},\"mounts\":"
#define BIND(to, from, more)                                                                       \
    "{\"destination\":\"" to "\",\"type\":\"bind\",\"source\":\"" from                             \
    "\",\"options\":[\"rbind\"" more "]}"

static void needs_root(void)
{
    if (geteuid())
        skip();
}

static void assert_text(const struct guest_mounts *m, const char *path, const char *wanted)
{
    autobuf text = BUF_INIT;

    if (!guest_mounts_text(m, path, 4096, &text))
        fail_msg("'%s' cannot be read", path);
    assert_string_equal(buf_str(&text), wanted);
}

static int write_to(const struct guest_mounts *m, const char *path)
{
    int fd = openat(guest_mounts_root(m), path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

    if (fd < 0)
        return -errno;
    close(fd);
    return 0;
}

static void a_file_is_mounted_beside_what_the_image_has_there(void **state)
{
    AUTO(guest_mounts) m = NULL;
    struct err e = ERR_INIT;

    (void)state;
    needs_root();
    assert_ok(open_with(ROOT "[" BIND("/etc/hosts", "outside/hosts", "") "]", &m, &e));
    assert_text(m, "/etc/hosts", "of the pod\n");
    assert_text(m, "/etc/passwd", "root\n");
}

static void mounts_show_nowhere_on_the_host(void **state)
{
    AUTO(guest_mounts) m = NULL;
    autobuf mounts = BUF_INIT;
    struct err e = ERR_INIT;

    (void)state;
    needs_root();
    assert_ok(open_with(ROOT "[" BIND("/etc/hosts", "outside/hosts", "") "]", &m, &e));
    assert_ok(file_read("/proc/self/mountinfo", 1 << 20, &mounts, &e));
    assert_null(strstr(buf_str(&mounts), place));
}

static void of_the_hosts_mounts_none_is_kept(void **state)
{
    AUTO(guest_mounts) m = NULL;
    autofree char *path = NULL;
    autobuf mounts = BUF_INIT;
    struct err e = ERR_INIT;
    size_t lines = 0;
    pid_t child;

    (void)state;
    needs_root();
    assert_ok(open_with(ROOT "[" BIND("/etc/hosts", "outside/hosts", "") "]", &m, &e));
    child = fork();
    if (!child) {
        if (setns(guest_mounts_namespace(m), CLONE_NEWNS) < 0)
            _exit(1);
        raise(SIGSTOP);
        _exit(0);
    }
    assert_int_equal(waitpid(child, NULL, WUNTRACED), child);
    path = xasprintf("/proc/%d/mountinfo", (int)child);
    assert_ok(file_read(path, 1 << 20, &mounts, &e));
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    for (const char *p = buf_str(&mounts); (p = strchr(p, '\n')); p++)
        lines++;
    assert_int_equal(lines, 2);
}

static void later_mounts_lie_in_earlier_ones(void **state)
{
    AUTO(guest_mounts) m = NULL;
    struct err e = ERR_INIT;

    (void)state;
    needs_root();
    assert_ok(open_with(ROOT "[{\"destination\":\"/run\",\"type\":\"tmpfs\",\"source\":\"tmpfs\","
                             "\"options\":[\"nosuid\",\"mode=0750\",\"size=64k\"]}," BIND(
                                 "/run/data", "outside/data",
                                 ",\"ro\"") "," BIND("/run/data/one", "outside/hosts", "") "]",
                        &m, &e));
    assert_text(m, "/run/data/one", "of the pod\n");
    assert_int_equal(write_to(m, "run/new"), 0);
    assert_int_equal(write_to(m, "run/data/new"), -EROFS);
    assert_false(is_there("rootfs/run/new"));
}

static void a_tmpfs_has_its_size_and_mode(void **state)
{
    AUTO(guest_mounts) m = NULL;
    struct err e = ERR_INIT;
    autofd fd = -EBADF;
    struct statvfs fs;
    struct stat st;

    (void)state;
    needs_root();
    assert_ok(open_with(ROOT "[{\"destination\":\"/dev/shm\",\"type\":\"tmpfs\",\"source\":\"shm\","
                             "\"options\":[\"mode=1770\",\"size=128k\"]}]",
                        &m, &e));
    fd = openat(guest_mounts_root(m), "dev/shm", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(fstatvfs(fd, &fs), 0);
    assert_int_equal(fs.f_blocks * fs.f_frsize, 128 << 10);
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_mode & 07777, 01770);
}

static void a_read_only_root_gets_mount_points_without_being_written(void **state)
{
    AUTO(guest_mounts) m = NULL;
    struct err e = ERR_INIT;
    struct stat st;

    (void)state;
    needs_root();
    assert_ok(open_with(ROOT_RO "[" BIND("/etc/app/hosts", "outside/hosts",
                                         "") "," BIND("/data", "outside/data", "") "]",
                        &m, &e));
    assert_text(m, "/etc/app/hosts", "of the pod\n");
    assert_text(m, "/etc/passwd", "root\n");
    assert_text(m, "/data/one", "1\n");
    assert_int_equal(write_to(m, "etc/new"), -EROFS);
    assert_int_equal(write_to(m, "data/new"), 0); /* its own mount is writable */
    assert_int_equal(fstatat(guest_mounts_root(m), "etc", &st, 0), 0);
    assert_int_equal(st.st_mode & 07777, 0751);
    assert_false(is_there("rootfs/etc/app"));
    assert_false(is_there("rootfs/data"));
}

static void a_read_only_root_refuses_writing(void **state)
{
    AUTO(guest_mounts) m = NULL;
    struct err e = ERR_INIT;

    (void)state;
    needs_root();
    assert_ok(open_with(ROOT_RO "[" BIND("/etc/hosts", "outside/hosts", "") "]", &m, &e));
    assert_int_equal(write_to(m, "etc/passwd"), -EROFS);
    assert_int_equal(write_to(m, "etc/hosts"), 0);
    put("rootfs/etc/late", "by the host\n"); /* the host's own view stays writable */
    assert_text(m, "/etc/late", "by the host\n");
}

static void a_link_in_the_image_leads_nowhere_else(void **state)
{
    AUTO(guest_mounts) m = NULL;
    struct err e = ERR_INIT;

    (void)state;
    needs_root();
    folder("rootfs/run", 0755);
    folder("rootfs/var", 0755);
    link_to("rootfs/var/run", "/run");
    link_to("rootfs/up", "../../../../../../../../..");
    link_to("rootfs/secret", "/outside/hosts");
    assert_ok(open_with(ROOT "[" BIND("/var/run/data", "outside/data",
                                      "") "," BIND("/up/climbed", "outside/data", "") "]",
                        &m, &e));
    assert_text(m, "/run/data/one", "1\n");
    assert_text(m, "/climbed/one", "1\n");
    assert_false(is_there("../climbed"));
    assert_int_equal(access("/climbed", F_OK), -1);
    assert_int_equal(guest_mounts_file_open(m, "/secret"), -ENOENT);
}

/* As of images that have no resolv.conf but where systemd would make one. */
static void a_link_to_nothing_gets_what_it_names(void **state)
{
    AUTO(guest_mounts) m = NULL;
    struct err e = ERR_INIT;

    (void)state;
    needs_root();
    link_to("rootfs/etc/resolv.conf", "../run/stub/resolv.conf");
    link_to("rootfs/var", "/really/var");
    link_to("rootfs/round", "round");
    assert_ok(open_with(ROOT "[" BIND("/etc/resolv.conf", "outside/hosts",
                                      "") "," BIND("/var/data", "outside/data", "") "]",
                        &m, &e));
    assert_text(m, "/etc/resolv.conf", "of the pod\n");
    assert_text(m, "/run/stub/resolv.conf", "of the pod\n");
    assert_text(m, "/really/var/data/one", "1\n");
    guest_mounts_free(m);
    m = NULL;
    assert_fails(open_with(ROOT "[" BIND("/round/x", "outside/data", "") "]", &m, &e), -ELOOP,
                 "MountFailed");
}

static void paths_are_masked_and_made_read_only(void **state)
{
    AUTO(guest_mounts) m = NULL;
    autobuf none = BUF_INIT;
    struct err e = ERR_INIT;

    (void)state;
    needs_root();
    folder("rootfs/keys", 0700);
    put("rootfs/keys/one", "secret\n");
    folder("rootfs/kept", 0777);
    put("rootfs/kept/one", "1\n");
    assert_ok(open_with(
        ROOT "[" BIND("/data", "outside/data",
                      "") "],\"linux\":{\"maskedPaths\":["
                          "\"/etc/passwd\",\"/keys\",\"/data/one\",\"/proc/kcore\","
                          "\"/etc/hosts/x\"],\"readonlyPaths\":[\"/kept\",\"/proc/sys\"]}",
        &m, &e));
    assert_true(guest_mounts_text(m, "/etc/passwd", 100, &none));
    assert_true(guest_mounts_text(m, "/data/one", 100, &none));
    assert_int_equal(none.len, 0);
    assert_int_equal(guest_mounts_file_open(m, "/keys/one"), -ENOENT);
    assert_int_equal(write_to(m, "keys/new"), -EROFS);
    assert_int_equal(write_to(m, "etc/passwd"), -EROFS);
    assert_text(m, "/kept/one", "1\n");
    assert_int_equal(write_to(m, "kept/new"), -EROFS);
    assert_text(m, "/etc/hosts", "of the image\n");
    assert_int_equal(write_to(m, "etc/new"), 0);
}

static void what_a_guest_cannot_use_is_left_out(void **state)
{
    AUTO(guest_mounts) m = NULL;
    struct err e = ERR_INIT;

    (void)state;
    needs_root();
    assert_ok(open_with(
        ROOT "[{\"destination\":\"/proc\",\"type\":\"proc\",\"source\":\"proc\"},"
             "{\"destination\":\"/sys/fs/cgroup\",\"type\":\"cgroup\",\"source\":\"cgroup\"}]",
        &m, &e));
    assert_false(is_there("rootfs/proc"));
    assert_false(is_there("rootfs/sys"));
}

static void the_devices_that_every_container_has_are_there(void **state)
{
    static const char *const names[] = {"null", "zero", "full", "random", "urandom", "tty"};
    AUTO(guest_mounts) m = NULL;
    struct err e = ERR_INIT;
    autofd dev = -EBADF, zero = -EBADF;
    char byte = 1;

    (void)state;
    needs_root();
    assert_ok(open_with(ROOT
                        "[{\"destination\":\"/dev\",\"type\":\"tmpfs\",\"source\":\"tmpfs\"},"
                        "{\"destination\":\"/dev/shm\",\"type\":\"tmpfs\",\"source\":\"shm\"}]",
                        &m, &e));
    dev = openat(guest_mounts_root(m), "dev", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        struct stat st, host;
        autofree char *path = path_join("/dev", names[i]);

        assert_int_equal(fstatat(dev, names[i], &st, 0), 0);
        assert_int_equal(stat(path, &host), 0);
        assert_int_equal(st.st_rdev, host.st_rdev);
        assert_int_equal(st.st_mode, S_IFCHR | 0666);
    }
    zero = openat(dev, "zero", O_RDONLY | O_CLOEXEC);
    assert_int_equal(read(zero, &byte, 1), 1);
    assert_int_equal(byte, 0);
    assert_int_equal(faccessat(dev, "shm", F_OK, 0), 0);
    assert_false(is_there("rootfs/dev/null"));
}

/* It would lead to the host's. */
static void a_device_of_the_image_is_none(void **state)
{
    AUTO(guest_mounts) m = NULL;
    autofree char *path = xasprintf("%s/rootfs/etc/zero", place);
    struct err e = ERR_INIT;

    (void)state;
    needs_root();
    assert_int_equal(mknod(path, S_IFCHR | 0666, makedev(1, 5)), 0);
    assert_ok(open_with(ROOT "[{\"destination\":\"/dev\",\"type\":\"tmpfs\",\"source\":\"tmpfs\"}]",
                        &m, &e));
    assert_int_equal(openat(guest_mounts_root(m), "etc/zero", O_RDONLY | O_CLOEXEC), -1);
    assert_int_equal(errno, EACCES);
}

static void mounts_that_cannot_be_are_refused(void **state)
{
    static const struct {
        const char *mounts;
        int code;
        const char *reason, *part;
    } rows[] = {
        {"[" BIND("etc",  "outside/data", "") "]",            -EINVAL,      "BadMount", "absolute"},
        {"[" BIND("/../x",     "outside/data",                   "") "]",                      -EINVAL,                "BadMount", "'..'"},
        {"[" BIND("/./",        "outside/data",            "") "]",   -EINVAL,"BadMount", "root"},
        {"[" BIND("/data","outside/none","") "]",-ENOENT,  "MountFailed", "/none"},
        {"[" BIND("/etc/hosts",               "outside/data",              "") "]",                         -ENOTDIR,                                         "MountFailed", "/etc/hosts"},
        {"[{\"destination\":\"/x\",\"type\":\"nfs\",\"source\":\"h:/x\"}]",  -ENOTSUP,
         "UnsupportedMount",                           "nfs"                 },
    };

    (void)state;
    needs_root();
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        autofree char *members = xasprintf("%s%s", ROOT, rows[i].mounts);
        struct guest_mounts *m = NULL;
        struct err e = ERR_INIT;

        assert_fails(open_with(members, &m, &e), rows[i].code, rows[i].reason);
        assert_contains(e.msg, rows[i].part);
        assert_null(m);
    }
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_file_is_mounted_beside_what_the_image_has_there),
        TEST(mounts_show_nowhere_on_the_host),
        TEST(of_the_hosts_mounts_none_is_kept),
        TEST(later_mounts_lie_in_earlier_ones),
        TEST(a_tmpfs_has_its_size_and_mode),
        TEST(a_read_only_root_gets_mount_points_without_being_written),
        TEST(a_read_only_root_refuses_writing),
        TEST(a_link_in_the_image_leads_nowhere_else),
        TEST(a_link_to_nothing_gets_what_it_names),
        TEST(paths_are_masked_and_made_read_only),
        TEST(what_a_guest_cannot_use_is_left_out),
        TEST(the_devices_that_every_container_has_are_there),
        TEST(a_device_of_the_image_is_none),
        TEST(mounts_that_cannot_be_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
