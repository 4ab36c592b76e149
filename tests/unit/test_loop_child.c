/* SPDX-License-Identifier: Apache-2.0 */
/* Processes that a loop starts: what they are given, and what is told of their end. */
#include "unit.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/pidfd.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "base/child.h"
#include "base/fds.h"
#include "loop/loop.h"

struct run {
    struct loop *l;
    struct loop_child *child;
    int ends, status;
    bool frees_itself;
};

static void ended(void *ctx, int status)
{
    struct run *r = ctx;
    r->ends++;
    r->status = status;
    if (r->frees_itself)
        loop_child_free(take_ptr(r->child));
}

static struct loop *open_loop(void)
{
    struct err e = ERR_INIT;
    struct loop *l = NULL;
    assert_ok(loop_open(&l, &e));
    return l;
}

/* Runs a script to its end, with these options beside; what it has written to 1 is in *out. */
static int run_script(const char *script, struct loop_child_options o, struct buf *out)
{
    struct err e = ERR_INIT;
    AUTO(loop) l = open_loop();
    struct run r = {.l = l};
    int fds[2];
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    struct loop_child_fd given[8] = {
        {fds[1], 1}
    };
    for (size_t i = 0; i < o.n_fds; i++)
        given[1 + i] = o.fds[i];
    o.argv = (const char *const[]){"sh", "-c", script, NULL};
    o.fds = given;
    o.n_fds++;
    o.ended = ended;
    o.ctx = &r;
    assert_ok(loop_child_start(l, &o, &r.child, &e));
    close(fds[1]);
    loop_run(l);
    assert_int_equal(r.ends, 1);
    loop_child_free(r.child);
    assert_ok(fd_read_all(fds[0], 65536, out, &e));
    close(fds[0]);
    return r.status;
}

static void the_status_is_that_of_waitpid(void **state)
{
    (void)state;
    autobuf out = BUF_INIT;
    int status = run_script("exit 3", (struct loop_child_options){0}, &out);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 3);
    status = run_script("kill -TERM $$", (struct loop_child_options){0}, &out);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGTERM);
}

static void a_child_has_no_descriptor_that_it_was_not_given(void **state)
{
    (void)state;
    autobuf out = BUF_INIT;
    /* One that this process has inherited, as it may look: not close-on-exec. */
    autofd inherited = fcntl(STDERR_FILENO, F_DUPFD, 5);
    (void)inherited;
    autofd higher = fcntl(STDERR_FILENO, F_DUPFD, 50);
    (void)higher;
    run_script("readlink /proc/$$/fd/0 /proc/$$/fd/2; ls /proc/$$/fd",
               (struct loop_child_options){0}, &out);
    /* dash keeps none of its own for a script of -c. */
    assert_string_equal(buf_str(&out), "/dev/null\n/dev/null\n0\n1\n2\n");
    buf_clear(&out);
    autofd zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);
    run_script("readlink /proc/$$/fd/7; ls /proc/$$/fd",
               (struct loop_child_options){.fds = (struct loop_child_fd[]){{zero, 7}}, .n_fds = 1},
               &out);
    assert_string_equal(buf_str(&out), "/dev/zero\n0\n1\n2\n7\n");
}

static void descriptors_may_change_places(void **state)
{
    (void)state;
    autobuf out = BUF_INIT;
    autofd null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    autofd zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);
    autofd full = open("/dev/full", O_RDONLY | O_CLOEXEC);
    struct loop_child_fd fds[] = {
        {null, zero    },
        {zero, null    },
        {full, full    },
        {zero, full + 1}
    };
    autofree char *script =
        xasprintf("readlink /proc/$$/fd/%d /proc/$$/fd/%d /proc/$$/fd/%d /proc/$$/fd/%d", null,
                  zero, full, full + 1);
    run_script(script, (struct loop_child_options){.fds = fds, .n_fds = 4}, &out);
    assert_string_equal(buf_str(&out), "/dev/zero\n/dev/null\n/dev/full\n/dev/zero\n");
}

static void a_child_begins_in_its_folder_with_its_environment(void **state)
{
    (void)state;
    autobuf out = BUF_INIT;
    struct loop_child_options o = {
        .cwd = "/usr", .env = (const char *const[]){"COLOUR=blue", "PATH=/usr/bin:/bin", NULL}
    };
    run_script("pwd -P; echo $COLOUR; env | grep -c HOME", o, &out);
    assert_string_equal(buf_str(&out), "/usr\nblue\n0\n");
}

static void a_child_has_the_default_actions_of_all_signals(void **state)
{
    (void)state;
    autobuf out = BUF_INIT;
    sigset_t usr2, before;
    sigemptyset(&usr2);
    sigaddset(&usr2, SIGUSR2);
    sigprocmask(SIG_BLOCK, &usr2, &before);
    run_script("sed -n '/^SigBlk\\|^SigIgn/s/.*://p' /proc/self/status",
               (struct loop_child_options){0}, &out);
    sigprocmask(SIG_SETMASK, &before, NULL);
    char *next;
    assert_int_equal(strtoull(buf_str(&out), &next, 16), 0);
    unsigned long long ignored = strtoull(next, NULL, 16);
    /* 32 and 33 are the C library's own, which nobody can set. */
    assert_int_equal(ignored & ~(3ULL << 31), 0);
}

/* A child that waits until the other end of *ret_fd is closed. */
static struct loop_child *start_waiting(struct run *r, bool is_detached, int *ret_fd)
{
    struct err e = ERR_INIT;
    struct loop_child *child = NULL;
    int fds[2];
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    struct loop_child_options o = {
        .argv = (const char *const[]){"cat", NULL},
        .fds = (struct loop_child_fd[]){{fds[0], 0}    },
        .n_fds = 1,
        .is_detached = is_detached,
        .ended = ended,
        .ctx = r
    };
    assert_ok(loop_child_start(r->l, &o, &child, &e));
    close(fds[0]);
    *ret_fd = fds[1];
    return child;
}

static void a_detached_child_has_a_session_of_its_own(void **state)
{
    (void)state;
    AUTO(loop) l = open_loop();
    struct run r = {.l = l};
    int fds[2];
    AUTO(loop_child) attached = start_waiting(&r, false, &fds[0]);
    AUTO(loop_child) detached = start_waiting(&r, true, &fds[1]);
    assert_int_equal(getsid(loop_child_pid(attached)), getsid(0));
    assert_int_equal(getsid(loop_child_pid(detached)), loop_child_pid(detached));
    close(fds[0]);
    close(fds[1]);
    loop_run(l);
    assert_int_equal(r.ends, 2);
}

static void a_killed_child_tells_its_signal_and_may_be_freed_by_its_callback(void **state)
{
    (void)state;
    AUTO(loop) l = open_loop();
    struct run r = {.l = l, .frees_itself = true};
    int fd;
    r.child = start_waiting(&r, false, &fd);
    loop_child_kill(r.child, SIGKILL);
    loop_run(l);
    assert_null(r.child);
    assert_int_equal(r.ends, 1);
    assert_true(WIFSIGNALED(r.status));
    assert_int_equal(WTERMSIG(r.status), SIGKILL);
    close(fd);
}

static void killing_a_child_that_has_ended_does_nothing(void **state)
{
    (void)state;
    AUTO(loop) l = open_loop();
    struct run r = {.l = l};
    int fd;
    AUTO(loop_child) child = start_waiting(&r, false, &fd);
    close(fd);
    loop_run(l);
    loop_child_kill(child, SIGKILL);
    loop_child_kill(child, SIGTERM);
    assert_true(WIFEXITED(r.status));
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* it was reaped */
    assert_int_equal(errno, ECHILD);
}

struct left {
    struct loop_watch *watch;
    pid_t pid;
};

/* Level-triggered, so again and again until it is reaped. */
static void has_ended(void *ctx, unsigned events)
{
    (void)events;
    struct left *left = ctx;
    if (kill(left->pid, 0) < 0 && errno == ESRCH)
        loop_watch_free(take_ptr(left->watch));
}

static void a_child_that_was_left_is_reaped_and_not_told_and_keeps_no_loop_running(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    AUTO(loop) l = open_loop();
    struct run r = {.l = l};
    struct left left;
    int fds[2];
    struct loop_child *child = start_waiting(&r, false, &fds[0]);
    struct loop_child *for_ever = start_waiting(&r, false, &fds[1]);
    pid_t for_ever_pid = loop_child_pid(for_ever);
    left.pid = loop_child_pid(child);
    autofd pidfd = pidfd_open(left.pid, 0);
    assert_ok(loop_watch_new(l, pidfd, has_ended, &left, &left.watch, &e));
    loop_watch_set(left.watch, LOOP_READABLE);
    loop_child_free(for_ever);
    loop_child_free(child);
    close(fds[0]);
    loop_run(l); /* ends although one runs on */
    assert_int_equal(r.ends, 0);
    assert_int_equal(kill(for_ever_pid, 0), 0);
    loop_free(take_ptr(l)); /* also */
    close(fds[1]);
    assert_int_equal(waitpid(for_ever_pid, NULL, 0), for_ever_pid);
}

static size_t open_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    size_t n = 0;
    while (readdir(dir))
        n++;
    closedir(dir);
    return n;
}

static void a_start_that_fails_names_the_program_and_leaves_nothing(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    AUTO(loop) l = open_loop();
    struct run r = {.l = l};
    struct loop_child *child = NULL;
    struct loop_child_options o = {
        .argv = (const char *const[]){"/nowhere/program", NULL},
            .ended = ended, .ctx = &r
    };
    size_t before = open_fds();
    assert_fails(loop_child_start(l, &o, &child, &e), -ENOENT, "StartFailed");
    assert_contains(e.msg, "/nowhere/program");
    o.argv = (const char *const[]){"/etc/passwd", NULL};
    assert_fails(loop_child_start(l, &o, &child, &e), -EACCES, "StartFailed");
    o.argv = (const char *const[]){"true", NULL};
    o.cwd = "/nowhere";
    assert_fails(loop_child_start(l, &o, &child, &e), -ENOENT, "StartFailed");
    assert_contains(e.msg, "/nowhere");
    o.cwd = NULL;
    o.fds = (struct loop_child_fd[]){
        {1000, 3}
    };
    o.n_fds = 1;
    assert_fails(loop_child_start(l, &o, &child, &e), -EBADF, "StartFailed");
    assert_null(child);
    assert_int_equal(open_fds(), before);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    loop_run(l);
    assert_int_equal(r.ends, 0);
}

/* However many descriptors are left: it starts, or it fails and nothing runs and nothing is open.
 */
static void a_start_without_descriptors_left_fails_and_leaves_no_process(void **state)
{
    (void)state;
    AUTO(loop) l = open_loop();
    struct rlimit was;
    getrlimit(RLIMIT_NOFILE, &was);
    int n_failed = 0;
    size_t before = open_fds();
    for (rlim_t limit = 3; limit < before + 16; limit++) {
        struct err e = ERR_INIT;
        struct run r = {.l = l};
        struct loop_child_options o = {
            .argv = (const char *const[]){"true", NULL},
                .ended = ended, .ctx = &r
        };
        setrlimit(RLIMIT_NOFILE, &(struct rlimit){limit, was.rlim_max});
        int result = loop_child_start(l, &o, &r.child, &e);
        setrlimit(RLIMIT_NOFILE, &was);
        if (result < 0) {
            assert_string_equal(e.reason, "StartFailed");
            n_failed++;
        } else {
            loop_run(l);
            assert_int_equal(r.ends, 1);
            assert_int_equal(WEXITSTATUS(r.status), 0);
            loop_child_free(r.child);
        }
        assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
        assert_int_equal(errno, ECHILD);
        assert_int_equal(open_fds(), before);
    }
    assert_in_range(n_failed, 1, before + 12);
}

static void many_children_end_at_once_and_each_is_told(void **state)
{
    (void)state;
    AUTO(loop) l = open_loop();
    struct run runs[40] = {0};
    struct err e = ERR_INIT;
    for (int i = 0; i < 40; i++) {
        autofree char *script = xasprintf("exit %d", i);
        runs[i].l = l;
        runs[i].frees_itself = true;
        struct loop_child_options o = {
            .argv = (const char *const[]){"sh", "-c", script, NULL},
            .ended = ended,
            .ctx = &runs[i]
        };
        assert_ok(loop_child_start(l, &o, &runs[i].child, &e));
    }
    loop_run(l);
    for (int i = 0; i < 40; i++) {
        assert_int_equal(runs[i].ends, 1);
        assert_int_equal(WEXITSTATUS(runs[i].status), i);
    }
}

static void children_have_a_status_where_sigchld_was_inherited_as_ignored(void **state)
{
    (void)state;
    autobuf out = BUF_INIT;
    signal(SIGCHLD, SIG_IGN);
    int status = run_script("exit 5", (struct loop_child_options){0}, &out);
    assert_int_equal(WEXITSTATUS(status), 5);
}

/* A child that exits with this status when the other end of *ret_fd is closed, or at once. */
static pid_t fork_waiting(int status, int *ret_fd)
{
    int fds[2];
    if (ret_fd)
        assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (!pid) {
        char c;
        if (ret_fd) {
            close(fds[1]);
            (void)!read(fds[0], &c, 1);
        }
        _exit(status);
    }
    if (ret_fd) {
        close(fds[0]);
        *ret_fd = fds[1];
    }
    return pid;
}

static void wait_until_it_has_ended(pid_t pid)
{
    siginfo_t info;
    assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
}

static void a_forked_child_that_is_adopted_tells_its_status(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    AUTO(loop) l = open_loop();
    struct run exits = {.l = l, .frees_itself = true}, dies = exits, over = exits;
    int exits_fd, dies_fd;
    assert_ok(loop_child_adopt(l, fork_waiting(7, &exits_fd), ended, &exits, &exits.child, &e));
    assert_ok(loop_child_adopt(l, fork_waiting(0, &dies_fd), ended, &dies, &dies.child, &e));
    pid_t over_pid = fork_waiting(9, NULL);
    wait_until_it_has_ended(over_pid);
    assert_ok(loop_child_adopt(l, over_pid, ended, &over, &over.child, &e));
    assert_int_equal(over.ends, 0);
    close(exits_fd);
    loop_child_kill(dies.child, SIGKILL);
    loop_run(l);
    close(dies_fd);
    assert_int_equal(exits.ends + dies.ends + over.ends, 3);
    assert_int_equal(exits.status, W_EXITCODE(7, 0));
    assert_int_equal(dies.status, SIGKILL);
    assert_int_equal(over.status, W_EXITCODE(9, 0));
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
}

static void a_process_that_is_gone_cannot_be_adopted(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    AUTO(loop) l = open_loop();
    struct run r = {.l = l};
    pid_t pid = fork_waiting(0, NULL);
    assert_int_equal(child_wait(pid, NULL), 0);
    assert_fails(loop_child_adopt(l, pid, ended, &r, &r.child, &e), -ESRCH, "NoSuchProcess");
    assert_fails(loop_child_adopt(l, 0, ended, &r, &r.child, &e), -ESRCH, "NoSuchProcess");
    assert_null(r.child);
}

/* A child of a child, which waits as in fork_waiting(). Its parent ends at once, or when the other
 * end of *ret_parent_fd is closed. */
static pid_t fork_grandchild(int status, int *ret_fd, int *ret_parent_fd)
{
    int told[2], held[2];
    pid_t pid, parent;
    int fds[2];
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    assert_int_equal(pipe2(told, O_CLOEXEC), 0);
    assert_int_equal(pipe2(held, O_CLOEXEC), 0);
    parent = fork();
    assert_true(parent >= 0);
    if (!parent) {
        char c;
        close(fds[1]);
        close(held[1]);
        pid = fork();
        if (!pid) {
            if (ret_fd)
                (void)!read(fds[0], &c, 1);
            _exit(status);
        }
        (void)!write(told[1], &pid, sizeof(pid));
        if (ret_parent_fd)
            (void)!read(held[0], &c, 1);
        _exit(0);
    }
    assert_int_equal(read(told[0], &pid, sizeof(pid)), sizeof(pid));
    close(told[0]);
    close(told[1]);
    close(fds[0]);
    close(held[0]);
    if (ret_fd)
        *ret_fd = fds[1];
    else
        close(fds[1]);
    if (ret_parent_fd) {
        *ret_parent_fd = held[1];
    } else {
        close(held[1]);
        assert_int_equal(child_wait(parent, NULL), 0);
    }
    return pid;
}

static void the_end_of_a_stranger_is_told_and_its_status_is_unknown(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    AUTO(loop) l = open_loop();
    struct run r = {.l = l};
    int fd, parent_fd;
    pid_t pid = fork_grandchild(3, &fd, &parent_fd);
    assert_ok(loop_child_adopt(l, pid, ended, &r, &r.child, &e));
    close(fd);
    loop_run(l);
    assert_int_equal(r.ends, 1);
    assert_int_equal(r.status, LOOP_STATUS_UNKNOWN);
    loop_child_free(r.child);
    close(parent_fd);
    while (wait(NULL) > 0)
        ;
}

static void orphans_are_reaped_and_no_status_of_others_is_lost_with_them(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    AUTO(loop) l = open_loop();
    struct run runs[20] = {0};
    int fds[20], left_fd;
    assert_ok(loop_reap_orphans(l, &e));
    assert_ok(loop_reap_orphans(l, &e));
    /* They end in this order: children, orphans and children that were adopted, mixed. */
    for (int i = 0; i < 20; i++) {
        runs[i].l = l;
        if (i % 2)
            runs[i].child = start_waiting(&runs[i], false, &fds[i]);
        else
            assert_ok(
                loop_child_adopt(l, fork_waiting(i, &fds[i]), ended, &runs[i], &runs[i].child, &e));
    }
    struct run left = {.l = l};
    loop_child_free(start_waiting(&left, false, &left_fd));
    close(left_fd);
    for (int i = 0; i < 20; i++) {
        close(fds[i]);
        wait_until_it_has_ended(fork_grandchild(1, NULL, NULL));
    }
    loop_run(l);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(runs[i].ends, 1);
        assert_int_equal(runs[i].status, W_EXITCODE(i % 2 ? 0 : i, 0));
        loop_child_free(runs[i].child);
    }
    assert_int_equal(left.ends, 0);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
}

static void an_orphan_that_ended_while_they_were_held_back_can_be_adopted(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    AUTO(loop) l = open_loop();
    struct run r = {.l = l}, other = {.l = l};
    int fd;
    assert_ok(loop_reap_orphans(l, &e));
    loop_orphans_hold(l);
    loop_orphans_hold(l);
    pid_t pid = fork_grandchild(7, NULL, NULL), unwanted = fork_grandchild(8, NULL, NULL);
    wait_until_it_has_ended(pid);
    wait_until_it_has_ended(unwanted);
    other.child = start_waiting(&other, false, &fd);
    close(fd);
    loop_orphans_release(l);
    loop_run(l); /* SIGCHLD comes, and a child ends */
    assert_int_equal(other.ends, 1);
    assert_ok(loop_child_adopt(l, pid, ended, &r, &r.child, &e));
    loop_orphans_release(l);
    loop_run(l);
    assert_int_equal(r.status, W_EXITCODE(7, 0));
    loop_child_free(r.child);
    loop_child_free(other.child);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* the unwanted one is reaped */
    assert_int_equal(errno, ECHILD);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_status_is_that_of_waitpid),
        cmocka_unit_test(a_child_has_no_descriptor_that_it_was_not_given),
        cmocka_unit_test(descriptors_may_change_places),
        cmocka_unit_test(a_child_begins_in_its_folder_with_its_environment),
        cmocka_unit_test(a_child_has_the_default_actions_of_all_signals),
        cmocka_unit_test(a_detached_child_has_a_session_of_its_own),
        cmocka_unit_test(a_killed_child_tells_its_signal_and_may_be_freed_by_its_callback),
        cmocka_unit_test(killing_a_child_that_has_ended_does_nothing),
        cmocka_unit_test(a_child_that_was_left_is_reaped_and_not_told_and_keeps_no_loop_running),
        cmocka_unit_test(a_start_that_fails_names_the_program_and_leaves_nothing),
        cmocka_unit_test(a_start_without_descriptors_left_fails_and_leaves_no_process),
        cmocka_unit_test(many_children_end_at_once_and_each_is_told),
        cmocka_unit_test(children_have_a_status_where_sigchld_was_inherited_as_ignored),
        cmocka_unit_test(a_forked_child_that_is_adopted_tells_its_status),
        cmocka_unit_test(a_process_that_is_gone_cannot_be_adopted),
        cmocka_unit_test(the_end_of_a_stranger_is_told_and_its_status_is_unknown),
        /* These make the process a subreaper for good. */
        cmocka_unit_test(orphans_are_reaped_and_no_status_of_others_is_lost_with_them),
        cmocka_unit_test(an_orphan_that_ended_while_they_were_held_back_can_be_adopted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
