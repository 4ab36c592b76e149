/* SPDX-License-Identifier: Apache-2.0 */
/* The compile cache: entries are whole or absent, made once, and taken only from trusted folders.
 */
#include "unit.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/fds.h"
#include "store/cache.h"

static char *root; /* of one test */

static int set_up(void **state)
{
    (void)state;
    root = unit_temp_dir();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    unit_remove(root);
    return 0;
}

static struct cache *cache_new(void)
{
    struct cache *c = NULL;
    struct err e = ERR_INIT;

    assert_ok(cache_open(root, &c, &e));
    return c;
}

static void key_of(const char *source, const char *settings, char key[static CACHE_KEY_SIZE])
{
    struct digest d;

    digest_bytes(source, strlen(source), &d);
    cache_key(&d, settings, key);
}

static int code_file(const char *text)
{
    struct err e = ERR_INIT;
    int fd;

    assert_ok(memfd_from("code", text, strlen(text), &fd, &e));
    return fd;
}

static int n_files(void)
{
    char *path = xasprintf("%s/code", root);
    DIR *d = opendir(path);
    int n = 0;

    assert_non_null(d);
    for (struct dirent *f; (f = readdir(d));)
        n += f->d_name[0] != '.' || f->d_name[1] > '.';
    closedir(d);
    free(path);
    return n;
}

static void make(struct cache *c, const char *key, const char *text)
{
    autofd code = code_file(text);
    struct err e = ERR_INIT;
    int handle = -EBADF;

    assert_int_equal(cache_begin(c, key, &handle, &e), 0);
    assert_ok(cache_commit(c, key, handle, code, &e));
}

static void assert_entry(struct cache *c, const char *key, const char *text)
{
    autofd fd = -EBADF;
    autobuf content = BUF_INIT;
    struct err e = ERR_INIT;

    assert_int_equal(cache_find(c, key, &fd, &e), 1);
    assert_ok(fd_read_all(fd, 1000, &content, &e));
    assert_true(content.len > strlen(text)); /* the seal follows */
    assert_memory_equal(content.data, text, strlen(text));
}

static void test_keys(void **state)
{
    char a[CACHE_KEY_SIZE], b[CACHE_KEY_SIZE];

    (void)state;
    key_of("x", "settings", a);
    key_of("x", "settings", b);
    assert_string_equal(a, b);
    key_of("y", "settings", b);
    assert_string_not_equal(a, b);
    key_of("x", "other", b);
    assert_string_not_equal(a, b);
}

static void test_make_and_find(void **state)
{
    AUTO(cache) c = cache_new();
    char key[CACHE_KEY_SIZE];
    struct err e = ERR_INIT;
    int fd;

    (void)state;
    key_of("x", "s", key);
    assert_int_equal(cache_find(c, key, &fd, &e), 0);
    make(c, key, "machine code");
    assert_entry(c, key, "machine code");
    assert_int_equal(n_files(), 1);
    /* Who wants to make it anew gets it. */
    assert_int_equal(cache_begin(c, key, &fd, &e), 1);
    close(fd);
    assert_int_equal(n_files(), 1);
}

static void test_abandon(void **state)
{
    AUTO(cache) c = cache_new();
    char key[CACHE_KEY_SIZE];
    struct err e = ERR_INIT;
    int handle = -EBADF, fd;

    (void)state;
    key_of("x", "s", key);
    assert_int_equal(cache_begin(c, key, &handle, &e), 0);
    cache_abandon(c, key, handle);
    assert_int_equal(n_files(), 0);
    assert_int_equal(cache_find(c, key, &fd, &e), 0);
    make(c, key, "again");
    assert_entry(c, key, "again");
}

static void test_being_made(void **state)
{
    AUTO(cache) c = cache_new();
    char key[CACHE_KEY_SIZE];
    struct err e = ERR_INIT;
    int handle = -EBADF;

    (void)state;
    key_of("x", "s", key);
    assert_false(cache_is_being_made(c, key));
    assert_int_equal(cache_begin(c, key, &handle, &e), 0);
    assert_true(cache_is_being_made(c, key));
    close(handle); /* as the kernel does for a process that was killed */
    assert_false(cache_is_being_made(c, key));
    make(c, key, "code");
    assert_false(cache_is_being_made(c, key));
}

/* What a killed process left is used by the next one. */
static void test_left_behind(void **state)
{
    AUTO(cache) c = cache_new();
    char key[CACHE_KEY_SIZE];
    struct err e = ERR_INIT;
    int handle = -EBADF, fd;

    (void)state;
    key_of("x", "s", key);
    assert_int_equal(cache_begin(c, key, &handle, &e), 0);
    assert_int_equal(write(handle, "a long half of an entry", 23), 23);
    close(handle); /* as the kernel does for a process that was killed */
    assert_int_equal(cache_find(c, key, &fd, &e), 0);
    make(c, key, "whole");
    assert_entry(c, key, "whole");
    assert_int_equal(n_files(), 1);
}

/* An entry to be damaged: its path. */
static char *entry_new(struct cache *c, char key[static CACHE_KEY_SIZE])
{
    char *path;

    key_of("x", "s", key);
    path = xasprintf("%s/code/%s", root, key);
    make(c, key, "machine code");
    assert_int_equal(chmod(path, 0600), 0);
    return path;
}

/* It is refused, and whoever begins to make it anew gets a handle and makes it. */
static void assert_made_anew(struct cache *c, const char *key, int code, const char *reason)
{
    struct err e = ERR_INIT;
    int fd = -EBADF;

    assert_fails(cache_find(c, key, &fd, &e), code, reason);
    make(c, key, "made anew");
    assert_entry(c, key, "made anew");
    assert_int_equal(n_files(), 1);
}

static void test_untrusted(void **state)
{
    AUTO(cache) c = cache_new();
    char key[CACHE_KEY_SIZE], *path = entry_new(c, key);

    (void)state;
    assert_int_equal(chmod(path, 0622), 0);
    assert_made_anew(c, key, -EPERM, "UntrustedFile");
    if (geteuid() == 0) {
        assert_int_equal(chown(path, 12345, 12345), 0);
        assert_made_anew(c, key, -EPERM, "UntrustedFile");
    }
    assert_int_equal(unlink(path), 0);
    assert_int_equal(symlink("/etc/passwd", path), 0);
    assert_made_anew(c, key, -EPERM, "UntrustedFile");
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_made_anew(c, key, -EPERM, "UntrustedFile");
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_made_anew(c, key, -EPERM, "UntrustedFile");
    free(path);
}

static void a_container_of_any_user_can_map_an_old_entry_too(void **state)
{
    AUTO(cache) c = cache_new();
    char key[CACHE_KEY_SIZE], *path = entry_new(c, key);
    autofd fd = -EBADF;
    struct err e = ERR_INIT;
    struct stat st;

    (void)state;
    assert_int_equal(chmod(path, 0400), 0);
    assert_int_equal(cache_find(c, key, &fd, &e), 1);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0444);
    free(path);
}

static void test_untrusted_folder(void **state)
{
    struct cache *c = NULL;
    struct err e = ERR_INIT;
    char *code = xasprintf("%s/code", root);

    (void)state;
    cache_free(cache_new());
    assert_int_equal(chmod(code, 0777), 0);
    assert_fails(cache_open(root, &c, &e), -EPERM, "UntrustedFolder");
    free(code);
}

/* Every bit of it, the seal included, and every shorter length. A wrong time in the seal alone is
 * no harm: the digest decides. */
static void test_damaged(void **state)
{
    AUTO(cache) c = cache_new();
    char key[CACHE_KEY_SIZE], *path = entry_new(c, key);
    struct err e = ERR_INIT;
    autobuf content = BUF_INIT;
    int n_accepted = 0;

    (void)state;
    assert_ok(file_read(path, 1000, &content, &e));
    for (size_t i = 0; i < content.len * 8; i++) {
        int fd = -EBADF, r;

        content.data[i / 8] ^= (char)(1 << i % 8);
        assert_ok(file_write(path, content.data, content.len, 0400, 0, &e));
        content.data[i / 8] ^= (char)(1 << i % 8);
        r = cache_find(c, key, &fd, &e);
        if (r == 1) {
            n_accepted++;
            close(fd);
            assert_entry(c, key, "machine code");
        } else {
            assert_int_equal(r, -EBADMSG);
            assert_string_equal(e.reason, "DamagedFile");
        }
    }
    assert_true(n_accepted <= 64);
    for (size_t len = 0; len < content.len; len++) {
        int fd = -EBADF;

        assert_ok(file_write(path, content.data, len, 0400, 0, &e));
        assert_fails(cache_find(c, key, &fd, &e), -EBADMSG, "DamagedFile");
    }
    assert_made_anew(c, key, -EBADMSG, "DamagedFile");
    free(path);
}

/* A copy has another time of change; it is read once, and taken. */
static void test_copied(void **state)
{
    AUTO(cache) c = cache_new();
    char key[CACHE_KEY_SIZE], *path = entry_new(c, key);
    struct err e = ERR_INIT;
    autobuf content = BUF_INIT;
    struct stat before, copied, after;

    (void)state;
    assert_int_equal(stat(path, &before), 0);
    assert_ok(file_read(path, 1000, &content, &e));
    assert_ok(file_write(path, content.data, content.len, 0400, 0, &e));
    assert_int_equal(stat(path, &copied), 0);
    assert_memory_not_equal(&copied.st_mtim, &before.st_mtim, sizeof(before.st_mtim));
    assert_entry(c, key, "machine code");
    assert_int_equal(stat(path, &after), 0);
    assert_memory_equal(&after.st_mtim, &before.st_mtim, sizeof(before.st_mtim));
    free(path);
}

/* Another program's code under this name. */
static void test_renamed(void **state)
{
    AUTO(cache) c = cache_new();
    char key[CACHE_KEY_SIZE], other[CACHE_KEY_SIZE], *path = entry_new(c, key), *to;

    (void)state;
    key_of("y", "s", other);
    to = xasprintf("%s/code/%s", root, other);
    assert_int_equal(rename(path, to), 0);
    assert_made_anew(c, other, -EBADMSG, "DamagedFile");
    free(path);
    free(to);
}

struct maker {
    struct cache *cache;
    const char *key;
    atomic_int *n_made;
};

static void *maker_main(void *arg)
{
    struct maker *m = arg;
    struct err e = ERR_INIT;
    int fd = -EBADF, r = cache_begin(m->cache, m->key, &fd, &e);

    if (r == 0) {
        int code = code_file("made once");

        atomic_fetch_add(m->n_made, 1);
        r = cache_commit(m->cache, m->key, fd, code, &e);
        close(code);
        return (void *)(intptr_t)(r < 0);
    }
    if (r > 0)
        close(fd);
    return (void *)(intptr_t)(r < 0);
}

/* Many want the same entry at the same time: one makes it, all get it. */
static void test_made_once(void **state)
{
    AUTO(cache) c = cache_new();

    (void)state;
    for (int round = 0; round < 20; round++) {
        atomic_int n_made = 0;
        char key[CACHE_KEY_SIZE], name[16];
        struct maker m = {c, key, &n_made};
        pthread_t threads[8];

        snprintf(name, sizeof(name), "%d", round);
        key_of(name, "s", key);
        for (int i = 0; i < 8; i++)
            assert_int_equal(pthread_create(&threads[i], NULL, maker_main, &m), 0);
        for (int i = 0; i < 8; i++) {
            void *has_failed;

            pthread_join(threads[i], &has_failed);
            assert_null(has_failed);
        }
        assert_int_equal(atomic_load(&n_made), 1);
        assert_entry(c, key, "made once");
        assert_int_equal(n_files(), round + 1);
    }
}

static void test_not_a_folder(void **state)
{
    struct cache *c = NULL;
    struct err e = ERR_INIT;

    (void)state;
    assert_true(cache_open("/dev/null", &c, &e) < 0);
    assert_contains(e.msg, "/dev/null");
    assert_null(c);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_keys),
        TEST(test_make_and_find),
        TEST(test_abandon),
        TEST(test_being_made),
        TEST(test_left_behind),
        TEST(test_untrusted),
        TEST(a_container_of_any_user_can_map_an_old_entry_too),
        TEST(test_untrusted_folder),
        TEST(test_damaged),
        TEST(test_copied),
        TEST(test_renamed),
        TEST(test_made_once),
        TEST(test_not_a_folder),
    };
    return cmocka_run_group_tests_name("cache", tests, NULL, NULL);
}
