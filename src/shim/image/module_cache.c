/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/image/module_cache.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/fds.h"
#include "base/paths.h"
#include "base/util.h"

int module_cache_open(const char *cache_dir, int *ret_dirfd, struct err *e)
{
    autofree char *path = path_join(cache_dir, "modules");
    return path_open_private(path, ret_dirfd, e);
}

static int failed(struct err *e, const char *what)
{
    return err_errno(e, -errno, "CacheFailed", "cannot %s an image's program in the cache folder",
                     what);
}

int module_cache_find(int dirfd, const struct digest *d, int64_t size, int *ret_fd, struct err *e)
{
    char name[DIGEST_HEX_SIZE];
    struct stat st;
    digest_hex_format(d, name);
    autofd fd = file_open_at(dirfd, name);
    if (fd == -ENOENT)
        return 0;
    if (fd < 0) {
        errno = -fd;
        return failed(e, "open");
    }
    if (fstat(fd, &st) < 0)
        return failed(e, "open");
    if (!S_ISREG(st.st_mode) || st.st_size != size) {
        (void)unlinkat(dirfd, name, 0);
        return 0;
    }
    (void)futimens(fd, NULL);
    *ret_fd = take_fd(&fd);
    return 1;
}

int module_cache_begin(int dirfd, int *ret_fd, struct err *e)
{
    int fd = openat(dirfd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    /* Which not every file system has, such as overlayfs before Linux 6.1: nothing is kept there.
     */
    if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR))
        fd = memfd_create("module", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return failed(e, "write");
    *ret_fd = fd;
    return 0;
}

/* ---- Limits ---- */

struct entry {
    char name[DIGEST_HEX_SIZE];
    int64_t bytes, used_at_ns;
};

struct entries {
    int dirfd;
    struct entry *v;
    size_t n;
    int64_t bytes;
};

static bool entry_add(void *ctx, const char *name)
{
    struct entries *all = ctx;
    struct stat st;
    if (strlen(name) != DIGEST_HEX_SIZE - 1 ||
        fstatat(all->dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return true;
    all->v = xrealloc(all->v, all->n + 1, sizeof(*all->v));
    struct entry *new = &all->v[all->n++];
    memcpy(new->name, name, DIGEST_HEX_SIZE);
    new->bytes = st.st_size;
    new->used_at_ns = clock_timespec_ns(st.st_mtim);
    all->bytes += new->bytes;
    return true;
}

static int by_use(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    return (x->used_at_ns > y->used_at_ns) - (x->used_at_ns < y->used_at_ns);
}

static void limits_keep(int dirfd, const char *newest)
{
    struct entries all = {.dirfd = dirfd};
    size_t left;
    (void)dir_each(dirfd, entry_add, &all);
    if (all.n)
        qsort(all.v, all.n, sizeof(*all.v), by_use);
    left = all.n;
    for (size_t i = 0; i < all.n && (left > MODULE_CACHE_FILES || all.bytes > MODULE_CACHE_BYTES);
         i++) {
        if (str_eq(all.v[i].name, newest))
            continue;
        (void)unlinkat(dirfd, all.v[i].name, 0);
        all.bytes -= all.v[i].bytes;
        left--;
    }
    free(all.v);
}

static int memfd_give(int fd, int *ret_fd, struct err *e)
{
    int given = -1;
    if (fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) < 0 ||
        lseek(fd, 0, SEEK_SET) < 0 || (given = fcntl(fd, F_DUPFD_CLOEXEC, 0)) < 0)
        return failed(e, "keep");
    *ret_fd = given;
    return 0;
}

int module_cache_commit(int dirfd, int fd, const struct digest *d, int64_t size, int *ret_fd,
                        struct err *e)
{
    char name[DIGEST_HEX_SIZE], path[32];
    digest_hex_format(d, name);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    if (fcntl(fd, F_GET_SEALS) >= 0)
        return memfd_give(fd, ret_fd, e);
    /* As the compile cache's: who runs as the user of a container may open it anew, and only he who
     * was given it gets there. */
    if (fchmod(fd, 0444) < 0 || fsync(fd) < 0)
        return failed(e, "write");
    /* Another may have been quicker. */
    if (linkat(AT_FDCWD, path, dirfd, name, AT_SYMLINK_FOLLOW) < 0 && errno != EEXIST)
        return failed(e, "write");
    limits_keep(dirfd, name);
    int r = module_cache_find(dirfd, d, size, ret_fd, e);
    if (r)
        return r < 0 ? r : 0;
    return err_set(e, -ENOENT, "CacheFailed",
                   "the image's program was removed from the cache folder meanwhile; try again");
}
