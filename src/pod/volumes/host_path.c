/* SPDX-License-Identifier: Apache-2.0 */
#include "pod/volumes/host_path.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "base/paths.h"

#define REASON      "HostPathFailed"
#define FOLDER_MODE 0755
#define FILE_MODE   0644

static int create(const struct pod_volume *v, struct err *e)
{
    if (v->host_path_type == POD_HOST_PATH_DIRECTORY_OR_CREATE)
        return path_mkdir_p(v->path, FOLDER_MODE, e);
    if (v->host_path_type == POD_HOST_PATH_FILE_OR_CREATE) {
        autofd fd = open(v->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOCTTY, FILE_MODE);

        if (fd < 0 && errno != EEXIST)
            return err_errno(e, -errno, REASON, "cannot create the file '%.300s'", v->path);
        return 0;
    }
    return err_set(e, -ENOENT, REASON,
                   "hostPath '%.300s' does not exist; create it, or give the volume the type "
                   "DirectoryOrCreate or FileOrCreate",
                   v->path);
}

static int check(const struct pod_volume *v, mode_t mode, struct err *e)
{
    static const struct {
        mode_t mode;
        const char *name;
    } wanted[] = {
        [POD_HOST_PATH_ANY] = {0,        ""                },
        [POD_HOST_PATH_DIRECTORY_OR_CREATE] = {S_IFDIR,  "directory"       },
        [POD_HOST_PATH_DIRECTORY] = {S_IFDIR,  "directory"       },
        [POD_HOST_PATH_FILE_OR_CREATE] = {S_IFREG,  "file"            },
        [POD_HOST_PATH_FILE] = {S_IFREG,  "file"            },
        [POD_HOST_PATH_SOCKET] = {S_IFSOCK, "socket file"     },
        [POD_HOST_PATH_CHAR_DEVICE] = {S_IFCHR,  "character device"},
        [POD_HOST_PATH_BLOCK_DEVICE] = {S_IFBLK,  "block device"    },
    };

    if (!wanted[v->host_path_type].mode || wanted[v->host_path_type].mode == (mode & S_IFMT))
        return 0;
    return err_set(e, -ENOTDIR, REASON, "hostPath type check failed: %.300s is not a %s", v->path,
                   wanted[v->host_path_type].name);
}

static bool has_parent_part(const char *path)
{
    for (const char *p = path; (p = strstr(p, "/..")); p += 3)
        if (!p[3] || p[3] == '/')
            return true;
    return false;
}

int host_path_open(const struct pod_volume *v, int *ret_fd, struct err *e)
{
    autofd fd = -EBADF;
    struct stat st;

    if (!v->path || *v->path != '/' || has_parent_part(v->path))
        return err_set(e, -EINVAL, REASON, "hostPath '%.300s' must be absolute and without '..'",
                       v->path ? v->path : "");
    fd = open(v->path, O_PATH | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT) {
        TRY(create(v, e));
        fd = open(v->path, O_PATH | O_CLOEXEC);
    }
    if (fd < 0 || fstat(fd, &st) < 0)
        return err_errno(e, -errno, REASON, "cannot open hostPath '%.300s'", v->path);
    TRY(check(v, st.st_mode, e));
    *ret_fd = take_fd(&fd);
    return 0;
}
