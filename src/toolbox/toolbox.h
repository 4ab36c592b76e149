/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/strv.h"
#include "toolbox/stream.h"

/*
 * A program of many tools, for guests that have no others. Each tool is a function; a pipeline is
 * several of them called one after another (src/toolbox/shell.h). Paths are relative to the folder
 * that chdir(2) chose, which wasi-libc keeps for itself.
 */

struct shell;

/* One call of a tool. The argument list ends with NULL and is the caller's, as the streams are. */
struct job {
    int argc;
    char **argv;
    struct stream *in, *out, *err;
    struct shell *sh;       /* NULL when no shell called */
    const struct strv *env; /* NAME=VALUE */
};

struct tool {
    const char *name;
    int (*run)(struct job *j); /* the exit status */
};

/* NULL when there is no such tool. */
const struct tool *toolbox_find(const char *name);

/* Runs the tool that argv[0], or argv[1] after another name, calls for; returns the exit status. */
int toolbox_main(int argc, char **argv, char **environment);

/* "NAME: text" on the error stream; returns 1, the status of a tool that failed. */
int job_error(struct job *j, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* "NAME: PATH: <what errno means>"; returns 1. */
int job_errno(struct job *j, const char *path);
/* What errno means. A path outside of every granted folder (WASI's ENOTCAPABLE) is a path that is
 * not there. */
const char *errno_text(int errno_value);
bool errno_is_missing(int errno_value);

/* Walks over the options in front of the operands, as getopt(3) does, without global state. */
struct opts {
    struct job *job;
    const char *known; /* letters; one that takes a value is followed by ':' */
    int next;          /* the index of the first operand, in the end */
    const char *rest;  /* letters of the current word that were not looked at yet */
    const char *value;
};

#define OPTS(j, letters) ((struct opts){.job = (j), .known = (letters), .next = 1})

/* The next letter, -1 at the end, '?' for one that is unknown, which has been reported. */
int opts_next(struct opts *o);

/* Calls `each` for every operand as a stream, or for standard input when there are none or for "-";
 * the status is 1 when one could not be opened, or what `each` returned at most. */
int job_each_input(struct job *j, int first,
                   int (*each)(struct job *, struct stream *, const char *name, void *), void *arg);

/* A number of at most `max`; false for anything else. */
bool number_parse(const char *text, long long max, long long *ret_value);

/* "FOLDER/NAME", on the heap. */
char *path_join(const char *folder, const char *name);
/* The part behind the last '/', which it takes off at the end. */
const char *path_last(char *path);

/* The names in a folder, sorted, without "." and ".."; negative errno. */
int folder_names(const char *path, struct strv *names);

void names_sort(char **names, size_t n);

/* The folders deep that a walk goes. */
#define WALK_DEPTH_MAX 64

/* Applies the escapes of echo(1) and printf(1): \n, \t, \0ooo (or \ooo), \\ ... False when \c ends
 * the output. */
bool unescape(const char *text, bool is_echo, struct buf *out);

/* clang-format off */
#define TOOLS(X)                                                                                   \
    X(basename) X(cat) X(cp) X(cut) X(date) X(dirname) X(env) X(find) X(grep) X(head) X(ln) X(ls) X(mkdir) \
    X(mv) X(ps) X(readlink) X(rm) X(rmdir) X(seq) X(sh) X(sleep) X(sort) X(tail) X(tar) X(tee)     \
    X(touch) X(tr) X(uniq) X(wc)
/* clang-format on */
/* Only the WebAssembly program has them. */
#ifdef __wasi__
#define GUEST_TOOLS(X) X(nc) X(wget)
#else
#define GUEST_TOOLS(X)
#endif
/* Tools that the shell has as well, and that work without one. */
#define SHARED_TOOLS(X) X(echo) X(printf) X(pwd) X(test) X(true) X(false)

#define DECLARE_TOOL(name) int tool_##name(struct job *j);
TOOLS(DECLARE_TOOL)
GUEST_TOOLS(DECLARE_TOOL)
SHARED_TOOLS(DECLARE_TOOL)
#undef DECLARE_TOOL
