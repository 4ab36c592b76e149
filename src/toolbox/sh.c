/* SPDX-License-Identifier: Apache-2.0 */
/* sh [-efnux] [-c SCRIPT | FILE | -s] [ARGUMENT]... */
#include <fcntl.h>

#include "toolbox/shell.h"

static void import_environment(struct shell *sh, const struct strv *env)
{
    for (size_t i = 0; i < env->n; i++) {
        const char *text = env->v[i];
        size_t n = name_length(text);
        autofree char *name = xstrndup(text, n);

        /* Fields are split as the script says, not as its caller did. */
        if (!n || text[n] != '=' || str_eq(name, "IFS"))
            continue;
        var_set(sh, name, text + n + 1);
        var_mark(sh, name)->is_exported = true;
    }
    var_set(sh, "IFS", " \t\n");
    var_set(sh, "PWD", sh->cwd);
}

/* The options by way of `set`, so that they are the same; true for success. */
static bool set_options(struct job *j, struct shell *sh, const char *letters)
{
    autofree char *word = xasprintf("-%s", letters);
    bool is_special;
    char *argv[] = {(char *)"set", word, NULL};
    struct job set = {.argc = 2, .argv = argv, .out = j->out, .err = j->err, .sh = sh};

    return !*letters || builtin_find("set", &is_special)->run(&set) == 0;
}

static int run_file(struct shell *sh, const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stream *s;

    if (fd < 0) {
        shell_report(sh, "cannot open %s: %s", path, errno_text(errno));
        return errno == ENOENT ? 127 : 126;
    }
    s = stream_new_fd(fd, true);
    shell_run_stream(sh, s);
    stream_unref(s);
    return sh->status;
}

static int run_stdin(struct job *j, struct shell *sh, bool is_asked)
{
    sh->is_interactive = is_asked || (j->in && j->in->fd >= 0 && isatty(j->in->fd) && !j->sh);
    shell_run_stream(sh, j->in);
    if (sh->is_interactive && sh->unwind == UNWIND_NONE)
        stream_puts(sh->fds[2], "\n");
    return sh->status;
}

struct call {
    const char *command; /* of -c */
    bool is_stdin, is_interactive;
    int next; /* the first operand */
    struct buf letters;
};

static bool call_parse(struct job *j, struct call *c)
{
    struct opts o = OPTS(j, "cefilnsux");
    bool has_command = false;
    int letter;

    while ((letter = opts_next(&o)) > 0) {
        if (letter == '?')
            return false;
        if (letter == 'c')
            has_command = true;
        else if (letter == 's')
            c->is_stdin = true;
        else if (letter == 'i')
            c->is_interactive = true;
        else if (letter != 'l') /* there are no profiles */
            buf_addc(&c->letters, (char)letter);
    }
    c->next = o.next;
    if (has_command && c->next == j->argc) {
        job_error(j, "-c requires an argument");
        return false;
    }
    if (has_command)
        c->command = j->argv[c->next++];
    return true;
}

static int run_call(struct job *j, struct shell *sh, const struct call *c)
{
    const char *file = NULL;
    int next = c->next;

    if (!c->is_stdin && next < j->argc) {
        free(sh->name);
        sh->name = xstrdup(j->argv[next++]);
        file = sh->name;
    }
    for (; next < j->argc; next++)
        strv_add(&sh->params, j->argv[next]);
    if (!set_options(j, sh, buf_str(&c->letters)))
        return 2;
    if (c->command)
        return shell_run_text(sh, c->command, strlen(c->command));
    return file ? run_file(sh, file) : run_stdin(j, sh, c->is_interactive);
}

int tool_sh(struct job *j)
{
    struct call c = {.next = 1};
    struct shell sh = {.name = xstrdup(j->argv[0]), .depth = j->sh ? j->sh->depth + 1 : 0};
    autofree char *before = getcwd(NULL, 0);
    int status = 2;

    sh.cwd = xstrdup(before ? before : "/");
    sh.fds[0] = stream_ref(j->in);
    sh.fds[1] = stream_ref(j->out);
    sh.fds[2] = stream_ref(j->err);
    import_environment(&sh, j->env);
    if (call_parse(j, &c))
        status = run_call(j, &sh, &c);
    if (before && !str_eq(before, sh.cwd) && chdir(before) < 0)
        status = status ? status : 1;
    buf_done(&c.letters);
    shell_done(&sh);
    return status;
}
