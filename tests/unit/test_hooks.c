/* SPDX-License-Identifier: Apache-2.0 */
/* Hooks as their programs see them, and what is told of those that fail. */
#include "unit.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "base/child.h"
#include "base/clock.h"
#include "base/fds.h"
#include "container/oci/hooks.h"

struct run {
    struct hooks *hooks;
    int ends;
    bool has_failed;
    struct err e;
};

static char *dir;

static int dir_make(void **state)
{
    (void)state;
    dir = unit_temp_dir();
    return 0;
}

static int dir_remove(void **state)
{
    (void)state;
    nftw(dir, unit_remove_one, 8, FTW_DEPTH | FTW_PHYS);
    free(dir);
    return 0;
}

static void done(void *ctx, const struct err *e)
{
    struct run *r = ctx;

    r->ends++;
    r->hooks = NULL;
    r->has_failed = e;
    if (e)
        r->e = *e;
}

/* A script of the shell; $OUT is a file. */
static struct oci_hook script(const char *text)
{
    struct oci_hook hook = {.path = xstrdup("/bin/sh")};

    strv_add(&hook.args, "sh");
    strv_add(&hook.args, "-c");
    strv_add(&hook.args, text);
    strv_addf(&hook.env, "OUT=%s/out", dir);
    strv_add(&hook.env, "PATH=/usr/bin:/bin");
    return hook;
}

static void hook_done(struct oci_hook *hook)
{
    free(hook->path);
    strv_done(&hook->args);
    strv_done(&hook->env);
}

static struct hooks_options options(struct loop *l, const struct oci_hook_list *list, struct run *r)
{
    return (struct hooks_options){.loop = l,
                                  .list = list,
                                  .moment = "createRuntime",
                                  .state = "{\"id\":\"x\"}",
                                  .done = done,
                                  .ctx = r};
}

static struct loop *open_loop(void)
{
    struct err e = ERR_INIT;
    struct loop *l = NULL;

    assert_ok(loop_open(&l, &e));
    return l;
}

/* Runs and releases them; `more` has what else is to be said. */
static void run_all(struct oci_hook *v, size_t n, const struct hooks_options *more, struct run *r)
{
    struct oci_hook_list list = {v, n};
    AUTO(loop) l = open_loop();
    struct hooks_options o = options(l, &list, r);

    if (more) {
        o.state = more->state ? more->state : o.state;
        o.cwd = more->cwd;
        o.ns_fds = more->ns_fds;
        o.n_ns_fds = more->n_ns_fds;
        o.goes_on = more->goes_on;
    }
    *r = (struct run){0};
    r->hooks = hooks_run(&o);
    assert_int_equal(r->ends, 0);
    loop_run(l);
    assert_int_equal(r->ends, 1);
    for (size_t i = 0; i < n; i++)
        hook_done(&v[i]);
}

/* What the hooks wrote to $OUT, which is removed. */
static void assert_out(const char *expected)
{
    autofree char *path = xasprintf("%s/out", dir);
    struct err e = ERR_INIT;
    autobuf text = BUF_INIT;

    assert_ok(file_read(path, 65536, &text, &e));
    assert_string_equal(buf_str(&text), expected);
    unlink(path);
}

static void assert_failed(const struct run *r, const char *message)
{
    assert_true(r->has_failed);
    assert_string_equal(r->e.reason, "HookFailed");
    assert_string_equal(r->e.msg, message);
}

/* ---- What a hook gets ---- */

static void hooks_run_in_order_with_the_state_on_standard_input(void **state)
{
    struct oci_hook v[] = {script("sleep 0.05; echo 1 $(cat) >>$OUT"),
                           script("echo 2 $(cat) >>$OUT")};
    struct run r;

    (void)state;
    run_all(v, 2, NULL, &r);
    assert_false(r.has_failed);
    assert_out("1 {\"id\":\"x\"}\n2 {\"id\":\"x\"}\n");
}

static void a_hook_has_its_arguments_and_variables_and_no_other(void **state)
{
    struct oci_hook v[] = {script("echo $0 $1 >$OUT; tr '\\0' '\\n' </proc/$$/environ >>$OUT")};
    autofree char *expected = xasprintf("zero one\nOUT=%s/out\nPATH=/usr/bin:/bin\n", dir);
    struct run r;

    (void)state;
    strv_add(&v[0].args, "zero");
    strv_add(&v[0].args, "one");
    run_all(v, 1, NULL, &r);
    assert_false(r.has_failed);
    assert_out(expected);
}

static void a_hook_without_arguments_has_its_path_and_no_variables(void **state)
{
    autofree char *path = xasprintf("%s/hook", dir);
    autofree char *text = xasprintf("#!/bin/sh\ntr '\\0' ' ' </proc/$$/cmdline >%s/out\n"
                                    "wc -c </proc/$$/environ >>%s/out\n",
                                    dir, dir);
    struct oci_hook v[] = {{.path = xstrdup(path)}};
    autofree char *expected = xasprintf("/bin/sh %s 0\n", path);
    struct err e = ERR_INIT;
    struct run r;

    (void)state;
    assert_ok(file_write(path, text, strlen(text), 0700, 0, &e));
    run_all(v, 1, NULL, &r);
    assert_false(r.has_failed);
    assert_out(expected);
}

static void a_hook_has_three_descriptors_default_signals_and_a_session(void **state)
{
    /* But for 32 and 33, which the C library keeps to itself: this process may have been started
     * with those ignored. */
    struct oci_hook v[] = {script("exec >$OUT; ls /proc/$$/fd; grep SigBlk /proc/self/status;"
                                  "ignored=$(sed -n 's/SigIgn:[^0-9a-f]*//p' /proc/self/status);"
                                  "printf 'SigIgn:\\t%016x\\n' $((0x$ignored & ~0x180000000));"
                                  "[ $(cut -d' ' -f6 /proc/$$/stat) = $$ ] && echo leader")};
    autofd inherited = fcntl(STDERR_FILENO, F_DUPFD, 5);
    sigset_t blocked, before;
    struct run r;

    (void)state;
    assert_true(inherited >= 0);
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGUSR1);
    sigprocmask(SIG_BLOCK, &blocked, &before);
    signal(SIGUSR2, SIG_IGN);
    run_all(v, 1, NULL, &r);
    sigprocmask(SIG_SETMASK, &before, NULL);
    signal(SIGUSR2, SIG_DFL);
    assert_out("0\n1\n2\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n"
               "leader\n");
}

static void a_hook_begins_in_the_folder_that_was_said(void **state)
{
    struct oci_hook v[] = {script("pwd >$OUT")};
    struct hooks_options more = {.cwd = "/proc"};
    struct run r;

    (void)state;
    run_all(v, 1, &more, &r);
    assert_out("/proc\n");
}

static void a_hook_need_not_read_a_long_state(void **state)
{
    autofree char *text = xcalloc(1, 1000001);
    struct oci_hook v[] = {script("exit 0"), script("wc -c >$OUT")};
    struct hooks_options more = {.state = memset(text, 'x', 1000000)};
    struct run r;

    (void)state;
    run_all(v, 2, &more, &r);
    assert_false(r.has_failed);
    assert_out("1000000\n");
}

static void no_hooks_succeed(void **state)
{
    struct run r;

    (void)state;
    run_all(NULL, 0, NULL, &r);
    assert_false(r.has_failed);
}

/* ---- Failures ---- */

static void a_failure_ends_the_list_and_is_told_with_the_last_line(void **state)
{
    struct oci_hook v[] = {
        script("echo 1 >>$OUT"),
        script("echo no; echo 'the \033[1mlast one' >&2; echo; exit 3"),
        script("echo 3 >>$OUT"),
    };
    struct run r;

    (void)state;
    run_all(v, 3, NULL, &r);
    assert_failed(&r, "the createRuntime hook 2, '/bin/sh', ended with status 3: the ?[1mlast one");
    assert_out("1\n");
}

static void a_signal_is_told(void **state)
{
    struct oci_hook v[] = {script("kill -TERM $$")};
    struct run r;

    (void)state;
    run_all(v, 1, NULL, &r);
    assert_failed(&r, "the createRuntime hook 1, '/bin/sh', was ended by signal 15");
}

static void what_cannot_be_started_is_told_with_its_cause(void **state)
{
    struct oci_hook v[] = {{.path = xstrdup("/no/such/hook")}};
    struct oci_hook w[] = {script("true")};
    struct hooks_options more = {.cwd = "/no/such/folder"};
    struct run r;

    (void)state;
    run_all(v, 1, NULL, &r);
    assert_failed(&r, "the createRuntime hook 1, '/no/such/hook', could not be started: "
                      "cannot execute it: No such file or directory");
    run_all(w, 1, &more, &r);
    assert_failed(&r, "the createRuntime hook 1, '/bin/sh', could not be started: cannot enter the "
                      "folder of the bundle: No such file or directory");
}

static void hooks_that_go_on_all_run_and_the_first_failure_is_told(void **state)
{
    struct oci_hook v[] = {script("echo first; exit 1"), script("echo second; exit 2"),
                           script("echo 3 >$OUT")};
    struct hooks_options more = {.goes_on = true};
    struct run r;

    (void)state;
    run_all(v, 3, &more, &r);
    assert_failed(&r, "the createRuntime hook 1, '/bin/sh', ended with status 1: first");
    assert_out("3\n");
}

/* The process that wrote its number to $OUT has become a child of this one and was killed. */
static void assert_killed(void)
{
    autofree char *path = xasprintf("%s/out", dir);
    struct err e = ERR_INIT;
    autobuf text = BUF_INIT;
    int status;

    assert_ok(file_read(path, 64, &text, &e));
    unlink(path);
    assert_int_equal(child_wait((pid_t)strtol(buf_str(&text), NULL, 10), &status), 0);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGKILL);
}

static void a_hook_that_takes_too_long_is_killed_with_its_children(void **state)
{
    struct oci_hook v[] = {script("sleep 1000 & echo $! >$OUT; echo waiting; wait")};
    struct run r;

    (void)state;
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    v[0].timeout_s = 1;
    run_all(v, 1, NULL, &r);
    assert_failed(&r,
                  "the createRuntime hook 1, '/bin/sh', took longer than its timeout of 1 s and "
                  "was killed: waiting");
    assert_killed();
}

static void much_output_is_read_and_its_end_is_kept(void **state)
{
    struct oci_hook v[] = {
        script("yes 0123456789012345678901234567890123456789 | head -c 20000000; echo;"
               "printf 'last%01000d' 1; exit 1")};
    struct run r;

    (void)state;
    run_all(v, 1, NULL, &r);
    assert_contains(r.e.msg, "ended with status 1: last0000");
    assert_true(strlen(r.e.msg) < 300);
}

static void a_process_that_is_left_behind_does_not_hold_up(void **state)
{
    struct oci_hook v[] = {script("sleep 1000 & echo $! >$OUT")};
    uint64_t begun = clock_monotonic_ns();
    autofree char *path = xasprintf("%s/out", dir);
    autobuf text = BUF_INIT;
    struct err e = ERR_INIT;
    struct run r;

    (void)state;
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    run_all(v, 1, NULL, &r);
    assert_false(r.has_failed);
    assert_true(clock_monotonic_ns() - begun < 500000000000);
    assert_ok(file_read(path, 64, &text, &e));
    assert_int_equal(kill((pid_t)strtol(buf_str(&text), NULL, 10), SIGKILL), 0);
    assert_killed();
}

/* ---- Cancelling ---- */

struct cancel {
    struct run r;
    struct loop_timer *timer;
};

static void cancel_when_it_runs(void *ctx)
{
    struct cancel *c = ctx;
    autofree char *path = xasprintf("%s/out", dir);
    struct stat st;

    if (stat(path, &st) == 0 && st.st_size)
        hooks_cancel(take_ptr(c->r.hooks));
    else
        loop_timer_set(c->timer, clock_monotonic_ns() + 1000000);
}

static void a_cancelled_hook_is_killed_and_nothing_is_told(void **state)
{
    struct oci_hook v[] = {script("sleep 1000 & echo $! >$OUT; wait"), script("echo 2 >$OUT")};
    struct oci_hook_list list = {v, 2};
    AUTO(loop) l = open_loop();
    struct cancel c = {0};
    struct hooks_options o = options(l, &list, &c.r);

    (void)state;
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    c.timer = loop_timer_new(l, cancel_when_it_runs, &c);
    loop_timer_set(c.timer, 0);
    c.r.hooks = hooks_run(&o);
    loop_run(l);
    assert_int_equal(c.r.ends, 0);
    assert_killed();
    loop_timer_free(c.timer);
    /* Before the first has begun. */
    hooks_cancel(hooks_run(&o));
    loop_run(l);
    assert_int_equal(c.r.ends, 0);
    hook_done(&v[0]);
    hook_done(&v[1]);
}

/* ---- Namespaces ---- */

/* A process with a host name and a PID namespace of its own; ends with what it writes to. */
static pid_t container_make(int *ret_hold)
{
    int hold[2], ready[2];
    char c;
    pid_t pid;

    assert_int_equal(pipe2(hold, O_CLOEXEC), 0);
    assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
    pid = fork();
    if (!pid) {
        pid_t init;

        close(hold[1]);
        if (unshare(CLONE_NEWUTS | CLONE_NEWPID) < 0 || sethostname("inside", 6) < 0)
            _exit(1);
        init = fork(); /* the first process of the namespace */
        if (init == 0) {
            close(ready[1]);
            _exit(read(hold[0], &c, 1) != 0);
        }
        if (init < 0 || write(ready[1], "", 1) != 1)
            _exit(1);
        _exit(child_wait(init, NULL) < 0);
    }
    close(hold[0]);
    close(ready[1]);
    *ret_hold = hold[1];
    if (read(ready[0], &c, 1) != 1) {
        child_wait(pid, NULL);
        pid = 0;
    }
    close(ready[0]);
    return pid;
}

static int namespace_open(pid_t pid, const char *type)
{
    autofree char *path = xasprintf("/proc/%d/ns/%s", (int)pid, type);

    return open(path, O_RDONLY | O_CLOEXEC);
}

static void a_hook_of_a_container_runs_inside_its_namespaces(void **state)
{
    struct oci_hook v[] = {script("echo $(uname -n) $(($$ < 20)) >$OUT"), script("kill -9 $$")};
    autofd uts = -EBADF, pids = -EBADF, hold = -EBADF, none = -EBADF;
    struct hooks_options more = {0};
    pid_t pid = container_make(&hold);
    struct oci_hook w[] = {script("true")};
    int fds[2];
    struct run r;

    (void)state;
    if (!pid) {
        hook_done(&v[0]);
        hook_done(&v[1]);
        hook_done(&w[0]);
        skip();
    }
    uts = namespace_open(pid, "uts");
    pids = namespace_open(pid, "pid_for_children");
    fds[0] = uts;
    fds[1] = pids;
    more.ns_fds = fds;
    more.n_ns_fds = 2;
    run_all(v, 2, &more, &r);
    assert_out("inside 1\n");
    assert_failed(&r, "the createRuntime hook 2, '/bin/sh', was ended by signal 9");
    none = open("/dev/null", O_RDONLY | O_CLOEXEC);
    fds[1] = none;
    run_all(w, 1, &more, &r);
    assert_failed(&r, "the createRuntime hook 1, '/bin/sh', could not be started: cannot enter a "
                      "namespace of the container: Invalid argument");
    close(take_fd(&hold));
    child_wait(pid, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hooks_run_in_order_with_the_state_on_standard_input),
        cmocka_unit_test(a_hook_has_its_arguments_and_variables_and_no_other),
        cmocka_unit_test(a_hook_without_arguments_has_its_path_and_no_variables),
        cmocka_unit_test(a_hook_has_three_descriptors_default_signals_and_a_session),
        cmocka_unit_test(a_hook_begins_in_the_folder_that_was_said),
        cmocka_unit_test(a_hook_need_not_read_a_long_state),
        cmocka_unit_test(no_hooks_succeed),
        cmocka_unit_test(a_failure_ends_the_list_and_is_told_with_the_last_line),
        cmocka_unit_test(a_signal_is_told),
        cmocka_unit_test(what_cannot_be_started_is_told_with_its_cause),
        cmocka_unit_test(hooks_that_go_on_all_run_and_the_first_failure_is_told),
        cmocka_unit_test(a_hook_that_takes_too_long_is_killed_with_its_children),
        cmocka_unit_test(much_output_is_read_and_its_end_is_kept),
        cmocka_unit_test(a_process_that_is_left_behind_does_not_hold_up),
        cmocka_unit_test(a_cancelled_hook_is_killed_and_nothing_is_told),
        cmocka_unit_test(a_hook_of_a_container_runs_inside_its_namespaces),
    };

    return cmocka_run_group_tests(tests, dir_make, dir_remove);
}
