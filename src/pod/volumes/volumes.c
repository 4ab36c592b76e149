/* SPDX-License-Identifier: Apache-2.0 */
#include "pod/volumes/volumes.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "base/paths.h"
#include "pod/volumes/atomic_writer.h"
#include "pod/volumes/host_path.h"
#include "pod/volumes/memory.h"
#include "pod/volumes/projection.h"
#include "pod/volumes/tree.h"
#include "pod/volumes/volume_places.h"

#define PRIVATE_MODE 0700
/* As in Kubernetes: who may use a volume is decided by who is given it. */
#define VOLUME_MODE 0777
/* Room for the old and the new content, and for what their folders take. */
#define SECRET_LIMIT_BYTES (3 * (int64_t)PROJECTION_LIMIT_BYTES)

struct volumes_content {
    size_t n;
    struct projection v[];
};

static int failed(const struct pod_spec *s, const struct pod_volume *v, struct err *e)
{
    if (!str_eq(e->reason, "VolumeFull") && !str_eq(e->reason, "MemoryVolumeUnsupported"))
        e->reason = VOLUMES_REASON;
    return err_prefix(e, "volume '%.100s' of pod '%.100s/%.100s'", v->name, s->space, s->name);
}

/* ---- Gathering ---- */

static int gather(const struct pod_fields *f, const struct pod_objects *o,
                  const struct pod_volume *v, struct projection *ret, struct err *e)
{
    const struct pod_object *object;

    TRY(volume_name_check("volume", v->name, e));
    if (v->kind == POD_VOLUME_CLAIM)
        TRY(volume_name_check("claim", v->claim, e));
    if (v->kind == POD_VOLUME_CLAIM)
        return pod_object_find(o, POD_OBJECT_CLAIM, f->spec->space, v->claim, false, &object, e);
    return volume_is_projection(v) ? projection_gather(f, v, o, ret, e) : 0;
}

int volumes_gather(const struct pod_fields *f, const struct pod_objects *o,
                   struct volumes_content **ret, struct err *e)
{
    const struct pod_spec *s = f->spec;
    AUTO(volumes_content) c = xcalloc(1, sizeof(*c) + s->n_volumes * sizeof(c->v[0]));

    c->n = s->n_volumes;
    for (size_t i = 0; i < c->n; i++)
        if (gather(f, o, &s->volumes[i], &c->v[i], e) < 0)
            return failed(s, &s->volumes[i], e);
    *ret = take_ptr(c);
    return 0;
}

void volumes_content_free(struct volumes_content *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < c->n; i++)
        projection_done(&c->v[i]);
    free(c);
}

/* ---- Preparing ---- */

/* In memory, by a mount or below MEMORY. -ENOTSUP, without a message: there is no such place. */
static int memory_make(const struct volumes_places *p, const struct pod_spec *s, int state,
                       const struct pod_volume *v, int64_t limit, int *ret_fd, struct err *e)
{
    autofd memory = -EBADF;
    int r = volume_memory_open(p, s->uid, "volumes", false, &memory, e);

    /* What was begun without a mount stays so, whoever is asked now. */
    if (r >= 0 && !faccessat(memory, v->name, F_OK, AT_SYMLINK_NOFOLLOW))
        return tree_folder(memory, v->name, VOLUME_MODE, ret_fd, e);
    r = memory_mount(state, v->name, limit, ret_fd, e);
    if (r != -EPERM)
        return r;
    if (memory < 0) {
        r = volume_memory_open(p, s->uid, "volumes", true, &memory, e);
        if (r < 0)
            return r == -ENOENT ? -ENOTSUP : r;
    }
    return tree_folder(memory, v->name, VOLUME_MODE, ret_fd, e);
}

static int empty_make(const struct volumes_places *p, const struct pod_spec *s, int state,
                      const struct pod_volume *v, struct err *e)
{
    autofd fd = -EBADF;
    int r;

    if (!v->is_memory)
        return tree_folder(state, v->name, VOLUME_MODE, &fd, e);
    r = memory_make(p, s, state, v, v->limit_bytes, &fd, e);
    if (r != -ENOTSUP)
        return r;
    return err_set(e, r, "MemoryVolumeUnsupported",
                   "it is to be in memory, but mounting a tmpfs is not permitted and %s is not on "
                   "one; run as root, or where XDG_RUNTIME_DIR is set",
                   p->memory_dir ? p->memory_dir : "the run folder");
}

static bool is_secret(const struct pod_volume *v)
{
    for (size_t i = 0; i < v->n_projections; i++)
        if (v->projections[i].kind == POD_VOLUME_SECRET)
            return true;
    return false;
}

static int projection_make(const struct volumes_places *p, const struct pod_spec *s, int state,
                           const struct pod_volume *v, const struct projection *content,
                           struct err *e)
{
    autofd fd = -EBADF;
    bool is_changed;
    int r = -ENOTSUP;

    if (is_secret(v))
        r = memory_make(p, s, state, v, SECRET_LIMIT_BYTES, &fd, e);
    if (r == -ENOTSUP)
        r = tree_folder(state, v->name, VOLUME_MODE, &fd, e);
    if (r < 0)
        return r;
    return atomic_write(fd, content, &is_changed, e);
}

static int claim_make(const struct volumes_places *p, const struct pod_spec *s,
                      const struct pod_volume *v, struct err *e)
{
    autofree char *path = xasprintf("claims/%s", s->space);
    autofd state = -EBADF, space = -EBADF, fd = -EBADF;

    TRY(volume_name_check("namespace", s->space, e));
    TRY(volume_name_check("claim", v->claim, e));
    TRY(path_open_private(p->state_dir, &state, e));
    TRY(tree_folders(state, path, PRIVATE_MODE, &space, e));
    return tree_folder(space, v->claim, VOLUME_MODE, &fd, e);
}

static int make(const struct volumes_places *p, const struct pod_spec *s, int state,
                const struct pod_volume *v, const struct projection *content, struct err *e)
{
    autofd fd = -EBADF;

    TRY(volume_name_check("volume", v->name, e));
    switch (v->kind) {
    case POD_VOLUME_EMPTY:
        return empty_make(p, s, state, v, e);
    case POD_VOLUME_HOST_PATH:
        return host_path_open(v, &fd, e);
    case POD_VOLUME_CLAIM:
        return claim_make(p, s, v, e);
    case POD_VOLUME_CONFIG:
    case POD_VOLUME_SECRET:
    case POD_VOLUME_DOWNWARD:
    case POD_VOLUME_PROJECTED:
        break;
    }
    return projection_make(p, s, state, v, content, e);
}

int volumes_prepare(const struct volumes_places *p, const struct pod_spec *s,
                    const struct volumes_content *c, struct err *e)
{
    autofd state = -EBADF;
    int r = volume_state_open(p, s->uid, "volumes", true, &state, e);

    BUG_ON(c->n != s->n_volumes);
    if (r < 0) {
        e->reason = VOLUMES_REASON;
        return err_prefix(e, "volumes of pod '%.100s/%.100s'", s->space, s->name);
    }
    for (size_t i = 0; i < s->n_volumes; i++)
        if (make(p, s, state, &s->volumes[i], &c->v[i], e) < 0)
            return failed(s, &s->volumes[i], e);
    return 0;
}

int volumes_update(const struct volumes_places *p, const struct pod_spec *s,
                   const struct volumes_content *c, bool *ret_is_changed, struct err *e)
{
    struct err why = ERR_INIT;
    bool is_any = false;
    int first = 0;

    BUG_ON(c->n != s->n_volumes);
    for (size_t i = 0; i < s->n_volumes; i++) {
        const struct pod_volume *v = &s->volumes[i];
        autofd fd = -EBADF;
        bool is_memory, is_changed = false;
        int r;

        if (!volume_is_projection(v))
            continue;
        r = volume_open(p, s, v, &fd, &is_memory, &why);
        if (r >= 0)
            r = atomic_write(fd, &c->v[i], &is_changed, &why);
        is_any |= is_changed;
        if (r < 0 && !first) {
            first = failed(s, v, &why);
            *e = why;
        }
    }
    if (first < 0)
        return first;
    *ret_is_changed = is_any;
    return 0;
}

/* ---- Usage and removal ---- */

int volumes_usage(const struct volumes_places *p, const struct pod_spec *s,
                  const struct pod_volume *v, int64_t *ret_bytes, struct err *e)
{
    struct tree_size size = {0};
    autofd fd = -EBADF;
    bool is_memory;
    int r;

    if (v->kind == POD_VOLUME_EMPTY) {
        r = volume_open(p, s, v, &fd, &is_memory, e);
        if (r >= 0)
            r = tree_measure(fd, v->limit_bytes, &size, e);
        if (r < 0)
            return err_prefix(e, "volume '%.100s' of pod '%.100s/%.100s'", v->name, s->space,
                              s->name);
    }
    *ret_bytes = size.bytes;
    return 0;
}

static int remove_below(const char *root, const char *path, const char *name, struct err *e)
{
    autofree char *full = path_join(root, path);
    autofd fd = open(full, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0)
        return errno == ENOENT
                   ? 0
                   : err_errno(e, -errno, "RemoveFailed", "cannot open the folder '%s'", full);
    if (tree_remove(fd, name, e) < 0)
        return err_prefix(e, "in '%.200s'", full);
    return 0;
}

static int pod_remove(const char *root, const char *uid, struct err *e)
{
    autofree char *pod = xasprintf("pods/%s", uid), *full = path_join(root, pod);

    TRY(remove_below(root, pod, "volumes", e));
    TRY(remove_below(root, pod, "files", e));
    /* It stays while others keep something in it. */
    if (rmdir(full) < 0 && errno != ENOENT && errno != ENOTEMPTY && errno != EEXIST)
        return err_errno(e, -errno, "RemoveFailed", "cannot remove the folder '%s'", full);
    return 0;
}

int volumes_remove(const struct volumes_places *p, const char *uid, struct err *e)
{
    TRY(volume_name_check("pod's folder", uid, e));
    if (p->memory_dir)
        TRY(pod_remove(p->memory_dir, uid, e));
    return pod_remove(p->state_dir, uid, e);
}

int volumes_claim_remove(const struct volumes_places *p, const char *space, const char *name,
                         struct err *e)
{
    autofree char *path = xasprintf("claims/%s", space);

    TRY(volume_name_check("namespace", space, e));
    TRY(volume_name_check("claim", name, e));
    return remove_below(p->state_dir, path, name, e);
}
