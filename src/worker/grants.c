/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/grants.h"

#include <netinet/in.h>
#include <strings.h>

#include "guest/net_grant.h"

/* Most addresses remembered of names; the oldest are forgotten first. */
#define RESOLVED_LIMIT 1024

struct resolved {
    size_t grant;
    struct sockaddr_storage addr;
};

struct grants {
    struct net_grant *list;
    size_t n;
    struct resolved *resolved; /* a ring once it is full */
    size_t n_resolved, next;
};

int grants_new(const struct strv *texts, struct grants **ret, struct err *e)
{
    AUTO(grants) g = xcalloc(1, sizeof(*g));

    g->list = xcalloc(texts->n + 1, sizeof(*g->list));
    for (; g->n < texts->n; g->n++)
        TRY(net_grant_parse(texts->v[g->n], &g->list[g->n], e));
    *ret = take_ptr(g);
    return 0;
}

void grants_free(struct grants *g)
{
    free(g->list);
    free(g->resolved);
    free(g);
}

static bool same_host(const struct sockaddr_storage *a, const struct sockaddr *b)
{
    if (a->ss_family != b->sa_family)
        return false;
    if (b->sa_family == AF_INET6)
        return !memcmp(&((const struct sockaddr_in6 *)a)->sin6_addr,
                       &((const struct sockaddr_in6 *)(const void *)b)->sin6_addr,
                       sizeof(struct in6_addr));
    return ((const struct sockaddr_in *)a)->sin_addr.s_addr ==
           ((const struct sockaddr_in *)(const void *)b)->sin_addr.s_addr;
}

static bool may_reach(const struct grants *g, const struct sockaddr *addr)
{
    for (size_t i = 0; i < g->n; i++)
        if (net_grant_has_address(&g->list[i], addr) && net_grant_has_port(&g->list[i], addr))
            return true;
    for (size_t i = 0; i < g->n_resolved; i++)
        if (same_host(&g->resolved[i].addr, addr) &&
            net_grant_has_port(&g->list[g->resolved[i].grant], addr))
            return true;
    return false;
}

static bool may_use(void *ctx, const struct sockaddr *addr, enum engine_socket_use use)
{
    const struct grants *g = ctx;
    static const struct net_grant no_port;

    switch (use) {
    case ENGINE_TCP_BIND:
    case ENGINE_UDP_BIND:
        /* Port 0 is what connecting needs; a port of its own would be a server. */
        return g->n && net_grant_has_port(&no_port, addr);
    case ENGINE_TCP_LISTEN:
    case ENGINE_TCP_ACCEPT:
        return false;
    case ENGINE_TCP_CONNECT:
    case ENGINE_UDP_SEND:
    case ENGINE_UDP_RECEIVE:
        return may_reach(g, addr);
    }
    return false;
}

static bool names_match(const struct net_grant *g, const char *name)
{
    size_t len = strlen(name);

    if (len && name[len - 1] == '.')
        len--;
    return g->host == NET_NAME && strlen(g->name) == len && !strncasecmp(g->name, name, len);
}

static bool may_resolve(void *ctx, const char *name)
{
    const struct grants *g = ctx;

    for (size_t i = 0; i < g->n; i++)
        if (g->list[i].host == NET_ANY || names_match(&g->list[i], name))
            return true;
    return false;
}

static void resolved(void *ctx, const char *name, const struct sockaddr *addr)
{
    struct grants *g = ctx;
    size_t len =
        addr->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);

    for (size_t i = 0; i < g->n; i++) {
        struct resolved *r;

        if (!names_match(&g->list[i], name))
            continue;
        if (!g->resolved)
            g->resolved = xcalloc(RESOLVED_LIMIT, sizeof(*g->resolved));
        r = &g->resolved[g->next];
        r->grant = i;
        memcpy(&r->addr, addr, len);
        g->next = (g->next + 1) % RESOLVED_LIMIT;
        if (g->n_resolved < RESOLVED_LIMIT)
            g->n_resolved++;
    }
}

void grants_attach(struct grants *g, struct engine_network *n)
{
    n->ctx = g;
    n->may_use = may_use;
    n->may_resolve = may_resolve;
    n->resolved = resolved;
}
