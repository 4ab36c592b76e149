/* SPDX-License-Identifier: Apache-2.0 */
#include "toolbox/shell.h"

#include <stdio.h>

struct var *var_find(const struct shell *sh, const char *name)
{
    for (size_t i = 0; i < sh->var_n; i++)
        if (str_eq(sh->vars[i].name, name))
            return &sh->vars[i];
    return NULL;
}

const char *var_get(const struct shell *sh, const char *name)
{
    const struct var *v = var_find(sh, name);

    return v ? v->value : NULL;
}

struct var *var_mark(struct shell *sh, const char *name)
{
    struct var *v = var_find(sh, name);

    if (v)
        return v;
    /* Grows by doubling. */
    if ((sh->var_n & (sh->var_n - 1)) == 0)
        sh->vars = xrealloc(sh->vars, sh->var_n ? sh->var_n * 2 : 1, sizeof(*sh->vars));
    v = &sh->vars[sh->var_n++];
    *v = (struct var){.name = xstrdup(name)};
    return v;
}

static bool is_writable(struct shell *sh, const char *name)
{
    const struct var *v = var_find(sh, name);

    if (v && v->is_readonly)
        shell_abort(sh, "%s: is read only", name);
    return !v || !v->is_readonly;
}

bool var_set(struct shell *sh, const char *name, const char *value)
{
    struct var *v;
    char *copy;

    if (!is_writable(sh, name))
        return false;
    copy = xstrdup(value); /* may be the old value itself */
    v = var_mark(sh, name);
    free(v->value);
    v->value = copy;
    return true;
}

bool var_unset(struct shell *sh, const char *name)
{
    struct var *v = var_find(sh, name);

    if (!is_writable(sh, name))
        return false;
    if (v) {
        free(v->name);
        free(v->value);
        *v = sh->vars[--sh->var_n];
    }
    return true;
}

void var_make_local(struct shell *sh, const char *name)
{
    const struct var *v = var_find(sh, name);
    struct saved_var *s;

    sh->saved = xrealloc(sh->saved, sh->saved_n + 1, sizeof(*sh->saved));
    s = &sh->saved[sh->saved_n++];
    *s = (struct saved_var){.level = sh->functions_deep};
    if (v)
        s->var = *v;
    s->var.name = xstrdup(name);
    s->var.value = v && v->value ? xstrdup(v->value) : NULL;
}

void vars_leave(struct shell *sh)
{
    while (sh->saved_n && sh->saved[sh->saved_n - 1].level >= sh->functions_deep) {
        struct saved_var *s = &sh->saved[--sh->saved_n];
        struct var *v = var_mark(sh, s->var.name);

        v->is_readonly = s->var.is_readonly;
        v->is_exported = s->var.is_exported;
        free(v->value);
        v->value = s->var.value;
        free(s->var.name);
    }
}

void vars_environment(const struct shell *sh, struct strv *env)
{
    for (size_t i = 0; i < sh->var_n; i++)
        if (sh->vars[i].is_exported && sh->vars[i].value)
            strv_addf(env, "%s=%s", sh->vars[i].name, sh->vars[i].value);
}

struct script *script_new(void)
{
    struct script *s = xcalloc(1, sizeof(*s));

    s->refs = 1;
    s->arena = arena_new();
    return s;
}

void script_unref(struct script *s)
{
    if (s && --s->refs == 0) {
        arena_free(s->arena);
        free(s);
    }
}

const struct function *function_find(const struct shell *sh, const char *name)
{
    for (size_t i = 0; i < sh->function_n; i++)
        if (str_eq(sh->functions[i].name, name))
            return &sh->functions[i];
    return NULL;
}

void function_unset(struct shell *sh, const char *name)
{
    struct function *f = (struct function *)function_find(sh, name);

    if (!f)
        return;
    free(f->name);
    script_unref(f->script);
    *f = sh->functions[--sh->function_n];
}

void function_set(struct shell *sh, const char *name, const struct node *body)
{
    struct function f = {.name = xstrdup(name), .script = sh->script, .body = body};

    f.script->refs++;
    function_unset(sh, name);
    sh->functions = xrealloc(sh->functions, sh->function_n + 1, sizeof(*sh->functions));
    sh->functions[sh->function_n++] = f;
}

bool shell_fork(struct shell *child, struct shell *parent)
{
    if (parent->depth >= SHELL_DEPTH_MAX) {
        shell_abort(parent, "nested more than %d deep", SHELL_DEPTH_MAX);
        return false;
    }
    *child = *parent;
    child->depth++;
    child->vars = xcalloc(parent->var_n * 2 + 1, sizeof(*child->vars));
    for (size_t i = 0; i < parent->var_n; i++) {
        child->vars[i] = parent->vars[i];
        child->vars[i].name = xstrdup(parent->vars[i].name);
        child->vars[i].value = parent->vars[i].value ? xstrdup(parent->vars[i].value) : NULL;
    }
    child->functions = xcalloc(parent->function_n + 1, sizeof(*child->functions));
    for (size_t i = 0; i < parent->function_n; i++) {
        child->functions[i] = parent->functions[i];
        child->functions[i].name = xstrdup(parent->functions[i].name);
        child->functions[i].script->refs++;
    }
    /* What was before `local` comes back when the function returns, which a copy never sees. */
    child->saved = NULL;
    child->saved_n = 0;
    child->name = xstrdup(parent->name);
    child->cwd = xstrdup(parent->cwd);
    child->params = STRV_INIT;
    for (size_t i = 0; i < parent->params.n; i++)
        strv_add(&child->params, parent->params.v[i]);
    for (int i = 0; i < SHELL_FDS; i++)
        stream_ref(child->fds[i]);
    child->is_interactive = false;
    child->loops = 0;
    return true;
}

void shell_done(struct shell *sh)
{
    for (size_t i = 0; i < sh->var_n; i++) {
        free(sh->vars[i].name);
        free(sh->vars[i].value);
    }
    for (size_t i = 0; i < sh->function_n; i++) {
        free(sh->functions[i].name);
        script_unref(sh->functions[i].script);
    }
    for (size_t i = 0; i < sh->saved_n; i++) {
        free(sh->saved[i].var.name);
        free(sh->saved[i].var.value);
    }
    for (int i = 0; i < SHELL_FDS; i++)
        stream_unref(sh->fds[i]);
    free(sh->vars);
    free(sh->functions);
    free(sh->saved);
    free(sh->name);
    free(sh->cwd);
    strv_done(&sh->params);
}

int shell_join(struct shell *child, const struct shell *parent)
{
    int status = child->status;

    if (!str_eq(child->cwd, parent->cwd) && chdir(parent->cwd) < 0)
        status = status ? status : 1;
    shell_done(child);
    return status;
}

__attribute__((format(printf, 2, 0))) static void report(struct shell *sh, const char *fmt,
                                                         va_list ap)
{
    autobuf text = BUF_INIT;

    buf_addstr(&text, "sh: ");
    buf_vaddf(&text, fmt, ap);
    buf_addc(&text, '\n');
    stream_flush(sh->fds[1]);
    stream_write(sh->fds[2], text.data, text.len);
    stream_flush(sh->fds[2]);
}

void shell_report(struct shell *sh, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    report(sh, fmt, ap);
    va_end(ap);
}

void shell_abort(struct shell *sh, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    report(sh, fmt, ap);
    va_end(ap);
    sh->status = 2;
    sh->is_error = true;
    sh->unwind = UNWIND_EXIT;
}

char *shell_path(const struct shell *sh, const char *path)
{
    autofree char *whole = *path == '/' ? xstrdup(path) : path_join(sh->cwd, path);
    struct buf out = BUF_INIT;
    char *rest = whole;
    const char *part;

    while ((part = strsep(&rest, "/"))) {
        if (!*part || str_eq(part, "."))
            continue;
        if (str_eq(part, "..")) {
            const char *slash = out.len ? strrchr(out.data, '/') : NULL;

            out.len = slash ? (size_t)(slash - out.data) : 0;
            if (out.data)
                out.data[out.len] = '\0';
            continue;
        }
        buf_addc(&out, '/');
        buf_addstr(&out, part);
    }
    if (!out.len)
        buf_addc(&out, '/');
    return buf_take(&out);
}
