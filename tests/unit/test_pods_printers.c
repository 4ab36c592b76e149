/* SPDX-License-Identifier: Apache-2.0 */
/* Objects as the tables that people know from kubectl: JSON in, exact lines out. */
#include "unit.h"

#include "base/clock.h"
#include "cli/pods/ages.h"
#include "cli/pods/describe.h"
#include "cli/pods/printers.h"
#include "cli/pods/up_pods.h"

static const struct json_limits limits = {1 << 20, 30};

static struct json_value *parse(const char *json)
{
    struct json_value *v = NULL;
    struct err e = ERR_INIT;

    assert_ok(json_value_parse(json, strlen(json), limits, &v, &e));
    return v;
}

static int64_t now(void)
{
    struct err e = ERR_INIT;
    int64_t ns = 0;

    assert_ok(age_time_parse("2026-11-27T04:10:00Z", &ns, &e));
    return ns;
}

#define CREATED "\"creationTimestamp\":\"2026-11-27T04:05:00Z\""
#define POD(meta_, spec_, status_)                                                                 \
    "{\"kind\":\"Pod\",\"metadata\":{\"name\":\"web\",\"namespace\":\"default\"," CREATED meta_    \
    "},\"spec\":{" spec_ "},\"status\":{" status_ "}}"
#define ONE                  "\"containers\":[{\"name\":\"a\"}]"
#define TWO                  "\"containers\":[{\"name\":\"a\"},{\"name\":\"b\"}]"
#define INIT                 "\"initContainers\":[{\"name\":\"i\"},{\"name\":\"j\"}],"
#define SIDECAR              "\"initContainers\":[{\"name\":\"s\",\"restartPolicy\":\"Always\"}],"
#define RUNNING              "\"phase\":\"Running\","
#define PENDING              "\"phase\":\"Pending\","
#define STATUSES(list_)      "\"containerStatuses\":[" list_ "]"
#define INIT_STATUSES(list_) "\"initContainerStatuses\":[" list_ "]"
#define UP(name_)                                                                                  \
    "{\"name\":\"" name_ "\",\"ready\":true,\"started\":true,\"restartCount\":0,"                  \
    "\"state\":{\"running\":{}}}"
#define WAITS(name_, reason_)                                                                      \
    "{\"name\":\"" name_ "\",\"ready\":false,\"restartCount\":0,"                                  \
    "\"state\":{\"waiting\":{\"reason\":\"" reason_ "\"}}}"
#define ENDED(name_, code_, reason_)                                                               \
    "{\"name\":\"" name_ "\",\"ready\":false,\"restartCount\":0,\"state\":{\"terminated\":{"       \
    "\"exitCode\":" code_ ",\"reason\":\"" reason_ "\"}}}"
#define READY(word_) ",\"conditions\":[{\"type\":\"Ready\",\"status\":\"" word_ "\"}]"

static const struct {
    const char *json, *row;
} pods[] = {
    {POD("",                                      ONE,                                           PENDING STATUSES("")), "web 0/1 Pending 0 5m"},
    {POD("",                     ONE,                                                                  PENDING STATUSES(WAITS("a", "ContainerCreating"))),
     "web 0/1 ContainerCreating 0 5m"},
    {POD("",                    ONE,RUNNING STATUSES(UP("a"))), "web 1/1 Running 0 5m"},
    {POD("",            TWO,                                                         RUNNING STATUSES(UP("a") "," WAITS("b", "CrashLoopBackOff"))),
     "web 1/2 CrashLoopBackOff 0 5m"},
    {POD("",                     TWO,                                                                   RUNNING STATUSES(UP("a") "," WAITS("b", "ErrImagePull"))),
     "web 1/2 ErrImagePull 0 5m"},
    {POD("",                                           TWO,                                                                                   RUNNING STATUSES(ENDED("a", "0", "Completed") "," UP("b")) READY("False")),
     "web 1/2 NotReady 0 5m"},
    {POD("",     TWO,RUNNING STATUSES(ENDED("a", "0", "Completed") "," UP("b")) READY("True")),
     "web 1/2 Running 0 5m"},
    {POD("",                                           ONE,                                                                                   "\"phase\":\"Succeeded\"," STATUSES(ENDED("a", "0", "Completed"))),
     "web 0/1 Completed 0 5m"},
    {POD("",     ONE,"\"phase\":\"Failed\"," STATUSES(ENDED("a", "1", "Error"))),
     "web 0/1 Error 0 5m"},
    {POD("",                                           ONE,                                                                                   "\"phase\":\"Failed\"," STATUSES(ENDED("a", "137", "OOMKilled"))),
     "web 0/1 OOMKilled 0 5m"},
    {POD("",                 ONE,"\"phase\":\"Failed\"," STATUSES(ENDED("a", "3", ""))),
     "web 0/1 ExitCode:3 0 5m"},
    {POD("",                     ONE,                                                                  "\"phase\":\"Failed\",\"reason\":\"OutOfcpu\""), "web 0/1 OutOfcpu 0 5m"},
    {POD(",\"deletionTimestamp\":\"2026-11-27T04:09:59Z\"",                                    ONE,                                                                                   RUNNING STATUSES(UP("a"))),
     "web 1/1 Terminating 0 5m"},
    {POD(",\"deletionTimestamp\":\"2026-11-27T04:09:59Z\"",   ONE,
     "\"phase\":\"Succeeded\"," STATUSES(ENDED("a", "0", "Completed"))),
     "web 0/1 Completed 0 5m"},
    {POD("",                                      INIT ONE,
     PENDING INIT_STATUSES(UP("i") "," WAITS("j", "PodInitializing")) "," STATUSES(
             WAITS("a", "PodInitializing"))),
     "web 0/1 Init:0/2 0 5m"},
    {POD("",                                        INIT ONE,
     PENDING INIT_STATUSES(ENDED("i", "0", "Completed") "," UP("j")) "," STATUSES(
             WAITS("a", "PodInitializing"))),
     "web 0/1 Init:1/2 0 5m"},
    {POD("",                                           INIT ONE,                                                                                   PENDING INIT_STATUSES(ENDED("i", "1", "Error"))), "web 0/1 Init:Error 0 5m"},
    {POD("", INIT ONE,                                                                             PENDING INIT_STATUSES(ENDED("i", "7", ""))), "web 0/1 Init:ExitCode:7 0 5m"},
    {POD("",                        INIT ONE,                                                                     PENDING INIT_STATUSES(WAITS("i", "CrashLoopBackOff"))),
     "web 0/1 Init:CrashLoopBackOff 0 5m"},
    {POD("",INIT ONE,
     PENDING INIT_STATUSES(ENDED("i", "0", "Completed") "," ENDED(
             "j", "0", "Completed")) "," STATUSES(WAITS("a", "PodInitializing"))),
     "web 0/1 PodInitializing 0 5m"},
    {POD("",                             SIDECAR ONE,                                                                   RUNNING INIT_STATUSES(UP("s")) "," STATUSES(UP("a"))),
     "web 2/2 Running 0 5m"},
    {POD("",                                      ONE,
     RUNNING STATUSES("{\"name\":\"a\",\"ready\":true,\"restartCount\":3,\"state\":{\"running\""
                          ":{}},\"lastState\":{\"terminated\":{\"exitCode\":1,\"finishedAt\":"
                          "\"2026-11-27T04:09:30Z\"}}}")),
     "web 1/1 Running 3 (30s ago) 5m"},
    {"{\"metadata\":{\"name\":\"web\"}}",                                        "web 0/0 Unknown 0 <unknown>"                                                                               },
    {"{\"metadata\":{\"name\":\"web\"},\"status\":{\"phase\":7,\"containerStatuses\":{}}}",
     "web 0/0 Unknown 0 <unknown>"                                                                                  },
};

static void a_pod_is_summed_up_as_kubectl_does(void **state)
{
    struct print_options o = {.now_ns = now()};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(pods); i++) {
        AUTO(json_value) v = parse(pods[i].json);
        autotable t = {0};
        autobuf out = BUF_INIT;

        print_header(&t, RESOURCE_POD, &o, false);
        print_row(&t, RESOURCE_POD, v, &o);
        for (size_t k = 0; k < t.cells.n; k++)
            buf_addf(&out, "%s%s", k ? " " : "", t.cells.v[k]);
        assert_string_equal(buf_str(&out), pods[i].row);
    }
}

static void assert_table(enum resource_kind kind, const struct print_options *o, const char *json,
                         const char *expected)
{
    AUTO(json_value) v = parse(json);
    autotable t = {0};
    autobuf out = BUF_INIT;

    print_header(&t, kind, o, true);
    for (size_t i = 0; i < json_value_count(v); i++)
        print_row(&t, kind, json_value_item(v, i), o);
    table_print(&t, &out);
    assert_string_equal(buf_str(&out), expected);
}

static void each_kind_has_kubectls_columns(void **state)
{
    struct print_options o = {.now_ns = now()}, all = {.now_ns = o.now_ns, .has_space = true};
    struct print_options wide = {.now_ns = o.now_ns, .is_wide = true, .has_labels = true};

    (void)state;
    assert_table(RESOURCE_POD, &o, "[" POD("", ONE, RUNNING STATUSES(UP("a"))) "]",
                 "NAME   READY   STATUS    RESTARTS   AGE\n"
                 "web    1/1     Running   0          5m\n");
    assert_table(RESOURCE_POD, &wide,
                 "[" POD(",\"labels\":{\"app\":\"x\",\"v\":\"1\"}", ONE,
                         RUNNING "\"podIP\":\"10.0.0.2\"," STATUSES(UP("a"))) "]",
                 "NAME   READY   STATUS    RESTARTS   AGE   IP         NODE     LABELS\n"
                 "web    1/1     Running   0          5m    10.0.0.2   <none>   app=x,v=1\n");
    assert_table(RESOURCE_CONFIG, &all,
                 "[{\"metadata\":{\"name\":\"c\",\"namespace\":\"n\"," CREATED
                 "},\"data\":{\"a\":\"1\"},\"binaryData\":{\"b\":\"\"}}]",
                 "NAMESPACE   NAME   DATA   AGE\n"
                 "n           c      2      5m\n");
    assert_table(RESOURCE_SECRET, &o,
                 "[{\"metadata\":{\"name\":\"s\"," CREATED
                 "},\"type\":\"Opaque\",\"data\":{\"a\":\"MQ==\"}}]",
                 "NAME   TYPE     DATA   AGE\n"
                 "s      Opaque   1      5m\n");
    assert_table(RESOURCE_CLAIM, &o,
                 "[{\"metadata\":{\"name\":\"d\"," CREATED
                 "},\"spec\":{\"accessModes\":[\"ReadWriteOnce\",\"ReadOnlyMany\"],"
                 "\"resources\":{\"requests\":{\"storage\":\"1Gi\"}}}}]",
                 "NAME   STATUS   VOLUME   CAPACITY   ACCESS MODES   STORAGECLASS   AGE\n"
                 "d      Bound             1Gi        RWO,ROX                       5m\n");
    assert_table(RESOURCE_EVENT, &o,
                 "[{\"metadata\":{\"name\":\"e\"},\"type\":\"Warning\",\"reason\":\"Failed\","
                 "\"lastTimestamp\":\"2026-11-27T04:09:50Z\",\"message\":\"it\\nbroke\","
                 "\"involvedObject\":{\"kind\":\"Pod\",\"name\":\"web\"}}]",
                 "LAST SEEN   TYPE      REASON   OBJECT    MESSAGE\n"
                 "10s         Warning   Failed   pod/web   it?broke\n");
}

static void control_characters_do_not_reach_the_terminal(void **state)
{
    autotable t = {.n_columns = 2};
    autobuf out = BUF_INIT;

    (void)state;
    table_add(&t, "a\x1b[2J\xc2\x9b\n");
    table_add(&t, "b");
    table_print(&t, &out);
    assert_string_equal(buf_str(&out), "a?[2J???   b\n");
}

static void wide_letters_do_not_shift_columns(void **state)
{
    autotable t = {.n_columns = 2};
    autobuf out = BUF_INIT;

    (void)state;
    table_add(&t, "\xc3\xa4");
    table_add(&t, "x");
    table_add(&t, "ab");
    table_add(&t, "y");
    table_print(&t, &out);
    assert_string_equal(buf_str(&out), "\xc3\xa4    x\nab   y\n");
    /* The next rows stand below the last ones, also when they are shorter. */
    buf_clear(&out);
    table_add(&t, "c");
    table_add(&t, "z");
    table_print(&t, &out);
    assert_string_equal(buf_str(&out), "c    z\n");
}

static const char described[] =
    "Name:         web\n"
    "Namespace:    default\n"
    "Start Time:   <none>\n"
    "Labels:       app=x\n"
    "              tier=y\n"
    "Annotations:  <none>\n"
    "Status:       Running\n"
    "IP:           <none>\n"
    "Containers:\n"
    "  a:\n"
    "    Image:          a.wasm\n"
    "    Ports:          80/TCP (http)\n"
    "    Host Ports:     8080/TCP\n"
    "    Args:\n"
    "      -v\n"
    "    State:          Waiting\n"
    "      Reason:       CrashLoopBackOff\n"
    "      Message:      back-off 20s\n"
    "    Last State:     Terminated\n"
    "      Reason:       Error\n"
    "      Exit Code:    3\n"
    "    Ready:          False\n"
    "    Restart Count:  2\n"
    "    Limits:\n"
    "      memory:       64Mi\n"
    "    Liveness:       http-get http://:80/ok delay=0s timeout=1s period=10s #success=1 "
    "#failure=3\n"
    "    Environment:\n"
    "      A:            1\n"
    "      B:            <set to the key 'k' in secret 's'>\n"
    "    Mounts:\n"
    "      /data from d (ro)\n"
    "Conditions:\n"
    "  Type    Status\n"
    "  Ready   False\n"
    "Volumes:\n"
    "  d:\n"
    "    Type:       emptyDir\n"
    "    medium:     Memory\n"
    "QoS Class:    Burstable\n"
    "Events:\n"
    "  Type      Reason    Age                 From           Message\n"
    "  ----      ------    ----                ----           -------\n"
    "  Warning   BackOff   10s (x4 over 60s)   wherry-agent   again\n";

static void describe_tells_all_of_a_pod(void **state)
{
    AUTO(json_value)
    v = parse(
        POD(",\"labels\":{\"app\":\"x\",\"tier\":\"y\"}",
            "\"containers\":[{\"name\":\"a\",\"image\":\"a.wasm\",\"args\":[\"-v\"],"
            "\"ports\":[{\"containerPort\":80,\"name\":\"http\",\"hostPort\":8080}],"
            "\"env\":[{\"name\":\"A\",\"value\":\"1\"},{\"name\":\"B\",\"valueFrom\":"
            "{\"secretKeyRef\":{\"name\":\"s\",\"key\":\"k\"}}}],"
            "\"resources\":{\"limits\":{\"memory\":\"64Mi\"}},"
            "\"livenessProbe\":{\"httpGet\":{\"port\":80,\"path\":\"/ok\"}},"
            "\"volumeMounts\":[{\"name\":\"d\",\"mountPath\":\"/data\",\"readOnly\":true}]}],"
            "\"volumes\":[{\"name\":\"d\",\"emptyDir\":{\"medium\":\"Memory\"}}]",
            RUNNING "\"qosClass\":\"Burstable\"," STATUSES(
                "{\"name\":\"a\",\"ready\":false,\"restartCount\":2,\"state\":{\"waiting\":{"
                "\"reason\":\"CrashLoopBackOff\",\"message\":\"back-off 20s\"}},\"lastState\":{"
                "\"terminated\":{\"exitCode\":3,\"reason\":\"Error\"}}}") READY("False")));
    AUTO(json_value)
    events =
        parse("[{\"type\":\"Warning\",\"reason\":\"BackOff\",\"count\":4,\"message\":\"again\","
              "\"source\":{\"component\":\"wherry-agent\"},"
              "\"firstTimestamp\":\"2026-11-27T04:09:00Z\","
              "\"lastTimestamp\":\"2026-11-27T04:09:50Z\"}]");
    autobuf out = BUF_INIT;

    (void)state;
    describe_pod(&out, v, now());
    describe_events(&out, json_value_at(events, ""), now());
    assert_string_equal(buf_str(&out), described);
}

static void up_says_why_a_pod_does_not_run(void **state)
{
    static const struct {
        const char *json, *why;
        bool is_final;
    } cases[] = {
        {POD("", ONE,                                                                      RUNNING STATUSES(UP("a"))),"",false},
        {POD("", ONE,                                                                      PENDING STATUSES(WAITS("a","ContainerCreating"))),"", false},
        {POD("",      ONE,                                                                         "\"phase\":\"Succeeded\"," STATUSES(ENDED("a","0","Completed"))),"",
         false},
        {POD("",    ONE,                                                                            "\"phase\":\"Failed\"," STATUSES(ENDED("a","2","Error"))),
         "container a: Error, exit code 2", true},
        {POD("",   ONE,                                                                 "\"phase\":\"Failed\",\"reason\":\"OutOfcpu\",\"message\":\"too much\""),
         "OutOfcpu: too much",true},
        {POD("", ONE,PENDING STATUSES(WAITS("a","ErrImagePull"))),              "container a: ErrImagePull",
         false},
        {POD("",   ONE,                                                                                                                 "\"phase\":\"Failed\""),                                  "it failed, and the agent says not why",true},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        AUTO(json_value) v = parse(cases[i].json);
        autobuf why = BUF_INIT;
        bool is_final;

        assert_int_equal(up_pod_trouble(v, &why, &is_final), *cases[i].why != 0);
        assert_string_equal(buf_str(&why), cases[i].why);
        assert_int_equal(is_final, cases[i].is_final);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pod_is_summed_up_as_kubectl_does),
        cmocka_unit_test(each_kind_has_kubectls_columns),
        cmocka_unit_test(control_characters_do_not_reach_the_terminal),
        cmocka_unit_test(wide_letters_do_not_shift_columns),
        cmocka_unit_test(describe_tells_all_of_a_pod),
        cmocka_unit_test(up_says_why_a_pod_does_not_run),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
