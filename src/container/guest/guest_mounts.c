/* SPDX-License-Identifier: Apache-2.0 */
#include "container/guest/guest_mounts.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#include "base/fds.h"
#include "container/guest/mount_options.h"

#define FAILED    "MountFailed"
#define PATH_SIZE 32
#define LINKS_MAX 40 /* as the kernel's */

struct guest_mounts {
    int root_fd, namespace_fd;
};

/* What a mount of the document becomes: a tree that is mounted nowhere yet. */
struct tree {
    const struct oci_mount *mount; /* NULL: a guest is not given it */
    struct mount_options options;
    int fd;
    bool is_file;
};

struct opening {
    const struct oci_config *c;
    struct tree *v; /* c->n_mounts */
    int root_fd;    /* of the root as it is mounted for us */
    struct guest_mounts *m;
    struct err *e;
    int result;
};

int guest_mounts_root(const struct guest_mounts *m)
{
    return m->root_fd;
}

int guest_mounts_namespace(const struct guest_mounts *m)
{
    return m->namespace_fd;
}

void guest_mounts_free(struct guest_mounts *m)
{
    if (!m)
        return;
    close_cleanup_(&m->root_fd);
    close_cleanup_(&m->namespace_fd);
    free(m);
}

void guest_mounts_grant(const struct guest_mounts *m, struct guest_spec *s)
{
    /* What is read-only is mounted so: the kernel refuses, also what lies in a writable mount. */
    guest_spec_dir_add(s, m->root_fd, "/", false);
}

/* ---- Looking up ---- */

/* As the container would: links and ".." stay in the root. */
static int root_open(int root, const char *path, int flags)
{
    return file_open_resolved(root, path, flags, RESOLVE_IN_ROOT);
}

int guest_mounts_file_open(const struct guest_mounts *m, const char *path)
{
    autofd fd = root_open(m->root_fd, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
    struct stat st;

    if (fd < 0)
        return fd;
    if (fstat(fd, &st) < 0)
        return -errno;
    return S_ISREG(st.st_mode) ? take_fd(&fd) : -EINVAL;
}

bool guest_mounts_text(const struct guest_mounts *m, const char *path, size_t limit_bytes,
                       struct buf *ret)
{
    autofd fd = guest_mounts_file_open(m, path);
    struct err e = ERR_INIT;

    return fd >= 0 && fd_read_all(fd, limit_bytes, ret, &e) >= 0;
}

/* ---- Trees ---- */

static int mount_failed(const struct oci_mount *m, int code, const char *what, struct err *e)
{
    return err_errno(e, code, FAILED, "cannot mount '%.100s' at '%.100s': %s",
                     m->source ? m->source : m->type, m->destination, what);
}

static int attributes_set(int fd, const struct mount_options *o, bool is_read_only,
                          bool has_devices)
{
    struct mount_attr attr = {.attr_set = MOUNT_ATTR_NOSUID | (has_devices ? 0 : MOUNT_ATTR_NODEV),
                              .propagation = o->propagation};
    struct mount_attr ro = {.attr_set = MOUNT_ATTR_RDONLY};

    /* Of devices a guest has those that are made here, and none that the image has. */
    if (mount_setattr(fd, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof(attr)) < 0)
        return -errno;
    if (is_read_only &&
        mount_setattr(fd, "", AT_EMPTY_PATH | (o->is_recursively_ro ? AT_RECURSIVE : 0), &ro,
                      sizeof(ro)) < 0)
        return -errno;
    return 0;
}

static int bind_open(struct tree *t, int bundle_fd, struct err *e)
{
    const struct oci_mount *m = t->mount;
    struct stat st;

    if (!m->source)
        return err_set(e, -EINVAL, "BadMount", "the mount at '%.200s' has no source",
                       m->destination);
    t->fd = open_tree(bundle_fd, m->source,
                      OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC |
                          (unsigned)(t->options.is_recursive ? AT_RECURSIVE : 0));
    if (t->fd < 0)
        return mount_failed(m, -errno, "cannot open the source", e);
    if (fstat(t->fd, &st) < 0)
        return mount_failed(m, -errno, "cannot examine the source", e);
    t->is_file = !S_ISDIR(st.st_mode);
    return 0;
}

static int memory_open(const struct mount_options *o, int *ret_fd)
{
    autofd fs = fsopen("tmpfs", FSOPEN_CLOEXEC);
    int fd;

    if (fs < 0)
        return -errno;
    for (size_t i = 0; i < o->data.n; i++)
        if (fsconfig(fs, FSCONFIG_SET_STRING, o->data.v[i].name, o->data.v[i].value, 0) < 0)
            return -errno;
    if (fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
        return -errno;
    fd = fsmount(fs, FSMOUNT_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    *ret_fd = fd;
    return 0;
}

/* What every container has there (OCI runtime specification, "Default Devices"), as far as a file
 * can be it. Without the right to make devices there are none. */
static int devices_make(int dirfd)
{
    static const struct {
        const char *name;
        unsigned major, minor;
    } devices[] = {
        {"null",    1, 3},
        {"zero",    1, 5},
        {"full",    1, 7},
        {"random",  1, 8},
        {"urandom", 1, 9},
        {"tty",     5, 0},
    };

    for (size_t i = 0; i < ARRAY_SIZE(devices); i++) {
        dev_t number = makedev(devices[i].major, devices[i].minor);

        if (mknodat(dirfd, devices[i].name, S_IFCHR | 0666, number) < 0)
            return errno == EPERM ? 0 : -errno;
        if (fchmodat(dirfd, devices[i].name, 0666, 0) < 0) /* the umask has taken some */
            return -errno;
    }
    return 0;
}

static int tree_open(struct tree *t, const struct oci_mount *m, int bundle_fd, struct err *e)
{
    bool is_bind, has_devices;
    int r = 0;

    TRY(mount_options_read(m, &t->options, e));
    if (guest_mount_unused(m))
        return 0;
    t->mount = m;
    is_bind = t->options.is_bind;
    has_devices = !is_bind && str_eq(m->destination, "/dev");
    if (!is_bind && !(m->type && str_eq(m->type, "tmpfs")))
        return err_set(
            e, -ENOTSUP, "UnsupportedMount",
            "the mount at '%.150s' is of the type '%.80s', which a WebAssembly container "
            "cannot have; use 'bind' or 'tmpfs'",
            m->destination, m->type ? m->type : "");
    if (is_bind)
        TRY(bind_open(t, bundle_fd, e));
    else
        r = memory_open(&t->options, &t->fd);
    if (r >= 0 && has_devices)
        r = devices_make(t->fd);
    if (r >= 0)
        /* A file system in memory has to take mount points first. */
        r = attributes_set(t->fd, &t->options, is_bind && t->options.is_read_only, has_devices);
    return r < 0 ? mount_failed(m, r, "its options", e) : 0;
}

/* ---- Mount points ---- */

/* A layer that holds the mount points that a read-only root has not. */
struct layer {
    int fd; /* -EBADF: they are made in the root itself */
    bool is_needed;
};

static int point_make(int dirfd, const char *name, bool is_file)
{
    int r = is_file ? mknodat(dirfd, name, S_IFREG | 0644, 0) : mkdirat(dirfd, name, 0755);

    return r < 0 && errno != EEXIST ? -errno : 0;
}

/* The folder `real` of the root, whose path has no links, in the layer: with what others may do
 * there, since the layer's own folders are seen instead. */
static int layer_follow(int layer, int root, int real, int *ret_fd)
{
    autofd at = fcntl(layer, F_DUPFD_CLOEXEC, 0);
    char name[PATH_SIZE], path[PATH_MAX], *rest = NULL;
    autobuf so_far = BUF_INIT;
    ssize_t n;

    snprintf(name, sizeof(name), "/proc/self/fd/%d", real);
    n = readlink(name, path, sizeof(path) - 1);
    if (n < 0 || at < 0)
        return -errno;
    path[n] = '\0';
    for (char *part = strtok_r(path, "/", &rest); part; part = strtok_r(NULL, "/", &rest)) {
        struct stat st;
        int next;

        buf_addf(&so_far, "%s%s", so_far.len ? "/" : "", part);
        if (fstatat(root, buf_str(&so_far), &st, AT_SYMLINK_NOFOLLOW) < 0)
            return -errno;
        TRY(point_make(at, part, false));
        next = openat(at, part, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (next < 0)
            return -errno;
        close(at);
        at = next;
        if (fchown(at, st.st_uid, st.st_gid) < 0 || fchmod(at, st.st_mode & 07777) < 0)
            return -errno;
    }
    *ret_fd = take_fd(&at);
    return 0;
}

/* Where a link leads to, with what follows it in the path; NULL: it is none. */
static char *link_target(int parent, const char *folder, const char *name, const char *rest)
{
    char target[PATH_MAX];
    ssize_t n = readlinkat(parent, name, target, sizeof(target) - 1);

    if (n < 0)
        return NULL;
    target[n] = '\0';
    return xasprintf("%s/%s%s%s", *target == '/' ? "" : folder, target, rest ? "/" : "",
                     rest ? rest : "");
}

/* As point_open(), up to a link that leads to nothing: then -ENOENT, and the path behind it. */
static int point_try(int root, const char *path, bool is_file, struct layer *layer,
                     char **ret_target, int *ret_fd)
{
    autofd parent = fcntl(root, F_DUPFD_CLOEXEC, 0);
    autofree char *copy = xstrdup(path);
    autobuf prefix = BUF_INIT;
    bool is_in_layer = false;
    char *rest = NULL, *next;
    const char *left;

    if (parent < 0)
        return -errno;
    for (char *part = strtok_r(copy, "/", &rest); part; part = next) {
        int fd;

        left = rest && *rest ? path + (rest - copy) : NULL;
        next = strtok_r(NULL, "/", &rest);
        buf_addf(&prefix, "/%s", part);
        fd = is_in_layer ? -ENOENT : root_open(root, buf_str(&prefix), O_PATH);
        if (fd == -ENOENT && !layer) {
            autofree char *folder = xstrndup(prefix.data, prefix.len - strlen(part) - 1);

            *ret_target = link_target(parent, folder, part, left);
            if (*ret_target)
                return -ENOENT;
        }
        if (fd == -ENOENT) {
            if (layer && !is_in_layer) {
                int inside = -EBADF;

                TRY(layer_follow(layer->fd, root, parent, &inside));
                close(parent);
                parent = inside;
                is_in_layer = layer->is_needed = true;
            }
            TRY(point_make(parent, part, is_file && !next));
            fd = is_in_layer ? openat(parent, part, O_PATH | O_NOFOLLOW | O_CLOEXEC)
                             : root_open(root, buf_str(&prefix), O_PATH);
            if (fd < 0)
                return is_in_layer ? -errno : fd;
        }
        if (fd < 0)
            return fd;
        close(parent);
        parent = fd;
    }
    if (!layer)
        *ret_fd = take_fd(&parent);
    return 0;
}

/* Makes what is missing of the path, behind links too, and opens it. With a layer only there, in
 * the place of the link, and opens nothing. */
static int point_open(int root, const char *path, bool is_file, struct layer *layer, int *ret_fd)
{
    autofree char *at = xstrdup(path);

    for (int i = 0; i < LINKS_MAX; i++) {
        char *target = NULL;
        int r = point_try(root, at, is_file, layer, &target, ret_fd);

        if (!target)
            return r;
        free(at);
        at = target;
    }
    return -ELOOP;
}

/* ---- In the new namespace ---- */

static int here_attach(int fd, struct err *e)
{
    /* On top of this thread's root, where nobody looks. */
    if (move_mount(fd, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH) < 0)
        return err_errno(e, -errno, FAILED, "cannot mount the container's root");
    return 0;
}

static bool is_inside(const char *path, const char *folder)
{
    size_t len = strlen(folder);

    while (len && folder[len - 1] == '/')
        len--;
    return !strncmp(path, folder, len) && (path[len] == '/' || !path[len]);
}

static bool is_in_earlier(const struct opening *o, size_t i)
{
    for (size_t k = 0; k < i; k++)
        if (o->v[k].mount && is_inside(o->v[i].mount->destination, o->v[k].mount->destination))
            return true;
    return false;
}

/* The layer and the root as one, read-only by nature. */
static int overlay_make(int layer, int root, int *ret_fd, struct err *e)
{
    autofd fs = fsopen("overlay", FSOPEN_CLOEXEC);
    char lower[2 * PATH_SIZE];
    int fd = -1;

    snprintf(lower, sizeof(lower), "/proc/self/fd/%d:/proc/self/fd/%d", layer, root);
    if (fs >= 0 && fsconfig(fs, FSCONFIG_SET_STRING, "lowerdir", lower, 0) >= 0 &&
        fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) >= 0)
        fd = fsmount(fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
    if (fd < 0)
        return err_errno(e, -errno, FAILED,
                         "cannot lay the missing mount points over the read-only root; make them "
                         "in the image");
    *ret_fd = fd;
    return 0;
}

/* An empty one whose top folder is as the root's. */
static int layer_open(int root, int *ret_fd, struct err *e)
{
    char mode[24], uid[24], gid[24];
    struct json_pair data[] = {
        {(char *)"mode", mode},
        {(char *)"uid",  uid },
        {(char *)"gid",  gid }
    };
    const struct mount_options o = {
        .propagation = MS_PRIVATE, .data = {data, ARRAY_SIZE(data)}
    };
    struct stat st;
    int r;

    if (fstat(root, &st) < 0)
        return err_errno(e, -errno, FAILED, "cannot examine the container's root");
    snprintf(mode, sizeof(mode), "%o", st.st_mode & 07777);
    snprintf(uid, sizeof(uid), "%u", st.st_uid);
    snprintf(gid, sizeof(gid), "%u", st.st_gid);
    r = memory_open(&o, ret_fd);
    return r < 0 ? err_errno(e, r, FAILED, "cannot mount a file system in memory") : 0;
}

/* Lays a layer with what mounts miss over the read-only root, when they miss something. */
static int layer_add(struct opening *o, struct err *e)
{
    autofd fd = -EBADF;
    struct layer layer = {.fd = -EBADF};
    int r, overlay = -EBADF;

    TRY(layer_open(o->root_fd, &fd, e));
    layer.fd = fd;
    TRY(here_attach(fd, e));
    for (size_t i = 0; i < o->c->n_mounts; i++) {
        const struct tree *t = &o->v[i];

        if (!t->mount || is_in_earlier(o, i))
            continue;
        r = point_open(o->root_fd, t->mount->destination, t->is_file, &layer, NULL);
        if (r < 0)
            return mount_failed(t->mount, r, "its mount point", e);
    }
    if (!layer.is_needed)
        return 0;
    TRY(overlay_make(fd, o->root_fd, &overlay, e));
    close(o->root_fd);
    o->root_fd = overlay;
    return here_attach(overlay, e);
}

static int mount_one(const struct opening *o, const struct tree *t, struct err *e)
{
    autofd at = -EBADF;
    struct stat st;
    int r = point_open(o->root_fd, t->mount->destination, t->is_file, NULL, &at);

    if (r < 0)
        return mount_failed(t->mount, r, "its mount point", e);
    if (fstat(at, &st) < 0)
        return mount_failed(t->mount, -errno, "cannot examine its mount point", e);
    if (S_ISDIR(st.st_mode) == t->is_file)
        return mount_failed(t->mount, t->is_file ? -EISDIR : -ENOTDIR,
                            "source and mount point must both be folders, or both files", e);
    if (move_mount(t->fd, "", at, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
        return mount_failed(t->mount, -errno, "at its mount point", e);
    return 0;
}

static int read_only_set(const struct opening *o, struct err *e)
{
    struct mount_attr ro = {.attr_set = MOUNT_ATTR_RDONLY};

    if (o->c->root_readonly && mount_setattr(o->root_fd, "", AT_EMPTY_PATH, &ro, sizeof(ro)) < 0)
        return err_errno(e, -errno, FAILED, "cannot make the root read-only");
    for (size_t i = 0; i < o->c->n_mounts; i++) {
        const struct tree *t = &o->v[i];

        if (t->mount && t->options.is_read_only &&
            mount_setattr(t->fd, "", AT_EMPTY_PATH, &ro, sizeof(ro)) < 0)
            return mount_failed(t->mount, -errno, "read-only", e);
    }
    return 0;
}

/* An empty folder, or an empty file, that nobody can write to. */
static int nothing_open(bool is_file, int *ret_fd, struct err *e)
{
    const struct mount_options plain = {.propagation = MS_PRIVATE};
    autofd memory = -EBADF, file = -EBADF;
    int r = memory_open(&plain, &memory);

    if (r >= 0)
        r = attributes_set(memory, &plain, !is_file, false);
    if (r < 0)
        return err_errno(e, r, FAILED, "cannot mount a file system in memory");
    if (!is_file) {
        *ret_fd = take_fd(&memory);
        return 0;
    }
    TRY(here_attach(memory, e));
    file = openat(memory, "empty", O_CREAT | O_EXCL | O_RDONLY | O_CLOEXEC, 0444);
    *ret_fd =
        file < 0 ? -1 : open_tree(file, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
    if (*ret_fd < 0)
        return err_errno(e, -errno, FAILED, "cannot make a file in memory");
    r = attributes_set(*ret_fd, &plain, true, false);
    return r < 0 ? err_errno(e, r, FAILED, "cannot make a file in memory read-only") : 0;
}

/* The same files, which nobody can write to. */
static int frozen_open(int at, int *ret_fd, struct err *e)
{
    const struct mount_options all = {.propagation = MS_PRIVATE, .is_recursively_ro = true};
    int r;

    *ret_fd = open_tree(at, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | AT_RECURSIVE);
    r = *ret_fd < 0 ? -errno : attributes_set(*ret_fd, &all, true, true);
    return r < 0 ? err_errno(e, r, FAILED, "cannot make it read-only") : 0;
}

/* linux.maskedPaths and readonlyPaths. Most are those of /proc and /sys, which a guest has not. */
static int path_cover(const struct opening *o, const char *path, bool is_masked, struct err *e)
{
    autofd at = root_open(o->root_fd, path, O_PATH), cover = -EBADF;
    struct stat st;

    if (at == -ENOENT || at == -ENOTDIR)
        return 0;
    if (at < 0 || fstat(at, &st) < 0)
        return err_errno(e, at < 0 ? at : -errno, FAILED, "cannot open '%.200s' to %s it", path,
                         is_masked ? "hide" : "protect");
    TRY(is_masked ? nothing_open(!S_ISDIR(st.st_mode), &cover, e) : frozen_open(at, &cover, e));
    if (move_mount(cover, "", at, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
        return err_errno(e, -errno, FAILED, "cannot %s '%.200s'", is_masked ? "hide" : "protect",
                         path);
    return 0;
}

static int paths_cover(const struct opening *o, struct err *e)
{
    const struct strv *masked = &o->c->linux_.masked_paths, *ro = &o->c->linux_.readonly_paths;

    for (size_t i = 0; i < ro->n; i++)
        TRY(path_cover(o, ro->v[i], false, e));
    for (size_t i = 0; i < masked->n; i++)
        TRY(path_cover(o, masked->v[i], true, e));
    return 0;
}

/* Leaves the namespace with the container's mounts alone: otherwise each would go on having a copy
 * of every mount of the host. A root that cannot be left (an initramfs) is the exception. */
static void host_leave(int root)
{
    if (fchdir(root) < 0 || syscall(SYS_pivot_root, ".", ".") < 0)
        return;
    (void)umount2(".", MNT_DETACH);
}

static int build(struct opening *o, struct err *e)
{
    autofd space = -EBADF;

    if (unshare(CLONE_NEWNS) < 0)
        return err_errno(e, -errno, FAILED, "cannot make a mount namespace");
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return err_errno(e, -errno, FAILED, "cannot keep mounts to a namespace");
    space = open("/proc/thread-self/ns/mnt", O_RDONLY | O_CLOEXEC);
    if (space < 0)
        return err_errno(e, -errno, FAILED, "cannot open a mount namespace");
    TRY(here_attach(o->root_fd, e));
    if (o->c->root_readonly)
        TRY(layer_add(o, e));
    for (size_t i = 0; i < o->c->n_mounts; i++)
        if (o->v[i].mount)
            TRY(mount_one(o, &o->v[i], e));
    TRY(paths_cover(o, e));
    TRY(read_only_set(o, e));
    o->m->root_fd = openat(o->root_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (o->m->root_fd < 0)
        return err_errno(e, -errno, FAILED, "cannot open the container's root");
    host_leave(o->root_fd);
    o->m->namespace_fd = take_fd(&space);
    return 0;
}

static void *build_thread(void *arg)
{
    struct opening *o = arg;

    o->result = build(o, o->e);
    return NULL;
}

/* ---- Outside ---- */

static int trees_open(struct opening *o, int root_fd, int bundle_fd, struct err *e)
{
    const struct mount_options plain = {.propagation = MS_PRIVATE};
    int r;

    o->root_fd =
        open_tree(root_fd, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | AT_RECURSIVE);
    r = o->root_fd < 0 ? -errno : attributes_set(o->root_fd, &plain, false, false);
    if (r < 0)
        return err_errno(e, r, FAILED, "cannot take the container's root file system%s",
                         r == -EPERM ? "; that needs root's rights" : "");
    for (size_t i = 0; i < o->c->n_mounts; i++)
        TRY(tree_open(&o->v[i], &o->c->mounts[i], bundle_fd, e));
    return 0;
}

/* A namespace belongs to a thread: one of its own is the cheapest way to be in another for a
 * moment. */
static int build_apart(struct opening *o, struct err *e)
{
    pthread_t thread;
    int code = pthread_create(&thread, NULL, build_thread, o);

    if (code)
        return err_errno(e, -code, FAILED, "cannot start a thread");
    pthread_join(thread, NULL);
    return o->result;
}

int guest_mounts_open(const struct oci_config *c, int root_fd, int bundle_fd,
                      struct guest_mounts **ret, struct err *e)
{
    AUTO(guest_mounts) m = xcalloc(1, sizeof(*m));
    struct opening o = {.c = c, .root_fd = -EBADF, .m = m, .e = e};
    int r;

    m->root_fd = m->namespace_fd = -EBADF;
    o.v = xcalloc(c->n_mounts + 1, sizeof(*o.v));
    for (size_t i = 0; i < c->n_mounts; i++)
        o.v[i].fd = -EBADF;
    r = trees_open(&o, root_fd, bundle_fd, e);
    if (r >= 0)
        r = build_apart(&o, e);
    for (size_t i = 0; i < c->n_mounts; i++) {
        close_cleanup_(&o.v[i].fd);
        mount_options_done(&o.v[i].options);
    }
    free(o.v);
    close_cleanup_(&o.root_fd);
    if (r >= 0)
        *ret = take_ptr(m);
    return r;
}
