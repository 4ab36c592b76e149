/* SPDX-License-Identifier: Apache-2.0 */
/* The engine as its first user in C meets it. */
#include "unit.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/util.h"
#include "engine/engine.h"

#include "engine_modules.h"

static struct engine *engine; /* interruptible, with a compiler */

/* At most three bytes at a time of a pipe that does not block. */
static ssize_t input_read(void *ctx, void *data, size_t len)
{
    ssize_t n = read(*(const int *)ctx, data, len < 3 ? len : 3);

    return n < 0 ? -errno : n;
}

static void *write_slowly(void *arg)
{
    const int *fd = arg;

    for (const char *p = "hello, world"; *p; p += 4) {
        if (write(*fd, p, 4) != 4)
            abort();
        usleep(1000); /* so that the reader finds it empty in between */
    }
    close(*fd);
    return NULL;
}

static ssize_t never(void *ctx, void *data, size_t len)
{
    (void)ctx;
    (void)data;
    (void)len;
    return -EAGAIN;
}

static ssize_t to_buf(void *ctx, void *data, size_t len)
{
    buf_add(ctx, data, len);
    return (ssize_t)len;
}

static void result_to_buf(void *ctx, const char *text, size_t len)
{
    buf_add(ctx, text, len);
}

static struct engine_guest_options options_default(void)
{
    static const char *const none[] = {NULL};

    return (struct engine_guest_options){
        .name = "test",
        .args = none,
        .env = none,
        .limits = {1u << 20, 10000, 10, 10, 10, 100},
    };
}

static struct engine_code *code_make(const void *bytes, size_t len)
{
    autofd fd = memfd_create("code", MFD_CLOEXEC);
    struct engine_code *code = NULL;
    struct err e = ERR_INIT;

    assert_ok(engine_compile(engine, bytes, len, fd, &e));
    assert_ok(engine_code_open(engine, fd, &code, &e));
    return code;
}

static struct engine_guest *guest_make(const void *bytes, size_t len,
                                       const struct engine_guest_options *o)
{
    struct engine_code *code = code_make(bytes, len);
    struct engine_guest *g = NULL;
    struct err e = ERR_INIT;

    assert_ok(engine_guest_new(engine, code, o, &g, &e));
    engine_code_close(code);
    return g;
}

/* cmocka puts its own handlers in the place of those by which the engine learns of traps. */
static const int trap_signals[] = {SIGILL, SIGSEGV, SIGFPE, SIGBUS};
static struct sigaction trap_actions[ARRAY_SIZE(trap_signals)];

static struct engine_outcome *run(struct engine_guest *g)
{
    struct engine_outcome *o = xcalloc(1, sizeof(*o));
    struct err e = ERR_INIT;

    for (size_t i = 0; i < ARRAY_SIZE(trap_signals); i++)
        sigaction(trap_signals[i], &trap_actions[i], NULL);
    assert_ok(engine_guest_run(g, o, &e));
    return o;
}

static void test_inspect_refuses(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
        const char *reason;
    } rows[] = {
        {"",                                      0,  "NotWasm"           },
        {"plain text, quite long",                22, "NotWasm"           },
        {"\x7f"
         "ELF\2\1\1\0\0\0\0\0",          12, "NotWasm"           },
        {"\0as",                                  3,  "NotWasm"           },
        {"\0asm\7\0\0\0",                         8,  "UnknownWasmVersion"},
        {"\0asm\1\0\0\0\x01\x7f",                 10, "InvalidWasm"       },
        {"\0asm\1\0\0\0\xff\xff\xff\xff\xff\xff", 14, "InvalidWasm"       },
    };
    const struct engine_visitor v = {0};
    enum engine_artifact artifact;
    struct err e = ERR_INIT;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        assert_fails(engine_inspect(rows[i].bytes, rows[i].len, true, &v, &artifact, &e), -ENOEXEC,
                     rows[i].reason);
    /* Cut anywhere, a module is refused or, at the end of a section, a smaller module. */
    for (size_t len = 0; len < sizeof(cat_module); len++)
        if (engine_inspect(cat_module, len, true, &v, &artifact, &e) < 0)
            assert_int_equal(e.code, -ENOEXEC);
}

static void visit_import(void *ctx, const char *space, const char *name, const char *kind,
                         const char *type)
{
    buf_addf(ctx, "%s.%s %s %s;", space ? space : "", name, kind, type);
}

static void visit_export(void *ctx, const char *name, const char *kind, const char *type)
{
    (void)type;
    buf_addf(ctx, "%s %s;", name, kind);
}

static void test_inspect_names(void **state)
{
    enum engine_artifact artifact;
    autobuf text = BUF_INIT;
    const struct engine_visitor v = {&text, visit_import, visit_export};
    struct err e = ERR_INIT;

    (void)state;
    assert_ok(engine_inspect(exit_module, sizeof(exit_module), false, &v, &artifact, &e));
    assert_int_equal(artifact, ENGINE_MODULE);
    assert_string_equal(text.data, "wasi_snapshot_preview1.proc_exit func (i32);memory memory;"
                                   "_start func;");
    buf_clear(&text);
    assert_ok(engine_inspect(run_component, sizeof(run_component), true, &v, &artifact, &e));
    assert_int_equal(artifact, ENGINE_COMPONENT);
    assert_string_equal(text.data, "wasi:cli/run@0.2.6 instance;");
}

static void test_code_refuses(void **state)
{
    struct engine_code *code;
    autofd fd = memfd_create("code", MFD_CLOEXEC);
    struct err e = ERR_INIT;

    (void)state;
    assert_fails(engine_compile(engine, "\0asm\1\0\0\0\x0a\1\1", 11, fd, &e), -ENOEXEC,
                 "InvalidWasm");
    assert_int_equal(write(fd, run_component, sizeof(run_component)), sizeof(run_component));
    assert_true(engine_code_open(engine, fd, &code, &e) < 0);
    assert_int_equal(ftruncate(fd, 0), 0);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    assert_ok(engine_compile(engine, import_module, sizeof(import_module), fd, &e));
    assert_fails(engine_code_open(engine, fd, &code, &e), -ENOEXEC, "UnknownImport");
    assert_contains(e.msg, "missing");
}

/* Code made for the form that can be interrupted is not taken by an engine without it. */
static void test_code_of_other_settings(void **state)
{
    const struct engine_options o = {.is_interruptible = false, .is_concurrent = true};
    char shared[512], plain[512];
    autofd fd = memfd_create("code", MFD_CLOEXEC);
    struct engine *other = NULL;
    struct engine_code *code;
    struct err e = ERR_INIT;

    (void)state;
    assert_ok(engine_open(&o, &other, &e));
    assert_ok(engine_compile(engine, exit_module, sizeof(exit_module), fd, &e));
    assert_fails(engine_code_open(other, fd, &code, &e), -ESTALE, "CodeStale");
    engine_close(other);
    engine_settings(true, false, shared, sizeof(shared));
    engine_settings(false, false, plain, sizeof(plain));
    assert_string_not_equal(shared, plain);
    assert_contains(shared, engine_version());
}

static void test_exit_codes(void **state)
{
    const struct engine_guest_options o = options_default();
    unsigned char module[sizeof(exit_module)];
    unsigned char *at;

    (void)state;
    memcpy(module, exit_module, sizeof(module));
    at = memmem(module, sizeof(module), "\x41\xc8\x01", 3); /* i32.const 200 */
    assert_non_null(at);
    for (unsigned code = 0; code < 256; code++) {
        struct engine_guest *g;
        struct engine_outcome *outcome;

        at[1] = (unsigned char)(code | 0x80);
        at[2] = (unsigned char)(code >> 7);
        g = guest_make(module, sizeof(module), &o);
        outcome = run(g);
        assert_int_equal(outcome->end, ENGINE_EXITED);
        assert_int_equal(outcome->exit_code, code);
        free(outcome);
        engine_guest_free(g);
    }
}

static void test_component(void **state)
{
    const struct engine_guest_options o = options_default();
    struct engine_guest *g = guest_make(run_component, sizeof(run_component), &o);
    autofree struct engine_outcome *outcome = run(g);
    struct engine_figures figures;

    (void)state;
    /* It returns an error, which is status 1. */
    assert_int_equal(outcome->end, ENGINE_EXITED);
    assert_int_equal(outcome->exit_code, 1);
    engine_guest_figures(g, &figures);
    assert_int_equal(figures.calls, 1);
    engine_guest_free(g);
}

static void test_trap(void **state)
{
    const struct engine_guest_options o = options_default();
    struct engine_guest *g = guest_make(trap_module, sizeof(trap_module), &o);
    autofree struct engine_outcome *outcome = run(g);

    (void)state;
    assert_int_equal(outcome->end, ENGINE_TRAPPED);
    assert_string_equal(outcome->trap, "Unreachable");
    assert_contains(outcome->detail, "test");
    assert_false(outcome->memory_refused);
    engine_guest_free(g);
}

static void test_memory_limit(void **state)
{
    struct engine_guest_options o = options_default();
    struct engine_guest *g = guest_make(grow_module, sizeof(grow_module), &o);
    struct engine_outcome *outcome = run(g);
    struct engine_figures figures;

    (void)state;
    assert_int_equal(outcome->end, ENGINE_TRAPPED);
    assert_true(outcome->memory_refused);
    engine_guest_figures(g, &figures);
    assert_int_equal(figures.memory_peak_bytes, 65536);
    engine_guest_free(g);
    free(outcome);
    o.limits.memory_bytes = 128u << 20;
    g = guest_make(grow_module, sizeof(grow_module), &o);
    outcome = run(g);
    assert_int_equal(outcome->end, ENGINE_EXITED);
    assert_false(outcome->memory_refused);
    engine_guest_figures(g, &figures);
    assert_int_equal(figures.memory_peak_bytes, 1001 * 65536);
    engine_guest_free(g);
    free(outcome);
    /* Not even its first page: the guest cannot be instantiated. */
    o.limits.memory_bytes = 1000;
    g = guest_make(grow_module, sizeof(grow_module), &o);
    outcome = run(g);
    assert_int_equal(outcome->end, ENGINE_TRAPPED);
    assert_true(outcome->memory_refused);
    engine_guest_free(g);
    free(outcome);
}

static void test_streams(void **state)
{
    struct engine_guest_options o = options_default();
    autobuf out = BUF_INIT;
    pthread_t writer;
    int in[2];
    struct engine_guest *g;
    struct engine_outcome *outcome;

    (void)state;
    assert_int_equal(pipe2(in, O_CLOEXEC | O_NONBLOCK), 0);
    assert_int_equal(pthread_create(&writer, NULL, write_slowly, &in[1]), 0);
    o.streams[0] = (struct engine_stream){.ctx = in, .transfer = input_read, .wait_fd = in[0]};
    o.streams[1] = (struct engine_stream){.ctx = &out, .transfer = to_buf, .wait_fd = -1};
    g = guest_make(cat_module, sizeof(cat_module), &o);
    outcome = run(g);
    assert_int_equal(outcome->end, ENGINE_EXITED);
    assert_string_equal(out.data, "hello, world");
    engine_guest_free(g);
    free(outcome);
    pthread_join(writer, NULL);
    close(in[0]);
    /* Without streams input is empty. */
    o = options_default();
    g = guest_make(cat_module, sizeof(cat_module), &o);
    outcome = run(g);
    assert_int_equal(outcome->end, ENGINE_EXITED);
    engine_guest_free(g);
    free(outcome);
}

struct runner {
    struct engine_guest *guest;
    struct engine_outcome *outcome;
};

static void *runner_main(void *arg)
{
    struct runner *r = arg;
    struct err e = ERR_INIT;

    if (engine_guest_run(r->guest, r->outcome, &e) < 0)
        r->outcome->end = (enum engine_end) - 1;
    return NULL;
}

/* Stopped before it runs and while it runs; the test hangs when a stop is lost. */
static void assert_stops(const void *bytes, size_t len, const struct engine_guest_options *o)
{
    for (int delay_us = 0; delay_us <= 20000; delay_us += 2000) {
        struct runner r = {guest_make(bytes, len, o), xcalloc(1, sizeof(*r.outcome))};
        pthread_t thread;

        if (!delay_us)
            engine_guest_stop(r.guest);
        assert_int_equal(pthread_create(&thread, NULL, runner_main, &r), 0);
        usleep((useconds_t)delay_us); /* so that the stop comes at various places */
        engine_guest_stop(r.guest);
        pthread_join(thread, NULL);
        assert_int_equal(r.outcome->end, ENGINE_STOPPED);
        engine_guest_stop(r.guest);
        engine_guest_free(r.guest);
        free(r.outcome);
    }
}

static void test_stop(void **state)
{
    struct engine_guest_options o = options_default();
    int idle[2];

    (void)state;
    assert_int_equal(pipe2(idle, O_CLOEXEC), 0);
    o.streams[0] = (struct engine_stream){.transfer = never, .wait_fd = idle[0]};
    assert_stops(loop_module, sizeof(loop_module), &o);
    assert_stops(sleep_module, sizeof(sleep_module), &o);
    assert_stops(cat_module, sizeof(cat_module), &o);
    close(idle[0]);
    close(idle[1]);
}

/* One that never ends does not keep another one from running. */
static void test_parallel(void **state)
{
    const struct engine_guest_options o = options_default();
    struct runner loop = {guest_make(loop_module, sizeof(loop_module), &o),
                          xcalloc(1, sizeof(*loop.outcome))};
    pthread_t thread;

    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, runner_main, &loop), 0);
    for (int i = 0; i < 20; i++) {
        struct engine_guest *g = guest_make(exit_module, sizeof(exit_module), &o);
        autofree struct engine_outcome *outcome = run(g);

        assert_int_equal(outcome->exit_code, 200);
        engine_guest_free(g);
    }
    engine_guest_stop(loop.guest);
    pthread_join(thread, NULL);
    assert_int_equal(loop.outcome->end, ENGINE_STOPPED);
    engine_guest_free(loop.guest);
    free(loop.outcome);
}

static void test_invoke(void **state)
{
    static const char *const good[] = {"40", "2", NULL};
    static const char *const bad[][3] = {
        {"40",   NULL},
        { "40",   "x", NULL},
        { "40", "2.5", NULL}
    };
    struct engine_guest_options o = options_default();
    struct engine_outcome *outcome = xcalloc(1, sizeof(*outcome));
    struct engine_code *code;
    struct engine_guest *g = NULL;
    autobuf out = BUF_INIT;
    struct err e = ERR_INIT;

    (void)state;
    o.invoke = "add";
    o.args = good;
    o.on_result = result_to_buf;
    o.on_result_ctx = &out;
    g = guest_make(add_module, sizeof(add_module), &o);
    assert_ok(engine_guest_run(g, outcome, &e));
    assert_int_equal(outcome->end, ENGINE_EXITED);
    assert_contains(out.data, "42");
    engine_guest_free(g);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        o.args = bad[i];
        g = guest_make(add_module, sizeof(add_module), &o);
        assert_fails(engine_guest_run(g, outcome, &e), -EINVAL, "InvalidArgument");
        engine_guest_free(g);
    }
    o.invoke = "subtract";
    code = code_make(add_module, sizeof(add_module));
    assert_fails(engine_guest_new(engine, code, &o, &g, &e), -ENOENT, "NoSuchExport");
    engine_code_close(code);
    free(outcome);
}

static int close_engine(void **state)
{
    (void)state;
    engine_close(engine);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_inspect_refuses),
        cmocka_unit_test(test_inspect_names),
        cmocka_unit_test(test_code_refuses),
        cmocka_unit_test(test_code_of_other_settings),
        cmocka_unit_test(test_exit_codes),
        cmocka_unit_test(test_component),
        cmocka_unit_test(test_trap),
        cmocka_unit_test(test_memory_limit),
        cmocka_unit_test(test_streams),
        cmocka_unit_test(test_stop),
        cmocka_unit_test(test_parallel),
        cmocka_unit_test(test_invoke),
    };
    const struct engine_options o = {
        .is_interruptible = true, .is_concurrent = true, .has_compiler = true};
    struct err e = ERR_INIT;

    if (engine_open(&o, &engine, &e) < 0) {
        fprintf(stderr, "%s\n", e.msg);
        return 1;
    }
    for (size_t i = 0; i < ARRAY_SIZE(trap_signals); i++)
        sigaction(trap_signals[i], NULL, &trap_actions[i]);
    return cmocka_run_group_tests_name("engine", tests, NULL, close_engine);
}
