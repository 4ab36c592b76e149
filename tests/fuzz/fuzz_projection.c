/* SPDX-License-Identifier: Apache-2.0 */
/* Any lines as keys and as paths of items: what is accepted stays below its folder, in order, each
 * path once, and none the folder of another. */
#include <stdint.h>

#include "base/strv.h"
#include "pod/volumes/projection.h"

#define KEYS 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int find(void *ctx, enum pod_object_kind kind, const char *space, const char *name,
                const struct pod_object **ret, struct err *e)
{
    (void)kind;
    (void)space;
    (void)name;
    (void)e;
    *ret = ctx;
    return 0;
}

static void check(const struct projection *p)
{
    for (size_t i = 0; i < p->n; i++) {
        autofree char *within = xasprintf("/%s/", p->v[i].path);
        size_t len = strlen(p->v[i].path);

        BUG_ON(strstr(within, "/../") || strstr(within, "/./") || strstr(within, "//"));
        BUG_ON(str_starts(p->v[i].path, ".."));
        for (size_t k = i + 1; k < p->n; k++) {
            BUG_ON(strcmp(p->v[i].path, p->v[k].path) >= 0);
            BUG_ON(!strncmp(p->v[i].path, p->v[k].path, len) && p->v[k].path[len] == '/');
        }
    }
}

static void gather(const struct pod_projection *from, const struct pod_object *object)
{
    struct pod_spec spec = {.space = "s", .name = "p", .uid = "u"};
    struct pod_fields fields = {.spec = &spec};
    struct pod_volume v = {.projections = (struct pod_projection *)from, .n_projections = 1};
    struct pod_objects objects = {find, (void *)object};
    struct projection p = {0};
    struct err e = ERR_INIT;

    if (projection_gather(&fields, &v, &objects, &p, &e) < 0)
        BUG_ON(p.v || !e.msg[0]);
    check(&p);
    projection_done(&p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    autofree char *text = xstrndup((const char *)data, size);
    struct pod_object_key keys[KEYS];
    struct pod_item items[KEYS];
    struct pod_object object = {.keys = keys};
    struct pod_projection from = {.kind = POD_VOLUME_CONFIG, .object = "c"};
    char *rest = NULL;
    size_t n = 0;

    for (char *line = strtok_r(text, "\n", &rest); line && n < KEYS;
         line = strtok_r(NULL, "\n", &rest)) {
        keys[n] = (struct pod_object_key){.name = line, .data = line, .len = strlen(line)};
        items[n] = (struct pod_item){.key = line, .path = line, .mode = -1};
        n++;
    }
    object.n_keys = n;
    gather(&from, &object);
    from.items = items;
    from.n_items = n;
    gather(&from, &object);
    return 0;
}
