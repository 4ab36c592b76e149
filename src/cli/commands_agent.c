/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/commands.h"
#include "cli/commands_pods.h"
#include "cli/option_rows.h"
#include "cli/pods_rows.h"

#define ROW(struct_, member_) .offset = offsetof(struct struct_, member_)

/* --- exec --- */

static const struct option_spec exec_table[] = {
    OPTION_CONTAINER_ROW(exec_options),
    {.name = "interactive",
                    .short_name = 'i',
                    .type = OPTION_FLAG,
                    .help = "Give the command this command's standard input",
                    ROW(exec_options, is_interactive)},
    PODS_NAMESPACE_ROW(exec_options),
    {.name = "program",
                    .type = OPTION_STRING,
                    .arg_name = "FILE",
                    .help = "Run this WebAssembly program instead of the tools that every pod has",
                    .complete = COMPLETE_FILE,
                    ROW(exec_options, program)},
    PODS_SOCKET_ROW(exec_options),
    {.name = "tty",
                    .short_name = 't',
                    .type = OPTION_FLAG,
                    .help = "Give the command a terminal, as this one's; with -i",
                    ROW(exec_options, is_tty)},
    PODS_HELP_ROW(exec_options),
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
    "When this command is ended, the one in the pod is stopped. On a terminal (-it) every key goes "
    "to the pod: Ctrl-D ends the input, and Ctrl-C ends the command there, with 130.",
    NULL,
};

static const struct option_exit_status exec_statuses[] = {
    {"0 to 255",                                               "That of the command"},
    {"125",                                                        "wherry itself failed, or the command could not be run"},
    {0},
};

static const struct option_example exec_examples[] = {
    {"wherry exec web -- ls -l /data",                    "List a folder as the container sees it"},
    {"wherry exec -it web -c app -- sh",                                                   "Type to a shell"},
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

/* --- port-forward --- */

static const struct option_spec forward_table[] = {
    PODS_NAMESPACE_ROW(forward_options),
    PODS_SOCKET_ROW(forward_options),
    PODS_HELP_ROW(forward_options),
    {0},
};

static const struct option_positional forward_positionals[] = {
    {.name = "POD",                                                                  .help = "The pod's name"},
    {.name = "[LOCAL:]REMOTE...",
     .help = "A port of the pod, and where to listen for it: a port of 127.0.0.1 or ADDRESS:PORT, "
             "by default the same port, and nothing (:REMOTE) for any that is free"},
    {0},
};

static const char *const forward_description[] = {
    "Listens on this machine and carries every connection to a port of the pod, until it is ended. "
    "64 connections go at a time, and more wait.",
    NULL,
};

static const struct option_example forward_examples[] = {
    {"wherry port-forward web 8080:80", "http://127.0.0.1:8080 is the pod's port 80"},
    {0                                },
};

const struct command_spec command_port_forward = {
    .name = "port-forward",
    .helper = "pods",
    .summary = "reach a port of a pod from here",
    .usage = "[options] POD [LOCAL:]REMOTE...",
    .description = forward_description,
    .options = forward_table,
    .positionals = forward_positionals,
    .examples = forward_examples,
    .see_also = agent_see_also,
    .positionals_min = 2,
    .positionals_max = -1,
};

/* --- cp --- */

static const struct option_spec cp_table[] = {
    OPTION_CONTAINER_ROW(copy_options),
    PODS_NAMESPACE_ROW(copy_options),
    PODS_SOCKET_ROW(copy_options),
    PODS_HELP_ROW(copy_options),
    {0},
};

static const struct option_positional cp_positionals[] = {
    {.name = "SOURCE",
     .help = "A file or folder: a local path, or POD:PATH as the container sees it",
     .complete = COMPLETE_FILE},
    {.name = "DESTINATION",
     .help = "Where to: a folder that is there gets it under its name, else this is its new name",
     .complete = COMPLETE_FILE},
    {0    },
};

static const char *const cp_description[] = {
    "Copies a file, or a folder with all that is in it, into a container of a pod or out of it. "
    "A local path that has a ':' in it is written with './' or '/' before it.",
    "It goes as an archive from one tar to another: in the pod that is the one that every pod has, "
    "here it is this machine's, which has to be GNU tar.",
    NULL,
};

static const struct option_example cp_examples[] = {
    {"wherry cp ./site web:/data", "Put a folder into a volume"},
    {"wherry cp web:/data/log.txt .",                            "Fetch a file"},
    {0},
};

const struct command_spec command_cp = {
    .name = "cp",
    .helper = "pods",
    .summary = "copy files into a pod or out of it",
    .usage = "[options] SOURCE DESTINATION",
    .description = cp_description,
    .options = cp_table,
    .positionals = cp_positionals,
    .examples = cp_examples,
    .see_also = agent_see_also,
    .positionals_min = 2,
    .positionals_max = 2,
};
