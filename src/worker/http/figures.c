/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/http/figures.h"

#include <stdatomic.h>

#include "base/prometheus.h"

/* Seconds; from a request that a guest answers at once to one that waits for others. */
static const double bounds[] = {0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05,
                                0.1,    0.25,    0.5,    1,     2.5,    5,     10,   30,    60};
#define N_BOUNDS  ARRAY_SIZE(bounds)
#define N_CLASSES 6 /* by the status's first digit; 0: nothing was sent */

static const char *const class_names[N_CLASSES] = {"none", "1xx", "2xx", "3xx", "4xx", "5xx"};

/* Plain numbers, so that they can be added up as one array. One writer each. */
struct counts {
    _Atomic uint64_t classes[N_CLASSES];
    _Atomic uint64_t ends[ENGINE_REQUEST_ENDS];
    _Atomic uint64_t durations[N_BOUNDS + 1];
    _Atomic uint64_t duration_ns, busy_ns, request_bytes, response_bytes, cut;
};

struct figures {
    unsigned n_threads;
    size_t n_apps;
    struct counts *counts; /* [thread][app], n_apps + 1 apps */
    const char *_Atomic reasons[ENGINE_REQUEST_ENDS];
};

struct figures *figures_new(unsigned n_threads, size_t n_apps)
{
    struct figures *f = xcalloc(1, sizeof(*f));

    f->n_threads = n_threads;
    f->n_apps = n_apps;
    f->counts = xcalloc(n_threads * (n_apps + 1), sizeof(*f->counts));
    return f;
}

void figures_free(struct figures *f)
{
    free(f->counts);
    free(f);
}

/* With one writer no locked instruction is needed. */
static void add(_Atomic uint64_t *to, uint64_t n)
{
    atomic_store_explicit(to, atomic_load_explicit(to, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

static uint64_t get(const _Atomic uint64_t *from)
{
    return atomic_load_explicit(from, memory_order_relaxed);
}

static size_t bucket_of(uint64_t duration_ns)
{
    double seconds = (double)duration_ns / 1e9;
    size_t i = 0;

    while (i < N_BOUNDS && seconds > bounds[i])
        i++;
    return i;
}

void figures_add(struct figures *f, unsigned thread, size_t app, const struct engine_record *r)
{
    struct counts *c = &f->counts[thread * (f->n_apps + 1) + app];

    add(&c->classes[r->status / 100 < N_CLASSES ? r->status / 100 : 0], 1);
    add(&c->durations[bucket_of(r->duration_ns)], 1);
    add(&c->duration_ns, r->duration_ns);
    add(&c->busy_ns, r->busy_ns);
    add(&c->request_bytes, r->request_bytes);
    add(&c->response_bytes, r->response_bytes);
    if (r->is_cut)
        add(&c->cut, 1);
    if (r->reason) {
        add(&c->ends[r->end], 1);
        atomic_store_explicit(&f->reasons[r->end], r->reason, memory_order_relaxed);
    }
}

uint64_t figures_requests(const struct figures *f)
{
    uint64_t total = 0;

    for (size_t i = 0; i < f->n_threads * (f->n_apps + 1); i++)
        for (size_t c = 0; c < N_CLASSES; c++)
            total += get(&f->counts[i].classes[c]);
    return total;
}

/* ---- The page ---- */

struct page {
    const struct figures *f;
    const char *const *names;
    struct buf *out;
};

static const char *app_name(const struct page *p, size_t app)
{
    return app < p->f->n_apps ? p->names[app] : "";
}

/* One number of an app, of all threads together. `offset` is that of the field in the counts. */
static uint64_t sum(const struct figures *f, size_t app, size_t offset)
{
    uint64_t total = 0;

    for (unsigned t = 0; t < f->n_threads; t++) {
        const char *c = (const char *)&f->counts[t * (f->n_apps + 1) + app];

        total += get((const _Atomic uint64_t *)(const void *)(c + offset));
    }
    return total;
}

static void requests(const struct page *p)
{
    prometheus_family(p->out, "wherry_http_requests_total", PROMETHEUS_COUNTER,
                      "Requests that have ended, by the class of the status that was sent.");
    for (size_t app = 0; app <= p->f->n_apps; app++)
        for (size_t i = 0; i < N_CLASSES; i++) {
            const struct prometheus_label labels[] = {
                {"service", app_name(p, app)},
                {"code",     class_names[i]},
                {0   }
            };
            uint64_t n = sum(p->f, app, offsetof(struct counts, classes) + i * sizeof(uint64_t));

            if (n)
                prometheus_uint(p->out, "wherry_http_requests_total", labels, n);
        }
}

static void failures(const struct page *p)
{
    prometheus_family(p->out, "wherry_http_failures_total", PROMETHEUS_COUNTER,
                      "Requests that the guest did not answer, by the reason.");
    for (size_t app = 0; app <= p->f->n_apps; app++)
        for (size_t i = 0; i < ENGINE_REQUEST_ENDS; i++) {
            const char *reason = atomic_load_explicit(&p->f->reasons[i], memory_order_relaxed);
            const struct prometheus_label labels[] = {
                {"service", app_name(p, app)},
                {"reason",     reason},
                {0 }
            };
            uint64_t n = sum(p->f, app, offsetof(struct counts, ends) + i * sizeof(uint64_t));

            if (n && reason)
                prometheus_uint(p->out, "wherry_http_failures_total", labels, n);
        }
}

static void durations(const struct page *p)
{
    prometheus_family(p->out, "wherry_http_request_duration_seconds", PROMETHEUS_HISTOGRAM,
                      "From the head of a request to the end of its response.");
    for (size_t app = 0; app <= p->f->n_apps; app++) {
        const struct prometheus_label labels[] = {
            {"service", app_name(p, app)},
            {0    }
        };
        uint64_t counts[N_BOUNDS + 1], all = 0;
        struct prometheus_histogram h = {.bounds = bounds, .counts = counts, .n_bounds = N_BOUNDS};

        for (size_t i = 0; i <= N_BOUNDS; i++) {
            counts[i] = sum(p->f, app, offsetof(struct counts, durations) + i * sizeof(uint64_t));
            all += counts[i];
        }
        h.sum = (double)sum(p->f, app, offsetof(struct counts, duration_ns)) / 1e9;
        if (all)
            prometheus_histogram(p->out, "wherry_http_request_duration_seconds", labels, &h);
    }
}

/* A counter of each app. */
static void counter(const struct page *p, const char *name, const char *help, size_t offset,
                    double scale)
{
    prometheus_family(p->out, name, PROMETHEUS_COUNTER, help);
    for (size_t app = 0; app <= p->f->n_apps; app++) {
        const struct prometheus_label labels[] = {
            {"service", app_name(p, app)},
            {0    }
        };
        uint64_t n = sum(p->f, app, offset);

        if (n)
            prometheus_double(p->out, name, labels, (double)n * scale);
    }
}

static void own(struct buf *out, const char *name, enum prometheus_type type, const char *help,
                uint64_t value)
{
    prometheus_family(out, name, type, help);
    prometheus_uint(out, name, NULL, value);
}

void figures_page(const struct figures *f, const char *const *names,
                  const struct engine_server_figures *server, uint64_t log_lines_lost,
                  struct buf *out)
{
    const struct page p = {f, names, out};

    requests(&p);
    failures(&p);
    durations(&p);
    counter(&p, "wherry_http_guest_seconds_total",
            "Time that guests and their host functions had a thread.",
            offsetof(struct counts, busy_ns), 1e-9);
    counter(&p, "wherry_http_request_bytes_total", "Bytes of request bodies.",
            offsetof(struct counts, request_bytes), 1);
    counter(&p, "wherry_http_response_bytes_total", "Bytes of response bodies.",
            offsetof(struct counts, response_bytes), 1);
    counter(&p, "wherry_http_responses_cut_total", "Responses broken off after their head.",
            offsetof(struct counts, cut), 1);
    own(out, "wherry_http_connections", PROMETHEUS_GAUGE, "Open connections.", server->connections);
    own(out, "wherry_http_connections_total", PROMETHEUS_COUNTER, "Connections accepted.",
        server->connections_accepted);
    own(out, "wherry_http_instances", PROMETHEUS_GAUGE, "Requests that have an instance.",
        server->requests);
    own(out, "wherry_http_queued_requests", PROMETHEUS_GAUGE, "Requests that wait for one.",
        server->queued);
    own(out, "wherry_guest_memory_bytes", PROMETHEUS_GAUGE, "Linear memory of instances.",
        server->memory_bytes);
    own(out, "wherry_access_log_lost_lines_total", PROMETHEUS_COUNTER,
        "Lines of the access log that its reader was too slow for.", log_lines_lost);
}
