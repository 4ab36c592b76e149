/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/pods/manifests.h"

#include <dirent.h>
#include <sys/stat.h>

#include "base/fds.h"
#include "base/paths.h"
#include "base/secret.h"
#include "manifest/document.h"

#define DEPTH_LIMIT 32

static int folder_of(const char *path, char **ret, struct err *e)
{
    autofree char *dir = path ? path_dir(path) : xstrdup(".");
    char *absolute = realpath(dir, NULL);

    if (!absolute)
        return err_errno(e, -errno, "NotFound", "cannot find the folder of '%s'",
                         path ? path : "standard input");
    *ret = absolute;
    return 0;
}

/* `path` NULL: standard input. */
static int file_parse(const char *path, const char *space, struct objects *into, struct err *e)
{
    struct objects_options o = {.file = path ? path : "standard input", .space = space};
    autofree char *dir = NULL;
    autosecretbuf text = BUF_INIT;

    TRY(folder_of(path, &dir, e));
    o.base_dir = dir;
    TRY(path ? file_read(path, DOCUMENT_LIMIT_BYTES, &text, e)
             : fd_read_all(STDIN_FILENO, DOCUMENT_LIMIT_BYTES, &text, e));
    return objects_parse((struct text){buf_str(&text), text.len}, &o, into, e);
}

static bool is_manifest(const char *name)
{
    return str_stem(name, ".yaml") || str_stem(name, ".yml") || str_stem(name, ".json");
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int not_hidden(const struct dirent *d)
{
    return d->d_name[0] != '.';
}

static int folder_list(const char *path, bool is_recursive, int depth, struct strv *files,
                       struct err *e);

static int entry_list(const char *path, bool is_recursive, int depth, struct strv *files,
                      struct err *e)
{
    struct stat st;

    /* A link to a folder is not followed: it may lead back. */
    if ((is_manifest(path) ? stat(path, &st) : lstat(path, &st)) < 0)
        return err_errno(e, -errno, "NotFound", "cannot look at '%s'", path);
    if (S_ISDIR(st.st_mode))
        return is_recursive ? folder_list(path, true, depth + 1, files, e) : 0;
    if (!is_manifest(path))
        return 0;
    if (files->n == MANIFESTS_LIMIT)
        return err_set(e, -EFBIG, "TooLarge", "more than %d manifests; apply them in parts",
                       MANIFESTS_LIMIT);
    strv_add(files, path);
    return 0;
}

/* The depth is bounded. */
static int folder_list(const char *path, bool is_recursive,
                       int depth, /* NOLINT(misc-no-recursion) */
                       struct strv *files, struct err *e)
{
    struct dirent **entries;
    int n, r = 0;

    if (depth > DEPTH_LIMIT)
        return err_set(e, -ELOOP, "TooLarge", "'%s' is nested deeper than %d folders", path,
                       DEPTH_LIMIT);
    n = scandir(path, &entries, not_hidden, by_name);
    if (n < 0)
        return err_errno(e, -errno, "NotFound", "cannot list the folder '%s'", path);
    for (int i = 0; i < n; i++) {
        autofree char *one = path_join(path, entries[i]->d_name);

        if (r >= 0)
            r = entry_list(one, is_recursive, depth, files, e);
        free(entries[i]);
    }
    free(entries);
    return r;
}

static int one_read(const char *name, bool is_recursive, const char *space, struct objects *into,
                    struct err *e)
{
    autostrv files = STRV_INIT;
    struct stat st;

    if (str_eq(name, "-"))
        return file_parse(NULL, space, into, e);
    if (stat(name, &st) < 0)
        return err_errno(e, -errno, "NotFound", "cannot read the manifest '%s'", name);
    if (!S_ISDIR(st.st_mode))
        return file_parse(name, space, into, e);
    TRY(folder_list(name, is_recursive, 0, &files, e));
    if (!files.n)
        return err_set(e, -ENOENT, "NoManifest", "the folder '%s' has no *.yaml, *.yml or *.json%s",
                       name, is_recursive ? "" : "; with -R folders within it are read too");
    for (size_t i = 0; i < files.n; i++)
        TRY(file_parse(files.v[i], space, into, e));
    return 0;
}

static int spaces_check(const struct objects *s, const char *space, struct err *e)
{
    for (size_t i = 0; i < s->n; i++) {
        const struct object *o = s->v[i];

        if (!str_eq(o->space, space))
            return err_set(e, -EINVAL, "BadManifest",
                           "%s:%u: %s '%s' is of the namespace '%s', and --namespace says '%s'; "
                           "leave one of them out",
                           o->file, o->line, object_kind_name(o->kind), o->name, o->space, space);
    }
    return 0;
}

static int all_read(const struct manifest_options *m, const char *space, bool is_space_fixed,
                    struct objects *into, struct err *e)
{
    if (!m->files.n)
        return err_set(e, -EINVAL, "BadUsage", "say which manifest: -f FILE");
    for (size_t i = 0; i < m->files.n; i++)
        TRY(one_read(m->files.v[i], m->is_recursive, space, into, e));
    if (!into->n)
        return err_set(e, -ENOENT, "NoManifest", "there is no object in '%s'", m->files.v[0]);
    return is_space_fixed ? spaces_check(into, space, e) : 0;
}

int manifests_read(const struct manifest_options *m, const char *space, bool is_space_fixed,
                   struct objects *ret, struct err *e)
{
    struct objects s = {0};
    int r = all_read(m, space, is_space_fixed, &s, e);

    if (r < 0)
        objects_done(&s);
    else
        *ret = s;
    return r;
}
