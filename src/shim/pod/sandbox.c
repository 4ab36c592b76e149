/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/pod/sandbox.h"

#include <fcntl.h>
#include <signal.h>

#include "base/clock.h"
#include "base/fds.h"
#include "base/log.h"
#include "shim/service/service.h"
#include "shim/service/stats.h"
#include "shim/task/task_parts.h"
#include "store/manifest.h"

#define CONFIG_TYPE "runtime.v1.PodSandboxConfig"

struct wait_call {
    struct link link;
    struct ttrpc_call *call;
};

void sandbox_free(struct sandbox *b)
{
    struct wait_call *w;

    if (!b)
        return;
    while ((w = LINK_FIRST(&b->waits, struct wait_call, link))) {
        link_remove(&w->link);
        ttrpc_call_fail(w->call, TTRPC_CANCELED, "the sandbox has gone");
        free(w);
    }
    free(b->id);
    free(b->bundle);
    free(b->cgroup_parent);
    free(b);
}

/* ---- Create ---- */

static void namespace_add(struct oci_linux *l, const char *type, const char *path)
{
    l->namespaces = xrealloc(l->namespaces, l->n_namespaces + 1, sizeof(*l->namespaces));
    l->namespaces[l->n_namespaces++] =
        (struct oci_namespace){.type = xstrdup(type), .path = path && *path ? xstrdup(path) : NULL};
}

/* The document that a sandbox's container would have had. */
static void config_of(const Sandbox__CreateSandboxRequest *r, const Cri__PodSandboxConfig *c,
                      const Cri__NamespaceOption *o, struct oci_config *ret)
{
    const Cri__LinuxPodSandboxConfig *l = c ? c->linux_config : NULL;

    if (o ? o->network != CRI__NAMESPACE_MODE__NODE : *r->netns_path) {
        namespace_add(&ret->linux_, "network", r->netns_path);
        namespace_add(&ret->linux_, "uts", NULL);
    }
    if (!o || o->ipc != CRI__NAMESPACE_MODE__NODE)
        namespace_add(&ret->linux_, "ipc", NULL);
    if (!o || o->pid != CRI__NAMESPACE_MODE__NODE)
        namespace_add(&ret->linux_, "pid", NULL);
    if (o && o->userns_options && o->userns_options->mode == CRI__NAMESPACE_MODE__POD)
        namespace_add(&ret->linux_, "user", NULL);
    if (c && *c->hostname)
        ret->hostname = xstrdup(c->hostname);
    for (size_t i = 0; l && i < l->n_sysctls; i++) {
        struct json_pairs *p = &ret->linux_.sysctl;

        p->v = xrealloc(p->v, p->n + 1, sizeof(*p->v));
        p->v[p->n++] = (struct json_pair){.name = xstrdup(l->sysctls[i]->key),
                                          .value = xstrdup(l->sysctls[i]->value)};
    }
}

static int config_unpack(const Sandbox__CreateSandboxRequest *r, struct arena *a,
                         Cri__PodSandboxConfig **ret, struct err *e)
{
    /* Who asks without CRI says nothing of the pod. */
    if (!r->options || !*r->options->type_url)
        return 0;
    return message_any_unpack(r->options, CONFIG_TYPE, &cri__pod_sandbox_config__descriptor, a, ret,
                              e);
}

static int sandbox_make(struct shim *s, struct sandbox *b, const Sandbox__CreateSandboxRequest *r,
                        const Cri__PodSandboxConfig *c, struct err *e)
{
    const Cri__LinuxPodSandboxConfig *l = c ? c->linux_config : NULL;
    const Cri__NamespaceOption *o =
        l && l->security_context ? l->security_context->namespace_options : NULL;
    autofd bundle_fd = open(b->bundle, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    Cri__NamespaceOption usual = CRI__NAMESPACE_OPTION__INIT;
    struct record record = {.kind = RECORD_SANDBOX};
    struct oci_config config = {0};
    int code;

    if (bundle_fd < 0)
        return err_errno(e, -errno, "NoBundle", "cannot open the bundle '%s'", b->bundle);
    if (c && !o)
        o = &usual;
    b->has_host_ipc = o && o->ipc == CRI__NAMESPACE_MODE__NODE;
    b->cgroup_parent = xstrdup(l ? l->cgroup_parent : "");
    TRY(record_save(bundle_fd, &record, e));
    config_of(r, c, o, &config);
    code = shim_pod_enter(&config, e);
    if (code >= 0)
        code = sandbox_files_make(b, c, bundle_fd, e);
    if (code >= 0)
        code = shim_pod_begin(&s->pod, !oci_config_namespace(&config, "pid"), bundle_fd, e);
    if (code < 0)
        sandbox_files_unmount(b->bundle);
    oci_config_done(&config);
    return code;
}

HANDLER(create)
{
    AUTO(sandbox) b = NULL;
    Cri__PodSandboxConfig *c = NULL;
    struct err e = ERR_INIT;
    REQUEST(Sandbox__CreateSandboxRequest, sandbox__create_sandbox_request__descriptor);

    if (s->is_leaving) {
        service_refuse(call, TTRPC_UNAVAILABLE,
                       "the shim is ending; start another one for the sandbox '%.200s'",
                       r->sandbox_id);
        return;
    }
    if (s->sandbox || s->pod.is_there) {
        service_refuse(call, TTRPC_ALREADY_EXISTS,
                       "the shim has a sandbox already; the sandbox '%.200s' wants one of its own",
                       r->sandbox_id);
        return;
    }
    b = xcalloc(1, sizeof(*b));
    *b = (struct sandbox){.id = xstrdup(r->sandbox_id), .bundle = xstrdup(r->bundle_path)};
    link_init(&b->waits);
    if (config_unpack(r, a, &c, &e) < 0 || sandbox_make(s, b, r, c, &e) < 0) {
        service_fail(call, &e);
        return;
    }
    b->created_at_ns = clock_realtime_ns();
    s->sandbox = take_ptr(b);
    service_answer_empty(call, NULL);
}

/* ---- Start, Stop, Wait, Shutdown ---- */

static struct sandbox *sandbox_of(struct shim *s, struct ttrpc_call *call, const char *id)
{
    if (s->sandbox && str_eq(s->sandbox->id, id))
        return s->sandbox;
    service_refuse(call, TTRPC_NOT_FOUND, "there is no sandbox '%.200s'", id);
    return NULL;
}

HANDLER(start)
{
    Sandbox__StartSandboxResponse answer = SANDBOX__START_SANDBOX_RESPONSE__INIT;
    Types__Timestamp at;
    struct sandbox *b;
    REQUEST(Sandbox__StartSandboxRequest, sandbox__start_sandbox_request__descriptor);

    b = sandbox_of(s, call, r->sandbox_id);
    if (!b)
        return;
    if (b->state != SANDBOX_CREATED) {
        service_refuse(call, TTRPC_FAILED_PRECONDITION,
                       "the sandbox '%.200s' was started already, or has ended", b->id);
        return;
    }
    b->state = SANDBOX_READY;
    at = message_timestamp(b->created_at_ns);
    answer.pid = (uint32_t)getpid();
    answer.created_at = &at;
    ttrpc_call_answer_message(call, &answer.base);
}

static void wait_answer(const struct sandbox *b, struct ttrpc_call *call)
{
    Sandbox__WaitSandboxResponse answer = SANDBOX__WAIT_SANDBOX_RESPONSE__INIT;
    Types__Timestamp at = message_timestamp(b->exited_at_ns);

    answer.exited_at = &at;
    ttrpc_call_answer_message(call, &answer.base);
}

static void killed(void *ctx, const struct err *e)
{
    const struct shim *s = ctx;

    if (e)
        log_warn("a container of the sandbox '%s' cannot be killed: %s",
                 s->sandbox ? s->sandbox->id : "", e->msg);
}

/* Its containers, if it has any, lose what they are in. */
static void sandbox_stop(struct shim *s, struct sandbox *b)
{
    struct wait_call *w;
    struct task *t;

    if (b->state == SANDBOX_STOPPED)
        return;
    b->state = SANDBOX_STOPPED;
    b->exited_at_ns = clock_realtime_ns();
    LINK_EACH(t, &s->tasks, struct task, in_shim)
    {
        if (t->init.state == PROCESS_RUNNING && !t->init.is_ended)
            process_signal(&t->init, SIGKILL, true, killed, s);
    }
    shim_pod_end(&s->pod);
    sandbox_files_unmount(b->bundle);
    while ((w = LINK_FIRST(&b->waits, struct wait_call, link))) {
        link_remove(&w->link);
        wait_answer(b, w->call);
        free(w);
    }
}

HANDLER(stop)
{
    struct sandbox *b;
    REQUEST(Sandbox__StopSandboxRequest, sandbox__stop_sandbox_request__descriptor);

    b = sandbox_of(s, call, r->sandbox_id);
    if (!b)
        return;
    sandbox_stop(s, b);
    service_answer_empty(call, NULL);
}

static void waits_sweep(struct sandbox *b)
{
    struct wait_call *w;

    LINK_EACH(w, &b->waits, struct wait_call, link)
    {
        if (service_is_lost(w->call)) {
            link_remove(&w->link);
            free(w);
        }
    }
}

HANDLER(wait)
{
    struct wait_call *w;
    struct sandbox *b;
    REQUEST(Sandbox__WaitSandboxRequest, sandbox__wait_sandbox_request__descriptor);

    b = sandbox_of(s, call, r->sandbox_id);
    if (!b)
        return;
    if (b->state == SANDBOX_STOPPED) {
        wait_answer(b, call);
        return;
    }
    waits_sweep(b);
    w = xcalloc(1, sizeof(*w));
    w->call = call;
    link_init(&w->link);
    link_append(&b->waits, &w->link);
}

HANDLER(shutdown)
{
    struct sandbox *b;
    struct task *t;
    autofd fd = -EBADF;
    REQUEST(Sandbox__ShutdownSandboxRequest, sandbox__shutdown_sandbox_request__descriptor);

    b = sandbox_of(s, call, r->sandbox_id);
    if (!b) {
        /* It could not be created, and nobody else will come for this shim. */
        if (!s->sandbox)
            shim_shut_down(s);
        return;
    }
    sandbox_stop(s, b);
    fd = open(b->bundle, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0)
        record_drop(fd);
    sandbox_free(take_ptr(s->sandbox));
    service_answer_empty(call, NULL);
    LINK_EACH(t, &s->tasks, struct task, in_shim)
    {
        (void)task_create_cancel(t);
    }
    shim_shut_down(s);
}

/* ---- What is known of it ---- */

HANDLER(platform)
{
    Sandbox__PlatformResponse answer = SANDBOX__PLATFORM_RESPONSE__INIT;
    Types__Platform platform = TYPES__PLATFORM__INIT;
    REQUEST(Sandbox__PlatformRequest, sandbox__platform_request__descriptor);

    platform.os = (char *)"linux";
    platform.architecture = (char *)image_architecture_here;
    answer.platform = &platform;
    ttrpc_call_answer_message(call, &answer.base);
}

HANDLER(status)
{
    Sandbox__SandboxStatusResponse answer = SANDBOX__SANDBOX_STATUS_RESPONSE__INIT;
    Types__Timestamp created, exited;
    struct sandbox *b;
    REQUEST(Sandbox__SandboxStatusRequest, sandbox__sandbox_status_request__descriptor);

    b = sandbox_of(s, call, r->sandbox_id);
    if (!b)
        return;
    created = message_timestamp(b->created_at_ns);
    exited = message_timestamp(b->exited_at_ns);
    answer.sandbox_id = b->id;
    answer.pid = (uint32_t)getpid();
    /* Names of CRI's enumeration, which containerd reads. */
    answer.state = (char *)(b->state == SANDBOX_READY ? "SANDBOX_READY" : "SANDBOX_NOTREADY");
    answer.created_at = &created;
    answer.exited_at = b->state == SANDBOX_STOPPED ? &exited : NULL;
    ttrpc_call_answer_message(call, &answer.base);
}

HANDLER(ping)
{
    REQUEST(Sandbox__PingRequest, sandbox__ping_request__descriptor);

    if (sandbox_of(s, call, r->sandbox_id))
        service_answer_empty(call, NULL);
}

/* Of the group that all containers of the pod are in. A slice of systemd is not looked for. */
static int pod_stats(const struct sandbox *b, struct cgroup_stats *ret, struct err *e)
{
    AUTO(cgroup) c = NULL;

    if (*b->cgroup_parent != '/')
        return 0;
    TRY(cgroup_open(b->cgroup_parent, false, b->id, &c, e));
    return cgroup_exists(c) ? cgroup_stats_read(c, ret, e) : 0;
}

HANDLER(metrics)
{
    Sandbox__SandboxMetricsResponse answer = SANDBOX__SANDBOX_METRICS_RESPONSE__INIT;
    Sandbox__Metric metric = SANDBOX__METRIC__INIT;
    struct cgroup_stats stats = {0};
    autobuf packed = BUF_INIT;
    Types__Timestamp now;
    struct err e = ERR_INIT;
    struct sandbox *b;
    Types__Any any;
    REQUEST(Sandbox__SandboxMetricsRequest, sandbox__sandbox_metrics_request__descriptor);

    b = sandbox_of(s, call, r->sandbox_id);
    if (!b)
        return;
    if (pod_stats(b, &stats, &e) < 0) {
        service_fail(call, &e);
        return;
    }
    now = message_timestamp(clock_realtime_ns());
    stats_pack(&stats, &packed);
    any = message_any(MESSAGE_CGROUP2_METRICS, &packed);
    metric.timestamp = &now;
    metric.id = b->id;
    metric.data = &any;
    answer.metrics = &metric;
    ttrpc_call_answer_message(call, &answer.base);
}

const struct ttrpc_method sandbox_methods[] = {
    {"CreateSandbox",   handle_create  },
    {"StartSandbox",    handle_start   },
    {"Platform",        handle_platform},
    {"StopSandbox",     handle_stop    },
    {"WaitSandbox",     handle_wait    },
    {"SandboxStatus",   handle_status  },
    {"PingSandbox",     handle_ping    },
    {"ShutdownSandbox", handle_shutdown},
    {"SandboxMetrics",  handle_metrics },
};
const size_t n_sandbox_methods = ARRAY_SIZE(sandbox_methods);
