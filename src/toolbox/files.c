/* SPDX-License-Identifier: Apache-2.0 */
/* mkdir, rmdir, rm, mv, cp, touch, ln, readlink */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "toolbox/toolbox.h"

static bool is_folder(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static int make_with_parents(struct job *j, char *path)
{
    for (char *slash = path + 1; *slash; slash++) {
        if (*slash != '/')
            continue;
        *slash = '\0';
        if (!is_folder(path) && mkdir(path, 0777) < 0 && errno != EEXIST)
            return job_error(j, "can't create directory '%s': %s", path, errno_text(errno));
        *slash = '/';
    }
    if (!is_folder(path) && mkdir(path, 0777) < 0)
        return job_error(j, "can't create directory '%s': %s", path, errno_text(errno));
    return 0;
}

int tool_mkdir(struct job *j)
{
    struct opts o = OPTS(j, "pm:");
    bool has_parents = false;
    int c, status = 0;

    while ((c = opts_next(&o)) > 0) {
        if (c == '?')
            return 1;
        has_parents = has_parents || c == 'p';
    }
    if (o.next == j->argc)
        return job_error(j, "missing operand");
    for (int i = o.next; i < j->argc; i++) {
        if (has_parents)
            status |= make_with_parents(j, j->argv[i]);
        else if (mkdir(j->argv[i], 0777) < 0)
            status = job_error(j, "can't create directory '%s': %s", j->argv[i], errno_text(errno));
    }
    return status;
}

int tool_rmdir(struct job *j)
{
    int status = 0;

    if (j->argc < 2)
        return job_error(j, "missing operand");
    for (int i = 1; i < j->argc; i++)
        if (rmdir(j->argv[i]) < 0)
            status = job_error(j, "'%s': %s", j->argv[i], errno_text(errno));
    return status;
}

static int cannot_remove(struct job *j, const char *path)
{
    return job_error(j, "can't remove '%s': %s", path, errno_text(errno));
}

static int remove_tree(struct job *j, const char *path, int depth)
{
    autostrv names = STRV_INIT;
    struct stat st;
    int status = 0, result;

    if (lstat(path, &st) < 0)
        return cannot_remove(j, path);
    if (!S_ISDIR(st.st_mode))
        return unlink(path) < 0 ? cannot_remove(j, path) : 0;
    if (depth > WALK_DEPTH_MAX)
        return job_error(j, "%s: nested too deep", path);
    result = folder_names(path, &names);
    if (result < 0) {
        errno = -result;
        return cannot_remove(j, path);
    }
    for (size_t i = 0; i < names.n; i++) {
        autofree char *child = path_join(path, names.v[i]);

        status |= remove_tree(j, child, depth + 1);
    }
    if (!status && rmdir(path) < 0)
        return cannot_remove(j, path);
    return status;
}

static bool is_dots(const char *path)
{
    autofree char *copy = xstrdup(path);
    const char *last = path_last(copy);

    return str_eq(last, ".") || str_eq(last, "..") || str_eq(last, "/");
}

int tool_rm(struct job *j)
{
    struct opts o = OPTS(j, "rRfiv");
    bool is_recursive = false, is_forced = false;
    int c, status = 0;

    while ((c = opts_next(&o)) > 0) {
        if (c == '?')
            return 1;
        is_recursive = is_recursive || c == 'r' || c == 'R';
        is_forced = is_forced || c == 'f';
    }
    if (o.next == j->argc)
        return is_forced ? 0 : job_error(j, "missing operand");
    for (int i = o.next; i < j->argc; i++) {
        const char *path = j->argv[i];
        struct stat st;

        if (lstat(path, &st) < 0) {
            if (!is_forced || !errno_is_missing(errno))
                status = cannot_remove(j, path);
        } else if (is_dots(path)) {
            status = job_error(j, "refusing to remove '%s'", path);
        } else if (S_ISDIR(st.st_mode) && !is_recursive) {
            errno = EISDIR;
            status = cannot_remove(j, path);
        } else {
            status |= remove_tree(j, path, 0);
        }
    }
    return status;
}

/* Where `source` goes when `target` is a folder, or `target` itself. */
static char *place_in(const char *source, const char *target)
{
    autofree char *copy = xstrdup(source);

    return is_folder(target) ? path_join(target, path_last(copy)) : xstrdup(target);
}

static int copy_bytes(struct job *j, int from, int to, const char *source, const char *target)
{
    struct stream *in = stream_new_fd(from, false), *out = stream_new_fd(to, false);
    char block[16384];
    ssize_t n;
    int status = 0;

    while (!status && (n = stream_read(in, block, sizeof(block))) != 0) {
        if (n < 0) {
            errno = (int)-n;
            status = job_errno(j, source);
        } else if (stream_write(out, block, (size_t)n) < 0) {
            status = job_error(j, "%s: write failed", target);
        }
    }
    if (stream_flush(out) < 0 && !status)
        status = job_error(j, "%s: write failed", target);
    stream_unref(in);
    stream_unref(out);
    return status;
}

static int copy_file(struct job *j, const char *source, const char *target, mode_t mode)
{
    autofd from = open(source, O_RDONLY | O_CLOEXEC), to = -EBADF;
    struct stat a, b;

    if (from < 0)
        return job_error(j, "can't open '%s': %s", source, errno_text(errno));
    if (stat(source, &a) == 0 && stat(target, &b) == 0 && a.st_ino == b.st_ino &&
        a.st_dev == b.st_dev)
        return job_error(j, "'%s' and '%s' are the same file", source, target);
    to = open(target, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode & 0777 ? mode & 0777 : 0666);
    if (to < 0)
        return job_error(j, "can't create '%s': %s", target, errno_text(errno));
    return copy_bytes(j, from, to, source, target);
}

static int copy_link(struct job *j, const char *source, const char *target)
{
    char text[4096];
    ssize_t n = readlink(source, text, sizeof(text) - 1);

    if (n < 0)
        return job_errno(j, source);
    text[n] = '\0';
    if (unlink(target) < 0 && errno != ENOENT)
        return job_errno(j, target);
    return symlink(text, target) < 0 ? job_errno(j, target) : 0;
}

static int copy_tree(struct job *j, const char *source, const char *target, bool is_recursive,
                     int depth)
{
    autostrv names = STRV_INIT;
    struct stat st;
    int status = 0, result;

    if ((is_recursive ? lstat(source, &st) : stat(source, &st)) < 0)
        return job_error(j, "can't stat '%s': %s", source, errno_text(errno));
    if (S_ISLNK(st.st_mode))
        return copy_link(j, source, target);
    if (!S_ISDIR(st.st_mode))
        return copy_file(j, source, target, st.st_mode);
    if (!is_recursive)
        return job_error(j, "omitting directory '%s'", source);
    if (depth > WALK_DEPTH_MAX)
        return job_error(j, "%s: nested too deep (or copied into itself)", source);
    /* Read first: what is made next may lie in it. */
    result = folder_names(source, &names);
    if (result < 0) {
        errno = -result;
        return job_errno(j, source);
    }
    if (!is_folder(target) && mkdir(target, 0777) < 0)
        return job_error(j, "can't create directory '%s': %s", target, errno_text(errno));
    for (size_t i = 0; i < names.n; i++) {
        autofree char *from = path_join(source, names.v[i]);
        autofree char *to = path_join(target, names.v[i]);

        status |= copy_tree(j, from, to, true, depth + 1);
    }
    return status;
}

static int move(struct job *j, const char *source, const char *target)
{
    if (rename(source, target) == 0)
        return 0;
    /* From one granted folder to another. */
    if (errno != EXDEV)
        return job_error(j, "can't rename '%s': %s", source, errno_text(errno));
    return copy_tree(j, source, target, true, 0) || remove_tree(j, source, 0);
}

/* Calls for each source of cp and mv, with the name that it gets. */
static int each_source(struct job *j, int first,
                       int (*each)(struct job *, const char *, const char *, bool), bool arg)
{
    const char *target = j->argv[j->argc - 1];
    int status = 0;

    if (j->argc - first < 2)
        return job_error(j, "missing operand");
    if (j->argc - first > 2 && !is_folder(target))
        return job_error(j, "target '%s' is not a directory", target);
    for (int i = first; i < j->argc - 1; i++) {
        autofree char *place = place_in(j->argv[i], target);

        status |= each(j, j->argv[i], place, arg);
    }
    return status;
}

static int copy_one(struct job *j, const char *source, const char *target, bool is_recursive)
{
    return copy_tree(j, source, target, is_recursive, 0);
}

static int move_one(struct job *j, const char *source, const char *target, bool is_forced)
{
    (void)is_forced;
    return move(j, source, target);
}

int tool_cp(struct job *j)
{
    struct opts o = OPTS(j, "rRapf");
    bool is_recursive = false;
    int c;

    while ((c = opts_next(&o)) > 0) {
        if (c == '?')
            return 1;
        is_recursive = is_recursive || c == 'r' || c == 'R' || c == 'a';
    }
    return each_source(j, o.next, copy_one, is_recursive);
}

int tool_mv(struct job *j)
{
    struct opts o = OPTS(j, "f");
    int c;

    while ((c = opts_next(&o)) > 0)
        if (c == '?')
            return 1;
    return each_source(j, o.next, move_one, false);
}

int tool_touch(struct job *j)
{
    struct opts o = OPTS(j, "c");
    bool is_making = true;
    int c, status = 0;

    while ((c = opts_next(&o)) > 0) {
        if (c == '?')
            return 1;
        is_making = false;
    }
    for (int i = o.next; i < j->argc; i++) {
        if (utimensat(AT_FDCWD, j->argv[i], NULL, 0) < 0 && errno_is_missing(errno) && is_making) {
            autofd fd = open(j->argv[i], O_WRONLY | O_CREAT | O_CLOEXEC, 0666);

            if (fd < 0)
                status = job_errno(j, j->argv[i]);
        }
    }
    return status;
}

int tool_ln(struct job *j)
{
    struct opts o = OPTS(j, "sfn");
    bool is_symbolic = false, is_forced = false;
    autofree char *place = NULL;
    const char *source;
    int c;

    while ((c = opts_next(&o)) > 0) {
        if (c == '?')
            return 1;
        is_symbolic = is_symbolic || c == 's';
        is_forced = is_forced || c == 'f';
    }
    if (j->argc - o.next < 1 || j->argc - o.next > 2)
        return job_error(j, "usage: ln [-sf] TARGET [NAME]");
    source = j->argv[o.next];
    place = place_in(source, j->argc - o.next == 2 ? j->argv[o.next + 1] : ".");
    if (is_forced)
        unlink(place);
    if ((is_symbolic ? symlink(source, place) : link(source, place)) < 0)
        return job_errno(j, place);
    return 0;
}

int tool_readlink(struct job *j)
{
    char target[4096];
    ssize_t n;

    if (j->argc != 2)
        return job_error(j, "usage: readlink PATH");
    n = readlink(j->argv[1], target, sizeof(target));
    if (n < 0)
        return 1;
    stream_printf(j->out, "%.*s\n", (int)n, target);
    return 0;
}
