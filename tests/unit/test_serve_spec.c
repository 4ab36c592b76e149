/* SPDX-License-Identifier: Apache-2.0 */
/* What `wherry serve` tells its worker. */
#include "unit.h"

#include <limits.h>

#include "base/util.h"
#include "guest/job.h"

static void spec_fill(struct serve_spec *s)
{
    serve_spec_init(s);
    serve_spec_app_add(s, 3, NULL, NULL, "/srv/a.wasm", "a.wasm", NULL, "/");
    serve_spec_app_add(s, 4, "v1", "{\"entrypoint\":[\"a b\"]}", "/srv/b \"b\".wasm", "b.wasm",
                       "b.example", "/b/c");
    serve_spec_listener_add(s, 5, "https://127.0.0.1:443", 0, true);
    serve_spec_listener_add(s, 6, "unix:/run/x.sock", -1, false);
    s->threads = 3;
    s->reuse = 10;
    s->tls_cert = xstrdup("/etc/cert.pem");
    s->tls_key = xstrdup("/etc/key.pem");
    s->metrics_fd = 7;
    s->access_log = xstrdup("json");
    s->limits.queue = 0;
    s->limits.cpu_ms = 0;
    s->limits.body_bytes = INT64_MAX;
}

static void spec_text(const struct serve_spec *s, struct buf *text)
{
    struct json_writer w;
    struct err e = ERR_INIT;

    json_writer_init(&w, text, false);
    serve_spec_encode(s, &w);
    assert_ok(json_writer_finish(&w, &e));
}

static void test_round_trip(void **state)
{
    struct serve_spec s, back;
    autobuf text = BUF_INIT;
    autobuf again = BUF_INIT;
    struct err e = ERR_INIT;

    (void)state;
    spec_fill(&s);
    spec_text(&s, &text);
    serve_spec_init(&back);
    assert_ok(serve_spec_decode(text.data, text.len, &back, &e));
    spec_text(&back, &again);
    assert_string_equal(text.data, again.data);
    assert_int_equal(back.n_apps, 2);
    assert_null(back.apps[0].host);
    assert_null(back.apps[0].image);
    assert_string_equal(back.apps[1].image, "v1");
    assert_string_equal(back.apps[1].host, "b.example");
    assert_string_equal(back.apps[1].route, "/b/c");
    assert_int_equal(back.listeners[1].thread, -1);
    assert_true(back.listeners[0].is_tls);
    assert_memory_equal(&back.limits, &s.limits, sizeof(s.limits));
    serve_spec_done(&s);
    serve_spec_done(&back);
}

#define APP      "\"apps\":[{\"fd\":3,\"path\":\"/a\",\"name\":\"a\",\"route\":\"/\"}]"
#define LISTENER "\"listeners\":[{\"fd\":4,\"url\":\"http://[::]:80\",\"thread\":0}]"

/* An older wherry leaves fields out, a newer one adds some. */
static void test_other_versions(void **state)
{
    static const char text[] = "{" APP "," LISTENER ",\"from_the_future\":{\"x\":[1]}}";
    struct serve_spec s, defaults;
    struct err e = ERR_INIT;

    (void)state;
    serve_spec_init(&defaults);
    serve_spec_init(&s);
    assert_ok(serve_spec_decode(text, sizeof(text) - 1, &s, &e));
    assert_memory_equal(&s.limits, &defaults.limits, sizeof(s.limits));
    assert_int_equal(s.threads, 1);
    assert_int_equal(s.reuse, 1);
    assert_int_equal(s.metrics_fd, -1);
    assert_null(s.access_log);
    serve_spec_done(&s);
}

static void test_refused(void **state)
{
    static const char *const bad[] = {
        "{}",
        "{" APP "}",
        "{" LISTENER "}",
        "{" APP ",\"listeners\":[]}",
        "{\"apps\":[]," LISTENER "}",
        "{\"apps\":[{\"path\":\"/a\",\"name\":\"a\",\"route\":\"/\"}]," LISTENER "}",
        "{\"apps\":[{\"fd\":-1,\"path\":\"/a\",\"name\":\"a\",\"route\":\"/\"}]," LISTENER "}",
        "{\"apps\":[{\"fd\":3,\"path\":\"a\",\"name\":\"a\",\"route\":\"/\"}]," LISTENER "}",
        "{\"apps\":[{\"fd\":3,\"path\":\"/a\",\"name\":\"a\",\"route\":\"x\"}]," LISTENER "}",
        "{\"apps\":[{\"fd\":3,\"path\":\"/a\",\"name\":\"a\",\"route\":\"/x/\"}]," LISTENER "}",
        "{" APP ",\"listeners\":[{\"fd\":4,\"url\":\"x\"}]}",
        "{" APP ",\"listeners\":[{\"fd\":4,\"url\":\"x\",\"thread\":1}]}",
        "{" APP ",\"listeners\":[{\"fd\":4,\"url\":\"x\",\"thread\":-2}]}",
        "{" APP ",\"listeners\":[{\"fd\":4,\"url\":\"x\",\"thread\":0,\"tls\":true}]}",
        "{" APP "," LISTENER ",\"threads\":0}",
        "{" APP "," LISTENER ",\"threads\":257}",
        "{" APP "," LISTENER ",\"reuse\":0}",
        "{" APP "," LISTENER ",\"tls_cert\":\"/x\"}",
        "{" APP "," LISTENER ",\"access_log\":\"xml\"}",
        "{" APP "," LISTENER ",\"metrics_fd\":-2}",
        "{" APP "," LISTENER ",\"limits\":{\"requests\":0}}",
        "{" APP "," LISTENER ",\"limits\":{\"read_ms\":0}}",
        "{" APP "," LISTENER ",\"limits\":{\"body_bytes\":-1}}",
        "{" APP "," LISTENER ",\"limits\":5}",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct serve_spec s;
        struct err e = ERR_INIT;

        serve_spec_init(&s);
        if (serve_spec_decode(bad[i], strlen(bad[i]), &s, &e) >= 0)
            fail_msg("accepted: %s", bad[i]);
        assert_true(e.msg[0] == '$');
        assert_null(s.apps);
    }
}

static void job_text(const struct guest_job *job, struct buf *text)
{
    struct json_writer w;
    struct err e = ERR_INIT;

    json_writer_init(&w, text, false);
    guest_job_encode(job, &w);
    assert_ok(json_writer_finish(&w, &e));
}

/* The most programs, with the longest paths: the worker still reads it. */
static void test_largest_job(void **state)
{
    struct guest_job job = {
        .command = xstrdup("serve"), .status_fd = -1, .has_spec = true, .has_serve = true};
    struct guest_job back = GUEST_JOB_INIT;
    char path[PATH_MAX], route[SERVE_ROUTE_LIMIT + 1], image[GUEST_IMAGE_LIMIT + 1];
    autobuf text = BUF_INIT;
    struct err e = ERR_INIT;

    (void)state;
    memset(path, 'p', sizeof(path));
    memset(route, 'r', sizeof(route));
    memset(image, 'i', sizeof(image));
    path[0] = route[0] = '/';
    image[sizeof(image) - 1] = 0;
    path[sizeof(path) - 1] = route[sizeof(route) - 1] = 0;
    guest_spec_init(&job.spec);
    job.spec.id = xstrdup("serve");
    serve_spec_init(&job.serve);
    for (int i = 0; i < SERVE_APP_LIMIT; i++)
        serve_spec_app_add(&job.serve, 3 + i, image, NULL, path, "a.wasm", "host.example", route);
    serve_spec_listener_add(&job.serve, 9, "unix:/x", -1, false);
    job_text(&job, &text);
    assert_true(text.len < GUEST_JOB_LIMIT_BYTES);
    assert_ok(guest_job_decode(text.data, text.len, &back, &e));
    assert_int_equal(back.serve.n_apps, SERVE_APP_LIMIT);
    assert_string_equal(back.serve.apps[SERVE_APP_LIMIT - 1].path, path);
    assert_int_equal(back.spec.module_fd, -1);
    guest_job_done(&job);
    guest_job_done(&back);
}

static void test_jobs_need_their_parts(void **state)
{
    static const char *const bad[] = {
        "{\"command\":\"run\",\"spec\":{\"id\":\"a\"}}",
        "{\"command\":\"serve\",\"spec\":{\"id\":\"a\"}}",
        "{\"command\":\"serve\",\"serve\":{" APP "," LISTENER "}}",
        "{\"command\":\"serve\",\"spec\":{\"id\":\"a\"},\"serve\":{}}",
    };
    static const char good[] =
        "{\"command\":\"serve\",\"spec\":{\"id\":\"a\"},\"serve\":{" APP "," LISTENER "}}";
    struct guest_job job = GUEST_JOB_INIT;
    struct err e = ERR_INIT;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        if (guest_job_decode(bad[i], strlen(bad[i]), &job, &e) >= 0)
            fail_msg("accepted: %s", bad[i]);
        assert_contains(e.msg, "missing");
        assert_null(job.command);
    }
    assert_ok(guest_job_decode(good, sizeof(good) - 1, &job, &e));
    assert_true(job.has_serve);
    guest_job_done(&job);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_other_versions),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_largest_job),
        cmocka_unit_test(test_jobs_need_their_parts),
    };
    return cmocka_run_group_tests_name("serve_spec", tests, NULL, NULL);
}
