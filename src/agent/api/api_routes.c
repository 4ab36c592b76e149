/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/api_parts.h"

static const struct api_resource resources[WORKLOADS_RESOURCES] = {
    {"pods",                   "Pod",                   WORKLOADS_PODS   },
    {"configmaps",             "ConfigMap",             WORKLOADS_CONFIGS},
    {"secrets",                "Secret",                WORKLOADS_SECRETS},
    {"persistentvolumeclaims", "PersistentVolumeClaim", WORKLOADS_CLAIMS },
    {"events",                 "Event",                 WORKLOADS_EVENTS },
};

/* RESOURCE is any of those above, OBJECTS any but events, SPACE and NAME any word. */
static const struct {
    const char *method, *path;
    void (*answer)(struct api_call *c);
} routes[] = {
    {"GET",    "/api/v1/RESOURCE",                               api_list       },
    {"GET",    "/api/v1/namespaces/SPACE/RESOURCE",              api_list       },
    {"GET",    "/api/v1/namespaces/SPACE/RESOURCE/NAME",         api_get        },
    {"POST",   "/api/v1/namespaces/SPACE/OBJECTS",               api_create     },
    {"PUT",    "/api/v1/namespaces/SPACE/OBJECTS/NAME",          api_replace    },
    {"PATCH",  "/api/v1/namespaces/SPACE/OBJECTS/NAME",          api_apply      },
    {"DELETE", "/api/v1/namespaces/SPACE/OBJECTS/NAME",          api_delete     },
    {"GET",    "/api/v1/namespaces/SPACE/pods/NAME/log",         api_log_get    },
    {"GET",    "/api/v1/namespaces/SPACE/pods/NAME/exec",        api_exec       },
    {"GET",    "/api/v1/namespaces/SPACE/pods/NAME/portforward", api_portforward},
    {"POST",   "/api/v1/namespaces/SPACE/pods/NAME/restart",     api_restart    },
    {"GET",    "/api/v1/namespaces/SPACE/pods/NAME/top",         api_top_pod    },
    {"GET",    "/api/v1/namespaces/SPACE/top",                   api_top        },
    {"GET",    "/api/v1/top",                                    api_top        },
    {"GET",    "/version",                                       api_version    },
    {"GET",    "/healthz",                                       api_healthz    },
    {"GET",    "/metrics",                                       api_metrics    },
    {"GET",    "/configz",                                       api_configz    },
};

#define PATH_LIMIT 1024

/* Takes the word up to the next slash from *at, which it ends. */
static char *word_take(char **at)
{
    char *word = *at, *slash = strchr(word, '/');

    if (slash)
        *slash++ = '\0';
    *at = slash;
    return word;
}

static bool resource_match(const char *word, bool has_events, const struct api_resource **ret)
{
    for (size_t i = 0; i < ARRAY_SIZE(resources); i++)
        if (str_eq(word, resources[i].plural) &&
            (has_events || resources[i].resource != WORKLOADS_EVENTS)) {
            *ret = &resources[i];
            return true;
        }
    return false;
}

static bool word_match(const char *pattern, const char *word, struct api_call *c)
{
    if (str_eq(pattern, "RESOURCE") || str_eq(pattern, "OBJECTS"))
        return resource_match(word, str_eq(pattern, "RESOURCE"), &c->resource);
    if (str_eq(pattern, "SPACE"))
        c->space = word;
    else if (str_eq(pattern, "NAME"))
        c->name = word;
    else
        return str_eq(pattern, word);
    return *word;
}

/* `path` is taken apart; what the call points to is in it. */
static bool path_match(const char *pattern_text, char *path, struct api_call *c)
{
    char copy[PATH_LIMIT];
    size_t size = strlen(pattern_text + 1) + 1;
    char *pattern = memcpy(copy, pattern_text + 1, size);

    if (*path++ != '/')
        return false;
    while (pattern && path)
        if (!word_match(word_take(&pattern), word_take(&path), c))
            return false;
    return !pattern && !path;
}

static bool peer_is_allowed(struct api *a, struct http_exchange *x)
{
    uid_t uid;
    gid_t gid;
    pid_t pid;

    return http_exchange_peer(x, &uid, &gid, &pid) && api_peers_allow(a->peers, uid, gid);
}

void api_route(struct api *a, struct http_exchange *x)
{
    const char *method = http_exchange_method(x), *path = http_exchange_path(x);
    struct api_call c = {.api = a, .x = x};
    bool is_known = false;

    if (!peer_is_allowed(a, x)) {
        api_answer_fail(&c, "Forbidden",
                        "this socket is for root, the agent's own user and members of the group "
                        "'" API_GROUP "'; add yourself to the group, or use sudo");
        return;
    }
    for (size_t i = 0; i < ARRAY_SIZE(routes) && strlen(path) < PATH_LIMIT; i++) {
        char copy[PATH_LIMIT];
        struct api_call call = {.api = a, .x = x};

        if (!path_match(routes[i].path, memcpy(copy, path, strlen(path) + 1), &call))
            continue;
        is_known = true;
        if (!str_eq(method, routes[i].method))
            continue;
        routes[i].answer(&call);
        return;
    }
    if (is_known)
        api_answer_fail(&c, "MethodNotAllowed", "%.20s is not what '%.300s' can be asked for",
                        method, path);
    else
        api_answer_fail(&c, "NotFound", "the server could not find the requested resource '%.300s'",
                        path);
}
