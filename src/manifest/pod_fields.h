/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/json.h"
#include "manifest/decode.h"

/*
 * The part of Kubernetes' Pod (core/v1, types.go) that there is, as plain fields: what the tables
 * of pod_fields.c fill (private to this folder). Strings are NULL and lists empty when they were
 * absent. Where 0 means something else than absent there is a has_ flag. Ports and divisors are
 * JSON text, since they may be numbers or strings.
 */

struct raw_key_ref {
    char *name, *key;
    bool is_optional;
};

struct raw_field_ref {
    char *path, *version;
};

struct raw_resource_ref {
    char *container, *resource, *divisor;
};

struct raw_source {
    struct raw_field_ref field;
    struct raw_resource_ref resource;
    struct raw_key_ref config, secret;
    bool has_field, has_resource, has_config, has_secret;
};

struct raw_variable {
    char *name, *value;
    struct raw_source source;
    bool has_source;
};

struct raw_variables_from {
    char *prefix;
    struct raw_key_ref config, secret;
    bool has_config, has_secret;
};

struct raw_header {
    char *name, *value;
};

struct raw_http {
    char *path, *port, *host, *scheme;
    struct raw_header *headers;
    size_t n_headers;
};

struct raw_tcp {
    char *port, *host;
};

struct raw_grpc {
    int64_t port;
    char *service;
};

struct raw_exec {
    struct strv command;
};

struct raw_sleep {
    int64_t seconds;
};

struct raw_action {
    struct raw_http http;
    struct raw_tcp tcp;
    struct raw_grpc grpc;
    struct raw_exec exec;
    struct raw_sleep sleep;
    bool has_http, has_tcp, has_grpc, has_exec, has_sleep;
};

struct raw_probe {
    struct raw_action action;
    int64_t initial_delay, period, timeout, success, failure;
    int64_t grace;
    bool has_grace;
};

struct raw_lifecycle {
    struct raw_action post_start, pre_stop;
    bool has_post_start, has_pre_stop;
};

struct raw_port {
    char *name, *protocol;
    int64_t port, host_port;
};

struct raw_mount {
    char *volume, *path, *sub_path, *sub_path_expr, *propagation, *recursive;
    bool is_read_only;
};

struct raw_resources {
    struct json_pairs limits, requests;
};

struct raw_capabilities {
    struct strv add;
};

struct raw_profile {
    char *type;
};

struct raw_security {
    bool is_privileged;
    struct raw_capabilities capabilities;
    struct raw_profile seccomp, apparmor;
    char *proc_mount;
};

struct raw_container {
    char *name, *image, *working_dir, *pull, *restart, *message_path, *message_policy;
    struct strv command, args;
    bool has_command, has_args;
    struct raw_variable *variables;
    size_t n_variables;
    struct raw_variables_from *variables_from;
    size_t n_variables_from;
    struct raw_port *ports;
    size_t n_ports;
    struct raw_mount *mounts;
    size_t n_mounts;
    struct raw_resources resources;
    struct raw_probe startup, liveness, readiness;
    bool has_startup, has_liveness, has_readiness;
    struct raw_lifecycle lifecycle;
    struct raw_security security;
    bool has_stdin, is_stdin_once, has_tty;
};

struct raw_item {
    char *key, *path;
    struct raw_field_ref field;
    struct raw_resource_ref resource;
    bool has_field, has_resource;
    int64_t mode;
    bool has_mode;
};

/* What ConfigMap, Secret and the pod contribute: of the first two `name` or, as a volume, `secret`.
 */
struct raw_projection {
    char *name;
    struct raw_item *items;
    size_t n_items;
    bool is_optional;
    int64_t mode; /* a volume only */
    bool has_mode;
};

struct raw_projected {
    struct raw_projection config, secret, downward;
    bool has_config, has_secret, has_downward;
};

struct raw_projections {
    struct raw_projected *sources;
    size_t n_sources;
    int64_t mode;
    bool has_mode;
};

struct raw_empty {
    char *medium, *limit;
};

struct raw_host_path {
    char *path, *type;
};

struct raw_claim_ref {
    char *name;
    bool is_read_only;
};

struct raw_volume {
    char *name;
    struct raw_empty empty;
    struct raw_host_path host_path;
    struct raw_projection config, secret, downward;
    struct raw_projections projected;
    struct raw_claim_ref claim;
    bool has_empty, has_host_path, has_config, has_secret, has_downward, has_projected, has_claim;
};

struct raw_alias {
    char *address;
    struct strv names;
};

struct raw_pod_security {
    struct raw_profile seccomp, apparmor;
};

struct raw_pod_spec {
    struct raw_container *containers, *inits;
    size_t n_containers, n_inits;
    struct raw_volume *volumes;
    size_t n_volumes;
    char *restart, *hostname, *node, *account;
    int64_t grace, deadline;
    bool has_grace, has_deadline;
    struct raw_alias *aliases;
    size_t n_aliases;
    struct raw_pod_security security;
    bool is_host_network, has_is_host_network;
    bool is_host_pid, is_host_ipc, is_process_shared;
};

struct raw_pod {
    struct raw_head head;
    struct raw_pod_spec spec;
};

extern const struct json_field raw_pod_fields[];
