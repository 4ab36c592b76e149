/* SPDX-License-Identifier: Apache-2.0 */
/* How a pod ends: its sidecars, deletions, graces and deadlines. */
#include "pod_machines.h"

static void open_with_sidecars(struct rig *r, enum pod_restart restart)
{
    struct pod_spec *s = rig_spec(restart);

    rig_add(s, POD_ROLE_SIDECAR, "one");
    rig_add(s, POD_ROLE_SIDECAR, "two");
    rig_add(s, POD_ROLE_MAIN, "app");
    rig_add(s, POD_ROLE_MAIN, "job");
    rig_open(r, s);
    rig_set_up(r);
    for (size_t i = 0; i < 4; i++)
        rig_run(r, i);
}

static void sidecars_end_after_all_mains_the_last_one_first(void **state)
{
    struct rig r;

    (void)state;
    open_with_sidecars(&r, POD_RESTART_NEVER);
    rig_exit(&r, 2, 0);
    assert_orders(&r, "persist unprobe:app forget:app#1");
    rig_exit(&r, 3, 0);
    assert_orders(&r, "persist unprobe:job forget:job#1 unprobe:two tell:two");
    assert_phase(&r, POD_IS_RUNNING); /* something runs */
    rig_exit(&r, 1, 143);
    assert_orders(&r, "persist forget:two#1 unprobe:one tell:one");
    rig_exit(&r, 0, 143);
    assert_orders(&r, "persist forget:one#1 teardown");
    assert_phase(&r, POD_SUCCEEDED); /* whatever the sidecars' ends */
    rig_delete(&r, -1);
    assert_orders(&r, "persist gone");
    assert_phase(&r, POD_SUCCEEDED);
    rig_done(&r);
}

static void a_deleted_pod_stops_mains_first_and_shares_one_grace(void **state)
{
    struct rig r;

    (void)state;
    open_with_sidecars(&r, POD_RESTART_ALWAYS);
    rig_delete(&r, 10000);
    assert_orders(&r, "persist unprobe:app tell:app unprobe:job tell:job");
    rig_exit(&r, 2, 0);
    rig_timer(&r, 6 * SECOND);
    rig_exit(&r, 3, 0);
    assert_orders(&r, "persist forget:job#1 unprobe:two tell:two");
    assert_waits(&r, 4 * SECOND);
    rig_timer(&r, 4 * SECOND);
    assert_orders(&r, "persist interrupt:two");
    rig_exit(&r, 1, 143);
    assert_orders(&r, "persist forget:two#1 unprobe:one tell:one");
    assert_waits(&r, 2 * SECOND);
    rig_exit(&r, 0, 0);
    assert_orders(&r, "persist forget:one#1 teardown gone");
    assert_phase(&r, POD_SUCCEEDED);
    rig_done(&r);
}

static void a_second_deletion_can_only_shorten_the_grace(void **state)
{
    struct rig r;

    (void)state;
    rig_open_one(&r, POD_RESTART_ALWAYS);
    rig_run(&r, 0);
    rig_delete(&r, 20000);
    rig_delete(&r, 60000);
    assert_waits(&r, 20 * SECOND);
    rig_delete(&r, 1000);
    assert_waits(&r, 1 * SECOND);
    rig_delete(&r, 0);
    rig_timer(&r, 0);
    assert_orders(&r, "persist interrupt:app");
    rig_done(&r);
}

static void no_grace_interrupts_at_once(void **state)
{
    struct rig r;

    (void)state;
    rig_open_one(&r, POD_RESTART_ALWAYS);
    rig_run(&r, 0);
    rig_delete(&r, 0);
    assert_orders(&r, "persist unprobe:app interrupt:app");
    rig_done(&r);
}

static void a_pod_that_never_ran_is_gone_at_once(void **state)
{
    struct pod_spec *s = rig_spec(POD_RESTART_ALWAYS);
    struct rig r;

    (void)state;
    rig_add(s, POD_ROLE_MAIN, "app");
    rig_open(&r, s);
    rig_delete(&r, -1);
    assert_orders(&r, "persist teardown gone");
    assert_phase(&r, POD_FAILED);
    rig_set_up(&r); /* late */
    rig_delete(&r, 0);
    rig_timer(&r, 60 * SECOND);
    assert_int_equal(r.orders.n, 0);
    assert_state(&r, 0, POD_STATE_FINISHED);
    rig_done(&r);
}

static void a_start_that_was_sent_is_waited_for_and_then_stopped_with_grace(void **state)
{
    struct rig r;

    (void)state;
    rig_open_one(&r, POD_RESTART_ALWAYS);
    rig_prepare(&r, 0);
    rig_delete(&r, -1);
    assert_orders(&r, "persist");
    rig_event(&r, 0, POD_EVENT_STARTED);
    assert_orders(&r, "persist unprobe:app tell:app");
    rig_exit(&r, 0, 0);
    assert_orders(&r, "persist forget:app#1 teardown gone");
    rig_done(&r);
}

static void a_start_without_an_answer_is_interrupted_when_the_grace_ends(void **state)
{
    struct rig r;

    (void)state;
    rig_open_one(&r, POD_RESTART_ALWAYS);
    rig_prepare(&r, 0);
    rig_delete(&r, -1);
    rig_timer(&r, 30 * SECOND);
    assert_orders(&r, "persist interrupt:app");
    rig_event(&r, 0, POD_EVENT_REFUSED);
    assert_orders(&r, "persist teardown gone");
    rig_done(&r);
}

static void a_pod_past_its_deadline_fails_and_everything_is_stopped(void **state)
{
    struct pod_spec *s = rig_spec(POD_RESTART_ALWAYS);
    struct rig r;

    (void)state;
    s->active_deadline_ms = 60000;
    rig_add(s, POD_ROLE_MAIN, "app");
    rig_open(&r, s);
    rig_set_up(&r);
    rig_run(&r, 0);
    assert_waits(&r, MINUTE);
    rig_timer(&r, MINUTE);
    assert_orders(&r, "persist unprobe:app tell:app");
    assert_contains(rig_said(&r), "DeadlineExceeded: Pod was active on the node longer");
    rig_event(&r, 0, POD_EVENT_RESTART);
    assert_orders(&r, "");
    rig_exit(&r, 0, 0);
    assert_orders(&r, "persist forget:app#1 teardown");
    assert_phase(&r, POD_FAILED);
    rig_done(&r);
}

static void a_pod_that_is_made_to_fail_waits_for_nothing_any_more(void **state)
{
    struct rig r;

    (void)state;
    rig_open_one(&r, POD_RESTART_ALWAYS);
    rig_event(&r, 0, POD_EVENT_IMAGE_FAILED);
    pod_orders_clear(&r.orders);
    pod_machine_fail(r.m, r.now, "Evicted", "memory is short", &r.orders);
    assert_orders(&r, "persist teardown");
    assert_phase(&r, POD_FAILED);
    assert_int_equal(pod_machine_timer_ns(r.m), UINT64_MAX);
    rig_done(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sidecars_end_after_all_mains_the_last_one_first),
        cmocka_unit_test(a_deleted_pod_stops_mains_first_and_shares_one_grace),
        cmocka_unit_test(a_second_deletion_can_only_shorten_the_grace),
        cmocka_unit_test(no_grace_interrupts_at_once),
        cmocka_unit_test(a_pod_that_never_ran_is_gone_at_once),
        cmocka_unit_test(a_start_that_was_sent_is_waited_for_and_then_stopped_with_grace),
        cmocka_unit_test(a_start_without_an_answer_is_interrupted_when_the_grace_ends),
        cmocka_unit_test(a_pod_past_its_deadline_fails_and_everything_is_stopped),
        cmocka_unit_test(a_pod_that_is_made_to_fail_waits_for_nothing_any_more),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
