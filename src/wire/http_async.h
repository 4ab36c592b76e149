/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "base/strv.h"
#include "base/util.h"
#include "loop/loop.h"

/*
 * An HTTP client on the loop: any number of requests at a time, HTTP/1.1 (RFC 9112) or HTTP/2 (RFC
 * 9113), over connections that it keeps. Nothing blocks, also not the lookup of names, which has a
 * thread of its own. The library behind it (libcurl) does not show.
 *
 * It goes straight to where the URL says: proxies of the environment are for wire/http.h. All
 * belongs to the loop's thread.
 */
struct http_async;

struct http_async *http_async_new(struct loop *l);
void http_async_free(struct http_async *h); /* cancels what is under way; NULL is fine */
DEFINE_AUTO(http_async);

enum http_async_flags {
    HTTP_ASYNC_INSECURE = 1 << 0, /* any certificate will do */
    HTTP_ASYNC_HTTP2 = 1 << 1,    /* the server is known to speak HTTP/2, also without TLS */
    HTTP_ASYNC_ONCE = 1 << 2,     /* a connection of its own, which is shut afterwards */
    HTTP_ASYNC_CONNECT = 1 << 3,  /* the connection is all: no request, status 0 */
    /* Redirections to the same host, at most 10; those to another are a response as any other, and
     * so are all without this. For GET and HEAD. */
    HTTP_ASYNC_FOLLOW = 1 << 4,
};

/* All of it is copied. */
struct http_async_request {
    const char *method;  /* NULL: GET */
    const char *url;     /* http: or https: */
    const char *label;   /* what messages begin with; NULL: method and URL */
    struct strv headers; /* "Name: value"; besides those only Host and what belongs to the body */
    const void *body;    /* NULL: none */
    size_t body_len;
    const char *address; /* connects to this address instead of the URL's host; NULL: does not */
    uint64_t timeout_ms; /* of all of it; not 0 */
    size_t body_limit;   /* bytes of the response's body that are kept */
    unsigned flags;      /* enum http_async_flags */
};

struct http_async_response {
    long status;
    struct strv headers, trailers; /* "Name: value" of the final response */
    struct buf body;
    bool is_cut; /* there is more of the body than the limit: the rest was not waited for */
};

/* The value of the first header of this name, in any case of letters; NULL without one. */
const char *http_async_header(const struct strv *headers, const char *name);

/*
 * Calls `done` once, from the loop and never before this returns; it may call anything here, also
 * http_async_free(). The response is valid during the call; any status is success. NULL with *e:
 * "BadRequest" (-EINVAL): no URL or header that can be sent; "UnknownHost" (-EHOSTUNREACH);
 * "Unreachable": no connection, for the errno that is the code; "TlsFailed" (-EPROTO, or
 * -EKEYREJECTED for the certificate); "TimedOut" (-ETIMEDOUT); "CutOff" (-ECONNRESET): the response
 * ended early; "TooLarge" (-EFBIG): of headers more than 64 KiB; "RedirectLoop" (-ELOOP);
 * "BadResponse" (-EBADMSG): it is no HTTP.
 */
struct http_async_call;
struct http_async_call *
http_async_start(struct http_async *h, const struct http_async_request *q,
                 void (*done)(void *ctx, const struct http_async_response *r, const struct err *e),
                 void *ctx);
/* Before `done` was called, which then is not; the connection is shut. */
void http_async_cancel(struct http_async_call *c);
