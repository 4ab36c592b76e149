/* SPDX-License-Identifier: Apache-2.0 */
/* Programs of images, kept by their digest. */
#include "unit.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "base/fds.h"
#include "base/paths.h"
#include "shim/image/module_cache.h"

static char *folder;
static int modules;

static int before(void **state)
{
    struct err e = ERR_INIT;
    (void)state;
    folder = unit_temp_dir();
    assert_ok(module_cache_open(folder, &modules, &e));
    return 0;
}

static int after(void **state)
{
    (void)state;
    close(modules);
    unit_remove(folder);
    return 0;
}

/* Keeps the text, and gives its descriptor for reading. */
static int keep(const char *text, struct digest *ret)
{
    struct err e = ERR_INIT;
    int kept = -1;
    autofd fd = -1;
    digest_bytes(text, strlen(text), ret);
    assert_ok(module_cache_begin(modules, &fd, &e));
    assert_ok(fd_write_all(fd, text, strlen(text), &e));
    assert_ok(module_cache_commit(modules, fd, ret, (int64_t)strlen(text), &kept, &e));
    return kept;
}

static void assert_content(int fd, const char *text)
{
    autobuf b = BUF_INIT;
    struct err e = ERR_INIT;
    assert_ok(fd_read_all(fd, 100, &b, &e));
    assert_string_equal(buf_str(&b), text);
    close(fd);
}

static bool is_there(const struct digest *d, size_t len)
{
    struct err e = ERR_INIT;
    autofd fd = -1;
    return module_cache_find(modules, d, (int64_t)len, &fd, &e) == 1;
}

static void what_was_kept_is_found_and_can_only_be_read(void **state)
{
    (void)state;
    struct digest d;
    struct stat st;
    struct err e = ERR_INIT;
    int fd = -1;
    digest_bytes("hello", 5, &d);
    assert_int_equal(module_cache_find(modules, &d, 5, &fd, &e), 0);
    assert_content(keep("hello", &d), "hello");
    assert_int_equal(module_cache_find(modules, &d, 5, &fd, &e), 1);
    assert_int_equal(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDONLY);
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0444);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    assert_content(fd, "hello");
}

static void what_is_not_committed_leaves_nothing(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    int fd = -1;
    assert_ok(module_cache_begin(modules, &fd, &e));
    assert_ok(fd_write_all(fd, "half", 4, &e));
    close(fd);
    assert_int_equal(dir_is_empty(modules), 1);
}

static void two_may_keep_the_same(void **state)
{
    (void)state;
    struct digest d;
    assert_content(keep("same", &d), "same");
    assert_content(keep("same", &d), "same");
}

static void a_file_of_another_size_is_none(void **state)
{
    (void)state;
    struct digest d;
    struct err e = ERR_INIT;
    int fd = -1;
    close(keep("whole", &d));
    assert_int_equal(module_cache_find(modules, &d, 6, &fd, &e), 0);
    assert_int_equal(dir_is_empty(modules), 1);
}

static void a_link_is_not_followed(void **state)
{
    (void)state;
    struct digest d;
    char name[DIGEST_HEX_SIZE];
    struct err e = ERR_INIT;
    int fd = -1;
    digest_bytes("x", 1, &d);
    digest_hex_format(&d, name);
    assert_int_equal(symlinkat("/etc/passwd", modules, name), 0);
    assert_fails(module_cache_find(modules, &d, 1, &fd, &e), -ELOOP, "CacheFailed");
}

static void those_that_were_not_used_for_longest_go_first(void **state)
{
    (void)state;
    struct digest old, used, newest, d;
    struct timespec long_ago[2] = {
        {1, 0},
        {1, 0}
    };
    char name[DIGEST_HEX_SIZE], text[16];
    close(keep("old", &old));
    close(keep("used", &used));
    for (int i = 0; i < MODULE_CACHE_FILES - 2; i++) {
        snprintf(text, sizeof(text), "n%d", i);
        close(keep(text, &d));
    }
    digest_hex_format(&old, name);
    assert_int_equal(utimensat(modules, name, long_ago, 0), 0);
    digest_hex_format(&used, name);
    assert_int_equal(utimensat(modules, name, long_ago, 0), 0);
    assert_true(is_there(&used, 4)); /* which is a use */
    close(keep("new", &newest));
    assert_false(is_there(&old, 3));
    assert_true(is_there(&used, 4));
    assert_true(is_there(&newest, 3));
}

static void a_large_one_makes_room_and_stays_itself(void **state)
{
    (void)state;
    struct digest small, large;
    struct err e = ERR_INIT;
    int kept = -1;
    autofd fd = -1;
    close(keep("small", &small));
    /* With a hole, so that it takes no space; nobody looks at the digest here. */
    digest_bytes("large", 5, &large);
    assert_ok(module_cache_begin(modules, &fd, &e));
    assert_int_equal(ftruncate(fd, MODULE_CACHE_BYTES), 0);
    assert_ok(module_cache_commit(modules, fd, &large, MODULE_CACHE_BYTES, &kept, &e));
    close(kept);
    assert_false(is_there(&small, 5));
    assert_true(is_there(&large, MODULE_CACHE_BYTES));
}

static void a_folder_that_others_may_write_to_is_refused(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    int fd = -1;
    assert_int_equal(fchmod(modules, 0777), 0);
    assert_fails(module_cache_open(folder, &fd, &e), -EPERM, "UntrustedFolder");
}

#define T(f) cmocka_unit_test_setup_teardown(f, before, after)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(what_was_kept_is_found_and_can_only_be_read),
        T(what_is_not_committed_leaves_nothing),
        T(two_may_keep_the_same),
        T(a_file_of_another_size_is_none),
        T(a_link_is_not_followed),
        T(those_that_were_not_used_for_longest_go_first),
        T(a_large_one_makes_room_and_stays_itself),
        T(a_folder_that_others_may_write_to_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
