/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/grants.h"

#include <netinet/in.h>
#include <pthread.h>
#include <strings.h>
#include <sys/stat.h>

#include "guest/net_grant.h"

/* Most addresses remembered of names; the oldest are forgotten first. */
#define RESOLVED_LIMIT 1024
/* Certificates of all the world's authorities take a quarter of this. */
#define CA_LIMIT_BYTES (1u << 20)

struct resolved {
    size_t grant;
    struct sockaddr_storage addr;
};

struct grants {
    struct net_grant *list;
    size_t n;
    int ca_fd;
    pthread_mutex_t lock;      /* guards what follows */
    struct resolved *resolved; /* a ring once it is full */
    size_t n_resolved, next;
};

int grants_new(const struct strv *texts, int ca_fd, struct grants **ret, struct err *e)
{
    AUTO(grants) g = xcalloc(1, sizeof(*g));

    g->ca_fd = ca_fd;
    pthread_mutex_init(&g->lock, NULL);
    g->list = xcalloc(texts->n + 1, sizeof(*g->list));
    for (; g->n < texts->n; g->n++)
        TRY(net_grant_parse(texts->v[g->n], &g->list[g->n], e));
    *ret = take_ptr(g);
    return 0;
}

void grants_free(struct grants *g)
{
    pthread_mutex_destroy(&g->lock);
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

static bool is_granted(const struct grants *g, const struct sockaddr *addr)
{
    for (size_t i = 0; i < g->n; i++)
        if (net_grant_has_address(&g->list[i], addr) && net_grant_has_port(&g->list[i], addr))
            return true;
    return false;
}

static bool may_reach(struct grants *g, const struct sockaddr *addr)
{
    bool found = false;

    if (is_granted(g, addr))
        return true;
    pthread_mutex_lock(&g->lock);
    for (size_t i = 0; i < g->n_resolved && !found; i++)
        found = same_host(&g->resolved[i].addr, addr) &&
                net_grant_has_port(&g->list[g->resolved[i].grant], addr);
    pthread_mutex_unlock(&g->lock);
    return found;
}

static bool may_use(void *ctx, const struct sockaddr *addr, enum engine_socket_use use)
{
    static const struct net_grant no_port;
    struct grants *g = ctx;

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
    case ENGINE_HTTP_LITERAL:
        /* What names resolved to, perhaps for another request, opens nothing here. */
        return is_granted(g, addr);
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
        pthread_mutex_lock(&g->lock);
        if (!g->resolved)
            g->resolved = xcalloc(RESOLVED_LIMIT, sizeof(*g->resolved));
        r = &g->resolved[g->next];
        r->grant = i;
        memcpy(&r->addr, addr, len);
        g->next = (g->next + 1) % RESOLVED_LIMIT;
        if (g->n_resolved < RESOLVED_LIMIT)
            g->n_resolved++;
        pthread_mutex_unlock(&g->lock);
    }
}

static char *ca_roots(void *ctx, size_t *ret_len)
{
    const struct grants *g = ctx;
    struct stat st;
    char *text;
    ssize_t n;

    /* By position, since others read the same file. */
    if (g->ca_fd < 0 || fstat(g->ca_fd, &st) < 0 || st.st_size > CA_LIMIT_BYTES)
        return NULL;
    text = xcalloc(1, (size_t)st.st_size + 1);
    n = pread(g->ca_fd, text, (size_t)st.st_size, 0);
    if (n < 0) {
        free(text);
        return NULL;
    }
    *ret_len = (size_t)n;
    return text;
}

void grants_attach(struct grants *g, struct engine_network *n)
{
    n->ctx = g;
    n->may_use = may_use;
    n->may_resolve = may_resolve;
    n->resolved = resolved;
    n->ca_roots = ca_roots;
}

struct engine_dir *grants_dirs(const struct guest_spec *s)
{
    struct engine_dir *dirs = xcalloc(s->n_dirs + 1, sizeof(*dirs));

    for (size_t i = 0; i < s->n_dirs; i++)
        dirs[i] = (struct engine_dir){.fd = (int)s->dirs[i].fd,
                                      .guest_path = s->dirs[i].path,
                                      .is_read_only = s->dirs[i].is_read_only};
    return dirs;
}

struct engine_limits grants_limits(const struct guest_spec *s)
{
    return (struct engine_limits){
        .memory_bytes = (uint64_t)s->memory_bytes,
        .table_elements = (uint64_t)s->table_elements,
        .tables = (uint64_t)s->tables,
        .memories = (uint64_t)s->memories,
        .instances = (uint64_t)s->instances,
        .descriptors = (uint64_t)s->descriptors,
    };
}
