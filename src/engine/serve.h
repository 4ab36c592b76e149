/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/text.h"
#include "engine/engine.h"

/*
 * Answering HTTP requests by WebAssembly: listeners, connections, and for each request an instance.
 * HTTP/1.1 (RFC 9112), HTTP/2 (RFC 9113) by prior knowledge or ALPN, TLS 1.2 and 1.3; towards the
 * guest wasi:http 0.2 and 0.3, or CGI/1.1 (RFC 3875) on the standard streams of a module.
 *
 * What is asked of C: who answers a request (`dispatch`), what a request that went wrong is
 * answered with (`answers`), and what becomes of the record of each (`ended`). The engine must be
 * interruptible and pooling.
 *
 * Threads. A server is made and freed on one thread. engine_server_run() occupies a thread of the
 * caller's for each number below `threads`; connections stay on the thread that accepted them, and
 * callbacks run on it. One thread inside the engine, for all servers of the process, ticks while a
 * guest computes for long, and sleeps otherwise.
 */

/* ---- Services ----------------------------------------------------------------------------- */

/* A program with its grants, ready to answer requests. Counted: requests that run hold it. */
struct engine_service;

enum engine_service_kind {
    ENGINE_HTTP_P2, /* component exporting wasi:http/incoming-handler@0.2 */
    ENGINE_HTTP_P3, /* component exporting wasi:http/handler@0.3 */
    ENGINE_CGI,     /* module exporting _start */
};

struct engine_service_options {
    enum engine_service_kind kind;
    const char *name;       /* what a backtrace calls an unnamed module; argv[0] of a CGI program */
    const char *const *env; /* "NAME=value", NULL-terminated; copied */
    const struct engine_dir *dirs; /* their descriptors are used as long as the service lives */
    size_t n_dirs;
    struct engine_stream
        streams[3];                /* stdin is not used, stdout not by CGI; called by any thread */
    struct engine_network network; /* likewise */
    struct engine_limits limits;   /* of one instance */
    uint64_t cpu_ns;               /* of the guest's code in one request; 0: no limit */
    uint32_t reuse;                /* requests that one instance answers, one after the other; 1 */
};

/*
 * What else `o` points to must live as long as the service; the code may be closed. Errors: -EINVAL
 * "InvalidArgument", -ENOENT "NoSuchExport".
 */
int engine_service_new(struct engine *en, struct engine_code *c,
                       const struct engine_service_options *o, struct engine_service **ret,
                       struct err *e);
struct engine_service *engine_service_ref(struct engine_service *s);
void engine_service_unref(struct engine_service *s); /* NULL is fine */

/* ---- Requests ----------------------------------------------------------------------------- */

/* The head of a request; valid during the callback. */
struct engine_request {
    struct text method;
    struct text scheme;    /* "http" or "https" */
    struct text authority; /* host and port as the client named them; may be empty */
    struct text path;      /* with the query */
    struct text protocol;  /* "HTTP/1.1" */
    struct text peer;      /* "192.0.2.1:1234"; "unix:" for a local socket */
    uint64_t body_bytes;   /* as said by the client; UINT64_MAX: not said */
    const void *headers;   /* for the two functions below */
};

/* The value of a header, the first one if there are many; {NULL, 0} without it. `name` is lower
 * case. */
struct text engine_request_header(const struct engine_request *r, const char *name);

/* Calls `each` for every header in turn. */
void engine_request_headers(const struct engine_request *r,
                            void (*each)(void *ctx, struct text name, struct text value),
                            void *ctx);

#define ENGINE_REQUEST_ID_SIZE  65
#define ENGINE_TRACEPARENT_SIZE 56

/* What C makes of a request. */
struct engine_dispatch {
    struct engine_service *service;            /* a reference, which the engine takes over */
    unsigned status;                           /* without a service: the answer */
    const char *reason;                        /* without a service: CamelCase, static storage */
    size_t route_len;                          /* CGI: bytes of the path that chose the service */
    char request_id[ENGINE_REQUEST_ID_SIZE];   /* X-Request-Id of the response; empty: none */
    char traceparent[ENGINE_TRACEPARENT_SIZE]; /* given to the guest and to what it asks; empty:
                                                  what the client sent */
    void *user;                                /* C's own, for `ended` */
};

enum engine_request_end {
    ENGINE_ANSWERED,        /* by the guest */
    ENGINE_DISPATCHED,      /* by C: there was no service */
    ENGINE_REQUEST_TRAPPED, /* trap and detail */
    ENGINE_OUT_OF_MEMORY,   /* trapped after memory was refused */
    ENGINE_TIMED_OUT,       /* engine_server_limits.request_ms */
    ENGINE_CPU_EXCEEDED,    /* cpu_ns */
    ENGINE_NOT_ANSWERED,    /* the guest ended without an answer */
    ENGINE_GUEST_ERROR,     /* the guest answered with an error; detail says which */
    ENGINE_BAD_ANSWER,      /* what a CGI program wrote was no response; detail */
    ENGINE_BODY_TOO_LARGE,  /* body_bytes */
    ENGINE_OVERLOADED,      /* no room in the queue */
    ENGINE_CLIENT_GONE,     /* before the response was complete */
    ENGINE_BAD_REQUEST,     /* against the standard */
    ENGINE_HEAD_TOO_LARGE,  /* header_bytes or headers */
    ENGINE_REQUEST_ENDS,    /* how many there are */
};

/* How an end is answered when nothing was sent yet. */
struct engine_answer {
    unsigned status;
    const char *reason; /* CamelCase, static storage; NULL: it never is an answer */
    bool is_retryable;  /* with Retry-After */
};

struct engine_record {
    enum engine_request_end end;
    unsigned status;    /* what the client was told; 0: nothing */
    const char *reason; /* of the answer or the dispatch; NULL: the guest answered */
    bool is_cut;        /* the response was broken off after its head */
    uint64_t request_bytes, response_bytes; /* of the bodies */
    uint64_t duration_ns;                   /* from the head to the end of the response */
    uint64_t busy_ns;                       /* of that, the guest and its host functions */
    uint64_t memory_peak_bytes;
    const char *trap, *detail; /* "" when there is none; valid during the callback */
};

/* ---- CGI ---------------------------------------------------------------------------------- */

/* What C fills in by these two functions. */
struct engine_cgi_head;
void engine_cgi_status(struct engine_cgi_head *h, unsigned status);
void engine_cgi_header(struct engine_cgi_head *h, struct text name, struct text value);

/* ---- The server --------------------------------------------------------------------------- */

struct engine_server;

enum engine_listener_kind {
    ENGINE_LISTEN_HTTP,
    ENGINE_LISTEN_HTTPS,
    ENGINE_LISTEN_METRICS, /* answers GET /metrics by the callback */
};

struct engine_listener {
    int fd; /* a listening TCP or unix socket; stays the caller's, and may be closed afterwards */
    enum engine_listener_kind kind;
    int thread; /* which thread accepts; -1: all of them */
};

/* UINT64_MAX means no limit; so does 0 for request_ms. */
struct engine_server_limits {
    uint64_t header_bytes, headers; /* of a request's head: 431 */
    uint64_t body_bytes;
    uint64_t requests;    /* that have an instance */
    uint64_t queue;       /* that wait for one */
    uint64_t connections; /* more wait in the kernel */
    uint64_t idle_ms, read_ms, write_ms, request_ms;
};

struct engine_server_callbacks {
    void *ctx;
    void (*dispatch)(void *ctx, unsigned thread, const struct engine_request *r,
                     struct engine_dispatch *ret);
    /* Once for each dispatch. */
    void (*ended)(void *ctx, unsigned thread, void *user, const char *request_id,
                  const struct engine_record *record);
    /* What was no request: `record` says how it was answered. */
    void (*refused)(void *ctx, unsigned thread, struct text peer,
                    const struct engine_record *record);
    /* The text of a metrics page, by calls of `add`. */
    void (*metrics)(void *ctx, void (*add)(void *page, const char *text, size_t len), void *page);
    /* The environment of a CGI program, by calls of `add` with "NAME=value"; negative with *e for a
     * request that has none, which is a bad one. */
    int (*cgi_environment)(void *ctx, const struct engine_request *r, size_t route_len,
                           void (*add)(void *env, const char *variable), void *env, struct err *e);
    /* Reads the head of a CGI response: bytes of it when it is complete, 0 while it is not,
     * negative with *e when it is none. */
    ssize_t (*cgi_head)(void *ctx, const char *data, size_t len, struct engine_cgi_head *ret,
                        struct err *e);
    /* What went wrong outside of a request, for the log. */
    void (*failed)(void *ctx, const char *what);
};

struct engine_server_options {
    unsigned threads;
    const struct engine_listener *listeners;
    size_t n_listeners;
    struct engine_server_limits limits;
    struct engine_server_callbacks callbacks;
    struct engine_answer answers[ENGINE_REQUEST_ENDS];
};

/* Errors: -EINVAL "InvalidArgument"; the errno of a socket that cannot be used. */
int engine_server_new(const struct engine_server_options *o, struct engine_server **ret,
                      struct err *e);

/*
 * The certificate chain and key (PEM) of new connections to HTTPS listeners; may be called again at
 * any time, and changes nothing when it fails. -EINVAL "BadCertificate".
 */
int engine_server_tls(struct engine_server *s, const char *cert, size_t cert_len, const char *key,
                      size_t key_len, struct err *e);

/*
 * Serves on the calling thread until the server has drained or was stopped; false in *ret_is_idle
 * (NULL: not wanted). With an `idle_ms`, of a server with one thread only, also until there was no
 * connection for as long, and no guest that goes on after its response: true. Then its sockets
 * still listen, nobody is accepted, and it may be run again, on any thread.
 */
int engine_server_run(struct engine_server *s, unsigned thread, uint64_t idle_ms, bool *ret_is_idle,
                      struct err *e);

/* From any thread: closes the listening sockets, answers what has been asked, then lets
 * engine_server_run() return. */
void engine_server_drain(struct engine_server *s);

/* From any thread: lets engine_server_run() return now; requests that run are dropped. */
void engine_server_stop(struct engine_server *s);

struct engine_server_figures {
    uint64_t connections;          /* open now */
    uint64_t connections_accepted; /* so far */
    uint64_t requests;             /* that have an instance now */
    uint64_t queued;               /* that wait for one now */
    uint64_t memory_bytes;         /* linear memory of instances now */
};

void engine_server_figures(const struct engine_server *s, struct engine_server_figures *ret);
void engine_server_free(struct engine_server *s); /* after every engine_server_run() has returned */
