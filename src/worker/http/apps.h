/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "engine/serve.h"
#include "guest/job.h"
#include "store/cache.h"

/*
 * The programs that a server answers with, each as a service of the engine. A program can be opened
 * anew while requests run: those keep the service that they began with.
 */
struct apps;

/* Loads all programs. The job must outlive the apps; `cache` may be NULL; when `stop_fd` becomes
 * readable, compiling ends (code.h), but not a wait for another process that compiles the same.
 * "BadSpec", and what program_open() and code_obtain() fail with; *ret_failed is then the place of
 * the program, if it was one. */
int apps_new(const struct guest_job *j, struct cache *cache, int stop_fd, struct apps **ret,
             size_t *ret_failed, struct err *e);

/* After the server was freed. */
void apps_free(struct apps *a);
DEFINE_AUTO(apps);

/* A reference to the service of the program at that place in the job, as it is now. From any
 * thread. Fails only where its machine code could not be mapped again. */
int apps_service(struct apps *a, size_t place, struct engine_service **ret, struct err *e);

/* Opens the program at that place by its path again; on failure it stays what it was. One thread
 * at a time. */
int apps_reload(struct apps *a, size_t place, int stop_fd, struct err *e);
