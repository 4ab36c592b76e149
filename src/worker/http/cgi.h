/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdint.h>

#include "base/err.h"
#include "base/strv.h"
#include "base/text.h"

/*
 * CGI/1.1 (RFC 3875) as WAGI uses it: a guest finds the request in its environment and its body on
 * standard input, and writes a head of header lines, an empty line and the body to standard output.
 * https://github.com/deislabs/wagi. No I/O; texts belong to the caller.
 */

struct cgi_header {
    struct text name, value;
};

/* ---- The request, as environment variables ---- */

struct cgi_request {
    struct text method;
    struct text path;         /* as it was sent, without the query; begins with '/' */
    struct text query;        /* as it was sent, without the '?' */
    struct text host;         /* the Host header or :authority, with its port if it has one */
    struct text protocol;     /* "HTTP/1.1" */
    struct text scheme;       /* "http" or "https" */
    struct text remote_addr;  /* address of the client, without a port */
    struct text content_type; /* no text when the client sent none */
    struct text script_name;  /* prefix of `path` that led here: "/shop"; "/" and "" are the same */
    unsigned server_port;     /* where the request came in */
    int64_t content_length;   /* of the body; -1 when it is not known before its end */
    const struct cgi_header *headers;
    size_t n_headers;
};

/*
 * Appends "NAME=value" for each meta-variable (RFC 3875 section 4.1), for each header (HTTP_*,
 * section 4.1.18) and for WAGI's X_MATCHED_ROUTE, X_FULL_URL and X_RAW_PATH_INFO. What is not UTF-8
 * is replaced by U+FFFD.
 *
 * SCRIPT_NAME with PATH_INFO makes up the path; PATH_TRANSLATED is PATH_INFO, as guests have no
 * document root. CONTENT_LENGTH and CONTENT_TYPE are left out when there is none. Repeated headers
 * are joined. Left out are headers with credentials, those of the connection, Proxy (which programs
 * would take for their proxy: httpoxy), Content-Length and Content-Type, which have variables of
 * their own, and names with other characters than letters, digits and '-', because "X_A" would pass
 * for "X-A".
 *
 * "BadRequest" (-EINVAL) for a NUL anywhere, for '%' without two hex digits in the path, and for a
 * path that is not below script_name; nothing is appended then.
 */
int cgi_environment(const struct cgi_request *r, struct strv *env, struct err *e);

/* ---- The response's head ---- */

#define CGI_HEAD_LIMIT_BYTES 65536u
#define CGI_HEAD_LIMIT_LINES 100

/* Begins as all zero. Valid after cgi_head_parse() has returned 1; the texts point into what it was
 * given. */
struct cgi_head {
    unsigned status;          /* 200 to 599: from Status, else 302 with Location, else 200 */
    struct text reason;       /* "Not Here" of "Status: 404 Not Here"; empty when there is none */
    struct text content_type; /* no text when the guest gave none; also in `headers` */
    struct text location;     /* as content_type */
    struct cgi_header headers[CGI_HEAD_LIMIT_LINES]; /* for the client, in the guest's order */
    size_t n_headers;
    size_t len; /* bytes of the head with its empty line: the body begins here */

    /* Private: how far earlier calls came. */
    size_t lines_len, scanned_len;
    unsigned n_lines;
};

/*
 * Looks at `data`, all bytes of the guest's output so far, again when there are more of them; they
 * may have moved in between. Returns 1 when the head is whole and 0 when more bytes are needed. All
 * calls together take time in proportion to the output. `is_end` says that no more will come.
 *
 * Lines end with LF or CRLF. Status and headers of the connection are not in `headers`, nor is
 * Content-Length: the server knows how it sends the body. A local path in Location is answered like
 * a URL, with 302, instead of being looked up by the server (RFC 3875 section 6.2.2).
 *
 * "BadCgiHead": -EINVAL for no line at all, a bad name, control characters in a value, a status
 * that is not 200 to 599, two lines of Status, Location or Content-Type, or an end before the empty
 * line; -EFBIG for a head of more than limit_bytes or CGI_HEAD_LIMIT_LINES. *h is of no use then.
 */
int cgi_head_parse(struct cgi_head *h, const char *data, size_t len, bool is_end,
                   size_t limit_bytes, struct err *e);
