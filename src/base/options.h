/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/strv.h"
#include "base/util.h"

/*
 * Option tables: one table per command gives parsing, defaults, validation, --help, the man page
 * and the completion of three shells (options_doc.c). Tables are constant and live in static
 * storage.
 */

/* An integer, size or duration given by the user; when it was not, is_set is false and value is the
 * table's default (0 without one). So absent and zero differ. */
struct option_number {
    bool is_set;
    int64_t value;
};

enum option_type {
    OPTION_FLAG,        /* bool */
    OPTION_COUNT,       /* int: how often it was given (-vv) */
    OPTION_STRING,      /* const char *, NULL when absent; points into argv or the table */
    OPTION_STRINGS,     /* struct strv, may be repeated, order kept */
    OPTION_INT,         /* struct option_number, within min and max */
    OPTION_SIZE,        /* struct option_number, bytes (clock.h) */
    OPTION_DURATION_MS, /* struct option_number, milliseconds (clock.h) */
    OPTION_HELP,        /* bool; parsing stops at once with success */
};

enum option_complete {
    COMPLETE_NONE,
    COMPLETE_FILE,
    COMPLETE_DIR,
    COMPLETE_WORDS,   /* one of `words`; parsing refuses anything else */
    COMPLETE_ENV,     /* a name of an environment variable */
    COMPLETE_COMMAND, /* a name of one of wherry's commands */
};

struct option_spec {
    const char *name; /* long name without dashes */
    char short_name;  /* 0: none */
    enum option_type type;
    const char *arg_name;     /* "HOST[::GUEST][:ro]"; NULL for flags */
    const char *help;         /* one sentence, no full stop at its end */
    const char *default_text; /* parsed as if given, but is_set stays false; NULL: none */
    enum option_complete complete;
    const char *const *words; /* NULL-terminated, for COMPLETE_WORDS */
    size_t offset;            /* of the field in the caller's struct */
    int64_t min, max;         /* for numbers; both 0: 0 to INT64_MAX */
};

struct option_positional {
    const char *name; /* as in the usage line: "FILE", "[ARG...]" */
    const char *help;
    enum option_complete complete;
    const char *const *words;
};

struct option_exit_status {
    const char *code; /* "124", "130, 143" */
    const char *meaning;
};

struct option_example {
    const char *command;
    const char *explanation;
};

struct command_spec {
    const char *name;                               /* "run"; of a group: "system df" */
    const char *helper;                             /* the program that has it; NULL: its own */
    const char *summary;                            /* one line, lower case, no full stop */
    const char *usage;                              /* "[options] FILE [ARG...]" */
    const char *const *description;                 /* paragraphs, NULL-terminated; or NULL */
    const struct option_spec *options;              /* ends with a NULL name; or NULL */
    const struct option_positional *positionals;    /* ends with a NULL name; or NULL */
    const struct option_exit_status *exit_statuses; /* ends with a NULL code; or NULL */
    const struct option_example *examples;          /* ends with a NULL command; or NULL */
    const char *const
        *see_also; /* pages of section 1: "wherry-run"; its own is left out; or NULL */
    int positionals_min, positionals_max; /* max -1: any number */
    bool
        is_stopped_by_positional; /* options end at the first positional; the rest is the guest's */
};

/* What every command starts its table with. */
#define OPTION_HELP_ROW(type_, field_)                                                             \
    {                                                                                              \
        .name = "help", .short_name = 'h', .type = OPTION_HELP, .help = "Show this help",          \
        .offset = offsetof(type_, field_)                                                          \
    }

/*
 * Parses argv[1..argc-1] by the table into *target, which the caller zeroed; defaults are filled
 * in. GNU style: "--a=b", "--a b", "-x", "-xVALUE", "-abc", "--" ends the options; long names are
 * never abbreviated. Operands are appended (copied) to *ret_operands. Fails with -EINVAL
 * ("BadUsage") and a message such as
 *     wherry run: unknown option '--memroy'; did you mean '--memory'? See 'wherry run --help'.
 * without the leading "wherry " (the caller writes it). options_done() may be called after failure
 * as after success. When OPTION_HELP was given, nothing else is validated.
 */
int options_parse(const struct command_spec *c, int argc, char *const *argv, void *target,
                  struct strv *ret_operands, struct err *e);

/* The same; (*ret_given)[i], which the caller zeroed, becomes true for each row i of the table that
 * was given. */
int options_parse_given(const struct command_spec *c, int argc, char *const *argv, void *target,
                        bool *ret_given, struct strv *ret_operands, struct err *e);

/* Puts the value of one option into *target as the command line would, from elsewhere;
 * OPTION_STRING points into the text. "BadValue" and "BadNumber" begin with the value: "'x' is not
 * one of a, b". */
int option_set(const struct option_spec *o, const char *text, void *target, struct err *e);

/* Frees what options_parse() put into *target. */
void options_done(const struct command_spec *c, void *target);

/* The nearest of `words` (NULL-terminated) that is a plausible misspelling; NULL without one. */
const char *options_suggest(const char *word, const char *const *words);

/*
 * Texts made from the tables. `commands` is an array of pointers that ends with NULL; `program` is
 * "wherry". `date` is "November 24, 2026" and `version` goes into the man page's footer.
 */
void options_help(const struct command_spec *c, const char *program, int columns, struct buf *out);
void options_man(const struct command_spec *c, const char *program, const char *date,
                 struct buf *out);

/* The main program's own page: its commands, environment variables and files. */
struct program_doc {
    const char *name, *summary;
    const char *const *description;
    const struct command_spec *const *commands;
    const struct option_example *environment; /* name and meaning; ends with a NULL command */
    const struct option_example *files;
    const struct option_exit_status *exit_statuses;
};

void options_man_program(const struct program_doc *p, const char *date, struct buf *out);

/* "bash", "zsh" or "fish"; -EINVAL for anything else. */
int options_completion(const char *shell, const char *program,
                       const struct command_spec *const *commands, struct buf *out, struct err *e);
