/* SPDX-License-Identifier: Apache-2.0 */
/* Which files a volume is to have, and how they come into its folder. */
#include "unit.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "base/fds.h"
#include "base/paths.h"
#include "own_mounts.h"
#include "pod/volumes/atomic_writer.h"
#include "pod/volumes/projection.h"
#include "pod_objects.h"

static struct pod_spec spec;
static struct pod_fields fields;
static char *dir;
static int dirfd_;

static int setup(void **state)
{
    (void)state;
    spec = spec_default;
    fields = (struct pod_fields){.spec = &spec, .node_cpu_milli = 2000};
    dir = unit_temp_dir();
    dirfd_ = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(dirfd_ >= 0);
    return 0;
}

static int teardown(void **state)
{
    close(dirfd_);
    unit_remove(dir);
    return objects_teardown(state);
}

static void projection_cleanup(struct projection *p)
{
    projection_done(p);
}

#define autoprojection __attribute__((cleanup(projection_cleanup))) struct projection

static struct pod_volume volume_of(struct pod_projection *p, size_t n)
{
    return (struct pod_volume){.name = "v",
                               .kind = n == 1 ? p->kind : POD_VOLUME_PROJECTED,
                               .projections = p,
                               .n_projections = n,
                               .mode = -1};
}

static int gather(struct pod_projection *from, size_t n, struct projection *ret, struct err *e)
{
    struct pod_volume v = volume_of(from, n);

    return projection_gather(&fields, &v, &lookup, ret, e);
}

/* Writes what the configuration "c" has. */
static bool write_config(struct err *e, int *ret)
{
    struct pod_projection from = {.kind = POD_VOLUME_CONFIG, .object = "c"};
    autoprojection p = {0};
    bool is_changed = false;

    *ret = gather(&from, 1, &p, e);
    if (*ret >= 0)
        *ret = atomic_write(dirfd_, &p, &is_changed, e);
    return is_changed;
}

static bool written(void)
{
    struct err e = ERR_INIT;
    int r;
    bool is_changed = write_config(&e, &r);

    assert_ok(r);
    return is_changed;
}

static void assert_file(const char *name, const char *content)
{
    autobuf b = BUF_INIT;
    struct err e = ERR_INIT;

    assert_ok(file_read_at(dirfd_, name, 1 << 20, &b, &e));
    assert_string_equal(buf_str(&b), content);
}

static bool is_there(const char *name)
{
    return !faccessat(dirfd_, name, F_OK, AT_SYMLINK_NOFOLLOW);
}

static char *link_of(const char *name)
{
    char to[256];
    ssize_t n = readlinkat(dirfd_, name, to, sizeof(to) - 1);

    assert_true(n > 0);
    to[n] = 0;
    return xstrdup(to);
}

/* How many names the folder has. */
static size_t names(void)
{
    DIR *d = opendir(dir);
    size_t n = 0;

    while (readdir(d))
        n++;
    closedir(d);
    return n - 2;
}

/* ---- Gathering ---- */

static void every_key_is_a_file_under_its_name(void **state)
{
    struct pod_projection from = {.kind = POD_VOLUME_SECRET, .object = "s"};
    autoprojection p = {0};
    struct err e = ERR_INIT;

    (void)state;
    text_set(POD_OBJECT_SECRET, "s", "b", "two");
    key_set(POD_OBJECT_SECRET, "s", "a", "\0\xff", 2);
    assert_ok(gather(&from, 1, &p, &e));
    assert_int_equal(p.n, 2);
    assert_string_equal(p.v[0].path, "a");
    assert_int_equal(p.v[0].len, 2);
    assert_memory_equal(p.v[0].data, "\0\xff", 2);
    assert_int_equal(p.v[1].mode, 0644);
}

static void items_choose_keys_paths_and_modes(void **state)
{
    struct pod_item items[] = {
        {.key = "a", .path = "x/./y//z", .mode = 0400},
        {.key = "a", .path = "w",        .mode = -1  }
    };
    struct pod_projection from = {
        .kind = POD_VOLUME_CONFIG, .object = "c", .items = items, .n_items = 2};
    struct pod_volume v = volume_of(&from, 1);
    autoprojection p = {0};
    struct err e = ERR_INIT;

    (void)state;
    text_set(POD_OBJECT_CONFIG, "c", "a", "1");
    text_set(POD_OBJECT_CONFIG, "c", "unused", "2");
    v.mode = 0440;
    assert_ok(projection_gather(&fields, &v, &lookup, &p, &e));
    assert_int_equal(p.n, 2);
    assert_string_equal(p.v[0].path, "w");
    assert_int_equal(p.v[0].mode, 0440);
    assert_string_equal(p.v[1].path, "x/y/z");
    assert_int_equal(p.v[1].mode, 0400);
}

static void several_sources_share_a_folder_and_the_last_wins(void **state)
{
    struct pod_item items[] = {
        {.key = "metadata.name", .path = "pod/name", .mode = -1},
        { .key = "limits.cpu",  .container = "other",  .path = "pod/cpu", .mode = -1}
    };
    struct pod_projection from[] = {
        {.kind = POD_VOLUME_CONFIG, .object = "c"},
        {                           .kind = POD_VOLUME_SECRET,            .object = "s"             },
        { .kind = POD_VOLUME_DOWNWARD,             .items = items,                          .n_items = 2},
    };
    autoprojection p = {0};
    struct err e = ERR_INIT;

    (void)state;
    text_set(POD_OBJECT_CONFIG, "c", "k", "config");
    text_set(POD_OBJECT_SECRET, "s", "k", "secret");
    assert_ok(gather(from, 3, &p, &e));
    assert_int_equal(p.n, 3);
    assert_string_equal(p.v[0].path, "k");
    assert_string_equal(p.v[0].data, "secret");
    assert_string_equal(p.v[1].data, "2");
    assert_string_equal(p.v[2].data, "pod");
    assert_int_equal(p.bytes, strlen("secret") + strlen("2") + strlen("pod"));
}

static void what_is_missing_is_refused_unless_optional(void **state)
{
    struct pod_item item = {.key = "none", .path = "x", .mode = -1};
    struct pod_projection from = {
        .kind = POD_VOLUME_CONFIG, .object = "c", .items = &item, .n_items = 1};
    struct pod_projection object = {.kind = POD_VOLUME_SECRET, .object = "none"};
    autoprojection p = {0};
    struct err e = ERR_INIT;

    (void)state;
    text_set(POD_OBJECT_CONFIG, "c", "a", "1");
    assert_fails(gather(&from, 1, &p, &e), -ENOENT, "ObjectMissing");
    assert_contains(e.msg, "couldn't find key none in ConfigMap space/c");
    assert_fails(gather(&object, 1, &p, &e), -ENOENT, "ObjectMissing");
    assert_contains(e.msg, "secret \"none\" not found");
    assert_null(p.v);
    from.is_optional = object.is_optional = true;
    assert_ok(gather(&from, 1, &p, &e));
    assert_int_equal(p.n, 0);
    assert_ok(gather(&object, 1, &p, &e));
    assert_int_equal(p.n, 0);
}

static void paths_that_leave_the_volume_are_refused(void **state)
{
    char long_name[300];
    const char *paths[] = {"../x", "a/../../x", "/etc/x", "..data", "..", "", "./", long_name};

    (void)state;
    memset(long_name, 'x', sizeof(long_name) - 1);
    long_name[sizeof(long_name) - 1] = 0;
    text_set(POD_OBJECT_CONFIG, "c", "a", "1");
    for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
        struct pod_item item = {.key = "a", .path = paths[i], .mode = -1};
        struct pod_projection from = {
            .kind = POD_VOLUME_CONFIG, .object = "c", .items = &item, .n_items = 1};
        autoprojection p = {0};
        struct err e = ERR_INIT;

        assert_true(gather(&from, 1, &p, &e) < 0);
        assert_string_equal(e.reason, "BadProjection");
    }
}

static void a_file_is_not_also_a_folder(void **state)
{
    struct pod_item items[] = {
        {.key = "a", .path = "x",   .mode = -1},
        {.key = "a", .path = "x-1", .mode = -1},
        {.key = "a", .path = "x/y", .mode = -1}
    };
    struct pod_projection from = {
        .kind = POD_VOLUME_CONFIG, .object = "c", .items = items, .n_items = 3};
    autoprojection p = {0};
    struct err e = ERR_INIT;

    (void)state;
    text_set(POD_OBJECT_CONFIG, "c", "a", "1");
    assert_fails(gather(&from, 1, &p, &e), -EINVAL, "BadProjection");
    assert_contains(e.msg, "'x' is a file and also the folder of 'x/y'");
}

static void too_much_content_is_refused(void **state)
{
    struct pod_projection from = {.kind = POD_VOLUME_CONFIG, .object = "c"};
    autofree char *large = xcalloc(PROJECTION_LIMIT_BYTES, 1);
    autoprojection p = {0};
    struct err e = ERR_INIT;

    (void)state;
    key_set(POD_OBJECT_CONFIG, "c", "a", large, PROJECTION_LIMIT_BYTES);
    text_set(POD_OBJECT_CONFIG, "c", "b", "1");
    assert_fails(gather(&from, 1, &p, &e), -E2BIG, "BadProjection");
}

/* ---- Writing ---- */

static void the_folder_has_the_layout_of_a_kubelet(void **state)
{
    autofree char *data = NULL, *name = NULL;
    struct stat st;

    (void)state;
    text_set(POD_OBJECT_CONFIG, "c", "app.toml", "x = 1");
    assert_true(written());
    data = link_of("..data");
    name = link_of("app.toml");
    assert_string_equal(name, "..data/app.toml");
    assert_true(str_starts(data, "..20"));
    assert_file("app.toml", "x = 1");
    assert_int_equal(names(), 3);
    assert_int_equal(fstatat(dirfd_, "app.toml", &st, 0), 0);
    assert_int_equal(st.st_mode & 07777, 0644);
}

static void the_umask_does_not_change_modes(void **state)
{
    struct pod_item item = {.key = "a", .path = "d/x", .mode = 0666};
    struct pod_projection from = {
        .kind = POD_VOLUME_CONFIG, .object = "c", .items = &item, .n_items = 1};
    autoprojection p = {0};
    struct err e = ERR_INIT;
    struct stat st;
    bool is_changed;
    mode_t before = umask(0077);

    (void)state;
    text_set(POD_OBJECT_CONFIG, "c", "a", "1");
    assert_ok(gather(&from, 1, &p, &e));
    assert_ok(atomic_write(dirfd_, &p, &is_changed, &e));
    umask(before);
    assert_int_equal(fstatat(dirfd_, "d/x", &st, 0), 0);
    assert_int_equal(st.st_mode & 07777, 0666);
    assert_int_equal(fstatat(dirfd_, "d", &st, 0), 0);
    assert_int_equal(st.st_mode & 07777, 0755);
}

static void unchanged_content_is_not_written_again(void **state)
{
    autofree char *before = NULL, *after = NULL;

    (void)state;
    text_set(POD_OBJECT_CONFIG, "c", "a", "1");
    assert_true(written());
    before = link_of("..data");
    assert_false(written());
    after = link_of("..data");
    assert_string_equal(before, after);
}

static void an_update_changes_adds_and_removes_files(void **state)
{
    (void)state;
    text_set(POD_OBJECT_CONFIG, "c", "stays", "1");
    text_set(POD_OBJECT_CONFIG, "c", "goes", "1");
    assert_true(written());
    objects[0]->object.n_keys = 1;
    text_set(POD_OBJECT_CONFIG, "c", "stays", "2");
    text_set(POD_OBJECT_CONFIG, "c", "comes", "2");
    assert_true(written());
    assert_file("stays", "2");
    assert_file("comes", "2");
    assert_false(is_there("goes"));
    assert_int_equal(names(), 4);
    objects[0]->object.n_keys = 0;
    assert_true(written());
    assert_int_equal(names(), 2);
}

static void what_was_damaged_is_mended(void **state)
{
    autofree char *path = path_join(dir, "..data/a");

    (void)state;
    text_set(POD_OBJECT_CONFIG, "c", "a", "content");
    text_set(POD_OBJECT_CONFIG, "c", "b", "content");
    assert_true(written());
    /* As after a power failure: names without content. */
    assert_int_equal(truncate(path, 0), 0);
    assert_int_equal(unlinkat(dirfd_, "b", 0), 0);
    assert_int_equal(symlinkat("nowhere", dirfd_, "b"), 0);
    assert_int_equal(mkdirat(dirfd_, "..2020_01_01_00_00_00.left", 0700), 0);
    assert_true(written());
    assert_file("a", "content");
    assert_file("b", "content");
    assert_int_equal(names(), 4);
    assert_int_equal(unlinkat(dirfd_, "..data", 0), 0);
    assert_int_equal(symlinkat("/etc", dirfd_, "..data"), 0);
    assert_true(written());
    assert_file("a", "content");
}

static void a_changed_mode_is_a_change(void **state)
{
    struct pod_projection from = {.kind = POD_VOLUME_CONFIG, .object = "c"};
    struct pod_volume v = volume_of(&from, 1);
    struct err e = ERR_INIT;
    struct stat st;

    (void)state;
    text_set(POD_OBJECT_CONFIG, "c", "a", "1");
    for (int i = 0; i < 2; i++) {
        autoprojection p = {0};
        bool is_changed = false;

        v.mode = i ? 0400 : 0600;
        assert_ok(projection_gather(&fields, &v, &lookup, &p, &e));
        assert_ok(atomic_write(dirfd_, &p, &is_changed, &e));
        assert_true(is_changed);
        assert_int_equal(fstatat(dirfd_, "a", &st, 0), 0);
        assert_int_equal(st.st_mode & 07777, v.mode);
    }
}

/* ---- Faults ---- */

static char large[900 << 10];

static void fill_and_recover(void)
{
    struct err e = ERR_INIT;
    autobuf there = BUF_INIT;
    int r;

    child_check(!mount("small", dir, "tmpfs", 0, "size=1m"));
    close(dirfd_);
    dirfd_ = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    child_check(write_config(&e, &r) && r == 0);
    for (int i = 0; i < 3; i++) {
        key_set(POD_OBJECT_CONFIG, "c", "b", large, sizeof(large));
        key_set(POD_OBJECT_CONFIG, "c", "c", large, sizeof(large));
        write_config(&e, &r);
        child_check(r == -ENOSPC && str_eq(e.reason, "VolumeFull"));
        child_check(file_read_at(dirfd_, "a", 100, &there, &e) >= 0);
        child_check(str_eq(buf_str(&there), "old") && names() == 3);
        buf_clear(&there);
    }
    /* There is room for one of them, as nothing was left behind. */
    objects[0]->object.n_keys = 2;
    child_check(write_config(&e, &r) && r == 0);
    child_check(file_read_at(dirfd_, "b", sizeof(large), &there, &e) >= 0);
    child_check(there.len == sizeof(large));
}

static void a_full_disk_leaves_the_old_content(void **state)
{
    (void)state;
    text_set(POD_OBJECT_CONFIG, "c", "a", "old");
    own_mounts_run(fill_and_recover);
}

#define VERSIONS 50
#define FILES    12

static char versions[VERSIONS][2000];
static const char *const file_names[FILES] = {"f0", "f1", "f2", "f3", "f4",  "f5",
                                              "f6", "f7", "f8", "f9", "f10", "f11"};

static void version_set(int version)
{
    for (size_t i = 0; i < FILES; i++)
        key_set(POD_OBJECT_CONFIG, "c", file_names[i], versions[version], sizeof(versions[0]));
}

static void versions_make(void)
{
    for (int i = 0; i < VERSIONS; i++)
        memset(versions[i], 'A' + i, sizeof(versions[i]));
    version_set(0);
}

/* What all files hold, read through one look at ..data; -1 when they were replaced meanwhile. */
static int version_read(void)
{
    autofd data = openat(dirfd_, "..data", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int version = -1;

    if (data < 0) {
        /* The link was read, and then the folder that it named was replaced and removed. */
        assert_int_equal(errno, ENOENT);
        return -1;
    }
    for (size_t i = 0; i < FILES; i++) {
        autofd fd = openat(data, file_names[i], O_RDONLY | O_CLOEXEC);
        char content[sizeof(versions[0]) + 1];

        if (fd < 0)
            return -1;
        assert_int_equal(read(fd, content, sizeof(content)), sizeof(versions[0]));
        if (i == 0)
            version = content[0] - 'A';
        assert_memory_equal(content, versions[version], sizeof(versions[0]));
    }
    return version;
}

static pid_t writer_start(int64_t n)
{
    pid_t child = fork();

    assert_true(child >= 0);
    if (child)
        return child;
    for (int64_t i = 1; i <= n; i++) {
        struct err e = ERR_INIT;
        int r;

        version_set((int)(i % VERSIONS));
        write_config(&e, &r);
        child_check(r == 0);
    }
    _exit(0);
}

static void a_reader_never_sees_a_mix(void **state)
{
    int status, changes = 0, last = 0;
    pid_t child;

    (void)state;
    versions_make();
    assert_true(written());
    child = writer_start(INT64_MAX);
    while (changes < 200) {
        int version = version_read();

        changes += version >= 0 && version != last;
        last = version >= 0 ? version : last;
        assert_int_equal(waitpid(child, &status, WNOHANG), 0);
    }
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, &status, 0), child);
}

static void a_writer_that_is_killed_leaves_whole_content(void **state)
{
    (void)state;
    versions_make();
    assert_true(written());
    for (int i = 0; i < 150; i++) {
        pid_t child = writer_start(INT64_MAX);
        struct timespec t = {.tv_nsec = (i % 50) * 77777L};
        int status;

        /* Cut off at another moment each time. */
        assert_int_equal(clock_nanosleep(CLOCK_MONOTONIC, 0, &t, NULL), 0);
        assert_int_equal(kill(child, SIGKILL), 0);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status));
        assert_true(version_read() >= 0);
        version_set(i % VERSIONS);
        (void)written();
        assert_int_equal(version_read(), i % VERSIONS);
        assert_int_equal(names(), FILES + 2);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_key_is_a_file_under_its_name),
        TEST(items_choose_keys_paths_and_modes),
        TEST(several_sources_share_a_folder_and_the_last_wins),
        TEST(what_is_missing_is_refused_unless_optional),
        TEST(paths_that_leave_the_volume_are_refused),
        TEST(a_file_is_not_also_a_folder),
        TEST(too_much_content_is_refused),
        TEST(the_folder_has_the_layout_of_a_kubelet),
        TEST(the_umask_does_not_change_modes),
        TEST(unchanged_content_is_not_written_again),
        TEST(an_update_changes_adds_and_removes_files),
        TEST(what_was_damaged_is_mended),
        TEST(a_changed_mode_is_a_change),
        TEST(a_full_disk_leaves_the_old_content),
        TEST(a_reader_never_sees_a_mix),
        TEST(a_writer_that_is_killed_leaves_whole_content),
    };
    return cmocka_run_group_tests_name("projection", tests, NULL, NULL);
}
