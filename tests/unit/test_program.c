/* SPDX-License-Identifier: Apache-2.0 */
/* Preparing programs, with a worker that is a script: it notes that it was started and says what it
 * was given to say. */
#include "unit.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/fds.h"
#include "base/paths.h"
#include "container/guest/program.h"
#include "container/guest/program_record.h"
#include "store/cache.h"

struct rig {
    char *dir, *worker, *starts, *gate;
    int gate_fd;
    char key[CACHE_KEY_SIZE];
    struct loop *l;
    struct programs *set;
    int program;
    int told, wanted;
    enum contract contract;
    char code[8];
    struct err e;
};

static void file_make(const char *path, const char *text, mode_t mode)
{
    struct err e = ERR_INIT;

    assert_ok(file_write(path, text, strlen(text), mode, 0, &e));
}

static void told(void *ctx, const struct err *e, struct prepared *p)
{
    struct rig *r = ctx;

    r->told++;
    r->e = e ? *e : ERR_INIT;
    if (p) {
        r->contract = p->contract;
        assert_int_equal(pread(p->code_fd, r->code, 4, 0), 4);
    }
    if (r->told == r->wanted)
        loop_stop(r->l);
}

/* The code that the script answers with, in the cache. */
static void code_make(struct rig *r)
{
    struct digest source = {.bytes = {1}};
    AUTO(cache) cache = NULL;
    struct err e = ERR_INIT;
    autofd code = -EBADF;
    int handle;

    cache_key(&source, "settings", r->key);
    assert_ok(cache_open(r->dir, &cache, &e));
    assert_ok(memfd_from("code", "code", 4, &code, &e));
    assert_int_equal(cache_begin(cache, r->key, &handle, &e), 0);
    assert_ok(cache_commit(cache, r->key, handle, code, &e));
}

static void worker_make(struct rig *r, const char *body)
{
    autofree char *script = xasprintf("#!/bin/sh\necho >>'%s'\n%s\n", r->starts, body);

    file_make(r->worker, script, 0755);
}

static void rig_open(struct rig *r)
{
    autofree char *body = NULL;
    struct err e = ERR_INIT;

    *r = (struct rig){.dir = unit_temp_dir()};
    r->worker = path_join(r->dir, "worker");
    r->starts = path_join(r->dir, "starts");
    r->gate = path_join(r->dir, "gate");
    assert_int_equal(mkfifo(r->gate, 0600), 0);
    r->gate_fd = open(r->gate, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    code_make(r);
    body = xasprintf("echo '{\"contract\":\"p2-http\",\"code\":\"%s\"}'", r->key);
    worker_make(r, body);
    assert_ok(memfd_from("program", "program", 7, &r->program, &e));
    assert_ok(loop_open(&r->l, &e));
    r->set = programs_new(r->l, r->worker, r->dir);
}

static void rig_done(struct rig *r)
{
    programs_free(r->set);
    loop_free(r->l);
    close(r->program);
    close(r->gate_fd);
    unit_remove(r->dir);
    free(r->worker);
    free(r->starts);
    free(r->gate);
}

static int starts(const struct rig *r)
{
    autobuf text = BUF_INIT;
    struct err e = ERR_INIT;

    return file_read(r->starts, 1 << 20, &text, &e) < 0 ? 0 : (int)text.len;
}

static void want(struct rig *r, int n)
{
    r->told = 0;
    r->wanted = n;
    for (int i = 0; i < n; i++)
        program_prepare(r->set, r->program, NULL, told, r);
    assert_int_equal(r->told, 0);
    loop_run(r->l);
    assert_int_equal(r->told, n);
}

static void assert_refused(struct rig *r, int fd, const char *digest, const char *reason)
{
    r->told = 0;
    r->wanted = 1;
    program_prepare(r->set, fd, digest, told, r);
    loop_run(r->l);
    assert_int_equal(r->told, 1);
    if (!r->e.reason || strcmp(r->e.reason, reason) != 0)
        fail_msg("%s instead of %s", r->e.reason ? r->e.reason : "success", reason);
}

static void nothing(void *ctx)
{
    (void)ctx;
}

static void gate_open(void *ctx)
{
    assert_int_equal(write(((struct rig *)ctx)->gate_fd, "\n", 1), 1);
}

static void all_that_want_a_program_wait_for_one_child_and_later_ones_for_none(void **state)
{
    autofree char *body = NULL;
    struct rig r;

    (void)state;
    rig_open(&r);
    body = xasprintf("read word <'%s'; echo '{\"contract\":\"p2-http\",\"code\":\"%s\"}'", r.gate,
                     r.key);
    worker_make(&r, body);
    r.wanted = 3;
    for (int i = 0; i < 3; i++)
        program_prepare(r.set, r.program, NULL, told, &r);
    /* The pool has one thread: behind this they have all seen that the code is not there. */
    loop_work(r.l, nothing, gate_open, &r);
    loop_run(r.l);
    assert_int_equal(r.told, 3);
    assert_int_equal(r.e.code, 0);
    assert_int_equal(r.contract, CONTRACT_P2_HTTP);
    assert_string_equal(r.code, "code");
    assert_int_equal(starts(&r), 1);
    want(&r, 2);
    assert_int_equal(starts(&r), 1);
    programs_free(r.set);
    r.set = programs_new(r.l, r.worker, r.dir);
    want(&r, 1);
    assert_int_equal(starts(&r), 1);
    rig_done(&r);
}

static void another_worker_is_asked_anew(void **state)
{
    const struct timespec times[2] = {{.tv_sec = 1}, {.tv_sec = 1}};
    struct rig r;

    (void)state;
    rig_open(&r);
    want(&r, 1);
    assert_int_equal(utimensat(AT_FDCWD, r.worker, times, 0), 0);
    want(&r, 1);
    assert_int_equal(r.e.code, 0);
    assert_int_equal(starts(&r), 2);
    rig_done(&r);
}

static void code_that_is_gone_or_damaged_is_not_handed_out(void **state)
{
    autofree char *path = NULL;
    struct rig r;

    (void)state;
    rig_open(&r);
    want(&r, 1);
    path = xasprintf("%s/code/%s", r.dir, r.key);
    assert_int_equal(unlink(path), 0);
    file_make(path, "damaged", 0400);
    assert_refused(&r, r.program, NULL, "DamagedFile");
    assert_int_equal(unlink(path), 0);
    assert_refused(&r, r.program, NULL, "CacheFailed");
    assert_int_equal(starts(&r), 3);
    rig_done(&r);
}

static void what_the_worker_says_is_wrong_is_told_with_its_reason(void **state)
{
    static const struct {
        const char *body, *reason, *message;
        int code;
    } cases[] = {
        {"echo '{\"reason\":\"NotWasm\",\"message\":\"not so\"}'; exit 126",   "NotWasm",       "not so",
         -ENOEXEC                                                                                               },
        {"echo '{\"reason\":\"CacheFailed\",\"message\":\"full\"}'; exit 125", "CacheFailed",
         "full",                                                                                            -EIO},
        {"echo '{\"reason\":\"New\",\"message\":\"word\"}'; exit 125",         "PrepareFailed", "word",
         -EIO                                                                                                   },
        {"exit 3",                                                             "PrepareFailed", "status 3", -EIO},
        {"echo nonsense",                                                      "PrepareFailed", "status 0", -EIO},
        {"kill -9 $$",                                                         "PrepareFailed", "signal 9", -EIO},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct rig r;

        rig_open(&r);
        worker_make(&r, cases[i].body);
        assert_refused(&r, r.program, NULL, cases[i].reason);
        assert_contains(r.e.msg, cases[i].message);
        assert_int_equal(r.e.code, cases[i].code);
        /* It may be right the next time. */
        assert_refused(&r, r.program, NULL, cases[i].reason);
        assert_int_equal(starts(&r), 2);
        rig_done(&r);
    }
}

static void what_is_no_file_for_a_program_is_refused_before_a_process_is_started(void **state)
{
    autofd null = open("/dev/null", O_RDONLY | O_CLOEXEC),
           large = memfd_create("large", MFD_CLOEXEC);
    char other[DIGEST_TEXT_SIZE];
    struct digest d;
    struct rig r;

    (void)state;
    rig_open(&r);
    assert_refused(&r, null, NULL, "NotWasm");
    assert_int_equal(ftruncate(large, PROGRAM_LIMIT_BYTES + 1), 0);
    assert_refused(&r, large, NULL, "TooLarge");
    assert_refused(&r, -1, NULL, "ReadFailed");
    assert_refused(&r, r.program, "sha256:1", "BadDigest");
    /* It would be kept for the other one. */
    digest_bytes("other", 5, &d);
    digest_format(&d, other);
    assert_refused(&r, r.program, other, "ProgramChanged");
    assert_int_equal(unlink(r.worker), 0);
    assert_refused(&r, r.program, NULL, "ProgramMissing");
    assert_int_equal(starts(&r), 0);
    rig_done(&r);
}

static void who_has_cancelled_is_not_told_and_may_free_all(void **state)
{
    struct program_request *a, *b;
    struct rig r;

    (void)state;
    rig_open(&r);
    a = program_prepare(r.set, r.program, NULL, told, &r);
    b = program_prepare(r.set, r.program, NULL, told, &r);
    program_cancel(a);
    program_cancel(b);
    programs_free(take_ptr(r.set));
    loop_run(r.l);
    assert_int_equal(r.told, 0);
    assert_int_equal(starts(&r), 0);
    rig_done(&r);
}

struct gated {
    struct rig *rig;
    struct program_request *requests[2];
    struct loop_watch *watch;
    int fd;
};

/* The script has opened the other end. */
static void gate_reached(void *ctx, unsigned events)
{
    struct gated *g = ctx;

    (void)events;
    loop_watch_free(take_ptr(g->watch));
    program_cancel(g->requests[0]);
    program_cancel(g->requests[1]);
    loop_stop(g->rig->l);
}

static void with_the_last_one_that_waits_the_child_is_ended(void **state)
{
    autofree char *never = NULL;
    struct gated g = {0};
    struct rig r;
    struct err e = ERR_INIT;

    (void)state;
    rig_open(&r);
    never = path_join(r.dir, "never");
    assert_int_equal(mkfifo(never, 0600), 0);
    worker_make(&r, "echo >\"${0%/*}/gate\"; exec cat \"${0%/*}/never\"");
    g.rig = &r;
    g.fd = r.gate_fd;
    assert_ok(loop_watch_new(r.l, g.fd, gate_reached, &g, &g.watch, &e));
    loop_watch_set(g.watch, LOOP_READABLE);
    for (int i = 0; i < 2; i++)
        g.requests[i] = program_prepare(r.set, r.program, NULL, told, &r);
    loop_run(r.l);
    programs_free(take_ptr(r.set)); /* a child that runs would be a contradiction */
    loop_run(r.l);                  /* until it is reaped */
    assert_int_equal(r.told, 0);
    rig_done(&r);
}

static void records_do_not_pile_up(void **state)
{
    struct digest d = {.bytes = {1}};
    struct prepare_answer a = {.contract = (char *)"p1-command"}, back = {0};
    autofree char *folder = NULL;
    struct err e = ERR_INIT;
    struct stat st;
    struct rig r;

    (void)state;
    rig_open(&r);
    a.code = r.key;
    folder = xasprintf("%s/programs", r.dir);
    assert_int_equal(program_record_find(r.dir, &d, "w", &back, &e), 0);
    for (int i = 0; i < PROGRAM_RECORDS_LIMIT; i++) {
        autofree char *path = xasprintf("%s/%d", folder, i);

        close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    }
    assert_ok(program_record_keep(r.dir, &d, "w", &a, &e));
    assert_int_equal(program_record_find(r.dir, &d, "w", &back, &e), 1);
    prepare_answer_done(&back);
    assert_int_equal(program_record_find(r.dir, &d, "another", &back, &e), 0);
    free(take_ptr(folder));
    folder = xasprintf("%s/programs/0", r.dir);
    assert_int_equal(stat(folder, &st), -1);
    rig_done(&r);
}

static void what_others_may_write_is_not_trusted(void **state)
{
    autofree char *folder = NULL, *file = NULL;
    struct digest d = {.bytes = {1}};
    struct prepare_answer a = {.contract = (char *)"p1-command"}, back = {0};
    char hex[DIGEST_HEX_SIZE];
    struct err e = ERR_INIT;
    struct rig r;

    (void)state;
    rig_open(&r);
    a.code = r.key;
    digest_hex_format(&d, hex);
    folder = path_join(r.dir, "programs");
    file = path_join(folder, hex);
    assert_ok(program_record_keep(r.dir, &d, "w", &a, &e));
    assert_int_equal(chmod(file, 0622), 0);
    assert_int_equal(program_record_find(r.dir, &d, "w", &back, &e), 0);
    assert_int_equal(chmod(file, 0600), 0);
    assert_int_equal(chmod(folder, 0777), 0);
    assert_fails(program_record_find(r.dir, &d, "w", &back, &e), -EPERM, "UntrustedFolder");
    /* Nobody is worse off than without a record. */
    want(&r, 1);
    assert_int_equal(r.e.code, 0);
    assert_int_equal(starts(&r), 1);
    rig_done(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_that_want_a_program_wait_for_one_child_and_later_ones_for_none),
        cmocka_unit_test(another_worker_is_asked_anew),
        cmocka_unit_test(code_that_is_gone_or_damaged_is_not_handed_out),
        cmocka_unit_test(what_the_worker_says_is_wrong_is_told_with_its_reason),
        cmocka_unit_test(what_is_no_file_for_a_program_is_refused_before_a_process_is_started),
        cmocka_unit_test(who_has_cancelled_is_not_told_and_may_free_all),
        cmocka_unit_test(with_the_last_one_that_waits_the_child_is_ended),
        cmocka_unit_test(records_do_not_pile_up),
        cmocka_unit_test(what_others_may_write_is_not_trusted),
    };

    setenv("UV_THREADPOOL_SIZE", "1", 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
