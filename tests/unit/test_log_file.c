/* SPDX-License-Identifier: Apache-2.0 */
/* A guest's output in the CRI's line format: lines, pieces, two streams, rotation, a full disk. */
#include "unit.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/fds.h"
#include "worker/log_file.h"

static char *root; /* of one test */
static int root_fd;

static int set_up(void **state)
{
    (void)state;
    root = unit_temp_dir();
    root_fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return root_fd < 0;
}

static int tear_down(void **state)
{
    (void)state;
    close(root_fd);
    unit_remove(root);
    return 0;
}

static struct log_file *log_new(uint64_t limit_bytes, unsigned files)
{
    struct log_file *l = NULL;
    struct err e = ERR_INIT;

    assert_ok(log_file_open(root_fd, "a.log", limit_bytes, files, &l, &e));
    return l;
}

static void put(struct log_file *l, int which, const char *text, size_t len)
{
    struct engine_stream s = log_file_stream(l, which);

    assert_int_equal(s.transfer(s.ctx, (void *)(uintptr_t)text, len), len);
}

static void puts_to(struct log_file *l, int which, const char *text)
{
    put(l, which, text, strlen(text));
}

/* The file without its times, which must all be there: "stdout F text". */
static char *lines_of(const char *name)
{
    autobuf text = BUF_INIT;
    struct buf out = BUF_INIT;
    struct err e = ERR_INIT;
    char *save = NULL;

    assert_ok(file_read_at(root_fd, name, 1 << 20, &text, &e));
    assert_true(!text.len || text.data[text.len - 1] == '\n');
    for (char *line = strtok_r(text.data, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        char *space = strchr(line, ' ');

        assert_non_null(space);
        assert_true(space - line >= 30 && line[10] == 'T' && line[19] == '.');
        buf_addf(&out, "%s\n", space + 1);
    }
    return buf_take(&out);
}

static void assert_lines(const char *name, const char *wanted)
{
    char *lines = lines_of(name);

    assert_string_equal(lines, wanted);
    free(lines);
}

static void test_lines(void **state)
{
    struct log_file *l = log_new(1 << 20, 3);

    (void)state;
    puts_to(l, 1, "one\ntwo");
    puts_to(l, 2, "error\n");
    puts_to(l, 1, " halves\n\nno newline");
    log_file_close(l);
    assert_lines("a.log", "stdout F one\nstderr F error\nstdout F two halves\nstdout F \n"
                          "stdout F no newline\n");
    /* A restart appends. */
    l = log_new(1 << 20, 3);
    puts_to(l, 1, "more\n");
    log_file_close(l);
    assert_lines("a.log", "stdout F one\nstderr F error\nstdout F two halves\nstdout F \n"
                          "stdout F no newline\nstdout F more\n");
    log_file_close(NULL);
}

static void test_long_lines(void **state)
{
    static const size_t lengths[] = {LOG_LINE_LIMIT - 1, LOG_LINE_LIMIT, LOG_LINE_LIMIT + 1,
                                     3 * LOG_LINE_LIMIT, 3 * LOG_LINE_LIMIT + 7};
    static const size_t steps[] = {1, 100, 70000};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(lengths) * ARRAY_SIZE(steps); i++) {
        size_t len = lengths[i / ARRAY_SIZE(steps)], step = steps[i % ARRAY_SIZE(steps)];
        char *text = xcalloc(len + 1, 1), *lines, *save = NULL;
        struct log_file *l = log_new(1 << 20, 1);
        size_t seen = 0;

        memset(text, 'x', len);
        text[len] = '\n';
        for (size_t at = 0; at <= len; at += step)
            put(l, 1, text + at, len + 1 - at < step ? len + 1 - at : step);
        log_file_close(l);
        lines = lines_of("a.log");
        for (char *line = strtok_r(lines, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
            size_t n = strlen(line + 9);

            seen += n;
            assert_true(n <= LOG_LINE_LIMIT);
            assert_int_equal(line[7], seen == len ? 'F' : 'P');
        }
        assert_int_equal(seen, len);
        free(lines);
        free(text);
        assert_int_equal(unlinkat(root_fd, "a.log", 0), 0);
    }
}

static void test_rotation(void **state)
{
    struct log_file *l = log_new(100, 3);
    struct stat st;

    (void)state;
    for (int i = 0; i < 10; i++)
        puts_to(l, 1, i % 2 ? "odd\n" : "even\n");
    log_file_close(l);
    assert_lines("a.log", "stdout F even\nstdout F odd\n");
    assert_lines("a.log.1", "stdout F even\nstdout F odd\n");
    assert_lines("a.log.2", "stdout F even\nstdout F odd\n");
    assert_int_equal(fstatat(root_fd, "a.log.3", &st, 0), -1);
    /* Only the current one. */
    l = log_new(100, 1);
    for (int i = 0; i < 5; i++)
        puts_to(l, 2, "x\n");
    log_file_close(l);
    assert_int_equal(fstatat(root_fd, "a.log", &st, 0), 0);
    assert_true(st.st_size <= 100);
}

/* A log that is a symbolic link would let a guest write anywhere. */
static void test_refuses_links(void **state)
{
    struct log_file *l = NULL;
    struct err e = ERR_INIT;

    (void)state;
    assert_int_equal(symlinkat("/etc/passwd", root_fd, "a.log"), 0);
    assert_fails(log_file_open(root_fd, "a.log", 100, 1, &l, &e), -ELOOP, "LogFailed");
    assert_contains(e.msg, "a.log");
}

/* On a full disk lines are lost and counted, those that are there stay whole, and it goes on when
 * there is room again. A limit on the size of files stands in for the disk. */
static void test_full_disk(void **state)
{
    struct rlimit old, small;
    struct log_file *l = log_new(1 << 20, 1);

    (void)state;
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &old);
    puts_to(l, 1, "first\n");
    small = (struct rlimit){.rlim_cur = 70, .rlim_max = old.rlim_max};
    setrlimit(RLIMIT_FSIZE, &small);
    puts_to(l, 1, "second, which does not fit\n");
    puts_to(l, 1, "third, which does not fit either\n");
    setrlimit(RLIMIT_FSIZE, &old);
    assert_int_equal(log_file_lost_bytes(l), 26 + 32);
    puts_to(l, 1, "fourth\n");
    log_file_close(l);
    assert_lines("a.log", "stdout F first\nstdout F fourth\n");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_lines),         TEST(test_long_lines), TEST(test_rotation),
        TEST(test_refuses_links), TEST(test_full_disk),
    };
    return cmocka_run_group_tests_name("log_file", tests, NULL, NULL);
}
