/* SPDX-License-Identifier: Apache-2.0 */
#include "container/container.h"

#include "pod_machines.h"

/* ---- Starting ---- */

static void a_pod_is_set_up_then_its_image_environment_and_start_follow_the_record(void **state)
{
    struct pod_spec *s = rig_spec(POD_RESTART_ALWAYS);
    struct rig r;

    (void)state;
    rig_add(s, POD_ROLE_MAIN, "app");
    rig_open(&r, s);
    assert_orders(&r, "persist setup");
    rig_set_up(&r);
    assert_orders(&r, "persist resolve:app");
    rig_event(&r, 0, POD_EVENT_PULLING);
    assert_string_equal(rig_said(&r), "Pulling: Pulling image \"registry.test/app:1\"\n");
    rig_event(&r, 0, POD_EVENT_IMAGE_OK);
    assert_orders(&r, "prepare:app");
    assert_string_equal(rig_said(&r),
                        "Pulled: Successfully pulled image \"registry.test/app:1\"\n");
    rig_event(&r, 0, POD_EVENT_CONFIG_OK);
    assert_orders(&r, "persist start:app#1");
    assert_phase(&r, POD_PENDING);
    rig_event(&r, 0, POD_EVENT_STARTED);
    assert_orders(&r, "persist");
    assert_string_equal(rig_said(&r), "Created: Created container: app\nStarted: Started "
                                      "container app\n");
    assert_phase(&r, POD_IS_RUNNING);
    assert_true(pod_machine_is_ready(r.m, 0));
    assert_int_equal(pod_machine_timer_ns(r.m), UINT64_MAX);
    rig_done(&r);
}

static void what_cannot_be_set_up_is_tried_again_and_at_once_when_something_came(void **state)
{
    struct err missing = {-ENOENT, "FailedMount", "configuration 'c' is not there"};
    struct pod_spec *s = rig_spec(POD_RESTART_ALWAYS);
    struct rig r;

    (void)state;
    rig_add(s, POD_ROLE_MAIN, "app");
    rig_open(&r, s);
    pod_orders_clear(&r.orders);
    pod_machine_set_up(r.m, r.now, &missing, &r.orders);
    assert_string_equal(rig_said(&r), "FailedMount: configuration 'c' is not there\n");
    assert_waits(&r, 10 * SECOND);
    rig_timer(&r, 10 * SECOND);
    assert_orders(&r, "setup");
    pod_machine_set_up(r.m, r.now, &missing, &r.orders);
    assert_waits(&r, 20 * SECOND);
    pod_orders_clear(&r.orders);
    pod_machine_retry(r.m, r.now, &r.orders);
    assert_orders(&r, "setup");
    rig_set_up(&r);
    assert_orders(&r, "persist resolve:app");
    rig_done(&r);
}

static void mains_start_together(void **state)
{
    struct pod_spec *s = rig_spec(POD_RESTART_ALWAYS);
    struct rig r;

    (void)state;
    rig_add(s, POD_ROLE_MAIN, "a");
    rig_add(s, POD_ROLE_MAIN, "b");
    rig_open(&r, s);
    rig_set_up(&r);
    assert_orders(&r, "persist resolve:a resolve:b");
    rig_run(&r, 0);
    assert_phase(&r, POD_PENDING); /* as long as one of them never ran */
    rig_run(&r, 1);
    assert_phase(&r, POD_IS_RUNNING);
    rig_done(&r);
}

static void inits_and_sidecars_start_in_their_order_each_after_the_one_before(void **state)
{
    struct pod_spec *s = rig_spec(POD_RESTART_ON_FAILURE);
    struct rig r;

    (void)state;
    rig_add(s, POD_ROLE_INIT, "seed");
    rig_add(s, POD_ROLE_SIDECAR, "side")->startup = rig_probe(s, -1);
    rig_add(s, POD_ROLE_INIT, "late");
    rig_add(s, POD_ROLE_MAIN, "app");
    rig_open(&r, s);
    rig_set_up(&r);
    assert_orders(&r, "persist resolve:seed");
    rig_run(&r, 0);
    assert_state(&r, 1, POD_STATE_WAITING);
    rig_exit(&r, 0, 0);
    assert_orders(&r, "persist unprobe:seed forget:seed#1 resolve:side");
    rig_run(&r, 1);
    assert_orders(&r, "persist probe:side");
    assert_state(&r, 2, POD_STATE_WAITING);
    rig_event(&r, 1, POD_EVENT_STARTUP_OK);
    assert_orders(&r, "persist resolve:late");
    rig_run(&r, 2);
    /* A sidecar that falls over holds up nobody any more, and is started again. */
    rig_exit(&r, 1, 0);
    assert_orders(&r, "persist unprobe:side forget:side#1 resolve:side");
    rig_exit(&r, 2, 0);
    assert_orders(&r, "persist unprobe:late forget:late#1 resolve:app");
    assert_phase(&r, POD_PENDING);
    rig_done(&r);
}

static void a_failing_init_is_tried_again_unless_the_policy_is_never(void **state)
{
    for (int never = 0; never < 2; never++) {
        struct pod_spec *s = rig_spec(never ? POD_RESTART_NEVER : POD_RESTART_ALWAYS);
        struct rig r;

        (void)state;
        rig_add(s, POD_ROLE_INIT, "seed");
        rig_add(s, POD_ROLE_MAIN, "app");
        rig_open(&r, s);
        rig_set_up(&r);
        rig_run(&r, 0);
        rig_exit(&r, 0, 3);
        if (never) {
            assert_orders(&r, "persist unprobe:seed forget:seed#1 teardown");
            assert_phase(&r, POD_FAILED);
        } else {
            assert_orders(&r, "persist unprobe:seed forget:seed#1 resolve:seed");
            rig_run(&r, 0);
            rig_exit(&r, 0, 3);
            assert_state(&r, 0, POD_STATE_CRASH_BACKOFF);
            assert_phase(&r, POD_PENDING);
        }
        assert_int_equal(pod_machine_attempt(r.m, 1), 0);
        rig_done(&r);
    }
}

/* ---- What fails before a run ---- */

static void pulls_wait_longer_each_time_and_a_good_one_forgets_it(void **state)
{
    static const int seconds[] = {10, 20, 40, 80, 160, 300, 300};
    struct rig r;

    (void)state;
    rig_open_one(&r, POD_RESTART_NEVER);
    for (size_t i = 0; i < ARRAY_SIZE(seconds); i++) {
        rig_event(&r, 0, POD_EVENT_IMAGE_FAILED);
        assert_orders(&r, "persist");
        assert_waits(&r, seconds[i] * SECOND);
        rig_timer(&r, seconds[i] * SECOND - 1);
        assert_orders(&r, "");
        rig_timer(&r, 1);
        assert_orders(&r, "persist resolve:app");
    }
    assert_phase(&r, POD_PENDING);
    rig_event(&r, 0, POD_EVENT_IMAGE_OK);
    rig_event(&r, 0, POD_EVENT_CONFIG_FAILED);
    assert_waits(&r, 10 * SECOND);
    assert_string_equal(rig_said(&r), "Failed: Error: no luck\n");
    pod_orders_clear(&r.orders);
    pod_machine_retry(r.m, r.now, &r.orders);
    assert_orders(&r, "persist resolve:app");
    rig_event(&r, 0, POD_EVENT_IMAGE_FAILED);
    assert_waits(&r, 10 * SECOND);
    rig_done(&r);
}

static void refuse(struct rig *r, const char *reason)
{
    rig_prepare(r, 0);
    rig_fail(r, 0, POD_EVENT_REFUSED, reason);
    assert_orders(r, "persist");
}

static void a_refused_start_counts_and_waits_as_one_that_failed(void **state)
{
    struct rig r;

    (void)state;
    rig_open_one(&r, POD_RESTART_ALWAYS);
    refuse(&r, "PortInUse");
    assert_int_equal(pod_machine_restart_count(r.m, 0), 0);
    assert_waits(&r, 10 * SECOND);
    rig_timer(&r, 10 * SECOND);
    refuse(&r, "PortInUse");
    assert_int_equal(pod_machine_restart_count(r.m, 0), 1);
    assert_waits(&r, 20 * SECOND);
    rig_timer(&r, 20 * SECOND);
    rig_prepare(&r, 0);
    assert_orders(&r, "persist start:app#3");
    assert_int_equal(pod_machine_restart_count(r.m, 0), 1);
    rig_event(&r, 0, POD_EVENT_STARTED);
    assert_int_equal(pod_machine_restart_count(r.m, 0), 2);
    rig_done(&r);
}

static void a_start_that_no_worker_could_refuse_keeps_its_number_and_waits(void **state)
{
    struct rig r;

    (void)state;
    rig_open_one(&r, POD_RESTART_ALWAYS);
    refuse(&r, CONTAINER_REASON_WORKER);
    assert_waits(&r, 10 * SECOND);
    rig_timer(&r, 10 * SECOND);
    refuse(&r, CONTAINER_REASON_CONNECTION);
    rig_timer(&r, 20 * SECOND);
    rig_prepare(&r, 0);
    assert_orders(&r, "persist start:app#1");
    rig_event(&r, 0, POD_EVENT_STARTED);
    assert_int_equal(pod_machine_restart_count(r.m, 0), 0);
    rig_done(&r);
}

static void a_refused_start_fails_a_pod_that_is_never_restarted(void **state)
{
    struct rig r;

    (void)state;
    rig_open_one(&r, POD_RESTART_NEVER);
    rig_prepare(&r, 0);
    rig_event(&r, 0, POD_EVENT_REFUSED);
    assert_phase(&r, POD_FAILED);
    rig_done(&r);
}

/* ---- Restarts ---- */

static void the_policy_and_the_exit_status_decide_what_follows_an_end(void **state)
{
    static const struct {
        enum pod_restart restart;
        int code;
        enum pod_phase phase;
        bool is_again;
    } cases[] = {
        {POD_RESTART_ALWAYS,     0, POD_IS_RUNNING, true },
        {POD_RESTART_ALWAYS,     1, POD_IS_RUNNING, true },
        {POD_RESTART_ON_FAILURE, 0, POD_SUCCEEDED,  false},
        {POD_RESTART_ON_FAILURE, 1, POD_IS_RUNNING, true },
        {POD_RESTART_NEVER,      0, POD_SUCCEEDED,  false},
        {POD_RESTART_NEVER,      1, POD_FAILED,     false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct rig r;

        rig_open_one(&r, cases[i].restart);
        rig_run(&r, 0);
        rig_exit(&r, 0, cases[i].code);
        assert_phase(&r, cases[i].phase);
        assert_state(&r, 0, cases[i].is_again ? POD_STATE_RESOLVING : POD_STATE_FINISHED);
        assert_int_equal(pod_machine_is_over(r.m), !cases[i].is_again);
        rig_done(&r);
    }
}

static void crashes_wait_longer_each_time_until_it_ran_ten_minutes(void **state)
{
    static const int seconds[] = {0, 10, 20, 40, 80, 160, 300, 300};
    struct rig r;

    (void)state;
    rig_open_one(&r, POD_RESTART_ALWAYS);
    for (size_t i = 0; i < ARRAY_SIZE(seconds); i++) {
        rig_run(&r, 0);
        assert_int_equal(pod_machine_restart_count(r.m, 0), i);
        rig_pass(&r, 9 * MINUTE);
        rig_exit(&r, 0, 1);
        if (!seconds[i])
            continue;
        assert_waits(&r, seconds[i] * SECOND);
        assert_contains(rig_said(&r), "BackOff: Back-off restarting failed container app in pod "
                                      "web_shop(u-1)");
        rig_timer(&r, seconds[i] * SECOND);
    }
    rig_run(&r, 0);
    rig_pass(&r, 10 * MINUTE);
    rig_exit(&r, 0, 1);
    assert_state(&r, 0, POD_STATE_RESOLVING);
    rig_done(&r);
}

static void a_person_restarts_at_once_whatever_the_policy_but_not_what_has_finished(void **state)
{
    struct rig r;

    (void)state;
    rig_open_one(&r, POD_RESTART_NEVER);
    rig_run(&r, 0);
    rig_event(&r, 0, POD_EVENT_RESTART);
    assert_orders(&r, "persist unprobe:app tell:app");
    rig_exit(&r, 0, 143);
    assert_orders(&r, "persist forget:app#1 resolve:app");
    rig_run(&r, 0);
    assert_int_equal(pod_machine_restart_count(r.m, 0), 1);
    rig_exit(&r, 0, 0);
    assert_phase(&r, POD_SUCCEEDED);
    rig_event(&r, 0, POD_EVENT_RESTART);
    assert_orders(&r, "");
    rig_done(&r);
}

static void a_person_ends_a_back_off(void **state)
{
    struct rig r;

    (void)state;
    rig_open_one(&r, POD_RESTART_ALWAYS);
    for (int i = 0; i < 2; i++) {
        rig_run(&r, 0);
        rig_exit(&r, 0, 1);
    }
    assert_state(&r, 0, POD_STATE_CRASH_BACKOFF);
    rig_event(&r, 0, POD_EVENT_RESTART);
    assert_orders(&r, "persist resolve:app");
    rig_run(&r, 0);
    rig_exit(&r, 0, 1);
    assert_state(&r, 0, POD_STATE_RESOLVING);
    rig_done(&r);
}

static void a_lost_worker_is_a_failed_run(void **state)
{
    struct rig r;

    (void)state;
    rig_open_one(&r, POD_RESTART_ON_FAILURE);
    rig_run(&r, 0);
    rig_event(&r, 0, POD_EVENT_LOST);
    assert_orders(&r, "persist unprobe:app forget:app#1 resolve:app");
    rig_prepare(&r, 0);
    assert_orders(&r, "persist start:app#2");
    rig_done(&r);
}

static void what_is_told_of_an_earlier_run_is_ignored(void **state)
{
    struct guest_status status = {.reason = (char *)"Error", .exit_code = 1};
    struct pod_input late = {.event = POD_EVENT_EXITED, .attempt = 1, .status = &status};
    struct rig r;

    (void)state;
    rig_open_one(&r, POD_RESTART_ALWAYS);
    rig_run(&r, 0);
    rig_exit(&r, 0, 1);
    rig_run(&r, 0);
    rig_feed(&r, &late);
    assert_orders(&r, "");
    assert_state(&r, 0, POD_STATE_RUNNING);
    rig_done(&r);
}

/* ---- Probes and hooks ---- */

static void a_container_is_ready_after_its_hook_its_startup_and_its_readiness(void **state)
{
    struct pod_spec *s = rig_spec(POD_RESTART_ALWAYS);
    struct pod_container *c = rig_add(s, POD_ROLE_MAIN, "app");
    struct rig r;

    (void)state;
    c->startup = rig_probe(s, -1);
    c->readiness = rig_probe(s, -1);
    c->post_start = arena_alloc(s->arena, sizeof(*c->post_start));
    rig_open(&r, s);
    rig_set_up(&r);
    rig_run(&r, 0);
    assert_orders(&r, "persist post-start:app");
    rig_event(&r, 0, POD_EVENT_STARTUP_OK); /* nobody can have asked yet */
    assert_orders(&r, "");
    rig_event(&r, 0, POD_EVENT_POST_START_OK);
    assert_orders(&r, "persist probe:app");
    rig_event(&r, 0, POD_EVENT_STARTUP_OK);
    assert_orders(&r, "persist probe:app");
    assert_false(pod_machine_is_ready(r.m, 0));
    rig_event(&r, 0, POD_EVENT_READY);
    assert_true(pod_machine_is_ready(r.m, 0));
    rig_event(&r, 0, POD_EVENT_READY);
    assert_orders(&r, "");
    rig_event(&r, 0, POD_EVENT_UNREADY);
    assert_false(pod_machine_is_ready(r.m, 0));
    assert_string_equal(rig_said(&r), "Unhealthy: Readiness probe failed: no luck\n");
    rig_done(&r);
}

static void a_probe_that_fails_for_good_kills_and_the_policy_restarts(void **state)
{
    static const enum pod_event events[] = {POD_EVENT_LIVENESS_FAILED, POD_EVENT_STARTUP_FAILED,
                                            POD_EVENT_POST_START_FAILED};

    (void)state;
    for (size_t i = 0; i < 2 * ARRAY_SIZE(events); i++) {
        bool never = i % 2;
        struct pod_spec *s = rig_spec(never ? POD_RESTART_NEVER : POD_RESTART_ON_FAILURE);
        struct pod_container *c = rig_add(s, POD_ROLE_MAIN, "app");
        struct rig r;

        c->liveness = rig_probe(s, 5000);
        rig_open(&r, s);
        rig_set_up(&r);
        rig_run(&r, 0);
        rig_event(&r, 0, events[i / 2]);
        assert_orders(&r, "persist unprobe:app tell:app");
        assert_waits(&r, (i < 2 ? 5 : 30) * SECOND);
        /* Also when it ends well after it was told. */
        rig_exit(&r, 0, 0);
        assert_state(&r, 0, never ? POD_STATE_FINISHED : POD_STATE_RESOLVING);
        rig_done(&r);
    }
}

/* A pod whose container runs, and has a hook for its end. */
static void delete_with_hook(struct rig *r)
{
    struct pod_spec *s = rig_spec(POD_RESTART_ALWAYS);
    struct pod_container *c = rig_add(s, POD_ROLE_MAIN, "app");

    c->pre_stop = arena_alloc(s->arena, sizeof(*c->pre_stop));
    rig_open(r, s);
    rig_set_up(r);
    rig_run(r, 0);
    rig_delete(r, -1);
}

static void what_does_not_end_within_its_grace_is_interrupted(void **state)
{
    struct rig r;

    (void)state;
    delete_with_hook(&r);
    assert_orders(&r, "persist unprobe:app pre-stop:app");
    assert_string_equal(rig_said(&r), "Killing: Stopping container app\n");
    rig_timer(&r, 10 * SECOND);
    rig_event(&r, 0, POD_EVENT_PRE_STOP_DONE);
    assert_orders(&r, "persist tell:app");
    assert_waits(&r, 20 * SECOND);
    rig_timer(&r, 20 * SECOND);
    assert_orders(&r, "persist interrupt:app");
    assert_int_equal(pod_machine_timer_ns(r.m), UINT64_MAX);
    rig_exit(&r, 0, 143);
    assert_orders(&r, "persist forget:app#1 teardown gone");
    rig_done(&r);
}

static void a_hook_that_takes_all_of_the_grace_leaves_two_seconds_to_end(void **state)
{
    struct rig r;

    (void)state;
    delete_with_hook(&r);
    rig_timer(&r, 30 * SECOND);
    assert_orders(&r, "persist tell:app");
    assert_contains(rig_said(&r), "FailedPreStopHook");
    assert_waits(&r, 2 * SECOND);
    rig_event(&r, 0, POD_EVENT_PRE_STOP_DONE); /* too late to matter */
    assert_orders(&r, "");
    rig_done(&r);
}

/* ---- After a restart of the supervisor ---- */

static void a_start_that_never_was_accepted_is_sent_again_with_its_number(void **state)
{
    struct rig r;

    (void)state;
    rig_open_one(&r, POD_RESTART_ALWAYS);
    rig_prepare(&r, 0);
    assert_orders(&r, "persist start:app#1");
    rig_restore(&r);
    assert_orders(&r, "persist setup");
    assert_true(pod_machine_is_unclaimed(r.m, 0));
    rig_event(&r, 0, POD_EVENT_NEVER);
    assert_orders(&r, "persist"); /* the volumes come first */
    rig_set_up(&r);
    assert_orders(&r, "resolve:app");
    rig_prepare(&r, 0);
    assert_orders(&r, "persist start:app#1");
    rig_event(&r, 0, POD_EVENT_STARTED);
    assert_int_equal(pod_machine_restart_count(r.m, 0), 0);
    rig_done(&r);
}

static void a_run_that_goes_on_is_probed_again_and_keeps_its_readiness(void **state)
{
    struct pod_spec *s = rig_spec(POD_RESTART_ALWAYS);
    struct rig r;

    (void)state;
    rig_add(s, POD_ROLE_MAIN, "app")->readiness = rig_probe(s, -1);
    rig_open(&r, s);
    rig_set_up(&r);
    rig_run(&r, 0);
    rig_event(&r, 0, POD_EVENT_READY);
    rig_restore(&r);
    assert_phase(&r, POD_IS_RUNNING);
    assert_true(pod_machine_is_ready(r.m, 0));
    rig_event(&r, 0, POD_EVENT_RESTART); /* not before it is known what became of it */
    assert_orders(&r, "");
    rig_event(&r, 0, POD_EVENT_STARTED);
    assert_orders(&r, "probe:app");
    rig_set_up(&r);
    assert_orders(&r, "");
    rig_done(&r);
}

static void an_end_during_the_absence_counts_and_a_lost_run_too(void **state)
{
    struct rig r;

    (void)state;
    rig_open_one(&r, POD_RESTART_ALWAYS);
    rig_run(&r, 0);
    rig_restore(&r);
    rig_exit(&r, 0, 1);
    assert_orders(&r, "persist unprobe:app forget:app#1");
    rig_set_up(&r);
    rig_run(&r, 0);
    assert_int_equal(pod_machine_restart_count(r.m, 0), 1);
    rig_restore(&r);
    rig_event(&r, 0, POD_EVENT_LOST);
    assert_state(&r, 0, POD_STATE_CRASH_BACKOFF);
    rig_done(&r);
}

static void a_stop_goes_on_where_it_was(void **state)
{
    struct rig r;

    (void)state;
    rig_open_one(&r, POD_RESTART_ALWAYS);
    rig_run(&r, 0);
    rig_delete(&r, -1);
    rig_pass(&r, 10 * SECOND);
    rig_restore(&r);
    assert_int_equal(pod_machine_timer_ns(r.m), UINT64_MAX);
    rig_event(&r, 0, POD_EVENT_STARTED);
    assert_orders(&r, "tell:app");
    assert_waits(&r, 20 * SECOND);
    rig_exit(&r, 0, 0);
    assert_orders(&r, "persist forget:app#1 teardown gone");
    rig_done(&r);
}

static void a_finished_pod_stays_finished(void **state)
{
    struct rig r;

    (void)state;
    rig_open_one(&r, POD_RESTART_NEVER);
    rig_run(&r, 0);
    rig_exit(&r, 0, 0);
    rig_restore(&r);
    assert_orders(&r, "persist teardown");
    rig_set_up(&r);
    assert_orders(&r, "");
    assert_phase(&r, POD_SUCCEEDED);
    rig_delete(&r, -1);
    rig_restore(&r);
    assert_orders(&r, "persist teardown gone");
    rig_done(&r);
}

static void a_back_off_is_waited_out_and_a_clock_that_was_set_back_makes_it_no_longer(void **state)
{
    struct rig r;

    (void)state;
    rig_open_one(&r, POD_RESTART_ALWAYS);
    for (int i = 0; i < 2; i++) {
        rig_run(&r, 0);
        rig_exit(&r, 0, 1);
    }
    rig_pass(&r, 4 * SECOND);
    rig_restore(&r);
    assert_waits(&r, 6 * SECOND);
    r.now.realtime_ns -= 3600 * SECOND;
    rig_restore(&r);
    assert_waits(&r, 6 * SECOND);
    {
        autobuf record = BUF_INIT;
        struct err e = ERR_INIT;

        rig_record(&r, &record);
        pod_machine_free(r.m);
        r.now.realtime_ns -= 3600 * SECOND;
        assert_ok(pod_machine_decode(r.spec, r.now, record.data, record.len, &r.m, &e));
        assert_waits(&r, 6 * SECOND);
        pod_machine_free(r.m);
        r.now.realtime_ns += 7200 * SECOND;
        assert_ok(pod_machine_decode(r.spec, r.now, record.data, record.len, &r.m, &e));
        assert_waits(&r, 0);
    }
    rig_done(&r);
}

static void a_record_that_contradicts_itself_or_its_pod_is_refused(void **state)
{
    static const struct {
        const char *from, *to;
    } lies[] = {
        {"\"uid\":\"u-1\"",       "\"uid\":\"u-2\""     },
        {"\"name\":\"app\"",      "\"name\":\"ape\""    },
        {"\"running\"",           "\"jogging\""         },
        {"\"running\"",           "\"resolving\""       },
        {"\"running\"",           "\"crash-back-off\""  },
        {"\"running\"",           "\"told\""            },
        {"\"attempt\":1",         "\"attempt\":0"       },
        {"\"attempt\":1",         "\"attempt\":-1"      },
        {"\"over\":false",        "\"over\":true"       },
        {"\"phase\":\"Running\"", "\"phase\":\"Failed\""},
        {"\"cause\":\"none\"",    "\"cause\":\"love\""  },
        {"\"ending\":false",      "\"ending\":true"     },
    };
    struct err e = ERR_INIT;
    autobuf record = BUF_INIT;
    struct rig r;

    (void)state;
    rig_open_one(&r, POD_RESTART_ALWAYS);
    rig_run(&r, 0);
    rig_record(&r, &record);
    for (size_t i = 0; i < ARRAY_SIZE(lies); i++) {
        struct pod_machine *m = NULL;
        autobuf lie = BUF_INIT;
        const char *at = strstr(record.data, lies[i].from);

        assert_non_null(at);
        buf_add(&lie, record.data, at - record.data);
        buf_addstr(&lie, lies[i].to);
        buf_addstr(&lie, at + strlen(lies[i].from));
        e = ERR_INIT;
        if (pod_machine_decode(r.spec, r.now, lie.data, lie.len, &m, &e) >= 0)
            fail_msg("%s was believed", lies[i].to);
        assert_null(m);
        assert_true(e.code < 0 && *e.msg);
    }
    rig_done(&r);
}

static void texts_from_outside_are_cut_and_made_utf_8(void **state)
{
    struct guest_status status = {.reason = (char *)"Error", .exit_code = 1};
    autofree char *text = calloc(1, 6001);
    struct rig r;

    (void)state;
    memset(text, 'x', 4095);
    memset(text + 4095, 0xc3, 1900);
    status.message = text;
    rig_open_one(&r, POD_RESTART_NEVER);
    rig_run(&r, 0);
    rig_feed(&r, &(struct pod_input){.event = POD_EVENT_EXITED, .status = &status});
    rig_restore(&r);
    assert_phase(&r, POD_FAILED);
    rig_done(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pod_is_set_up_then_its_image_environment_and_start_follow_the_record),
        cmocka_unit_test(what_cannot_be_set_up_is_tried_again_and_at_once_when_something_came),
        cmocka_unit_test(mains_start_together),
        cmocka_unit_test(inits_and_sidecars_start_in_their_order_each_after_the_one_before),
        cmocka_unit_test(a_failing_init_is_tried_again_unless_the_policy_is_never),
        cmocka_unit_test(pulls_wait_longer_each_time_and_a_good_one_forgets_it),
        cmocka_unit_test(a_refused_start_counts_and_waits_as_one_that_failed),
        cmocka_unit_test(a_start_that_no_worker_could_refuse_keeps_its_number_and_waits),
        cmocka_unit_test(a_refused_start_fails_a_pod_that_is_never_restarted),
        cmocka_unit_test(the_policy_and_the_exit_status_decide_what_follows_an_end),
        cmocka_unit_test(crashes_wait_longer_each_time_until_it_ran_ten_minutes),
        cmocka_unit_test(a_person_restarts_at_once_whatever_the_policy_but_not_what_has_finished),
        cmocka_unit_test(a_person_ends_a_back_off),
        cmocka_unit_test(a_lost_worker_is_a_failed_run),
        cmocka_unit_test(what_is_told_of_an_earlier_run_is_ignored),
        cmocka_unit_test(a_container_is_ready_after_its_hook_its_startup_and_its_readiness),
        cmocka_unit_test(a_probe_that_fails_for_good_kills_and_the_policy_restarts),
        cmocka_unit_test(what_does_not_end_within_its_grace_is_interrupted),
        cmocka_unit_test(a_hook_that_takes_all_of_the_grace_leaves_two_seconds_to_end),
        cmocka_unit_test(a_start_that_never_was_accepted_is_sent_again_with_its_number),
        cmocka_unit_test(a_run_that_goes_on_is_probed_again_and_keeps_its_readiness),
        cmocka_unit_test(an_end_during_the_absence_counts_and_a_lost_run_too),
        cmocka_unit_test(a_stop_goes_on_where_it_was),
        cmocka_unit_test(a_finished_pod_stays_finished),
        cmocka_unit_test(a_back_off_is_waited_out_and_a_clock_that_was_set_back_makes_it_no_longer),
        cmocka_unit_test(a_record_that_contradicts_itself_or_its_pod_is_refused),
        cmocka_unit_test(texts_from_outside_are_cut_and_made_utf_8),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
