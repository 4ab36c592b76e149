/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/fds.h"
#include "store/images.h"
#include "store/manifest.h"
#include "store/store_folder.h"

#define FLUSH_BYTES (8 << 20)

struct blob_writer {
    struct images *store;
    int dirfd, fd;
    struct digest wanted;
    struct digest_stream so_far;
    int64_t size, flushed; /* the kernel was asked to write out that much */
    char complete[STORE_BLOB_PATH_SIZE], partial[STORE_BLOB_PATH_SIZE];
};

/* ---- Leases ---- */

static int lease_lock(int fd, struct err *e)
{
    int r;

    /* Somebody who collects has it for the moment in which it is removed. */
    do
        r = flock(fd, LOCK_SH);
    while (r < 0 && errno == EINTR);
    return r < 0 ? err_errno(e, -errno, "StoreFailed", "cannot lock a blob of the image store") : 0;
}

/* Keeps the lock until the store is closed. */
static void lease_keep(struct images *s, int *fd)
{
    pthread_mutex_lock(&s->lock);
    s->leases = xrealloc(s->leases, s->n_leases + 1, sizeof(*s->leases));
    s->leases[s->n_leases++] = take_fd(fd);
    pthread_mutex_unlock(&s->lock);
}

/* Of a blob that has this name, or is going to have it. */
static int lease_take(struct images *s, int *fd, struct err *e)
{
    TRY(lease_lock(*fd, e));
    lease_keep(s, fd);
    return 0;
}

int images_blob_lease(struct images *s, const struct digest *d, struct err *e)
{
    char path[STORE_BLOB_PATH_SIZE];

    store_blob_path("blobs/sha256/", d, path);
    for (;;) {
        autofd fd = file_open_at(s->dirfd, path);
        int locked;

        if (fd == -ENOENT)
            return 0;
        if (fd < 0)
            return store_failed(e, fd, "open", path);
        locked = fd;
        TRY(lease_take(s, &fd, e));
        if (file_is_at(locked, s->dirfd, path))
            return 1;
    }
}

int images_lease(struct images *s, const struct image *i, struct err *e)
{
    autofree struct digest *blobs = NULL;
    size_t n;

    TRY(store_image_blobs(s->dirfd, i, &blobs, &n, e));
    for (size_t b = 0; b < n; b++) {
        char digest[DIGEST_TEXT_SIZE];
        int there = images_blob_lease(s, &blobs[b], e);

        TRY(there);
        digest_format(&blobs[b], digest);
        if (!there)
            return err_set(e, -EINVAL, "BadImage", "%s of '%s' is missing; pull the image again",
                           digest, i->name);
    }
    return 0;
}

/* ---- Writing ---- */

/* Takes what is there already into the digest. */
static int partial_read(struct blob_writer *w, struct err *e)
{
    const size_t step = 1 << 20;
    autofree char *block = xcalloc(step, 1);
    ssize_t n;

    while ((n = pread(w->fd, block, step, w->size)) > 0) {
        digest_add(&w->so_far, block, (size_t)n);
        w->size += n;
    }
    if (n < 0 || lseek(w->fd, w->size, SEEK_SET) < 0)
        return store_failed(e, -errno, "read", w->partial);
    return 0;
}

/* Waits while another process has it. */
static int partial_open(struct blob_writer *w, struct err *e)
{
    w->fd = file_lock_at(w->dirfd, w->partial);
    return w->fd < 0 ? store_failed(e, w->fd, "create", w->partial) : 0;
}

int images_blob_begin(struct images *s, const struct digest *d, struct blob_writer **ret,
                      int64_t *ret_at, struct err *e)
{
    AUTO(blob_writer) w = xcalloc(1, sizeof(*w));
    int found;

    w->store = s;
    w->dirfd = s->dirfd;
    w->fd = -EBADF;
    w->wanted = *d;
    digest_begin(&w->so_far);
    store_blob_path("blobs/sha256/", d, w->complete);
    store_blob_path("partial/", d, w->partial);
    found = images_blob_lease(s, d, e);
    if (found)
        return found;
    TRY(partial_open(w, e));
    found = images_blob_lease(s, d, e);
    if (found) {
        /* It came while we waited, or before we made a file of our own. */
        unlinkat(s->dirfd, w->partial, 0);
        return found;
    }
    TRY(partial_read(w, e));
    *ret_at = w->size;
    *ret = take_ptr(w);
    return 0;
}

int blob_writer_add(struct blob_writer *w, const void *data, size_t len, struct err *e)
{
    if (fd_write_all(w->fd, data, len, e) < 0) {
        bool is_full = errno_is_disk_full(e->code);

        if (is_full) /* what is no use yet must not fill the disk */
            blob_writer_restart(w, &(struct err){0});
        e->reason = is_full ? "DiskFull" : "StoreFailed";
        return err_prefix(e, "cannot write '%s' of the image store", w->partial);
    }
    digest_add(&w->so_far, data, len);
    w->size += (int64_t)len;
    /* While more comes: the wait at the end, until all of it is on the disk, is shorter then. */
    if (w->size - w->flushed >= FLUSH_BYTES) {
        sync_file_range(w->fd, w->flushed, w->size - w->flushed, SYNC_FILE_RANGE_WRITE);
        w->flushed = w->size;
    }
    return 0;
}

int64_t blob_writer_size(const struct blob_writer *w)
{
    return w->size;
}

int blob_writer_restart(struct blob_writer *w, struct err *e)
{
    if (ftruncate(w->fd, 0) < 0 || lseek(w->fd, 0, SEEK_SET) < 0)
        return store_failed(e, -errno, "empty", w->partial);
    digest_begin(&w->so_far);
    w->size = w->flushed = 0;
    return 0;
}

/* What is of no use yet must not fill the disk. */
static int writer_failed(struct blob_writer *w, int code, struct err *e)
{
    if (errno_is_disk_full(code))
        unlinkat(w->dirfd, w->partial, 0);
    return store_failed(e, code, "keep", w->complete);
}

int blob_writer_commit(struct blob_writer *w_, struct err *e)
{
    AUTO(blob_writer) w = w_;
    autofd lease = -EBADF;
    char wanted[DIGEST_TEXT_SIZE], is[DIGEST_TEXT_SIZE];
    struct digest found;

    digest_end(&w->so_far, &found);
    if (memcmp(&found, &w->wanted, sizeof(found)) != 0) {
        unlinkat(w->dirfd, w->partial, 0);
        digest_format(&w->wanted, wanted);
        digest_format(&found, is);
        return err_set(e, -EBADMSG, "DigestMismatch", "the content of %s is another: it has %s",
                       wanted, is);
    }
    /* Leased and durable before it is visible, and visible for good before a name leads to it. Our
     * own descriptor has the lock for which the others wait, so the lease needs another. */
    lease = openat(w->dirfd, w->partial, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (lease < 0 || fchmod(w->fd, 0444) < 0 || fdatasync(w->fd) < 0)
        return writer_failed(w, -errno, e);
    TRY(lease_take(w->store, &lease, e));
    if (renameat(w->dirfd, w->partial, w->dirfd, w->complete) < 0)
        return writer_failed(w, -errno, e);
    return store_folder_sync(w->dirfd, STORE_BLOBS, e);
}

int blob_writer_adopt(struct blob_writer *w, int fd, struct err *e)
{
    char path[sizeof("/proc/self/fd/") + 11];
    autofd lease = -EBADF;

    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    lease = open(path, O_RDONLY | O_CLOEXEC);
    if (lease < 0)
        return 0;
    /* In the same order as in blob_writer_commit(). */
    if (fchmod(fd, 0444) < 0 || fdatasync(fd) < 0)
        return writer_failed(w, -errno, e);
    TRY(lease_lock(lease, e));
    if (linkat(AT_FDCWD, path, w->dirfd, w->complete, AT_SYMLINK_FOLLOW) < 0)
        return errno_is_disk_full(-errno) ? writer_failed(w, -errno, e) : 0;
    lease_keep(w->store, &lease);
    unlinkat(w->dirfd, w->partial, 0);
    TRY(store_folder_sync(w->dirfd, STORE_BLOBS, e));
    return 1;
}

void blob_writer_free(struct blob_writer *w)
{
    if (w->fd >= 0)
        close(w->fd);
    free(w);
}

int store_blob_open(int dirfd, const struct digest *d, int *ret_fd, struct stat *ret_st,
                    struct err *e)
{
    char path[STORE_BLOB_PATH_SIZE];
    autofd fd = -EBADF;

    store_blob_path("blobs/sha256/", d, path);
    fd = file_open_at(dirfd, path);
    if (fd == -ENOENT)
        return err_set(e, -ENOENT, "BadImage", "'%s' is not in the image store", path);
    if (fd < 0)
        return store_failed(e, fd, "open", path);
    if (fstat(fd, ret_st) < 0)
        return store_failed(e, -errno, "open", path);
    if (!S_ISREG(ret_st->st_mode))
        return err_set(e, -EINVAL, "BadImage", "'%s' of the image store is no file", path);
    *ret_fd = take_fd(&fd);
    return 0;
}

int images_blob_open_at(int dirfd, const struct digest *d, int *ret_fd, int64_t *ret_size,
                        struct err *e)
{
    struct stat st = {0};

    TRY(store_blob_open(dirfd, d, ret_fd, &st, e));
    *ret_size = st.st_size;
    return 0;
}

int images_text_read_at(int dirfd, const struct digest *d, struct buf *ret, struct err *e)
{
    char text[DIGEST_TEXT_SIZE];
    autobuf read = BUF_INIT;
    struct digest found;
    autofd fd = -EBADF;
    int64_t size;

    TRY(images_blob_open_at(dirfd, d, &fd, &size, e));
    TRY(fd_read_all(fd, IMAGE_DOCUMENT_LIMIT, &read, e));
    digest_bytes(buf_str(&read), read.len, &found);
    if (memcmp(&found, d, sizeof(found)) != 0) {
        digest_format(d, text);
        return err_set(
            e, -EINVAL, "BadImage",
            "%s of the image store is damaged; to remove it: wherry system check --repair", text);
    }
    buf_add(ret, read.data, read.len);
    return 0;
}

int images_blob_add(struct images *s, const void *data, size_t len, struct digest *ret,
                    struct err *e)
{
    AUTO(blob_writer) w = NULL;
    int64_t at;
    int r;

    digest_bytes(data, len, ret);
    r = images_blob_begin(s, ret, &w, &at, e);
    if (r)
        return r < 0 ? r : 0;
    if (at)
        TRY(blob_writer_restart(w, e));
    TRY(blob_writer_add(w, data, len, e));
    return blob_writer_commit(take_ptr(w), e);
}
