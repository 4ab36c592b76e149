/* SPDX-License-Identifier: Apache-2.0 */
#include "base/paths.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/strv.h"

/* The variable's value when it is an absolute path, otherwise NULL. */
const char *paths_env(const char *name)
{
    const char *value = secure_getenv(name);

    return value && value[0] == '/' ? value : NULL;
}

static int xdg_dir(const char *variable, const char *below_home, char **ret, struct err *e)
{
    const char *dir = paths_env(variable), *home = paths_env("HOME");

    if (dir) {
        *ret = path_join(dir, "wherry");
        return 0;
    }
    if (!home)
        return err_set(e, -ENOENT, "NoHome",
                       "neither %s nor HOME is set to an absolute path; set one of them", variable);
    *ret = xasprintf("%s/%s/wherry", home, below_home);
    return 0;
}

int paths_state_dir(char **ret, struct err *e)
{
    const char *dir = paths_env("WHERRY_STATE_DIR");

    if (dir) {
        *ret = xstrdup(dir);
        return 0;
    }
    if (geteuid() != 0)
        return xdg_dir("XDG_STATE_HOME", ".local/state", ret, e);
    *ret = xstrdup("/var/lib/wherry");
    return 0;
}

int paths_run_dir(char **ret, struct err *e)
{
    const char *dir = paths_env("XDG_RUNTIME_DIR");

    (void)e;
    if (geteuid() == 0)
        *ret = xstrdup("/run/wherry");
    else if (dir)
        *ret = path_join(dir, "wherry");
    else
        *ret = xasprintf("/tmp/wherry-%u", (unsigned)geteuid());
    return 0;
}

int paths_cache_dir(char **ret, struct err *e)
{
    if (geteuid() == 0 && !paths_env("HOME") && !paths_env("XDG_CACHE_HOME")) {
        *ret = xstrdup("/var/cache/wherry");
        return 0;
    }
    return xdg_dir("XDG_CACHE_HOME", ".cache", ret, e);
}

int paths_config_file(const char *name, char **ret, struct err *e)
{
    autofree char *dir = NULL;

    if (geteuid() != 0)
        TRY(xdg_dir("XDG_CONFIG_HOME", ".config", &dir, e));
    *ret = path_join(dir ? dir : "/etc/wherry", name);
    return 0;
}

int paths_images_dir(char **ret, struct err *e)
{
    autofree char *state = NULL;

    TRY(paths_state_dir(&state, e));
    *ret = path_join(state, "images");
    return 0;
}

const char *const paths_ca_files[] = {
    "/etc/ssl/certs/ca-certificates.crt",                /* Debian, Arch, Gentoo */
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", /* Fedora, RHEL */
    "/etc/ssl/ca-bundle.pem",                            /* SUSE */
    "/etc/ssl/cert.pem",                                 /* Alpine */
    NULL,
};

const char *paths_system_ca(void)
{
    for (size_t i = 0; paths_ca_files[i]; i++)
        if (access(paths_ca_files[i], R_OK) == 0)
            return paths_ca_files[i];
    return NULL;
}

int paths_exe_dir(char **ret, struct err *e)
{
    char path[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);

    if (n < 0)
        return err_errno(e, -errno, "ProcMissing",
                         "cannot read /proc/self/exe; mount /proc or set WHERRY_EXEC_PATH");
    path[n] = 0;
    *ret = path_dir(path);
    return 0;
}

int paths_program_dirs(struct strv *ret, struct err *e)
{
    const char *only = secure_getenv("WHERRY_EXEC_PATH");
    autofree char *dir = NULL;

    if (only && *only) {
        strv_add(ret, only);
        return 0;
    }
    TRY(paths_exe_dir(&dir, e));
    strv_addf(ret, "%s/libexec/wherry", dir);
    strv_add(ret, dir);
    strv_addf(ret, "%s/../libexec/wherry", dir);
    return 0;
}

int paths_program_find(const char *name, char **ret, struct err *e)
{
    autostrv dirs = STRV_INIT;
    autobuf tried = BUF_INIT;

    TRY(paths_program_dirs(&dirs, e));
    for (size_t i = 0; i < dirs.n; i++) {
        autofree char *path = path_join(dirs.v[i], name);
        struct stat st;

        if (!stat(path, &st) && S_ISREG(st.st_mode) && !access(path, X_OK)) {
            *ret = take_ptr(path);
            return 0;
        }
        buf_addf(&tried, "%s%s", i ? ", " : "", dirs.v[i]);
    }
    return err_set(e, -ENOENT, "ProgramMissing", "the program '%s' is not in %s; install it again",
                   name, buf_str(&tried));
}

char *path_join(const char *a, const char *b)
{
    size_t len = strlen(a);

    while (len && a[len - 1] == '/')
        len--;
    while (*b == '/')
        b++;
    return xasprintf("%.*s/%s", (int)len, a, b);
}

int path_absolute(const char *path, char **ret, struct err *e)
{
    autofree char *cwd = NULL;

    if (path[0] == '/') {
        *ret = xstrdup(path);
        return 0;
    }
    cwd = getcwd(NULL, 0);
    if (!cwd)
        return err_errno(e, -errno, "NoWorkingFolder", "cannot name the working folder");
    *ret = path_join(cwd, path);
    return 0;
}

char *path_dir(const char *path)
{
    const char *slash = strrchr(path, '/');

    if (!slash)
        return xstrdup(".");
    while (slash > path && slash[-1] == '/')
        slash--;
    return slash == path ? xstrdup("/") : xstrndup(path, (size_t)(slash - path));
}

const char *path_base(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

int path_mkdir_p(const char *path, mode_t mode, struct err *e)
{
    autofree char *parent = NULL;
    struct stat st;

    if (!mkdir(path, mode))
        return 0;
    if (errno == EEXIST) {
        if (!stat(path, &st) && S_ISDIR(st.st_mode))
            return 0;
        return err_set(e, -ENOTDIR, "NotAFolder", "'%s' exists and is not a folder", path);
    }
    if (errno != ENOENT)
        return err_errno(e, -errno, "CreateFailed", "cannot create the folder '%s'", path);
    parent = path_dir(path);
    if (str_eq(parent, path) || str_eq(parent, "."))
        return err_errno(e, -ENOENT, "CreateFailed", "cannot create the folder '%s'", path);
    TRY(path_mkdir_p(parent, mode, e));
    /* Somebody else may have made it meanwhile. */
    if (mkdir(path, mode) < 0 && errno != EEXIST)
        return err_errno(e, -errno, "CreateFailed", "cannot create the folder '%s'", path);
    return 0;
}

int path_open_private(const char *path, int *ret_dirfd, struct err *e)
{
    autofd fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct stat st;

    if (fd < 0 && errno == ENOENT) {
        TRY(path_mkdir_p(path, 0700, e));
        fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    }
    if (fd < 0)
        return err_errno(e, -errno, "OpenFailed", "cannot open the folder '%s'", path);
    if (fstat(fd, &st) < 0)
        return err_errno(e, -errno, "OpenFailed", "cannot examine the folder '%s'", path);
    if (st.st_uid != geteuid() && st.st_uid != 0)
        return err_set(e, -EPERM, "UntrustedFolder",
                       "the folder '%s' belongs to uid %u; its content would not be safe to use",
                       path, (unsigned)st.st_uid);
    if (st.st_mode & (S_IWGRP | S_IWOTH))
        return err_set(e, -EPERM, "UntrustedFolder",
                       "others may write to the folder '%s'; run: chmod go-w '%s'", path, path);
    *ret_dirfd = take_fd(&fd);
    return 0;
}
