/* SPDX-License-Identifier: Apache-2.0 */
#include "image/credentials.h"

#include <fcntl.h>
#include <stdio.h>

#include "base/fds.h"
#include "base/paths.h"
#include "base/secret.h"
#include "base/strv.h"
#include "image/auth_file.h"
#include "image/credential_helper.h"
#include "store/reference.h"

#define KEY_LIMIT 512 /* bytes of registry and repository */

#define autoauthfile __attribute__((cleanup(auth_file_done))) struct auth_file
#define autohelper   __attribute__((cleanup(auth_helper_done))) struct auth_helper

void credential_done(struct credential *c)
{
    secret_free(c->username);
    secret_free(c->password);
    secret_free(c->identity_token);
    *c = (struct credential){0};
}

/* ---- Which files ---- */

static const char *env_text(const char *name)
{
    const char *value = secure_getenv(name);

    return value && *value ? value : NULL;
}

/* The one file that was asked for, or NULL. */
static const char *named_file(const struct credentials_options *o)
{
    return o->authfile && *o->authfile ? o->authfile : env_text("REGISTRY_AUTH_FILE");
}

/* These give NULL when the place cannot be named. */

static char *runtime_file(void)
{
    const char *dir = paths_env("XDG_RUNTIME_DIR");

    if (dir)
        return path_join(dir, "containers/auth.json");
    return geteuid() == 0 ? xstrdup("/run/containers/0/auth.json") : NULL;
}

/* Below the folder, or without one below the home folder. */
static char *home_file(const char *dir, const char *name, const char *below_home)
{
    const char *home = paths_env("HOME");

    if (dir)
        return path_join(dir, name);
    return home ? path_join(home, below_home) : NULL;
}

static char *config_file(void)
{
    return home_file(paths_env("XDG_CONFIG_HOME"), "containers/auth.json",
                     ".config/containers/auth.json");
}

static void files_list(struct strv *ret)
{
    char *files[] = {
        runtime_file(),
        config_file(),
        home_file(env_text("DOCKER_CONFIG"), "config.json", ".docker/config.json"),
    };

    for (size_t i = 0; i < ARRAY_SIZE(files); i++)
        if (files[i])
            strv_add_owned(ret, files[i]);
}

int credentials_path(const struct credentials_options *o, char **ret, struct err *e)
{
    const char *named = named_file(o);
    char *path = named ? xstrdup(named) : runtime_file();

    if (!path)
        path = config_file();
    if (!path)
        return err_set(e, -ENOENT, "NoHome",
                       "none of XDG_RUNTIME_DIR, XDG_CONFIG_HOME and HOME is set to an absolute "
                       "path; set one of them, or REGISTRY_AUTH_FILE");
    *ret = path;
    return 0;
}

/* ---- Looking ---- */

static bool is_sane(const char *s)
{
    for (; *s; s++)
        if (!(*s >= '0' && *s <= '9') && !(*s >= 'a' && *s <= 'z') && !(*s >= 'A' && *s <= 'Z') &&
            !strchr("-._:[]/", *s))
            return false;
    return true;
}

/* A registry, or with a path behind it; without a scheme, a tag or a digest. */
static int registry_check(const char *registry, bool may_have_path, struct err *e)
{
    const char *slash = strchr(registry, '/');

    if (*registry && *registry != '/' && strlen(registry) <= KEY_LIMIT && is_sane(registry) &&
        (!slash || (may_have_path && !strchr(slash, ':') && !strstr(slash, "//") &&
                    slash[strlen(slash) - 1] != '/')))
        return 0;
    return err_set(e, -EINVAL, "BadRegistry",
                   "'%.100s' is no registry; write a name such as quay.io or localhost:5000%s",
                   registry, may_have_path ? ", with a path behind it or without" : "");
}

static struct credential_helper helper_of(const struct credentials_options *o,
                                          const struct auth_helper *h, const char *file)
{
    return (struct credential_helper){
        .name = h->name,
        .server = h->server,
        .file = file,
        .timeout_ms =
            o->helper_timeout_ms > 0 ? o->helper_timeout_ms : CREDENTIAL_HELPER_TIMEOUT_MS,
    };
}

static int find_in(const struct credentials_options *o, const char *path, const char *registry,
                   const char *repository, struct credential *ret, struct err *e)
{
    autoauthfile file = {0};
    autohelper helper = {0};
    int r;

    TRY(r = auth_file_read(path, &file, e));
    if (!r && named_file(o))
        return err_set(e, -ENOENT, "NotFound",
                       "there is no file '%.300s' with credentials; log in with it first, or leave "
                       "out --authfile and REGISTRY_AUTH_FILE",
                       path);
    TRY(r = auth_file_helper(&file, registry, &helper, e));
    if (r) {
        struct credential_helper h = helper_of(o, &helper, path);

        TRY(r = credential_helper_get(&h, ret, e));
        if (r || !helper.is_store)
            return r;
    }
    return auth_file_find(&file, registry, repository, ret, e);
}

static int find_in_files(const struct credentials_options *o, const char *registry,
                         const char *repository, struct credential *ret, struct err *e)
{
    const char *named = named_file(o);
    autostrv files = STRV_INIT;

    if (named)
        strv_add(&files, named);
    else
        files_list(&files);
    for (size_t i = 0; i < files.n; i++) {
        int r = find_in(o, files.v[i], reference_registry(registry), repository, ret, e);

        if (r)
            return r;
    }
    return 0;
}

/* ---- The helpers of registries.conf ---- */

/* All that are to be asked. */
static void helpers_list(const struct credentials_options *o, struct strv *ret)
{
    if (o->registries)
        strv_addv(ret, o->registries->helpers.v);
    if (!ret->n)
        strv_add(ret, REGISTRIES_AUTH_FILES);
}

static bool is_files(const char *helper)
{
    return str_eq(helper, REGISTRIES_AUTH_FILES);
}

/* By the name of the registry alone, as podman keeps it there. */
static struct credential_helper global_helper(const struct credentials_options *o, const char *name,
                                              const char *host)
{
    struct auth_helper h = {(char *)(uintptr_t)name, (char *)(uintptr_t)reference_registry(host),
                            true};

    return helper_of(o, &h, o->registries->helpers_place);
}

int credentials_find(const struct credentials_options *o, const char *registry,
                     const char *repository, struct credential *ret, struct err *e)
{
    autostrv helpers = STRV_INIT;
    struct err all = ERR_INIT;

    TRY(registry_check(registry, false, e));
    if (repository && (!*repository || strlen(repository) > KEY_LIMIT))
        return err_set(e, -EINVAL, "BadRegistry", "'%.100s' is no repository", repository);
    helpers_list(o, &helpers);
    for (size_t i = 0; i < helpers.n; i++) {
        struct err one = ERR_INIT;
        int r;

        if (is_files(helpers.v[i])) {
            r = find_in_files(o, registry, repository, ret, &one);
        } else {
            struct credential_helper h = global_helper(o, helpers.v[i], registry);

            r = credential_helper_get(&h, ret, &one);
        }
        if (r > 0)
            return r;
        if (r < 0)
            err_join(&all, &one);
    }
    if (all.code)
        *e = all;
    return all.code;
}

/* ---- Changing a file ---- */

/* A file beside the one that is changed, there while it is changed. */
struct lock {
    int dirfd;
    char *name;
    int fd;
};

static void lock_release(struct lock *l)
{
    if (l->fd >= 0) {
        unlinkat(l->dirfd, l->name, 0);
        close(l->fd);
    }
    free(l->name);
}

static int lock_take(int dirfd, const char *name, struct lock *ret, struct err *e)
{
    autofree char *lock = xasprintf(".%s.lock", name);
    int fd = file_lock_at(dirfd, lock);

    if (fd < 0)
        return err_errno(e, fd, "LockFailed", "cannot lock '%s'", lock);
    *ret = (struct lock){.dirfd = dirfd, .name = take_ptr(lock), .fd = fd};
    return 0;
}

/* 1 with the new text in *ret, which is empty before; 0 when there is nothing to change. */
static int edit(const char *path, const char *key, const struct credential *c, struct buf *ret,
                struct err *e)
{
    autoauthfile file = {0};

    TRY(auth_file_read(path, &file, e));
    return auth_file_edit(&file, key, c, ret, e);
}

static int change_locked(int dirfd, const char *path, const char *key, const struct credential *c,
                         struct err *e)
{
    __attribute__((cleanup(lock_release))) struct lock lock = {.fd = -EBADF};
    autosecretbuf text = BUF_INIT;
    int r;

    TRY(lock_take(dirfd, path_base(path), &lock, e));
    TRY(r = edit(path, key, c, &text, e));
    if (r)
        TRY(file_write_at(dirfd, path_base(path), text.data, text.len, 0600, FILE_WRITE_SYNC, e));
    return r;
}

static int change(const char *path, const char *key, const struct credential *c, struct err *e)
{
    autofree char *dir = path_dir(path);
    autofd dirfd = -EBADF;
    int r;

    TRY(path_mkdir_p(dir, 0700, e));
    dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dirfd < 0)
        return err_errno(e, -errno, "OpenFailed", "cannot open the folder '%s'", dir);
    r = change_locked(dirfd, path, key, c, e);
    return r < 0 && !str_eq(e->reason, "BadAuthFile") ? err_prefix(e, "'%.200s'", path) : r;
}

/* Puts in the entry, or takes out what the registry has: 1 when the file is another one now. */
static int entry_change(const char *path, const char *registry, const struct credential *c,
                        struct err *e)
{
    /* What people keep elsewhere, with a link here, stays there. */
    autofree char *target = realpath(path, NULL);
    autofree char *host = xstrndup(registry, strcspn(registry, "/"));
    autofree char *key = xasprintf("%s%s", reference_registry(host), registry + strlen(host));
    autosecretbuf text = BUF_INIT;

    /* A logout needs no lock, and no folder that it may write to, to see that there is nothing. */
    if (!c) {
        int r = edit(path, key, NULL, &text, e);

        if (r <= 0)
            return r;
    }
    return change(target ? target : path, key, c, e);
}

/* The helper that the file names for a registry: 1, or 0. Helpers know no paths. */
static int helper_find(const char *path, const char *registry, struct auth_helper *ret,
                       struct err *e)
{
    autofree char *host = xstrndup(registry, strcspn(registry, "/"));
    autoauthfile file = {0};
    int r;

    TRY(auth_file_read(path, &file, e));
    TRY(r = auth_file_helper(&file, reference_registry(host), ret, e));
    if (r && strchr(registry, '/'))
        return err_set(e, -EINVAL, "BadRegistry",
                       "'%.150s' keeps the credentials of '%.100s' with the helper '%.64s', which "
                       "knows no paths; use the registry alone",
                       path, host, ret->name);
    return r;
}

static int credential_check(const struct credential *c, struct err *e)
{
    if (!c->identity_token && (!c->username || !c->password))
        return err_set(e, -EINVAL, "BadCredential", "a username and a password are needed");
    if (c->username && strchr(c->username, ':'))
        return err_set(e, -EINVAL, "BadCredential", "a username cannot have a colon in it");
    return 0;
}

static int store_with(const struct credential_helper *h, const struct credential *c,
                      char **ret_where, struct err *e)
{
    TRY(credential_helper_store(h, c, e));
    *ret_where = xasprintf("the credential helper '%s'", h->name);
    return 0;
}

static int store_in_file(const struct credentials_options *o, const char *registry,
                         const struct credential *c, char **ret_where, struct err *e)
{
    autofree char *path = NULL;
    autohelper helper = {0};
    int r;

    TRY(credentials_path(o, &path, e));
    TRY(r = helper_find(path, registry, &helper, e));
    if (r) {
        struct credential_helper h = helper_of(o, &helper, path);

        return store_with(&h, c, ret_where, e);
    }
    TRY(entry_change(path, registry, c, e));
    *ret_where = take_ptr(path);
    return 0;
}

static int store_in_helper(const struct credentials_options *o, const char *name,
                           const char *registry, const struct credential *c, char **ret_where,
                           struct err *e)
{
    struct credential_helper h = global_helper(o, name, registry);

    if (strchr(registry, '/'))
        return err_set(e, -EINVAL, "BadRegistry",
                       "the credential helper '%.64s' of '%.150s' knows no paths; use the registry "
                       "alone",
                       name, h.file);
    return store_with(&h, c, ret_where, e);
}

int credentials_store(const struct credentials_options *o, const char *registry,
                      const struct credential *c, char **ret_where, struct err *e)
{
    autostrv helpers = STRV_INIT;
    struct err all = ERR_INIT;

    TRY(registry_check(registry, true, e));
    TRY(credential_check(c, e));
    helpers_list(o, &helpers);
    for (size_t i = 0; i < helpers.n; i++) {
        const char *name = helpers.v[i];
        struct err one = ERR_INIT;
        int r = is_files(name) ? store_in_file(o, registry, c, ret_where, &one)
                               : store_in_helper(o, name, registry, c, ret_where, &one);

        if (r >= 0)
            return 0;
        err_join(&all, &one);
    }
    *e = all;
    return all.code;
}

static int erase_in_file(const struct credentials_options *o, const char *registry, struct err *e)
{
    autofree char *path = NULL;
    autohelper helper = {0};
    int r, r_file;

    TRY(credentials_path(o, &path, e));
    TRY(r = helper_find(path, registry, &helper, e));
    if (r) {
        struct credential_helper h = helper_of(o, &helper, path);

        TRY(r = credential_helper_erase(&h, e));
    }
    TRY(r_file = entry_change(path, registry, NULL, e));
    return r || r_file;
}

int credentials_erase(const struct credentials_options *o, const char *registry, struct err *e)
{
    autostrv helpers = STRV_INIT;
    struct err all = ERR_INIT;
    bool was_there = false;

    TRY(registry_check(registry, true, e));
    helpers_list(o, &helpers);
    for (size_t i = 0; i < helpers.n; i++) {
        struct err one = ERR_INIT;
        int r = 0;

        if (is_files(helpers.v[i])) {
            r = erase_in_file(o, registry, &one);
        } else if (!strchr(registry, '/')) { /* others have nothing by that name */
            struct credential_helper h = global_helper(o, helpers.v[i], registry);

            r = credential_helper_erase(&h, &one);
        }
        was_there = was_there || r > 0;
        if (r < 0)
            err_join(&all, &one);
    }
    if (all.code)
        *e = all;
    return all.code ? all.code : was_there;
}
