/* SPDX-License-Identifier: Apache-2.0 */
/* The journal as a file: opening, appending, and rewriting it. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "agent/store/journal.h"

#define NEW_NAME JOURNAL_NAME ".new"

static int failed(struct err *e, int code, const char *doing, const char *path)
{
    if (errno_is_disk_full(code))
        return err_errno(e, code, "StateFull", "cannot %s '%.200s'; make room on its file system",
                         doing, path);
    return err_errno(e, code, "StateFailed", "cannot %s '%.200s'", doing, path);
}

/* A negative errno. */
static int write_at(int fd, uint64_t place, struct text t)
{
    while (t.len) {
        ssize_t n = pwrite(fd, t.data, t.len, (off_t)place);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -EIO;
        t.data += n;
        t.len -= (size_t)n;
        place += (uint64_t)n;
    }
    return 0;
}

/* ---- Opening ---- */

static int file_open(int dirfd, const char *path, struct err *e)
{
    autofd fd =
        openat(dirfd, JOURNAL_NAME, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0600);
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0)
        return failed(e, -errno, "open", path);
    if (!S_ISREG(st.st_mode))
        return err_set(e, -EINVAL, "StateFailed", "'%.200s' is no regular file", path);
    /* Secrets are in it. */
    if (st.st_mode & 077 && fchmod(fd, 0600) < 0)
        return failed(e, -errno, "shut others out of", path);
    return take_fd(&fd);
}

static int beginning_write(int dirfd, int fd, const char *path, struct err *e)
{
    static const struct text magic = TEXT(JOURNAL_MAGIC);
    int r = ftruncate(fd, 0) < 0 ? -errno : write_at(fd, 0, magic);

    if (r < 0 || fsync(fd) < 0 || fsync(dirfd) < 0)
        return failed(e, r < 0 ? r : -errno, "begin", path);
    return 0;
}

int journal_open(int dirfd, const char *path,
                 int (*record)(void *ctx, const struct journal_record *r, uint64_t place,
                               struct err *e),
                 void *ctx, int *ret_fd, struct journal_found *ret, struct err *e)
{
    struct journal_found found = {0};
    autofd fd = file_open(dirfd, path, e);

    TRY(fd);
    TRY(journal_scan(fd, path, record, ctx, &found, e));
    /* What a rewriting left that did not get to its end. */
    if (unlinkat(dirfd, NEW_NAME, 0) < 0 && errno != ENOENT)
        return failed(e, -errno, "remove the unfinished copy of", path);
    if (!found.size) {
        TRY(beginning_write(dirfd, fd, path, e));
        found.size = JOURNAL_BEGIN;
        found.is_torn = false;
    } else if (found.is_torn && (ftruncate(fd, (off_t)found.size) < 0 || fsync(fd) < 0)) {
        return failed(e, -errno, "remove the incomplete end of", path);
    }
    *ret = found;
    *ret_fd = take_fd(&fd);
    return found.is_torn;
}

/* ---- Appending ---- */

int journal_append(int fd, uint64_t size, const char *path, struct text frames, bool *ret_is_broken,
                   struct err *e)
{
    int r = write_at(fd, size, frames);

    if (r >= 0 && fdatasync(fd) < 0)
        r = -errno;
    if (r >= 0)
        return 0;
    /* What was told to have failed must not be there after a crash either. */
    if (ftruncate(fd, (off_t)size) < 0 || fdatasync(fd) < 0)
        *ret_is_broken = true;
    return failed(e, r, "write to", path);
}

/* ---- Rewriting ---- */

int journal_rewrite(int dirfd, const char *path, struct text frames, int *ret_fd,
                    bool *ret_is_broken, struct err *e)
{
    static const struct text magic = TEXT(JOURNAL_MAGIC);
    autofd fd = openat(dirfd, NEW_NAME, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    int r;

    if (fd < 0)
        return failed(e, -errno, "make the copy of", path);
    r = write_at(fd, 0, magic);
    if (r >= 0)
        r = write_at(fd, JOURNAL_BEGIN, frames);
    if (r >= 0 && fsync(fd) < 0)
        r = -errno;
    if (r >= 0 && renameat(dirfd, NEW_NAME, dirfd, JOURNAL_NAME) < 0)
        r = -errno;
    if (r < 0) {
        unlinkat(dirfd, NEW_NAME, 0);
        return failed(e, r, "rewrite", path);
    }
    if (fsync(dirfd) < 0) {
        *ret_is_broken = true;
        return failed(e, -errno, "put the new file in the place of", path);
    }
    *ret_fd = take_fd(&fd);
    return 0;
}
