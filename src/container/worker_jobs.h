/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "guest/job.h"
#include "loop/loop.h"

/*
 * Single things that a child, `wherry-worker` with a job (guest/job.h), does for a supervisor with
 * a program: a few at a time, the others wait in order, and one for all that want the same. What
 * the child prints is short and for the supervisor; what it logs is dropped.
 */
struct worker_jobs;

#define WORKER_JOBS_LIMIT             4 /* children at a time */
#define WORKER_JOB_OUTPUT_LIMIT_BYTES (64u << 10)
#define WORKER_JOB_PROGRAM_FD         4 /* what the job's file names: the program, in the child */

struct worker_jobs *worker_jobs_new(struct loop *l, const char *worker);
void worker_jobs_free(struct worker_jobs *s); /* after all of its requests; NULL is fine */

struct worker_job_end {
    int status;         /* as of waitpid(2) */
    const char *output; /* what it printed; valid during the call */
    size_t output_len;
};

struct worker_job;
/*
 * Lets a child do the job with the program behind `program_fd`, unless one does already, or is to,
 * what has this key. `done` is called once, from the loop, after which the request is gone: with an
 * error ("StartFailed") and no end, or with the end. Job and descriptor are used during this call
 * only. Errors: "StartFailed".
 */
int worker_job_start(struct worker_jobs *s, const char *key, const struct guest_job *job,
                     int program_fd,
                     void (*done)(void *ctx, const struct err *e, const struct worker_job_end *end),
                     void *ctx, struct worker_job **ret, struct err *e);

/* `done` is not called any more. With the last one that waits for it a child is killed. NULL is
 * fine. */
void worker_job_free(struct worker_job *j);
