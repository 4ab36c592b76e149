/* SPDX-License-Identifier: Apache-2.0 */
/* `delete` after the shim was killed: what its record names is gone, and how it ended is said. */
#include "unit.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/fds.h"
#include "base/paths.h"
#include "container/cgroup/cgroup.h"
#include "container/folder.h"
#include "container/oci/oci_config.h"
#include "shim/bundle/record.h"
#include "shim/command/delete.h"
#include "shim/messages/messages.h"

static char *folder, *bundle, *group;
static int bundle_fd;

static int before(void **state)
{
    autofree char *rootfs = NULL;
    struct err e = ERR_INIT;

    (void)state;
    folder = unit_temp_dir();
    bundle = path_join(folder, "b");
    rootfs = path_join(bundle, "rootfs");
    group = xasprintf("/wherry-delete-%d", (int)getpid());
    assert_ok(path_mkdir_p(rootfs, 0711, &e));
    bundle_fd = open(bundle, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return 0;
}

static int after(void **state)
{
    (void)state;
    close(bundle_fd);
    free(bundle);
    free(group);
    unit_remove(folder);
    return 0;
}

/* Runs it with standard output as a file, which is what it said. */
static int delete_run(Task__DeleteResponse **ret, struct arena *a, struct err *e)
{
    struct shim_flags f = {.namespace = "default", .id = "c1", .bundle = bundle};
    autofree char *path = path_join(folder, "out");
    autofd out = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    autofd saved = dup(STDOUT_FILENO);
    autobuf text = BUF_INIT;
    int r;

    fflush(stdout);
    dup2(out, STDOUT_FILENO);
    r = shim_delete(&f, e);
    dup2(saved, STDOUT_FILENO);
    TRY(r);
    TRY(file_read(path, 4096, &text, e));
    return protobuf_unpack(&task__delete_response__descriptor, (struct text){text.data, text.len},
                           a, ret, e);
}

static pid_t child_start(const struct cgroup *c)
{
    struct cgroup_fds fds = CGROUP_FDS_INIT;
    struct err e = ERR_INIT;
    int ready[2];
    pid_t pid;
    char byte;

    assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
    if (c)
        assert_ok(cgroup_fds_open(c, &fds, &e));
    pid = fork();
    assert_true(pid >= 0);
    if (!pid) {
        if (c && cgroup_enter(&fds) < 0)
            _exit(1);
        if (write(ready[1], "x", 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    cgroup_fds_close(&fds);
    return pid;
}

static void expect_killed(pid_t pid)
{
    int status;

    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void a_guest_its_execs_its_group_and_its_mounts_go(void **state)
{
    struct record r = {.kind = RECORD_GUEST, .cgroup = group};
    const struct oci_resources none = {0};
    autofree char *rootfs = path_join(bundle, "rootfs"), *file = path_join(rootfs, "file");
    AUTO(arena) a = arena_new();
    AUTO(cgroup) c = NULL;
    Task__DeleteResponse *m;
    struct err e = ERR_INIT;
    pid_t guest, exec;
    uint64_t now_s = clock_realtime_ns() / 1000000000u;

    (void)state;
    assert_ok(cgroup_open(group, false, "c1", &c, &e));
    if (geteuid() || cgroup_create(c, &none, &e) < 0)
        skip();
    guest = child_start(c);
    exec = child_start(c);
    assert_ok(record_save(bundle_fd, &r, &e));
    assert_ok(process_note(bundle_fd, RECORD_PROCESS_NAME, guest, &e));
    assert_int_equal(mount("tmpfs", rootfs, "tmpfs", 0, NULL), 0);
    assert_ok(file_write(file, "x", 1, 0600, 0, &e));

    assert_ok(delete_run(&m, a, &e));
    assert_int_equal(m->pid, guest);
    assert_int_equal(m->exit_status, 137);
    assert_in_range(m->exited_at->seconds, now_s, now_s + 60);
    expect_killed(guest);
    expect_killed(exec);
    assert_false(cgroup_exists(c));
    assert_int_equal(access(file, F_OK), -1);
    assert_int_equal(record_load(bundle_fd, &r, &e), 0);

    /* And when there is nothing left. */
    assert_ok(delete_run(&m, a, &e));
    assert_int_equal(m->exit_status, 137);
}

/* It was killed before there was a process. */
static void a_guest_that_was_never_born_is_deleted(void **state)
{
    struct record r = {.kind = RECORD_GUEST, .cgroup = group};
    AUTO(arena) a = arena_new();
    Task__DeleteResponse *m;
    struct err e = ERR_INIT;

    (void)state;
    if (geteuid())
        skip();
    assert_ok(record_save(bundle_fd, &r, &e));
    assert_ok(delete_run(&m, a, &e));
    assert_int_equal(m->pid, 0);
}

/* The number that was noted may be another's by now. */
static void a_process_that_only_has_the_number_is_left(void **state)
{
    struct record r = {.kind = RECORD_GUEST, .cgroup = group};
    AUTO(arena) a = arena_new();
    autofree char *path = path_join(bundle, "." RECORD_PROCESS_NAME ".process"), *note = NULL;
    Task__DeleteResponse *m;
    struct err e = ERR_INIT;
    pid_t other;

    (void)state;
    if (geteuid())
        skip();
    other = child_start(NULL);
    note = xasprintf("%d 1\n", (int)other); /* and when it began */
    assert_ok(record_save(bundle_fd, &r, &e));
    assert_ok(file_write(path, note, strlen(note), 0600, 0, &e));
    assert_ok(delete_run(&m, a, &e));
    assert_int_equal(kill(other, 0), 0);
    assert_int_equal(waitpid(other, NULL, WNOHANG), 0);
    kill(other, SIGKILL);
    expect_killed(other);
}

static void a_bundle_that_is_gone_is_deleted(void **state)
{
    AUTO(arena) a = arena_new();
    Task__DeleteResponse *m;
    struct err e = ERR_INIT;
    autofree char *rootfs = path_join(bundle, "rootfs");

    (void)state;
    if (geteuid())
        skip();
    assert_int_equal(rmdir(rootfs), 0);
    assert_int_equal(rmdir(bundle), 0);
    assert_ok(delete_run(&m, a, &e));
    assert_int_equal(m->exit_status, 137);
}

static void what_cannot_be_removed_keeps_its_record_and_not_its_mounts(void **state)
{
    struct record r = {.kind = RECORD_NATIVE, .runtime = (char *)"/nowhere/runc"};
    autofree char *rootfs = path_join(bundle, "rootfs"), *file = path_join(rootfs, "file");
    AUTO(arena) a = arena_new();
    Task__DeleteResponse *m;
    struct err e = ERR_INIT, ignored = ERR_INIT;

    (void)state;
    if (geteuid())
        skip();
    assert_ok(record_save(bundle_fd, &r, &e));
    assert_int_equal(mount("tmpfs", rootfs, "tmpfs", 0, NULL), 0);
    assert_ok(file_write(file, "x", 1, 0600, 0, &e));
    assert_true(delete_run(&m, a, &e) < 0);
    assert_string_equal(e.reason, "RuntimeMissing");
    assert_int_equal(access(file, F_OK), -1);
    assert_int_equal(record_load(bundle_fd, &r, &ignored), 1);
    record_done(&r);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, before, after)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_guest_its_execs_its_group_and_its_mounts_go),
        TEST(a_guest_that_was_never_born_is_deleted),
        TEST(a_process_that_only_has_the_number_is_left),
        TEST(a_bundle_that_is_gone_is_deleted),
        TEST(what_cannot_be_removed_keeps_its_record_and_not_its_mounts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
