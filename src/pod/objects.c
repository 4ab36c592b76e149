/* SPDX-License-Identifier: Apache-2.0 */
#include "pod/objects.h"

const char *pod_object_kind_name(enum pod_object_kind kind)
{
    switch (kind) {
    case POD_OBJECT_CONFIG:
        return "configmap";
    case POD_OBJECT_SECRET:
        return "secret";
    case POD_OBJECT_CLAIM:
        break;
    }
    return "persistentvolumeclaim";
}

int pod_object_find(const struct pod_objects *o, enum pod_object_kind kind, const char *space,
                    const char *name, bool is_optional, const struct pod_object **ret,
                    struct err *e)
{
    int r = o->find(o->ctx, kind, space, name, ret, e);

    if (r >= 0)
        return 1;
    if (r != -ENOENT)
        return r;
    if (is_optional)
        return 0;
    return err_set(e, -ENOENT, "ObjectMissing",
                   "%s \"%s\" not found in namespace '%s'; create it, or mark the reference as "
                   "optional",
                   pod_object_kind_name(kind), name, space);
}

const struct pod_object_key *pod_object_key_find(const struct pod_object *o, const char *name)
{
    for (size_t i = 0; i < o->n_keys; i++)
        if (str_eq(o->keys[i].name, name))
            return &o->keys[i];
    return NULL;
}
