/* SPDX-License-Identifier: Apache-2.0 */
/* Guests in confined processes, with the real worker: as root. */
#include "guest_life.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <pty.h>
#include <sched.h>
#include <sys/pidfd.h>
#include <sys/syscall.h>

/* ---- What a guest sees ---- */

static void the_exit_status_is_the_guests(void **state)
{
    struct life l;

    (void)state;
    live(&l, CONFIG(ROOT_USER "\"args\":[\"/inside.wasm\",\"exit\",\"42\"]", ""));
    assert_int_equal(exit_of(&l), 42);
    life_free(&l);
}

static void the_status_document_is_left_behind(void **state)
{
    struct guest_process_options o;
    struct guest_status s;
    struct err e = ERR_INIT;
    struct life l;

    (void)state;
    life_decode(&l, CONFIG(ROOT_USER "\"args\":[\"/inside.wasm\",\"exit\",\"3\"]", ""));
    o = life_options(&l);
    life_run(&l, &o);
    assert_true(l.has_ended);
    assert_ok(guest_process_status(l.process, &s, &e));
    assert_string_equal(s.reason, "Error");
    assert_int_equal(s.exit_code, 3);
    assert_true(s.is_guest_exit);
    guest_status_done(&s);
    life_free(&l);
}

static void files_variables_and_folder_are_the_containers(void **state)
{
    struct life l;

    (void)state;
    live(&l, CONFIG(ROOT_USER "\"args\":[\"/inside.wasm\",\"show\",\"/etc/hosts\",\"show\","
                              "\"/etc/name\",\"env\",\"A\",\"env\",\"PWD\"]",
                    ",\"mounts\":[{\"destination\":\"/etc/hosts\",\"type\":\"bind\",\"source\":"
                    "\"hosts\",\"options\":[\"bind\",\"ro\"]}]"));
    assert_string_equal(l.text,
                        "/etc/hosts: of the pod\n/etc/name: of the image\nA=b\nPWD=/work\n");
    life_free(&l);
}

static void a_read_only_mount_refuses_writing(void **state)
{
    autofree char *made = xasprintf("%s/data/new", place);
    struct life l;

    (void)state;
    live(&l, CONFIG(ROOT_USER "\"args\":[\"/inside.wasm\",\"make\",\"/data/new\",\"make\","
                              "\"/tmp/new\"]",
                    ",\"mounts\":[{\"destination\":\"/data\",\"type\":\"bind\",\"source\":\"data\","
                    "\"options\":[\"rbind\",\"ro\"]},{\"destination\":\"/tmp\",\"type\":\"tmpfs\","
                    "\"source\":\"tmpfs\"}]"));
    /* The engine has no name of its own for the kernel's EROFS. */
    assert_null(strstr(l.text, "make /data/new: done"));
    assert_int_equal(access(made, F_OK), -1);
    assert_contains(l.text, "make /tmp/new: done\n");
    life_free(&l);
}

static void a_user_may_not_read_what_is_roots(void **state)
{
    struct life l;

    (void)state;
    live(&l, CONFIG("\"user\":{\"uid\":1234,\"gid\":1234},\"args\":[\"/inside.wasm\",\"show\","
                    "\"/etc/secret\",\"show\",\"/etc/name\",\"make\",\"/etc/new\"]",
                    ""));
    assert_contains(l.text, "/etc/secret: Permission denied\n");
    assert_contains(l.text, "/etc/name: of the image\n");
    assert_contains(l.text, "make /etc/new: Permission denied\n");
    life_free(&l);
}

static void a_link_leads_to_no_file_of_the_host(void **state)
{
    struct life l;

    (void)state;
    live(&l, CONFIG(ROOT_USER "\"args\":[\"/inside.wasm\",\"show\",\"/etc/out\"]", ""));
    assert_null(strstr(l.text, "of the host"));
    life_free(&l);
}

static void an_exported_function_can_be_the_entry(void **state)
{
    struct guest_process_options o;
    struct err e = ERR_INIT;
    struct guest_status s;
    struct life l;

    (void)state;
    life_decode(&l, CONFIG(ROOT_USER "\"args\":[\"/inside.wasm#nothing\"]", ""));
    o = life_options(&l);
    o.function = "nothing";
    life_run(&l, &o);
    assert_ok(guest_process_status(l.process, &s, &e));
    assert_false(s.is_guest_exit);
    assert_contains(s.message, "nothing");
    guest_status_done(&s);
    life_free(&l);
}

/* ---- How the process is confined ---- */

static void confined_check(struct life *l)
{
    autobuf limits = BUF_INIT, score = BUF_INIT;
    char line[256];

    proc_line(l->pid, "CapEff:", line);
    assert_string_equal(line, "CapEff:\t0000000000000000\n");
    proc_line(l->pid, "CapBnd:", line);
    assert_string_equal(line, "CapBnd:\t0000000000000400\n");
    proc_line(l->pid, "Uid:", line);
    assert_string_equal(line, "Uid:\t1234\t1234\t1234\t1234\n");
    proc_line(l->pid, "Groups:", line);
    assert_string_equal(line, "Groups:\t7 8 \n");
    proc_line(l->pid, "NoNewPrivs:", line);
    assert_string_equal(line, "NoNewPrivs:\t1\n");
    proc_line(l->pid, "Umask:", line);
    assert_string_equal(line, "Umask:\t0077\n");
    proc_text(l->pid, "oom_score_adj", &score);
    assert_string_equal(buf_str(&score), "777\n");
    proc_text(l->pid, "limits", &limits);
    assert_contains(buf_str(&limits), "Max open files            512                  600 ");
    assert_int_equal(getsid(l->pid), l->pid);
    guest_process_kill(l->process, SIGKILL);
}

static void limits_user_and_rights_are_those_of_the_document(void **state)
{
    struct guest_process_options o;
    struct life l;

    (void)state;
    life_decode(
        &l,
        CONFIG(
            "\"user\":{\"uid\":1234,\"gid\":99,\"umask\":63,\"additionalGids\":[7,8]},"
            "\"args\":[\"/inside.wasm\",\"sleep\",\"60\"],\"oomScoreAdj\":777,"
            "\"noNewPrivileges\":true,\"capabilities\":{\"bounding\":[\"CAP_NET_BIND_SERVICE\"]},"
            "\"rlimits\":[{\"type\":\"RLIMIT_NOFILE\",\"soft\":512,\"hard\":600}]",
            ""));
    o = life_options(&l);
    l.at_start = confined_check;
    life_run(&l, &o);
    assert_int_equal(l.failed.code, 0);
    assert_int_equal(exit_of(&l), 1000 + SIGKILL);
    life_free(&l);
}

static ino_t namespace_of(pid_t pid, const char *name)
{
    autofree char *path = xasprintf("/proc/%d/ns/%s", (int)pid, name);
    struct stat st;

    assert_int_equal(stat(path, &st), 0);
    return st.st_ino;
}

static void namespaces_are_entered_or_made(void **state)
{
    struct guest_process_options o;
    autofree char *json = NULL;
    struct life l;
    pid_t other = fork();

    (void)state;
    if (!other) {
        unshare(CLONE_NEWNET);
        raise(SIGSTOP);
        _exit(0);
    }
    assert_int_equal(waitpid(other, NULL, WUNTRACED), other);
    json = xasprintf(CONFIG(ROOT_USER "\"args\":[\"/inside.wasm\"]",
                            ",\"hostname\":\"guesthost\",\"linux\":{\"namespaces\":[{\"type\":"
                            "\"network\",\"path\":\"/proc/%d/ns/net\"},{\"type\":\"ipc\"},"
                            "{\"type\":\"uts\"},{\"type\":\"pid\"}],\"sysctl\":"
                            "{\"net.ipv4.ip_forward\":\"1\",\"kernel.shmmni\":\"17\"}}"),
                     (int)other);
    life_decode(&l, json);
    o = life_options(&l);
    l.is_held = true;
    life_run(&l, &o);
    if (l.failed.code)
        fail_msg("%s", l.failed.msg);
    assert_int_equal(namespace_of(l.pid, "net"), namespace_of(other, "net"));
    assert_int_not_equal(namespace_of(l.pid, "ipc"), namespace_of(getpid(), "ipc"));
    assert_int_not_equal(namespace_of(l.pid, "uts"), namespace_of(getpid(), "uts"));
    assert_int_equal(namespace_of(l.pid, "pid"), namespace_of(getpid(), "pid"));
    kill(other, SIGKILL);
    waitpid(other, NULL, 0);
    guest_process_kill(l.process, SIGKILL);
    loop_run(loop);
    life_free(&l);
}

static void map_put(pid_t pid, const char *file)
{
    autofree char *path = xasprintf("/proc/%d/%s", (int)pid, file);
    autofd fd = open(path, O_WRONLY | O_CLOEXEC);

    assert_int_equal(write(fd, "0 100000 2000", 13), 13);
}

static void a_user_namespace_makes_its_root_somebody_else(void **state)
{
    struct guest_process_options o;
    autofree char *json = NULL;
    char line[256];
    struct life l;
    pid_t other = fork();

    (void)state;
    if (!other) {
        unshare(CLONE_NEWUSER | CLONE_NEWNET);
        raise(SIGSTOP);
        _exit(0);
    }
    assert_int_equal(waitpid(other, NULL, WUNTRACED), other);
    map_put(other, "uid_map");
    map_put(other, "gid_map");
    json = xasprintf(CONFIG(ROOT_USER "\"args\":[\"/inside.wasm\",\"show\",\"/etc/secret\"],"
                                      "\"oomScoreAdj\":5",
                            ",\"linux\":{\"namespaces\":[{\"type\":\"network\",\"path\":"
                            "\"/proc/%d/ns/net\"},{\"type\":\"user\",\"path\":"
                            "\"/proc/%d/ns/user\"}]}"),
                     (int)other, (int)other);
    life_decode(&l, json);
    o = life_options(&l);
    l.is_held = true;
    life_run(&l, &o);
    if (l.failed.code)
        fail_msg("%s", l.failed.msg);
    proc_line(l.pid, "Uid:", line);
    assert_string_equal(line, "Uid:\t100000\t100000\t100000\t100000\n");
    assert_int_equal(namespace_of(l.pid, "net"), namespace_of(other, "net"));
    guest_process_start(l.process, life_started, &l);
    loop_run(loop);
    assert_int_equal(exit_of(&l), 0);
    guest_process_free(take_ptr(l.process));
    text_read(&l);
    assert_string_equal(l.text, "/etc/secret: Permission denied\n");
    kill(other, SIGKILL);
    waitpid(other, NULL, 0);
    life_free(&l);
}

/* Files cannot be opened in the way in which the engine does it. */
static struct sock_filter no_opening[] = {
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat2, 0, 1),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EACCES),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
};

static void seccomp_run(const char *json)
{
    const struct sock_fprog program = {ARRAY_SIZE(no_opening), no_opening};
    struct guest_process_options o;
    struct life l;

    life_decode(&l, json);
    o = life_options(&l);
    o.seccomp = &program;
    life_run(&l, &o);
    if (l.failed.code)
        fail_msg("%s", l.failed.msg);
    guest_process_free(take_ptr(l.process));
    text_read(&l);
    assert_string_equal(l.text, "/etc/name: Permission denied\n");
    life_free(&l);
}

static void system_calls_that_are_forbidden_fail(void **state)
{
    (void)state;
    seccomp_run(CONFIG(ROOT_USER "\"args\":[\"/inside.wasm\",\"show\",\"/etc/name\"]", ""));
    seccomp_run(CONFIG("\"user\":{\"uid\":1234,\"gid\":1},\"noNewPrivileges\":true,"
                       "\"args\":[\"/inside.wasm\",\"show\",\"/etc/name\"]",
                       ""));
}

static void a_terminal_is_the_processs_own(void **state)
{
    struct guest_process_options o;
    int master, slave;
    struct life l;
    size_t len = 0;
    ssize_t n;

    (void)state;
    assert_int_equal(openpty(&master, &slave, NULL, NULL, NULL), 0);
    life_decode(&l, CONFIG(ROOT_USER "\"terminal\":true,\"args\":[\"/inside.wasm\",\"tty\",\"0\","
                                     "\"tty\",\"1\"]",
                           ""));
    o = life_options(&l);
    o.stdin_fd = o.stdout_fd = o.stderr_fd = slave;
    life_run(&l, &o);
    assert_int_equal(l.failed.code, 0);
    assert_int_equal(exit_of(&l), 0);
    while (len < strlen("tty 1\r\ntty 1\r\n") && (n = read(master, l.text + len, 64)) > 0)
        len += (size_t)n;
    l.text[len] = '\0';
    assert_string_equal(l.text, "tty 1\r\ntty 1\r\n");
    close(master);
    close(slave);
    life_free(&l);
}

/* ---- Create, start, exec ---- */

static void a_created_process_runs_nothing_and_holds_nothing_of_others(void **state)
{
    struct guest_process_options o;
    autofree char *fds = NULL;
    int other[2];
    struct life l;
    char c;

    (void)state;
    assert_int_equal(pipe(other), 0); /* not even close-on-exec */
    life_decode(&l, CONFIG(ROOT_USER "\"args\":[\"/inside.wasm\",\"make\",\"/tmp/ran\"]", ""));
    o = life_options(&l);
    l.is_held = true;
    life_run(&l, &o);
    assert_int_equal(l.failed.code, 0);
    close(other[1]);
    assert_int_equal(read(other[0], &c, 1), 0); /* nobody else has it */
    close(other[0]);
    assert_int_equal(guest_process_kill(l.process, SIGTERM), 0);
    loop_run(loop);
    assert_int_equal(exit_of(&l), 1000 + SIGTERM);
    assert_int_equal(guest_process_kill(l.process, SIGTERM), -ESRCH);
    life_free(&l);
}

static struct life executed;

static void exec_in(struct life *l)
{
    static const char json[] = "{\"cwd\":\"/\",\"user\":{\"uid\":0,\"gid\":0},\"args\":"
                               "[\"x\",\"show\",\"/etc/name\",\"exit\",\"7\"]}";
    struct guest_process_options o;
    struct err e = ERR_INIT;

    assert_ok(oci_process_decode(json, strlen(json), &executed.exec, &e));
    o = life_options(l);
    o.process = &executed.exec;
    o.of = l->process;
    o.ctx = &executed;
    o.id = "exec";
    assert_ok(guest_process_new(&o, &executed.process, &e));
    guest_process_create(executed.process, life_created, &executed);
}

static void an_exec_enters_the_namespaces_that_the_container_made(void **state)
{
    struct guest_process_options o;
    struct life l;

    (void)state;
    executed = (struct life){.out = -1, .is_held = true};
    life_decode(&l, CONFIG(ROOT_USER "\"args\":[\"/inside.wasm\",\"sleep\",\"60\"]",
                           ",\"linux\":{\"namespaces\":[{\"type\":\"network\"}]}"));
    l.at_start = exec_in;
    o = life_options(&l);
    life_run(&l, &o); /* until the exec is created */
    if (executed.failed.code)
        fail_msg("%s", executed.failed.msg);
    assert_int_equal(namespace_of(executed.pid, "net"), namespace_of(l.pid, "net"));
    assert_int_not_equal(namespace_of(l.pid, "net"), namespace_of(getpid(), "net"));
    guest_process_start(executed.process, life_started, &executed);
    loop_run(loop);
    assert_true(executed.has_ended);
    assert_int_equal(exit_of(&executed), 7);
    guest_process_kill(l.process, SIGKILL);
    loop_run(loop);
    assert_true(l.has_ended);
    oci_process_done(&executed.exec);
    guest_process_free(executed.process);
    life_free(&l);
}

static void score_check(struct life *l)
{
    autobuf own = BUF_INIT, score = BUF_INIT;

    proc_text(getpid(), "oom_score_adj", &own);
    proc_text(l->pid, "oom_score_adj", &score);
    assert_string_equal(buf_str(&score),
                        guest_process_is_score_kept(l->process) ? buf_str(&own) : "-900\n");
    guest_process_kill(l->process, SIGKILL);
}

static void a_score_that_may_not_be_lowered_stays(void **state)
{
    struct guest_process_options o;
    struct life l;

    (void)state;
    life_decode(&l, CONFIG(ROOT_USER "\"oomScoreAdj\":-900,\"args\":[\"/inside.wasm\"]", ""));
    o = life_options(&l);
    l.at_start = score_check;
    life_run(&l, &o);
    assert_int_not_equal(l.pid, 0);
    life_free(&l);
}

static void a_step_that_fails_is_named(void **state)
{
    struct guest_process_options o;
    struct cgroup_fds no_group = {{open("/dev/null", O_RDONLY | O_CLOEXEC)}, 1};
    struct life l;

    (void)state;
    life_decode(&l, CONFIG(ROOT_USER "\"args\":[\"/inside.wasm\"]", ""));
    o = life_options(&l);
    o.cgroup = &no_group;
    life_run(&l, &o);
    assert_string_equal(l.failed.reason, "ConfinementFailed");
    assert_contains(l.failed.msg, "cannot enter its control group: ");
    assert_int_equal(l.pid, 0);
    cgroup_fds_close(&no_group);
    life_free(&l);
}

static void a_missing_worker_is_named(void **state)
{
    struct guest_process_options o;
    struct life l;

    (void)state;
    life_decode(&l, CONFIG(ROOT_USER "\"args\":[\"/inside.wasm\"]", ""));
    o = life_options(&l);
    o.worker = "/no/wherry-worker";
    life_run(&l, &o);
    assert_string_equal(l.failed.reason, "ExecFailed");
    assert_contains(l.failed.msg, "'/no/wherry-worker'");
    life_free(&l);
}

static void a_worker_that_cannot_be_executed_fails_the_start(void **state)
{
    autofree char *file = xasprintf("%s/hosts", place);
    struct guest_process_options o;
    struct life l;

    (void)state;
    life_decode(&l, CONFIG(ROOT_USER "\"args\":[\"/inside.wasm\"]", ""));
    o = life_options(&l);
    o.worker = file;
    life_run(&l, &o);
    assert_string_equal(l.failed.reason, "ExecFailed");
    assert_int_equal(l.failed.code, -EACCES);
    assert_true(l.has_ended);
    assert_int_equal(exit_of(&l), 126);
    life_free(&l);
}

/* ---- A server ---- */

static void http_get(struct life *l)
{
    const struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(8123), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    static const char request[] = "GET /hello HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    autofree char *name = xasprintf("/proc/%d/ns/net", (int)l->pid);
    autofd own = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC),
           theirs = open(name, O_RDONLY | O_CLOEXEC), fd = -EBADF;
    size_t len = 0;
    ssize_t n;

    assert_int_equal(setns(theirs, CLONE_NEWNET), 0);
    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(setns(own, CLONE_NEWNET), 0);
    /* The listener was there before the guest, and waits for it. */
    assert_int_equal(connect(fd, (const struct sockaddr *)&to, sizeof(to)), 0);
    assert_int_equal(write(fd, request, strlen(request)), strlen(request));
    while ((n = read(fd, l->text + len, sizeof(l->text) - 1 - len)) > 0)
        len += (size_t)n;
    l->text[len] = '\0';
    guest_process_kill(l->process, SIGTERM);
}

static void an_http_guest_answers_in_its_network_namespace(void **state)
{
    struct guest_process_options o;
    struct life l;

    (void)state;
    life_decode(&l, CONFIG("\"user\":{\"uid\":1234,\"gid\":1},\"args\":[\"/probe.wasm\"],"
                           "\"noNewPrivileges\":true",
                           ",\"linux\":{\"namespaces\":[{\"type\":\"network\"}]}"));
    o = life_options(&l);
    o.contract = CONTRACT_P2_HTTP;
    o.program_fd = http.fd;
    o.code_fd = http.code_fd;
    o.http_port = 8123;
    l.at_start = http_get;
    life_run(&l, &o);
    if (l.failed.code)
        fail_msg("%s", l.failed.msg);
    assert_int_equal(exit_of(&l), 0); /* a service that is ended is done */
    assert_contains(l.text, "HTTP/1.1 200 OK\r\n");
    life_free(&l);
}

/* ---- The end of who started it ---- */

/* Started as another process: starts a guest, says its pid, and is gone. */
static void abandon(struct life *l)
{
    printf("%d\n", (int)l->pid);
    fflush(stdout);
    _exit(0);
}

static int abandon_main(void)
{
    struct guest_process_options o;
    struct life l;

    life_decode(&l, CONFIG(ROOT_USER "\"args\":[\"/inside.wasm\",\"sleep\",\"1\",\"make\","
                                     "\"/data/alive\"]",
                           ",\"mounts\":[{\"destination\":\"/data\",\"type\":\"bind\","
                           "\"source\":\"data\",\"options\":[\"bind\"]}]"));
    o = life_options(&l);
    l.at_start = abandon;
    life_run(&l, &o);
    return 1;
}

static void a_guest_outlives_who_started_it(void **state)
{
    autofree char *made = xasprintf("%s/data/alive", place);
    autofree char *command = xasprintf("exec '/proc/%d/exe' abandon '%s'", (int)getpid(), place);
    FILE *other = popen(command, "re"); /* NOLINT(cert-env33-c): a command of our own */
    struct pollfd p = {.events = POLLIN};
    char line[32];

    (void)state;
    assert_non_null(other);
    assert_non_null(fgets(line, sizeof(line), other));
    assert_int_equal(pclose(other), 0);
    p.fd = pidfd_open((pid_t)strtol(line, NULL, 10), 0);
    assert_true(p.fd >= 0);
    assert_int_equal(poll(&p, 1, 30000), 1);
    close(p.fd);
    assert_int_equal(access(made, F_OK), 0);
}

/* ---- Set-up ---- */

static void put(const char *path, const char *text, mode_t mode)
{
    autofree char *full = xasprintf("%s/%s", place, path);
    struct err e = ERR_INIT;

    assert_ok(file_write(full, text, strlen(text), mode, 0, &e));
}

static void folder(const char *path)
{
    autofree char *full = xasprintf("%s/%s", place, path);

    assert_int_equal(mkdir(full, 0755), 0);
}

static void place_fill(void)
{
    autofree char *out = NULL;

    place = unit_temp_dir();
    assert_int_equal(chmod(place, 0755), 0);
    folder("rootfs");
    folder("rootfs/etc");
    folder("data");
    folder("cache");
    put("rootfs/etc/name", "of the image\n", 0644);
    put("rootfs/etc/secret", "of root\n", 0600);
    put("rootfs/etc/hosts", "of the image\n", 0644);
    put("hosts", "of the pod\n", 0644);
    put("outside", "of the host\n", 0644);
    out = xasprintf("%s/rootfs/etc/out", place);
    assert_int_equal(symlink("../../outside", out), 0);
}

static void prepared(void *ctx, const struct err *e, struct prepared *p)
{
    struct program *to = ctx;

    if (e)
        fprintf(stderr, "# %s\n", e->msg);
    else
        to->code_fd = take_fd(&p->code_fd);
    loop_stop(loop);
}

static void program_open(struct programs *programs, const char *root, struct program *p)
{
    autofree char *path = xasprintf("%s/build/guests/%s", root, p->name);
    autofree char *make =
        xasprintf("make -s -C '%s/tests/guests' OUT='%s/build/guests' '%s' >&2", root, root, path);

    assert_int_equal(system(make), 0); /* NOLINT(cert-env33-c): a command of our own */
    p->fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(p->fd >= 0);
    program_prepare(programs, p->fd, NULL, prepared, p);
    loop_run(loop);
    assert_true(p->code_fd >= 0);
}

static void things_open(const char *cache)
{
    const char *root = getenv("WHERRY_ROOT");
    struct programs *programs;
    struct err e = ERR_INIT;

    assert_non_null(root);
    worker = xasprintf("%s/build/wherry-worker", root);
    assert_ok(loop_open(&loop, &e));
    assert_ok(loop_reap_orphans(loop, &e)); /* as the shim does */
    programs = programs_new(loop, worker, cache);
    program_open(programs, root, &inside);
    program_open(programs, root, &http);
    programs_free(programs);
}

static int group_setup(void **state)
{
    autofree char *cache = NULL;

    (void)state;
    place_fill();
    cache = path_join(place, "cache");
    assert_int_equal(chmod(cache, 0700), 0);
    things_open(cache);
    return 0;
}

static void things_close(void)
{
    loop_free(loop);
    close(inside.fd);
    close(inside.code_fd);
    close(http.fd);
    close(http.code_fd);
    free(worker);
}

static int group_teardown(void **state)
{
    (void)state;
    things_close();
    unit_remove(place);
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_exit_status_is_the_guests),
        cmocka_unit_test(the_status_document_is_left_behind),
        cmocka_unit_test(files_variables_and_folder_are_the_containers),
        cmocka_unit_test(a_read_only_mount_refuses_writing),
        cmocka_unit_test(a_user_may_not_read_what_is_roots),
        cmocka_unit_test(a_link_leads_to_no_file_of_the_host),
        cmocka_unit_test(an_exported_function_can_be_the_entry),
        cmocka_unit_test(limits_user_and_rights_are_those_of_the_document),
        cmocka_unit_test(namespaces_are_entered_or_made),
        cmocka_unit_test(a_user_namespace_makes_its_root_somebody_else),
        cmocka_unit_test(system_calls_that_are_forbidden_fail),
        cmocka_unit_test(a_terminal_is_the_processs_own),
        cmocka_unit_test(a_created_process_runs_nothing_and_holds_nothing_of_others),
        cmocka_unit_test(an_exec_enters_the_namespaces_that_the_container_made),
        cmocka_unit_test(a_score_that_may_not_be_lowered_stays),
        cmocka_unit_test(a_step_that_fails_is_named),
        cmocka_unit_test(a_missing_worker_is_named),
        cmocka_unit_test(a_worker_that_cannot_be_executed_fails_the_start),
        cmocka_unit_test(an_http_guest_answers_in_its_network_namespace),
        cmocka_unit_test(a_guest_outlives_who_started_it),
    };

    if (geteuid()) {
        printf("1..0 # SKIP needs root\n");
        return 0;
    }
    if (argc == 3 && str_eq(argv[1], "abandon")) {
        autofree char *cache = path_join(argv[2], "cache");

        place = argv[2];
        things_open(cache);
        return abandon_main();
    }

    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
