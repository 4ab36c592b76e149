/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/json.h"

/*
 * The documents of the OCI runtime specification (1.0 to 1.3) that a container manager hands over:
 * config.json of a bundle (config.md, config-linux.md), the process of an exec, and the resources
 * of an update. Decoded by table; members that decide nothing here are left out, since the bundle
 * itself goes on to the runtime of a native container.
 *
 * All of it is heap of the struct, released by its _done(). Absent and zero differ where a has_
 * says so.
 */

#define OCI_CONFIG_LIMIT_BYTES (4u << 20)

struct oci_rlimit {
    char *type;          /* "RLIMIT_NOFILE" */
    uint64_t soft, hard; /* UINT64_MAX: none */
};

struct oci_user {
    int64_t uid, gid;
    int64_t umask;
    bool has_umask;
    int64_t *additional_gids;
    size_t n_additional_gids;
};

struct oci_capabilities {
    struct strv bounding, effective, inheritable, permitted, ambient; /* "CAP_CHOWN" */
};

struct oci_process {
    bool terminal;
    int64_t console_width, console_height; /* 0: not said */
    struct oci_user user;
    struct strv args, env;
    char *cwd;
    struct oci_capabilities capabilities;
    bool has_capabilities;
    struct oci_rlimit *rlimits;
    size_t n_rlimits;
    bool no_new_privileges;
    char *apparmor_profile, *selinux_label; /* NULL: none */
    int64_t oom_score_adj;
    bool has_oom_score_adj;
};

struct oci_mount {
    char *destination, *type, *source; /* the latter two may be NULL */
    struct strv options;
};

struct oci_hook {
    char *path;
    struct strv args, env;
    int64_t timeout_s; /* 0: none was said */
};

struct oci_hook_list {
    struct oci_hook *v;
    size_t n;
};

struct oci_hooks {
    struct oci_hook_list prestart, create_runtime, create_container, start_container, poststart,
        poststop;
};

struct oci_namespace {
    char *type; /* "network", "pid", "ipc", "uts", "mount", "user", "cgroup", "time" */
    char *path; /* NULL: a new one */
};

struct oci_id_mapping {
    int64_t container_id, host_id, size;
};

/* Of linux.resources. A limit that is not there does not change. */
struct oci_resources {
    /* Bytes; -1, also said as 2^64 - 1: none. */
    int64_t memory_limit, memory_reservation, memory_swap;
    bool has_memory_limit, has_memory_reservation, has_memory_swap;
    int64_t cpu_shares, cpu_quota_us, cpu_period_us; /* a quota of -1: none */
    bool has_cpu_shares, has_cpu_quota_us, has_cpu_period_us;
    char *cpuset_cpus, *cpuset_mems;
    int64_t pids_limit; /* -1 and 0: none */
    bool has_pids_limit;
    int64_t blkio_weight;
    bool has_blkio_weight;
    struct json_pairs unified; /* file of the control group to its content (cgroup v2) */
};

struct oci_syscall_arg {
    int64_t index; /* 0 to 5 */
    uint64_t value, value_two;
    char *op; /* "SCMP_CMP_EQ" */
};

struct oci_syscall {
    struct strv names;
    char *action; /* "SCMP_ACT_ALLOW" */
    int64_t errno_ret;
    bool has_errno_ret;
    struct oci_syscall_arg *args;
    size_t n_args;
};

struct oci_seccomp {
    char *default_action;
    int64_t default_errno_ret;
    bool has_default_errno_ret;
    struct strv architectures, flags;
    char *listener_path;
    struct oci_syscall *syscalls;
    size_t n_syscalls;
};

struct oci_linux {
    struct oci_namespace *namespaces;
    size_t n_namespaces;
    struct oci_id_mapping *uid_mappings, *gid_mappings;
    size_t n_uid_mappings, n_gid_mappings;
    struct json_pairs sysctl;
    char *cgroups_path; /* NULL: none was said */
    struct oci_resources resources;
    struct oci_seccomp seccomp;
    bool has_seccomp;
    char *rootfs_propagation, *mount_label;
    struct strv masked_paths, readonly_paths;
};

struct oci_config {
    char *oci_version;
    struct oci_process process;
    bool has_process;
    char *root_path; /* as written: relative to the bundle */
    bool root_readonly;
    char *hostname, *domainname;
    struct oci_mount *mounts;
    size_t n_mounts;
    struct oci_hooks hooks;
    struct json_pairs annotations;
    struct oci_linux linux_;
};

/* Each decodes into *ret, whatever that was. "BadConfig", with the place in the document, also for
 * a version other than 1.x; "TooLarge". A process has args and an absolute cwd, a hook an absolute
 * path, a mount its destination. */
int oci_config_decode(const char *json, size_t len, struct oci_config *ret, struct err *e);
int oci_process_decode(const char *json, size_t len, struct oci_process *ret, struct err *e);
int oci_resources_decode(const char *json, size_t len, struct oci_resources *ret, struct err *e);

/* Reads config.json of the folder. Also "NotFound" and "OpenFailed" for a file that cannot be read,
 * with its errno. */
int oci_config_read(int bundle_fd, struct oci_config *ret, struct err *e);

void oci_config_done(struct oci_config *c);
void oci_process_done(struct oci_process *p);
void oci_resources_done(struct oci_resources *r);

/* NULL: there is none. */
const char *oci_config_annotation(const struct oci_config *c, const char *key);
const struct oci_namespace *oci_config_namespace(const struct oci_config *c, const char *type);
/* By its type or an option, as runc goes by. */
bool oci_mount_is_bind(const struct oci_mount *m);

/* The state of a container (runtime.md, State), for its hooks, appended as JSON. `status` is
 * "creating", "created", "running" or "stopped"; a pid of 0 is left out. */
void oci_state_encode(const struct oci_config *c, const char *id, const char *status, pid_t pid,
                      const char *bundle, struct buf *ret);
