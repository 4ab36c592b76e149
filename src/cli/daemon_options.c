/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/daemon_options.h"

#include "cli/option_rows.h"

#define ROW(member_) .offset = offsetof(struct daemon_options, member_)

static const char *const cpu_limit_words[] = {"auto", "cgroup", "worker", NULL};

static const struct option_spec table[] = {
    OPTION_CACHE_DIR_ROW(daemon_options),
    {.name = "config",
                      .type = OPTION_STRING,
                      .arg_name = "FILE",
                      .help = "Read this configuration file (default: /etc/wherry/agent.toml, of others than root "
             "wherry/agent.toml in the XDG configuration folder)", .complete = COMPLETE_FILE,
                      ROW(config)},
    {.name = "cpu-limit",
                      .type = OPTION_STRING,
                      .arg_name = "WHO",
                      .help = "Let control groups of the kernel keep the CPU limits of containers, or the worker "
             "itself; auto: the former where it can", .default_text = "auto",
                      .complete = COMPLETE_WORDS,
                      .words = cpu_limit_words,
                      ROW(cpu_limit)},
    {.name = "group",
                      .type = OPTION_STRING,
                      .arg_name = "NAME",
                      .help = "Let members of this group use the agent, which is as much as to be root",
                      .default_text = "wherry",
                      ROW(group)},
    {.name = "idle-worker",
                      .type = OPTION_DURATION_MS,
                      .arg_name = "TIME",
                      .help = "End a worker that has had no guest for that long",
                      .default_text = "1m",
                      ROW(idle_worker_ms)},
    {.name = "logs-dir",
                      .type = OPTION_STRING,
                      .arg_name = "DIR",
                      .help =
         "Keep the logs of containers here (default: /var/log/pods, of others than root pods/logs "
         "in the state folder)", .complete = COMPLETE_DIR,
                      ROW(logs_dir)},
    {.name = "node-ip",
                      .type = OPTION_STRING,
                      .arg_name = "ADDR",
                      .help = "The address of this machine (default: the first that is not of the loopback)",
                      ROW(node_ip)},
    {.name = "node-name",
                      .type = OPTION_STRING,
                      .arg_name = "NAME",
                      .help = "The name of this machine (default: its host name)",
                      ROW(node_name)},
    {.name = "run-dir",
                      .type = OPTION_STRING,
                      .arg_name = "DIR",
                      .help =
         "Keep workers and the socket here (default: /run/wherry, of others than root wherry in "
         "XDG_RUNTIME_DIR)", .complete = COMPLETE_DIR,
                      ROW(run_dir)},
    {.name = "socket",
                      .type = OPTION_STRING,
                      .arg_name = "PATH",
                      .help = "Listen on this socket (default: wherry.sock in the run folder)",
                      .complete = COMPLETE_FILE,
                      ROW(socket)},
    {.name = "state-dir",
                      .type = OPTION_STRING,
                      .arg_name = "DIR",
                      .help = "Keep what was asked for, volumes and claims here (default: /var/lib/wherry/agent, of "
             "others than root wherry/agent in the XDG state folder)", .complete = COMPLETE_DIR,
                      ROW(state_dir)},
    OPTION_VERBOSE_ROW(daemon_options),
    OPTION_HELP_ROW(struct daemon_options, is_help),
    {0      },
};

static const char *const description[] = {
    "Keeps pods: starts what was asked for by 'wherry apply' and 'wherry up', restarts what ends, "
    "probes it, and answers the other commands on its socket.",
    "Guests run in worker processes, which outlive the agent: when it ends, is killed or replaced "
    "by "
    "a new version they go on, and the next one adopts them. 'wherry delete' and 'wherry down' end "
    "pods.",
    "Each option can also be given by an environment variable (WHERRY_AGENT_ and its name in "
    "capitals, with '_' for '-') or in the configuration file, as NAME = VALUE in TOML. The "
    "command "
    "line counts before the environment, that before the file. 'wherry config show' tells what is "
    "in "
    "force, and where it came from.",
    NULL,
};

static const struct option_exit_status statuses[] = {
    {"0",                                              "it was told to end (SIGTERM, SIGINT)"},
    {"125",                                                "it could not start, or cannot go on; says why"},
    {0},
};

static const struct option_example examples[] = {
    {"wherry agent -v",       "Run in the foreground and say what is done."},
    {"systemctl enable --now wherry-agent",                       "Run it as a service."},
    {0},
};

static const char *const see_also[] = {"wherry-apply", "wherry-get", "wherry-up", NULL};

const struct command_spec command_agent = {
    .name = "agent",
    .summary = "keep pods on this machine: the daemon",
    .usage = "[options]",
    .description = description,
    .options = table,
    .exit_statuses = statuses,
    .examples = examples,
    .see_also = see_also,
};

const struct config_source daemon_config_source = {
    .env_prefix = "WHERRY_AGENT_", .file_name = "agent.toml", .file_option = "config"};
