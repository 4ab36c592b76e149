/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>

#include "base/fds.h"
#include "worker/http/line_writer.h"

enum { THREADS = 4, LINES = 500 };

static void *add_lines(void *w)
{
    autobuf line = BUF_INIT;

    buf_addstr(&line, "one line\n");
    for (int i = 0; i < LINES; i++)
        line_writer_add(w, &line);
    return NULL;
}

static void writes_every_line_of_every_thread(void **state)
{
    struct line_writer *w = NULL;
    pthread_t threads[THREADS];
    autobuf all = BUF_INIT;
    struct err e = ERR_INIT;
    int fds[2];

    (void)state;
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    assert_true(fcntl(fds[1], F_SETPIPE_SZ, 1 << 16) >= 0);
    assert_ok(line_writer_new(fds[1], 1 << 20, &w, &e));
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, add_lines, w), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(line_writer_lost(w), 0);
    line_writer_free(w);
    close(fds[1]);
    assert_ok(fd_read_all(fds[0], 1 << 20, &all, &e));
    assert_int_equal(all.len, THREADS * LINES * strlen("one line\n"));
    close(fds[0]);
}

/* Nobody reads: the pipe and the writer's own room fill, and the rest is lost without a wait. */
static void drops_what_nobody_takes(void **state)
{
    struct line_writer *w = NULL;
    autobuf line = BUF_INIT, all = BUF_INIT;
    struct err e = ERR_INIT;
    int fds[2];

    (void)state;
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    assert_ok(line_writer_new(fds[1], 4096, &w, &e));
    for (int i = 0; i < 1023; i++)
        buf_addc(&line, 'x');
    buf_addc(&line, '\n');
    for (int i = 0; i < 1000; i++)
        line_writer_add(w, &line);
    assert_true(line_writer_lost(w) >= 1000 - 64 - 4 - 4);
    /* The reader comes back: what was kept arrives whole. */
    for (size_t got = 0; got < 64u << 10;) {
        char buf[65536];
        ssize_t n = read(fds[0], buf, sizeof(buf));

        assert_true(n > 0);
        buf_add(&all, buf, (size_t)n);
        got += (size_t)n;
        if (all.len >= 4096)
            break;
    }
    assert_int_equal(memcmp(all.data, line.data, line.len), 0);
    close(fds[0]);
    line_writer_free(w);
    close(fds[1]);
}

static void survives_a_reader_that_is_gone(void **state)
{
    struct line_writer *w = NULL;
    autobuf line = BUF_INIT;
    struct err e = ERR_INIT;
    int fds[2];

    (void)state;
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    close(fds[0]);
    assert_ok(line_writer_new(fds[1], 4096, &w, &e));
    buf_addstr(&line, "nobody\n");
    line_writer_add(w, &line);
    line_writer_free(w);
    close(fds[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_every_line_of_every_thread),
        cmocka_unit_test(drops_what_nobody_takes),
        cmocka_unit_test(survives_a_reader_that_is_gone),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
