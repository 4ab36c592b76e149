/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/pods/resource.h"

#include <stdarg.h>
#include <strings.h>

#include "base/options.h"
#include "cli/agent_client.h"
#include "manifest/names.h"
#include "wire/http.h"

static const struct resource resources[] = {
    [RESOURCE_POD] = {RESOURCE_POD,    "pods",                   "pod",                   "po",     "Pod"      },
    [RESOURCE_CONFIG] = {RESOURCE_CONFIG, "configmaps",             "configmap",             "cm",     "ConfigMap"},
    [RESOURCE_SECRET] = {RESOURCE_SECRET, "secrets",                "secret",                "secret", "Secret"   },
    [RESOURCE_CLAIM] = {RESOURCE_CLAIM,  "persistentvolumeclaims", "persistentvolumeclaim", "pvc",
                      "PersistentVolumeClaim"                                                                  },
    [RESOURCE_EVENT] = {RESOURCE_EVENT,  "events",                 "event",                 "ev",     "Event"    },
};

const struct resource *resource_of(enum resource_kind kind)
{
    return &resources[kind];
}

static const struct resource *find(const char *word, size_t len)
{
    for (size_t i = 0; i < ARRAY_SIZE(resources); i++) {
        const char *const names[] = {resources[i].plural, resources[i].singular,
                                     resources[i].brief};

        for (size_t k = 0; k < ARRAY_SIZE(names); k++)
            if (strlen(names[k]) == len && !strncasecmp(word, names[k], len))
                return &resources[i];
    }
    return NULL;
}

int resource_find(const char *word, const struct resource **ret, struct err *e)
{
    static const char *const words[] = {"pods",
                                        "pod",
                                        "configmaps",
                                        "configmap",
                                        "secret",
                                        "secrets",
                                        "pvc",
                                        "events",
                                        "persistentvolumeclaims",
                                        "persistentvolumeclaim",
                                        NULL};
    const struct resource *r = find(word, strlen(word));
    const char *near;

    if (r) {
        *ret = r;
        return 0;
    }
    near = options_suggest(word, words);
    if (near)
        return err_set(e, -EINVAL, "UnknownResource",
                       "there is no kind of object '%.60s'; did you mean '%s'?", word, near);
    return err_set(e, -EINVAL, "UnknownResource",
                   "there is no kind of object '%.60s'; there are pods (po), configmaps (cm), "
                   "secrets, persistentvolumeclaims (pvc) and events (ev)",
                   word);
}

/* ---- Operands ---- */

static void ref_add(struct resource_refs *r, const struct resource *resource, const char *name)
{
    r->v = xrealloc(r->v, r->n + 1, sizeof(*r->v));
    r->v[r->n++] = (struct resource_ref){resource, name};
}

static int slashed_parse(const struct strv *operands, struct resource_refs *r, struct err *e)
{
    for (size_t i = 0; i < operands->n; i++) {
        const char *word = operands->v[i], *slash = strchr(word, '/');
        const struct resource *resource = NULL;
        autofree char *kind = NULL;

        if (!slash)
            return err_set(e, -EINVAL, "BadUsage",
                           "'%.60s' follows RESOURCE/NAME and is none: write all of them that way",
                           word);
        kind = xstrndup(word, (size_t)(slash - word));
        TRY(resource_find(kind, &resource, e));
        if (!slash[1] || strchr(slash + 1, '/'))
            return err_set(e, -EINVAL, "BadUsage", "'%.60s' is not RESOURCE/NAME", word);
        ref_add(r, resource, slash + 1);
    }
    return 0;
}

static int kinds_parse(const char *words, const char *const *names, size_t n_names,
                       struct resource_refs *r, struct err *e)
{
    for (const char *at = words;; at += 1) {
        size_t len = strcspn(at, ",");
        autofree char *word = xstrndup(at, len);
        const struct resource *resource = NULL;

        TRY(resource_find(word, &resource, e));
        for (size_t i = 0; i < n_names; i++) {
            if (strchr(names[i], '/'))
                return err_set(e, -EINVAL, "BadUsage",
                               "'%.60s' has a kind of its own; write RESOURCE NAME... or "
                               "RESOURCE/NAME...",
                               names[i]);
            ref_add(r, resource, names[i]);
        }
        if (!n_names)
            ref_add(r, resource, NULL);
        at += len;
        if (!*at)
            return 0;
    }
}

static int refs_parse(const struct strv *o, const struct resource *usual, struct resource_refs *r,
                      struct err *e)
{
    const char *const *v = strv_array(o);

    if (o->n && strchr(v[0], '/'))
        return slashed_parse(o, r, e);
    if (!usual) {
        if (!o->n)
            return err_set(e, -EINVAL, "BadUsage",
                           "say of what: pods, configmaps, secrets, pvc "
                           "or events, or RESOURCE/NAME");
        return kinds_parse(v[0], v + 1, o->n - 1, r, e);
    }
    return kinds_parse(usual->plural, v, o->n, r, e);
}

int resource_refs_parse(const struct strv *operands, const struct resource *usual,
                        struct resource_refs *ret, struct err *e)
{
    struct resource_refs r = {0};
    int code = refs_parse(operands, usual, &r, e);

    if (code < 0)
        resource_refs_done(&r);
    else
        *ret = r;
    return code;
}

void resource_refs_done(struct resource_refs *r)
{
    free(r->v);
    *r = (struct resource_refs){0};
}

/* ---- Paths ---- */

void resource_path_add(struct buf *out, const struct resource *r, const char *space,
                       const char *name)
{
    if (space)
        agent_target_add(out, space, r->plural, name);
    else
        buf_addf(out, "/api/v1/%s", r->plural);
}

void resource_query_add(struct buf *path, const char *key, const char *value)
{
    if (!value)
        return;
    buf_addc(path, strchr(buf_str(path), '?') ? '&' : '?');
    buf_addf(path, "%s=", key);
    http_query_add(path, value);
}

void resource_query_addf(struct buf *path, const char *key, const char *fmt, ...)
{
    autobuf value = BUF_INIT;
    va_list ap;

    va_start(ap, fmt);
    buf_vaddf(&value, fmt, ap);
    va_end(ap);
    resource_query_add(path, key, buf_str(&value));
}
