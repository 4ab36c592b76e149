/* SPDX-License-Identifier: Apache-2.0 */
/* Standard streams without a terminal: FIFOs and files that the process has itself. */
#include "stdio_place.h"

static void without_names_the_process_has_nothing_to_read_and_may_write(void **state)
{
    (void)state;
    struct place p;
    struct process c;
    struct stdio_options o;
    place_init(&p);
    o = place_options(&p);
    o.stdin_uri = o.stderr_uri = "";
    o.stdout_uri = NULL;
    place_open(&p, &o);
    process_start(&c, &p, run_shell, "[ -z \"$(cat)\" ] && echo a && echo b >&2");
    process_wait_ok(&c);
    place_end(&p);
    place_done(&p);
}

static void the_process_has_the_fifos_itself(void **state)
{
    (void)state;
    struct place p;
    struct process c;
    struct client out, err;
    struct stdio_options o;
    autofree char *uri = NULL;
    place_init(&p);
    o = place_options(&p);
    o.stdout_uri = uri = xasprintf("fifo://%s", p.out);
    place_open(&p, &o);
    client_open(&out, &p, p.out);
    client_open(&err, &p, p.err);
    process_start(&c, &p, run_shell, "read x; echo out $x; echo err >&2");
    client_write(p.in, "hello\n");
    process_wait_ok(&c);
    place_end(&p);
    client_wait(&out, NULL);
    client_wait(&err, NULL);
    assert_string_equal(buf_str(&out.got), "out hello\n");
    assert_string_equal(buf_str(&err.got), "err\n");
    client_close(&out);
    client_close(&err);
    place_done(&p);
}

/* A process that is quicker than its client would have written into FIFOs that nobody has open. */
static void a_start_waits_for_who_reads(void **state)
{
    (void)state;
    struct place p;
    struct process c;
    struct client out, err;
    struct stdio_options o;
    place_init(&p);
    o = place_options(&p);
    o.reader_ms = 60000;
    p.s = stdio_open(p.l, &o, place_opened, &p);
    client_open(&err, &p, p.err);
    client_open(&out, &p, p.out);
    loop_run(p.l);
    assert_int_equal(p.opens, 1);
    assert_int_equal(p.failure.code, 0);
    process_start(&c, &p, run_shell, "echo out; echo err >&2");
    process_wait_ok(&c);
    place_end(&p);
    client_wait(&out, NULL);
    client_wait(&err, NULL);
    assert_string_equal(buf_str(&out.got), "out\n");
    assert_string_equal(buf_str(&err.got), "err\n");
    client_close(&out);
    client_close(&err);
    place_done(&p);
}

static void a_start_that_waits_for_who_reads_may_be_given_up(void **state)
{
    (void)state;
    struct place p;
    struct stdio_options o;
    place_init(&p);
    o = place_options(&p);
    o.reader_ms = 60000;
    stdio_free(stdio_open(p.l, &o, place_opened, &p));
    loop_run(p.l); /* until nothing is under way */
    assert_int_equal(p.opens, 0);
    place_done(&p);
}

static void each_descriptor_blocks_and_is_shared_with_nobody(void **state)
{
    (void)state;
    struct place p;
    struct stdio_options o;
    int fds[3];
    place_init(&p);
    o = place_options(&p);
    o.stderr_uri = p.out; /* the same FIFO twice */
    place_open(&p, &o);
    stdio_fds(p.s, fds);
    for (int i = 0; i < 3; i++) {
        int flags = fcntl(fds[i], F_GETFL);
        assert_int_equal(flags & O_NONBLOCK, 0);
        assert_int_equal(flags & O_ACCMODE, i ? O_WRONLY : O_RDONLY);
        assert_int_equal(fcntl(fds[i], F_GETFD), FD_CLOEXEC);
        assert_int_equal(fcntl(fds[i], F_SETFL, flags | O_NONBLOCK), 0);
    }
    place_end(&p);
    place_done(&p);
}

static void a_reader_that_comes_late_gets_all(void **state)
{
    (void)state;
    struct place p;
    struct process c;
    struct client out;
    struct stdio_options o;
    place_init(&p);
    o = place_options(&p);
    place_open(&p, &o);
    process_start(&c, &p, run_shell, "echo early");
    process_wait_ok(&c);
    client_open(&out, &p, p.out);
    place_end(&p);
    client_wait(&out, NULL);
    assert_string_equal(buf_str(&out.got), "early\n");
    client_close(&out);
    place_done(&p);
}

static void a_reader_that_goes_away_and_comes_back_does_not_end_the_process(void **state)
{
    (void)state;
    struct place p;
    struct process c;
    struct client out;
    struct stdio_options o;
    place_init(&p);
    o = place_options(&p);
    place_open(&p, &o);
    client_open(&out, &p, p.out);
    process_start(&c, &p, run_shell, "echo one; read x; echo two; read x; echo three");
    client_wait(&out, "one\n");
    client_close(&out);
    client_write(p.in, "\n");
    client_write(p.in, "\n");
    process_wait_ok(&c);
    client_open(&out, &p, p.out);
    place_end(&p);
    client_wait(&out, NULL);
    assert_string_equal(buf_str(&out.got), "two\nthree\n");
    client_close(&out);
    place_done(&p);
}

static void input_ends_with_close_io_and_not_with_the_clients_end(void **state)
{
    (void)state;
    struct place p;
    struct process c;
    struct client out;
    struct stdio_options o;
    place_init(&p);
    o = place_options(&p);
    place_open(&p, &o);
    client_open(&out, &p, p.out);
    process_start(&c, &p, run_shell, "while read x; do echo got $x; done; echo end");
    client_write(p.in, "a\n");
    client_wait(&out, "got a\n");
    client_write(p.in, "b\n");
    client_wait(&out, "got b\n");
    autofd writer = open(p.in, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    stdio_close_stdin(p.s);
    assert_int_equal(write(writer, "c\n", 2), 2);
    client_wait(&out, "got c\n");
    close(take_fd(&writer));
    client_wait(&out, "end\n");
    process_wait_ok(&c);
    place_end(&p);
    client_close(&out);
    place_done(&p);
}

static void a_client_that_writes_sees_the_end_of_the_process(void **state)
{
    (void)state;
    struct place p;
    struct process c;
    struct stdio_options o;
    place_init(&p);
    o = place_options(&p);
    place_open(&p, &o);
    autofd writer = open(p.in, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    process_start(&c, &p, run_shell, ":");
    process_wait_ok(&c);
    place_end(&p);
    assert_int_equal(write(writer, "x", 1), -1);
    assert_int_equal(errno, EPIPE);
    close(take_fd(&writer));
    place_done(&p);
}

static void much_goes_both_ways_to_a_slow_reader(void **state)
{
    (void)state;
    struct place p;
    struct process c, writer, reader;
    struct stdio_options o;
    place_init(&p);
    o = place_options(&p);
    place_open(&p, &o);
    client_start(&writer, &p, much_write, p.in);
    client_start(&reader, &p, much_read, p.out);
    process_start(&c, &p, run_shell, "exec cat");
    process_wait_ok(&writer);
    stdio_close_stdin(p.s);
    process_wait_ok(&c);
    place_end(&p);
    process_wait_ok(&reader);
    place_done(&p);
}

static void copied_outputs_go_to_a_slow_reader_and_end_with_the_process(void **state)
{
    (void)state;
    struct place p;
    struct process c, writer, reader;
    struct client err;
    struct stdio_options o;
    place_init(&p);
    o = place_options(&p);
    o.is_copied = true;
    place_open(&p, &o);
    client_open(&err, &p, p.err);
    client_start(&writer, &p, much_write, p.in);
    client_start(&reader, &p, much_read, p.out);
    process_start(&c, &p, run_shell, "cat; echo all >&2");
    process_wait_ok(&writer);
    stdio_close_stdin(p.s);
    process_wait_ok(&c);
    place_end(&p);
    process_wait_ok(&reader);
    client_wait(&err, NULL);
    assert_string_equal(buf_str(&err.got), "all\n");
    client_close(&err);
    place_done(&p);
}

static void copied_outputs_end_on_delete_though_another_holds_them(void **state)
{
    (void)state;
    struct place p;
    struct process c;
    struct client out;
    struct stdio_options o;
    place_init(&p);
    o = place_options(&p);
    o.is_copied = true;
    o.drain_ms = 1;
    place_open(&p, &o);
    client_open(&out, &p, p.out);
    process_start(&c, &p, run_shell, "sleep 1000 & echo $!");
    process_wait_ok(&c);
    stdio_end(p.s, place_ended, &p);
    stdio_hurry(p.s);
    client_wait(&out, NULL);
    pid_t other = (pid_t)strtol(buf_str(&out.got), NULL, 10);
    assert_true(other > 1);
    assert_int_equal(kill(other, SIGKILL), 0);
    while (!p.ends)
        loop_run(p.l);
    client_close(&out);
    place_done(&p);
}

static void both_outputs_go_to_the_end_of_one_file(void **state)
{
    (void)state;
    struct place p;
    struct process c;
    struct stdio_options o;
    struct stat st;
    struct err e = ERR_INIT;
    autobuf got = BUF_INIT;
    place_init(&p);
    autofree char *path = path_join(p.dir, "a/b/log");
    autofree char *uri = xasprintf("file://%s/a/b/l%%6Fg", p.dir);
    o = place_options(&p);
    o.stdin_uri = "";
    o.stdout_uri = o.stderr_uri = uri;
    umask(022);
    for (int i = 0; i < 2; i++) {
        p.ends = 0;
        place_open(&p, &o);
        process_start(&c, &p, run_shell, "echo 1; echo 2 >&2; echo 3; echo 4 >&2");
        process_wait_ok(&c);
        place_end(&p);
        stdio_free(take_ptr(p.s));
    }
    assert_ok(file_read(path, 100, &got, &e));
    assert_string_equal(buf_str(&got), "1\n2\n3\n4\n1\n2\n3\n4\n");
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0644);
    place_done(&p);
}

static void what_cannot_be_opened_is_named(void **state)
{
    (void)state;
    struct place p;
    struct stdio_options o;
    place_init(&p);
    autofree char *missing = path_join(p.dir, "missing");
    autofree char *below = xasprintf("file://%s/x", p.out);
    autofree char *fifo = xasprintf("file://%s", p.out);
    const struct {
        const char *in, *out, *err, *part;
    } cases[] = {
        {missing,     "",                "",                        "missing' for stdin: No such file"             },
        {"",          missing,           "",                        "missing' for stdout: No such file"            },
        {"",          p.out,             missing,                   "missing' for stderr: No such file"            },
        {"",          "/dev/null",       "",                        "'/dev/null' for stdout is no FIFO"            },
        {"",          p.dir,             "",                        "for stdout: Is a directory"                   },
        {"",          below,             "",                        "cannot make the folder for stdout"            },
        {"",          fifo,              "",                        "for stdout"                                   },
        {"",          "log.txt",         "",                        "stdout: 'log.txt'"                            },
        {"",          "",                "streaming+unix:///run/x", "stderr: 'streaming+unix:///run/x' asks for"   },
        {"file:///x", "",                "",                        "stdin can only be a FIFO, and not 'file:///x'"},
        {"",          p.out,             "binary:///bin/true",      "has to be stdout's too"                       },
        {"",          "binary:///bin/a", "binary:///bin/b",         "has to be stdout's too"                       },
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        o = place_options(&p);
        o.stdin_uri = cases[i].in;
        o.stdout_uri = cases[i].out;
        o.stderr_uri = cases[i].err;
        place_fails(&p, &o, "BadStdio", cases[i].part);
    }
    place_done(&p);
}

/* The answer is not about whoever runs this: the process is nobody. */
static int reopen_as_nobody(const char *arg)
{
    (void)arg;
    if (setgid(65534) < 0 || setuid(65534) < 0)
        return 2;
    int out = open("/proc/self/fd/1", O_WRONLY), err = open("/proc/self/fd/2", O_WRONLY);
    return out < 0 || err < 0 || write(out, "again\n", 6) != 6;
}

static void a_process_that_is_not_root_may_open_its_outputs_again(void **state)
{
    (void)state;
    struct place p;
    struct process c;
    struct client out;
    struct stdio_options o;
    if (geteuid() != 0)
        skip();
    place_init(&p);
    o = place_options(&p);
    o.uid = 65534;
    place_open(&p, &o);
    client_open(&out, &p, p.out);
    process_start(&c, &p, reopen_as_nobody, NULL);
    process_wait_ok(&c);
    client_wait(&out, "again\n");
    place_end(&p);
    client_close(&out);
    place_done(&p);
}

static void a_stdio_that_is_freed_early_tells_nothing(void **state)
{
    (void)state;
    struct place p;
    struct stdio_options o;
    place_init(&p);
    o = place_options(&p);
    stdio_free(stdio_open(p.l, &o, place_opened, &p));
    place_open(&p, &o);
    stdio_end(p.s, place_ended, &p);
    stdio_free(take_ptr(p.s));
    loop_run(p.l);
    assert_int_equal(p.opens, 1);
    assert_int_equal(p.ends, 0);
    place_done(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_names_the_process_has_nothing_to_read_and_may_write),
        cmocka_unit_test(the_process_has_the_fifos_itself),
        cmocka_unit_test(a_start_waits_for_who_reads),
        cmocka_unit_test(a_start_that_waits_for_who_reads_may_be_given_up),
        cmocka_unit_test(each_descriptor_blocks_and_is_shared_with_nobody),
        cmocka_unit_test(a_reader_that_comes_late_gets_all),
        cmocka_unit_test(a_reader_that_goes_away_and_comes_back_does_not_end_the_process),
        cmocka_unit_test(input_ends_with_close_io_and_not_with_the_clients_end),
        cmocka_unit_test(a_client_that_writes_sees_the_end_of_the_process),
        cmocka_unit_test(much_goes_both_ways_to_a_slow_reader),
        cmocka_unit_test(copied_outputs_go_to_a_slow_reader_and_end_with_the_process),
        cmocka_unit_test(copied_outputs_end_on_delete_though_another_holds_them),
        cmocka_unit_test(both_outputs_go_to_the_end_of_one_file),
        cmocka_unit_test(what_cannot_be_opened_is_named),
        cmocka_unit_test(a_process_that_is_not_root_may_open_its_outputs_again),
        cmocka_unit_test(a_stdio_that_is_freed_early_tells_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
