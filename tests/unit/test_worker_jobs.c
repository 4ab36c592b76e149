/* SPDX-License-Identifier: Apache-2.0 */
/* Jobs of children, with a worker that is a script. */
#include "unit.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

#include "base/fds.h"
#include "base/paths.h"
#include "container/worker_jobs.h"

struct rig {
    char *dir, *worker;
    struct loop *l;
    struct worker_jobs *set;
    int told, wanted;
    long most;
    int status;
    size_t output_len;
    char output[256];
    const char *reason;
};

static void told(void *ctx, const struct err *e, const struct worker_job_end *end)
{
    struct rig *r = ctx;

    assert_true(!e != !end);
    r->reason = e ? e->reason : NULL;
    if (end) {
        r->status = end->status;
        r->output_len = end->output_len;
        snprintf(r->output, sizeof(r->output), "%s", end->output);
        if (strtol(r->output, NULL, 10) > r->most)
            r->most = strtol(r->output, NULL, 10);
    }
    if (++r->told == r->wanted)
        loop_stop(r->l);
}

static void rig_open(struct rig *r, const char *body)
{
    autofree char *script = xasprintf("#!/bin/sh\n%s\n", body);
    struct err e = ERR_INIT;

    *r = (struct rig){.dir = unit_temp_dir()};
    r->worker = path_join(r->dir, "worker");
    assert_ok(file_write(r->worker, script, strlen(script), 0755, 0, &e));
    assert_ok(loop_open(&r->l, &e));
    r->set = worker_jobs_new(r->l, r->worker);
}

static void rig_done(struct rig *r)
{
    worker_jobs_free(r->set);
    loop_free(r->l);
    unit_remove(r->dir);
    free(r->worker);
}

static struct worker_job *start(struct rig *r, const char *key)
{
    const struct guest_job job = {.command = (char *)"the job", .status_fd = -1};
    struct worker_job *j = NULL;
    struct err e = ERR_INIT;
    autofd program = -EBADF;

    assert_ok(memfd_from("program", "the program", 11, &program, &e));
    assert_ok(worker_job_start(r->set, key, &job, program, told, r, &j, &e));
    r->wanted++;
    return j;
}

static void a_child_gets_job_and_program_and_is_heard(void **state)
{
    struct rig r;

    (void)state;
    rig_open(&r, "cat <&4; grep -c 'the job' <&3; exit 5");
    start(&r, "a");
    loop_run(r.l);
    assert_int_equal(r.told, 1);
    assert_int_equal(WEXITSTATUS(r.status), 5);
    assert_string_equal(r.output, "the program1\n");
    rig_done(&r);
}

static void what_a_child_prints_beyond_the_limit_is_refused_to_it(void **state)
{
    struct rig r;

    (void)state;
    rig_open(&r, "yes | head -c 1000000 || exit 9");
    start(&r, "a");
    loop_run(r.l);
    assert_int_equal(r.told, 1);
    assert_in_range(r.output_len, 1, WORKER_JOB_OUTPUT_LIMIT_BYTES);
    rig_done(&r);
}

static void no_more_children_run_at_a_time_than_allowed(void **state)
{
    char key[8];
    struct rig r;

    (void)state;
    /* Each leaves a file while it runs, and says how many there are. */
    rig_open(&r, "cd \"${0%/*}\"; : >run.$$; ls run.* | wc -l; sleep 0.05; rm run.$$");
    for (int i = 0; i < 3 * WORKER_JOBS_LIMIT; i++) {
        snprintf(key, sizeof(key), "%d", i);
        start(&r, key);
    }
    loop_run(r.l);
    assert_int_equal(r.told, 3 * WORKER_JOBS_LIMIT);
    assert_in_range(r.most, 1, WORKER_JOBS_LIMIT);
    rig_done(&r);
}

static void a_worker_that_is_not_there_is_told_to_all(void **state)
{
    struct rig r;

    (void)state;
    rig_open(&r, "");
    assert_int_equal(unlink(r.worker), 0);
    start(&r, "a");
    start(&r, "a");
    start(&r, "b");
    loop_run(r.l);
    assert_int_equal(r.told, 3);
    assert_string_equal(r.reason, "StartFailed");
    rig_done(&r);
}

static void one_that_waits_can_be_dropped(void **state)
{
    struct worker_job *dropped;
    struct rig r;

    (void)state;
    rig_open(&r, "echo");
    dropped = start(&r, "a");
    start(&r, "a");
    worker_job_free(dropped);
    worker_job_free(start(&r, "b"));
    worker_job_free(NULL);
    r.wanted = 1;
    loop_run(r.l);
    assert_int_equal(r.told, 1);
    rig_done(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_child_gets_job_and_program_and_is_heard),
        cmocka_unit_test(what_a_child_prints_beyond_the_limit_is_refused_to_it),
        cmocka_unit_test(no_more_children_run_at_a_time_than_allowed),
        cmocka_unit_test(a_worker_that_is_not_there_is_told_to_all),
        cmocka_unit_test(one_that_waits_can_be_dropped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
