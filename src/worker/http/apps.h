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

/* The engines that answer requests, opened when they are first needed. Several apps may share them,
 * and so the places for instances. */
struct http_engines;
struct http_engines *http_engines_new(uint32_t slots, uint64_t memory_bytes);
void http_engines_free(struct http_engines *en); /* after all that used them */
DEFINE_AUTO(http_engines);

struct apps_options {
    const struct guest_job *job;  /* must outlive the apps */
    struct cache *cache;          /* NULL: nothing is kept */
    struct http_engines *engines; /* must outlive the apps too */
    /* Readable: compiling ends (code.h), but not a wait for another process that compiles the
     * same. */
    int stop_fd;
    int code_fd; /* as in code_options: of the only program, which is not reloaded; else -1 */
    /* Where the guests' output goes; both NULL: to the spec's descriptors. */
    const struct engine_stream *output, *errors;
};

/* Loads all programs. "BadSpec", and what program_open() and code_obtain() fail with; *ret_failed
 * is then the place of the program, if it was one. */
int apps_new(const struct apps_options *o, struct apps **ret, size_t *ret_failed, struct err *e);

/* After the server was freed. */
void apps_free(struct apps *a);
DEFINE_AUTO(apps);

/* A reference to the service of the program at that place in the job, as it is now. From any
 * thread. Fails only where its machine code could not be mapped again. */
int apps_service(struct apps *a, size_t place, struct engine_service **ret, struct err *e);

/* The engine of the program at that place. */
struct engine *apps_engine(const struct apps *a, size_t place);

/* Opens the program at that place by its path again; on failure it stays what it was. One thread
 * at a time. */
int apps_reload(struct apps *a, size_t place, int stop_fd, struct err *e);
