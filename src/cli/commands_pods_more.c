/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/commands.h"
#include "cli/commands_pods.h"
#include "cli/pods_rows.h"

#define ROW(struct_, member_) .offset = offsetof(struct struct_, member_)

static const char *const pods_see_also[] = {"wherry-delete", "wherry-describe", "wherry-get",
                                            "wherry-logs",   "wherry-ps",       NULL};

static const struct option_positional pods_positionals[] = {
    {.name = "POD...", .help = "Names of pods, or pod/NAME"},
    {0               },
};

/* --- stop --- */

static const struct option_spec stop_table[] = {
    PODS_GRACE_ROW(stop_options),
    PODS_TIMEOUT_ROW(stop_options, "0", "Give up waiting after this time; 0 waits for ever"),
    PODS_NAMESPACE_ROW(stop_options),
    PODS_SOCKET_ROW(stop_options),
    PODS_HELP_ROW(stop_options),
    {0},
};

static const char *const stop_description[] = {
    "Ends pods for good: the same as 'wherry delete pod', with the pod's own grace period. To end "
    "the run of a container, which then begins again: wherry restart.",
    NULL,
};

const struct command_spec command_stop = {
    .name = "stop",
    .helper = "pods",
    .summary = "end pods: the same as delete pod",
    .usage = "[options] POD...",
    .description = stop_description,
    .options = stop_table,
    .positionals = pods_positionals,
    .exit_statuses = commands_pods_statuses,
    .see_also = pods_see_also,
    .positionals_min = 1,
    .positionals_max = -1,
};

/* --- restart --- */

static const struct option_spec restart_table[] = {
    {.name = "container",
     .short_name = 'c',
     .type = OPTION_STRING,
     .arg_name = "NAME",
     .help = "Only this container (default: all but those that come first)",
     ROW(restart_options, container)},
    PODS_NAMESPACE_ROW(restart_options),
    PODS_SOCKET_ROW(restart_options),
    PODS_HELP_ROW(restart_options),
    {0},
};

const struct command_spec command_restart = {
    .name = "restart",
    .helper = "pods",
    .summary = "end the runs of a pod's containers, which begin again",
    .usage = "[options] POD...",
    .options = restart_table,
    .positionals = pods_positionals,
    .exit_statuses = commands_pods_statuses,
    .see_also = pods_see_also,
    .positionals_min = 1,
    .positionals_max = -1,
};

/* --- top --- */

static const struct option_spec top_table[] = {
    PODS_EVERYWHERE_ROW(top_options),
    {.name = "containers",
                   .type = OPTION_FLAG,
                   .help = "A line for each container",
                   ROW(top_options, has_containers)},
    PODS_HEADLESS_ROW(top_options),
    PODS_NAMESPACE_ROW(top_options),
    PODS_SOCKET_ROW(top_options),
    PODS_HELP_ROW(top_options),
    {0},
};

static const struct option_positional top_positionals[] = {
    {.name = "[pods]",         .help = "May be left out"},
    {.name = "[NAME...]",                        .help = "Names of pods"},
    {0},
};

const struct command_spec command_top = {
    .name = "top",
    .helper = "pods",
    .summary = "show the processor time and memory of pods",
    .usage = "[options] [pods] [NAME...]",
    .options = top_table,
    .positionals = top_positionals,
    .exit_statuses = commands_pods_statuses,
    .see_also = pods_see_also,
    .positionals_max = -1,
};

/* --- events --- */

static const char *const events_output_words[] = {"wide", "json", "yaml", NULL};

static const struct option_spec events_table[] = {
    {.name = "for",
     .type = OPTION_STRING,
     .arg_name = "RESOURCE/NAME",
     .help = "Only those of this object: pod/web",
     ROW(events_options, about)},
    PODS_EVERYWHERE_ROW(events_options),
    {.name = "watch",
     .short_name = 'w',
     .type = OPTION_FLAG,
     .help = "Go on with what happens, until Ctrl-C",
     ROW(events_options, is_watch)},
    {.name = "output",
     .short_name = 'o',
     .type = OPTION_STRING,
     .arg_name = "FORMAT",
     .help = "Print more columns, or the whole objects",
     .complete = COMPLETE_WORDS,
     .words = events_output_words,
     ROW(events_options, output)},
    PODS_HEADLESS_ROW(events_options),
    PODS_NAMESPACE_ROW(events_options),
    PODS_SOCKET_ROW(events_options),
    PODS_HELP_ROW(events_options),
    {0                          },
};

const struct command_spec command_events = {
    .name = "events",
    .helper = "pods",
    .summary = "show what happened",
    .usage = "[options]",
    .options = events_table,
    .exit_statuses = commands_pods_statuses,
    .see_also = pods_see_also,
};

/* --- wait --- */

static const struct option_spec wait_table[] = {
    {.name = "for",
     .type = OPTION_STRING,
     .arg_name = "CONDITION",
     .help = "condition=TYPE[=STATUS], delete, or jsonpath={.PATH}=VALUE",
     ROW(wait_options, condition)},
    PODS_TIMEOUT_ROW(wait_options, "30s", "Fail after this time; 0 looks only once"),
    PODS_SELECTOR_ROW(wait_options),
    {.name = "all",
     .type = OPTION_FLAG,
     .help = "For all objects of that kind in the namespace",
     ROW(wait_options, is_all)},
    PODS_NAMESPACE_ROW(wait_options),
    PODS_SOCKET_ROW(wait_options),
    PODS_HELP_ROW(wait_options),
    {0       },
};

static const struct option_positional wait_positionals[] = {
    {.name = "RESOURCE",          .help = "pods, or another kind; or RESOURCE/NAME for each"},
    {.name = "[NAME...]",                           .help = "Names of objects"},
    {0},
};

static const struct option_example wait_examples[] = {
    {"wherry wait --for=condition=Ready pod/web --timeout 1m", "Until it can be used"},
    {"wherry wait --for=jsonpath='{.status.phase}'=Succeeded pod/job",                                                        "Until a job is done"},
    {"wherry wait --for=delete pods -l app=web","Until all of them are gone"},
    {0              },
};

const struct command_spec command_wait = {
    .name = "wait",
    .helper = "pods",
    .summary = "wait until objects are ready, or gone",
    .usage = "[options] --for CONDITION RESOURCE [NAME...]",
    .options = wait_table,
    .positionals = wait_positionals,
    .exit_statuses = commands_pods_statuses,
    .examples = wait_examples,
    .see_also = pods_see_also,
    .positionals_min = 1,
    .positionals_max = -1,
};

/* --- config show --- */

static const struct option_spec config_show_table[] = {
    PODS_NAMESPACE_ROW(config_show_options),
    PODS_SOCKET_ROW(config_show_options),
    PODS_HELP_ROW(config_show_options),
    {0},
};

const struct command_spec command_config_show = {
    .name = "config show",
    .helper = "pods",
    .summary = "show the settings that the agent runs with",
    .usage = "[options]",
    .options = config_show_table,
    .exit_statuses = commands_pods_statuses,
    .see_also = pods_see_also,
};
