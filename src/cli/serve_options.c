/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/serve_options.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <strings.h>

#include "base/buf.h"
#include "base/json.h"

/* ---- Addresses ---- */

static int unix_parse(const char *option, const char *path, struct listen_address *ret,
                      struct err *e)
{
    struct listen_address a = {.un.sun_family = AF_UNIX};
    size_t len = strlen(path);

    if (!len)
        return err_set(e, -EINVAL, "BadUsage", "%s unix: names no file; write unix:/PATH", option);
    if (len >= sizeof(a.un.sun_path))
        return err_set(e, -E2BIG, "BadUsage",
                       "%s 'unix:%.200s' is longer than the %zu bytes that the kernel allows",
                       option, path, sizeof(a.un.sun_path) - 1);
    if (!utf8_is_valid(path, len))
        return err_set(e, -EINVAL, "BadUsage", "%s 'unix:%.200s' is not UTF-8 text", option, path);
    memcpy(a.un.sun_path, path, len + 1);
    a.len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + 1);
    *ret = a;
    return 0;
}

/* 0 to 65535 in decimal digits; -1 for anything else. */
static int port_parse(const char *text)
{
    int port = 0;

    if (!*text || strlen(text) > 5)
        return -1;
    for (; *text; text++) {
        if (!isdigit((unsigned char)*text))
            return -1;
        port = port * 10 + (*text - '0');
    }
    return port <= 65535 ? port : -1;
}

static bool host_set(const char *host, uint16_t port, struct listen_address *a)
{
    size_t len = strlen(host);

    *a = (struct listen_address){
        .v4 = {.sin_family = AF_INET, .sin_port = htons(port)},
          .len = sizeof(a->v4)
    };
    if (!strcasecmp(host, "localhost"))
        host = "127.0.0.1";
    if (inet_pton(AF_INET, host, &a->v4.sin_addr) == 1)
        return true;
    *a = (struct listen_address){
        .v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)},
          .len = sizeof(a->v6)
    };
    if (!len || str_eq(host, "*")) {
        a->is_dual = true;
        return true;
    }
    if (host[0] == '[' && host[len - 1] == ']') {
        autofree char *inner = xstrndup(host + 1, len - 2);

        return inet_pton(AF_INET6, inner, &a->v6.sin6_addr) == 1;
    }
    return false;
}

static int port_missing(const char *option, const char *text, struct err *e)
{
    if (strchr(text, '/'))
        return err_set(e, -EINVAL, "BadUsage",
                       "%s '%.200s' is no address; for a socket file write unix:%.100s", option,
                       text, text);
    return err_set(e, -EINVAL, "BadUsage", "%s '%.200s' has no port; write %.100s:8080", option,
                   text, text);
}

static int tcp_parse(const char *option, const char *text, struct listen_address *ret,
                     struct err *e)
{
    const char *colon = strrchr(text, ':'), *port_text = colon ? colon + 1 : text;
    bool has_host = colon && !strchr(colon, ']');
    int port = port_parse(port_text);
    autofree char *host = has_host ? xstrndup(text, (size_t)(colon - text)) : xstrdup("127.0.0.1");
    struct listen_address a;

    if (!has_host && (!*text || text[strspn(text, "0123456789")]))
        return port_missing(option, text, e);
    if (host[0] != '[' && strchr(host, ':'))
        return err_set(e, -EINVAL, "BadUsage",
                       "%s '%.200s': write an IPv6 address in brackets, [::1]:8080", option, text);
    if (port < 0)
        return err_set(e, -EINVAL, "BadUsage", "%s '%.200s': '%.40s' is not a port, 0 to 65535",
                       option, text, port_text);
    if (!host_set(host, (uint16_t)port, &a))
        return err_set(e, -EINVAL, "BadUsage",
                       "%s '%.200s': '%.100s' is not an address; write one of this machine, such "
                       "as 127.0.0.1:%d or [::1]:%d, or :%d for all",
                       option, text, host, port, port, port);
    *ret = a;
    return 0;
}

int listen_address_parse(const char *option, const char *text, struct listen_address *ret,
                         struct err *e)
{
    const char *scheme = strstr(text, "://");

    if (str_starts(text, "unix:"))
        return unix_parse(option, text + strlen("unix:"), ret, e);
    if (scheme)
        return err_set(e, -EINVAL, "BadUsage", "%s '%.200s': write the address alone, %.100s",
                       option, text, scheme + 3);
    return tcp_parse(option, text, ret, e);
}

void listen_address_format(const struct listen_address *a, char ret[static LISTEN_TEXT_SIZE])
{
    char host[INET6_ADDRSTRLEN];

    if (a->any.sa_family == AF_UNIX) {
        snprintf(ret, LISTEN_TEXT_SIZE, "unix:%s", a->un.sun_path);
    } else if (a->any.sa_family == AF_INET) {
        inet_ntop(AF_INET, &a->v4.sin_addr, host, sizeof(host));
        snprintf(ret, LISTEN_TEXT_SIZE, "%s:%d", host, ntohs(a->v4.sin_port));
    } else {
        inet_ntop(AF_INET6, &a->v6.sin6_addr, host, sizeof(host));
        snprintf(ret, LISTEN_TEXT_SIZE, "[%s]:%d", host, ntohs(a->v6.sin6_port));
    }
}

static bool is_wildcard(const struct listen_address *a)
{
    return a->any.sa_family == AF_INET ? a->v4.sin_addr.s_addr == htonl(INADDR_ANY)
                                       : IN6_IS_ADDR_UNSPECIFIED(&a->v6.sin6_addr);
}

/* True when the two cannot both be listened on. */
static bool overlaps(const struct listen_address *a, const struct listen_address *b)
{
    bool is_v4 = a->any.sa_family == AF_INET;

    if (a->any.sa_family == AF_UNIX || b->any.sa_family == AF_UNIX)
        return a->any.sa_family == b->any.sa_family && str_eq(a->un.sun_path, b->un.sun_path);
    /* Both families keep the port at the same place. */
    if (a->v4.sin_port != b->v4.sin_port || !a->v4.sin_port)
        return false;
    if (a->is_dual || b->is_dual)
        return true;
    if (a->any.sa_family != b->any.sa_family)
        return false;
    if (is_wildcard(a) || is_wildcard(b))
        return true;
    return is_v4 ? a->v4.sin_addr.s_addr == b->v4.sin_addr.s_addr
                 : IN6_ARE_ADDR_EQUAL(&a->v6.sin6_addr, &b->v6.sin6_addr);
}

static int overlap_check(const struct listen_address *all, size_t n, const char *option,
                         const struct listen_address *a, struct err *e)
{
    char text[LISTEN_TEXT_SIZE], other[LISTEN_TEXT_SIZE];

    for (size_t i = 0; i < n; i++) {
        if (!overlaps(&all[i], a))
            continue;
        listen_address_format(&all[i], other);
        listen_address_format(a, text);
        return err_set(e, -EINVAL, "BadUsage",
                       "--listen %s and %s %s take the same place; leave one of them out", other,
                       option, text);
    }
    return 0;
}

int listen_addresses_parse(const struct strv *texts, const char *metrics,
                           struct listen_addresses *ret, struct err *e)
{
    autofree struct listen_address *items = NULL;
    struct listen_address last = {0};

    if (texts->n > SERVE_LISTENER_LIMIT)
        return err_set(e, -E2BIG, "BadUsage", "more than %d --listen", SERVE_LISTENER_LIMIT);
    items = xcalloc(texts->n + 1, sizeof(*items));
    for (size_t i = 0; i < texts->n; i++) {
        TRY(listen_address_parse("--listen", texts->v[i], &items[i], e));
        TRY(overlap_check(items, i, "--listen", &items[i], e));
    }
    if (metrics) {
        TRY(listen_address_parse("--metrics", metrics, &last, e));
        TRY(overlap_check(items, texts->n, "--metrics", &last, e));
    }
    *ret = (struct listen_addresses){
        .items = take_ptr(items), .n = texts->n, .metrics = last, .has_metrics = metrics != NULL};
    return 0;
}

void listen_addresses_done(struct listen_addresses *a)
{
    free(a->items);
    *a = (struct listen_addresses){0};
}

/* ---- Routes ---- */

static int hex_value(char c)
{
    if (isdigit((unsigned char)c))
        return c - '0';
    if (!isxdigit((unsigned char)c))
        return -1;
    return tolower((unsigned char)c) - 'a' + 10;
}

/* "unreserved" of RFC 3986: written plainly or percent-encoded, it is the same. */
static bool is_unreserved(int c)
{
    return isascii(c) && (isalnum(c) || strchr("-._~", c)) && c;
}

/* Adds what "%XX" at `text` stands for. NULL, or what is wrong. */
static const char *percent_add(const char *text, struct buf *out)
{
    int high = hex_value(text[1]), low = high < 0 ? -1 : hex_value(text[2]);

    if (low < 0)
        return "a % is not followed by two hexadecimal digits";
    if (is_unreserved(high * 16 + low))
        buf_addc(out, (char)(high * 16 + low));
    else
        buf_addf(out, "%%%X%X", (unsigned)high, (unsigned)low);
    return NULL;
}

/* NULL, or what is wrong with the path. `text` begins with '/'. */
static const char *path_normalise(const char *text, struct buf *out)
{
    const char *why;

    for (; *text; text++) {
        if (*text == '/') {
            if (!out->len || out->data[out->len - 1] != '/')
                buf_addc(out, '/');
        } else if (*text == '%') {
            why = percent_add(text, out);
            if (why)
                return why;
            text += 2;
        } else if (*text == '?' || *text == '#') {
            return "a path has neither a query nor a fragment";
        } else if (is_unreserved(*text) || strchr("!$&'()*+,;:@", *text)) {
            buf_addc(out, *text);
        } else {
            return "a character in it has to be written as %XX";
        }
        if (out->len > SERVE_ROUTE_LIMIT)
            return "it is too long";
    }
    if (out->len > 1 && out->data[out->len - 1] == '/') {
        out->len--;
        buf_terminate(out);
    }
    for (const char *s = out->data; s; s = strchr(s + 1, '/')) {
        size_t len = strcspn(s + 1, "/");

        if ((len == 1 && s[1] == '.') || (len == 2 && s[1] == '.' && s[2] == '.'))
            return "clients resolve . and .. before they ask";
    }
    return NULL;
}

static bool host_name_add(const char *text, size_t len, struct buf *out)
{
    size_t label = 0;

    if (len && text[len - 1] == '.')
        len--;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];

        if (c == '.' ? !label : !isascii(c) || (!isalnum(c) && c != '-' && c != '_'))
            return false;
        label = c == '.' ? 0 : label + 1;
        if (label > 63)
            return false;
        buf_addc(out, (char)tolower(c));
    }
    return label && len <= SERVE_HOST_LIMIT;
}

static bool host_v6_add(const char *text, size_t len, struct buf *out)
{
    autofree char *inner = xstrndup(text + 1, len - 2);
    char canonical[INET6_ADDRSTRLEN];
    struct in6_addr addr;

    if (inet_pton(AF_INET6, inner, &addr) != 1)
        return false;
    inet_ntop(AF_INET6, &addr, canonical, sizeof(canonical));
    buf_addf(out, "[%s]", canonical);
    return true;
}

static int host_parse(const char *text, const char *name, size_t len, struct buf *out,
                      struct err *e)
{
    bool is_v6 = len > 2 && name[0] == '[' && name[len - 1] == ']';

    if (!len)
        return err_set(e, -EINVAL, "BadUsage",
                       "--host '%.200s' names no host; write NAME=FILE or NAME/PATH=FILE", text);
    if (len == 1 && name[0] == '*')
        return err_set(e, -EINVAL, "BadUsage",
                       "--host '%.200s': for any host write --route /PATH=FILE", text);
    if (is_v6 ? host_v6_add(name, len, out) : host_name_add(name, len, out))
        return 0;
    if (memchr(name, ':', len))
        return err_set(e, -EINVAL, "BadUsage",
                       "--host '%.200s': leave the port out; a host is meant at every port", text);
    return err_set(e, -EINVAL, "BadUsage",
                   "--host '%.200s': '%.*s' is not a host name; write letters, digits, '-' and '.' "
                   "(other scripts in their xn-- form)",
                   text, (int)(len < 100 ? len : 100), name);
}

/* `path` is what goes before the '=' that follows after `len` bytes; `host` may be empty. */
static int route_fill(const char *option, const char *text, const char *path, size_t len,
                      struct buf *host, struct serve_route *ret, struct err *e)
{
    autofree char *raw = len ? xstrndup(path, len) : xstrdup("/");
    const char *file = path + len + 1, *why;
    autobuf normal = BUF_INIT;

    why = path_normalise(raw, &normal);
    if (why)
        return err_set(e, -EINVAL, "BadUsage", "%s '%.200s': bad path: %s", option, text, why);
    if (!*file)
        return err_set(e, -EINVAL, "BadUsage", "%s '%.200s' names no program behind the =", option,
                       text);
    if (!utf8_is_valid(file, strlen(file)))
        return err_set(e, -EINVAL, "BadUsage", "%s '%.200s': the name of the file is not UTF-8",
                       option, text);
    *ret = (struct serve_route){.host = host->len ? buf_take(host) : NULL,
                                .path = buf_take(&normal),
                                .file = xstrdup(file)};
    return 0;
}

int serve_route_parse(const char *text, struct serve_route *ret, struct err *e)
{
    size_t len = strcspn(text, "=");
    autobuf host = BUF_INIT;

    if (!text[len])
        return err_set(e, -EINVAL, "BadUsage",
                       "--route '%.200s' names no program; write /PATH=FILE", text);
    if (text[0] != '/')
        return err_set(e, -EINVAL, "BadUsage", "--route '%.200s' does not begin with '/'%s", text,
                       len ? "; for a host write --host NAME=FILE" : "; write /PATH=FILE");
    return route_fill("--route", text, text, len, &host, ret, e);
}

int serve_host_parse(const char *text, struct serve_route *ret, struct err *e)
{
    size_t len = strcspn(text, "="), name_len = strcspn(text, "=/");
    autobuf host = BUF_INIT;

    if (!text[len])
        return err_set(e, -EINVAL, "BadUsage",
                       "--host '%.200s' names no program; write NAME=FILE or NAME/PATH=FILE", text);
    TRY(host_parse(text, text, name_len, &host, e));
    return route_fill("--host", text, text + name_len, len - name_len, &host, ret, e);
}

void serve_route_done(struct serve_route *r)
{
    free(r->host);
    free(r->path);
    free(r->file);
    *r = (struct serve_route){0};
}

static bool is_same_place(const struct serve_route *a, const struct serve_route *b)
{
    if (!str_eq(a->path, b->path) || !a->host != !b->host)
        return false;
    return !a->host || str_eq(a->host, b->host);
}

static int route_add(struct serve_routes *all, struct serve_route *r, struct err *e)
{
    for (size_t i = 0; i < all->n; i++) {
        const struct serve_route *other = &all->items[i];

        if (!is_same_place(other, r))
            continue;
        err_set(e, -EINVAL, "BadUsage", "%.100s%.100s has two programs, '%.100s' and '%.100s'",
                r->host ? r->host : "the path ", r->path, other->file, r->file);
        serve_route_done(r);
        return e->code;
    }
    all->items[all->n++] = *r;
    return 0;
}

static int routes_fill(const char *file, const struct strv *routes, const struct strv *hosts,
                       struct serve_routes *all, struct err *e)
{
    struct serve_route r = {0};

    for (size_t i = 0; i < routes->n; i++) {
        TRY(serve_route_parse(routes->v[i], &r, e));
        TRY(route_add(all, &r, e));
    }
    for (size_t i = 0; i < hosts->n; i++) {
        TRY(serve_host_parse(hosts->v[i], &r, e));
        TRY(route_add(all, &r, e));
    }
    if (!file)
        return 0;
    if (!utf8_is_valid(file, strlen(file)))
        return err_set(e, -EINVAL, "BadUsage", "the name of the file '%.200s' is not UTF-8", file);
    r = (struct serve_route){.path = xstrdup("/"), .file = xstrdup(file)};
    return route_add(all, &r, e);
}

int serve_routes_collect(const char *file, const struct strv *routes, const struct strv *hosts,
                         struct serve_routes *ret, struct err *e)
{
    size_t n = routes->n + hosts->n + (file != NULL);
    struct serve_routes all = {0};
    int r;

    if (!n)
        return err_set(e, -EINVAL, "BadUsage",
                       "FILE is missing; name a program, or several by --route /PATH=FILE");
    if (n > SERVE_APP_LIMIT)
        return err_set(e, -E2BIG, "BadUsage", "more than %d programs", SERVE_APP_LIMIT);
    all.items = xcalloc(n, sizeof(*all.items));
    r = routes_fill(file, routes, hosts, &all, e);
    if (r < 0) {
        serve_routes_done(&all);
        return r;
    }
    *ret = all;
    return 0;
}

void serve_routes_done(struct serve_routes *r)
{
    for (size_t i = 0; i < r->n; i++)
        serve_route_done(&r->items[i]);
    free(r->items);
    *r = (struct serve_routes){0};
}
