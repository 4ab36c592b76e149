/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <linux/filter.h>
#include <sys/resource.h>

#include "container/cgroup/cgroup.h"
#include "container/oci/oci_config.h"

/*
 * How a process is confined before it executes a program: what an OCI document says of namespaces,
 * limits, user and rights, turned into a plan of plain numbers and open descriptors, which a child
 * of a program with threads can carry out by system calls alone.
 *
 * The order: control group, score and limits, namespaces with what is theirs, session, labels,
 * rights, user, and the system call filter last (before the rights go, when new privileges are not
 * forbidden, since the kernel wants one or the other).
 *
 * A score that is lower than this process may give is left as it is, as under a user who is not
 * root: a kubelet asks for -997 for its guaranteed pods, and they are to run there too.
 *
 * Not entered, for a guest has no use for them: a pid, cgroup or time namespace, nor one of mounts
 * unless that is asked for.
 * docs/internals/guest-process.md says why, and which limits are not applied.
 */
struct confinement;

struct confinement_options {
    const struct oci_config *config;
    const struct oci_process *process; /* the config's own, or that of an exec */
    const struct cgroup_fds *cgroup;   /* NULL: none; stay the caller's */
    const struct sock_fprog *seccomp;  /* NULL: none; its program is kept until the child has it */
    unsigned seccomp_flags;            /* SECCOMP_FILTER_FLAG_* */
    bool is_joining; /* an exec: what the document makes anew was made, and is found in `of_pid` */
    pid_t of_pid;
    unsigned listen_port; /* not 0: listens there on all addresses of its network namespace */
    bool has_terminal;    /* standard input is to be its controlling terminal */
    int mounts_fd; /* not 0: a mount namespace, to be put into before its rights go; the caller's */
};

/* Where it went wrong, as the child writes it into the pipe to its parent. */
struct confinement_report {
    int32_t step;  /* index of the step; CONFINEMENT_READY: none failed */
    int32_t index; /* of the thing in the step */
    int32_t code;  /* errno */
};

#define CONFINEMENT_READY      (-1)
#define CONFINEMENT_SCORE_KEPT 1    /* index of the above: its score could not be lowered */
#define CONFINEMENT_EXEC       (-2) /* the program could not be executed */

/* Opens namespaces and looks names up. "BadConfig" (unknown names, numbers that cannot be),
 * "NamespaceFailed" ("cannot enter the network namespace '/run/netns/x': No such file or
 * directory"), "Unsupported" (-ENOTSUP: a new user namespace). */
int confinement_new(const struct confinement_options *o, struct confinement **ret, struct err *e);
void confinement_free(struct confinement *c);
DEFINE_AUTO(confinement);

/* For the child: everything but what confinement_seal() does. `listener_fd`: the descriptor that
 * the listening socket is put at. Makes system calls only. False: the report says where it failed,
 * otherwise it is CONFINEMENT_READY. */
bool confinement_apply(const struct confinement *c, int listener_fd,
                       struct confinement_report *failed);
/* The system call filter, where it is last. From here on the process can do what the filter lets it
 * do, and nothing else than to execute should be left. */
bool confinement_seal(const struct confinement *c, struct confinement_report *failed);

/* For the parent: a sentence of what a child reported. "ConfinementFailed", or "ExecFailed". */
int confinement_error(const struct confinement *c, const struct confinement_report *r,
                      struct err *e);

/* Descriptors that the child must keep open until it has applied it. */
size_t confinement_fds(const struct confinement *c, int *ret, size_t max);
#define CONFINEMENT_FDS_MAX 32

/* The plan's numbers, for tests. A resource that is not limited by it: false. */
bool confinement_rlimit(const struct confinement *c, int resource, struct rlimit *ret);

/* The number of "CAP_CHOWN"; -1 for a name that is none. */
int confinement_capability(const char *name);
