/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "worker/http/apps.h"

/*
 * A guest of a worker that answers HTTP requests: the server that its spec's listeners make, on one
 * thread at a time.
 */
struct served;

struct served_options {
    const struct guest_spec *spec; /* must outlive it; its listeners and program are left open */
    struct cache *cache;           /* as in apps_options, with the next two */
    struct http_engines *engines;
    int stop_fd;
    const struct engine_stream *output, *errors; /* of its guests */
};

/* Loads the program; the sockets answer when served_run() does. What apps_new() fails with. */
int served_new(const struct served_options *o, struct served **ret, struct err *e);
void served_free(struct served *s);
DEFINE_AUTO(served);

/* That of its program. */
struct engine *served_engine(const struct served *s);

/* As engine_server_run(); true in *ret_is_cut when requests were dropped. */
int served_run(struct served *s, uint64_t idle_ms, bool *ret_is_idle, bool *ret_is_cut,
               struct err *e);

/* From any thread, also before it runs: takes no more requests, and ends when those that it has are
 * answered. */
void served_drain(struct served *s);
/* From any thread: ends now. */
void served_stop(struct served *s);

struct served_figures {
    uint64_t requests;     /* answered so far */
    uint64_t memory_bytes; /* linear memory of instances now */
};
void served_figures(const struct served *s, struct served_figures *ret); /* from any thread */
