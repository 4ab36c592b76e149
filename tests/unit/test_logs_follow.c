/* SPDX-License-Identifier: Apache-2.0 */
/* Logs that are read while the worker's own writer writes, rotates, truncates and removes them. */
#include "log_reading.h"

#include <pthread.h>

/* ---- Followed ---- */

static const struct log_query follow = {.tail_lines = -1, .is_followed = true};

static void what_is_written_later_comes_when_it_is_followed(void **state)
{
    struct log_file *l = writer_new(1 << 20, 5);
    struct reading r = {0};

    (void)state;
    puts_to(l, 1, "one\n");
    reading_begin(&r, &follow);
    run_until(&r, "one\n");
    puts_to(l, 2, "two\n");
    run_until(&r, "one\ntwo\n");
    puts_to(l, 1, "three\nfo");
    run_until(&r, "one\ntwo\nthree\n");
    log_file_close(l);
    log_reader_end(r.reader);
    run_to_end(&r);
    assert_string_equal(buf_str(&r.got), "one\ntwo\nthree\nfo\n");
    assert_int_equal(r.end.code, 0);
    reading_done(&r);
}

static void only_new_lines_come_after_a_tail_of_0(void **state)
{
    struct log_query q = {.tail_lines = 0, .is_followed = true};
    struct log_file *l = writer_new(1 << 20, 5);
    struct reading r = {0};

    (void)state;
    puts_to(l, 1, "old\n");
    reading_begin(&r, &q);
    /* Nothing tells when it has begun. */
    for (int i = 0; !r.got.len; i++) {
        autofree char *line = xasprintf("new %d\n", i), *others = NULL;

        puts_to(l, 1, line);
        others = answer(&all);
        assert_contains(others, line);
    }
    assert_memory_equal(r.got.data, "new ", 4);
    reading_done(&r);
    log_file_close(l);
}

static void a_line_that_is_being_written_waits_for_its_end(void **state)
{
    struct reading r = {0};

    (void)state;
    raws("2026-11-24T00:31:02Z stdout F one\n2026-11-24T00:31:03Z stdout F tw");
    reading_begin(&r, &follow);
    run_until(&r, "one\n");
    raws("o\n");
    run_until(&r, "one\ntwo\n");
    reading_done(&r);
}

static void a_file_and_its_folders_may_come_later(void **state)
{
    struct reading r = {0};
    autofree char *folder = path_join(root, "x/y/z");
    char *outer = path;
    struct err e = ERR_INIT;

    (void)state;
    path = path_join(folder, "a.log");
    reading_begin(&r, &follow);
    assert_ok(path_mkdir_p(folder, 0700, &e));
    close(root_fd);
    root_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct log_file *l = writer_new(1 << 20, 5);
    puts_to(l, 1, "one\n");
    run_until(&r, "one\n");
    puts_to(l, 1, "two\n");
    run_until(&r, "one\ntwo\n");
    log_file_close(l);
    reading_done(&r);
    free(path);
    path = outer;
}

static void a_log_that_never_came_ends_with_its_container(void **state)
{
    struct reading r = {0};

    (void)state;
    reading_begin(&r, &follow);
    log_reader_end(r.reader);
    run_to_end(&r);
    assert_int_equal(r.end.code, 0);
    assert_int_equal(r.datas, 0);
    reading_done(&r);
}

static void a_file_that_is_cut_is_read_from_its_begin(void **state)
{
    struct reading r = {0};

    (void)state;
    raws("2026-11-24T00:31:02Z stdout F one, which is long\n");
    reading_begin(&r, &follow);
    run_until(&r, "one, which is long\n");
    assert_int_equal(truncate(path, 0), 0);
    raws("2026-11-24T00:31:02Z stdout F two\n");
    run_until(&r, "one, which is long\ntwo\n");
    reading_done(&r);
}

/* As the writer does it when the disk is full in the middle of a line. */
static void half_a_line_that_is_taken_back_leaves_no_trace(void **state)
{
    struct reading r = {0};
    struct stat st;

    (void)state;
    raws("2026-11-24T00:31:02Z stdout F one\n");
    assert_int_equal(stat(path, &st), 0);
    raws("2026-11-24T00:31:02Z stdout F half a li");
    reading_begin(&r, &follow);
    run_until(&r, "one\n");
    assert_int_equal(truncate(path, st.st_size), 0);
    raws("2026-11-24T00:31:02Z stdout F two, which is longer than the half\n");
    run_until(&r, "one\ntwo, which is longer than the half\n");
    reading_done(&r);
}

static void write_next(struct reading *r)
{
    for (int i = 0; i < 3 && r->n < 3000; i++, r->n++) {
        autofree char *line = xasprintf("line %d\n", r->n);
        puts_to(r->writer, 1 + r->n % 2, line);
    }
}

static void every_line_comes_while_the_files_are_rotated(void **state)
{
    autobuf wanted = BUF_INIT;
    struct reading r = {.writer = writer_new(100, 5), .at_data = write_next};

    (void)state;
    for (int i = 0; i < 3000; i++)
        buf_addf(&wanted, "line %d\n", i);
    reading_begin(&r, &follow);
    write_next(&r);
    run_until(&r, buf_str(&wanted));
    assert_true(r.datas >= 3000 / 9);
    reading_done(&r);
    log_file_close(r.writer);
}

struct writing {
    struct log_file *file;
    int lines;
};

static void *write_all(void *ctx)
{
    struct writing *w = ctx;

    for (int i = 0; i < w->lines; i++) {
        autofree char *line = xasprintf("%d of %d\n", i, w->lines);
        struct engine_stream s = log_file_stream(w->file, 1 + i % 2);

        s.transfer(s.ctx, line, strlen(line));
    }
    return NULL;
}

/* The writer does not wait for the reader, but the files hold all. */
static void a_quick_writer_loses_nothing_that_is_kept(void **state)
{
    (void)state;
    for (int round = 0; round < 20; round++) {
        struct writing w = {.file = writer_new(4096, 60), .lines = 3000};
        struct reading r = {0};
        autobuf wanted = BUF_INIT;
        pthread_t thread;

        for (int i = 0; i < w.lines; i++)
            buf_addf(&wanted, "%d of %d\n", i, w.lines);
        reading_begin(&r, &follow);
        pthread_create(&thread, NULL, write_all, &w);
        run_until(&r, buf_str(&wanted));
        pthread_join(thread, NULL);
        reading_done(&r);
        log_file_close(w.file);
        for (int age = 0; age < 60; age++) {
            autofree char *name = age ? xasprintf("a.log.%d", age) : xstrdup("a.log");
            unlinkat(root_fd, name, 0);
        }
    }
}

/* One that is quicker than its reader loses lines, but no line comes twice, late or broken. */
static void what_was_deleted_unread_is_missing_and_nothing_else(void **state)
{
    struct writing w = {.file = writer_new(500, 2), .lines = 30000};
    struct reading r = {0};
    pthread_t thread;
    int last = -1, i, of, chars;

    (void)state;
    reading_begin(&r, &follow);
    pthread_create(&thread, NULL, write_all, &w);
    while (!strstr(buf_str(&r.got), "29999 of")) {
        r.wanted = r.got.len + 1;
        run(&r);
    }
    pthread_join(thread, NULL);
    for (const char *at = r.got.data; *at; at += chars) {
        chars = 0;
        assert_int_equal(sscanf(at, "%d of %d%*[\n]%n", &i, &of, &chars), 2);
        assert_true(chars && i > last && of == 30000);
        last = i;
    }
    reading_done(&r);
    log_file_close(w.file);
}

/* A query that is not followed ends, also with a container that never stops writing. */
static void a_query_ends_with_what_was_there_at_its_begin(void **state)
{
    struct log_file *l = writer_new(1 << 20, 5);
    struct reading r = {.writer = l, .at_data = write_next};

    (void)state;
    for (int i = 0; i < 20000; i++)
        puts_to(l, 1, "0123456789\n");
    reading_begin(&r, &all);
    run_to_end(&r);
    assert_true(r.datas > 1);
    assert_int_equal(r.got.len, 20000 * 11);
    reading_done(&r);
    log_file_close(l);
}

static void a_log_whose_folder_is_made_anew_goes_on(void **state)
{
    struct reading r = {0};

    (void)state;
    raws("2026-11-24T00:31:02Z stdout F one\n");
    reading_begin(&r, &follow);
    run_until(&r, "one\n");
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(root), 0);
    assert_int_equal(mkdir(root, 0700), 0);
    close(root_fd);
    root_fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    raws("2026-11-24T00:31:02Z stdout F two\n");
    run_until(&r, "one\ntwo\n");
    reading_done(&r);
}

/* A user has 128 inotify instances. */
static void hundreds_may_follow(void **state)
{
    enum { N = 300 };
    struct reading *r = xcalloc(N, sizeof *r);
    struct log_file *l = writer_new(1 << 20, 5);
    size_t done = 0;

    (void)state;
    for (int i = 0; i < N; i++) {
        r[i].wanted = 4;
        reading_begin(&r[i], &follow);
    }
    puts_to(l, 1, "one\n");
    while (done < N) {
        done = 0;
        for (int i = 0; i < N; i++)
            done += r[i].got.len == 4;
        if (done < N)
            run(&r[0]);
    }
    for (int i = 0; i < N; i++)
        reading_done(&r[i]);
    free(r);
    log_file_close(l);
}

/* ---- The caller's part ---- */

static void nothing_is_called_while_it_is_paused(void **state)
{
    struct log_file *l = writer_new(1 << 20, 5);
    struct reading r = {.pauses = true}, other = {0};

    (void)state;
    for (int i = 0; i < 20000; i++)
        puts_to(l, 1, "0123456789\n");
    reading_begin(&r, &all);
    for (int n = 1; r.got.len < 20000 * 11; n++) {
        run(&r);
        assert_int_equal(r.datas, n);
        /* Time passes. */
        reading_begin(&other, &all);
        run_to_end(&other);
        reading_done(&other);
        other = (struct reading){0};
        assert_int_equal(r.datas, n);
        assert_int_equal(r.ends, 0);
        log_reader_resume(r.reader);
        assert_int_equal(r.datas, n);
        assert_int_equal(r.ends, 0);
    }
    run_to_end(&r);
    assert_true(r.datas > 2);
    reading_done(&r);
    log_file_close(l);
}

static void the_reader_may_be_freed_at_any_moment(void **state)
{
    struct log_file *l = writer_new(1 << 20, 5);
    struct reading at_once = {0}, at_data = {.frees_at_data = true},
                   at_end = {.frees_at_end = true};
    struct reading resumed = {.pauses = true};

    (void)state;
    for (int i = 0; i < 20000; i++)
        puts_to(l, 1, "0123456789\n");
    log_file_close(l);
    reading_begin(&at_once, &follow);
    log_reader_free(take_ptr(at_once.reader));
    reading_begin(&at_data, &follow);
    reading_begin(&at_end, &all);
    run_to_end(&at_end);
    loop_run(loop);
    reading_begin(&resumed, &all);
    run(&resumed);
    log_reader_resume(resumed.reader);
    log_reader_free(take_ptr(resumed.reader));
    loop_run(loop);
    assert_int_equal(at_once.datas + at_once.ends, 0);
    assert_int_equal(at_data.datas, 1);
    assert_int_equal(at_data.ends, 0);
    assert_int_equal(resumed.datas, 1);
    assert_int_equal(resumed.ends, 0);
    log_reader_free(NULL);
    buf_done(&at_data.got);
    buf_done(&at_end.got);
    buf_done(&resumed.got);
}

static void what_is_no_file_is_no_log(void **state)
{
    struct reading r = {0};

    (void)state;
    assert_int_equal(symlinkat("/etc/passwd", root_fd, "a.log"), 0);
    reading_begin(&r, &all);
    run_to_end(&r);
    assert_string_equal(r.end.reason, "NotFound");
    reading_done(&r);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_written_later_comes_when_it_is_followed),
        TEST(only_new_lines_come_after_a_tail_of_0),
        TEST(a_line_that_is_being_written_waits_for_its_end),
        TEST(a_file_and_its_folders_may_come_later),
        TEST(a_log_that_never_came_ends_with_its_container),
        TEST(a_file_that_is_cut_is_read_from_its_begin),
        TEST(half_a_line_that_is_taken_back_leaves_no_trace),
        TEST(every_line_comes_while_the_files_are_rotated),
        TEST(a_quick_writer_loses_nothing_that_is_kept),
        TEST(what_was_deleted_unread_is_missing_and_nothing_else),
        TEST(a_query_ends_with_what_was_there_at_its_begin),
        TEST(a_log_whose_folder_is_made_anew_goes_on),
        TEST(hundreds_may_follow),
        TEST(nothing_is_called_while_it_is_paused),
        TEST(the_reader_may_be_freed_at_any_moment),
        TEST(what_is_no_file_is_no_log),
    };
    return cmocka_run_group_tests_name("logs_follow", tests, NULL, NULL);
}
