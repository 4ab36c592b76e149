/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/fds.h"
#include "base/paths.h"

static void test_read_limits(void **state)
{
    autobuf b = BUF_INIT;
    struct err e = ERR_INIT;
    int fds[2];

    (void)state;
    buf_addstr(&b, "before");
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(write(fds[1], "0123456789", 10), 10);
    close(fds[1]);
    assert_fails(fd_read_all(fds[0], 9, &b, &e), -EFBIG, "TooLarge");
    assert_string_equal(b.data, "before");
    close(fds[0]);

    assert_fails(file_read("/proc/self/exe", 100, &b, &e), -EFBIG, "TooLarge");
    assert_contains(e.msg, "/proc/self/exe");
    assert_fails(file_read("/nowhere/x", 100, &b, &e), -ENOENT, "NotFound");
    assert_string_equal(b.data, "before");
}

/* Files of /proc/sys give everything in one read or nothing. */
static void test_reads_proc(void **state)
{
    autobuf b = BUF_INIT;
    struct err e = ERR_INIT;

    (void)state;
    assert_ok(file_read("/proc/sys/kernel/pid_max", 64, &b, &e));
    assert_true(strtol(b.data, NULL, 10) >= 32768);
}

static size_t entries(const char *path)
{
    DIR *dir = opendir(path);
    size_t n = 0;

    assert_non_null(dir);
    while (readdir(dir))
        n++;
    closedir(dir);
    return n - 2;
}

static void test_replace(void **state)
{
    autofree char *dir = unit_temp_dir();
    autofree char *path = path_join(dir, "file");
    autobuf b = BUF_INIT;
    struct err e = ERR_INIT;
    struct stat st;

    (void)state;
    assert_ok(file_write(path, "one", 3, 0640, FILE_WRITE_SYNC, &e));
    assert_ok(file_write(path, "second", 6, 0600, 0, &e));
    assert_ok(file_read(path, 100, &b, &e));
    assert_string_equal(b.data, "second");
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(entries(dir), 1);
    unlink(path);
    rmdir(dir);
}

/* A write that fails in the middle leaves the old content and no other file. */
static void test_failed_replace(void **state)
{
    autofree char *dir = unit_temp_dir();
    autofree char *path = path_join(dir, "file");
    autofree char *large = xcalloc(65536, 1);
    struct rlimit old, small = {4096, 0};
    autobuf b = BUF_INIT;
    struct err e = ERR_INIT;

    (void)state;
    assert_ok(file_write(path, "old", 3, 0600, 0, &e));
    getrlimit(RLIMIT_FSIZE, &old);
    small.rlim_max = old.rlim_max;
    setrlimit(RLIMIT_FSIZE, &small);
    assert_fails(file_write(path, large, 65536, 0600, 0, &e), -EFBIG, "WriteFailed");
    setrlimit(RLIMIT_FSIZE, &old);
    assert_ok(file_read(path, 100, &b, &e));
    assert_string_equal(b.data, "old");
    assert_int_equal(entries(dir), 1);
    unlink(path);
    rmdir(dir);
}

static void temporary_files_of_the_killed_are_removed(void **state)
{
    autofree char *dir = unit_temp_dir();
    autofree char *mine = xasprintf(".a.b.%d.0.tmp", (int)getpid());
    const char *const names[] = {".a.b.2147483646.7.tmp", "a.2147483646.7.tmp", ".a.tmp", mine};
    autofd dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        close(openat(dir_fd, names[i], O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    file_temps_remove(dir_fd);
    assert_int_equal(entries(dir), 3);
    assert_int_equal(faccessat(dir_fd, names[0], F_OK, 0), -1);
    for (size_t i = 1; i < ARRAY_SIZE(names); i++)
        unlinkat(dir_fd, names[i], 0);
    rmdir(dir);
}

static void test_memfd_is_sealed(void **state)
{
    autofd fd = -EBADF;
    struct err e = ERR_INIT;
    char text[4] = "";

    (void)state;
    assert_ok(memfd_from("test", "abc", 3, &fd, &e));
    assert_ok(fd_read_exact(fd, text, 3, &e));
    assert_string_equal(text, "abc");
    assert_fails(fd_read_exact(fd, text, 1, &e), -ENODATA, "Truncated");
    assert_int_equal(write(fd, "x", 1), -1);
    assert_true(fd_is_sealed(fd));
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    assert_int_equal(fd_cloexec_set(fd, false), 0);
    assert_int_equal(fcntl(fd, F_GETFD), 0);
    assert_ok(fd_move_above(&fd, 100, &e));
    assert_true(fd >= 100);
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
}

static void a_copy_is_sealed_and_its_original_is_not(void **state)
{
    autofd file = memfd_create("test", MFD_CLOEXEC), copy = -EBADF, part = -EBADF;
    struct err e = ERR_INIT;
    char text[4] = "";

    (void)state;
    assert_ok(fd_write_all(file, "abc", 3, &e));
    assert_ok(memfd_copy("copy", file, 1000, &copy, &e));
    assert_int_equal(pwrite(file, "x", 1, 0), 1);
    assert_false(fd_is_sealed(file));
    assert_true(fd_is_sealed(copy));
    assert_ok(fd_read_exact(copy, text, 3, &e));
    assert_string_equal(text, "abc");
    assert_fails(fd_read_exact(copy, text, 1, &e), -ENODATA, "Truncated");
    assert_ok(memfd_copy("part", copy, 2, &part, &e));
    assert_int_equal(lseek(part, 0, SEEK_END), 2);
    assert_fails(memfd_copy("none", -1, 1, &part, &e), -EBADF, "ReadFailed");
}

static void a_pipe_made_nonblocking_says_so_instead_of_waiting(void **state)
{
    int fds[2];
    char c;

    (void)state;
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    assert_int_equal(fd_nonblock_set(fds[0]), 0);
    assert_int_equal(read(fds[0], &c, 1), -1);
    assert_int_equal(errno, EAGAIN);
    close(fds[0]);
    close(fds[1]);
    assert_int_equal(fd_nonblock_set(fds[0]), -EBADF);
}

static int ignore_file_size_signal(void **state)
{
    (void)state;
    return signal(SIGXFSZ, SIG_IGN) == SIG_ERR;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read_limits),
        cmocka_unit_test(test_reads_proc),
        cmocka_unit_test(test_replace),
        cmocka_unit_test(test_failed_replace),
        cmocka_unit_test(test_memfd_is_sealed),
        cmocka_unit_test(a_copy_is_sealed_and_its_original_is_not),
        cmocka_unit_test(a_pipe_made_nonblocking_says_so_instead_of_waiting),
        cmocka_unit_test(temporary_files_of_the_killed_are_removed),
    };
    return cmocka_run_group_tests_name("fds", tests, ignore_file_size_signal, NULL);
}
