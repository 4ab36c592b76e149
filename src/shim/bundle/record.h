/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/err.h"
#include "base/util.h"

/*
 * What the shim has made for a container, noted in its bundle before it is made: so that `delete`
 * can take it away after the shim was killed, at whatever step. Files of the bundle:
 *
 *   wherry.json      this record
 *   .wherry.process  which process a guest is (container/folder.h, process_note())
 */
enum record_kind { RECORD_SANDBOX, RECORD_GUEST, RECORD_NATIVE };

struct record {
    enum record_kind kind;
    char *cgroup; /* linux.cgroupsPath; NULL: none was made */
    bool has_systemd;
    char *runtime, *runtime_root; /* of a native container */
    int64_t pid;                  /* the task's, once it has been created; 0: it was not */
};

#define RECORD_PROCESS_NAME "wherry" /* for process_note() */

int record_save(int bundle_fd, const struct record *r, struct err *e);
/* 1, or 0 without one. "BadRecord" */
int record_load(int bundle_fd, struct record *ret, struct err *e);
void record_drop(int bundle_fd);
void record_done(struct record *r);

/* Where the runtime of native containers keeps its states: a folder for each namespace of
 * containerd, in the one that the options say (NULL: that of containerd's shim for runc;
 * pkg/process, RuncRoot). Heap. */
char *record_runtime_root(const char *runtime_root, const char *namespace);
