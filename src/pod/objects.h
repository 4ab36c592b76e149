/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/err.h"
#include "base/util.h"

/*
 * What a pod refers to by name: configurations, secrets and claims. A face implements the lookup
 * over whatever it has (documents of a manifest, what an API server said).
 */
enum pod_object_kind {
    POD_OBJECT_CONFIG,
    POD_OBJECT_SECRET,
    POD_OBJECT_CLAIM, /* has no keys: that it is there is all there is to know */
};

/* Any bytes, which need no NUL behind them. */
struct pod_object_key {
    const char *name;
    const void *data;
    size_t len;
    bool is_binary; /* CONFIG: of its binaryData, which is for volumes and no variable */
};

struct pod_object {
    const struct pod_object_key *keys;
    size_t n_keys;
};

/*
 * Called on the loop's thread only. What *ret names lives until the function that was given these
 * objects returns. -ENOENT, without a message: there is none of that name. Anything else (not
 * allowed, not fetched yet) comes with a message.
 */
struct pod_objects {
    int (*find)(void *ctx, enum pod_object_kind kind, const char *space, const char *name,
                const struct pod_object **ret, struct err *e);
    void *ctx;
};

/* "configmap", "secret", "persistentvolumeclaim", as Kubernetes' messages have them. */
const char *pod_object_kind_name(enum pod_object_kind kind);

/*
 * 1 when it was found, 0 when there is none and that is fine. Otherwise -ENOENT, "ObjectMissing":
 * `configmap "x" not found` and where it was looked for; or what the lookup said.
 */
int pod_object_find(const struct pod_objects *o, enum pod_object_kind kind, const char *space,
                    const char *name, bool is_optional, const struct pod_object **ret,
                    struct err *e);

/* NULL when there is none. */
const struct pod_object_key *pod_object_key_find(const struct pod_object *o, const char *name);
