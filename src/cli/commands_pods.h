/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/options.h"

/*
 * The options of the commands for pods, whose tables are in commands_pods.c, commands_pods_more.c
 * and commands_agent.c, and which the helper program wherry-pods has.
 */

/* What all of them begin with. */
struct pods_common {
    bool is_help;
    const char *socket, *space; /* of --namespace; NULL: not said */
};

struct get_options {
    struct pods_common common;
    bool is_everywhere, is_watch, is_headless, has_labels;
    const char *selector, *field_selector, *output;
};

struct describe_options {
    struct pods_common common;
    const char *selector;
};

struct logs_options {
    struct pods_common common;
    bool is_follow, has_timestamps, is_previous, is_all, has_prefix;
    struct option_number tail, since_ms, limit_bytes;
    const char *container, *since_time, *selector;
};

/* Of what apply, delete, up and down read. */
struct manifest_options {
    struct strv files;
    bool is_recursive;
};

struct apply_options {
    struct pods_common common;
    struct manifest_options manifest;
    bool is_dry_run;
};

struct delete_options {
    struct pods_common common;
    struct manifest_options manifest;
    bool is_all, is_now;
    struct option_number grace_s, timeout_ms;
    const char *selector, *wait;
};

struct up_options {
    struct pods_common common;
    struct manifest_options manifest;
    bool is_detached;
    struct option_number timeout_ms;
};

struct down_options {
    struct pods_common common;
    struct manifest_options manifest;
    bool has_volumes;
    struct option_number grace_s, timeout_ms;
};

struct stop_options {
    struct pods_common common;
    struct option_number grace_s, timeout_ms;
};

struct restart_options {
    struct pods_common common;
    const char *container;
};

struct top_options {
    struct pods_common common;
    bool is_everywhere, is_headless, has_containers;
};

struct events_options {
    struct pods_common common;
    bool is_everywhere, is_watch, is_headless;
    const char *about, *output;
};

struct wait_options {
    struct pods_common common;
    bool is_all;
    const char *condition, *selector;
    struct option_number timeout_ms;
};

struct config_show_options {
    struct pods_common common;
};

struct exec_options {
    struct pods_common common;
    bool is_interactive, is_tty;
    const char *container, *program;
};

struct forward_options {
    struct pods_common common;
};

struct copy_options {
    struct pods_common common;
    const char *container;
};

/* Of the commands that have no status of their own: 0, 1, 125. */
extern const struct option_exit_status commands_pods_statuses[];

extern const struct command_spec command_up; /* commands_pods.c, with the next seven */
extern const struct command_spec command_down;
extern const struct command_spec command_apply;
extern const struct command_spec command_delete;
extern const struct command_spec command_get;
extern const struct command_spec command_ps;
extern const struct command_spec command_describe;
extern const struct command_spec command_logs;
extern const struct command_spec command_stop; /* commands_pods_more.c, with the next five */
extern const struct command_spec command_restart;
extern const struct command_spec command_top;
extern const struct command_spec command_events;
extern const struct command_spec command_wait;
extern const struct command_spec command_config_show;
