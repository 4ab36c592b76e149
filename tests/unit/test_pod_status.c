/* SPDX-License-Identifier: Apache-2.0 */
#include "pod_machines.h"

#include "pod/machine/status.h"

static const char *encoded(const struct rig *r, struct buf *out)
{
    struct pod_addresses addresses = {"192.0.2.1", "10.1.2.3"};
    AUTO(pod_status) s = pod_status_new(r->m, addresses);
    struct err e = ERR_INIT;
    struct json_writer w;

    buf_clear(out);
    json_writer_init(&w, out, false);
    pod_status_encode(s, &w);
    assert_ok(json_writer_finish(&w, &e));
    return buf_str(out);
}

/* What is wanted is written with "'" for a quote. */
static const char *single_quoted(const struct rig *r, struct buf *out)
{
    encoded(r, out);
    for (size_t i = 0; i < out->len; i++)
        if (out->data[i] == '"')
            out->data[i] = '\'';
    return out->data;
}

static void assert_shown(const struct rig *r, const struct buf *want)
{
    autobuf out = BUF_INIT;

    assert_string_equal(single_quoted(r, &out), want->data);
}

static void assert_has(const struct rig *r, const char *want)
{
    autobuf out = BUF_INIT;

    assert_contains(single_quoted(r, &out), want);
}

static void condition(struct buf *want, const char *type, const char *status, int second,
                      const char *more)
{
    buf_addf(want,
             "{'type':'%s','status':'%s','lastProbeTime':null,"
             "'lastTransitionTime':'2026-11-27T00:00:%02dZ'%s}",
             type, status, second, more);
    buf_addstr(want, str_eq(type, "Ready") ? "]," : ",");
}

static void addresses(struct buf *want)
{
    buf_addstr(want, "'hostIP':'192.0.2.1','hostIPs':[{'ip':'192.0.2.1'}],"
                     "'podIP':'10.1.2.3','podIPs':[{'ip':'10.1.2.3'}],"
                     "'startTime':'2026-11-27T00:00:00Z',");
}

static void a_pod_that_initializes_is_shown_as_a_kubelet_does(void **state)
{
    static const char unready[] = ",'reason':'ContainersNotReady',"
                                  "'message':'containers with unready status: [app]'";
    struct pod_spec *s = rig_spec(POD_RESTART_ALWAYS);
    autobuf want = BUF_INIT;
    struct rig r;

    (void)state;
    rig_add(s, POD_ROLE_INIT, "seed");
    rig_add(s, POD_ROLE_MAIN, "app");
    rig_open(&r, s);
    rig_pass(&r, 2 * SECOND);
    rig_set_up(&r);
    rig_pass(&r, 1 * SECOND);
    rig_run(&r, 0);
    buf_addstr(&want, "{'phase':'Pending','conditions':[");
    condition(&want, "PodScheduled", "True", 0, "");
    condition(&want, "PodReadyToStartContainers", "True", 2, "");
    condition(&want, "Initialized", "False", 0,
              ",'reason':'ContainersNotInitialized',"
              "'message':'containers with incomplete status: [seed]'");
    condition(&want, "ContainersReady", "False", 0, unready);
    condition(&want, "Ready", "False", 0, unready);
    addresses(&want);
    buf_addstr(&want, "'initContainerStatuses':[{'name':'seed',"
                      "'state':{'running':{'startedAt':'2026-11-27T00:00:03Z'}},'lastState':{},"
                      "'ready':false,'restartCount':0,'image':'registry.test/seed:1',"
                      "'imageID':'','containerID':'wherry://u-1-seed-1','started':true}],"
                      "'containerStatuses':[{'name':'app',"
                      "'state':{'waiting':{'reason':'PodInitializing'}},'lastState':{},"
                      "'ready':false,'restartCount':0,'image':'registry.test/app:1',"
                      "'imageID':'','started':false}],'qosClass':'BestEffort'}");
    assert_shown(&r, &want);
    rig_done(&r);
}

static void a_restarted_container_shows_its_last_end(void **state)
{
    struct guest_status status = {.reason = (char *)"OOMKilled",
                                  .exit_code = 137,
                                  .message = (char *)"memory limit",
                                  .started_at = (char *)"2026-11-27T00:00:01.123456789Z",
                                  .finished_at = (char *)"2026-11-27T00:00:04.000000001Z"};
    autobuf want = BUF_INIT;
    struct rig r;

    (void)state;
    rig_open_one(&r, POD_RESTART_ALWAYS);
    rig_run(&r, 0);
    rig_pass(&r, 9 * SECOND);
    rig_feed(&r, &(struct pod_input){.event = POD_EVENT_EXITED, .attempt = 1, .status = &status});
    rig_feed(&r, &(struct pod_input){.event = POD_EVENT_IMAGE_OK, .image_id = "sha256:abc"});
    rig_event(&r, 0, POD_EVENT_CONFIG_OK);
    rig_event(&r, 0, POD_EVENT_STARTED);
    buf_addstr(&want, "{'phase':'Running','conditions':[");
    condition(&want, "PodScheduled", "True", 0, "");
    condition(&want, "PodReadyToStartContainers", "True", 0, "");
    condition(&want, "Initialized", "True", 0, "");
    condition(&want, "ContainersReady", "True", 9, "");
    condition(&want, "Ready", "True", 9, "");
    addresses(&want);
    buf_addstr(&want, "'containerStatuses':[{'name':'app',"
                      "'state':{'running':{'startedAt':'2026-11-27T00:00:09Z'}},"
                      "'lastState':{'terminated':{'exitCode':137,'reason':'OOMKilled',"
                      "'message':'memory limit','startedAt':'2026-11-27T00:00:01Z',"
                      "'finishedAt':'2026-11-27T00:00:04Z','containerID':'wherry://u-1-app-1'}},"
                      "'ready':true,'restartCount':1,'image':'registry.test/app:1',"
                      "'imageID':'sha256:abc','containerID':'wherry://u-1-app-2',"
                      "'started':true}],'qosClass':'BestEffort'}");
    assert_shown(&r, &want);
    rig_done(&r);
}

static void a_pod_that_is_done_shows_its_ends_and_is_not_ready(void **state)
{
    for (int code = 0; code < 2; code++) {
        struct pod_spec *s = rig_spec(POD_RESTART_NEVER);
        autobuf initialized = BUF_INIT, ready = BUF_INIT;
        struct rig r;

        (void)state;
        rig_add(s, POD_ROLE_MAIN, "job");
        rig_open(&r, s);
        rig_set_up(&r);
        rig_run(&r, 0);
        rig_pass(&r, 5 * SECOND);
        rig_exit(&r, 0, code);
        assert_has(&r, code ? "'phase':'Failed'" : "'phase':'Succeeded'");
        condition(&initialized, "Initialized", "True", 0, code ? "" : ",'reason':'PodCompleted'");
        assert_has(&r, buf_str(&initialized));
        condition(&ready, "Ready", "False", 5,
                  code ? ",'reason':'PodFailed'" : ",'reason':'PodCompleted'");
        assert_has(&r, buf_str(&ready));
        assert_has(&r, code ? "'state':{'terminated':{'exitCode':1,'reason':'Error',"
                              "'startedAt':'2026-11-27T00:00:00Z',"
                              "'finishedAt':'2026-11-27T00:00:05Z',"
                              "'containerID':'wherry://u-1-job-1'}},'lastState':{}"
                            : "'terminated':{'exitCode':0,'reason':'Completed'");
        rig_done(&r);
    }
}

/* ---- Why it waits ---- */

static void assert_waits_for(const struct rig *r, const char *reason, const char *message)
{
    AUTO(pod_status) s = pod_status_new(r->m, (struct pod_addresses){0});
    const struct pod_container_status *c = &s->containers[s->n_first];

    assert_int_equal(c->state.kind, POD_SHOWN_WAITING);
    assert_string_equal(c->state.reason, reason);
    if (message)
        assert_string_equal(c->state.message, message);
    else
        assert_null(c->state.message);
}

static void the_reason_of_a_wait_is_what_a_kubelet_says(void **state)
{
    struct pod_spec *s = rig_spec(POD_RESTART_ALWAYS);
    struct rig r;

    (void)state;
    rig_add(s, POD_ROLE_MAIN, "app");
    rig_open(&r, s);
    assert_waits_for(&r, "ContainerCreating", NULL);
    rig_set_up(&r);
    assert_waits_for(&r, "ContainerCreating", NULL);
    rig_fail(&r, 0, POD_EVENT_IMAGE_FAILED, "Unreachable");
    assert_waits_for(&r, "ErrImagePull", "no luck");
    rig_timer(&r, 10 * SECOND);
    rig_fail(&r, 0, POD_EVENT_IMAGE_FAILED, "Unreachable");
    assert_waits_for(&r, "ImagePullBackOff",
                     "Back-off pulling image \"registry.test/app:1\": ErrImagePull: no luck");
    rig_timer(&r, 20 * SECOND);
    rig_fail(&r, 0, POD_EVENT_IMAGE_FAILED, "ErrImageNeverPull");
    assert_waits_for(&r, "ErrImageNeverPull", "no luck");
    rig_timer(&r, 40 * SECOND);
    rig_event(&r, 0, POD_EVENT_IMAGE_OK);
    rig_fail(&r, 0, POD_EVENT_CONFIG_FAILED, "NotFound");
    assert_waits_for(&r, "CreateContainerConfigError", "no luck");
    rig_timer(&r, 10 * SECOND);
    rig_prepare(&r, 0);
    rig_fail(&r, 0, POD_EVENT_REFUSED, "NotRunnable");
    assert_waits_for(&r, "RunContainerError", "NotRunnable: no luck");
    for (int i = 0; i < 5; i++) {
        rig_timer(&r, 160 * SECOND);
        rig_run(&r, 0);
        rig_exit(&r, 0, 1);
    }
    assert_waits_for(&r, "CrashLoopBackOff",
                     "back-off 2m40s restarting failed container=app pod=web_shop(u-1)");
    rig_done(&r);
}

static void a_refused_start_is_an_end_with_the_status_that_a_shell_would_give(void **state)
{
    struct rig r;

    (void)state;
    rig_open_one(&r, POD_RESTART_NEVER);
    rig_prepare(&r, 0);
    rig_fail(&r, 0, POD_EVENT_REFUSED, "NotRunnable");
    {
        AUTO(pod_status) shown = pod_status_new(r.m, (struct pod_addresses){0});

        assert_int_equal(shown->containers[0].state.kind, POD_SHOWN_TERMINATED);
        assert_string_equal(shown->containers[0].state.reason, "StartError");
        assert_string_equal(shown->containers[0].state.message, "NotRunnable: no luck");
        assert_int_equal(shown->containers[0].state.exit_code, GUEST_EXIT_NOT_RUNNABLE);
        assert_int_equal(shown->containers[0].restart_count, 0);
    }
    rig_done(&r);
}

static void a_lost_worker_and_a_deadline_are_named(void **state)
{
    struct pod_spec *s = rig_spec(POD_RESTART_ALWAYS);
    struct rig r;

    (void)state;
    s->active_deadline_ms = 1000;
    rig_add(s, POD_ROLE_MAIN, "app");
    rig_open(&r, s);
    rig_set_up(&r);
    rig_run(&r, 0);
    rig_timer(&r, SECOND);
    {
        AUTO(pod_status) shown = pod_status_new(r.m, (struct pod_addresses){0});

        /* Said at once, but it has not failed while something runs. */
        assert_int_equal(shown->phase, POD_IS_RUNNING);
        assert_string_equal(shown->reason, "DeadlineExceeded");
    }
    rig_event(&r, 0, POD_EVENT_LOST);
    {
        AUTO(pod_status) shown = pod_status_new(r.m, (struct pod_addresses){0});

        assert_int_equal(shown->phase, POD_FAILED);
        assert_string_equal(shown->reason, "DeadlineExceeded");
        assert_string_equal(shown->containers[0].state.reason, "WorkerLost");
        assert_int_equal(shown->containers[0].state.exit_code, 137);
    }
    rig_done(&r);
}

static void a_status_is_the_same_after_a_restart_of_the_supervisor(void **state)
{
    struct pod_spec *s = rig_spec(POD_RESTART_ALWAYS);
    autobuf before = BUF_INIT, after = BUF_INIT;
    struct rig r;

    (void)state;
    rig_add(s, POD_ROLE_SIDECAR, "side");
    rig_add(s, POD_ROLE_MAIN, "app")->readiness = rig_probe(s, -1);
    rig_open(&r, s);
    rig_set_up(&r);
    rig_run(&r, 0);
    rig_run(&r, 1);
    rig_exit(&r, 1, 3);
    rig_run(&r, 1);
    rig_pass(&r, 3 * SECOND);
    rig_event(&r, 1, POD_EVENT_READY);
    encoded(&r, &before);
    rig_pass(&r, 30 * SECOND);
    rig_restore(&r);
    assert_string_equal(encoded(&r, &after), buf_str(&before));
    rig_done(&r);
}

#define LIMITS(memory_, memory_request_, cpu_, cpu_request_)                                       \
    {                                                                                              \
        .memory_limit_bytes = (memory_), .memory_request_bytes = (memory_request_),                \
        .cpu_limit_milli = (cpu_), .cpu_request_milli = (cpu_request_)                             \
    }

static void the_quality_follows_requests_and_limits(void **state)
{
    static const struct {
        struct pod_resources one, other;
        enum pod_quality quality;
    } cases[] = {
        {{0},  {0},                POD_BEST_EFFORT},
        {                              {.memory_request_bytes = 1}, {0},                 POD_BURSTABLE            },
        { {.cpu_limit_milli = 1},                  {0}, POD_BURSTABLE         },
        {           LIMITS(64,                                   0,                                                  100,                           0), LIMITS(64, 64, 100, 100), POD_GUARANTEED},
        {                                       LIMITS(64,         32,           100,                 0), LIMITS(64, 64, 100, 100), POD_BURSTABLE},
        {                                              LIMITS(64,                   0,                   100,                   0), {0}, POD_BURSTABLE},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct pod_spec *s = rig_spec(POD_RESTART_ALWAYS);

        rig_add(s, POD_ROLE_INIT, "one")->resources = cases[i].one;
        rig_add(s, POD_ROLE_MAIN, "other")->resources = cases[i].other;
        assert_int_equal(pod_quality_of(s), cases[i].quality);
        pod_spec_unref(s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pod_that_initializes_is_shown_as_a_kubelet_does),
        cmocka_unit_test(a_restarted_container_shows_its_last_end),
        cmocka_unit_test(a_pod_that_is_done_shows_its_ends_and_is_not_ready),
        cmocka_unit_test(the_reason_of_a_wait_is_what_a_kubelet_says),
        cmocka_unit_test(a_refused_start_is_an_end_with_the_status_that_a_shell_would_give),
        cmocka_unit_test(a_lost_worker_and_a_deadline_are_named),
        cmocka_unit_test(a_status_is_the_same_after_a_restart_of_the_supervisor),
        cmocka_unit_test(the_quality_follows_requests_and_limits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
