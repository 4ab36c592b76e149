/* SPDX-License-Identifier: Apache-2.0 */
/* What a manifest grants beyond what Kubernetes knows, by annotations. */
#include "base/clock.h"
#include "base/options.h"
#include "guest/net_grant.h"
#include "manifest/pod_parts.h"

#define OURS        "wherry.dev/"
#define GRANT_LIMIT 256 /* of one container */
/* Where its errors speak of the command line. */
#define OPTION       "--allow-net "
#define SCALE_LIMIT  1000
#define INVOKE_LIMIT 1024

/* HOST:PORT with commas between, behind what the container has. */
static int allow_net_add(struct decode *d, const char *at, const char *text, struct pod_spec *s,
                         struct pod_container *c)
{
    size_t n = c->allow_net.n, room = n + 1;
    const char **v;

    for (const char *p = text; *p; p++)
        room += *p == ',';
    v = arena_array(s->arena, room, sizeof(*v));
    if (n)
        memcpy(v, c->allow_net.v, n * sizeof(*v));
    while (*text) {
        size_t len = strcspn(text, ","), before = strspn(text, " \t\r\n"), end;
        struct net_grant grant;
        struct err inner = ERR_INIT;
        const char *word;

        for (end = len; end > before && strchr(" \t\r\n", text[end - 1]); end--)
            ;
        if (end > before) {
            word = arena_strndup(s->arena, text + before, end - before);
            if (net_grant_parse(word, &grant, &inner) < 0)
                return decode_bad(d, inner.code, at, "%s",
                                  inner.msg + (str_starts(inner.msg, OPTION) ? strlen(OPTION) : 0));
            if (n == GRANT_LIMIT)
                return decode_bad(d, -EFBIG, at, "more than %d grants for the container '%.63s'",
                                  GRANT_LIMIT, c->name);
            v[n++] = word;
        }
        text += len + (text[len] == ',');
    }
    c->allow_net = (struct pod_words){v, n};
    return 0;
}

static int invoke_set(struct decode *d, const char *at, const char *text, struct pod_spec *s,
                      struct pod_container *c)
{
    if (!*text || strlen(text) > INVOKE_LIMIT)
        return decode_bad(d, -EINVAL, at, "the name of an export was expected");
    c->invoke = arena_strdup(s->arena, text);
    return 0;
}

static int scale_set(struct decode *d, const char *at, const char *text, struct pod_spec *s,
                     struct pod_container *c)
{
    char *end;
    long scale = strtol(text, &end, 10);

    (void)s;
    if (*end || strspn(text, "0123456789") != strlen(text) || scale < 1 || scale > SCALE_LIMIT)
        return decode_bad(d, -ERANGE, at, "'%.40s' is no whole number from 1 to %d", text,
                          SCALE_LIMIT);
    if (c->role == POD_ROLE_INIT)
        return decode_bad(d, -EINVAL, at,
                          "'%.63s' is an init container, which runs once; only others are scaled",
                          c->name);
    c->kind = POD_CONTAINER_SCALED;
    c->scale = scale;
    return 0;
}

static int timeout_set(struct decode *d, const char *at, const char *text, struct pod_spec *s,
                       struct pod_container *c)
{
    struct err inner = ERR_INIT;

    (void)s;
    if (duration_ms_parse(text, &c->timeout_ms, &inner) < 0)
        return decode_bad(d, inner.code, at, "%s", inner.msg);
    return 0;
}

static const struct {
    const char *name;
    int (*set)(struct decode *d, const char *at, const char *text, struct pod_spec *s,
               struct pod_container *c);
    bool is_for_all; /* also without a container's name */
} grants[] = {
    {"allow-net", allow_net_add, true },
    {"invoke",    invoke_set,    false},
    {"scale",     scale_set,     false},
    {"timeout",   timeout_set,   true },
};

/* `name` is what follows OURS: GRANT.CONTAINER, or GRANT for all of them. */
static int grant_decode(struct decode *d, const char *at, const char *name, const char *text,
                        struct pod_spec *s)
{
    static const char *const names[] = {"allow-net", "invoke", "scale", "timeout", NULL};
    autofree char *word = xstrndup(name, strcspn(name, "."));
    const char *container = name[strlen(word)] ? name + strlen(word) + 1 : NULL;
    const char *near;
    bool is_found = false;

    for (size_t i = 0; i < ARRAY_SIZE(grants); i++) {
        if (!str_eq(word, grants[i].name))
            continue;
        if (!container && !grants[i].is_for_all)
            return decode_bad(d, -EINVAL, at, "write " OURS "%s.CONTAINER, with a container's name",
                              word);
        for (size_t j = 0; j < s->n_containers; j++) {
            if (container && !str_eq(s->containers[j].name, container))
                continue;
            is_found = true;
            TRY(grants[i].set(d, at, text, s, &s->containers[j]));
        }
        if (!is_found)
            return decode_bad(d, -EINVAL, at, "the pod has no container '%.63s'", container);
        return 0;
    }
    near = options_suggest(word, names);
    return decode_bad(d, -EINVAL, at, "unknown annotation of wherry; %s%s%s",
                      near ? "did you mean '" OURS
                           : "there are allow-net, invoke, scale and timeout",
                      near ? near : "", near ? "'?" : "");
}

static int grants_decode(struct decode *d, struct pod_spec *s, bool is_of_one)
{
    for (size_t i = 0; i < s->annotations.n; i++) {
        const char *name = s->annotations.v[i].name;

        if (str_starts(name, OURS) && !!strchr(name + strlen(OURS), '.') == is_of_one)
            TRY(grant_decode(d, decode_path(d, "$.metadata.annotations.%s", name),
                             name + strlen(OURS), s->annotations.v[i].value, s));
    }
    return 0;
}

/* What is said of one container comes after what is said of all. */
int pod_grants_decode(struct decode *d, struct pod_spec *s)
{
    TRY(grants_decode(d, s, false));
    return grants_decode(d, s, true);
}
