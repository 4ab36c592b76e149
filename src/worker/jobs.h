/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "guest/job.h"
#include "guest/status.h"

/*
 * What the worker does for one command of the command line, by which it was started (guest/job.h),
 * and then exits. Each returns the exit status.
 */
int job_run(struct guest_job *j);
int job_serve(struct guest_job *j);
int job_compile(const struct guest_job *j);
int job_prepare(const struct guest_job *j); /* prints a prepare_answer */
int job_inspect(const struct guest_job *j);

/* Opens the cache of a job; NULL without one, and (with a warning) when it cannot be used. */
struct cache;
struct cache *job_cache_open(const struct guest_job *j);

/* Logs "<command>: <name>: <message>" and returns the exit status: 126 for a program that cannot
 * be run, otherwise 125. */
int job_fail(const struct guest_job *j, const char *name, const struct err *e);
