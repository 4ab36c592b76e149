/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/paths.h"
#include "guest/spec.h"
#include "pod/environment.h"
#include "pod/volumes/file_view.h"
#include "pod/volumes/subpath.h"
#include "pod/volumes/tree.h"
#include "pod/volumes/volume_places.h"
#include "pod/volumes/volumes.h"

#define REASON ENVIRONMENT_REASON

/* A mount that is open, before files are put into folders. */
struct opened {
    int fd;
    char *path; /* cleaned */
    bool is_file, is_read_only;
    bool is_memory;   /* below MEMORY */
    bool is_constant; /* of a projection: new content is new files */
};

struct opening {
    const struct volumes_places *p;
    const struct pod_spec *s;
    const struct pod_container *c;
    struct opened *v;
    size_t n;
};

void volume_mounts_done(struct volume_mounts *m)
{
    for (size_t i = 0; i < m->n; i++) {
        if (m->v[i].fd >= 0)
            close(m->v[i].fd);
        free(m->v[i].path);
    }
    free(m->v);
    *m = (struct volume_mounts){0};
}

static void add(struct volume_mounts *m, int fd, const char *path, bool is_read_only)
{
    m->v = xrealloc(m->v, m->n + 1, sizeof(*m->v));
    m->v[m->n++] = (struct volume_mount){fd, xstrdup(path), is_read_only};
}

/* ---- One mount ---- */

/* An absolute path without "." and doubled slashes. */
static int path_clean(const char *path, char **ret, struct err *e)
{
    autobuf out = BUF_INIT;

    if (*path != '/')
        return err_set(e, -EINVAL, REASON, "its path must be absolute");
    for (const char *p = path; *p; p += strspn(p, "/")) {
        size_t n = strcspn(p, "/");

        if (n == 2 && !strncmp(p, "..", 2))
            return err_set(e, -EINVAL, REASON, "its path must not contain '..'");
        if (n && !(n == 1 && *p == '.')) {
            buf_addc(&out, '/');
            buf_add(&out, p, n);
        }
        p += n;
    }
    if (!out.len)
        buf_addc(&out, '/');
    *ret = buf_take(&out);
    return 0;
}

static int within_open(const struct pod_mount *m, const struct pod_volume *v,
                       const struct strv *env, int *fd, struct err *e)
{
    autobuf path = BUF_INIT;
    int inner;

    if (!m->sub_path)
        return 0;
    if (m->is_sub_path_expanded)
        TRY(environment_path(m->sub_path, env, &path, e));
    else
        buf_addstr(&path, m->sub_path);
    if (!path.len)
        return 0;
    TRY(subpath_open(*fd, buf_str(&path), !v->is_read_only && !volume_is_projection(v), &inner, e));
    close(*fd);
    *fd = inner;
    return 0;
}

/* What it is, and for a folder a descriptor to read it by. */
static int kind_find(struct opened *o, bool is_native, struct err *e)
{
    struct stat st;
    int fd;

    if (fstat(o->fd, &st) < 0)
        return err_errno(e, -errno, REASON, "cannot examine it");
    o->is_file = !S_ISDIR(st.st_mode);
    if (o->is_file && !S_ISREG(st.st_mode) && !is_native)
        return err_set(e, -ENOTSUP, "FileMountUnsupported",
                       "it is a socket, a device or a pipe, which a WebAssembly guest cannot be "
                       "given");
    if (o->is_file && str_eq(o->path, "/"))
        return err_set(e, -EINVAL, REASON, "a file cannot be mounted at '/'");
    if (o->is_file)
        return 0;
    fd = openat(o->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return err_errno(e, -errno, REASON, "cannot open its folder");
    close(o->fd);
    o->fd = fd;
    return 0;
}

static int one_open(struct opening *o, const struct pod_mount *m, const struct strv *env,
                    struct err *e)
{
    const struct pod_volume *v = pod_volume_find(o->s, m->volume);
    struct opened *at = &o->v[o->n];

    if (!v)
        return err_set(e, -EINVAL, REASON, "the pod has no volume '%.100s'", m->volume);
    TRY(path_clean(m->path, &at->path, e));
    at->fd = -EBADF;
    at->is_constant = volume_is_projection(v);
    at->is_read_only = m->is_read_only || v->is_read_only || at->is_constant;
    o->n++; /* from here on it is released with the rest */
    TRY(volume_open(o->p, o->s, v, &at->fd, &at->is_memory, e));
    TRY(within_open(m, v, env, &at->fd, e));
    TRY(kind_find(at, o->c->kind == POD_CONTAINER_NATIVE, e));
    for (size_t i = 0; i + 1 < o->n; i++)
        if (str_eq(o->v[i].path, at->path))
            return err_set(e, -EINVAL, REASON, "another volume is mounted there too");
    return 0;
}

/* ---- Files for guests ---- */

static bool is_beside(const struct opened *a, const char *folder)
{
    autofree char *parent = path_dir(a->path);

    return a->is_file && str_eq(parent, folder);
}

static int view_check(const struct opening *o, const struct opened *first, const char *folder,
                      struct err *e)
{
    for (size_t i = 0; i < o->n; i++) {
        const struct opened *at = &o->v[i];

        if (!at->is_file && str_eq(at->path, folder))
            return err_set(e, -ENOTSUP, "FileMountUnsupported",
                           "the file '%.100s' cannot be mounted into the folder '%.100s', which is "
                           "mounted too: a WebAssembly guest is given folders only",
                           first->path, folder);
        if (is_beside(at, folder) && at->is_read_only != first->is_read_only)
            return err_set(e, -ENOTSUP, "FileMountUnsupported",
                           "the files '%.100s' and '%.100s' share a folder, so both or none of "
                           "them can be read-only",
                           first->path, at->path);
    }
    return 0;
}

static int view_place_open(const struct opening *o, bool is_memory, int *ret_fd, struct err *e)
{
    autofree char *sub = xasprintf("files/%s", o->c->name);

    int r;

    TRY(volume_name_check("container", o->c->name, e));
    if (!is_memory)
        return volume_state_open(o->p, o->s->uid, sub, true, ret_fd, e);
    r = volume_memory_open(o->p, o->s->uid, sub, true, ret_fd, e);
    if (r == -ENOENT)
        return err_set(e, r, REASON, "the folder of its volumes in memory is gone");
    return r;
}

/* The folder of `first`, with every file that is mounted in it. */
static int view_add(const struct opening *o, size_t first, const char *folder,
                    struct volume_mounts *m, struct err *e)
{
    autofree struct file_view_entry *entries = xcalloc(o->n, sizeof(*entries));
    bool is_memory = false;
    autofd place = -EBADF;
    char name[24];
    size_t n = 0;
    int fd;

    TRY(view_check(o, &o->v[first], folder, e));
    for (size_t i = first; i < o->n; i++) {
        const struct opened *at = &o->v[i];

        if (!is_beside(at, folder))
            continue;
        entries[n++] = (struct file_view_entry){at->fd, path_base(at->path), at->is_constant};
        is_memory |= at->is_memory;
    }
    TRY(view_place_open(o, is_memory, &place, e));
    snprintf(name, sizeof(name), "%zu", first);
    TRY(file_view_make(place, name, entries, n, &fd, e));
    add(m, fd, folder, o->v[first].is_read_only);
    return 0;
}

static int gather(struct opening *o, struct volume_mounts *m, struct err *e)
{
    for (size_t i = 0; i < o->n; i++) {
        struct opened *at = &o->v[i];
        autofree char *folder = path_dir(at->path);
        size_t before = 0;

        if (!at->is_file || o->c->kind == POD_CONTAINER_NATIVE) {
            add(m, take_fd(&at->fd), at->path, at->is_read_only);
            continue;
        }
        while (before < i && !is_beside(&o->v[before], folder))
            before++;
        if (before == i)
            TRY(view_add(o, i, folder, m, e));
    }
    return 0;
}

static int open_all(struct opening *o, const struct strv *env, struct volume_mounts *m,
                    struct err *e)
{
    if (o->c->n_mounts > GUEST_DIR_LIMIT)
        return err_set(e, -E2BIG, REASON, "container '%.100s' mounts more than %d volumes",
                       o->c->name, GUEST_DIR_LIMIT);
    o->v = xcalloc(o->c->n_mounts + 1, sizeof(*o->v));
    for (size_t i = 0; i < o->c->n_mounts; i++)
        if (one_open(o, &o->c->mounts[i], env, e) < 0)
            return err_prefix(e, "mount '%.100s' of volume '%.100s' in container '%.100s'",
                              o->c->mounts[i].path, o->c->mounts[i].volume, o->c->name);
    return gather(o, m, e);
}

int volumes_open(const struct volumes_places *p, const struct pod_spec *s,
                 const struct pod_container *c, const struct strv *env, struct volume_mounts *ret,
                 struct err *e)
{
    struct opening o = {.p = p, .s = s, .c = c};
    struct volume_mounts m = {0};
    int r = open_all(&o, env, &m, e);

    for (size_t i = 0; i < o.n; i++) {
        if (o.v[i].fd >= 0)
            close(o.v[i].fd);
        free(o.v[i].path);
    }
    free(o.v);
    if (r >= 0) {
        *ret = m;
        return r;
    }
    volume_mounts_done(&m);
    if (!str_eq(e->reason, "FileMountUnsupported"))
        e->reason = REASON;
    return r;
}

/* ---- One file of it ---- */

/* Of a cleaned path: the part behind the mount's own, "" for the mount itself; NULL: it is not in
 * there. */
static const char *path_below(const char *path, const char *mount)
{
    size_t len = str_eq(mount, "/") ? 0 : strlen(mount);

    if (strncmp(path, mount, len) != 0 || (path[len] != '/' && path[len]))
        return NULL;
    return path + len + strspn(path + len, "/");
}

/* The longest one that has it. */
static const struct pod_mount *mount_find(const struct pod_container *c, const char *path,
                                          const char **ret_rest)
{
    const struct pod_mount *best = NULL;
    struct err ignored = ERR_INIT;

    for (size_t i = 0; i < c->n_mounts; i++) {
        autofree char *own = NULL;
        const char *rest;

        if (path_clean(c->mounts[i].path, &own, &ignored) < 0 || !(rest = path_below(path, own)) ||
            (best && rest <= *ret_rest))
            continue;
        best = &c->mounts[i];
        *ret_rest = rest;
    }
    return best;
}

bool volumes_have(const struct pod_container *c, const char *path)
{
    autofree char *clean = NULL;
    struct err ignored = ERR_INIT;
    const char *rest;

    return path_clean(path, &clean, &ignored) >= 0 && mount_find(c, clean, &rest);
}

/* O_PATH opened nothing: now it is known that reading waits for nobody. */
static int regular_open(int path_fd, int *ret_fd, struct err *e)
{
    char name[32];
    struct stat st;
    int fd;

    if (fstat(path_fd, &st) < 0)
        return err_errno(e, -errno, "ReadFailed", "cannot examine it");
    if (!S_ISREG(st.st_mode))
        return err_set(e, -EINVAL, "ReadFailed", "it is no regular file");
    snprintf(name, sizeof(name), "/proc/self/fd/%d", path_fd);
    fd = open(name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_errno(e, -errno, "ReadFailed", "cannot open it");
    *ret_fd = fd;
    return 0;
}

static int file_of_mount_open(const struct opened *o, const char *rest, int *ret_fd, struct err *e)
{
    autofd fd = -EBADF;

    if (o->is_file)
        return regular_open(o->fd, ret_fd, e);
    fd = tree_open(o->fd, rest, O_PATH);
    if (fd < 0)
        return err_errno(e, fd, "ReadFailed", "cannot open it");
    return regular_open(fd, ret_fd, e);
}

int volumes_file_open(const struct volumes_places *p, const struct pod_spec *s,
                      const struct pod_container *c, const struct strv *env, const char *path,
                      int *ret_fd, struct err *e)
{
    struct opened at = {.fd = -EBADF};
    struct opening o = {.p = p, .s = s, .c = c, .v = &at};
    autofree char *clean = NULL;
    const struct pod_mount *m;
    const char *rest = NULL;
    int r;

    TRY(path_clean(path, &clean, e));
    m = mount_find(c, clean, &rest);
    if (!m)
        return -ENOENT;
    r = one_open(&o, m, env, e);
    if (r >= 0)
        r = file_of_mount_open(&at, rest, ret_fd, e);
    if (at.fd >= 0)
        close(at.fd);
    free(at.path);
    return r;
}
