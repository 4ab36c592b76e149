/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <netinet/in.h>
#include <sys/un.h>

#include "base/err.h"
#include "base/strv.h"
#include "guest/serve_spec.h"

/*
 * The values of `wherry serve` options that have a grammar of their own. All fail with "BadUsage",
 * -EINVAL or (past a limit) -E2BIG, and touch no output then.
 */

/* ---- --listen and --metrics ---- */

#define SERVE_LISTEN_DEFAULT "127.0.0.1:8080"

/* PORT (of 127.0.0.1), ADDR:PORT, [IPv6]:PORT, localhost:PORT, unix:PATH; ":PORT" and "*:PORT" are
 * all addresses of the machine. */
struct listen_address {
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        struct sockaddr_un un; /* the path as it was typed */
    };
    socklen_t len;
    bool is_dual; /* all addresses: IPv6 that takes IPv4 too */
};

/* `option` is "--listen" or "--metrics": messages begin with it. */
int listen_address_parse(const char *option, const char *text, struct listen_address *ret,
                         struct err *e);

/* "127.0.0.1:80", "[::1]:80" or "unix:PATH". */
#define LISTEN_TEXT_SIZE (sizeof(struct sockaddr_un) + 8)
void listen_address_format(const struct listen_address *a, char ret[static LISTEN_TEXT_SIZE]);

struct listen_addresses {
    struct listen_address *items;
    size_t n;
    struct listen_address metrics;
    bool has_metrics;
};

/* All of --listen and, unless it is NULL, --metrics; two that take the same port are refused, but
 * for port 0. */
int listen_addresses_parse(const struct strv *texts, const char *metrics,
                           struct listen_addresses *ret, struct err *e);
void listen_addresses_done(struct listen_addresses *a);

/* ---- FILE, --route and --host ---- */

struct serve_route {
    char *host; /* lower case, without a trailing dot; an IPv6 address in brackets; NULL: any */
    char *path; /* as in struct serve_app, percent-encoding normalised (RFC 3986, 6.2.2) */
    char *file; /* as it was typed */
};

/* --route /PATH=FILE and --host NAME[/PATH]=FILE. */
int serve_route_parse(const char *text, struct serve_route *ret, struct err *e);
int serve_host_parse(const char *text, struct serve_route *ret, struct err *e);
void serve_route_done(struct serve_route *r);

struct serve_routes {
    struct serve_route *items;
    size_t n;
};

/* `file` is the one for the path "/", or NULL. There must be a program, and a path of a host must
 * not have two. */
int serve_routes_collect(const char *file, const struct strv *routes, const struct strv *hosts,
                         struct serve_routes *ret, struct err *e);
void serve_routes_done(struct serve_routes *r);
