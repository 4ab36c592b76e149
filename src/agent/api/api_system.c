/* SPDX-License-Identifier: Apache-2.0 */
/* What is asked of the agent itself. */
#include <stdio.h>
#include <time.h>

#include "agent/api/api_parts.h"
#include "base/fds.h"
#include "base/prometheus.h"
#include "base/version.h"
#include "container/container.h"

void api_version(struct api_call *c)
{
    const char *dot = strchr(wherry_version, '.');
    autobuf body = BUF_INIT;
    struct json_writer w;

    BUG_ON(!dot);
    json_writer_init(&w, &body, false);
    json_begin_object(&w);
    json_key(&w, "major");
    json_strn(&w, wherry_version, (size_t)(dot - wherry_version));
    json_key(&w, "minor");
    json_strn(&w, dot + 1, strcspn(dot + 1, "."));
    json_key_str(&w, "gitVersion", wherry_version);
    json_key_str(&w, "gitCommit", wherry_git);
#if defined(__aarch64__)
    json_key_str(&w, "platform", "linux/arm64");
#else
    json_key_str(&w, "platform", "linux/amd64");
#endif
    json_end_object(&w);
    api_answer(c, 200, API_JSON, body.data, body.len);
}

void api_healthz(struct api_call *c)
{
    /* That it is answered is what it says: the loop runs. */
    api_answer(c, 200, "text/plain", "ok", 2);
}

void api_configz(struct api_call *c)
{
    api_answer(c, 200, API_JSON, c->api->config_json, strlen(c->api->config_json));
}

/* ---- Figures ---- */

struct pod_figures {
    uint64_t phases[POD_FAILED + 1];
    uint64_t restarts, running;
};

static void pod_count(void *ctx, struct pod *p)
{
    struct pod_figures *f = ctx;
    const struct pod_machine *m = pod_machine_of(p);

    for (size_t i = 0; i < pod_spec_of(p)->n_containers; i++) {
        enum pod_state s = pod_machine_state(m, i);

        f->restarts += (uint64_t)pod_machine_restart_count(m, i);
        f->running += s >= POD_STATE_RUNNING && s <= POD_STATE_INTERRUPTED;
    }
}

/* As they are shown, so that pods that were refused count too. */
static void phases_count(const struct watch_feed *feed, struct pod_figures *f)
{
    for (size_t i = 0; i < watch_feed_count(feed); i++) {
        const char *phase = pod_pair_find(&watch_feed_at(feed, i)->fields, "status.phase");

        for (int p = POD_PENDING; p <= POD_FAILED; p++)
            f->phases[p] += str_eq(phase, pod_phase_name((enum pod_phase)p));
    }
}

static void pods_write(struct api *a, struct buf *out)
{
    struct pod_figures f = {.restarts = a->restarts_before};

    workloads_each_pod(a->workloads, NULL, pod_count, &f);
    phases_count(workloads_feed(a->workloads, WORKLOADS_PODS), &f);
    prometheus_family(out, "wherry_agent_pods", PROMETHEUS_GAUGE, "Pods by phase.");
    for (int p = POD_PENDING; p <= POD_FAILED; p++) {
        struct prometheus_label labels[] = {
            {"phase", pod_phase_name((enum pod_phase)p)},
            {0      }
        };

        prometheus_uint(out, "wherry_agent_pods", labels, f.phases[p]);
    }
    prometheus_family(out, "wherry_agent_containers_running", PROMETHEUS_GAUGE,
                      "Containers that run.");
    prometheus_uint(out, "wherry_agent_containers_running", NULL, f.running);
    prometheus_family(out, "wherry_agent_container_restarts_total", PROMETHEUS_COUNTER,
                      "Starts of containers after their first.");
    prometheus_uint(out, "wherry_agent_container_restarts_total", NULL, f.restarts);
    if (!a->containers)
        return;
    prometheus_family(out, "wherry_agent_workers", PROMETHEUS_GAUGE,
                      "Worker processes that run guests.");
    prometheus_uint(out, "wherry_agent_workers", NULL, containers_workers(a->containers));
}

static void objects_write(struct api *a, struct buf *out)
{
    static const char *const names[WORKLOADS_RESOURCES] = {"pods", "configmaps", "secrets",
                                                           "persistentvolumeclaims", "events"};

    prometheus_family(out, "wherry_agent_objects", PROMETHEUS_GAUGE, "Objects by resource.");
    for (int i = 0; i < WORKLOADS_RESOURCES; i++) {
        struct prometheus_label labels[] = {
            {"resource", names[i]},
            {0         }
        };

        prometheus_uint(out, "wherry_agent_objects", labels,
                        watch_feed_count(workloads_feed(a->workloads, (enum workloads_resource)i)));
    }
}

static void answers_write(struct api *a, struct buf *out)
{
    prometheus_family(out, "wherry_agent_api_requests_total", PROMETHEUS_COUNTER,
                      "Requests to the local API by the status of their answer.");
    for (size_t i = 0; i < ARRAY_SIZE(a->answers); i++) {
        char code[24];
        struct prometheus_label labels[] = {
            {"code", code},
            {0     }
        };

        if (!a->answers[i])
            continue;
        snprintf(code, sizeof(code), "%zu", i);
        prometheus_uint(out, "wherry_agent_api_requests_total", labels, a->answers[i]);
    }
}

static void process_write(struct buf *out)
{
    struct err e = ERR_INIT;
    struct timespec t;
    autobuf text = BUF_INIT;
    const char *resident;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    prometheus_family(out, "process_cpu_seconds_total", PROMETHEUS_COUNTER,
                      "Processor time that the agent has used.");
    prometheus_double(out, "process_cpu_seconds_total", NULL,
                      (double)t.tv_sec + (double)t.tv_nsec / 1e9);
    /* proc(5): the second number, in pages. */
    if (file_read("/proc/self/statm", 256, &text, &e) < 0 ||
        !(resident = strchr(buf_str(&text), ' ')))
        return;
    prometheus_family(out, "process_resident_memory_bytes", PROMETHEUS_GAUGE,
                      "Memory of the agent that is resident.");
    prometheus_uint(out, "process_resident_memory_bytes", NULL,
                    strtoull(resident, NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE));
}

void api_metrics_write(struct api *a, struct buf *out)
{
    pods_write(a, out);
    objects_write(a, out);
    answers_write(a, out);
    process_write(out);
}

void api_metrics(struct api_call *c)
{
    autobuf body = BUF_INIT;

    api_metrics_write(c->api, &body);
    api_answer(c, 200, PROMETHEUS_CONTENT_TYPE, body.data, body.len);
}
