/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "guest/spec.h"
#include "loop/loop.h"

/*
 * Machine code before a start, in the cache that workers share: whoever was started is running
 * then, and not compiling for half a minute while probes ask it. A child, `wherry-worker` with a
 * job (guest/job.h), compiles; a few at a time, one for all that wait for the same program. What it
 * cannot compile the start tells, since it tries again.
 *
 * Programs that were seen are remembered, so most starts cost one look-up here.
 */
struct compiles;

#define COMPILE_REMEMBER_LIMIT 1024 /* programs */

/* Without a `cache_dir` nothing is compiled. */
struct compiles *compiles_new(struct loop *l, const char *worker, const char *cache_dir);
void compiles_free(struct compiles *s); /* after all of its requests; NULL is fine */

/* A name for the spec's program; `image_id` is the digest of its image, NULL: it is of none. Safe
 * in the work pool. NULL when there is none. Heap. */
char *compile_key(const struct guest_spec *s, const char *image_id);

struct compile;
/*
 * `done` once, from the loop, after which the request is gone. NULL when there is nothing to wait
 * for. The spec is read during the call only.
 */
struct compile *compile_start(struct compiles *s, const struct guest_spec *spec, const char *key,
                              void (*done)(void *ctx), void *ctx);
/* `done` is not called any more. With the last one that waits for it a child is ended. NULL is
 * fine. */
void compile_free(struct compile *w);
