/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/err.h"
#include "base/strv.h"

/*
 * The values of `wherry run` options that have a grammar of their own. All fail with "BadUsage",
 * -EINVAL or (past a limit) -E2BIG, and touch no output then.
 */

/* --dir HOST[::GUEST][:ro]. GUEST defaults to HOST; ":rw" may be written too. */
struct dir_grant {
    char *host;
    char *guest;
    bool is_read_only;
};

int dir_grant_parse(const char *text, struct dir_grant *ret, struct err *e);
void dir_grant_done(struct dir_grant *d);

/*
 * --env NAME[=VALUE], as docker does: NAME alone copies the variable of wherry's own environment
 * and sets nothing when it is not there. *env holds "NAME=VALUE" strings with each name once; the
 * later one wins.
 */
int env_parse(const char *text, struct strv *env, struct err *e);

#define ENV_FILE_LIMIT_BYTES (1 << 20)
#define ENV_FILE_LINE_LIMIT  65536
#define ENV_LIMIT            10000 /* variables */

/*
 * The content of an --env-file in docker's format: NAME=VALUE or NAME lines, blank lines and lines
 * that begin with # skipped, nothing unquoted and values not trimmed. Messages begin with
 * "<path>:<line>".
 */
int env_file_parse(const char *path, const char *text, size_t len, struct strv *env, struct err *e);

/* As env_parse() for all of `texts`, after all of the files: --env is stronger than --env-file.
 * "EnvFileFailed" for a file that cannot be read. */
int env_collect(const struct strv *files, const struct strv *texts, struct strv *env,
                struct err *e);
