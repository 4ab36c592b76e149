/* SPDX-License-Identifier: Apache-2.0 */
/* Loggers: containerd's binary://. They are scripts. */
#include "stdio_place.h"

#include <poll.h>

struct logger_place {
    struct place p;
    char *script, *uri;
    struct stdio_options o;
};

static void setup(struct logger_place *g, const char *script)
{
    struct err e = ERR_INIT;
    place_init(&g->p);
    g->script = path_join(g->p.dir, "logger");
    g->uri = xasprintf("binary://%s?--dir=%s&x", g->script, g->p.dir);
    autofree char *text = xasprintf("#!/bin/sh\ncd \"$2\"\n%s\n", script);
    assert_ok(file_write(g->script, text, strlen(text), 0755, 0, &e));
    g->o = place_options(&g->p);
    g->o.stdin_uri = "";
    g->o.stdout_uri = g->o.stderr_uri = g->uri;
}

static void teardown(struct logger_place *g)
{
    free(g->script);
    free(g->uri);
    place_done(&g->p);
}

static void assert_file(const struct logger_place *g, const char *name, const char *content)
{
    struct err e = ERR_INIT;
    autobuf got = BUF_INIT;
    autofree char *path = path_join(g->p.dir, name);
    assert_ok(file_read(path, 1000, &got, &e));
    assert_string_equal(buf_str(&got), content);
}

/* Ready, then both outputs into files, then a word that it is over. */
#define COLLECT "exec 5>&-; cat <&3 >out.log; cat <&4 >err.log; echo over >over"

static void a_logger_has_both_outputs_and_time_to_finish(void **state)
{
    (void)state;
    struct logger_place g;
    struct process c;
    setup(&g, "env | sort | grep -v PWD >env; echo \"$@\" >args;" COLLECT);
    g.o.uid = 65534;
    place_open(&g.p, &g.o);
    process_start(&c, &g.p, run_shell, "echo hello; echo woe >&2");
    process_wait_ok(&c);
    place_end(&g.p);
    assert_file(&g, "out.log", "hello\n");
    assert_file(&g, "err.log", "woe\n");
    assert_file(&g, "over", "over\n");
    assert_file(&g, "env", "CONTAINER_ID=c1\nCONTAINER_NAMESPACE=k8s.io\n");
    autofree char *args = xasprintf("--dir %s x \n", g.p.dir);
    assert_file(&g, "args", args);
    teardown(&g);
}

static void a_logger_for_stdout_alone_has_stderr_too(void **state)
{
    (void)state;
    struct logger_place g;
    struct process c;
    setup(&g, COLLECT);
    g.o.stderr_uri = "";
    place_open(&g.p, &g.o);
    process_start(&c, &g.p, run_shell, "echo woe >&2");
    process_wait_ok(&c);
    place_end(&g.p);
    assert_file(&g, "err.log", "woe\n");
    teardown(&g);
}

static void stderr_may_go_elsewhere(void **state)
{
    (void)state;
    struct logger_place g;
    struct process c;
    struct client err;
    setup(&g, COLLECT);
    g.o.stderr_uri = g.p.err;
    place_open(&g.p, &g.o);
    client_open(&err, &g.p, g.p.err);
    process_start(&c, &g.p, run_shell, "echo hello; echo woe >&2");
    process_wait_ok(&c);
    place_end(&g.p);
    client_wait(&err, NULL);
    assert_string_equal(buf_str(&err.got), "woe\n");
    assert_file(&g, "out.log", "hello\n");
    assert_file(&g, "err.log", "");
    client_close(&err);
    teardown(&g);
}

static void a_byte_says_ready_as_well(void **state)
{
    (void)state;
    struct logger_place g;
    setup(&g, "echo >&5; cat <&3 >out.log");
    place_open(&g.p, &g.o);
    place_end(&g.p);
    assert_file(&g, "out.log", "");
    teardown(&g);
}

/* As a daemon does. */
static void a_child_of_a_logger_may_do_its_work(void **state)
{
    (void)state;
    struct logger_place g;
    struct process c;
    struct client done;
    setup(&g, "(cat <&3 >out.log; echo over >out) 5>&- & exit 0");
    place_open(&g.p, &g.o);
    client_open(&done, &g.p, g.p.out);
    process_start(&c, &g.p, run_shell, "echo hello");
    process_wait_ok(&c);
    place_end(&g.p);
    client_wait(&done, "over\n");
    assert_file(&g, "out.log", "hello\n");
    client_close(&done);
    teardown(&g);
}

static void a_logger_that_is_missing_cannot_be_started(void **state)
{
    (void)state;
    struct logger_place g;
    setup(&g, "");
    assert_int_equal(unlink(g.script), 0);
    place_fails(&g.p, &g.o, "StartFailed", g.script);
    teardown(&g);
}

static void a_logger_that_ends_at_once_fails_the_start(void **state)
{
    (void)state;
    struct logger_place g;
    setup(&g, "exit 3");
    place_fails(&g.p, &g.o, "StartFailed", "logger' ended with status 3 before it was ready");
    teardown(&g);
    setup(&g, "kill -9 $$");
    place_fails(&g.p, &g.o, "StartFailed", "logger' ended by signal 9 before it was ready");
    teardown(&g);
    /* Its end is seen before the pipe's, which a child of it keeps. */
    setup(&g, "sleep 0.1 3<&- 4<&- & exit 4");
    place_fails(&g.p, &g.o, "StartFailed", "ended with status 4");
    teardown(&g);
}

/* As for an exec, which stays until it is deleted. */
static void streams_whose_logger_failed_can_be_ended(void **state)
{
    (void)state;
    struct logger_place g;
    setup(&g, "exit 3");
    place_try(&g.p, &g.o);
    assert_string_equal(g.p.failure.reason, "StartFailed");
    place_end(&g.p);
    teardown(&g);
}

static int pid_of(const struct logger_place *g)
{
    struct err e = ERR_INIT;
    autobuf got = BUF_INIT;
    autofree char *path = path_join(g->p.dir, "pid");
    assert_ok(file_read(path, 100, &got, &e));
    return (int)strtol(buf_str(&got), NULL, 10);
}

/* Readable once it has ended. */
static void assert_ends(int pidfd)
{
    struct pollfd f = {.fd = pidfd, .events = POLLIN};
    assert_true(pidfd >= 0);
    assert_int_equal(poll(&f, 1, 20000), 1);
}

static void a_logger_that_is_never_ready_is_killed(void **state)
{
    (void)state;
    struct logger_place g;
    setup(&g, "echo $$ >pid.new; mv pid.new pid; exec sleep 1000");
    g.o.logger_ready_ms = 100;
    place_try(&g.p, &g.o);
    assert_string_equal(g.p.failure.reason, "StartFailed");
    assert_contains(g.p.failure.msg, "was not ready within 100 ms");
    autofree char *path = path_join(g.p.dir, "pid");
    while (access(path, F_OK) < 0)
        usleep(1000); /* on a busy machine it may not have come so far */
    autofd pidfd = pidfd_open(pid_of(&g), 0);
    stdio_free(take_ptr(g.p.s));
    assert_ends(pidfd);
    close(take_fd(&pidfd));
    teardown(&g);
}

static void a_logger_that_does_not_end_with_its_input_gets_sigterm(void **state)
{
    (void)state;
    struct logger_place g;
    setup(&g, "trap 'echo told >told; kill $!; exit' TERM; exec 5>&-; sleep 1000 & wait; wait");
    g.o.logger_quit_ms = 50;
    place_open(&g.p, &g.o);
    place_end(&g.p);
    assert_file(&g, "told", "told\n");
    teardown(&g);
}

static void a_logger_that_is_left_sees_the_end_of_its_input(void **state)
{
    (void)state;
    struct logger_place g;
    struct process c;
    setup(&g, "echo $$ >pid;" COLLECT);
    place_open(&g.p, &g.o);
    autofd pidfd = pidfd_open(pid_of(&g), 0);
    process_start(&c, &g.p, run_shell, "echo hello");
    process_wait_ok(&c);
    stdio_free(take_ptr(g.p.s));
    assert_ends(pidfd);
    assert_file(&g, "out.log", "hello\n");
    assert_file(&g, "over", "over\n");
    close(take_fd(&pidfd));
    teardown(&g);
}

static void the_death_of_a_logger_only_breaks_the_pipe(void **state)
{
    (void)state;
    struct logger_place g;
    struct process c;
    setup(&g, "exec 5>&-; read x <&3; echo \"$x\" >out.log");
    place_open(&g.p, &g.o);
    process_start(&c, &g.p, run_shell, "while echo y; do :; done");
    process_wait(&c);
    assert_true(WIFSIGNALED(c.status));
    assert_int_equal(WTERMSIG(c.status), SIGPIPE);
    place_end(&g.p);
    assert_file(&g, "out.log", "y\n");
    teardown(&g);
}

static void a_terminals_output_goes_to_a_logger(void **state)
{
    (void)state;
    struct logger_place g;
    struct process c;
    setup(&g, COLLECT);
    g.o.terminal = STDIO_OWN_TERMINAL;
    place_open(&g.p, &g.o);
    process_start(&c, &g.p, run_shell, "echo hello; echo woe >&2");
    process_wait_ok(&c);
    place_end(&g.p);
    assert_file(&g, "out.log", "hello\r\nwoe\r\n");
    assert_file(&g, "err.log", "");
    assert_file(&g, "over", "over\n");
    teardown(&g);
}

static void a_terminal_goes_on_when_its_logger_ends(void **state)
{
    (void)state;
    struct logger_place g;
    struct process c;
    setup(&g, "exec 5>&-; read x <&3");
    g.o.terminal = STDIO_OWN_TERMINAL;
    place_open(&g.p, &g.o);
    process_start(&c, &g.p, run_shell,
                  "i=0; while [ $i -lt 20000 ]; do echo 0123456789; i=$((i+1)); done");
    process_wait_ok(&c);
    place_end(&g.p);
    teardown(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_logger_has_both_outputs_and_time_to_finish),
        cmocka_unit_test(a_logger_for_stdout_alone_has_stderr_too),
        cmocka_unit_test(stderr_may_go_elsewhere),
        cmocka_unit_test(a_byte_says_ready_as_well),
        cmocka_unit_test(a_child_of_a_logger_may_do_its_work),
        cmocka_unit_test(a_logger_that_is_missing_cannot_be_started),
        cmocka_unit_test(a_logger_that_ends_at_once_fails_the_start),
        cmocka_unit_test(streams_whose_logger_failed_can_be_ended),
        cmocka_unit_test(a_logger_that_is_never_ready_is_killed),
        cmocka_unit_test(a_logger_that_does_not_end_with_its_input_gets_sigterm),
        cmocka_unit_test(a_logger_that_is_left_sees_the_end_of_its_input),
        cmocka_unit_test(the_death_of_a_logger_only_breaks_the_pipe),
        cmocka_unit_test(a_terminals_output_goes_to_a_logger),
        cmocka_unit_test(a_terminal_goes_on_when_its_logger_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
