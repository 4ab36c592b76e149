/* SPDX-License-Identifier: Apache-2.0 */
/* `start`: one daemon for each pod, however many starts there are, and none that cannot serve. The
 * daemon is a child that reports and then does nothing. */
#include "unit.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "base/fds.h"
#include "base/paths.h"
#include "shim/command/start.h"

static char *folder, *sockets;
static int life[2];  /* daemons live until its writing end is shut */
static int count[2]; /* each writes its pid */

/* What the daemon does when it has been made. */
enum daemon { SERVES, FAILS, DIES, DAWDLES };

static int before(void **state)
{
    (void)state;
    folder = unit_temp_dir();
    sockets = path_join(folder, "s");
    assert_int_equal(pipe2(life, O_CLOEXEC), 0);
    assert_int_equal(pipe2(count, O_CLOEXEC | O_NONBLOCK), 0);
    /* To see them end. */
    assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 0);
    return 0;
}

static void daemons_end(void)
{
    close(take_fd(&life[1]));
    while (wait(NULL) > 0)
        ;
}

static int after(void **state)
{
    (void)state;
    if (life[1] >= 0)
        daemons_end();
    close(life[0]);
    close(count[0]);
    close(count[1]);
    free(sockets);
    unit_remove(folder);
    return 0;
}

static char *bundle_make(const char *id, const char *pod)
{
    char *bundle = path_join(folder, id);
    autofree char *path = path_join(bundle, "config.json");
    autofree char *annotation =
        pod ? xasprintf(",\"annotations\":{\"io.kubernetes.cri.sandbox-id\":\"%s\"}", pod)
            : xstrdup("");
    autofree char *text = xasprintf("{\"ociVersion\":\"1.0.2\"%s}", annotation);
    struct err e = ERR_INIT;

    assert_ok(path_mkdir_p(bundle, 0700, &e));
    assert_ok(file_write(path, text, strlen(text), 0600, 0, &e));
    return bundle;
}

static _Noreturn void daemon_main(enum daemon what, struct shim_daemon *d)
{
    struct err e = ERR_INIT;
    pid_t pid = getpid();
    char c;

    err_set(&e, -ENOENT, "ProgramMissing", "there is no wherry-worker");
    close(life[1]);
    if (what == DIES)
        _exit(3);
    if (write(count[1], &pid, sizeof(pid)) != sizeof(pid))
        _exit(4);
    if (what == DAWDLES) {
        /* The other start is let go on by the test, and must wait for this one. */
        while (read(life[0], &c, 1) < 0)
            ;
        _exit(5);
    }
    shim_daemon_report(d, what == FAILS ? &e : NULL);
    (void)!read(life[0], &c, 1);
    _exit(0);
}

struct starting {
    pid_t pid;
    int out;
};

static struct starting start_begin(const char *id, const char *pod, const char *namespace,
                                   enum daemon what)
{
    autofree char *bundle = bundle_make(id, pod);
    struct shim_flags f = {
        .namespace = namespace, .id = id, .bundle = bundle, .address = "/run/c.sock"};
    struct bootstrap b = {.socket_dir = sockets, .version = 2, .is_plain = true};
    struct shim_daemon d = SHIM_DAEMON_INIT;
    struct starting s;
    struct err e = ERR_INIT;
    int out[2], r;

    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    s.pid = fork();
    assert_true(s.pid >= 0);
    if (s.pid) {
        close(out[1]);
        s.out = out[0];
        return s;
    }
    dup2(out[1], STDOUT_FILENO);
    dup2(out[1], STDERR_FILENO);
    close(out[1]);
    r = shim_start(&f, &b, &d, &e);
    if (r > 0)
        daemon_main(what, &d);
    if (r < 0)
        dprintf(STDERR_FILENO, "%s", e.msg);
    _exit(r < 0);
}

/* Its output; containerd waits for the end of it, as the daemon must not hold it. */
static char *start_end(struct starting s, int status_wanted)
{
    autobuf text = BUF_INIT;
    struct err e = ERR_INIT;
    int status;

    assert_ok(fd_read_all(s.out, 4096, &text, &e));
    close(s.out);
    assert_int_equal(waitpid(s.pid, &status, 0), s.pid);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != status_wanted)
        fail_msg("start ended with %d and said '%s'", status, buf_str(&text));
    return xstrdup(buf_str(&text));
}

static char *start(const char *id, const char *pod, const char *namespace)
{
    return start_end(start_begin(id, pod, namespace, SERVES), 0);
}

static int daemons_made(void)
{
    pid_t pid;
    int n = 0;

    while (read(count[0], &pid, sizeof(pid)) == sizeof(pid))
        n++;
    return n;
}

/* Of the sockets' folder, whose names end so. */
static int entries(const char *suffix)
{
    DIR *dir = opendir(sockets);
    const struct dirent *d;
    int n = 0;

    assert_non_null(dir);
    while ((d = readdir(dir)))
        n += d->d_name[0] != '.' && strlen(d->d_name) >= strlen(suffix) &&
             str_eq(d->d_name + strlen(d->d_name) - strlen(suffix), suffix);
    closedir(dir);
    return n;
}

static bool is_listening(const char *address)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    autofd fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf(name.sun_path, sizeof(name.sun_path), "%s", address + strlen("unix://"));
    return !connect(fd, (struct sockaddr *)&name, sizeof(name));
}

static void a_start_answers_where_its_daemon_listens_and_notes_it(void **state)
{
    autofree char *address = start("c1", NULL, "default"), *path = path_join(folder, "c1/address");
    autobuf noted = BUF_INIT;
    struct err e = ERR_INIT;

    (void)state;
    assert_true(is_listening(address));
    assert_ok(file_read(path, 4096, &noted, &e));
    assert_string_equal(buf_str(&noted), address);
    assert_int_equal(daemons_made(), 1);
    assert_int_equal(entries("lock"), 0);
}

static void containers_of_a_pod_share_a_daemon_and_others_do_not(void **state)
{
    autofree char *sandbox = start("p", "p", "k8s.io"), *member = start("c1", "p", "k8s.io"),
                  *other = start("c2", "q", "k8s.io"), *alone = start("c3", NULL, "k8s.io"),
                  *elsewhere = start("p", "p", "default");

    (void)state;
    assert_string_equal(sandbox, member);
    assert_string_not_equal(sandbox, other);
    assert_string_not_equal(sandbox, alone);
    assert_string_not_equal(sandbox, elsewhere);
    assert_int_equal(daemons_made(), 4);
}

static void starts_of_a_pod_at_the_same_time_make_one_daemon(void **state)
{
    struct starting s[8];
    char *first = NULL;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(s); i++) {
        autofree char *id = xasprintf("c%zu", i);

        s[i] = start_begin(id, "p", "k8s.io", SERVES);
    }
    for (size_t i = 0; i < ARRAY_SIZE(s); i++) {
        char *address = start_end(s[i], 0);

        if (first)
            assert_string_equal(address, first);
        free(first);
        first = address;
    }
    free(first);
    assert_int_equal(daemons_made(), 1);
    assert_int_equal(entries("lock"), 0);
}

static void a_daemon_that_cannot_serve_is_the_error_of_its_start(void **state)
{
    autofree char *failed = start_end(start_begin("c1", NULL, "default", FAILS), 1);
    autofree char *died = start_end(start_begin("c1", NULL, "default", DIES), 1);

    (void)state;
    assert_string_equal(failed, "there is no wherry-worker");
    assert_contains(died, "ended before it could serve");
    assert_int_equal(entries(""), 0);
}

/* It would have an address that nobody answers at. */
static void another_start_waits_until_the_first_ones_daemon_serves(void **state)
{
    struct starting first = start_begin("c1", "p", "k8s.io", DAWDLES), second;
    autofree char *failed = NULL, *address = NULL;
    pid_t pid;

    (void)state;
    while (read(count[0], &pid, sizeof(pid)) != sizeof(pid))
        ;
    second = start_begin("c2", "p", "k8s.io", SERVES);
    kill(pid, SIGKILL);
    failed = start_end(first, 1);
    address = start_end(second, 0);
    assert_contains(failed, "ended before it could serve");
    assert_true(is_listening(address));
    assert_int_equal(daemons_made(), 1);
}

static void the_socket_of_a_killed_daemon_is_taken_over(void **state)
{
    autofree char *address = start("c1", NULL, "default"), *again = NULL;

    (void)state;
    daemons_end();
    assert_false(is_listening(address));
    assert_int_equal(daemons_made(), 1);
    assert_int_equal(pipe2(life, O_CLOEXEC), 0);
    again = start("c1", NULL, "default");
    assert_string_equal(address, again);
    assert_true(is_listening(again));
    assert_int_equal(daemons_made(), 1);
}

static void delete_removes_the_socket_of_a_killed_daemon_only(void **state)
{
    autofree char *address = start("c1", NULL, "default"), *bundle = path_join(folder, "c1");
    autofd fd = open(bundle, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    (void)state;
    shim_socket_drop(fd);
    assert_true(is_listening(address));
    daemons_end();
    shim_socket_drop(fd);
    assert_int_equal(entries(""), 0);
    shim_socket_drop(fd);
}

static void an_address_that_is_no_socket_is_left(void **state)
{
    autofree char *bundle = bundle_make("c1", NULL), *file = path_join(folder, "precious"),
                  *path = path_join(bundle, "address"), *text = xasprintf("unix://%s", file);
    autofd fd = open(bundle, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct err e = ERR_INIT;

    (void)state;
    assert_ok(file_write(file, "x", 1, 0600, 0, &e));
    assert_ok(file_write(path, text, strlen(text), 0600, 0, &e));
    shim_socket_drop(fd);
    assert_int_equal(access(file, F_OK), 0);
}

static void what_keeps_a_start_from_going_on_is_said(void **state)
{
    struct shim_flags f = {.namespace = "default", .id = "c1", .bundle = "/nowhere"};
    struct bootstrap b = {.socket_dir = sockets};
    struct shim_daemon d = SHIM_DAEMON_INIT;
    autofree char *bundle = NULL, *path = NULL;
    struct err e = ERR_INIT;
    char longest[200];

    (void)state;
    assert_fails(shim_start(&f, &b, &d, &e), -ENOENT, "NoBundle");
    bundle = bundle_make("c1", NULL);
    f.bundle = bundle;
    memset(longest, 'x', sizeof(longest));
    longest[0] = '/';
    longest[sizeof(longest) - 1] = '\0';
    b.socket_dir = longest;
    assert_fails(shim_start(&f, &b, &d, &e), -ENAMETOOLONG, "SocketFailed");
    path = path_join(bundle, "config.json");
    assert_ok(file_write(path, "{", 1, 0600, 0, &e));
    assert_true(shim_start(&f, &b, &d, &e) < 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, before, after)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_start_answers_where_its_daemon_listens_and_notes_it),
        TEST(containers_of_a_pod_share_a_daemon_and_others_do_not),
        TEST(starts_of_a_pod_at_the_same_time_make_one_daemon),
        TEST(a_daemon_that_cannot_serve_is_the_error_of_its_start),
        TEST(another_start_waits_until_the_first_ones_daemon_serves),
        TEST(the_socket_of_a_killed_daemon_is_taken_over),
        TEST(delete_removes_the_socket_of_a_killed_daemon_only),
        TEST(an_address_that_is_no_socket_is_left),
        TEST(what_keeps_a_start_from_going_on_is_said),
    };

    alarm(60);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
