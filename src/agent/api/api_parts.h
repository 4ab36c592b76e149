/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "agent/api/api.h"
#include "agent/api/api_peers.h"
#include "base/json.h"
#include "wire/http_server.h"

/* What the files of the API share; nobody else includes it. */

#define API_JSON "application/json"
/* Of a response that waits for its client: more than the largest object. */
#define API_QUEUE_LIMIT (4 * OBJECT_LIMIT_BYTES)

struct api_resource {
    const char *plural; /* "pods" */
    const char *kind;   /* "Pod" */
    enum workloads_resource resource;
};

struct api {
    struct workloads *workloads;
    struct http_server *server;
    struct api_peers *peers;
    struct loop *loop;
    struct containers *containers;
    char *config_json;
    struct api_watch *watches;
    struct api_log *logs;
    struct top *tops;
    struct api_streams *streams;
    bool is_pump_due;
    size_t pending;           /* what comes back to it, though its exchange may be gone */
    bool is_closed;           /* the last of them frees it */
    uint64_t answers[600];    /* by status */
    uint64_t restarts_before; /* of pods that are gone */
};

/* One request. It and its texts live during the handler only. */
struct api_call {
    struct api *api;
    struct http_exchange *x;
    const struct api_resource *resource; /* NULL: the route has none */
    const char *space, *name;            /* NULL: likewise */
};

/* ---- api.c ---- */
/* What comes back later keeps the API's memory. */
void api_hold(struct api *a);
void api_release(struct api *a);

/* ---- api_answer.c ---- */
void api_answer(struct api_call *c, unsigned status, const char *type, const void *body,
                size_t len);
/* A Status; the code follows from the reason. */
void api_answer_error(struct api_call *c, const struct err *e);
void api_answer_fail(struct api_call *c, const char *reason, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* {"kind":"Status","status":"Success"} */
void api_answer_success(struct api_call *c);
/* As in api_answer_error(). */
void api_status_write(const struct err *e, struct buf *out);
/* Counts a response that others make. */
void api_count(struct api *a, unsigned status);
/* A whole number of the query: `otherwise` without it. "BadRequest" */
int api_query_int(const struct http_exchange *x, const char *key, int64_t otherwise, int64_t min,
                  int64_t *ret, struct err *e);
bool api_query_bool(const struct http_exchange *x, const char *key);

/* ---- api_routes.c ---- */
void api_route(struct api *a, struct http_exchange *x);

/* ---- Handlers ---- */
void api_list(struct api_call *c); /* or watch */
void api_get(struct api_call *c);
void api_create(struct api_call *c);
void api_replace(struct api_call *c);
void api_apply(struct api_call *c);
void api_delete(struct api_call *c);

struct selector;
void api_watch_begin(struct api_call *c, struct selector *labels, struct selector *fields);
void api_watches_free(struct api *a);
/* "metadata.resourceVersion" of a query: 0 when it has none. */
int api_version_parse(const char *text, uint64_t *ret, struct err *e);

void api_log_get(struct api_call *c);
/* Its log may have come to an end. */
void api_logs_pod_changed(struct api *a, const struct pod *p);
void api_logs_pod_gone(struct api *a, const struct pod *p);

void api_restart(struct api_call *c);
void api_top_pod(struct api_call *c);
void api_top(struct api_call *c);
void api_tops_free(struct api *a);
void api_tops_pod_gone(struct api *a, const struct pod *p);

void api_exec(struct api_call *c);
void api_portforward(struct api_call *c);

void api_version(struct api_call *c);
void api_healthz(struct api_call *c);
void api_metrics(struct api_call *c);
void api_configz(struct api_call *c);

/* The pod of the request; NULL when it was answered that there is none, or none that runs. */
struct pod *api_call_pod(struct api_call *c);
/* The container that is meant: of the query, the pod's only one, or the one of its annotation
 * "kubectl.kubernetes.io/default-container"; NULL when it was answered that it must be named. */
const struct pod_container *api_call_container(struct api_call *c, const struct pod *p);
