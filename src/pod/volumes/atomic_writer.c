/* SPDX-License-Identifier: Apache-2.0 */
#include "pod/volumes/atomic_writer.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>

#include "base/fds.h"
#include "base/secret.h"
#include "pod/volumes/tree.h"

#define DATA          "..data"
#define DATA_NEW      "..data_tmp"
#define FOLDER_MODE   0755
#define FOLDER_SIZE   48
#define NAME_ATTEMPTS 100

static int failed(int code, const char *what, struct err *e)
{
    return err_errno(e, code, errno_is_disk_full(code) ? "VolumeFull" : "WriteFailed",
                     "cannot write '%.200s'", what);
}

/* ---- What is there ---- */

static bool file_is_same(int data, const struct projection_file *f)
{
    autofd fd = tree_open_own(data, f->path, O_RDONLY | O_NONBLOCK);
    autosecretbuf there = BUF_INIT;
    struct err ignored = ERR_INIT;
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || (size_t)st.st_size != f->len ||
        (int)(st.st_mode & 07777) != f->mode)
        return false;
    buf_reserve(&there, f->len);
    return fd_read_all(fd, f->len, &there, &ignored) >= 0 && there.len == f->len &&
           (!f->len || !memcmp(there.data, f->data, f->len));
}

static bool is_same(int dirfd, const char *current, const struct projection *p)
{
    autofd data = *current ? tree_open_own(dirfd, current, O_RDONLY | O_DIRECTORY) : -ENOENT;
    struct err ignored = ERR_INIT;
    struct tree_size size;

    if (data < 0 || tree_measure(data, 0, &size, &ignored) < 0 || size.files != (int64_t)p->n)
        return false;
    for (size_t i = 0; i < p->n; i++)
        if (!file_is_same(data, &p->v[i]))
            return false;
    return true;
}

/* The folder that ..data leads to, "" when there is none. */
static void current_read(int dirfd, char ret[static FOLDER_SIZE])
{
    ssize_t n = readlinkat(dirfd, DATA, ret, FOLDER_SIZE);

    if (n < 0 || n >= FOLDER_SIZE)
        n = 0;
    ret[n] = 0;
    if (strchr(ret, '/') || !str_starts(ret, "..2"))
        ret[0] = 0;
}

/* ---- New content ---- */

static int folder_make(int dirfd, char name[static FOLDER_SIZE], int *ret_fd, struct err *e)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

    for (int i = 0; i < NAME_ATTEMPTS; i++) {
        unsigned char chance[6] = {0};
        time_t now = time(NULL);
        struct tm tm;
        size_t len;

        gmtime_r(&now, &tm);
        len = strftime(name, FOLDER_SIZE, "..%Y_%m_%d_%H_%M_%S.", &tm);
        if (getrandom(chance, sizeof(chance), 0) < 0)
            return failed(-errno, name, e);
        for (size_t k = 0; k < sizeof(chance); k++)
            name[len + k] = letters[chance[k] % (sizeof(letters) - 1)];
        name[len + sizeof(chance)] = 0;
        if (!mkdirat(dirfd, name, FOLDER_MODE)) {
            *ret_fd = tree_open_own(dirfd, name, O_RDONLY | O_DIRECTORY);
            return *ret_fd < 0 ? failed(*ret_fd, name, e) : 0;
        }
        if (errno != EEXIST)
            return failed(-errno, name, e);
    }
    return failed(-EEXIST, name, e);
}

static int file_write_new(int data, const struct projection_file *f, struct err *e)
{
    const char *slash = strrchr(f->path, '/');
    autofree char *folder = slash ? xstrndup(f->path, (size_t)(slash - f->path)) : NULL;
    autofd in = -EBADF, fd = -EBADF;
    struct err why = ERR_INIT;
    int r;

    if (folder) {
        r = tree_folders(data, folder, FOLDER_MODE, &in, &why);
        if (r < 0)
            return failed(r, f->path, e);
    }
    fd = openat(folder ? in : data, slash ? slash + 1 : f->path,
                O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return failed(-errno, f->path, e);
    r = fd_write_all(fd, f->data, f->len, &why);
    if (r < 0)
        return failed(r, f->path, e);
    if (fchmod(fd, (mode_t)f->mode) < 0)
        return failed(-errno, f->path, e);
    return 0;
}

static int fill(int data, const struct projection *p, struct err *e)
{
    if (fchmod(data, FOLDER_MODE) < 0)
        return failed(-errno, DATA, e);
    for (size_t i = 0; i < p->n; i++)
        TRY(file_write_new(data, &p->v[i], e));
    return 0;
}

/* Makes the link under another name first, so that what had the name gives way in one step. */
static int link_put(int dirfd, const char *name, const char *to, struct err *e)
{
    (void)unlinkat(dirfd, DATA_NEW, 0);
    if (symlinkat(to, dirfd, DATA_NEW) < 0)
        return failed(-errno, name, e);
    if (renameat(dirfd, DATA_NEW, dirfd, name) < 0) {
        int r = -errno;

        (void)unlinkat(dirfd, DATA_NEW, 0);
        return failed(r, name, e);
    }
    return 0;
}

/* ---- Names ---- */

/* Whether the projection has a file or folder of that name at the top. */
static bool has_top(const struct projection *p, const char *name)
{
    size_t len = strlen(name);

    for (size_t i = 0; i < p->n; i++)
        if (!strncmp(p->v[i].path, name, len) && strchr("/", p->v[i].path[len]))
            return true;
    return false;
}

static int names_put(int dirfd, const struct projection *p, struct err *e)
{
    char there[PROJECTION_NAME_LIMIT + sizeof(DATA) + 2];

    for (size_t i = 0; i < p->n; i++) {
        autofree char *name = xstrndup(p->v[i].path, strcspn(p->v[i].path, "/"));
        autofree char *to = xasprintf(DATA "/%s", name);
        ssize_t n = readlinkat(dirfd, name, there, sizeof(there));

        if (n < 0 || (size_t)n != strlen(to) || memcmp(there, to, (size_t)n) != 0)
            TRY(link_put(dirfd, name, to, e));
    }
    return 0;
}

static bool is_rest(const char *name, const char *current, const struct projection *p)
{
    if (str_eq(name, ".") || str_eq(name, "..") || str_eq(name, DATA) || str_eq(name, current))
        return false;
    return p ? !has_top(p, name) : str_starts(name, "..");
}

/* Removes what an earlier attempt left and content that was replaced; with `p` also the names that
 * are not in it. */
static int rest_remove(int dirfd, const char *current, const struct projection *p, struct err *e)
{
    int fd = tree_open_own(dirfd, ".", O_RDONLY | O_DIRECTORY);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;
    int r = 0;

    if (!d) {
        if (fd >= 0)
            close(fd);
        return failed(fd < 0 ? fd : -ENOMEM, ".", e);
    }
    while (r >= 0 && (entry = readdir(d)))
        if (is_rest(entry->d_name, current, p))
            r = tree_remove(dirfd, entry->d_name, e);
    closedir(d);
    return r;
}

static int replace(int dirfd, const struct projection *p, char current[static FOLDER_SIZE],
                   struct err *e)
{
    autofd data = -EBADF;
    struct err ignored = ERR_INIT;
    char name[FOLDER_SIZE];
    int r = folder_make(dirfd, name, &data, e);

    if (r >= 0)
        r = fill(data, p, e);
    if (r >= 0)
        r = link_put(dirfd, DATA, name, e);
    if (r < 0) {
        if (data >= 0)
            (void)tree_remove(dirfd, name, &ignored);
        return r;
    }
    memcpy(current, name, FOLDER_SIZE);
    return 0;
}

int atomic_write(int dirfd, const struct projection *p, bool *ret_is_changed, struct err *e)
{
    char current[FOLDER_SIZE];
    bool is_changed;

    current_read(dirfd, current);
    /* First, as it may be what fills the disk. */
    TRY(rest_remove(dirfd, current, NULL, e));
    is_changed = !is_same(dirfd, current, p);
    if (is_changed)
        TRY(replace(dirfd, p, current, e));
    TRY(names_put(dirfd, p, e));
    TRY(rest_remove(dirfd, current, p, e));
    *ret_is_changed = is_changed;
    return 0;
}
