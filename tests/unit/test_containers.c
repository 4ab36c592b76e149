/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a supervisor makes of a worker that errs. The worker is this program once more, a fake one
 * that does what the ids of guests say; over real ones see tests/integ/test_containers.py.
 */
#include "unit.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/fds.h"
#include "base/paths.h"
#include "container/container.h"
#include "container/folder.h"

/* ---- The fake worker ---- */

static void fake_say(struct channel *c, enum message_type type, const char *id, const char *reason)
{
    struct message m;
    struct err e = ERR_INIT;

    message_init(&m, type, id);
    if (type == MESSAGE_HELLO) {
        m.protocol = MESSAGE_PROTOCOL;
        m.pid = getpid();
        m.version = xstrdup("fake");
    } else if (type == MESSAGE_EXITED) {
        m.status = (struct guest_status){.id = xstrdup(id), .reason = xstrdup("Completed")};
        m.has_status = true;
    } else if (reason) {
        m.reason = xstrdup(reason);
        m.text = xstrdup("as the test wants it");
    }
    /* A supervisor that has left reads no more, and a worker outlives it. */
    if (channel_send(c, &m, NULL, 0, &e) < 0)
        assert_string_equal(e.reason, "ConnectionLost");
    message_done(&m);
}

/* Says so much that it is never read to its end, and leaves it to a process that outlives this. */
static _Noreturn void fake_die_talking(const struct channel *c)
{
    struct channel said;
    struct message m;

    if (fork())
        _exit(9);
    channel_init(&said, -EBADF);
    message_init(&m, MESSAGE_STARTED, "talk");
    for (int i = 0; i < 10000; i++)
        channel_queue(&said, &m);
    while (write(c->fd, said.out.data, said.out.len) >= 0)
        continue;
    _exit(0);
}

static bool fake_has_crowd;

static void fake_list(struct channel *c)
{
    for (int i = 0; fake_has_crowd && i < 5000; i++) {
        char id[16];

        snprintf(id, sizeof(id), "g%d", i);
        fake_say(c, MESSAGE_STARTED, id, NULL);
    }
    fake_say(c, MESSAGE_LISTED, NULL, NULL);
}

/* false: the connection is to be closed. */
static bool fake_start(struct channel *c, const char *id)
{
    if (str_eq(id, "refuse"))
        fake_say(c, MESSAGE_REFUSED, id, "TooManyGuests");
    else if (str_eq(id, "refuse-oddly"))
        fake_say(c, MESSAGE_REFUSED, id, "NobodyKnowsThis");
    else if (str_eq(id, "die"))
        _exit(9);
    else if (str_eq(id, "die-talking"))
        fake_die_talking(c);
    else if (str_eq(id, "nonsense"))
        (void)!write(c->fd, "0123456789abcdef", 16);
    else if (str_eq(id, "close"))
        return false;
    else if (!str_eq(id, "silent")) {
        fake_has_crowd = fake_has_crowd || str_eq(id, "crowd");
        fake_say(c, MESSAGE_STARTED, id, NULL);
        if (str_starts(id, "ends")) {
            fake_say(c, MESSAGE_EXITED, id, NULL);
            fake_say(c, MESSAGE_EXITED, id, NULL);
        }
    }
    return true;
}

static bool fake_obey(struct channel *c, const struct message *m)
{
    if (m->type == MESSAGE_START)
        return fake_start(c, m->spec.id);
    if (m->type == MESSAGE_STOP)
        fake_say(c, MESSAGE_EXITED, m->id, NULL);
    else if (m->type == MESSAGE_SHUTDOWN)
        _exit(0);
    else if (m->type == MESSAGE_LIST)
        fake_list(c);
    return true;
}

static int fake_main(void)
{
    struct message m;
    struct err e = ERR_INIT;
    int fds[MESSAGE_FD_LIMIT], fd, r;
    size_t n_fds;

    while ((fd = accept(3, NULL, NULL)) >= 0) {
        struct channel c;
        bool is_kept = true;

        channel_init(&c, fd);
        fake_say(&c, MESSAGE_HELLO, NULL, NULL);
        while (is_kept && channel_read(&c, &e) == 0)
            while (is_kept && (r = channel_next(&c, &m, fds, &n_fds, &e)) > 0) {
                is_kept = fake_obey(&c, &m);
                for (size_t i = 0; i < n_fds; i++)
                    close(fds[i]);
                message_done(&m);
            }
        channel_done(&c);
    }
    return 0;
}

/* ---- The supervisor ---- */

struct place {
    char *dir, *run, *program;
    struct loop *loop;
    struct containers *set;
    bool has_failed; /* the adoption */
};

struct seen {
    struct place *place;
    struct container *container;
    char *said; /* what was told, a word each */
    struct err refusal;
    const char *freed_at; /* the word at which the container is freed; NULL: by the test */
};

static void seen_add(struct seen *s, const char *word)
{
    char *said = xasprintf("%s%s%s", s->said ? s->said : "", s->said ? " " : "", word);

    free(s->said);
    s->said = said;
    if (s->freed_at && str_eq(s->freed_at, word))
        container_free(take_ptr(s->container));
}

static void started(void *ctx)
{
    seen_add(ctx, "started");
}

static void refused(void *ctx, const struct err *e)
{
    struct seen *s = ctx;

    s->refusal = *e;
    seen_add(s, "refused");
    loop_stop(s->place->loop);
}

static void exited(void *ctx, const struct guest_status *status)
{
    struct seen *s = ctx;
    struct loop *l = s->place->loop;

    seen_add(s, status->reason);
    /* Also of a container that was freed in this call. */
    assert_non_null(status->id);
    loop_stop(l);
}

static const struct container_events events = {
    .started = started, .refused = refused, .exited = exited};

static void measured(void *ctx, const struct message_figures *f)
{
    seen_add(ctx, f ? "figures" : "none");
}

static void stop_loop(void *ctx)
{
    loop_stop(((struct place *)ctx)->loop);
}

static void adopted(void *ctx, const struct err *failed)
{
    struct place *p = ctx;

    p->has_failed = failed != NULL;
    if (failed)
        assert_string_equal(failed->reason, "RunFolder");
    stop_loop(p);
}

/* So that a failure tells its cause. */
static void told(void *ctx, const char *tenant, const char *text)
{
    (void)ctx;
    print_message("%s: %s\n", tenant, text);
}

/* With so many descriptors more than it has. */
static void adopt_within(struct place *p, rlim_t n)
{
    struct rlimit all, few;

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &all), 0);
    few = all;
    for (int fd = 0; n; fd++)
        if (fcntl(fd, F_GETFD) < 0 && !--n)
            few.rlim_cur = (rlim_t)fd;
    setrlimit(RLIMIT_NOFILE, &few);
    containers_adopt(p->set, adopted, p);
    loop_run(p->loop);
    setrlimit(RLIMIT_NOFILE, &all);
}

static void place_open_unadopted(struct place *p)
{
    struct err e = ERR_INIT;
    struct containers_options o = {.idle_ms = UINT64_MAX, .told = told};

    assert_ok(loop_open(&p->loop, &e));
    o.loop = p->loop;
    o.run_dir = p->run;
    o.worker = p->program;
    assert_ok(containers_open(&o, &p->set, &e));
}

static void place_open(struct place *p)
{
    place_open_unadopted(p);
    containers_adopt(p->set, adopted, p);
    loop_run(p->loop);
    assert_false(p->has_failed);
}

/* As when the supervisor has died. */
static void place_leave(struct place *p)
{
    containers_close(p->set);
    loop_free(p->loop);
}

static int place_new(void **state)
{
    struct place *p = xcalloc(1, sizeof(*p));
    char path[4096];
    ssize_t n = readlink("/proc/self/exe", path, sizeof(path));

    assert_in_range(n, 1, sizeof(path) - 1);
    p->dir = unit_temp_dir();
    p->run = path_join(p->dir, "run");
    p->program = xstrndup(path, (size_t)n);
    place_open(p);
    *state = p;
    return 0;
}

static int place_free(void **state)
{
    struct place *p = *state;

    containers_shut_down(p->set, stop_loop, p);
    loop_run(p->loop);
    assert_int_equal(containers_workers(p->set), 0);
    containers_close(p->set);
    loop_free(p->loop);
    nftw(p->dir, unit_remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free(p->dir);
    free(p->run);
    free(p->program);
    free(p);
    return 0;
}

static void start(struct place *p, const char *id, struct seen *s)
{
    struct guest_spec spec;

    guest_spec_init(&spec);
    spec.id = xstrdup(id);
    spec.module_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    guest_spec_dir_add(&spec, open("/", O_PATH | O_CLOEXEC), "/", true);
    s->place = p;
    s->container = container_start(p->set, "t", &spec, &events, s);
    guest_spec_done(&spec);
    assert_null(s->said); /* never from within the call */
}

static void seen_done(struct seen *s)
{
    container_free(s->container);
    free(s->said);
}

static size_t fds_open(void)
{
    size_t n = 0;

    for (int fd = 0; fd < 1024; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

/* Starts a guest of this id and waits for its end; what was told of it is left in *s. */
static void run(struct place *p, const char *id, struct seen *s)
{
    start(p, id, s);
    loop_run(p->loop);
}

static void an_end_is_told_once(void **state)
{
    struct seen a = {0}, b = {0};

    run(*state, "ends-a", &a);
    run(*state, "ends-b", &b);
    assert_string_equal(a.said, "started Completed");
    assert_string_equal(b.said, "started Completed");
    seen_done(&a);
    seen_done(&b);
}

static void a_container_can_be_freed_by_what_it_is_told(void **state)
{
    static const struct {
        const char *id, *freed_at, *said;
    } rows[] = {
        {"ends",   "Completed",  "started Completed"},
        {"refuse", "refused",    "refused"          },
        {"die",    "WorkerLost", "WorkerLost"       },
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct seen s = {.freed_at = rows[i].freed_at};
        struct seen after = {0};

        run(*state, rows[i].id, &s);
        run(*state, "ends-after", &after);
        assert_null(s.container);
        assert_string_equal(s.said, rows[i].said);
        container_forget(after.container);
        seen_done(&after);
        free(s.said);
    }
}

static void a_refusal_keeps_its_reason(void **state)
{
    struct seen a = {0}, b = {0};

    run(*state, "refuse", &a);
    assert_string_equal(a.refusal.reason, "TooManyGuests");
    assert_contains(a.refusal.msg, "as the test wants it");
    run(*state, "refuse-oddly", &b);
    assert_string_equal(b.refusal.reason, "StartFailed");
    assert_string_equal(b.said, "refused");
    seen_done(&a);
    seen_done(&b);
}

static void a_death_during_a_start_is_a_loss(void **state)
{
    struct place *p = *state;
    struct seen s = {0}, after = {0};
    struct stat st;
    autofree char *record = path_join(p->run, "t/die.exit");

    run(p, "die", &s);
    assert_string_equal(s.said, "WorkerLost");
    assert_int_equal(stat(record, &st), 0);
    container_forget(s.container);
    assert_int_equal(stat(record, &st), -1);
    run(p, "ends", &after);
    assert_string_equal(after.said, "started Completed");
    seen_done(&s);
    seen_done(&after);
}

static void a_start_that_a_closed_connection_swallowed_is_refused(void **state)
{
    struct seen s = {0}, after = {0};

    run(*state, "close", &s);
    assert_string_equal(s.said, "refused");
    assert_string_equal(s.refusal.reason, "ConnectionLost");
    assert_int_equal(containers_workers(((struct place *)*state)->set), 1);
    run(*state, "ends", &after);
    assert_string_equal(after.said, "started Completed");
    seen_done(&s);
    seen_done(&after);
}

static void a_worker_that_sends_nonsense_is_killed(void **state)
{
    struct seen s = {0};

    run(*state, "nonsense", &s);
    assert_string_equal(s.said, "WorkerLost");
    seen_done(&s);
}

static void a_process_that_talks_on_for_a_dead_worker_holds_up_nobody(void **state)
{
    struct seen s = {0};

    run(*state, "die-talking", &s);
    assert_string_equal(s.said, "WorkerLost");
    seen_done(&s);
}

static void a_stop_before_the_start_was_sent_refuses(void **state)
{
    struct place *p = *state;
    struct seen s = {0};

    start(p, "ends", &s); /* the worker only comes up */
    container_stop(s.container);
    loop_run(p->loop);
    assert_string_equal(s.said, "refused");
    assert_string_equal(s.refusal.reason, "Stopped");
    seen_done(&s);
}

static void figures_are_answered_also_when_there_are_none(void **state)
{
    struct seen s = {0};

    run(*state, "die", &s);
    container_measure(s.container, measured, &s);
    container_measure(s.container, measured, &s);
    loop_post(((struct place *)*state)->loop, stop_loop, *state);
    loop_run(((struct place *)*state)->loop);
    while (!strstr(s.said, "none none")) {
        loop_post(((struct place *)*state)->loop, stop_loop, *state);
        loop_run(((struct place *)*state)->loop);
    }
    assert_string_equal(s.said, "WorkerLost none none");
    seen_done(&s);
}

static void who_freed_the_container_is_told_no_figures(void **state)
{
    struct place *p = *state;
    struct seen s = {0};

    run(p, "die", &s);
    s.freed_at = "none";
    container_measure(s.container, measured, &s);
    container_measure(s.container, measured, &s);
    for (int more = 0; more < 4; more += !s.container) {
        loop_post(p->loop, stop_loop, p);
        loop_run(p->loop);
    }
    assert_string_equal(s.said, "WorkerLost none");
    free(s.said);
}

static void descriptors_are_closed_however_it_ends(void **state)
{
    static const char *const ids[] = {"ends", "refuse", ".bad", "die", "close", "nonsense"};
    struct place *p = *state;
    struct seen first = {0};
    size_t before;

    run(p, "ends-first", &first);
    before = fds_open();
    for (size_t i = 0; i < ARRAY_SIZE(ids); i++) {
        struct seen s = {0};

        run(p, ids[i], &s);
        seen_done(&s);
        /* The connection and the worker's pidfd come and go with the worker. */
        assert_in_range(fds_open(), before - 6, before);
    }
    seen_done(&first);
}

static void a_descriptor_named_twice_is_closed_once(void **state)
{
    struct place *p = *state;
    struct seen s = {.place = p};
    struct guest_spec spec;
    size_t before = fds_open();

    guest_spec_init(&spec);
    spec.id = xstrdup("twice");
    spec.module_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    spec.stdout_fd = spec.module_fd;
    s.container = container_start(p->set, "t", &spec, &events, &s);
    loop_run(p->loop);
    assert_string_equal(s.refusal.reason, "BadSpec");
    assert_int_equal(fds_open(), before);
    guest_spec_done(&spec);
    seen_done(&s);
}

static void listeners_are_taken_and_the_spec_is_left_as_it_was(void **state)
{
    struct place *p = *state;
    struct seen first = {0}, s = {.place = p};
    struct guest_spec spec;
    int64_t fds[GUEST_LISTENER_LIMIT], dir_fd;
    size_t before;

    run(p, "ends-first", &first);
    before = fds_open();
    guest_spec_init(&spec);
    spec.id = xstrdup("ends-many");
    spec.module_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    guest_spec_dir_add(&spec, open("/", O_PATH | O_CLOEXEC), "/", true);
    dir_fd = spec.dirs[0].fd;
    for (int i = 0; i < GUEST_LISTENER_LIMIT; i++) {
        fds[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        guest_spec_listener_add(&spec, (int)fds[i], "http://127.0.0.1:1");
    }
    s.container = container_start(p->set, "t", &spec, &events, &s);
    assert_int_equal(spec.dirs[0].fd, dir_fd);
    for (int i = 0; i < GUEST_LISTENER_LIMIT; i++)
        assert_int_equal(spec.listeners[i].fd, fds[i]);
    loop_run(p->loop);
    assert_string_equal(s.said, "started Completed");
    assert_int_equal(fds_open(), before);
    guest_spec_done(&spec);
    seen_done(&s);
    seen_done(&first);
}

static void a_guest_that_was_let_go_can_be_claimed(void **state)
{
    struct place *p = *state;
    struct seen first = {.freed_at = "started"}, s = {.place = p};
    bool is_lost = true;

    start(p, "runs", &first);
    while (!first.said) {
        loop_post(p->loop, stop_loop, p);
        loop_run(p->loop);
    }
    s.container = container_claim(p->set, "t", "runs", &events, &s, &is_lost);
    assert_non_null(s.container);
    assert_false(is_lost);
    container_stop(s.container);
    loop_run(p->loop);
    assert_string_equal(s.said, "started Completed");
    seen_done(&s);
    free(first.said);
}

/* ---- Adoption ---- */

static void pid_note(void *ctx, const char *tenant, pid_t pid, size_t guests)
{
    (void)tenant, (void)guests;
    *(pid_t *)ctx = pid;
}

static pid_t worker_pid(const struct place *p)
{
    pid_t pid = 0;

    containers_each_worker(p->set, pid_note, &pid);
    return pid;
}

/* Waits for the end of a process of no matter whom, and answers for a child. */
static void wait_for_end(pid_t pid)
{
    autofd fd = process_open(pid);
    struct pollfd w = {.fd = fd, .events = POLLIN};

    while (fd >= 0 && poll(&w, 1, -1) < 0)
        continue;
    waitpid(pid, NULL, WNOHANG);
}

static void adoption_with_too_few_descriptors_fails_or_is_complete(void **state)
{
    struct place *p = *state;
    struct seen first = {0}, old = {.place = p};
    struct guest_status status;
    struct err e = ERR_INIT;
    bool is_lost = true;
    size_t n_failed = 0;
    pid_t pid;

    run(p, "ends-first", &first);
    pid = worker_pid(p);
    seen_done(&first);
    record_lost("old", "the test says so", 0, &status);
    for (rlim_t n = 1; n < 12; n++) {
        autofd run_fd = -EBADF, dir_fd = -EBADF;

        place_leave(p);
        run_fd = open(p->run, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        dir_fd = openat(run_fd, "t", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_ok(record_write(dir_fd, &status, &e));
        place_open_unadopted(p);
        adopt_within(p, n);
        n_failed += p->has_failed;
        if (p->has_failed)
            continue;
        assert_int_equal(worker_pid(p), pid);
        old.container = container_claim(p->set, "t", "old", &events, &old, &is_lost);
        assert_non_null(old.container);
        container_free(take_ptr(old.container));
    }
    assert_in_range(n_failed, 3, 9);
    assert_int_equal(worker_pid(p), pid);
    guest_status_done(&status);
}

static void a_worker_that_tells_of_more_guests_than_it_can_have_is_killed(void **state)
{
    struct place *p = *state;
    struct seen s = {.freed_at = "started"};

    start(p, "crowd", &s);
    while (!s.said) {
        loop_post(p->loop, stop_loop, p);
        loop_run(p->loop);
    }
    place_leave(p);
    place_open(p);
    assert_int_equal(containers_workers(p->set), 0);
    free(s.said);
}

static void no_worker_is_started_beside_one_that_nobody_knows(void **state)
{
    struct place *p = *state;
    struct seen first = {0}, refusal = {0}, after = {0};
    autofree char *note = path_join(p->run, ".t.process");
    pid_t pid;

    run(p, "ends-first", &first);
    pid = worker_pid(p);
    seen_done(&first);
    place_leave(p);
    assert_int_equal(unlink(note), 0);
    place_open(p);
    run(p, "ends", &refusal);
    assert_string_equal(refusal.said, "refused");
    assert_string_equal(refusal.refusal.reason, CONTAINER_REASON_WORKER);
    assert_contains(refusal.refusal.msg, "a process that nobody knows");
    kill(pid, SIGKILL);
    wait_for_end(pid);
    run(p, "ends-after", &after);
    assert_string_equal(after.said, "started Completed");
    seen_done(&refusal);
    seen_done(&after);
}

static void records_beyond_the_limit_are_found_when_they_are_claimed(void **state)
{
    struct place *p = *state;
    struct seen s = {.place = p};
    struct guest_status status;
    struct err e = ERR_INIT;
    autofree char *dir = path_join(p->run, "t");
    autofd dir_fd = -EBADF;
    bool is_lost = true;

    assert_int_equal(mkdir(dir, 0700), 0);
    dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    record_lost("r", "the test says so", 0, &status);
    assert_ok(record_write(dir_fd, &status, &e));
    for (int i = 0; i < 12500; i++) {
        char name[16];

        snprintf(name, sizeof(name), "r%d.exit", i);
        assert_int_equal(linkat(dir_fd, "r.exit", dir_fd, name, 0), 0);
    }
    place_leave(p);
    place_open(p);
    for (int i = 0; i < 12500; i++) {
        char id[16];

        snprintf(id, sizeof(id), "r%d", i);
        s.container = container_claim(p->set, "t", id, &events, &s, &is_lost);
        assert_non_null(s.container);
        container_free(take_ptr(s.container));
    }
    guest_status_done(&status);
}

/* ---- The folder ---- */

static void a_note_finds_only_the_process_it_was_made_for(void **state)
{
    struct place *p = *state;
    autofd run_fd = open(p->run, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    autofd fd = -EBADF;
    struct err e = ERR_INIT;
    pid_t pid;

    assert_ok(process_note(run_fd, "n", getpid(), &e));
    fd = process_find(run_fd, "n", run_fd, &pid);
    assert_true(fd >= 0);
    assert_int_equal(pid, getpid());
    assert_false(process_has_ended(fd));
    /* The same number, but it started at another time. */
    assert_ok(file_write_at(run_fd, ".n.process", "1 1\n", 4, 0600, 0, &e));
    assert_true(process_find(run_fd, "n", run_fd, &pid) < 0);
    assert_ok(file_write_at(run_fd, ".n.process", "nonsense", 8, 0600, 0, &e));
    assert_true(process_find(run_fd, "n", run_fd, &pid) < 0);
    process_note_remove(run_fd, "n");
    /* A worker makes what it likes in its folder, also what would be waited for. */
    assert_int_equal(mkfifoat(run_fd, "worker.json", 0600), 0);
    assert_true(process_find(run_fd, "n", run_fd, &pid) < 0);
}

static void a_record_that_cannot_be_read_is_an_end(void **state)
{
    struct place *p = *state;
    autofd dir_fd = open(p->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct guest_status s = {0};
    struct err e = ERR_INIT;

    assert_fails(record_read(dir_fd, "x", &s, &e), -ENOENT, "NotFound");
    assert_ok(file_write_at(dir_fd, "x.exit", "{", 1, 0600, 0, &e));
    assert_ok(record_read(dir_fd, "x", &s, &e));
    assert_string_equal(s.reason, CONTAINER_REASON_LOST);
    guest_status_done(&s);
}

static void a_log_is_cut_to_its_last_part(void **state)
{
    struct place *p = *state;
    autofd dir_fd = open(p->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    autofd fd = -EBADF;
    struct err e = ERR_INIT;
    char tail[15];
    struct stat st;

    assert_ok(folder_log_open(dir_fd, &fd, &e));
    for (int i = 0; i < 200000; i++)
        dprintf(fd, "%06d\n", i);
    folder_log_cut(fd);
    assert_int_equal(fstat(fd, &st), 0);
    assert_in_range(st.st_size, 1024, FOLDER_LOG_LIMIT_BYTES);
    folder_log_tail(dir_fd, 0, tail, sizeof(tail));
    assert_string_equal(tail, "199998;199999");
}

int main(int argc, char **argv)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, place_new, place_free)
    const struct CMUnitTest tests[] = {
        TEST(an_end_is_told_once),
        TEST(a_container_can_be_freed_by_what_it_is_told),
        TEST(a_refusal_keeps_its_reason),
        TEST(a_death_during_a_start_is_a_loss),
        TEST(a_start_that_a_closed_connection_swallowed_is_refused),
        TEST(a_worker_that_sends_nonsense_is_killed),
        TEST(a_process_that_talks_on_for_a_dead_worker_holds_up_nobody),
        TEST(a_stop_before_the_start_was_sent_refuses),
        TEST(figures_are_answered_also_when_there_are_none),
        TEST(who_freed_the_container_is_told_no_figures),
        TEST(descriptors_are_closed_however_it_ends),
        TEST(a_descriptor_named_twice_is_closed_once),
        TEST(listeners_are_taken_and_the_spec_is_left_as_it_was),
        TEST(a_guest_that_was_let_go_can_be_claimed),
        TEST(adoption_with_too_few_descriptors_fails_or_is_complete),
        TEST(a_worker_that_tells_of_more_guests_than_it_can_have_is_killed),
        TEST(no_worker_is_started_beside_one_that_nobody_knows),
        TEST(records_beyond_the_limit_are_found_when_they_are_claimed),
        TEST(a_note_finds_only_the_process_it_was_made_for),
        TEST(a_record_that_cannot_be_read_is_an_end),
        TEST(a_log_is_cut_to_its_last_part),
    };

    if (argc > 1 && str_eq(argv[1], "--listen-fd"))
        return fake_main();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
