/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/net_grant.h"

#include <arpa/inet.h>
#include <ctype.h>

#include "base/util.h"

/* A decimal number without sign or space, at most `max`; -1 otherwise. */
static long digits_parse(const char *text, size_t len, long max)
{
    long value = 0;

    if (!len || len > 5)
        return -1;
    for (size_t i = 0; i < len; i++) {
        if (!isdigit((unsigned char)text[i]))
            return -1;
        value = value * 10 + (text[i] - '0');
    }
    return value <= max ? value : -1;
}

static bool ports_parse(const char *text, struct net_grant *g)
{
    size_t len = strlen(text), first = strcspn(text, "-");
    long from, to;

    if (str_eq(text, "*")) {
        g->port_from = 0;
        g->port_to = 65535;
        return true;
    }
    from = digits_parse(text, first, 65535);
    to = first < len ? digits_parse(text + first + 1, len - first - 1, 65535) : from;
    if (from < 0 || to < from)
        return false;
    g->port_from = (unsigned)from;
    g->port_to = (unsigned)to;
    return true;
}

static bool name_parse(const char *text, struct net_grant *g)
{
    size_t len = strlen(text), label = 0;
    bool is_number = true;

    if (len && text[len - 1] == '.')
        len--;
    if (!len || len >= sizeof(g->name))
        return false;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];

        if (c == '.' ? !label : !isalnum(c) && c != '-' && c != '_')
            return false;
        label = c == '.' ? 0 : label + 1;
        if (label > 63)
            return false;
        is_number = is_number && (isdigit(c) || c == '.');
        g->name[i] = (char)tolower(c);
    }
    g->name[len] = 0;
    g->host = NET_NAME;
    /* "10.0.0" is a mistyped address and no name. */
    return label && !is_number;
}

/* Bits behind the prefix would silently be ignored: "10.0.0.1/8" is more likely a mistake. */
static bool has_host_bits(const struct net_grant *g, unsigned bits)
{
    for (unsigned i = g->prefix_length; i < bits; i++)
        if (g->address[i / 8] & (0x80 >> i % 8))
            return true;
    return false;
}

static bool block_parse(const char *text, int family, struct net_grant *g)
{
    char address[INET6_ADDRSTRLEN + 1];
    const char *slash = strchr(text, '/');
    size_t len = slash ? (size_t)(slash - text) : strlen(text);
    unsigned bits = family == AF_INET ? 32 : 128;
    long prefix = bits;

    if (len >= sizeof(address))
        return false;
    memcpy(address, text, len);
    address[len] = 0;
    if (inet_pton(family, address, g->address) != 1)
        return false;
    if (slash)
        prefix = digits_parse(slash + 1, strlen(slash + 1), bits);
    if (prefix < 0)
        return false;
    g->host = NET_BLOCK;
    g->family = family;
    g->prefix_length = (unsigned)prefix;
    return !has_host_bits(g, bits);
}

static bool host_parse(const char *text, struct net_grant *g)
{
    size_t len = strlen(text);

    if (str_eq(text, "*")) {
        g->host = NET_ANY;
        return true;
    }
    if (text[0] == '[') {
        const char *end = strchr(text, ']');
        autofree char *inner = NULL;

        /* Both [fd00::/8] and [fd00::]/8 are in use. */
        if (!end || (end[1] && end[1] != '/'))
            return false;
        inner = xasprintf("%.*s%s", (int)(end - text - 1), text + 1, end + 1);
        return block_parse(inner, AF_INET6, g);
    }
    if (len && (isdigit((unsigned char)text[0]) || strchr(text, '/')) &&
        block_parse(text, AF_INET, g))
        return true;
    return name_parse(text, g);
}

int net_grant_parse(const char *text, struct net_grant *ret, struct err *e)
{
    const char *colon = strrchr(text, ':');
    struct net_grant g = {0};
    autofree char *host = NULL;

    if (!colon || strchr(colon, ']'))
        return err_set(e, -EINVAL, "BadUsage",
                       "--allow-net '%.200s' has no port; write HOST:PORT, HOST:* for all ports",
                       text);
    host = xstrndup(text, (size_t)(colon - text));
    if (!ports_parse(colon + 1, &g))
        return err_set(e, -EINVAL, "BadUsage",
                       "--allow-net '%.200s': '%.40s' is not a port, a range FROM-TO or *", text,
                       colon + 1);
    if (host[0] != '[' && strchr(host, ':'))
        return err_set(e, -EINVAL, "BadUsage",
                       "--allow-net '%.200s': write an IPv6 address in brackets, [::1]:80", text);
    if (!host_parse(host, &g))
        return err_set(e, -EINVAL, "BadUsage",
                       "--allow-net '%.200s': '%.200s' is not a name, an address, a block such as "
                       "10.0.0.0/8 or *",
                       text, host);
    *ret = g;
    return 0;
}

bool net_grant_has_port(const struct net_grant *g, const struct sockaddr *addr)
{
    /* Both families keep the port at the same place, but only the standard's word counts. */
    unsigned port = ntohs(addr->sa_family == AF_INET6
                              ? ((const struct sockaddr_in6 *)(const void *)addr)->sin6_port
                              : ((const struct sockaddr_in *)(const void *)addr)->sin_port);

    return port >= g->port_from && port <= g->port_to;
}

static bool prefix_equals(const unsigned char *a, const unsigned char *b, unsigned bits)
{
    unsigned bytes = bits / 8, rest = bits % 8;

    if (memcmp(a, b, bytes) != 0)
        return false;
    return !rest || !((a[bytes] ^ b[bytes]) >> (8 - rest));
}

bool net_grant_has_address(const struct net_grant *g, const struct sockaddr *addr)
{
    const unsigned char *bytes;
    int family = addr->sa_family;

    if (g->host == NET_ANY)
        return true;
    if (g->host != NET_BLOCK)
        return false;
    if (family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const void *)addr;

        bytes = v6->sin6_addr.s6_addr;
        /* ::ffff:1.2.3.4 reaches the IPv4 host, so it is judged as that. */
        if (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr)) {
            bytes += 12;
            family = AF_INET;
        }
    } else {
        bytes = (const void *)&((const struct sockaddr_in *)(const void *)addr)->sin_addr;
    }
    return family == g->family && prefix_equals(g->address, bytes, g->prefix_length);
}
