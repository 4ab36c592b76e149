/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "container/guest/confinement.h"

/* The plan of confinement.h: made by confinement_plan.c, carried out by confinement.c. */

enum confinement_step {
    STEP_CGROUP,
    STEP_SCORE,
    STEP_RLIMIT,
    STEP_NAMESPACE,
    STEP_LOOPBACK,
    STEP_HOSTNAME,
    STEP_DOMAINNAME,
    STEP_SYSCTL,
    STEP_LISTEN,
    STEP_SESSION,
    STEP_TERMINAL,
    STEP_APPARMOR,
    STEP_SELINUX,
    STEP_MOUNTS,
    STEP_BOUNDING,
    STEP_GROUPS,
    STEP_GID,
    STEP_UID,
    STEP_CAPABILITIES,
    STEP_AMBIENT,
    STEP_PRIVILEGES,
    STEP_SECCOMP,
    STEPS,
};

struct confinement_namespace {
    const char *type; /* static */
    char *path;       /* NULL: a new one */
    int flag;         /* CLONE_NEW... */
    int fd;           /* -EBADF: a new one */
};

struct confinement_limit {
    const char *name; /* static */
    int resource;
    struct rlimit value;
};

#define CONFINEMENT_NAMESPACES 4

struct confinement {
    struct confinement_namespace namespaces[CONFINEMENT_NAMESPACES]; /* in the order of entering */
    size_t n_namespaces;
    bool has_loopback_down; /* the network namespace is new */
    char *hostname, *domainname;
    struct json_pairs sysctl; /* names are paths below /proc/sys */
    struct cgroup_fds cgroup;
    char *score; /* NULL: as it is */
    struct confinement_limit *limits;
    size_t n_limits;
    gid_t *groups;
    size_t n_groups;
    uid_t uid;
    gid_t gid;
    mode_t umask;
    uint64_t bounding, permitted, effective, inheritable, ambient;
    bool has_no_new_privileges;
    char *apparmor, *selinux;  /* what is written */
    struct sock_fprog seccomp; /* len 0: none; the program itself is the caller's */
    unsigned seccomp_flags;
    unsigned listen_port;
    bool has_terminal;
    int mounts_fd; /* 0: none */
};
