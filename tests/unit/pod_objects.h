/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "pod/fields.h"
#include "pod/objects.h"

/* What the pods of these tests refer to, changed by a test as an API server's objects change. */
#define OBJECTS_LIMIT 8
#define KEYS_LIMIT    5000

struct fake_object {
    enum pod_object_kind kind;
    const char *name;
    struct pod_object_key keys[KEYS_LIMIT];
    struct pod_object object;
};

static struct fake_object *objects[OBJECTS_LIMIT];

static inline int fake_find(void *ctx, enum pod_object_kind kind, const char *space,
                            const char *name, const struct pod_object **ret, struct err *e)
{
    (void)ctx;
    assert_string_equal(space, "space");
    if (str_eq(name, "forbidden"))
        return err_set(e, -EACCES, "Forbidden", "%s 'forbidden' may not be read",
                       pod_object_kind_name(kind));
    for (size_t i = 0; i < OBJECTS_LIMIT && objects[i]; i++)
        if (objects[i]->kind == kind && str_eq(objects[i]->name, name)) {
            *ret = &objects[i]->object;
            return 0;
        }
    return -ENOENT;
}

static const struct pod_objects lookup = {.find = fake_find};

/* Sets a key, and makes the object if there is none. NULL as value: the object has no key. */
static inline void key_set(enum pod_object_kind kind, const char *object, const char *name,
                           const void *data, size_t len)
{
    struct fake_object *o;
    size_t i = 0, k = 0;

    while (objects[i] && (objects[i]->kind != kind || !str_eq(objects[i]->name, object)))
        i++;
    assert_true(i + 1 < OBJECTS_LIMIT);
    if (!objects[i])
        objects[i] = xcalloc(1, sizeof(*objects[i]));
    o = objects[i];
    o->kind = kind;
    o->name = object;
    o->object.keys = o->keys;
    if (!data)
        return;
    while (k < o->object.n_keys && !str_eq(o->keys[k].name, name))
        k++;
    assert_true(k < KEYS_LIMIT);
    o->keys[k] = (struct pod_object_key){.name = name, .data = data, .len = len};
    if (k == o->object.n_keys)
        o->object.n_keys++;
}

static inline void text_set(enum pod_object_kind kind, const char *object, const char *name,
                            const char *text)
{
    key_set(kind, object, name, text, text ? strlen(text) : 0);
}

static inline void objects_clear(void)
{
    for (size_t i = 0; i < OBJECTS_LIMIT; i++) {
        free(objects[i]);
        objects[i] = NULL;
    }
}

static inline int objects_teardown(void **state)
{
    (void)state;
    objects_clear();
    return 0;
}

static struct pod_pair labels[] = {
    {"b",   "two \"words\"\n"},
    {"app", "w\xc3\xa4rme"   }
};
static struct pod_pair annotations[] = {
    {"a/b", "x\x01\\"}
};

static struct pod_container containers[] = {
    {.name = "main",  .resources = {.cpu_limit_milli = 1250, .memory_request_bytes = 1000001}},
    {.name = "other", .resources = {.memory_limit_bytes = 64 << 20}                          },
};

static const struct pod_spec spec_default = {
    .space = "space",
    .name = "pod",
    .uid = "11-22",
    .labels = {labels,      2},
    .annotations = {annotations, 1},
    .containers = containers,
    .n_containers = 2,
    .node = "node-1",
    .service_account = "default"
};
