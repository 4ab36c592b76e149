/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest from its spec to its status, with the stand-in engine whose programs are scripts: so that
 * the threads of the worker run under the sanitizers.
 */
#include "compiled.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

#include "base/clock.h"
#include "base/fds.h"
#include "worker/guest.h"

static struct guest_host host = {.is_interruptible = true, .listeners_fd = -1};
static char *root;

static int set_up(void **state)
{
    struct err e = ERR_INIT;

    (void)state;
    root = unit_temp_dir();
    host.event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return host.event_fd < 0 || cache_open(root, &host.cache, &e) < 0;
}

static int tear_down(void **state)
{
    (void)state;
    guest_engine_close();
    cache_free(host.cache);
    close(host.event_fd);
    unit_remove(root);
    return 0;
}

static void spec_of(const char *script, struct guest_spec *s)
{
    size_t len = 8 + strlen(script);
    char *text = xcalloc(1, len + 1);
    struct err e = ERR_INIT;
    int fd;

    memcpy(text, "\0asm\1\0\0", 8);
    memcpy(text + 8, script, len - 8);
    assert_ok(memfd_from("module", text, len, &fd, &e));
    unit_compile(host.cache, text, len);
    free(text);
    guest_spec_init(s);
    s->id = xstrdup("test");
    s->module_fd = fd;
}

static struct guest *start(struct guest_spec *s)
{
    struct guest *g = NULL;
    struct err e = ERR_INIT;

    assert_ok(guest_new(&host, s, &g, &e));
    assert_ok(guest_start(g, &e));
    guest_spec_done(s);
    return g;
}

/* Waits as a worker's loop does. */
static void wait_for(const struct guest *g, enum guest_state state)
{
    while (guest_state(g) < state) {
        struct pollfd p = {.fd = host.event_fd, .events = POLLIN};
        uint64_t count;

        assert_int_equal(poll(&p, 1, 60000), 1);
        if (read(host.event_fd, &count, sizeof(count)) < 0)
            assert_int_equal(errno, EAGAIN);
    }
}

/* Runs to the end; the caller frees. */
static struct guest *run(const char *script)
{
    struct guest_spec s;
    struct guest *g;

    spec_of(script, &s);
    s.memory_bytes = 1000;
    g = start(&s);
    wait_for(g, GUEST_ENDED);
    return g;
}

static void test_ends(void **state)
{
    static const struct {
        const char *script, *reason;
        int exit_code;
        bool is_guest_exit;
        const char *message;
    } rows[] = {
        {"exit 0\n",                               "Completed",     0,   true,  NULL         },
        {"exit 3\n",                               "Error",         3,   true,  NULL         },
        {"exit 137\n",                             "Error",         137, true,  NULL         },
        {"exit 259\n",                             "Error",         3,   true,  NULL         },
        {"trap Unreachable\n",                     "Trap",          134, false, "Unreachable"},
        {"grow 900\ngrow 900\ntrap Unreachable\n", "OOMKilled",     137, false, "memory"     },
        {"grow 900\ngrow 900\nexit 1\n",           "Error",         1,   true,  NULL         },
        {"trap MemoryLimit\n",                     "OOMKilled",     137, false, "memory"     },
        {"import env missing\n",                   "UnknownImport", 126, false, "missing"    },
        {"export add\n",                           "NotRunnable",   126, false, "add"        },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct guest *g = run(rows[i].script);
        const struct guest_status *s = guest_status(g);

        assert_string_equal(s->id, "test");
        assert_string_equal(s->reason, rows[i].reason);
        assert_int_equal(s->exit_code, rows[i].exit_code);
        assert_int_equal(s->is_guest_exit, rows[i].is_guest_exit);
        assert_non_null(s->finished_at);
        if (rows[i].message)
            assert_contains(s->message, rows[i].message);
        else
            assert_null(s->message);
        guest_free(g);
    }
}

static void test_figures(void **state)
{
    struct guest_spec s;
    struct guest *g;
    struct message_figures f = {0};

    (void)state;
    spec_of("grow 700\nspin\n", &s);
    g = start(&s);
    wait_for(g, GUEST_RUNNING);
    while (f.memory_bytes != 700)
        guest_figures(g, &f);
    assert_true(f.cpu_ns > 0);
    guest_stop(g, GUEST_STOP_REQUEST);
    wait_for(g, GUEST_ENDED);
    guest_figures(g, &f);
    assert_int_equal(f.memory_bytes, 0);
    assert_int_equal(f.memory_peak_bytes, 700);
    assert_int_equal(f.calls, 1);
    guest_free(g);
}

/* Whenever it comes, the first cause of a stop is the one that is told. */
static void test_stop(void **state)
{
    static const struct {
        enum guest_stop cause;
        const char *reason;
        int exit_code;
    } causes[] = {
        {GUEST_STOP_REQUEST,  "Stopped",          143},
        {GUEST_STOP_DEADLINE, "DeadlineExceeded", 124},
        {GUEST_STOP_SIGINT,   "Stopped",          130},
        {GUEST_STOP_SIGTERM,  "Stopped",          143},
    };

    (void)state;
    for (unsigned i = 0; i < 40; i++) {
        unsigned c = i % ARRAY_SIZE(causes);
        struct guest_spec s;
        struct guest_status now = {0};
        struct guest *g;

        spec_of(i % 8 < 4 ? "spin\n" : "sleep 100000\n", &s);
        s.timeout_ms = 5000;
        g = start(&s);
        if (i >= 30)
            wait_for(g, GUEST_RUNNING);
        else
            usleep(i * 100); /* at various places of its start */
        guest_stop(g, causes[c].cause);
        guest_stop(g, GUEST_STOP_SIGINT);
        guest_status_now(g, causes[c].cause, &now);
        assert_string_equal(now.reason, causes[c].reason);
        guest_status_done(&now);
        wait_for(g, GUEST_ENDED);
        assert_string_equal(guest_status(g)->reason, causes[c].reason);
        assert_int_equal(guest_status(g)->exit_code, causes[c].exit_code);
        guest_stop(g, GUEST_STOP_REQUEST);
        guest_free(g);
    }
}

static void test_deadline_is_known(void **state)
{
    struct guest_spec s;
    struct guest *g;
    uint64_t now = clock_monotonic_ns();

    (void)state;
    spec_of("spin\n", &s);
    s.timeout_ms = 5000;
    g = start(&s);
    wait_for(g, GUEST_RUNNING);
    assert_true(guest_deadline_ns(g) >= now + 5000000000u);
    guest_stop(g, GUEST_STOP_REQUEST);
    wait_for(g, GUEST_ENDED);
    guest_free(g);
}

static void test_streams(void **state)
{
    autobuf text = BUF_INIT;
    struct guest_spec s;
    struct guest *g;
    struct err e = ERR_INIT;
    int in[2], out[2];

    (void)state;
    assert_int_equal(pipe2(in, O_CLOEXEC), 0);
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    spec_of("env A\ncat\neprint lost\n", &s);
    s.stdin_fd = in[0];
    s.stdout_fd = out[1];
    strv_add(&s.env, "A=value");
    g = start(&s);
    wait_for(g, GUEST_RUNNING);
    assert_ok(fd_write_all(in[1], "input", 5, &e));
    close(in[1]);
    wait_for(g, GUEST_ENDED);
    guest_free(g);
    /* Its end of the pipe is closed with it. */
    assert_ok(fd_read_all(out[0], 1000, &text, &e));
    assert_string_equal(text.data, "value\ninput");
    close(out[0]);
}

static void test_log(void **state)
{
    autobuf text = BUF_INIT;
    struct guest_spec s;
    struct guest *g;
    struct err e = ERR_INIT;
    char *path = xasprintf("%s/test.log", root);

    (void)state;
    spec_of("print to stdout\neprint to stderr\n", &s);
    s.log_dir_fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    s.log_name = xstrdup("test.log");
    g = start(&s);
    wait_for(g, GUEST_ENDED);
    assert_ok(file_read(path, 1000, &text, &e));
    assert_contains(text.data, " stdout F to stdout\n");
    assert_contains(text.data, " stderr F to stderr\n");
    guest_free(g);
    free(path);
}

/* Many at a time share one engine and one cache entry, and are measured and stopped meanwhile. */
static void test_many(void **state)
{
    struct guest *guests[24];

    (void)state;
    for (int round = 0; round < 5; round++) {
        for (size_t i = 0; i < ARRAY_SIZE(guests); i++) {
            struct guest_spec s;

            spec_of(i % 3 ? "print x\nexit 5\n" : "spin\n", &s);
            guests[i] = start(&s);
        }
        for (size_t i = 0; i < ARRAY_SIZE(guests); i++) {
            struct message_figures f;

            guest_figures(guests[i], &f);
            if (i % 3 == 0)
                guest_stop(guests[i], GUEST_STOP_REQUEST);
        }
        for (size_t i = 0; i < ARRAY_SIZE(guests); i++) {
            wait_for(guests[i], GUEST_ENDED);
            assert_int_equal(guest_status(guests[i])->exit_code, i % 3 ? 5 : 143);
            guest_free(guests[i]);
        }
    }
}

static void test_never_ran(void **state)
{
    struct guest_spec s;
    struct guest *g = NULL;
    struct err e = ERR_INIT;

    (void)state;
    spec_of("exit 0\n", &s);
    assert_ok(guest_new(&host, &s, &g, &e));
    guest_spec_done(&s);
    guest_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ends),    cmocka_unit_test(test_figures),
        cmocka_unit_test(test_stop),    cmocka_unit_test(test_deadline_is_known),
        cmocka_unit_test(test_streams), cmocka_unit_test(test_log),
        cmocka_unit_test(test_many),    cmocka_unit_test(test_never_ran),
    };

    return cmocka_run_group_tests_name("worker_guest", tests, set_up, tear_down);
}
