/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "agent/api/admission.h"
#include "manifest/objects.h"

static const struct node_capacity node = {2000, 1 << 30};
static struct objects pods;
static size_t n_others, at;

static const struct pod_spec *next(void *ctx)
{
    (void)ctx;
    return at < n_others ? pods.v[at++]->pod : NULL;
}

/* Pods of this part of a spec each. The last one is to fit beside the others. */
static int fits(const char *const *specs, size_t n, struct err *e)
{
    int r;

    objects_done(&pods);
    for (size_t i = 0; i < n; i++) {
        struct objects_options o = {.file = "test"};
        char text[2000];

        snprintf(text, sizeof(text),
                 "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"p%zu\"},"
                 "\"spec\":{%s}}",
                 i, specs[i]);
        if (objects_parse(text_of(text), &o, &pods, e) < 0)
            fail_msg("%s", e->msg);
    }
    n_others = n - 1;
    at = 0;
    r = admission_check(&node, pods.v[n - 1]->pod, next, NULL, e);
    return r;
}

#define CONTAINER(name, cpu, memory)                                                               \
    "{\"name\":\"" name "\",\"image\":\"x\",\"resources\":{\"requests\":{\"cpu\":\"" cpu           \
    "\",\"memory\":\"" memory "\"}}}"

static void pods_fit_up_to_what_the_node_has(void **state)
{
    const char *specs[] = {"\"containers\":[" CONTAINER("a", "1500m", "512Mi") "]",
                           "\"containers\":[" CONTAINER("a", "500m", "512Mi") "]"};
    struct err e = ERR_INIT;

    (void)state;
    assert_ok(fits(specs, 2, &e));
}

static void a_pod_that_asks_for_more_is_refused_as_a_kubelet_does(void **state)
{
    const char *specs[] = {"\"containers\":[" CONTAINER("a", "1500m", "512Mi") "]",
                           "\"containers\":[" CONTAINER("a", "501m", "1Mi") "]"};
    const char *memory[] = {"\"containers\":[" CONTAINER("a", "1", "1023Mi") "]",
                            "\"containers\":[" CONTAINER("a", "1", "2Mi") "]"};
    struct err e = ERR_INIT;

    (void)state;
    assert_fails(fits(specs, 2, &e), -ENOSPC, "OutOfcpu");
    assert_contains(e.msg, "Pod was rejected: Node didn't have enough resource: cpu, requested: "
                           "501, used: 1500, capacity: 2000");
    assert_fails(fits(memory, 2, &e), -ENOSPC, "OutOfmemory");
}

static void what_asks_for_nothing_always_fits(void **state)
{
    const char *specs[] = {"\"containers\":[" CONTAINER("a", "2", "1Gi") "]",
                           "\"containers\":[{\"name\":\"a\",\"image\":\"x\"}]"};
    struct err e = ERR_INIT;

    (void)state;
    assert_ok(fits(specs, 2, &e));
}

static void init_containers_count_only_where_they_need_more(void **state)
{
    const char *specs[] = {"\"initContainers\":[" CONTAINER("i", "1500m", "1Mi") "," CONTAINER(
        "j", "1500m", "1Mi") "],\"containers\":[" CONTAINER("a", "1", "1Mi") "]"};
    const char *sidecar[] = {
        "\"initContainers\":[{\"name\":\"s\",\"image\":\"x\",\"restartPolicy\":\"Always\","
        "\"resources\":{\"requests\":{\"cpu\":\"1\"}}}," CONTAINER(
            "j", "1001m", "1Mi") "],\"containers\":[" CONTAINER("a", "1", "1Mi") "]"};
    struct err e = ERR_INIT;
    int64_t cpu, memory;

    (void)state;
    assert_ok(fits(specs, 1, &e));
    admission_requests(pods.v[0]->pod, &cpu, &memory);
    assert_int_equal(cpu, 1500);
    assert_int_equal(memory, 1 << 20);
    assert_fails(fits(sidecar, 1, &e), -ENOSPC, "OutOfcpu");
}

static void two_pods_with_one_host_port_do_not_fit(void **state)
{
    const char *specs[] = {
        "\"containers\":[{\"name\":\"a\",\"image\":\"x\",\"ports\":[{\"containerPort\":80,"
        "\"hostPort\":80}]}]",
        "\"containers\":[{\"name\":\"a\",\"image\":\"x\",\"ports\":[{\"containerPort\":80,"
        "\"hostPort\":80}]}]"};
    const char *protocols[] = {specs[0],
                               "\"containers\":[{\"name\":\"a\",\"image\":\"x\",\"ports\":[{"
                               "\"containerPort\":80,\"hostPort\":80,\"protocol\":\"UDP\"}]}]"};
    struct err e = ERR_INIT;

    (void)state;
    assert_fails(fits(specs, 2, &e), -EADDRINUSE, "NodePorts");
    assert_contains(e.msg, "Predicate NodePorts failed");
    assert_contains(e.msg, "default/p0 has host port 80/TCP");
    e = ERR_INIT;
    assert_ok(fits(protocols, 2, &e));
}

static void the_node_has_something(void **state)
{
    struct node_capacity c;

    (void)state;
    node_capacity_read(&c);
    assert_true(c.cpu_milli >= 10 && c.cpu_milli < INT64_MAX);
    assert_true(c.memory_bytes > 1 << 20 && c.memory_bytes < INT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pods_fit_up_to_what_the_node_has),
        cmocka_unit_test(a_pod_that_asks_for_more_is_refused_as_a_kubelet_does),
        cmocka_unit_test(what_asks_for_nothing_always_fits),
        cmocka_unit_test(init_containers_count_only_where_they_need_more),
        cmocka_unit_test(two_pods_with_one_host_port_do_not_fit),
        cmocka_unit_test(the_node_has_something),
    };
    int r = cmocka_run_group_tests(tests, NULL, NULL);

    objects_done(&pods);
    return r;
}
