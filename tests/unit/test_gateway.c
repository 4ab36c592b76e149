/* SPDX-License-Identifier: Apache-2.0 */
/* With the stand-in for the engine: requests are made here, and what the gateway makes of them is
 * looked at. */
#include "compiled.h"

#include <pthread.h>
#include <sys/mman.h>

#include "../fake/engine_fake_serve.h"
#include "base/fds.h"
#include "base/util.h"
#include "worker/http/gateway.h"

static const char program[] = "\0asm\1\0\0\0export _start\n";

struct world {
    struct guest_job job;
    struct apps *apps;
    struct gateway *gateway;
    struct engine_server_options options;
    struct cache *cache;
    struct http_engines *engines;
    char *folder;
};

static void world_open(struct world *w, const char *access_log)
{
    struct err e = ERR_INIT;
    size_t failed;
    int fd;

    *w = (struct world){0};
    guest_spec_init(&w->job.spec);
    serve_spec_init(&w->job.serve);
    w->job.is_quiet = true;
    w->folder = unit_temp_dir();
    assert_ok(cache_open(w->folder, &w->cache, &e));
    unit_compile(w->cache, program, sizeof(program) - 1);
    w->job.serve.threads = 2;
    w->job.serve.access_log = access_log ? xstrdup(access_log) : NULL;
    for (int i = 0; i < 2; i++) {
        assert_ok(memfd_from("program", program, sizeof(program) - 1, &fd, &e));
        serve_spec_app_add(&w->job.serve, fd, NULL, NULL, "/nowhere/a.wasm",
                           i ? "shop.wasm" : "root.wasm", NULL, i ? "/shop" : "/");
    }
    w->engines = http_engines_new(8, 1 << 20);
    assert_ok(apps_new(
        &(struct apps_options){
            .job = &w->job, .cache = w->cache, .engines = w->engines, .stop_fd = -1, .code_fd = -1},
        &w->apps, &failed, &e));
    assert_ok(gateway_new(&w->job, w->apps, &w->gateway, &e));
    gateway_attach(w->gateway, &w->options);
}

static void world_close(struct world *w)
{
    gateway_free(w->gateway);
    apps_free(w->apps);
    http_engines_free(w->engines);
    serve_spec_done(&w->job.serve);
    guest_spec_done(&w->job.spec);
    cache_free(w->cache);
    unit_remove(w->folder);
    assert_int_equal(fake_service_refs(), 0);
}

static struct engine_request request(const char *method, const char *path,
                                     const struct fake_header *headers)
{
    return (struct engine_request){.method = text_of(method),
                                   .scheme = text_of("http"),
                                   .authority = text_of("example.org:8080"),
                                   .path = text_of(path),
                                   .protocol = text_of("HTTP/1.1"),
                                   .peer = text_of("192.0.2.1:5000"),
                                   .body_bytes = 0,
                                   .headers = headers};
}

static void end(struct world *w, struct engine_dispatch *d, unsigned thread,
                enum engine_request_end how, unsigned status)
{
    const struct engine_server_callbacks *c = &w->options.callbacks;
    const struct engine_record r = {.end = how,
                                    .status = status,
                                    .reason = w->options.answers[how].reason,
                                    .trap = "",
                                    .detail = "",
                                    .duration_ns = 1500000};

    engine_service_unref(d->service);
    c->ended(c->ctx, thread, d->user, d->request_id, &r);
}

static void page_add(void *page, const char *text, size_t len)
{
    buf_add(page, text, len);
}

static void chooses_programs_and_counts(void **state)
{
    struct engine_request shop = request("GET", "/shop/cart?id=1", NULL),
                          connect = request("CONNECT", "/", NULL);
    struct engine_dispatch d = {0};
    const struct engine_server_callbacks *c;
    autobuf page = BUF_INIT;
    struct world w;

    (void)state;
    world_open(&w, NULL);
    c = &w.options.callbacks;
    c->dispatch(c->ctx, 1, &shop, &d);
    assert_non_null(d.service);
    assert_int_equal(d.route_len, strlen("/shop"));
    assert_int_equal(strlen(d.request_id), 16);
    assert_int_equal(d.traceparent[0], 0);
    end(&w, &d, 1, ENGINE_ANSWERED, 200);

    d = (struct engine_dispatch){0};
    c->dispatch(c->ctx, 0, &connect, &d);
    assert_null(d.service);
    assert_int_equal(d.status, 501);
    end(&w, &d, 0, ENGINE_CLIENT_GONE, 0);

    c->metrics(c->ctx, page_add, &page);
    assert_contains(page.data,
                    "wherry_http_requests_total{service=\"shop.wasm\",code=\"2xx\"} 1\n");
    assert_contains(page.data,
                    "wherry_http_failures_total{service=\"\",reason=\"ClientGone\"} 1\n");
    assert_contains(page.data, "duration_seconds_bucket{service=\"shop.wasm\",le=\"0.0025\"} 1\n");
    assert_contains(page.data, "wherry_http_connections 3\n");
    world_close(&w);
}

static void takes_over_ids_and_traces(void **state)
{
    static const struct fake_header sane[] = {
        {"x-request-id",                                             "abc-123"},
        {"traceparent",                                                          "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
        {0}
    };
    static const struct fake_header odd[] = {
        {"x-request-id",                                             "a\nb"},
        {"traceparent",                                                          "00-00000000000000000000000000000000-0000000000000000-01"},
        {0}
    };
    struct engine_request r = request("GET", "/", sane);
    struct engine_dispatch d = {0};
    const struct engine_server_callbacks *c;
    struct world w;

    (void)state;
    world_open(&w, NULL);
    c = &w.options.callbacks;
    c->dispatch(c->ctx, 0, &r, &d);
    assert_string_equal(d.request_id, "abc-123");
    assert_memory_equal(d.traceparent, "00-0af7651916cd43dd8448eb211c80319c-", 36);
    assert_int_not_equal(memcmp(d.traceparent + 36, "b7ad6b7169203331", 16), 0);
    end(&w, &d, 0, ENGINE_ANSWERED, 200);

    r.headers = odd;
    d = (struct engine_dispatch){0};
    c->dispatch(c->ctx, 0, &r, &d);
    assert_int_equal(strlen(d.request_id), 16);
    assert_int_equal(d.traceparent[0], 0);
    end(&w, &d, 0, ENGINE_ANSWERED, 200);
    world_close(&w);
}

static void env_add(void *env, const char *variable)
{
    strv_add(env, variable);
}

static bool has(const struct strv *v, const char *text)
{
    for (size_t i = 0; i < v->n; i++)
        if (str_eq(v->v[i], text))
            return true;
    return false;
}

static void speaks_cgi(void **state)
{
    static const char text[] = "Status: 404 No\nContent-Type: text/plain\n\nbody";
    struct engine_request r = request("POST", "/shop/a%20b?x=1", NULL),
                          bad = request("GET", "/shop/%zz", NULL);
    struct engine_cgi_head head = {0};
    const struct engine_server_callbacks *c;
    autostrv env = STRV_INIT;
    struct err e = ERR_INIT;
    struct world w;

    (void)state;
    world_open(&w, NULL);
    c = &w.options.callbacks;
    assert_ok(c->cgi_environment(c->ctx, &r, strlen("/shop"), env_add, &env, &e));
    assert_true(has(&env, "SCRIPT_NAME=/shop"));
    assert_true(has(&env, "PATH_INFO=/a b"));
    assert_true(has(&env, "QUERY_STRING=x=1"));
    assert_true(has(&env, "REMOTE_ADDR=192.0.2.1"));
    assert_true(has(&env, "SERVER_PORT=8080"));
    assert_fails(c->cgi_environment(c->ctx, &bad, strlen("/shop"), env_add, &env, &e), -EINVAL,
                 "BadRequest");
    assert_int_equal(c->cgi_head(c->ctx, text, 20, &head, &e), 0);
    assert_int_equal(c->cgi_head(c->ctx, text, strlen(text), &head, &e),
                     strlen(text) - strlen("body"));
    assert_int_equal(head.status, 404);
    assert_contains(head.lines, "Content-Type: text/plain");
    world_close(&w);
}

struct asker {
    struct world *w;
    unsigned thread;
};

static void *ask_many(void *arg)
{
    struct asker *a = arg;
    const struct engine_server_callbacks *c = &a->w->options.callbacks;
    struct engine_request r = request("GET", "/shop", NULL);

    for (int i = 0; i < 300; i++) {
        struct engine_dispatch d = {0};

        c->dispatch(c->ctx, a->thread, &r, &d);
        end(a->w, &d, a->thread, ENGINE_ANSWERED, 200);
    }
    return NULL;
}

/* Two threads ask while a third reads the figures; every request has its line. */
static void logs_every_request_of_every_thread(void **state)
{
    struct asker askers[2];
    pthread_t threads[2];
    autobuf lines = BUF_INIT, page = BUF_INIT;
    struct err e = ERR_INIT;
    int saved = dup(STDOUT_FILENO), file = memfd_create("log", MFD_CLOEXEC);
    size_t n = 0;
    struct world w;

    (void)state;
    dup2(file, STDOUT_FILENO);
    world_open(&w, "json");
    for (unsigned i = 0; i < 2; i++) {
        askers[i] = (struct asker){&w, i};
        assert_int_equal(pthread_create(&threads[i], NULL, ask_many, &askers[i]), 0);
    }
    w.options.callbacks.metrics(w.options.callbacks.ctx, page_add, &page);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    world_close(&w);
    dup2(saved, STDOUT_FILENO);
    close(saved);
    lseek(file, 0, SEEK_SET);
    assert_ok(fd_read_all(file, 1 << 20, &lines, &e));
    close(file);
    for (const char *l = lines.data; (l = strchr(l, '\n')); l++)
        n++;
    assert_int_equal(n, 600);
    assert_contains(lines.data, "\"service\":\"shop.wasm\"");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chooses_programs_and_counts),
        cmocka_unit_test(takes_over_ids_and_traces),
        cmocka_unit_test(speaks_cgi),
        cmocka_unit_test(logs_every_request_of_every_thread),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
