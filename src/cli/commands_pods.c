/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/commands_pods.h"

#include "cli/commands.h"
#include "cli/pods_rows.h"

#define ROW(struct_, member_) .offset = offsetof(struct struct_, member_)

const struct option_exit_status commands_pods_statuses[] = {
    {"0",                                                 "Success"},
    {"1",                                                   "The agent refused something, or something failed"},
    {"125","A mistake on the command line"},
    {0                                              },
};

static const char *const pods_see_also[] = {
    "wherry-apply", "wherry-delete", "wherry-describe", "wherry-down", "wherry-events",
    "wherry-get",   "wherry-logs",   "wherry-up",       "wherry-wait", NULL};

/* --- up --- */

static const struct option_spec up_table[] = {
    PODS_FILE_ROW(up_options),
    PODS_RECURSIVE_ROW(up_options),
    {.name = "detach",
                  .short_name = 'd',
                  .type = OPTION_FLAG,
                  .help = "Leave the pods running, and an agent that was started for them too",
                  ROW(up_options, is_detached)},
    PODS_TIMEOUT_ROW(up_options, "0", "Fail when the pods are not ready by then; 0 waits for ever"),
    PODS_NAMESPACE_ROW(up_options),
    PODS_SOCKET_ROW(up_options),
    PODS_HELP_ROW(up_options),
    {0},
};

static const char *const up_description[] = {
    "Starts what manifests say and shows what it writes. When no agent answers, one is started. In "
    "the foreground the logs of all containers are followed, each line behind its pod and "
    "container; Ctrl-C ends the pods again, and the agent if it was started by this command and "
    "has no other pods; a second Ctrl-C leaves at once. With --detach it returns when the pods are "
    "ready: a pod without readiness or startup probes when it has been up for a second.",
    "A pod that fails makes the command fail, and say why.",
    NULL,
};

static const struct option_example up_examples[] = {
    {"wherry up -f app.yaml",       "Start it, and follow its logs until Ctrl-C"},
    {"wherry up -d -f app.yaml",                             "Start it in the background"},
    {0},
};

const struct command_spec command_up = {
    .name = "up",
    .helper = "pods",
    .summary = "start the pods of manifests, and an agent if there is none",
    .usage = "[options] -f FILE",
    .description = up_description,
    .options = up_table,
    .exit_statuses = commands_pods_statuses,
    .examples = up_examples,
    .see_also = pods_see_also,
};

/* --- down --- */

static const struct option_spec down_table[] = {
    PODS_FILE_ROW(down_options),
    PODS_RECURSIVE_ROW(down_options),
    {.name = "volumes",
                    .type = OPTION_FLAG,
                    .help = "Delete persistent volume claims and what is in them, too",
                    ROW(down_options, has_volumes)},
    PODS_GRACE_ROW(down_options),
    PODS_TIMEOUT_ROW(down_options, "0", "Give up waiting after this time; 0 waits for ever"),
    PODS_NAMESPACE_ROW(down_options),
    PODS_SOCKET_ROW(down_options),
    PODS_HELP_ROW(down_options),
    {0},
};

static const char *const down_description[] = {
    "Deletes what manifests have and waits until the pods have ended. What is not there is no "
    "mistake. Persistent volume claims stay, with what is in them, unless --volumes is given.",
    NULL,
};

const struct command_spec command_down = {
    .name = "down",
    .helper = "pods",
    .summary = "end the pods of manifests",
    .usage = "[options] -f FILE",
    .description = down_description,
    .options = down_table,
    .exit_statuses = commands_pods_statuses,
    .see_also = pods_see_also,
};

/* --- apply --- */

static const struct option_spec apply_table[] = {
    PODS_FILE_ROW(apply_options),
    PODS_RECURSIVE_ROW(apply_options),
    {.name = "dry-run",
                     .type = OPTION_FLAG,
                     .help = "Only read the manifests and say what is in them; the agent is not asked",
                     ROW(apply_options, is_dry_run)},
    PODS_NAMESPACE_ROW(apply_options),
    PODS_SOCKET_ROW(apply_options),
    PODS_HELP_ROW(apply_options),
    {0},
};

static const char *const apply_description[] = {
    "Makes what manifests say, or changes it into that. All of them are read first: a mistake in "
    "one is told with file and line, and nothing is sent. Configurations, secrets and claims come "
    "before pods. A pod whose spec differs is ended and started anew. Relative paths of programs "
    "begin at the manifest's folder.",
    NULL,
};

static const struct option_example apply_examples[] = {
    {"wherry apply -f app.yaml",                    "Apply one manifest"},
    {"wherry apply -R -f deploy/ -f extra.yaml",                                             "Several, and all of a folder"},
    {"sed s/TAG/1.2/ app.yaml | wherry apply -f -","What another program writes"},
    {0},
};

const struct command_spec command_apply = {
    .name = "apply",
    .helper = "pods",
    .summary = "make or change what manifests say",
    .usage = "[options] -f FILE",
    .description = apply_description,
    .options = apply_table,
    .exit_statuses = commands_pods_statuses,
    .examples = apply_examples,
    .see_also = pods_see_also,
};

/* --- delete --- */

static const char *const delete_wait_words[] = {"true", "false", NULL};

static const struct option_spec delete_table[] = {
    PODS_FILE_ROW(delete_options),
    PODS_RECURSIVE_ROW(delete_options),
    PODS_SELECTOR_ROW(delete_options),
    {.name = "all",
                      .type = OPTION_FLAG,
                      .help = "All objects of that kind in the namespace",
                      ROW(delete_options, is_all)},
    {.name = "now",
                      .type = OPTION_FLAG,
                      .help = "The same as --grace-period 1",
                      ROW(delete_options, is_now)},
    PODS_GRACE_ROW(delete_options),
    {.name = "wait",
                      .type = OPTION_STRING,
                      .arg_name = "BOOL",
                      .help = "Wait until it is gone",
                      .default_text = "true",
                      .complete = COMPLETE_WORDS,
                      .words = delete_wait_words,
                      ROW(delete_options, wait)},
    PODS_TIMEOUT_ROW(delete_options, "0", "Give up waiting after this time; 0 waits for ever"),
    PODS_NAMESPACE_ROW(delete_options),
    PODS_SOCKET_ROW(delete_options),
    PODS_HELP_ROW(delete_options),
    {0                                      },
};

static const struct option_positional resource_positionals[] = {
    {.name = "[RESOURCE]",
     .help = "pods (po), configmaps (cm), secrets, persistentvolumeclaims (pvc) or events (ev)"},
    {.name = "[NAME...]",                                                      .help = "Names of objects; or RESOURCE/NAME for each"},
    {0},
};

static const char *const delete_description[] = {
    "Deletes objects: those of manifests, those that are named, those with the labels, or all. The "
    "containers of a pod get the signal to end, and are ended when its grace period is over.",
    NULL,
};

static const struct option_example delete_examples[] = {
    {"wherry delete pod web",                     "Delete one pod and wait until it is gone"},
    {"wherry delete pods -l app=web --now",                                           "Those with a label, with little patience"},
    {"wherry delete -f app.yaml --wait=false","What a manifest has, without waiting"},
    {0   },
};

const struct command_spec command_delete = {
    .name = "delete",
    .helper = "pods",
    .summary = "delete pods and other objects",
    .usage = "[options] (-f FILE | RESOURCE [NAME...])",
    .description = delete_description,
    .options = delete_table,
    .positionals = resource_positionals,
    .exit_statuses = commands_pods_statuses,
    .examples = delete_examples,
    .see_also = pods_see_also,
    .positionals_max = -1,
};

/* --- get, ps --- */

static const char *const get_output_words[] = {"wide", "json", "yaml", "name", NULL};

#define GET_ROWS                                                                                   \
    PODS_EVERYWHERE_ROW(get_options), PODS_SELECTOR_ROW(get_options),                              \
        {.name = "field-selector",                                                                 \
         .type = OPTION_STRING,                                                                    \
         .arg_name = "FIELDS",                                                                     \
         .help = "Only what has these fields: metadata.name=web, status.phase!=Running",           \
         ROW(get_options, field_selector)},                                                        \
        {.name = "output",                                                                         \
         .short_name = 'o',                                                                        \
         .type = OPTION_STRING,                                                                    \
         .arg_name = "FORMAT",                                                                     \
         .help = "Print more columns, the whole objects, or only their names",                     \
         .complete = COMPLETE_WORDS,                                                               \
         .words = get_output_words,                                                                \
         ROW(get_options, output)},                                                                \
        {.name = "watch",                                                                          \
         .short_name = 'w',                                                                        \
         .type = OPTION_FLAG,                                                                      \
         .help = "Go on with what changes, until Ctrl-C",                                          \
         ROW(get_options, is_watch)},                                                              \
        PODS_HEADLESS_ROW(get_options),                                                            \
        {.name = "show-labels",                                                                    \
         .type = OPTION_FLAG,                                                                      \
         .help = "A column with the labels",                                                       \
         ROW(get_options, has_labels)},                                                            \
        PODS_NAMESPACE_ROW(get_options), PODS_SOCKET_ROW(get_options), PODS_HELP_ROW(get_options)

static const struct option_spec get_table[] = {GET_ROWS, {0}};

static const struct option_example get_examples[] = {
    {"wherry get pods -A -o wide",                  "The pods of all namespaces"},
    {"wherry get pod/web -o yaml",                                             "One of them as a manifest, with its status"},
    {"wherry get cm,secrets","Two kinds"},
    {"wherry get pods -l 'app in (a,b)' -w",                       "Watch some"},
    {0                                            },
};

const struct command_spec command_get = {
    .name = "get",
    .helper = "pods",
    .summary = "list pods and other objects",
    .usage = "[options] RESOURCE [NAME...]",
    .options = get_table,
    .positionals = resource_positionals,
    .exit_statuses = commands_pods_statuses,
    .examples = get_examples,
    .see_also = pods_see_also,
    .positionals_min = 1,
    .positionals_max = -1,
};

static const struct option_spec ps_table[] = {GET_ROWS, {0}};

static const struct option_positional pod_names_positionals[] = {
    {.name = "[NAME...]", .help = "Names of pods"},
    {0                  },
};

const struct command_spec command_ps = {
    .name = "ps",
    .helper = "pods",
    .summary = "list pods: the same as get pods",
    .usage = "[options] [NAME...]",
    .options = ps_table,
    .positionals = pod_names_positionals,
    .exit_statuses = commands_pods_statuses,
    .see_also = pods_see_also,
    .positionals_max = -1,
};

/* --- describe --- */

static const struct option_spec describe_table[] = {
    PODS_SELECTOR_ROW(describe_options),
    PODS_NAMESPACE_ROW(describe_options),
    PODS_SOCKET_ROW(describe_options),
    PODS_HELP_ROW(describe_options),
    {0},
};

static const struct option_example describe_examples[] = {
    {"wherry describe pod web", "What it is, how it is, and what happened to it"},
    {0                        },
};

const struct command_spec command_describe = {
    .name = "describe",
    .helper = "pods",
    .summary = "show all of an object, with its events",
    .usage = "[options] RESOURCE [NAME...]",
    .options = describe_table,
    .positionals = resource_positionals,
    .exit_statuses = commands_pods_statuses,
    .examples = describe_examples,
    .see_also = pods_see_also,
    .positionals_min = 1,
    .positionals_max = -1,
};

/* --- logs --- */

static const struct option_spec logs_table[] = {
    {.name = "container",
     .short_name = 'c',
     .type = OPTION_STRING,
     .arg_name = "NAME",
     .help = "Of this container (default: the pod's first)",
     ROW(logs_options, container)},
    {.name = "all-containers",
     .type = OPTION_FLAG,
     .help = "Of all containers of the pod, also those that come first",
     ROW(logs_options, is_all)},
    {.name = "follow",
     .short_name = 'f',
     .type = OPTION_FLAG,
     .help = "Go on with what is written, until the container ends or Ctrl-C",
     ROW(logs_options, is_follow)},
    {.name = "tail",
     .type = OPTION_INT,
     .arg_name = "N",
     .help = "Only the last lines; -1 for all (default: all, with --selector 10)",
     .min = -1,
     .max = INT64_MAX,
     ROW(logs_options, tail)},
    {.name = "since",
     .type = OPTION_DURATION_MS,
     .arg_name = "TIME",
     .help = "Only what is not older, such as 5m",
     ROW(logs_options, since_ms)},
    {.name = "since-time",
     .type = OPTION_STRING,
     .arg_name = "TIME",
     .help = "Only what was written since then: 2026-11-27T04:05:37Z",
     ROW(logs_options, since_time)},
    {.name = "limit-bytes",
     .type = OPTION_SIZE,
     .arg_name = "SIZE",
     .help = "At most so many bytes of each container",
     .min = 1,
     .max = INT64_MAX,
     ROW(logs_options, limit_bytes)},
    {.name = "timestamps",
     .type = OPTION_FLAG,
     .help = "Begin each line with the time at which it was written",
     ROW(logs_options, has_timestamps)},
    {.name = "previous",
     .short_name = 'p',
     .type = OPTION_FLAG,
     .help = "Of the run before the present one",
     ROW(logs_options, is_previous)},
    {.name = "prefix",
     .type = OPTION_FLAG,
     .help = "Begin each line with pod and container",
     ROW(logs_options, has_prefix)},
    PODS_SELECTOR_ROW(logs_options),
    PODS_NAMESPACE_ROW(logs_options),
    PODS_SOCKET_ROW(logs_options),
    PODS_HELP_ROW(logs_options),
    {0                                                                 },
};

static const struct option_positional logs_positionals[] = {
    {.name = "[POD]",                    .help = "The name of a pod, or pod/NAME; none with --selector"},
    {.name = "[CONTAINER]",                                  .help = "The same as --container"},
    {0},
};

static const char *const logs_description[] = {
    "Prints what containers have written to standard output and standard error. On a terminal "
    "control characters but tabs and colours are shown as '?'; to a pipe or file bytes go as they "
    "are.",
    NULL,
};

static const struct option_example logs_examples[] = {
    {"wherry logs -f web",                               "Follow a pod's first container"},
    {"wherry logs -p --tail 20 web -c app",                                                  "The end of the run that failed"},
    {"wherry logs -l app=web --all-containers --prefix","Of several pods"},
    {0},
};

const struct command_spec command_logs = {
    .name = "logs",
    .helper = "pods",
    .summary = "print what containers have written",
    .usage = "[options] (POD [CONTAINER] | -l LABELS)",
    .description = logs_description,
    .options = logs_table,
    .positionals = logs_positionals,
    .exit_statuses = commands_pods_statuses,
    .examples = logs_examples,
    .see_also = pods_see_also,
    .positionals_max = 2,
};
