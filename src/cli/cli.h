/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "cli/commands.h"

/*
 * What the commands share: parsing with --help, output, and becoming another program.
 */

/*
 * Parses by the command's table into *options (zeroed by the caller) and *operands. Returns -1 when
 * the command shall go on; otherwise help was shown or a complaint written, everything is released,
 * and the returned exit status is to be returned.
 */
int cli_parse(const struct command_spec *c, int argc, char *const *argv, void *options,
              struct strv *operands);

/* Writes all of *out to standard output; the exit status: 0, or 125 with a complaint. */
int cli_print(const struct buf *out);

/* Logs the error of the command (may be NULL) and returns `status`. */
int cli_fail(const char *command, const struct err *e, int status);

/* Runs a program to its end with `out_fd` as its standard output: its exit status, 128 and the
 * number of the signal that ended it, or a negative errno. */
int cli_program_run(const char *path, char *const *argv, int out_fd);

/* The same, and what it wrote to standard output, at most `limit` bytes; "Truncated" and the like
 * when that cannot be read. */
int cli_program_output(const char *path, char *const *argv, size_t limit, struct buf *ret,
                       struct err *e);

/* Adds help for the whole program, the list of commands. */
void cli_overview(struct buf *out);

/* Columns of the terminal on standard output, 80 when it is none. */
int cli_columns(void);

/* The built-in commands; argv[0] is the command's name. The exit status. */
int cli_run(int argc, char *const *argv);
int cli_serve(int argc, char *const *argv);
int cli_compile(int argc, char *const *argv);
int cli_inspect(int argc, char *const *argv);

/* The name of the environment variable in which `wherry` tells helper programs its own path. */
#define CLI_PROGRAM_VARIABLE "WHERRY_PROGRAM"
