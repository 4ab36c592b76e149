/* SPDX-License-Identifier: Apache-2.0 */
/* What changes the shell itself. Specials (POSIX.1-2017, 2.14) keep assignments in front of them.
 */
#include <fcntl.h>

#include "toolbox/expand.h"

static int special_error(struct job *j, const char *text)
{
    shell_abort(j->sh, "%s: %s", j->argv[0], text);
    return 2;
}

static int run_colon(struct job *j)
{
    (void)j;
    return 0;
}

static int change_folder(struct job *j, const char *target, bool is_shown)
{
    struct shell *sh = j->sh;
    autofree char *path = shell_path(sh, target);

    if (chdir(path) < 0) {
        /* Where nothing is granted as "/", it is still what relative names start from. */
        if (!str_eq(path, "/")) {
            stream_printf(j->err, "sh: cd: can't cd to %s: %s\n", target, errno_text(errno));
            return 2;
        }
    }
    if (!var_set(sh, "OLDPWD", sh->cwd) || !var_set(sh, "PWD", path))
        return 2;
    free(sh->cwd);
    sh->cwd = take_ptr(path);
    if (is_shown)
        stream_printf(j->out, "%s\n", sh->cwd);
    return 0;
}

static int run_cd(struct job *j)
{
    struct opts o = OPTS(j, "LP");
    const char *target;
    bool is_back;

    while (opts_next(&o) > 0)
        ;
    target = o.next < j->argc ? j->argv[o.next] : var_get(j->sh, "HOME");
    is_back = target && str_eq(target, "-");
    if (is_back)
        target = var_get(j->sh, "OLDPWD");
    if (!target)
        return job_error(j, "%s not set", is_back ? "OLDPWD" : "HOME");
    return *target ? change_folder(j, target, is_back) : 0;
}

static int run_eval(struct job *j)
{
    autobuf text = BUF_INIT;

    for (int i = 1; i < j->argc; i++)
        buf_addf(&text, "%s%s", i > 1 ? " " : "", j->argv[i]);
    return shell_run_text(j->sh, buf_str(&text), text.len);
}

/* A file's whole text; negative errno. */
static int read_script(const char *path, struct buf *text)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stream *s;
    ssize_t n;

    if (fd < 0)
        return -errno;
    s = stream_new_fd(fd, true);
    do {
        n = stream_read(s, buf_reserve(text, 4096), 4096);
        if (n > 0)
            text->len += (size_t)n;
    } while (n > 0 && text->len <= SCRIPT_MAX);
    buf_terminate(text);
    stream_unref(s);
    return n < 0 ? (int)n : 0;
}

static int run_dot(struct job *j)
{
    struct shell *sh = j->sh;
    autobuf text = BUF_INIT;
    int result;

    if (j->argc < 2)
        return special_error(j, "a file is missing");
    result = read_script(j->argv[1], &text);
    if (result < 0) {
        shell_abort(sh, "%s: cannot open %s: %s", j->argv[0], j->argv[1], errno_text(-result));
        return 2;
    }
    shell_run_text(sh, buf_str(&text), text.len);
    if (sh->unwind == UNWIND_RETURN)
        sh->unwind = UNWIND_NONE;
    return sh->status;
}

static int run_exec(struct job *j)
{
    autostrv words = STRV_INIT;

    for (int i = 1; i < j->argc; i++)
        strv_add(&words, j->argv[i]);
    if (!words.n)
        return 0;
    shell_run_words(j->sh, &words, false);
    j->sh->unwind = UNWIND_EXIT;
    return j->sh->status;
}

static int leave(struct job *j, enum unwind unwind)
{
    long long status = j->sh->status;

    if (j->argc > 1 && !number_parse(j->argv[1], 1 << 30, &status)) {
        shell_abort(j->sh, "%s: Illegal number: %s", j->argv[0], j->argv[1]);
        return 2;
    }
    j->sh->unwind = unwind;
    return (int)(status & 255);
}

static int run_exit(struct job *j)
{
    return leave(j, UNWIND_EXIT);
}

static int run_return(struct job *j)
{
    return leave(j, UNWIND_RETURN);
}

static int leave_loop(struct job *j, enum unwind unwind)
{
    long long levels = 1;

    if (j->argc > 1 && (!number_parse(j->argv[1], 1 << 20, &levels) || levels < 1)) {
        shell_abort(j->sh, "%s: Illegal number: %s", j->argv[0], j->argv[1]);
        return 2;
    }
    if (j->sh->loops) {
        j->sh->unwind = unwind;
        j->sh->unwind_levels = levels < j->sh->loops ? (int)levels : j->sh->loops;
    }
    return 0;
}

static int run_break(struct job *j)
{
    return leave_loop(j, UNWIND_BREAK);
}

static int run_continue(struct job *j)
{
    return leave_loop(j, UNWIND_CONTINUE);
}

static bool set_option(struct shell *sh, char letter, bool is_on)
{
    if (letter == 'e')
        sh->errexit = is_on;
    else if (letter == 'u')
        sh->nounset = is_on;
    else if (letter == 'x')
        sh->xtrace = is_on;
    else if (letter == 'f')
        sh->noglob = is_on;
    else if (letter == 'n')
        sh->noexec = is_on;
    else
        return false;
    return true;
}

/* `-o NAME`; the letter, 0 for none. */
static char option_letter(const char *name)
{
    static const struct {
        const char *name;
        char letter;
    } names[] = {
        {"errexit", 'e'},
        {"nounset", 'u'},
        {"xtrace",  'x'},
        {"noglob",  'f'},
        {"noexec",  'n'}
    };

    for (size_t i = 0; name && i < ARRAY_SIZE(names); i++)
        if (str_eq(names[i].name, name))
            return names[i].letter;
    return 0;
}

/* One word of options; how many words it took, 0 for a bad one. */
static int set_word(struct shell *sh, char *const *words)
{
    bool is_on = words[0][0] == '-';

    if (str_eq(words[0] + 1, "o"))
        return set_option(sh, option_letter(words[1]), is_on) ? 2 : 0;
    for (const char *c = words[0] + 1; *c; c++)
        if (!set_option(sh, *c, is_on))
            return 0;
    return 1;
}

static void print_vars(struct job *j, const char *prefix, bool (*is_shown)(const struct var *))
{
    for (size_t i = 0; i < j->sh->var_n; i++) {
        const struct var *v = &j->sh->vars[i];

        if (!is_shown(v))
            continue;
        stream_printf(j->out, "%s%s", prefix, v->name);
        if (v->value) {
            stream_puts(j->out, "='");
            for (const char *c = v->value; *c; c++) {
                if (*c == '\'')
                    stream_puts(j->out, "'\\''");
                else
                    stream_write(j->out, c, 1);
            }
            stream_puts(j->out, "'");
        }
        stream_puts(j->out, "\n");
    }
}

static bool is_set(const struct var *v)
{
    return v->value;
}

static bool is_exported(const struct var *v)
{
    return v->is_exported;
}

static bool is_readonly(const struct var *v)
{
    return v->is_readonly;
}

static int run_set(struct job *j)
{
    struct shell *sh = j->sh;
    bool has_params = false;
    int i = 1;

    if (j->argc == 1)
        print_vars(j, "", is_set);
    while (i < j->argc && (j->argv[i][0] == '-' || j->argv[i][0] == '+') && j->argv[i][1]) {
        int taken;

        if (str_eq(j->argv[i], "--")) {
            has_params = true;
            i++;
            break;
        }
        taken = set_word(sh, j->argv + i);
        if (!taken) {
            shell_abort(sh, "set: Illegal option %s", j->argv[i]);
            return 2;
        }
        i += taken;
    }
    if (i < j->argc || has_params) {
        strv_done(&sh->params);
        for (; i < j->argc; i++)
            strv_add(&sh->params, j->argv[i]);
    }
    return 0;
}

static int run_shift(struct job *j)
{
    struct strv *params = &j->sh->params;
    struct strv rest = STRV_INIT;
    long long n = 1;

    if (j->argc > 1 && !number_parse(j->argv[1], 1 << 20, &n)) {
        shell_abort(j->sh, "shift: Illegal number: %s", j->argv[1]);
        return 2;
    }
    if ((size_t)n > params->n)
        return special_error(j, "can't shift that many");
    for (size_t i = (size_t)n; i < params->n; i++)
        strv_add(&rest, params->v[i]);
    strv_done(params);
    *params = rest;
    return 0;
}

/* NAME or NAME=VALUE of export, readonly and local; NULL after a reported mistake. */
static struct var *mark(struct job *j, const char *text, bool is_local)
{
    size_t n = name_length(text);
    autofree char *name = xstrndup(text, n);

    if (!n || (text[n] && text[n] != '=')) {
        shell_abort(j->sh, "%s: %s: bad variable name", j->argv[0], text);
        return NULL;
    }
    if (is_local)
        var_make_local(j->sh, name);
    if (text[n] && !var_set(j->sh, name, text + n + 1))
        return NULL;
    return var_mark(j->sh, name);
}

static int run_export(struct job *j)
{
    bool is_readonly_command = str_eq(j->argv[0], "readonly");
    int first = j->argc > 1 && str_eq(j->argv[1], "-p") ? 2 : 1;

    if (first == j->argc)
        print_vars(j, is_readonly_command ? "readonly " : "export ",
                   is_readonly_command ? is_readonly : is_exported);
    for (int i = first; i < j->argc; i++) {
        struct var *v = mark(j, j->argv[i], false);

        if (!v)
            return 2;
        if (is_readonly_command)
            v->is_readonly = true;
        else
            v->is_exported = true;
    }
    return 0;
}

static int run_local(struct job *j)
{
    if (!j->sh->functions_deep)
        return special_error(j, "not in a function");
    for (int i = 1; i < j->argc; i++)
        if (!mark(j, j->argv[i], true))
            return 2;
    return 0;
}

static int run_unset(struct job *j)
{
    struct opts o = OPTS(j, "fv");
    bool is_function = false;
    int c;

    while ((c = opts_next(&o)) > 0)
        if (c == '?')
            return special_error(j, "bad option");
        else
            is_function = c == 'f';
    for (int i = o.next; i < j->argc; i++) {
        if (is_function)
            function_unset(j->sh, j->argv[i]);
        else if (!var_unset(j->sh, j->argv[i]))
            return 2;
    }
    return 0;
}

/* A line for read(1): `quoted` has a '1' for each character behind a backslash. */
static bool read_line(struct job *j, bool is_raw, struct buf *line, struct buf *quoted)
{
    int c;

    stream_flush(j->out);
    while ((c = stream_getc(j->in)) >= 0 && c != '\n' && line->len < STREAM_LINE_MAX) {
        bool is_quoted = !is_raw && c == '\\';

        if (is_quoted) {
            c = stream_getc(j->in);
            if (c == '\n')
                continue;
            if (c < 0)
                break;
        }
        if (!c)
            continue;
        buf_addc(line, (char)c);
        buf_addc(quoted, is_quoted ? '1' : '0');
    }
    return c == '\n';
}

static bool is_ifs(const struct buf *line, const struct buf *quoted, size_t i, const char *set)
{
    return i < line->len && quoted->data[i] == '0' && strchr(set, line->data[i]);
}

/* The next field from *pos on, or the rest of the line for the last name. */
static char *read_field(const struct buf *line, const struct buf *quoted, const char *ifs,
                        bool is_last, size_t *pos)
{
    char blanks[4] = "", *field;
    size_t start, end, next;

    for (const char *c = ifs; *c; c++)
        if (strchr(" \t\n", *c) && !strchr(blanks, *c))
            blanks[strlen(blanks)] = *c;
    while (is_ifs(line, quoted, *pos, blanks))
        (*pos)++;
    start = end = *pos;
    while (end < line->len && !is_ifs(line, quoted, end, ifs))
        end++;
    next = end;
    while (is_ifs(line, quoted, next, blanks))
        next++;
    if (is_ifs(line, quoted, next, ifs) && !is_ifs(line, quoted, next, blanks))
        next++;
    while (is_ifs(line, quoted, next, blanks))
        next++;
    if (is_last && next < line->len) {
        end = line->len;
        while (end > start && is_ifs(line, quoted, end - 1, blanks))
            end--;
    }
    field = xstrndup(buf_str(line) + start, end - start);
    *pos = next;
    return field;
}

static int run_read(struct job *j)
{
    struct opts o = OPTS(j, "rp:");
    autobuf line = BUF_INIT, quoted = BUF_INIT;
    autofree char *ifs = xstrdup(var_get(j->sh, "IFS") ? var_get(j->sh, "IFS") : " \t\n");
    bool is_raw = false, is_whole;
    size_t pos = 0;
    int c;

    while ((c = opts_next(&o)) > 0) {
        if (c == '?')
            return 2;
        if (c == 'p') {
            stream_puts(j->err, o.value);
            stream_flush(j->err);
        } else {
            is_raw = true;
        }
    }
    if (o.next == j->argc)
        return job_error(j, "arg count") + 1;
    is_whole = read_line(j, is_raw, &line, &quoted);
    for (int i = o.next; i < j->argc; i++) {
        autofree char *value = read_field(&line, &quoted, ifs, i == j->argc - 1, &pos);

        if (!name_length(j->argv[i]) || j->argv[i][name_length(j->argv[i])])
            return job_error(j, "%s: bad variable name", j->argv[i]) + 1;
        if (!var_set(j->sh, j->argv[i], value))
            return 2;
    }
    return is_whole ? 0 : 1;
}

static const char *kind_of(const struct shell *sh, const char *name)
{
    bool is_special;

    if (function_find(sh, name))
        return "a shell function";
    if (builtin_find(name, &is_special))
        return is_special ? "a special shell builtin" : "a shell builtin";
    return toolbox_find(name) ? "a tool of this program" : NULL;
}

static int run_command(struct job *j)
{
    struct opts o = OPTS(j, "vVp");
    bool is_asking = false, is_long = false;
    autostrv words = STRV_INIT;
    int c;

    while ((c = opts_next(&o)) > 0) {
        if (c == '?')
            return 2;
        is_asking = is_asking || c != 'p';
        is_long = is_long || c == 'V';
    }
    for (int i = o.next; i < j->argc; i++)
        strv_add(&words, j->argv[i]);
    if (!words.n)
        return 0;
    if (!is_asking)
        return shell_run_words(j->sh, &words, false);
    if (!kind_of(j->sh, words.v[0]))
        return is_long ? job_error(j, "%s: not found", words.v[0]) + 126 : 127;
    if (is_long)
        stream_printf(j->out, "%s is %s\n", words.v[0], kind_of(j->sh, words.v[0]));
    else
        stream_printf(j->out, "%s\n", words.v[0]);
    return 0;
}

static int run_type(struct job *j)
{
    int status = 0;

    for (int i = 1; i < j->argc; i++) {
        const char *kind = kind_of(j->sh, j->argv[i]);

        stream_printf(j->out, kind ? "%s is %s\n" : "%s: not found\n", j->argv[i], kind);
        if (!kind)
            status = 127;
    }
    return status;
}

static const struct {
    struct tool tool;
    bool is_special;
} builtins[] = {
    {{":", run_colon},           true },
    {{".", run_dot},             true },
    {{"break", run_break},       true },
    {{"cd", run_cd},             false},
    {{"command", run_command},   false},
    {{"continue", run_continue}, true },
    {{"eval", run_eval},         true },
    {{"exec", run_exec},         true },
    {{"exit", run_exit},         true },
    {{"export", run_export},     true },
    {{"local", run_local},       true },
    {{"read", run_read},         false},
    {{"readonly", run_export},   true },
    {{"return", run_return},     true },
    {{"set", run_set},           true },
    {{"shift", run_shift},       true },
    {{"type", run_type},         false},
    {{"unset", run_unset},       true },
};

const struct tool *builtin_find(const char *name, bool *ret_is_special)
{
    *ret_is_special = false;
    for (size_t i = 0; i < ARRAY_SIZE(builtins); i++)
        if (str_eq(builtins[i].tool.name, name)) {
            *ret_is_special = builtins[i].is_special;
            return &builtins[i].tool;
        }
    return NULL;
}
