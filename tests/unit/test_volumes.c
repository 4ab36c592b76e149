/* SPDX-License-Identifier: Apache-2.0 */
/* The volumes of a pod, from being made to being removed. */
#include "unit.h"

#include "pod_volumes.h"

/* ---- Kinds ---- */

static void an_empty_volume_keeps_its_files_until_the_pod_is_removed(void **state)
{
    automounts m = {0};
    struct err e = ERR_INIT;
    mode_t before = umask(0077);

    (void)state;
    volume("data", POD_VOLUME_EMPTY);
    mounted("data", "/data/", NULL);
    prepared();
    umask(before);
    assert_ok(open_mounts(&m, &e));
    assert_int_equal(m.n, 1);
    assert_string_equal(m.v[0].path, "/data");
    assert_false(m.v[0].is_read_only);
    assert_int_equal(mode_of(m.v[0].fd), 0777);
    file_put(m.v[0].fd, "file", "x");
    prepared();
    assert_file(m.v[0].fd, "file", "x");
    assert_ok(volumes_remove(&places, spec.uid, &e));
    assert_false(is_there("state/pods/11-22"));
    assert_ok(volumes_remove(&places, spec.uid, &e));
}

static void the_folder_of_a_pod_stays_while_others_use_it(void **state)
{
    struct err e = ERR_INIT;
    autofree char *path = path_join(dir, "state/pods/11-22/record");

    (void)state;
    volume("data", POD_VOLUME_EMPTY);
    prepared();
    assert_ok(file_write(path, "x", 1, 0600, 0, &e));
    assert_ok(volumes_remove(&places, spec.uid, &e));
    assert_false(is_there("state/pods/11-22/volumes"));
    assert_true(is_there("state/pods/11-22/record"));
}

static void a_claim_outlives_the_pod(void **state)
{
    struct err e = ERR_INIT;

    (void)state;
    volume("data", POD_VOLUME_CLAIM)->claim = "db";
    mounted("data", "/db", NULL);
    assert_fails(prepare(&e), -ENOENT, "FailedMount");
    assert_contains(e.msg, "persistentvolumeclaim \"db\" not found");
    text_set(POD_OBJECT_CLAIM, "db", NULL, NULL);
    for (int i = 0; i < 2; i++) {
        automounts m = {0};

        prepared();
        assert_ok(open_mounts(&m, &e));
        if (i)
            assert_file(m.v[0].fd, "table", "rows");
        else
            file_put(m.v[0].fd, "table", "rows");
        assert_ok(volumes_remove(&places, spec.uid, &e));
        assert_true(is_there("state/claims/space/db/table"));
    }
    assert_ok(volumes_claim_remove(&places, "space", "db", &e));
    assert_false(is_there("state/claims/space/db"));
    assert_ok(volumes_claim_remove(&places, "space", "db", &e));
}

static void names_that_are_paths_are_refused(void **state)
{
    static const char *const names[] = {"", "..", "a/b", ".hidden", "../../etc"};
    struct err e = ERR_INIT;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        spec.n_volumes = 0;
        volume(names[i], POD_VOLUME_EMPTY);
        assert_fails(prepare(&e), -EINVAL, "FailedMount");
        assert_fails(volumes_remove(&places, names[i], &e), -EINVAL, "BadName");
        assert_fails(volumes_claim_remove(&places, "space", names[i], &e), -EINVAL, "BadName");
    }
}

static void host_paths_are_checked_by_type(void **state)
{
    autofree char *file = path_join(dir, "host-file"), *folder = path_join(dir, "host-folder");
    const struct {
        enum pod_host_path_type type;
        const char *path, *why; /* NULL: it is fine */
    } rows[] = {
        {POD_HOST_PATH_ANY,                 file,              NULL                   },
        {POD_HOST_PATH_ANY,                 "/nowhere/at/all", "does not exist"       },
        {POD_HOST_PATH_FILE,                file,              NULL                   },
        {POD_HOST_PATH_FILE_OR_CREATE,      file,              NULL                   },
        {POD_HOST_PATH_DIRECTORY,           file,              "is not a directory"   },
        {POD_HOST_PATH_DIRECTORY_OR_CREATE, file,              "is not a directory"   },
        {POD_HOST_PATH_FILE,                folder,            "is not a file"        },
        {POD_HOST_PATH_FILE_OR_CREATE,      folder,            "is not a file"        },
        {POD_HOST_PATH_DIRECTORY,           folder,            NULL                   },
        {POD_HOST_PATH_SOCKET,              file,              "is not a socket file" },
        {POD_HOST_PATH_CHAR_DEVICE,         "/dev/null",       NULL                   },
        {POD_HOST_PATH_BLOCK_DEVICE,        "/dev/null",       "is not a block device"},
        {POD_HOST_PATH_DIRECTORY,           "relative",        "must be absolute"     },
        {POD_HOST_PATH_DIRECTORY,           "/tmp/../etc",     "without '..'"         },
    };
    struct err e = ERR_INIT;

    (void)state;
    assert_ok(file_write(file, "x", 1, 0600, 0, &e));
    assert_ok(path_mkdir_p(folder, 0755, &e));
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        spec.n_volumes = 0;
        volume("host", POD_VOLUME_HOST_PATH)->path = rows[i].path;
        volumes[0].host_path_type = rows[i].type;
        if (!rows[i].why) {
            prepared();
            continue;
        }
        assert_true(prepare(&e) < 0);
        assert_string_equal(e.reason, "FailedMount");
        assert_contains(e.msg, rows[i].why);
        assert_contains(e.msg, "volume 'host' of pod 'space/pod'");
    }
}

static void host_paths_are_made_where_the_type_says_so_and_kept(void **state)
{
    autofree char *folder = path_join(host, "a/b"), *file = path_join(host, "file");
    struct err e = ERR_INIT;

    (void)state;
    volume("folder", POD_VOLUME_HOST_PATH)->path = folder;
    volumes[0].host_path_type = POD_HOST_PATH_DIRECTORY_OR_CREATE;
    volume("file", POD_VOLUME_HOST_PATH)->path = file;
    volumes[1].host_path_type = POD_HOST_PATH_FILE_OR_CREATE;
    mounted("file", "/etc/app/file", NULL);
    prepared();
    for (int i = 0; i < 2; i++) {
        automounts m = {0};

        assert_ok(open_mounts(&m, &e));
    }
    assert_ok(volumes_remove(&places, spec.uid, &e));
    assert_true(is_there("host/a/b") && is_there("host/file"));
}

static void projections_are_read_only_and_updated_in_place(void **state)
{
    automounts m = {0};
    struct err e = ERR_INIT;
    bool is_changed = false;

    (void)state;
    projected("config", POD_VOLUME_CONFIG, "c");
    mounted("config", "/etc/app", NULL);
    text_set(POD_OBJECT_CONFIG, "c", "conf", "1");
    prepared();
    assert_ok(open_mounts(&m, &e));
    assert_true(m.v[0].is_read_only);
    assert_file(m.v[0].fd, "conf", "1");
    assert_ok(update(&is_changed, &e));
    assert_false(is_changed);
    text_set(POD_OBJECT_CONFIG, "c", "conf", "2");
    assert_ok(update(&is_changed, &e));
    assert_true(is_changed);
    /* Through the descriptor that the container has had all the time. */
    assert_file(m.v[0].fd, "conf", "2");
    objects[0]->name = "gone";
    assert_fails(update(&is_changed, &e), -ENOENT, "FailedMount");
    assert_contains(e.msg, "volume 'config' of pod 'space/pod': configmap \"c\" not found");
    assert_file(m.v[0].fd, "conf", "2");
}

/* ---- Memory ---- */

static void use_mounted_memory(void)
{
    automounts m = {0}, again = {0};
    struct err e = ERR_INIT;
    char block[8192] = {0};
    autofd fd = -EBADF;
    int64_t bytes = 0;

    for (int i = 0; i < 2; i++)
        child_check(!prepare(&e)); /* a second time nothing is mounted over it */
    child_check(!open_mounts(&m, &e));
    child_check(is_on_tmpfs(m.v[0].fd) && is_on_tmpfs(m.v[1].fd));
    fd = openat(m.v[0].fd, "large", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    for (int i = 0; i < 100 && write(fd, block, sizeof(block)) > 0; i++)
        ;
    child_check(errno == ENOSPC && lseek(fd, 0, SEEK_CUR) == 65536);
    child_check(!volumes_usage(&places, &spec, &volumes[0], &bytes, &e) && bytes == 65536);
    child_check(!prepare(&e) && !open_mounts(&again, &e));
    child_check(!faccessat(again.v[0].fd, "large", F_OK, 0));
    /* A single file of a volume on another file system: a bind mount shows it. */
    child_check(again.n == 3 && !faccessat(again.v[2].fd, "token", F_OK, 0));
    child_check(!volumes_remove(&places, spec.uid, &e) && !is_there("state/pods/11-22"));
    child_check(!volumes_remove(&places, spec.uid, &e));
}

static void memory_and_secrets_are_on_a_tmpfs_with_its_limit(void **state)
{
    struct pod_volume *v = volume("memory", POD_VOLUME_EMPTY);

    (void)state;
    v->is_memory = true;
    v->limit_bytes = 65536;
    projected("secret", POD_VOLUME_SECRET, "s");
    text_set(POD_OBJECT_SECRET, "s", "token", "x");
    mounted("memory", "/memory", NULL);
    mounted("secret", "/secret", NULL);
    mounted("secret", "/var/token", "token");
    own_mounts_run(use_mounted_memory);
}

static void use_run_folder(void)
{
    automounts m = {0};
    struct err e = ERR_INIT;
    autofree char *run = path_join(dir, "run");

    child_check(!mkdir(run, 0700) && !mount("run", run, "tmpfs", 0, "mode=0700"));
    give_up_mounting();
    places.memory_dir = run;
    for (int i = 0; i < 2; i++)
        child_check(!prepare(&e));
    child_check(!open_mounts(&m, &e) && m.n == 3);
    for (size_t i = 0; i < m.n; i++)
        child_check(is_on_tmpfs(m.v[i].fd));
    child_check(!faccessat(m.v[2].fd, "token", F_OK, 0));
    child_check(is_there("run/pods/11-22/volumes/memory"));
    child_check(!volumes_remove(&places, spec.uid, &e));
    child_check(!is_there("run/pods/11-22") && !is_there("state/pods/11-22"));
}

static void without_mounts_memory_is_in_the_run_folder(void **state)
{
    (void)state;
    volume("memory", POD_VOLUME_EMPTY)->is_memory = true;
    projected("secret", POD_VOLUME_SECRET, "s");
    text_set(POD_OBJECT_SECRET, "s", "token", "x");
    mounted("memory", "/memory", NULL);
    mounted("secret", "/secret", NULL);
    mounted("secret", "/var/token", "token");
    own_mounts_run(use_run_folder);
}

static void use_no_memory(void)
{
    automounts m = {0};
    struct err e = ERR_INIT;

    give_up_mounting();
    places.memory_dir = "/proc";
    child_check(prepare(&e) < 0);
    places.memory_dir = NULL;
    child_check(prepare(&e) == -ENOTSUP && str_eq(e.reason, "MemoryVolumeUnsupported"));
    child_check(strstr(e.msg, "volume 'memory' of pod 'space/pod'"));
    volumes[0].is_memory = false;
    /* A secret is better on a private disk than nowhere. */
    child_check(!prepare(&e) && !open_mounts(&m, &e) && m.n == 2);
    child_check(!faccessat(m.v[0].fd, "token", F_OK, 0));
    child_check(!volumes_remove(&places, spec.uid, &e));
}

static void without_any_memory_its_volumes_are_refused(void **state)
{
    (void)state;
    volume("memory", POD_VOLUME_EMPTY)->is_memory = true;
    projected("secret", POD_VOLUME_SECRET, "s");
    text_set(POD_OBJECT_SECRET, "s", "token", "x");
    mounted("secret", "/secret", NULL);
    mounted("secret", "/var/token", "token");
    own_mounts_run(use_no_memory);
}

/* ---- Usage and faults ---- */

static void usage_of_an_empty_volume_is_measured(void **state)
{
    struct pod_volume *v = volume("data", POD_VOLUME_EMPTY);
    autofree char *text = xcalloc(100001, 1);
    autofd root = -EBADF;
    struct err e = ERR_INIT;
    int64_t bytes = -1;

    (void)state;
    prepared();
    assert_ok(volumes_usage(&places, &spec, v, &bytes, &e));
    assert_in_range(bytes, 0, 8192);
    root = volume_fd("data");
    memset(text, 'x', 100000);
    file_put(root, "file", text);
    assert_ok(volumes_usage(&places, &spec, v, &bytes, &e));
    assert_in_range(bytes, 100000, 120000);
}

static char block[600 << 10];

static void fill_state(void)
{
    struct err e = ERR_INIT;
    automounts m = {0};
    bool is_changed;

    child_check(!mkdir(state_dir, 0700) &&
                !mount("state", state_dir, "tmpfs", 0, "size=1m,mode=0700"));
    child_check(!prepare(&e) && !open_mounts(&m, &e));
    key_set(POD_OBJECT_CONFIG, "c", "a", block, sizeof(block));
    child_check(!update(&is_changed, &e));
    memset(block, 'x', sizeof(block));
    child_check(update(&is_changed, &e) == -ENOSPC && str_eq(e.reason, "VolumeFull"));
    child_check(strstr(e.msg, "volume 'config' of pod 'space/pod'"));
    child_check(!faccessat(m.v[0].fd, "a", R_OK, 0));
    child_check(!volumes_remove(&places, spec.uid, &e));
}

static void a_full_disk_is_told_with_the_volume(void **state)
{
    (void)state;
    projected("config", POD_VOLUME_CONFIG, "c");
    text_set(POD_OBJECT_CONFIG, "c", "a", "1");
    mounted("config", "/etc/app", NULL);
    own_mounts_run(fill_state);
}

static void a_killed_preparation_can_be_repeated(void **state)
{
    (void)state;
    volume("data", POD_VOLUME_EMPTY);
    projected("config", POD_VOLUME_CONFIG, "c");
    text_set(POD_OBJECT_CONFIG, "c", "a", "content");
    mounted("config", "/etc/one", "a");
    mounted("config", "/etc/app", NULL);
    for (int i = 0; i < 60; i++) {
        struct timespec t = {.tv_nsec = i * 20000L};
        pid_t child = fork();
        automounts m = {0};
        struct err e = ERR_INIT;
        int status;

        assert_true(child >= 0);
        while (!child) {
            if (prepare(&e) < 0 || open_mounts(&m, &e) < 0 ||
                volumes_remove(&places, spec.uid, &e) < 0)
                _exit(1);
            volume_mounts_done(&m);
        }
        assert_int_equal(clock_nanosleep(CLOCK_MONOTONIC, 0, &t, NULL), 0);
        assert_int_equal(kill(child, SIGKILL), 0);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status));
        prepared();
        assert_ok(open_mounts(&m, &e));
        assert_file(m.v[0].fd, "one", "content");
        assert_file(m.v[1].fd, "a", "content");
        assert_ok(volumes_remove(&places, spec.uid, &e));
        assert_false(is_there("state/pods/11-22"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_empty_volume_keeps_its_files_until_the_pod_is_removed),
        TEST(the_folder_of_a_pod_stays_while_others_use_it),
        TEST(a_claim_outlives_the_pod),
        TEST(names_that_are_paths_are_refused),
        TEST(host_paths_are_checked_by_type),
        TEST(host_paths_are_made_where_the_type_says_so_and_kept),
        TEST(projections_are_read_only_and_updated_in_place),
        TEST(memory_and_secrets_are_on_a_tmpfs_with_its_limit),
        TEST(without_mounts_memory_is_in_the_run_folder),
        TEST(without_any_memory_its_volumes_are_refused),
        TEST(usage_of_an_empty_volume_is_measured),
        TEST(a_full_disk_is_told_with_the_volume),
        TEST(a_killed_preparation_can_be_repeated),
    };
    return cmocka_run_group_tests_name("volumes", tests, NULL, NULL);
}
