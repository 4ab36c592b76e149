/* SPDX-License-Identifier: Apache-2.0 */
#include "store/reference.h"

#include <ctype.h>
#include <stdio.h>

#include "base/buf.h"

#define DOCKER_LIBRARY   "library/"
#define DEFAULT_TAG      "latest"
#define REPOSITORY_LIMIT 255
#define TAG_LIMIT        128

static int bad(struct err *e, const char *text, const char *at, const char *what)
{
    return err_set(e, -EINVAL, "BadReference", "'%.*s' is no image name: %s at character %zu",
                   REFERENCE_LIMIT, text, what, (size_t)(at - text) + 1);
}

static bool is_lower(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

/* ---- Host ---- */

/* Whether what stands before the first '/' is a host. */
static bool is_host(const char *text, size_t len)
{
    if (len == strlen("localhost") && !memcmp(text, "localhost", len))
        return true;
    for (size_t i = 0; i < len; i++)
        if (text[i] == '.' || text[i] == ':' || isupper((unsigned char)text[i]))
            return true;
    return false;
}

static const char *ipv6_end(const char *s, const char *end)
{
    const char *digits = s;

    while (s < end && (isxdigit((unsigned char)*s) || *s == ':' || *s == '.'))
        s++;
    return s > digits && s < end && *s == ']' ? s + 1 : NULL;
}

static const char *name_end(const char *s, const char *end)
{
    /* Labels of letters, digits and hyphens, with no hyphen at an end (RFC 1123, 2.1). */
    for (;;) {
        const char *label = s;

        while (s < end && (isalnum((unsigned char)*s) || *s == '-'))
            s++;
        if (s == label || *label == '-' || s[-1] == '-')
            return NULL;
        if (s == end || *s != '.')
            return s;
        s++;
    }
}

static int host_check(const char *text, const char *end, struct err *e)
{
    const char *s = *text == '[' ? ipv6_end(text + 1, end) : name_end(text, end);
    const char *port;

    if (!s)
        return bad(e, text, text, "there is no host name or address");
    if (s == end)
        return 0;
    if (*s != ':')
        return bad(e, text, s, "this does not belong to a host name");
    for (port = ++s; s < end && isdigit((unsigned char)*s); s++)
        ;
    if (s == port || s != end || s - port > 5 || strtoul(port, NULL, 10) > 65535 ||
        strtoul(port, NULL, 10) == 0)
        return bad(e, text, port, "the port is no number from 1 to 65535");
    return 0;
}

/* ---- Repository ---- */

/* One part: lower-case letters and digits, with '.', '_', '__' or hyphens between them. */
static const char *part_end(const char *s, const char *end)
{
    for (;;) {
        const char *word = s;

        while (s < end && is_lower(*s))
            s++;
        if (s == word)
            return NULL;
        if (s < end && *s == '-') {
            while (s < end && *s == '-')
                s++;
        } else if (s < end && *s == '_') {
            s += s + 1 < end && s[1] == '_' ? 2 : 1;
        } else if (s < end && *s == '.') {
            s++;
        } else {
            return s;
        }
    }
}

static int repository_check(const char *text, const char *s, const char *end, struct err *e)
{
    for (;;) {
        const char *part = s;

        s = part_end(s, end);
        if (!s) {
            while (part < end && is_lower(*part))
                part++;
            return bad(e, text, part,
                       part < end && isupper((unsigned char)*part)
                           ? "a capital letter (paths are in lower case)"
                           : "a part of the path does not begin and end with a letter or digit");
        }
        if (s == end)
            return 0;
        if (*s != '/')
            return bad(e, text, s,
                       isupper((unsigned char)*s) ? "a capital letter (paths are in lower case)"
                                                  : "this does not belong into a path");
        s++;
    }
}

/* ---- Tag and digest ---- */

static int tag_check(const char *text, const char *s, const char *end, struct err *e)
{
    const char *tag = s;

    if (s == end || !is_word(*s))
        return bad(e, text, s, "a tag begins with a letter, a digit or '_'");
    while (s < end && (is_word(*s) || *s == '.' || *s == '-'))
        s++;
    if (s != end)
        return bad(e, text, s, "this does not belong into a tag");
    if (s - tag > TAG_LIMIT)
        return bad(e, text, tag + TAG_LIMIT, "the tag is too long");
    return 0;
}

static int digest_read(const char *text, const char *s, struct digest *ret, struct err *e)
{
    struct err why = ERR_INIT;

    if (!str_starts(s, "sha256:"))
        return bad(e, text, s, "a digest begins with 'sha256:'");
    if (digest_parse(s, ret, &why) < 0)
        return bad(e, text, s, "a digest has 64 hexadecimal digits in lower case");
    return 0;
}

void reference_done(struct reference *r)
{
    free(r->host);
    free(r->repository);
    free(r->tag);
    *r = (struct reference){0};
}

int reference_parse(const char *text, struct reference *ret, struct err *e)
{
    struct reference r = {0};
    const char *slash, *path = text, *at, *path_end, *colon;
    autofree char *host = NULL, *full = NULL;
    bool is_library;

    if (strnlen(text, REFERENCE_LIMIT + 1) > REFERENCE_LIMIT)
        return bad(e, text, text + REFERENCE_LIMIT, "the name is too long");
    if (!*text)
        return err_set(e, -EINVAL, "BadReference", "an image name is empty");
    at = strchrnul(text, '@');
    slash = memchr(text, '/', (size_t)(at - text));
    if (slash && is_host(text, (size_t)(slash - text))) {
        TRY(host_check(text, slash, e));
        path = slash + 1;
    }
    colon = memchr(path, ':', (size_t)(at - path));
    path_end = colon ? colon : at;
    TRY(repository_check(text, path, path_end, e));
    if (colon)
        TRY(tag_check(text, colon + 1, at, e));
    if (*at) {
        TRY(digest_read(text, at + 1, &r.digest, e));
        r.has_digest = true;
    }
    host = path == text ? xstrdup(REFERENCE_DOCKER) : xstrndup(text, (size_t)(slash - text));
    r.host = xstrdup(reference_registry(host));
    is_library = str_eq(r.host, REFERENCE_DOCKER) && !memchr(path, '/', (size_t)(path_end - path));
    r.repository =
        xasprintf("%s%.*s", is_library ? DOCKER_LIBRARY : "", (int)(path_end - path), path);
    if (colon)
        r.tag = xstrndup(colon + 1, (size_t)(at - colon - 1));
    else if (!r.has_digest)
        r.tag = xstrdup(DEFAULT_TAG);
    full = reference_format(&r);
    if (strlen(r.repository) > REPOSITORY_LIMIT || strlen(full) > REFERENCE_LIMIT) {
        reference_done(&r);
        return bad(e, text, path_end - 1, "the name in full is too long");
    }
    *ret = r;
    return 0;
}

char *reference_version(const struct reference *r)
{
    char hex[DIGEST_HEX_SIZE];

    if (!r->has_digest)
        return xstrdup(r->tag);
    digest_hex_format(&r->digest, hex);
    return xasprintf("sha256:%s", hex);
}

char *reference_format(const struct reference *r)
{
    autofree char *version = reference_version(r);

    return xasprintf("%s/%s%s%s%s%s", r->host, r->repository, r->tag ? ":" : "",
                     r->tag ? r->tag : "", r->has_digest ? "@" : "", r->has_digest ? version : "");
}

/* What else Docker's registry is called; the first is the host to talk to. */
static const char *const docker_names[] = {"registry-1.docker.io", "index.docker.io"};

const char *reference_registry(const char *host)
{
    for (size_t i = 0; i < ARRAY_SIZE(docker_names); i++)
        if (str_eq(host, docker_names[i]))
            return REFERENCE_DOCKER;
    return host;
}

const char *reference_server(const struct reference *r)
{
    return str_eq(r->host, REFERENCE_DOCKER) ? docker_names[0] : r->host;
}

char *reference_store_path(const struct reference *r)
{
    autofree char *version = reference_version(r);

    /* The last part begins with a character that no other part may have, so names do not meet. */
    return xasprintf("names/%s/%s/%c%s", r->host, r->repository, r->has_digest ? '@' : ':',
                     version);
}

bool reference_is_short(const char *text)
{
    const char *slash = memchr(text, '/', strcspn(text, "@"));

    return !slash || !is_host(text, (size_t)(slash - text));
}

bool reference_is_plain(const char *text)
{
    if (*text == '.' || *text == '/')
        return false;
    return strpbrk(text, ":@") || !reference_is_short(text);
}
