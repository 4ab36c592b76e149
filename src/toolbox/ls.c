/* SPDX-License-Identifier: Apache-2.0 */
/* ls [-1adhlR]: one name a line. WASI tells neither owners nor permissions; they are shown as '-'
 * and '?' where there are none. */
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

#include "toolbox/toolbox.h"

struct ls {
    struct job *job;
    bool is_long, is_all, is_itself, is_human, is_recursive;
    bool is_titled, was_one;
    int status;
};

static char type_letter(mode_t mode)
{
    if (S_ISDIR(mode))
        return 'd';
    if (S_ISLNK(mode))
        return 'l';
    if (S_ISCHR(mode))
        return 'c';
    if (S_ISBLK(mode))
        return 'b';
    if (S_ISSOCK(mode))
        return 's';
    return S_ISFIFO(mode) ? 'p' : '-';
}

static void add_mode(struct buf *line, mode_t mode)
{
    static const char letters[] = "rwxrwxrwx";

    buf_addc(line, type_letter(mode));
    for (int i = 0; i < 9; i++) {
        if (!(mode & 07777))
            buf_addc(line, '?');
        else
            buf_addc(line, mode & (0400 >> i) ? letters[i] : '-');
    }
}

static void add_size(struct buf *line, unsigned long long size, bool is_human)
{
    static const char units[] = "KMGTPE";
    unsigned long long tenths = size * 10;
    int unit = -1;

    if (!is_human || size < 1024) {
        buf_addf(line, is_human ? "%6llu" : "%9llu", size);
        return;
    }
    while (tenths >= 10240 && unit < 5) {
        tenths = (tenths + 1023) / 1024;
        unit++;
    }
    if (tenths < 100)
        buf_addf(line, "%3llu.%llu%c", tenths / 10, tenths % 10, units[unit]);
    else
        buf_addf(line, "%5llu%c", (tenths + 9) / 10, units[unit]);
}

static void print_entry(struct ls *ls, const char *path, const char *name)
{
    autobuf line = BUF_INIT;
    struct stat st;
    struct tm tm;
    char when[24];

    if (lstat(path, &st) < 0) {
        ls->status = job_errno(ls->job, path);
        return;
    }
    if (ls->is_long) {
        add_mode(&line, st.st_mode);
        buf_addf(&line, " %4lu - - ", (unsigned long)st.st_nlink);
        add_size(&line, (unsigned long long)st.st_size, ls->is_human);
        gmtime_r(&st.st_mtim.tv_sec, &tm);
        strftime(when, sizeof(when), "%Y-%m-%d %H:%M", &tm);
        buf_addf(&line, " %s ", when);
    }
    buf_addstr(&line, name);
    if (ls->is_long && S_ISLNK(st.st_mode)) {
        char target[1024];
        ssize_t n = readlink(path, target, sizeof(target));

        if (n > 0)
            buf_addf(&line, " -> %.*s", (int)n, target);
    }
    buf_addc(&line, '\n');
    stream_write(ls->job->out, line.data, line.len);
}

static void list_folder(struct ls *ls, const char *path, int depth)
{
    autostrv names = STRV_INIT, folders = STRV_INIT;
    int result = folder_names(path, &names);

    if (result < 0) {
        errno = -result;
        ls->status = job_errno(ls->job, path);
        return;
    }
    if (ls->is_titled || ls->is_recursive)
        stream_printf(ls->job->out, "%s%s:\n", ls->was_one ? "\n" : "", path);
    ls->was_one = true;
    if (ls->is_all) {
        autofree char *parent = path_join(path, "..");
        struct stat st;

        print_entry(ls, path, ".");
        /* A granted folder has no parent that may be seen. */
        print_entry(ls, lstat(parent, &st) == 0 ? parent : path, "..");
    }
    for (size_t i = 0; i < names.n; i++) {
        autofree char *child = path_join(path, names.v[i]);
        struct stat st;

        if (names.v[i][0] == '.' && !ls->is_all)
            continue;
        print_entry(ls, child, names.v[i]);
        if (ls->is_recursive && lstat(child, &st) == 0 && S_ISDIR(st.st_mode))
            strv_add(&folders, child);
    }
    for (size_t i = 0; i < folders.n; i++) {
        if (depth < WALK_DEPTH_MAX)
            list_folder(ls, folders.v[i], depth + 1);
        else
            ls->status = job_error(ls->job, "%s: nested too deep", folders.v[i]);
    }
}

static void list_operands(struct ls *ls, char **paths, int n, bool are_folders)
{
    for (int i = 0; i < n; i++) {
        struct stat st;
        bool is_folder;

        if (stat(paths[i], &st) < 0 && lstat(paths[i], &st) < 0) {
            if (!are_folders)
                ls->status = job_errno(ls->job, paths[i]);
            continue;
        }
        is_folder = S_ISDIR(st.st_mode) && !ls->is_itself;
        if (is_folder != are_folders)
            continue;
        if (is_folder) {
            list_folder(ls, paths[i], 0);
        } else {
            print_entry(ls, paths[i], paths[i]);
            ls->was_one = true;
        }
    }
}

int tool_ls(struct job *j)
{
    struct opts o = OPTS(j, "1adhlR");
    struct ls ls = {.job = j};
    char *here[] = {(char *)"."};
    int c;

    while ((c = opts_next(&o)) > 0) {
        if (c == '?')
            return 2;
        ls.is_long = ls.is_long || c == 'l';
        ls.is_all = ls.is_all || c == 'a';
        ls.is_itself = ls.is_itself || c == 'd';
        ls.is_human = ls.is_human || c == 'h';
        ls.is_recursive = ls.is_recursive || c == 'R';
    }
    ls.is_titled = j->argc - o.next > 1;
    if (o.next == j->argc) {
        list_operands(&ls, here, 1, !ls.is_itself);
        return ls.status;
    }
    names_sort(j->argv + o.next, (size_t)(j->argc - o.next));
    list_operands(&ls, j->argv + o.next, j->argc - o.next, false);
    list_operands(&ls, j->argv + o.next, j->argc - o.next, true);
    return ls.status;
}
