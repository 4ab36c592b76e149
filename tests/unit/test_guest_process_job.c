/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "container/guest/guest_process_job.h"

static struct oci_config config;
static struct guest_job job;

static const char *function;

static int begin(const char *process, const char *rest, bool is_tool, enum contract contract,
                 unsigned *ret_port, struct err *e)
{
    autofree char *json = xasprintf("{\"ociVersion\":\"1.1.0\",\"root\":{\"path\":\"rootfs\"},"
                                    "\"process\":{\"user\":{\"uid\":0,\"gid\":0},%s}%s}",
                                    process, rest);
    struct guest_process_options o = {.id = "test",
                                      .config = &config,
                                      .function = function,
                                      .is_tool = is_tool,
                                      .contract = contract,
                                      .program_fd = 9,
                                      .code_fd = -1,
                                      .stdin_fd = -1,
                                      .stdout_fd = 5,
                                      .stderr_fd = 5};

    oci_config_done(&config);
    guest_job_done(&job);
    if (oci_config_decode(json, strlen(json), &config, e) < 0)
        fail_msg("%s", e->msg);
    *ret_port = guest_process_job_port(&o);
    return guest_process_job_begin(&o, &job, e);
}

static void words_and_streams_are_the_processs(void **state)
{
    struct err e = ERR_INIT;
    unsigned port;

    (void)state;
    assert_ok(begin("\"cwd\":\"/srv\",\"args\":[\"/app.wasm\",\"a#b\"],\"env\":[\"X=1\"]", "",
                    false, CONTRACT_P2_COMMAND, &port, &e));
    assert_int_equal(job.spec.args.n, 2);
    assert_string_equal(job.spec.args.v[0], "/app.wasm");
    assert_string_equal(job.spec.args.v[1], "a#b");
    assert_string_equal(job.spec.env.v[1], "PWD=/srv");
    assert_null(job.spec.invoke);
    assert_int_equal(job.spec.stdin_fd, -1);
    assert_int_equal(job.spec.stdout_fd, 1);
    assert_int_equal(job.spec.stderr_fd, 2);
    assert_int_equal(port, 0);
}

static void a_variable_of_the_document_is_stronger_than_the_folder(void **state)
{
    struct err e = ERR_INIT;
    unsigned port;

    (void)state;
    assert_ok(begin("\"cwd\":\"/srv\",\"args\":[\"x\"],\"env\":[\"PWD=/own\"]", "", false,
                    CONTRACT_P2_COMMAND, &port, &e));
    assert_int_equal(job.spec.env.n, 1);
    assert_string_equal(job.spec.env.v[0], "PWD=/own");
}

static void a_function_is_called_with_the_words_behind_it(void **state)
{
    struct err e = ERR_INIT;
    unsigned port;

    (void)state;
    function = "add";
    assert_ok(begin("\"cwd\":\"/\",\"args\":[\"/lib.wasm#add\",\"1\",\"2\"]", "", false,
                    CONTRACT_LIBRARY, &port, &e));
    assert_string_equal(job.spec.invoke, "add");
    assert_int_equal(job.spec.args.n, 2);
    assert_string_equal(job.spec.args.v[0], "1");
    function = "_start";
    assert_ok(begin("\"cwd\":\"/\",\"args\":[\"/app.wasm#_start\",\"1\"]", "", false,
                    CONTRACT_P1_COMMAND, &port, &e));
    assert_null(job.spec.invoke);
    assert_string_equal(job.spec.args.v[0], "/app.wasm");
    function = NULL;
    assert_ok(begin("\"cwd\":\"/\",\"args\":[\"a#b\"]", "", true, CONTRACT_P2_COMMAND, &port, &e));
    assert_null(job.spec.invoke);
    assert_string_equal(job.spec.args.v[0], job.spec.name);
    assert_string_equal(job.spec.args.v[1], "a#b");
}

static void a_timeout_is_the_containers_or_else_the_pods(void **state)
{
    struct err e = ERR_INIT;
    unsigned port;

    (void)state;
#define ANNOTATED(pairs)                                                                           \
    begin("\"cwd\":\"/\",\"args\":[\"/a\"]", ",\"annotations\":{" pairs "}", false,                \
          CONTRACT_P2_COMMAND, &port, &e)
    assert_ok(ANNOTATED("\"wherry.dev/timeout\":\"1500ms\""));
    assert_int_equal(job.spec.timeout_ms, 1500);
    assert_ok(ANNOTATED("\"wherry.dev/timeout\":\"1s\",\"wherry.dev/timeout.b\":\"2s\","
                        "\"io.kubernetes.cri.container-name\":\"b\""));
    assert_int_equal(job.spec.timeout_ms, 2000);
    assert_ok(ANNOTATED("\"wherry.dev/timeout.b\":\"2s\","
                        "\"io.kubernetes.cri.container-name\":\"c\""));
    assert_int_equal(job.spec.timeout_ms, 0);
    assert_fails(ANNOTATED("\"wherry.dev/timeout\":\"soon\""), -EINVAL, "BadDuration");
    assert_contains(e.msg, "wherry.dev/timeout");
#undef ANNOTATED
}

static void http_programs_listen_where_runwasi_has_them(void **state)
{
    struct err e = ERR_INIT;
    unsigned port;

    (void)state;
    assert_ok(begin("\"cwd\":\"/\",\"args\":[\"/x\"]", "", false, CONTRACT_P3_HTTP, &port, &e));
    assert_int_equal(port, 8080);
}

static void the_guest_gets_what_the_worker_leaves_of_the_groups_memory(void **state)
{
    struct err e = ERR_INIT;
    unsigned port;

    (void)state;
    assert_int_equal(guest_process_memory(128 << 20), 120 << 20);
    assert_int_equal(guest_process_memory(16 << 20), 8 << 20);
    assert_int_equal(guest_process_memory(10 << 20), 5 << 20);
    assert_ok(begin("\"cwd\":\"/\",\"args\":[\"/x\"]",
                    ",\"linux\":{\"resources\":{\"memory\":{\"limit\":67108864}}}", false,
                    CONTRACT_P1_COMMAND, &port, &e));
    assert_int_equal(job.spec.memory_bytes, 56 << 20);
    assert_ok(begin("\"cwd\":\"/\",\"args\":[\"/x\"]",
                    ",\"linux\":{\"resources\":{\"memory\":{\"limit\":-1}}}", false,
                    CONTRACT_P1_COMMAND, &port, &e));
    assert_int_equal(job.spec.memory_bytes, INT64_C(4) << 30);
}

static int group_setup(void **state)
{
    (void)state;
    job = GUEST_JOB_INIT;
    return 0;
}

static int group_teardown(void **state)
{
    (void)state;
    oci_config_done(&config);
    guest_job_done(&job);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_and_streams_are_the_processs),
        cmocka_unit_test(a_variable_of_the_document_is_stronger_than_the_folder),
        cmocka_unit_test(a_function_is_called_with_the_words_behind_it),
        cmocka_unit_test(a_timeout_is_the_containers_or_else_the_pods),
        cmocka_unit_test(http_programs_listen_where_runwasi_has_them),
        cmocka_unit_test(the_guest_gets_what_the_worker_leaves_of_the_groups_memory),
    };

    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
