/* SPDX-License-Identifier: Apache-2.0 */
/* `wherry new`: the templates of src/cli/templates/LANGUAGE/, which the build embeds. */
#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/fds.h"
#include "base/log.h"
#include "base/paths.h"
#include "cli/cli.h"
#include "cli/templates.h"

#define NAME_LIMIT 60

/* The project's name from its folder's: what every tool chain takes as a package name. */
static char *project_name(const char *dir)
{
    autofree char *trimmed = xstrdup(dir);
    size_t len = strlen(trimmed);
    const char *base;
    char *name, *out;

    while (len > 1 && trimmed[len - 1] == '/')
        trimmed[--len] = 0;
    base = path_base(trimmed);
    name = out = xcalloc(NAME_LIMIT + 1, 1);
    for (; *base && out - name < NAME_LIMIT; base++) {
        if (isalnum((unsigned char)*base))
            *out++ = (char)tolower((unsigned char)*base);
        else if (out != name && out[-1] != '-')
            *out++ = '-';
    }
    while (out != name && out[-1] == '-')
        *--out = 0;
    if (!isalpha((unsigned char)name[0])) {
        free(name);
        return xstrdup("guest");
    }
    return name;
}

static int dir_prepare(const char *dir, int *ret_fd, struct err *e)
{
    int is_empty;

    TRY(path_mkdir_p(dir, 0777, e));
    autofd fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return err_errno(e, -errno, "OpenFailed", "cannot open '%s'", dir);
    is_empty = dir_is_empty(fd);
    if (is_empty < 0)
        return err_errno(e, is_empty, "OpenFailed", "cannot list '%s'", dir);
    if (!is_empty)
        return err_set(e, -ENOTEMPTY, "NotEmpty",
                       "the folder '%s' is not empty; name a new one, nothing was written", dir);
    *ret_fd = take_fd(&fd);
    return 0;
}

/* Adds the template's text with @NAME@ replaced. */
static void text_expand(const struct template_file *t, const char *name, struct buf *out)
{
    static const char mark[] = "@NAME@";
    const char *at = (const char *)t->data, *end = at + t->len, *found;

    while ((found = memmem(at, (size_t)(end - at), mark, sizeof(mark) - 1))) {
        buf_add(out, at, (size_t)(found - at));
        buf_addstr(out, name);
        at = found + sizeof(mark) - 1;
    }
    buf_add(out, at, (size_t)(end - at));
}

static int file_make(int dirfd, const struct template_file *t, const char *name, struct err *e)
{
    autofree char *folder = path_dir(t->path);
    autobuf text = BUF_INIT;

    /* Templates are at most one folder deep. */
    if (!str_eq(folder, ".") && mkdirat(dirfd, folder, 0777) < 0 && errno != EEXIST)
        return err_errno(e, -errno, "CreateFailed", "cannot create the folder '%s'", folder);
    text_expand(t, name, &text);
    autofd fd = openat(dirfd, t->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0)
        return err_errno(e, -errno, "CreateFailed", "cannot create '%s'", t->path);
    if (fd_write_all(fd, buf_str(&text), text.len, e) < 0)
        return err_prefix(e, "'%s'", t->path);
    return 0;
}

static int project_make(const char *language, const char *dir, struct err *e)
{
    autofree char *name = project_name(dir);
    autofd dirfd = -EBADF;

    TRY(dir_prepare(dir, &dirfd, e));
    for (const struct template_file *t = template_files; t->path; t++)
        if (str_eq(t->language, language))
            TRY(file_make(dirfd, t, name, e));
    return 0;
}

static bool is_language(const char *word)
{
    for (const char *const *w = command_new.positionals[0].words; *w; w++)
        if (str_eq(*w, word))
            return true;
    return false;
}

int main(int argc, char **argv)
{
    struct plain_options o = {0};
    autostrv operands = STRV_INIT;
    autobuf out = BUF_INIT;
    struct err e = ERR_INIT;
    int status = cli_parse(&command_new, argc, argv, &o, &operands);
    const char *language, *dir;

    if (status >= 0)
        return status;
    language = operands.v[0];
    dir = operands.v[1];
    if (!is_language(language)) {
        const char *near = options_suggest(language, command_new.positionals[0].words);

        log_error("new: '%s' is not one of c, go, js, python, rust%s%s%s", language,
                  near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
        return GUEST_EXIT_WHERRY;
    }
    if (project_make(language, dir, &e) < 0)
        return cli_fail("new", &e, GUEST_EXIT_WHERRY);
    autofree char *name = project_name(dir);
    buf_addf(&out, "Wrote a %s project to %s. Next:\n  make -C %s\n  wherry run %s/%s.wasm\n",
             language, dir, dir, dir, name);
    return cli_print(&out);
}
