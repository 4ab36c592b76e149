/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/buf.h"

/*
 * The texts of HTTP/1.0 (RFC 1945) and URLs (RFC 3986), as far as wget needs them. What a server
 * sent is cut to printable ASCII before it is shown.
 */

struct http_url {
    char *host;      /* an IPv6 address without its brackets */
    char *authority; /* as it was written: what "Host:" says */
    char *path;      /* from '/', with the query */
    uint16_t port;
};

/* "http://" may be missing. False with words for people in *ret_why. */
bool http_url_parse(const char *text, struct http_url *ret, const char **ret_why);
void http_url_done(struct http_url *u);

#define HTTP_HEAD_MAX ((size_t)64 << 10)

struct http_head {
    size_t bytes;   /* the body begins there */
    int status;     /* 100 to 599 */
    int64_t length; /* of the body; -1 when it ends with the connection */
    bool is_chunked;
    char *line;     /* the first, without the version */
    char *location; /* NULL: none */
};

/* 1 when the head is whole; 0 when more is needed; -1 when it is none, or too long. */
int http_head_parse(const struct buf *text, struct http_head *ret);
void http_head_done(struct http_head *h);
