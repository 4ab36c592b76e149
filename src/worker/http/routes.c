/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/http/routes.h"

#include "base/hash.h"

/* Of a request's path only this much is compared; no route is longer. */
#define PATH_LIMIT 4096

struct routes {
    const struct serve_app *apps;
    size_t *slots; /* places in apps plus one, 0 for a free slot; a power of two of them */
    size_t mask;
    size_t longest;
    bool has_hosts;
};

/* Short keys, and whoever serves chose them. */
static uint64_t hash(struct text host, struct text path)
{
    uint64_t h = hash_add(hash_add(HASH_INIT, host.data, host.len), "", 1);

    return hash_fold(hash_add(h, path.data, path.len));
}

static bool is_app(const struct serve_app *a, struct text host, struct text path)
{
    return text_eq(path, a->route) && (a->host ? text_eq(host, a->host) : !host.len);
}

/* The slot of that key, or the free one where it would be. */
static size_t *slot_of(const struct routes *r, struct text host, struct text path)
{
    size_t at = hash(host, path) & r->mask;

    while (r->slots[at] && !is_app(&r->apps[r->slots[at] - 1], host, path))
        at = (at + 1) & r->mask;
    return &r->slots[at];
}

int routes_new(const struct serve_app *apps, size_t n_apps, struct routes **ret, struct err *e)
{
    AUTO(routes) r = xcalloc(1, sizeof(*r));
    size_t size = 16;

    while (size < 2 * n_apps)
        size *= 2;
    r->apps = apps;
    r->mask = size - 1;
    r->slots = xcalloc(size, sizeof(*r->slots));
    for (size_t i = 0; i < n_apps; i++) {
        struct text path = text_of(apps[i].route);
        size_t *slot = slot_of(r, text_of(apps[i].host), path);

        if (*slot)
            return err_set(e, -EINVAL, "BadSpec", "two programs have the route '%s%s'",
                           apps[i].host ? apps[i].host : "", apps[i].route);
        *slot = i + 1;
        r->longest = path.len > r->longest ? path.len : r->longest;
        r->has_hosts |= apps[i].host != NULL;
    }
    *ret = take_ptr(r);
    return 0;
}

void routes_free(struct routes *r)
{
    free(r->slots);
    free(r);
}

/* Without the port, in lower case, in the caller's storage; no text for one that is too long. */
static struct text host_name(struct text host, char storage[static 256])
{
    size_t len = host.len;

    if (len && host.data[0] == '[') {
        const char *end = memchr(host.data, ']', len);

        len = end ? (size_t)(end - host.data) + 1 : len;
    } else {
        const char *colon = len ? memchr(host.data, ':', len) : NULL;

        len = colon ? (size_t)(colon - host.data) : len;
    }
    if (len && host.data[len - 1] == '.')
        len--;
    if (len > 255)
        return (struct text){0};
    for (size_t i = 0; i < len; i++)
        storage[i] =
            (char)(host.data[i] >= 'A' && host.data[i] <= 'Z' ? host.data[i] | 32 : host.data[i]);
    return (struct text){storage, len};
}

/* Cuts the last segment: "/a/b" to "/a", "/a" to "/", "/" to nothing. */
static bool path_shorten(struct text *path)
{
    size_t len = path->len;

    if (len <= 1)
        return false;
    while (len && path->data[len - 1] != '/')
        len--;
    path->len = len > 1 ? len - 1 : 1;
    return len > 0;
}

ssize_t routes_find(const struct routes *r, struct text host, struct text path)
{
    char storage[256];
    struct text name = r->has_hosts ? host_name(host, storage) : (struct text){0};

    if (!path.len || path.data[0] != '/')
        path = (struct text)TEXT("/");
    if (path.len > PATH_LIMIT)
        path.len = PATH_LIMIT;
    /* What is longer than every route cannot be one. */
    while (path.len > r->longest + 1 && path_shorten(&path))
        ;
    do {
        size_t found = name.len ? *slot_of(r, name, path) : 0;

        if (!found)
            found = *slot_of(r, (struct text){0}, path);
        if (found)
            return (ssize_t)found - 1;
    } while (path_shorten(&path));
    return -1;
}
