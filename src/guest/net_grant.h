/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <sys/socket.h>

#include "base/err.h"

/*
 * A permission to reach the network, written HOST:PORT. HOST is a name, an IPv4 address, an IPv6
 * address in brackets, a block such as 10.0.0.0/8, or "*"; PORT is a number, a range FROM-TO or
 * "*".
 */
enum net_host {
    NET_ANY,   /* "*" */
    NET_NAME,  /* a host name, lower case, without a trailing dot */
    NET_BLOCK, /* an address with a prefix length: a single one has 32 or 128 */
};

struct net_grant {
    enum net_host host;
    char name[254]; /* NET_NAME */
    int family;     /* NET_BLOCK: AF_INET or AF_INET6 */
    unsigned char address[16];
    unsigned prefix_length;
    unsigned port_from, port_to; /* 0 to 65535 for "*" */
};

/* "BadUsage", -EINVAL. */
int net_grant_parse(const char *text, struct net_grant *ret, struct err *e);

/* True when the grant's host covers this address, whatever the port; never for NET_NAME. */
bool net_grant_has_address(const struct net_grant *g, const struct sockaddr *addr);

/* True when the grant covers the port of this address. */
bool net_grant_has_port(const struct net_grant *g, const struct sockaddr *addr);
