/* SPDX-License-Identifier: Apache-2.0 */
/* Native containers by an OCI runtime that is installed: runc, or what WHERRY_TEST_RUNTIME names.
 * As root; their rootfs has busybox. FULL=1: the races as often as it takes to see them. */
#include "native_world.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>

#include "base/strv.h"

static const char *runtime;
static int rounds = 2, kills = 4;

static const struct native_stdio no_io = {
    .fds = {-EBADF, -EBADF, -EBADF}
};
static const struct native_stdio terminal_io = {.is_terminal = true};

static void rootfs_make(const struct native_world *w)
{
    autofree char *command =
        xasprintf("set -e; cd '%s'; mkdir -p rootfs/bin rootfs/proc rootfs/dev rootfs/tmp;"
                  "cp /bin/busybox rootfs/bin; for i in sh sleep true cat stty; do ln -s busybox "
                  "rootfs/bin/$i;"
                  "done",
                  w->bundle);
    assert_int_equal(system(command), 0); /* NOLINT(cert-env33-c): a command of our own */
}

static char *process_json(const char *script, bool is_terminal)
{
    return xasprintf("{\"terminal\": %s, \"user\": {\"uid\": 0, \"gid\": 0}, \"cwd\": \"/\", "
                     "\"args\": [\"/bin/sh\", \"-c\", \"%s\"], \"env\": [\"PATH=/bin\"]}",
                     is_terminal ? "true" : "false", script);
}

static char *group_of(const struct native_world *w)
{
    return xasprintf("wherry-%s", path_base(w->dir));
}

static void config_write(const struct native_world *w, const char *script, bool is_terminal)
{
    struct err e = ERR_INIT;
    autofree char *process = process_json(script, is_terminal), *group = group_of(w);
    autofree char *path = path_join(w->bundle, "config.json");
    autofree char *text = xasprintf(
        "{\"ociVersion\": \"1.0.2\", \"process\": %s, \"root\": {\"path\": \"rootfs\"},"
        "\"mounts\": [{\"destination\": \"/proc\", \"type\": \"proc\", \"source\": \"proc\"},"
        "{\"destination\": \"/dev\", \"type\": \"tmpfs\", \"source\": \"tmpfs\"},"
        "{\"destination\": \"/dev/pts\", \"type\": \"devpts\", \"source\": \"devpts\","
        " \"options\": [\"newinstance\", \"ptmxmode=0666\", \"mode=0620\"]}],"
        "\"linux\": {\"cgroupsPath\": \"/%s\", \"namespaces\": [{\"type\": \"pid\"},"
        "{\"type\": \"mount\"}, {\"type\": \"ipc\"}, {\"type\": \"uts\"}]}}",
        process, group);
    assert_ok(file_write(path, text, strlen(text), 0600, 0, &e));
}

static void world_box(struct native_world *w, const char *script, bool is_terminal)
{
    world_open(w);
    rootfs_make(w);
    config_write(w, script, is_terminal);
    world_new(w, runtime, 0);
}

/* Runs the loop until the command of before has told; it succeeds. */
static void told_ok(struct native_world *w)
{
    int n = w->n_told;
    while (w->n_told == n)
        loop_run(w->l);
    if (w->e.code)
        fail_msg("%s", w->e.msg);
}

static void told_failure(struct native_world *w, const char *reason, const char *words)
{
    int n = w->n_told;
    while (w->n_told == n)
        loop_run(w->l);
    assert_true(w->e.code < 0);
    assert_string_equal(w->e.reason, reason);
    assert_contains(w->e.msg, words);
}

static void begin(struct native_world *w, const struct native_stdio *io)
{
    native_create(w->n, io, world_started, w);
    told_ok(w);
    assert_true(w->pid > 0);
    assert_int_equal(native_pid(w->n), w->pid);
    native_start(w->n, world_told, w);
    told_ok(w);
}

/* Runs the loop until so many processes have ended since the beginning. */
static void until_ended(struct native_world *w, int ends)
{
    w->stops_at_end = true;
    while (w->ends < ends)
        loop_run(w->l);
    w->stops_at_end = false;
}

static void finish(struct native_world *w)
{
    if (native_pid(w->n)) {
        native_kill(w->n, SIGKILL, false, world_told, w);
        told_ok(w);
        until_ended(w, w->ends + 1);
    }
    native_delete(w->n, false, world_told, w);
    told_ok(w);
    assert_int_equal(world_entries(w->root), 0);
    world_close(w);
}

static char *read_until(int fd, const char *words)
{
    autobuf text = BUF_INIT;
    while (!strstr(buf_str(&text), words)) {
        char part[512];
        struct pollfd p = {.fd = fd, .events = POLLIN};
        assert_int_equal(poll(&p, 1, 20000), 1);
        ssize_t n = read(fd, part, sizeof(part));
        if (n <= 0)
            fail_msg("'%s' ended without '%s'", buf_str(&text), words);
        buf_add(&text, part, (size_t)n);
    }
    return buf_take(&text);
}

static void the_status_of_the_init_is_told(void **state)
{
    (void)state;
    struct native_world w;
    world_box(&w, "exit 42", false);
    native_create(w.n, &no_io, world_started, &w);
    told_ok(&w);
    native_state(w.n, world_state_told, &w);
    told_ok(&w);
    assert_string_equal(w.status, "created");
    assert_int_equal(w.pid, native_pid(w.n));
    assert_int_equal(w.ends, 0);
    native_start(w.n, world_told, &w);
    told_ok(&w);
    until_ended(&w, 1);
    assert_int_equal(w.ended[0], 'i');
    assert_int_equal(w.statuses[0], W_EXITCODE(42, 0));
    assert_int_equal(native_pid(w.n), 0);
    native_state(w.n, world_state_told, &w);
    told_ok(&w);
    assert_string_equal(w.status, "stopped");
    native_kill(w.n, SIGTERM, false, world_told, &w);
    told_failure(&w, "NotRunning", "box");
    native_kill(w.n, SIGTERM, true, world_told, &w);
    loop_run(w.l); /* runtimes differ in whether that is one */
    assert_true(!w.e.code || str_eq(w.e.reason, "NotRunning"));
    finish(&w);
}

static void its_streams_are_those_that_were_given_and_nobody_else_has_them(void **state)
{
    (void)state;
    struct native_world w;
    int in[2], out[2];
    struct err e = ERR_INIT;
    autobuf text = BUF_INIT;
    world_box(&w, "read x; echo got $x; echo bad >&2", false);
    assert_int_equal(pipe2(in, O_CLOEXEC), 0);
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    native_create(w.n,
                  &(struct native_stdio){
                      .fds = {in[0], out[1], out[1]}
    },
                  world_started, &w);
    close(in[0]);
    close(out[1]);
    told_ok(&w);
    native_start(w.n, world_told, &w);
    told_ok(&w);
    assert_int_equal(write(in[1], "hello\n", 6), 6);
    close(in[1]);
    until_ended(&w, 1);
    assert_ok(fd_read_all(out[0], 4096, &text, &e)); /* up to the end */
    assert_string_equal(buf_str(&text), "got hello\nbad\n");
    close(out[0]);
    finish(&w);
}

static void signals_arrive_and_end_it(void **state)
{
    (void)state;
    struct native_world w;
    int out[2];
    world_box(&w, "trap 'exit 5' TERM; echo ready; while true; do sleep 0.1; done", false);
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    begin(&w, &(struct native_stdio){
                  .fds = {-EBADF, out[1], -EBADF}
    });
    close(out[1]);
    free(read_until(out[0], "ready"));
    native_kill(w.n, SIGTERM, false, world_told, &w);
    told_ok(&w);
    until_ended(&w, 1);
    assert_int_equal(w.statuses[0], W_EXITCODE(5, 0));
    close(out[0]);
    finish(&w);
    for (int is_all = 0; is_all < 2; is_all++) {
        world_box(&w, "sleep 1000", false);
        begin(&w, &no_io);
        native_kill(w.n, SIGKILL, is_all, world_told, &w);
        told_ok(&w);
        until_ended(&w, 1);
        assert_int_equal(w.statuses[0], SIGKILL);
        finish(&w);
    }
}

static void an_init_that_ends_at_once_tells_its_status(void **state)
{
    (void)state;
    struct native_world w;
    world_box(&w, "exit 3", false);
    for (int i = 1; i <= rounds; i++) {
        begin(&w, &no_io);
        until_ended(&w, i);
        assert_int_equal(w.statuses[i - 1], W_EXITCODE(3, 0));
        native_delete(w.n, false, world_told, &w);
        told_ok(&w);
    }
    world_close(&w);
}

static void exec(struct native_world *w, const char *id, const char *script,
                 const struct native_stdio *io)
{
    autofree char *json = process_json(script, io->is_terminal);
    native_exec(w->n, id, json, strlen(json), io, world_started, w);
}

static void an_exec_that_ends_at_once_tells_its_status(void **state)
{
    (void)state;
    struct native_world w;
    world_box(&w, "sleep 1000", false);
    begin(&w, &no_io);
    for (int i = 1; i <= rounds; i++) {
        exec(&w, "x", "exit 7", &no_io);
        told_ok(&w);
        assert_true(w.pid > 0);
        until_ended(&w, i);
        assert_int_equal(w.ended[i - 1], 'x');
        assert_int_equal(w.statuses[i - 1], W_EXITCODE(7, 0));
    }
    finish(&w);
}

static void execs_run_beside_each_other_and_are_killed_by_name(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    struct native_world w;
    world_box(&w, "sleep 1000", false);
    begin(&w, &no_io);
    exec(&w, "a", "sleep 1000", &no_io);
    told_ok(&w);
    exec(&w, "b", "sleep 1000", &no_io);
    told_ok(&w);
    exec(&w, "a", "exit 0", &no_io);
    told_failure(&w, "AlreadyExists", "'a'");
    assert_ok(native_exec_kill(w.n, "a", SIGKILL, &e));
    until_ended(&w, 1);
    assert_int_equal(w.ended[0], 'a');
    assert_int_equal(w.statuses[0], SIGKILL);
    assert_fails(native_exec_kill(w.n, "a", SIGKILL, &e), -ESRCH, "NotRunning");
    exec(&w, "c", "exit 0",
         &(struct native_stdio){
             .fds = {-EBADF, -EBADF, -EBADF}
    });
    told_ok(&w);
    until_ended(&w, 2);
    const char *missing = "{\"args\": [\"/nowhere\"], \"cwd\": \"/\"}";
    native_exec(w.n, "d", missing, strlen(missing), &no_io, world_started, &w);
    told_failure(&w, "RuntimeFailed", "nowhere");
    /* With the init all of them end. */
    native_kill(w.n, SIGKILL, false, world_told, &w);
    told_ok(&w);
    until_ended(&w, 4);
    finish(&w);
}

static void terminals_are_sent_and_can_be_resized(void **state)
{
    (void)state;
    struct native_world w;
    const char *script = "read x; stty size; sleep 1000";
    world_box(&w, script, true);
    native_create(w.n, &terminal_io, world_started, &w);
    told_ok(&w);
    const int init = w.console;
    native_start(w.n, world_told, &w);
    told_ok(&w);
    exec(&w, "t", script, &terminal_io);
    told_ok(&w);
    const int fds[] = {init, w.console};
    for (int i = 0; i < 2; i++) {
        struct winsize size = {.ws_row = (unsigned short)(33 + i), .ws_col = 77};
        assert_true(isatty(fds[i]));
        assert_int_equal(ioctl(fds[i], TIOCSWINSZ, &size), 0);
        assert_int_equal(write(fds[i], "\n", 1), 1);
        free(read_until(fds[i], i ? "34 77" : "33 77"));
    }
    native_kill(w.n, SIGKILL, false, world_told, &w);
    told_ok(&w);
    until_ended(&w, 2);
    close(fds[0]);
    close(fds[1]);
    finish(&w);
}

static void a_paused_container_does_nothing_and_can_be_killed(void **state)
{
    (void)state;
    struct native_world w;
    world_box(&w, "sleep 1000", false);
    begin(&w, &no_io);
    native_pause(w.n, world_told, &w);
    told_ok(&w);
    native_state(w.n, world_state_told, &w);
    told_ok(&w);
    assert_string_equal(w.status, "paused");
    native_resume(w.n, world_told, &w);
    told_ok(&w);
    native_state(w.n, world_state_told, &w);
    told_ok(&w);
    assert_string_equal(w.status, "running");
    for (int is_all = 0; is_all < 2; is_all++) {
        native_pause(w.n, world_told, &w);
        told_ok(&w);
        native_kill(w.n, SIGKILL, is_all, world_told, &w);
        told_ok(&w);
        until_ended(&w, 1 + is_all);
        assert_int_equal(w.statuses[is_all], SIGKILL);
        native_delete(w.n, false, world_told, &w);
        told_ok(&w);
        if (!is_all)
            begin(&w, &no_io);
    }
    world_close(&w);
}

static void its_limits_can_be_changed(void **state)
{
    (void)state;
    struct native_world w;
    struct err e = ERR_INIT;
    autobuf text = BUF_INIT;
    const char *resources = "{\"memory\": {\"limit\": 67108864}}";
    world_box(&w, "sleep 1000", false);
    autofree char *group = group_of(&w);
    autofree char *v1 = xasprintf("/sys/fs/cgroup/memory/%s/memory.limit_in_bytes", group);
    autofree char *v2 = xasprintf("/sys/fs/cgroup/%s/memory.max", group);
    begin(&w, &no_io);
    native_update(w.n, resources, strlen(resources), world_told, &w);
    told_ok(&w);
    assert_ok(file_read(access(v1, F_OK) ? v2 : v1, 64, &text, &e));
    assert_string_equal(buf_str(&text), "67108864\n");
    native_update(w.n, "nonsense", 8, world_told, &w);
    told_failure(&w, "RuntimeFailed", "update");
    finish(&w);
}

static void assert_no_group(const struct native_world *w)
{
    autofree char *group = group_of(w);
    autofree char *command = xasprintf("! find /sys/fs/cgroup -name '%s*' | grep .", group);
    assert_int_equal(system(command), 0); /* NOLINT(cert-env33-c): a command of our own */
}

static void a_container_that_cannot_be_made_or_started_leaves_nothing(void **state)
{
    (void)state;
    struct native_world w;
    world_box(&w, "true", false);
    autofree char *sh = path_join(w.bundle, "rootfs/bin/sh");
    assert_int_equal(unlink(sh), 0);
    native_create(w.n, &no_io, world_started, &w);
    told_failure(&w, "RuntimeFailed", "sh");
    assert_int_equal(w.pid, 0);
    assert_int_equal(w.ends, 0);
    assert_int_equal(world_entries(w.root), 0);
    assert_int_equal(symlink("busybox", sh), 0);
    native_create(w.n, &no_io, world_started, &w);
    told_ok(&w);
    native_kill(w.n, SIGKILL, false, world_told, &w);
    told_ok(&w);
    until_ended(&w, 1);
    native_start(w.n, world_told, &w);
    told_failure(&w, "RuntimeFailed", "start");
    assert_int_equal(world_entries(w.root), 0);
    native_delete(w.n, true, world_told, &w); /* although there is none */
    told_ok(&w);
    native_delete(w.n, false, world_told, &w);
    told_failure(&w, "RuntimeFailed", "delete");
    assert_no_group(&w);
    world_close(&w);
}

/* What runc makes before it notes that there is a container nobody can know of. */
static void groups_remove(const struct native_world *w)
{
    autofree char *group = group_of(w);
    autofree char *command =
        xasprintf("find /sys/fs/cgroup -depth -type d -name '%s' -exec rmdir {} +", group);
    assert_int_equal(system(command), 0); /* NOLINT(cert-env33-c): a command of our own */
}

/* It is killed in the middle of a create, later each time. */
static void a_runtime_that_is_killed_leaves_no_process_and_no_state(void **state)
{
    (void)state;
    for (int i = 0; i < kills; i++) {
        struct native_world w;
        struct err e = ERR_INIT;
        world_open(&w);
        rootfs_make(&w);
        config_write(&w, "sleep 1000", false);
        autofree char *wrapper = path_join(w.dir, "wrapper");
        autofree char *text = xasprintf("#!/bin/sh\n[ $7 = create ] || exec %s \"$@\"\n"
                                        "%s \"$@\" &\nsleep %d.%03d\nkill -9 $!\nexit 1\n",
                                        runtime, runtime, 0, i * 200 / kills);
        assert_ok(file_write(wrapper, text, strlen(text), 0755, 0, &e));
        world_new(&w, wrapper, 0);
        native_create(w.n, &no_io, world_started, &w);
        told_failure(&w, "RuntimeFailed", "create");
        assert_int_equal(w.ends, 0);
        world_settle(&w);
        assert_int_equal(world_entries(w.root), 0);
        groups_remove(&w);
        world_close(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_status_of_the_init_is_told),
        cmocka_unit_test(its_streams_are_those_that_were_given_and_nobody_else_has_them),
        cmocka_unit_test(signals_arrive_and_end_it),
        cmocka_unit_test(an_init_that_ends_at_once_tells_its_status),
        cmocka_unit_test(an_exec_that_ends_at_once_tells_its_status),
        cmocka_unit_test(execs_run_beside_each_other_and_are_killed_by_name),
        cmocka_unit_test(terminals_are_sent_and_can_be_resized),
        cmocka_unit_test(a_paused_container_does_nothing_and_can_be_killed),
        cmocka_unit_test(its_limits_can_be_changed),
        cmocka_unit_test(a_container_that_cannot_be_made_or_started_leaves_nothing),
        cmocka_unit_test(a_runtime_that_is_killed_leaves_no_process_and_no_state),
    };
    const char *full = getenv("FULL");
    runtime = getenv("WHERRY_TEST_RUNTIME");
    runtime = runtime ? runtime : "runc";
    if (full && str_eq(full, "1")) {
        rounds = 200;
        kills = 40;
    }
    if (geteuid()) {
        puts("ok 1 - native containers # SKIP they need root");
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
