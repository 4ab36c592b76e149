/* SPDX-License-Identifier: Apache-2.0 */
/* Compiling before a start, with a worker that is a script: it notes its job and waits for a word.
 */
#include "unit.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "base/fds.h"
#include "base/paths.h"
#include "pod/runtime/compile.h"

struct rig {
    char *dir, *jobs, *gate, *program;
    struct loop *l;
    struct compiles *set;
    struct guest_spec spec;
    int told, wanted;
};

static void told(void *ctx)
{
    struct rig *r = ctx;

    if (++r->told == r->wanted)
        loop_stop(r->l);
}

static void file_make(const char *path, const char *text, mode_t mode)
{
    struct err e = ERR_INIT;

    assert_ok(file_write(path, text, strlen(text), mode, 0, &e));
}

static void rig_open(struct rig *r, const char *end_of_script)
{
    autofree char *worker = NULL, *script = NULL;
    struct err e = ERR_INIT;

    *r = (struct rig){.dir = unit_temp_dir()};
    r->jobs = path_join(r->dir, "jobs");
    r->gate = path_join(r->dir, "gate");
    r->program = path_join(r->dir, "program");
    worker = path_join(r->dir, "worker");
    script =
        xasprintf("#!/bin/sh\ncat <&3 >>'%s'; echo >>'%s'\n%s\n", r->jobs, r->jobs, end_of_script);
    file_make(worker, script, 0755);
    file_make(r->program, "x", 0644);
    assert_int_equal(mkfifo(r->gate, 0600), 0);
    assert_ok(loop_open(&r->l, &e));
    r->set = compiles_new(r->l, worker, "/cache");
    guest_spec_init(&r->spec);
    r->spec.module_fd = open(r->program, O_RDONLY | O_CLOEXEC);
}

static void rig_done(struct rig *r)
{
    close((int)r->spec.module_fd);
    guest_spec_done(&r->spec);
    compiles_free(r->set);
    loop_free(r->l);
    unit_remove(r->dir);
    free(r->jobs);
    free(r->gate);
    free(r->program);
}

static struct compile *want(struct rig *r)
{
    autofree char *key = compile_key(&r->spec, NULL);
    struct compile *c = compile_start(r->set, &r->spec, key, told, r);

    r->wanted += c != NULL;
    return c;
}

static int jobs(const struct rig *r)
{
    autobuf text = BUF_INIT;
    struct err e = ERR_INIT;
    int n = 0;

    if (file_read(r->jobs, 1 << 20, &text, &e) < 0)
        return 0;
    for (const char *at = buf_str(&text); (at = strstr(at, "\"/cache\"")); at++)
        n++;
    return n;
}

static void all_that_wait_for_a_program_are_told_of_one_child_and_later_ones_need_not_wait(void **s)
{
    struct rig r;

    (void)s;
    rig_open(&r, "");
    assert_non_null(want(&r));
    assert_non_null(want(&r));
    loop_run(r.l);
    assert_int_equal(r.told, 2);
    assert_int_equal(jobs(&r), 1);
    assert_null(want(&r));
    rig_done(&r);
}

static void a_program_that_is_another_by_now_is_compiled_too(void **s)
{
    struct rig r;

    (void)s;
    rig_open(&r, "exit 1");
    want(&r);
    loop_run(r.l);
    close((int)r.spec.module_fd);
    file_make(r.program, "another", 0644);
    r.spec.module_fd = open(r.program, O_RDONLY | O_CLOEXEC);
    r.wanted = r.told = 0;
    assert_non_null(want(&r));
    loop_run(r.l);
    assert_int_equal(jobs(&r), 2);
    rig_done(&r);
}

static void stop(void *ctx)
{
    loop_stop(ctx);
}

static void who_does_not_wait_any_more_is_not_told_and_the_last_one_ends_the_child(void **s)
{
    struct rig r;
    struct compile *a, *b;
    autofd gate = -EBADF;

    (void)s;
    rig_open(&r, "read word <\"${0%/*}/gate\"");
    a = want(&r);
    b = want(&r);
    loop_defer(r.l, stop, r.l); /* behind the start of the child, which then reaches its gate */
    loop_run(r.l);
    gate = open(r.gate, O_WRONLY | O_CLOEXEC);
    assert_int_equal(jobs(&r), 1);
    compile_free(a);
    compile_free(b);
    assert_int_equal(r.told, 0);
    /* Nobody has seen its end, so it is begun anew. */
    a = want(&r);
    assert_non_null(a);
    compile_free(a);
    rig_done(&r);
}

static void a_worker_that_cannot_be_started_keeps_nobody_waiting(void **s)
{
    struct rig r;

    (void)s;
    rig_open(&r, "");
    compiles_free(r.set);
    r.set = compiles_new(r.l, "/nowhere/worker", "/cache");
    assert_non_null(want(&r));
    loop_run(r.l);
    assert_int_equal(r.told, 1);
    rig_done(&r);
}

static void without_a_cache_or_a_name_there_is_nothing_to_wait_for(void **s)
{
    struct rig r;

    (void)s;
    rig_open(&r, "");
    assert_null(compile_start(r.set, &r.spec, NULL, told, &r));
    r.spec.image = xstrdup("docker://a");
    assert_null(compile_key(&r.spec, NULL));
    compiles_free(r.set);
    r.set = compiles_new(r.l, "/bin/true", NULL);
    assert_null(compile_start(r.set, &r.spec, "key", told, &r));
    rig_done(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            all_that_wait_for_a_program_are_told_of_one_child_and_later_ones_need_not_wait),
        cmocka_unit_test(a_program_that_is_another_by_now_is_compiled_too),
        cmocka_unit_test(who_does_not_wait_any_more_is_not_told_and_the_last_one_ends_the_child),
        cmocka_unit_test(a_worker_that_cannot_be_started_keeps_nobody_waiting),
        cmocka_unit_test(without_a_cache_or_a_name_there_is_nothing_to_wait_for),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
