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
    assert_string_equal(buf_str(&content), text);
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

static void test_untrusted(void **state)
{
    char key[CACHE_KEY_SIZE];
    char *code = xasprintf("%s/code", root), *entry;
    struct cache *c = cache_new();
    struct err e = ERR_INIT;
    int fd;

    (void)state;
    key_of("x", "s", key);
    entry = xasprintf("%s/%s", code, key);
    make(c, key, "code");
    assert_int_equal(chmod(entry, 0622), 0);
    assert_fails(cache_find(c, key, &fd, &e), -EPERM, "UntrustedFile");
    assert_fails(cache_begin(c, key, &fd, &e), -EPERM, "UntrustedFile");
    assert_int_equal(n_files(), 1);
    assert_int_equal(unlink(entry), 0);
    assert_int_equal(symlink("/etc/passwd", entry), 0);
    assert_true(cache_find(c, key, &fd, &e) < 0);
    cache_free(c);
    assert_int_equal(chmod(code, 0777), 0);
    assert_fails(cache_open(root, &c, &e), -EPERM, "UntrustedFolder");
    free(code);
    free(entry);
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
        TEST(test_keys),         TEST(test_make_and_find), TEST(test_abandon),
        TEST(test_left_behind),  TEST(test_untrusted),     TEST(test_made_once),
        TEST(test_not_a_folder),
    };
    return cmocka_run_group_tests_name("cache", tests, NULL, NULL);
}
