/* SPDX-License-Identifier: Apache-2.0 */
#include "pod/volumes/subpath.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "pod/volumes/tree.h"

#define REASON     "BadSubPath"
#define PATH_LIMIT 4096

static int failed(int code, const char *path, struct err *e)
{
    if (code == -EXDEV || code == -ELOOP)
        return err_set(e, code, REASON, "subPath '%.200s' leads out of its volume", path);
    return err_errno(e, code, REASON, "cannot open subPath '%.200s'", path);
}

static int check(const char *path, struct err *e)
{
    size_t len = strlen(path);

    if (*path == '/' || len >= PATH_LIMIT)
        return err_set(e, -EINVAL, REASON, "subPath '%.200s' must be relative, and below %d bytes",
                       path, PATH_LIMIT);
    for (const char *p = path; *p; p += strspn(p, "/")) {
        size_t n = strcspn(p, "/");

        if (n == 2 && !strncmp(p, "..", 2))
            return err_set(e, -EINVAL, REASON, "subPath '%.200s' must not contain '..'", path);
        p += n;
    }
    return 0;
}

/* Makes the folder at the end of `path`, the rest of which is there. */
static int folder_make(int volume, char *path, mode_t mode)
{
    char *slash = strrchr(path, '/');
    autofd parent = -EBADF, fd = -EBADF;
    struct err ignored = ERR_INIT;

    if (slash)
        *slash = 0;
    parent = tree_open(volume, slash ? path : ".", O_RDONLY | O_DIRECTORY);
    if (slash)
        *slash = '/';
    if (parent < 0)
        return parent;
    return tree_folder(parent, slash ? slash + 1 : path, mode, &fd, &ignored);
}

static int folders_make(int volume, char *path, mode_t mode)
{
    for (char *p = path; *p;) {
        size_t n = strcspn(p, "/");
        char kept = p[n];
        autofd fd = -EBADF;
        int r = 0;

        p[n] = 0;
        fd = tree_open(volume, path, O_PATH);
        if (fd == -ENOENT)
            r = folder_make(volume, path, mode);
        else if (fd < 0)
            r = fd;
        p[n] = kept;
        if (r < 0)
            return r;
        p += n + strspn(p + n, "/");
    }
    return 0;
}

int subpath_open(int volume, const char *path, bool is_made, int *ret_fd, struct err *e)
{
    autofree char *copy = xstrdup(path);
    struct stat st;
    int fd, r;

    TRY(check(path, e));
    /* "a/" is "a", also when it is a file. */
    for (size_t len = strlen(copy); len && copy[len - 1] == '/'; len--)
        copy[len - 1] = 0;
    fd = tree_open(volume, *copy ? copy : ".", O_PATH);
    if (fd == -ENOENT && is_made) {
        if (fstat(volume, &st) < 0)
            return failed(-errno, path, e);
        r = folders_make(volume, copy, st.st_mode & 0777);
        if (r < 0)
            return failed(r, path, e);
        fd = tree_open(volume, copy, O_PATH);
    }
    if (fd < 0)
        return failed(fd, path, e);
    *ret_fd = fd;
    return 0;
}
