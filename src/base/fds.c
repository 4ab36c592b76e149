/* SPDX-License-Identifier: Apache-2.0 */
#include "base/fds.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/paths.h"

static int read_all(int fd, size_t limit_bytes, struct buf *ret, struct err *e)
{
    size_t start = ret->len;
    struct stat st;
    size_t step = 16384;

    if (!fstat(fd, &st) && S_ISREG(st.st_mode)) {
        if ((uint64_t)st.st_size > limit_bytes)
            return err_set(e, -EFBIG, "TooLarge", "larger than the %zu bytes that are allowed",
                           limit_bytes);
        /* One byte more than the size, so that the end is seen without another reallocation. Files
         * of /proc have size 0 and some give all in one read or nothing. */
        if (st.st_size)
            step = (size_t)st.st_size + 1;
    }
    for (;;) {
        char *at = buf_reserve(ret, step);
        ssize_t n = read(fd, at, step);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_errno(e, -errno, "ReadFailed", "cannot read");
        if (n == 0)
            break;
        ret->len += (size_t)n;
        buf_terminate(ret);
        if (ret->len - start > limit_bytes)
            return err_set(e, -EFBIG, "TooLarge", "larger than the %zu bytes that are allowed",
                           limit_bytes);
        step = 16384;
    }
    return 0;
}

int fd_read_all(int fd, size_t limit_bytes, struct buf *ret, struct err *e)
{
    size_t start = ret->len;
    int r = read_all(fd, limit_bytes, ret, e);

    if (r < 0) {
        ret->len = start;
        if (ret->data)
            buf_terminate(ret);
    }
    return r;
}

int fd_read_exact(int fd, void *data, size_t len, struct err *e)
{
    char *at = data;

    while (len) {
        ssize_t n = read(fd, at, len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_errno(e, -errno, "ReadFailed", "cannot read");
        if (n == 0)
            return err_set(e, -ENODATA, "Truncated", "ends %zu bytes too early", len);
        at += n;
        len -= (size_t)n;
    }
    return 0;
}

int fd_write_all(int fd, const void *data, size_t len, struct err *e)
{
    const char *at = data;

    while (len) {
        ssize_t n = write(fd, at, len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_errno(e, -errno, "WriteFailed", "cannot write");
        at += n;
        len -= (size_t)n;
    }
    return 0;
}

int fd_cloexec_set(int fd, bool is_cloexec)
{
    int flags = fcntl(fd, F_GETFD);

    if (flags < 0)
        return -errno;
    flags = is_cloexec ? flags | FD_CLOEXEC : flags & ~FD_CLOEXEC;
    return fcntl(fd, F_SETFD, flags) < 0 ? -errno : 0;
}

int fd_nonblock_set(int fd)
{
    int flags = fcntl(fd, F_GETFL);

    return flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ? -errno : 0;
}

int fd_move_above(int *fd, int min, struct err *e)
{
    int moved;

    if (*fd >= min)
        return 0;
    moved = fcntl(*fd, F_DUPFD_CLOEXEC, min);
    if (moved < 0)
        return err_errno(e, -errno, "DescriptorFailed", "cannot duplicate descriptor %d", *fd);
    close(*fd);
    *fd = moved;
    return 0;
}

int file_read_at(int dirfd, const char *name, size_t limit_bytes, struct buf *ret, struct err *e)
{
    autofd fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return err_errno(e, -errno, errno == ENOENT ? "NotFound" : "OpenFailed", "cannot open '%s'",
                         name);
    if (fd_read_all(fd, limit_bytes, ret, e) < 0)
        return err_prefix(e, "'%s'", name);
    return 0;
}

int file_read(const char *path, size_t limit_bytes, struct buf *ret, struct err *e)
{
    return file_read_at(AT_FDCWD, path, limit_bytes, ret, e);
}

#define BOOT_ID_LIMIT 64u

int boot_id_read(struct buf *ret, struct err *e)
{
    return file_read("/proc/sys/kernel/random/boot_id", BOOT_ID_LIMIT, ret, e);
}

int dir_each(int dirfd, bool (*each)(void *ctx, const char *name), void *ctx)
{
    int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r;
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *entry;
    bool is_wanted = true;

    if (!dir) {
        r = -errno;
        if (fd >= 0)
            close(fd);
        return r;
    }
    while (is_wanted && (errno = 0, entry = readdir(dir)))
        if (!str_eq(entry->d_name, ".") && !str_eq(entry->d_name, ".."))
            is_wanted = each(ctx, entry->d_name);
    r = is_wanted ? -errno : 0;
    closedir(dir);
    return r;
}

static bool entry_note(void *ctx, const char *name)
{
    (void)name;
    *(bool *)ctx = true;
    return false;
}

int dir_is_empty(int dirfd)
{
    bool has_entry = false;
    int r = dir_each(dirfd, entry_note, &has_entry);

    return r < 0 ? r : !has_entry;
}

static int temp_open_at(int dirfd, const char *name, mode_t mode, char **ret_temp, int *ret_fd,
                        struct err *e)
{
    static unsigned counter;

    for (int attempt = 0; attempt < 100; attempt++) {
        autofree char *temp = xasprintf(".%s.%d.%u.tmp", name, (int)getpid(),
                                        __atomic_fetch_add(&counter, 1, __ATOMIC_RELAXED));
        int fd = openat(dirfd, temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);

        if (fd >= 0) {
            *ret_fd = fd;
            *ret_temp = take_ptr(temp);
            return 0;
        }
        if (errno != EEXIST)
            return err_errno(e, -errno, "CreateFailed", "cannot create '%s'", temp);
    }
    return err_set(e, -EEXIST, "CreateFailed", "cannot create '%s': left-over files are in its way",
                   name);
}

/* Of ".NAME.PID.N.tmp" the process; 0: the name is another one. */
static pid_t temp_owner(const char *name)
{
    int dots = 0;
    const char *at = name + strlen(name);

    if (name[0] != '.' || !str_stem(name, ".tmp"))
        return 0;
    while (at > name && dots < 3)
        dots += *--at == '.';
    return at > name ? (pid_t)strtol(at + 1, NULL, 10) : 0;
}

static bool temp_remove(void *ctx, const char *name)
{
    pid_t owner = temp_owner(name);

    if (owner > 0 && kill(owner, 0) < 0 && errno == ESRCH)
        unlinkat(*(const int *)ctx, name, 0);
    return true;
}

void file_temps_remove(int dirfd)
{
    (void)dir_each(dirfd, temp_remove, &dirfd);
}

static int temp_fill(int fd, const void *data, size_t len, int flags, struct err *e)
{
    TRY(fd_write_all(fd, data, len, e));
    if ((flags & FILE_WRITE_SYNC) && fsync(fd) < 0)
        return err_errno(e, -errno, "WriteFailed", "cannot sync");
    return 0;
}

int file_write_at(int dirfd, const char *name, const void *data, size_t len, mode_t mode, int flags,
                  struct err *e)
{
    autofree char *temp = NULL;
    autofd fd = -EBADF;

    TRY(temp_open_at(dirfd, name, mode, &temp, &fd, e));
    if (temp_fill(fd, data, len, flags, e) < 0) {
        unlinkat(dirfd, temp, 0);
        return err_prefix(e, "'%s'", name);
    }
    if (renameat(dirfd, temp, dirfd, name) < 0) {
        int code = -errno;

        unlinkat(dirfd, temp, 0);
        return err_errno(e, code, "WriteFailed", "cannot replace '%s'", name);
    }
    if (flags & FILE_WRITE_SYNC) {
        /* dirfd may be O_PATH or AT_FDCWD; fsync needs a descriptor open for reading. */
        autofd dir = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        if (dir < 0 || fsync(dir) < 0)
            return err_errno(e, -errno, "WriteFailed", "cannot sync the folder of '%s'", name);
    }
    return 0;
}

int file_write(const char *path, const void *data, size_t len, mode_t mode, int flags,
               struct err *e)
{
    autofree char *dir = path_dir(path);
    autofd dirfd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);

    if (dirfd < 0)
        return err_errno(e, -errno, "OpenFailed", "cannot open the folder '%s'", dir);
    return file_write_at(dirfd, path_base(path), data, len, mode, flags, e);
}

int file_open_at(int dirfd, const char *name)
{
    int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);

    return fd < 0 ? -errno : fd;
}

/* The kernel asks for another attempt when something was renamed while it checked a "..". */
#define OPEN_ATTEMPTS 32

int file_open_resolved(int dirfd, const char *path, int flags, uint64_t resolve)
{
    struct open_how how = {.flags = (unsigned)(flags | O_CLOEXEC),
                           .resolve = resolve | RESOLVE_NO_MAGICLINKS};
    long fd = -1;

    for (int i = 0; i < OPEN_ATTEMPTS; i++) {
        fd = syscall(SYS_openat2, dirfd, path, &how, sizeof(how));
        if (fd >= 0 || (errno != EAGAIN && errno != EINTR))
            break;
    }
    return fd < 0 ? -errno : (int)fd;
}

bool file_is_at(int fd, int dirfd, const char *name)
{
    struct stat open, named;

    return !fstat(fd, &open) && !fstatat(dirfd, name, &named, AT_SYMLINK_NOFOLLOW) &&
           named.st_ino == open.st_ino && named.st_dev == open.st_dev;
}

static int lock_at(int dirfd, const char *name, int flags, int how)
{
    for (;;) {
        autofd fd = openat(dirfd, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW | flags, 0600);
        struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
        int r;

        if (fd < 0)
            return -errno;
        do
            r = fcntl(fd, how, &whole);
        while (r < 0 && errno == EINTR);
        if (r < 0)
            return errno == EACCES ? -EAGAIN : -errno;
        if (file_is_at(fd, dirfd, name))
            return take_fd(&fd);
    }
}

int file_lock_at(int dirfd, const char *name)
{
    return lock_at(dirfd, name, O_CREAT, F_OFD_SETLKW);
}

int file_try_lock_at(int dirfd, const char *name)
{
    return lock_at(dirfd, name, 0, F_OFD_SETLK);
}

#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL)

static int memfd_new(const char *name, struct err *e)
{
    int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

    return fd >= 0 ? fd : err_errno(e, -errno, "MemfdFailed", "cannot create an anonymous file");
}

static int memfd_seal(int fd, struct err *e)
{
    if (lseek(fd, 0, SEEK_SET) < 0 || fcntl(fd, F_ADD_SEALS, SEALS) < 0)
        return err_errno(e, -errno, "MemfdFailed", "cannot seal an anonymous file");
    return 0;
}

int memfd_from(const char *name, const void *data, size_t len, int *ret_fd, struct err *e)
{
    autofd fd = memfd_new(name, e);

    TRY(fd);
    TRY(fd_write_all(fd, data, len, e));
    TRY(memfd_seal(fd, e));
    *ret_fd = take_fd(&fd);
    return 0;
}

int memfd_copy(const char *name, int from, size_t limit_bytes, int *ret_fd, struct err *e)
{
    autofd fd = memfd_new(name, e);
    off_t at = 0;
    ssize_t n;

    TRY(fd);
    while ((n = sendfile(fd, from, &at, limit_bytes - (size_t)at)) > 0)
        ;
    if (n < 0)
        return err_errno(e, -errno, "ReadFailed", "cannot copy a file");
    TRY(memfd_seal(fd, e));
    *ret_fd = take_fd(&fd);
    return 0;
}

bool fd_is_sealed(int fd)
{
    int seals = fcntl(fd, F_GET_SEALS);

    return seals >= 0 && (seals & SEALS) == SEALS;
}

void fd_event(int fd)
{
    uint64_t one = 1;

    if (write(fd, &one, sizeof(one)) < 0)
        BUG_ON(errno != EAGAIN);
}

void fds_make_room(unsigned n)
{
    struct rlimit l;
    int fd;

    if (getrlimit(RLIMIT_NOFILE, &l) < 0)
        return;
    l.rlim_cur = l.rlim_max;
    setrlimit(RLIMIT_NOFILE, &l);
    if (n > l.rlim_cur)
        n = (unsigned)l.rlim_cur;
    fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, (int)n - 1);
    if (fd >= 0)
        close(fd);
}
