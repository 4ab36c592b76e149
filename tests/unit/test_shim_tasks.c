/* SPDX-License-Identifier: Apache-2.0 */
/* What containerd is told in every state of a container and of an exec, and in which order. */
#include "shim_world.h"

static int before(void **state)
{
    (void)state;
    if (geteuid())
        skip(); /* unmounts */
    world_open();
    return 0;
}

static int after(void **state)
{
    (void)state;
    wind_up();
    world_close();
    return 0;
}

/* ---- Every pair of state and call ---- */

struct pair {
    const char *state;
    const char *answers[12]; /* in the order of `methods` */
    Task__Status status;     /* when State is answered */
};

static const char *const methods[] = {"Create", "Start",  "Kill", "Delete", "Exec",  "Pause",
                                      "Resume", "Update", "Wait", "State",  "Stats", "CloseIO"};

static const struct pair pairs[] = {
    {"creating",
     {EXISTS, MISSING, MISSING, MISSING, MISSING, MISSING, MISSING, MISSING, MISSING, MISSING,
      MISSING, MISSING},
     TASK__STATUS__UNKNOWN},
    {"created",
     {EXISTS, OK, OK, OK, REFUSED, REFUSED, REFUSED, OK, OPEN, OK, OK, OK},
     TASK__STATUS__CREATED},
    {"starting",
     {EXISTS, REFUSED, OK, REFUSED, REFUSED, REFUSED, REFUSED, OK, OPEN, OK, OK, OK},
     TASK__STATUS__CREATED},
    {"unstartable",
     {EXISTS, OK, OK, OK, REFUSED, REFUSED, REFUSED, OK, OPEN, OK, OK, OK},
     TASK__STATUS__CREATED},
    {"running",
     {EXISTS, REFUSED, OK, REFUSED, OK, OK, REFUSED, OK, OPEN, OK, OK, OK},
     TASK__STATUS__RUNNING},
    {"pausing",
     {EXISTS, REFUSED, OK, REFUSED, OK, REFUSED, REFUSED, OK, OPEN, OK, OK, OK},
     TASK__STATUS__RUNNING},
    {"paused",
     {EXISTS, REFUSED, OK, REFUSED, OK, REFUSED, OK, OK, OPEN, OK, OK, OK},
     TASK__STATUS__PAUSED },
    {"stopped",
     {EXISTS, REFUSED, MISSING, OK, REFUSED, REFUSED, REFUSED, MISSING, OK, OK, OK, OK},
     TASK__STATUS__STOPPED},
    {"deleting",
     {EXISTS, REFUSED, MISSING, REFUSED, REFUSED, REFUSED, REFUSED, MISSING, OK, OK, OK, OK},
     TASK__STATUS__STOPPED},
    {"gone",
     {OK, MISSING, MISSING, MISSING, MISSING, MISSING, MISSING, MISSING, MISSING, MISSING, MISSING,
      MISSING},
     TASK__STATUS__UNKNOWN},
};

/* Brings the container there; `open` is a call that waits then. */
static void go_to(const char *state, struct answer *open)
{
    if (str_eq(state, "gone"))
        return;
    if (str_eq(state, "creating")) {
        fake.holds[FAKE_CREATE] = true;
        ask_create(open);
        run_until(fake.held[FAKE_CREATE] || (run_for(1), false));
        return;
    }
    must("Create", NULL);
    if (str_eq(state, "created"))
        return;
    fake.holds[FAKE_START] = str_eq(state, "starting");
    fake.fails[FAKE_START] = str_eq(state, "unstartable");
    ask("Start", NULL, open);
    expect_answer(open, str_eq(state, "starting")      ? OPEN
                        : str_eq(state, "unstartable") ? FAILED
                                                       : OK);
    fake.fails[FAKE_START] = false;
    if (str_eq(state, "pausing") || str_eq(state, "paused")) {
        buf_done(&open->payload);
        fake.holds[FAKE_PAUSE] = str_eq(state, "pausing");
        ask("Pause", NULL, open);
        expect_answer(open, str_eq(state, "pausing") ? OPEN : OK);
    }
    if (str_eq(state, "stopped") || str_eq(state, "deleting"))
        end(NULL, 3);
    if (str_eq(state, "deleting")) {
        buf_done(&open->payload);
        fake.holds[FAKE_CLEAN] = true;
        ask("Delete", NULL, open);
        expect_answer(open, OPEN);
    }
}

/* Of one container they come in their order, each once; what was started or created has ended when
 * it is deleted. */
static void order_check(void)
{
    static const char *const order[] = {"create c", "start c", "exit c ", "delete c"};
    const char *at = buf_str(&world.told), *found[4];

    for (size_t i = 0; i < ARRAY_SIZE(order); i++) {
        found[i] = strstr(at, order[i]);
        if (found[i] && strstr(found[i] + 1, order[i]))
            fail_msg("told twice: '%s'", at);
        for (size_t k = 0; k < i; k++)
            if (found[i] && found[k] && found[k] > found[i])
                fail_msg("out of order: '%s'", at);
    }
    if (found[0] && (!found[2] || !found[3]))
        fail_msg("not told to the end: '%s'", at);
}

static void pair_try(const struct pair *p, size_t i)
{
    struct answer open = {0}, a = {0};

    world_open();
    snprintf(world.about, sizeof(world.about), "%s in the state %s", methods[i], p->state);
    go_to(p->state, &open);
    ask_named(methods[i], NULL, &a);
    expect_answer(&a, p->answers[i]);
    if (str_eq(methods[i], "State") && str_eq(p->answers[i], OK))
        assert_int_equal(status_now(NULL, NULL), p->status);
    wind_up();
    if (is_open(&a))
        expect_answer(&a, OK);
    while (strstr(buf_str(&world.told), "create") && !strstr(buf_str(&world.told), "delete c"))
        run_for(5);
    order_check();
    buf_done(&a.payload);
    buf_done(&open.payload);
    world_close();
}

static void every_call_is_answered_as_the_state_of_the_container_says(void **state)
{
    (void)state;
    if (geteuid())
        skip();
    for (size_t i = 0; i < ARRAY_SIZE(pairs); i++)
        for (size_t k = 0; k < ARRAY_SIZE(methods); k++)
            pair_try(&pairs[i], k);
}

static const char *const exec_methods[] = {"Exec", "Start", "Kill", "Delete", "Wait", "State"};

static const struct pair exec_pairs[] = {
    {"added",       {EXISTS, OK, REFUSED, OK, OPEN, OK},               TASK__STATUS__CREATED},
    {"starting",    {EXISTS, REFUSED, OK, REFUSED, OPEN, OK},          TASK__STATUS__CREATED},
    {"unstartable", {EXISTS, REFUSED, MISSING, OK, OK, OK},            TASK__STATUS__STOPPED},
    {"running",     {EXISTS, REFUSED, OK, REFUSED, OPEN, OK},          TASK__STATUS__RUNNING},
    {"stopped",     {EXISTS, REFUSED, MISSING, OK, OK, OK},            TASK__STATUS__STOPPED},
    {"deleting",    {EXISTS, REFUSED, MISSING, REFUSED, OK, OK},       TASK__STATUS__STOPPED},
    {"gone",        {OK, MISSING, MISSING, MISSING, MISSING, MISSING}, TASK__STATUS__UNKNOWN},
};

static void exec_go_to(const char *state, struct answer *open)
{
    must("Create", NULL);
    must("Start", NULL);
    if (str_eq(state, "gone"))
        return;
    must("Exec", NULL);
    if (str_eq(state, "added"))
        return;
    fake.holds[FAKE_START] = str_eq(state, "starting");
    fake.fails[FAKE_START] = str_eq(state, "unstartable");
    ask("Start", "x", open);
    expect_answer(open, str_eq(state, "starting")      ? OPEN
                        : str_eq(state, "unstartable") ? FAILED
                                                       : OK);
    fake.fails[FAKE_START] = false;
    if (str_eq(state, "stopped") || str_eq(state, "deleting"))
        end("x", 4);
    if (str_eq(state, "deleting")) {
        buf_done(&open->payload);
        fake.holds[FAKE_CLEAN] = true;
        ask("Delete", "x", open);
        expect_answer(open, OPEN);
    }
}

static void exec_pair_try(const struct pair *p, size_t i)
{
    struct answer open = {0}, a = {0};

    world_open();
    snprintf(world.about, sizeof(world.about), "%s of an exec in the state %s", exec_methods[i],
             p->state);
    exec_go_to(p->state, &open);
    ask_named(exec_methods[i], "x", &a);
    expect_answer(&a, p->answers[i]);
    if (str_eq(exec_methods[i], "State") && str_eq(p->answers[i], OK))
        assert_int_equal(status_now("x", NULL), p->status);
    wind_up();
    if (is_open(&a))
        expect_answer(&a, OK);
    buf_done(&a.payload);
    buf_done(&open.payload);
    world_close();
}

static void every_call_is_answered_as_the_state_of_the_exec_says(void **state)
{
    (void)state;
    if (geteuid())
        skip();
    for (size_t i = 0; i < ARRAY_SIZE(exec_pairs); i++)
        for (size_t k = 0; k < ARRAY_SIZE(exec_methods); k++)
            exec_pair_try(&exec_pairs[i], k);
}

/* ---- Order ---- */

static void an_end_before_the_start_is_answered_is_told_after_it(void **state)
{
    struct answer start, wait;

    (void)state;
    must("Create", NULL);
    fake.holds[FAKE_START] = true;
    ask("Start", NULL, &start);
    ask("Wait", NULL, &wait);
    expect_answer(&wait, OPEN);
    end(NULL, 7);
    expect_answer(&wait, OPEN);
    fake_release(FAKE_START);
    expect_answer(&start, OK);
    expect_answer(&wait, OK);
    must("Delete", NULL);
    expect_told("create c, start c, exit c 7, delete c, ");
    buf_done(&start.payload);
    buf_done(&wait.payload);
}

static void a_container_deleted_before_its_start_is_killed_and_its_end_told(void **state)
{
    struct answer wait;

    (void)state;
    must("Create", NULL);
    ask("Wait", NULL, &wait);
    must("Delete", NULL);
    expect_answer(&wait, OK);
    buf_done(&wait.payload);
    assert_string_equal(fake.signals, "c:9 ");
    expect_told("create c, exit c 137, delete c, ");
}

static void a_create_that_fails_leaves_nothing_and_is_not_told(void **state)
{
    (void)state;
    fake.fails[FAKE_CREATE] = true;
    must_fail("Create", NULL, FAILED);
    fake.fails[FAKE_CREATE] = false;
    must("Create", NULL);
    must("Delete", NULL);
    expect_told("create c, exit c 137, delete c, ");
}

static void a_start_that_fails_is_followed_by_the_end(void **state)
{
    struct answer wait;

    (void)state;
    must("Create", NULL);
    ask("Wait", NULL, &wait);
    fake.fails[FAKE_START] = true;
    must_fail("Start", NULL, FAILED);
    assert_true(is_open(&wait));
    end(NULL, 126);
    expect_answer(&wait, OK);
    buf_done(&wait.payload);
    must("Delete", NULL);
    expect_told("create c, exit c 126, delete c, ");
}

static void a_pause_that_ends_after_the_container_is_not_told(void **state)
{
    struct answer pause;

    (void)state;
    must("Create", NULL);
    must("Start", NULL);
    fake.holds[FAKE_PAUSE] = true;
    ask("Pause", NULL, &pause);
    expect_answer(&pause, OPEN);
    end(NULL, 0);
    fake_release(FAKE_PAUSE);
    expect_answer(&pause, OK);
    must("Delete", NULL);
    expect_told("create c, start c, exit c 0, delete c, ");
}

/* ---- Deletion ---- */

static void a_deletion_waits_for_a_kill_that_is_under_way(void **state)
{
    struct answer kill, delete;

    (void)state;
    must("Create", NULL);
    must("Start", NULL);
    fake.holds[FAKE_SIGNAL] = true;
    ask_kill(NULL, SIGTERM, &kill);
    expect_answer(&kill, OPEN);
    end(NULL, 0);
    ask("Delete", NULL, &delete);
    expect_answer(&delete, OPEN);
    fake_release(FAKE_SIGNAL);
    expect_answer(&kill, OK);
    expect_answer(&delete, OK);
    buf_done(&delete.payload);
}

/* Its streams may be over before that. */
static void a_deletion_before_the_start_waits_for_its_kill(void **state)
{
    struct answer delete;

    (void)state;
    must("Create", NULL);
    fake.holds[FAKE_SIGNAL] = true;
    ask("Delete", NULL, &delete);
    run_until(process_now(NULL)->is_ended);
    while (process_now(NULL)->stdio)
        run_for(5);
    expect_answer(&delete, OPEN);
    fake_release(FAKE_SIGNAL);
    expect_answer(&delete, OK);
    buf_done(&delete.payload);
    expect_told("create c, exit c 137, delete c, ");
}

static void the_end_of_a_container_ends_its_execs_and_its_deletion_waits_for_them(void **state)
{
    struct answer wait;

    (void)state;
    must("Create", NULL);
    must("Start", NULL);
    must("Exec", NULL);
    must("Start", "x");
    ask("Wait", "x", &wait);
    expect_answer(&wait, OPEN);
    end(NULL, 0);
    must("Delete", NULL);
    expect_answer(&wait, OK);
    buf_done(&wait.payload);
    assert_string_equal(fake.signals, "x:9 ");
    expect_told(
        "create c, start c, exec-added c, exec-started c, exit c 0, exit x 137, delete c, ");
}

static void an_exec_that_starts_as_its_container_ends_is_killed(void **state)
{
    struct answer start, delete;

    (void)state;
    must("Create", NULL);
    must("Start", NULL);
    must("Exec", NULL);
    fake.holds[FAKE_START] = true;
    ask("Start", "x", &start);
    expect_answer(&start, OPEN);
    end(NULL, 0);
    ask("Delete", NULL, &delete);
    expect_answer(&delete, OPEN);
    fake_release(FAKE_START);
    expect_answer(&start, OK);
    expect_answer(&delete, OK);
    buf_done(&start.payload);
    buf_done(&delete.payload);
    expect_told(
        "create c, start c, exec-added c, exit c 0, exec-started c, exit x 137, delete c, ");
}

static void an_exec_is_not_started_while_its_container_is_paused(void **state)
{
    struct answer pause;

    (void)state;
    must("Create", NULL);
    must("Start", NULL);
    must("Exec", "x");
    fake.holds[FAKE_PAUSE] = true;
    ask("Pause", NULL, &pause);
    expect_answer(&pause, OPEN);
    must_fail("Start", "x", REFUSED);
    fake_release(FAKE_PAUSE);
    expect_answer(&pause, OK);
    buf_done(&pause.payload);
    must_fail("Start", "x", REFUSED);
    must("Resume", NULL);
    must("Start", "x");
    end("x", 0);
}

static void an_exec_that_nobody_started_goes_with_its_container(void **state)
{
    struct answer wait;

    (void)state;
    must("Create", NULL);
    must("Start", NULL);
    must("Exec", NULL);
    ask("Wait", "x", &wait);
    end(NULL, 0);
    must("Delete", NULL);
    expect_answer(&wait, OK);
    buf_done(&wait.payload);
}

static void who_waits_for_an_exec_that_cannot_be_started_is_told_at_once(void **state)
{
    struct answer wait;
    uint32_t status = 0;

    (void)state;
    must("Create", NULL);
    must("Start", NULL);
    must("Exec", NULL);
    ask("Wait", "x", &wait);
    fake.fails[FAKE_START] = true;
    must_fail("Start", "x", FAILED);
    expect_answer(&wait, OK);
    buf_done(&wait.payload);
    assert_int_equal(status_now("x", &status), TASK__STATUS__STOPPED);
    assert_int_equal(status, 255);
    must("Delete", "x");
    must_fail("State", "x", MISSING);
}

static void a_deletion_that_fails_can_be_asked_for_again(void **state)
{
    (void)state;
    must("Create", NULL);
    must("Start", NULL);
    end(NULL, 5);
    fake.fails[FAKE_CLEAN] = true;
    must_fail("Delete", NULL, FAILED);
    assert_int_equal(status_now(NULL, NULL), TASK__STATUS__STOPPED);
    fake.fails[FAKE_CLEAN] = false;
    must("Delete", NULL);
    expect_told("create c, start c, exit c 5, delete c, ");
}

static void a_deletion_whose_kill_fails_leaves_the_container_as_it_was(void **state)
{
    (void)state;
    must("Create", NULL);
    fake.fails[FAKE_SIGNAL] = true;
    must_fail("Delete", NULL, FAILED);
    fake.fails[FAKE_SIGNAL] = false;
    must("Start", NULL);
    end(NULL, 0);
    must("Delete", NULL);
    expect_told("create c, start c, exit c 0, delete c, ");
}

static void a_lost_connection_takes_its_waits_and_not_its_container(void **state)
{
    struct ttrpc_client_options o = {.path = world.socket};
    struct err e = ERR_INIT;
    struct answer lost, wait;

    (void)state;
    must("Create", NULL);
    must("Start", NULL);
    ask("Wait", NULL, &lost);
    expect_answer(&lost, OPEN);
    ttrpc_client_free(take_ptr(world.client));
    assert_ok(ttrpc_client_new(loop, &o, &world.client, &e));
    ask("Wait", NULL, &wait);
    expect_answer(&wait, OPEN);
    end(NULL, 9);
    expect_answer(&wait, OK);
    assert_true(is_open(&lost));
    buf_done(&wait.payload);
}

static void begin_create(struct answer *ret)
{
    fake.holds[FAKE_CREATE] = true;
    ask_create(ret);
    run_until(fake.held[FAKE_CREATE] || (run_for(1), false));
}

/* Whose container was deleted while the runtime made it. */
static void a_create_that_was_cancelled_fails_when_it_comes_to_its_end(void **state)
{
    struct answer create;

    (void)state;
    begin_create(&create);
    must_fail("Delete", NULL, MISSING);
    fake_release(FAKE_CREATE);
    expect_answer(&create, "Canceled");
    assert_true(link_is_empty(&world.shim.tasks));
    assert_int_equal(world.told.len, 0);
}

/* Else containerd, which was started again, takes the shim for one that is gone. */
static void who_connects_while_a_container_is_created_is_answered(void **state)
{
    struct answer create;

    (void)state;
    begin_create(&create);
    must("Connect", NULL);
    must_fail("Pids", NULL, MISSING);
    fake_release(FAKE_CREATE);
    expect_answer(&create, OK);
    buf_done(&create.payload);
}

static void what_a_clean_up_leaves_is_left_to_the_next(void **state)
{
    struct answer create;
    autofree char *record = path_join(world.bundle, "wherry.json");

    (void)state;
    begin_create(&create);
    fake.fails[FAKE_CREATE] = fake.fails[FAKE_CLEAN] = true;
    fake_release(FAKE_CREATE);
    expect_answer(&create, FAILED);
    assert_int_equal(access(record, F_OK), 0);
    assert_int_equal(unlink(record), 0);
}

/* ---- Shutdown ---- */

static void a_shutdown_of_another_container_cancels_no_create(void **state)
{
    struct answer create, shutdown;

    (void)state;
    begin_create(&create);
    ask_of("other", "Shutdown", NULL, &shutdown);
    expect_answer(&shutdown, OK);
    buf_done(&shutdown.payload);
    assert_false(world.shim.is_end_due);
    fake_release(FAKE_CREATE);
    expect_answer(&create, OK);
    buf_done(&create.payload);
    assert_int_equal(status_now(NULL, NULL), TASK__STATUS__CREATED);
}

static void a_shutdown_with_a_container_is_not_heeded(void **state)
{
    (void)state;
    must("Create", NULL);
    must("Shutdown", NULL);
    must("Shutdown", NULL);
    assert_int_equal(access(world.socket, F_OK), 0);
    assert_int_equal(status_now(NULL, NULL), TASK__STATUS__CREATED);
}

static void the_last_shutdown_ends_the_daemon_when_its_events_have_gone_out(void **state)
{
    (void)state;
    must("Create", NULL);
    must("Delete", NULL);
    must("Shutdown", NULL);
    assert_true(world.shim.is_leaving);
    assert_int_equal(access(world.socket, F_OK), -1);
    must_fail("Create", NULL, "Unavailable");
    expect_told("create c, exit c 137, delete c, ");
}

static void a_shutdown_while_a_container_is_created_counts_when_that_fails(void **state)
{
    struct answer create;

    (void)state;
    begin_create(&create);
    must("Shutdown", NULL);
    assert_false(world.shim.is_leaving);
    fake.fails[FAKE_CREATE] = true;
    fake_release(FAKE_CREATE);
    expect_answer(&create, FAILED);
    assert_true(world.shim.is_leaving);
}

static void a_shutdown_of_another_sandbox_cancels_no_create(void **state)
{
    (void)state;
    Sandbox__ShutdownSandboxRequest m = SANDBOX__SHUTDOWN_SANDBOX_REQUEST__INIT;
    struct sandbox sandbox = {.id = (char *)"s"};
    struct answer create, shutdown;

    begin_create(&create);
    /* From here on: its containers would want its files. */
    world.shim.sandbox = &sandbox;
    m.sandbox_id = (char *)"other";
    call_of(SANDBOXES, "ShutdownSandbox", &m.base, &shutdown);
    expect_answer(&shutdown, MISSING);
    assert_false(task_find(&world.shim, "c")->is_cancelled);
    world.shim.sandbox = NULL;
    fake_release(FAKE_CREATE);
    expect_answer(&create, OK);
    buf_done(&create.payload);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, before, after)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_call_is_answered_as_the_state_of_the_container_says),
        cmocka_unit_test(every_call_is_answered_as_the_state_of_the_exec_says),
        TEST(an_end_before_the_start_is_answered_is_told_after_it),
        TEST(a_container_deleted_before_its_start_is_killed_and_its_end_told),
        TEST(a_create_that_fails_leaves_nothing_and_is_not_told),
        TEST(a_start_that_fails_is_followed_by_the_end),
        TEST(a_pause_that_ends_after_the_container_is_not_told),
        TEST(a_deletion_waits_for_a_kill_that_is_under_way),
        TEST(a_deletion_before_the_start_waits_for_its_kill),
        TEST(the_end_of_a_container_ends_its_execs_and_its_deletion_waits_for_them),
        TEST(an_exec_that_starts_as_its_container_ends_is_killed),
        TEST(an_exec_is_not_started_while_its_container_is_paused),
        TEST(an_exec_that_nobody_started_goes_with_its_container),
        TEST(who_waits_for_an_exec_that_cannot_be_started_is_told_at_once),
        TEST(a_deletion_that_fails_can_be_asked_for_again),
        TEST(a_deletion_whose_kill_fails_leaves_the_container_as_it_was),
        TEST(a_lost_connection_takes_its_waits_and_not_its_container),
        TEST(a_create_that_was_cancelled_fails_when_it_comes_to_its_end),
        TEST(who_connects_while_a_container_is_created_is_answered),
        TEST(what_a_clean_up_leaves_is_left_to_the_next),
        TEST(a_shutdown_of_another_container_cancels_no_create),
        TEST(a_shutdown_with_a_container_is_not_heeded),
        TEST(the_last_shutdown_ends_the_daemon_when_its_events_have_gone_out),
        TEST(a_shutdown_while_a_container_is_created_counts_when_that_fails),
        TEST(a_shutdown_of_another_sandbox_cancels_no_create),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
