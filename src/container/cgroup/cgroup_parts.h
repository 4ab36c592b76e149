/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/buf.h"
#include "base/strv.h"
#include "base/text.h"
#include "container/cgroup/cgroup.h"
#include "container/oci/oci_config.h"

/*
 * What the files of cgroup.h share, and what its tests and cpu_group.c use of it.
 */

#define CGROUP_FILE_LIMIT_BYTES (1u << 20)
#define CGROUP_PATH_LIMIT       1024
#define CGROUP_DEPTH_MAX        32
#define CGROUP_WAIT_MS          2000

/* ---- What is mounted (cgroup_host.c) ---- */

/* Version 2 calls BLKIO "io", has CPUACCT in "cpu", and FREEZER in every group. */
enum cgroup_controller {
    CGROUP_CPU,
    CGROUP_CPUACCT,
    CGROUP_CPUSET,
    CGROUP_MEMORY,
    CGROUP_PIDS,
    CGROUP_BLKIO,
    CGROUP_FREEZER,
    CGROUP_SYSTEMD, /* the hierarchy "name=systemd": no limits, but how systemd tells whose a
                       process is */
    CGROUP_N_CONTROLLERS,
};

struct cgroup_hierarchy {
    int version;
    unsigned has; /* bits of enum cgroup_controller; version 2: none, groups say it themselves */
    char *mount;
    char *root; /* the group that the mount point shows, as /proc/PID/cgroup would call it */
};

struct cgroup_host {
    int version; /* 0: none */
    struct cgroup_hierarchy v[CGROUP_FDS_MAX];
    size_t n;
};

/* Reads the text of /proc/self/mountinfo. What is no control group, or not understood, is left
 * out. */
void cgroup_host_parse(const char *mountinfo, struct cgroup_host *ret);
void cgroup_host_done(struct cgroup_host *h);

/* Whether all hierarchies that a /proc/PID/cgroup names have been found, so that what follows in
 * mountinfo adds nothing. */
bool cgroup_host_is_complete(const struct cgroup_host *h, const char *proc_cgroup);

/* This machine's, in static storage. "NoCgroups" */
int cgroup_host_get(const struct cgroup_host **ret, struct err *e);

/* NULL: none of this version has it (CGROUP_N_CONTROLLERS: any). */
const struct cgroup_hierarchy *cgroup_host_find(const struct cgroup_host *h, int version,
                                                enum cgroup_controller c);

/* The folder of the group that a process is in, by the text of its /proc/PID/cgroup. Heap; NULL
 * when the text does not say. */
char *cgroup_hierarchy_dir(const struct cgroup_hierarchy *h, const char *proc_cgroup);

const char *cgroup_controller_name(enum cgroup_controller c, int version);

/* ---- A group (cgroup.c) ---- */

struct cgroup {
    const struct cgroup_host *host;
    char *path;
    char *dirs[CGROUP_FDS_MAX]; /* of the host's hierarchies; NULL for another version's */
    bool is_borrowed;           /* made by somebody else */
    char *slice, *unit;         /* of systemd; NULL without */
    /* What holds the scope while the container is not in, by a pidfd, since the loop may reap it
     * as an orphan; and the pipe whose end is its own. -EBADF: none. */
    int keeper_pidfd, keeper_fd;
};

/* cgroup_open() for a host, and with the texts of /proc/self/cgroup and /proc/1/cgroup. */
int cgroup_open_on(const struct cgroup_host *h, const char *self, const char *init,
                   const char *cgroups_path, bool is_systemd, const char *id, struct cgroup **ret,
                   struct err *e);

/* The group's folder where the controller is; NULL: nowhere. */
const char *cgroup_dir(const struct cgroup *c, enum cgroup_controller k);

/* Writes a limit. "CgroupControllerMissing" when there is no such file. */
int cgroup_limit_set(const struct cgroup *c, enum cgroup_controller k, const char *file,
                     const char *value, struct err *e);
int cgroup_limit_set_int(const struct cgroup *c, enum cgroup_controller k, const char *file,
                         int64_t value, struct err *e);
bool cgroup_limit_exists(const struct cgroup *c, enum cgroup_controller k, const char *file);

/* ---- Files (cgroup_files.c) ---- */

/* -ENOENT and others, with the place and what to do. */
int cgroup_file_error(int r, const char *verb, const char *dir, const char *name, struct err *e);
int cgroup_file_read(const char *dir, const char *name, struct buf *ret, struct err *e);
int cgroup_file_write(const char *dir, const char *name, const char *value, struct err *e);
bool cgroup_file_exists(const char *dir, const char *name);

/* The number that a file holds, CGROUP_NO_LIMIT for "max"; *ret untouched and false without. */
bool cgroup_file_number(const char *dir, const char *name, uint64_t *ret);

/* The number behind the word at the start of a line ("oom_kill 3"); false when there is none. */
bool cgroup_text_number(const char *text, const char *key, uint64_t *ret);

/* ---- The versions (cgroup_v1.c, cgroup_v2.c) ---- */

/* Makes the folder of one hierarchy with those above it, and what they need for a process to enter
 * and for limits to be set. */
int cgroup_v1_make(const struct cgroup_hierarchy *h, const char *dir, struct err *e);
int cgroup_v2_make(const struct cgroup_hierarchy *h, const char *dir, struct err *e);
int cgroup_v1_limit(const struct cgroup *c, const struct oci_resources *r, struct err *e);
int cgroup_v2_limit(const struct cgroup *c, const struct oci_resources *r, struct err *e);

/* cpu.shares (2 to 262,144) as cpu.weight (1 to 10,000): 1,024 is 100. */
unsigned cgroup_v2_weight(int64_t shares);

/* ---- systemd (cgroup_systemd.c) ---- */

/* "a-b.slice" to "a.slice/a-b.slice", "-.slice" to "". "BadCgroupPath" */
int cgroup_slice_expand(const char *slice, char **ret, struct err *e);
/* The parts of "slice:prefix:name" (or NULL) and the path of the unit. */
int cgroup_systemd_open(struct cgroup *c, const char *cgroups_path, const char *id,
                        char **ret_below, struct err *e);
int cgroup_systemd_start(struct cgroup *c, const struct oci_resources *r, struct err *e);
int cgroup_systemd_update(const struct cgroup *c, const struct oci_resources *r, struct err *e);
/* Ends what holds the scope, which ends itself when nobody is in it. */
void cgroup_systemd_stop(struct cgroup *c);
/* "MemoryMax=1048576" and so on. */
void cgroup_systemd_properties(const struct oci_resources *r, int version, struct strv *ret);

/* ---- Figures (cgroup_stats.c) ---- */

/* Each takes the text of one file, whatever is in it. */
void cgroup_stats_memory_v1(const char *text, struct cgroup_stats *s);
void cgroup_stats_memory_v2(const char *text, struct cgroup_stats *s);
void cgroup_stats_cpu_v2(const char *text, struct cgroup_stats *s);
void cgroup_stats_io_v1(const char *text, bool is_bytes, struct cgroup_stats *s);
void cgroup_stats_io_v2(const char *text, struct cgroup_stats *s);
