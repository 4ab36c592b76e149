/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/config.h"
#include "base/options.h"

/* What `wherry agent` is told, by options, by WHERRY_AGENT_* or by agent.toml (base/config.h). */
struct daemon_options {
    const char *config;
    const char *state_dir, *run_dir, *logs_dir, *socket, *group, *cache_dir;
    const char *node_name, *node_ip, *cpu_limit;
    struct option_number idle_worker_ms;
    int verbosity;
    bool is_help;
};

extern const struct command_spec command_agent;

extern const struct config_source daemon_config_source;
