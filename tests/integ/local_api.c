/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The local API with all that is behind it, for tests/integ/test_local_api.py: local_api DIR
 * LIBEXEC [CPU_MILLI]. It serves DIR/api.sock, says "ready" and ends with its standard input.
 */
#include <stdio.h>

#include "agent/api/api.h"
#include "base/log.h"
#include "base/paths.h"

static struct loop *loop;
static struct containers *containers;
static struct api *api;
static struct pod_fields node;
static const char *dir, *libexec;
static int64_t cpu_milli = 2000;

static void fail(const struct err *e)
{
    log_error("%s: %s", e->reason, e->msg);
    exit(1);
}

static char *folder(const char *name)
{
    char *path = path_join(dir, name);
    struct err e = ERR_INIT;

    if (path_mkdir_p(path, 0700, &e) < 0)
        fail(&e);
    return path;
}

static void on_adopted(void *ctx, const struct err *failed)
{
    autofree char *state = folder("state"), *logs = folder("logs"), *memory = folder("memory");
    autofree char *store = folder("images"), *socket = path_join(dir, "api.sock");
    autofree char *image = path_join(libexec, "wherry-image");
    struct err e = ERR_INIT;
    int fd = -1;
    struct api_options o = {
        .workloads = {.pods = {.loop = loop,
                               .containers = containers,
                               .state_dir = state,
                               .logs_dir = logs,
                               .memory_dir = memory,
                               .image_program = image,
                               .store_dir = store,
                               .node = &node},
                      .capacity = {cpu_milli, 1 << 30},
                      .node_name = "here"},
        .listen_fds = &fd,
        .n_listen_fds = 1,
        .config_json = "{\"a\":1}",
    };

    (void)ctx;
    if (failed)
        fail(failed);
    if (api_listen(socket, NULL, &fd, &e) < 0 || api_open(&o, &api, &e) < 0)
        fail(&e);
    puts("ready");
    fflush(stdout);
}

static void on_input(void *ctx, unsigned events)
{
    char c;

    (void)ctx;
    (void)events;
    if (read(STDIN_FILENO, &c, 1) <= 0)
        loop_stop(loop);
}

static void told(void *ctx, const char *tenant, const char *what)
{
    (void)ctx;
    (void)tenant;
    log_info("%s", what);
}

int main(int argc, char **argv)
{
    autofree char *run = NULL, *worker = NULL;
    struct containers_options o = {.idle_ms = 1000, .told = told};
    struct loop_watch *input = NULL;
    struct err e = ERR_INIT;

    if (argc < 3)
        return 2;
    dir = argv[1];
    libexec = argv[2];
    if (argc > 3)
        cpu_milli = strtoll(argv[3], NULL, 10);
    if (loop_open(&loop, &e) < 0)
        fail(&e);
    o.loop = loop;
    o.run_dir = run = path_join(dir, "run");
    o.worker = worker = path_join(libexec, "wherry-worker");
    if (containers_open(&o, &containers, &e) < 0 ||
        loop_watch_new(loop, STDIN_FILENO, on_input, NULL, &input, &e) < 0)
        fail(&e);
    loop_watch_set(input, LOOP_READABLE);
    containers_adopt(containers, on_adopted, NULL);
    loop_run(loop);
    loop_watch_free(input);
    api_close(api);
    containers_close(containers);
    loop_free(loop);
    return 0;
}
