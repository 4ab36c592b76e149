/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/agent.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <linux/if.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>

#include "agent/api/admission.h"
#include "agent/api/api.h"
#include "agent/notify.h"
#include "base/fds.h"
#include "base/log.h"
#include "base/paths.h"

/* Guests' descriptors pass through here, a dozen each while they start. */
#define DESCRIPTORS_EXPECTED 4096

struct agent {
    const struct agent_options *o;
    struct loop *loop;
    struct containers *containers;
    struct api *api;
    struct loop_signal *signals[2];
    struct notify_watchdog *watchdog;
    struct pod_fields node;
    struct node_capacity capacity;
    char *node_name;
    int listen_fd;
    bool has_socket; /* it made the socket itself */
    struct err *e;
    int result;
};

/* ---- The machine ---- */

/* The first address that others could reach it by; a machine without a network has its own. */
static char *address_find(void)
{
    char text[INET_ADDRSTRLEN] = "127.0.0.1";
    struct ifaddrs *all = NULL;

    if (getifaddrs(&all) < 0)
        return xstrdup(text);
    for (const struct ifaddrs *a = all; a; a = a->ifa_next) {
        const struct sockaddr_in *in = (const void *)a->ifa_addr;

        if (!in || in->sin_family != AF_INET || (a->ifa_flags & IFF_LOOPBACK) ||
            !(a->ifa_flags & IFF_UP))
            continue;
        inet_ntop(AF_INET, &in->sin_addr, text, sizeof(text));
        break;
    }
    freeifaddrs(all);
    return xstrdup(text);
}

static char *name_find(void)
{
    char name[256];

    if (gethostname(name, sizeof(name)) < 0)
        return xstrdup("localhost");
    name[sizeof(name) - 1] = 0;
    for (char *c = name; *c; c++)
        if (*c >= 'A' && *c <= 'Z')
            *c = (char)(*c - 'A' + 'a');
    return xstrdup(name);
}

static void node_fill(struct agent *a)
{
    autofree char *ip = a->o->node_ip ? xstrdup(a->o->node_ip) : address_find();

    a->node_name = a->o->node_name ? xstrdup(a->o->node_name) : name_find();
    node_capacity_read(&a->capacity);
    strv_add(&a->node.host_ips, ip);
    strv_add(&a->node.pod_ips, ip); /* pods have the network of the host */
    a->node.node_cpu_milli = a->capacity.cpu_milli;
    a->node.node_memory_bytes = a->capacity.memory_bytes;
}

/* ---- Life ---- */

static void failed(struct agent *a, int r)
{
    a->result = r;
    loop_stop(a->loop);
}

static void told(void *ctx, const char *tenant, const char *what)
{
    (void)ctx;
    log_info("agent: %s: %s", tenant, what);
}

static enum cpu_limit_keeper keeper_of(const char *word)
{
    return str_eq(word, "cgroup")   ? CPU_LIMIT_CGROUP
           : str_eq(word, "worker") ? CPU_LIMIT_WORKER
                                    : CPU_LIMIT_AUTO;
}

/* Workers were found again, so it is known what runs. */
static void adopted(void *ctx, const struct err *shortage)
{
    struct agent *a = ctx;
    struct api_options options = {
        .workloads = {.pods = {.loop = a->loop,
                               .containers = a->containers,
                               .state_dir = a->o->state_dir,
                               .logs_dir = a->o->logs_dir,
                               .memory_dir = a->o->run_dir,
                               .image_program = a->o->image_program,
                               .worker = a->o->worker,
                               .cache_dir = a->o->cache_dir,
                               .store_dir = a->o->store_dir,
                               .cpu_limit = keeper_of(a->o->cpu_limit),
                               .node = &a->node},
                      .capacity = a->capacity,
                      .node_name = a->node_name},
        .listen_fds = &a->listen_fd,
        .n_listen_fds = 1,
        .group = a->o->group,
        .config_json = a->o->config_json,
    };
    int r;

    if (shortage) {
        *a->e = *shortage;
        failed(a, shortage->code);
        return;
    }
    r = api_open(&options, &a->api, a->e);
    a->listen_fd = -EBADF;
    if (r < 0) {
        failed(a, r);
        return;
    }
    a->watchdog = notify_watchdog_new(a->loop);
    notify_send("READY=1");
    log_info("agent: listening on %s", a->o->socket);
}

static void ended(void *ctx)
{
    struct agent *a = ctx;

    notify_send("STOPPING=1");
    loop_stop(a->loop);
}

static int folders_make(const struct agent_options *o, struct err *e)
{
    autofd state_fd = -EBADF, run_fd = -EBADF;

    TRY(path_open_private(o->state_dir, &state_fd, e));
    TRY(path_open_private(o->run_dir, &run_fd, e));
    file_temps_remove(state_fd);
    return path_mkdir_p(o->logs_dir, 0755, e);
}

static int agent_open(struct agent *a, struct err *e)
{
    static const int numbers[] = {SIGTERM, SIGINT};

    TRY(folders_make(a->o, e));
    TRY(loop_open(&a->loop, e));
    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
        TRY(loop_signal_new(a->loop, numbers[i], ended, a, &a->signals[i], e));
    TRY(notify_socket(&a->listen_fd, e));
    if (a->listen_fd < 0) {
        TRY(api_listen(a->o->socket, a->o->group, &a->listen_fd, e));
        a->has_socket = true;
    }
    node_fill(a);
    TRY(containers_open(&(struct containers_options){.loop = a->loop,
                                                     .run_dir = a->o->run_dir,
                                                     .worker = a->o->worker,
                                                     .cache_dir = a->o->cache_dir,
                                                     .idle_ms = a->o->idle_worker_ms,
                                                     .told = told,
                                                     .ctx = a},
                        &a->containers, e));
    containers_adopt(a->containers, adopted, a);
    return 0;
}

static void agent_close(struct agent *a)
{
    notify_watchdog_free(a->watchdog);
    if (a->api)
        api_close(a->api);
    /* While the run folder is still locked, so it is no later agent's. */
    if (a->has_socket)
        unlink(a->o->socket);
    if (a->containers)
        containers_close(a->containers);
    for (size_t i = 0; i < ARRAY_SIZE(a->signals); i++)
        loop_signal_free(a->signals[i]);
    if (a->loop)
        loop_free(a->loop);
    if (a->listen_fd >= 0)
        close(a->listen_fd);
    strv_done(&a->node.host_ips);
    strv_done(&a->node.pod_ips);
    free(a->node_name);
}

int agent_run(const struct agent_options *o, struct err *e)
{
    struct agent a = {.o = o, .listen_fd = -EBADF, .e = e};
    int r;

    fds_make_room(DESCRIPTORS_EXPECTED);
    r = agent_open(&a, e);
    if (r >= 0) {
        loop_run(a.loop);
        r = a.result;
    }
    agent_close(&a);
    return r;
}
