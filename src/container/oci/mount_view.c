/* SPDX-License-Identifier: Apache-2.0 */
#include "container/oci/mount_view.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>

#include "base/fds.h"
#include "base/paths.h"

#define LINKS_MAX 40 /* as the kernel's */

/* What of `path` is below the folder: "" for the folder itself; NULL: it is elsewhere. */
static const char *path_below(const char *path, const char *folder)
{
    size_t len = str_eq(folder, "/") ? 0 : strlen(folder);

    if (strncmp(path, folder, len) != 0 || (path[len] && path[len] != '/'))
        return NULL;
    return path + len + strspn(path + len, "/");
}

/* A path without links, and so within one mount. */
static int place_open(const struct mount_view *v, const char *path, int flags)
{
    int fd = v->root_fd;
    const char *below = path + 1;
    autofd source = -EBADF;

    /* The last one is on top. */
    for (size_t i = v->n_points; i-- > 0;) {
        const struct oci_mount *m = &v->config->mounts[i];
        const char *rest = path_below(path, v->points[i]);

        if (!rest)
            continue;
        if (!oci_mount_is_bind(m) || !m->source)
            return -ENOENT;
        source =
            openat(v->bundle_fd, m->source, (*rest ? O_PATH : flags & ~O_NOFOLLOW) | O_CLOEXEC);
        if (source < 0)
            return -errno;
        if (!*rest)
            return take_fd(&source);
        fd = source;
        below = rest;
        break;
    }
    return file_open_resolved(fd, *below ? below : ".", flags,
                              RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
}

/* The target of a link, or NULL: it is none. */
static char *link_read(const struct mount_view *v, const char *path, int *ret_error)
{
    autofd fd = place_open(v, path, O_PATH | O_NOFOLLOW);
    char target[PATH_MAX];
    ssize_t n;

    *ret_error = fd < 0 ? fd : 0;
    n = fd < 0 ? -1 : readlinkat(fd, "", target, sizeof(target));
    return n < 0 ? NULL : xstrndup(target, (size_t)n);
}

static void last_remove(struct buf *path)
{
    const char *slash = path->len ? strrchr(path->data, '/') : NULL;

    path->len = slash ? (size_t)(slash - path->data) : 0;
    if (path->data)
        buf_terminate(path);
}

/* The same place by a path without links. What is missing may be made for a mount below it. */
static int links_follow(const struct mount_view *v, const char *path, char **ret)
{
    autofree char *rest = xstrdup(path);
    const char *at = rest;
    autobuf done = BUF_INIT;
    int n_links = 0;

    for (at += strspn(at, "/"); *at; at += strspn(at, "/")) {
        size_t len = strcspn(at, "/");
        const char *part = at;
        autofree char *target = NULL;
        char *next;
        int r;

        at += len;
        if (len == 1 && *part == '.')
            continue;
        if (len == 2 && !strncmp(part, "..", 2)) {
            last_remove(&done);
            continue;
        }
        buf_addf(&done, "/%.*s", (int)len, part);
        target = link_read(v, buf_str(&done), &r);
        if (r < 0 && r != -ENOENT)
            return r;
        if (!target)
            continue;
        last_remove(&done);
        if (*target == '/')
            buf_clear(&done);
        if (++n_links > LINKS_MAX)
            return -ELOOP;
        next = path_join(target, at);
        free(rest);
        at = rest = next;
    }
    *ret = done.len ? buf_take(&done) : xstrdup("/");
    return 0;
}

void mount_view_init(struct mount_view *v, const struct oci_config *config, int root_fd,
                     int bundle_fd)
{
    *v = (struct mount_view){.root_fd = root_fd, .bundle_fd = bundle_fd, .config = config};
    if (!config || !config->n_mounts)
        return;
    v->points = xcalloc(config->n_mounts, sizeof(*v->points));
    for (size_t i = 0; i < config->n_mounts; i++) {
        const char *destination = config->mounts[i].destination;
        char *point = NULL;

        /* Each lies on those before it. One whose place cannot be found is where it says. */
        if (links_follow(v, destination, &point) < 0)
            point = xstrdup(destination);
        v->points[v->n_points++] = point;
    }
}

void mount_view_done(struct mount_view *v)
{
    for (size_t i = 0; i < v->n_points; i++)
        free(v->points[i]);
    free(v->points);
    *v = (struct mount_view){.root_fd = -EBADF, .bundle_fd = -EBADF};
}

int mount_view_open(const struct mount_view *v, const char *path, int flags)
{
    autofree char *place = NULL;
    int r = links_follow(v, path, &place);

    return r < 0 ? r : place_open(v, place, flags);
}
