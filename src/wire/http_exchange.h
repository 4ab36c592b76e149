/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <microhttpd.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/strv.h"
#include "wire/http_server.h"
#include "wire/http_target.h"

/*
 * What http_server.c (connections and the loop) and http_exchange.c (requests and responses) share;
 * for no one else.
 *
 * The library runs only in http_server's own callbacks of the loop. What is called in between (or
 * by a callback of the caller inside of it) leaves marks and, if the connection is suspended,
 * resumes it, which takes effect in the next run.
 */
struct http_connection {
    struct http_server *server;
    struct MHD_Connection *mhd;
    int fd;
    bool is_gone;            /* the client has shut or broken the connection */
    bool is_suspended;       /* nothing happens on it until something resumes it */
    struct http_exchange *x; /* under way; NULL between requests */
};

struct http_exchange {
    struct http_server *server;
    struct http_connection *c; /* NULL when the library is done with it */
    struct http_exchange *next, *prev;
    struct arena *arena;
    struct http_target target;
    const char *method;
    struct buf body;
    size_t excess;       /* bytes of the body that were not kept */
    unsigned refusal;    /* the status to answer with at the end of the request; 0: none */
    bool is_started;     /* the head is complete */
    bool is_asked;       /* the handler has been called */
    bool is_held;        /* the caller may still use it */
    struct strv headers; /* name, value, name, value... of the response */
    struct MHD_Response *response; /* complete but for a body piece by piece; not queued yet */
    unsigned status;
    bool is_begun, is_ended; /* of a response piece by piece */
    bool is_told;            /* that some waits */
    struct buf queue;        /* from queue_at */
    size_t queue_at;
    void (*drained)(void *ctx);
    void *drained_ctx;
    void (*closed)(void *ctx);
    void *closed_ctx;
    void (*taken)(void *ctx, int fd, const void *rest, size_t len);
    void *taken_ctx;
};

/* ---- http_server.c ---- */

const struct http_server_options *http_server_options(const struct http_server *s);
bool http_server_is_closing(const struct http_server *s);
void http_server_add_exchange(struct http_server *s, struct http_exchange *x);
void http_server_remove_exchange(struct http_server *s, struct http_exchange *x);
/* Calls x->taken when the library has returned; `fd` is given away. */
void http_server_hand_over(struct http_server *s, struct http_exchange *x, int fd, const void *rest,
                           size_t len);
void http_connection_suspend(struct http_connection *c);
void http_connection_resume(struct http_connection *c);
/* It is somebody else's: the library gets to shut its descriptor soon. */
void http_connection_release(struct http_connection *c);

/* ---- http_exchange.c: what the library calls ---- */

void *http_exchange_on_target(void *ctx, const char *target, struct MHD_Connection *mhd);
enum MHD_Result http_exchange_on_request(void *ctx, struct MHD_Connection *mhd, const char *url,
                                         const char *method, const char *version,
                                         const char *upload, size_t *upload_len, void **pos);
void http_exchange_on_completed(void *ctx, struct MHD_Connection *mhd, void **pos,
                                enum MHD_RequestTerminationCode how);

/* The client is gone, or the server: tells the caller, if the exchange is still the caller's. */
void http_exchange_lose(struct http_exchange *x);
void http_exchange_free(struct http_exchange *x);
