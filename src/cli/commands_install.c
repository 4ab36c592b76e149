/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/commands.h"

#define ROW(struct_, member_) .offset = offsetof(struct struct_, member_)

#define CONFIG_ROW                                                                                 \
    {                                                                                              \
        .name = "config", .type = OPTION_STRING, .arg_name = "PATH",                               \
        .help = "containerd's configuration (default: /etc/containerd/config.toml, or that of "    \
                "k3s or rke2 where they are)",                                                     \
        .complete = COMPLETE_FILE, ROW(install_options, config)                                    \
    }
#define RUNTIME_NAME_ROW                                                                           \
    {                                                                                              \
        .name = "runtime-name", .type = OPTION_STRING, .arg_name = "NAME",                         \
        .help = "The name of the handler, which a RuntimeClass gives", .default_text = "wherry",   \
        ROW(install_options, runtime)                                                              \
    }

static const char *const sandboxer_words[] = {"podsandbox", "shim", NULL};

static const char *const install_see_also[] = {"wherry-install-containerd",
                                               "wherry-uninstall-containerd", NULL};

/* --- install containerd --- */

static const struct option_spec install_table[] = {
    {.name = "apply",
     .type = OPTION_FLAG,
     .help = "Write the file, instead of showing it",
     ROW(install_options, is_apply)},
    {.name = "check",
     .type = OPTION_FLAG,
     .help = "Only tell whether the containerd that runs has the handler",
     ROW(install_options, is_check)},
    CONFIG_ROW,
    {.name = "containerd",
     .type = OPTION_STRING,
     .arg_name = "PATH",
     .help = "The program containerd (default: where such programs are)",
     .complete = COMPLETE_FILE,
     ROW(install_options, containerd)},
    {.name = "containerd-version",
     .type = OPTION_STRING,
     .arg_name = "VERSION",
     .help = "Write for this version, such as 1.7, and do not ask the program",
     ROW(install_options, version)},
    RUNTIME_NAME_ROW,
    {.name = "sandboxer",
     .type = OPTION_STRING,
     .arg_name = "WHO",
     .help = "Who makes sandboxes of pods: containerd (podsandbox), or the shim by containerd's "
             "sandbox API, from containerd 2.1 on", .default_text = "podsandbox",
     .complete = COMPLETE_WORDS,
     .words = sandboxer_words,
     ROW(install_options, sandboxer)},
    {.name = "shim",
     .type = OPTION_STRING,
     .arg_name = "PATH",
     .help = "The program containerd-shim-wherry-v1 (default: the one beside wherry)",
     .complete = COMPLETE_FILE,
     ROW(install_options, shim)},
    OPTION_HELP_ROW(struct install_options, is_help),
    {0                                                },
};

static const char *const install_description[] = {
    "Tells containerd of the runtime of wherry, by which Kubernetes runs WebAssembly beside native "
    "containers: shows, or with --apply writes, a file of its own in the folder that containerd's "
    "configuration imports. No other file is changed; where a line has to be added to the "
    "configuration, it is shown.",
    "containerd 1.x takes all settings of CRI from one file, so they are repeated in ours, which "
    "is "
    "to be written anew when they change; --check tells. What was written is tried by 'containerd "
    "config dump' and taken back when containerd could not read it.",
    NULL,
};

static const struct option_exit_status install_statuses[] = {
    {"0",                                                                         "The file was shown or written; with --check, the handler is there"},
    {"1",                                                                           "containerd does not read the file before a line is added, which was shown; with "
          "--check, the handler is not there or not as it would be written"},
    {"125", "wherry itself failed"},
    {0                                                                      },
};

static const struct option_example install_examples[] = {
    {"wherry install containerd",         "Show what would be written, and where"},
    {"wherry install containerd --apply && systemctl restart containerd",                                   "Install it"},
    {"wherry install containerd --check","Tell whether it is in force"},
    {0},
};

const struct command_spec command_install_containerd = {
    .name = "install containerd",
    .helper = "install",
    .summary = "tell containerd of the runtime of wherry",
    .usage = "[options]",
    .description = install_description,
    .options = install_table,
    .exit_statuses = install_statuses,
    .examples = install_examples,
    .see_also = install_see_also,
};

/* --- uninstall containerd --- */

static const struct option_spec uninstall_table[] = {
    {.name = "apply",
     .type = OPTION_FLAG,
     .help = "Remove the file, instead of only naming it",
     ROW(install_options, is_apply)},
    CONFIG_ROW,
    RUNTIME_NAME_ROW,
    OPTION_HELP_ROW(struct install_options, is_help),
    {0},
};

static const char *const uninstall_description[] = {
    "Names, or with --apply removes, the file that 'wherry install containerd' has written; one of "
    "that name that somebody else wrote stays. Containers that run go on, but containerd makes no "
    "new ones after its restart: remove the pods of the runtime first.",
    NULL,
};

const struct command_spec command_uninstall_containerd = {
    .name = "uninstall containerd",
    .helper = "install",
    .summary = "take the runtime of wherry from containerd",
    .usage = "[options]",
    .description = uninstall_description,
    .options = uninstall_table,
    .see_also = install_see_also,
};
