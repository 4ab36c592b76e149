/* SPDX-License-Identifier: Apache-2.0 */
#include "container/oci/entrypoint.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/paths.h"

/* What a process without PATH is given (execvp(3)). */
#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

static int file_open(int root_fd, const char *path)
{
    struct open_how how = {.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
                           .resolve = RESOLVE_IN_ROOT};
    autofd fd = (int)syscall(SYS_openat2, root_fd, path, &how, sizeof(how));
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0)
        return -errno;
    return S_ISREG(st.st_mode) ? take_fd(&fd) : -EACCES;
}

static int in_folders(int root_fd, const struct strv *env, const char *name)
{
    char **variable = strv_variable_find(env, "PATH=");
    const char *folders = variable ? *variable + strlen("PATH=") : DEFAULT_PATH;
    int fd = -ENOENT;

    while (fd < 0 && *folders) {
        size_t len = strcspn(folders, ":");
        autofree char *dir = xstrndup(folders, len);
        autofree char *path = path_join(len ? dir : ".", name);

        fd = file_open(root_fd, path);
        folders += len + (folders[len] == ':');
    }
    return fd;
}

static int program_open(int root_fd, const struct oci_process *p, const char *name)
{
    autofree char *path = NULL;

    if (!strchr(name, '/')) {
        int fd = in_folders(root_fd, &p->env, name);

        /* An image of one file often names it so, and what is no program is in no PATH. */
        if (fd >= 0)
            return fd;
    }
    path = *name == '/' || !p->cwd ? xstrdup(name) : path_join(p->cwd, name);
    return file_open(root_fd, path);
}

static bool is_wasm(int fd)
{
    char magic[4];

    return pread(fd, magic, sizeof(magic), 0) == sizeof(magic) &&
           !memcmp(magic, "\0asm", sizeof(magic));
}

void entrypoint_find(int root_fd, const struct oci_process *process, struct entrypoint *ret)
{
    const char *word = process->args.n ? process->args.v[0] : "";
    const char *function = strrchr(word, '#');
    autofd fd = -ENOENT;

    *ret = (struct entrypoint){.fd = -EBADF};
    if (!*word)
        return;
    fd = program_open(root_fd, process, word);
    /* A file may have the sign in its name. */
    if (fd == -ENOENT && function && function > word) {
        autofree char *name = xstrndup(word, (size_t)(function - word));

        fd = program_open(root_fd, process, name);
        if (fd >= 0 && function[1])
            ret->function = xstrdup(function + 1);
    }
    if (fd == -ENOENT || fd == -ENOTDIR) {
        ret->kind = ENTRYPOINT_NONE;
    } else if (fd >= 0 && is_wasm(fd)) {
        ret->kind = ENTRYPOINT_WASM;
        ret->fd = take_fd(&fd);
        return;
    } else {
        ret->kind = ENTRYPOINT_NATIVE;
    }
    free(take_ptr(ret->function));
}

void entrypoint_done(struct entrypoint *p)
{
    close_cleanup_(&p->fd);
    free(p->function);
    *p = (struct entrypoint){.fd = -EBADF};
}
