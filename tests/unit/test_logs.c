/* SPDX-License-Identifier: Apache-2.0 */
/* Logs that the worker's own writer wrote: order, pieces, damage, and what is asked for of them. */
#include "log_reading.h"

#include <signal.h>
#include <sys/wait.h>

#include "pod/logs/log_line.h"

/* ---- What is there ---- */

static void both_streams_come_in_the_order_of_writing(void **state)
{
    struct log_file *l = writer_new(1 << 20, 5);

    (void)state;
    puts_to(l, 1, "one\n");
    puts_to(l, 2, "two\n");
    puts_to(l, 1, "\nthree");
    log_file_close(l);
    assert_answer(&all, "one\ntwo\n\nthree\n");
}

static void rotated_files_come_first_the_oldest_before_the_others(void **state)
{
    struct log_file *l = writer_new(100, 12);
    autobuf wanted = BUF_INIT;

    (void)state;
    for (int i = 0; i < 24; i++) {
        autofree char *line = xasprintf("line %d\n", i);

        puts_to(l, 1 + i % 2, line);
        buf_addstr(&wanted, line);
    }
    log_file_close(l);
    assert_int_equal(faccessat(root_fd, "a.log.11", F_OK, 0), 0);
    assert_answer(&all, buf_str(&wanted));
    /* A hole, which a writer leaves that was killed while it rotated, and names of others. */
    assert_int_equal(renameat(root_fd, "a.log.11", root_fd, "a.log.12"), 0);
    assert_int_equal(mkdirat(root_fd, "a.log.3000", 0700), 0);
    assert_int_equal(symlinkat("/etc/passwd", root_fd, "a.log.13"), 0);
    assert_int_equal(symlinkat("/etc/passwd", root_fd, "a.log.01"), 0);
    assert_int_equal(symlinkat("/etc/passwd", root_fd, "a.log.1x"), 0);
    assert_answer(&all, buf_str(&wanted));
}

static void bytes_pass_unchanged_in_lines_of_a_megabyte(void **state)
{
    size_t len = (1 << 20) + 12345;
    autofree char *text = xcalloc(1, len + 2);
    struct log_file *l = writer_new(300000, 8);
    struct reading r = {0};

    (void)state;
    for (size_t i = 0; i < len; i++)
        text[i] = (char)(i * 7 + i / 253);
    for (size_t i = 0; i < len; i++)
        text[i] = text[i] == '\n' ? '\0' : text[i];
    text[len] = '\n';
    put(l, 1, text, len + 1);
    log_file_close(l);
    assert_int_equal(faccessat(root_fd, "a.log.1", F_OK, 0), 0);
    for (int i = 0; i < 2; i++) {
        reading_begin(&r, &(struct log_query){.tail_lines = i ? 1 : -1});
        run_to_end(&r);
        assert_int_equal(r.got.len, len + 1);
        assert_memory_equal(r.got.data, text, len + 1);
        reading_done(&r);
        r = (struct reading){0};
    }
}

static void each_line_has_one_time_when_asked(void **state)
{
    autofree char *text = xcalloc(1, 40001);
    struct log_file *l = writer_new(1 << 20, 5);
    struct log_query q = {.tail_lines = -1, .has_timestamps = true};
    int64_t before_ns = (int64_t)clock_realtime_ns(), time_ns;

    (void)state;
    memset(text, 'x', 40000);
    puts_to(l, 1, "short\n");
    puts_to(l, 2, text);
    puts_to(l, 2, "\n");
    log_file_close(l);
    autofree char *got = answer(&q);
    assert_true(clock_rfc3339_parse(got, 30, &time_ns) && time_ns >= before_ns);
    assert_memory_equal(got + 30, " short\n", 7);
    assert_true(clock_rfc3339_parse(got + 37, 30, &time_ns) && time_ns >= before_ns);
    assert_int_equal(strlen(got + 37), 31 + 40000 + 1);
    assert_int_equal(strspn(got + 37 + 31, "x"), 40000);
}

static void a_damaged_record_is_delivered_as_it_is(void **state)
{
    struct log_query q = {.tail_lines = -1, .has_timestamps = true};

    (void)state;
    raws("\nno record\n2026-11-24T00:31:02Z stdout F good\n\n2026-11-24T00:31:02Z stdou\n");
    assert_answer(&all, "\nno record\ngood\n\n2026-11-24T00:31:02Z stdou\n");
    assert_answer(&q, "\nno record\n2026-11-24T00:31:02Z good\n\n2026-11-24T00:31:02Z stdou\n");
}

static void a_damaged_record_may_be_longer_than_what_is_read_at_once(void **state)
{
    size_t len = 300000;
    autofree char *text = xcalloc(1, len + 1);

    (void)state;
    memset(text, 'y', len);
    raws("2026-11-24T00:31:02Z stdout F good\n");
    raw(text, len);
    raws("\n2026-11-24T00:31:03Z stdout F after\n");
    autofree char *got = answer(&all);
    assert_int_equal(strlen(got), 5 + len + 1 + 6);
    assert_memory_equal(got, "good\nyyy", 8);
    assert_string_equal(got + 5 + len, "\nafter\n");
    assert_answer(&(struct log_query){.tail_lines = 1}, "after\n");
    autofree char *two = answer(&(struct log_query){.tail_lines = 2});
    assert_int_equal(strlen(two), len + 1 + 6);
}

static void a_writer_that_was_killed_leaves_its_half_line(void **state)
{
    struct log_file *l;
    pid_t child = fork();

    (void)state;
    if (child == 0) {
        raws("2026-11-24T00:31:02Z stdout F whole\n2026-11-24T00:31:03Z stderr F ha");
        raise(SIGKILL);
    }
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_answer(&all, "whole\nha");
    assert_answer(&(struct log_query){.tail_lines = 1}, "ha");
    assert_answer(&(struct log_query){.tail_lines = 2}, "whole\nha");
    /* It is a line of its own when the next writer begins another file. */
    l = writer_new(1, 3);
    puts_to(l, 1, "next\n");
    log_file_close(l);
    assert_answer(&all, "whole\nha\nnext\n");
    assert_answer(&(struct log_query){.tail_lines = 2}, "ha\nnext\n");
}

static void a_file_that_is_missing_is_said_so(void **state)
{
    struct reading r = {0};

    (void)state;
    reading_begin(&r, &all);
    run_to_end(&r);
    assert_int_equal(r.end.code, -ENOENT);
    assert_string_equal(r.end.reason, "NotFound");
    assert_contains(r.end.msg, path);
    reading_done(&r);
}

/* ---- Parts of it ---- */

/* Lines of all lengths over many files; the ends of `out` are what is asked for. */
static void lines_write(struct buf *out, size_t *starts, int n)
{
    struct log_file *l = writer_new(50000, 60);

    for (int i = 0; i < n; i++) {
        size_t len =
            i % 9 == 4 ? 16384 * (size_t)(1 + i % 5) + (size_t)(i % 3) - 1 : (size_t)i % 70;
        autofree char *line = xcalloc(1, len + 2);

        memset(line, 'a' + i % 26, len);
        line[len] = '\n';
        starts[i] = out->len;
        buf_add(out, line, len + 1);
        put(l, 1 + i % 2, line, len + 1);
    }
    log_file_close(l);
}

static void the_last_lines_are_found_over_rotated_files(void **state)
{
    enum { N = 150 };
    autobuf wanted = BUF_INIT;
    size_t starts[N];

    (void)state;
    lines_write(&wanted, starts, N);
    assert_int_equal(faccessat(root_fd, "a.log.9", F_OK, 0), 0);
    for (int tail = 1; tail <= N + 1; tail++)
        assert_answer(&(struct log_query){.tail_lines = tail},
                      wanted.data + (tail > N ? 0 : starts[N - tail]));
    assert_answer(&(struct log_query){.tail_lines = 0}, "");
}

static void exactly_as_many_bytes_come_as_the_limit_says(void **state)
{
    autobuf wanted = BUF_INIT;
    size_t starts[60];

    (void)state;
    lines_write(&wanted, starts, 60);
    for (size_t limit = 1; limit < wanted.len + 1000; limit += limit < 500 ? 1 : 4567) {
        autofree char *got =
            answer(&(struct log_query){.tail_lines = -1, .limit_bytes = (int64_t)limit});

        assert_int_equal(strlen(got), limit < wanted.len ? limit : wanted.len);
        assert_memory_equal(got, wanted.data, strlen(got));
    }
}

static void the_limit_ends_one_that_is_followed(void **state)
{
    struct log_query q = {
        .tail_lines = -1, .limit_bytes = 40, .has_timestamps = true, .is_followed = true};
    struct log_file *l = writer_new(1 << 20, 5);
    struct reading r = {0};

    (void)state;
    reading_begin(&r, &q);
    puts_to(l, 1, "one\ntwo\n");
    run_to_end(&r);
    assert_int_equal(r.end.code, 0);
    assert_int_equal(r.got.len, 40);
    reading_done(&r);
    log_file_close(l);
}

static void lines_older_than_asked_for_are_left_out(void **state)
{
    int64_t since_ns = 1795480262000000000; /* 2026-11-24T00:31:02Z */

    (void)state;
    raws("2026-11-24T00:31:01.999999999Z stdout F old\n"
         "2026-11-24T01:31:01+01:00 stdout P old, ends later; \n"
         "2026-11-24T00:31:02Z stdout F end\n"
         "2026-11-24T00:31:02.000000000Z stdout F new\n"
         "2026-11-24T01:31:03+01:00 stdout F newer\n");
    assert_answer(&(struct log_query){.tail_lines = -1, .since_ns = since_ns}, "new\nnewer\n");
    assert_answer(&(struct log_query){.tail_lines = 1, .since_ns = since_ns}, "newer\n");
    assert_answer(&(struct log_query){.tail_lines = -1, .since_ns = since_ns + 5000000000}, "");
}

/* A gigabyte of rotated files is no reason to read it. */
static void rotated_files_older_than_asked_for_are_not_read(void **state)
{
    struct timespec old[2] = {{.tv_sec = 1000000000}, {.tv_sec = 1000000000}};
    autofd fd = -EBADF;
    uint64_t before_ns;

    (void)state;
    raws("2001-09-09T01:46:40Z stdout F old\n");
    assert_int_equal(renameat(root_fd, "a.log", root_fd, "a.log.1"), 0);
    fd = openat(root_fd, "a.log.1", O_WRONLY | O_CLOEXEC);
    assert_int_equal(ftruncate(fd, (off_t)64 << 30), 0);
    assert_int_equal(futimens(fd, old), 0);
    raws("2026-11-24T00:31:02Z stdout F new\n");
    before_ns = clock_monotonic_ns();
    assert_answer(&(struct log_query){.tail_lines = -1, .since_ns = 1795480262000000000}, "new\n");
    assert_true(clock_monotonic_ns() - before_ns < 5000000000);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(both_streams_come_in_the_order_of_writing),
        TEST(rotated_files_come_first_the_oldest_before_the_others),
        TEST(bytes_pass_unchanged_in_lines_of_a_megabyte),
        TEST(each_line_has_one_time_when_asked),
        TEST(a_damaged_record_is_delivered_as_it_is),
        TEST(a_damaged_record_may_be_longer_than_what_is_read_at_once),
        TEST(a_writer_that_was_killed_leaves_its_half_line),
        TEST(a_file_that_is_missing_is_said_so),
        TEST(the_last_lines_are_found_over_rotated_files),
        TEST(exactly_as_many_bytes_come_as_the_limit_says),
        TEST(the_limit_ends_one_that_is_followed),
        TEST(lines_older_than_asked_for_are_left_out),
        TEST(rotated_files_older_than_asked_for_are_not_read),
    };
    return cmocka_run_group_tests_name("logs", tests, NULL, NULL);
}
