/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "base/options.h"
#include "base/strv.h"

/*
 * What a daemon is told, by one table of options: on the command line, in the environment, and in a
 * file. Each row can come from any of them; the command line wins over the environment, that over
 * the file, and that over the default. Lists do not add up: the first that gives one gives all of
 * it.
 *
 *     --listen ADDR            command line (base/options.h)
 *     WHERRY_AGENT_LISTEN      prefix, and the long name in capitals with '_' for '-'; one that is
 *                              empty counts as not set. A flag is true, false, 1 or 0; a list has
 *                              commas between its values.
 *     listen = "ADDR"          TOML, the long name as the key; numbers with or without quotes,
 *                              flags are true or false, lists are arrays
 *
 * The file is paths_config_file(), which need not be there, or the one that the option
 * `file_option` or its variable names, which must. A key that no row has is an error.
 */
struct config_source {
    const char *env_prefix;  /* "WHERRY_AGENT_" */
    const char *file_name;   /* "agent.toml" */
    const char *file_option; /* "config", an OPTION_STRING; it and --help cannot be in the file.
                              * When there is a file by default, its path is the value. */
};

struct config {
    const struct command_spec *command;
    struct config_row {
        char *origin;      /* "flag", "environment NAME", "FILE:LINE", "default" */
        struct strv texts; /* that the target points into */
    } * rows;              /* one per option */
    size_t n;
};

/*
 * As options_parse(); *target lives no longer than *ret, which config_done() frees, also after
 * failure. Besides its errors "BadToml" and "BadConfig" (-EINVAL), which begin with where it is:
 *     /etc/wherry/agent.toml:3: unknown key 'lisen'; did you mean 'listen'?
 *     environment WHERRY_AGENT_MAX_PODS: 'many' is not a whole number
 */
int config_parse(const struct command_spec *c, const struct config_source *source, int argc,
                 char *const *argv, void *target, struct config *ret, struct strv *ret_operands,
                 struct err *e);
void config_done(struct config *c);

/* Appends what is in force: a table with NAME, VALUE and ORIGIN ("-": no value), or a JSON array of
 * objects with name, value (null without one) and origin. */
void config_show(const struct config *c, const void *target, bool is_json, struct buf *out);
