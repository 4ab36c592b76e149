/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/commands.h"
#include "cli/option_rows.h"

#define ROW(struct_, member_) .offset = offsetof(struct struct_, member_)

static const char *const system_see_also[] = {
    "wherry-images",    "wherry-pull",         "wherry-rmi", "wherry-system-check",
    "wherry-system-df", "wherry-system-prune", NULL};

/* --- system df --- */

static const struct option_spec df_table[] = {
    OPTION_CACHE_DIR_ROW(system_df_options),
    OPTION_OUTPUT_ROW(system_df_options),
    {.name = "verbose",
                         .short_name = 'v',
                         .type = OPTION_FLAG,
                         .help = "List each of them",
                         ROW(system_df_options, is_verbose)},
    OPTION_HELP_ROW(struct system_df_options, is_help),
    {0},
};

static const char *const df_description[] = {
    "Tells what images and compiled code take on this machine: images (names), blobs (their files, "
    "each once), those that several images share, what pulls have left that are not complete, and "
    "the compile cache. Reclaimable is what 'wherry system prune' removes, of images and compiled "
    "code what it removes with --all.",
    NULL,
};

const struct command_spec command_system_df = {
    .name = "system df",
    .helper = "image",
    .summary = "show the disk space of images and compiled code",
    .usage = "[options]",
    .description = df_description,
    .options = df_table,
    .see_also = system_see_also,
};

/* --- system prune --- */

static const struct option_spec prune_table[] = {
    {.name = "all",
     .short_name = 'a',
     .type = OPTION_FLAG,
     .help = "Remove images and compiled code too, not only what nothing leads to",
     ROW(system_prune_options, is_all)},
    OPTION_CACHE_DIR_ROW(system_prune_options),
    {.name = "dry-run",
     .type = OPTION_FLAG,
     .help = "Only say what would be removed",
     ROW(system_prune_options, is_dry_run)},
    {.name = "filter",
     .type = OPTION_STRINGS,
     .arg_name = "until=AGE",
     .help = "The same as --until",
     ROW(system_prune_options, filters)},
    {.name = "force",
     .short_name = 'f',
     .type = OPTION_FLAG,
     .help = "Do not ask",
     ROW(system_prune_options, is_force)},
    {.name = "until",
     .type = OPTION_DURATION_MS,
     .arg_name = "AGE",
     .help = "Remove only what was not used for that long, such as 24h",
     ROW(system_prune_options, until_ms)},
    OPTION_HELP_ROW(struct system_prune_options, is_help),
    {0},
};

static const char *const prune_description[] = {
    "Removes what nothing on this machine needs: blobs that no image leads to, parts of blobs "
    "whose "
    "pull has ended, and files that were left by processes that were killed. With --all images and "
    "compiled code go, too: what runs is not disturbed, and compiled code is made again when it is "
    "needed. Pulls in progress are left alone. What is removed is written to standard output.",
    NULL,
};

static const struct option_example prune_examples[] = {
    {"wherry system prune",                       "Remove what was left over"},
    {"wherry system prune --all --force --until 720h",                                           "Remove all that was not used for a month"},
    {0},
};

const struct command_spec command_system_prune = {
    .name = "system prune",
    .helper = "image",
    .summary = "remove what is not needed",
    .usage = "[options]",
    .description = prune_description,
    .options = prune_table,
    .examples = prune_examples,
    .see_also = system_see_also,
};

/* --- system check --- */

static const struct option_spec check_table[] = {
    OPTION_CACHE_DIR_ROW(system_check_options),
    OPTION_OUTPUT_ROW(system_check_options),
    OPTION_QUIET_ROW(system_check_options),
    {.name = "repair",
                            .type = OPTION_FLAG,
                            .help = "Remove what is damaged, so that it is fetched again",
                            ROW(system_check_options, is_repair)},
    OPTION_HELP_ROW(struct system_check_options, is_help),
    {0},
};

static const char *const check_description[] = {
    "Reads every blob of the image store and examines whether it is what its digest says, whether "
    "every name leads to what is there, whether others may write to what is trusted, and whether "
    "there is anything that does not belong there; also the files of the compile cache.",
    "With --repair what is damaged is removed, and names that lead to it: they are fetched again "
    "by "
    "the next pull or run. Files that are not wherry's are left for you.",
    NULL,
};

static const struct option_exit_status check_statuses[] = {
    {"0",                                 "All is well, or has been repaired"},
    {"1",                                   "Something is wrong, and still is"},
    {"125","wherry itself failed"},
    {0                              },
};

const struct command_spec command_system_check = {
    .name = "system check",
    .helper = "image",
    .summary = "examine the image store and the compile cache",
    .usage = "[options]",
    .description = check_description,
    .options = check_table,
    .exit_statuses = check_statuses,
    .see_also = system_see_also,
};
