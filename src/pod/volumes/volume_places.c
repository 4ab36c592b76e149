/* SPDX-License-Identifier: Apache-2.0 */
#include "pod/volumes/volume_places.h"

#include <ctype.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "base/paths.h"
#include "pod/volumes/host_path.h"
#include "pod/volumes/memory.h"
#include "pod/volumes/tree.h"

#define NAME_LIMIT   253
#define PRIVATE_MODE 0700

int volume_name_check(const char *what, const char *name, struct err *e)
{
    size_t len = name ? strlen(name) : 0;
    bool is_good = len && len <= NAME_LIMIT && *name != '.';

    for (size_t i = 0; is_good && i < len; i++)
        is_good = isascii(name[i]) && (isalnum((unsigned char)name[i]) || strchr("._-", name[i]));
    if (is_good)
        return 0;
    return err_set(e, -EINVAL, "BadName",
                   "'%.100s' cannot be the name of a %s: it has to be of letters, digits, '.', '_' "
                   "and '-', and must not begin with '.'",
                   name ? name : "", what);
}

static int below(const char *root, const char *uid, const char *sub, bool is_made, int *ret_fd,
                 struct err *e)
{
    autofree char *path = xasprintf("pods/%s/%s", uid, sub);
    autofd at = -EBADF;
    int fd;

    TRY(volume_name_check("pod's folder", uid, e));
    if (is_made)
        TRY(path_open_private(root, &at, e));
    else
        at = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (at < 0)
        return errno == ENOENT
                   ? -ENOENT
                   : err_errno(e, -errno, "OpenFailed", "cannot open the folder '%s'", root);
    if (is_made)
        return tree_folders(at, path, PRIVATE_MODE, ret_fd, e);
    fd = tree_open(at, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    if (fd < 0)
        return fd == -ENOENT
                   ? fd
                   : err_errno(e, fd, "OpenFailed", "cannot open the folder '%s/%s'", root, path);
    *ret_fd = fd;
    return 0;
}

int volume_state_open(const struct volumes_places *p, const char *uid, const char *sub,
                      bool is_made, int *ret_fd, struct err *e)
{
    return below(p->state_dir, uid, sub, is_made, ret_fd, e);
}

int volume_memory_open(const struct volumes_places *p, const char *uid, const char *sub,
                       bool is_made, int *ret_fd, struct err *e)
{
    autofd fd = -EBADF;

    if (!p->memory_dir)
        return -ENOENT;
    TRY(below(p->memory_dir, uid, sub, is_made, &fd, e));
    if (!memory_is(fd))
        return -ENOENT;
    *ret_fd = take_fd(&fd);
    return 0;
}

bool volume_is_projection(const struct pod_volume *v)
{
    return v->kind == POD_VOLUME_CONFIG || v->kind == POD_VOLUME_SECRET ||
           v->kind == POD_VOLUME_DOWNWARD || v->kind == POD_VOLUME_PROJECTED;
}

static int claim_open(const struct volumes_places *p, const char *space, const char *name,
                      int *ret_fd)
{
    autofree char *path = xasprintf("%s/claims/%s/%s", p->state_dir, space, name);

    *ret_fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return *ret_fd < 0 ? -errno : 0;
}

static int own_open(const struct volumes_places *p, const struct pod_spec *s,
                    const struct pod_volume *v, int *ret_fd, bool *ret_is_memory, struct err *e)
{
    autofd memory = -EBADF, state = -EBADF;
    int r = volume_memory_open(p, s->uid, "volumes", false, &memory, e);

    if (r < 0 && r != -ENOENT)
        return r;
    if (r >= 0) {
        *ret_fd = tree_open_own(memory, v->name, O_RDONLY | O_DIRECTORY);
        *ret_is_memory = *ret_fd >= 0;
        if (*ret_fd >= 0)
            return 0;
    }
    r = volume_state_open(p, s->uid, "volumes", false, &state, e);
    if (r < 0)
        return r;
    *ret_is_memory = false;
    *ret_fd = openat(state, v->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return *ret_fd < 0 ? -errno : 0;
}

int volume_open(const struct volumes_places *p, const struct pod_spec *s,
                const struct pod_volume *v, int *ret_fd, bool *ret_is_memory, struct err *e)
{
    bool is_memory = false;
    int fd = -EBADF, r;

    if (v->kind == POD_VOLUME_HOST_PATH) {
        *ret_is_memory = false;
        return host_path_open(v, ret_fd, e);
    }
    *e = ERR_INIT;
    r = v->kind == POD_VOLUME_CLAIM ? claim_open(p, s->space, v->claim, &fd)
                                    : own_open(p, s, v, &fd, &is_memory, e);
    if (r < 0)
        return e->code ? r : err_errno(e, r, "OpenFailed", "cannot open the volume '%s'", v->name);
    *ret_fd = fd;
    *ret_is_memory = is_memory;
    return 0;
}
