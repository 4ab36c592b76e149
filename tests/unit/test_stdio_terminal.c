/* SPDX-License-Identifier: Apache-2.0 */
/* Standard streams with a terminal, and the copying between it and a client's FIFOs. */
#include "stdio_place.h"

#include <poll.h>
#include <pty.h>

static void setup(struct place *p, struct stdio_options *o)
{
    place_init(p);
    *o = place_options(p);
    o->terminal = STDIO_OWN_TERMINAL;
    o->stderr_uri = "";
}

static void open_all(struct place *p, struct stdio_options *o, struct client *out)
{
    place_open(p, o);
    client_open(out, p, p->out);
}

/* To the end of all: the process's, its output's, the client's. */
static void end_all(struct place *p, struct process *c, struct client *out)
{
    process_wait_ok(c);
    place_end(p);
    client_wait(out, NULL);
}

static void close_all(struct place *p, struct client *out)
{
    client_close(out);
    place_done(p);
}

static void a_process_has_a_terminal_of_the_size_asked_for(void **state)
{
    (void)state;
    struct place p;
    struct process c;
    struct client out;
    struct stdio_options o;
    setup(&p, &o);
    o.width = 132;
    o.height = 50;
    open_all(&p, &o, &out);
    process_start(&c, &p, run_shell,
                  "[ -t 0 ] && [ -t 1 ] && [ -t 2 ] && stty size && echo woe >&2 && : </dev/tty");
    end_all(&p, &c, &out);
    assert_string_equal(buf_str(&out.got), "50 132\r\nwoe\r\n");
    close_all(&p, &out);
}

static int run_resized(const char *arg)
{
    struct winsize w;
    sigset_t set;
    int number;
    (void)arg;
    sigemptyset(&set);
    sigaddset(&set, SIGWINCH);
    sigprocmask(SIG_BLOCK, &set, NULL);
    dprintf(1, "ready\n");
    if (sigwait(&set, &number) || ioctl(0, TIOCGWINSZ, &w) < 0)
        return 1;
    dprintf(1, "%ux%u\n", w.ws_col, w.ws_row);
    return 0;
}

static void a_new_size_is_told_to_the_process(void **state)
{
    (void)state;
    struct place p;
    struct process c;
    struct client out;
    struct stdio_options o;
    setup(&p, &o);
    open_all(&p, &o, &out);
    process_start(&c, &p, run_resized, NULL);
    client_wait(&out, "ready\r\n");
    stdio_resize(p.s, 100, 30);
    end_all(&p, &c, &out);
    assert_string_equal(buf_str(&out.got), "ready\r\n100x30\r\n");
    close_all(&p, &out);
}

static void input_outlives_its_clients_and_close_io(void **state)
{
    (void)state;
    struct place p;
    struct process c;
    struct client out;
    struct stdio_options o;
    setup(&p, &o);
    open_all(&p, &o, &out);
    process_start(&c, &p, run_shell, "stty -echo; echo go; while read x; do echo got $x; done");
    client_wait(&out, "go\r\n");
    client_write(p.in, "a\n");
    client_wait(&out, "got a\r\n");
    stdio_close_stdin(p.s);
    client_write(p.in, "b\n");
    client_wait(&out, "got b\r\n");
    client_write(p.in, "\4"); /* who types the end of input */
    end_all(&p, &c, &out);
    close_all(&p, &out);
}

static void an_interrupt_that_is_typed_is_a_signal(void **state)
{
    (void)state;
    struct place p;
    struct process c;
    struct client out;
    struct stdio_options o;
    setup(&p, &o);
    open_all(&p, &o, &out);
    process_start(&c, &p, run_shell, "echo go; exec cat");
    client_wait(&out, "go\r\n");
    client_write(p.in, "\3");
    process_wait(&c);
    assert_true(WIFSIGNALED(c.status));
    assert_int_equal(WTERMSIG(c.status), SIGINT);
    place_end(&p);
    close_all(&p, &out);
}

static int run_raw_cat(const char *arg)
{
    struct termios t;
    char data[65536];
    (void)arg;
    if (tcgetattr(0, &t) < 0)
        return 2;
    cfmakeraw(&t);
    if (tcsetattr(0, TCSANOW, &t) < 0 || write(1, "r", 1) != 1)
        return 2;
    for (size_t done = 0; done < MUCH_BYTES;) {
        struct err e = ERR_INIT;
        ssize_t n = read(0, data, sizeof data);
        if (n <= 0 || fd_write_all(1, data, (size_t)n, &e) < 0)
            return 1;
        done += (size_t)n;
    }
    return 0;
}

static void much_goes_both_ways_to_a_slow_reader(void **state)
{
    (void)state;
    struct place p;
    struct process c, writer, reader;
    struct client out;
    struct stdio_options o;
    setup(&p, &o);
    open_all(&p, &o, &out);
    process_start(&c, &p, run_raw_cat, NULL);
    client_wait(&out, "r");
    client_close(&out);
    client_start(&writer, &p, much_write, p.in);
    client_start(&reader, &p, much_read, p.out);
    process_wait_ok(&writer);
    process_wait_ok(&c);
    place_end(&p);
    process_wait_ok(&reader);
    place_done(&p);
}

static void what_is_written_before_the_end_is_not_lost(void **state)
{
    (void)state;
    for (int i = 0; i < 30; i++) {
        struct place p;
        struct process c;
        struct client out;
        struct stdio_options o;
        setup(&p, &o);
        open_all(&p, &o, &out);
        process_start(&c, &p, run_shell, "stty raw; head -c 3000 /dev/zero | tr '\\0' x; echo end");
        end_all(&p, &c, &out);
        assert_int_equal(out.got.len, 3004);
        assert_string_equal(buf_str(&out.got) + 3000, "end\n");
        close_all(&p, &out);
    }
}

#define MUCH "stty raw; head -c 80000 /dev/zero | tr '\\0' x"

/* No more goes into the FIFO of the output then; how much there is now. */
static size_t fifo_fill(const struct place *p)
{
    static const char page[4096];
    autofd fd = open(p->out, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    size_t len = 0;
    ssize_t n;
    assert_true(fd >= 0);
    while ((n = write(fd, page, sizeof page)) > 0)
        len += (size_t)n;
    assert_int_equal(errno, EAGAIN);
    return len;
}

static void on_end(void *ctx)
{
    struct place *p = ctx;
    p->ends++;
}

static void a_client_that_comes_after_the_process_gets_all(void **state)
{
    (void)state;
    struct place p;
    struct process c;
    struct client out;
    struct stdio_options o;
    setup(&p, &o);
    place_open(&p, &o);
    size_t len = fifo_fill(&p);
    process_start(&c, &p, run_shell, "echo last");
    process_wait_ok(&c);
    stdio_end(p.s, on_end, &p);
    client_open(&out, &p, p.out);
    client_wait(&out, NULL);
    assert_int_equal(out.got.len, len + 6);
    assert_string_equal(buf_str(&out.got) + len, "last\r\n");
    while (!p.ends)
        loop_run(p.l);
    close_all(&p, &out);
}

static void delete_does_not_wait_for_a_client_that_is_gone(void **state)
{
    (void)state;
    struct place p;
    struct process c;
    struct stdio_options o;
    setup(&p, &o);
    o.drain_ms = 50;
    place_open(&p, &o);
    fifo_fill(&p);
    process_start(&c, &p, run_shell, "echo last");
    process_wait_ok(&c);
    stdio_end(p.s, place_ended, &p);
    stdio_hurry(p.s);
    stdio_hurry(p.s);
    loop_run(p.l);
    assert_int_equal(p.ends, 1);
    place_done(&p);
}

static void delete_does_not_wait_for_others_that_have_the_terminal(void **state)
{
    (void)state;
    struct place p;
    struct process c;
    struct client out;
    struct stdio_options o;
    int fds[3];
    setup(&p, &o);
    o.drain_ms = 50;
    open_all(&p, &o, &out);
    stdio_fds(p.s, fds);
    autofd other = fcntl(fds[0], F_DUPFD_CLOEXEC, 3);
    process_start(&c, &p, run_shell, "echo end");
    process_wait_ok(&c);
    stdio_end(p.s, place_ended, &p);
    stdio_hurry(p.s);
    client_wait(&out, NULL);
    assert_string_equal(buf_str(&out.got), "end\r\n");
    while (!p.ends)
        loop_run(p.l);
    close(take_fd(&other));
    close_all(&p, &out);
}

static void a_terminal_that_is_closed_for_a_moment_goes_on(void **state)
{
    (void)state;
    struct place p;
    struct process c;
    struct client out;
    struct stdio_options o;
    setup(&p, &o);
    open_all(&p, &o, &out);
    process_start(&c, &p, run_shell,
                  "tty=$(tty); exec </dev/null >/dev/null 2>&1; sleep 0.1; echo again >$tty");
    end_all(&p, &c, &out);
    assert_string_equal(buf_str(&out.got), "again\r\n");
    close_all(&p, &out);
}

static void output_goes_to_a_file(void **state)
{
    (void)state;
    struct place p;
    struct process c;
    struct stdio_options o;
    struct err e = ERR_INIT;
    autobuf got = BUF_INIT;
    setup(&p, &o);
    autofree char *path = path_join(p.dir, "logs/log");
    autofree char *uri = xasprintf("file://%s", path);
    o.stdout_uri = o.stderr_uri = uri;
    place_open(&p, &o);
    process_start(&c, &p, run_shell, MUCH "; echo end");
    process_wait_ok(&c);
    place_end(&p);
    assert_ok(file_read(path, 100000, &got, &e));
    assert_int_equal(got.len, 80004);
    assert_string_equal(buf_str(&got) + 80000, "end\n");
    place_done(&p);
}

static void output_that_nobody_asked_for_is_dropped(void **state)
{
    (void)state;
    struct place p;
    struct process c;
    struct stdio_options o;
    setup(&p, &o);
    o.stdin_uri = o.stdout_uri = "";
    place_open(&p, &o);
    process_start(&c, &p, run_shell, MUCH);
    process_wait_ok(&c);
    place_end(&p);
    place_done(&p);
}

static void a_runtimes_terminal_is_copied_when_it_comes(void **state)
{
    (void)state;
    struct place p;
    struct process c;
    struct client out;
    struct stdio_options o;
    struct err e = ERR_INIT;
    int fds[3], master, slave;
    setup(&p, &o);
    o.terminal = STDIO_GIVEN_TERMINAL;
    open_all(&p, &o, &out);
    stdio_fds(p.s, fds);
    for (int i = 0; i < 3; i++)
        assert_int_equal(fds[i], -EBADF);
    client_write(p.in, "typed ahead\n");
    stdio_resize(p.s, 90, 20);
    assert_int_equal(openpty(&master, &slave, NULL, NULL, NULL), 0);
    process_start_fds(&c, &p, (int[]){slave, slave, slave}, run_shell,
                      "stty size; read x; echo got $x");
    close(slave);
    assert_ok(stdio_console_set(p.s, master, &e));
    end_all(&p, &c, &out);
    assert_contains(buf_str(&out.got), "20 90\r\n");
    assert_contains(buf_str(&out.got), "got typed ahead\r\n");
    close_all(&p, &out);
}

static void a_process_that_was_not_started_may_be_ended(void **state)
{
    (void)state;
    struct place p;
    struct stdio_options o;
    for (int is_given = 0; is_given < 2; is_given++) {
        setup(&p, &o);
        if (is_given)
            o.terminal = STDIO_GIVEN_TERMINAL;
        place_open(&p, &o);
        place_end(&p);
        place_done(&p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_process_has_a_terminal_of_the_size_asked_for),
        cmocka_unit_test(a_new_size_is_told_to_the_process),
        cmocka_unit_test(input_outlives_its_clients_and_close_io),
        cmocka_unit_test(an_interrupt_that_is_typed_is_a_signal),
        cmocka_unit_test(much_goes_both_ways_to_a_slow_reader),
        cmocka_unit_test(what_is_written_before_the_end_is_not_lost),
        cmocka_unit_test(a_client_that_comes_after_the_process_gets_all),
        cmocka_unit_test(delete_does_not_wait_for_a_client_that_is_gone),
        cmocka_unit_test(delete_does_not_wait_for_others_that_have_the_terminal),
        cmocka_unit_test(a_terminal_that_is_closed_for_a_moment_goes_on),
        cmocka_unit_test(output_goes_to_a_file),
        cmocka_unit_test(output_that_nobody_asked_for_is_dropped),
        cmocka_unit_test(a_runtimes_terminal_is_copied_when_it_comes),
        cmocka_unit_test(a_process_that_was_not_started_may_be_ended),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
