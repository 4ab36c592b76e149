/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/strv.h"
#include "toolbox/parse.h"
#include "toolbox/toolbox.h"

/*
 * A POSIX shell in one process (docs/internals/toolbox.md). What would be a child elsewhere, a
 * subshell, a command substitution, a stage of a pipeline, is a copy of `struct shell` here, whose
 * changes are forgotten with it; only the working folder is the process's and is set back. A stage
 * of a pipeline runs to its end before the next one starts, its output waits in memory.
 *
 * There is no longjmp(3): `unwind` says what is being left, and everything returns until that is
 * reached.
 */

#define SHELL_FDS       10
#define SHELL_DEPTH_MAX 250 /* commands inside commands, calls and copies together */
#define FIELDS_MAX      ((size_t)1 << 20)
#define VALUE_MAX       ((size_t)16 << 20)
#define PIPE_MAX        ((size_t)64 << 20)

enum unwind { UNWIND_NONE, UNWIND_BREAK, UNWIND_CONTINUE, UNWIND_RETURN, UNWIND_EXIT };

struct var {
    char *name;
    char *value; /* NULL: exported, readonly or local, but not set */
    bool is_exported, is_readonly;
};

/* Text and tree, counted: a function keeps the script that it was read from. */
struct script {
    int refs;
    struct arena *arena;
};

struct function {
    char *name;
    struct script *script;
    const struct node *body;
};

/* A variable as it was before `local`. */
struct saved_var {
    struct var var;
    int level;
};

struct shell {
    struct var *vars;
    size_t var_n;
    struct function *functions;
    size_t function_n;
    struct saved_var *saved;
    size_t saved_n;

    char *name;         /* $0 */
    struct strv params; /* $1 and following */
    char *cwd;
    struct stream *fds[SHELL_FDS];
    struct script *script; /* what is being run; not counted here */

    int status;              /* $? */
    int substitution_status; /* of the last command substitution of a command without a name */
    enum unwind unwind;
    int unwind_levels;
    int loops, functions_deep, depth;
    int unchecked; /* greater than 0 while -e does not count */
    bool is_error; /* `unwind` is due to an error, which ends a prompt's line only */
    bool errexit, nounset, xtrace, noglob, noexec;
    bool is_interactive;
};

/* vars.c */
const char *var_get(const struct shell *sh, const char *name); /* NULL when unset */
struct var *var_find(const struct shell *sh, const char *name);
/* False for a readonly variable, which has been reported and ends the shell. */
bool var_set(struct shell *sh, const char *name, const char *value);
struct var *var_mark(struct shell *sh, const char *name); /* made without a value if missing */
bool var_unset(struct shell *sh, const char *name);
void var_make_local(struct shell *sh, const char *name);
void vars_leave(struct shell *sh); /* ends the locals of the innermost function */
void vars_environment(const struct shell *sh, struct strv *env);
struct script *script_new(void);
void script_unref(struct script *s);
const struct function *function_find(const struct shell *sh, const char *name);
void function_set(struct shell *sh, const char *name, const struct node *body);
void function_unset(struct shell *sh, const char *name);

/* Deep copy for a subshell; false when nested too deep, which has been reported. */
bool shell_fork(struct shell *child, struct shell *parent);
/* Frees the copy, sets the working folder back; returns its status. */
int shell_join(struct shell *child, const struct shell *parent);
void shell_done(struct shell *sh);

/* "sh: text" */
void shell_report(struct shell *sh, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The same, and leaves the shell with status 2. */
void shell_abort(struct shell *sh, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* exec.c: they set and return sh->status. */
int shell_run_node(struct shell *sh, const struct node *n);
/* Parses and runs a whole text. */
int shell_run_text(struct shell *sh, const char *text, size_t len);
/* Reads from a stream line by line, so that commands may read what follows them. */
int shell_run_stream(struct shell *sh, struct stream *in);
/* A tool or builtin with these words; negative when there is none. */
int shell_run_words(struct shell *sh, struct strv *words, bool with_functions);

/* redirect.c: the streams as they were go to `saved`; false after a reported failure. */
bool redirects_apply(struct shell *sh, const struct redirect *r, struct stream **saved);
void redirects_save(struct shell *sh, struct stream **saved);
void redirects_restore(struct shell *sh, struct stream **saved);

/* builtins.c; NULL when there is none. */
const struct tool *builtin_find(const char *name, bool *ret_is_special);

/* "/a/./b/../c" without dots, relative to the shell's folder; on the heap. */
char *shell_path(const struct shell *sh, const char *path);
