/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/options.h"
#include "guest/status.h"

/*
 * The commands and their option tables: read by each command to parse, and by help, completion and
 * the man pages.
 */
struct run_options {
    bool is_help, is_interactive, is_uncached, is_quiet;
    int verbosity;
    struct strv env, env_files, dirs, allow_net;
    struct option_number memory_bytes, timeout_ms;
    struct option_number max_descriptors, max_instances, max_tables, max_table_elements;
    const char *invoke, *status_file, *name, *cache_dir, *pull;
};

struct serve_options {
    bool is_help, is_uncached, is_quiet;
    int verbosity;
    struct strv listen, routes, hosts, env, env_files, dirs, allow_net;
    struct option_number threads, reuse, memory_bytes;
    struct option_number request_ms, cpu_ms, idle_ms, read_ms, write_ms, drain_ms;
    struct option_number header_bytes, headers, body_bytes, requests, queue, connections;
    const char *tls_cert, *tls_key, *ca, *metrics, *access_log, *name, *cache_dir, *pull;
};

struct compile_options {
    bool is_help, is_shared;
    int verbosity;
    const char *cache_dir, *pull;
};

struct inspect_options {
    bool is_help;
    const char *output, *pull, *cache_dir;
};

struct version_options {
    bool is_help;
    const char *output;
};

struct doctor_options {
    bool is_help, is_verbose;
    const char *output, *cache_dir;
};

struct image_pull_options {
    bool is_help, is_plain_http, is_insecure, is_quiet, is_uncompiled;
    int verbosity;
    struct option_number stall_ms;
    const char *authfile, *cache_dir, *policy;
};

struct image_push_options {
    bool is_help, is_plain_http, is_insecure;
    int verbosity;
    struct strv annotations;
    const char *authfile, *format;
};

struct images_options {
    bool is_help;
    const char *output;
};

struct image_save_options {
    bool is_help;
    const char *output, *format;
};

struct image_load_options {
    bool is_help, is_quiet, is_uncompiled;
    int verbosity;
    const char *input, *name, *cache_dir;
};

struct image_describe_options {
    bool is_help, is_whole, is_remote, is_plain_http, is_insecure;
    struct option_number stall_ms;
    const char *output, *authfile;
};

struct login_options {
    bool is_help, is_password_stdin, is_plain_http, is_insecure;
    const char *username, *authfile;
};

struct logout_options {
    bool is_help;
    const char *authfile;
};

struct system_df_options {
    bool is_help, is_verbose;
    const char *output, *cache_dir;
};

struct system_prune_options {
    bool is_help, is_all, is_dry_run, is_force;
    struct option_number until_ms;
    struct strv filters;
    const char *cache_dir;
};

struct system_check_options {
    bool is_help, is_quiet, is_repair;
    const char *output, *cache_dir;
};

/* Of install and uninstall. */
struct install_options {
    bool is_help, is_apply, is_check;
    const char *config, *containerd, *version, *runtime, *sandboxer, *shim;
};

/* For commands whose only option is --help. */
struct plain_options {
    bool is_help;
};

extern const struct command_spec command_run;
extern const struct command_spec command_serve; /* commands_serve.c */
extern const struct command_spec command_compile;
extern const struct command_spec command_inspect;
extern const struct command_spec command_pull; /* commands_image.c, with the next six */
extern const struct command_spec command_push;
extern const struct command_spec command_images;
extern const struct command_spec command_tag;
extern const struct command_spec command_rmi;
extern const struct command_spec command_login;
extern const struct command_spec command_logout;
extern const struct command_spec command_image; /* commands_archive.c, with the next two */
extern const struct command_spec command_save;
extern const struct command_spec command_load;
extern const struct command_spec command_system_df; /* commands_system.c, with the next two */
extern const struct command_spec command_system_prune;
extern const struct command_spec command_system_check;
extern const struct command_spec command_install_containerd; /* commands_install.c, with the next */
extern const struct command_spec command_uninstall_containerd;
extern const struct command_spec command_agent; /* daemon_options.c */
extern const struct command_spec command_exec;  /* commands_agent.c, with the next two */
extern const struct command_spec command_port_forward;
extern const struct command_spec command_cp;
extern const struct command_spec command_version;
extern const struct command_spec command_doctor;
extern const struct command_spec command_new;
extern const struct command_spec command_completion;
extern const struct command_spec command_help;

/* Of plain_options. */
extern const struct option_spec commands_plain_table[];

/* The words of --output. */
extern const char *const commands_output_words[];

/* When an image is fetched, as Kubernetes means it: the words of --pull. */
extern const char *const commands_pull_words[];
/* Of --format: in the order of enum push_format (image/push.h). */
extern const char *const commands_format_words[];

/* The words of save --format. */
extern const char *const commands_save_formats[];

/* All of them in the order of `wherry help`; ends with NULL. */
extern const struct command_spec *const commands_all[];

extern const struct program_doc commands_program;

/* The command of that name, which may be of two words; NULL without one. */
const struct command_spec *command_find(const char *name);

/* Whether there are commands of two words of which this is the first. */
bool command_is_group(const char *name);

/* The helper program that has the command or group, which need not be one of ours. */
const char *command_helper(const char *name);
