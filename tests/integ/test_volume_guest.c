/* SPDX-License-Identifier: Apache-2.0 */
/* The volumes of a pod as a real guest sees them, through the links of their layout. */
#include "unit.h"

#include <spawn.h>

#include "pod_volumes.h"

extern char **environ;

static char *guest, *wherry;

static int group_setup(void **state)
{
    const char *root = getenv("WHERRY_ROOT"), *program = getenv("WHERRY");
    autofree char *make = NULL;

    (void)state;
    assert_non_null(root);
    assert_non_null(program);
    wherry = xstrdup(program);
    guest = xasprintf("%s/build/guests/projection.wasm", root);
    make =
        xasprintf("make -s -C '%s/tests/guests' OUT='%s/build/guests' '%s' >&2", root, root, guest);
    return system(make); /* NOLINT(cert-env33-c): a command of our own */
}

static int group_teardown(void **state)
{
    (void)state;
    free(guest);
    free(wherry);
    return 0;
}

/* Starts the guest with these mounts and arguments; *ret_out is what it prints to. */
static pid_t guest_start(const struct volume_mounts *m, const char *const *args, int *ret_out)
{
    autostrv argv = STRV_INIT;
    posix_spawn_file_actions_t actions;
    int out[2];
    pid_t pid;

    strv_add(&argv, wherry);
    strv_add(&argv, "run");
    for (size_t i = 0; i < m->n; i++) {
        strv_add(&argv, "--dir");
        strv_addf(&argv, "/proc/%d/fd/%d::%s%s", (int)getpid(), m->v[i].fd, m->v[i].path,
                  m->v[i].is_read_only ? ":ro" : "");
    }
    strv_add(&argv, guest);
    strv_addv(&argv, (char *const *)args);
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
    assert_int_equal(posix_spawn(&pid, wherry, &actions, NULL, argv.v, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    close(out[1]);
    *ret_out = out[0];
    return pid;
}

/* What the guest printed, when it has ended; 0 or its status. */
static int guest_end(pid_t pid, int out, struct buf *text)
{
    struct err e = ERR_INIT;
    int status;

    assert_ok(fd_read_all(out, 1 << 20, text, &e));
    close(out);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void a_guest_reads_through_the_links_of_a_projection(void **state)
{
    const char *const args[] = {
        "show",     "/etc/app/conf", "/etc/app/sub/deep", "/etc/app/..data/conf",
        "/etc/app", "/files",        "/files/one",        "/files/none",
        NULL};
    struct pod_item items[] = {
        {.key = "conf", .path = "conf",     .mode = -1},
        {.key = "deep", .path = "sub/deep", .mode = -1}
    };
    struct pod_projection *from = projected("config", POD_VOLUME_CONFIG, "c");
    automounts m = {0};
    autobuf text = BUF_INIT;
    struct err e = ERR_INIT;
    int out;
    pid_t pid;

    (void)state;
    from->items = items;
    from->n_items = 2;
    text_set(POD_OBJECT_CONFIG, "c", "conf", "content");
    text_set(POD_OBJECT_CONFIG, "c", "deep", "deeper");
    mounted("config", "/etc/app", NULL);
    mounted("config", "/files/one", "sub/deep");
    prepared();
    assert_ok(open_mounts(&m, &e));
    pid = guest_start(&m, args, &out);
    assert_int_equal(guest_end(pid, out, &text), 1);
    assert_contains(buf_str(&text), "/etc/app/conf: content\n");
    assert_contains(buf_str(&text), "/etc/app/sub/deep: deeper\n");
    assert_contains(buf_str(&text), "/etc/app/..data/conf: content\n");
    assert_contains(buf_str(&text), "/files: one\n");
    assert_contains(buf_str(&text), "/files/one: deeper\n");
    assert_contains(buf_str(&text), "/files/none: ");
}

static void show_secret(void)
{
    const char *const args[] = {"show", "/run/secret/token", "/etc/app/token", NULL};
    automounts m = {0};
    autobuf text = BUF_INIT;
    struct err e = ERR_INIT;
    int out;
    pid_t pid;

    child_check(!prepare(&e) && !open_mounts(&m, &e) && is_on_tmpfs(m.v[0].fd));
    pid = guest_start(&m, args, &out);
    child_check(guest_end(pid, out, &text) == 0);
    child_check(str_eq(buf_str(&text), "/run/secret/token: x\n/etc/app/token: x\n"));
    child_check(!volumes_remove(&places, spec.uid, &e));
}

/* Its tmpfs is mounted, and so is the single file of it. */
static void a_guest_reads_what_is_mounted_for_it(void **state)
{
    (void)state;
    projected("secret", POD_VOLUME_SECRET, "s");
    text_set(POD_OBJECT_SECRET, "s", "token", "x");
    mounted("secret", "/run/secret", NULL);
    mounted("secret", "/etc/app/token", "token");
    own_mounts_run(show_secret);
}

static void a_mount_inside_another_is_found_by_the_longer_name(void **state)
{
    const char *const args[] = {"show", "/data", "/data/inner", NULL};
    automounts m = {0};
    autobuf text = BUF_INIT;
    struct err e = ERR_INIT;
    int out;
    pid_t pid;

    (void)state;
    volume("outer", POD_VOLUME_EMPTY);
    projected("inner", POD_VOLUME_CONFIG, "c");
    text_set(POD_OBJECT_CONFIG, "c", "conf", "content");
    mounted("outer", "/data", NULL);
    mounted("inner", "/data/inner", NULL);
    prepared();
    assert_ok(open_mounts(&m, &e));
    file_put(m.v[0].fd, "file", "x");
    pid = guest_start(&m, args, &out);
    assert_int_equal(guest_end(pid, out, &text), 0);
    /* The outer folder does not show it. */
    assert_string_equal(buf_str(&text), "/data: file\n/data/inner: conf\n");
}

static void a_guest_sees_old_or_new_and_never_a_mix(void **state)
{
    static const char *const names[] = {"f0", "f1", "f2", "f3"};
    static char versions[26][3000];
    const char *const args[] = {"watch", "/etc/app", "20000", NULL};
    automounts m = {0};
    autobuf text = BUF_INIT;
    struct err e = ERR_INIT;
    bool is_changed;
    siginfo_t info = {0};
    int out;
    pid_t pid;

    (void)state;
    projected("config", POD_VOLUME_CONFIG, "c");
    for (size_t i = 0; i < 26; i++)
        memset(versions[i], 'a' + (int)i, sizeof(versions[i]));
    for (size_t k = 0; k < 4; k++)
        key_set(POD_OBJECT_CONFIG, "c", names[k], versions[0], sizeof(versions[0]));
    mounted("config", "/etc/app", NULL);
    prepared();
    assert_ok(open_mounts(&m, &e));
    pid = guest_start(&m, args, &out);
    for (size_t i = 1; !info.si_pid; i++) {
        for (size_t k = 0; k < 4; k++)
            key_set(POD_OBJECT_CONFIG, "c", names[k], versions[i % 26], sizeof(versions[0]));
        assert_ok(update(&is_changed, &e));
        assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT), 0);
    }
    assert_int_equal(guest_end(pid, out, &text), 0);
    assert_contains(buf_str(&text), "versions");
    assert_true(strtol(buf_str(&text), NULL, 10) > 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_guest_reads_through_the_links_of_a_projection),
        TEST(a_guest_reads_what_is_mounted_for_it),
        TEST(a_mount_inside_another_is_found_by_the_longer_name),
        TEST(a_guest_sees_old_or_new_and_never_a_mix),
    };
    return cmocka_run_group_tests_name("volume_guest", tests, group_setup, group_teardown);
}
