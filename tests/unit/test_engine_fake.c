/* SPDX-License-Identifier: Apache-2.0 */
/* The stand-in engine keeps the contract of engine.h where the tests of the worker rely on it. */
#include "unit.h"

#include <fcntl.h>
#include <pthread.h>

#include "base/buf.h"
#include "base/fds.h"
#include "engine/engine.h"

#define SCRIPT(text) "\0asm\1\0\0\0" text, sizeof("\0asm\1\0\0\0" text) - 1

static ssize_t to_buf(void *ctx, void *data, size_t len)
{
    buf_add(ctx, data, len);
    return (ssize_t)len;
}

static void *stop_soon(void *guest)
{
    usleep(20000);
    engine_guest_stop(guest);
    return NULL;
}

/* Runs a script to its end; a thread stops it after 20 ms. */
static void run_script(const char *bytes, size_t len, struct buf *out, struct engine_outcome *ret,
                       struct engine_figures *figures)
{
    const struct engine_options options = {.has_compiler = true};
    const char *const env[] = {"A=1", NULL};
    struct engine_guest_options o = {
        .env = env,
        .streams[1] = {.ctx = out, .transfer = to_buf},
        .limits.memory_bytes = 1000,
    };
    struct engine *en = NULL;
    struct engine_code *code = NULL;
    struct engine_guest *g = NULL;
    struct err e = ERR_INIT;
    pthread_t thread;
    autofd fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    assert_ok(engine_open(&options, &en, &e));
    assert_ok(engine_compile(en, bytes, len, fd, &e));
    assert_ok(engine_code_open(en, fd, &code, &e));
    assert_ok(engine_guest_new(en, code, &o, &g, &e));
    engine_code_close(code);
    assert_int_equal(pthread_create(&thread, NULL, stop_soon, g), 0);
    assert_ok(engine_guest_run(g, ret, &e));
    pthread_join(thread, NULL);
    engine_guest_figures(g, figures);
    engine_guest_free(g);
    engine_close(en);
}

static void test_ends(void **state)
{
    struct engine_outcome outcome = {0};
    struct engine_figures figures;
    autobuf out = BUF_INIT;

    (void)state;
    run_script(SCRIPT("print hello\nenv A\nenv B\nexit 300\n"), &out, &outcome, &figures);
    assert_int_equal(outcome.end, ENGINE_EXITED);
    assert_int_equal(outcome.exit_code, 300);
    assert_string_equal(out.data, "hello\n1\n-\n");
    run_script(SCRIPT("grow 600\ngrow 600\ntrap Unreachable\n"), &out, &outcome, &figures);
    assert_int_equal(outcome.end, ENGINE_TRAPPED);
    assert_string_equal(outcome.trap, "Unreachable");
    assert_true(outcome.memory_refused);
    assert_int_equal(figures.memory_peak_bytes, 600);
    run_script(SCRIPT("spin\n"), &out, &outcome, &figures);
    assert_int_equal(outcome.end, ENGINE_STOPPED);
    run_script(SCRIPT("sleep 10000\n"), &out, &outcome, &figures);
    assert_int_equal(outcome.end, ENGINE_STOPPED);
    run_script(SCRIPT(""), &out, &outcome, &figures);
    assert_int_equal(outcome.end, ENGINE_EXITED);
}

static void count(void *ctx, const char *name, const char *kind, const char *type)
{
    (void)kind;
    (void)type;
    buf_addf(ctx, "%s;", name);
}

static void test_inspect(void **state)
{
    autobuf names = BUF_INIT;
    const struct engine_visitor v = {.ctx = &names, .export = count};
    enum engine_artifact artifact;
    struct err e = ERR_INIT;

    (void)state;
    assert_ok(engine_inspect(SCRIPT("export a\nexport b"), true, &v, &artifact, &e));
    assert_ok(engine_inspect(SCRIPT("exit 1"), true, &v, &artifact, &e));
    assert_string_equal(names.data, "a;b;_start;");
    assert_fails(engine_inspect("text", 4, false, &v, &artifact, &e), -ENOEXEC, "NotWasm");
    assert_fails(engine_inspect(SCRIPT("invalid"), true, &v, &artifact, &e), -ENOEXEC,
                 "InvalidWasm");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ends),
        cmocka_unit_test(test_inspect),
    };
    return cmocka_run_group_tests_name("engine_fake", tests, NULL, NULL);
}
