/* SPDX-License-Identifier: Apache-2.0 */
#include <fnmatch.h>
#include <sys/stat.h>

#include "toolbox/toolbox.h"

struct find {
    struct job *j;
    const char **patterns; /* all have to match */
    size_t n_patterns;
    char type; /* 0: any */
    long long depth_max;
    int status;
};

static bool type_is(char type, mode_t mode)
{
    switch (type) {
    case 'f':
        return S_ISREG(mode);
    case 'd':
        return S_ISDIR(mode);
    case 'l':
        return S_ISLNK(mode);
    default:
        return true;
    }
}

static bool is_wanted(const struct find *f, const char *path, mode_t mode)
{
    autofree char *copy = xstrdup(path);
    const char *name = path_last(copy);

    for (size_t i = 0; i < f->n_patterns; i++)
        if (fnmatch(f->patterns[i], name, 0) != 0)
            return false;
    return type_is(f->type, mode);
}

static void visit(struct find *f, const char *path, int depth)
{
    autostrv names = STRV_INIT;
    struct stat st;
    int result;

    if (lstat(path, &st) < 0) {
        f->status = job_errno(f->j, path);
        return;
    }
    if (is_wanted(f, path, st.st_mode) && stream_printf(f->j->out, "%s\n", path) < 0) {
        f->status = 1;
        return;
    }
    if (!S_ISDIR(st.st_mode) || depth >= f->depth_max)
        return;
    if (depth >= WALK_DEPTH_MAX) {
        f->status = job_error(f->j, "%s: nested too deep", path);
        return;
    }
    result = folder_names(path, &names);
    if (result < 0) {
        errno = -result;
        f->status = job_errno(f->j, path);
    }
    for (size_t i = 0; i < names.n; i++) {
        autofree char *child = path_join(path, names.v[i]);

        visit(f, child, depth + 1);
    }
}

/* Those behind the paths, from `at`. */
static int conditions_take(struct find *f, int at)
{
    struct job *j = f->j;

    for (; at < j->argc; at++) {
        const char *word = j->argv[at], *value;

        if (str_eq(word, "-print"))
            continue;
        if (!str_eq(word, "-name") && !str_eq(word, "-type") && !str_eq(word, "-maxdepth"))
            return job_error(j, "%s: only -name, -type, -maxdepth and -print are known", word);
        if (++at == j->argc)
            return job_error(j, "%s needs an argument", word);
        value = j->argv[at];
        if (str_eq(word, "-name"))
            f->patterns[f->n_patterns++] = value;
        else if (str_eq(word, "-maxdepth") && !number_parse(value, INT32_MAX, &f->depth_max))
            return job_error(j, "-maxdepth takes a number, not '%s'", value);
        else if (str_eq(word, "-type") && (!strchr("fdl", *value) || strlen(value) != 1))
            return job_error(j, "-type takes f, d or l, not '%s'", value);
        else if (str_eq(word, "-type"))
            f->type = *value;
    }
    return 0;
}

int tool_find(struct job *j)
{
    autofree const char **patterns = xcalloc((size_t)j->argc, sizeof(*patterns));
    struct find f = {.j = j, .patterns = patterns, .depth_max = INT32_MAX};
    int n = 1;

    while (n < j->argc && j->argv[n][0] != '-')
        n++;
    if (conditions_take(&f, n) != 0)
        return 1;
    if (n == 1)
        visit(&f, ".", 0);
    for (int i = 1; i < n; i++)
        visit(&f, j->argv[i], 0);
    return f.status;
}
