/* SPDX-License-Identifier: Apache-2.0 */
#include "toolbox/toolbox.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>

#include "base/err.h"

#define TOOL_ROW(name) {#name, tool_##name},
static const struct tool tools[] = {
    TOOLS(TOOL_ROW) GUEST_TOOLS(TOOL_ROW) SHARED_TOOLS(TOOL_ROW){"[", tool_test}
};
#undef TOOL_ROW

const struct tool *toolbox_find(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(tools); i++)
        if (str_eq(tools[i].name, name))
            return &tools[i];
    return NULL;
}

int toolbox_main(int argc, char **argv, char **environment)
{
    struct strv env = STRV_INIT;
    struct job j = {.argc = argc, .argv = argv, .env = &env};
    const struct tool *tool = argc > 0 ? toolbox_find(path_last(argv[0])) : NULL;
    int status = 127;

    if (!tool && argc > 1) {
        j.argc--;
        j.argv++;
        tool = toolbox_find(path_last(j.argv[0]));
    }
    j.in = stream_new_fd(STDIN_FILENO, false);
    j.out = stream_new_fd(STDOUT_FILENO, false);
    j.err = stream_new_fd(STDERR_FILENO, false);
    for (char **e = environment; e && *e; e++)
        strv_add(&env, *e);
    if (tool) {
        status = tool->run(&j);
    } else if (argc > 1) {
        stream_printf(j.err, "toolbox: %s: not found\n", argv[1]);
    } else {
        stream_puts(j.err, "usage: toolbox TOOL [ARGUMENT]...\ntools:");
        for (size_t i = 0; i < ARRAY_SIZE(tools); i++)
            stream_printf(j.err, " %s", tools[i].name);
        stream_puts(j.err, "\n");
        status = 2;
    }
    if (stream_flush(j.out) < 0 && status == 0)
        status = 1;
    stream_unref(j.in);
    stream_unref(j.out);
    stream_unref(j.err);
    strv_done(&env);
    return status;
}

bool errno_is_missing(int errno_value)
{
#ifdef ENOTCAPABLE
    if (errno_value == ENOTCAPABLE)
        return true;
#endif
    return errno_value == ENOENT;
}

const char *errno_text(int errno_value)
{
#ifdef ENOTCAPABLE
    if (errno_value == ENOTCAPABLE)
        errno_value = ENOENT;
#endif
    return err_text(errno_value) ? err_text(errno_value) : "unknown error";
}

int job_error(struct job *j, const char *fmt, ...)
{
    autobuf text = BUF_INIT;
    va_list ap;

    buf_addf(&text, "%s: ", j->argv[0]);
    va_start(ap, fmt);
    buf_vaddf(&text, fmt, ap);
    va_end(ap);
    buf_addc(&text, '\n');
    stream_flush(j->out);
    stream_write(j->err, text.data, text.len);
    stream_flush(j->err);
    return 1;
}

int job_errno(struct job *j, const char *path)
{
    return job_error(j, "%s: %s", path, errno_text(errno));
}

int opts_next(struct opts *o)
{
    struct job *j = o->job;
    const char *known;

    if (!o->rest || !*o->rest) {
        const char *word = o->next < j->argc ? j->argv[o->next] : NULL;

        if (!word || word[0] != '-' || !word[1])
            return -1;
        o->next++;
        if (str_eq(word, "--"))
            return -1;
        o->rest = word + 1;
    }
    known = *o->rest == ':' ? NULL : strchr(o->known, *o->rest);
    if (!known) {
        job_error(j, "invalid option -- '%c'", *o->rest);
        return '?';
    }
    o->rest++;
    if (known[1] != ':')
        return *known;
    o->value = *o->rest ? o->rest : (o->next < j->argc ? j->argv[o->next++] : NULL);
    o->rest = NULL;
    if (!o->value) {
        job_error(j, "option requires an argument -- '%c'", *known);
        return '?';
    }
    return *known;
}

int job_each_input(struct job *j, int first,
                   int (*each)(struct job *, struct stream *, const char *name, void *), void *arg)
{
    int status = 0;

    if (first >= j->argc)
        return each(j, j->in, "-", arg);
    for (int i = first; i < j->argc; i++) {
        struct stream *s;
        int result = 1;
        int fd;

        if (str_eq(j->argv[i], "-")) {
            s = stream_ref(j->in);
        } else {
            fd = open(j->argv[i], O_RDONLY | O_CLOEXEC);
            s = fd < 0 ? NULL : stream_new_fd(fd, true);
        }
        if (s)
            result = each(j, s, j->argv[i], arg);
        else
            job_errno(j, j->argv[i]);
        stream_unref(s);
        if (result > status)
            status = result;
    }
    return status;
}

bool number_parse(const char *text, long long max, long long *ret_value)
{
    long long value = 0;

    if (!*text)
        return false;
    for (; *text; text++) {
        if (*text < '0' || *text > '9' || value > (max - (*text - '0')) / 10)
            return false;
        value = value * 10 + (*text - '0');
    }
    *ret_value = value;
    return true;
}

char *path_join(const char *folder, const char *name)
{
    size_t len = strlen(folder);

    return xasprintf("%s%s%s", folder, len && folder[len - 1] == '/' ? "" : "/", name);
}

const char *path_last(char *path)
{
    size_t len = strlen(path);
    const char *slash;

    while (len > 1 && path[len - 1] == '/')
        path[--len] = '\0';
    slash = strrchr(path, '/');
    return slash && slash[1] ? slash + 1 : path;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

void names_sort(char **names, size_t n)
{
    if (n)
        qsort(names, n, sizeof(*names), by_name);
}

int folder_names(const char *path, struct strv *names)
{
    DIR *d = opendir(path);
    struct dirent *entry;

    if (!d)
        return -errno;
    while ((entry = readdir(d)))
        if (!str_eq(entry->d_name, ".") && !str_eq(entry->d_name, ".."))
            strv_add(names, entry->d_name);
    closedir(d);
    names_sort(names->v, names->n);
    return 0;
}
