/* SPDX-License-Identifier: Apache-2.0 */
#include <fnmatch.h>

#include "toolbox/expand.h"

static int set_status(struct shell *sh, int status)
{
    sh->status = status;
    return status;
}

/* -e: a command failed where nobody looks at its status. */
static void check_errexit(struct shell *sh)
{
    if (sh->errexit && sh->status && !sh->unchecked && sh->unwind == UNWIND_NONE)
        sh->unwind = UNWIND_EXIT;
}

/* Output that nobody can take any more ends the shell, as SIGPIPE would. */
static void check_output(struct shell *sh)
{
    struct stream *out = sh->fds[1];

    if (!out || !out->is_broken || sh->unwind == UNWIND_EXIT)
        return;
    if (out->fd < 0)
        shell_report(sh,
                     "a pipe or $(...) holds at most %zu MiB here, the rest of the output is lost",
                     out->limit_bytes >> 20);
    sh->status = 141;
    sh->unwind = UNWIND_EXIT;
}

static void trace(struct shell *sh, const struct strv *words, const struct strv *assigns)
{
    autobuf line = BUF_INIT;

    buf_addc(&line, '+');
    for (size_t i = 0; i < assigns->n; i++)
        buf_addf(&line, " %s", assigns->v[i]);
    for (size_t i = 0; i < words->n; i++)
        buf_addf(&line, " %s", words->v[i]);
    buf_addc(&line, '\n');
    stream_flush(sh->fds[1]);
    stream_write(sh->fds[2], line.data, line.len);
    stream_flush(sh->fds[2]);
}

static int call_function(struct shell *sh, const struct function *f, struct strv *words)
{
    struct script *script = f->script, *caller = sh->script;
    const struct node *body = f->body;
    struct strv params = sh->params;
    int loops = sh->loops;

    script->refs++; /* it may define itself anew */
    sh->params = STRV_INIT;
    for (size_t i = 1; i < words->n; i++)
        strv_add(&sh->params, words->v[i]);
    sh->script = script;
    sh->loops = 0;
    sh->functions_deep++;
    shell_run_node(sh, body);
    if (sh->unwind == UNWIND_RETURN)
        sh->unwind = UNWIND_NONE;
    vars_leave(sh);
    sh->functions_deep--;
    sh->loops = loops;
    sh->script = caller;
    strv_done(&sh->params);
    sh->params = params;
    script_unref(script);
    return sh->status;
}

static int call_tool(struct shell *sh, const struct tool *tool, struct strv *words)
{
    autostrv env = STRV_INIT;
    struct job j = {.argc = (int)words->n,
                    .argv = (char **)strv_array(words),
                    .in = sh->fds[0],
                    .out = sh->fds[1],
                    .err = sh->fds[2],
                    .sh = sh,
                    .env = &env};
    struct stream *out = stream_ref(sh->fds[1]), *err = stream_ref(sh->fds[2]);
    int status;

    vars_environment(sh, &env);
    status = tool->run(&j);
    stream_flush(out);
    stream_flush(err);
    stream_unref(out);
    stream_unref(err);
    return set_status(sh, status);
}

int shell_run_words(struct shell *sh, struct strv *words, bool with_functions)
{
    const struct function *f = with_functions ? function_find(sh, words->v[0]) : NULL;
    const struct tool *tool;
    bool is_special;

    if (f)
        return call_function(sh, f, words);
    tool = builtin_find(words->v[0], &is_special);
    if (!tool)
        tool =
            toolbox_find(strrchr(words->v[0], '/') ? strrchr(words->v[0], '/') + 1 : words->v[0]);
    if (tool)
        return call_tool(sh, tool, words);
    if (strchr(words->v[0], '/') && access(words->v[0], F_OK) == 0) {
        shell_report(sh, "%s: Permission denied (a guest cannot start programs)", words->v[0]);
        return set_status(sh, 126);
    }
    shell_report(sh, "%s: not found", words->v[0]);
    return set_status(sh, 127);
}

/* NAME=VALUE for the time of one command: as exported locals of a level of its own. */
static bool assign(struct shell *sh, const struct word *assigns, bool is_temporary,
                   struct strv *done)
{
    for (const struct word *w = assigns; w; w = w->next) {
        size_t n = name_length(w->text);
        autofree char *name = xstrndup(w->text, n);
        autofree char *value = expand_text(sh, w->text + n + 1);

        if (!value)
            return false;
        if (is_temporary)
            var_make_local(sh, name);
        if (!var_set(sh, name, value))
            return false;
        if (is_temporary)
            var_mark(sh, name)->is_exported = true;
        strv_addf(done, "%s=%s", name, value);
    }
    return true;
}

static void run_assigned(struct shell *sh, const struct node *n, struct strv *words)
{
    autostrv done = STRV_INIT;
    bool is_special = false;
    bool is_temporary;

    if (words->n && !function_find(sh, words->v[0]))
        builtin_find(words->v[0], &is_special);
    is_temporary = n->assigns && words->n && !is_special;
    if (is_temporary)
        sh->functions_deep++;
    if (assign(sh, n->assigns, is_temporary, &done)) {
        if (sh->xtrace)
            trace(sh, words, &done);
        if (words->n)
            shell_run_words(sh, words, true);
        else
            sh->status = sh->substitution_status;
    }
    if (is_temporary) {
        vars_leave(sh);
        sh->functions_deep--;
    }
}

/* `exec` keeps what its redirections did. */
static bool is_keeping(const struct strv *words)
{
    return words->n == 1 && str_eq(words->v[0], "exec");
}

static void run_simple(struct shell *sh, const struct node *n)
{
    struct stream *saved[SHELL_FDS];
    autostrv words = STRV_INIT;
    bool is_special = false;

    sh->substitution_status = 0;
    if (!expand_words(sh, n->words, &words))
        return;
    if (!redirects_apply(sh, n->redirects, saved)) {
        if (words.n)
            builtin_find(words.v[0], &is_special);
        if (sh->unwind == UNWIND_NONE)
            sh->status = 2;
        if (is_special && sh->unwind == UNWIND_NONE && !sh->is_interactive)
            sh->unwind = UNWIND_EXIT;
        return;
    }
    run_assigned(sh, n, &words);
    check_output(sh);
    if (!is_keeping(&words)) {
        redirects_restore(sh, saved);
        return;
    }
    for (int i = 0; i < SHELL_FDS; i++)
        stream_unref(saved[i]);
}

static void run_pipeline(struct shell *sh, const struct node *n)
{
    struct stream *in = stream_ref(sh->fds[0]);

    for (const struct node *stage = n->first; stage; stage = stage->next) {
        struct shell child;
        struct stream *out = NULL;

        if (!shell_fork(&child, sh))
            break;
        stream_unref(child.fds[0]);
        child.fds[0] = in;
        if (stage->next) {
            out = stream_new_memory(PIPE_MAX);
            stream_unref(child.fds[1]);
            child.fds[1] = stream_ref(out);
        }
        shell_run_node(&child, stage);
        in = out;
        set_status(sh, shell_join(&child, sh));
    }
    stream_unref(in);
}

static void run_subshell(struct shell *sh, const struct node *n)
{
    struct shell child;

    if (!shell_fork(&child, sh))
        return;
    shell_run_node(&child, n->first);
    set_status(sh, shell_join(&child, sh));
}

/* After the body of a loop: whether the loop is over. */
static bool is_loop_over(struct shell *sh)
{
    if (sh->unwind != UNWIND_BREAK && sh->unwind != UNWIND_CONTINUE)
        return sh->unwind != UNWIND_NONE;
    if (--sh->unwind_levels > 0)
        return true;
    if (sh->unwind == UNWIND_BREAK) {
        sh->unwind = UNWIND_NONE;
        return true;
    }
    sh->unwind = UNWIND_NONE;
    return false;
}

static bool condition(struct shell *sh, const struct node *n)
{
    sh->unchecked++;
    shell_run_node(sh, n);
    sh->unchecked--;
    return sh->status == 0;
}

static void run_while(struct shell *sh, const struct node *n)
{
    int status = 0;

    sh->loops++;
    for (;;) {
        bool holds = condition(sh, n->first);

        if (sh->unwind != UNWIND_NONE) {
            if (is_loop_over(sh))
                break;
            continue;
        }
        if (holds == (n->kind == NODE_UNTIL))
            break;
        status = shell_run_node(sh, n->second);
        if (is_loop_over(sh))
            break;
    }
    sh->loops--;
    if (sh->unwind == UNWIND_NONE)
        set_status(sh, status);
}

static void run_for(struct shell *sh, const struct node *n)
{
    autostrv words = STRV_INIT;

    if (n->is_plain)
        for (size_t i = 0; i < sh->params.n; i++)
            strv_add(&words, sh->params.v[i]);
    else if (!expand_words(sh, n->words, &words))
        return;
    set_status(sh, 0);
    sh->loops++;
    for (size_t i = 0; i < words.n; i++) {
        if (!var_set(sh, n->name, words.v[i]))
            break;
        shell_run_node(sh, n->second);
        if (is_loop_over(sh))
            break;
    }
    sh->loops--;
}

static void run_case(struct shell *sh, const struct node *n)
{
    autofree char *value = expand_text(sh, n->words->text);

    if (!value)
        return;
    set_status(sh, 0);
    for (const struct case_item *item = n->cases; item; item = item->next)
        for (const struct word *w = item->patterns; w; w = w->next) {
            autofree char *pattern = expand_pattern(sh, w->text);

            if (!pattern)
                return;
            if (fnmatch(pattern, value, 0) == 0) {
                if (item->body)
                    shell_run_node(sh, item->body);
                return;
            }
        }
}

static void run_if(struct shell *sh, const struct node *n)
{
    bool holds = condition(sh, n->first);

    if (sh->unwind != UNWIND_NONE)
        return;
    if (holds)
        shell_run_node(sh, n->second);
    else if (n->third)
        shell_run_node(sh, n->third);
    else
        set_status(sh, 0);
}

static void run_compound(struct shell *sh, const struct node *n)
{
    struct stream *saved[SHELL_FDS];

    if (!redirects_apply(sh, n->redirects, saved)) {
        if (sh->unwind == UNWIND_NONE)
            sh->status = 2;
        return;
    }
    if (n->kind == NODE_GROUP)
        shell_run_node(sh, n->first);
    else if (n->kind == NODE_SUBSHELL)
        run_subshell(sh, n);
    else if (n->kind == NODE_IF)
        run_if(sh, n);
    else if (n->kind == NODE_FOR)
        run_for(sh, n);
    else if (n->kind == NODE_CASE)
        run_case(sh, n);
    else
        run_while(sh, n);
    redirects_restore(sh, saved);
}

static void run_joined(struct shell *sh, const struct node *n)
{
    bool holds;

    if (n->kind == NODE_LIST) {
        for (const struct node *item = n->first; item && sh->unwind == UNWIND_NONE;
             item = item->next)
            shell_run_node(sh, item);
        return;
    }
    holds = condition(sh, n->first);
    if (sh->unwind != UNWIND_NONE)
        return;
    if (n->kind == NODE_NOT)
        set_status(sh, holds);
    else if (holds == (n->kind == NODE_AND))
        shell_run_node(sh, n->second);
}

int shell_run_node(struct shell *sh, const struct node *n)
{
    if (sh->depth >= SHELL_DEPTH_MAX) {
        shell_abort(sh, "nested more than %d deep", SHELL_DEPTH_MAX);
        return sh->status;
    }
    sh->depth++;
    switch (n->kind) {
    case NODE_SIMPLE:
        run_simple(sh, n);
        check_errexit(sh);
        break;
    case NODE_PIPELINE:
        run_pipeline(sh, n);
        check_errexit(sh);
        break;
    case NODE_FUNCTION:
        function_set(sh, n->name, n->first);
        set_status(sh, 0);
        break;
    case NODE_LIST:
    case NODE_NOT:
    case NODE_AND:
    case NODE_OR:
        run_joined(sh, n);
        break;
    case NODE_SUBSHELL:
        run_compound(sh, n);
        check_errexit(sh);
        break;
    case NODE_GROUP:
    case NODE_IF:
    case NODE_WHILE:
    case NODE_UNTIL:
    case NODE_FOR:
    case NODE_CASE:
        run_compound(sh, n);
        break;
    }
    sh->depth--;
    return sh->status;
}

static void report_syntax(struct shell *sh, const struct parser *p)
{
    shell_abort(sh, "%s", p->error);
}

int shell_run_text(struct shell *sh, const char *text, size_t len)
{
    struct script *script, *caller = sh->script;
    enum parse_result result = PARSE_OK;
    struct parser p;

    if (len > SCRIPT_MAX) {
        shell_abort(sh, "the script has more than %zu MiB", SCRIPT_MAX >> 20);
        return sh->status;
    }
    script = script_new();
    sh->script = script;
    parser_init(&p, script->arena, arena_strndup(script->arena, text, len), len);
    set_status(sh, 0);
    while (sh->unwind == UNWIND_NONE && result == PARSE_OK) {
        struct node *n = NULL;

        result = parse_next(&p, &n);
        if (result == PARSE_OK && n && !sh->noexec)
            shell_run_node(sh, n);
        else if (result == PARSE_ERROR || result == PARSE_INCOMPLETE)
            report_syntax(sh, &p);
    }
    sh->script = caller;
    script_unref(script);
    return sh->status;
}

static void prompt(struct shell *sh, bool is_first)
{
    const char *text = var_get(sh, is_first ? "PS1" : "PS2");

    if (!sh->is_interactive)
        return;
    stream_puts(sh->fds[2], text ? text : is_first ? "$ " : "> ");
    stream_flush(sh->fds[2]);
}

/* Runs what is complete in `text`; PARSE_INCOMPLETE asks for another line. */
static enum parse_result run_lines(struct shell *sh, const struct buf *text, bool is_last)
{
    struct script *script = script_new(), *caller = sh->script;
    enum parse_result result;
    struct node *n = NULL;
    struct parser p;

    parser_init(&p, script->arena, buf_str(text), text->len);
    result = parse_next(&p, &n);
    sh->script = script;
    if (result == PARSE_OK && n && !sh->noexec)
        shell_run_node(sh, n);
    else if (result == PARSE_ERROR || (result == PARSE_INCOMPLETE && is_last))
        report_syntax(sh, &p);
    sh->script = caller;
    script_unref(script);
    return result;
}

int shell_run_stream(struct shell *sh, struct stream *in)
{
    autobuf text = BUF_INIT, line = BUF_INIT;
    bool has_line = true;

    while (has_line && sh->unwind == UNWIND_NONE) {
        prompt(sh, text.len == 0);
        has_line = stream_line(in, '\n', &line, NULL);
        if (has_line) {
            buf_add(&text, buf_str(&line), line.len);
            buf_addc(&text, '\n');
        }
        if (text.len > SCRIPT_MAX)
            shell_abort(sh, "a command has more than %zu MiB", SCRIPT_MAX >> 20);
        else if (text.len && run_lines(sh, &text, !has_line) != PARSE_INCOMPLETE)
            buf_clear(&text);
        if (sh->is_interactive && sh->unwind == UNWIND_EXIT && sh->is_error) {
            sh->unwind = UNWIND_NONE;
            sh->is_error = false;
            buf_clear(&text);
        }
    }
    return sh->status;
}
