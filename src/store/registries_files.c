/* SPDX-License-Identifier: Apache-2.0 */
/* Where registries.conf lies. */
#include <dirent.h>

#include "base/fds.h"
#include "base/paths.h"
#include "base/toml.h"
#include "store/registries.h"

#define SYSTEM_FOLDER "/etc/containers"
#define USER_FOLDER   ".config/containers"
#define FILE_NAME     "registries.conf"
#define ALIASES_NAME  "containers/short-name-aliases.conf"

/* 1 when the file is there. */
static int file_add(struct registries *c, const char *path, struct err *e)
{
    autobuf text = BUF_INIT;
    int r = file_read(path, TOML_LIMIT_BYTES, &text, e);

    if (r == -ENOENT || r == -ENOTDIR) {
        *e = ERR_INIT;
        return 0;
    }
    TRY(r);
    TRY(registries_add(c, (struct text){text.data, text.len}, path, e));
    return 1;
}

static int is_conf(const struct dirent *entry)
{
    return str_stem(entry->d_name, ".conf") > 0;
}

static int by_bytes(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int folder_add(struct registries *c, const char *folder, struct err *e)
{
    autofree char *path = xasprintf("%s/%s.d", folder, FILE_NAME);
    struct dirent **entries = NULL;
    int n = scandir(path, &entries, is_conf, by_bytes), r = 0;

    if (n < 0)
        return errno == ENOENT || errno == ENOTDIR
                   ? 0
                   : err_errno(e, -errno, "BadRegistriesConf", "cannot read the folder '%s'", path);
    for (int i = 0; i < n; i++) {
        autofree char *file = path_join(path, entries[i]->d_name);

        if (r >= 0)
            r = file_add(c, file, e);
        free(entries[i]);
    }
    free(entries);
    return r < 0 ? r : 0;
}

/* 1 when it is the user's own, which takes the place of all that the system has. */
static int main_file_add(struct registries *c, const char *user_folder, struct err *e)
{
    const char *named = secure_getenv("CONTAINERS_REGISTRIES_CONF");
    int r;

    if (named && *named) {
        TRY(r = file_add(c, named, e));
        return r ? 0
                 : err_set(e, -ENOENT, "NotFound",
                           "there is no file '%.300s', which CONTAINERS_REGISTRIES_CONF names",
                           named);
    }
    if (user_folder) {
        autofree char *own = path_join(user_folder, FILE_NAME);

        TRY(r = file_add(c, own, e));
        if (r)
            return 1;
    }
    TRY(file_add(c, SYSTEM_FOLDER "/" FILE_NAME, e));
    return 0;
}

static int recorded_aliases_add(struct registries *c, struct err *e)
{
    const char *cache = paths_env("XDG_CACHE_HOME"), *home = paths_env("HOME");
    autofree char *path = NULL;

    if (geteuid() == 0)
        path = xstrdup("/var/cache/" ALIASES_NAME);
    else if (cache)
        path = path_join(cache, ALIASES_NAME);
    else if (home)
        path = path_join(home, ".cache/" ALIASES_NAME);
    return path ? file_add(c, path, e) : 0;
}

int registries_read(struct registries *ret, struct err *e)
{
    const char *home = paths_env("HOME");
    autofree char *user_folder = home ? path_join(home, USER_FOLDER) : NULL;
    autoregistries c = {0};
    int is_own;

    TRY(is_own = main_file_add(&c, user_folder, e));
    if (!is_own)
        TRY(folder_add(&c, SYSTEM_FOLDER, e));
    if (user_folder)
        TRY(folder_add(&c, user_folder, e));
    TRY(recorded_aliases_add(&c, e));
    *ret = c;
    c = (struct registries){0};
    return 0;
}
