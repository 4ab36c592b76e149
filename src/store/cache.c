/* SPDX-License-Identifier: Apache-2.0 */
#include "store/cache.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/fds.h"
#include "base/paths.h"
#include "store/store_folder.h"

/* Part of every key: entries of another format are not found. */
#define FORMAT "sealed\n"

#define STEP_BYTES (1u << 20)

struct cache {
    int dirfd;
};

int cache_open(const char *dir, struct cache **ret, struct err *e)
{
    autofree char *code = path_join(dir, "code");
    struct cache *c;
    int fd;

    TRY(path_open_private(code, &fd, e));
    c = xcalloc(1, sizeof(*c));
    c->dirfd = fd;
    *ret = c;
    return 0;
}

void cache_free(struct cache *c)
{
    close(c->dirfd);
    free(c);
}

void cache_key(const struct digest *source, const char *settings, char ret[static CACHE_KEY_SIZE])
{
    autobuf text = BUF_INIT;
    struct digest d;

    buf_add(&text, source->bytes, sizeof(source->bytes));
    buf_addstr(&text, FORMAT);
    buf_addstr(&text, settings);
    digest_bytes(text.data, text.len, &d);
    digest_hex_format(&d, ret);
}

/* The file that is being filled; it is locked by who fills it. */
static void temporary_name(const char *key, char ret[static CACHE_KEY_SIZE + 8])
{
    snprintf(ret, CACHE_KEY_SIZE + 8, ".%s.new", key);
}

/* ---- Seals ---- */

/* The end of an entry. It stays on the machine that wrote it, so it is as the machine has it. */
struct seal {
    char magic[8];
    char key[CACHE_KEY_SIZE - 1];
    uint64_t size; /* of the code */
    uint64_t changed_at_ns;
    struct digest digest;
};

static const char seal_magic[8] = "wherry 1";

/* Where this fails the entry is read whenever it is opened, and good all the same. */
static void changed_at_set(int fd, uint64_t ns)
{
    struct timespec t = {(time_t)(ns / 1000000000u), (long)(ns % 1000000000u)};
    int r = futimens(fd, (struct timespec[]){{.tv_nsec = UTIME_OMIT}, t});

    (void)r;
}

/* The digest of the first `size` bytes, which are copied to `to` unless that is -1. */
static int content_digest(int fd, uint64_t size, int to, struct digest *ret)
{
    autofree char *step = xcalloc(STEP_BYTES, 1);
    struct err ignored = ERR_INIT;
    struct digest_stream s;
    uint64_t at = 0;

    digest_begin(&s);
    while (at < size) {
        size_t wanted = size - at < STEP_BYTES ? (size_t)(size - at) : STEP_BYTES;
        ssize_t n = pread(fd, step, wanted, (off_t)at);

        if (n <= 0)
            return n < 0 ? -errno : -EIO;
        digest_add(&s, step, (size_t)n);
        if (to >= 0) {
            TRY(fd_write_all(to, step, (size_t)n, &ignored));
            /* So that the wait for the disk at the end is shorter. */
            sync_file_range(to, (off_t)at, (off_t)n, SYNC_FILE_RANGE_WRITE);
        }
        at += (uint64_t)n;
    }
    digest_end(&s, ret);
    return 0;
}

static bool seal_fits(int fd, const char *key, const struct stat *st)
{
    struct seal s;
    struct digest found;

    if (st->st_size <= (off_t)sizeof(s) ||
        pread(fd, &s, sizeof(s), st->st_size - (off_t)sizeof(s)) != sizeof(s) ||
        memcmp(s.magic, seal_magic, sizeof(s.magic)) != 0 ||
        memcmp(s.key, key, sizeof(s.key)) != 0 || s.size != (uint64_t)st->st_size - sizeof(s))
        return false;
    if (s.changed_at_ns == (uint64_t)clock_timespec_ns(st->st_mtim))
        return true;
    /* A copy of the folder, or a file system that keeps no exact times. */
    if (content_digest(fd, s.size, -1, &found) < 0 || memcmp(&found, &s.digest, sizeof(found)) != 0)
        return false;
    changed_at_set(fd, s.changed_at_ns);
    return true;
}

/* ---- Entries ---- */

static int untrusted(const char *key, struct err *e)
{
    return err_set(e, -EPERM, "UntrustedFile",
                   "the cache entry %s could have been written by somebody else", key);
}

/* Notes that an entry is used, as store_use_note() does of blobs, but by the time of access, set by
 * ourselves: the time of change is the content's. Nobody else reads entries. */
static void use_note(int fd, const struct stat *st)
{
    struct timespec now, times[2] = {{.tv_nsec = UTIME_NOW}, {.tv_nsec = UTIME_OMIT}};

    clock_gettime(CLOCK_REALTIME_COARSE, &now);
    if (now.tv_sec - st->st_atim.tv_sec >= STORE_USE_RESOLUTION_S)
        futimens(fd, times);
}

static bool is_trusted(const struct stat *st)
{
    return S_ISREG(st->st_mode) && (st->st_uid == geteuid() || st->st_uid == 0) &&
           !(st->st_mode & 022);
}

/* Entries were not always for all to read: see entry_write(). */
static void modes_mend(int fd, const struct stat *st)
{
    if ((st->st_mode & 0444) != 0444)
        (void)fchmod(fd, 0444);
}

int cache_find(struct cache *c, const char *key, int *ret_fd, struct err *e)
{
    autofd fd = file_open_at(c->dirfd, key);
    struct stat st;

    if (fd == -ENOENT)
        return 0;
    if (fd == -ELOOP)
        return untrusted(key, e);
    if (fd < 0)
        return err_errno(e, fd, "CacheFailed", "cannot open the cache entry %s", key);
    if (fstat(fd, &st) < 0)
        return err_errno(e, -errno, "CacheFailed", "cannot examine the cache entry %s", key);
    if (!is_trusted(&st))
        return untrusted(key, e);
    if (!seal_fits(fd, key, &st))
        return err_set(e, -EBADMSG, "DamagedFile", "the cache entry %s is damaged", key);
    use_note(fd, &st);
    modes_mend(fd, &st);
    *ret_fd = take_fd(&fd);
    return 1;
}

bool cache_is_being_made(struct cache *c, const char *key)
{
    char name[CACHE_KEY_SIZE + 8];
    autofd fd = -EBADF;

    temporary_name(key, name);
    fd = file_try_lock_at(c->dirfd, name);
    return fd == -EAGAIN;
}

/* An empty folder goes, too. */
static int entry_remove(struct cache *c, const char *key)
{
    int r = unlinkat(c->dirfd, key, 0);

    if (r < 0 && errno == EISDIR)
        r = unlinkat(c->dirfd, key, AT_REMOVEDIR);
    return r < 0 && errno != ENOENT ? -errno : 0;
}

int cache_begin(struct cache *c, const char *key, int *ret_fd, struct err *e)
{
    char name[CACHE_KEY_SIZE + 8];
    autofd fd = -EBADF;
    int r;

    temporary_name(key, name);
    fd = file_lock_at(c->dirfd, name);
    if (fd < 0)
        return err_errno(e, fd, "CacheFailed", "cannot create a cache entry");
    r = cache_find(c, key, ret_fd, e);
    if (r < 0 && entry_remove(c, key) >= 0) {
        *e = ERR_INIT;
        r = 0;
    }
    if (r) {
        /* Published while we waited, or before we made a file of our own. */
        unlinkat(c->dirfd, name, 0);
        return r;
    }
    *ret_fd = take_fd(&fd);
    return 0;
}

/* The code, then the seal, durable. */
static int entry_write(int handle, const char *key, int code_fd)
{
    struct seal s = {.changed_at_ns = clock_realtime_ns()};
    struct stat st;
    int r;

    memcpy(s.magic, seal_magic, sizeof(s.magic));
    memcpy(s.key, key, sizeof(s.key));
    if (fstat(code_fd, &st) < 0 || ftruncate(handle, 0) < 0 || lseek(handle, 0, SEEK_SET) < 0)
        return -errno;
    s.size = (uint64_t)st.st_size;
    r = content_digest(code_fd, s.size, handle, &s.digest);
    if (r >= 0)
        r = fd_write_all(handle, &s, sizeof(s), &(struct err){0});
    if (r < 0)
        return r;
    changed_at_set(handle, s.changed_at_ns);
    /* A worker that runs as the user of a container opens the code anew to map it. Others do not
     * get to it: the folder is private. */
    return fchmod(handle, 0444) < 0 || fdatasync(handle) < 0 ? -errno : 0;
}

int cache_commit(struct cache *c, const char *key, int handle, int code_fd, struct err *e)
{
    char name[CACHE_KEY_SIZE + 8];
    int r = entry_write(handle, key, code_fd);

    temporary_name(key, name);
    /* Durable before it is visible: half an entry after a power cut would be run. */
    if (r >= 0 && renameat(c->dirfd, name, c->dirfd, key) < 0)
        r = -errno;
    if (r < 0) {
        cache_abandon(c, key, handle);
        return err_errno(e, r, "CacheFailed", "cannot keep compiled code");
    }
    close(handle);
    return 0;
}

void cache_abandon(struct cache *c, const char *key, int handle)
{
    char name[CACHE_KEY_SIZE + 8];

    temporary_name(key, name);
    unlinkat(c->dirfd, name, 0);
    close(handle);
}

void cache_remove(struct cache *c, const char *key)
{
    entry_remove(c, key);
}

/* ---- What is there ---- */

bool cache_is_on_disk_of(const struct cache *c, int dirfd)
{
    struct stat own, other;

    return !fstat(c->dirfd, &own) && !fstat(dirfd, &other) && own.st_dev == other.st_dev;
}

static bool is_key(const char *name, size_t len)
{
    return len == CACHE_KEY_SIZE - 1 && strspn(name, "0123456789abcdef") >= len;
}

static enum cache_file_kind kind_of(const char *name, const struct stat *st)
{
    if (is_key(name, strlen(name)) && !S_ISDIR(st->st_mode))
        return is_trusted(st) ? CACHE_ENTRY : CACHE_UNTRUSTED;
    if (S_ISREG(st->st_mode) && *name == '.' && is_key(name + 1, str_stem(name + 1, ".new")))
        return CACHE_UNFINISHED;
    return CACHE_FOREIGN;
}

static void file_add(struct cache *c, const char *name, struct cache_list *ret)
{
    struct cache_file f = {0};
    struct stat st;

    if (str_eq(name, ".") || str_eq(name, "..") ||
        fstatat(c->dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return;
    f.kind = kind_of(name, &st);
    f.name = xstrdup(name);
    f.bytes = st.st_size;
    f.used_at_ns = clock_timespec_ns(st.st_atim);
    if (f.kind == CACHE_UNFINISHED) {
        autofd lock = file_try_lock_at(c->dirfd, name);

        f.is_locked = lock == -EAGAIN;
    }
    ret->v = xrealloc(ret->v, ret->n + 1, sizeof(*ret->v));
    ret->v[ret->n++] = f;
}

static int by_use(const void *a_, const void *b_)
{
    const struct cache_file *a = a_, *b = b_;

    return a->used_at_ns < b->used_at_ns ? -1 : a->used_at_ns > b->used_at_ns;
}

int cache_list(struct cache *c, struct cache_list *ret, struct err *e)
{
    autofd fd = openat(c->dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *entry;

    if (!dir)
        return err_errno(e, -errno, "CacheFailed", "cannot read the compile cache");
    take_fd(&fd); /* it is the stream's */
    while ((entry = readdir(dir)))
        file_add(c, entry->d_name, ret);
    closedir(dir);
    if (ret->n)
        qsort(ret->v, ret->n, sizeof(*ret->v), by_use);
    return 0;
}

void cache_list_done(struct cache_list *l)
{
    for (size_t i = 0; i < l->n; i++)
        free(l->v[i].name);
    free(l->v);
    *l = (struct cache_list){0};
}

int cache_file_remove(struct cache *c, const struct cache_file *f, struct err *e)
{
    autofd lock = -EBADF;

    if (f->kind == CACHE_FOREIGN)
        return 0;
    if (f->kind == CACHE_UNFINISHED) {
        lock = file_try_lock_at(c->dirfd, f->name);
        if (lock < 0)
            return 0;
    }
    if (unlinkat(c->dirfd, f->name, 0) < 0)
        return errno == ENOENT ? 0
                               : err_errno(e, -errno, "CacheFailed",
                                           "cannot remove '%s' of the compile cache", f->name);
    return 1;
}
