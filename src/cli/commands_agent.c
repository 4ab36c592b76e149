/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/commands.h"
#include "cli/option_rows.h"

#define ROW(struct_, member_) .offset = offsetof(struct struct_, member_)

/* --- exec --- */

static const struct option_spec exec_table[] = {
    OPTION_CONTAINER_ROW(exec_options),
    {.name = "interactive",
                    .short_name = 'i',
                    .type = OPTION_FLAG,
                    .help = "Give the command this command's standard input",
                    ROW(exec_options, is_interactive)},
    OPTION_NAMESPACE_ROW(exec_options),
    {.name = "program",
                    .type = OPTION_STRING,
                    .arg_name = "FILE",
                    .help = "Run this WebAssembly program instead of the tools that every pod has",
                    .complete = COMPLETE_FILE,
                    ROW(exec_options, program)},
    OPTION_SOCKET_ROW(exec_options),
    {.name = "tty",
                    .short_name = 't',
                    .type = OPTION_FLAG,
                    .help = "Ask for a terminal, which no agent has yet",
                    ROW(exec_options, is_tty)},
    OPTION_HELP_ROW(struct exec_options, is_help),
    {0                    },
};

static const struct option_positional exec_positionals[] = {
    {.name = "POD",                                                                               .help = "The pod's name"},
    {.name = "[COMMAND [ARG...]]",
     .help = "What to run: one of the tools that every pod has (sh, ls, cat, env, ps, tar, ...)"},
    {0},
};

static const char *const exec_description[] = {
    "Runs a command in a container of a pod: one more guest with the container's volumes, "
    "environment and network. Commands are the tools that wherry brings along, or with --program "
    "a WebAssembly program of this machine.",
    "When this command is ended, the one in the pod is stopped.",
    NULL,
};

static const struct option_exit_status exec_statuses[] = {
    {"0 to 255",                                               "That of the command"},
    {"125",                                                        "wherry itself failed, or the command could not be run"},
    {0},
};

static const struct option_example exec_examples[] = {
    {"wherry exec web -- ls -l /data",                    "List a folder as the container sees it"},
    {"wherry exec -i web -c app -- sh",                                                   "Type to a shell"},
    {"wherry exec web --program ./check.wasm -- --quick","Run a program of one's own there"},
    {0},
};

static const char *const agent_see_also[] = {"wherry-cp", "wherry-exec", "wherry-port-forward",
                                             NULL};

const struct command_spec command_exec = {
    .name = "exec",
    .helper = "pods",
    .summary = "run a command in a pod",
    .usage = "[options] POD [-- COMMAND [ARG...]]",
    .description = exec_description,
    .options = exec_table,
    .positionals = exec_positionals,
    .exit_statuses = exec_statuses,
    .examples = exec_examples,
    .see_also = agent_see_also,
    .positionals_min = 1,
    .positionals_max = -1,
};
