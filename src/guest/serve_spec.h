/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/err.h"
#include "base/json.h"

/*
 * What a worker is told about serving HTTP: which programs answer where, on which sockets, and
 * within which limits. What every program may have (variables, folders, network, memory) is the
 * guest spec beside it (guest/job.h), whose limits hold for one request.
 *
 * Encoded as one JSON object; as in guest/spec.h fields are only added.
 */

#define SERVE_APP_LIMIT        4096
#define SERVE_LISTENER_LIMIT   512
#define SERVE_THREAD_LIMIT     256
#define SERVE_ROUTE_LIMIT      1024
#define SERVE_HOST_LIMIT       253
#define SERVE_SPEC_LIMIT_BYTES (32u << 20) /* SERVE_APP_LIMIT programs with long paths */

/* One program and the requests that it gets: the longest matching path wins, and among equal paths
 * the one that names a host. */
struct serve_app {
    int64_t fd;            /* the program */
    char *image, *command; /* as in guest/spec.h; of the command the variables count */
    char *path;            /* where `fd` was opened: SIGHUP opens it again; absolute */
    char *name;            /* for people, logs and figures */
    char *route; /* the path prefix, beginning with '/' and without a slash at its end, but "/" */
    char *host;  /* lower case, without a port; NULL: any */
};

/* A listening socket. Several with the same URL share a port (SO_REUSEPORT), one for each thread.
 */
struct serve_listener {
    int64_t fd;
    char *url;      /* "http://127.0.0.1:8080", "https://[::1]:443", "unix:/run/x.sock" */
    int64_t thread; /* which thread accepts from it; -1: all */
    bool is_tls;
};

struct serve_limits {
    int64_t header_bytes; /* of a request's head, all lines together */
    int64_t headers;      /* lines */
    int64_t body_bytes;   /* of a request's body */
    int64_t requests;     /* in flight, each with its own instance */
    int64_t queue;        /* waiting for one of those; one more is answered 503 */
    int64_t connections;  /* open at a time; one more waits in the kernel */
    int64_t idle_ms;      /* between two requests of a connection */
    int64_t read_ms;      /* for a whole head, and between two pieces of a body */
    int64_t write_ms;     /* without progress in sending to the client */
    int64_t request_ms;   /* from the head to the end of the response: 504 */
    int64_t cpu_ms;       /* of the guest's own code in one request: 504 */
    int64_t drain_ms;     /* for requests in flight at the end */
};

struct serve_spec {
    struct serve_app *apps;
    size_t n_apps;
    struct serve_listener *listeners;
    size_t n_listeners;
    int64_t threads;
    int64_t reuse;            /* requests that one instance may answer; 1: a fresh one for each */
    char *tls_cert, *tls_key; /* PEM files, absolute; both or none */
    int64_t metrics_fd;       /* listening socket for Prometheus; -1: none */
    char *access_log;         /* "text" or "json", on standard output; NULL: none */
    struct serve_limits limits;
};

/* Defaults: one thread, fresh instances, the documented limits. */
void serve_spec_init(struct serve_spec *s);
void serve_spec_done(struct serve_spec *s); /* frees memory; closes nothing */

/* Append; the strings are copied. `image`, `command` and `host` may be NULL. */
void serve_spec_app_add(struct serve_spec *s, int fd, const char *image, const char *command,
                        const char *path, const char *name, const char *host, const char *route);
void serve_spec_listener_add(struct serve_spec *s, int fd, const char *url, int64_t thread,
                             bool is_tls);

void serve_spec_encode(const struct serve_spec *s, struct json_writer *w);

/* Decodes into *s, initialised by serve_spec_init(), and checks ranges. "BadSpec". */
int serve_spec_decode(const char *json, size_t len, struct serve_spec *s, struct err *e);
