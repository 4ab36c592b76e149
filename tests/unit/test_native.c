/* SPDX-License-Identifier: Apache-2.0 */
/* A native container whose runtime is faulty: a script in its place. Real ones:
 * tests/integ/test_native_runtime.c. */
#include "native_world.h"

#include <fcntl.h>
#include <signal.h>

/* Notes each command's verb in the file `calls` and then does this, with the verb in $verb, the
 * folder of the test as working folder, and in $log and $pid the files that it was given. */
static void world_script(struct native_world *w, const char *script, uint64_t limit_ms)
{
    struct err e = ERR_INIT;
    world_open(w);
    autofree char *path = path_join(w->dir, "runtime");
    autofree char *text =
        xasprintf("#!/bin/sh\n"
                  "cd '%s'\n"
                  "log=$2 root=$6 verb=$7\n"
                  "for word; do case $last in --pid-file) pid=$word;; esac; last=$word; done\n"
                  "echo $verb >>calls\n"
                  "%s\n",
                  w->dir, script);
    assert_ok(file_write(path, text, strlen(text), 0755, 0, &e));
    world_new(w, path, limit_ms);
}

static const struct native_stdio no_io = {
    .fds = {-EBADF, -EBADF, -EBADF}
};

static char *calls_of(const struct native_world *w)
{
    struct err e = ERR_INIT;
    autobuf text = BUF_INIT;
    autofree char *path = path_join(w->dir, "calls");
    assert_ok(file_read(path, 65536, &text, &e));
    for (size_t i = 0; i < text.len; i++)
        if (text.data[i] == '\n')
            text.data[i] = ' ';
    return buf_take(&text);
}

#define assert_calls(w, text)                                                                      \
    do {                                                                                           \
        autofree char *calls_ = calls_of(w);                                                       \
        assert_string_equal(calls_, text);                                                         \
    } while (0)

static void a_runtime_that_is_missing_is_told(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    struct native_world w;
    struct native *n = NULL;
    world_open(&w);
    struct native_options o = {.loop = w.l, .runtime = "no-such-runtime"};
    assert_fails(native_new(&o, "box", w.bundle, &n, &e), -ENOENT, "RuntimeMissing");
    assert_contains(e.msg, "no-such-runtime");
    o.runtime = "/nowhere/runc";
    assert_fails(native_new(&o, "box", w.bundle, &n, &e), -ENOENT, "RuntimeMissing");
    assert_null(n);
    world_close(&w);

    world_script(&w, "exit 0", 0);
    assert_int_equal(unlink(native_runtime(w.n)), 0);
    native_start(w.n, world_told, &w);
    loop_run(w.l);
    assert_string_equal(w.e.reason, "RuntimeMissing");
    world_close(&w);
}

static void an_id_that_no_runtime_takes_is_refused(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    struct native *n = NULL;
    struct native_options o = {.runtime = "/bin/true"};
    const char *const ids[] = {"", "-x", "a/b", "..", "a b", "a\nb"};
    for (size_t i = 0; i < ARRAY_SIZE(ids); i++)
        assert_fails(native_new(&o, ids[i], "/", &n, &e), -EINVAL, "BadName");
}

static void the_words_of_a_runtime_that_fails_are_told(void **state)
{
    (void)state;
    struct native_world w;
    world_script(&w,
                 "case $verb in\n"
                 "pause) echo '{\"level\":\"error\",\"msg\":\"first\"}' >$log\n"
                 "  echo '{\"level\":\"error\",\"msg\":\"second \\u001b[31m\"}' >>$log\n"
                 "  echo '{\"level\":\"warning\",\"msg\":\"third\"}' >>$log\n"
                 "  echo 'not json' >>$log; echo on stderr >&2;;\n"
                 "resume) echo one >&2; echo two >&2; echo >&2;;\n"
                 "update) kill -SEGV $$;;\n"
                 "esac; exit 3",
                 0);
    native_pause(w.n, world_told, &w);
    loop_run(w.l);
    assert_string_equal(w.e.reason, "RuntimeFailed");
    assert_string_equal(w.e.msg, "runtime pause of the container 'box' failed: second ?[31m");
    native_resume(w.n, world_told, &w);
    loop_run(w.l);
    assert_string_equal(w.e.msg, "runtime resume of the container 'box' failed: two");
    native_delete(w.n, false, world_told, &w);
    loop_run(w.l);
    assert_contains(w.e.msg, "ended with status 3 and said nothing");
    native_update(w.n, "{}", 2, world_told, &w);
    loop_run(w.l);
    assert_contains(w.e.msg, "killed by signal 11");
    assert_int_equal(w.n_told, 4);
    world_close(&w);
}

static void a_runtime_that_hangs_is_killed_with_all_that_it_has_started(void **state)
{
    (void)state;
    struct native_world w;
    world_script(&w, "[ $verb = delete ] && exit 0; sleep 1000 & echo $! >other; sleep 1000", 300);
    native_create(w.n, &no_io, world_started, &w);
    loop_run(w.l);
    assert_int_equal(w.e.code, -ETIMEDOUT);
    assert_string_equal(w.e.reason, "RuntimeFailed");
    assert_int_equal(w.pid, 0);
    assert_calls(&w, "create delete ");
    struct err e = ERR_INIT;
    autobuf other = BUF_INIT;
    autofree char *path = path_join(w.dir, "other");
    assert_ok(file_read(path, 64, &other, &e));
    world_settle(&w);
    assert_int_equal(kill((pid_t)strtol(buf_str(&other), NULL, 10), 0), -1);
    assert_int_equal(errno, ESRCH);
    world_close(&w);
}

static void what_a_runtime_prints_is_bounded(void **state)
{
    (void)state;
    struct native_world w;
    world_script(&w,
                 "head -c 1000000 /dev/zero | tr '\\0' x >&2; head -c 1000000 /dev/zero |"
                 " tr '\\0' y >$log; exit 1",
                 0);
    native_state(w.n, world_state_told, &w);
    loop_run(w.l);
    assert_string_equal(w.e.reason, "RuntimeFailed");
    assert_contains(w.e.msg, "xxxxxxxx");
    world_close(&w);
}

static void a_state_that_is_none_is_a_failure(void **state)
{
    (void)state;
    struct native_world w;
    world_script(&w,
                 "if [ -e ok ]; then echo '{\"status\":\"paused\",\"pid\":7}'; else touch ok;"
                 " echo '{\"state'; fi",
                 0);
    native_state(w.n, world_state_told, &w);
    loop_run(w.l);
    assert_string_equal(w.e.reason, "RuntimeFailed");
    native_state(w.n, world_state_told, &w);
    loop_run(w.l);
    assert_int_equal(w.e.code, 0);
    assert_string_equal(w.status, "paused");
    assert_int_equal(w.pid, 7);
    world_close(&w);
}

static void a_create_that_fails_takes_away_what_there_is_but_not_another_one(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    struct native_world w;
    world_script(&w, "[ $verb = delete ] && exit 0; echo no >&2; exit 1", 0);
    native_create(w.n, &no_io, world_started, &w);
    loop_run(w.l);
    assert_string_equal(w.e.reason, "RuntimeFailed");
    assert_calls(&w, "create delete ");
    native_start(w.n, world_told, &w);
    loop_run(w.l);
    assert_contains(w.e.msg, "no");
    assert_calls(&w, "create delete start delete ");
    autofree char *there = path_join(w.root, "box");
    assert_ok(path_mkdir_p(there, 0700, &e));
    native_create(w.n, &no_io, world_started, &w);
    loop_run(w.l);
    assert_string_equal(w.e.reason, "AlreadyExists");
    assert_calls(&w, "create delete start delete ");
    world_close(&w);
}

static void a_runtime_that_names_no_process_or_sends_no_terminal_has_failed(void **state)
{
    (void)state;
    struct native_world w;
    struct native_stdio terminal = {.is_terminal = true};
    world_script(&w, "case $verb in delete) exit 0;; esac; [ -e pid ] && cat pid >$pid; exit 0", 0);
    native_exec(w.n, "a", "{}", 2, &no_io, world_started, &w);
    loop_run(w.l);
    assert_contains(w.e.msg, "has named no process");
    struct err e = ERR_INIT;
    autofree char *path = path_join(w.dir, "pid");
    const char *const bad[] = {"-5", "x", "99999999999", "0"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        assert_ok(file_write(path, bad[i], strlen(bad[i]), 0600, 0, &e));
        native_exec(w.n, "a", "{}", 2, &no_io, world_started, &w);
        loop_run(w.l);
        assert_string_equal(w.e.reason, "RuntimeFailed");
    }
    assert_ok(file_write(path, "1", 1, 0600, 0, &e));
    native_create(w.n, &terminal, world_started, &w);
    loop_run(w.l);
    assert_contains(w.e.msg, "has sent no terminal");
    assert_int_equal(w.console, -EBADF);
    assert_int_equal(native_pid(w.n), 0);
    world_close(&w);
}

static void commands_run_one_after_the_other_and_a_kill_overtakes(void **state)
{
    (void)state;
    struct native_world w;
    /* The start ends only when the kill has come. */
    world_script(&w,
                 "case $verb in\n"
                 "start) [ -p fifo ] || mkfifo fifo; read x <fifo;;\n"
                 "kill) while [ ! -p fifo ]; do sleep 0.01; done; echo x >fifo;;\n"
                 "esac; echo $verb-ended >>calls",
                 20000);
    native_start(w.n, world_told, &w);
    native_pause(w.n, world_told, &w);
    native_resume(w.n, world_told, &w);
    native_kill(w.n, SIGTERM, true, world_told, &w);
    while (w.n_told < 4) {
        loop_run(w.l);
        assert_int_equal(w.e.code, 0);
    }
    autofree char *calls = calls_of(&w);
    assert_true(strstr(calls, "kill ") < strstr(calls, "start-ended"));
    assert_contains(calls, "pause pause-ended resume resume-ended");
    assert_true(strstr(calls, "start-ended") < strstr(calls, "pause "));
    world_close(&w);
}

static void a_container_that_is_freed_ends_its_commands_and_tells_nothing(void **state)
{
    (void)state;
    struct native_world w;
    world_script(&w, "[ $verb = kill ] && exit 0; sleep 1000", 0);
    native_create(w.n, &no_io, world_started, &w);
    native_start(w.n, world_told, &w);
    native_kill(w.n, SIGTERM, true, world_told, &w);
    loop_run(w.l); /* until the kill is done */
    assert_int_equal(w.n_told, 1);
    native_free(take_ptr(w.n));
    loop_run(w.l);
    assert_int_equal(w.n_told, 1);
    world_close(&w);
}

static void told_and_frees(void *ctx, const struct err *e)
{
    struct native_world *w = ctx;
    native_free(take_ptr(w->n));
    world_told(w, e);
}

static void done_may_free_the_container(void **state)
{
    (void)state;
    struct native_world w;
    world_script(&w, "exit 0", 0);
    native_pause(w.n, told_and_frees, &w);
    native_resume(w.n, told_and_frees, &w);
    loop_run(w.l);
    loop_run(w.l);
    assert_int_equal(w.n_told, 1);
    world_close(&w);
    /* Also one that needed no runtime. */
    world_script(&w, "exit 0", 0);
    native_kill(w.n, 1000, false, told_and_frees, &w);
    native_resume(w.n, told_and_frees, &w);
    loop_run(w.l);
    loop_run(w.l);
    assert_int_equal(w.n_told, 1);
    assert_string_equal(w.e.reason, "BadSignal");
    world_close(&w);
}

static void the_commands_that_wait_are_bounded(void **state)
{
    (void)state;
    struct native_world w;
    world_script(&w, "exit 0", 0);
    for (int i = 0; i < NATIVE_QUEUE_LIMIT + 1; i++)
        native_pause(w.n, world_told, &w);
    assert_int_equal(w.n_told, 0);
    loop_run(w.l);
    assert_int_equal(w.e.code, -EAGAIN);
    assert_string_equal(w.e.reason, "TooManyCommands");
    world_close(&w);
}

static void a_runtime_has_nothing_of_this_process_service_manager(void **state)
{
    (void)state;
    struct native_world w;
    world_script(&w, "env | grep -c 'NOTIFY\\|LISTEN' >&2; [ -n \"$HOME\" ] || exit 0; exit 1", 0);
    setenv("NOTIFY_SOCKET", "/run/notify", 1);
    setenv("LISTEN_FDS", "2", 1);
    setenv("HOME", "/root", 1);
    native_pause(w.n, world_told, &w);
    loop_run(w.l);
    assert_contains(w.e.msg, "failed: 0");
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_runtime_that_is_missing_is_told),
        cmocka_unit_test(an_id_that_no_runtime_takes_is_refused),
        cmocka_unit_test(the_words_of_a_runtime_that_fails_are_told),
        cmocka_unit_test(a_runtime_that_hangs_is_killed_with_all_that_it_has_started),
        cmocka_unit_test(what_a_runtime_prints_is_bounded),
        cmocka_unit_test(a_state_that_is_none_is_a_failure),
        cmocka_unit_test(a_create_that_fails_takes_away_what_there_is_but_not_another_one),
        cmocka_unit_test(a_runtime_that_names_no_process_or_sends_no_terminal_has_failed),
        cmocka_unit_test(commands_run_one_after_the_other_and_a_kill_overtakes),
        cmocka_unit_test(a_container_that_is_freed_ends_its_commands_and_tells_nothing),
        cmocka_unit_test(done_may_free_the_container),
        cmocka_unit_test(the_commands_that_wait_are_bounded),
        cmocka_unit_test(a_runtime_has_nothing_of_this_process_service_manager),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
