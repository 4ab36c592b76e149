/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "guest/serve_spec.h"
#include "guest/spec.h"

/*
 * What `wherry run`, `serve`, `compile` and `inspect` hand to the worker that they become, and a
 * supervisor to one that does a single thing for it: one JSON object in the file behind --spec-fd.
 * Descriptors are inherited and named by number.
 */

#define GUEST_JOB_LIMIT_BYTES (2 * GUEST_SPEC_LIMIT_BYTES + SERVE_SPEC_LIMIT_BYTES)

struct guest_file {
    int64_t fd;
    char *image, *command; /* as in guest/spec.h */
    char *name;            /* for messages */
};

void guest_file_done(struct guest_file *f); /* frees memory; closes nothing */

/* Of the compiler; 0: the worker's own. */
struct compile_limits {
    int64_t cpu_ms, memory_bytes, time_ms;
};

struct guest_job {
    char *command;          /* "run", "serve", "compile", "prepare" or "inspect" */
    struct guest_spec spec; /* run; serve: what each of its programs may have */
    bool has_spec;
    struct serve_spec serve; /* serve */
    bool has_serve;
    struct guest_file *files; /* compile, inspect; prepare: one */
    size_t n_files;
    char *cache_dir;   /* where compiled code is kept; NULL: nowhere */
    char *status_file; /* run: absolute path of the status document; NULL: none */
    /* run: a file, whose content the status document becomes, for who may open no path; also of a
     * run that failed before there was a guest. -1: none */
    int64_t status_fd;
    bool is_shared; /* compile: the interruptible form that shared workers use */
    bool is_ahead;  /* compile: for the first run, which does it if this does not: silent, and what
                     * fails is a warning */
    struct compile_limits compile;
    bool is_json;      /* inspect: for programs */
    bool is_quiet;     /* no progress on the terminal */
    int64_t verbosity; /* log_level minus the default */
};

#define GUEST_JOB_INIT ((struct guest_job){.status_fd = -1})

void guest_job_done(struct guest_job *j); /* frees memory; closes nothing */
void guest_job_encode(const struct guest_job *j, struct json_writer *w);

/* Decodes into an empty *j; "BadSpec", "BadJson". A run's spec names a program, a serve has both
 * specs, and a prepare one file. */
int guest_job_decode(const char *json, size_t len, struct guest_job *j, struct err *e);
