/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "guest/spec.h"

/*
 * What `wherry run`, `compile` and `inspect` hand to the worker that they become: one JSON object
 * in the file behind --spec-fd. Descriptors are inherited and named by number.
 */

struct guest_file {
    int64_t fd;
    char *name; /* for messages */
};

struct guest_job {
    char *command;          /* "run", "compile" or "inspect" */
    struct guest_spec spec; /* run */
    bool has_spec;
    struct guest_file *files; /* compile, inspect */
    size_t n_files;
    char *cache_dir;   /* where compiled code is kept; NULL: nowhere */
    char *status_file; /* run: absolute path of the status document; NULL: none */
    bool is_shared;    /* compile: the interruptible form that shared workers use */
    bool is_json;      /* inspect: for programs */
    bool is_quiet;     /* no progress on the terminal */
    int64_t verbosity; /* log_level minus the default */
};

void guest_job_done(struct guest_job *j);
void guest_job_encode(const struct guest_job *j, struct json_writer *w);

/* Decodes into a zeroed *j; "BadSpec", "BadJson". */
int guest_job_decode(const char *json, size_t len, struct guest_job *j, struct err *e);
