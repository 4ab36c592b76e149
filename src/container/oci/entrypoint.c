/* SPDX-License-Identifier: Apache-2.0 */
#include "container/oci/entrypoint.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "base/paths.h"
#include "container/folder.h"

/* What a process without PATH is given (execvp(3)). */
#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

static int file_open(const struct mount_view *v, const struct oci_process *p, const char *name)
{
    autofree char *path = *name == '/' ? xstrdup(name) : path_join(p->cwd ? p->cwd : "/", name);
    autofd fd = mount_view_open(v, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
    struct stat st;

    if (fd < 0)
        return fd;
    if (fstat(fd, &st) < 0)
        return -errno;
    return S_ISREG(st.st_mode) ? take_fd(&fd) : -EACCES;
}

static int in_folders(const struct mount_view *v, const struct oci_process *p, const char *name)
{
    char **variable = strv_variable_find(&p->env, "PATH=");
    const char *folders = variable ? *variable + strlen("PATH=") : DEFAULT_PATH;
    int fd = -ENOENT;

    while (fd < 0 && *folders) {
        size_t len = strcspn(folders, ":");
        autofree char *dir = xstrndup(folders, len);
        autofree char *path = path_join(len ? dir : ".", name);

        fd = file_open(v, p, path);
        folders += len + (folders[len] == ':');
    }
    return fd;
}

static int program_open(const struct mount_view *v, const struct oci_process *p, const char *name)
{
    if (!strchr(name, '/')) {
        int fd = in_folders(v, p, name);

        /* An image of one file often names it so, and what is no program is in no PATH. */
        if (fd >= 0)
            return fd;
    }
    return file_open(v, p, name);
}

static bool is_wasm(int fd)
{
    char magic[4];

    return pread(fd, magic, sizeof(magic), 0) == sizeof(magic) &&
           !memcmp(magic, "\0asm", sizeof(magic));
}

char *entrypoint_function(const char *word)
{
    const char *sign = strrchr(word, '#');

    return sign && sign > word && sign[1] ? xstrdup(sign + 1) : NULL;
}

int entrypoint_find(const struct mount_view *v, const struct oci_process *process,
                    struct entrypoint *ret, struct err *e)
{
    const char *word = process->args.n ? process->args.v[0] : "";
    const char *sign = strrchr(word, '#');
    autofd fd = -ENOENT;

    *ret = (struct entrypoint){.fd = -EBADF};
    if (!*word)
        return 0;
    fd = program_open(v, process, word);
    /* A file may have the sign in its name. */
    if (fd == -ENOENT && sign && sign > word) {
        autofree char *name = xstrndup(word, (size_t)(sign - word));

        fd = program_open(v, process, name);
        if (fd >= 0)
            ret->function = entrypoint_function(word);
    }
    if (fd == -ENOENT || fd == -ENOTDIR) {
        ret->kind = ENTRYPOINT_NONE;
    } else if (fd >= 0 && is_wasm(fd)) {
        ret->kind = ENTRYPOINT_WASM;
        ret->fd = take_fd(&fd);
        return 0;
    } else {
        ret->kind = ENTRYPOINT_NATIVE;
    }
    free(take_ptr(ret->function));
    if (fd == -EIO || is_shortage(fd))
        return err_errno(e, fd, "ReadFailed", "cannot open the program '%.200s'", word);
    return 0;
}

void entrypoint_done(struct entrypoint *p)
{
    close_cleanup_(&p->fd);
    free(p->function);
    *p = (struct entrypoint){.fd = -EBADF};
}
