/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "base/strv.h"
#include "base/util.h"

/*
 * An HTTP client: one request at a time, over connections that it keeps. The library behind it
 * (libcurl) does not show.
 *
 * Proxies are those of the environment, as curl and docker have it: http_proxy, https_proxy,
 * all_proxy and no_proxy, or in capitals (HTTP_PROXY not in a CGI program, whose clients choose
 * it). A host that no_proxy has, also as a domain, as a network (10.0.0.0/8) or with a port, and
 * this machine (localhost, 127.0.0.0/8, ::1) are reached without. The credentials in a proxy's URL
 * are never in an error.
 *
 * Redirections are followed, and an Authorization header does not go to another host with them. Not
 * for two threads at once.
 */
struct http;

struct http_options {
    const char *ca_pem;    /* certificates to trust besides those of the system; NULL: none */
    const char *cert_file; /* of this client, PEM; NULL: none */
    const char *key_file;
    bool is_insecure;  /* any certificate will do */
    unsigned stall_ms; /* without a byte for that long a transfer has failed; not 0 */
    /* Every connection goes to this unix socket, without proxies; the host of the URL is only said
     * there. NULL: to the URL's host. */
    const char *unix_socket;
};

struct http *http_new(const struct http_options *o); /* what `o` points to is copied */
void http_free(struct http *h);
DEFINE_AUTO(http);

struct http_response {
    long status;
    struct strv headers; /* "Name: value" of the final response, as sent */
    struct buf text;     /* the body; with a sink only of statuses other than 2xx */
};
void http_response_done(struct http_response *r);
#define autohttp_response __attribute__((cleanup(http_response_done))) struct http_response

/* The value of the first header of this name, in any case of letters; NULL without one. */
const char *http_header(const struct http_response *r, const char *name);

struct http_request {
    const char *method, *url;
    struct strv headers;       /* "Name: value" */
    const char *authorization; /* the value of that header, a secret; NULL: none */
    const void *body;          /* NULL: none */
    size_t body_len;
    int body_fd;       /* the body is what this file has from its start, if not -1 */
    size_t text_limit; /* bytes of the response's text: beyond it "TooLarge" */

    /* Gets the body of a 2xx response piece by piece; less than 0 (with *e filled) ends it. Before
     * the first piece r->status and r->headers are complete. */
    int (*sink)(void *ctx, const struct http_response *r, const void *data, size_t len,
                struct err *e);
    void *ctx;
};
#define HTTP_REQUEST_INIT                                                                          \
    ((struct http_request){.method = "GET", .body_fd = -1, .headers = STRV_INIT})

/*
 * Any status is success here. "Unreachable" (-EHOSTUNREACH): no connection; "TlsFailed": no secure
 * one, since the other side speaks no TLS that we do (-EPROTO) or for its certificate or ours
 * (-EKEYREJECTED); "ProxyRefused" (-EACCES); "BadProxy" (-EINVAL); "Stalled" (-ETIMEDOUT); "CutOff"
 * (-ECONNRESET): the response ended early; "BadResponse" (-EBADMSG): it is no HTTP; else what the
 * sink said.
 */
int http_perform(struct http *h, const struct http_request *q, struct http_response *ret,
                 struct err *e);

/* The time that a Retry-After header asks for (RFC 9110, 10.2.3), in ms; 0 without one. */
uint64_t http_retry_after_ms(const struct http_response *r);

/* Adds `text` as it stands in the query of a URL or as a segment of its path (RFC 3986, 2.1). */
void http_query_add(struct buf *url, const char *text);
