/* SPDX-License-Identifier: Apache-2.0 */
#include "image/docker_layers.h"

#include "base/paths.h"
#include "image/rootfs.h"

#define LAYER_LIMIT 100000 /* of all images together */

struct docker_layers {
    struct rootfs *names; /* as if they were one layer: entry `i` is content[i] */
    struct digest *content;
    size_t n, cap;
};

struct docker_layers *docker_layers_new(void)
{
    struct docker_layers *l = xcalloc(1, sizeof(*l));

    l->names = rootfs_new();
    return l;
}

void docker_layers_free(struct docker_layers *l)
{
    rootfs_free(l->names);
    free(l->content);
    free(l);
}

bool docker_layer_is(const char *name)
{
    return str_eq(path_base(name), "layer.tar");
}

static enum rootfs_kind kind_of(enum tarball_kind kind)
{
    static const enum rootfs_kind kinds[] = {
        [TARBALL_FILE] = ROOTFS_FILE,       [TARBALL_FOLDER] = ROOTFS_FOLDER,
        [TARBALL_SYMLINK] = ROOTFS_SYMLINK, [TARBALL_HARD_LINK] = ROOTFS_HARD_LINK,
        [TARBALL_OTHER] = ROOTFS_OTHER,
    };

    return kinds[kind];
}

int docker_layers_add(struct docker_layers *l, const struct tarball_entry *t,
                      const struct digest *content, struct err *e)
{
    if (l->n == LAYER_LIMIT)
        return err_set(e, -E2BIG, "TooLarge", "the archive has more than %d layers", LAYER_LIMIT);
    TRY(rootfs_add(l->names, (struct rootfs_place){.entry = (unsigned)l->n}, kind_of(t->kind),
                   t->name, t->link, e));
    if (l->n == l->cap) {
        l->cap = l->cap ? 2 * l->cap : 16;
        l->content = xrealloc(l->content, l->cap, sizeof(*l->content));
    }
    l->content[l->n++] = content ? *content : (struct digest){0};
    return 0;
}

int docker_layers_find(struct docker_layers *l, const char *name, struct digest *ret, struct err *e)
{
    autofree char *path = xasprintf("/%s", name);
    struct rootfs_place place = {0};
    int r = rootfs_find(l->names, path, &place, e);

    if (!r)
        return err_set(e, -EINVAL, "BadImage", "there is no layer '%.128s' in the archive", name);
    if (r < 0) {
        e->code = -EINVAL;
        e->reason = "BadImage";
        return err_prefix(e, "the layer '%.128s' of the archive", name);
    }
    *ret = l->content[place.entry];
    return 0;
}
